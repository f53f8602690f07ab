"""Which launches are looked at, where and on what operands: decided by the nonce, the same for everyone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from bench.precision import precision
from bench.terms import ConvShape, GemmShape, Shape, Workload
from bench.workload import accuracy, operands
from bench.workload.accuracy import Place

# Outputs compared per launch, as a block of n x 2n: before timing, in the untimed probe, and of each
# timed sample on exact and on real-valued operands.
BEFORE, PROBE, TIMED_EXACT, TIMED_REAL = 8, 16, 2, 3
BEFORE_LAUNCHES = 3

# The first half of such a sum comes to 4608 x 108^2 = 5.4 x 10^7, over three times what fp32 holds exactly.
_CANCELLING_K = 9216

# One timed sample in this many runs on real-valued operands, its place in each group chosen by the nonce.
REAL_SHARE = 8
# Groups of samples in a visit, at most: the visits' groups are numbered apart.
_MOST_GROUPS = 1 << 16


def runs_on_reals(workload: Workload, visit: int, index: int) -> bool:
    """Whether the index-th measured sample of a visit (both from 0) runs on real-valued operands.

    Groups begin anew with each visit, so that a visit of REAL_SHARE samples has one. A deep graph runs on
    nothing else.
    """
    if operands.is_deep(workload):
        return True
    if not operands.has_reals(workload):
        return False
    return _real_place(workload, visit * _MOST_GROUPS + index // REAL_SHARE) == index % REAL_SHARE


@lru_cache(maxsize=64)
def _real_place(workload: Workload, group: int) -> int:
    """Which sample of a group runs on reals: asked for each of them, between timed samples."""
    return operands.random_below(workload, "real", group, (REAL_SHARE,))[0]


def all_on_reals(workload: Workload, lengths: Sequence[int]) -> list[list[int]]:
    """What runs_on_reals says of every sample, as 0 or 1, for visits of so many: all drawn at once."""
    if not lengths or operands.is_deep(workload) or not operands.has_reals(workload):
        return [[int(operands.is_deep(workload))] * length for length in lengths]
    numbers = [-(-length // REAL_SHARE) for length in lengths]
    groups = np.concatenate([visit * _MOST_GROUPS + np.arange(n) for visit, n in enumerate(numbers)])
    places = operands.random_series(workload, "real", groups, REAL_SHARE)
    flags = (places.reshape(-1, 1) == np.arange(REAL_SHARE)).astype(int)
    visits = np.split(flags, np.cumsum(numbers)[:-1])
    return [visit.reshape(-1)[:length].tolist() for visit, length in zip(visits, lengths, strict=True)]


def timed_place(workload: Workload, index: int, *, offset: int, real: bool) -> Place:
    """Where the index-th timed sample's last launch is looked at.

    Of a deep graph always in one place for each input: the right outputs cost as much as a launch.
    """
    size = TIMED_REAL if real else TIMED_EXACT
    purpose, index = ("deep", offset) if operands.is_deep(workload) else ("timed", index)
    return accuracy.choose_place(workload, purpose, index, offset=offset, real=real, size=size)


def untimed_place(workload: Workload, purpose: str, index: int, *, real: bool, size: int) -> Place:
    """Where the index-th launch of a check or probe is looked at; it runs on the index-th operands."""
    offset = operands.offsets(workload)[index]
    if operands.is_deep(workload):
        purpose, index = "deep", offset
    return accuracy.choose_place(workload, purpose, index, offset=offset, real=real, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many launches are looked at, and how many of their outputs on exact and on real-valued operands."""

    launches: int
    compared: int
    real_compared: int


def _counts(exact: int, exact_size: int, real: int, real_size: int) -> Counts:
    """So many launches of each kind, each looked at in a block of n x 2n outputs."""
    return Counts(
        launches=exact + real, compared=exact * 2 * exact_size**2, real_compared=real * 2 * real_size**2
    )


def before_counts(workload: Workload) -> Counts:
    real = BEFORE_LAUNCHES if operands.has_reals(workload) else 0
    return _counts(BEFORE_LAUNCHES, BEFORE, real, BEFORE)


def probe_counts(workload: Workload) -> Counts:
    real = int(operands.has_reals(probe_workload(workload)))
    return _counts(1 - real, PROBE, real, PROBE)


def timed_counts(flags: Sequence[int]) -> Counts:
    """For measured samples with these flags `real`: of each, the last launch is looked at."""
    real = sum(flags)
    return _counts(len(flags) - real, TIMED_EXACT, real, TIMED_REAL)


def probe_workload(workload: Workload) -> Workload:
    """The untimed probe's workload, always of one layer: K = 1024 real-valued operands; of integers K of 2048
    and more of one sign, or K = 9216 that cancel where the output is quantised again.

    256 x 256 outputs, or an 18 x 18 image whose channels give about that K. A row of single pixels has a
    probe of such: for 3 x 3 another algorithm might be taken, which errs otherwise.
    """
    integer = precision(workload.precision).kind == "integer"
    form = workload.form
    if integer and form.operand_set == "int8":
        form = replace(form, operand_set="int8-cancelling" if form.requantised else "int8-same-sign")
    k, channels = (_CANCELLING_K, _CANCELLING_K // 9) if form.requantised else (2048, 256)
    if form.sparse:
        k *= 2  # of which half are zeros
    if not integer:
        k, channels = 1024, 112
    shape: Shape
    if workload.operation == "gemm":
        shape = GemmShape(m=256, n=256, k=k)
    elif isinstance(workload.shape, ConvShape) and workload.shape.kernel == workload.shape.depth == 1:
        shape = ConvShape(batch=1, channels=k, filters=64, height=16, width=16, kernel=1, padding=0)
    else:
        shape = ConvShape(batch=1, channels=channels, filters=64, height=18, width=18, kernel=3, padding=0)
    return replace(workload, form=form, shape=shape)


def exact_workload(workload: Workload) -> Workload:
    """A deep graph's single layer on exact operands: what is held against the right result with ==."""
    return replace(workload, shape=replace(workload.shape, depth=1, streams=1))
