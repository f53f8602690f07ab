"""Runs side by side: the tables of `bench compare` for a terminal, a page and a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from bench.printable import printable
from bench.report import sentences
from bench.report.beside import plain
from bench.report.csv_cells import harmless
from bench.report.language import marked, tr
from bench.report.text import device_line, interval_words
from bench.terms import Evidence, Scalar
from bench.terms.comparisons import ComparedRate, Comparison, ComparisonWord, Difference, RateRatio
from bench.units import NS_PER_S, format_bytes, format_rate, format_seconds

_PATH_LIMIT = 4096

# What may differ between two rates, by its code; a library is named by itself.
FACTS: Mapping[str, str] = {
    "mode": marked("kind of run"),
    "arithmetic": marked("measured arithmetic"),
    "operation": marked("operation"),
    "estimate": marked("method of the estimate"),
    "form": marked("elements and layout"),
    "counts": marked("whether it counts"),
    "device": marked("device"),
    "threads": marked("threads usable"),
    "memory": marked("memory"),
    "bench": marked("version of bench"),
    "library": marked("library {name}"),
    "ladder": marked("ladder of shapes"),
    "held": marked("held under load"),
    "row": marked("kernel and form"),
    "shape": marked("shape"),
}

_WORDS: Mapping[ComparisonWord, str] = {
    "same": marked("same"),
    "faster": marked("faster"),
    "slower": marked("slower"),
    "ambiguous": marked("ambiguous"),
    "not-comparable": marked("not comparable"),
}
# How a page colours an answer (classes of the base template).
_CLASSES: Mapping[ComparisonWord, str] = {
    "same": "",
    "faster": "good",
    "slower": "bad",
    "ambiguous": "open",
    "not-comparable": "quiet",
}

# Why an answer is ambiguous, where no other table has the sentence.
_AMBIGUOUS: Mapping[str, str] = {
    "flat": marked("an interval has no width"),
    "unbounded": marked("an interval reaches down to zero"),
    "wide": marked("the interval holds 1 and is wider than the margin"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedFile:
    """A file that verified: its place among those compared (from 1, the base), and how it stands to it."""

    place: int
    path: str
    number: str
    evidence: Evidence
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A comparison in words: each rate and the ratio with its interval below it."""

    name: tuple[str, str]
    base: tuple[str, str]
    other: tuple[str, str]
    ratio: tuple[str, str]
    word: str
    css: str
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Section:
    """One file against the base. `facts` are those that differ and forbid nothing: name and both values."""

    file: ComparedFile
    heading: str
    lines: tuple[_Line, ...]
    notes: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str, str], ...]


def report(console: Console, base: ComparedFile, others: Sequence[ComparedFile], *, margin: float) -> None:
    """Every file against the base, for 80 columns and more."""
    for file in (base, *others):
        for index, line in enumerate(_head(file)):
            # Paths are not wrapped: they are there to be copied.
            console.print(line, style="bold" if index == 0 else None, soft_wrap=True)
    for section in (_section(base, other) for other in others):
        console.print()
        console.print(section.heading, style="bold")
        _table(console, section, base)
        for mark, words in section.notes:
            console.print(f"{mark} {words}")
        _facts(console, section, base)
    console.print()
    for words in _legend((base, *others), margin):
        console.print(words)


def page(base: ComparedFile, others: Sequence[ComparedFile], *, margin: float) -> str:
    """The same as a page of HTML."""
    from bench.report.page import render

    return render(
        "compare.html.j2",
        base=base,
        heads=[_head(file) for file in (base, *others)],
        sections=[_section(base, other) for other in others],
        legend=list(_legend((base, *others), margin)),
    )


# ------------------------------------------------------------------------------------------- in words


def _head(file: ComparedFile) -> list[str]:
    """Which report it is, what it was measured on, and where it lies."""
    evidence = file.evidence
    kind = _value("mode", evidence.mode)
    head = tr(
        "{place}  report {number} · {created} · {kind}",
        place=file.place,
        number=file.number,
        created=printable(evidence.created),
        kind=kind,
    )
    devices = (f"   {printable(device.selector)}: {device_line(device)}" for device in evidence.devices)
    return [head, *devices, f"   {printable(file.path, limit=_PATH_LIMIT)}"]


