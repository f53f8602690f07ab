"""The report as a page: what verified evidence says, as values for the templates. Pure."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.printable import printable
from bench.report import case as stated
from bench.report import dates, page, plot, sentences
from bench.report import system as together
from bench.report.beside import machine, percent, through_columns, through_notes, through_rows, unit_of
from bench.report.findings import SAID_EACH
from bench.report.language import listed, marked, tr
from bench.report.parameters import parameters as counted
from bench.report.parts import Part, names, offset, size
from bench.report.text import MODES, declared_rate, device_line, shape_text, with_interval
from bench.terms import (
    Case,
    Condition,
    Evidence,
    Fact,
    Finding,
    Model,
    ModelEvidence,
    RuleSet,
    Status,
    SystemEvidence,
    Threshold,
    Verdict,
)
from bench.units import format_bytes, format_rate

# Of a list in a file (a model's files, libraries) so many are told one by one.
_SAID_EACH = 200
# The longest case number at the foot of a printed page, which is one line.
_LONGEST_AT_FOOT = 60
# The longest text of a cell.
_LONGEST = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """How the file was verified: what a reader needs to do the same.

    `digest` is the SHA-256 of the signed statement, whose first digits are the report's `number`;
    `file_digest` that of the file. `command` verifies the file by what was gone by here. `signers` are names
    with their keys' fingerprints, `steps` the number, the name and the finding of each step.
    """

    number: str
    command: str
    digest: str
    file_digest: str
    signers: tuple[str, ...]
    steps: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why a file is not shown: the step that failed and its words, and what came before it."""

    file: str
    command: str
    step: int
    name: str
    error: str
    steps: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Words of a table; `kind` is a class of the page (good, bad, open) or nothing."""

    words: str
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column's heading; numbers stand to the right, and no word of an answer is broken."""

    name: str
    number: bool = False
    answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table whose rows begin with their heading."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One tier's answers for one device."""

    title: str
    threshold: str
    declared: str
    delivered: str
    headline: Cell
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A finding in words, by its weight; `likewise` are the others that it is about too."""

    status: str
    kind: str
    subject: str
    words: str
    likewise: tuple[str, ...]


# ------------------------------------------------------------------------------------------- the pages


def report(evidence: Evidence, rules: RuleSet, checked: Checked) -> str:
    """The page about a run, from verified values only."""
    return page.render(
        "report.html.j2",
        **_common(evidence, rules, checked),
        device=listed(printable(device.name) for device in evidence.devices),
        devices=[(printable(device.selector), device_line(device)) for device in evidence.devices],
        kind=tr(MODES[evidence.mode, evidence.interrupted]),
        quick=evidence.mode == "quick",
        interrupted=evidence.interrupted,
        assurance=printable(evidence.assurance),
        assurance_words=sentences.assurance(evidence.assurance),
        answers=list(_answers(evidence.verdict, rules, named=len(evidence.devices) > 1)),
        figures=plot.figures(evidence, rules),
        figure_table=_figures(evidence),
        declared_table=_declared(evidence.verdict),
        row_table=_rows(evidence),
        through_table=_through(evidence),
        roofline=plot.roofline(evidence),
        roof_table=_roofs(evidence),
        over_time=plot.over_time(evidence),
        slow_windows=plot.slow_windows(evidence),
        machine=list(machine(evidence)),
        condition_table=_conditions(evidence),
        shapes=plot.shapes(evidence),
        shape_table=_shapes(evidence),
        environment=list(_environment(evidence)),
        case=_case(evidence.case),
    )


def parameters(evidence: ModelEvidence, rules: RuleSet, checked: Checked) -> str:
    """The page about a model's parameters, from verified values only."""
    claim = evidence.claim
    return page.render(
        "parameters.html.j2",
        **_common(evidence, rules, checked),
        counted=None if evidence.count is None else counted(evidence.count),
        hosted=None if evidence.hosted is None else printable(evidence.hosted),
        claimed=None if claim is None else printable(claim.text),
        claim_answer=None if evidence.verdict.claim is None else _worded(evidence.verdict.claim),
        item_table=_items(evidence, rules),
        doubts=_doubts(evidence),
        part_table=_parts(evidence),
        file_table=_files(evidence.model),
        stated_table=None
        if evidence.model is None
        else _facts(tr("What its files state"), evidence.model.stated),
        case=(),
    )


