"""Roofs worked out by hand, from transfers as a bandwidth kernel reports them."""

from typing import Literal

from bench.judge.roofline import bandwidth, roof
from bench.terms import Cost, Pass, Transfer

MIB = 1 << 20
GIGA = 10**9


def transfer(
    mib: int,
    *ns: int,
    operation: Literal["copy", "triad"] = "copy",
    repeats: int = 1,
    device: str = "cpu",
) -> Transfer:
    return Transfer(
        device=device,
        operation=operation,
        footprint_bytes=mib * MIB,
        moved_bytes=mib * MIB * repeats,
        passes=tuple(Pass(ns=one) for one in ns),
        reason=None if ns else "no-memory",
    )


# 1 MiB at 100 times in 1 ms: 104.8576 GB/s in the cache; 64 MiB in 4 and in 2 ms: 33.554432 GB/s beyond.
CACHE = transfer(1, 1_000_000, repeats=100)
MEMORY = transfer(64, 4_000_000, 2_000_000)


def test_the_bandwidth_is_that_of_the_level_that_holds_the_footprint() -> None:
    assert bandwidth([CACHE, MEMORY], "cpu", MIB) == 104.8576 * GIGA
    assert bandwidth([CACHE, MEMORY], "cpu", MIB + 1) == 33.554432 * GIGA


def test_the_largest_size_stands_for_everything_beyond_it() -> None:
    assert bandwidth([CACHE, MEMORY], "cpu", 10**12) == 33.554432 * GIGA


def test_the_fastest_pass_of_both_operations_counts() -> None:
    triad = transfer(64, 1_000_000, operation="triad")
    assert bandwidth([CACHE, MEMORY, triad], "cpu", 2 * MIB) == 67.108864 * GIGA


def test_a_small_size_that_calls_held_back_is_no_slower_than_a_large_one() -> None:
    held_back = transfer(1, 1_000_000)
    assert bandwidth([held_back, MEMORY], "cpu", MIB) == 33.554432 * GIGA


def test_without_a_pass_on_this_device_there_is_no_bandwidth_and_no_roof() -> None:
    others = [transfer(64), transfer(64, 1_000_000, device="cuda:0")]
    assert bandwidth(others, "cpu", MIB) is None
    assert roof(Cost(ops=1, bytes=1), 1.0, others, "cpu") is None


def test_few_operations_a_byte_are_bound_by_memory() -> None:
    # 2 operations a byte at 33.55 GB/s: 67.1 Gop/s, under a ceiling of 100.
    found = roof(Cost(ops=8 * MIB, bytes=4 * MIB), 100.0 * GIGA, [CACHE, MEMORY], "cpu")
    assert found is not None
    assert (found.intensity, found.bandwidth) == (2.0, 33.554432 * GIGA)
    assert (found.ops_per_s, found.bound) == (67.108864 * GIGA, "memory")


def test_many_operations_a_byte_are_bound_by_the_ceiling() -> None:
    found = roof(Cost(ops=400 * MIB, bytes=4 * MIB), 100.0 * GIGA, [CACHE, MEMORY], "cpu")
    assert found is not None
    assert (found.ops_per_s, found.bound) == (100.0 * GIGA, "compute")


def test_without_a_ceiling_the_roof_is_the_memorys_alone() -> None:
    found = roof(Cost(ops=400 * MIB, bytes=4 * MIB), None, [CACHE, MEMORY], "cpu")
    assert found is not None
    assert (found.ops_per_s, found.bound) == (3355.4432 * GIGA, "memory")


def test_stored_numbers_have_nine_significant_digits() -> None:
    found = roof(Cost(ops=7, bytes=3), None, [transfer(1, 999_983)], "cpu")
    assert found is not None
    assert all(x == float(f"{x:.9g}") for x in (found.intensity, found.bandwidth, found.ops_per_s))
