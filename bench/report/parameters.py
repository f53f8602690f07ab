"""A count of a model's parameters in a terminal."""

from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console

from bench.printable import printable
from bench.report import sentences
from bench.report.beside import plain
from bench.report.findings import findings, limits
from bench.report.language import listed, marked, tr
from bench.terms import ContentSample, Count, Experts, Fact, ItemAnswer, Model, ModelEvidence, RuleSet
from bench.units import format_bytes

# Of files and of what is stated so many are told one by one.
_SAID_EACH = 12

# Cells of an item's name that are not given to the other columns.
_UNBROKEN = 32

# How much of a file its digest covers.
_COVERS = {"full": marked("full"), "sampled": marked("sampled")}


def report(console: Console, evidence: ModelEvidence, rules: RuleSet, number: str) -> None:
    """Everything a reader of the terminal needs, from verified values only."""
    head = tr(
        "Report {number} · {created} · {kind}",
        number=number,
        created=printable(evidence.created),
        kind=tr("count of a model's parameters"),
    )
    console.print(head, style="bold")
    if evidence.claim is not None:
        claimed = printable(evidence.claim.text)
        console.print(tr("claimed   {claimed}: {answer}", claimed=claimed, answer=_claim(evidence)))
    if evidence.hosted is not None:
        hosted = printable(evidence.hosted)
        console.print(tr("hosted    {hosted}: no files, nothing was counted", hosted=hosted))
    if evidence.model is not None and evidence.count is not None:
        _model(console, evidence.model)
        _count(console, evidence.count)
        _sample(console, evidence.model.sample)
    _items(console, evidence, rules)
    findings(console, evidence.verdict.findings)
    limits(console, tr("What it does not show"), evidence.does_not_show)


def parameters(count: Count) -> str:
    """`8,030,261,248 parameters (8.03 billion)`, or both figures."""
    if count.low == count.high:
        return tr(
            "{parameters} parameters ({rounded})",
            parameters=f"{count.high:,}",
            rounded=sentences.number(count.high),
        )
    return tr(
        "{low} to {high} parameters ({rounded} at least)",
        low=f"{count.low:,}",
        high=f"{count.high:,}",
        rounded=sentences.number(count.low),
    )


def _claim(evidence: ModelEvidence) -> str:
    claim, word = evidence.claim, evidence.verdict.claim
    assert claim is not None
    assert word is not None
    if claim.low == claim.high:
        return sentences.reading(word)
    return tr(
        "{answer} ({low} to {high} are so named)",
        answer=sentences.reading(word),
        low=sentences.number(claim.low),
        high=sentences.number(claim.high),
    )


def _model(console: Console, model: Model) -> None:
    size = format_bytes(sum(file.size for file in model.files))
    console.print(
        tr(
            "model     {format}, {files} file(s), {size}",
            format=model.format,
            files=len(model.files),
            size=size,
        )
    )
    for file in model.files[:_SAID_EACH]:
        name, covers = printable(file.name), tr(_COVERS[file.covers])
        console.print(f"  {name}  {format_bytes(file.size)}  sha256 ({covers})")
        console.print(f"    {file.sha256}")
    if len(model.files) > _SAID_EACH:
        console.print("  " + tr("and {number} more", number=len(model.files) - _SAID_EACH))
    # What a header carries under keys of its own stands in the evidence only.
    known = [fact for fact in model.stated if fact.value is not None and "/" not in fact.name]
    if known:
        shown = [_stated(fact) for fact in known[:_SAID_EACH]]
        if len(known) > _SAID_EACH:
            shown.append(tr("and {number} more", number=len(known) - _SAID_EACH))
        console.print(tr("stated    {facts} (the vendor's words, unchecked)", facts=listed(shown)))


def _stated(fact: Fact) -> str:
    return f"{printable(fact.name, limit=60)} {printable(str(fact.value), limit=60)}"


def _count(console: Console, count: Count) -> None:
    console.print()
    console.print(parameters(count), style="bold")
    for doubt in count.doubts:
        reason = sentences.reason(doubt.code)
        words = tr("in doubt {parameters}: {reason}", parameters=f"{doubt.parameters:,}", reason=reason)
        console.print(f"  {words}")
    if count.embeddings:
        console.print("  " + tr("of these {parameters} are embeddings", parameters=f"{count.embeddings:,}"))
    if count.experts is not None:
        console.print(f"  {_experts(count.experts)}")
    right = (marked("tensors"), marked("stored elements"), marked("parameters"))
    table = plain(tr("what they are for"), *(">" + tr(name) for name in right))
    for part in count.parts:
        shown = f"{part.parameters:,}" if part.parameters else tr("not counted")
        table.add_row(sentences.role(part.role), f"{part.tensors:,}", f"{part.elements:,}", shown)
    console.print(table)
    types = listed(f"{printable(row.dtype)} {row.elements:,}" for row in count.types)
    console.print(tr("stored elements by type: {types}", types=types))


def _experts(experts: Experts) -> str:
    return tr(
        "{parameters} in {total} experts, of which a token uses {used}: {active} active ({rounded})",
        parameters=f"{experts.parameters:,}",
        total=experts.total,
        used=experts.used,
        active=f"{experts.active:,}",
        rounded=sentences.number(experts.active),
    )


def _sample(console: Console, sample: ContentSample) -> None:
    looked = sum(row.tensors for row in sample.groups)
    if not looked:
        console.print(tr("content not looked at: no tensor lies in one piece"))
    else:
        content = tr(
            "content: {blocks} blocks of up to {bytes} bytes in {tensors} tensors were looked at; least "
            "entropy of a tensor's {entropy} bits a byte",
            blocks=sample.blocks,
            bytes=sample.block_bytes,
            tensors=looked,
            entropy=f"{min(row.entropy for row in sample.groups):.1f}",
        )
        console.print(content)
    console.print()


def _items(console: Console, evidence: ModelEvidence, rules: RuleSet) -> None:
    heading = tr("Items of {rules}: what they say of parameters, and nothing else of them", rules=rules.id)
    console.print(heading, style="bold")
    table = plain(tr("item"), tr("condition"), tr("claimed"), tr("counted"), tr("answer"))
    titles = [sentences.title(rules, row.item) for row in evidence.verdict.items]
    table.columns[0].width = min(_UNBROKEN, max(map(cell_len, titles), default=0))
    for title, row in zip(titles, evidence.verdict.items, strict=True):
        words = (sentences.answer(word) for word in (row.claimed_word, row.counted_word, row.answer))
        limit = f"{sentences.condition(row.condition)} ≥ {sentences.number(row.limit)}"
        table.add_row(title, limit, *words)
    console.print(table)
    for line in dict.fromkeys(_explained(evidence.verdict.items)):
        console.print(line)
    for item in rules.items:
        console.print(f"{item.id}: {item.title_zh}「{item.quote_zh}」")
    console.print(tr("status of the rule set: {status}", status=tr(rules.status)))
    console.print()


def _explained(rows: tuple[ItemAnswer, ...]) -> Iterator[str]:
    for row in rows:
        words = sentences.item_answer(row.answer)
        if words is not None:
            yield tr("{subject}: {words}", subject=sentences.answer(row.answer), words=words)
