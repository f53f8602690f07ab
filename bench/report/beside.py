"""What stands beside the figures in a terminal: bounds, held windows, conditions, the machine's state."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from rich.console import Console
from rich.table import Table

from bench.precision import DECLARABLE, comparable_precision
from bench.printable import printable
from bench.report import sentences
from bench.report.language import listed, marked, tr
from bench.report.opened import opened
from bench.terms import Condition, Delivered, Energy, Evidence, Sensor, Through, Transfer, Trial
from bench.units import NS_PER_S, format_bytes, format_rate, format_seconds


def beside(console: Console, evidence: Evidence) -> None:
    """Nothing here changes a figure or a verdict."""
    figures = list(_figures(evidence))
    _bounds(console, figures)
    _through(console, evidence)
    _held(console, evidence)
    _conditions(console, evidence)
    for line in machine(evidence):
        console.print(line)
    console.print()


def plain(*columns: str) -> Table:
    """A table without lines; a column whose name begins with > stands to the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        # Chinese has no spaces to wrap at: what is too long is broken, and never cut.
        table.add_column(column.lstrip(">"), justify=justify, overflow="fold")
    return table


def unit_of(name: str) -> str:
    """A precision's unit. Operations count in any format, also in one that is not known here."""
    return comparable_precision(name).unit if name in DECLARABLE else "TOPS"


def _figures(evidence: Evidence) -> Iterator[Delivered]:
    """The row behind each of the devices' figures."""
    best = {(figure.device, figure.row) for figure in evidence.figures}
    return (row for row in evidence.delivered if (row.device, row.row) in best)


def percent(share: float) -> str:
    """`82.4 %`"""
    return f"{100 * share:.1f} %"


# ------------------------------------------------------------------------------------------- bounds


def _bounds(console: Console, figures: Sequence[Delivered]) -> None:
    """Each figure under its roof, as far as it is known."""
    shown = [row for row in figures if row.estimate and (row.roof or row.ceiling)]
    if not shown:
        return
    console.print(tr("What bounds the figures (roofline)"), style="bold")
    right = (">" + tr(name) for name in (marked("ceiling"), marked("op/byte"), marked("memory allows")))
    table = plain(tr("precision"), *right, tr("bound by"), ">" + tr("reached"))
    for row in shown:
        assert row.estimate is not None
        unit = unit_of(row.precision)
        most = row.roof.ops_per_s if row.roof else row.ceiling
        assert most is not None
        table.add_row(
            row.precision,
            format_rate(row.ceiling, unit) if row.ceiling else tr("unknown"),
            f"{row.roof.intensity:.0f}" if row.roof else "",
            format_rate(row.roof.intensity * row.roof.bandwidth, unit) if row.roof else tr("unknown"),
            sentences.bound(row.roof.bound if row.roof else "compute"),
            percent(row.estimate.value / most),
        )
    console.print(table)
    console.print(tr("ceiling: cores × operations per clock of the widest instruction × measured clock"))
    console.print()


# -------------------------------------------------------------------------------------- where it ran


def through_columns() -> tuple[str, ...]:
    """Of the table about rows that went through an execution provider; those of numbers begin with >."""
    return (
        tr("row"),
        tr("placed"),
        tr("ran as"),
        ">" + tr("launch alone"),
        ">" + tr("slope"),
        ">" + tr("× processor"),
    )


def through_rows(evidence: Evidence) -> list[tuple[str, ...]]:
    return [
        (
            printable(row.row),
            tr("not told")
            if row.through.provider is None
            else tr("{nodes} of {nodes}", nodes=row.through.nodes),
            tr("not shown") if row.through.operators is None else printable(", ".join(row.through.operators)),
            tr("{time} µs", time=f"{row.through.dispatch_ns / 1000:.0f}"),
            format_rate(row.through.slope, unit_of(row.precision)) if row.through.slope else tr("none"),
            _ratio(row.through),
        )
        for row in evidence.delivered
        if row.through is not None
    ]


