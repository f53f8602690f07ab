"""A count of parameters that was changed and signed again by whoever holds a trusted key."""

import copy
import json
from pathlib import Path
from typing import Any

import forging
import pytest
from forging import Forgery, all_verified, delete_at, set_at
from program import MODEL_PARAMETERS, Counted

from bench.evidence import keys, statement
from bench.judge import catalog
from bench.parameters import conclusion
from bench.terms import ModelEvidence


def evidence_of(counted: Counted) -> ModelEvidence:
    evidence = statement.parse(counted.made.payload)
    assert isinstance(evidence, ModelEvidence)
    return evidence


def group(pattern: str, change: Any) -> Any:
    """Change the groups of a name pattern."""

    def changed(predicate: Any) -> None:
        for found in predicate["model"]["groups"]:
            if pattern in found["pattern"]:
                change(found)

    return changed


def both(*changes: Any) -> Any:
    def changed(predicate: Any) -> None:
        for change in changes:
            change(predicate)

    return changed


def first_group_again(predicate: Any) -> None:
    groups = predicate["model"]["groups"]
    groups.insert(0, copy.deepcopy(groups[0]))


FORGERIES = (
    Forgery(
        name="a larger figure",
        change=both(set_at("count", "low", to=2 * 10**9), set_at("count", "high", to=2 * 10**9)),
        step=6,
        reason="the count in the file is not the one that follows from its tensors",
    ),
    Forgery(
        name="a doubt left out",
        change=set_at("count", "low", to=1),
        step=6,
        reason="the count in the file is not the one",
    ),
    Forgery(
        name="more tensors than the files have bytes for",
        change=group("up_proj", lambda found: found.update(tensors=2_000)),
        step=6,
        reason="its tensors take",
    ),
    Forgery(
        name="a shape larger than its bytes",
        change=group("up_proj", lambda found: found.update(shape=[1024, 256_000])),
        step=6,
        reason="has more weights than bits",
    ),
    Forgery(
        name="weights that a type cannot hold",
        change=group("up_proj", lambda found: found.update(weights=10**12)),
        step=6,
        reason="has more weights than bits",
    ),
    Forgery(
        name="an optimizer's state called weights",
        change=group("up_proj", lambda found: found.update(pattern="optimizer.state.#.exp_avg")),
        step=6,
        reason="",
    ),
    Forgery(name="a group twice", change=first_group_again, step=6, reason="its tensors are out of order"),
    Forgery(
        name="groups in another order",
        change=set_at("model", "groups", to=lambda groups: groups[::-1]),
        step=6,
        reason="its tensors are out of order",
    ),
    Forgery(name="no tensors", change=set_at("model", "groups", to=[]), step=6, reason="it lists no tensors"),
    Forgery(
        name="a negative extent",
        change=group("norm", lambda found: found.update(shape=[-256])),
        step=3,
        reason="a shape is not negative",
    ),
    Forgery(name="no files", change=set_at("model", "files", to=[]), step=6, reason="it names no file"),
    Forgery(
        name="a file twice",
        change=set_at("model", "files", to=lambda files: [*files, {**files[0], "covers": "sampled"}]),
        step=6,
        reason="it names a file twice",
    ),
    Forgery(
        name="a look at a group that is not there",
        change=set_at("model", "sample", "groups", 0, "group", to=99),
        step=6,
        reason="",
    ),
    Forgery(
        name="a look at more tensors than there are",
        change=set_at("model", "sample", "groups", 0, "tensors", to=99),
        step=6,
        reason="it looked at more tensors than there are",
    ),
    Forgery(
        name="constant tensors without their doubt",
        change=set_at("model", "sample", "groups", 0, "constant", to=1),
        step=6,
        reason="the count in the file is not the one",
    ),
    Forgery(
        name="an entropy beyond a byte's",
        change=set_at("model", "sample", "groups", 0, "entropy", to=9.5),
        step=3,
        reason="an entropy of a byte",
    ),
    Forgery(
        name="a claim that its text does not make",
        change=set_at("claim", "low", to=1),
        step=6,
        reason="the claim is not what its text says",
    ),
    Forgery(
        name="an item met",
        change=set_at("verdict", "items", 1, "answer", to="met"),
        step=8,
        reason="the verdict in the file is not the one that follows from its count",
    ),
    Forgery(
        name="a claim borne out",
        change=set_at("verdict", "claim", to="more-than-claimed"),
        step=8,
        reason="the verdict in the file is not the one",
    ),
    Forgery(
        name="a limit left out",
        change=set_at("doesNotShow", to=lambda codes: codes[1:]),
        step=6,
        reason="it does not say what it does not show: weights-not-judged left out",
    ),
    Forgery(
        name="another table of names",
        change=set_at("names", "sha256", to="0" * 64),
        step=4,
        reason="the table of tensor names in the evidence is not the shipped one",
    ),
    Forgery(
        name="another rule set",
        change=set_at("rules", "sha256", to="0" * 64),
        step=4,
        reason="the evidence was judged by one with digest",
    ),
    Forgery(
        name="another method of counting",
        change=set_at("count", "method", to="parameters/9"),
        step=6,
        reason="method parameters/9 is not known to this bench, which has parameters/1. Update bench.",
    ),
    Forgery(
        name="another method of judging",
        change=set_at("verdict", "method", to="items/9"),
        step=8,
        reason="method items/9 is not known to this bench, which has items/1. Update bench.",
    ),
    Forgery(name="another format", change=set_at("format", to="2"), step=3, reason='format "2" is not known'),
    Forgery(name="a short nonce", change=set_at("nonce", to="00"), step=6, reason="the nonce is not 64"),
    Forgery(name="a field too few", change=delete_at("hosted"), step=3, reason="missing keys: hosted"),
    Forgery(
        name="files and a hosted service",
        change=set_at("hosted", to="ACME"),
        step=3,
        reason="files and their count, or a hosted service",
    ),
    Forgery(
        name="a statement twice",
        change=set_at("model", "stated", to=lambda facts: [*facts, facts[0]]),
        step=6,
        reason="a statement stands twice",
    ),
    Forgery(
        name="made tomorrow",
        change=set_at("created", to="2999-01-01T00:00:00Z"),
        step=9,
        reason="which is in the future",
    ),
    Forgery(
        name="no file of the program",
        change=set_at("harness", "files", to=[]),
        step=6,
        reason="the harness names none of its files",
    ),
)