def _section(base: ComparedFile, file: ComparedFile) -> _Section:
    notes: dict[str, str] = {}
    lines = []
    for comparison in file.comparisons:
        words = why(comparison, str(base.place), str(file.place))
        mark = notes.setdefault(words, f"[{len(notes) + 1}]") if words else ""
        lines.append(_line(comparison, mark))
    return _Section(
        file=file,
        heading=tr("{other} against {base}", other=file.place, base=base.place),
        lines=tuple(lines),
        notes=tuple((mark, words) for words, mark in notes.items()),
        facts=tuple(_beside(file.comparisons)),
    )


def _line(comparison: Comparison, mark: str) -> _Line:
    return _Line(
        name=_name(comparison),
        base=_rate(comparison.base),
        other=_rate(comparison.other),
        ratio=_ratio(comparison.ratio),
        word=tr(_WORDS[comparison.word]),
        css=_CLASSES[comparison.word],
        mark=mark,
    )


def _name(comparison: Comparison) -> tuple[str, str]:
    """`cpu fp32` of a figure, `cpu int8 ort_gemm` and `MatMul` of a row; both devices where they differ."""
    sides = (comparison.base, comparison.other)
    devices = " / ".join(dict.fromkeys(printable(side.device) for side in sides if side))
    what = f"{devices} {printable(comparison.precision)}"
    if comparison.row is None:
        return what, ""
    kernel, _, form = printable(comparison.row).split("/", 2)
    return f"{what} {kernel}", form


def _rate(side: ComparedRate | None) -> tuple[str, str]:
    if side is None or side.estimate is None:
        return tr("none"), ""
    estimate = side.estimate
    return format_rate(estimate.value, estimate.unit), interval_words(estimate)


def _ratio(ratio: RateRatio | None) -> tuple[str, str]:
    if ratio is None:
        return "", ""
    return f"{ratio.value:#.4g}", tr("{low} to {high}", low=f"{ratio.low:#.4g}", high=f"{ratio.high:#.4g}")


def why(comparison: Comparison, base: str, other: str) -> str:
    """Why there is no clear answer; nothing where there is one. `base` and `other` name the two files."""
    base, other = (printable(name, limit=_PATH_LIMIT) for name in (base, other))
    if comparison.forbidding:
        return tr("; ").join(
            tr(
                "{fact}: {first} in {base}, {second} in {other}",
                fact=_fact(differing),
                first=_value(differing.fact, differing.base),
                base=base,
                second=_value(differing.fact, differing.other),
                other=other,
            )
            for differing in comparison.forbidding
        )
    if comparison.reason == "no-figure":
        sides = ((base, comparison.base), (other, comparison.other))
        return tr("; ").join(_absent(name, side) for name, side in sides if side is None or not side.estimate)
    return _doubt(comparison.reason) if comparison.reason else ""


def _absent(place: str, side: ComparedRate | None) -> str:
    if side is None:
        return tr("{place} did not measure it", place=place)
    return tr("{place} has no figure: {reason}", place=place, reason=sentences.reason(str(side.reason)))


def _doubt(code: str) -> str:
    return tr(_AMBIGUOUS[code]) if code in _AMBIGUOUS else sentences.reason(code)


def _beside(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str, str]]:
    """Each fact that differs, once where all rows share it, else with the row that it is about."""
    measured = [each for each in comparisons if each.reason != "no-figure"]
    shared = [d for d in measured[0].beside if all(d in each.beside for each in measured)] if measured else []
    for differing in shared:
        yield _differing(_fact(differing), differing)
    for comparison in measured:
        for differing in comparison.beside:
            if differing not in shared:
                yield _differing(f"{' '.join(_name(comparison)).rstrip()}: {_fact(differing)}", differing)


def _differing(name: str, differing: Difference) -> tuple[str, str, str]:
    values = (differing.base, differing.other)
    first, second = (_value(differing.fact, value) for value in values)
    return name, first, second