def _ratio(row: Through) -> str:
    if row.cpu_ratio is None:
        return sentences.beside(row.cpu_reason or "")
    return f"{row.cpu_ratio:.2f}"


def through_notes() -> tuple[str, ...]:
    return (
        tr(
            "placed: the nodes that count, by ONNX Runtime's own record; ran as: the operators in a profile "
            "of one run"
        ),
        tr(
            "slope: from one graph to one that does twice the work, without what every launch takes; never a "
            "figure"
        ),
    )


def _through(console: Console, evidence: Evidence) -> None:
    rows = through_rows(evidence)
    if not rows:
        return
    console.print(tr("Where the work was placed, and what launching takes"), style="bold")
    table = plain(*through_columns())
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for note in through_notes():
        console.print(note)
    console.print()


# --------------------------------------------------------------------------------------------- held


def _held(console: Console, evidence: Evidence) -> None:
    """A row that was held under load: its seconds, and what became of its rate."""
    for measurement, row in zip(evidence.measurements, evidence.delivered, strict=True):
        if measurement.held is None or row.estimate is None or row.drift is None:
            continue
        unit = unit_of(row.precision)
        length = sum(sample.host_ns for sample in measurement.held.samples) / NS_PER_S
        held = tr("Held under load: {row} for {time}", row=printable(row.row), time=format_seconds(length))
        console.print(held, style="bold")
        first, last = (format_rate(rate, unit) for rate in (row.drift.first, row.drift.last))
        change = f"{100 * (row.drift.ratio - 1):+.1f} %"
        console.print(
            tr("first fifth {first}, last fifth {last}: {change}", first=first, last=last, change=change)
        )
        if row.per_second:
            slowest, fastest = (format_rate(each(row.per_second), unit) for each in (min, max))
            seconds = tr(
                "second by second: slowest {slowest}, fastest {fastest}", slowest=slowest, fastest=fastest
            )
            console.print(seconds)
        console.print()


# --------------------------------------------------------------------------------------- conditions

_CONDITIONS = {
    "zeros": marked("zeros"),
    "cold-caches": marked("cold caches"),
    "one-thread": marked("one thread"),
    "other-pool": marked("after another pool"),
}


def _conditions(console: Console, evidence: Evidence) -> None:
    """Each diagnosed row's rate under a changed condition, as a multiple of its usual rate."""
    rows = list(dict.fromkeys((c.device, c.row) for c in evidence.conditions))
    if not rows:
        return
    console.print(tr("The same rows under other conditions: the rate, times the usual one"), style="bold")
    right = (">" + tr(words) for words in (*_CONDITIONS.values(), marked("other CPUs")))
    table = plain(tr("row"), *right)
    notes: dict[str, str] = {}
    for device, row in rows:
        found = [c for c in evidence.conditions if (c.device, c.row) == (device, row)]
        cells = [_condition([c for c in found if c.name == name], notes) for name in _CONDITIONS]
        table.add_row(printable(row), *cells, _placed([c for c in found if c.name == "placement"], notes))
    console.print(table)
    for reason, mark in notes.items():
        console.print(f"{mark} {sentences.beside(reason)}")
    console.print(tr("zeros: operands all zero; faster on them is a sign of a power limit"))
    console.print(tr("other CPUs: one thread on another CPU, times one thread on the first"))
    console.print()


def _condition(found: Sequence[Condition], notes: dict[str, str]) -> str:
    if not found:
        return ""
    condition = found[0]
    if condition.ratio is not None:
        return f"{condition.ratio:.2f}"
    return notes.setdefault(str(condition.reason), f"[{len(notes) + 1}]")


def _placed(found: Sequence[Condition], notes: dict[str, str]) -> str:
    ratios = [condition.ratio for condition in found if condition.ratio is not None]
    if not ratios:
        return _condition(found, notes)
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return _range(low, high)


def _range(low: object, high: object) -> str:
    return str(low) if low == high else tr("{low} to {high}", low=low, high=high)


# ------------------------------------------------------------------------------------------ machine


