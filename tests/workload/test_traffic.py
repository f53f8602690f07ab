"""The sizes at which memory is measured, from the facts of machines that differ."""

import pytest

from bench.terms import Device, Fact
from bench.workload import traffic

KIB, MIB = 1 << 10, 1 << 20


def device(threads: int = 2, **caches: tuple[int, int, int]) -> Device:
    """A processor whose caches are (bytes of one, CPUs that share it, how many there are)."""
    facts = [Fact(name="threads-usable", value=threads, source="script")]
    for level, numbers in caches.items():
        names = ("bytes", "cpus", "count")
        facts += [
            Fact(name=f"{level}-cache-{name}", value=number, source="script")
            for name, number in zip(names, numbers, strict=True)
        ]
    return Device(selector="cpu", family="cpu", kind="cpu", name="Scripted", vendor=None, facts=tuple(facts))


SERVER = {"l1d": (48 * KIB, 1, 2), "l2": (2 * MIB, 1, 2), "l3": (480 * MIB, 2, 1)}


def rounded(size: int) -> int:
    return size // 384 * 384


def test_half_of_each_level_above_the_first_and_four_times_the_last() -> None:
    assert traffic.sizes(device(**SERVER)) == tuple(map(rounded, (2 * MIB, 240 * MIB, 1920 * MIB)))


def test_several_last_level_caches_add_up_to_what_all_threads_use() -> None:
    chiplets = {"l2": (MIB, 2, 8), "l3": (32 * MIB, 8, 2)}
    assert traffic.sizes(device(16, **chiplets)) == tuple(map(rounded, (4 * MIB, 32 * MIB, 256 * MIB)))


def test_few_threads_reach_few_caches_yet_the_largest_size_exceeds_all_of_them() -> None:
    chiplets = {"l2": (MIB, 2, 8), "l3": (32 * MIB, 8, 2)}
    assert traffic.sizes(device(2, **chiplets)) == tuple(map(rounded, (MIB // 2, 16 * MIB, 256 * MIB)))


def test_without_a_third_level_the_second_is_the_last() -> None:
    board = {"l1d": (32 * KIB, 1, 4), "l2": (2 * MIB, 4, 1)}
    assert traffic.sizes(device(4, **board)) == tuple(map(rounded, (MIB, 8 * MIB)))


def test_a_machine_that_names_no_cache_has_no_sizes() -> None:
    assert traffic.sizes(device()) == ()
    assert traffic.cache_bytes(device()) is None


@pytest.mark.parametrize("arrays", [2, 3])
def test_two_and_three_arrays_of_whole_cache_lines_fill_each_size(arrays: int) -> None:
    assert all(size % (arrays * 64) == 0 for size in traffic.sizes(device(**SERVER)))


def test_all_caches_together_count_every_level_and_every_cache() -> None:
    assert traffic.cache_bytes(device(**SERVER)) == 96 * KIB + 4 * MIB + 480 * MIB