def system(evidence: SystemEvidence, parts: Sequence[Part], rules: RuleSet, checked: Checked) -> str:
    """The page about a system, from verified values only."""
    return page.render(
        "system.html.j2",
        **_common(evidence, rules, checked),
        size=size(evidence),
        names=names(parts),
        kind=tr(MODES[evidence.mode, evidence.interrupted]),
        quick=evidence.mode == "quick",
        interrupted=evidence.interrupted,
        missing=list(together.missing(evidence)),
        assurance=printable(evidence.assurance),
        assurance_words=sentences.assurance(evidence.assurance),
        answers=list(_answers(evidence.verdict, rules, named=False)),
        figures=plot.figures(evidence, rules),
        figure_table=_at_once(evidence),
        without_figure=list(together.without_figure(evidence)),
        declared_table=_declared(evidence.verdict),
        ranks=plot.ranks(evidence),
        rank_table=_ranks(evidence, parts),
        own_table=_own_figures(parts),
        case=_case(evidence.case),
    )


def invalid(refused: Refused) -> str:
    """The page about a file that is not shown: the step that failed and why, and not one figure."""
    return page.render("invalid.html.j2", refused=refused)


def _common(
    evidence: Evidence | ModelEvidence | SystemEvidence, rules: RuleSet, checked: Checked
) -> dict[str, object]:
    printed = tr("Report {number}", number=checked.number)
    if not isinstance(evidence, ModelEvidence) and evidence.case is not None:
        printed = tr(
            "Report {number} · case {case}",
            number=checked.number,
            case=printable(evidence.case.number, limit=_LONGEST_AT_FOOT),
        )
    return {
        "number": checked.number,
        "made": dates.both(evidence.created),
        "printed": printed,
        "rules": rules.id,
        "rules_title": (rules.title_en, rules.title_zh),
        "rules_status": tr(rules.status),
        "does_not_show": [sentences.does_not_show(code) for code in evidence.does_not_show],
        "findings": list(_findings(evidence.verdict.findings)),
        "checked": checked,
        "qr": _qr(f"sha256:{checked.digest}"),
        "version": printable(evidence.harness.version),
    }


def _qr(text: str) -> str:
    """A QR code as an `<svg>`: dark on light in any theme, as readers need it."""
    import segno

    file = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        file,
        kind="svg",
        xmldecl=False,
        svgns=False,
        omitsize=True,
        border=4,
        dark="#000",
        light="#fff",
        title=tr("QR code of the digest {digest}", digest=text),
        svgclass=None,
        lineclass=None,
    )
    return file.getvalue().decode()


# ------------------------------------------------------------------------------------------ first screen


def _answers(verdict: Verdict, rules: RuleSet, *, named: bool) -> Iterator[Answer]:
    """Each tier's answers; with `named` they say about which device."""
    for row in verdict.thresholds:
        title = sentences.title(rules, row.tier)
        if named:
            title = tr("{tier} ({device})", tier=title, device=printable(row.device))
        unit = unit_of(row.precision)
        yield Answer(
            title=title,
            threshold=f"{format_rate(row.limit, unit)} {printable(row.precision)}",
            declared=_side(
                None if row.declared is None else declared_rate(row.declared),
                row.declared_word,
                row.declared_reason,
            ),
            delivered=_side(
                None if row.delivered is None else with_interval(row.delivered),
                row.delivered_word,
                row.delivered_reason,
            ),
            headline=_word(row.headline),
            words=_in_words(row, rules),
        )


def _side(rate: str | None, word: str, reason: str | None) -> str:
    """One figure beside a threshold: the rate, what it answers and why."""
    answer = _worded(word)
    if reason is not None:
        answer = tr("{answer} ({reason})", answer=answer, reason=sentences.reason(reason))
    return answer if rate is None else tr("{rate}: {answer}", rate=rate, answer=answer)


_IN_WORDS = {
    "threshold-met": marked("By the {which} figure, which the rule goes by, the threshold is reached."),
    "threshold-not-met": marked("By the {which} figure, which the rule goes by, it is not reached."),
    "inconclusive": marked("By the {which} figure, which the rule goes by, it cannot be answered."),
    "stated-only": marked("There is somebody's word for the {which} figure and no source."),
    "smoke-test": marked("A smoke test decides nothing."),
}


