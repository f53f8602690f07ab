"""Every file in profiles/devices and profiles/rules: adding one is covered here without a new test."""

import re
from pathlib import Path

import pytest

from bench.judge import catalog
from bench.terms import READ_AT_SOURCE, DeviceSpec

PROFILES = Path(__file__).parents[2] / "profiles"
DEVICES = sorted((PROFILES / "devices").glob("*.toml"))
RULES = sorted((PROFILES / "rules").glob("*.toml"))


def spec(name: str) -> DeviceSpec:
    return catalog.read_spec(
        (PROFILES / "devices" / f"{name}.toml").read_bytes(), f"profiles/devices/{name}.toml"
    )


@pytest.mark.parametrize("path", DEVICES, ids=lambda path: path.stem)
def test_every_figure_has_unit_source_and_whether_it_was_verified(path: Path) -> None:
    read = spec(path.stem)
    for row in read.declared:
        assert row.source
        assert row.verified is (row.provenance in READ_AT_SOURCE)
        assert row.date is None or re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", row.date)
    for reference in read.references:
        assert reference.source
        assert reference.precision in {row.precision for row in read.declared}


@pytest.mark.parametrize("path", DEVICES, ids=lambda path: path.stem)
def test_no_figure_is_declared_twice(path: Path) -> None:
    rows = [(row.precision, row.density, row.date) for row in spec(path.stem).declared]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("path", DEVICES + RULES, ids=lambda path: path.stem)
def test_every_file_begins_with_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_every_rule_set_has_its_source_status_and_the_argument_for_its_reading(path: Path) -> None:
    rules = catalog.rules(path.stem)
    assert rules.id == path.stem
    assert rules.source
    assert rules.status
    assert rules.reading_for
    assert rules.reading_against
    assert rules.examples
    assert len({tier.id for tier in rules.tiers}) == len(rules.tiers)
    for tier in rules.tiers:
        assert re.search(r"[\u4e00-\u9fff]", tier.title_zh + tier.quote_zh)
        assert tier.limits


def test_all_devices_ship_and_no_two_claim_one_name() -> None:
    assert len(DEVICES) >= 48
    assert len(catalog.specs()) == len(DEVICES)
    assert catalog.by_name(catalog.specs())


# Typed by hand from the project's list of data sheet figures.
@pytest.mark.parametrize(
    ("device", "precision", "density", "tera", "provenance"),
    [
        ("h100-sxm", "fp32", "dense", 67, "S1"),
        ("h100-sxm", "fp64", "dense", 34, "M"),
        ("h100-sxm", "fp8_e4m3", "sparse", 3958, "S1"),
        ("h100-nvl", "bf16", "dense", 835, "S2"),
        ("h100-nvl", "fp32", "dense", 60, "M"),
        ("a100-sxm-80", "tf32", "dense", 156, "S1"),
        ("a100-sxm-80", "fp64", "dense", 9.7, "M"),
        ("l4", "fp32", "dense", 30.3, "M"),
        ("l40s", "fp32", "dense", 91.6, "S1"),
        ("b200-sxm", "fp32", "dense", 75, "S3"),
        ("gaudi3", "bf16", "dense", 1677, "S3"),
        ("mi300x", "bf16", "dense", 1307.4, "S1"),
        ("rtx-4090", "fp16_acc16", "dense", 330.3, "S3"),
        ("rtx-5090", "fp4", "sparse", 3352, "S3"),
        ("t4", "int4", "dense", 260, "S3"),
        ("a311d", "int8", "unstated", 5, "S3"),
        ("rk3588", "int8", "unstated", 6, "V"),
        ("mtl-npu", "int8", "dense", 11.5, "V"),
        ("orin-agx-64", "int8", "sparse", 275, "S3"),
        ("hailo10h", "int4", "unstated", 40, "S3"),
        ("x-elite", "unstated", "dense", 45, "S3"),
    ],
)
def test_figures_are_those_of_the_list(
    device: str, precision: str, density: str, tera: float, provenance: str
) -> None:
    (row,) = (row for row in spec(device).declared if (row.precision, row.density) == (precision, density))
    assert row.ops_per_s == tera * 1e12
    assert row.provenance == provenance


