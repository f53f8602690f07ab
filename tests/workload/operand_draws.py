"""Every way of drawing an operand that exists, by name, and matrices drawn by it."""

import numpy as np
import pytest
from workload_cases import SEED

from bench.workload import operands
from bench.workload.operands import OPERAND_SETS, Draw, Integers, Reals

KEY = operands.key(SEED, "tests")

DRAWS: dict[str, Draw] = {
    f"{name}-{part}": draw
    for name, chosen in OPERAND_SETS.items()
    for part, draw in (("a", chosen.a), ("b", chosen.b), ("real", chosen.real))
    if draw is not None
}
INTEGERS = {name: draw for name, draw in DRAWS.items() if isinstance(draw, Integers)}
RARE = {name: draw for name, draw in INTEGERS.items() if draw.rare is not None}
REALS = {name: draw for name, draw in DRAWS.items() if isinstance(draw, Reals)}

each_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())
each_real_draw = pytest.mark.parametrize("draw", REALS.values(), ids=REALS.keys())
each_rare_draw = pytest.mark.parametrize("draw", RARE.values(), ids=RARE.keys())
each_set = pytest.mark.parametrize("name", OPERAND_SETS)


def filled(draw: Draw, rows: int, columns: int, matrix: int = 0) -> np.ndarray:
    out = np.empty((rows, columns))
    operands.fill(out, draw, KEY, matrix)
    return out
