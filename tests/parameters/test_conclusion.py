"""What follows for the items of the shipped rules, and for a claim, from a model's figures."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bench.judge import catalog
from bench.parameters import model
from bench.parameters.claims import parse_claim
from bench.parameters.conclusion import METHOD, Conclusion, conclude, does_not_show
from bench.terms import (
    ClaimWord,
    ContentSample,
    CountWord,
    Fact,
    Finding,
    ItemWord,
    LookedAt,
    Model,
    ModelFile,
    Status,
    TensorGroup,
)

RULES = catalog.rules("tw-ai-hardware-2024")
LIMIT = 10**9
ITEMS = {
    "development-tool": "supports",
    "content-generation": "uses",
    "product-design": "one-of-several",
    "retrieval-augmented-generation": "assists",
    "business-process": "one-of-several",
}


def group(pattern: str, shape: tuple[int, ...], dtype: str = "F32") -> TensorGroup:
    return TensorGroup(
        pattern=pattern, dtype=dtype, shape=shape, tensors=1, nbytes=0, use=None, weights=None, shared=False
    )


def holding(
    low: int,
    high: int | None = None,
    *,
    covers: tuple[str, ...] = ("full",),
    findings: tuple[Finding, ...] = (),
    stated: tuple[Fact, ...] = (),
    groups: tuple[TensorGroup, ...] = (),
) -> Model:
    """A model of `low` weights, and of integers that nothing explains up to `high`."""
    # Bytes may hold four weights each.
    doubtful = (high or low) - low
    assert doubtful % 4 == 0
    held = (group("a.w", (low,)), group("b.w", (doubtful // 4, 1), "U8"), *groups)
    looked = tuple(
        LookedAt(group=index, tensors=1, constant=0, repeated=0, entropy=7.9) for index in range(len(held))
    )
    return Model(
        format="safetensors",
        files=tuple(
            ModelFile(name=f"{i}.safetensors", size=1, covers=how, sha256="0" * 64)  # type: ignore[arg-type]
            for i, how in enumerate(covers)
        ),
        listing="0" * 64,
        groups=held,
        stated=stated,
        findings=findings,
        sample=ContentSample(blocks=2, block_bytes=4096, groups=looked),
    )


def concluded(found: Model | None, claim: str | None = None) -> Conclusion:
    return conclude(found, None if claim is None else parse_claim(f"params={claim}"), RULES)


def words(conclusion: Conclusion) -> dict[str, tuple[CountWord, CountWord, ItemWord]]:
    return {a.item: (a.claimed_word, a.counted_word, a.answer) for a in conclusion.verdict.items}


def codes(conclusion: Conclusion) -> list[tuple[Status, str]]:
    return [(finding.status, finding.code) for finding in conclusion.verdict.findings]


# ------------------------------------------------------------------------------------------- the items


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (LIMIT - 1, LIMIT - 1, "not-met"),
        (LIMIT, LIMIT, "met"),
        (LIMIT + 1, LIMIT + 1, "met"),
        (LIMIT - 4, LIMIT, "inconclusive"),
        (LIMIT - 5, LIMIT - 1, "not-met"),
        (LIMIT, LIMIT + 400, "met"),
        (1, 1, "not-met"),
        (1, 4 * LIMIT + 1, "inconclusive"),
    ],
)
def test_each_item_answers_by_its_condition_and_the_count(low: int, high: int, word: CountWord) -> None:
    found = concluded(holding(low, high))
    assert found.count is not None
    assert (found.count.low, found.count.high) == (low, high)
    answers: dict[str, ItemWord] = {
        "supports": "documents-only",
        "uses": word,  # type: ignore[dict-item]
        "assists": word,  # type: ignore[dict-item]
        "one-of-several": "one-of-several",
    }
    assert words(found) == {item: ("none", word, answers[condition]) for item, condition in ITEMS.items()}
    assert [(a.item, a.condition, a.limit) for a in found.verdict.items] == [
        (item, condition, LIMIT) for item, condition in ITEMS.items()
    ]
    assert found.verdict.method == METHOD == "items/1"


@pytest.mark.parametrize(
    ("claim", "word"),
    [(None, "none"), ("999999999", "not-met"), ("1000000000", "met"), ("0.99B", "not-met"), ("1B", "met")],
)
def test_what_is_claimed_is_said_beside_the_count_and_answers_nothing(
    claim: str | None, word: CountWord
) -> None:
    """Of a claim its value counts, not what its spelling leaves open."""
    small, large, hosted = holding(LIMIT - 1), holding(LIMIT), None
    for found, counted, answer in (
        (small, "not-met", "not-met"),
        (large, "met", "met"),
        (hosted, "none", "documents-only"),
    ):
        assert words(concluded(found, claim))["content-generation"] == (word, counted, answer)


def test_nothing_is_known_of_a_hosted_service() -> None:
    found = concluded(None)
    assert found.count is None
    assert words(found) == dict.fromkeys(ITEMS, ("none", "none", "documents-only"))
    assert (found.verdict.claim, found.verdict.findings) == (None, ())


def test_the_items_here_are_those_of_the_rules() -> None:
    assert {item.id: item.condition for item in RULES.items} == ITEMS
    assert {item.parameters for item in RULES.items} == {LIMIT}


# ------------------------------------------------------------------------------------------- the claim


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (2_499_999_999, 2_499_999_999, "not-borne-out"),
        (2_500_000_000, 2_500_000_000, "borne-out"),
        (3_000_000_000, 3_000_000_000, "borne-out"),
        (3_500_000_000, 3_500_000_000, "borne-out"),
        (3_500_000_001, 3_500_000_001, "more-than-claimed"),
        (2_499_999_996, 2_500_000_000, "inconclusive"),
        (2_499_999_995, 2_499_999_999, "not-borne-out"),
        (2_500_000_000, 9_000_000_000, "borne-out"),
        (1_000_000_000, 9_000_000_000, "inconclusive"),
        (3_500_000_001, 9_000_000_001, "more-than-claimed"),
    ],
)
def test_a_claim_is_held_against_the_lower_figure(low: int, high: int, word: ClaimWord) -> None:
    assert concluded(holding(low, high), "3B").verdict.claim == word


def test_a_claim_about_a_hosted_service_is_for_documents() -> None:
    assert concluded(None, "3B").verdict.claim == "documents-only"


def test_without_a_claim_there_is_no_word_for_one() -> None:
    assert concluded(holding(LIMIT)).verdict.claim is None


# ---------------------------------------------------------------------------------------- the findings


def test_an_ordinary_model_has_no_findings() -> None:
    assert codes(concluded(holding(LIMIT))) == []


def test_findings_of_the_files_come_first() -> None:
    finding = Finding(subject="files", status="info", code="other-files-beside", numbers={"files": 2})
    found = concluded(holding(4, 8, findings=(finding,)))
    assert found.verdict.findings[0] == finding
    assert codes(found) == [("info", "other-files-beside"), ("warning", "integers-unexplained")]


def test_a_doubt_is_a_finding_with_its_number() -> None:
    (finding,) = concluded(holding(4, 12)).verdict.findings
    assert (finding.subject, dict(finding.numbers)) == ("model", {"parameters": 8})


def test_a_model_that_was_not_looked_at_is_in_doubt_as_a_whole() -> None:
    unseen = ContentSample(blocks=0, block_bytes=4096, groups=())
    found = concluded(replace(holding(4), sample=unseen))
    assert codes(found) == [("warning", "not-looked-at")]
    assert found.count is not None
    assert (found.count.low, found.count.high) == (0, 4)


def test_why_active_parameters_cannot_be_told_is_a_finding() -> None:
    experts = (group("mlp.experts.w", (8, 5)),)
    assert codes(concluded(holding(4, groups=experts))) == [("info", "experts-not-stated")]
    stated = tuple(Fact(name=name, value=3, source="config.json") for name in ("experts", "experts-used"))
    assert codes(concluded(holding(4, groups=experts, stated=stated))) == [("info", "experts-differ")]


def test_an_adapter_and_nothing_are_said_to_be_no_model() -> None:
    adapter = concluded(holding(0, groups=(group("q.lora_A.weight", (8, 8)),)))
    assert codes(adapter) == [("warning", "adapter-not-a-model")]
    assert words(adapter)["content-generation"] == ("none", "not-met", "not-met")
    nothing = concluded(holding(0))
    assert codes(nothing) == [("warning", "no-parameters")]


# ------------------------------------------------------------------------------------ what is not shown

ALWAYS = ("other-conditions", "signer-is-the-machine", "software-cannot-prove-itself")


@pytest.mark.parametrize(
    ("covers", "more"),
    [
        (("full", "full"), ()),
        (("full", "sampled"), ("files-only-sampled",)),
        (("sampled",), ("files-only-sampled",)),
    ],
)
def test_what_a_count_does_not_show(covers: tuple[str, ...], more: tuple[str, ...]) -> None:
    found = concluded(holding(4, covers=covers))
    assert found.does_not_show == ("weights-not-judged", "model-in-use", *more, "language-model", *ALWAYS)


def test_what_no_count_does_not_show() -> None:
    assert does_not_show(None) == concluded(None).does_not_show == ("nothing-counted", *ALWAYS)


# --------------------------------------------------------------------------------- files that were read


def test_a_model_read_from_its_files_is_concluded_from(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(1)
    layers = {f"layers.{i}.w": torch.randn(256, 256, generator=random) for i in range(4)}
    layers["layers.3.w"] = torch.zeros(256, 256)
    save_file(layers, tmp_path / "model.safetensors")
    found = concluded(model.read(tmp_path, nonce="3c" * 32, covers="full"), "0.26M")
    assert found.verdict.claim == "inconclusive"
    assert codes(found) == [("warning", "constant-tensors")]
    assert words(found)["content-generation"][1:] == ("not-met", "not-met")
