"""A rate against a threshold, drawn with characters: what a terminal can show of a chart."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.report.sentences import Weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """What is drawn with, each one cell wide; `fills` are those of a cell, from the least to the whole."""

    left: str
    right: str
    fills: str
    rest: str
    declared: str
    threshold: str
    marks: Mapping[Weight, str]


BLOCKS = Glyphs(
    left="▕",
    right="▏",
    fills="▏▎▍▌▋▊▉█",
    rest="·",
    declared="◆",
    threshold="|",
    marks={"good": "✓", "bad": "✗", "open": "?"},
)
ASCII = Glyphs(
    left="[",
    right="]",
    fills="#",
    rest=".",
    declared="o",
    threshold="|",
    marks={"good": "+", "bad": "x", "open": "?"},
)


def glyphs(encoding: str) -> Glyphs:
    """Blocks where the encoding has all of them, else ASCII."""
    shapes = BLOCKS
    all_of_them = "".join(
        (shapes.left, shapes.right, shapes.fills, shapes.rest, shapes.declared, *shapes.marks.values())
    )
    try:
        all_of_them.encode(encoding)
    except UnicodeEncodeError:
        return ASCII
    return shapes


def scale(limit: float, declared: float | None, delivered: float | None) -> float:
    """Where a bar ends: at the largest of the three, in their unit."""
    return max(limit, declared or 0.0, delivered or 0.0)


def bar(limit: float, declared: float | None, delivered: float | None, width: int, shapes: Glyphs) -> str:
    """What was delivered, from zero to the `scale` in `width` cells between two ends, with both marks.

    It is linear. A mark stands in the cell that begins nearest to its value, so that what just reaches the
    threshold fills the bar up to it; where both fall in one cell, the threshold's is seen.
    """
    # The last cell is the mark's alone that stands at the end of the scale.
    per_unit = (width - 1) / scale(limit, declared, delivered)
    steps = len(shapes.fills)
    whole, part = divmod(round((delivered or 0.0) * per_unit * steps), steps)
    filled = shapes.fills[-1] * whole + (shapes.fills[part - 1] if part else "")
    cells = list(filled.ljust(width, shapes.rest))
    if declared is not None:
        cells[round(declared * per_unit)] = shapes.declared
    cells[round(limit * per_unit)] = shapes.threshold
    return f"{shapes.left}{''.join(cells)}{shapes.right}"
