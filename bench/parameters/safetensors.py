"""The tensors of a safetensors file, from its header alone.

Format: https://github.com/huggingface/safetensors#format. Eight bytes with the header's length, the header
as JSON, and the tensors' bytes without gaps up to the end of the file.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard

from bench.errors import ModelInvalid, UsageError
from bench.parameters.files import opened
from bench.parameters.inventory import (
    MAX_COUNT,
    MAX_HEADER_BYTES,
    MAX_NAME,
    Header,
    Stored,
    require_few,
    require_plausible,
)
from bench.printable import printable
from bench.terms import Fact

# Bits of one element, for all types of safetensors 0.8 (its enum Dtype,
# https://docs.rs/safetensors/0.8.0/safetensors/tensor/enum.Dtype.html).
BITS: Mapping[str, int] = MappingProxyType(
    {
        "F4": 4,
        "F6_E2M3": 6,
        "F6_E3M2": 6,
        **dict.fromkeys(("BOOL", "U8", "I8"), 8),
        **dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
        **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
        **dict.fromkeys(("I32", "U32", "F32"), 32),
        **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    }
)

_LENGTH = 8
_METADATA = "__metadata__"
_MAX_STATED = 100
_MAX_VALUE = 1000
_KEYS = {"dtype", "shape", "data_offsets"}

_Pairs = Sequence[tuple[str, object]]

# Possessive throughout, so that no input is scanned again and again. An entry is an object without objects
# or escapes in it, and no published one takes 300 bytes; the metadata are strings, which may hold any
# bracket, and are few.
_SPACE = rb"[ \t\n\r]*+"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TEXT = _SPACE + _STRING + _SPACE + rb":" + _SPACE + _STRING + _SPACE
_VALUE = rb"\{[^{}\\]{0,4096}+\}|\{(?:" + _TEXT + rb",){0,1000}+" + _TEXT + rb"\}"
_MEMBER = re.compile(
    _SPACE + rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE + rb"(" + _VALUE + rb")" + _SPACE + rb"([,}])",
    re.DOTALL,
)
_IN_PAIRS = json.JSONDecoder(object_pairs_hook=list)
_EMPTY = re.compile(rb"\{" + _SPACE + rb"\}")


def read(path: Path) -> Header:
    """The tensors of the file at `path`, each held against the bytes behind it, and what is stated.

    Raises ModelInvalid for a header that contradicts itself or the file, or that the library refuses, and
    UsageError for a file that cannot be read or where the library is not installed.
    """
    where = printable(str(path))
    header, size = _header(path, where)
    tensors: list[Stored] = []
    stated: tuple[Fact, ...] = ()
    # Counted before anything is read of them: an entry without this key, or with escapes, is refused.
    require_few(where, header.count(b'"data_offsets"'))
    for name, pairs in _members(header, where):
        if name == _METADATA:
            stated = _stated(pairs, path, where)
            continue
        tensors.append(_tensor(name, pairs, path, _LENGTH + len(header), where))
    _require_gapless(tensors, _LENGTH + len(header), size, where)
    # The library comes last: it takes 4 s and 950 MB for 10^6 tensors, and gigabytes for a header made for
    # that. What came so far is bounded: one entry at a time, and no more than are counted.
    _require_library_agrees(path, where)
    return Header(size=_LENGTH + len(header), tensors=tuple(tensors), stated=stated)


def _header(path: Path, where: str) -> tuple[bytes, int]:
    """The header's bytes and the size of the file."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(_LENGTH), "little")
        if size < _LENGTH:
            raise ModelInvalid(
                f"{where}: it has {size} bytes, and a safetensors file begins with {_LENGTH} that give the "
                "length of its header. Get the file again."
            )
        if length > MAX_HEADER_BYTES:
            raise ModelInvalid(
                f"{where}: its header would have {length} bytes, at most {MAX_HEADER_BYTES} are read: this "
                "is no safetensors file."
            )
        header = file.read(length)
    if len(header) < length:
        raise ModelInvalid(
            f"{where}: its header would end at byte {_LENGTH + length}, and the file has {size} bytes. It is "
            "cut short or no safetensors file: get it again."
        )
    return header, size


