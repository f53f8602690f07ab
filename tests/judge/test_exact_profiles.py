"""A device is matched to its profile by all that it shows, and told apart from one that bears its name."""

from dataclasses import replace
from pathlib import Path

import pytest
from scripted_device import telemetry

from bench.errors import UsageError
from bench.judge import catalog, findings
from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import deliver
from bench.terms import Device, DeviceSpec, Fact, Finding, Scalar

PROFILES = Path(__file__).parents[2] / "profiles" / "devices"
MIB = 2**20
# Name, multiprocessors, memory and compute capability as NVML and torch tell them of whole cards.
CARDS = [
    ("Tesla V100-SXM2-16GB", 80, 16160, "7.0", "v100-sxm2"),
    ("Tesla V100-SXM2-32GB", 80, 32510, "7.0", "v100-sxm2"),
    ("Tesla T4", 40, 15109, "7.5", "t4"),
    ("Tesla T4", 40, 15360, "7.5", "t4"),
    ("NVIDIA A10", 72, 23028, "8.6", "a10"),
    ("NVIDIA A100-SXM4-80GB", 108, 81920, "8.0", "a100-sxm-80"),
    ("NVIDIA A100 80GB PCIe", 108, 81920, "8.0", "a100-pcie-80"),
    ("NVIDIA L4", 58, 23034, "8.9", "l4"),
    ("NVIDIA L40S", 142, 46068, "8.9", "l40s"),
    ("NVIDIA GeForce RTX 3090", 82, 24576, "8.6", "rtx-3090"),
    ("NVIDIA GeForce RTX 4090", 128, 24564, "8.9", "rtx-4090"),
    ("NVIDIA GeForce RTX 4090", 128, 23028, "8.9", "rtx-4090"),
    ("NVIDIA GeForce RTX 5090", 170, 32607, "12.0", "rtx-5090"),
    ("NVIDIA H100 80GB HBM3", 132, 81559, "9.0", "h100-sxm"),
    ("NVIDIA H100 PCIe", 114, 81559, "9.0", "h100-pcie"),
    ("NVIDIA H100 NVL", 132, 95830, "9.0", "h100-nvl"),
    ("NVIDIA H200", 132, 143771, "9.0", "h200-sxm"),
    ("NVIDIA B200", 148, 183359, "10.0", "b200-sxm"),
]
H100 = ("NVIDIA H100 80GB HBM3", 132, 81559, "9.0")


def card(name: str, sms: Scalar | None, memory_mib: int | None, capability: str | None) -> Device:
    values: dict[str, Scalar | None] = {
        "sm-count": sms,
        "memory-bytes": None if memory_mib is None else memory_mib * MIB,
        "compute-capability": capability,
    }
    facts = tuple(
        Fact(name=key, value=value, source="typed", reason=None if value is not None else "not-supported")
        for key, value in values.items()
    )
    return Device(selector="cuda:0", family="cuda", kind="gpu", name=name, vendor="NVIDIA", facts=facts)


def identifier(device: Device) -> str | None:
    spec = catalog.device_spec(device)
    return None if spec is None else spec.id


def told(device: Device) -> list[Finding]:
    return list(findings.of_devices([device]))


@pytest.mark.parametrize(("name", "sms", "memory_mib", "capability", "spec"), CARDS)
def test_a_whole_card_is_its_profiles_and_nothing_is_said(
    name: str, sms: int, memory_mib: int, capability: str, spec: str
) -> None:
    device = card(name, sms, memory_mib, capability)
    assert identifier(device) == spec
    assert told(device) == []


def test_every_profile_with_an_identity_has_a_card_here() -> None:
    assert {spec.id for spec in catalog.specs() if spec.identity} == {row[-1] for row in CARDS}


