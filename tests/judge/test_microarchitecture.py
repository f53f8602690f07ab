"""Every file of profiles/arch, and that a processor fits one of them or none."""

import re
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest

from bench.devices import cpu
from bench.errors import UsageError
from bench.judge import microarchitecture
from bench.judge.microarchitecture import Microarchitecture, known, match, match_among, read
from bench.terms import Device, Fact

TESTS = Path(__file__).parents[1]
ARCH = TESTS.parent / "profiles" / "arch"
FILES = [path for path in sorted(ARCH.glob("*.toml")) if "compute_capability" not in path.read_text("utf-8")]
CPU_PRECISIONS = ("fp64", "fp32", "bf16", "fp16", "int8")

PROFILE = """
id = "core"
name = "A core"
vendor = "GenuineIntel"
has = ["fma"]
lacks = ["avx512f"]

[multiply]
latency = 3
source = "a manual"

[[instruction]]
precision = "fp32"
name = "VFMADD231PS ymm"
flag = "fma"
ops_per_clock = 32
source = "a manual"
"""

# Vendor, family, part and flags as the kernel lists them for processors of which a profile speaks.
AVX512 = "sse4_2 avx avx2 fma f16c avx512f avx512bw avx512dq avx512vl"
GOLDEN = f"{AVX512} avx512_vnni avx512_bf16 avx512_fp16 avx_vnni amx_tile amx_int8 amx_bf16 avx512_vbmi2"
PROCESSORS = [
    ("GenuineIntel", "6", "63", "sse4_2 avx avx2 fma f16c", "intel-haswell"),
    ("GenuineIntel", "6", "85", AVX512, "intel-skylake-sp"),
    ("GenuineIntel", "6", "85", f"{AVX512} avx512_vnni", "intel-cascade-lake"),
    ("GenuineIntel", "6", "106", f"{AVX512} avx512_vnni avx512_vbmi2", "intel-ice-lake"),
    ("GenuineIntel", "6", "143", GOLDEN, "intel-golden-cove"),
    ("GenuineIntel", "6", "167", GOLDEN, "intel-golden-cove"),
    ("GenuineIntel", "6", "173", f"{GOLDEN} amx_fp16", "intel-granite-rapids"),
    ("AuthenticAMD", "25", "1", "sse4_2 avx avx2 fma f16c", "amd-zen3"),
    ("AuthenticAMD", "25", "17", f"{AVX512} avx512_vnni avx512_bf16 avx512_vbmi2", "amd-zen4"),
    ("AuthenticAMD", "26", "2", f"{AVX512} avx512_vnni avx512_bf16 avx512_vbmi2 avx_vnni", "amd-zen5"),
    ("ARM", "8", "0xd0c", "asimd asimdhp asimddp", "arm-neoverse-n1"),
    ("ARM", "8", "0xd4f", "asimd asimdhp asimddp i8mm bf16 sve sve2", "arm-neoverse-v2"),
]
UNKNOWN = [
    ("GenuineIntel", "6", "42", "sse4_2 avx", "Sandy Bridge has no FMA"),
    ("GenuineIntel", "6", "151", "sse4_2 avx avx2 fma f16c avx_vnni", "Alder Lake has cores of two kinds"),
    ("GenuineIntel", "6", "87", "sse4_2 avx avx2 fma avx512f", "Knights Landing is no Skylake"),
    ("GenuineIntel", "6", "85", f"{AVX512} avx512_vnni avx512_bf16", "Cooper Lake has no profile"),
    ("GenuineIntel", "6", "173", GOLDEN, "a kernel that does not know amx_fp16 hides it on Granite Rapids"),
    ("GenuineIntel", "19", "1", f"{GOLDEN} amx_fp16", "a later family is not an earlier one"),
    ("AuthenticAMD", "23", "1", "sse4_2 avx avx2 fma f16c", "Zen multiplies in four cycles"),
    ("AuthenticAMD", "23", "49", "sse4_2 avx avx2 fma f16c", "sources differ about Zen 2's multiplier"),
    ("HygonGenuine", "24", "1", "sse4_2 avx avx2 fma f16c", "another vendor"),
    ("ARM", "8", "0xd05 + 0xd0b", "asimd asimdhp asimddp", "cores of two kinds"),
    ("Apple", "8", "0x022", "asimd asimdhp asimddp", "another vendor"),
]


def processor(vendor: str, family: str, part: str, flags: str) -> Device:
    values = {"vendor": vendor, "cpu-family": family, "cpu-part": part, "instruction-sets": flags}
    facts = tuple(Fact(name=name, value=value, source="typed") for name, value in values.items())
    return Device(selector="cpu", family="cpu", kind="cpu", name="A CPU", vendor=vendor, facts=facts)


def recorded() -> Sequence[Device]:
    trees = sorted(path for path in (TESTS / "data" / "cpu").iterdir() if path.is_dir())
    return [device for tree in trees for device in cpu.inventory(frozenset({0}), root=tree).devices]


def identifier(device: Device) -> str | None:
    found = match(device)
    return None if found is None else found.id


