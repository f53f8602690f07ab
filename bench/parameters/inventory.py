"""The tensors of a model as its files describe them, and the same in groups: what every format yields.

Nothing here is believed: shapes are held against the bytes behind them, by each format's own module.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from bench.errors import ModelInvalid
from bench.printable import printable
from bench.terms import Fact, TensorGroup, Use

# The largest published models have some 200,000 tensors (hundreds of experts in each layer, each with
# scales). A header that lists more only stalls whoever reads it.
MAX_TENSORS = 500_000
# As safetensors itself has it; no published header comes near.
MAX_HEADER_BYTES = 100_000_000
MAX_NAME = 1024
MAX_RANK = 16
# The integers that every JSON reader holds exactly.
MAX_COUNT = 2**53 - 1
# Names that follow no pattern make a group each; published models have some ten to a thousand. Of each at
# least one tensor can then be looked at (bench/parameters/sample).
MAX_GROUPS = 4_096

_NUMBER = re.compile("[0-9]+")
_Key = tuple[str, str, tuple[int, ...], int, str, int, bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor as its file describes it, already held against the file's size.

    `shape` is (rows, …, columns) as torch has it, `dtype` the format's own word in capitals. The bytes lie
    in `file` (a name without folders) from `offset` on, None where they are not one block of it.
    `use`, `weights`, `shared`: see TensorGroup.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    offset: int | None
    nbytes: int
    use: Use | None = None
    weights: int | None = None
    shared: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header of one file says. `size` is how many of the file's first bytes it takes."""

    size: int
    tensors: tuple[Stored, ...]
    stated: tuple[Fact, ...] = field(default=())


def require_plausible(path: str, name: str, shape: Sequence[int], nbytes: int) -> None:
    """What no format allows, whatever its name for it. Raises ModelInvalid naming file and tensor."""
    what = None
    if len(name) > MAX_NAME:
        what = f"a name of {len(name)} characters, at most {MAX_NAME} are read"
    elif len(shape) > MAX_RANK:
        what = f"{len(shape)} dimensions, at most {MAX_RANK} are read"
    elif any(extent < 0 for extent in shape):
        what = f"a negative dimension in its shape {list(shape)}"
    elif max(prod(shape), nbytes, *shape) > MAX_COUNT:
        what = "more elements than any model has"
    if what is not None:
        raise ModelInvalid(f"{path}: the tensor {printable(name)} has {what}.")


def require_few(path: str, count: int) -> None:
    """Raises ModelInvalid when there are more tensors than are counted."""
    if count > MAX_TENSORS:
        raise ModelInvalid(f"{path}: it lists {count} tensors, at most {MAX_TENSORS} are counted.")


def pattern_of(name: str) -> str:
    """The name with each run of digits as "#": `layers.0.fc1.weight` is `layers.#.fc#.weight`."""
    return _NUMBER.sub("#", name)


def grouped(tensors: Iterable[Stored]) -> tuple[TensorGroup, ...]:
    """The tensors in groups, sorted. Raises ModelInvalid when their names follow too few patterns."""
    return tuple(group for group, _ in members(tensors))


def members(tensors: Iterable[Stored]) -> tuple[tuple[TensorGroup, tuple[Stored, ...]], ...]:
    """Each group with its tensors in order of file and offset; groups sorted by pattern, type and shape."""
    lots: dict[_Key, list[Stored]] = {}
    for t in tensors:
        key = _key(pattern_of(t.name), t)
        lots.setdefault(key, []).append(t)
        if len(lots) > MAX_GROUPS:
            raise ModelInvalid(
                f"its tensors are of more than {MAX_GROUPS} kinds by name, type and shape: that is no list "
                "of a model's layers."
            )
    return tuple((_group(lots[key]), _in_order(lots[key])) for key in sorted(lots))


def order(group: TensorGroup) -> _Key:
    """What groups are sorted by and told apart by."""
    return _key(group.pattern, group)


def _key(pattern: str, t: Stored | TensorGroup) -> _Key:
    weights = -1 if t.weights is None else t.weights
    return pattern, t.dtype, t.shape, t.nbytes, t.use or "", weights, t.shared


def _group(lot: Sequence[Stored]) -> TensorGroup:
    first = lot[0]
    return TensorGroup(
        pattern=pattern_of(first.name),
        dtype=first.dtype,
        shape=first.shape,
        tensors=len(lot),
        nbytes=first.nbytes,
        use=first.use,
        weights=first.weights,
        shared=first.shared,
    )


def _in_order(lot: Sequence[Stored]) -> tuple[Stored, ...]:
    return tuple(sorted(lot, key=lambda t: (t.file, t.offset if t.offset is not None else -1, t.name)))


def listing(tensors: Iterable[Stored]) -> str:
    """SHA-256 over a line for each tensor, sorted by name: `name dtype shape file offset bytes`.

    Shapes are written `4096x1024`; the fields are parted by tabs, the lines ended by line feeds.
    """
    digest = hashlib.sha256()
    for t in sorted(tensors, key=lambda t: (t.name, t.file)):
        extents = "x".join(str(extent) for extent in t.shape)
        offset = "-" if t.offset is None else t.offset
        line = f"{t.name}\t{t.dtype}\t{extents}\t{t.file}\t{offset}\t{t.nbytes}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def require_once(tensors: Sequence[Stored]) -> None:
    """Raises ModelInvalid when a tensor is listed in two files, or twice in one."""
    for name, count in Counter(t.name for t in tensors).items():
        if count > 1:
            files = ", ".join(sorted({t.file for t in tensors if t.name == name}))
            raise ModelInvalid(
                f"the tensor {printable(name)} is listed {count} times, in {printable(files)}: each of a "
                "model's tensors is in one of its files. Give a folder that holds one model."
            )