def _fact(differing: Difference) -> str:
    code, _, name = differing.fact.partition("/")
    return tr(FACTS[code], name=printable(name))


def _value(fact: str, value: Scalar | None) -> str:
    if fact == "mode":
        return tr("smoke test") if value == "quick" else tr("measurement")
    if fact == "counts":
        return sentences.reason(str(value)) if value is not None else tr("it counts")
    if value is None:
        return tr("not known")
    if fact == "memory" and isinstance(value, int):
        return format_bytes(value)
    if fact == "held" and isinstance(value, int):
        return format_seconds(value / NS_PER_S)
    return printable(str(value), limit=12 if fact == "ladder" else 200)


def _legend(files: Sequence[ComparedFile], margin: float) -> Iterator[str]:
    yield tr(
        "faster, slower: the interval of the ratio (95 %) lies wholly above or below 1; same: it holds 1 and "
        "lies within {margin} of it; ambiguous: none of these.",
        margin=f"{100 * margin:g} %",
    )
    yield tr(
        "Each interval speaks for its own run. How runs on one machine differ from each other is in none of "
        "them: bench run --repeat tells it."
    )
    if any(file.evidence.mode == "quick" for file in files):
        yield tr("A smoke test decides nothing: its figures are compared, and no more.")


# -------------------------------------------------------------------------------------- in a terminal


def _table(console: Console, section: _Section, base: ComparedFile) -> None:
    names = (str(base.place), str(section.file.place), f"{section.file.place} / {base.place}")
    table = plain(tr("rate"), *(f">{name}" for name in names), tr("answer"))
    for line in section.lines:
        cells = ("\n".join(cell) for cell in (line.name, line.base, line.other, line.ratio))
        table.add_row(*cells, f"{line.word} {line.mark}".rstrip())
    console.print(table)


def _facts(console: Console, section: _Section, base: ComparedFile) -> None:
    if not section.facts:
        return
    console.print(tr("Also different, and no reason not to compare:"))
    table = plain(tr("fact"), str(base.place), str(section.file.place))
    for row in section.facts:
        table.add_row(*row)
    console.print(table)


# ------------------------------------------------------------------------------------ in a spreadsheet

_COLUMNS = (
    *("base_report", "base_file", "other_report", "other_file", "base_mode", "other_mode"),
    *("base_device", "other_device", "precision", "row", "unit"),
    *("base_rate", "base_low", "base_high", "other_rate", "other_low", "other_high"),
    *("ratio", "ratio_low", "ratio_high", "answer", "reason", "forbidding", "beside"),
)


def csv_text(base: ComparedFile, others: Sequence[ComparedFile]) -> str:
    """A line for each comparison, RFC 4180. Rates are in op/s; codes and columns are in no language."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(_COLUMNS)
    for file in others:
        for comparison in file.comparisons:
            writer.writerow(_cell(value) for value in _values(base, file, comparison))
    return out.getvalue()


def _values(base: ComparedFile, file: ComparedFile, comparison: Comparison) -> Iterator[Scalar | None]:
    ours, theirs, ratio = comparison.base, comparison.other, comparison.ratio
    yield from (base.number, base.path, file.number, file.path)
    yield from (base.evidence.mode, file.evidence.mode)
    yield from (side.device if side else None for side in (ours, theirs))
    yield from (comparison.precision, comparison.row, "op/s")
    for side in (ours, theirs):
        estimate = side.estimate if side else None
        yield from (estimate.value, estimate.low, estimate.high) if estimate else (None,) * 3
    yield from (ratio.value, ratio.low, ratio.high) if ratio else (None,) * 3
    yield from (comparison.word, comparison.reason)
    for differences in (comparison.forbidding, comparison.beside):
        yield "; ".join(f"{each.fact}: {each.base} | {each.other}" for each in differences)


def _cell(value: Scalar | None) -> Scalar | None:
    """Text that no spreadsheet takes for a formula, nor a terminal for a command; numbers as they are."""
    if not isinstance(value, str):
        return value
    # Long enough for every difference of two runs; spreadsheets cut at 32767.
    return harmless(printable(value, limit=32_000))