def _in_words(row: Threshold, rules: RuleSet) -> str:
    return tr(_IN_WORDS[row.headline], which=sentences.decided_by(rules.decided_by))


def _word(word: str) -> Cell:
    """An answer with its weight."""
    return Cell(words=_worded(word), kind=sentences.weight(word))


def _worded(word: str) -> str:
    return sentences.reading(word)


# ------------------------------------------------------------------------------------------------ tables


def _table(
    caption: str,
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[str | Cell]],
    notes: Iterable[str] = (),
) -> Table | None:
    """A table, or None without rows."""
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(words=cell) for cell in row) for row in rows)
    if not cells:
        return None
    heads = tuple(one if isinstance(one, Column) else Column(name=one) for one in columns)
    return Table(caption=caption, columns=heads, rows=cells, notes=tuple(notes))


def _number(name: str) -> Column:
    return Column(name=name, number=True)


def _answer(name: str) -> Column:
    return Column(name=name, answer=True)


def _figures(evidence: Evidence) -> Table | None:
    """The device's figure of every precision, or why there is none."""
    rows = []
    for figure in evidence.figures:
        reason = "" if figure.reason is None else sentences.reason(figure.reason)
        rows.append(
            (
                printable(figure.precision),
                printable(figure.device),
                with_interval(figure.estimate) if figure.estimate else tr("no figure"),
                _short_row(figure.row) if figure.row else reason,
                str(figure.estimate.visits) if figure.estimate else "",
            )
        )
    columns = (
        tr("precision"),
        tr("device"),
        _number(tr("delivered (95 %)")),
        tr("measured with"),
        _number(tr("visits")),
    )
    caption = tr(
        "The figure of each precision: of the rows that count, the one whose interval's lower end is highest;"
        " rows held under load (--sustain) go before all others"
    )
    return _table(caption, columns, rows)


def _short_row(row: str) -> str:
    """`torch_gemm mm` of a row's name."""
    kernel, _, form = row.split("/", 2)
    return printable(f"{kernel} {form}")


def _declared(verdict: Verdict) -> Table | None:
    rows = []
    for row in verdict.declared:
        word = _word(row.word)
        if row.reason:
            words = tr("{answer} ({reason})", answer=word.words, reason=sentences.reason(row.reason))
            word = Cell(words=words, kind=word.kind)
        reference = tr("none")
        if row.reference is not None:
            reference = _range(f"{row.reference.low:.2f}", f"{row.reference.high:.2f}")
        rows.append(
            (
                printable(row.declared.precision),
                sentences.subject(row.device),
                declared_rate(row.declared),
                with_interval(row.delivered) if row.delivered else tr("none"),
                f"{row.share.value:.2f}" if row.share else "",
                reference,
                printable(row.declared.source),
                word,
            )
        )
    columns = (
        tr("precision"),
        tr("device"),
        _number(tr("declared")),
        _number(tr("delivered")),
        _number(tr("share")),
        tr("reference"),
        tr("source"),
        _answer(tr("answer")),
    )
    return _table(
        tr("Is the declared figure borne out?"),
        columns,
        rows,
        (
            tr("reference: the share of the declared figure that others measured on the same device"),
            *sentences.comparable(verdict.declared),
        ),
    )


def _range(low: str, high: str) -> str:
    return low if low == high else tr("{low} to {high}", low=low, high=high)


def _rows(evidence: Evidence) -> Table | None:
    """Every row that was measured or tried."""
    shapes = {(m.workload.device, m.workload.row): m.workload.shape for m in evidence.measurements}
    best = {(figure.device, figure.row) for figure in evidence.figures}
    rows = []
    for row in evidence.delivered:
        counts = ""
        if (row.device, row.row) in best:
            counts = tr("yes, the figure")
        elif row.counts:
            counts = tr("yes")
        elif row.reason is not None:
            counts = tr("no: {reason}", reason=sentences.reason(row.reason))
        rows.append(
            (
                printable(row.precision),
                _short_row(row.row),
                with_interval(row.estimate) if row.estimate else tr("no figure"),
                printable(row.measured or "-"),
                shape_text(shapes[row.device, row.row]) if row.estimate else "",
                percent(row.estimate.value / row.ceiling) if row.estimate and row.ceiling else tr("unknown"),
                counts,
            )
        )
    columns = (
        tr("asked"),
        tr("kernel and form"),
        _number(tr("delivered (95 %)")),
        tr("measured"),
        tr("shape"),
        _number(tr("of ceiling")),
        _answer(tr("counts")),
    )
    notes = []
    reasons = ((row.ceiling_reason, row.ceiling is None) for row in evidence.delivered if row.ceiling_reason)
    for code, unknown in dict.fromkeys(reasons):
        words = marked("ceiling: unknown ({reason})") if unknown else marked("ceiling: uncertain ({reason})")
        notes.append(tr(words, reason=sentences.reason(code)))
    return _table(tr("All rows"), columns, rows, notes)


