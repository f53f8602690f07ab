"""Bars: what was delivered against the threshold, to scale, with what the encoding has."""

import pytest
from rich.cells import cell_len

from bench.report import bars
from bench.report.bars import ASCII, BLOCKS


def inner(limit: float, declared: float | None, delivered: float | None, width: int = 11) -> str:
    drawn = bars.bar(limit, declared, delivered, width, BLOCKS)
    assert (drawn[0], drawn[-1], cell_len(drawn)) == ("▕", "▏", width + 2)
    return drawn[1:-1]


@pytest.mark.parametrize(
    ("limit", "declared", "delivered", "drawn"),
    [
        # Below the threshold, which ends the scale.
        (100.0, None, 50.0, "█████·····|"),
        (100.0, 70.0, 50.0, "█████··◆··|"),
        # Exactly on it: the bar touches the mark.
        (100.0, None, 100.0, "██████████|"),
        # Beyond it, and the figure ends the scale.
        (50.0, None, 100.0, "█████|████·"),
        (50.0, 20.0, 100.0, "██◆██|████·"),
        # The declared figure ends the scale.
        (40.0, 100.0, 20.0, "██··|·····◆"),
        # Nothing there, and next to nothing.
        (100.0, None, None, "··········|"),
        (100.0, None, 0.001, "··········|"),
        # Eighths of a cell.
        (100.0, None, 55.0, "█████▌····|"),
        (100.0, None, 1.25, "▏·········|"),
        (100.0, None, 9.9, "█·········|"),
        # Both marks in one cell.
        (100.0, 101.0, 9.0, "▉·········|"),
    ],
)
def test_a_bar_is_linear_from_zero_with_both_marks(
    limit: float, declared: float | None, delivered: float | None, drawn: str
) -> None:
    assert inner(limit, declared, delivered) == drawn


def test_the_scale_ends_at_the_largest_of_the_three() -> None:
    assert bars.scale(45e12, 48e12, 38e12) == 48e12
    assert bars.scale(45e12, None, 50e12) == 50e12
    assert bars.scale(45e12, None, None) == 45e12


def test_without_block_characters_it_is_drawn_in_ascii() -> None:
    drawn = bars.bar(100.0, 70.0, 55.0, 11, bars.glyphs("ascii"))
    assert drawn == "[######.o..|]"
    assert drawn.isascii()


@pytest.mark.parametrize(
    ("encoding", "shapes"),
    [("utf-8", BLOCKS), ("ascii", ASCII), ("latin-1", ASCII), ("cp1252", ASCII), ("big5", ASCII)],
)
def test_what_the_encoding_cannot_show_is_not_drawn(encoding: str, shapes: bars.Glyphs) -> None:
    assert bars.glyphs(encoding) is shapes


@pytest.mark.parametrize("shapes", [BLOCKS, ASCII])
def test_every_character_is_one_cell_wide(shapes: bars.Glyphs) -> None:
    ends = (shapes.left, shapes.right, shapes.rest, shapes.declared, shapes.threshold)
    for character in (*ends, *shapes.fills, *shapes.marks.values()):
        assert cell_len(character) == 1
