"""Ceilings: cores x operations per clock x measured clock, worked out by hand on recorded processors."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.devices import cpu
from bench.judge.ceiling import ceiling, clock_fact, clocks_hz, exceeds
from bench.terms import Device, Fact, Unavailable

TREES = Path(__file__).parents[1] / "data" / "cpu"
GIGA = 1_000_000_000


def recorded(tree: str, affinity: set[int]) -> Device:
    (device,) = cpu.inventory(frozenset(affinity), root=TREES / tree).devices
    return device


def without(device: Device, *flags: str) -> Device:
    """The same device whose kernel does not list `flags`."""
    (sets,) = [fact for fact in device.facts if fact.name == "instruction-sets"]
    left = " ".join(flag for flag in str(sets.value).split() if flag not in flags)
    others = tuple(fact for fact in device.facts if fact is not sets)
    return replace(device, facts=(*others, Fact(name=sets.name, value=left, source=sets.source)))


@pytest.fixture
def xeon() -> Device:
    return recorded("xeon-vm-2cpu", {0, 1})


@pytest.fixture
def epyc() -> Device:
    return recorded("epyc-quota-v2-8cpu", set(range(8)))


@pytest.fixture
def board() -> Device:
    return recorded("rk3588-aarch64-8cpu", set(range(8)))


# Two cores at 3 GHz: 6e9 clocks per second.
@pytest.mark.parametrize(
    ("precision", "ops_per_clock"),
    [("fp64", 32), ("fp32", 64), ("bf16", 1024), ("fp16", 128), ("int8", 2048)],
)
def test_ceilings_of_two_amx_cores(xeon: Device, precision: str, ops_per_clock: int) -> None:
    assert ceiling(xeon, precision, (3 * GIGA, 3 * GIGA)) == (6e9 * ops_per_clock, None)


# 235, 117 and 470 GFLOPS, 940 GOPS: what a register-only loop reached on two such cores at 3.67 GHz.
@pytest.mark.parametrize(
    ("precision", "giga"), [("fp64", 117.44), ("fp32", 234.88), ("bf16", 469.76), ("int8", 939.52)]
)
def test_ceilings_of_two_zen_4_cores_are_what_a_register_only_loop_reached(
    epyc: Device, precision: str, giga: float
) -> None:
    most, reason = ceiling(epyc, precision, (3_670_000_000, 3_670_000_000))
    # Two of eight CPUs by a quota: the ceiling is told, and accuses nobody.
    assert (most, reason) == (pytest.approx(giga * 1e9, rel=1e-9), "quota-below-affinity")


def test_each_core_counts_at_its_own_clock(xeon: Device) -> None:
    assert ceiling(xeon, "fp32", (3 * GIGA, 1 * GIGA)) == (4e9 * 64, None)


def test_an_instruction_that_the_system_hides_does_not_count(xeon: Device) -> None:
    hidden = without(xeon, "amx_tile", "amx_bf16", "amx_int8")
    assert ceiling(hidden, "int8", (GIGA,)) == (256e9, None)


def test_bf16_without_a_wide_instruction_of_its_own_is_computed_in_fp32(xeon: Device) -> None:
    hidden = without(xeon, "amx_tile", "amx_bf16", "amx_int8")
    assert ceiling(hidden, "bf16", (GIGA,)) == ceiling(hidden, "fp32", (GIGA,)) == (64e9, None)


def test_fp16_without_instructions_of_its_own_is_computed_in_fp32(epyc: Device) -> None:
    assert ceiling(epyc, "fp16", (GIGA,)) == ceiling(epyc, "fp32", (GIGA,))


def test_a_precision_without_an_instruction_has_no_ceiling(xeon: Device) -> None:
    assert ceiling(xeon, "fp8_e4m3", (GIGA,)) == (None, "no-instruction-known")


def test_an_unknown_microarchitecture_has_no_ceiling_and_no_clock(board: Device) -> None:
    assert ceiling(board, "fp32", (GIGA,)) == (None, "microarchitecture-unknown")
    assert clocks_hz(board, (GIGA,)) == ()
    assert clock_fact(board, ("imul-chain", "numba 0")).reason == "microarchitecture-unknown"


def test_without_a_measured_clock_there_is_no_ceiling(xeon: Device) -> None:
    assert ceiling(xeon, "fp32", ()) == (None, "clock-not-measured")


def test_the_clock_is_links_per_second_times_the_multipliers_latency(xeon: Device) -> None:
    assert clocks_hz(xeon, (GIGA, 1_100_000_000)) == (3 * GIGA, 3_300_000_000)


def test_the_clock_says_by_which_chain_and_latency_it_was_measured(xeon: Device) -> None:
    fact = clock_fact(xeon, ("imul-chain", "numba 0.68.1"))
    assert (fact.name, fact.value) == ("clock", "imul-chain/3-cycles/intel-golden-cove")
    assert (fact.source, fact.reason) == ("numba 0.68.1", None)


def test_a_chain_that_cannot_run_is_the_clocks_reason(xeon: Device) -> None:
    missing = Unavailable(subject="clock", code="not-installed", detail="pip install it")
    fact = clock_fact(xeon, missing)
    assert (fact.value, fact.reason) == (None, "not-installed")


def test_a_figure_exceeds_its_ceiling_from_two_percent_on() -> None:
    assert not exceeds(101.9, 100)
    assert exceeds(102.1, 100)
