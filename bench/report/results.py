"""One line about each file of evidence in a folder: as a table for people, JSON and CSV for programs.

Every string of a Row is printable: it was made so when the file was read.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.precision import PRECISIONS
from bench.printable import printable
from bench.report.csv_cells import harmless
from bench.report.language import marked, tr
from bench.report.parts import Part, counted
from bench.terms import Envelope, Evidence, ModelEvidence, SystemEvidence, Verdict
from bench.units import format_count, format_rate

State = Literal["verified", "unverified", "invalid", "untrusted", "unreadable"]
STATES: tuple[State, ...] = get_args(State)

# From where an error is cut: it may quote a path.
_LONGEST_REASON = 1000
_LONGEST_PATH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What evidence says in its own words, or the reason why it cannot be read.

    `figures` holds the best rate of each precision, in op/s, of a system that of all devices at once;
    `devices` are selectors with names, of a system one for each rank in their order, without a name where
    its part is missing. `parameters` are the lower and the higher count of a model, nothing where none was
    counted. `answers` are tiers or items with their answers, `words` every
    word of the verdict. `signers` are fingerprints as the file hints at them.
    """

    kind: Literal["run", "system", "parameters", "unknown"]
    report: str = ""
    created: str = ""
    mode: str = ""
    interrupted: bool = False
    assurance: str = ""
    case: str = ""
    devices: tuple[tuple[str, str], ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    parameters: tuple[int, ...] = ()
    answers: tuple[tuple[str, str], ...] = ()
    words: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How verifying a file ended. `at` is when, `by` the digest of what the verifier went by.

    `step` is the one that failed and `error` what it said. `signers` are those who are trusted, and `row`
    is what was verified where that is less than the file says: a run's level without its challenge is A0.
    """

    at: str
    by: str
    state: State
    step: int | None = None
    error: str = ""
    signers: tuple[str, ...] = ()
    row: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A file by its `path` below the folder.

    `row` is what was verified where it was, else `said`, the file's own words. `same_as` is the path of the
    file that holds the same report, where this is not the first of them.
    """

    path: str
    said: Row
    outcome: Outcome | None
    same_as: str = ""

    @property
    def file(self) -> str:
        """The path as it is shown."""
        return _shown(self.path)

    @property
    def row(self) -> Row:
        verified = self.outcome.row if self.outcome is not None else None
        return self.said if verified is None else verified

    @property
    def shown(self) -> Row:
        """What may be shown of `row`: of a file that is refused no figure, no answer and no level."""
        if not self.refused:
            return self.row
        return replace(self.row, assurance="", figures=(), parameters=(), answers=(), words=())

    @property
    def refused(self) -> bool:
        """Whether it was looked at and not found to be what it says."""
        return self.state in ("invalid", "untrusted", "unreadable")

    @property
    def state(self) -> State:
        if self.outcome is not None:
            return self.outcome.state
        return "unreadable" if self.said.kind == "unknown" else "unverified"

    @property
    def reason(self) -> str:
        return self.outcome.error if self.outcome is not None else self.said.reason

    @property
    def signers(self) -> tuple[str, ...]:
        return self.outcome.signers if self.state == "verified" and self.outcome else self.said.signers


def _shown(path: str) -> str:
    # Few paths hold what is not printed, and to look at each character takes long for 10,000 of them.
    return path if path.isprintable() else printable(path, limit=_LONGEST_PATH)


def with_same(lines: Sequence[Line]) -> list[Line]:
    """The lines, those of one report beyond the first by path with the first one's path."""
    first: dict[str, str] = {}
    for line in sorted(lines, key=lambda line: line.path):
        if line.row.report:
            first.setdefault(line.row.report, line.path)
    firsts = ((line, first.get(line.row.report, line.path)) for line in lines)
    return [line if line.path == path else replace(line, same_as=path) for line, path in firsts]


def row_of(
    evidence: Evidence | ModelEvidence | SystemEvidence,
    signed: Envelope,
    number: str,
    parts: Sequence[Part] = (),
) -> Row:
    """What evidence says, with the report's number; of a system its `parts` too."""
    signers = tuple(printable(signature.keyid) for signature in signed.signatures)
    if isinstance(evidence, ModelEvidence):
        return _model_row(evidence, signers, number)
    if isinstance(evidence, SystemEvidence):
        return _system_row(evidence, parts, signers, number)
    best: dict[str, float] = {}
    for figure in evidence.figures:
        if figure.estimate is not None:
            name = printable(figure.precision)
            best[name] = max(figure.estimate.value, best.get(name, 0.0))
    return Row(
        kind="run",
        report=number,
        created=printable(evidence.created),
        mode=evidence.mode,
        interrupted=evidence.interrupted,
        assurance=printable(evidence.assurance),
        case="" if evidence.case is None else printable(evidence.case.number),
        devices=tuple((printable(device.selector), printable(device.name)) for device in evidence.devices),
        figures=tuple(best.items()),
        answers=_answers(evidence.verdict),
        words=_words(evidence.verdict),
        signers=signers,
    )


def _system_row(
    evidence: SystemEvidence, parts: Sequence[Part], signers: tuple[str, ...], number: str
) -> Row:
    return Row(
        kind="system",
        report=number,
        created=printable(evidence.created),
        mode=evidence.mode,
        interrupted=evidence.interrupted,
        assurance=printable(evidence.assurance),
        case="" if evidence.case is None else printable(evidence.case.number),
        devices=tuple(
            (printable(member.device), "" if part.device is None else printable(part.device.name))
            for member, part in zip(evidence.members, parts, strict=True)
        ),
        figures=tuple(
            (printable(figure.precision), figure.estimate.value)
            for figure in evidence.figures
            if figure.estimate is not None
        ),
        answers=_answers(evidence.verdict),
        words=_words(evidence.verdict),
        signers=signers,
    )


def _answers(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    return tuple((printable(row.tier), row.headline) for row in verdict.thresholds)


def _words(verdict: Verdict) -> tuple[str, ...]:
    words: list[str] = [row.word for row in verdict.declared]
    for threshold in verdict.thresholds:
        words += [threshold.headline, threshold.declared_word, threshold.delivered_word]
    return tuple(dict.fromkeys(words))


def _model_row(evidence: ModelEvidence, signers: tuple[str, ...], number: str) -> Row:
    verdict, count = evidence.verdict, evidence.count
    words: list[str] = [] if verdict.claim is None else [verdict.claim]
    for item in verdict.items:
        words += [item.answer, item.claimed_word, item.counted_word]
    return Row(
        kind="parameters",
        report=number,
        created=printable(evidence.created),
        parameters=() if count is None else (count.low, count.high),
        answers=tuple((printable(item.item), item.answer) for item in verdict.items),
        words=tuple(dict.fromkeys(words)),
        signers=signers,
    )


def unreadable(reason: str) -> Row:
    """The row of a file that is no evidence, or that cannot be opened."""
    return Row(kind="unknown", reason=printable(reason, limit=_LONGEST_REASON))


# ------------------------------------------------------------------------------------------ the table

_COLUMNS = (
    marked("report"),
    marked("created"),
    marked("state"),
    marked("kind"),
    marked("device"),
    marked("figures"),
    marked("answers"),
    marked("level"),
    marked("case"),
    marked("signers"),
    marked("file"),
)


def headings() -> list[str]:
    """The columns' names in the language that is spoken."""
    return [tr(name) for name in _COLUMNS]


def cells(line: Line) -> list[str]:
    """A line of the table, a string for each heading."""
    row = line.shown
    return [
        row.report,
        row.created,
        state_words(line),
        _kind(row),
        _devices(row),
        line.reason if line.refused else _figures(row),
        ", ".join(f"{name}: {answer}" for name, answer in row.answers),
        _level(line),
        row.case,
        ", ".join(line.signers),
        _file(line),
    ]


def short(line: Line, width: int, states: int) -> list[str]:
    """A file in one line of `width` columns where it has room, else in two, the second its path.

    `states` is the width of the widest state. What is too long is cut: the beginning of a path, the end of
    what else there is.
    """
    from rich.cells import cell_len, set_cell_size

    row = line.shown
    head = (f"{row.report:12.12}", f"{row.created:10.10}", set_cell_size(state_words(line), states))
    answers = _short_answers(row) if not line.refused else line.reason
    words, file = "  ".join((*head, answers)).rstrip(), _file(line)
    if cell_len(words) + 2 + cell_len(file) <= width:
        return [f"{words}  {file}"]
    return [_cut(words, width), f"  {_cut(file[::-1], width - 2)[::-1]}"]


def _short_answers(row: Row) -> str:
    """An answer, or how many there are of each."""
    if len(row.answers) == 1:
        return ": ".join(row.answers[0])
    counts = Counter(answer for _, answer in row.answers)
    return ", ".join(f"{number} {answer}" for answer, number in counts.most_common())


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1).rstrip()}…"


