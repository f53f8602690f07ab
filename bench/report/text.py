"""The report in a terminal: tables of evidence for 80 columns and more, plain when piped."""

import math

from rich.console import Console
from rich.table import Table

from bench.printable import printable
from bench.report import bars, case, dates, sentences
from bench.report.beside import beside, percent, plain, unit_of
from bench.report.findings import findings, limits
from bench.report.language import listed, marked, tr
from bench.terms import (
    BorneOut,
    Case,
    Declaration,
    Delivered,
    Device,
    Estimate,
    Evidence,
    GemmShape,
    RuleSet,
    Shape,
    Threshold,
    Verdict,
)
from bench.units import TERA, format_rate

# What a run was, by its mode and whether it was interrupted.
MODES = {
    ("default", False): marked("measurement"),
    ("default", True): marked("measurement, interrupted"),
    ("quick", False): marked("smoke test: it decides nothing"),
    ("quick", True): marked("smoke test: it decides nothing, interrupted"),
}

# Two texts of a case, and the words around them.
_LONGEST_STATED = 600

# An interval whose two sides differ by more than this share of the value is told by its ends.
_UNEVEN = 0.01

# How an answer is coloured on a terminal, which its mark and its word say too.
_COLOURS: dict[sentences.Weight, str] = {"good": "green", "bad": "red", "open": "yellow"}

# Cells of a bar: with its ends, and the scale beside it, it fits 80 columns.
_BAR = 50

# Columns from which on each row's share of its ceiling has room; the figures' own stand further down.
_WIDE_ENOUGH = 100


def report(console: Console, evidence: Evidence, rules: RuleSet, number: str) -> None:
    """Everything a reader of the terminal needs, from verified values only."""
    _head(console, evidence, number)
    answers(console, evidence.verdict, rules, one_device=len(evidence.devices) == 1)
    stated(console, evidence.case)
    _rows(console, evidence)
    tiers(console, evidence.verdict, rules)
    declared_table(console, evidence.verdict)
    beside(console, evidence)
    findings(console, evidence.verdict.findings)
    heading = tr(
        "Assurance {level}: {words}. It does not show",
        level=printable(evidence.assurance),
        words=sentences.assurance(evidence.assurance),
    )
    limits(console, heading, evidence.does_not_show)


def with_interval(estimate: Estimate) -> str:
    """`325.1 GFLOPS ± 0.4 %`: the half-width as a share of the value.

    `35.84 GFLOPS (0 to 122.9 GFLOPS)` where that would hide an end: one that was cut at zero, or sides that
    differ.
    """
    return f"{format_rate(estimate.value, estimate.unit)} {interval_words(estimate)}"


def interval_words(estimate: Estimate) -> str:
    """The interval alone, as `with_interval` has it."""
    if _uneven(estimate):
        low = format_rate(estimate.low, estimate.unit) if estimate.low else "0"
        high = format_rate(estimate.high, estimate.unit)
        return tr("({low} to {high})", low=low, high=high)
    half = (estimate.high - estimate.low) / 2 / estimate.value
    return f"± {100 * half:.1f} %"


def _uneven(estimate: Estimate) -> bool:
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return estimate.low <= 0 or abs(above - below) > _UNEVEN * estimate.value


def shape_text(shape: Shape) -> str:
    """`2048×512×1024`, or batch, channels to filters, image, kernel and padding of a convolution.

    After it the layers on one another (`L8`) and the streams (`S2`), where there are several.
    """
    layers = f" L{shape.depth}" if shape.depth > 1 else ""
    streams = f" S{shape.streams}" if shape.streams > 1 else ""
    if isinstance(shape, GemmShape):
        return f"{shape.m}×{shape.n}×{shape.k}{layers}{streams}"
    padding = f" pad {shape.padding}" if shape.padding else ""
    return (
        f"{shape.batch}×{shape.channels}→{shape.filters} {shape.height}×{shape.width} "
        f"k{shape.kernel}{padding}{layers}{streams}"
    )


