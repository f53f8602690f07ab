"""Evidence that no run could have made, signed again with all that honestly follows from it.

Its figures and its verdict are those of its samples, so that recomputing alone finds nothing: what is
refused here is at odds with the nonce, the ladder, the plan, or with the devices that it describes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import forging
import pytest
from forging import Answer, all_verified
from program import Made

import bench
from bench.evidence import soundness
from bench.evidence.statement import parse
from bench.judge import catalog
from bench.terms import (
    Check,
    ConvShape,
    Device,
    Diagnostic,
    Digest,
    Evidence,
    Fact,
    Finding,
    GemmShape,
    Level,
    Measurement,
    Meter,
    MeterReading,
    Pair,
    Pass,
    Sample,
    Sensor,
    Telemetry,
    Transfer,
    Trial,
    Visit,
)
from bench.workload import ladder, opcount, registry, sampling

Changes = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Unsound:
    """A change to the evidence from which everything else follows, and the words that refuse it."""

    name: str
    change: Callable[[Evidence], Changes]
    reason: str
    step: int = 6


# ------------------------------------------------------------------------------------ what is changed


def the_row(evidence: Evidence) -> int:
    """A GEMM in fp32 that was measured: it has real-valued operands, and torch runs it everywhere."""
    return next(i for i, m in enumerate(evidence.measurements) if m.workload.row == "torch_gemm/fp32/mm")


def with_row(evidence: Evidence, row: Measurement) -> Changes:
    rows = list(evidence.measurements)
    rows[the_row(evidence)] = row
    return {"measurements": tuple(rows)}


def in_row(**changes: Any) -> Callable[[Evidence], Changes]:
    """Change fields of the row; a callable gets the row."""

    def change(evidence: Evidence) -> Changes:
        row = evidence.measurements[the_row(evidence)]
        new = {name: value(row) if callable(value) else value for name, value in changes.items()}
        return with_row(evidence, replace(row, **new))

    return change


def at_shape(choose: Callable[[Measurement], GemmShape]) -> Callable[[Evidence], Changes]:
    """Another shape, counted as it should be: the figure becomes another one."""

    def change(evidence: Evidence) -> Changes:
        row = evidence.measurements[the_row(evidence)]
        workload = replace(row.workload, shape=choose(row))
        cost = opcount.cost(workload.shape, workload.form)
        return with_row(evidence, replace(row, workload=workload, cost=cost))

    return change


def slower_rung(row: Measurement) -> GemmShape:
    shapes = [trial.shape for trial in row.tried if trial.shape != row.workload.shape]
    assert isinstance(shapes[0], GemmShape)
    return shapes[0]


def another(row: Measurement) -> Trial:
    """A shape that was tried, and is not the one that was chosen."""
    return next(trial for trial in row.tried if trial.shape != row.workload.shape)


def a_trial(**changes: Any) -> Callable[[Evidence], Changes]:
    def tried(row: Measurement) -> tuple[Trial, ...]:
        other = another(row)
        return tuple(replace(trial, **changes) if trial is other else trial for trial in row.tried)

    return in_row(tried=tried)


def a_visit(edit: Callable[[Visit], Visit], *, recount: bool = True) -> Callable[[Evidence], Changes]:
    """Change the second visit, and what was compared of its samples."""

    def change(evidence: Evidence) -> Changes:
        row = evidence.measurements[the_row(evidence)]
        visits = list(row.visits)
        visits[1] = edit(visits[1])
        changed = replace(row, visits=tuple(visits))
        return with_row(evidence, recounted(changed) if recount else changed)

    return change


def recounted(row: Measurement) -> Measurement:
    """The row with as many compared outputs of timed launches as its samples bring."""
    counts = sampling.timed_counts([sample.real for visit in row.stays for sample in visit.samples])
    assert row.timed is not None
    error = row.timed.real_error_ppm if counts.real_compared else None
    return replace(
        row,
        timed=replace(
            row.timed,
            launches=counts.launches,
            compared=counts.compared,
            real_compared=counts.real_compared,
            real_error_ppm=error,
        ),
    )


def other_operands(visit: Visit) -> Visit:
    """A sample on real-valued operands and its neighbour, exchanged."""
    samples = list(visit.samples)
    index = next(i for i, sample in enumerate(samples) if sample.real)
    other = index + 1 if index + 1 < len(samples) else index - 1
    samples[index], samples[other] = replace(samples[index], real=0), replace(samples[other], real=1)
    return replace(visit, samples=tuple(samples))


def all_exact(visit: Visit) -> Visit:
    return replace(visit, samples=tuple(replace(sample, real=0) for sample in visit.samples))


def settled_on_reals(visit: Visit) -> Visit:
    return replace(visit, settle=(replace(visit.settle[0], real=1), *visit.settle[1:]))


def without_the_first(visit: Visit) -> Visit:
    """One sample fewer: those after it no longer stand where the nonce counts, or are too few."""
    return replace(visit, samples=visit.samples[1:])


def a_check(which: str, **changes: Any) -> Callable[[Evidence], Changes]:
    def edited(row: Measurement) -> Check:
        check: Check = getattr(row, which)
        return replace(check, **{k: v(getattr(check, k)) if callable(v) else v for k, v in changes.items()})

    return in_row(**{which: edited})


def a_device(**changes: Any) -> Callable[[Evidence], Changes]:
    return lambda evidence: {"devices": (replace(evidence.devices[0], **changes),)}


def a_fact(name: str, value: Any) -> Callable[[Evidence], Changes]:
    """The fact with another value; without one it is left out."""

    def change(evidence: Evidence) -> Changes:
        device = evidence.devices[0]
        facts = [fact for fact in device.facts if fact.name != name]
        if value is not None:
            facts.append(Fact(name=name, value=value, source="forged"))
        return {"devices": (replace(device, facts=tuple(facts)),)}

    return change


def a_fact_twice(evidence: Evidence) -> Changes:
    device = evidence.devices[0]
    return {"devices": (replace(device, facts=(*device.facts, device.facts[0])),)}


def an_added_gpu(evidence: Evidence) -> Changes:
    """A GPU's data sheet beside a processor's rows."""
    spec = next(spec for spec in catalog.specs() if spec.id == "h100-pcie")
    gpu = Device(selector="cuda:0", family="cuda", kind="gpu", name=spec.names[0], vendor="NVIDIA", facts=())
    return {"devices": (*evidence.devices, gpu)}


def sixty_four_gpus(evidence: Evidence) -> Changes:
    *_, gpu = an_added_gpu(evidence)["devices"]
    more = (replace(gpu, selector=f"cuda:{number}") for number in range(64))
    return {"devices": (*evidence.devices, *more)}


def an_added_accelerator(evidence: Evidence) -> Changes:
    """One behind a provider, without a row."""
    hardware = Fact(name="hardware-type", value="NPU", source="script")
    npu = Device(selector="ort:NPU", family="ort", kind="npu", name="An NPU", vendor=None, facts=(hardware,))
    return {"devices": (*evidence.devices, npu)}


def another_processor_under_the_rows(evidence: Evidence) -> Changes:
    """A second processor that owns one of the rows: the others of it are missing."""
    second = replace(evidence.devices[0], selector="cpu:1")
    row = evidence.measurements[-1]
    moved = replace(row, workload=replace(row.workload, device="cpu:1"))
    return {
        "devices": (*evidence.devices, second),
        "measurements": (*evidence.measurements, moved),
    }


def without_the_rows_of(kernel: str) -> Callable[[Evidence], Changes]:
    return lambda evidence: {
        "measurements": tuple(m for m in evidence.measurements if m.workload.kernel != kernel)
    }


def swapped_rows(evidence: Evidence) -> Changes:
    first, second, *others = evidence.measurements
    return {"measurements": (second, first, *others)}


def a_form_for_other_processors(evidence: Evidence) -> Changes:
    """A row that the plan leaves out on this device, or in a smoke test."""
    kernel = registry.kernel("ort_gemm")
    form = next(form for form in kernel.forms if form.operand_set == "int8-saturating")
    row = next(m for m in evidence.measurements if m.workload.row.startswith("ort_gemm/int8"))
    added = replace(row, workload=replace(row.workload, form=form))
    return {"measurements": (*evidence.measurements, added)}


def cut_short_without_a_look(evidence: Evidence) -> Changes:
    """An interrupted row whose timed outputs nobody looked at."""
    return {**in_row(ended="interrupted", timed=None)(evidence), "interrupted": True}


def with_one_more(row: Measurement) -> tuple[Visit, ...]:
    """The last sample of the second visit again, right after itself, on the operands that the nonce chose."""
    first, second, *others = row.visits
    last = second.samples[-1]
    flags = sampling.all_on_reals(row.workload, [0, len(second.samples) + 1])
    again = replace(last, start_ns=last.start_ns + last.host_ns, real=flags[1][-1])
    return first, replace(second, samples=(*second.samples, again)), *others


def visited(edit: Callable[[Measurement], tuple[Visit, ...]]) -> Callable[[Evidence], Changes]:
    """Change the visits, and what was compared of their samples."""

    def change(evidence: Evidence) -> Changes:
        row = evidence.measurements[the_row(evidence)]
        return with_row(evidence, recounted(replace(row, visits=edit(row))))

    return change


def settled_longer(visit: Visit) -> Visit:
    """The window's first sample was slow, and now stands among those of settling."""
    slow = replace(visit.samples[0], real=0)
    return replace(visit, settle=(*visit.settle, slow))