def _through(evidence: Evidence) -> Table | None:
    """Where the rows that went through an execution provider ran."""
    columns = [_number(name[1:]) if name.startswith(">") else name for name in through_columns()]
    caption = tr("Where the work was placed, and what launching takes")
    return _table(caption, columns, through_rows(evidence), through_notes())


def _roofs(evidence: Evidence) -> Table | None:
    rows = []
    for _, row in plot.figure_rows(evidence):
        most = row.roof.ops_per_s if row.roof else row.ceiling
        if row.estimate is None or most is None:
            continue
        unit = unit_of(row.precision)
        rows.append(
            (
                printable(row.precision),
                format_rate(row.ceiling, unit) if row.ceiling else tr("unknown"),
                f"{row.roof.intensity:.0f}" if row.roof else "",
                format_rate(row.roof.intensity * row.roof.bandwidth, unit) if row.roof else tr("unknown"),
                sentences.bound(row.roof.bound if row.roof else "compute"),
                format_rate(row.estimate.value, unit),
                percent(row.estimate.value / most),
            )
        )
    columns = (
        tr("precision"),
        _number(tr("ceiling")),
        _number(tr("op/byte")),
        _number(tr("memory allows")),
        tr("bound by"),
        _number(tr("delivered")),
        _number(tr("reached")),
    )
    note = tr("ceiling: cores × operations per clock of the widest instruction × measured clock")
    return _table(tr("The same in numbers"), columns, rows, (note,))


_CONDITIONS = ("zeros", "cold-caches", "one-thread", "other-pool", "placement")


def _conditions(evidence: Evidence) -> Table | None:
    """Each diagnosed row's rate under a changed condition, times its usual one."""
    notes: dict[str, str] = {}
    rows = []
    for device, row in dict.fromkeys((c.device, c.row) for c in evidence.conditions):
        found = [c for c in evidence.conditions if (c.device, c.row) == (device, row)]
        cells = (_condition([c for c in found if c.name == name], notes) for name in _CONDITIONS)
        rows.append((printable(row), *cells))
    columns = (
        tr("row"),
        _number(tr("zeros")),
        _number(tr("cold caches")),
        _number(tr("one thread")),
        _number(tr("after another pool")),
        _number(tr("other CPUs")),
    )
    explained = (
        *(f"{mark} {sentences.beside(reason)}" for reason, mark in notes.items()),
        tr("zeros: operands all zero; faster on them is a sign of a power limit"),
        tr("other CPUs: one thread on another CPU, times one thread on the first"),
    )
    return _table(
        tr("The same rows under other conditions: the rate, times the usual one"), columns, rows, explained
    )


def _condition(found: Sequence[Condition], notes: dict[str, str]) -> str:
    ratios = [condition.ratio for condition in found if condition.ratio is not None]
    if ratios:
        return _range(f"{min(ratios):.2f}", f"{max(ratios):.2f}")
    if not found:
        return ""
    return notes.setdefault(str(found[0].reason), f"[{len(notes) + 1}]")


def _shapes(evidence: Evidence) -> Table | None:
    rows = []
    for measurement, row in zip(evidence.measurements, evidence.delivered, strict=True):
        ran = [trial for trial in measurement.tried if trial.ops_per_s]
        if not ran:
            continue
        rates = [trial.ops_per_s[-1] for trial in ran]
        unit = unit_of(row.precision)
        rows.append(
            (
                printable(row.precision),
                _short_row(row.row),
                str(len(measurement.tried)),
                str(len(ran)),
                format_rate(min(rates), unit),
                format_rate(max(rates), unit),
                shape_text(measurement.workload.shape),
            )
        )
    columns = (
        tr("asked"),
        tr("kernel and form"),
        _number(tr("tried")),
        _number(tr("ran")),
        _number(tr("slowest")),
        _number(tr("fastest")),
        tr("measured at"),
    )
    return _table(tr("The search of each row"), columns, rows)


