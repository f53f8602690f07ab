"""Charts of a report as SVG whose text stays text, and the one of the figures as a picture.

A chart takes its colours from the page's variables (`--delivered`, see templates/base.html.j2), so that it
is light or dark as the page is. The same evidence in the same language gives the same bytes.
"""

import io
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import atan, degrees, log10
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from bench.errors import CannotMeasure
from bench.printable import printable
from bench.report import language, sentences
from bench.report.beside import unit_of
from bench.report.language import listed, tr
from bench.report.parts import size
from bench.report.text import MODES, declared_rate, with_interval
from bench.terms import (
    SYSTEM,
    Declaration,
    Delivered,
    Estimate,
    Evidence,
    Measurement,
    RuleSet,
    Share,
    SystemEvidence,
    SystemFigure,
    Verdict,
    Visit,
)
from bench.units import NS_PER_S, format_bytes, format_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page's colours in the light; where it is dark its variables stand for them.
COLOURS = {
    "paper": "#ffffff",
    "ink": "#1b1e23",
    "quiet": "#535a63",
    "line": "#cfd5db",
    "delivered": "#0b5cad",
    "declared": "#9a4a06",
    "good": "#14622f",
    "other": "#6a3d9a",
    "bad": "#b3121d",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e9ecef",
    "quiet": "#adb5bd",
    "line": "#454c55",
    "delivered": "#74b6f5",
    "declared": "#f2a65e",
    "good": "#7fd69a",
    "other": "#c9aef2",
    "bad": "#ff8f8f",
}
# Rows are told apart by marker and colour, in the order of the figures.
_MARKS = (("o", "delivered"), ("s", "declared"), ("^", "good"), ("D", "other"), ("v", "ink"), ("P", "quiet"))

# In points: what a phone shows at about its own size.
_WIDTH = 320.0
_TEXT = 9.5

# So many characters fit on a line of a chart's heading.
_LINE = 54

# So many points a line has at most.
_POINTS = 240

# Marked where all cores of a window ran slower than this share of the run's fastest window.
SLOW = 0.9

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_FONTS = ("DejaVu Sans", "Noto Sans CJK TC", "Noto Sans TC", "Noto Sans CJK JP", "WenQuanYi Zen Hei")

# ---------------------------------------------------------------------------------------- what is drawn


