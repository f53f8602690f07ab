"""The report in a terminal: tables of evidence for 80 columns and more, plain when piped."""

import math

from rich.console import Console

from bench.printable import printable
from bench.report import sentences
from bench.report.beside import beside, percent, plain, unit_of
from bench.report.findings import findings, limits
from bench.terms import (
    BorneOut,
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
from bench.units import TERA, format_count, format_rate

# Columns from which on each row's share of its ceiling has room; the figures' own stand further down.
_WIDE_ENOUGH = 100


def report(console: Console, evidence: Evidence, rules: RuleSet, number: str) -> None:
    """Everything a reader of the terminal needs, from verified values only."""
    _head(console, evidence, number)
    _rows(console, evidence)
    _thresholds(console, evidence.verdict, rules)
    _declared(console, evidence)
    beside(console, evidence)
    findings(console, evidence.verdict.findings)
    words = sentences.ASSURANCE.get(evidence.assurance, "")
    heading = f"Assurance {printable(evidence.assurance)}: {words}. It does not show"
    limits(console, heading, evidence.does_not_show)


def with_interval(estimate: Estimate) -> str:
    """`325.1 GFLOPS ± 0.4 %`: the half-width as a share of the value."""
    half = (estimate.high - estimate.low) / 2 / estimate.value
    return f"{format_rate(estimate.value, estimate.unit)} ± {100 * half:.1f} %"


def shape_text(shape: Shape) -> str:
    """`2048×512×1024`, or batch, channels to filters, image, kernel and padding of a convolution."""
    if isinstance(shape, GemmShape):
        return f"{shape.m}×{shape.n}×{shape.k}"
    padding = f" pad {shape.padding}" if shape.padding else ""
    return (
        f"{shape.batch}×{shape.channels}→{shape.filters} {shape.height}×{shape.width} "
        f"k{shape.kernel}{padding}"
    )


def _head(console: Console, evidence: Evidence, number: str) -> None:
    mode = "smoke test: it decides nothing" if evidence.mode == "quick" else "measurement"
    state = ", interrupted" if evidence.interrupted else ""
    console.print(f"Report {number} · {printable(evidence.created)} · {mode}{state}", style="bold")
    for device in evidence.devices:
        console.print(f"{printable(device.selector)}: {device_line(device)}")
    if evidence.asked:
        console.print(f"asked for: {', '.join(printable(name) for name in evidence.asked)}")
    console.print()


def device_line(device: Device) -> str:
    """The device in a line: its name, and what of its facts says how large it is."""
    parts = [printable(device.name)]
    threads = device.fact("threads-usable")
    if threads is not None:
        parts.append(f"{threads} threads usable")
    if device.fact("hypervisor") is True:
        parts.append("in a virtual machine")
    return ", ".join(parts)


def _rows(console: Console, evidence: Evidence) -> None:
    known = any(row.ceiling for row in evidence.delivered) and console.width >= _WIDE_ENOUGH
    columns = ["asked", "kernel and form", ">delivered (95 %)", "measured", "shape"]
    table = plain(*columns, *([">of ceiling"] if known else []))
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
            with_interval(row.estimate) if row.estimate else "no figure",
            printable((row.measured or "-").replace("-accumulator-unseen", "?")),
            shape_text(shapes[row.device, row.row]) if row.estimate else "",
        ]
        table.add_row(*cells, *([_share(row)] if known else []))
    console.print(table)
    console.print("* the device's figure for that precision: the best row that counts")
    if any("-accumulator-unseen" in (row.measured or "") for row in evidence.delivered):
        console.print("int8? an 8-bit output that does not show in what it was added up")
    for reason, mark in notes.items():
        console.print(f"{mark} not counted: {sentences.reason(reason)}")
    reasons = ((row.ceiling_reason, row.ceiling is None) for row in evidence.delivered if row.ceiling_reason)
    for code, unknown in dict.fromkeys(reasons):
        state = "unknown" if unknown else "uncertain"
        console.print(f"ceiling: {state} ({sentences.reason(code)})")
    console.print()


def _note(notes: dict[str, str], row: Delivered) -> str:
    """The mark of a row that does not count; rows with one reason share a mark."""
    if row.counts or row.reason is None:
        return ""
    return " " + notes.setdefault(row.reason, f"({chr(ord('a') + len(notes))})")


def _share(row: Delivered) -> str:
    return percent(row.estimate.value / row.ceiling) if row.estimate and row.ceiling else "unknown"


def _thresholds(console: Console, verdict: Verdict, rules: RuleSet) -> None:
    """Both answers of each tier, side by side, and the one that the rule goes by; then in a sentence each."""
    console.print(f"Tiers of {rules.id}, decided by the {rules.decided_by} figure", style="bold")
    table = plain("tier", "threshold", "declared", "delivered", "answer")
    notes: dict[str, str] = {}
    for row in verdict.thresholds:
        unit = unit_of(row.precision)
        declared = _declared_rate(row.declared) if row.declared else None
        delivered = format_rate(row.delivered.value, unit) if row.delivered else None
        table.add_row(
            f"{row.tier} ({printable(row.device)})",
            f"{format_rate(row.limit, unit)} {row.precision}",
            _answer(declared, row.declared_word, row.declared_reason, notes),
            _answer(delivered, row.delivered_word, row.delivered_reason, notes),
            row.headline,
        )
    console.print(table)
    for reason, mark in notes.items():
        console.print(f"{mark} {sentences.reason(reason)}")
    for row in verdict.thresholds:
        words = headline(row, _borne_out(verdict, row))
        if words is not None:
            console.print(f"{row.tier} ({printable(row.device)}): {words}")
    console.print(f"status of the rule set: {rules.status}")
    console.print()


