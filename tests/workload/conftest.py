"""What the tests of this room share."""

import pytest
import workload_cases

from bench.terms import Workload


@pytest.fixture
def gemm() -> Workload:
    return workload_cases.workload(workload_cases.FORMS["fp32"], workload_cases.SMALL_GEMM)


@pytest.fixture
def conv() -> Workload:
    return workload_cases.workload(workload_cases.FORMS["fp32"], workload_cases.SMALL_CONV)
