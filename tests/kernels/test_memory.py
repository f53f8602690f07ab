"""The bandwidth kernel with the real torch: what it counts, that it looks at its outputs, and its reasons."""

import sys
from collections.abc import Callable

import pytest
import torch

from bench.devices.clock import HostClock
from bench.devices.cpu import FAMILY
from bench.terms import Device, Transfer
from bench.units import NS_PER_S
from bench.workload import registry

SMALL, LARGE = 384 * 128, 384 * 65536
ROOM = 1 << 30
BANDWIDTH = registry.bandwidth()


@pytest.fixture(scope="module")
def device() -> Device:
    found = FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    return found.devices[0]


Runs = Callable[..., tuple[Transfer, ...]]


@pytest.fixture
def run(device: Device) -> Runs:
    threads = device.fact("threads-usable")
    assert isinstance(threads, int)

    def run(*sizes: int, room: int = ROOM, limit_ns: int = NS_PER_S) -> tuple[Transfer, ...]:
        return BANDWIDTH.run(device, threads, sizes, HostClock(), room, limit_ns)

    return run


def test_both_operations_run_at_each_size_in_turn(run: Runs, device: Device) -> None:
    transfers = run(SMALL, LARGE)
    assert [(t.operation, t.footprint_bytes) for t in transfers] == [
        ("copy", SMALL),
        ("triad", SMALL),
        ("copy", LARGE),
        ("triad", LARGE),
    ]
    assert {(t.device, t.reason) for t in transfers} == {(device.selector, None)}


def test_every_pass_is_long_enough_for_the_clock_and_there_are_three_at_least(run: Runs) -> None:
    # The passes' length is aimed at 8 ms by a doubling that another process may cut short. The clock reads
    # to some ten nanoseconds, so that a fortieth of that is still read to a part in ten thousand.
    for transfer in run(SMALL, LARGE):
        assert 3 <= len(transfer.passes) <= 16
        assert min(one.ns for one in transfer.passes) > 200_000


def test_a_pass_over_a_small_array_counts_all_its_repeats(run: Runs) -> None:
    for transfer in run(SMALL):
        repeats, rest = divmod(transfer.moved_bytes, transfer.footprint_bytes)
        assert repeats > 100
        assert rest == 0


def test_the_rate_is_one_that_memory_can_have(run: Runs) -> None:
    # From a single slow channel to far beyond what caches of two hundred cores give.
    for transfer in run(LARGE):
        assert 1e8 < transfer.moved_bytes * NS_PER_S / min(one.ns for one in transfer.passes) < 1e14


def test_what_exceeds_the_room_has_a_reason(run: Runs) -> None:
    small, large = run(SMALL, LARGE, room=LARGE - 1)[1:3]
    assert (small.reason, large.reason, large.passes) == (None, "no-memory", ())


def test_what_exceeds_the_time_has_a_reason(run: Runs) -> None:
    assert {transfer.reason for transfer in run(SMALL, limit_ns=-1)} == {"too-slow"}


def test_a_triad_that_computes_something_else_has_no_rate(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.add
    monkeypatch.setattr(torch, "add", lambda b, c, *, alpha, out: right(b, c, alpha=alpha + 1, out=out))
    copy, triad = run(SMALL)
    assert (copy.reason, triad.reason, triad.passes) == (None, "wrong-outputs", ())


def test_a_triad_that_is_left_out_after_the_first_has_no_rate(
    run: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, done = torch.add, []

    def once(b: torch.Tensor, c: torch.Tensor, *, alpha: float, out: torch.Tensor) -> None:
        if not done:
            right(b, c, alpha=alpha, out=out)
        done.append(1)

    monkeypatch.setattr(torch, "add", once)
    assert run(SMALL)[1].reason == "wrong-outputs"


def test_a_torch_that_fails_leaves_a_reason(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the driver is gone")

    monkeypatch.setattr(torch, "add", fail)
    assert [transfer.reason for transfer in run(SMALL)] == [None, "backend-failed"]


def test_memory_that_the_system_refuses_leaves_a_reason(run: Runs) -> None:
    # More than the 2^47 bytes that an address reaches.
    beyond = 384 * 2**40
    assert {t.reason for t in run(beyond, room=2 * beyond)} == {"no-memory"}


def test_without_torch_the_kernel_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    why = BANDWIDTH.unavailable()
    assert why is not None
    assert (why.subject, why.code) == ("torch", "not-installed")