def _file(line: Line) -> str:
    if not line.same_as:
        return line.file
    return tr("{file} (same report as {other})", file=line.file, other=_shown(line.same_as))


def state_words(line: Line) -> str:
    """The state in words; a verified file's with the day when it was."""
    outcome = line.outcome
    if line.state == "verified" and outcome is not None:
        return tr("verified {day}", day=outcome.at[:10])
    if line.state == "unverified":
        return tr("not verified")
    if line.state == "unreadable" or outcome is None:
        return tr("cannot be read")
    if line.state == "untrusted":
        return tr("not trusted, step {step}", step=outcome.step)
    return tr("invalid, step {step}", step=outcome.step)


def _kind(row: Row) -> str:
    if row.kind == "unknown":
        return "-"
    if row.kind == "parameters":
        return tr("parameters")
    if row.mode == "quick":
        return tr("smoke test, interrupted") if row.interrupted else tr("smoke test")
    if row.kind == "system":
        return tr("system, interrupted") if row.interrupted else tr("system")
    return tr("run, interrupted") if row.interrupted else tr("run")


def _devices(row: Row) -> str:
    """Each device, of a system each kind of them with its number: it may have many."""
    if row.kind == "system":
        return counted(name or "?" for _, name in row.devices)
    return ", ".join(f"{selector}: {name}" for selector, name in row.devices)