def _head(console: Console, evidence: Evidence, number: str) -> None:
    head = tr(
        "Report {number} · {created} · {kind}",
        number=number,
        created=printable(evidence.created),
        kind=tr(MODES[evidence.mode, evidence.interrupted]),
    )
    console.print(head, style="bold")
    console.print(dates.both(evidence.created))
    for device in evidence.devices:
        console.print(tr("{subject}: {words}", subject=printable(device.selector), words=device_line(device)))
    if evidence.asked:
        console.print(tr("asked for: {names}", names=listed(printable(name) for name in evidence.asked)))
    console.print()


def answers(console: Console, verdict: Verdict, rules: RuleSet, *, one_device: bool) -> None:
    """The answer to each tier, the figures that it is about, and what was delivered drawn against them.

    The device is named where there is not `one_device` alone.
    """
    if not verdict.thresholds:
        return
    heading = tr(
        "Verdict on {rules}, by the {which} figure",
        rules=rules.id,
        which=sentences.decided_by(rules.decided_by),
    )
    console.print(heading, style="bold")
    shapes = bars.glyphs(console.encoding)
    for row in verdict.thresholds:
        # One device was named above, and its name would not fit.
        tier = sentences.title(rules, row.tier) if one_device else _tier(rules, row)
        reason = row.declared_reason if rules.decided_by == "declared" else row.delivered_reason
        answer = tr(
            "{answer}: {tier}, {threshold}",
            answer=_worded(row.headline, reason),
            tier=tier,
            threshold=f"{format_rate(row.limit, unit_of(row.precision))} {printable(row.precision)}",
        )
        weight = sentences.weight(row.headline)
        console.print(f"{shapes.marks[weight]} {answer}", style=f"bold {_COLOURS[weight]}")
        _drawn(console, row, shapes, _COLOURS[weight])
    legend = tr(
        "bars: {fill} delivered, {declared} declared, {threshold} threshold",
        fill=shapes.fills[-1],
        declared=shapes.declared,
        threshold=shapes.threshold,
    )
    console.print(legend)
    console.print()


def _drawn(console: Console, row: Threshold, shapes: bars.Glyphs, colour: str) -> None:
    """Both figures about a tier, and a bar of what was delivered."""
    figures = tr(
        "declared {declared}, delivered {delivered}",
        declared=tr("none") if row.declared is None else declared_rate(row.declared),
        delivered=tr("none") if row.delivered is None else with_interval(row.delivered),
    )
    console.print(f"  {figures}")
    rates = (
        row.limit,
        row.declared.ops_per_s if row.declared else None,
        row.delivered.value if row.delivered else None,
    )
    end = format_rate(bars.scale(*rates), unit_of(row.precision))
    scale = tr("{low} to {high}", low=0, high=end)
    console.print(f"  {bars.bar(*rates, _BAR, shapes)} {scale}", style=colour)


def stated(console: Console, about: Case | None) -> None:
    """What is stated about the visit, where anything is."""
    if about is None:
        return
    console.print(tr("Stated about the visit (not measured)"), style="bold")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    # Chinese has no spaces to wrap at: what is too long is broken, and never cut.
    table.add_column(overflow="fold")
    for label, value in case.lines(about):
        table.add_row(label, printable(value, limit=_LONGEST_STATED))
    console.print(table)
    console.print()


def device_line(device: Device) -> str:
    """The device in a line: its name, and what of its facts says how large it is."""
    name = printable(device.name)
    parts = [tr("external runner: {name}", name=name) if device.family == "runner" else name]
    threads = device.fact("threads-usable")
    if threads is not None:
        parts.append(tr("{threads} threads usable", threads=threads))
    multiprocessors = device.fact("sm-count")
    if multiprocessors is not None:
        parts.append(tr("{number} SMs", number=multiprocessors))
    if device.fact("hypervisor") is True:
        parts.append(tr("in a virtual machine"))
    return listed(parts)


