import hashlib
import json
import re
from dataclasses import replace
from typing import Any

import builders
import jsonschema
import pytest

from bench.errors import EvidenceInvalid
from bench.evidence.schema import schema
from bench.evidence.statement import build, parse
from bench.evidence.strict_json import to_bytes
from bench.terms import Evidence


def plain(payload: bytes) -> Any:
    return json.loads(payload)


def test_a_statement_is_read_back_as_the_same_evidence(evidence: Evidence) -> None:
    assert parse(build(evidence)) == evidence


def test_it_is_an_in_toto_statement_that_fits_the_schema(evidence: Evidence) -> None:
    statement = plain(build(evidence))
    assert list(statement) == ["_type", "subject", "predicateType", "predicate"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    jsonschema.Draft202012Validator(schema("statement.schema.json")).validate(statement)


def digest(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_held_window_is_a_subject_of_its_own(evidence: Evidence) -> None:
    row, other = evidence.measurements
    held = replace(evidence, measurements=(replace(row, held=row.visits[1]), other))
    statement = plain(build(held))
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    assert subjects["held/cpu/torch_gemm/fp32/mm"] == digest(
        statement["predicate"]["measurements"][0]["held"]
    )
    statement["predicate"]["measurements"][0]["held"]["samples"]["hostNs"] = "1 1 1"
    with pytest.raises(EvidenceInvalid, match=re.escape("predicate: held/cpu/torch_gemm/fp32/mm.")):
        parse(to_bytes(statement))


def test_subjects_are_what_anyone_can_compute_from_the_file(evidence: Evidence) -> None:
    statement = plain(build(evidence))
    predicate = statement["predicate"]
    assert {s["name"]: s["digest"] for s in statement["subject"]} == {
        "samples/cpu/torch_gemm/fp32/mm": {"sha256": digest(predicate["measurements"][0]["visits"])},
        "telemetry": {"sha256": digest(predicate["telemetry"])},
        "device/cpu": {"sha256": digest(predicate["devices"][0])},
    }


def changed_sample(statement: Any) -> None:
    statement["predicate"]["measurements"][0]["visits"][0]["samples"]["hostNs"] = "1 1 1"


def changed_telemetry(statement: Any) -> None:
    statement["predicate"]["telemetry"]["readings"]["ownUs"] = "1 1"


def changed_device(statement: Any) -> None:
    statement["predicate"]["devices"][0]["name"] = "H100"


def changed_digest(statement: Any) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def dropped_subject(statement: Any) -> None:
    del statement["subject"][1]


def swapped_subjects(statement: Any) -> None:
    statement["subject"].reverse()


def doubled_device(statement: Any) -> None:
    statement["predicate"]["devices"] *= 2


def other_version(statement: Any) -> None:
    statement["predicateType"] = statement["predicateType"].replace("v1", "v9")


def other_format(statement: Any) -> None:
    statement["predicate"]["format"] = "0"


def other_statement(statement: Any) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


def further_key(statement: Any) -> None:
    statement["note"] = ""


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (changed_sample, "do not match the predicate: samples/cpu/torch_gemm/fp32/mm."),
        (changed_telemetry, "do not match the predicate: telemetry."),
        (changed_device, "do not match the predicate: device/cpu."),
        (changed_digest, "do not match the predicate: samples/cpu/torch_gemm/fp32/mm."),
        (dropped_subject, "do not match the predicate: telemetry."),
        (swapped_subjects, "do not match the predicate: their order."),
        (doubled_device, "device/cpu stands twice"),
        (other_version, "compute-evidence/v9, expected https://compute-evidence.dev/compute-evidence/v1"),
        (other_format, 'format "0" is not known'),
        (other_statement, "_type: expected one of https://in-toto.io/Statement/v1"),
        (further_key, "unknown keys: note"),
    ],
)
def test_a_statement_at_odds_with_itself_is_refused(evidence: Evidence, edit: Any, message: str) -> None:
    statement = plain(build(evidence))
    edit(statement)
    with pytest.raises(EvidenceInvalid, match=re.escape(message)) as caught:
        parse(to_bytes(statement))
    assert caught.value.step == 3


@pytest.mark.parametrize("payload", [b"[]", b"null", b"{}", b"", b"\x00", b'{"predicateType":{}}'])
def test_a_payload_that_is_no_statement_is_refused(payload: bytes) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        parse(payload)
    assert caught.value.step == 3


def test_evidence_that_could_not_be_read_back_is_not_built(evidence: Evidence) -> None:
    twice = replace(evidence, measurements=(builders.measured_row(), builders.measured_row()))
    with pytest.raises(ValueError, match="stands twice"):
        build(twice)
    with pytest.raises(ValueError, match='format "0" is not known'):
        build(replace(evidence, format="0"))