def machine(evidence: Evidence) -> Iterator[str]:
    """The machine's state through the run and what the run took, a line each."""
    yield from _visits(evidence)
    yield from _search(evidence)
    yield from _bandwidth(evidence.memory)
    yield from _load(evidence)
    yield from _sensors(evidence)
    yield from _energy(evidence)
    yield from opened(evidence)


def _visits(evidence: Evidence) -> Iterator[str]:
    """How often the rows were visited, and what ended that."""
    numbers = [len(m.visits) for m in evidence.measurements if m.visits]
    if not numbers:
        return
    precise = sum(m.ended == "precise" for m in evidence.measurements)
    yield tr(
        "visits: {visits} to each row; within ± {share} then: {precise} of {rows} rows, the others were "
        "ended by the time",
        visits=_range(min(numbers), max(numbers)),
        share=percent(evidence.schedule.half_width),
        precise=precise,
        rows=len(numbers),
    )


def _search(evidence: Evidence) -> Iterator[str]:
    """The budget of the search, and what it bought beyond the ladder's own best."""
    trials = [trial for m in evidence.measurements for trial in m.tried]
    if not trials:
        return
    gains = {m.workload.row: gain for m in evidence.measurements if (gain := _gain(m.tried)) > 0}
    yield tr(
        "search: {ran} of {shapes} shapes ran, {spent} s in all, up to {budget} s a row for varying its best "
        "rung; {bought}",
        ran=sum(bool(trial.ops_per_s) for trial in trials),
        shapes=len(trials),
        spent=f"{sum(trial.spent_ns for trial in trials) / NS_PER_S:.1f}",
        budget=f"{evidence.schedule.refine_ns / NS_PER_S:.1f}",
        bought=_bought(gains),
    )


def _bought(gains: Mapping[str, float]) -> str:
    """What varying the shapes brought, by row."""
    if not gains:
        return tr("that made no row faster")
    best = max(gains, key=lambda row: gains[row])
    return tr(
        "that made {rows} rows faster, most of all {row} by {gain}",
        rows=len(gains),
        row=printable(best),
        gain=percent(gains[best]),
    )


def _gain(tried: Sequence[Trial]) -> float:
    """By how much the best refined shape beat the best rung, in the last round that one of each reached."""
    rungs = [trial.ops_per_s for trial in tried if trial.ops_per_s and not trial.round]
    refined = [trial.ops_per_s for trial in tried if trial.ops_per_s and trial.round]
    if not rungs or not refined:
        return 0.0
    last = min(max(map(len, rungs)), max(map(len, refined))) - 1
    best, before = (max(rates[last] for rates in every if len(rates) > last) for every in (refined, rungs))
    return best / before - 1


def _bandwidth(transfers: Sequence[Transfer]) -> Iterator[str]:
    """Triad and copy, the best pass of each size."""
    parts = []
    for footprint in dict.fromkeys(transfer.footprint_bytes for transfer in transfers):
        rates = [
            transfer.moved_bytes * NS_PER_S / each.ns
            for transfer in transfers
            if transfer.footprint_bytes == footprint
            for each in transfer.passes
        ]
        if rates:
            rate, size = format_bytes(max(rates)), format_bytes(footprint)
            parts.append(tr("{rate}/s in {size}", rate=rate, size=size))
    if parts:
        yield tr("memory: {rates} (best pass of copy and triad)", rates=listed(parts))
    for reason in dict.fromkeys(transfer.reason for transfer in transfers if transfer.reason):
        yield tr("memory: some sizes not measured: {reason}", reason=sentences.beside(reason))


def _load(evidence: Evidence) -> Iterator[str]:
    """How long it took, and who else had the processors meanwhile."""
    readings = evidence.telemetry.readings
    cpus = next((device.fact("threads-affinity") for device in evidence.devices), None)
    if len(readings) < 2 or not isinstance(cpus, int) or readings[-1].at_ns <= readings[0].at_ns:
        return
    first, last = readings[0], readings[-1]
    capacity_us = (last.at_ns - first.at_ns) / 1000 * cpus
    foreign = (last.busy_us - first.busy_us) - (last.own_us - first.own_us)
    others, stolen = max(0, foreign) / capacity_us, (last.steal_us - first.steal_us) / capacity_us
    yield tr(
        "load: in {time} other processes had {others} of the processors' time, the hypervisor {stolen} "
        "({readings} readings, one every {period} s)",
        time=format_seconds((last.at_ns - first.at_ns) / NS_PER_S),
        others=percent(others),
        stolen=percent(stolen),
        readings=len(readings),
        period=f"{evidence.telemetry.period_ns / NS_PER_S:g}",
    )