@pytest.mark.parametrize(
    ("changes", "fact", "got", "expected"),
    [
        ({"sms": 42}, "sm-count", "42", "132"),
        ({"sms": 114}, "sm-count", "114", "132"),
        ({"memory_mib": 20096}, "memory-bytes", str(20096 * MIB), "80 GiB"),
        ({"memory_mib": 95830}, "memory-bytes", str(95830 * MIB), "80 GiB"),
        ({"capability": "8.0"}, "compute-capability", "8.0", "9.0"),
    ],
)
def test_a_card_that_bears_the_name_and_is_another_one_has_no_profile_and_is_told(
    changes: dict[str, int | str], fact: str, got: str, expected: str
) -> None:
    name, sms, memory_mib, capability = H100
    whole = {"sms": sms, "memory_mib": memory_mib, "capability": capability}
    device = card(name, **(whole | changes))  # type: ignore[arg-type]
    assert identifier(device) is None
    (finding,) = told(device)
    assert (finding.code, finding.status, finding.subject) == ("identity-differs", "warning", "cuda:0")
    assert finding.numbers == {"name": name, "fact": fact, "got": got, "expected": expected}


def test_two_sizes_that_are_sold_are_both_expected() -> None:
    (finding,) = told(card("Tesla V100-SXM2-16GB", 80, 8000, "7.0"))
    assert finding.numbers["expected"] == "16 GiB or 32 GiB"


def test_what_cannot_be_read_excludes_nobody_and_is_told() -> None:
    device = card("NVIDIA H100 80GB HBM3", None, 81559, None)
    assert identifier(device) == "h100-sxm"
    (finding,) = told(device)
    assert (finding.code, finding.status) == ("identity-not-whole", "info")
    assert finding.numbers == {"facts": "sm-count, compute-capability"}


def test_a_slice_of_a_card_has_a_name_of_its_own_and_no_profile() -> None:
    device = card("NVIDIA A100 80GB PCIe MIG 1g.10gb", 14, 9728, "8.0")
    assert identifier(device) is None
    assert told(device) == []


def test_a_device_without_identity_in_its_profile_matches_by_its_name() -> None:
    assert identifier(card("NVIDIA GB200", None, None, None)) == "gb200"
    assert told(card("NVIDIA GB200", None, None, None)) == []


def test_a_run_tells_which_of_its_devices_is_another_one() -> None:
    other = card("NVIDIA H100 80GB HBM3", 42, 81559, "9.0")
    result = deliver([other], [], telemetry(), clock=NO_CLOCK)
    assert [finding.code for finding in result.findings] == ["identity-differs"]


# ------------------------------------------------------------------------------------- the profiles


def spec(text: str) -> DeviceSpec:
    return catalog.read_spec(text.encode(), "card.toml")


L4 = (PROFILES / "l4.toml").read_text("utf-8").replace('id = "l4"', 'id = "card"')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sm_count = 58", "sm_count = 0", r"identity\.sm_count: expected a whole number above zero"),
        ("memory_gib = [24]", "memory_gib = []", r"identity\.memory_gib: expected a list of whole numbers"),
        ("memory_gib = [24]", "memory_gib = [24, 0]", r"identity\.memory_gib: expected a whole number above"),
        ("memory_gib = [24]", "memory_gib = 24", r"identity\.memory_gib: expected a list of whole numbers"),
        ("sm_count = 58\n", "", r"identity\.sm_count: missing"),
        ("sm_count = 58", "sm_count = 58\nsms = 58", r"identity\.sms: unknown key"),
    ],
)
def test_a_wrong_identity_is_refused_naming_file_and_key(old: str, new: str, message: str) -> None:
    assert old in L4
    with pytest.raises(UsageError, match=rf"^card\.toml: {message}"):
        spec(L4.replace(old, new, 1))


def test_a_profile_may_know_no_more_than_names() -> None:
    begin, end = L4.index("[identity]"), L4.index("[[declared]]")
    read = spec(L4[:begin] + L4[end:])
    assert read.identity is None
    assert replace(read, identity=spec(L4).identity) != read