def settled_less(visit: Visit) -> Visit:
    return replace(visit, settle=visit.settle[:3])


def held_anyway(evidence: Evidence) -> Changes:
    """The last visit once more, after all others, on the operands that the nonce chooses there."""
    row = evidence.measurements[the_row(evidence)]
    last = row.visits[-1]
    end = max(s.start_ns + s.host_ns for m in evidence.measurements for s in soundness.samples(m))
    lengths = [len(visit.samples) for visit in (*row.visits, last)]
    flags = sampling.all_on_reals(row.workload, lengths)[-1]
    samples = tuple(
        replace(sample, start_ns=end + index, real=flag)
        for index, (sample, flag) in enumerate(zip(last.samples, flags, strict=True))
    )
    return with_row(evidence, recounted(replace(row, held=replace(last, samples=samples))))


def a_schedule(**changes: Any) -> Callable[[Evidence], Changes]:
    return lambda evidence: {"schedule": replace(evidence.schedule, **changes)}


def a_telemetry(change: Callable[[Telemetry], Changes]) -> Callable[[Evidence], Changes]:
    return lambda evidence: {"telemetry": replace(evidence.telemetry, **change(evidence.telemetry))}


def with_reasons(row: Measurement) -> tuple[Trial, ...]:
    return tuple(replace(trial, reason="too-slow") for trial in row.tried)


