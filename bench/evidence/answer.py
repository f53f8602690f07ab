"""Whether a run may answer a challenge, and whether a report does: with what was asked and what was got."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from bench.errors import ChallengeRefused, EvidenceInvalid
from bench.evidence.challenge import STEP, Posed, moment, percent, spelled
from bench.judge import catalog
from bench.printable import printable
from bench.terms import Device, Evidence
from bench.units import NS_PER_S, format_seconds

# Hosts without NTP drift by minutes, so that a day accuses nobody.
_CLOCKS_APART = timedelta(days=1)


def require_open(posed: Posed, now: datetime) -> None:
    """Raise ChallengeRefused when a run at `now` comes too late, or before the challenge was made."""
    asks = posed.challenge
    if now > moment(asks.expires):
        raise _refused(
            posed,
            f"expired at {asks.expires}, and it is {spelled(now)} by this machine's clock. "
            "Ask the auditor for a new one",
        )
    if moment(asks.issued) - now > _CLOCKS_APART:
        raise _refused(
            posed,
            f"was issued at {asks.issued}, which is in the future: it is {spelled(now)} by this machine's "
            "clock. Set the clock",
        )


def require_devices(posed: Posed, devices: Sequence[Device]) -> None:
    """Raise ChallengeRefused when the challenge names a device and another one, or none, is measured."""
    claimed = posed.challenge.device
    others = [device.name for device in devices if claimed is not None and not _is_called(device, claimed)]
    if others or (claimed is not None and not devices):
        raise _refused(
            posed,
            f"is for the device {printable(claimed or '')}, and what is measured is "
            f"{', '.join(printable(name) for name in others) or 'none'}",
        )


def require_answered(
    posed: Posed,
    evidence: Evidence,
    *,
    now: datetime,
    received: datetime | None,
    used_by: str | None,
    report: str,
    signed_by: frozenset[str],
    known: frozenset[str],
) -> None:
    """Raise ChallengeRefused unless the evidence answers this challenge: step 5.

    `received` is when the report is known to have existed, None where only its own word is there; `used_by`
    is the report that used the nonce up, `report` this one, both by the SHA-256 of their payload. `signed_by`
    are the principals who signed it, of those `known` to the verifier.
    """
    _require_same_challenge(posed, evidence)
    vendor = posed.challenge.vendor
    if vendor in known and vendor not in signed_by:
        names = ", ".join(sorted(printable(name) for name in signed_by))
        raise _refused(posed, f"was posed to {printable(vendor)}, and the report is signed by {names}")
    _require_what_was_asked(posed, evidence)
    _require_in_time(posed, evidence, now, received)
    if used_by is not None and used_by != report:
        raise used_up(posed.number, used_by, report)


def used_up(number: str, used_by: str, report: str) -> ChallengeRefused:
    """The refusal of a second report; both are given by the SHA-256 of their payload."""
    return ChallengeRefused(
        f"challenge {number} was used up by report {used_by[:12]}, and one challenge is for one report: "
        f"this is report {report[:12]}."
    )


def _require_same_challenge(posed: Posed, evidence: Evidence) -> None:
    if evidence.challenge is None:
        raise _refused(
            posed,
            "is not answered: the report answers no challenge. It was to be made with "
            "bench run --challenge FILE",
        )
    if evidence.challenge.sha256 != posed.digest:
        raise _refused(
            posed,
            "is not answered: the report answers another challenge, "
            f"{printable(evidence.challenge.sha256, limit=12)}",
        )
    if evidence.nonce != posed.challenge.nonce:
        raise _refused(
            posed,
            f"has the nonce {posed.challenge.nonce[:12]}..., and the report was seeded by "
            f"{printable(evidence.nonce, limit=12)}",
        )
    if evidence.rules.sha256 != posed.challenge.rules.sha256:
        raise _refused(
            posed,
            f"is about the rule set {printable(posed.challenge.rules.name)} with digest "
            f"{posed.challenge.rules.sha256[:12]}, and the report was judged by "
            f"{printable(evidence.rules.name)} with {printable(evidence.rules.sha256, limit=12)}",
        )


def _require_what_was_asked(posed: Posed, evidence: Evidence) -> None:
    asks = posed.challenge
    require_devices(posed, evidence.devices)
    if asks.precisions and {*evidence.asked} != {*asks.precisions}:
        got = ", ".join(printable(name) for name in evidence.asked) or "the default ones"
        raise _refused(posed, f"asks for {', '.join(asks.precisions)}, and the report was asked for {got}")
    if evidence.schedule.hold_ns < asks.sustain_s * NS_PER_S:
        raise _refused(
            posed,
            f"asks for rows held under load for {format_seconds(asks.sustain_s)}, and the report has them "
            f"held for {format_seconds(evidence.schedule.hold_ns / NS_PER_S)}",
        )
    shares = {opening.covers.skipped_share for opening in evidence.openings if opening.covers is not None}
    if shares - {asks.skipped_share}:
        raise _refused(
            posed,
            f"asks that leaving out {percent(asks.skipped_share)} of the committed rows is caught, and the "
            f"report opened as many as catch {', '.join(percent(share) for share in sorted(shares))}",
        )
    _require_held(posed, evidence)
    if evidence.interrupted:
        raise _refused(posed, "asks for a whole run, and the report says that its run was interrupted")


def _require_held(posed: Posed, evidence: Evidence) -> None:
    """Every figure stands on a window that was held for as long as was asked."""
    held = {
        (m.workload.device, m.workload.row)
        for m in evidence.measurements
        if m.held and m.counted == (m.held,)
    }
    behind = {(figure.device, figure.row) for figure in evidence.figures if figure.row is not None}
    short = ", ".join(sorted(printable(str(row)) for _, row in behind - held))
    if posed.challenge.sustain_s and short:
        raise _refused(
            posed, f"asks for figures that were held under load, and these stand on short windows: {short}"
        )


def _require_in_time(posed: Posed, evidence: Evidence, now: datetime, received: datetime | None) -> None:
    asks = posed.challenge
    issued, expires = moment(asks.issued), moment(asks.expires)
    try:
        created = moment(evidence.created)
    except ValueError as error:
        raise EvidenceInvalid(f"{error}.", step=STEP) from error
    if not issued - _CLOCKS_APART <= created <= expires + _CLOCKS_APART:
        raise _refused(
            posed,
            f"was open from {asks.issued} to {asks.expires}, and the report says that it was made at "
            f"{evidence.created}",
        )
    known_since = now if received is None else min(now, received)
    if known_since > expires:
        since = (
            f"it is {spelled(now)} now"
            if received is None
            else f"the report is known only since {spelled(received)}"
        )
        raise _refused(
            posed,
            f"expired at {asks.expires}, and {since}. That a report was there in time is shown by a "
            "time stamp (bench stamp FILE) or by the auditor's ledger (bench challenge close FILE), made "
            "before the challenge expired",
        )


def _is_called(device: Device, claimed: str) -> bool:
    spec = catalog.device_spec(device)
    names = [device.name, *([spec.id] if spec is not None else [])]
    return _folded(claimed) in [_folded(name) for name in names]


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _refused(posed: Posed, words: str) -> ChallengeRefused:
    return ChallengeRefused(f"challenge {posed.number} {words}.")
