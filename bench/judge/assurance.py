"""How far a report can be believed, and what it cannot show: written by `run`, required by `verify`.

Levels: A0, an accountable statement; A1, an auditor's challenge went into the run and the outputs behind
every figure were opened. A2 and A3 need the auditor's clock, and nothing here reaches them.
"""

from collections.abc import Sequence

from bench.terms import Digest, Figure, Opening


def level(
    challenge: Digest | None, figures: Sequence[Figure], openings: Sequence[Opening], *, interrupted: bool
) -> str:
    """The level of a report that holds these. Whether it answers that very challenge is verify's to say."""
    fresh = challenge is not None and not interrupted
    return "A1" if fresh and _all_opened(figures, openings) else "A0"


def does_not_show(
    challenge: Digest | None,
    figures: Sequence[Figure],
    openings: Sequence[Opening],
    *,
    with_case: bool,
    external: bool,
) -> tuple[str, ...]:
    """What such a report cannot show, as codes; report/sentences says them in words. `external`: a device
    stood behind a runner.

    They belong to format 4: a limit added later comes with another format.
    """
    opened = _all_opened(figures, openings)
    return (
        *(() if challenge is not None else ("no-challenge",)),
        "signer-is-the-machine",
        "software-cannot-prove-itself",
        "devices-not-counted",
        *(("external-runner",) if external else ()),
        "launches-not-committed" if opened else "outputs-not-opened",
        "time-by-own-clock",
        *(("case-is-stated",) if with_case else ()),
    )


def _all_opened(figures: Sequence[Figure], openings: Sequence[Opening]) -> bool:
    """Whether the row behind every figure is opened; where there is no figure, nothing is."""
    opened = {(opening.device, opening.row) for opening in openings if opening.reason is None}
    behind = {(figure.device, figure.row) for figure in figures if figure.row is not None}
    return bool(behind) and behind <= opened