def test_a_forged_count_is_refused_at_its_step(counted: Counted, tmp_path: Path) -> None:
    forged = {forgery.name: forging.changed(counted.made, forgery.change) for forgery in FORGERIES}
    answers = all_verified(counted.made, tmp_path, forged)
    for forgery in FORGERIES:
        code, step, error = answers[forgery.name]
        assert (code, step) == (4, forgery.step), (forgery.name, error)
        assert forgery.reason in error, (forgery.name, error)


def test_a_run_called_a_count_is_refused(counted: Counted, made: Any, tmp_path: Path) -> None:
    forged = json.loads(made.payload)
    forged["predicateType"] = statement.MODEL_PREDICATE_TYPE
    data = forging.sealed(json.dumps(forged).encode(), keys.load(counted.made.bench.home / "key"))
    said = counted.made.bench("verify", forging.write(tmp_path, "swapped", data))
    assert said.code == 4
    assert "step 3" in said.err


def test_a_forger_who_draws_every_conclusion_is_found_with_the_files_alone(
    counted: Counted, tmp_path: Path
) -> None:
    """Without the files nothing tells that a header said otherwise; step 7 says that they were not there."""
    from dataclasses import replace

    evidence = evidence_of(counted)
    assert evidence.model is not None
    groups = tuple(
        replace(found, tensors=2000) if "up_proj" in found.pattern else found
        for found in evidence.model.groups
    )
    files = tuple(replace(file, size=10**12) for file in evidence.model.files)
    model = replace(evidence.model, groups=groups, files=files)
    found = conclusion.conclude(model, evidence.claim, catalog.rules(evidence.rules.name))
    forged = replace(
        evidence,
        model=model,
        count=found.count,
        verdict=found.verdict,
        does_not_show=found.does_not_show,
    )
    assert found.count is not None
    assert found.count.low > 100 * MODEL_PARAMETERS
    data = forging.sealed(statement.build(forged), keys.load(counted.made.bench.home / "key"))
    path = forging.write(tmp_path, "forged", data)
    alone = counted.made.bench("verify", path)
    assert alone.code == 0
    assert "were not at hand" in alone.out
    beside = counted.made.bench("verify", path, "--model", counted.model)
    assert beside.code == 4
    assert "step 7: the files in" in beside.err
    assert "other sizes" in beside.err


@pytest.mark.parametrize("part", ["listing", "stated", "sample"])
def test_each_part_of_a_model_is_held_against_the_files(counted: Counted, tmp_path: Path, part: str) -> None:
    evidence = evidence_of(counted)
    assert evidence.model is not None
    changes: dict[str, Any] = {
        "listing": set_at("model", "listing", to="0" * 64),
        "stated": set_at("model", "stated", 0, "value", to="AnotherForCausalLM"),
        "sample": set_at("model", "sample", "groups", 0, "entropy", to=7.999),
    }
    path = forging.write(tmp_path, part, forging.changed(counted.made, changes[part]))
    assert counted.made.bench("verify", path).code == 0
    said = counted.made.bench("verify", path, "--model", counted.model)
    assert said.code == 4
    assert "are not the ones that were counted" in said.err
