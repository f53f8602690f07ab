"""Step 7: the outputs that a run under a challenge committed and opened, computed anew in numpy alone."""

from collections.abc import Sequence

from bench.errors import EvidenceInvalid
from bench.evidence.challenge import LEAST_SKIPPED, MOST_SKIPPED
from bench.printable import printable
from bench.terms import Evidence, Figure, Measurement, Opening
from bench.workload import openings
from bench.workload.opcount import implicit_gemm

STEP = 7


def require_opened(evidence: Evidence) -> int:
    """How many rows of outputs were computed anew. Raises EvidenceInvalid (step 7).

    Opened is the row behind each figure, and no other but those that were found wrong by it.
    """
    rows = {(m.workload.device, m.workload.row): m for m in evidence.measurements}
    named = [(opening.device, opening.row) for opening in evidence.openings]
    _require(len({*named}) == len(named), "a row was opened twice")
    _require(all(name in rows for name in named), "a row was opened that the evidence does not hold")
    _require_rows(evidence.figures, evidence.openings, asked=_is_asked(evidence))
    shares = {opening.covers.skipped_share for opening in evidence.openings if opening.covers}
    _require(len(shares) <= 1, "its rows were opened against different shares of work left out")
    named_so = evidence.challenge is None or evidence.challenge.name == "challenge"
    _require(named_so, "the digest of the challenge has another name")
    for opening in evidence.openings:
        _require_form(opening, rows[opening.device, opening.row])
    for opening in evidence.openings:
        if opening.reason is None:
            _require_right(opening, rows[opening.device, opening.row])
    return sum(opening.opened for opening in evidence.openings if opening.reason is None)


def _is_asked(evidence: Evidence) -> bool:
    return evidence.challenge is not None and not evidence.interrupted


def _require(condition: object, message: str) -> None:
    if not condition:
        raise EvidenceInvalid(f"{message}.", step=STEP)


def _require_rows(figures: Sequence[Figure], opened: Sequence[Opening], *, asked: bool) -> None:
    _require(asked or not opened, "outputs were opened without a challenge, or in a run that was interrupted")
    behind = {(figure.device, figure.row) for figure in figures if figure.row is not None}
    missing = behind - {(opening.device, opening.row) for opening in opened}
    names = ", ".join(printable(str(row)) for _, row in sorted(missing, key=str))
    _require(not asked or not missing, f"no outputs were opened of rows behind figures: {names}")
    for opening in opened:
        fitting = (opening.device, opening.row) in behind or opening.reason == openings.OUTPUTS_DIFFER
        _require(fitting, f"{printable(opening.row)} was opened, and no figure stands on it")


def _require_form(opening: Opening, measurement: Measurement) -> None:
    """Its counts are those that the windows and the share give."""
    row, stays = printable(opening.row), openings.committed_stays(measurement.stays)
    leaves = len(stays) * implicit_gemm(measurement.workload.shape)[0]
    if opening.reason is not None:
        none = opening.reason == openings.NO_EXACT_WINDOW
        requantised = opening.reason == openings.ROUNDED_OTHERWISE
        known = none or requantised or opening.reason == openings.OUTPUTS_DIFFER
        _require(known, f"{row} was not opened for a reason that is none")
        _require(none != bool(stays), f"{row}: whether it has windows to open is told wrongly")
        fitting = measurement.workload.form.requantised or not requantised
        _require(fitting, f"{row} does not requantise, so that nothing could be rounded otherwise")
        counted = opening.leaves == leaves and (opening.opened == 0 if none else 0 < opening.opened <= leaves)
        _require(
            counted and not opening.stays, f"{row}: the counts of its opening are not those of its windows"
        )
        return
    assert opening.covers is not None
    share = opening.covers.skipped_share
    _require(
        LEAST_SKIPPED <= share <= MOST_SKIPPED, f"{row}: it was opened against a share of {share} left out"
    )
    expected = openings.coverage(measurement.stays, len(stays), share)
    counts = opening.stays, opening.leaves, opening.opened
    fitting = counts == (stays, leaves, min(leaves, openings.count(share))) and opening.covers == expected
    _require(
        bool(stays) and fitting,
        f"{row}: the counts of its opening are not those of its windows and of the share that it names",
    )


def _require_right(opening: Opening, measurement: Measurement) -> None:
    _require(
        openings.fits(measurement.workload, measurement.stays, opening),
        f"{printable(opening.row)}: the outputs committed are not those of its operands, as computed here "
        f"at {opening.opened} drawn places of {opening.leaves}",
    )
