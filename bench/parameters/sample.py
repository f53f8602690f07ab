"""A look at what a model's bytes are: blocks of its tensors and digests of its files, drawn by a nonce.

A header can promise tensors whose bytes are zeros, one block over and over, or a copy of another layer.
Blocks at places that nobody knew beforehand show that; they are no proof that the rest is not so.
"""

import hashlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from bench.errors import ModelInvalid, UsageError
from bench.parameters.inventory import Stored, members
from bench.printable import printable
from bench.terms import ContentSample, LookedAt, ModelFile, TensorGroup

LEAST_ELEMENTS = 65_536
MAX_TENSORS_LOOKED = 2_000
BLOCK_BYTES = 4_096

PIECE_BYTES = 8 * 2**20
SAMPLED_BLOCKS = 64
SAMPLED_BLOCK_BYTES = 64 * 2**10
SAMPLED_ALIGNMENT = 4 * 2**10


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the two blocks of each of a group's tensors begin, their length and that of a unit in them."""

    begins: tuple[int, int]
    length: int
    unit: int


# ------------------------------------------------------------------------------------- the tensors


def look(tensors: Sequence[Stored], folder_of: Mapping[str, Path], nonce: str) -> ContentSample:
    """What two blocks of each larger tensor show; `folder_of` leads from a file's name to its path.

    Looked at are tensors of LEAST_ELEMENTS and more that are one block of bytes and not shared, at most
    MAX_TENSORS_LOOKED of them: then of each group the same share, but two wherever there are that many.
    The places are drawn by the nonce, type and shape, alike for all tensors of these, so that a layer and
    its copy show the same bytes, whatever they are called. The second block lies a power of two of rows
    after the first, so that content which repeats with such a period shows the same bytes twice.

    The answer depends on the nonce and the files only. Raises ModelInvalid when a file ends before a block
    does, and UsageError when it cannot be read.
    """
    groups = members(tensors)
    chosen = _chosen([_eligible(lot) for _, lot in groups], nonce)
    places = {index: _places(groups[index][0], nonce) for index, lot in enumerate(chosen) if lot}
    wanted = [(stored, places[index]) for index, lot in enumerate(chosen) for stored in lot]
    blocks = _blocks(wanted, folder_of)
    seen: set[bytes] = set()
    looked = []
    at = 0
    for index, lot in enumerate(chosen):
        if lot:
            looked.append(_looked_at(index, places[index].unit, blocks[at : at + len(lot)], seen))
        at += len(lot)
    return ContentSample(
        blocks=2 * len(wanted), block_bytes=BLOCK_BYTES, least_elements=LEAST_ELEMENTS, groups=tuple(looked)
    )


def _eligible(lot: Sequence[Stored]) -> list[Stored]:
    first = lot[0]
    if first.elements < LEAST_ELEMENTS or first.shared or first.nbytes < 4 * BLOCK_BYTES:
        return []
    return [stored for stored in lot if stored.offset is not None]


def _chosen(lots: Sequence[list[Stored]], nonce: str) -> list[list[Stored]]:
    if sum(map(len, lots)) <= MAX_TENSORS_LOOKED:
        return list(lots)
    turns = []
    for index, lot in enumerate(lots):
        drawn = sorted((_draw(nonce, "tensor", t.name, t.file), i) for i, t in enumerate(lot))
        for turn, (number, i) in enumerate(drawn):
            # One of every group, then a second one of every group, then the same share of each.
            turns.append(((turn - 2) if turn < 2 else turn / len(lot), number, index, i))
    kept = sorted((index, i) for *_, index, i in sorted(turns)[:MAX_TENSORS_LOOKED])
    chosen: list[list[Stored]] = [[] for _ in lots]
    for index, i in kept:
        chosen[index].append(lots[index][i])
    return chosen


def _places(group: TensorGroup, nonce: str) -> _Places:
    unit = _unit(group)
    # Tensors of one row, and those stored flat, have no rows to choose from but their units.
    rows = group.elements // group.shape[-1]
    if rows < 2:
        rows = group.nbytes // unit
    step = 1 << (rows // 2).bit_length() - 1
    extents = "x".join(str(extent) for extent in group.shape)
    row = _draw(nonce, "block", group.dtype, extents) % (rows - step)
    begin, further = (group.nbytes * count // rows // unit * unit for count in (row, step))
    length = BLOCK_BYTES // unit * unit
    # Blocks that would end after the tensor both move back.
    back = max(0, begin + further + length - group.nbytes)
    back = -(-back // unit) * unit
    return _Places((begin - back, begin - back + further), length, unit)


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
    wanted: Sequence[tuple[Stored, _Places]], folder_of: Mapping[str, Path]
) -> list[tuple[bytes, bytes]]:
    """The two blocks of each tensor, in the order given; each file is opened once."""
    by_file: dict[str, list[int]] = {}
    for index, (stored, _) in enumerate(wanted):
        by_file.setdefault(stored.file, []).append(index)
    blocks = [(b"", b"")] * len(wanted)
    for name, indices in by_file.items():
        path = folder_of[name]
        try:
            with path.open("rb", buffering=0) as file:
                for index in indices:
                    stored, places = wanted[index]
                    first, second = (
                        _read(path, file, (stored.offset or 0) + begin, places.length)
                        for begin in places.begins
                    )
                    blocks[index] = first, second
        except OSError as error:
            raise _unreadable(path, error) from error
    return blocks


def _looked_at(index: int, unit: int, blocks: Sequence[tuple[bytes, bytes]], seen: set[bytes]) -> LookedAt:
    """`seen` are the digests of all blocks before these, which it then has too."""
    constant = repeated = 0
    for first, second in blocks:
        whole = first + second
        is_constant = whole == whole[:unit] * (len(whole) // unit)
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
    try:
        with path.open("rb", buffering=0) as file:
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
    except OSError as error:
        raise _unreadable(path, error) from error
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
    data = b""
    while len(data) < length:
        more = file.read(length - len(data))
        if not more:
            raise ModelInvalid(
                f"{printable(str(path))}: it ends at byte {at + len(data)}, expected {length} bytes from "
                f"{at} on: it changed while it was read. Let nothing write to it, and type the command again."
            )
        data += more
    return data


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot read {printable(str(path))}: {(error.strerror or str(error)).lower()}. "
        "Type the path of files that exist and that you may read."
    )
