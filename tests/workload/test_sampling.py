"""Which samples run on real-valued operands, and how many outputs are compared: the nonce alone decides."""

import numpy as np
import pytest
import workload_cases
from workload_cases import FORMS, SMALL_GEMM

from bench.workload import operands, sampling
from bench.workload.accuracy import choose_place

FP32 = workload_cases.workload(FORMS["fp32"], SMALL_GEMM)
INT8 = workload_cases.workload(FORMS["int8"], SMALL_GEMM)


@pytest.mark.parametrize(
    "lengths", [[], [0], [1], [7, 8, 9], [8] * 5, [45] * 6, [0, 100, 0, 3], [3000]], ids=str
)
@pytest.mark.parametrize("seed", ["00" * 32, "5eed" * 16, "ff" * 32])
def test_all_at_once_are_those_one_by_one(lengths: list[int], seed: str) -> None:
    workload = workload_cases.workload(FORMS["fp32"], SMALL_GEMM, seed=seed)
    one_by_one = [
        [int(sampling.runs_on_reals(workload, visit, index)) for index in range(length)]
        for visit, length in enumerate(lengths)
    ]
    assert sampling.all_on_reals(workload, lengths) == one_by_one


def test_each_group_of_eight_has_one_on_real_valued_operands() -> None:
    for visit in sampling.all_on_reals(FP32, [80] * 5):
        assert [sum(visit[first : first + 8]) for first in range(0, 80, 8)] == [1] * 10


def test_integers_have_none() -> None:
    assert sampling.all_on_reals(INT8, [9, 0, 2]) == [[0] * 9, [], [0] * 2]


@pytest.mark.parametrize("bound", [1, 2, 8, 1000, 2**31 - 1])
def test_a_series_is_the_integers_drawn_one_by_one(bound: int) -> None:
    indices = np.array([0, 1, 7, 65536, 2**33 + 5], dtype=np.int64)
    series = operands.random_series(FP32, "real", indices, bound)
    assert series.tolist() == [operands.random_below(FP32, "real", int(i), (bound,))[0] for i in indices]


def test_counts_are_those_of_the_blocks_that_are_looked_at() -> None:
    def outputs(size: int) -> int:
        place = choose_place(FP32, "test", 0, offset=0, real=True, size=size)
        return len(place.rows) * len(place.columns)

    before, probe = outputs(sampling.BEFORE), outputs(sampling.PROBE)
    counts = sampling.Counts
    assert sampling.before_counts(FP32) == counts(launches=6, compared=3 * before, real_compared=3 * before)
    assert sampling.before_counts(INT8) == counts(launches=3, compared=3 * before, real_compared=0)
    assert sampling.probe_counts(FP32) == counts(launches=1, compared=0, real_compared=probe)
    assert sampling.probe_counts(INT8) == counts(launches=1, compared=probe, real_compared=0)
    exact, real = outputs(sampling.TIMED_EXACT), outputs(sampling.TIMED_REAL)
    assert sampling.timed_counts([0, 1, 0]) == counts(launches=3, compared=2 * exact, real_compared=real)
    assert sampling.timed_counts([]) == counts(launches=0, compared=0, real_compared=0)
