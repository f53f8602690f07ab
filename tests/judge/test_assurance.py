"""Levels of assurance and the limits that go with them, from what a report holds."""

from dataclasses import replace

import pytest

from bench.judge.assurance import does_not_show, level
from bench.terms import Coverage, Digest, Figure, Opening

ASKED = Digest(name="challenge", sha256="0" * 64)
FIGURE = Figure(device="cpu", precision="fp32", row="one/fp32/mm", estimate=None, reason=None)
NONE = Figure(device="cpu", precision="int8", row=None, estimate=None, reason="not-checked")
OPENED = Opening(
    device="cpu",
    row="one/fp32/mm",
    stays=(0,),
    leaves=1,
    opened=1,
    root="0" * 64,
    siblings="",
    covers=Coverage(committed=1, timed=9, skipped_share=0.05, confidence=0.999),
    reason=None,
)
UNOPENED = replace(OPENED, root=None, siblings=None, covers=None, reason="no-exact-window")


def test_a_challenge_and_an_opening_behind_every_figure_make_a1() -> None:
    assert level(ASKED, [FIGURE, NONE], [OPENED], interrupted=False) == "A1"


@pytest.mark.parametrize(
    ("asked", "figures", "openings", "interrupted"),
    [
        (None, [FIGURE], [OPENED], False),
        (ASKED, [FIGURE], [OPENED], True),
        (ASKED, [FIGURE], [], False),
        (ASKED, [FIGURE], [UNOPENED], False),
        (ASKED, [FIGURE], [replace(OPENED, device="cpu:1")], False),
        (ASKED, [FIGURE, replace(FIGURE, row="two/fp32/mm")], [OPENED], False),
        (ASKED, [NONE], [], False),
        (ASKED, [], [], False),
    ],
    ids=[
        *("no challenge", "interrupted", "nothing opened", "not opened for a reason", "another device's"),
        *("one of two figures", "no figure", "no precision"),
    ],
)
def test_anything_less_is_a0(
    asked: Digest | None, figures: list[Figure], openings: list[Opening], interrupted: bool
) -> None:
    assert level(asked, figures, openings, interrupted=interrupted) == "A0"


def test_no_level_shows_the_rate_on_another_clock_or_counts_devices() -> None:
    for asked, openings in ((None, []), (ASKED, []), (ASKED, [OPENED])):
        limits = does_not_show(asked, [FIGURE], openings, with_case=False, external=False)
        assert {"time-by-own-clock", "devices-not-counted", "software-cannot-prove-itself"} <= {*limits}
        assert ("no-challenge" in limits) == (asked is None)
        assert ("outputs-not-opened" in limits) == (not openings)
        assert ("launches-not-committed" in limits) == bool(openings)
