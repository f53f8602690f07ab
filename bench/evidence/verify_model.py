"""Steps 4 to 9 of `bench verify` over evidence about a model's parameters.

Without the model's files everything that follows from the listed groups of tensors is counted again; with
them at hand (`--model PATH`) they are read once more by the evidence's own nonce, and must agree; then they
are looked at by a nonce of the verifier's, and the answers must be the same.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.errors import ChallengeRefused, EvidenceInvalid, ModelInvalid, UsageError
from bench.evidence import harness
from bench.evidence.steps import (
    MODEL_NAMES,
    AtHand,
    Request,
    Step,
    Verified,
    age_days,
    computable,
    require_limits,
    rules_of,
)
from bench.parameters import conclusion, count, inventory, model, names
from bench.parameters.claims import parse_claim
from bench.printable import printable
from bench.terms import Model, ModelEvidence, RuleSet, Scalar


def steps(evidence: ModelEvidence, request: Request, found: Verified) -> Iterator[Step]:
    """The steps from the rule set on, filling `found`. Raises as `verify` does."""
    rules = found.rules = rules_of(evidence, request.rules_file)
    if evidence.names != names.table()[0]:
        raise EvidenceInvalid(
            "the table of tensor names in the evidence is not the shipped one. Verify with the version of "
            f"bench that wrote it ({printable(evidence.harness.version)}).",
            step=4,
        )
    yield _step(4, "rules-and-names", rules=rules.id, status=rules.status)
    if request.challenge is not None:
        raise ChallengeRefused("a challenge is for a run, and this is a count of a model's parameters.")
    yield _step(5, "no-challenge")
    _require_known_methods(evidence)
    with computable():
        _require_sound(evidence)
        concluded = conclusion.conclude(evidence.model, evidence.claim, rules)
    if concluded.count != evidence.count:
        raise EvidenceInvalid("the count in the file is not the one that follows from its tensors.", step=6)
    require_limits(evidence, concluded.does_not_show)
    yield _counted(evidence)
    yield _files_step(evidence, request.model, rules)
    if concluded.verdict != evidence.verdict:
        raise EvidenceInvalid("the verdict in the file is not the one that follows from its count.", step=8)
    found.evidence = evidence
    yield _step(8, "verdict", method=evidence.verdict.method)
    files = harness.differing_files(evidence.harness)
    age = age_days(evidence, request)
    if files:
        yield _step(9, "plausible-other-files", age_days=age, files=files)
    else:
        yield _step(9, "plausible", age_days=age)


def _step(number: int, code: str, **values: Scalar) -> Step:
    return Step(number=number, code=code, values=values, names=MODEL_NAMES)


def _counted(evidence: ModelEvidence) -> Step:
    if evidence.model is None:
        return _step(6, "nothing-to-count")
    tensors = sum(group.tensors for group in evidence.model.groups)
    return _step(6, "recounted", tensors=tensors, groups=len(evidence.model.groups))


def _files_step(evidence: ModelEvidence, at_hand: AtHand | None, rules: RuleSet) -> Step:
    counted = evidence.model
    if counted is None:
        if at_hand is not None:
            raise UsageError("it is about a hosted service, which has no files: leave out --model.")
        return _step(7, "no-model-files")
    if at_hand is None:
        return _step(7, "model-not-at-hand", files=len(counted.files))
    covers = model.covers(counted)
    again = _read(at_hand.path, evidence.nonce, covers)
    for name, part in _PARTS.items():
        if part(again) != part(counted):
            raise EvidenceInvalid(
                f"the files in {at_hand.path} are not the ones that were counted: {name}.", step=7
            )
    _look_elsewhere(evidence, at_hand, rules)
    return _step(7, f"model-read-{covers}", files=len(again.files))


def _look_elsewhere(evidence: ModelEvidence, at_hand: AtHand, rules: RuleSet) -> None:
    """Whoever made the file drew its nonce, and could have put weights only where it leads."""
    elsewhere = _read(at_hand.path, at_hand.nonce, "sampled")
    found = conclusion.conclude(elsewhere, evidence.claim, rules)
    if found.verdict.items == evidence.verdict.items and found.verdict.claim == evidence.verdict.claim:
        return
    assert found.count is not None
    assert evidence.count is not None
    raise EvidenceInvalid(
        f"looked at elsewhere, the files in {at_hand.path} hold {found.count.low:,} parameters at least, "
        f"where the evidence says {evidence.count.low:,}: their content is not alike throughout.",
        step=7,
    )


def _read(path: Path, nonce: str, covers: model.Covers) -> Model:
    try:
        return model.read(path, nonce=nonce, covers=covers)
    except ModelInvalid as error:
        raise EvidenceInvalid(f"the files in {path} cannot be counted: {error}", step=7) from error


# What must be the same, in the order in which a difference tells most.
_PARTS: dict[str, Callable[[Model], Any]] = {
    "another format": lambda found: found.format,
    "other file names": lambda found: [file.name for file in found.files],
    "other sizes": lambda found: [file.size for file in found.files],
    "other tensors": lambda found: (found.listing, found.groups),
    "another digest": lambda found: found.files,
    "other words in configuration or header": lambda found: found.stated,
    "another content where it was looked at": lambda found: found.sample,
    # Which files lie beside depends on whether a folder or a file in it was given.
    "other findings": lambda found: [one for one in found.findings if one.code != "other-files-beside"],
}


def _require_known_methods(evidence: ModelEvidence) -> None:
    asked = [(8, evidence.verdict.method, conclusion.METHOD)]
    if evidence.count is not None:
        asked.insert(0, (6, evidence.count.method, count.METHOD))
    for step, method, known in asked:
        if method != known:
            raise EvidenceInvalid(
                f"method {printable(method)} is not known to this bench, which has {known}. Update bench.",
                step=step,
            )


def _require_sound(evidence: ModelEvidence) -> None:
    """Raise EvidenceInvalid (step 6) for what no count of this version writes."""
    _require(
        re.fullmatch("[0-9a-f]{64}", evidence.nonce), "the nonce is not 64 lower-case hexadecimal digits"
    )
    _require(evidence.harness.files, "the harness names none of its files")
    claim = evidence.claim
    _require(claim is None or parse_claim(claim.text) == claim, "the claim is not what its text says")
    if evidence.model is not None:
        _require_sound_model(evidence.model)
    else:
        _require(claim is not None, "nothing was counted, and nothing is claimed")


def _require_sound_model(found: Model) -> None:
    _require(found.files, "it names no file")
    file_names = [file.name for file in found.files]
    _require(len({*file_names}) == len(file_names), "it names a file twice")
    _require(
        0 < len(found.groups) <= inventory.MAX_GROUPS,
        f"it lists no tensors, or more than {inventory.MAX_GROUPS} kinds",
    )
    keys = [inventory.order(group) for group in found.groups]
    _require(all(a < b for a, b in pairwise(keys)), "its tensors are out of order")
    for group in found.groups:
        most = max(group.elements, group.weights or 0)
        _require(most <= 8 * group.nbytes, f"{printable(group.pattern)} has more weights than bits")
    stored = sum(group.tensors * group.nbytes for group in found.groups if not group.shared)
    # A number of ONNX may be written in fewer bytes than it has, down to one of eight.
    room = sum(file.size for file in found.files) * (8 if found.format == "onnx" else 1)
    _require(stored <= room, f"its tensors take {stored} bytes, and its files have {room}")
    looked = [row.group for row in found.sample.groups]
    _require(looked == sorted({*looked}), "its groups that were looked at are out of order")
    for row in found.sample.groups:
        _require(0 <= row.group < len(found.groups), "it looked at a group that is not there")
        _require(row.tensors <= found.groups[row.group].tensors, "it looked at more tensors than there are")
    stated = [fact.name for fact in found.stated]
    _require(len({*stated}) == len(stated), "a statement stands twice")


def _require(holds: object, words: str) -> None:
    if not holds:
        raise EvidenceInvalid(f"{words}.", step=6)
