"""What the tests of this room share."""

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import pytest
import workload_cases

from bench.terms import Workload


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """Without it the test skips, naming the command, and fails where CI=true."""
    if find_spec("torch") is None:
        reason = "torch is not installed: pip install 'compute-evidence[measure]'"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return import_module("torch")


@pytest.fixture
def gemm() -> Workload:
    return workload_cases.workload(workload_cases.FORMS["fp32"], workload_cases.SMALL_GEMM)


@pytest.fixture
def conv() -> Workload:
    return workload_cases.workload(workload_cases.FORMS["fp32"], workload_cases.SMALL_CONV)
