"""Any mutation of a signed file is refused, or means the same: in bounded time and memory."""

import json
import re
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
from program import Answered, Counted

from bench.errors import ChallengeRefused, EvidenceInvalid, SignatureNotTrusted
from bench.evidence import challenge, envelope, keys, result, statement, trust
from bench.evidence.keys import SigningKey
from bench.evidence.steps import Request, Verified
from bench.evidence.strict_json import to_bytes
from bench.evidence.verify import verify
from bench.terms import Evidence, ModelEvidence

# What one file may take at most, of a processor's time and of memory beyond what was in use.
MOST_S, MOST_BYTES = 2.0, 200 * 10**6

Refused = (EvidenceInvalid, SignatureNotTrusted, ChallengeRefused)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A genuine file, what it means, who could sign it again, and where a mutant of it is written."""

    file: bytes
    evidence: Evidence | ModelEvidence
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


def peak_bytes() -> int:
    (kib,) = re.findall(r"^VmHWM:\s+([0-9]+) kB$", Path("/proc/self/status").read_text(), re.M)
    return int(kib) * 1024


@contextmanager
def bounded() -> Iterator[None]:
    # proc(5): the peak of the resident memory begins anew with what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    memory, begun = peak_bytes(), time.process_time()
    yield
    taken, more = time.process_time() - begun, peak_bytes() - memory
    assert taken < MOST_S, f"{taken:.1f} s"
    assert more < MOST_BYTES, f"{more / 1e6:.0f} MB"


@pytest.fixture(scope="module")
def case(answered: Answered, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """As the auditor sees it, whose ledger holds the challenge."""
    now = datetime.now(UTC)
    signers = trust.read(answered.auditor.home / "allowed_signers")
    posed = challenge.read(answered.challenge, signers, now)
    file = answered.made.file.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(answered.auditor.home))
        yield Case(
            file=file,
            evidence=statement.parse(envelope.parse(file).payload),
            request=Request(signers=signers, now=now, challenge=posed),
            key=keys.load(answered.vendor.home / "key"),
            mutant=tmp_path_factory.mktemp("mutants") / "mutant.evidence.json",
        )


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_what_takes_more_memory_or_time_than_may_be_is_refused() -> None:
    with pytest.raises(AssertionError, match="MB"), bounded():
        bytearray(b"x" * 250_000_000)
    with pytest.raises(AssertionError, match=" s"), bounded():
        spin(MOST_S + 0.1)


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
    if found is not None:
        assert found.evidence is not None
        assert found.evidence.verdict == case.evidence.verdict
        assert found.evidence.figures == case.evidence.figures
        assert found.evidence.assurance == case.evidence.assurance
        assert found.evidence.does_not_show == case.evidence.does_not_show


# ----------------------------------------------------------------------------- a model's parameters


@pytest.fixture(scope="module")
def count(counted: Counted, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """As somebody sees it who has not the model's files."""
    signers = trust.read(counted.made.bench.home / "allowed_signers")
    file = counted.made.file.read_bytes()
    return Case(
        file=file,
        evidence=statement.parse(envelope.parse(file).payload),
        request=Request(signers=signers, now=datetime.now(UTC)),
        key=keys.load(counted.made.bench.home / "key"),
        mutant=tmp_path_factory.mktemp("mutants") / "mutant.evidence.json",
    )


@given(data=st.data())
def test_mutated_bytes_of_a_count_are_refused_or_mean_the_same(count: Case, data: DataObject) -> None:
    found = count.verified(in_bytes(data, count.file))
    assert found is None or found.evidence == count.evidence


@given(data=st.data())
def test_a_mutated_count_signed_again_is_refused_or_has_the_figures_of_its_tensors(
    count: Case, data: DataObject
) -> None:
    """Who holds a trusted key can name other tensors; figures and verdict then follow from these."""
    found = count.verified(count.sealed(in_json(data, unsealed(count.file))))
    if found is not None:
        assert isinstance(found.evidence, ModelEvidence)
        assert isinstance(count.evidence, ModelEvidence)
        assert found.evidence.count == count.evidence.count
        assert found.evidence.verdict == count.evidence.verdict
        assert found.evidence.does_not_show == count.evidence.does_not_show


# ---------------------------------------------------------------------------- challenges and verdicts


@given(data=st.data())
def test_a_mutated_challenge_is_refused_or_asks_the_same(
    case: Case, answered: Answered, data: DataObject
) -> None:
    genuine = answered.challenge.read_bytes()
    mutated = data.draw(st.sampled_from([in_bytes, mutated_json]))(data, genuine)
    case.mutant.write_bytes(mutated)
    try:
        with bounded():
            posed = challenge.read(case.mutant, case.request.signers, case.request.now)
    except Refused:
        return
    assert case.request.challenge is not None
    assert posed.challenge == case.request.challenge.challenge


@given(data=st.data())
def test_a_mutated_challenge_signed_again_asks_what_a_challenge_can_ask(
    case: Case, answered: Answered, data: DataObject
) -> None:
    asked = json.loads(envelope.parse(answered.challenge.read_bytes(), challenge.PAYLOAD_TYPE).payload)
    payload = json.dumps(in_json(data, asked), separators=(",", ":")).encode()
    key = keys.load(answered.auditor.home / "key")
    case.mutant.write_bytes(envelope.to_json(envelope.sign(payload, challenge.PAYLOAD_TYPE, [key])))
    try:
        with bounded():
            posed = challenge.read(case.mutant, case.request.signers, case.request.now)
    except Refused:
        return
    assert list(challenge.faults(posed.challenge)) == []
    # Equal as values: a character beyond ASCII may be spelled in two ways.
    assert json.loads(challenge.payload(posed.challenge)) == json.loads(posed.envelope.payload)


@given(data=st.data())
def test_a_mutated_verdict_is_refused_or_says_the_same(case: Case, verdict: bytes, data: DataObject) -> None:
    signers, now = case.request.signers, case.request.now
    genuine = result.read(verdict, signers, now)
    mutated = data.draw(st.sampled_from([in_bytes, mutated_json]))(data, verdict)
    try:
        with bounded():
            read = result.read(mutated, signers, now)
    except Refused:
        return
    assert read.statement == genuine.statement


@pytest.fixture(scope="module")
def verdict(answered: Answered, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("verdict") / "verdict.json"
    words = ("sign", "--verdict", "--challenge", answered.challenge, "-o", path, answered.made.file)
    assert answered.auditor(*words).code == 0
    return path.read_bytes()


def mutated_json(data: DataObject, file: bytes) -> bytes:
    return json.dumps(in_json(data, json.loads(file))).encode()
