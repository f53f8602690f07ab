"""A look at what a model's bytes are: blocks of its tensors and digests of its files, drawn by a nonce.

A header can promise tensors whose bytes are zeros, one block over and over, or a copy of another layer.
Blocks at places that nobody knew beforehand show that; they are no proof that the rest is not so.
"""

import hashlib
import math
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from bench.errors import ModelInvalid
from bench.parameters.files import opened
from bench.parameters.inventory import Stored, members
from bench.printable import printable
from bench.terms import ContentSample, LookedAt, ModelFile, TensorGroup

MAX_TENSORS_LOOKED = 4_096
BLOCK_BYTES = 4_096

# The share of all bytes from which on a group is looked at. Small tensors may be constant in honest
# models, those of one dimension above all: norms of ones, biases of zeros.
_PARTS = 4_096
_PARTS_OF_ONE_DIMENSION = 256
# A group with this part of the mean of its sort is large too: else a model spread over many groups would
# not be looked at. What all smaller ones hold together is no more than this part of the bytes.
_PARTS_OF_MEAN = 16

PIECE_BYTES = 8 * 2**20
SAMPLED_BLOCKS = 64
SAMPLED_BLOCK_BYTES = 64 * 2**10
SAMPLED_ALIGNMENT = 4 * 2**10


@dataclass(frozen=True, slots=True)
class Places:
    """Where the two blocks of each of a group's tensors begin, their length and that of a unit in them."""

    begins: tuple[int, int]
    length: int
    unit: int


# ------------------------------------------------------------------------------------- the tensors


def look(tensors: Sequence[Stored], folder_of: Mapping[str, Path], nonce: str) -> ContentSample:
    """What two blocks of each larger tensor show; `folder_of` leads from a file's name to its path.

    Looked at are the groups that hold at least 1/4096 of the bytes of all that are not shared, or 1/256
    where their tensors have one dimension; where groups of either sort are many, a sixteenth of their mean
    is enough. Of these are drawn at most MAX_TENSORS_LOOKED tensors that are one block of bytes: one of
    each group, the largest first, and then of each the same share.

    The places are drawn by the nonce, type and shape over the whole tensor, alike for all of these, so that
    a layer and its copy show the same bytes, whatever they are called. The second block lies a power of two
    of rows after the first, so that content which repeats with such a period shows the same bytes twice.

    The answer depends on the nonce and the files only. Raises ModelInvalid when a file ends before a block
    does, and UsageError when it cannot be read.
    """
    groups = members(tensors)
    chosen = _chosen(_eligible(groups), nonce)
    places = {index: places_of(groups[index][0], nonce) for index in chosen}
    wanted = [(stored, places[index]) for index, lot in chosen.items() for stored in lot]
    blocks = iter(_blocks(wanted, folder_of))
    seen: set[bytes] = set()
    looked = tuple(
        _looked_at(index, places[index].unit, list(islice(blocks, len(lot))), seen)
        for index, lot in chosen.items()
    )
    return ContentSample(blocks=2 * len(wanted), block_bytes=BLOCK_BYTES, groups=looked)


def _eligible(groups: Sequence[tuple[TensorGroup, Sequence[Stored]]]) -> dict[int, list[Stored]]:
    """The tensors that may be looked at, by the index of their group."""
    own = [(index, group) for index, (group, _) in enumerate(groups) if not group.shared]
    total = sum(group.tensors * group.nbytes for _, group in own)
    of_one_dimension = sum(len(group.shape) < 2 for _, group in own)
    least_part = {
        True: max(_PARTS_OF_ONE_DIMENSION, _PARTS_OF_MEAN * of_one_dimension),
        False: max(_PARTS, _PARTS_OF_MEAN * (len(own) - of_one_dimension)),
    }
    eligible = {}
    for index, group in own:
        lot = [stored for stored in groups[index][1] if stored.offset is not None]
        large = group.tensors * group.nbytes * least_part[len(group.shape) < 2] >= total
        if lot and large and group.elements > 0 and group.nbytes >= 2 * _unit(group):
            eligible[index] = lot
    return eligible


def _chosen(lots: Mapping[int, list[Stored]], nonce: str) -> Mapping[int, list[Stored]]:
    if sum(map(len, lots.values())) <= MAX_TENSORS_LOOKED:
        return lots
    turns = []
    for index, lot in lots.items():
        drawn = sorted((_draw(nonce, "tensor", t.name, t.file), i) for i, t in enumerate(lot))
        size = len(lot) * lot[0].nbytes
        # The first of every group comes before all others, then so many of each as it has tensors.
        turns += [(turn / len(lot), -size, number, index, i) for turn, (number, i) in enumerate(drawn)]
    chosen: dict[int, list[Stored]] = {}
    for index, i in sorted((index, i) for *_, index, i in sorted(turns)[:MAX_TENSORS_LOOKED]):
        chosen.setdefault(index, []).append(lots[index][i])
    return chosen


