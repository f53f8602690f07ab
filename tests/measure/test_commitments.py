"""What the loop commits: the outputs of the launches that the samples say were the last of their windows."""

from dataclasses import replace

import pytest
from scripted_device import (
    FP32,
    INT8,
    ScriptedClock,
    ScriptedKernel,
    Watcher,
    constant,
    loop,
    row,
    run_rows,
)

from bench.measure.row import Row
from bench.terms import Form
from bench.workload import openings, operands


def measured(form: Form = FP32, *, commits: bool = True, hold_ns: int = 0) -> tuple[Row, ScriptedKernel]:
    clock = ScriptedClock()
    kernel = ScriptedKernel(clock=clock, script=constant(100_000))
    the_row = row(kernel, form)
    the_loop = loop(clock, hold_ns=hold_ns)
    the_loop.commits = commits
    run_rows(the_loop, [the_row])
    the_loop.close([the_row])
    return the_row, kernel


@pytest.mark.parametrize("hold_ns", [0, 400_000_000])
def test_the_first_and_the_latest_exact_window_are_committed(hold_ns: int) -> None:
    the_row, _ = measured(hold_ns=hold_ns)
    stays = the_row.measurement().stays
    assert len(stays) == len(the_row.visits) + (hold_ns > 0)
    assert tuple(the_row.committed) == openings.committed_stays(stays)
    assert len(the_row.committed) == 2


@pytest.mark.parametrize("form", [FP32, INT8], ids=["fp32", "int8"])
@pytest.mark.parametrize("hold_ns", [0, 400_000_000])
def test_what_was_committed_is_right_for_the_launches_that_the_samples_tell(form: Form, hold_ns: int) -> None:
    the_row, _ = measured(form, hold_ns=hold_ns)
    opening = openings.open_rows(the_row.workload, the_row.measurement().stays, the_row.committed, 0.05)
    assert opening.reason is None


def test_the_operands_of_the_last_launch_follow_from_the_samples() -> None:
    clock = ScriptedClock()
    kernel = ScriptedKernel(clock=clock, script=constant(300_000))
    the_row = row(kernel)
    watcher, seen = Watcher(), []
    the_loop = loop(clock, watcher)
    the_loop.after_visit = lambda _schedule: seen.append(kernel.launched[-1][0])
    run_rows(the_loop, [the_row])
    found = openings.last_launches(the_row.measurement().stays)
    assert found == seen
    assert len({*found}) > 1
    assert max(found) < operands.OFFSETS


def test_nothing_is_committed_where_nobody_asked() -> None:
    the_row, _ = measured(commits=False)
    assert the_row.committed == {}


def test_a_launch_left_out_of_a_sample_is_not_hidden() -> None:
    """The kernel computes a launch less than is told: its last output is that of other operands."""
    the_row, _ = measured()
    first, *others = the_row.measurement().stays
    samples = (replace(first.samples[0], launches=first.samples[0].launches + 2), *first.samples[1:])
    told = (replace(first, samples=samples), *others)
    assert openings.open_rows(the_row.workload, told, the_row.committed, 0.05).reason is not None
