"""`bench results`: a folder of evidence listed, verified again, and handed to a spreadsheet.

What a listing shows of a file that was not verified are the file's own words, and it says so.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from bench.cli.consoles import complain, say, stdout, tell
from bench.cli.outcome import print_json
from bench.cli.outputs import require_no_evidence
from bench.cli.signals import stoppable
from bench.errors import EvidenceInvalid, Interrupted, SignatureNotTrusted, UsageError
from bench.judge.catalog import ASSURANCE_LEVELS
from bench.printable import printable
from bench.report import results as report
from bench.report.language import tr
from bench.terms import ClaimWord, CountWord, DeclaredWord, ItemWord, ThresholdWord

if TYPE_CHECKING:
    from bench.register.folder import Found
    from bench.register.index import Index
    from bench.register.reading import GoingBy
    from bench.report.results import Line

_FILE = click.Path(path_type=Path)
_WORDS = sorted(
    {
        word
        for words in (DeclaredWord, ThresholdWord, ItemWord, ClaimWord, CountWord)
        for word in get_args(words)
    }
)
_ON_A_TERMINAL = 50
# Names that a refusal lists; files may hold any number of them.
_MOST_NAMED = 50
# Files were there that could not be read, or that changed meanwhile: what they are is not known.
_NOT_KNOWN = 3

_FOLDER = (click.option("--folder", type=_FILE, default=Path("results"), help="[default: results]"),)
_BY = (
    click.option("--trust", "trust_file", type=_FILE, help="Trust store. [default: your own]"),
    click.option("--revoked", type=_FILE, help="Revoked keys. [default: your own]"),
    click.option("--tsa-roots", type=_FILE, help="Roots of time stamps. [default: your own]"),
    click.option("--rules", metavar="FILE", help="A rule set that is not shipped."),
)


def _day(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """A day as the time in a file begins with it."""
    if value is None:
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValueError
        datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise click.BadParameter(
            tr(
                "{day!r} is no day: expected YYYY-MM-DD of the common era, for example 2026-11-21.",
                day=printable(value),
            )
        ) from error
    return value


_SELECTING = (
    click.option("--device", help="Part of a device's name or selector."),
    click.option("--threshold", metavar="TIER[=ANSWER]", help="A tier or item, and its answer."),
    click.option(
        "--verdict",
        metavar="WORD",
        type=click.Choice(_WORDS, case_sensitive=False),
        help="A word of the verdict.",
    ),
    click.option("--since", metavar="DAY", callback=_day, help="First day: YYYY-MM-DD, UTC."),
    click.option("--until", metavar="DAY", callback=_day, help="Last day."),
    click.option("--assurance", metavar="LEVEL", help="The level, e.g. A1."),
    click.option("--case", help="The number of the case."),
    click.option(
        "--state",
        metavar="STATE",
        type=click.Choice(report.STATES, case_sensitive=False),
        help="unverified, invalid ...",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _By:
    """What a verifier goes by, in the words typed."""

    trust_file: Path | None
    revoked: Path | None
    tsa_roots: Path | None
    rules: str | None

    def files(self) -> tuple[Path | None, ...]:
        rules = None if self.rules is None else Path(self.rules)
        return self.trust_file, self.revoked, self.tsa_roots, rules

    def going_by(self) -> "GoingBy":
        from bench.register.reading import GoingBy

        return GoingBy(
            trust_file=self.trust_file,
            revoked=self.revoked,
            tsa_roots=self.tsa_roots,
            rules=self.rules,
            now=datetime.now(UTC),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selecting:
    """Which files are asked for; None asks for any."""

    device: str | None
    threshold: str | None
    verdict: str | None
    since: str | None
    until: str | None
    assurance: str | None
    case: str | None
    state: str | None

    def takes(self, line: "Line") -> bool:
        """Whether a line is asked for, by what it shows."""
        row, day = line.row, line.row.created[:10]
        # What a refused file says of itself answers nobody who did not ask for refused files.
        if line.refused and self.state is None and self._asks_what_it_says():
            return False
        return (
            (self.device is None or self._names(line))
            and (self.threshold is None or self._answers(line))
            and (self.verdict is None or self.verdict in row.words)
            and (self.since is None or day >= self.since)
            and (self.until is None or "" < day <= self.until)
            and _same(self.assurance, row.assurance)
            and _same(self.case, row.case)
            and self.state in (None, line.state)
        )

    def _asks_what_it_says(self) -> bool:
        asked = (self.device, self.threshold, self.verdict, self.assurance, self.case)
        return any(each is not None for each in asked)

    def refuse_unknown(self, lines: "Iterable[Line]") -> None:
        """UsageError for what no file can answer to, which would look as if there were no such file."""
        if self.since is not None and self.until is not None and self.since > self.until:
            raise UsageError(
                tr(
                    "--since {since} is after --until {until}: no day is both.",
                    since=self.since,
                    until=self.until,
                )
            )
        if self.assurance is not None and not any(_same(self.assurance, each) for each in ASSURANCE_LEVELS):
            raise UsageError(
                tr(
                    "--assurance: unknown level {level!r}: known are {known}.",
                    level=self.assurance,
                    known=", ".join(ASSURANCE_LEVELS),
                )
            )
        if self.threshold is not None:
            self._refuse_unknown_threshold(self.threshold, lines)

    @staticmethod
    def _refuse_unknown_threshold(asked: str, lines: "Iterable[Line]") -> None:
        tier, has_answer, answer = asked.partition("=")
        said = {name for line in lines for name, _ in line.row.answers}
        known = [*_shipped_names(), *sorted(said)]
        if not any(_same(tier, name) for name in known):
            raise UsageError(
                tr(
                    "--threshold: unknown tier or item {name!r}: known are {known}.",
                    name=tier,
                    known=", ".join([*dict.fromkeys(known)][:_MOST_NAMED]),
                )
            )
        if has_answer and not any(_same(answer, word) for word in _WORDS):
            raise UsageError(
                tr(
                    "--threshold: unknown answer {name!r}: known are {known}.",
                    name=answer,
                    known=", ".join(_WORDS),
                )
            )

    def _names(self, line: "Line") -> bool:
        assert self.device is not None
        wanted = self.device.casefold()
        return any(wanted in text.casefold() for device in line.row.devices for text in device)

    def _answers(self, line: "Line") -> bool:
        assert self.threshold is not None
        tier, _, answer = self.threshold.partition("=")
        return any(_same(tier, name) and _same(answer or None, word) for name, word in line.row.answers)


def _same(asked: str | None, word: str) -> bool:
    """Whether a word is the one asked for, in whatever case; None asks for any."""
    return asked is None or asked.casefold() == word.casefold()


def _shipped_names() -> list[str]:
    """The tiers and items of every rule set that ships."""
    from bench.judge import catalog

    sets = [catalog.rules(name) for name in catalog.rule_ids()]
    names = ([tier.id for tier in rules.tiers] + [item.id for item in rules.items] for rules in sets)
    return [name for each in names for name in each]


def _with(options: tuple[Callable[..., Any], ...], kind: type[Any], name: str) -> Callable[..., Any]:
    """Give a command these options, and hand them to it as one value called `name`."""

    def given(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(**typed: Any) -> Any:
            values = {field.name: typed.pop(field.name) for field in fields(kind)}
            return command(**{name: kind(**values)}, **typed)

        for option in reversed(options):
            called = option(called)
        return called

    return given


@click.group()
def results() -> None:
    """List, verify and export a folder of evidence.

    Files are those named *.evidence.json, at any depth; links to folders are not followed. What is known of
    them is kept in an index beside your keys, which may be removed at any time.
    """


# -------------------------------------------------------------------------------------------- list


@results.command("list")
@_FOLDER[0]
@_with(_SELECTING, _Selecting, "selecting")
@click.option("--limit", type=click.IntRange(min=1), help="[default: 50 on a terminal, else all]")
@click.option("--wide", is_flag=True, help="Every column on a terminal too.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON on stdout.")
@_with(_BY, _By, "by")
def list_files(
    folder: Path, selecting: _Selecting, limit: int | None, wide: bool, as_json: bool, by: _By
) -> None:
    """List the files, newest first. Unverified ones in their own words."""
    lines, total = _selected(folder, selecting, by)
    terminal = sys.stdout.isatty()
    if limit is None and terminal and not as_json:
        limit = _ON_A_TERMINAL
    shown = lines[:limit]
    if as_json:
        print_json([report.as_json(line) for line in shown])
    elif terminal and wide:
        _print_table(shown)
    elif terminal:
        _print_short(shown)
    elif shown:
        say("\n".join(report.aligned([report.headings(), *map(report.cells, shown)])))
    if len(shown) < len(lines):
        tell(tr("{more} more: --limit {all}", more=len(lines) - len(shown), all=len(lines)))
    tell(tr("{chosen} of {total} file(s)", chosen=len(lines), total=total))
    if any(line.state not in ("verified", "unreadable") for line in shown):
        tell(tr("Files that are not verified are shown by their own words. To check: bench results verify"))


def _print_table(lines: "list[Line]") -> None:
    from bench.report.beside import plain

    table = plain(*report.headings())
    for line in lines:
        table.add_row(*report.cells(line))
    stdout().print(table)


def _print_short(lines: "list[Line]") -> None:
    """A line or two for each file, for a terminal that is not wide."""
    from rich.cells import cell_len

    console = stdout()
    states = max((cell_len(report.state_words(line)) for line in lines), default=0)
    for line in lines:
        for words in report.short(line, console.width, states):
            console.print(words, soft_wrap=True)


def _selected(folder: Path, selecting: _Selecting, by: _By) -> "tuple[list[Line], int]":
    """The lines asked for, newest first, and how many files there are."""
    from bench.register import reading

    went_by = reading.digest(by.going_by().request())
    with _up_to_date(folder) as (index, _):
        lines = report.with_same(index.lines(went_by))
    selecting.refuse_unknown(lines)
    chosen = [line for line in lines if selecting.takes(line)]
    # Sorting keeps the order of those that are equal: by their paths.
    chosen.sort(key=lambda line: line.path)
    chosen.sort(key=lambda line: line.row.created, reverse=True)
    return chosen, len(lines)


# ------------------------------------------------------------------------------------------ verify


@results.command()
@_FOLDER[0]
@click.option("--jobs", type=click.IntRange(min=1), help="How many at a time. [default: the CPUs]")
@click.option("--again", is_flag=True, help="Also those that are verified already.")
@_with(_BY, _By, "by")
def verify(folder: Path, jobs: int | None, again: bool, by: _By) -> int:
    """Verify every file that is not verified yet.

    A file is verified again when it has changed, when what you go by (trust store, revoked keys, roots,
    rules) is another, or bench itself. Interrupted, it goes on where it was when the command is typed again.
    A run under a challenge is of level A0 here: for A1 type bench verify --challenge.

    Exit codes: 0 all valid; 3 some could not be read; 4 some invalid; 5 some signatures not trusted.
    """
    from bench.register import folder as files
    from bench.register import processes, reading, upkeep

    going_by = by.going_by()
    went_by = reading.digest(going_by.request())
    jobs = jobs or processes.usable()
    with _up_to_date(folder, jobs) as (index, found):
        paths = [*found.files] if again else upkeep.unsettled(index, went_by)
        with _interruptible(len(paths), tr("verified")) as done:
            upkeep.reverify(index, folder, paths, going_by, jobs, done)
        after = files.look(folder).files
        gone = [path for path in found.files if path not in after]
        changed = [path for path in after if path in found.files and after[path] != found.files[path]]
        index.keep(path for path in found.files if after.get(path) == found.files[path])
        lines = index.lines(went_by)
    return _concluded(lines, gone=len(gone), changed=len(changed), unread=len(found.unread))


def _concluded(lines: "list[Line]", *, gone: int, changed: int, unread: int) -> int:
    """Tell how many ended how, each file that did not verify, and return the exit code of the worst."""
    for line in sorted(lines, key=lambda line: line.path):
        if line.state != "verified":
            complain(f"{line.path}: {report.state_words(line)}: {line.reason}")
    counts = {state: sum(line.state == state for line in lines) for state in report.STATES}
    say(
        tr(
            "{verified} verified, {invalid} invalid, {untrusted} not trusted, {unreadable} cannot be read",
            **counts,
        )
    )
    if gone:
        tell(tr("{gone} file(s) went while this ran.", gone=gone))
    if changed:
        complain(tr("{changed} file(s) changed while this ran: type the command again.", changed=changed))
    if counts["invalid"]:
        return EvidenceInvalid.exit_code
    if counts["untrusted"]:
        return SignatureNotTrusted.exit_code
    return _NOT_KNOWN if counts["unreadable"] or changed or unread else 0


# ------------------------------------------------------------------------------------------ export


@results.command()
@_FOLDER[0]
@click.option("-o", "--output", type=_FILE, help="Where to. [default: stdout]")
@_with(_SELECTING, _Selecting, "selecting")
@_with(_BY, _By, "by")
def export(folder: Path, output: Path | None, selecting: _Selecting, by: _By) -> None:
    """Print a CSV table, a line for each file, rates in op/s."""
    from bench.evidence import store
    from bench.report.csv_cells import csv_file

    require_no_evidence(output, by.files())
    lines, total = _selected(folder, selecting, by)
    text = report.to_csv(lines)
    if output is None:
        say(text.removesuffix("\n"))
    else:
        store.write_atomic(output, csv_file(text))
    tell(tr("{chosen} of {total} file(s)", chosen=len(lines), total=total))


export.help = f"{export.help} Its columns: {', '.join(report.CSV_COLUMNS)}."


# --------------------------------------------------------------------------------- what they share


@contextmanager
def _up_to_date(folder: Path, jobs: int | None = None) -> "Iterator[tuple[Index, Found]]":
    """The index of a folder once new and changed files were read."""
    from bench.register import folder as files
    from bench.register import index as indexes
    from bench.register import processes, upkeep

    found = files.look(folder)
    for words in found.unread:
        complain(f"not read: {words}")
    with indexes.opened(folder) as index:
        if index.instead is not None:
            complain(f"what is found out here is not kept: {index.instead}.")
        new = upkeep.unknown(index, found)
        with _interruptible(len(new), tr("read")) as done:
            upkeep.refresh(index, folder, found, jobs or processes.usable(), done)
        yield index, found


@contextmanager
def _interruptible(total: int, words: str) -> Iterator[Callable[[int], None]]:
    """Shows how far it is; Ctrl-C and SIGTERM end it with a word about what is left."""
    progress = _Progress(total, words)
    with stoppable():
        try:
            yield progress
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"interrupted: {total - progress.done} of {total} file(s) are left. To go on, type the "
                "command again."
            ) from error
        finally:
            progress.end()


class _Progress:
    """A live line on a terminal, at most four times a second, and elsewhere a line every five seconds."""

    def __init__(self, total: int, words: str) -> None:
        self._total = total
        self._words = words
        self._live = sys.stderr.isatty()
        self._every_s = 0.25 if self._live else 5.0
        self._shown = time.monotonic()
        self.done = 0

    def __call__(self, done: int) -> None:
        self.done = done
        if time.monotonic() - self._shown >= self._every_s:
            self._shown = time.monotonic()
            line = f"{self._words} {done} / {self._total}"
            tell(f"\r\x1b[2K{line}" if self._live else line, end=not self._live)

    def end(self) -> None:
        if self._live:
            tell("\r\x1b[2K", end=False)