def places_of(group: TensorGroup, nonce: str) -> Places:
    unit = _unit(group)
    rows = group.elements // group.shape[-1]
    units = group.nbytes // unit
    further = group.nbytes * _half(rows) // rows if rows > 1 else unit * _half(units)
    length = min(BLOCK_BYTES, group.nbytes // 2) // unit * unit
    extents = "x".join(str(extent) for extent in group.shape)
    # Each of the two summands is at most half of the tensor.
    begins = (group.nbytes - (further + length)) // unit + 1
    begin = _draw(nonce, "block", group.dtype, extents) % begins * unit
    return Places((begin, begin + further), length, unit)


def _half(count: int) -> int:
    """The largest power of two that is at most half of it."""
    return 1 << (count // 2).bit_length() - 1


def _unit(group: TensorGroup) -> int:
    """Bytes of one element, of the elements in one byte, or else of 256 elements.

    Types that pack elements in blocks have 32 or 256 of them in one
    (https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h, QK4_0 to QK_K).
    """
    if group.nbytes % group.elements == 0:
        return group.nbytes // group.elements
    if group.elements % group.nbytes == 0:
        return 1
    return max(1, group.nbytes * 256 // group.elements)


def _blocks(
    wanted: Sequence[tuple[Stored, Places]], folder_of: Mapping[str, Path]
) -> list[tuple[bytes, bytes]]:
    """The two blocks of each tensor, in the order given; each file is opened once."""
    by_file: dict[str, list[int]] = {}
    for index, (stored, _) in enumerate(wanted):
        by_file.setdefault(stored.file, []).append(index)
    blocks = [(b"", b"")] * len(wanted)
    for name, indices in by_file.items():
        path = folder_of[name]
        with opened(path) as file:
            for index in indices:
                stored, places = wanted[index]
                first, second = (
                    _read(path, file, (stored.offset or 0) + begin, places.length) for begin in places.begins
                )
                blocks[index] = first, second
    return blocks


def _looked_at(index: int, unit: int, blocks: Sequence[tuple[bytes, bytes]], seen: set[bytes]) -> LookedAt:
    """`seen` are the digests of all blocks before these, which it then has too."""
    constant = repeated = 0
    for first, second in blocks:
        is_constant = _is_constant(first, second, unit)
        digests = {hashlib.sha256(block).digest() for block in (first, second)}
        constant += is_constant
        repeated += not is_constant and (len(digests) < 2 or not digests.isdisjoint(seen))
        seen |= digests
    return LookedAt(
        group=index,
        tensors=len(blocks),
        constant=constant,
        repeated=repeated,
        entropy=min(_entropy(block) for pair in blocks for block in pair),
    )


def _is_constant(first: bytes, second: bytes, unit: int) -> bool:
    """Whether one element fills both blocks, or zlib makes less than a sixteenth of each.

    Of random weights zlib leaves three quarters and more, of ternary ones of a byte each a quarter.
    """
    whole = first + second
    if whole == whole[:unit] * (len(whole) // unit):
        return True
    return all(16 * len(zlib.compress(block, 6)) < len(block) for block in (first, second))


def _entropy(block: bytes) -> float:
    """Shannon's entropy of the bytes, in bits per byte, to three decimals."""
    counts = sorted(Counter(block).values())
    shares = [count / len(block) for count in counts]
    return round(abs(math.fsum(share * math.log2(share) for share in shares)), 3)


# --------------------------------------------------------------------------------------- the files


def digest(
    path: Path,
    header_size: int,
    nonce: str,
    covers: Literal["full", "sampled"],
    progress: Callable[[int], None] | None = None,
) -> ModelFile:
    """A file by its SHA-256; `progress` is told of each piece how many bytes it has.

    "full": of all its bytes. "sampled": of its size in decimal digits and a line feed, its first
    `header_size` bytes, and 64 blocks of 65,536 bytes in the order in which they are drawn. Block i
    begins at 4096 * (n[i] mod (floor((size - 65536) / 4096) + 1)), where n[i] is the i-th eight bytes,
    as a big-endian number, of SHAKE-256 over the nonce's 64 hex digits, "file", the file's name and its
    size, each (UTF-8) but the last followed by a zero byte. A file that is no larger than what would be
    read of it is covered in full.

    Raises ModelInvalid when the file ends early, and UsageError when it cannot be read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if covers == "sampled" and size > header_size + SAMPLED_BLOCKS * SAMPLED_BLOCK_BYTES:
            hashed = hashlib.sha256(f"{size}\n".encode())
            spans = _sampled(path.name, size, header_size, nonce)
        else:
            covers = "full"
            hashed = hashlib.sha256()
            spans = iter([(0, size)])
        for begin, length in spans:
            for at in range(begin, begin + length, PIECE_BYTES):
                piece = _read(path, file, at, min(PIECE_BYTES, begin + length - at))
                hashed.update(piece)
                if progress is not None:
                    progress(len(piece))
    return ModelFile(name=path.name, size=size, covers=covers, sha256=hashed.hexdigest())


def _sampled(name: str, size: int, header_size: int, nonce: str) -> Iterator[tuple[int, int]]:
    yield 0, header_size
    drawn = _shake(8 * SAMPLED_BLOCKS, nonce, "file", name, str(size))
    places = (size - SAMPLED_BLOCK_BYTES) // SAMPLED_ALIGNMENT + 1
    for i in range(0, len(drawn), 8):
        place = int.from_bytes(drawn[i : i + 8], "big") % places
        yield SAMPLED_ALIGNMENT * place, SAMPLED_BLOCK_BYTES


def _shake(length: int, *words: str) -> bytes:
    return hashlib.shake_256(b"\0".join(word.encode("utf-8", "surrogatepass") for word in words)).digest(
        length
    )


def _draw(*words: str) -> int:
    return int.from_bytes(_shake(16, *words), "big")


def _read(path: Path, file: BinaryIO, at: int, length: int) -> bytes:
    """Raises ModelInvalid when the file is shorter than it was when its header was read."""
    file.seek(at)
    data = file.read(length)
    if len(data) < length:
        raise ModelInvalid(
            f"{printable(str(path))}: it ends at byte {at + len(data)}, expected {length} bytes from "
            f"{at} on: it changed while it was read. Let nothing write to it, and type the command again."
        )
    return data
