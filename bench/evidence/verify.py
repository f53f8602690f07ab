"""`bench verify`: numbered steps over one file, each yielding what it found; a failing step raises.

0 read, limits · 1 envelope · 2 signature · 3 decode · 4 rule set and profiles · 5 challenge ·
6 recompute counts and figures · 7 openings, or a model's files · 8 recompute the verdict · 9 plausibility.
It reads and recomputes, writes nothing, and calls the very functions that `bench run` and `bench params`
called. From step 4 on each kind of evidence has steps of its own: verify_run, verify_system,
verify_model.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench.evidence import envelope, statement, store, timestamp, trust, verify_run
from bench.evidence.steps import Request, Step, Verified
from bench.evidence.timestamp import Stamped, Unchecked
from bench.evidence.trust import SELF
from bench.terms import Envelope, Evidence, ModelEvidence, Scalar, SystemEvidence


def verify(path: Path, request: Request, found: Verified) -> Iterator[Step]:
    """Run the steps in order over the file at `path`, filling `found`.

    Raises EvidenceInvalid, SignatureNotTrusted or ChallengeRefused at the step that fails, and
    UsageError when there is no such file.
    """
    data = store.read_limited(path)
    yield Step(number=0, code="read", values={"bytes": len(data)})
    signed = found.envelope = envelope.parse(data)
    number = envelope.report_number(signed)
    yield Step(number=1, code="envelope", values={"report": number, "signatures": len(signed.signatures)})
    found.stamp = timestamp.check(path, signed, request.roots)
    found.stamped_at = _stamped_at(found.stamp, signed, request)
    found.signers = trust.check_signatures(
        signed, request.signers, request.now, request.revoked, first_at=found.stamped_at
    )
    yield Step(number=2, code=_signature_code(found), values=_signature_values(found))
    evidence = statement.parse(signed.payload)
    kinds = {ModelEvidence: "decoded-model", SystemEvidence: "decoded-system", Evidence: "decoded"}
    yield Step(
        number=3, code=kinds[type(evidence)], values={"format": evidence.format, "created": evidence.created}
    )
    if isinstance(evidence, ModelEvidence):
        # What only models and systems need takes a twentieth of a second to import.
        from bench.evidence import verify_model

        yield from verify_model.steps(evidence, request, found)
    elif isinstance(evidence, SystemEvidence):
        from bench.evidence import verify_system

        yield from verify_system.steps(evidence, request, found)
    else:
        yield from verify_run.steps(evidence, request, found)


def _stamped_at(stamp: Stamped | Unchecked | None, signed: Envelope, request: Request) -> datetime | None:
    """The stamp's time, where it was made for the signature of somebody who was trusted then.

    Anybody can have any bytes stamped, and put them before a signature that is made later.
    """
    if not isinstance(stamp, Stamped):
        return None
    genuine = trust.signed_first(signed, request.signers, stamp.at, request.revoked)
    return stamp.at if genuine else None


def _signature_code(found: Verified) -> str:
    own = "-by-self" if all(signer.principal == SELF for signer in found.signers) else ""
    if found.stamp is None:
        return f"signed{own}"
    if isinstance(found.stamp, Unchecked):
        return f"signed{own}-stamp-unchecked"
    return f"signed{own}-stamped" if found.stamped_at else f"signed{own}-stamp-of-others"


def _signature_values(found: Verified) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {
        "who": ", ".join(f"{signer.principal} ({signer.fingerprint})" for signer in found.signers),
        "keys": len(found.signers),
    }
    if isinstance(found.stamp, Stamped):
        values |= {"at": found.stamp.says, "authority": found.stamp.authority}
    return values
