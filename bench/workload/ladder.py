"""The public ladder of shapes, from profiles/ladders: what a row may be measured at, whoever measures it.

The ladder is climbed first; around the fastest shape each dimension is then varied alone. Under an auditor's
challenge its nonce moves every rung a little, so that nobody can have prepared for the shapes.
"""

import hashlib
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from bench.terms import ConvShape, Family, Form, GemmShape, Operation, Shape
from bench.workload import opcount, operands
from bench.workload.operands import OPERAND_SETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refinement:
    """How the surroundings of a shape are tried: the dimensions that are scaled together, and a tuple of
    factors for each round.

    Dimensions above `multiple` stay multiples of it; the sum of an output never exceeds `k_max` products,
    nor a dimension what `most` says of it. Climbing ends after `idle_rungs` in a row that brought nothing
    (None: all rungs are tried).
    """

    dimensions: tuple[tuple[str, ...], ...]
    rounds: tuple[tuple[float, ...], ...]
    multiple: int
    k_max: int
    most: tuple[tuple[str, int], ...] = ()
    idle_rungs: int | None = None

    def neighbours(self, shape: Shape, number: int) -> tuple[Shape, ...]:
        """The shapes of round `number` (from 1) around `shape`, each once, in the order they are tried."""
        factors = self.rounds[number - 1]
        found = (self._scaled(shape, names, f) for names in self.dimensions for f in factors)
        fitting = (s for s in found if s is not None and self._fits(s))
        return tuple(s for s in dict.fromkeys(fitting) if s != shape)

    def _fits(self, shape: Shape) -> bool:
        within = all(getattr(shape, name) <= most for name, most in self.most)
        return within and opcount.reduction(shape) <= self.k_max

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


# A batch, an image and layers have no blocks that they should fill.
_COUNTED_SINGLY = ("batch", "height", "width", "depth", "streams")


# What a challenge moves. Of an image its height alone: another width fills vectors and tiles otherwise
# (seen: bf16 on tiles 0.78 to 1.08 of the rate at widths of 51 to 58, and 0.97 to 0.99 at such heights).
_MOVED: dict[type, tuple[str, ...]] = {
    GemmShape: ("m", "n", "k"),
    ConvShape: ("channels", "filters", "height"),
}


# A runner's board is climbed as any accelerator behind a provider is.
_LADDERS: dict[Family, str] = {"runner": "ort"}


@cache
def _bytes(family: Family) -> bytes | None:
    file = resources.files("bench.profiles") / "ladders" / f"{_LADDERS.get(family, family)}.toml"
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
def ladder(
    operation: Operation,
    family: Family,
    *,
    quick: bool,
    nonce: str | None = None,
    precision: str | None = None,
) -> tuple[Shape, ...]:
    """Every shape of the ladder for a device family, in the file's order; a quick run's are fewer.

    With a challenge's `nonce` (hexadecimal) each is moved as that chooses. Rungs that are only for some
    precisions are left out for another `precision`.
    """
    listed = enumerate(_profile(family)[operation])
    return tuple(
        shape if nonce is None else _moved(shape, family, operands.key(nonce, f"ladder/{operation}"), index)
        for index, rung in listed
        if rung["quick"] or not quick
        if precision is None or precision in rung.get("only", (precision,))
        for shape in (_shape(operation, rung),)
    )


def _shape(operation: Operation, rung: dict[str, Any]) -> Shape:
    kind = GemmShape if operation == "gemm" else ConvShape
    return kind(**{name: size for name, size in rung.items() if name not in ("quick", "only")})


def _moved(shape: Shape, family: Family, key: tuple[int, int], index: int) -> Shape:
    """The shape with each dimension smaller by a number of steps that the index-th words of `key` choose."""
    profile = _profile(family)
    share, multiple = profile["jitter"]["share"], profile["refinement"]["multiple"]
    sizes = asdict(shape)
    counter = np.array([index], dtype=np.int64)
    words = operands.philox4x32(counter, counter * 0, counter * 0, counter * 0, key)
    for name, word in zip(_MOVED[type(shape)], words, strict=False):
        step = 1 if name in _COUNTED_SINGLY else multiple
        choices = int(sizes[name] * share) // step + 1
        sizes[name] -= (int(word[0]) * choices >> 32) * step
    if shape.depth > 1:
        # Layers on one another take what they give.
        taken, given = ("k", "n") if isinstance(shape, GemmShape) else ("channels", "filters")
        sizes[given] = sizes[taken]
    return type(shape)(**sizes)


def rungs(
    operation: Operation, form: Form, family: Family, *, quick: bool, nonce: str | None = None
) -> tuple[Shape, ...]:
    """The shapes at which a form's exact operands stay exact, in the order in which they are tried.

    `nonce` is a challenge's, None without one.
    """
    most = OPERAND_SETS[form.operand_set].k_max
    shapes = ladder(operation, family, quick=quick, nonce=nonce, precision=form.precision)
    fitting = (s for s in shapes if opcount.reduction(s) <= most and (s.depth == 1 or form.chains))
    return tuple(sorted(fitting, key=opcount.ops))


def refinement(operation: Operation, form: Form, family: Family, *, quick: bool) -> Refinement:
    """How a form's best shape is varied; a quick run varies nothing."""
    profile = _profile(family)["refinement"]
    most = dict(profile.get("most", {})) | ({} if form.chains else {"depth": 1})
    return Refinement(
        dimensions=tuple(tuple(names) for names in profile[operation]),
        rounds=() if quick else tuple(tuple(factors) for factors in profile["rounds"]),
        multiple=profile["multiple"],
        k_max=OPERAND_SETS[form.operand_set].k_max,
        most=tuple(sorted(most.items())),
        idle_rungs=profile.get("idle_rungs"),
    )