_Kind = Literal["delivered", "declared", "threshold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One rate in op/s, its interval where it was measured, and the line of words above it.

    A rate is `typed` that stands on somebody's word and no source.
    """

    kind: _Kind
    typed: bool
    words: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The bars of one precision of one device, which share a scale from zero."""

    title: str
    bars: tuple[Bar, ...]


def groups(evidence: Evidence | SystemEvidence, rules: RuleSet) -> tuple[Group, ...]:
    """What was delivered, what is declared and what the tiers ask for, by device and precision."""
    figures = _delivered(evidence)
    keys = dict.fromkeys([*figures, *((row.device, row.precision) for row in evidence.verdict.thresholds)])
    several = isinstance(evidence, Evidence) and len(evidence.devices) > 1
    found = (_group(figures.get(key), evidence.verdict, rules, *key, named=several) for key in keys)
    return tuple(group for group in found if group.bars)


def _delivered(evidence: Evidence | SystemEvidence) -> dict[tuple[str, str], Estimate | None]:
    """The figures by device and precision; of a system they are those of all devices at once."""
    if isinstance(evidence, SystemEvidence):
        return {(SYSTEM, row.precision): row.estimate for row in evidence.figures}
    return {(row.device, row.precision): row.estimate for row in evidence.figures}


def _group(
    figure: Estimate | None, verdict: Verdict, rules: RuleSet, device: str, precision: str, *, named: bool
) -> Group:
    title = printable(precision, limit=20)
    if named:
        title = f"{printable(device, limit=20)} {title}"
    bars = []
    if figure is not None:
        bars.append(_bar("delivered", tr("delivered: {rate}", rate=with_interval(figure)), figure))
    # The same rate may be typed and stand in a source: these are two bars.
    declared: dict[tuple[float, str], Declaration] = {}
    for answer in verdict.declared:
        if (answer.device, answer.declared.precision) == (device, precision):
            declared.setdefault(_as_declared(answer.declared), answer.declared)
    limits: dict[float, list[str]] = {}
    for row in verdict.thresholds:
        if (row.device, row.precision) == (device, precision):
            limits.setdefault(row.limit, []).append(sentences.title(rules, row.tier))
            if row.declared is not None and row.declared.precision == precision:
                declared.setdefault(_as_declared(row.declared), row.declared)
    for key in sorted(declared):
        words = tr("declared: {rate}", rate=declared_rate(declared[key]))
        typed = declared[key].provenance == "stated"
        bars.append(_bar("declared", words, declared[key].ops_per_s, typed=typed))
    for limit in sorted(limits):
        words = tr(
            "threshold of {tier}: {rate}",
            tier=listed(dict.fromkeys(limits[limit])),
            rate=format_rate(limit, unit_of(precision)),
        )
        bars.append(_bar("threshold", words, limit))
    return Group(title=title, bars=tuple(bars))


def _as_declared(declared: Declaration) -> tuple[float, str]:
    return declared.ops_per_s, declared_rate(declared)


def _bar(kind: _Kind, words: str, value: "float | Estimate", *, typed: bool = False) -> Bar:
    if isinstance(value, Estimate):
        return Bar(kind=kind, typed=typed, words=words, value=value.value, low=value.low, high=value.high)
    return Bar(kind=kind, typed=typed, words=words, value=value, low=value, high=value)


def figure_rows(evidence: Evidence) -> tuple[tuple[Measurement, Delivered], ...]:
    """The rows behind the devices' figures, in the figures' order."""
    rows = {
        (row.device, row.row): (measurement, row)
        for measurement, row in zip(evidence.measurements, evidence.delivered, strict=True)
    }
    return tuple(rows[figure.device, figure.row] for figure in evidence.figures if figure.row is not None)


# ------------------------------------------------------------------------------------------- the charts


def shares(evidence: SystemEvidence) -> tuple[Group, ...]:
    """Each rank's rate in the common window, by precision."""
    return tuple(
        Group(title=printable(figure.precision, limit=20), bars=tuple(_share(figure, each) for each in some))
        for figure in evidence.figures
        if (some := figure.shares)
    )


def _share(figure: SystemFigure, share: Share) -> Bar:
    words = tr(
        "rank {rank}: {rate}", rank=share.rank, rate=format_rate(share.rate, unit_of(figure.precision))
    )
    return _bar("delivered", words, share.rate)


def ranks(evidence: SystemEvidence) -> str | None:
    """Each rank's rate while all were at work, as bars; None where there is no such window."""
    drawn = shares(evidence)
    if not drawn:
        return None
    return _svg("ranks", _bars(drawn), tr("Each rank's rate while all were at work"), _figures_told(drawn))


def figures(evidence: Evidence | SystemEvidence, rules: RuleSet) -> str | None:
    """Delivered, declared and threshold as bars; None where there is nothing of them."""
    drawn = groups(evidence, rules)
    if not drawn:
        return None
    return _svg("figures", _bars(drawn), _figures_title(), _figures_told(drawn))


def figures_file(
    evidence: Evidence | SystemEvidence, rules: RuleSet, number: str, kind: Literal["svg", "png"]
) -> bytes:
    """The chart of the figures by itself, under lines that say what it is from and what that is worth.

    Raises CannotMeasure where a picture needs characters that no font of this machine has.
    """
    drawn = groups(evidence, rules)
    if isinstance(evidence, SystemEvidence):
        device = size(evidence)
    else:
        device = printable(", ".join(device.name for device in evidence.devices), limit=48)
    heading = [tr("Report {number}", number=number) + f" · {printable(evidence.created)}", device]
    for words in (
        tr(MODES[evidence.mode, evidence.interrupted]),
        tr(
            "Assurance {level}: {words}",
            level=printable(evidence.assurance),
            words=sentences.assurance(evidence.assurance),
        ),
        tr("Rule set {rules}: {status}", rules=printable(rules.id), status=printable(tr(rules.status))),
    ):
        heading += _lines(words)
    if kind == "png":
        return _png(_bars(drawn, heading))
    svg = _svg("figures", _bars(drawn, heading), _figures_title(), _figures_told(drawn))
    return _standing_alone(svg).encode()


def _lines(words: str) -> list[str]:
    """Words in lines that fit the chart: a character of Chinese is as wide as two."""
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in words)
    return textwrap.wrap(words, _LINE // 2 if wide else _LINE)


def _figures_title() -> str:
    return tr("Delivered, declared and threshold")


def _figures_told(drawn: Sequence[Group]) -> str:
    return " ".join(f"{group.title}: {'; '.join(bar.words for bar in group.bars)}." for group in drawn)


def _bars(drawn: Sequence[Group], heading: Sequence[str] = ()) -> Callable[[], "Figure"]:
    """Words above each bar: they have room in any language, and on a phone."""
    line, header, gap = 25.0, 17.0, 9.0
    height = (
        sum(header + line * len(group.bars) + gap for group in drawn)
        + (16.0 * len(heading) + gap if heading else 0.0)
        + 4.0
    )

    def draw() -> "Figure":
        figure = _figure(height)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0, _WIDTH)
        axes.set_ylim(height, 0)
        y = 0.0
        for index, words in enumerate(heading):
            y += 16.0
            first = index == 0
            axes.text(
                4, y, words, fontsize=_TEXT + 1 if first else _TEXT, weight="bold" if first else "normal"
            )
        y += gap if heading else 0.0
        for group in drawn:
            axes.text(4, y + 12, group.title, weight="bold", fontsize=_TEXT + 1.5)
            y = _bars_of(axes, group, y + header, line) + gap
        return figure

    return draw