# Typed by hand from the derivations in the project's list.
@pytest.mark.parametrize(
    ("device", "tera", "provenance"),
    [
        ("mtl-npu", 11.4688, "V"),
        ("lnl-npu", 47.9232, "M"),
        ("rk3588", 6.144, "M"),
        ("a311d", 1.2288, "S3"),
    ],
)
def test_architectures_are_those_of_the_list(device: str, tera: float, provenance: str) -> None:
    (row,) = spec(device).architecture
    assert row.ops_per_s == pytest.approx(tera * 1e12)
    assert row.provenance == provenance


def test_no_shipped_figure_is_contradicted_by_an_architecture_that_was_read_at_its_source() -> None:
    """One that is would be an accusation: it ships after a second reader, and changes this test."""
    for read in catalog.specs():
        for row in read.architecture:
            for figure in read.declared:
                if row.verified and figure.verified and figure.precision == row.precision:
                    assert row.ops_per_s >= 0.98 * figure.ops_per_s, read.id


def test_the_h100_pcie_has_two_dated_fp32_figures() -> None:
    rows = [row for row in spec("h100-pcie").declared if row.precision == "fp32"]
    assert {(row.ops_per_s, row.date) for row in rows} == {(51e12, "2022-10"), (48e12, "2022-03")}


# Typed by hand from the published table, which divides the MI355X by another figure than is declared here.
@pytest.mark.parametrize(
    ("device", "precision", "share"),
    [
        ("h100-sxm", "bf16", 0.80),
        ("h200-sxm", "bf16", 0.80),
        ("a100-sxm-80", "bf16", 0.87),
        ("a100-pcie-80", "bf16", 0.81),
        ("b200-sxm", "bf16", 0.78),
        ("gb200", "bf16", 0.73),
        ("b300-sxm", "bf16", 0.79),
        ("mi300x", "bf16", 0.51),
        ("mi325x", "bf16", 0.60),
        ("gaudi2", "bf16", 0.97),
        ("gaudi3", "bf16", 0.74),
        ("h100-sxm", "fp8_e4m3", 0.71),
        ("h200-sxm", "fp8_e4m3", 0.73),
        ("b200-sxm", "fp8_e4m3", 0.76),
        ("gb200", "fp8_e4m3", 0.72),
        ("b300-sxm", "fp8_e4m3", 0.75),
        ("gaudi2", "fp8_e4m3", 0.96),
        ("gaudi3", "fp8_e4m3", 0.77),
    ],
)
def test_reference_shares_are_those_of_the_published_table(device: str, precision: str, share: float) -> None:
    (reference,) = (row for row in spec(device).references if row.precision == precision)
    (whole,) = (
        row.ops_per_s for row in spec(device).declared if (row.precision, row.density) == (precision, "dense")
    )
    assert round(reference.ops_per_s / whole, 2) == share


def test_nobody_ships_a_default_reference() -> None:
    with_reference = {read.id for read in catalog.specs() if read.references}
    assert with_reference == {
        "h100-sxm",
        "h100-pcie",
        "h200-sxm",
        "a100-sxm-80",
        "a100-pcie-80",
        "b200-sxm",
        "gb200",
        "b300-sxm",
        "mi300x",
        "mi325x",
        "mi355x",
        "gaudi2",
        "gaudi3",
    }


def test_figures_in_conflict_are_left_out_with_the_note_kept() -> None:
    read = spec("b300-sxm")
    assert {row.precision for row in read.declared}.isdisjoint({"int8", "fp4"})
    assert "int8 CONFLICT" in read.note
