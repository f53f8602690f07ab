"""The in-toto Statement v1 around our predicate: the payload that is signed, and its subjects.

The subjects name what the figures stand on by SHA-256. They are recomputed on reading, so that they
can never disagree with the predicate.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.errors import EvidenceInvalid
from bench.evidence.codec import decode, encode, schema_of
from bench.evidence.printable import printable
from bench.evidence.strict_json import read_json, to_bytes
from bench.terms import Evidence

# History of the format, a line per version; the decoder of each stays for ever.
# 1  rows with every sample in columns, telemetry of the machine, figures, verdict by method.
FORMAT = "1"
PREDICATE_TYPE: Literal["https://compute-evidence.dev/compute-evidence/v1"]
PREDICATE_TYPE = "https://compute-evidence.dev/compute-evidence/v1"

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
    """in-toto Statement v1: what is signed."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: tuple[Subject, ...]
    predicate_type: Literal["https://compute-evidence.dev/compute-evidence/v1"]
    predicate: Evidence


def build(evidence: Evidence) -> bytes:
    """The payload: the statement about `evidence`. Raises ValueError for what could not be read back.

    It is read back before it is handed out, as nothing may be signed that no auditor can open.
    """
    statement = Statement(
        _type="https://in-toto.io/Statement/v1",
        subject=subjects(evidence),
        predicate_type=PREDICATE_TYPE,
        predicate=evidence,
    )
    payload = to_bytes(encode(statement))
    try:
        same = parse(payload) == evidence
    except EvidenceInvalid as error:
        raise ValueError(f"this evidence could not be read back: {error}") from error
    if not same:
        raise ValueError("this evidence would be read back as another one")
    return payload


def parse(payload: bytes) -> Evidence:
    """The evidence in a payload whose signature was checked. Raises EvidenceInvalid (step 3)."""
    json = read_json(payload, step=STEP)
    _require_known_type(json)
    statement = decode(Statement, json, step=STEP)
    evidence = statement.predicate
    if evidence.format != FORMAT:
        raise EvidenceInvalid(
            f'format "{printable(evidence.format)}" is not known: this bench reads "{FORMAT}".', step=STEP
        )
    _require_same(statement.subject, subjects(evidence))
    return evidence


def subjects(evidence: Evidence) -> tuple[Subject, ...]:
    """What the statement is about, each by the SHA-256 of its JSON as it stands in the predicate.

    - `samples/<device>/<row>`: `predicate.measurements[i].visits` of each row that has visits
    - `telemetry`: `predicate.telemetry`
    - `device/<selector>`: `predicate.devices[i]`

    The bytes are those of `to_bytes`: compact, in the order of the file, UTF-8. Samples and telemetry
    hold strings only, so `jq -cj .predicate.telemetry | sha256sum` gives the same digest.
    Raises EvidenceInvalid where two of them would have the same name.
    """
    found = tuple(
        Subject(name=name, digest=Sha256(sha256=hashlib.sha256(to_bytes(json)).hexdigest()))
        for name, json in _parts(evidence)
    )
    names = [subject.name for subject in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise EvidenceInvalid(f"{printable(twice)} stands twice in the evidence", step=STEP)
    return found


def schema() -> dict[str, object]:
    """The JSON Schema of the whole payload, shipped as statement.schema.json.

    After a change of terms.py write it anew with `python -m bench.evidence.statement`; a test compares.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{PREDICATE_TYPE}/statement.schema.json",
        "title": "in-toto Statement v1 with a compute-evidence predicate",
        **schema_of(Statement),
    }


def _parts(evidence: Evidence) -> Iterator[tuple[str, object]]:
    for measurement in evidence.measurements:
        if measurement.visits:
            workload = measurement.workload
            yield f"samples/{workload.device}/{workload.row}", encode(measurement)["visits"]
    yield "telemetry", encode(evidence)["telemetry"]
    for device in evidence.devices:
        yield f"device/{device.selector}", encode(device)


def _require_known_type(json: object) -> None:
    got = json.get("predicateType") if isinstance(json, dict) else None
    if got != PREDICATE_TYPE:
        shown = printable(got) if isinstance(got, str) else "nothing"
        raise EvidenceInvalid(
            f"not evidence that this bench reads: its predicateType is {shown}, expected {PREDICATE_TYPE}.",
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