def _bars_of(axes: "Axes", group: Group, top: float, line: float) -> float:
    """Draws a group from `top` on and returns where it ends."""
    left, room = 4.0, _WIDTH - 12.0
    scale = room / max(bar.high for bar in group.bars)
    for index, bar in enumerate(group.bars):
        y = top + index * line
        axes.text(left, y + 9, bar.words)
        threshold = bar.kind == "threshold"
        colour = COLOURS["ink" if threshold else bar.kind]
        axes.barh(
            y + 17.5,
            bar.value * scale,
            left=left,
            height=8,
            color="none" if threshold or bar.typed else colour,
            edgecolor=colour,
            linewidth=1,
            linestyle="--" if threshold else "-",
        )
        if bar.low < bar.high:
            axes.errorbar(
                left + bar.value * scale,
                y + 17.5,
                xerr=[[(bar.value - bar.low) * scale], [(bar.high - bar.value) * scale]],
                fmt="none",
                ecolor=COLOURS["ink"],
                elinewidth=1.2,
                capsize=3.5,
            )
    return top + line * len(group.bars)


def roofline(evidence: Evidence) -> str | None:
    """Each figure under the bounds of arithmetic and memory; None where no bound is known."""
    rows = [row for _, row in figure_rows(evidence) if row.roof is not None and row.estimate is not None]
    if not rows:
        return None
    told = [
        tr(
            "{precision}: {rate}, {share} of what its roof allows, bound by {bound}.",
            precision=printable(row.precision, limit=20),
            rate=format_rate(row.estimate.value, unit_of(row.precision)),
            share=f"{100 * row.estimate.value / row.roof.ops_per_s:.0f} %",
            bound=sentences.bound(row.roof.bound),
        )
        for row in rows
        if row.roof is not None and row.estimate is not None
    ]
    return _svg("roofline", lambda: _roofs(rows), tr("What bounds the figures (roofline)"), " ".join(told))


