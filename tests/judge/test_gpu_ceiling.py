"""Ceilings of GPUs: multiprocessors x operations per clock x clock, held against the data sheets' figures."""

import re

import pytest

from bench.errors import UsageError
from bench.judge import catalog, gpu_architecture
from bench.judge.ceiling import ceiling, clock_fact, sampled
from bench.judge.conclusion import profile_digests
from bench.judge.gpu_architecture import GpuArchitecture, known, match, read
from bench.terms import Device, Fact, Unavailable
from bench.workload.kernel import BY_SENSOR, IN_STREAM

MHZ = 1_000_000

PROFILE = """
id = "gpu"
name = "A GPU"
vendor = "NVIDIA"
compute_capability = "9.9"

[[instruction]]
precision = "bf16"
name = "HMMA"
ops_per_clock = 4096
sparse_ops_per_clock = 8192
source = "a manual"
"""

# Clocks that the vendors rate the figures at, in MHz, for tensor cores and for the other units. H100 SXM:
# NVIDIA H100 Tensor Core GPU Architecture v1.04, table 3, as OpenXLA's cuda_core_info_table.cc quotes it;
# PCIe and NVL: from memory; B200: https://hmc-tech.com/gpus/nvidia-b200-vs-nvidia-l40; all others: what
# deviceQuery prints, or from memory.
CLOCKS = {
    "v100-sxm2": (1530, 1530),
    "t4": (1590, 1590),
    "a10": (1695, 1695),
    "a100-sxm-80": (1410, 1410),
    "a100-pcie-80": (1410, 1410),
    "l4": (2040, 2040),
    "l40s": (2520, 2520),
    "rtx-3090": (1695, 1695),
    "rtx-4090": (2520, 2520),
    "rtx-5090": (2407, 2407),
    "h100-sxm": (1830, 1980),
    "h100-pcie": (1620, 1755),
    "h100-nvl": (1545, 1785),
    "h200-sxm": (1830, 1980),
    "b200-sxm": (1860, 1980),
}
# Figures of tensor cores by another name, or that GeForce parts reach only when they sum in fp16.
SAME_AS = {"fp64_tc": "fp64", "fp16_acc16": "fp16", "fp8_acc16": "fp8_e4m3"}
# Slower than the ceiling by design: where tensor cores do fp64 the figure without them is half, and GeForce
# halves what sums in fp32.
HALVED = {
    *((spec, "fp64") for spec in ("a100-sxm-80", "a100-pcie-80", "h100-sxm", "h100-pcie", "h100-nvl")),
    ("h200-sxm", "fp64"),
    *((spec, name) for spec in ("rtx-3090", "rtx-4090", "rtx-5090") for name in ("tf32", "bf16", "fp16")),
    ("rtx-4090", "fp8_e4m3"),
    ("rtx-5090", "fp8_e4m3"),
}


def card(capability: str = "9.0", sms: int | None = 132, **changes: object) -> Device:
    facts = [Fact(name="compute-capability", value=capability, source="typed")]
    if sms is not None:
        facts.append(Fact(name="sm-count", value=sms, source="typed"))
    words = {"selector": "cuda:0", "family": "cuda", "kind": "gpu", "name": "A card", "vendor": "NVIDIA"}
    return Device(**(words | {"facts": tuple(facts)} | changes))  # type: ignore[arg-type]


def identified() -> list[tuple[str, str, str, float]]:
    """Profile, precision of the ceiling, density, and the declared rate: of every card with an identity."""
    rows = []
    for spec in catalog.specs():
        for row in spec.declared if spec.identity else ():
            name = SAME_AS.get(row.precision, row.precision)
            if name in ("fp4", "int4", "fp6") or row.density == "unstated" or row.date == "2022-03":
                continue
            half = 0.5 if (spec.id, row.precision) in HALVED else 1.0
            rows.append((spec.id, name, row.density, row.ops_per_s / half))
    return rows