def test_all_profiles_ship_under_their_own_names() -> None:
    assert [profile.id for profile in known()] == [path.stem for path in FILES]


@pytest.mark.parametrize(("vendor", "family", "part", "flags", "expected"), PROCESSORS)
def test_a_processor_fits_its_profile(vendor: str, family: str, part: str, flags: str, expected: str) -> None:
    assert identifier(processor(vendor, family, part, flags)) == expected


@pytest.mark.parametrize(("vendor", "family", "part", "flags", "why"), UNKNOWN)
def test_a_processor_without_profile_is_unknown(
    vendor: str, family: str, part: str, flags: str, why: str
) -> None:
    assert identifier(processor(vendor, family, part, flags)) is None, why


def test_recorded_processors_fit_by_their_flags_whatever_their_model_number() -> None:
    found = {device.name: identifier(device) for device in recorded()}
    assert found == {
        "Intel(R) Xeon(R) Processor": "intel-golden-cove",
        "AMD EPYC 9654 96-Core Processor": "amd-zen4",
        "ARM CPU, part 0xd05 + 0xd0b": None,
    }


def apart(one: Microarchitecture, other: Microarchitecture) -> bool:
    """Whether no device can fit both: a flag, the vendor, the family or the part forbids it."""

    def disjoint(these: Sequence[str], those: Sequence[str]) -> bool:
        return bool(these and those) and not set(these) & set(those)

    return (
        one.vendor != other.vendor
        or bool(set(one.has) & set(other.lacks))
        or bool(set(other.has) & set(one.lacks))
        or disjoint(one.families, other.families)
        or disjoint(one.parts, other.parts)
    )


def test_no_processor_can_fit_two_profiles() -> None:
    pairs = [(a.id, b.id) for a, b in product(known(), known()) if a.id < b.id and not apart(a, b)]
    assert pairs == []


def test_two_profiles_that_fit_are_refused_naming_both() -> None:
    one = read(PROFILE.encode(), "core.toml")
    other = read(PROFILE.replace('"core"', '"kernel"').encode(), "kernel.toml")
    device = processor("GenuineIntel", "6", "63", "avx2 fma")
    assert match_among([one], device) is one
    with pytest.raises(UsageError, match="core and kernel in profiles/arch both fit 'A CPU'"):
        match_among([one, other], device)


def test_a_graphics_card_has_no_microarchitecture_here() -> None:
    card = Device(selector="cuda:0", family="cuda", kind="gpu", name="A card", vendor=None, facts=())
    assert match(card) is None


@pytest.mark.parametrize("profile", known(), ids=lambda profile: profile.id)
def test_every_figure_has_a_source_and_a_day_or_says_that_nobody_re_read_it(
    profile: Microarchitecture,
) -> None:
    for source in (profile.multiply_source, *(row.source for row in profile.instructions)):
        assert re.search(r"20\d\d|from memory", source), source


@pytest.mark.parametrize("profile", known(), ids=lambda profile: profile.id)
def test_every_profile_has_the_widths_that_every_other_figure_rests_on(profile: Microarchitecture) -> None:
    by_precision = {row.precision for row in profile.instructions}
    assert {"fp64", "fp32", "int8"} <= by_precision <= set(CPU_PRECISIONS)
    rows = [(row.precision, row.name) for row in profile.instructions]
    assert len(rows) == len(set(rows))
    widest = {
        name: max(row.ops_per_clock for row in profile.instructions if row.precision == name)
        for name in ("fp64", "fp32")
    }
    assert widest["fp32"] == 2 * widest["fp64"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_begins_with_what_it_is(path: Path) -> None:
    assert path.read_text("utf-8").startswith("# ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('has = ["fma"]', 'has = ["fam"]', r"has: got 'fam', expected sse4_2 or"),
        ('flag = "fma"', 'flag = "mmx"', r"instruction\[0\]\.flag: got 'mmx'"),
        ('precision = "fp32"', 'precision = "fp31"', r"instruction\[0\]\.precision: got 'fp31'"),
        ("latency = 3", "latency = 0", r"multiply\.latency: expected a whole number above zero, got 0"),
        ("latency = 3", "latency = true", r"multiply\.latency: expected a whole number above zero"),
        ("ops_per_clock = 32", "ops_per_clock = 32.5", r"instruction\[0\]\.ops_per_clock: expected a whole"),
        ('source = "a manual"\n\n', "\n", r"multiply\.source: missing"),
        ('vendor = "GenuineIntel"', 'vendor = "GenuineIntel"\nnick = "x"', r"nick: unknown key"),
        ("latency = 3", "latency = 3\ncycles = 3", r"multiply\.cycles: unknown key"),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_and_key(old: str, new: str, message: str) -> None:
    assert old in PROFILE
    with pytest.raises(UsageError, match=rf"^core\.toml: {message}"):
        read(PROFILE.replace(old, new, 1).encode(), "core.toml")


def test_a_shipped_profile_bears_its_files_name() -> None:
    with pytest.raises(UsageError, match="id: got 'core', expected the file's own name"):
        microarchitecture.read(PROFILE.encode(), "profiles/arch/other.toml")
