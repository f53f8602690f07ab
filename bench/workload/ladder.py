"""The public ladder of shapes, from profiles/ladders: what a row may be measured at, whoever measures it.

The ladder is climbed first; around the fastest shape each dimension is then varied alone.
"""

import hashlib
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

from bench.terms import ConvShape, Family, Form, GemmShape, Operation, Shape
from bench.workload import opcount
from bench.workload.operands import OPERAND_SETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """How the surroundings of a shape are tried: a tuple of factors for each round.

    Dimensions above `multiple` stay multiples of it; the sum of an output never exceeds `k_max` products.
    """

    rounds: tuple[tuple[float, ...], ...]
    multiple: int
    k_max: int

    def neighbours(self, shape: Shape, number: int) -> tuple[Shape, ...]:
        """The shapes of round `number` (from 1) around `shape`, each once, in the order they are tried."""
        factors = self.rounds[number - 1]
        found = (self._scaled(shape, names, f) for names in _dimensions(shape) for f in factors)
        fitting = (s for s in found if s is not None and opcount.reduction(s) <= self.k_max)
        return tuple(s for s in dict.fromkeys(fitting) if s != shape)

    def _scaled(self, shape: Shape, names: tuple[str, ...], factor: float) -> Shape | None:
        """`shape` with the dimensions called `names` scaled together; None for one that cannot be."""
        try:
            sizes = asdict(shape) | {n: self._size(n, getattr(shape, n), factor) for n in names}
            return type(shape)(**sizes)
        except ValueError:
            # Smaller than one, or an image smaller than its kernel.
            return None

    def _size(self, name: str, size: int, factor: float) -> int:
        scaled = int(size * factor)
        if name in _COUNTED_SINGLY or scaled < self.multiple:
            return scaled
        return scaled // self.multiple * self.multiple


# A batch and an image have no blocks that they should fill.
_COUNTED_SINGLY = ("batch", "height", "width")


def _dimensions(shape: Shape) -> tuple[tuple[str, ...], ...]:
    """What is varied: m, n and k alone; of a convolution the batch, both channel counts, the square image."""
    if isinstance(shape, GemmShape):
        return ("m",), ("n",), ("k",)
    return ("batch",), ("channels",), ("filters",), ("height", "width")


@cache
def _bytes(family: Family) -> bytes | None:
    file = resources.files("bench.profiles") / "ladders" / f"{family}.toml"
    return file.read_bytes() if file.is_file() else None


def digest(family: Family) -> str | None:
    """SHA-256 of the family's ladder, which the evidence names; None for a family that has none yet."""
    data = _bytes(family)
    return None if data is None else hashlib.sha256(data).hexdigest()


@cache
def _profile(family: Family) -> dict[str, Any]:
    data = _bytes(family)
    if data is None:
        raise LookupError(f"no ladder of shapes for the family {family}")
    return tomllib.loads(data.decode("utf-8"))


@cache
def ladder(operation: Operation, family: Family, *, quick: bool) -> tuple[Shape, ...]:
    """Every shape of the ladder for a device family, in the file's order; a quick run's are fewer."""
    return tuple(_shapes(operation, family, quick=quick))


def _shapes(operation: Operation, family: Family, *, quick: bool) -> Iterator[Shape]:
    kind = GemmShape if operation == "gemm" else ConvShape
    for rung in _profile(family)[operation]:
        if rung["quick"] or not quick:
            yield kind(**{name: size for name, size in rung.items() if name != "quick"})


def rungs(operation: Operation, form: Form, family: Family, *, quick: bool) -> tuple[Shape, ...]:
    """The shapes at which a form's exact operands stay exact, in the order in which they are tried."""
    most = OPERAND_SETS[form.operand_set].k_max
    fitting = (s for s in ladder(operation, family, quick=quick) if opcount.reduction(s) <= most)
    return tuple(sorted(fitting, key=opcount.ops))


def refinement(form: Form, family: Family, *, quick: bool) -> Refinement:
    """How a form's best shape is varied; a quick run varies nothing."""
    profile = _profile(family)["refinement"]
    return Refinement(
        rounds=() if quick else tuple(tuple(factors) for factors in profile["rounds"]),
        multiple=profile["multiple"],
        k_max=OPERAND_SETS[form.operand_set].k_max,
    )