@pytest.mark.parametrize(("spec", "precision", "density", "declared"), identified())
def test_the_ceiling_at_the_rated_clock_is_the_data_sheets_figure(
    spec: str, precision: str, density: str, declared: float
) -> None:
    (profile,) = (each for each in catalog.specs() if each.id == spec)
    assert profile.identity is not None
    device = card(profile.identity.compute_capability, profile.identity.sm_count)
    arch = match(device)
    assert arch is not None
    tensor, plain = CLOCKS[spec]
    (unit,) = (row for row in arch.instructions if row.precision == precision)
    # The rated clock of fp64 in Hopper's tensor cores is that of the other units.
    hertz = (tensor if "tensor" in unit.name and precision != "fp64" else plain) * MHZ
    most, _ = ceiling(device, precision, (hertz,), sparse=density == "sparse")
    assert most == pytest.approx(declared, rel=0.02)


def test_every_card_with_an_identity_has_a_rated_clock_here_and_an_architecture() -> None:
    with_identity = {spec.id: spec.identity for spec in catalog.specs() if spec.identity}
    assert with_identity.keys() == CLOCKS.keys()
    capabilities = {profile.compute_capability for profile in known()}
    assert {identity.compute_capability for identity in with_identity.values()} <= capabilities


# 304 compute units at 2100 MHz (AMD Instinct MI300X data sheet).
@pytest.mark.parametrize(
    ("precision", "tera"),
    [("fp64", 163.4), ("fp32", 163.4), ("tf32", 653.7), ("bf16", 1307.4), ("fp8_e4m3", 2614.9)],
)
def test_the_ceiling_of_an_mi300x_at_its_rated_clock_is_its_data_sheets_figure(
    precision: str, tera: float
) -> None:
    facts = (
        Fact(name="compute-capability", value=None, source="NVML", reason="not-nvidia"),
        Fact(name="gcn-arch", value="gfx942:sramecc+:xnack-", source="torch"),
        Fact(name="sm-count", value=304, source="torch"),
    )
    most, reason = ceiling(card(vendor="AMD", facts=facts), precision, (2100 * MHZ,))
    assert (most, reason) == (pytest.approx(tera * 1e12, rel=1e-3), None)


# ------------------------------------------------------------------------------------------ by hand


def test_a_ceiling_is_multiprocessors_times_operations_times_clock() -> None:
    assert ceiling(card(), "bf16", (1_755 * MHZ,)) == (132 * 4096 * 1.755e9, None)


def test_a_slice_of_a_gpu_has_a_slice_of_its_ceiling() -> None:
    whole, part = (ceiling(card(sms=sms), "fp32", (1980 * MHZ,))[0] for sms in (132, 16))
    assert whole is not None
    assert part == pytest.approx(whole * 16 / 132)


def test_sparse_products_have_twice_the_ceiling_and_it_accuses_nobody() -> None:
    dense, _ = ceiling(card(), "bf16", (1980 * MHZ,))
    assert dense is not None
    assert ceiling(card(), "bf16", (1980 * MHZ,), sparse=True) == (2 * dense, "sparse")
    assert ceiling(card(), "fp32", (1980 * MHZ,), sparse=True) == (None, "no-instruction-known")


def test_a_clock_that_a_sensor_sampled_accuses_nobody() -> None:
    most, reason = ceiling(card(), "bf16", (1980 * MHZ,), by_sensor=True)
    assert (most, reason) == (132 * 4096 * 1.98e9, "clock-sampled")


def test_bf16_on_a_gpu_that_has_none_is_computed_in_fp32() -> None:
    turing = card("7.5", 40)
    assert ceiling(turing, "bf16", (1590 * MHZ,)) == ceiling(turing, "fp32", (1590 * MHZ,))


@pytest.mark.parametrize(
    ("device", "clocks", "reason"),
    [
        (card("10.3"), (1_900 * MHZ,), "microarchitecture-unknown"),
        (card(vendor="AMD"), (1_900 * MHZ,), "microarchitecture-unknown"),
        (card(), (), "clock-not-measured"),
        (card(sms=None), (1_900 * MHZ,), "multiprocessors-unknown"),
    ],
)
def test_without_one_of_its_parts_there_is_no_ceiling(
    device: Device, clocks: tuple[int, ...], reason: str
) -> None:
    assert ceiling(device, "bf16", clocks) == (None, reason)


