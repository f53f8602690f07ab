"""The report about a system in a terminal: all devices at once, each rank's own part, the answers."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from bench.printable import printable
from bench.report import dates, sentences, text
from bench.report.beside import percent, plain, unit_of
from bench.report.findings import findings, limits
from bench.report.language import listed, marked, tr
from bench.report.parts import Part, names, offset, size
from bench.report.text import MODES, with_interval
from bench.terms import Estimate, Member, RuleSet, Share, SystemEvidence, SystemFigure
from bench.units import NS_PER_S, format_rate

# Cells of a rank's number, and of a figure with its interval, in the table of their own figures.
_RANK, _RATE = 6, 23

# What the columns about all devices at once mean.
NOTES = (
    marked("all at once: the work of all devices in the window that they share, over its length"),
    marked(
        "sum: of the devices' rates in the time in which each was at work; for comparison, never the figure"
    ),
    marked("spread: the highest rate in that window less the lowest, over their mean"),
    marked("loss: by how much the rank that was measured alone is slower while all others work"),
)


def report(
    console: Console, evidence: SystemEvidence, parts: Sequence[Part], rules: RuleSet, number: str
) -> None:
    """Everything a reader of the terminal needs, from verified values only."""
    _head(console, evidence, parts, number)
    text.answers(console, evidence.verdict, rules, one_device=True)
    text.stated(console, evidence.case)
    _at_once(console, evidence)
    _ranks(console, evidence, parts)
    _own_figures(console, parts)
    text.tiers(console, evidence.verdict, rules)
    text.declared_table(console, evidence.verdict)
    findings(console, evidence.verdict.findings)
    heading = tr(
        "Assurance {level}: {words}. It does not show",
        level=printable(evidence.assurance),
        words=sentences.assurance(evidence.assurance),
    )
    limits(console, heading, evidence.does_not_show)


# ---------------------------------------------------------------------------- words that the page says too


def missing(evidence: SystemEvidence) -> Iterator[str]:
    """A sentence for each rank whose part is not there, or not whole."""
    gone = marked("rank {rank} on machine {machine} ({device}) is missing: {reason}")
    cut_off = marked("rank {rank} on machine {machine} ({device}) was cut off: {reason}")
    for member in evidence.members:
        if member.reason is not None:
            yield tr(
                gone if member.report is None else cut_off,
                rank=member.rank,
                machine=member.node,
                device=printable(member.device),
                reason=sentences.reason(member.reason),
            )


def without_figure(evidence: SystemEvidence) -> Iterator[str]:
    """Each reason why there is no figure, and the precisions that it is about."""
    without: dict[str, list[str]] = {}
    for figure in evidence.figures:
        if figure.reason is not None:
            without.setdefault(figure.reason, []).append(printable(figure.precision))
    for reason, precisions in without.items():
        yield tr(
            "{precisions}: no figure: {reason}",
            precisions=listed(precisions),
            reason=sentences.reason(reason),
        )


def state(member: Member) -> str:
    """What there is of a rank's part."""
    if member.reason is None:
        return tr("whole")
    words = marked("none: {reason}") if member.report is None else marked("cut off: {reason}")
    return tr(words, reason=sentences.reason(member.reason))


def slowest(figure: SystemFigure) -> Share | None:
    """The share of the slowest rank."""
    return next((share for share in figure.shares if share.rank == figure.slowest), None)


def loss(figure: SystemFigure) -> str:
    """`1.2 % (rank 0)`: against running alone, of the rank that did."""
    alone = next((share.rank for share in figure.shares if share.alone is not None), None)
    if figure.loss is None or alone is None:
        return tr("not measured")
    return tr("{share} (rank {rank})", share=percent(figure.loss), rank=alone)


def spread(figure: SystemFigure) -> str:
    """The highest rate less the lowest, over their mean."""
    return tr("unknown") if figure.spread is None else percent(figure.spread)


def window(figure: SystemFigure) -> str:
    """The length of the window that all share."""
    if figure.begin_ns is None or figure.end_ns is None:
        return tr("none")
    return tr("{seconds} s", seconds=f"{(figure.end_ns - figure.begin_ns) / NS_PER_S:.1f}")


def of_sum(figure: SystemFigure) -> str:
    """The figure over the sum of the devices' own rates."""
    if figure.estimate is None or not figure.total:
        return tr("unknown")
    return percent(figure.estimate.value / figure.total)


def total(figure: SystemFigure) -> str:
    return tr("unknown") if figure.total is None else format_rate(figure.total, unit_of(figure.precision))