def _rows(console: Console, evidence: Evidence) -> None:
    known = any(row.ceiling for row in evidence.delivered) and console.width >= _WIDE_ENOUGH
    columns = [tr("asked"), tr("kernel and form"), ">" + tr("delivered (95 %)"), tr("measured"), tr("shape")]
    table = plain(*columns, *([">" + tr("of ceiling")] if known else []))
    # A row's name does not say on which device it ran.
    shapes = {(m.workload.device, m.workload.row): m.workload.shape for m in evidence.measurements}
    best = {(figure.device, figure.row) for figure in evidence.figures}
    notes: dict[str, str] = {}
    for row in evidence.delivered:
        kernel, _, form = row.row.split("/", 2)
        mark = " *" if (row.device, row.row) in best else _note(notes, row)
        cells = [
            row.precision,
            f"{kernel} {form}{mark}",
            with_interval(row.estimate) if row.estimate else tr("no figure"),
            printable(row.measured or "-"),
            shape_text(shapes[row.device, row.row]) if row.estimate else "",
        ]
        table.add_row(*cells, *([_share(row)] if known else []))
    console.print(table)
    console.print(
        tr(
            "* the device's figure for that precision: of the rows that count, the one whose interval's lower"
            " end is highest; rows held under load (--sustain) go before all others"
        )
    )
    for reason, mark in notes.items():
        console.print(tr("{mark} not counted: {reason}", mark=mark, reason=sentences.reason(reason)))
    reasons = ((row.ceiling_reason, row.ceiling is None) for row in evidence.delivered if row.ceiling_reason)
    for code, unknown in dict.fromkeys(reasons):
        words = marked("ceiling: unknown ({reason})") if unknown else marked("ceiling: uncertain ({reason})")
        console.print(tr(words, reason=sentences.reason(code)))
    console.print()


def _note(notes: dict[str, str], row: Delivered) -> str:
    """The mark of a row that does not count; rows with one reason share a mark."""
    if row.counts or row.reason is None:
        return ""
    return " " + notes.setdefault(row.reason, f"({chr(ord('a') + len(notes))})")


def _share(row: Delivered) -> str:
    return percent(row.estimate.value / row.ceiling) if row.estimate and row.ceiling else tr("unknown")


def tiers(console: Console, verdict: Verdict, rules: RuleSet) -> None:
    """Both answers of each tier, side by side, and the one that the rule goes by; then in a sentence each."""
    decided_by = sentences.decided_by(rules.decided_by)
    heading = tr("Tiers of {rules}, decided by the {which} figure", rules=rules.id, which=decided_by)
    console.print(heading, style="bold")
    table = plain(tr("tier"), tr("threshold"), tr("declared"), tr("delivered"), tr("answer"))
    notes: dict[str, str] = {}
    for row in verdict.thresholds:
        unit = unit_of(row.precision)
        declared = declared_rate(row.declared) if row.declared else None
        delivered = format_rate(row.delivered.value, unit) if row.delivered else None
        table.add_row(
            _tier(rules, row),
            f"{format_rate(row.limit, unit)} {row.precision}",
            _answer(declared, row.declared_word, row.declared_reason, notes),
            _answer(delivered, row.delivered_word, row.delivered_reason, notes),
            sentences.answer(row.headline),
        )
    console.print(table)
    for reason, mark in notes.items():
        console.print(f"{mark} {sentences.reason(reason)}")
    for row in verdict.thresholds:
        words = headline(row, _borne_out(verdict, row))
        if words is not None:
            console.print(tr("{subject}: {words}", subject=_tier(rules, row), words=words))
    console.print(tr("status of the rule set: {status}", status=tr(rules.status)))
    console.print()


def _tier(rules: RuleSet, row: Threshold) -> str:
    """The tier and the device that it is about."""
    return f"{sentences.title(rules, row.tier)} ({sentences.subject(row.device)})"


def _answer(rate: str | None, word: str, reason: str | None, notes: dict[str, str]) -> str:
    shown = sentences.answer(word)
    if rate is not None:
        shown = tr("{rate}: {answer}", rate=rate, answer=shown)
    return f"{shown} {notes.setdefault(reason, f'[{len(notes) + 1}]')}" if reason else shown


