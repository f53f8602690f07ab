"""Findings and limits in a terminal, whatever the evidence is about."""

from collections.abc import Sequence

from rich.console import Console

from bench.printable import printable
from bench.report import sentences
from bench.report.language import listed, tr
from bench.terms import Finding, Status

# Mark and weight of a finding, by its status.
_MARKS: dict[Status, str] = {"failure": "✗", "warning": "!", "info": "·"}

# Of one finding so many are told one by one; more would bury the others.
SAID_EACH = 2


def findings(console: Console, found: Sequence[Finding]) -> None:
    """Each finding in a sentence; of one that many rows share the first, and whom else it is about."""
    if not found:
        return
    console.print(tr("Findings:"), style="bold")
    for code, status in dict.fromkeys((one.code, one.status) for one in found):
        same = [one for one in found if (one.code, one.status) == (code, status)]
        said = same if len(same) <= SAID_EACH else same[:1]
        for one in said:
            words = printable(sentences.finding(one), limit=600)
            subject = sentences.subject(one.subject)
            console.print(f"{_MARKS[status]} {tr('{subject}: {words}', subject=subject, words=words)}")
        if len(said) < len(same):
            others = listed(sentences.subject(one.subject) for one in same[1:])
            console.print("  " + tr("likewise ({number}): {others}", number=len(same) - 1, others=others))
    console.print()


def limits(console: Console, heading: str, codes: Sequence[str]) -> None:
    """What the evidence does not show."""
    console.print(heading, style="bold")
    for code in codes:
        console.print(f"- {sentences.does_not_show(code)}")
