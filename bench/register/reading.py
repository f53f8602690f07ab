"""Files of a folder read and verified, many at a time: what worker processes do."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, EvidenceInvalid, SignatureNotTrusted
from bench.evidence import challenge, envelope, parts, statement, store, timestamp, trust
from bench.evidence.statement import Predicate
from bench.evidence.steps import Request, Verified
from bench.evidence.strict_json import to_bytes
from bench.judge import catalog
from bench.printable import printable
from bench.report.results import Outcome, Row, State, row_of, unreadable
from bench.terms import Envelope, SystemEvidence

if TYPE_CHECKING:
    from bench.judge.system import Part

_LONGEST_ERROR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingBy:
    """What a verifier of many files goes by, at the time `now`; None: this user's own files."""

    trust_file: Path | None
    revoked: Path | None
    tsa_roots: Path | None
    rules: str | None
    now: datetime

    def request(self) -> Request:
        """Read them. Raises UsageError."""
        return Request(
            signers=trust.read(self.trust_file),
            revoked=trust.read_revoked(self.revoked),
            roots=timestamp.pinned_roots(self.tsa_roots),
            rules_file=self.rules,
            now=self.now,
        )


def digest(request: Request) -> str:
    """SHA-256 of everything that a verifier goes by, also of which keys are valid now."""
    rules = None if request.rules_file is None else catalog.rules(request.rules_file).digest
    signers = [
        [
            *(signer.line, signer.principal, signer.key.line, signer.namespaces),
            *(
                None if time is None else time.isoformat()
                for time in (signer.valid_after, signer.valid_before)
            ),
            signer.valid_after is None or request.now >= signer.valid_after,
            signer.valid_before is None or request.now <= signer.valid_before,
        ]
        for signer in request.signers
    ]
    roots = [
        hashlib.sha256(root.tbs_certificate_bytes + root.signature).hexdigest() for root in request.roots
    ]
    revoked = sorted(key.line for key in request.revoked)
    return hashlib.sha256(to_bytes([rules, signers, roots, revoked])).hexdigest()


def read_all(folder: Path, paths: Sequence[str]) -> list[tuple[str, Row]]:
    """What each file says, by its path below `folder`. No signature is checked."""
    return [(path, _read(folder / path)) for path in paths]


def _read(path: Path) -> Row:
    try:
        signed = envelope.parse(store.read_limited(path))
        evidence = statement.parse(signed.payload)
        return _row(evidence, signed, _ranks(evidence))
    except BenchError as error:
        return unreadable(str(error))


def verify_all(folder: Path, by: GoingBy, paths: Sequence[str]) -> list[tuple[str, Outcome]]:
    """How verifying each file ends, by its path below `folder`."""
    request, went_by = _request(by)
    return [(path, _verified(folder / path, request, went_by)) for path in paths]


@cache
def _request(by: GoingBy) -> tuple[Request, str]:
    """Once in a process: what was read is what its digest is of."""
    request = by.request()
    return request, digest(request)


def _verified(path: Path, request: Request, by: str) -> Outcome:
    # Slow to import, and a listing verifies nothing.
    from bench.evidence.verify import verify

    at, found = challenge.spelled(request.now), Verified()
    try:
        for _ in verify(path, request, found):
            pass
    except (EvidenceInvalid, SignatureNotTrusted) as error:
        state: State = "invalid" if isinstance(error, EvidenceInvalid) else "untrusted"
        return Outcome(at=at, by=by, state=state, step=error.step, error=_words(error))
    except BenchError as error:
        return Outcome(at=at, by=by, state="unreadable", error=_words(error))
    except Exception as error:
        error.add_note(f"The file is {path}.")
        raise
    assert found.evidence is not None
    assert found.envelope is not None
    return Outcome(
        at=at,
        by=by,
        state="verified",
        signers=tuple(f"{printable(who.principal)} ({who.fingerprint})" for who in found.signers),
        row=_row(found.evidence, found.envelope, found.parts),
    )


def _ranks(evidence: Predicate) -> "tuple[Part, ...]":
    """The reports inside that of a system."""
    if not isinstance(evidence, SystemEvidence):
        return ()
    # Slow to import, and few files are of systems.
    from bench.evidence import verify_system

    return verify_system.read_parts(evidence.members)


def _row(evidence: Predicate, signed: Envelope, ranks: "Sequence[Part]") -> Row:
    return row_of(evidence, signed, envelope.report_number(signed), parts.shown(ranks))


def _words(error: BenchError) -> str:
    return printable(str(error), limit=_LONGEST_ERROR)
