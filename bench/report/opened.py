"""What a report says of the outputs that were committed and opened under a challenge."""

from collections.abc import Iterator

from bench.printable import printable
from bench.report import sentences
from bench.terms import Coverage, Evidence


def opened(evidence: Evidence) -> Iterator[str]:
    """The challenge, the share of the work that the openings cover, and at which confidence."""
    if evidence.challenge is None:
        return
    yield f"challenge: {printable(evidence.challenge.sha256)[:12]}; its nonce seeded operands and shapes"
    for opening in evidence.openings:
        row = printable(opening.row)
        if opening.covers is None:
            yield f"outputs of {row}: not opened: {sentences.beside(str(opening.reason))}"
        else:
            yield (
                f"outputs of {row}: {opening.opened} of {opening.leaves} rows opened; {_work(opening.covers)}"
            )
    covers = next((opening.covers for opening in evidence.openings if opening.covers), None)
    if covers is not None:
        yield (
            f"openings: leaving out {100 * covers.skipped_share:g} % of the committed rows is caught with "
            f"{100 * covers.confidence:g} %, after 2^64 tries at hiding it"
        )


def _work(covers: Coverage) -> str:
    """Which part of what was timed is committed."""
    return f"committed: {covers.committed} of {covers.timed} timed launches"
