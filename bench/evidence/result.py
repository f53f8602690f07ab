"""What `verify` found, signed by whoever ran it: an in-toto Simple Verification Result.

https://github.com/in-toto/attestation/blob/main/spec/predicates/svr.md, version 0.1. It names the evidence
by digest and lists what holds; what is not listed was not found. It is its signer's word: nothing is
recomputed from it, and only what `build` writes is read back.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import bench
from bench.errors import EvidenceInvalid, UsageError
from bench.evidence import envelope
from bench.evidence.challenge import moment, spelled
from bench.evidence.codec import decode, encode
from bench.evidence.keys import PublicKey, SigningKey
from bench.evidence.statement import Sha256, Subject
from bench.evidence.steps import Request, Verified
from bench.evidence.strict_json import read_json, to_bytes
from bench.evidence.trust import SELF, VERDICTS, Signer, Trusted, check_signatures
from bench.printable import printable
from bench.report.language import marked, tr
from bench.terms import Envelope, Evidence, ModelEvidence, SystemEvidence, Threshold

PREDICATE_TYPE: Final = "https://in-toto.io/attestation/svr/v0.1"
# The version that verified follows: what verify checks may differ with it.
VERIFIER = "https://compute-evidence.dev/bench-verify/"
# As the format recommends, so that no other verifier's words are taken for ours.
PREFIX = "COMPUTE_EVIDENCE_"

STEP = 3

# What a result may list, each after PREFIX, and what it stands for. A THRESHOLD names tier, device and
# precision in capitals, with "_" for every other character.
PROPERTIES: Mapping[str, str] = {
    "VALID": marked("every step of bench verify passed: figures and verdict follow from what it holds"),
    "MEASUREMENT": marked("it is a measurement, no smoke test"),
    "COMPLETE": marked("the run came to its end"),
    "SIGNED_BY_TRUSTED_KEY": marked("signed by a key that the verifier trusts as somebody else's"),
    "SIGNED_BY_OWN_KEY": marked("of the keys that signed it the verifier trusts its own only"),
    "TIME_STAMPED": marked("its first signature existed when an authority that the verifier trusts says"),
    "ANSWERS_CHALLENGE": marked("it answers the challenge that the verifier held against it"),
    "OUTPUTS_RECOMPUTED": marked("opened rows of committed outputs were recomputed, and agree"),
    "ASSURANCE_A[01]": marked("the level that it reaches for this verifier"),
    "THRESHOLD_[A-Z0-9_]+_NOT_MET": marked("the tier is not met, by the figure that the rule set goes by"),
    "THRESHOLD_[A-Z0-9_]+_MET": marked("the tier is met, by the figure that the rule set goes by"),
    "THRESHOLD_[A-Z0-9_]+_INCONCLUSIVE": marked("whether the tier is met cannot be decided"),
    "THRESHOLD_[A-Z0-9_]+_STATED_ONLY": marked("there is somebody's word alone, which answers nothing"),
    "THRESHOLD_[A-Z0-9_]+_SMOKE_TEST": marked("a smoke test decides nothing about the tier"),
    "DEVICES_AT_ONCE": marked("several devices, measured at once; each one's signed part was verified too"),
    "PARAMETERS_COUNTED": marked("a model's parameters, counted from the listed tensors of its files"),
    "PARAMETERS_CLAIMED": marked("a hosted service's parameters: a claim, and nothing was counted"),
    "MODEL_FILES_READ": marked("the verifier had the model's files, and read the same in them"),
    "ITEM_[A-Z0-9_]+_NOT_MET": marked("the model has fewer parameters than the item asks for"),
    "ITEM_[A-Z0-9_]+_MET": marked(
        "the model has the parameters that the item asks for; other conditions stand"
    ),
    "ITEM_[A-Z0-9_]+_INCONCLUSIVE": marked("whether the model has the parameters cannot be decided"),
    "ITEM_[A-Z0-9_]+_ONE_OF_SEVERAL": marked("parameters are one of several ways into the item"),
    "ITEM_[A-Z0-9_]+_DOCUMENTS_ONLY": marked("only documents can show it"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """Who verified: bench in a version, and by which rule set (`policy`). The auditor is the signer."""

    id: str
    policy: Subject

    def __post_init__(self) -> None:
        if not re.fullmatch(re.escape(VERIFIER) + "[0-9A-Za-z.+-]{1,40}", self.id):
            raise ValueError(f"the verifier is not {VERIFIER}VERSION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The predicate: who verified, when, and what holds, each a name of PROPERTIES after PREFIX."""

    verifier: Verifier
    time_created: str
    properties: tuple[str, ...]

    def __post_init__(self) -> None:
        moment(self.time_created)
        if len({*self.properties}) != len(self.properties) or PREFIX + "VALID" not in self.properties:
            raise ValueError("the properties hold VALID, and nothing twice")
        for name in self.properties:
            meaning(name)
        of_model = any(name.startswith(PREFIX + "PARAMETERS_") for name in self.properties)
        for once in ("SIGNED_BY_", *(() if of_model else ("ASSURANCE_",))):
            if sum(name.startswith(PREFIX + once) for name in self.properties) != 1:
                raise ValueError(f"the properties hold one {once.rstrip('_')}, and no other beside it")
        foreign = ("ASSURANCE_", "THRESHOLD_", "DEVICES_") if of_model else ("ITEM_",)
        if any(name.startswith(PREFIX + start) for name in self.properties for start in foreign):
            raise ValueError("the properties are those of a run, or of a count of parameters")
        ends = "_(NOT_MET|MET|INCONCLUSIVE|STATED_ONLY|SMOKE_TEST|ONE_OF_SEVERAL|DOCUMENTS_ONLY)$"
        asked = [
            re.sub(ends, "", name)
            for name in self.properties
            if name.startswith((PREFIX + "THRESHOLD_", PREFIX + "ITEM_"))
        ]
        if len({*asked}) != len(asked):
            raise ValueError("the properties hold two answers for one threshold or item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """in-toto Statement v1 about an evidence file and its payload, which stays when others sign it too."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://in-toto.io/attestation/svr/v0.1"]
    predicate: Result

    def __post_init__(self) -> None:
        digests = [*(s.digest.sha256 for s in self.subject), self.predicate.verifier.policy.digest.sha256]
        if len(digests) != 3 or not all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests):
            raise ValueError("a digest is not 64 hexadecimal digits, or a subject too many or too few")
        if [subject.name for subject in self.subject] != [
            f"evidence/{self.report}",
            f"payload/{self.report}",
        ]:
            raise ValueError("the subjects are not evidence/NUMBER and payload/NUMBER of one report")

    @property
    def report(self) -> str:
        """The number of the report that it is about."""
        return self.subject[1].digest.sha256[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A result whose signature was checked, and who of the trusted signed it."""

    statement: Statement
    signers: tuple[Trusted, ...]

    @property
    def who(self) -> str:
        return ", ".join(f"{signer.principal} ({signer.fingerprint})" for signer in self.signers)


def meaning(name: str) -> str:
    """What a property stands for. Raises ValueError for one that bench does not write."""
    for pattern, words in PROPERTIES.items():
        if re.fullmatch(PREFIX + pattern, name):
            return words
    raise ValueError(f"the property {printable(name)} is not known to this bench")


# ---------------------------------------------------------------------------------------- writing


def build(data: bytes, found: Verified, request: Request) -> Statement:
    """What `verify`, run to its end on the file that holds `data`, found on this request.

    Raises UsageError when `data` is not what was verified, and where devices could not be told apart.
    """
    if envelope.parse(data) != found.envelope:
        raise UsageError("the evidence file was changed while it was verified. Type the command again.")
    assert found.evidence is not None
    assert found.rules is not None
    number = envelope.report_number(found.envelope)
    return Statement(
        _type="https://in-toto.io/Statement/v1",
        subject=(
            _subject(f"evidence/{number}", hashlib.sha256(data).hexdigest()),
            _subject(f"payload/{number}", hashlib.sha256(found.envelope.payload).hexdigest()),
        ),
        predicate_type=PREDICATE_TYPE,
        predicate=Result(
            verifier=Verifier(
                id=VERIFIER + bench.__version__, policy=_subject(found.rules.id, found.rules.digest)
            ),
            time_created=spelled(request.now),
            properties=tuple(PREFIX + name for name in _properties(found, found.evidence, request)),
        ),
    )


def sign(statement: Statement, key: SigningKey) -> Envelope:
    """The statement in an envelope signed by `key`."""
    return envelope.sign(to_bytes(encode(statement)), envelope.PAYLOAD_TYPE, [key])


def _properties(
    found: Verified, evidence: Evidence | ModelEvidence | SystemEvidence, request: Request
) -> Iterator[str]:
    yield "VALID"
    if not isinstance(evidence, ModelEvidence):
        if evidence.mode == "default":
            yield "MEASUREMENT"
        if not evidence.interrupted:
            yield "COMPLETE"
    others = any(signer.principal != SELF for signer in found.signers)
    yield "SIGNED_BY_TRUSTED_KEY" if others else "SIGNED_BY_OWN_KEY"
    if found.stamped_at is not None:
        yield "TIME_STAMPED"
    if isinstance(evidence, ModelEvidence):
        yield from _of_model(evidence, request)
    elif isinstance(evidence, SystemEvidence):
        yield "DEVICES_AT_ONCE"
        reports = [part.evidence for part in found.parts if part.evidence is not None]
        yield from _judged(evidence, reports, request)
    else:
        yield from _judged(evidence, [evidence], request)


def _of_model(evidence: ModelEvidence, request: Request) -> Iterator[str]:
    yield "PARAMETERS_CLAIMED" if evidence.count is None else "PARAMETERS_COUNTED"
    if request.model is not None:
        yield "MODEL_FILES_READ"
    for row in evidence.verdict.items:
        yield f"ITEM_{_capitals(row.item)}_{_capitals(row.answer)}"


def _judged(
    evidence: Evidence | SystemEvidence, reports: Sequence[Evidence], request: Request
) -> Iterator[str]:
    """What holds of a run, or of a system with the `reports` of its ranks."""
    if request.challenge is not None:
        yield "ANSWERS_CHALLENGE"
    if all(any(opening.reason is None for opening in report.openings) for report in reports):
        yield "OUTPUTS_RECOMPUTED"
    yield f"ASSURANCE_{evidence.assurance}"
    yield from _thresholds(evidence.verdict.thresholds)


def _thresholds(rows: Sequence[Threshold]) -> Iterator[str]:
    named: dict[str, Threshold] = {}
    for row in rows:
        name = "_".join(_capitals(part) for part in (row.tier, row.device, row.precision))
        # A device is called what the evidence calls it: two names must not become one with two answers.
        if name in named:
            raise UsageError(
                f"a result cannot tell these rows apart: {printable(named[name].device)} and "
                f"{printable(row.device)}, {printable(row.tier)} {printable(row.precision)}."
            )
        named[name] = row
        yield f"THRESHOLD_{name}_{_capitals(row.headline.removeprefix('threshold-'))}"


def _capitals(text: str) -> str:
    return re.sub("[^A-Z0-9]", "_", text.upper())


def _subject(name: str, sha256: str) -> Subject:
    return Subject(name=name, digest=Sha256(sha256=sha256))


# ---------------------------------------------------------------------------------------- reading


def is_result(data: bytes) -> bool:
    """Whether a file says that it holds such a result. Nothing of it was checked: `read` does that."""
    try:
        json = read_json(envelope.parse(data).payload, step=STEP)
    except EvidenceInvalid:
        return False
    return isinstance(json, dict) and json.get("predicateType") == PREDICATE_TYPE


def read(
    data: bytes,
    signers: Sequence[Signer],
    at: datetime,
    revoked: frozenset[PublicKey] = frozenset(),
) -> Checked:
    """The result in a file's bytes, signed by somebody trusted at `at`.

    Raises EvidenceInvalid (step 1 or 3) and SignatureNotTrusted.
    """
    signed = envelope.parse(data)
    who = check_signatures(signed, signers, at, revoked, namespace=VERDICTS)
    return Checked(statement=decode(Statement, read_json(signed.payload, step=STEP), step=STEP), signers=who)


def lines(statement: Statement, who: str) -> tuple[str, ...]:
    """What it says and `who` signed it, for people to read."""
    said = statement.predicate
    policy = said.verifier.policy
    evidence, payload = (subject.digest.sha256 for subject in statement.subject)
    return (
        tr("Verdict on report {report} · {time}", report=statement.report, time=said.time_created),
        tr("signed by  {who}", who=printable(who, limit=4096)),
        tr("verifier   {verifier}", verifier=said.verifier.id),
        tr("rule set   {rules}, sha256 {sha256}", rules=printable(policy.name), sha256=policy.digest.sha256),
        tr("evidence   sha256 {sha256} (the file as it was then)", sha256=evidence),
        tr("payload    sha256 {sha256} (what its signatures are over)", sha256=payload),
        *(f"- {tr('{subject}: {words}', subject=name, words=tr(meaning(name)))}" for name in said.properties),
        tr("This is the word of whoever signed it. To find out by yourself: bench verify FILE"),
    )


def summary(checked: Checked) -> dict[str, Any]:
    """What it says, for programs: the statement, the report's number, and who signed."""
    return {
        "report": checked.statement.report,
        "signers": [{"principal": s.principal, "fingerprint": s.fingerprint} for s in checked.signers],
        "statement": encode(checked.statement),
    }
