"""A row through an execution provider whose admission no run could have written, signed again.

The run is a real one, through ONNX Runtime's own provider for processors.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import forging
import pytest
from forging import Answer, all_verified
from program import Made, Program

from bench.devices.ort import FAMILY
from bench.evidence.statement import parse
from bench.terms import Admission, Evidence, Fact, Measurement, Pair
from bench.workload.kernel import CPU_PROVIDER

Changes = dict[str, Any]
Change = Callable[[Evidence], Changes]

LACKS = "what admits it lacks a part, or holds a time that none has"
PLACED = "its nodes are not all placed where the row says that it ran"


@dataclass(frozen=True, kw_only=True)
class Unsound:
    """A change to the evidence, of which nothing else has to follow, and the words that refuse it."""

    name: str
    change: Change
    reason: str


def deep_row(evidence: Evidence) -> Measurement:
    """A row of several layers, all of them placed."""
    return next(m for m in evidence.measurements if m.admission and len(m.admission.placements) > 1)


def with_row(evidence: Evidence, row: Measurement) -> Changes:
    old = deep_row(evidence)
    return {"measurements": tuple(row if m is old else m for m in evidence.measurements)}


def admitted(**changes: Any) -> Change:
    """Change fields of what admits the row; a callable gets the admission."""

    def change(evidence: Evidence) -> Changes:
        row = deep_row(evidence)
        assert row.admission is not None
        new = {name: value(row.admission) if callable(value) else value for name, value in changes.items()}
        return with_row(evidence, replace(row, admission=replace(row.admission, **new)))

    return change


def not_admitted(evidence: Evidence) -> Changes:
    return with_row(evidence, replace(deep_row(evidence), admission=None))


def elsewhere(admission: Admission) -> tuple[object, ...]:
    first, *others = admission.placements
    return (replace(first, provider="QNNExecutionProvider"), *others)


def through_another_provider(evidence: Evidence) -> Changes:
    """All nodes as they were placed, and the device is said to be another provider's."""
    (device,) = evidence.devices
    facts = tuple(
        Fact(name="ep", value="QNNExecutionProvider", source=fact.source) if fact.name == "ep" else fact
        for fact in device.facts
    )
    return {"devices": (replace(device, facts=facts),)}


UNSOUND = (
    Unsound(
        name="a row that was visited and not admitted",
        change=not_admitted,
        reason="was visited without being admitted",
    ),
    Unsound(name="a graph without a digest", change=admitted(graph=""), reason=LACKS),
    Unsound(name="a graph by another kind of digest", change=admitted(graph="F" * 64), reason=LACKS),
    Unsound(name="no dispatch", change=admitted(dispatch_ns=()), reason=LACKS),
    Unsound(name="a dispatch of no time", change=admitted(dispatch_ns=(0,)), reason=LACKS),
    Unsound(name="no depths", change=admitted(depth_pairs=()), reason=LACKS),
    Unsound(
        name="a depth of no time", change=admitted(depth_pairs=(Pair(usual_ns=5, other_ns=0),)), reason=LACKS
    ),
    Unsound(
        name="a graph of negative time",
        change=admitted(depth_pairs=(Pair(usual_ns=-5, other_ns=5),)),
        reason=LACKS,
    ),
    Unsound(name="no times the work", change=admitted(times=0), reason=LACKS),
    Unsound(name="no processor and no reason", change=admitted(cpu_reason=None), reason=LACKS),
    Unsound(
        name="a processor and a reason",
        change=admitted(cpu_pairs=(Pair(usual_ns=5, other_ns=9),), cpu_reason="cpu-refused"),
        reason=LACKS,
    ),
    Unsound(
        name="a processor of no time",
        change=admitted(cpu_pairs=(Pair(usual_ns=5, other_ns=0),), cpu_reason=None),
        reason=LACKS,
    ),
    Unsound(name="no placement", change=admitted(placements=()), reason=PLACED),
    Unsound(name="a layer elsewhere", change=admitted(placements=elsewhere), reason=PLACED),
    Unsound(
        name="a layer that is not told of",
        change=admitted(placements=lambda admission: admission.placements[1:]),
        reason=PLACED,
    ),
    Unsound(
        name="a layer too many",
        change=admitted(placements=lambda admission: admission.placements + admission.placements[:1]),
        reason=PLACED,
    ),
    Unsound(name="another provider", change=through_another_provider, reason=PLACED),
)


@pytest.fixture(scope="module")
def through_provider(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One real smoke test in int8 through the provider for processors."""
    found = FAMILY.look()
    if not any(device.fact("ep") == CPU_PROVIDER for device in found.devices):
        pytest.skip("; ".join(why.detail for why in found.unavailable))
    folder = tmp_path_factory.mktemp("through-provider")
    program, file = Program(home=folder / "home", folder=folder), folder / "ort.evidence.json"
    said = program("run", "--quick", "--device", f"ort:{CPU_PROVIDER}", "--precision", "int8", "-o", file)
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


@pytest.fixture(scope="module")
def evidence(through_provider: Made) -> Evidence:
    return parse(through_provider.payload)


@pytest.fixture(scope="module")
def answers(
    through_provider: Made, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Answer]:
    """What one command said to all of them, and to the run's own file."""
    forged = {
        each.name: forging.built(through_provider, replace(evidence, **each.change(evidence)))
        for each in UNSOUND
    }
    genuine = {"genuine": through_provider.file.read_bytes()}
    return all_verified(through_provider, tmp_path_factory.mktemp("unsound"), genuine | forged)


def test_a_real_run_through_a_provider_verifies(answers: dict[str, Answer], evidence: Evidence) -> None:
    assert answers["genuine"][0] == 0, answers["genuine"]
    assert evidence.devices[0].family == "ort"
    row = deep_row(evidence)
    assert row.workload.shape.depth > 1
    assert row.admission is not None
    assert {placed.provider for placed in row.admission.placements} == {CPU_PROVIDER}


@pytest.mark.parametrize("each", UNSOUND, ids=lambda each: each.name.replace(" ", "-"))
def test_an_admission_that_no_run_writes_is_refused(answers: dict[str, Answer], each: Unsound) -> None:
    code, step, error = answers[each.name]
    assert (code, step) == (4, 6), error
    assert each.reason in error
