"""Outputs of timed launches, committed and then opened at places that nobody could choose.

What is committed: the last launch of a window, while its output still lies there. Each of its rows is a
leaf of a Merkle tree (RFC 6962, section 2.1: leaves and nodes are hashed apart, an odd one moves up as it
is). A row of a GEMM is a row of C; a row of a convolution is one output position (image, y, x), all
filters of it. Its bytes are the elements in the output's type, little-endian, a negative zero as zero; of
bf16 the upper half of the fp32. Launches follow one another, and in each the rows of the implicit GEMM.

Which leaves are opened follows from the nonce, the root and the row's name (Fiat and Shamir, CRYPTO 1986).
Whoever verifies computes whole rows anew, in float64 and exactly, so that only the digests beside the
paths to the root have to travel.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from bench.terms import ConvShape, Coverage, Element, Opening, Visit, Workload
from bench.workload import accuracy, operands
from bench.workload.opcount import implicit_gemm, reduction

# Reads the last output of a launch at rows x columns of the implicit GEMM, as float64.
Read = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Why a row has no opening. The first: no window ended with a launch on exact operands.
NO_EXACT_WINDOW = "no-exact-window"
OUTPUTS_DIFFER = "outputs-differ"
# A device that requantises may round a tie its own way, and then its rows have other digests.
ROUNDED_OTHERWISE = "rounded-otherwise"

CONFIDENCE = 0.999
# Tries at a commitment that whoever cheats is granted before he is caught with that confidence.
_GRINDING_BITS = 64
# Elements of a matrix that are drawn or multiplied at a time: 32 MB in float64.
_BLOCK = 1 << 22
# Of the first operand's rows, for each part of which the second operand is drawn anew: of a convolution
# fewer, as for each of its elements half a dozen indices are computed.
_LEFT, _LEFT_CONV = 1 << 23, 1 << 20
_DIGEST = 32


def count(skipped_share: float) -> int:
    """How many leaves to open so that leaving out this share of them is caught with CONFIDENCE.

    (1 - share)^n * 2^64 <= 1 - confidence.

    >>> [count(share) for share in (0.10, 0.05, 0.01)]
    [487, 1000, 5102]
    """
    left = _GRINDING_BITS * math.log(2) - math.log(1 - CONFIDENCE)
    return math.ceil(left / -math.log1p(-skipped_share))


# ------------------------------------------------------------------------------------- committing


def leaves(workload: Workload, read: Read) -> list[bytes]:
    """The digest of each row of the output that lies there now."""
    rows, columns = implicit_gemm(workload.shape)
    every = np.arange(columns)
    step = max(1, _BLOCK // columns)
    found: list[bytes] = []
    for first in range(0, rows, step):
        block = encode(read(np.arange(first, min(first + step, rows)), every), workload.form.out)
        found += [hashlib.sha256(b"\x00" + row.tobytes()).digest() for row in block]
    return found


# bf16 is the upper half of fp32.
_TYPES: Mapping[Element, str] = {
    "f64": "<f8",
    "f32": "<f4",
    "bf16": "<f4",
    "f16": "<f2",
    "s32": "<i4",
    "s8": "i1",
    "u8": "u1",
}


def encode(values: np.ndarray, element: Element) -> np.ndarray:
    """Output values, given as float64, in the bytes that are hashed: one row of bytes for each row."""
    typed = (values + 0.0).astype(_TYPES[element])
    if element == "bf16":
        # Already rounded to bf16, so that nothing is cut off.
        typed = (typed.view("<u4") >> 16).astype("<u2")
    return np.ascontiguousarray(typed).view(np.uint8)


# ----------------------------------------------------------------------------------- Merkle's tree


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _parents(level: Sequence[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)
    odd = level[-1:] if len(level) % 2 else []
    return [*(_node(left, right) for left, right in pairs), *odd]


def root(tree: Sequence[bytes]) -> bytes:
    """The root above these leaves, of which there is at least one."""
    level = list(tree)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def siblings(tree: Sequence[bytes], opened: Sequence[int]) -> list[bytes]:
    """The digests that whoever knows the opened leaves (ascending) still needs for the root."""
    level, known, found = list(tree), list(opened), []
    while len(level) > 1:
        inside = {*known}
        found += [level[i ^ 1] for i in known if i ^ 1 < len(level) and i ^ 1 not in inside]
        level, known = _parents(level), sorted({i // 2 for i in known})
    return found


def implied_root(opened: Mapping[int, bytes], size: int, beside: Sequence[bytes]) -> bytes | None:
    """The root of a tree of `size` leaves in which these are opened; None where the digests do not fit."""
    known, rest = dict(opened), iter(beside)
    while size > 1:
        level: dict[int, bytes] = {}
        for index in sorted(known):
            other = index ^ 1
            if other >= size:
                level[index // 2] = known[index]
                continue
            sibling = known.get(other) or next(rest, None)
            if sibling is None:
                return None
            pair = (known[index], sibling) if index < other else (sibling, known[index])
            level[index // 2] = _node(*pair)
        known, size = level, (size + 1) // 2
    return known.get(0) if next(rest, None) is None else None


def draw(workload: Workload, tree_root: bytes, size: int, opened: int) -> list[int]:
    """Which of `size` leaves are opened, ascending: those whose 64 bits of SHAKE-256 are the smallest.

    All of them where `opened` are not fewer. The stream depends on the nonce, the row and the root.
    """
    if opened >= size:
        return list(range(size))
    name = f"compute-evidence/openings/1/{workload.device}/{workload.row}".encode()
    seed = hashlib.sha256(bytes.fromhex(workload.seed) + tree_root + size.to_bytes(8, "big") + name).digest()
    words = np.frombuffer(hashlib.shake_256(seed).digest(8 * size), dtype="<u8")
    chosen = np.argsort(words, kind="stable")[:opened]
    return sorted(int(index) for index in chosen)


# ------------------------------------------------------------------------------------- opening


def last_launches(stays: Sequence[Visit]) -> list[int]:
    """The operands' index of each window's last launch, in the order in which the loop takes them."""
    taken, found = 0, []
    for stay in stays:
        index = 0
        for sample in (*stay.settle, *stay.samples):
            index = (taken + sample.launches - 1) % operands.OFFSETS
            taken += sample.launches | 1
        found.append(index)
    return found


def committed_stays(stays: Sequence[Visit]) -> tuple[int, ...]:
    """The windows whose last launch is committed: of those that are whole and end with a launch on exact
    operands, the first and the last.
    """
    exact = [n for n, stay in enumerate(stays) if stay.ended == "window-full" and not stay.samples[-1].real]
    return tuple(sorted({*exact[:1], *exact[-1:]}))


def open_rows(
    workload: Workload,
    stays: Sequence[Visit],
    committed: Mapping[int, Sequence[bytes]],
    skipped_share: float,
) -> Opening:
    """Open the rows that were drawn, and hold them against the right ones: nothing is signed that
    is refused when it is verified.

    `committed` holds the leaves of the last launch of each window that has them, by the window's number.
    """
    if not committed:
        return _none(workload, NO_EXACT_WINDOW)
    tree = [leaf for stay in sorted(committed) for leaf in committed[stay]]
    top = root(tree)
    places = draw(workload, top, len(tree), count(skipped_share))
    opening = Opening(
        device=workload.device,
        row=workload.row,
        stays=tuple(sorted(committed)),
        leaves=len(tree),
        opened=len(places),
        root=top.hex(),
        siblings=base64.b64encode(b"".join(siblings(tree, places))).decode("ascii"),
        covers=coverage(stays, len(committed), skipped_share),
        reason=None,
    )
    if fits(workload, stays, opening):
        return opening
    reason = ROUNDED_OTHERWISE if workload.form.requantised else OUTPUTS_DIFFER
    return _none(workload, reason, leaves=len(tree), opened=len(places))


def _none(workload: Workload, reason: str, *, leaves: int = 0, opened: int = 0) -> Opening:
    return Opening(
        device=workload.device,
        row=workload.row,
        stays=(),
        leaves=leaves,
        opened=opened,
        root=None,
        siblings=None,
        covers=None,
        reason=reason,
    )


def coverage(stays: Sequence[Visit], committed: int, skipped_share: float) -> Coverage:
    timed = sum(sample.launches for stay in stays for sample in stay.samples)
    return Coverage(committed=committed, timed=timed, skipped_share=skipped_share, confidence=CONFIDENCE)


def fits(workload: Workload, stays: Sequence[Visit], opening: Opening) -> bool:
    """Whether the right outputs, at the places that nonce and root draw, lead to the root.

    The opening's counts are those of its windows (evidence/soundness), and it has no reason.
    """
    assert opening.root is not None
    assert opening.siblings is not None
    try:
        top, beside = bytes.fromhex(opening.root), _split(opening.siblings)
    except ValueError:
        return False
    places = draw(workload, top, opening.leaves, opening.opened)
    last = last_launches(stays)
    offsets = [operands.offsets(workload)[last[stay]] for stay in opening.stays]
    return implied_root(dict(_right_leaves(workload, offsets, places)), opening.leaves, beside) == top


def _split(text: str) -> list[bytes]:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error
    if len(data) % _DIGEST or base64.b64encode(data).decode("ascii") != text:
        raise ValueError("not a row of digests")
    return [data[start : start + _DIGEST] for start in range(0, len(data), _DIGEST)]


def _right_leaves(
    workload: Workload, offsets: Sequence[int], places: Sequence[int]
) -> Iterator[tuple[int, bytes]]:
    """The digest of each drawn leaf, from outputs computed here."""
    height, _ = implicit_gemm(workload.shape)
    most = _LEFT_CONV if isinstance(workload.shape, ConvShape) else _LEFT
    step = max(1, most // reduction(workload.shape))
    for first in range(0, len(places), step):
        some = places[first : first + step]
        pool_rows = np.array([offsets[place // height] for place in some], dtype=np.int64)
        rows = np.array([place % height for place in some], dtype=np.int64)
        hashes = [hashlib.sha256(b"\x00") for _ in some]
        left = accuracy.first_rows(workload, rows, pool_rows)
        for right in _second_operand(workload):
            block = encode(accuracy.outputs_of(workload, left @ right), workload.form.out)
            for digest, row in zip(hashes, block, strict=True):
                digest.update(row.tobytes())
        yield from zip(some, (digest.digest() for digest in hashes), strict=True)


def _second_operand(workload: Workload) -> Iterator[np.ndarray]:
    """The implicit GEMM's right matrix in float64, so many columns at a time that memory stays small."""
    k, (_, columns) = reduction(workload.shape), implicit_gemm(workload.shape)
    # Whole counters of eight lanes; a matrix of a million rows would still be drawn by its first eight.
    step = max(8, _BLOCK // k // 8 * 8)
    draw_b = operands.draw(workload, "b", real=False)
    key = operands.workload_key(workload, real=False)
    for first in range(0, columns, step):
        last = min(first + step, columns)
        if isinstance(workload.shape, ConvShape):
            filters: np.ndarray = np.empty((last - first, k))
            operands.fill(filters, draw_b, key, 1, rows=np.arange(first, last))
            yield filters.T
        else:
            part: np.ndarray = np.empty((k, last - first))
            operands.fill(part, draw_b, key, 1, first_column=first)
            yield part