def declared_rate(declared: Declaration) -> str:
    """The declared rate, and whether somebody has read it at its source."""
    rate = format_rate(declared.ops_per_s, unit_of(declared.precision))
    if declared.verified:
        return rate
    if declared.provenance == "stated":
        return tr("{rate} (typed)", rate=rate)
    return tr("{rate} (not re-read)", rate=rate)


def _borne_out(verdict: Verdict, row: Threshold) -> BorneOut | None:
    """The other answer about the same declared figure."""
    same = (
        found for found in verdict.declared if (found.device, found.declared) == (row.device, row.declared)
    )
    return next(same, None)


def headline(row: Threshold, borne_out: BorneOut | None) -> str | None:
    """Both questions about a declared figure in a sentence (its form: the design page on eligibility).

    None where nothing is declared. `borne_out` is the judge's row about the figure that `row` declares.
    """
    declared = row.declared
    if declared is None:
        return None
    parts = [
        tr(
            "declared {declared} {unit} {precision} {sign} {limit}: {answer}",
            declared=f"{declared.ops_per_s / TERA:.6g}",
            unit=unit_of(row.precision),
            precision=row.precision,
            sign="≥" if declared.ops_per_s >= row.limit else "<",
            limit=f"{row.limit / TERA:.6g}",
            answer=_worded(row.declared_word, row.declared_reason),
        ),
        tr("delivered alone: {answer}", answer=_worded(row.delivered_word, row.delivered_reason)),
    ]
    if borne_out is not None:
        parts[1:1] = [_beside_declared(borne_out), *sentences.comparable([borne_out])]
    return tr("; ").join(parts)


def _beside_declared(row: BorneOut) -> str:
    """What was delivered of a declared figure, and the share of it that others measured."""
    word, delivered = _worded(row.word, row.reason), _tera(row.delivered)
    if row.share is None:
        return tr("delivered {delivered}: {answer}", delivered=delivered, answer=word)
    return tr(
        "delivered {delivered} ({share} of declared, reference {reference}): {answer}",
        delivered=delivered,
        share=f"{row.share.value:.2f}",
        reference=_reference(row),
        answer=word,
    )


def _worded(word: str, reason: str | None) -> str:
    shown = sentences.reading(word)
    return f"{shown} ({sentences.reason(reason)})" if reason else shown


def _reference(row: BorneOut) -> str:
    """The range of shares that others measured."""
    if row.reference is None:
        return tr("none")
    return tr("{low} to {high}", low=f"{row.reference.low:.2f}", high=f"{row.reference.high:.2f}")


def _tera(estimate: Estimate | None) -> str:
    """`38.2 ± 0.3` in tera-operations per second: the half-width to one digit, the value as far."""
    if estimate is None:
        return tr("nothing")
    if _uneven(estimate):
        value, low, high = (f"{rate / TERA:.4g}" for rate in (estimate.value, estimate.low, estimate.high))
        return tr("{rate} ({low} to {high})", rate=value, low=low, high=high)
    half = float(f"{(estimate.high - estimate.low) / 2 / TERA:.1g}")
    # A width of nothing still leaves four digits of the value.
    last = half or estimate.value / TERA / 1000
    places = max(0, -math.floor(math.log10(last)))
    return f"{estimate.value / TERA:.{places}f} ± {half:.{places}f}"


def declared_table(console: Console, verdict: Verdict) -> None:
    """Each declared figure beside what was delivered, where any is."""
    if not verdict.declared:
        return
    console.print(tr("Declared and delivered:"), style="bold")
    right = (">" + tr(name) for name in (marked("declared"), marked("delivered"), marked("share")))
    table = plain(tr("device"), tr("precision"), *right, tr("reference"), tr("answer"))
    for row in verdict.declared:
        word = sentences.answer(row.word)
        if row.reason:
            word = f"{word} ({sentences.reason(row.reason)})"
        table.add_row(
            sentences.subject(row.device),
            printable(row.declared.precision),
            declared_rate(row.declared),
            with_interval(row.delivered) if row.delivered else tr("none"),
            f"{row.share.value:.2f}" if row.share else "",
            _reference(row),
            word,
        )
    console.print(table)
    for words in sentences.comparable(verdict.declared):
        console.print(words)
    console.print()
