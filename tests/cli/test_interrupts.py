"""What ends a run before its time: signals, twice or late, and defects. Nothing measured is lost."""

import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from scripted_device import (
    FP32,
    SMALL,
    ScriptedClock,
    ScriptedKernel,
    Watcher,
    constant,
    schedule,
    workload,
)

from bench import plan
from bench.cli import signals
from bench.cli.outcome import naming
from bench.cli.signals import stoppable
from bench.devices import cpu
from bench.errors import Interrupted
from bench.evidence import envelope, keys, statement
from bench.evidence.destination import Destination
from bench.judge import catalog
from bench.run import Run
from bench.terms import Envelope, Evidence
from bench.workload.ladder import Refinement

EARLIER = b"earlier evidence"
ROW = workload(FP32).row


def read(path: Path) -> Evidence:
    return statement.parse(envelope.parse(path.read_bytes()).payload)


@dataclass
class Scripted:
    """A run of one scripted row that writes to `file`; `watcher` and `kernel` say what happens in it."""

    run: Run
    kernel: ScriptedKernel
    watcher: Watcher
    file: Path

    @property
    def partial(self) -> Path:
        return self.file.with_name("run-partial.evidence.json")


NOT_REFINED = Refinement(dimensions=(), rounds=(), multiple=1, k_max=1 << 20)


class Watched(Watcher):
    """Also told of what belongs to no row."""

    def stage(self, words: str) -> None: ...


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    clock, watcher = ScriptedClock(), Watched()
    kernel = ScriptedKernel(clock=clock, script=constant(200_000))
    made = plan.make(
        devices=cpu.inventory(cpu.affinity_here()).devices,
        precisions=("fp32",),
        claims=(),
        rules=catalog.rules("tw-ai-hardware-2024"),
        quick=True,
        limit_s=None,
        nonce=workload(FP32).seed,
        room=1 << 40,
    )
    row = plan.PlannedRow(
        workload=workload(FP32),
        device=made.devices[0],
        ladder=(SMALL,),
        refinement=NOT_REFINED,
        threads=1,
        unavailable=None,
    )
    file = tmp_path / "run.evidence.json"
    run = Run(
        plan=replace(made, rows=(row,), schedule=schedule()),
        key=keys.new(tmp_path / "key", None),
        to=Destination(output=file, folder=tmp_path, stem="unnamed"),
        clock=clock,
        progress=watcher,
        look_up=lambda _name: kernel,
    )
    return Scripted(run=run, kernel=kernel, watcher=watcher, file=file)


class Disturbed(Destination):
    """A signal comes while the last file is written."""

    def finish(self, signed: Envelope, *, whole: bool) -> Path:
        signal.raise_signal(signal.SIGINT)
        return Destination.finish(self, signed, whole=whole)


def disturbed(run: Run) -> None:
    run.to = Disturbed(output=run.to.output, folder=run.to.folder, stem=run.to.stem)


def pressing(*numbers: signal.Signals) -> Callable[[], None]:
    def press() -> None:
        for number in numbers:
            signal.raise_signal(number)

    return press


# ------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_once_and_another_leaves_the_unwinding_alone(number: signal.Signals) -> None:
    with stoppable():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        signal.raise_signal(number)


def test_a_signal_works_again_where_a_library_swallowed_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_UNWINDING_S", 0.0)
    with stoppable():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_a_signal_waits_while_evidence_is_written() -> None:
    with stoppable() as stop:
        stop.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            stop.release()


def test_handlers_are_put_back_and_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        own = signal.getsignal(signal.SIGINT)
        with stoppable():
            assert signal.getsignal(signal.SIGINT) is not own
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_pressed_again_and_again_it_keeps_what_was_measured(
    scripted: Scripted, number: signal.Signals
) -> None:
    scripted.watcher.when["measure", 3] = pressing(number)
    disturbed(scripted.run)
    with stoppable() as stop:
        scripted.run.hold = stop.hold
        with pytest.raises(Interrupted, match=f"what was measured is in {scripted.file}"):
            scripted.run()
    evidence = read(scripted.file)
    assert evidence.interrupted
    assert len(evidence.measurements[0].visits) == 3
    assert not scripted.partial.exists()