def test_a_precision_without_an_instruction_has_no_ceiling() -> None:
    assert ceiling(card("8.0", 108), "fp8_e4m3", (1410 * MHZ,)) == (None, "no-instruction-known")


def test_a_processor_is_no_gpu() -> None:
    assert match(card(family="cpu", kind="cpu")) is None


# ---------------------------------------------------------------------------------------- the clock


def test_the_clock_says_how_it_was_read_and_on_which_architecture() -> None:
    fact = clock_fact(card(), (IN_STREAM, "triton 3.7.0"))
    assert (fact.value, fact.source) == ("triton-globaltimer/nvidia-sm-90", "triton 3.7.0")
    assert not sampled(fact)


def test_a_gpu_of_an_unknown_architecture_has_a_clock_all_the_same() -> None:
    assert clock_fact(card("10.3"), (IN_STREAM, "triton 3.7.0")).value == "triton-globaltimer"


@pytest.mark.parametrize("way", BY_SENSOR)
def test_a_sensors_clock_is_known_as_sampled(way: str) -> None:
    assert sampled(clock_fact(card(), (way, "NVML")))
    assert sampled(clock_fact(card("10.3"), (way, "NVML")))


def test_a_gpus_clock_that_cannot_be_read_has_a_reason() -> None:
    missing = Unavailable(subject="clock", code="window-clock-refused", detail="both")
    fact = clock_fact(card(), missing)
    assert (fact.value, fact.reason) == (None, "window-clock-refused")


# -------------------------------------------------------------------------------------- the profiles


@pytest.mark.parametrize("profile", known(), ids=lambda profile: profile.id)
def test_every_figure_has_a_source_and_a_day_or_says_that_nobody_re_read_it(profile: GpuArchitecture) -> None:
    for row in profile.instructions:
        assert re.search(r"20\d\d|from memory", row.source), row.source


@pytest.mark.parametrize("profile", known(), ids=lambda profile: profile.id)
def test_sparse_products_are_twice_the_dense_ones_where_there_are_any(profile: GpuArchitecture) -> None:
    rows = {row.precision: row for row in profile.instructions}
    assert len(rows) == len(profile.instructions)
    assert {"fp64", "fp32", "fp16"} <= rows.keys()
    for row in rows.values():
        assert row.sparse_ops_per_clock in (None, 2 * row.ops_per_clock)
    if "int8" in rows:
        assert rows["int8"].ops_per_clock == 2 * rows["fp16"].ops_per_clock


def test_the_architecture_that_the_ceiling_used_is_named_with_its_digest() -> None:
    (hopper,) = (profile for profile in known() if profile.id == "nvidia-sm-90")
    digests = {digest.name: digest.sha256 for digest in profile_digests([card()])}
    assert digests["arch/nvidia-sm-90"] == hopper.digest


def test_two_profiles_for_one_capability_are_refused_naming_both() -> None:
    one, other = (
        read(PROFILE.encode(), "gpu.toml"),
        read(PROFILE.replace('"gpu"', '"gpv"').encode(), "b.toml"),
    )
    with pytest.raises(UsageError, match=r"gpu and gpv in profiles/arch are both for NVIDIA 9\.9: keep one"):
        gpu_architecture.distinct([one, other])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('precision = "bf16"', 'precision = "bf17"', r"instruction\[0\]\.precision: got 'bf17'"),
        (
            "ops_per_clock = 4096\n",
            "ops_per_clock = 0\n",
            r"instruction\[0\]\.ops_per_clock: expected a whole",
        ),
        ("= 8192", "= 81.92", r"instruction\[0\]\.sparse_ops_per_clock: expected a whole number"),
        ('source = "a manual"\n', "", r"instruction\[0\]\.source: missing"),
        ('vendor = "NVIDIA"', 'vendor = "NVIDIA"\nnick = "x"', r"nick: unknown key"),
        ('compute_capability = "9.9"', "compute_capability = 9.9", r"compute_capability: expected text"),
    ],
)
def test_a_wrong_profile_is_refused_naming_file_and_key(old: str, new: str, message: str) -> None:
    assert old in PROFILE
    with pytest.raises(UsageError, match=rf"^gpu\.toml: {message}"):
        read(PROFILE.replace(old, new, 1).encode(), "gpu.toml")
