"""Profiles are read strictly, and a device matches by its exact name and kind or not at all."""

import dataclasses
import hashlib
from pathlib import Path

import pytest
from judge_cases import device

from bench.errors import UsageError
from bench.judge import catalog

PROFILES = Path(__file__).parents[2] / "profiles"
RULES = PROFILES / "rules" / "tw-ai-hardware-2024.toml"

SPEC = """
id = "board"
name = "A board"
kind = "npu"
names = ["Board 1"]

[[declared]]
precision = "int8"
value = 5
unit = "TOPS"
density = "dense"
source = "a data sheet"
provenance = "S1"
verified = true

[[reference]]
precision = "int8"
low = 3.9
value = 4
high = 4.1
unit = "TOPS"
source = "a table"
verified = true

[[architecture]]
engine = "npu"
precision = "int8"
macs_per_cycle = 2_500
clock_hz = 1_000_000_000
source = "a manual"
provenance = "S2"
verified = true

[sheet]
tdp_w = 5
"""


def test_a_profile_is_read_in_operations_per_second() -> None:
    spec = catalog.read_spec(SPEC.encode(), "board.toml")
    assert spec.declared[0].ops_per_s == 5e12
    assert spec.references[0].low_ops_per_s == 3.9e12
    assert spec.architecture[0].ops_per_s == 5e12
    assert spec.digest == hashlib.sha256(SPEC.encode()).hexdigest()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('source = "a data sheet"\n', "", r"declared\[0\]\.source: missing"),
        ("verified = true\n\n[[ref", "\n[[ref", r"declared\[0\]\.verified: missing"),
        ('provenance = "S1"', 'provenance = "M"', r"declared\[0\]\.verified: expected false, got true"),
        ('provenance = "S1"', 'provenance = "stated"', r"declared\[0\]\.provenance: got 'stated'"),
        ('unit = "TOPS"', 'unit = "TFLOPS"', r"declared\[0\]\.unit: got 'TFLOPS', expected TOPS"),
        ("value = 5\n", "value = 0\n", r"declared\[0\]\.value: expected a positive number in TOPS"),
        ("value = 5\n", "value = inf\n", r"declared\[0\]\.value: expected a positive number in TOPS"),
        ("value = 5\n", "value = nan\n", r"declared\[0\]\.value: expected a positive number in TOPS"),
        ("value = 5\n", "value = true\n", r"declared\[0\]\.value: expected a positive number in TOPS"),
        ('density = "dense"', 'density = "thick"', r"declared\[0\]\.density: got 'thick', expected dense or"),
        (
            'precision = "int8"',
            'precision = "int3"',
            r"declared\[0\]\.precision: got 'int3', expected fp64 or",
        ),
        ('engine = "npu"', 'engine = "abacus"', r"architecture\[0\]\.engine: got 'abacus', expected cpu or"),
        ("2_500", "0", r"architecture\[0\]\.macs_per_cycle: expected a whole number above zero"),
        ("1_000_000_000", "1e9", r"architecture\[0\]\.clock_hz: expected a whole number above zero"),
        ('provenance = "S2"', 'provenance = "S3"', r"architecture\[0\]\.verified: expected false, got true"),
        ('source = "a manual"\n', "", r"architecture\[0\]\.source: missing"),
        ("low = 3.9", "low = 4.05", r"reference\[0\]\.value: expected low <= value <= high"),
        ("tdp_w = 5", "tpd_w = 5", r"sheet\.tpd_w: unknown key"),
        ('name = "A board"', 'name = "A board"\nnick = "x"', r"nick: unknown key"),
        ('kind = "npu"', 'kind = "toaster"', r"kind: got 'toaster', expected cpu or gpu"),
        ('name = "A board"', 'name = " "', r"name: expected text"),
        ('names = ["Board 1"]', "names = [1]", r"names: expected a list of texts"),
        ('id = "board"', "id = ", r"not a TOML file"),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_and_key(old: str, new: str, message: str) -> None:
    assert old in SPEC
    with pytest.raises(UsageError, match=rf"^board\.toml: {message}"):
        catalog.read_spec(SPEC.replace(old, new, 1).encode(), "board.toml")


def test_two_architectures_of_one_engine_and_precision_are_refused() -> None:
    row = SPEC[SPEC.index("[[architecture]]") : SPEC.index("[sheet]")]
    with pytest.raises(UsageError, match=r"architecture\[1\]\.precision: a second row for npu and int8"):
        catalog.read_spec(SPEC.replace("[sheet]", f"{row}[sheet]").encode(), "board.toml")


def test_a_device_matches_by_its_exact_name_and_kind() -> None:
    spec = catalog.device_spec(device("NVIDIA H100 PCIe"))
    assert spec is not None
    assert spec.id == "h100-pcie"
    assert catalog.device_spec(device("NVIDIA H100 PCIe", kind="cpu")) is None


@pytest.mark.parametrize("name", ["H100", "NVIDIA H100", "nvidia h100 pcie", "NVIDIA H100 PCIe ", "", "T4"])
def test_no_part_of_a_name_is_a_match(name: str) -> None:
    assert catalog.device_spec(device(name)) is None


def test_two_profiles_that_claim_one_name_are_refused() -> None:
    one = catalog.read_spec(SPEC.encode(), "board.toml")
    with pytest.raises(UsageError, match="board and other both claim the device name 'Board 1'"):
        catalog.by_name([one, dataclasses.replace(one, id="other")])


def test_a_rule_set_is_found_by_its_id_and_by_its_file() -> None:
    shipped = catalog.rules("tw-ai-hardware-2024")
    assert catalog.rules(str(RULES)) == shipped
    assert shipped.digest == hashlib.sha256(RULES.read_bytes()).hexdigest()


def test_an_unknown_rule_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown rule set 'eu'.*known are tw-ai-hardware-2024"):
        catalog.rules("eu")


def test_a_rule_set_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the rule set"):
        catalog.rules(str(tmp_path / "mine.toml"))


def test_a_rule_set_of_ones_own_has_its_own_digest(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_bytes(RULES.read_bytes().replace(b"value = 45\n", b"value = 40\n"))
    rules = catalog.rules(str(mine))
    assert rules.tiers[1].limits[0].ops_per_s == 40e12
    assert rules.digest != catalog.rules("tw-ai-hardware-2024").digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('minimum_assurance = "A0"', 'minimum_assurance = "A9"', "minimum_assurance: got 'A9'"),
        ('figure = "declared"', 'figure = "both"', r"decided_by\.figure: got 'both'"),
        ('precision = "claimed"', 'precision = "fp31"', r"tier\[2\]\.limit\[1\]\.precision: got 'fp31'"),
        ('basis = "inference"', 'basis = "law"', r"reading\.basis: got 'law'"),
    ],
)
def test_a_wrong_rule_set_is_refused_naming_file_and_key(old: str, new: str, message: str) -> None:
    data = RULES.read_text(encoding="utf-8")
    assert old in data
    with pytest.raises(UsageError, match=rf"^mine\.toml: {message}"):
        catalog.read_rules(data.replace(old, new).encode(), "mine.toml")