# ------------------------------------------------------------------------------------------- environment


def _environment(evidence: Evidence) -> Iterator[Table]:
    for device in evidence.devices:
        caption = tr(
            "Device {selector}: {name}", selector=printable(device.selector), name=printable(device.name)
        )
        yield from _some(_facts(caption, device.facts))
    yield from _some(_facts(tr("System"), evidence.system))
    yield from _some(_facts(tr("Libraries"), evidence.harness.libraries))
    caption = tr("What the measuring process says of itself: a claim of the machine, not a proof")
    yield from _some(_facts(caption, evidence.inspection.facts))
    yield from _some(_sensors(evidence))


def _some(table: Table | None) -> Iterator[Table]:
    if table is not None:
        yield table


def _facts(caption: str, facts: Sequence[Fact]) -> Table | None:
    rows = (
        (
            printable(fact.name),
            tr("not known: {reason}", reason=sentences.absent(fact.reason))
            if fact.reason is not None
            else _value(fact),
            printable(fact.source),
        )
        for fact in facts[:_SAID_EACH]
    )
    return _table(caption, (tr("property"), tr("value"), tr("read from")), rows)


def _value(fact: Fact) -> str:
    if isinstance(fact.value, bool):
        return tr("yes") if fact.value else tr("no")
    return printable(str(fact.value), limit=_LONGEST)


def _sensors(evidence: Evidence) -> Table | None:
    rows = (
        (
            printable(sensor.name),
            printable(sensor.source),
            tr("not read: {reason}", reason=sentences.absent(sensor.reason))
            if sensor.reason is not None
            else tr("{number} readings", number=len(sensor.levels)),
        )
        for sensor in evidence.telemetry.sensors[:_SAID_EACH]
    )
    return _table(tr("Sensors"), (tr("sensor"), tr("read from"), tr("what was read")), rows)


def _case(case: Case | None) -> tuple[tuple[str, str], ...]:
    if case is None:
        return ()
    return tuple((label, printable(value)) for label, value in stated.lines(case))


# ---------------------------------------------------------------------------------------------- findings

_WEIGHTS: dict[Status, tuple[str, str]] = {
    "failure": (marked("failure"), "bad"),
    "warning": (marked("warning"), "open"),
    "info": (marked("note"), "quiet"),
}


def _findings(found: Sequence[Finding]) -> Iterator[Said]:
    """Each finding in a sentence, failures first; of one that many rows share the first, and whom else."""
    for status, (word, kind) in _WEIGHTS.items():
        weighed = [one for one in found if one.status == status]
        for code in dict.fromkeys(one.code for one in weighed):
            same = [one for one in weighed if one.code == code]
            said = same if len(same) <= SAID_EACH else same[:1]
            likewise = () if said is same else tuple(sentences.subject(one.subject) for one in same[1:])
            for one in said:
                yield Said(
                    status=tr(word),
                    kind=kind,
                    subject=sentences.subject(one.subject),
                    words=printable(sentences.finding(one), limit=600),
                    likewise=likewise,
                )


# -------------------------------------------------------------------------------------------- a system


def _at_once(evidence: SystemEvidence) -> Table | None:
    rows = []
    for figure in evidence.figures:
        if figure.estimate is None:
            continue
        least = together.slowest(figure)
        rows.append(
            (
                printable(figure.precision),
                with_interval(figure.estimate),
                together.total(figure),
                together.of_sum(figure),
                tr("unknown")
                if least is None
                else tr(
                    "rank {rank}: {rate}",
                    rank=least.rank,
                    rate=format_rate(least.rate, unit_of(figure.precision)),
                ),
                together.spread(figure),
                together.loss(figure),
                together.window(figure),
            )
        )
    columns = (
        tr("precision"),
        _number(tr("all at once (95 %)")),
        _number(tr("sum")),
        _number(tr("of the sum")),
        tr("slowest"),
        _number(tr("spread")),
        _number(tr("loss")),
        _number(tr("window")),
    )
    caption = tr("The figure of all devices at once, and what it consists of")
    return _table(caption, columns, rows, map(tr, together.NOTES))