def _roofs(rows: Sequence[Delivered]) -> "Figure":
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = _figure(250.0)
    axes = figure.add_axes((0.175, 0.17, 0.66, 0.80))
    axes.set_xscale("log")
    axes.set_yscale("log")
    spots = [(row, row.roof, row.estimate) for row in rows if row.roof and row.estimate]
    ridges = [row.ceiling / roof.bandwidth for row, roof, _ in spots if row.ceiling]
    across = [*ridges, *(roof.intensity for _, roof, _ in spots)]
    low, high = min(across) / 6, max(across) * 4
    for bandwidth in dict.fromkeys(roof.bandwidth for _, roof, _ in spots):
        tops = [row.ceiling for row, roof, _ in spots if row.ceiling and roof.bandwidth == bandwidth]
        end = max(tops) / bandwidth if tops else high
        axes.plot([low, end], [low * bandwidth, end * bandwidth], color=COLOURS["quiet"], linewidth=1.2)
    ends = []
    for (row, roof, estimate), (marker, colour) in zip(spots, _marks(len(spots)), strict=True):
        if row.ceiling:
            axes.plot(
                [row.ceiling / roof.bandwidth, high],
                [row.ceiling, row.ceiling],
                color=COLOURS[colour],
                linewidth=1.2,
            )
            ends.append((row.ceiling, row.precision, colour))
        axes.plot(
            [roof.intensity] * 2,
            [estimate.value, roof.ops_per_s],
            color=COLOURS[colour],
            linewidth=1,
            linestyle=":",
        )
        axes.plot([roof.intensity], [estimate.value], marker, color=COLOURS[colour], markersize=6)
    axes.set_xlim(low, high)
    bottom = min(min(low * roof.bandwidth, estimate.value) for _, roof, estimate in spots)
    top = max(max(row.ceiling or roof.ops_per_s, estimate.value) for row, roof, estimate in spots)
    axes.set_ylim(bottom / 1.5, top * 2.5)
    for axis, unit in ((axes.xaxis, ""), (axes.yaxis, "op/s")):
        axis.set_major_locator(LogLocator(base=10, numticks=7))
        axis.set_major_formatter(FuncFormatter(lambda value, _, unit=unit: _short(value, unit)))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(tr("operations for each byte from memory"))
    _ends(axes, ends)
    steepness = axes.bbox.height / log10(top * 2.5 / bottom * 1.5) / axes.bbox.width * log10(high / low)
    for bandwidth in dict.fromkeys(roof.bandwidth for _, roof, _ in spots):
        axes.annotate(
            tr("memory {rate}/s", rate=format_bytes(bandwidth)),
            (low, low * bandwidth),
            xytext=(3, 6),
            textcoords="offset points",
            color=COLOURS["quiet"],
            rotation=degrees(atan(steepness)),
            rotation_mode="anchor",
        )
    return figure


def _ends(axes: "Axes", ends: Sequence[tuple[float, str, str]]) -> None:
    """Names at the right end of the ceilings, moved apart where they would touch."""
    low, high = axes.get_ylim()
    height, last = log10(high / low), -1.0
    for ceiling, name, colour in sorted(ends):
        place = max(log10(ceiling / low) / height, last + 0.065)
        last = place
        axes.annotate(
            printable(name, limit=12),
            (1.0, place),
            xycoords="axes fraction",
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[colour],
            annotation_clip=False,
        )