def _members(header: bytes, where: str) -> Iterator[tuple[str, _Pairs]]:
    """Each name of the header with its object, one by one: no more of the header is held as values."""
    empty = _EMPTY.match(header)
    if not header.startswith(b"{"):
        raise ModelInvalid(f'{where}: its header does not begin with "{{": this is no safetensors file.')
    names: set[str] = set()
    at = empty.end() if empty is not None else 1
    more = empty is None
    while more:
        member = _MEMBER.match(header, at)
        if member is None:
            raise _not_a_header(where, at, 'expected "name": {"dtype": …, "shape": […], "data_offsets": […]}')
        try:
            name, pairs = _IN_PAIRS.decode(f"[{member[1].decode()},{member[2].decode()}]")
        except (ValueError, RecursionError) as error:
            raise _not_a_header(where, at, printable(str(error))) from error
        if name in names:
            raise ModelInvalid(f'{where}: its header names "{printable(name)}" twice.')
        names.add(name)
        yield name, pairs
        at, more = member.end(), member[3] == b","
    if header[at:].strip(b" "):
        raise _not_a_header(where, at, "expected its end, or spaces")


def _tensor(name: str, pairs: _Pairs, path: Path, data_start: int, where: str) -> Stored:
    entry = dict(pairs)
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if (
        len(pairs) != len(_KEYS)
        or entry.keys() != _KEYS
        or not isinstance(dtype, str)
        or not _is_counts(shape)
        or not _is_counts(offsets)
        or len(offsets) != 2
    ):
        raise ModelInvalid(
            f"{where}: the tensor {printable(name)} is not described by a dtype, a shape and two "
            f"data_offsets, each once and of whole numbers up to {MAX_COUNT}."
        )
    begin, end = offsets
    if dtype not in BITS:
        raise ModelInvalid(
            f"{where}: the tensor {printable(name)} is of the type {printable(dtype)}; expected one of "
            f"{', '.join(BITS)}."
        )
    require_plausible(where, name, shape, end - begin)
    if prod(shape) * BITS[dtype] != (end - begin) * 8:
        raise ModelInvalid(
            f"{where}: the tensor {printable(name)} of shape {list(shape)} and type {dtype} takes "
            f"{_bytes(prod(shape) * BITS[dtype])}; its data_offsets {list(offsets)} give it {end - begin}."
        )
    return Stored(
        name=name,
        dtype=dtype,
        shape=tuple(shape),
        file=path.name,
        offset=data_start + begin,
        nbytes=end - begin,
    )


def _require_gapless(tensors: Sequence[Stored], data_start: int, size: int, where: str) -> None:
    """Each byte behind the header belongs to one tensor."""
    end = data_start
    before: str | None = None
    for offset, nbytes, name in sorted((t.offset or 0, t.nbytes, t.name) for t in tensors):
        if offset != end:
            what = "overlaps" if offset < end else "leaves a hole behind"
            other = "the header" if before is None else f"the tensor {printable(before)}"
            raise ModelInvalid(
                f"{where}: the tensor {printable(name)} {what} {other}: it begins at byte {offset} of the "
                f"file, expected {end}."
            )
        end, before = offset + nbytes, name
    if end != size:
        what = "It is cut short: get it again" if end > size else "No tensor has the bytes behind"
        raise ModelInvalid(f"{where}: its tensors end at byte {end}, and the file has {size} bytes. {what}.")


def _stated(pairs: _Pairs, path: Path, where: str) -> tuple[Fact, ...]:
    if len(dict(pairs)) < len(pairs) or not all(isinstance(value, str) for _, value in pairs):
        raise ModelInvalid(f"{where}: its {_METADATA} are not strings, each key once.")
    if any(len(key) > MAX_NAME for key, _ in pairs):
        raise ModelInvalid(f"{where}: a key of its {_METADATA} has more than {MAX_NAME} characters.")
    return tuple(
        Fact(name=f"metadata/{key}", value=str(value)[:_MAX_VALUE], source=path.name)
        for key, value in pairs[:_MAX_STATED]
    )


def _require_library_agrees(path: Path, where: str) -> None:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise UsageError(
            f"{where}: safetensors files need a package that is not installed here. "
            "Type: pip install 'compute-evidence[params]'"
        ) from error
    try:
        with safe_open(path, framework="numpy"):
            pass
    except (SafetensorError, OSError) as error:
        raise ModelInvalid(
            f"{where}: the safetensors library refuses it: {printable(str(error))}."
        ) from error


def _is_counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(item) is int and item <= MAX_COUNT for item in value)


def _bytes(bits: int) -> str:
    return f"{bits // 8} bytes" if bits % 8 == 0 else f"{bits} bits"


def _not_a_header(where: str, at: int, why: str) -> ModelInvalid:
    return ModelInvalid(
        f"{where}: byte {_LENGTH + at} of the file is not that of a safetensors header: {why}."
    )
