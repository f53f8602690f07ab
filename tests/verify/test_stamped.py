"""What a time stamp beside a report decides: over a key's validity, and over a challenge's expiry."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forging
import pytest
import time_authority
from program import Answered, Program, Said
from time_authority import Authority

from bench.evidence import challenge, envelope, keys, statement, timestamp, trust
from bench.evidence.challenge import spelled
from bench.terms import Digest, Envelope

FindProgram = Callable[[str, str], str]
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory, needs_program: FindProgram) -> Authority:
    return time_authority.make(tmp_path_factory.mktemp("authority"), needs_program("openssl", "openssl"))


@dataclass(frozen=True, kw_only=True)
class Desk:
    """An auditor with a copy of a report that may be stamped, and who has pinned the authority's root."""

    auditor: Program
    answered: Answered
    file: Path
    authority: Authority

    def stamp(self, at: datetime) -> None:
        """As if the authority had been asked at that time."""
        request = timestamp.question(self.signed).as_bytes()
        dated = self.authority.statement(self.authority.reply(request), at=f"{at:%Y%m%d%H%M%S}Z")
        timestamp.path_of(self.file).write_bytes(self.authority.signed(dated))

    @property
    def signed(self) -> Envelope:
        return envelope.parse(self.file.read_bytes())

    def sign_again(self, *signatures: Any) -> None:
        """Put signatures before the vendor's own."""
        signed = self.signed
        self.file.write_bytes(envelope.to_json(replace(signed, signatures=(*signatures, *signed.signatures))))

    def verify(self, *words: str | Path) -> Said:
        return self.auditor("verify", *words, self.file)

    def trust_vendor(self, *, until: datetime) -> None:
        """Trust the vendor's key until then, and for nothing else."""
        store = self.auditor.home / "allowed_signers"
        kept = [line for line in store.read_text().splitlines(keepends=True) if "vendor@" not in line]
        store.write_text("".join(kept))
        vendor = keys.read_public(self.answered.vendor.home / "key.pub")
        trust.add(store, "vendor@example.org", vendor, valid_before=until)


@pytest.fixture
def desk(answered: Answered, authority: Authority, tmp_path: Path) -> Desk:
    shutil.copytree(answered.auditor.home, tmp_path / "home")
    (tmp_path / "home" / "tsa_roots.pem").write_bytes(authority.root.read_bytes())
    file = tmp_path / "answer.evidence.json"
    shutil.copy(answered.made.file, file)
    auditor = Program(home=tmp_path / "home", folder=tmp_path)
    return Desk(auditor=auditor, answered=answered, file=file, authority=authority)


def step_2(said: Said) -> str:
    return next(line for line in said.out.splitlines() if line.startswith("  2 "))


def test_the_time_that_the_authority_saw_the_signature_is_told(desk: Desk) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    desk.stamp(at)
    said = desk.verify()
    assert (said.code, said.err) == (0, "")
    assert step_2(said).endswith(f"saw the signature at {at:%Y-%m-%dT%H:%M:%SZ}")


def test_without_a_pinned_root_the_stamp_is_told_as_unchecked(desk: Desk) -> None:
    desk.stamp(datetime.now(UTC))
    (desk.auditor.home / "tsa_roots.pem").unlink()
    said = desk.verify()
    assert said.code == 0
    assert step_2(said).endswith("the time stamp beside it is not checked: no root is pinned")


def test_a_key_that_was_valid_when_it_was_stamped_still_counts_when_it_has_expired(desk: Desk) -> None:
    now = datetime.now(UTC)
    desk.trust_vendor(until=now - timedelta(hours=1))
    unstamped = desk.verify()
    assert unstamped.code == 5
    assert "expired on" in unstamped.err
    desk.stamp(now - timedelta(hours=2))
    assert desk.verify().code == 0
    desk.stamp(now)
    assert desk.verify().code == 5


def test_a_stamp_for_bytes_that_were_put_first_later_revives_no_key(desk: Desk) -> None:
    """Anybody can have any bytes stamped early, and put them before a signature that is made today."""
    now = datetime.now(UTC)
    desk.trust_vendor(until=now - timedelta(hours=1))
    stranger = keys.new(desk.file.with_name("stranger"), None)
    first = envelope.sign(b"{}", envelope.PAYLOAD_TYPE, [stranger]).signatures[0]
    desk.sign_again(first)
    desk.stamp(now - timedelta(hours=2))
    assert desk.verify().code == 5
    desk.trust_vendor(until=now + DAY)
    said = desk.verify()
    assert said.code == 0
    assert step_2(said).endswith("is for a first signature of somebody who is not trusted")


def test_a_report_that_was_stamped_in_time_answers_a_challenge_that_has_expired(desk: Desk) -> None:
    now = datetime.now(UTC)
    key = keys.load(desk.answered.auditor.home / "key")
    signers = trust.read(desk.auditor.home / "allowed_signers")
    asked = challenge.read(desk.answered.challenge, signers, now).challenge
    (desk.auditor.home / "ledger.sqlite").unlink()  # it holds the challenge that has this nonce
    late = replace(asked, issued=spelled(now - DAY), expires=spelled(now - timedelta(hours=1)))
    other = desk.file.with_name("late-challenge.json")
    other.write_bytes(envelope.to_json(challenge.sign(late, key)))
    digest = challenge.read(other, signers, now).digest
    evidence = statement.parse(desk.answered.made.payload)
    answering = replace(evidence, challenge=Digest(name="challenge", sha256=digest))
    desk.file.write_bytes(forging.built(desk.answered.made, answering))

    def asked_now() -> Said:
        return desk.verify("--challenge", other)

    assert asked_now().code == 6
    desk.stamp(now - timedelta(hours=2))
    assert asked_now().code == 0
    desk.stamp(now - timedelta(minutes=30))
    said = asked_now()
    assert said.code == 6
    assert "expired at" in said.err


def test_a_stamp_of_another_report_is_refused(desk: Desk, answered: Answered) -> None:
    desk.stamp(datetime.now(UTC))
    evidence = statement.parse(answered.made.payload)
    renamed = replace(evidence, harness=replace(evidence.harness, version="9.9"))
    desk.file.write_bytes(forging.built(answered.made, renamed))
    said = desk.verify()
    assert said.code == 4
    assert "step 2: " in said.err