def over_time(evidence: Evidence) -> str | None:
    """Rate, clock, frequency, power, temperature and load through the run, as far as each was read."""
    panels = [panel for panel in (_rates(evidence), *_levels(evidence), _load(evidence)) if panel is not None]
    if not panels:
        return None
    title = tr("The run over time")
    told = " ".join(panel.told for panel in panels)
    return _svg("over-time", lambda: _stacked(panels), title, told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Points over the seconds of the run."""

    name: str
    marker: str
    colour: str
    points: tuple[tuple[float, float], ...]
    joined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One quantity over the seconds of the run."""

    title: str
    lines: tuple[Line, ...]
    told: str
    from_zero: bool


def _stacked(panels: Sequence[Panel]) -> "Figure":
    foot, plain = 30.0, 104.0
    # Long names stand two in a line.
    columns = [6 if all(len(line.name) <= 6 for line in panel.lines) else 2 for panel in panels]
    lines = [-(-sum(bool(line.name) for line in p.lines) // n) for p, n in zip(panels, columns, strict=True)]
    heights = [plain + 14.0 * count for count in lines]
    whole = sum(heights) + foot
    figure = _figure(whole)
    ends = [x for panel in panels for line in panel.lines for x, _ in line.points]
    for index, panel in enumerate(panels):
        height = heights[index]
        base = foot + sum(heights[index + 1 :])
        tall = height - 34.0 - 14.0 * lines[index]
        axes = figure.add_axes((0.11, (base + 14.0) / whole, 0.87, tall / whole))
        axes.set_xlim(min(0.0, min(ends)), max(ends) * 1.01)
        axes.tick_params(labelbottom=index == len(panels) - 1)
        figure.text(0.01, (base + height - 12.0) / whole, panel.title, weight="bold")
        for line in panel.lines:
            axes.plot(
                [x for x, _ in line.points],
                [y for _, y in line.points],
                line.marker + ("-" if line.joined else ""),
                color=COLOURS[line.colour],
                markersize=3.5,
                linewidth=1.1,
                label=line.name,
            )
        if panel.from_zero:
            axes.set_ylim(0, max(y for line in panel.lines for _, y in line.points) * 1.15 or 1.0)
        axes.grid(visible=True, axis="y", color=COLOURS["line"], linewidth=0.6)
        if lines[index]:
            axes.legend(
                loc="lower left",
                bbox_to_anchor=(-0.02, 0.98),
                ncols=columns[index],
                frameon=False,
                handletextpad=0.2,
                columnspacing=1.0,
                borderpad=0.1,
                handlelength=1.2,
            )
    axes.set_xlabel(tr("seconds since the start of the run"))
    return figure


def _rates(evidence: Evidence) -> Panel | None:
    lines = []
    rows = [(m, row) for m, row in figure_rows(evidence) if row.estimate is not None and m.stays]
    for (measurement, row), (marker, colour) in zip(rows, _marks(len(rows)), strict=True):
        assert row.estimate is not None
        share = [
            (at, 100 * rate / row.estimate.value)
            for visit in measurement.stays
            for at, rate in _visit_rates(measurement, visit, max(1, _POINTS // len(measurement.stays)))
        ]
        name = printable(row.precision, limit=12)
        lines.append(Line(name=name, marker=marker, colour=colour, points=tuple(share), joined=False))
    if not lines:
        return None
    return Panel(
        title=tr("Rate, % of the row's figure"),
        lines=tuple(lines),
        told=" ".join(
            tr(
                "Rate of {precision}: {low} to {high} of its figure.",
                precision=line.name,
                low=f"{min(y for _, y in line.points):.0f} %",
                high=f"{max(y for _, y in line.points):.0f} %",
            )
            for line in lines
        ),
        from_zero=True,
    )


def _visit_rates(measurement: Measurement, visit: Visit, most: int) -> Iterator[tuple[float, float]]:
    """Seconds and mean rate of at most `most` parts of a window."""
    size = -(-len(visit.samples) // most) or 1
    for first in range(0, len(visit.samples), size):
        part = visit.samples[first : first + size]
        took = sum(sample.host_ns for sample in part)
        launches = sum(sample.launches for sample in part)
        if took > 0:
            yield part[0].start_ns / NS_PER_S, measurement.cost.ops * launches * NS_PER_S / took


def _levels(evidence: Evidence) -> Iterator[Panel | None]:
    yield _clock(evidence)
    for unit, title, scale in (
        ("Hz", tr("Frequency as the system tells it, GHz"), 1e9),
        ("uJ", tr("Power, W"), 1e6),
        ("mdegC", tr("Temperature, °C"), 1e3),
    ):
        lines: list[Line] = []
        sensors = [one for one in evidence.telemetry.sensors if one.unit == unit and one.levels]
        for sensor in sensors[: len(_MARKS)]:
            times = [reading.at_ns / NS_PER_S for reading in evidence.telemetry.readings][:: sensor.every]
            points = [(at, level.value / scale) for at, level in zip(times, sensor.levels, strict=False)]
            if unit == "uJ":
                points = _per_second(points)
            if points:
                colour = _MARKS[len(lines)][1]
                name = printable(sensor.name, limit=24)
                line = Line(name=name, marker="", colour=colour, points=_thinned(points), joined=True)
                lines.append(line)
        if unit == "uJ" and evidence.telemetry.meter is not None:
            read = [(r.at_ns / NS_PER_S, r.energy_uj / 1e6) for r in evidence.telemetry.meter.readings]
            points = _per_second(read)
            if points:
                name = tr("wall meter")
                lines.append(Line(name=name, marker="", colour="ink", points=_thinned(points), joined=True))
        yield _panel(title, lines)


def _clock(evidence: Evidence) -> Panel | None:
    """The clock after each window, and the windows where it was low."""
    windows = sorted(
        (visit.samples[-1].start_ns / NS_PER_S, sum(visit.clocks_hz) / len(visit.clocks_hz) / 1e9)
        for measurement in evidence.measurements
        for visit in measurement.stays
        if visit.clocks_hz and visit.samples
    )
    if not windows:
        return None
    least = SLOW * max(ghz for _, ghz in windows)
    name = tr("mean of the cores")
    lines = [Line(name=name, marker=".", colour="delivered", points=_thinned(windows), joined=True)]
    slow = tuple((at, ghz) for at, ghz in windows if ghz < least)
    if slow:
        name = tr("over 10 % below the fastest")
        lines.append(Line(name=name, marker="v", colour="bad", points=_thinned(slow), joined=False))
    return _panel(tr("Measured clock of the cores, GHz"), lines)


def slow_windows(evidence: Evidence) -> tuple[int, int]:
    """How many windows ran below SLOW of the fastest window's mean clock, and of how many."""
    means = [
        sum(visit.clocks_hz) / len(visit.clocks_hz)
        for measurement in evidence.measurements
        for visit in measurement.stays
        if visit.clocks_hz
    ]
    return sum(mean < SLOW * max(means) for mean in means), len(means)


def _load(evidence: Evidence) -> Panel | None:
    """Who else had the processors' time, between two readings."""
    readings = evidence.telemetry.readings
    cpus = next((device.fact("threads-affinity") for device in evidence.devices), None)
    if not isinstance(cpus, int) or cpus < 1 or len(readings) < 2:
        return None
    step = -(-len(readings) // _POINTS)
    foreign, stolen = [], []
    for before, after in zip(readings[::step], readings[step::step], strict=False):
        capacity_us = (after.at_ns - before.at_ns) / 1000 * cpus
        if capacity_us <= 0:
            continue
        others = (after.busy_us - before.busy_us) - (after.own_us - before.own_us)
        at = after.at_ns / NS_PER_S
        foreign.append((at, max(0.0, 100 * others / capacity_us)))
        stolen.append((at, 100 * (after.steal_us - before.steal_us) / capacity_us))
    lines = [
        Line(name=name, marker="", colour=colour, points=tuple(points), joined=True)
        for name, colour, points in (
            (tr("other processes"), "declared", foreign),
            (tr("taken by the hypervisor"), "other", stolen),
        )
        if points
    ]
    panel = _panel(tr("Processors' time lost to others, %"), lines)
    return None if panel is None else replace(panel, from_zero=True)


def _panel(title: str, lines: Sequence[Line]) -> Panel | None:
    if not lines:
        return None
    values = [y for line in lines for _, y in line.points]
    told = tr(
        "{quantity}: {low} to {high}.", quantity=title, low=f"{min(values):.3g}", high=f"{max(values):.3g}"
    )
    return Panel(title=title, lines=tuple(lines), told=told, from_zero=False)


def _per_second(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The growth of a counter, at most _POINTS times."""
    step = max(1, len(points) // _POINTS)
    kept = points[::step]
    return [
        (late, (after - before) / (late - early))
        for (early, before), (late, after) in pairwise(kept)
        if late > early
    ]


def _thinned(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Means of neighbours, so that at most _POINTS are left."""
    size = -(-len(points) // _POINTS)
    parts = [points[first : first + size] for first in range(0, len(points), size)]
    return tuple((part[0][0], sum(y for _, y in part) / len(part)) for part in parts)


def shapes(evidence: Evidence) -> str | None:
    """The rate of every shape that was tried for a figure, the chosen one ringed; None where none ran."""
    rows = [(m, row) for m, row in figure_rows(evidence) if any(trial.ops_per_s for trial in m.tried)]
    if not rows:
        return None
    told = [
        tr(
            "{precision}: {ran} shapes ran, the slowest at {share} of the fastest.",
            precision=printable(row.precision, limit=20),
            ran=len(rates),
            share=f"{100 * min(rates) / max(rates):.0f} %",
        )
        for m, row in rows
        for rates in ([trial.ops_per_s[-1] for trial in m.tried if trial.ops_per_s],)
    ]
    return _svg("shapes", lambda: _tried(rows), tr("Shapes tried"), " ".join(told))


def _tried(rows: Sequence[tuple[Measurement, Delivered]]) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    figure = _figure(225.0)
    axes = figure.add_axes((0.14, 0.18, 0.84, 0.72))
    for (measurement, row), (marker, colour) in zip(rows, _marks(len(rows)), strict=True):
        ran = [trial for trial in measurement.tried if trial.ops_per_s]
        best = max(trial.ops_per_s[-1] for trial in ran)
        across = [1 + index for index, trial in enumerate(measurement.tried) if trial.ops_per_s]
        upwards = [100 * trial.ops_per_s[-1] / best for trial in ran]
        axes.plot(
            across,
            upwards,
            marker,
            color=COLOURS[colour],
            markersize=4,
            label=printable(row.precision, limit=12),
        )
        for trial, x, y in zip(ran, across, upwards, strict=True):
            if trial.shape == measurement.workload.shape:
                axes.plot([x], [y], "o", markersize=9, markerfacecolor="none", color=COLOURS[colour])
    axes.set_ylim(0, 108)
    axes.set_xlim(0, 1 + max(len(measurement.tried) for measurement, _ in rows))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y", color=COLOURS["line"], linewidth=0.6)
    axes.set_xlabel(tr("shapes in the order in which they were tried"))
    axes.set_ylabel(tr("rate, % of the row's fastest"))
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.99),
        ncols=6,
        frameon=False,
        handletextpad=0.0,
        columnspacing=0.8,
        borderpad=0.1,
    )
    return figure


# --------------------------------------------------------------------------------------------- drawing


def _marks(count: int) -> tuple[tuple[str, str], ...]:
    return tuple(_MARKS[index % len(_MARKS)] for index in range(count))


def _short(value: float, unit: str) -> str:
    """`10 Gop/s`: a tick of a logarithmic axis."""
    for scale, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit and value >= 0.999 * scale:
            return f"{value / scale:g} {prefix}{unit}"
    return f"{value:g} {unit}".rstrip()


def _figure(height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH / 72, height / 72))


@contextmanager
def _style() -> Iterator[None]:
    """How everything is drawn; what a file says is never read as mathematics."""
    import matplotlib
    from matplotlib import font_manager

    had = {font.name for font in font_manager.fontManager.ttflist}
    quiet = ("axes.edgecolor", "xtick.color", "ytick.color")
    ink = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
    style: dict[Any, Any] = {
        "font.family": [name for name in _FONTS if name in had],
        "font.size": _TEXT,
        "legend.fontsize": _TEXT - 0.5,
        "xtick.labelsize": _TEXT - 0.5,
        "ytick.labelsize": _TEXT - 0.5,
        "axes.labelsize": _TEXT,
        "axes.unicode_minus": False,
        "axes.prop_cycle": f"cycler(color=['{COLOURS['ink']}'])",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "bench",
        **dict.fromkeys(quiet, COLOURS["quiet"]),
        **dict.fromkeys(ink, COLOURS["ink"]),
    }
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Text of an SVG is set by whoever shows it: a glyph that is missing here is none there.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _svg(name: str, draw: Callable[[], "Figure"], title: str, told: str) -> str:
    """An `<svg>` element for a page: named, described, in the page's colours and its font."""
    file = io.StringIO()
    with _style():
        draw().savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(file.getvalue())
    return _for_a_page(root, name, title, told)


def _for_a_page(root: ElementTree.Element, name: str, title: str, told: str) -> str:
    for part in list(root):
        if part.tag == f"{{{_SVG}}}metadata":
            root.remove(part)
    for parent in root.iter(f"{{{_SVG}}}defs"):
        # It would set the style of everything on the page.
        for style in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(style)
    used = set(re.findall(r"#([\w-]+)", " ".join(_references(root))))
    for element in root.iter():
        known = element.attrib.pop("id", None)
        if known in used:
            element.set("id", f"{name}-{known}")
        for key, value in element.attrib.items():
            element.set(key, _themed(_renamed(value, name, used)))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-told",
        "stroke-linejoin": "round",
        "font-family": "inherit",
    }
    for index, (tag, words) in enumerate((("title", title), ("desc", told))):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{'told' if index else 'title'}"})
        element.text = words
        root.insert(index, element)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        yield from (value for key, value in element.attrib.items() if key != "id" and "#" in value)


def _renamed(value: str, name: str, used: set[str]) -> str:
    """References to ids that several charts of a page would share."""
    return re.sub(
        r"(?<=^#)[\w-]+|(?<=url\(#)[\w-]+",
        lambda match: f"{name}-{match[0]}" if match[0] in used else match[0],
        value,
    )


_NAMES = {colour: name for name, colour in COLOURS.items()}


def _themed(value: str) -> str:
    """Colours become the page's variables; fonts are the page's own."""
    value = re.sub(
        r"#[0-9a-f]{6}\b",
        lambda match: f"var(--{_NAMES[match[0]]})" if match[0] in _NAMES else match[0],
        value,
    )
    return re.sub(r"font-family:[^;]*;?\s*|(?<=px )'[^;]*(?=;|$)", "", value)


def _standing_alone(svg: str) -> str:
    """The same as a file of its own, which brings the colours that a page would have."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in colours.items()) for colours in (COLOURS, DARK)
    )
    style = (
        f"<style>svg{{{light}background:var(--paper);font-family:sans-serif}}"
        f"@media(prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    )
    head, rest = svg.split(">", 1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>{style}{rest}\n'


def _png(draw: Callable[[], "Figure"]) -> bytes:
    file = io.BytesIO()
    with _style():
        if language.spoken() != "en":
            _require_glyphs("測量")
        draw().savefig(file, format="png", dpi=216, facecolor=COLOURS["paper"], metadata={"Software": None})
    return file.getvalue()


def _require_glyphs(sample: str) -> None:
    from matplotlib import font_manager

    for font in font_manager.fontManager.ttflist:
        if font.name in _FONTS and font.name != "DejaVu Sans":
            return
    raise CannotMeasure(
        f"no font on this machine has the characters of this language ({sample}): apt-get install "
        "fonts-noto-cjk, or ask for -o FILE.svg."
    )