def without_another(row: Measurement) -> tuple[Trial, ...]:
    other = another(row)
    return tuple(trial for trial in row.tried if trial is not other)


def lifted(row: Measurement) -> tuple[Trial, ...]:
    """The slowest other shape of the ladder, with as many rates as the chosen one."""
    others = (t for t in row.tried if t.shape != row.workload.shape)
    slow = min(others, key=lambda t: t.ops_per_s[:1])
    best = max(max(t.ops_per_s) for t in row.tried if t.ops_per_s)
    lift = replace(slow, ops_per_s=(*(slow.ops_per_s[:1] or (best / 9,)), best, best), reason=None)
    cut = [replace(t, ops_per_s=t.ops_per_s[:1]) for t in row.tried]
    return tuple(lift if t.shape == slow.shape else t for t in cut)


def a_meter(*readings: tuple[int, int]) -> Meter:
    found = tuple(MeterReading(at_ns=at_ns, energy_uj=energy_uj) for at_ns, energy_uj in readings)
    return Meter(file="meter.csv", sha256="0" * 64, readings=found)


def another_chain(_: Evidence) -> Changes:
    """Of a latency that makes every ceiling higher."""
    return {"clock": Fact(name="clock", value="imul-chain/9-cycles/nobody", source="forged")}


A_TRANSFER = Transfer(
    device="cpu",
    operation="copy",
    footprint_bytes=384,
    moved_bytes=768,
    passes=(Pass(ns=10),) * 3,
    reason=None,
)
A_DIAGNOSTIC = Diagnostic(
    device="cpu",
    row="torch_gemm/fp32/mm",
    name="zeros",
    detail="",
    pairs=(Pair(usual_ns=10, other_ns=9),),
    reason=None,
)
A_SENSOR = Sensor(
    name="forged", unit="Hz", source="forged", every=1, levels=(Level(value=1),) * 2, reason=None
)
A_FINDING = (Finding(subject="torch_gemm/fp32/mm", status="info", code="backend-failed", numbers={}),)
OFF_LADDER = GemmShape(m=2048, n=512, k=768)
CHOSEN = "did not run on the operands that the nonce chose"
NO_RUNG = "its shape is none that the search tried"
NOT_TRIED = "the shapes tried are not those of the ladder and around its best"
COUNTED = "it compared other numbers of outputs than its launches bring"
WHOLE = "a visit is not whole"
NO_ROW = "is no row that this version of bench plans for what was asked"

