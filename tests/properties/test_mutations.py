"""Any mutation of a signed file is refused, or means the same: in bounded time and memory."""

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from mutations import in_bytes, in_json, unsealed
from program import Answered

from bench.errors import ChallengeRefused, EvidenceInvalid, SignatureNotTrusted
from bench.evidence import challenge, envelope, keys, statement, trust
from bench.evidence.keys import SigningKey
from bench.evidence.strict_json import to_bytes
from bench.evidence.verify import Request, Verified, verify
from bench.terms import Evidence

# What one file may take at most, of a processor's time and of memory beyond what was in use.
MOST_S, MOST_BYTES = 2.0, 200 * 10**6

Refused = (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A genuine file, what it means, who could sign it again, and where a mutant of it is written."""

    file: bytes
    evidence: Evidence
    request: Request
    key: SigningKey
    mutant: Path

    def verified(self, data: bytes) -> Verified | None:
        """What verifying these bytes found; None where they were refused by a step that says why."""
        self.mutant.write_bytes(data)
        found, words = Verified(), None
        with bounded():
            try:
                for _ in verify(self.mutant, self.request, found):
                    pass
            except Refused as error:
                words = str(error)
        assert words is None or (words and "\n" not in words)
        return found if words is None else None

    def sealed(self, changed: Any) -> bytes:
        """A statement signed again, with the subjects that it then has."""
        try:
            subjects = statement.subjects(changed["predicate"])
            changed["subject"] = [{"name": s.name, "digest": {"sha256": s.digest.sha256}} for s in subjects]
        except (EvidenceInvalid, KeyError, TypeError, ValueError):
            pass  # then with those that it had
        try:
            payload = to_bytes(changed)
        except ValueError:
            payload = json.dumps(changed).encode()
        return (
            envelope.to_json(envelope.sign(payload, envelope.PAYLOAD_TYPE, [self.key])) if payload else None
        )


@contextmanager
def bounded() -> Iterator[None]:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    yield
    taken = time.process_time() - begun
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
    assert taken < MOST_S, f"{taken:.1f} s"
    assert more < MOST_BYTES, f"{more / 1e6:.0f} MB"


@pytest.fixture(scope="module")
def case(answered: Answered, tmp_path_factory: pytest.TempPathFactory) -> Case:
    home, now = answered.vendor.home, datetime.now(UTC)
    signers = trust.read(home / "allowed_signers")
    posed = challenge.read(answered.challenge, signers, now)
    file = answered.made.file.read_bytes()
    return Case(
        file=file,
        evidence=statement.parse(envelope.parse(file).payload),
        request=Request(signers=signers, now=now, challenge=posed),
        key=keys.load(home / "key"),
        mutant=tmp_path_factory.mktemp("mutants") / "mutant.evidence.json",
    )


def test_the_genuine_file_verifies(case: Case) -> None:
    found = case.verified(case.file)
    assert found is not None
    assert found.evidence == case.evidence
    assert found.evidence.assurance == "A1"


@given(data=st.data())
def test_mutated_bytes_are_refused_or_mean_the_same(case: Case, data: DataObject) -> None:
    found = case.verified(in_bytes(data, case.file))
    assert found is None or found.evidence == case.evidence


@given(data=st.data())
def test_a_mutated_envelope_is_refused_or_means_the_same(case: Case, data: DataObject) -> None:
    changed = in_json(data, json.loads(case.file))
    found = case.verified(json.dumps(changed).encode())
    assert found is None or found.evidence == case.evidence


@given(data=st.data())
def test_a_mutated_statement_under_the_old_signature_is_refused(case: Case, data: DataObject) -> None:
    changed = json.dumps(in_json(data, unsealed(case.file)), separators=(",", ":"))
    outer = envelope.to_json(replace(envelope.parse(case.file), payload=changed.encode()))
    found = case.verified(outer)
    assert found is None or found.evidence == case.evidence


@given(data=st.data())
def test_a_mutated_statement_signed_again_is_refused_or_has_the_same_verdict(
    case: Case, data: DataObject
) -> None:
    """By whoever holds a trusted key: the figures and the verdict cannot be touched in one place alone."""
    found = case.verified(case.sealed(in_json(data, unsealed(case.file))))
    if found is not None and found.evidence is not None:
        assert found.evidence.verdict == case.evidence.verdict
        assert found.evidence.figures == case.evidence.figures
        assert found.evidence.assurance == case.evidence.assurance
        assert {*found.evidence.does_not_show} >= {*case.evidence.does_not_show}
