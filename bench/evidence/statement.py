"""The in-toto Statement v1 around our predicates: the payload that is signed, and its subjects.

There are three kinds, told apart by their predicateType: the evidence of a run, that of a system of several
ranks, and a count of a model's parameters. The subjects name what the figures stand on by SHA-256. They are
recomputed on reading, so that they can never disagree with the predicate.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from bench.errors import EvidenceInvalid
from bench.evidence.codec import decode, encode
from bench.evidence.strict_json import read_json, to_bytes
from bench.printable import printable
from bench.terms import Evidence, ModelEvidence, SystemEvidence, Workload

# History of the format, a line per version; the decoder of each released one stays for ever.
# 1  never released: rows with every sample in columns, counters around the visits, figures, verdict.
# 2  never released: the schedule, refined shapes with every rate, held windows, clocks, bandwidth,
#    diagnostics, and telemetry at 10 Hz with sensors.
# 3  never released: the challenge that the run answers, openings of outputs, the process's own inspection.
# 4  never released: the case, what is stated about the visit.
# 5  never released: shapes of several layers and streams, what admits a row through a provider or a runner.
# 6  the rank of a part of a system, and windows alone; sensors and clocks of GPUs.
FORMAT = "6"
# The same for a system.
# 1  every rank's signed report, exchanges of time, figures of common windows, verdict.
SYSTEM_FORMAT = "1"
# The same for a count of parameters.
# 1  files, groups of tensors, a look at their content, what is stated, the count, the rule's items.
MODEL_FORMAT = "1"

PREDICATE_TYPE: Final = "https://compute-evidence.dev/compute-evidence/v1"
SYSTEM_PREDICATE_TYPE: Final = "https://compute-evidence.dev/system-evidence/v1"
MODEL_PREDICATE_TYPE: Final = "https://compute-evidence.dev/model-parameters/v1"

STEP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sha256:
    """A digest in the form of in-toto's DigestSet: 64 lower-case hexadecimal digits."""

    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing that the statement is about (in-toto's ResourceDescriptor)."""

    name: str
    digest: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """in-toto Statement v1 about a run: what is signed."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://compute-evidence.dev/compute-evidence/v1"]
    predicate: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStatement:
    """in-toto Statement v1 about a model's parameters: what is signed."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://compute-evidence.dev/model-parameters/v1"]
    predicate: ModelEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemStatement:
    """in-toto Statement v1 about a system: what is signed."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://compute-evidence.dev/system-evidence/v1"]
    predicate: SystemEvidence


Predicate = Evidence | ModelEvidence | SystemEvidence


def build(predicate: Predicate) -> bytes:
    """The payload: the statement about `predicate`. Raises ValueError for what could not be read back.

    It is read back before it is handed out, as nothing may be signed that no auditor can open.
    """
    try:
        payload = to_bytes(encode(_statement(predicate)))
        same = parse(payload) == predicate
    except EvidenceInvalid as error:
        raise ValueError(f"this evidence could not be read back: {error}") from error
    if not same:
        raise ValueError("this evidence would be read back as another one")
    return payload


def _statement(predicate: Predicate) -> Statement | ModelStatement | SystemStatement:
    about = subjects(encode(predicate))
    if isinstance(predicate, SystemEvidence):
        return SystemStatement(
            _type="https://in-toto.io/Statement/v1",
            subject=about,
            predicate_type=SYSTEM_PREDICATE_TYPE,
            predicate=predicate,
        )
    if isinstance(predicate, ModelEvidence):
        return ModelStatement(
            _type="https://in-toto.io/Statement/v1",
            subject=about,
            predicate_type=MODEL_PREDICATE_TYPE,
            predicate=predicate,
        )
    return Statement(
        _type="https://in-toto.io/Statement/v1",
        subject=about,
        predicate_type=PREDICATE_TYPE,
        predicate=predicate,
    )


def parse(payload: bytes) -> Predicate:
    """The evidence in a payload whose signature was checked. Raises EvidenceInvalid (step 3)."""
    json: Any = read_json(payload, step=STEP)
    statement: Statement | ModelStatement | SystemStatement
    kind = _predicate_type(json)
    if kind == MODEL_PREDICATE_TYPE:
        _require_format(json, MODEL_FORMAT)
        statement = decode(ModelStatement, json, step=STEP)
    elif kind == SYSTEM_PREDICATE_TYPE:
        _require_format(json, SYSTEM_FORMAT)
        statement = decode(SystemStatement, json, step=STEP)
    else:
        _require_format(json, FORMAT)
        statement = decode(Statement, json, step=STEP)
    _require_same(statement.subject, subjects(json["predicate"]))
    return statement.predicate


def subjects(predicate: Any) -> tuple[Subject, ...]:
    """What the statement is about, each by its SHA-256.

    `predicate` is the JSON of one of the three kinds. Of a run these are named and digested as
    they stand in the predicate:

    - `samples/<device>/<row>`: `measurements[i].visits` of each row that has visits
    - `held/<device>/<row>`: `measurements[i].held` of each row that was held under load
    - `alone/<device>/<row>`: `measurements[i].alone` of each row that was measured while others waited
    - `telemetry`: `telemetry`
    - `device/<selector>`: `devices[i]`

    Of a system:

    - `rank/<number>`: each rank's report, by the digest of its envelope's bytes

    Of a model:

    - `model`: `model` as it stands in the predicate (null for a hosted service)
    - `file/<name>`: each of its files whose digest covers all its bytes, by that very digest

    The bytes are those of `to_bytes`: compact, keys in the order of the file, UTF-8. Samples and telemetry
    hold strings and short integers only, so `jq -cj .predicate.telemetry | sha256sum` gives the same digest.
    Raises EvidenceInvalid where two of them would have the same name.
    """
    kind = next((key for key in _PARTS if key in predicate), "measurements")
    found = tuple(_PARTS[kind](predicate))
    names = [subject.name for subject in found]
    if len({*names}) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise EvidenceInvalid(f"{printable(twice)} stands twice in the evidence.", step=STEP)
    return found


def _model_parts(predicate: Any) -> Iterator[Subject]:
    model = predicate["model"]
    yield _digested("model", model)
    for file in model["files"] if model is not None else ():
        if file["covers"] == "full":
            yield Subject(name=f"file/{file['name']}", digest=Sha256(sha256=file["sha256"]))


def _run_parts(predicate: Any) -> Iterator[Subject]:
    for measurement in predicate["measurements"]:
        if measurement["visits"]:
            yield _digested(f"samples/{_row(measurement['workload'])}", measurement["visits"])
        if measurement["held"]:
            yield _digested(f"held/{_row(measurement['workload'])}", measurement["held"])
        if measurement["alone"]:
            yield _digested(f"alone/{_row(measurement['workload'])}", measurement["alone"])
    yield _digested("telemetry", predicate["telemetry"])
    for device in predicate["devices"]:
        yield _digested(f"device/{device['selector']}", device)


def _system_parts(predicate: Any) -> Iterator[Subject]:
    for member in predicate["members"]:
        if member["report"] is not None:
            yield _report(f"rank/{member['rank']}", member["report"])


def _report(name: str, base64_text: str) -> Subject:
    try:
        data = base64.b64decode(base64_text, validate=True)
    except ValueError as error:
        raise EvidenceInvalid(f"{printable(name)} is not standard base64: {error}.", step=STEP) from error
    return Subject(name=name, digest=Sha256(sha256=hashlib.sha256(data).hexdigest()))


# By the key that only this kind of predicate has.
_PARTS = {"model": _model_parts, "members": _system_parts, "measurements": _run_parts}


def _digested(name: str, json: object) -> Subject:
    return Subject(name=name, digest=Sha256(sha256=hashlib.sha256(to_bytes(json)).hexdigest()))


def _row(workload: Any) -> str:
    # A row's name is unique on one device only.
    known = decode(Workload, workload, step=STEP)
    return f"{known.device}/{known.row}"


def _predicate_type(json: object) -> str:
    got = json.get("predicateType") if isinstance(json, dict) else None
    if got not in (PREDICATE_TYPE, SYSTEM_PREDICATE_TYPE, MODEL_PREDICATE_TYPE):
        shown = printable(got) if isinstance(got, str) else "nothing"
        raise EvidenceInvalid(
            f"not evidence that this bench reads: its predicateType is {shown}, expected {PREDICATE_TYPE}, "
            f"{SYSTEM_PREDICATE_TYPE} or {MODEL_PREDICATE_TYPE}.",
            step=STEP,
        )
    assert isinstance(got, str)
    return got


def _require_format(json: Any, known: str) -> None:
    """Before the keys: those of another format are others, and no reader should have to guess why."""
    predicate = json.get("predicate")
    said = predicate.get("format") if isinstance(predicate, dict) else None
    if isinstance(said, str) and said != known:
        raise EvidenceInvalid(
            f'format "{printable(said)}" is not known: this bench reads "{known}". It was written by another '
            "version of bench: verify it with that one.",
            step=STEP,
        )


def _require_same(written: tuple[Subject, ...], computed: tuple[Subject, ...]) -> None:
    if written == computed:
        return
    differing = {s.name for s in {*written} ^ {*computed}} or {"their order"}
    raise EvidenceInvalid(
        f"the subjects do not match the predicate: {', '.join(printable(n) for n in sorted(differing))}.",
        step=STEP,
    )
