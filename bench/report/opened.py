"""What a report says of the outputs that were committed and opened under a challenge."""

from collections.abc import Iterator

from bench.printable import printable
from bench.report import sentences
from bench.report.language import tr
from bench.terms import Evidence


def opened(evidence: Evidence) -> Iterator[str]:
    """The challenge, the share of the work that the openings cover, and at which confidence."""
    if evidence.challenge is None:
        return
    challenge = printable(evidence.challenge.sha256)[:12]
    yield tr("challenge: {challenge}; its nonce seeded operands and shapes", challenge=challenge)
    for opening in evidence.openings:
        row = printable(opening.row)
        if opening.covers is None:
            reason = sentences.beside(str(opening.reason))
            yield tr("outputs of {row}: not opened: {reason}", row=row, reason=reason)
        else:
            yield tr(
                "outputs of {row}: {opened} of {leaves} rows opened; committed: {committed} of {timed} timed "
                "launches",
                row=row,
                opened=opening.opened,
                leaves=opening.leaves,
                committed=opening.covers.committed,
                timed=opening.covers.timed,
            )
    covers = next((opening.covers for opening in evidence.openings if opening.covers), None)
    if covers is not None:
        yield tr(
            "openings: leaving out {share} % of the committed rows is caught with {confidence} %, after 2^64 "
            "tries at hiding it",
            share=f"{100 * covers.skipped_share:g}",
            confidence=f"{100 * covers.confidence:g}",
        )
