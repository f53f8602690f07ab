"""A count of a model's parameters in a terminal."""

from collections.abc import Iterator

from rich.console import Console

from bench.printable import printable
from bench.report import sentences
from bench.report.beside import plain
from bench.report.findings import findings, limits
from bench.terms import ContentSample, Count, Fact, ItemAnswer, Model, ModelEvidence, RuleSet
from bench.units import format_bytes, format_count

# Of files and of what is stated so many are told one by one.
_SAID_EACH = 12


def report(console: Console, evidence: ModelEvidence, rules: RuleSet, number: str) -> None:
    """Everything a reader of the terminal needs, from verified values only."""
    console.print(
        f"Report {number} · {printable(evidence.created)} · count of a model's parameters", style="bold"
    )
    if evidence.claim is not None:
        console.print(f"claimed   {printable(evidence.claim.text)}: {_claim(evidence)}")
    if evidence.hosted is not None:
        console.print(f"hosted    {printable(evidence.hosted)}: no files, nothing was counted")
    if evidence.model is not None and evidence.count is not None:
        _model(console, evidence.model)
        _count(console, evidence.count)
        _sample(console, evidence.model.sample)
    _items(console, evidence, rules)
    findings(console, evidence.verdict.findings)
    limits(console, "What it does not show", evidence.does_not_show)


def parameters(count: Count) -> str:
    """`8,030,261,248 parameters (8.03 billion)`, or both figures."""
    if count.low == count.high:
        return f"{count.high:,} parameters ({format_count(count.high)})"
    return f"{count.low:,} to {count.high:,} parameters ({format_count(count.low)} at least)"


def _claim(evidence: ModelEvidence) -> str:
    claim, word = evidence.claim, evidence.verdict.claim
    assert claim is not None
    assert word is not None
    if claim.low == claim.high:
        return word.replace("-", " ")
    return f"{word.replace('-', ' ')} ({format_count(claim.low)} to {format_count(claim.high)} are so named)"


def _model(console: Console, model: Model) -> None:
    size = format_bytes(sum(file.size for file in model.files))
    console.print(f"model     {model.format}, {len(model.files)} file(s), {size}")
    for file in model.files[:_SAID_EACH]:
        name = printable(file.name)
        console.print(f"  {name}  {format_bytes(file.size)}  sha256 ({file.covers}) {file.sha256[:16]}…")
    if len(model.files) > _SAID_EACH:
        console.print(f"  and {len(model.files) - _SAID_EACH} more")
    # What a header carries under keys of its own stands in the evidence only.
    known = [fact for fact in model.stated if fact.value is not None and "/" not in fact.name]
    if known:
        shown = ", ".join(_stated(fact) for fact in known[:_SAID_EACH])
        more = f", and {len(known) - _SAID_EACH} more" if len(known) > _SAID_EACH else ""
        console.print(f"stated    {shown}{more} (the vendor's words, unchecked)")


def _stated(fact: Fact) -> str:
    return f"{printable(fact.name, limit=60)} {printable(str(fact.value), limit=60)}"


def _count(console: Console, count: Count) -> None:
    console.print()
    console.print(parameters(count), style="bold")
    for doubt in count.doubts:
        console.print(f"  in doubt {doubt.parameters:,}: {sentences.reason(doubt.code)}")
    if count.embeddings:
        console.print(f"  of these {count.embeddings:,} are embeddings")
    if count.experts is not None:
        experts = count.experts
        console.print(
            f"  {experts.parameters:,} in {experts.total} experts, of which a token uses {experts.used}: "
            f"{experts.active:,} active ({format_count(experts.active)})"
        )
    table = plain("what they are for", ">tensors", ">stored elements", ">parameters")
    for part in count.parts:
        shown = f"{part.parameters:,}" if part.parameters else "not counted"
        table.add_row(sentences.ROLES[part.role], f"{part.tensors:,}", f"{part.elements:,}", shown)
    console.print(table)
    types = ", ".join(f"{printable(row.dtype)} {row.elements:,}" for row in count.types)
    console.print(f"stored elements by type: {types}")


def _sample(console: Console, sample: ContentSample) -> None:
    looked = sum(row.tensors for row in sample.groups)
    if not looked:
        console.print("content not looked at: no tensor lies in one piece")
    else:
        least = min(row.entropy for row in sample.groups)
        console.print(
            f"content: {sample.blocks} blocks of up to {sample.block_bytes} bytes in {looked} tensors were "
            f"looked at; least entropy of a tensor's {least:.1f} bits a byte"
        )
    console.print()


def _items(console: Console, evidence: ModelEvidence, rules: RuleSet) -> None:
    console.print(f"Items of {rules.id}: what they say of parameters, and nothing else of them", style="bold")
    table = plain("item", "condition", "claimed", "counted", "answer")
    for row in evidence.verdict.items:
        limit = f"{sentences.CONDITIONS[row.condition]} ≥ {format_count(row.limit)}"
        table.add_row(row.item, limit, row.claimed_word, row.counted_word, row.answer)
    console.print(table)
    for words in dict.fromkeys(_explained(evidence.verdict.items)):
        console.print(words)
    for item in rules.items:
        console.print(f"{item.id}: {item.title_zh}「{item.quote_zh}」")
    console.print(f"status of the rule set: {rules.status}")
    console.print()


def _explained(rows: tuple[ItemAnswer, ...]) -> Iterator[str]:
    for row in rows:
        if row.answer in sentences.ITEM_ANSWERS:
            yield f"{row.answer}: {sentences.ITEM_ANSWERS[row.answer]}"