def precisions(parts: Sequence[Part]) -> list[str]:
    """Those in which any rank has a figure, in the order in which they first come."""
    return [*dict.fromkeys(name for part in parts for name in part.figures)]


def clock_words(evidence: SystemEvidence) -> str | None:
    """How the ranks' clocks were compared; None where none was."""
    if not any(member.exchanges for member in evidence.members):
        return None
    return tr(
        "clock: what to add to a rank's time to have rank 0's, each counted from its own start. Told by"
        " question and answer, give or take half of the round trip; of several the shortest counts, once"
        " before the windows that all share and once after"
    )


# ------------------------------------------------------------------------------------------- the terminal


def _head(console: Console, evidence: SystemEvidence, parts: Sequence[Part], number: str) -> None:
    head = tr(
        "Report {number} · {created} · {kind}",
        number=number,
        created=printable(evidence.created),
        kind=tr(MODES[evidence.mode, evidence.interrupted]),
    )
    console.print(head, style="bold")
    console.print(dates.both(evidence.created))
    console.print(size(evidence))
    if known := names(parts):
        console.print(known)
    if evidence.interrupted:
        console.print(tr("The run was interrupted: its figures stand on what was measured until then."))
    for words in missing(evidence):
        console.print(f"! {words}", style="bold red")
    console.print()


def _at_once(console: Console, evidence: SystemEvidence) -> None:
    console.print(tr("All at once"), style="bold")
    found = [figure for figure in evidence.figures if figure.estimate is not None]
    if found:
        _figures(console, found)
        _beside_each_other(console, found)
        for words in NOTES:
            console.print(tr(words))
    for words in without_figure(evidence):
        console.print(words)
    console.print()


def _figures(console: Console, found: Sequence[SystemFigure]) -> None:
    right = (marked("all at once (95 %)"), marked("sum"), marked("of the sum"), marked("window"))
    table = plain(tr("precision"), *(">" + tr(name) for name in right))
    for figure in found:
        assert figure.estimate is not None
        table.add_row(
            printable(figure.precision),
            with_interval(figure.estimate),
            total(figure),
            of_sum(figure),
            window(figure),
        )
    console.print(table)


def _beside_each_other(console: Console, found: Sequence[SystemFigure]) -> None:
    right = (marked("its rate"), marked("spread"), marked("loss"))
    table = plain(tr("precision"), tr("slowest"), *(">" + tr(name) for name in right))
    for figure in found:
        least = slowest(figure)
        table.add_row(
            printable(figure.precision),
            tr("unknown") if least is None else tr("rank {rank}", rank=least.rank),
            "" if least is None else format_rate(least.rate, unit_of(figure.precision)),
            spread(figure),
            loss(figure),
        )
    console.print(table)


def _ranks(console: Console, evidence: SystemEvidence, parts: Sequence[Part]) -> None:
    console.print(tr("Ranks, each a process that measured one device and signed its part"), style="bold")
    for member, part in zip(evidence.members, parts, strict=True):
        _rank(console, member, part)
    words = clock_words(evidence)
    if words is not None:
        console.print(words)
    console.print()


def _rank(console: Console, member: Member, part: Part) -> None:
    device = part.device
    head = tr(
        "rank {rank} on machine {machine}: {device}",
        rank=member.rank,
        machine=member.node,
        device=printable(member.device),
    )
    if device is not None:
        head = tr("{subject}: {words}", subject=head, words=text.device_line(device))
    console.print(head)
    if member.reason is not None:
        console.print(f"  {state(member)}")
    if part.uuid is not None:
        console.print(f"  {part.uuid}")
    if part.number is not None:
        console.print("  " + tr("report {number}", number=part.number))
    if part.fingerprint is not None:
        console.print("  " + tr("key {fingerprint}", fingerprint=printable(part.fingerprint)))
    if (apart := offset(part)) is not None:
        console.print("  " + tr("clock {offset}", offset=apart))


def _own_figures(console: Console, parts: Sequence[Part]) -> None:
    """The ranks' figures by their own reports, as many precisions beside each other as there is room for."""
    shown = precisions(parts)
    if not shown:
        return
    console.print(tr("Each rank's own figure, by its own report (95 %)"), style="bold")
    at_once = max(1, (console.width - _RANK) // _RATE)
    for start in range(0, len(shown), at_once):
        some = shown[start : start + at_once]
        table = plain(tr("rank"), *(">" + printable(name) for name in some))
        for part in parts:
            table.add_row(str(part.rank), *(own(part.figures.get(name)) for name in some))
        console.print(table)
    console.print()


def own(estimate: Estimate | None) -> str:
    return tr("none") if estimate is None else with_interval(estimate)
