"""What a device can do at most: cores x operations per clock of its widest instruction x clock; pure.

A GPU's cores are its multiprocessors, which share one clock. The clock is the measured one, the operations
per clock are those of profiles/arch. A ceiling accuses, so where its parts leave a choice the higher one is
taken: nothing honest may lie above it. It holds for an instruction of the precision itself; a rate above it
is arithmetic of another kind (a product of narrower numbers put together), and that is what it is there to
show.
"""

import math
from collections.abc import Sequence

from bench.judge import gpu_architecture
from bench.judge.microarchitecture import Microarchitecture, flags_of, match
from bench.measure import stats
from bench.terms import Device, Fact, Unavailable
from bench.workload.kernel import BY_SENSOR

# A figure is above its ceiling when the low end of its interval is, by more than this share. The clock is
# measured right after each window, not in it. While the turbo stands, readings repeat within 0.1 %, but it
# moves in steps of 100 MHz, 3 % of a clock, and a step down between window and reading would accuse: two
# percent allow one in two visits out of three. Wider would let more of a false rate pass as honest. A
# GPU's clock is the mean over the window, to half a percent at the worst (kernels/cuda_clock).
MARGIN = 0.02

# The product of two 8-bit or 11-bit significands has at most 22 bits and fp32 keeps 24: the fp32 FMA
# computes these as asked, after a conversion, and is the widest instruction where there is no other.
_ALSO_BY = {"bf16": ("fp32",), "fp16": ("fp32",)}


# No clock was measured, and nobody says why.
NO_CLOCK = Fact(name="clock", value=None, source="dependent chain", reason="clock-not-measured")


def exceeds(low: float, ceiling: float) -> bool:
    """Whether an interval whose low end is `low` lies above the ceiling beyond the margin."""
    return low > ceiling * (1 + MARGIN)


def clock_fact(device: Device, chain: tuple[str, str] | Unavailable) -> Fact:
    """How the clock is measured: by which chain, at how many cycles a link, or why it is not.

    `chain` is its name and the library that compiled it; of a GPU the way its clock is read, and by what.
    """
    path = clock_path(device)
    if path is None:
        return Fact(name="clock", value=None, source="profiles/arch", reason="microarchitecture-unknown")
    if isinstance(chain, Unavailable):
        return Fact(name="clock", value=None, source=chain.detail, reason=chain.code)
    name, library = chain
    return Fact(name="clock", value=f"{name}{path}", source=library)


def clock_path(device: Device) -> str | None:
    """What a clock's value says after the chain's name; None where the device's clock cannot be told.

    A GPU counts its cycles itself, of whatever architecture it is.
    """
    if device.family == "cuda":
        gpu = gpu_architecture.match(device)
        return "" if gpu is None else f"/{gpu.id}"
    arch = match(device)
    return None if arch is None else f"/{arch.multiply_latency}-cycles/{arch.id}"


def sampled(clock: Fact) -> bool:
    """Whether the clock is one moment's, by a sensor that lags, and not the mean over the window."""
    return str(clock.value).partition("/")[0] in BY_SENSOR


def clocks_hz(device: Device, links_per_s: Sequence[int]) -> tuple[int, ...]:
    """The cores' clocks from the chain's links per second; none where the latency is not known."""
    arch = match(device)
    return () if arch is None else tuple(links * arch.multiply_latency for links in links_per_s)


def ceiling(
    device: Device,
    precision: str,
    clocks_hz: Sequence[float],
    *,
    sparse: bool = False,
    by_sensor: bool = False,
) -> tuple[float | None, str | None]:
    """The most operations per second in `precision` at these clocks, one for each core; or a reason code.

    Both, where the ceiling may be too low for this device, or is not that of dense products (`sparse`: 2:4):
    such a one accuses nobody. `by_sensor`: see `sampled`.
    """
    if device.family == "cuda":
        most, reason = _of_gpu(device, precision, clocks_hz, sparse=sparse)
        return most, reason or _reservation_of_gpu(sparse=sparse, by_sensor=by_sensor)
    arch = match(device)
    if arch is None:
        return None, "microarchitecture-unknown"
    if not clocks_hz:
        return None, "clock-not-measured"
    most = ops_per_clock(arch, device, precision)
    if most is None:
        return None, "no-instruction-known"
    return stats.rounded(most * math.fsum(clocks_hz)), _reservation(arch, device)


def _of_gpu(
    device: Device, precision: str, clocks_hz: Sequence[float], *, sparse: bool
) -> tuple[float | None, str | None]:
    """Multiprocessors x operations per clock of one x their one clock, or why it is not known."""
    arch, units = gpu_architecture.match(device), device.fact("sm-count")
    if arch is None:
        return None, "microarchitecture-unknown"
    if not clocks_hz:
        return None, "clock-not-measured"
    if not isinstance(units, int):
        return None, "multiprocessors-unknown"
    serving = (precision, *_ALSO_BY.get(precision, ()))
    rates = [arch.ops_per_clock(name, sparse=sparse) for name in serving]
    most = max((rate for rate in rates if rate is not None), default=None)
    if most is None:
        return None, "no-instruction-known"
    return stats.rounded(most * units * math.fsum(clocks_hz)), None


def _reservation_of_gpu(*, sparse: bool, by_sensor: bool) -> str | None:
    """Why a ceiling accuses nobody: a sparse row is no figure, and a sensor may tell of another moment."""
    return "sparse" if sparse else "clock-sampled" if by_sensor else None


def _reservation(arch: Microarchitecture, device: Device) -> str | None:
    """Why a ceiling may be too low for this device, or None."""
    if arch.may_hide_wider and device.fact("hypervisor") is True:
        return "may-hide-wider-cores"
    # A quota leaves all CPUs to move among; the clock was measured on as many of them as it is worth.
    usable, reached = device.fact("threads-usable"), device.fact("threads-affinity")
    below = isinstance(usable, int) and isinstance(reached, int) and usable < reached
    return "quota-below-affinity" if below else None


def ops_per_clock(arch: Microarchitecture, device: Device, precision: str) -> int | None:
    """What the widest instruction that the device lets be used does per clock and core."""
    flags, serving = flags_of(device), (precision, *_ALSO_BY.get(precision, ()))
    return max(
        (row.ops_per_clock for row in arch.instructions if row.precision in serving and row.flag in flags),
        default=None,
    )
