"""At which sizes a device's memory is measured: one within each cache level, one far beyond the last.

From the device's cache facts alone, so that whoever verifies finds the same sizes. There is no size for
the first level: a call of the library takes longer than moving half of one, and so would be measured.
"""

from bench.terms import Device

_LEVELS = ("l1d", "l2", "l3")
# Arrays fill half a level, so that what else is in it has room, and are together this many times the last
# one, so that little of a pass is found there: STREAM asks for four times in each array, which would cost
# three times the memory to move the figure by a few percent.
_BEYOND = 4
# Two and three arrays of whole 64-byte lines divide it: copy and triad then take the same bytes.
_STEP = 2 * 3 * 64


def sizes(device: Device) -> tuple[int, ...]:
    """Bytes that a bandwidth kernel's arrays take together, ascending; none where no cache is known.

    Half of what all threads' caches hold at level two and three, and four times the last level.
    """
    known = [level for level in _LEVELS if _fact(device, f"{level}-cache-bytes")]
    if not known:
        return ()
    within = [_reached(device, level) // 2 for level in known if level != "l1d"]
    return tuple(sorted({size // _STEP * _STEP for size in (*within, _BEYOND * _whole(device, known[-1]))}))


def cache_bytes(device: Device) -> int | None:
    """What all caches of the device hold together, None where none is known."""
    return sum(_whole(device, level) for level in _LEVELS) or None


def _reached(device: Device, level: str) -> int:
    """What the fewest caches hold that the threads may share: sizes are per cache, threads may be few."""
    caches, sharing = _fact(device, f"{level}-cache-count") or 1, _fact(device, f"{level}-cache-cpus") or 1
    threads = _fact(device, "threads-usable") or 1
    return (_fact(device, f"{level}-cache-bytes") or 0) * min(caches, -(-threads // sharing))


def _whole(device: Device, level: str) -> int:
    return (_fact(device, f"{level}-cache-bytes") or 0) * (_fact(device, f"{level}-cache-count") or 1)


def _fact(device: Device, name: str) -> int | None:
    value = device.fact(name)
    return value if isinstance(value, int) else None
