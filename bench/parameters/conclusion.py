"""From files that were read and a claim to all that follows: the function that params and verify share."""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.parameters.count import count
from bench.terms import (
    ClaimWord,
    Count,
    CountWord,
    Finding,
    Item,
    ItemAnswer,
    ItemWord,
    Model,
    ModelVerdict,
    ParameterClaim,
    RuleSet,
    Status,
)

METHOD = "items/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    count: Count | None
    verdict: ModelVerdict
    does_not_show: tuple[str, ...]


def conclude(model: Model | None, claim: ParameterClaim | None, rules: RuleSet) -> Conclusion:
    """What follows for the items of `rules`; `model` is None for a service that is hosted elsewhere."""
    counted = None if model is None else count(model.groups, model.stated, model.sample)
    verdict = ModelVerdict(
        method=METHOD,
        claim=None if claim is None else _claim_word(claim, counted),
        items=tuple(_answer(item, claim, counted) for item in rules.items),
        findings=() if model is None or counted is None else tuple(_findings(model, counted)),
    )
    return Conclusion(count=counted, verdict=verdict, does_not_show=does_not_show(model))


def does_not_show(model: Model | None) -> tuple[str, ...]:
    """What a count cannot show, as codes. They belong to format 1 of this predicate."""
    of_files = ("weights-not-judged", "model-in-use", "files-only-sampled", "language-model")
    whole = model is not None and all(file.covers == "full" for file in model.files)
    shown = [code for code in of_files if not (whole and code == "files-only-sampled")]
    return (
        *(("nothing-counted",) if model is None else shown),
        "other-conditions",
        "signer-is-the-machine",
        "software-cannot-prove-itself",
    )


def _word(low: int, high: int, limit: int) -> CountWord:
    return "met" if low >= limit else "not-met" if high < limit else "inconclusive"


def _answer(item: Item, claim: ParameterClaim | None, counted: Count | None) -> ItemAnswer:
    limit = item.parameters
    by_count: CountWord = "none" if counted is None else _word(counted.low, counted.high, limit)
    return ItemAnswer(
        item=item.id,
        condition=item.condition,
        limit=limit,
        claimed_word="none" if claim is None else _word(claim.value, claim.value, limit),
        counted_word=by_count,
        answer=_item_word(item, by_count),
    )


def _item_word(item: Item, by_count: CountWord) -> ItemWord:
    """A model's files cannot show what a tool supports, and nothing is known of a hosted service."""
    if by_count == "none" or item.condition == "supports":
        return "documents-only"
    return "one-of-several" if item.condition == "one-of-several" else by_count


def _claim_word(claim: ParameterClaim, counted: Count | None) -> ClaimWord:
    if counted is None:
        return "documents-only"
    if counted.low > claim.high:
        return "more-than-claimed"
    if counted.low >= claim.low:
        return "borne-out"
    return "not-borne-out" if counted.high < claim.low else "inconclusive"


def _findings(model: Model, counted: Count) -> Iterator[Finding]:
    """What a reader should know; those about the files were found when they were read."""
    yield from model.findings
    if counted.kind == "adapter":
        yield _finding("warning", "adapter-not-a-model")
    if counted.kind == "nothing":
        yield _finding("warning", "no-parameters")
    for doubt in counted.doubts:
        yield Finding(
            status="warning", code=doubt.code, subject="model", numbers={"parameters": doubt.parameters}
        )
    if counted.experts_reason is not None:
        yield _finding("info", counted.experts_reason)


def _finding(status: Status, code: str) -> Finding:
    return Finding(status=status, code=code, subject="model", numbers={})