def _figures(row: Row) -> str:
    # It brings the library that draws tables, which takes longer than a listing that is piped.
    from bench.report.beside import unit_of

    if row.parameters:
        low, high = map(format_count, row.parameters)
        return (
            tr("{count} parameters", count=high)
            if low == high
            else tr("{low} to {high} parameters", low=low, high=high)
        )
    return ", ".join(f"{name} {format_rate(rate, unit_of(name))}" for name, rate in row.figures)


def _level(line: Line) -> str:
    if line.refused:
        return ""
    said, found = line.said.assurance, line.row.assurance
    return found if said == found else tr("{found}, the file says {said}", found=found, said=said)


def aligned(table: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines whose columns stand below each other, also where characters are two columns wide."""
    from rich.cells import cell_len

    def width(text: str) -> int:
        return len(text) if text.isascii() else cell_len(text)

    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    for row in table:
        padded = (text + " " * (wide - width(text)) for text, wide in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


# ----------------------------------------------------------------------------------- JSON and CSV


def as_json(line: Line) -> dict[str, object]:
    """A line for programs, rates in op/s."""
    row, outcome = line.shown, line.outcome
    return {
        "file": line.path,
        "state": line.state,
        "checkedAt": outcome.at if outcome else None,
        "wentBy": outcome.by if outcome else None,
        "step": outcome.step if outcome else None,
        "reason": line.reason or None,
        "report": row.report or None,
        "created": row.created or None,
        "kind": row.kind,
        "mode": row.mode or None,
        "interrupted": row.interrupted,
        "assurance": row.assurance or None,
        "assuranceSaid": None if line.refused else line.said.assurance or None,
        "case": row.case or None,
        "devices": [{"selector": selector, "name": name} for selector, name in row.devices],
        "figures": dict(row.figures),
        "parameters": list(row.parameters) or None,
        "answers": [{"name": name, "answer": answer} for name, answer in row.answers],
        "signers": list(line.signers),
        "sameReportAs": line.same_as or None,
    }


CSV_COLUMNS = (
    *("report", "created", "kind", "state", "checked_at", "step", "reason", "devices"),
    *PRECISIONS,
    *("parameters_low", "parameters_high", "answers", "assurance", "assurance_said", "mode"),
    *("interrupted", "case", "signers", "file", "same_report_as"),
)


def to_csv(lines: Iterable[Line]) -> str:
    """The table with CSV_COLUMNS: a line for each file; rates in op/s, several values apart by "; "."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for line in lines:
        writer.writerow([harmless(cell) for cell in _csv_cells(line)])
    return text.getvalue()


def _csv_cells(line: Line) -> list[str]:
    row, outcome = line.shown, line.outcome
    rates = dict(row.figures)
    return [
        *(row.report, row.created, row.kind, line.state),
        outcome.at if outcome else "",
        "" if outcome is None or outcome.step is None else str(outcome.step),
        line.reason,
        "; ".join(f"{selector}: {name}" for selector, name in row.devices),
        *(repr(rates[name]) if name in rates else "" for name in PRECISIONS),
        *(map(str, row.parameters) if row.parameters else ("", "")),
        "; ".join(f"{name}: {answer}" for name, answer in row.answers),
        *(row.assurance, "" if line.refused else line.said.assurance, row.mode),
        "yes" if row.interrupted else "no",
        row.case,
        "; ".join(line.signers),
        line.file,
        _shown(line.same_as),
    ]
