"""Which launches are looked at, where and on what operands: decided by the nonce, the same for everyone."""

from dataclasses import replace

from bench.terms import ConvShape, GemmShape, Shape, Workload
from bench.workload import accuracy, operands
from bench.workload.accuracy import Place

# Outputs compared per launch, as a block of n x 2n: before timing, in the untimed probe, and of each
# timed sample on exact and on real-valued operands.
BEFORE, PROBE, TIMED_EXACT, TIMED_REAL = 8, 16, 2, 3
BEFORE_LAUNCHES = 3

# One timed sample in this many runs on real-valued operands, its place in each group chosen by the nonce.
REAL_SHARE = 8
# Groups of samples in a visit, at most: the visits' groups are numbered apart.
_MOST_GROUPS = 1 << 16


def runs_on_reals(workload: Workload, visit: int, index: int) -> bool:
    """Whether the index-th measured sample of a visit (both from 0) runs on real-valued operands.

    Groups begin anew with each visit, so that a visit of REAL_SHARE samples has one.
    """
    if not operands.has_reals(workload):
        return False
    group = visit * _MOST_GROUPS + index // REAL_SHARE
    return operands.random_below(workload, "real", group, (REAL_SHARE,))[0] == index % REAL_SHARE


def timed_place(workload: Workload, index: int, *, offset: int, real: bool) -> Place:
    """Where the index-th timed sample's last launch is looked at."""
    size = TIMED_REAL if real else TIMED_EXACT
    return accuracy.choose_place(workload, "timed", index, offset=offset, real=real, size=size)


def untimed_place(workload: Workload, purpose: str, index: int, *, real: bool, size: int) -> Place:
    """Where the index-th launch of a check or probe is looked at; it runs on the index-th operands."""
    offset = operands.offsets(workload)[index]
    return accuracy.choose_place(workload, purpose, index, offset=offset, real=real, size=size)


def probe_workload(workload: Workload) -> Workload:
    """The untimed probe's workload: K = 1024 real-valued operands, or K of 2048 and more same-sign integers.

    256 x 256 outputs, or an 18 x 18 image whose channels give about that K.
    """
    integer = not operands.has_reals(workload)
    form = workload.form
    if integer and not form.requantised and form.operand_set == "int8":
        form = replace(form, operand_set="int8-same-sign")
    shape: Shape
    if workload.operation == "gemm":
        shape = GemmShape(m=256, n=256, k=2048 if integer else 1024)
    else:
        channels = 256 if integer else 112
        shape = ConvShape(batch=1, channels=channels, filters=64, height=18, width=18, kernel=3, padding=0)
    return replace(workload, form=form, shape=shape)
