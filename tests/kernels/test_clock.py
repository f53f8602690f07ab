"""The clock of this machine's cores, measured for real wherever numba is installed."""

import os
import sys
import threading

import pytest

from bench.devices import cpu
from bench.errors import CannotMeasure
from bench.judge import ceiling, microarchitecture
from bench.terms import Device
from bench.workload.registry import clock_chain

CHAIN = clock_chain()
CPUS = tuple(sorted(cpu.affinity_here()))

# What no processor's multiplier is outside of: links per second at 0.5 GHz and 5 cycles, at 8 GHz and 2.
SLOWEST, FASTEST = 1e8, 4e9


@pytest.fixture(autouse=True)
def _installed() -> None:
    if missing := CHAIN.unavailable():
        pytest.skip(missing.detail)


@pytest.fixture
def device() -> Device:
    (found,) = cpu.inventory(cpu.affinity_here()).devices
    return found


def test_the_chain_names_itself_and_the_library_that_compiled_it() -> None:
    name, library = CHAIN.compile()
    assert name.startswith("imul-chain")
    assert library.startswith("numba ")


def test_each_cpu_has_its_links_per_second() -> None:
    links = CHAIN.multiplies_per_s(CPUS)
    assert len(links) == len(CPUS)
    assert all(isinstance(value, int) and SLOWEST < value < FASTEST for value in links)


def test_one_cpu_alone_is_measured_alone() -> None:
    assert len(CHAIN.multiplies_per_s(CPUS[:1])) == 1


def test_the_clock_of_a_known_microarchitecture_is_a_clock(device: Device) -> None:
    if microarchitecture.match(device) is None:
        pytest.skip("no profile in profiles/arch fits this processor")
    hertz = ceiling.clocks_hz(device, CHAIN.multiplies_per_s(CPUS[:1]))
    assert 0.5e9 < hertz[0] < 8e9


def test_two_readings_agree_within_a_factor_of_two() -> None:
    """A busy machine may slow every burst of one; a folded chain would differ by powers of ten."""
    first, second = (max(CHAIN.multiplies_per_s(CPUS)) for _ in range(2))
    assert 0.5 < first / second < 2


def test_measuring_leaves_threads_and_affinity_as_they_were() -> None:
    before, threads = os.sched_getaffinity(0), threading.active_count()
    CHAIN.multiplies_per_s(CPUS)
    assert (os.sched_getaffinity(0), threading.active_count()) == (before, threads)


def test_a_cpu_that_is_not_there_cannot_be_measured() -> None:
    with pytest.raises(CannotMeasure, match="no thread may run on CPU 1000000"):
        CHAIN.multiplies_per_s((1_000_000,))


def test_a_pass_is_sixteen_squarings_in_assembly_and_compiled() -> None:
    """Three is squared until few of its bits are left alone: one link more or less gives another number."""
    numba = pytest.importorskip("numba")
    clock = sys.modules[type(CHAIN).__module__]
    forms = [clock._squares]
    if clock._compiled()[1]:
        wide = clock._wide_squares()
        forms.append(lambda x, passes: wide(x, passes))
    for form in forms:
        assert numba.njit("uint64(uint64, int64)")(form)(3, 1) == pow(3, 2**16, 2**64)