def test_a_signal_after_measuring_does_not_lose_or_mark_the_evidence(scripted: Scripted) -> None:
    disturbed(scripted.run)
    with stoppable() as stop:
        scripted.run.hold = stop.hold
        path, evidence, _ = scripted.run()
        assert read(path) == evidence
        assert not evidence.interrupted
        with (
            pytest.raises(Interrupted, match=f"after measuring; the evidence is in {path}"),
            naming(path, after="measuring"),
        ):
            stop.release()


# ------------------------------------------------------------------------------------------- defects


def test_a_defect_goes_up_after_what_was_measured_is_saved(scripted: Scripted) -> None:
    def defect() -> None:
        raise ZeroDivisionError("a defect of ours")

    scripted.watcher.when["measure", 3] = defect
    with pytest.raises(ZeroDivisionError) as raised:
        scripted.run()
    assert raised.value.__notes__ == [f"What was measured is in {scripted.file}."]
    evidence = read(scripted.file)
    assert evidence.interrupted
    assert sum(bool(visit.samples) for visit in evidence.measurements[0].visits) == 2


def test_what_fails_after_measuring_says_where_the_evidence_lies() -> None:
    with pytest.raises(ZeroDivisionError) as raised, naming(Path("run.evidence.json"), after="measuring"):
        raise ZeroDivisionError
    assert raised.value.__notes__ == ["The evidence is in run.evidence.json."]


# --------------------------------------------------------------------------------- the output asked for


def test_earlier_evidence_stays_until_the_run_has_ended(scripted: Scripted) -> None:
    scripted.file.write_bytes(EARLIER)
    seen: list[bytes] = []
    scripted.watcher.when["measure", 5] = lambda: seen.append(scripted.file.read_bytes())
    path, evidence, _ = scripted.run()
    assert seen == [EARLIER]
    assert path == scripted.file
    assert read(path) == evidence
    assert not scripted.partial.exists()


def test_an_interrupted_run_does_not_replace_earlier_evidence(scripted: Scripted) -> None:
    scripted.file.write_bytes(EARLIER)
    scripted.watcher.when["measure", 3] = pressing(signal.SIGINT)
    with stoppable(), pytest.raises(Interrupted, match=str(scripted.partial)):
        scripted.run()
    assert scripted.file.read_bytes() == EARLIER
    assert read(scripted.partial).interrupted


@pytest.mark.parametrize(
    ("output", "partial"),
    [
        ("run.evidence.json", "run-partial.evidence.json"),
        ("run.json", "run-partial.json"),
        ("run", "run-partial"),
        (".json", "-partial.json"),
    ],
)
def test_what_is_saved_meanwhile_has_a_name_of_its_own(output: str, partial: str) -> None:
    to = Destination(output=Path("folder") / output, folder=Path("results"), stem="unnamed")
    assert to.partial == Path("folder") / partial


def test_a_place_that_is_gone_at_the_end_is_told_beside_the_defect(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = tmp_path / "gone" / "run.evidence.json"
    gone.parent.mkdir()
    scripted.run.to = replace(scripted.run.to, output=gone)

    def defect() -> None:
        shutil.rmtree(gone.parent)
        raise ZeroDivisionError

    scripted.watcher.when["measure", 3] = defect
    with pytest.raises(ZeroDivisionError) as raised:
        scripted.run()
    (note,) = raised.value.__notes__
    (spare,) = tmp_path.glob("*.evidence.json")
    assert note.startswith(f"cannot write {gone}: ")
    assert note.endswith(f"What was measured is in {spare}.")
    assert read(spare).interrupted