UNSOUND = (
    # devices
    Unsound(
        name="a GPU that nothing was measured on", change=an_added_gpu, reason="nothing was measured on it"
    ),
    Unsound(name="a GPU for every minute", change=sixty_four_gpus, reason="more than 64 devices"),
    Unsound(
        name="an accelerator without a row", change=an_added_accelerator, reason="nothing was measured on it"
    ),
    Unsound(
        name="a second processor with one row",
        change=another_processor_under_the_rows,
        reason="one device of",
    ),
    Unsound(name="no usable threads", change=a_fact("threads-usable", None), reason="its threads-usable"),
    Unsound(
        name="usable threads as true", change=a_fact("threads-usable", True), reason="its threads-usable"
    ),
    Unsound(name="usable threads as a float", change=a_fact("threads-usable", 2.0), reason="its threads-us"),
    Unsound(
        name="usable threads below one", change=a_fact("threads-usable", -1), reason="its threads-usable"
    ),
    Unsound(
        name="more threads than processors",
        change=a_fact("threads-usable", 4096),
        reason="says that it used 4096 threads on",
    ),
    Unsound(name="no affinity", change=a_fact("threads-affinity", None), reason="its threads-affinity"),
    Unsound(name="no count of CPUs", change=a_fact("logical-cpus", None), reason="its logical-cpus"),
    Unsound(name="a fact twice", change=a_fact_twice, reason="stands twice"),
    Unsound(name="a processor as an NPU", change=a_device(kind="npu"), reason="says it is of the kind npu"),
    # shapes
    Unsound(name="a shape off the ladder", change=at_shape(lambda _: OFF_LADDER), reason=NO_RUNG),
    Unsound(
        name="a shape of the long ladder in a smoke test",
        change=at_shape(lambda _: GemmShape(m=2048, n=512, k=256)),
        reason=NO_RUNG,
    ),
    Unsound(
        name="another rung than the fastest", change=at_shape(slower_rung), reason="not the fastest of those"
    ),
    Unsound(name="a trial left out", change=in_row(tried=without_another), reason=NOT_TRIED),
    Unsound(
        name="a trial twice", change=in_row(tried=lambda row: (*row.tried, row.tried[-1])), reason=NOT_TRIED
    ),
    Unsound(name="a trial off the ladder", change=a_trial(shape=OFF_LADDER), reason=NOT_TRIED),
    Unsound(
        name="trials in another order", change=in_row(tried=lambda row: row.tried[::-1]), reason=NOT_TRIED
    ),
    Unsound(name="nothing tried", change=in_row(tried=()), reason="not the fastest of those tried"),
    Unsound(name="a trial of nothing", change=a_trial(ops_per_s=(), reason=None), reason="a trial needs"),
    Unsound(
        name="a trial with a rate and a reason", change=in_row(tried=with_reasons), reason="a trial needs"
    ),
    Unsound(name="a trial with a rate of zero", change=a_trial(ops_per_s=(0.0,)), reason="a trial needs"),
    # operands
    Unsound(name="a sample on other operands", change=a_visit(other_operands), reason=CHOSEN),
    Unsound(name="a visit without real-valued operands", change=a_visit(all_exact), reason=CHOSEN),
    Unsound(name="a sample left out", change=a_visit(without_the_first), reason="torch_gemm/fp32/mm: "),
    Unsound(
        name="settled on real-valued operands", change=a_visit(settled_on_reals), reason="it settled on real"
    ),
    # counts of outputs
    Unsound(name="fewer outputs before timing", change=a_check("before", compared=8), reason=COUNTED),
    Unsound(name="fewer launches before timing", change=a_check("before", launches=1), reason=COUNTED),
    Unsound(name="fewer outputs in the probe", change=a_check("probe", real_compared=1), reason=COUNTED),
    Unsound(
        name="fewer outputs of timed launches",
        change=a_check("timed", compared=lambda n: n - 8),
        reason=COUNTED,
    ),
    Unsound(
        name="more outputs of timed launches",
        change=a_check("timed", compared=lambda n: n + 8),
        reason=COUNTED,
    ),
    Unsound(
        name="fewer real outputs of timed launches",
        change=a_check("timed", real_compared=18),
        reason=COUNTED,
    ),
    Unsound(name="no outputs of timed launches", change=in_row(timed=None), reason=COUNTED),
    Unsound(name="no look at an interrupted row", change=cut_short_without_a_look, reason=COUNTED),
    Unsound(
        name="wrong outputs as off by one", change=a_check("timed", off_by_one=1), reason="do not add up"
    ),
    # how a row went
    Unsound(name="an end that no row has", change=in_row(ended="finished"), reason="ended as no row does"),
    Unsound(name="refused without a reason", change=in_row(ended="refused"), reason="refused says why"),
    Unsound(name="a reason without refusal", change=in_row(findings=A_FINDING), reason="refused says why"),
    Unsound(
        name="wrong outputs and yet measured",
        change=in_row(ended="wrong-outputs"),
        reason="ends at its check",
    ),
    Unsound(name="no check before timing", change=in_row(before=None), reason="without being checked"),
    Unsound(name="no probe", change=in_row(probe=None), reason="visited without a probe"),
    Unsound(name="no visits", change=lambda e: in_row(visits=())(e), reason="where the rule"),
    Unsound(
        name="a visit cut short", change=a_visit(lambda v: replace(v, samples=v.samples[:7])), reason=WHOLE
    ),
    Unsound(
        name="a visit that was interrupted",
        change=a_visit(lambda v: replace(v, ended="interrupted")),
        reason=WHOLE,
    ),
    Unsound(
        name="a visit that settled in its own way",
        change=a_visit(lambda v: replace(v, settle_ended="steady")),
        reason=WHOLE,
    ),
    Unsound(name="a visit without settling", change=a_visit(lambda v: replace(v, settle=())), reason=WHOLE),
    Unsound(name="a sample after the window was full", change=visited(with_one_more), reason=WHOLE),
    Unsound(name="a window begun late", change=a_visit(settled_longer), reason=WHOLE),
    Unsound(name="a visit settled too soon", change=a_visit(settled_less), reason=WHOLE),
    # the schedule, and windows that were held
    Unsound(name="fewer visits planned", change=a_schedule(visits=2), reason="follows"),
    Unsound(name="shorter samples planned", change=a_schedule(sample_ns=1000), reason="follows"),
    Unsound(name="content with wide intervals", change=a_schedule(half_width=0.5), reason="follows"),
    Unsound(name="shorter windows planned", change=a_schedule(window_ns=1), reason="follows"),
    Unsound(name="a year planned", change=a_schedule(limit_ns=10**15), reason="times that none has"),
    Unsound(name="time before the beginning", change=a_schedule(refine_ns=-1), reason="times that none has"),
    Unsound(
        name="a held window that nobody asked for",
        change=held_anyway,
        reason="the schedule asks for none",
    ),
    Unsound(
        name="a held window that is missing",
        change=a_schedule(hold_ns=10**9),
        reason="was held under load, and one was to be",
    ),
    # the search
    Unsound(
        name="a shape let into the run-off that was slow",
        change=in_row(tried=lifted),
        reason="not the fastest of those tried",
    ),
    Unsound(
        name="a shape refined in a smoke test",
        change=in_row(tried=lambda row: (*row.tried, replace(row.tried[0], shape=OFF_LADDER, round=1))),
        reason=NOT_TRIED,
    ),
    Unsound(name="a search before its beginning", change=a_trial(spent_ns=-1), reason="a trial needs"),
    # what was measured beside the rows
    Unsound(
        name="a device clock on a processor",
        change=a_visit(lambda v: replace(v, device_ns=tuple(s.host_ns for s in v.samples))),
        reason="the device's own clock stands for",
    ),
    Unsound(
        name="clocks left out",
        change=a_visit(lambda v: replace(v, clocks_hz=() if v.clocks_hz else (1,))),
        reason="the clock of",
    ),
    Unsound(
        name="a clock of zero",
        change=a_visit(lambda v: replace(v, clocks_hz=tuple(0 for _ in v.clocks_hz) or (0,))),
        reason="clock",
    ),
    Unsound(name="a clock by another chain", change=another_chain, reason="a chain that is not known"),
    Unsound(
        name="bandwidth in a smoke test",
        change=lambda _: {"memory": (A_TRANSFER,)},
        reason="a smoke test measures no bandwidth",
    ),
    Unsound(
        name="a pass with a reason why there is none",
        change=lambda _: {"memory": (replace(A_TRANSFER, reason="too-slow"),)},
        reason="is none that the bandwidth kernel makes",
    ),
    Unsound(
        name="a diagnosis of no row",
        change=lambda _: {"diagnostics": (replace(A_DIAGNOSTIC, row="none"),)},
        reason="is no row of the evidence",
    ),
    Unsound(
        name="a diagnosis with neither times nor a reason",
        change=lambda _: {"diagnostics": (replace(A_DIAGNOSTIC, pairs=()),)},
        reason="neither times nor a reason",
    ),
    Unsound(
        name="a sensor with levels missing",
        change=a_telemetry(lambda _: {"sensors": (replace(A_SENSOR, levels=A_SENSOR.levels[:1]),)}),
        reason="levels for",
    ),
    Unsound(
        name="an energy counter that falls",
        change=a_telemetry(
            lambda t: {
                "sensors": (
                    replace(
                        A_SENSOR,
                        unit="uJ",
                        every=-(-len(t.readings) // 2),
                        levels=(Level(value=2), Level(value=1)),
                    ),
                )
            }
        ),
        reason="runs backwards",
    ),
    Unsound(
        name="a wall meter that counts backwards",
        change=a_telemetry(lambda _: {"meter": a_meter((0, 2), (1, 1))}),
        reason="the wall meter's counter runs backwards",
    ),
    Unsound(
        name="a wall meter whose time runs backwards",
        change=a_telemetry(lambda _: {"meter": a_meter((1, 1), (0, 2))}),
        reason="the wall meter's time runs backwards",
    ),
    Unsound(
        name="readings without a period",
        change=a_telemetry(lambda _: {"period_ns": 0}),
        reason="the telemetry has no period",
    ),
    Unsound(
        name="no clock for a reason of another processor",
        change=lambda e: {"clock": replace(e.clock, value=None, reason="because")},
        reason="for a reason that is none here",
    ),
    Unsound(
        name="a sensor twice",
        change=a_telemetry(lambda t: {"sensors": (*t.sensors, *t.sensors)}),
        reason="stands twice",
    ),
    # rows
    Unsound(
        name="the rows of a backend dropped",
        change=without_the_rows_of("ort_gemm"),
        reason="rows to be measured on cpu are not there",
    ),
    Unsound(
        name="fewer precisions asked than measured", change=lambda _: {"asked": ("fp32",)}, reason=NO_ROW
    ),
    Unsound(
        name="more precisions asked than measured",
        change=lambda e: {"asked": (*e.asked, "bf16")},
        reason="rows to be measured on cpu are not there",
    ),
    Unsound(
        name="a precision asked that no kernel has",
        change=lambda e: {"asked": (*e.asked, "fp4")},
        reason="fp4 was asked for, and no kernel computes it there",
    ),
    Unsound(
        name="a precision asked twice",
        change=lambda e: {"asked": (*e.asked, e.asked[0])},
        reason="asked for twice",
    ),
    Unsound(name="rows in another order", change=swapped_rows, reason="in the order of the plan, each once"),
    Unsound(name="a form for other processors", change=a_form_for_other_processors, reason=NO_ROW),
    # what it says about itself
    Unsound(
        name="a nonce in capitals", change=lambda e: {"nonce": e.nonce.upper()}, reason="the nonce is not"
    ),
    Unsound(name="a short nonce", change=lambda e: {"nonce": e.nonce[:-1]}, reason="the nonce is not 64"),
    Unsound(name="no nonce", change=lambda _: {"nonce": ""}, reason="the nonce is not 64"),
    Unsound(
        name="a harness without files",
        change=lambda e: {"harness": replace(e.harness, files=())},
        reason="the harness names none of its files",
    ),
    *(
        Unsound(
            name=f"made at {text}",
            change=lambda _, text=text: {"created": text},
            reason=f"{text} is no time",
            step=9,
        )
        for text in (
            "2026-1-1T0:0:0Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05z",
            "2026-02-30T00:00:00Z",
        )
    ),
)


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    return parse(made.payload)


@pytest.fixture(scope="module")
def answers(made: Made, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """What one command said to all of them."""
    forged = {
        each.name: forging.built(made, forging.concluded(evidence, **each.change(evidence)))
        for each in UNSOUND
    }
    assert len(forged) == len(UNSOUND)
    return all_verified(made, tmp_path_factory.mktemp("unsound"), forged)


@pytest.mark.parametrize("each", UNSOUND, ids=lambda each: each.name.replace(" ", "-"))
def test_what_no_run_writes_is_refused_although_all_follows_from_it(
    answers: dict[str, Answer], each: Unsound
) -> None:
    code, step, error = answers[each.name]
    assert (code, step) == (4, each.step), error
    assert each.reason in error


# ------------------------------------------------------------------------------ what an honest run may be


def test_a_row_that_was_interrupted_before_its_last_look_verifies(
    made: Made, evidence: Evidence, tmp_path: Path
) -> None:
    """An interrupt comes when it likes: the last sample may not have been looked at."""
    row = evidence.measurements[the_row(evidence)]
    last = replace(row.visits[-1], samples=row.visits[-1].samples[:5], ended="interrupted")
    short = recounted(replace(row, visits=(*row.visits[:-1], last), ended="interrupted"))
    unseen = replace(last, samples=last.samples[:-1])
    counted = recounted(replace(short, visits=(*row.visits[:-1], unseen)))
    forged = {
        name: forging.built(
            made, forging.concluded(evidence, **with_row(evidence, changed), interrupted=True)
        )
        for name, changed in (("looked", short), ("unseen", replace(short, timed=counted.timed)))
    }
    assert {answer[0] for answer in all_verified(made, tmp_path, forged).values()} == {0}


def test_rows_that_were_not_begun_are_no_defect_of_an_interrupted_run(
    made: Made, evidence: Evidence, tmp_path: Path
) -> None:
    rows = []
    for row in evidence.measurements:
        shape = ladder.rungs(row.workload.operation, row.workload.form, "cpu", quick=True)[0]
        assert isinstance(shape, GemmShape | ConvShape)
        workload = replace(row.workload, shape=shape)
        rows.append(
            replace(
                row,
                workload=workload,
                cost=opcount.cost(shape, workload.form),
                tried=(),
                before=None,
                probe=None,
                visits=(),
                held=None,
                timed=None,
                ended="interrupted",
                findings=(),
            )
        )
    changed = forging.concluded(evidence, measurements=tuple(rows), interrupted=True)
    (answer,) = all_verified(made, tmp_path, {"begun": forging.built(made, changed)}).values()
    assert answer[0] == 0, answer


# --------------------------------------------------------------------------------- files of the harness


def step_9(made: Made, evidence: Evidence, folder: Path, name: str, **changes: Any) -> str:
    changed = forging.concluded(evidence, harness=replace(evidence.harness, **changes))
    said = made.bench("verify", forging.write(folder, name, forging.built(made, changed)))
    assert said.code == 0, said.err
    return next(line for line in said.out.splitlines() if line.startswith("  9 "))


def test_files_that_differ_from_this_versions_are_told_and_no_failure(
    made: Made, evidence: Evidence, tmp_path: Path
) -> None:
    files = evidence.harness.files
    changed = (replace(files[0], sha256="0" * 64), *files[2:], Digest(name="extra.py", sha256="1" * 64))
    told = step_9(made, evidence, tmp_path, "changed", files=changed)
    assert told.endswith("; 3 files of the harness differ from this version's")
    assert "differ" not in step_9(made, evidence, tmp_path, "same")


def test_files_of_another_version_are_not_held_against_this_ones(
    made: Made, evidence: Evidence, tmp_path: Path
) -> None:
    told = step_9(
        made, evidence, tmp_path, "other", version=bench.__version__ + "9", files=evidence.harness.files[:1]
    )
    assert "differ" not in told


# ------------------------------------------------------------------------------------- figures


def hundredfold(sample: Sample) -> Sample:
    """The same work in a hundredth of the time, by all clocks."""
    times = {name: getattr(sample, name) // 100 for name in ("host_ns", "raw_ns", "cpu_ns")}
    return replace(sample, **times)


def test_a_requantised_row_behind_a_figure_is_the_one_that_was_to_be_held(evidence: Evidence) -> None:
    """An output of 8 bits whose probe is exact counts like any other: the same here as in the conclusion."""
    rows = []
    for row in evidence.measurements:
        if row.workload.row == "ort_conv/int8/QLinearConv-u8s8":
            fast = tuple(replace(v, samples=tuple(map(hundredfold, v.samples))) for v in row.visits)
            row = replace(row, visits=fast)
        rows.append(row)
    faster = forging.concluded(evidence, measurements=tuple(rows))
    expected = {(figure.device, figure.precision): figure.row for figure in faster.figures}
    assert expected["cpu", "int8"] == "ort_conv/int8/QLinearConv-u8s8"
    assert soundness._figures_of_visits(faster) == expected


# ------------------------------------------------------------------------------------- on any machine


def test_without_the_backends_the_same_rows_are_expected(
    evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    soundness.require_sound(evidence)
