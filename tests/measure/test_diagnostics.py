"""Diagnoses of scripted rows, whose rates change with the condition as the script says, and of real ones."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import scripted_device as scripted
from scripted_device import INT8, MS, Launch, ScriptedClock, ScriptedKernel

from bench.devices.clock import HostClock
from bench.devices.cpu import FAMILY
from bench.measure import diagnostics
from bench.measure.row import Row
from bench.terms import Device, Diagnostic, Fact, GemmShape, Pair, Visit, Workload
from bench.units import NS_PER_S
from bench.workload import operands, registry

# A launch of 0.1 ms: probes of many launches.
LAUNCH = 100_000
CPUS = sorted(os.sched_getaffinity(0))
needs_two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="this process may run on one CPU only")


def nothing() -> None: ...


@dataclass(slots=True, kw_only=True)
class Machine:
    """A row of a scripted kernel and one of another backend, both measured, on one clock."""

    clock: ScriptedClock = field(default_factory=ScriptedClock)
    log: list[str] = field(default_factory=list)
    flush: Callable[[], None] | str = nothing

    def kernel(self, name: str, ns: Callable[[Launch], int]) -> ScriptedKernel:
        def script(launch: Launch) -> int:
            self.log.append(f"{name} {launch.operand_set} {launch.threads}")
            return ns(launch)

        return ScriptedKernel(clock=self.clock, script=script, name=name)

    def measured(self, kernel: ScriptedKernel, *, threads: int = 2) -> Row:
        row = scripted.row(kernel)
        row.threads = threads
        scripted.run_rows(scripted.loop(self.clock), [row])
        self.log.clear()
        return row

    def diagnose(self, row: Row, *others: Row, budget_ns: int = NS_PER_S) -> dict[str, Diagnostic]:
        """By name; of several placements the last."""
        found = diagnostics.diagnose(row, (row, *others), self.clock, budget_ns, self.flush)
        return {diagnostic.name: diagnostic for diagnostic in found}


@pytest.fixture
def machine() -> Machine:
    return Machine()


def steady(_launch: Launch) -> int:
    return LAUNCH


def ratios(diagnostic: Diagnostic) -> set[float]:
    """What each pair says of the rate, to three digits."""
    assert diagnostic.reason is None, diagnostic
    return {round(pair.usual_ns / pair.other_ns, 3) for pair in diagnostic.pairs}


# ------------------------------------------------------------------------------------- the conditions


def test_a_steady_row_shows_no_condition_at_all(machine: Machine) -> None:
    found = machine.diagnose(
        machine.measured(machine.kernel("one", steady)), machine.measured(machine.kernel("two", steady))
    )
    found.pop("placement")
    assert list(found) == ["zeros", "one-thread", "other-pool", "cold-caches"]
    assert all(ratios(diagnostic) == {1.0} for diagnostic in found.values())


def test_zeros_that_run_faster_are_seen(machine: Machine) -> None:
    kernel = machine.kernel(
        "one", lambda launch: LAUNCH * 4 // 5 if launch.operand_set == "zeros" else LAUNCH
    )
    found = machine.diagnose(machine.measured(kernel))
    assert ratios(found["zeros"]) == {1.25}
    assert ratios(found["one-thread"]) == {1.0}


def test_one_thread_is_held_against_all_of_them(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", lambda launch: 2 * LAUNCH // launch.threads), threads=2)
    found = machine.diagnose(row)
    assert ratios(found["one-thread"]) == {0.5}
    assert ratios(found["zeros"]) == ratios(found["cold-caches"]) == {1.0}


@needs_two_cpus
def test_a_slow_cpu_is_named(machine: Machine) -> None:
    def ns(_launch: Launch) -> int:
        return 2 * LAUNCH if os.sched_getaffinity(0) == {CPUS[-1]} else LAUNCH

    found = machine.diagnose(machine.measured(machine.kernel("one", ns)))
    number = min(len(CPUS), 4)
    last = CPUS[(number - 1) * len(CPUS) // number]
    assert found["placement"].detail == f"cpu {last}"
    assert ratios(found["placement"]) == ({0.5} if last == CPUS[-1] else {1.0})


@needs_two_cpus
def test_placements_are_those_of_one_thread_on_each_of_up_to_three_other_cpus(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", steady))
    found = diagnostics.diagnose(row, [row], machine.clock, NS_PER_S, nothing)
    places = [diagnostic for diagnostic in found if diagnostic.name == "placement"]
    assert len(places) == min(len(CPUS), 4) - 1
    assert all(place.pairs for place in places)


def test_the_first_launches_after_another_backend_are_held_against_settled_ones(machine: Machine) -> None:
    left: list[int] = []

    def own(_launch: Launch) -> int:
        # For 60 ms after the other backend ran, this one has half of the processor.
        return 2 * LAUNCH if left and machine.clock.now_ns - left[-1] < 60 * MS else LAUNCH

    def rival(_launch: Launch) -> int:
        left.append(machine.clock.now_ns)
        return LAUNCH

    row, other = machine.measured(machine.kernel("one", own)), machine.measured(machine.kernel("two", rival))
    found = machine.diagnose(row, other)
    assert ratios(found["other-pool"]) == {0.5}
    assert ratios(found["cold-caches"]) == {1.0}


def test_cold_operands_are_held_against_the_same_launch_again(machine: Machine) -> None:
    cold: list[bool] = []

    def ns(launch: Launch) -> int:
        if launch.operand_set == "zeros" or not cold:
            return LAUNCH
        cold.clear()
        return 4 * LAUNCH

    def flush() -> None:
        cold.append(True)
        machine.clock.advance(10 * MS)

    machine.flush = flush
    found = machine.diagnose(machine.measured(machine.kernel("one", ns)))
    assert ratios(found["cold-caches"]) == {0.25}


# ----------------------------------------------------------------------------------- how it is probed


def test_usual_and_changed_probes_take_turns(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", steady))
    found = machine.diagnose(row)
    until = machine.log.index("one fp32 1")
    turns = [
        line for line, before in zip(machine.log[:until], ["", *machine.log], strict=False) if line != before
    ]
    # Two launches of each to fit the probes come before, the settling of one thread's operands after.
    pairs = len(found["zeros"].pairs)
    assert turns[: 2 * pairs] == ["one fp32 2", "one zeros 2"] * pairs


def test_quick_launches_get_many_pairs_and_slow_ones_three_at_least(machine: Machine) -> None:
    quick = machine.diagnose(machine.measured(machine.kernel("one", steady)))
    assert 5 <= len(quick["zeros"].pairs) <= 9
    slow = machine.measured(machine.kernel("two", lambda _launch: 20 * MS))
    assert len(machine.diagnose(slow)["zeros"].pairs) == 3


def test_launches_that_no_budget_holds_are_not_begun(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", steady))
    row.launch_ns = 10.0 * NS_PER_S
    found = machine.diagnose(row, machine.measured(machine.kernel("two", steady)))
    found.pop("placement")
    assert {diagnostic.reason for diagnostic in found.values()} == {"too-slow"}
    assert machine.log == []


def test_caches_that_take_too_long_to_empty_are_left_alone(machine: Machine) -> None:
    machine.flush = lambda: machine.clock.advance(NS_PER_S)
    found = machine.diagnose(machine.measured(machine.kernel("one", steady)))
    assert found["cold-caches"].reason == "too-slow"


@pytest.mark.parametrize("launch_ns", [20_000, LAUNCH, MS, 5 * MS, 50 * MS, 500 * MS])
def test_a_diagnosis_ends_soon_after_its_budget(machine: Machine, launch_ns: int) -> None:
    row, other = (
        machine.measured(machine.kernel(name, lambda _launch: launch_ns)) for name in ("one", "two")
    )
    begun = machine.clock.now_ns
    machine.diagnose(row, other)
    assert machine.clock.now_ns - begun < 1.5 * NS_PER_S


# -------------------------------------------------------------------------------------------- reasons


def test_a_row_that_was_not_measured_has_no_diagnosis(machine: Machine) -> None:
    assert machine.diagnose(scripted.row(machine.kernel("one", steady))) == {}


def test_a_row_of_one_thread_has_no_other(machine: Machine) -> None:
    found = machine.diagnose(machine.measured(machine.kernel("one", steady), threads=1))
    assert found["one-thread"].reason == "one-thread-only"


def test_a_run_of_one_backend_has_no_other_pool(machine: Machine) -> None:
    kernel = machine.kernel("one", steady)
    found = machine.diagnose(machine.measured(kernel), machine.measured(kernel))
    assert found["other-pool"].reason == "one-backend"


def test_a_process_of_one_cpu_has_no_other_place(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", steady))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CPUS[0]})
    try:
        found = machine.diagnose(row)
    finally:
        os.sched_setaffinity(0, before)
    assert (found["placement"].reason, found["placement"].detail) == ("one-cpu-only", f"cpu {CPUS[0]}")


def test_caches_that_cannot_be_emptied_give_their_reason(machine: Machine) -> None:
    machine.flush = "caches-unknown"
    found = machine.diagnose(machine.measured(machine.kernel("one", steady)))
    assert found["cold-caches"].reason == "caches-unknown"


def test_a_refusal_is_told_in_the_backends_words_and_the_rest_goes_on(machine: Machine) -> None:
    kernel = machine.kernel("one", steady)
    row = machine.measured(kernel)

    def refuses(workload: Workload) -> str | None:
        return "no zeros today" if workload.form.operand_set == "zeros" else None

    kernel.refuses = refuses
    found = machine.diagnose(row)
    assert (found["zeros"].reason, found["zeros"].detail) == ("backend-refused", "no zeros today")
    assert found["one-thread"].reason is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("gone"), "backend-failed"),
        (MemoryError(), "no-memory"),
        (PermissionError("no"), "not-permitted"),
    ],
)
def test_a_failing_launch_is_a_reason(machine: Machine, error: Exception, reason: str) -> None:
    kernel = machine.kernel("one", steady)
    row = machine.measured(kernel)
    kernel.fail_after(3, error)
    found = machine.diagnose(row)
    assert (found["zeros"].reason, found["zeros"].pairs) == (reason, ())
    assert found["one-thread"].reason is None


def test_a_clock_that_stands_still_is_a_reason(machine: Machine) -> None:
    row = machine.measured(machine.kernel("one", lambda _launch: LAUNCH))
    machine.clock.host = 0.0
    assert "stood still" in machine.diagnose(row)["zeros"].detail


# -------------------------------------------------------------------------------------- what it leaves


def test_threads_and_operands_are_left_as_they_were(machine: Machine) -> None:
    kernel = machine.kernel("one", steady)
    row = machine.measured(kernel)
    live = kernel.live
    machine.diagnose(row, machine.measured(machine.kernel("two", steady)))
    assert (kernel.threads, kernel.live) == (2, live)
    assert row.prepared is not None


def test_an_interrupt_passes_through_and_leaves_affinity_and_threads(machine: Machine) -> None:
    def ns(_launch: Launch) -> int:
        if len(os.sched_getaffinity(0)) < len(CPUS):
            raise KeyboardInterrupt
        return LAUNCH

    kernel = machine.kernel("one", ns)
    row = machine.measured(kernel)
    if len(CPUS) < 2:
        pytest.skip("this process may run on one CPU only")
    with pytest.raises(KeyboardInterrupt):
        machine.diagnose(row)
    assert sorted(os.sched_getaffinity(0)) == CPUS
    assert kernel.threads == 2


def test_a_row_whose_operands_are_gone_is_prepared_again(machine: Machine) -> None:
    kernel = machine.kernel("one", steady)
    row = machine.measured(kernel)
    row.close()
    assert ratios(machine.diagnose(row)["zeros"]) == {1.0}
    assert kernel.live == 0


# ------------------------------------------------------------------------------------ emptied caches


def processor(**caches: int) -> Device:
    facts = tuple(
        Fact(name=f"{level}-cache-bytes", value=size, source="script") for level, size in caches.items()
    )
    return Device(selector="cpu", family="cpu", kind="cpu", name="Scripted", vendor=None, facts=facts)


def test_caches_are_emptied_from_every_cpu_which_are_then_free_again() -> None:
    flush = diagnostics.flusher(processor(l2=1 << 16, l3=1 << 20), 1 << 30)
    assert callable(flush)
    flush()
    assert sorted(os.sched_getaffinity(0)) == CPUS


def test_unknown_caches_and_too_little_memory_are_reasons() -> None:
    assert diagnostics.flusher(processor(), 1 << 40) == "caches-unknown"
    assert diagnostics.flusher(processor(l3=1 << 20), (1 << 21) - 1) == "no-memory"
    assert diagnostics.flusher(processor(l3=1 << 50), 1 << 60) == "no-memory"


# ---------------------------------------------------------------------------------- operands of zeros


@pytest.mark.parametrize("form", [form for kernel in registry.kernels().values() for form in kernel.forms])
def test_zeros_are_zero_in_every_form_and_no_form_is_measured_on_them(form: object) -> None:
    assert form.operand_set != operands.ZEROS  # type: ignore[attr-defined]
    zeros = replace(form, operand_set=operands.ZEROS)  # type: ignore[type-var]
    workload = scripted.workload(zeros, shape=GemmShape(m=3, n=5, k=7))
    for which, element in (("a", zeros.a), ("b", zeros.b)):  # type: ignore[attr-defined]
        assert np.all(operands.pool(workload, which, real=False) == (128 if element == "u8" else 0))
    assert not operands.has_reals(workload)


def test_zeros_are_no_operand_set_that_a_row_could_have() -> None:
    assert operands.ZEROS not in operands.OPERAND_SETS
    assert operands.has_reals(scripted.workload()) != operands.has_reals(scripted.workload(INT8))


# ---------------------------------------------------------------------------------------- real kernels


def real_row(name: str, threads: int) -> Row:
    kernel = registry.kernel(name)
    workload = Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=kernel.forms[0],
        shape=GemmShape(m=256, n=256, k=256),
        seed="c0ffee00" * 8,
    )
    row = Row(
        workload=workload,
        kernel=kernel,
        ladder=(),
        device=scripted.device(),
        threads=threads,
        launch_ns=1.0 * MS,
    )
    row.visits.append(
        Visit(settle=(), settle_ended="settled", samples=(), device_ns=(), clocks_hz=(), ended="window-full")
    )
    return row


def test_real_backends_are_probed_and_get_their_threads_back() -> None:
    torch = pytest.importorskip("torch")
    # ONNX Runtime's pool is sized once in a process, as the other tests ask for.
    threads = next((device.fact("threads-usable") for device in FAMILY.look().devices), 1)
    assert isinstance(threads, int)
    rows = [real_row("torch_gemm", threads), real_row("ort_gemm", threads)]
    flush = diagnostics.flusher(processor(l2=1 << 20), 1 << 30)
    for row in rows:
        # Time enough on a machine that does other things too; without them it takes a tenth of it.
        found = diagnostics.diagnose(row, rows, HostClock(), 20 * NS_PER_S, flush)
        reasons = {diagnostic.name: diagnostic.reason for diagnostic in found}
        assert reasons["zeros"] is reasons["other-pool"] is reasons["cold-caches"] is None
        if threads > 1:
            # All sessions of ONNX Runtime share one pool, of which no session has one thread alone.
            alone = None if row.workload.backend == "torch" else "backend-refused"
            assert reasons["one-thread"] == alone
        assert all(
            isinstance(pair, Pair) and min(pair.usual_ns, pair.other_ns) > 0
            for d in found
            for pair in d.pairs
        )
    assert torch.get_num_threads() == threads
    assert sorted(os.sched_getaffinity(0)) == CPUS
