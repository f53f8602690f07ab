"""The 2:4 pattern of a sparse first operand: two of each four, chosen evenly, the same for everyone."""

import math
from collections import Counter
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from workload_cases import FORMS, workload

from bench.terms import SPARSE_LAYOUT, GemmShape, Workload
from bench.workload import accuracy, operands
from bench.workload.operands import Library

DENSE = [workload(FORMS[name], GemmShape(m=300, n=24, k=516)) for name in ("bf16", "int8")]
each_row = pytest.mark.parametrize("dense", DENSE, ids=lambda row: row.precision)


def sparse(dense: Workload) -> Workload:
    return replace(dense, form=replace(dense.form, layout=SPARSE_LAYOUT))


@each_row
def test_what_is_kept_is_what_the_dense_operand_holds_there(dense: Workload) -> None:
    thin, whole = (operands.pool(row, "a", real=False) for row in (sparse(dense), dense))
    assert np.array_equal(thin[thin != 0], whole[thin != 0])
    assert np.array_equal(
        operands.pool(sparse(dense), "b", real=False), operands.pool(dense, "b", real=False)
    )


@each_row
def test_each_of_the_six_patterns_comes_equally_often(dense: Workload) -> None:
    # Values of one sign, none of which is zero.
    row = sparse(replace(dense, form=replace(dense.form, operand_set="int8-same-sign")))
    kept = operands.pool(row, "a", real=False).reshape(-1, 4) != 0
    seen = Counter(map(tuple, kept.tolist()))
    assert {sum(pattern) for pattern in seen} == {2}
    expected = len(kept) / 6
    assert len(seen) == 6
    assert all(abs(count - expected) < 5 * math.sqrt(expected * 5 / 6) for count in seen.values())


@each_row
def test_single_elements_are_those_of_the_pool(dense: Workload) -> None:
    row = sparse(dense)
    pool = operands.pool(row, "a", real=False)
    rows, columns = np.arange(7, 90).reshape(-1, 1), np.arange(3, 515)
    assert np.array_equal(operands.values(row, "a", rows, columns, real=False), pool[7:90, 3:515])


@each_row
def test_rows_at_their_own_offsets_are_those_of_the_pool(dense: Workload) -> None:
    row = sparse(dense)
    pool = operands.pool(row, "a", real=False)
    rows, offsets = np.array([0, 5, 299]), np.array([8, 0, 120])
    assert np.array_equal(accuracy.first_rows(row, rows, offsets), pool[rows + offsets])


@each_row
def test_torch_and_numpy_thin_alike(dense: Workload, torch: ModuleType) -> None:
    row = sparse(dense)
    library = Library(arange=torch.arange, float64=lambda array: array.to(torch.float64), block=1 << 10)
    for real in {False, operands.has_reals(row)}:
        theirs = operands.pool(row, "a", real=real)
        ours = torch.empty(theirs.shape, dtype=torch.int8 if row.precision == "int8" else torch.float32)
        operands.put(ours, row, "a", real=real, library=library)
        assert np.array_equal(ours.numpy(), theirs)


@each_row
def test_few_offsets_come_round_as_each_is_compressed_by_itself(dense: Workload) -> None:
    assert len({*operands.offsets(dense)}) == operands.OFFSETS
    assert operands.offsets(sparse(dense)) == operands.offsets(dense)[:4] * 4