def _sensors(evidence: Evidence) -> Iterator[str]:
    """What was read while the run went on, and why the rest was not."""
    told = evidence.telemetry.sensors
    sensors = [sensor for sensor in told if not _is_gpus(sensor)]
    frequencies = [level.value for sensor in sensors if sensor.unit == "Hz" for level in sensor.levels]
    if frequencies:
        low, high = (f"{each(frequencies) / 1e9:.2f}" for each in (min, max))
        yield tr("frequency: {low} to {high} GHz, as the system tells it", low=low, high=high)
    clocks = [hertz for m in evidence.measurements for stay in m.stays for hertz in stay.clocks_hz]
    if evidence.clock.reason is not None:
        yield tr("clock: not measured: {reason}", reason=sentences.reason(evidence.clock.reason))
    elif clocks:
        yield tr(
            "clock: {low} to {high} GHz, mean {mean}, measured after each window by {method}",
            low=f"{min(clocks) / 1e9:.2f}",
            high=f"{max(clocks) / 1e9:.2f}",
            mean=f"{math.fsum(clocks) / len(clocks) / 1e9:.2f}",
            method=printable(str(evidence.clock.value)),
        )
    heat = [level.value for sensor in sensors if sensor.unit == "mdegC" for level in sensor.levels]
    if heat:
        low, high = (f"{each(heat) / 1000:.0f}" for each in (min, max))
        yield tr("temperature: {low} to {high} °C", low=low, high=high)
    for sensor in told:
        if _is_gpus(sensor) and sensor.unit in _GPU_UNITS and sensor.levels:
            unit, scale = _GPU_UNITS[sensor.unit]
            low, high = (f"{each(level.value for level in sensor.levels) / scale:.4g}" for each in (min, max))
            name = printable(sensor.name)
            yield tr("{sensor}: {low} to {high} {unit}", sensor=name, low=low, high=high, unit=unit)
    missing: dict[str, list[str]] = {}
    for sensor in told:
        if sensor.reason:
            missing.setdefault(sensor.reason, []).append(printable(sensor.name))
    for reason, names in missing.items():
        yield tr("not read: {names}: {reason}", names=listed(names), reason=sentences.absent(reason))


# What a GPU's own sensors say, and in which unit it is told.
_GPU_UNITS = {"Hz": ("GHz", 1e9), "mdegC": ("°C", 1e3), "percent": ("%", 1)}


def _is_gpus(sensor: Sensor) -> bool:
    """Whether it is a GPU's own and not the machine's: its name ends with the device's."""
    return "-cuda" in sensor.name


def _energy(evidence: Evidence) -> Iterator[str]:
    figures = list(_figures(evidence))
    for row in figures:
        if row.energy is not None:
            words = energy_words(row.energy, unit_of(row.precision))
            yield tr("energy of {row}: {words}", row=printable(row.row), words=words)
    for reason in dict.fromkeys(row.energy_reason for row in figures if row.energy_reason):
        yield tr("energy: not told: {reason}", reason=sentences.reason(reason))


def energy_words(energy: Energy, unit: str) -> str:
    """`48.20 GFLOP/J (1.05 kJ in 5 s, by wall meter)`: for information, never a verdict."""
    return tr(
        "{rate}/J ({joules} in {time}, by {source})",
        rate=format_rate(energy.ops_per_j, unit).removesuffix("S"),
        joules=f"{energy.joules / 1000:.4g} kJ" if energy.joules >= 1000 else f"{energy.joules:.4g} J",
        time=format_seconds(energy.seconds),
        source=printable(energy.source),
    )
