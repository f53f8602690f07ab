"""The roofline above a row: what the memory and the ceiling allow for its operations per byte. Pure.

Which memory? A launch's operands may lie in a cache, and a row's launches follow one another at nearby
places: the level that holds one launch's bytes is the one to compare with. It is found by size alone.
Where a level ends is blurred (half of it was measured, other data lies in it too), so that a roof is a
guide to what holds a row back, and no limit that a figure could break.
"""

from collections.abc import Iterable

from bench.measure import stats
from bench.terms import Cost, Roof, Transfer
from bench.units import NS_PER_S


def bandwidth(transfers: Iterable[Transfer], device: str, footprint: int) -> float | None:
    """B/s that the device (by its selector) moves where `footprint` bytes lie; None if nothing was measured.

    The highest rate of any pass, of copy or triad, at the sizes that hold the footprint; at the largest
    for more. Not at the smallest of these alone: what lies in a cache is moved no slower than what does
    not, but a pass over a small one is held back by calls and idle threads.
    """
    known = [t for t in transfers if t.device == device and t.passes]
    if not known:
        return None
    least = min(footprint, max(t.footprint_bytes for t in known))
    holding = (t for t in known if t.footprint_bytes >= least)
    return stats.rounded(max(t.moved_bytes * NS_PER_S / min(p.ns for p in t.passes) for t in holding))


def roof(cost: Cost, ceiling: float | None, transfers: Iterable[Transfer], device: str) -> Roof | None:
    """The roof over a launch of this cost under a ceiling in op/s; None where no bandwidth was measured."""
    moved = bandwidth(transfers, device, cost.bytes)
    if moved is None:
        return None
    by_memory = cost.ops / cost.bytes * moved
    in_memory = ceiling is None or by_memory < ceiling
    return Roof(
        intensity=stats.rounded(cost.ops / cost.bytes),
        bandwidth=moved,
        ops_per_s=stats.rounded(by_memory if ceiling is None else min(by_memory, ceiling)),
        bound="memory" if in_memory else "compute",
    )