def _answer(rate: str | None, word: str, reason: str | None, notes: dict[str, str]) -> str:
    shown = f"{rate}: {word}" if rate is not None else word
    return f"{shown} {notes.setdefault(reason, f'[{len(notes) + 1}]')}" if reason else shown


def _declared_rate(declared: Declaration) -> str:
    """The declared rate, and whether somebody has read it at its source."""
    rate = format_rate(declared.ops_per_s, unit_of(declared.precision))
    if declared.verified:
        return rate
    return f"{rate} ({'typed' if declared.provenance == 'stated' else 'not re-read'})"


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
    sign = "≥" if declared.ops_per_s >= row.limit else "<"
    parts = [
        f"declared {declared.ops_per_s / TERA:.6g} {unit_of(row.precision)} {row.precision} {sign} "
        f"{row.limit / TERA:.6g}: {_worded(row.declared_word, row.declared_reason)}",
        f"delivered alone: {_worded(row.delivered_word, row.delivered_reason)}",
    ]
    if borne_out is not None:
        word = _worded(borne_out.word, borne_out.reason)
        parts.insert(1, f"delivered {_tera(borne_out.delivered)}{_shares(borne_out)}: {word}")
    return "; ".join(parts)


def _worded(word: str, reason: str | None) -> str:
    plain = word.replace("-", " ")
    return f"{plain} ({sentences.reason(reason)})" if reason else plain


def _shares(row: BorneOut) -> str:
    if row.share is None:
        return ""
    reference = f"{row.reference.low:.2f} to {row.reference.high:.2f}" if row.reference else "none"
    return f" ({row.share.value:.2f} of declared, reference {reference})"


def _tera(estimate: Estimate | None) -> str:
    """`38.2 ± 0.3` in tera-operations per second: the half-width to one digit, the value as far."""
    if estimate is None:
        return "nothing"
    half = float(f"{(estimate.high - estimate.low) / 2 / TERA:.1g}")
    # A width of nothing still leaves four digits of the value.
    last = half or estimate.value / TERA / 1000
    places = max(0, -math.floor(math.log10(last)))
    return f"{estimate.value / TERA:.{places}f} ± {half:.{places}f}"


def _declared(console: Console, evidence: Evidence) -> None:
    if not evidence.verdict.declared:
        return
    console.print("Declared and delivered:", style="bold")
    table = plain("device", "precision", ">declared", ">delivered", ">share", "reference", "answer")
    for row in evidence.verdict.declared:
        word = f"{row.word} ({sentences.reason(row.reason)})" if row.reason else row.word
        table.add_row(
            printable(row.device),
            printable(row.declared.precision),
            _declared_rate(row.declared),
            with_interval(row.delivered) if row.delivered else "none",
            f"{row.share.value:.2f}" if row.share else "",
            f"{row.reference.low:.2f} to {row.reference.high:.2f}" if row.reference else "none",
            word,
        )
    console.print(table)
    console.print()


def rule_set(console: Console, rules: RuleSet, *, whole: bool) -> None:
    """A rule set's tiers; with `whole` its quotes, its source and the reading with its arguments."""
    console.print(f"{rules.id} {rules.version}: {rules.title_en}", style="bold")
    console.print(f"  {rules.title_zh}")
    console.print(f"  status: {rules.status}")
    for tier in rules.tiers:
        limits = " or ".join(
            f"{format_rate(limit.ops_per_s, limit.unit)} {limit.precision or 'in the precision claimed'}"
            for limit in tier.limits
        )
        console.print(
            f"  {tier.id}: {limits} ({tier.scope}: {', '.join(tier.kinds)}), {tier.title_zh}", markup=False
        )
        if whole:
            console.print(f"    {tier.quote_zh}")
    for item in rules.items:
        condition = sentences.CONDITIONS[item.condition]
        console.print(f"  {item.id}: {condition} ≥ {format_count(item.parameters)}, {item.title_zh}")
        if whole:
            console.print(f"    {item.quote_zh}")
    if not whole:
        return
    console.print(f"  decided by the {rules.decided_by} figure: {rules.decided_by_quote_zh}")
    console.print(f"  reading ({rules.reading_basis}): {rules.reading}")
    for mark, arguments in (("for", rules.reading_for), ("against", rules.reading_against)):
        for argument in arguments:
            console.print(f"    {mark}: {argument}")
    for example in rules.examples:
        console.print(f"  example: {example}")
    console.print(f"  source: {rules.source}")
    console.print(f"  minimum assurance {rules.minimum_assurance}; digest {rules.digest}")