def _ranks(evidence: SystemEvidence, parts: Sequence[Part]) -> Table | None:
    unknown = tr("unknown")
    rows = (
        (
            tr("rank {rank}", rank=member.rank),
            str(member.node),
            printable(member.device),
            unknown if part.device is None else device_line(part.device),
            part.uuid or "",
            part.number or "",
            unknown if part.fingerprint is None else printable(part.fingerprint),
            offset(part) or "",
            together.state(member),
        )
        for member, part in zip(evidence.members, parts, strict=True)
    )
    columns = (
        tr("rank"),
        _number(tr("on machine")),
        tr("device"),
        tr("what it is"),
        tr("UUID"),
        tr("report"),
        tr("key"),
        _number(tr("clock")),
        tr("part"),
    )
    words = together.clock_words(evidence)
    caption = tr("Ranks, each a process that measured one device and signed its part")
    return _table(caption, columns, rows, [] if words is None else [words])


def _own_figures(parts: Sequence[Part]) -> Table | None:
    """A row a precision: there may be more ranks than precisions, but a page is scrolled."""
    rows = (
        (printable(name), *(together.own(part.figures.get(name)) for part in parts))
        for name in together.precisions(parts)
    )
    each = [_number(tr("rank {rank}", rank=part.rank)) for part in parts]
    columns: list[str | Column] = [tr("precision"), *each]
    return _table(tr("Each rank's own figure, by its own report (95 %)"), columns, rows)


# ------------------------------------------------------------------------------------- a model's parameters


def _items(evidence: ModelEvidence, rules: RuleSet) -> Table | None:
    rows = (
        (
            sentences.title(rules, row.item),
            tr(
                "{condition} ≥ {limit}",
                condition=sentences.condition(row.condition),
                limit=sentences.number(row.limit),
            ),
            _worded(row.claimed_word),
            _worded(row.counted_word),
            _word(row.answer),
        )
        for row in evidence.verdict.items
    )
    words = (sentences.item_answer(row.answer) for row in evidence.verdict.items)
    notes = dict.fromkeys(
        tr("{subject}: {words}", subject=_worded(row.answer), words=said)
        for row, said in zip(evidence.verdict.items, words, strict=True)
        if said is not None
    )
    columns = (tr("item"), tr("condition"), tr("claimed"), tr("counted"), _answer(tr("answer")))
    caption = tr("Items of {rules}: what they say of parameters, and nothing else of them", rules=rules.id)
    return _table(caption, columns, rows, notes)


def _doubts(evidence: ModelEvidence) -> list[str]:
    if evidence.count is None:
        return []
    return [
        tr(
            "in doubt {parameters}: {reason}",
            parameters=f"{doubt.parameters:,}",
            reason=sentences.reason(doubt.code),
        )
        for doubt in evidence.count.doubts
    ]


def _parts(evidence: ModelEvidence) -> Table | None:
    if evidence.count is None:
        return None
    rows = (
        (
            sentences.role(part.role),
            f"{part.tensors:,}",
            f"{part.elements:,}",
            f"{part.parameters:,}" if part.parameters else tr("not counted"),
        )
        for part in evidence.count.parts
    )
    columns = (
        tr("what they are for"),
        _number(tr("tensors")),
        _number(tr("stored elements")),
        _number(tr("parameters")),
    )
    types = listed(f"{printable(row.dtype)} {row.elements:,}" for row in evidence.count.types)
    return _table(
        tr("What was counted"), columns, rows, (tr("stored elements by type: {types}", types=types),)
    )


def _files(model: Model | None) -> Table | None:
    if model is None:
        return None
    rows = (
        (
            printable(file.name),
            format_bytes(file.size),
            tr("all bytes") if file.covers == "full" else tr("header and drawn blocks"),
            printable(file.sha256),
        )
        for file in model.files[:_SAID_EACH]
    )
    columns = (tr("file"), _number(tr("size")), tr("digest covers"), tr("SHA-256"))
    more = len(model.files) - _SAID_EACH
    notes = [tr("and {number} more", number=more)] if more > 0 else []
    return _table(tr("Files"), columns, rows, notes)
