"""GGUF files, as llama.cpp and its family keep models: one header, then the tensors' bytes.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Versions 2 and 3 differ only in that
version 3 may be big endian; version 1 had other widths and is no longer written.

The header is read here and not by the library's GGUFReader, which builds a NumPy view for every token of a
vocabulary (hundreds of megabytes for a header of ten) and believes every count before it looks at the
file's size. The library's tables of types say what a tensor takes.
"""

import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import ModelInvalid, UsageError
from bench.parameters.files import opened
from bench.parameters.inventory import (
    MAX_COUNT,
    MAX_HEADER_BYTES,
    MAX_NAME,
    MAX_RANK,
    Header,
    Stored,
    require_few,
    require_plausible,
)
from bench.printable import printable
from bench.terms import Fact, Scalar

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)

# Published headers have some 30 to 100 keys.
_MAX_KEYS = 65_536
_MAX_TEXT = 1000
# Arrays within arrays: the format allows them, no published file has any.
_MAX_DEPTH = 4
# Texts and arrays that are stepped over one by one. A vocabulary with its merges has at most a million.
_MAX_STEPS = 2_000_000
_DEFAULT_ALIGNMENT = 32
# "Must be a multiple of 8" says the format; files of 32 and 64 are published, and a page is 4096 or 65536.
_ALIGNMENTS = tuple(1 << bits for bits in range(3, 17))

# The least bytes of a key with its value (the key's length, the value's type, one byte), and of a tensor
# (its name's length, the number of dimensions, the type, the offset).
_LEAST_KEY = 8 + 4 + 1
_LEAST_TENSOR = 8 + 4 + 4 + 8

_SCALARS = {
    "UINT8": "B",
    "INT8": "b",
    "UINT16": "H",
    "INT16": "h",
    "UINT32": "I",
    "INT32": "i",
    "FLOAT32": "f",
    "BOOL": "?",
    "UINT64": "Q",
    "INT64": "q",
    "FLOAT64": "d",
}

_TOKENS = "tokenizer.ggml.tokens"
_ALIGNMENT = "general.alignment"
_ARCHITECTURE = "general.architecture"
_FILE_TYPE = "general.file_type"
_TEXTS = {
    "architecture": _ARCHITECTURE,
    "model-type": "general.type",
    "card-name": "general.name",
    "size-label": "general.size_label",
    "license": "general.license",
    "base-model": "general.base_model.0.name",
}
# Of the architecture's own keys, and whether zero says something.
_NUMBERS = {
    "experts": ("expert_count", False),
    "experts-used": ("expert_used_count", False),
    "layers": ("block_count", True),
    "hidden-size": ("embedding_length", True),
}
_SPLIT = {"shards": "split.count", "shard": "split.no", "tensors-in-all": "split.tensors.count"}
_WANTED = frozenset({_ALIGNMENT, _FILE_TYPE, *_TEXTS.values(), *_SPLIT.values()})
_WANTED_ENDS = tuple(f".{key}" for key, _ in _NUMBERS.values())


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as it is listed: its offset counts from where the tensors' bytes begin."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    block: int
    block_bytes: int
    offset: int


@dataclass(slots=True)
class _Cursor:
    """A file's header read from front to back, never past the file's end or the limit of a header.

    `order` is that of the bytes in a number, as `struct` writes it.
    """

    where: str
    file: BinaryIO
    size: int
    order: str = "<"
    at: int = 0
    steps: int = 0

    @property
    def left(self) -> int:
        return min(self.size, MAX_HEADER_BYTES) - self.at

    def take(self, count: int, what: str) -> bytes:
        self._require(count, what)
        data = self.file.read(count)
        if len(data) != count:
            raise ModelInvalid(f"{self.where}: it became shorter while it was read. Try again.")
        self.at += count
        return data

    def skip(self, count: int, what: str) -> None:
        self._require(count, what)
        self.file.seek(count, os.SEEK_CUR)
        self.at += count

    def number(self, code: str, what: str) -> Any:
        form = f"{self.order}{code}"
        return struct.unpack(form, self.take(struct.calcsize(form), what))[0]

    def text(self, what: str) -> str:
        """A name or key. Raises ModelInvalid when it is too long to be one, or no UTF-8."""
        length = self.number("Q", f"the length of {what}")
        if length > 4 * MAX_NAME:
            raise ModelInvalid(f"{self.where}: {what} has {length} bytes, at most {4 * MAX_NAME} are read.")
        try:
            return self.take(length, what).decode()
        except UnicodeDecodeError as error:
            raise ModelInvalid(f"{self.where}: {what} is no UTF-8 text.") from error

    def require_few_steps(self, count: int, what: str) -> None:
        """Raises ModelInvalid when all arrays so far have more parts than are stepped over."""
        self.steps += count
        if self.steps > _MAX_STEPS:
            raise ModelInvalid(
                f"{self.where}: with {what} its arrays have {self.steps} texts and arrays, at most "
                f"{_MAX_STEPS} are read."
            )

    def require_room(self, count: int, least: int, what: str) -> None:
        """Raises ModelInvalid when `count` things of `least` bytes cannot lie in the bytes that are left."""
        if count * least > self.left:
            raise ModelInvalid(
                f"{self.where}: it says that it has {count} {what}, which take at least {count * least} "
                f"bytes, and {self.left} bytes can hold them."
            )

    def _require(self, count: int, what: str) -> None:
        if count > self.left:
            limit = "a header ends at the latest" if self.size > MAX_HEADER_BYTES else "the file ends"
            raise ModelInvalid(
                f"{self.where}: {what} takes {count} bytes from byte {self.at} on, and {limit} at byte "
                f"{self.at + self.left}."
            )


def read(path: Path) -> Header:
    """The header of one GGUF file. Raises ModelInvalid, and UsageError where there is nothing to read.

    Shapes are (rows, …, columns); the file has them the other way round. Memory does not grow with the
    vocabulary or with the tensors' bytes.
    """
    where = printable(str(path))
    tables = _tables()
    with opened(path) as file:
        return _header(_Cursor(where, file, os.fstat(file.fileno()).st_size), path.name, tables)


def _tables() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise UsageError(
            "GGUF files are read with the package gguf, which is not installed. "
            "Type pip install 'compute-evidence[params]'."
        ) from error
    return gguf


def _header(cursor: _Cursor, name: str, tables: Any) -> Header:
    tensors, keys = _counts(cursor)
    values = _values(cursor, keys, tables)
    listed = [_tensor(cursor, index, tables) for index in range(tensors)]
    stored = _placed(cursor, listed, name, _alignment(cursor, values))
    # Of a model in parts the first may hold words alone.
    if not tensors and _as_number(values.get(_SPLIT["shards"])) in (None, 0, 1):
        raise ModelInvalid(
            f"{cursor.where}: it holds no tensors, only a vocabulary or other words: nothing in it can "
            "be counted. Give the GGUF file that has the weights."
        )
    return Header(size=cursor.at, tensors=stored, stated=_facts(values, tables))


def _counts(cursor: _Cursor) -> tuple[int, int]:
    """The number of tensors and of keys, and with them the order of the bytes."""
    if cursor.take(4, "the magic number") != _MAGIC:
        raise ModelInvalid(f"{cursor.where}: it does not begin with GGUF, so it is no GGUF file.")
    version = cursor.take(4, "the version")
    little, big = (int.from_bytes(version, order) for order in ("little", "big"))
    if little not in _VERSIONS and big not in _VERSIONS:
        raise ModelInvalid(f"{cursor.where}: it is of GGUF version {little}; versions 2 and 3 are read.")
    cursor.order = "<" if little in _VERSIONS else ">"
    tensors = cursor.number("Q", "the number of tensors")
    keys = cursor.number("Q", "the number of keys")
    require_few(cursor.where, tensors)
    cursor.require_room(tensors, _LEAST_TENSOR, "tensors")
    if keys > _MAX_KEYS:
        raise ModelInvalid(f"{cursor.where}: it lists {keys} keys, at most {_MAX_KEYS} are read.")
    cursor.require_room(keys, _LEAST_KEY, "keys")
    return tensors, keys


# ---------------------------------------------------------------------------------- keys and values


def _values(cursor: _Cursor, keys: int, tables: Any) -> dict[str, Scalar]:
    """What the keys say that are wanted; of the vocabulary its length."""
    seen: set[str] = set()
    values: dict[str, Scalar] = {}
    for index in range(keys):
        key = cursor.text(f"key {index}")
        if key in seen:
            raise ModelInvalid(f"{cursor.where}: the key {printable(key)} stands in it twice.")
        seen.add(key)
        what = f"the value of {printable(key)}"
        kind = _kind(cursor, what, tables)
        if kind == "ARRAY":
            length = _skip_array(cursor, what, tables, _MAX_DEPTH)
            if key == _TOKENS:
                values[key] = length
        elif key in _WANTED or key.endswith(_WANTED_ENDS):
            values[key] = _text(cursor, what) if kind == "STRING" else cursor.number(_SCALARS[kind], what)
        elif kind == "STRING":
            cursor.skip(cursor.number("Q", f"the length of {what}"), what)
        else:
            cursor.skip(struct.calcsize(f"<{_SCALARS[kind]}"), what)
    return values


def _kind(cursor: _Cursor, what: str, tables: Any) -> str:
    number = cursor.number("I", f"the type of {what}")
    try:
        return str(tables.GGUFValueType(number).name)
    except ValueError as error:
        raise ModelInvalid(
            f"{cursor.where}: {what} is of the type {number}, which the package gguf does not know. "
            "Type pip install --upgrade gguf if the file is newer."
        ) from error


def _text(cursor: _Cursor, what: str) -> str:
    """The first characters of a text."""
    length = cursor.number("Q", f"the length of {what}")
    taken = min(length, 4 * _MAX_TEXT)
    text = cursor.take(taken, what).decode(errors="replace")[:_MAX_TEXT]
    cursor.skip(length - taken, what)
    return text


def _skip_array(cursor: _Cursor, what: str, tables: Any, depth: int) -> int:
    """The length of an array, with the cursor behind it."""
    if not depth:
        raise ModelInvalid(f"{cursor.where}: {what} has arrays in arrays, more than {_MAX_DEPTH} deep.")
    kind = _kind(cursor, what, tables)
    length: int = cursor.number("Q", f"the length of {what}")
    if kind == "STRING":
        cursor.require_room(length, 8, f"texts in {what}")
        cursor.require_few_steps(length, what)
        text, its_length = f"a text in {what}", f"the length of a text in {what}"
        for _ in range(length):
            cursor.skip(cursor.number("Q", its_length), text)
    elif kind == "ARRAY":
        cursor.require_room(length, 4 + 8, f"arrays in {what}")
        cursor.require_few_steps(length, what)
        for _ in range(length):
            _skip_array(cursor, what, tables, depth - 1)
    else:
        cursor.skip(length * struct.calcsize(f"<{_SCALARS[kind]}"), what)
    return length


def _alignment(cursor: _Cursor, values: Mapping[str, Scalar]) -> int:
    alignment = values.get(_ALIGNMENT, _DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment not in _ALIGNMENTS:
        raise ModelInvalid(
            f"{cursor.where}: its {_ALIGNMENT} is {printable(str(alignment))}; expected a power of two "
            f"between {_ALIGNMENTS[0]} and {_ALIGNMENTS[-1]}."
        )
    return alignment


def _facts(values: Mapping[str, Scalar], tables: Any) -> tuple[Fact, ...]:
    """What the header states. Values of another type than their key has are left out."""
    architecture = values.get(_ARCHITECTURE)
    found: dict[str, Scalar | None] = {name: _as_text(values.get(key)) for name, key in _TEXTS.items()}
    found["quantisation"] = _file_type(values.get(_FILE_TYPE), tables)
    for name, (key, zero_too) in _NUMBERS.items():
        number = _as_number(values.get(f"{architecture}.{key}"))
        found[name] = number if number or zero_too else None
    found["vocabulary"] = values.get(_TOKENS)
    found |= {name: _as_number(values.get(key)) for name, key in _SPLIT.items()}
    return tuple(
        Fact(name=name, value=value, source="header") for name, value in found.items() if value is not None
    )


def _as_text(value: Scalar | None) -> str | None:
    return value if isinstance(value, str) else None


def _as_number(value: Scalar | None) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def _file_type(value: Scalar | None, tables: Any) -> str | None:
    """The name of llama.cpp's number for the mix of types in the file."""
    try:
        return str(tables.LlamaFileType(_as_number(value)).name)
    except ValueError:
        return None


# ------------------------------------------------------------------------------------------ tensors


def _tensor(cursor: _Cursor, index: int, tables: Any) -> _Tensor:
    name = cursor.text(f"the name of tensor {index}")
    what = f"the tensor {printable(name)}"
    rank = cursor.number("I", f"the number of dimensions of {what}")
    if rank > MAX_RANK:
        raise ModelInvalid(f"{cursor.where}: {what} has {rank} dimensions, at most {MAX_RANK} are read.")
    extents = struct.unpack(f"{cursor.order}{rank}Q", cursor.take(8 * rank, f"the shape of {what}"))
    number = cursor.number("I", f"the type of {what}")
    try:
        kind = tables.GGMLQuantizationType(number)
    except ValueError as error:
        raise ModelInvalid(
            f"{cursor.where}: {what} is of the type {number}, which the package gguf does not know. "
            "Type pip install --upgrade gguf if the file is newer."
        ) from error
    block, block_bytes = tables.GGML_QUANT_SIZES[kind]
    return _Tensor(
        name=name,
        dtype=kind.name,
        shape=tuple(reversed(extents)),
        block=block,
        block_bytes=block_bytes,
        offset=cursor.number("Q", f"the offset of {what}"),
    )


def _placed(cursor: _Cursor, listed: Sequence[_Tensor], file: str, alignment: int) -> tuple[Stored, ...]:
    """The tensors where their bytes lie: inside the file, aligned, each name once and no byte twice."""
    start = -(-cursor.at // alignment) * alignment
    stored = [_stored(cursor, tensor, file, start, alignment) for tensor in listed]
    seen: set[str] = set()
    for tensor in stored:
        if tensor.name in seen:
            raise ModelInvalid(f"{cursor.where}: the tensor {printable(tensor.name)} is listed twice.")
        seen.add(tensor.name)
    spans = sorted((t.offset or 0, t.nbytes, t.name) for t in stored if t.nbytes)
    for (offset, nbytes, name), (after, _, other) in pairwise(spans):
        if offset + nbytes > after:
            raise ModelInvalid(
                f"{cursor.where}: the tensors {printable(name)} and {printable(other)} lie on the same "
                f"bytes: {offset} to {offset + nbytes}, and from {after} on."
            )
    return tuple(stored)


def _stored(cursor: _Cursor, tensor: _Tensor, file: str, start: int, alignment: int) -> Stored:
    elements = prod(tensor.shape)
    columns = tensor.shape[-1] if tensor.shape else 1
    what = f"{cursor.where}: the tensor {printable(tensor.name)}"
    if columns % tensor.block:
        raise ModelInvalid(
            f"{what} of the type {tensor.dtype} has {columns} columns, which are no multiple of its block "
            f"of {tensor.block}."
        )
    nbytes = elements // tensor.block * tensor.block_bytes
    require_plausible(cursor.where, tensor.name, tensor.shape, nbytes)
    there = cursor.size - start - tensor.offset
    if nbytes > there:
        raise ModelInvalid(
            f"{what} of the shape {list(tensor.shape)} and the type {tensor.dtype} needs {nbytes} bytes, and "
            f"the file has {max(there, 0)} from its offset on."
        )
    if tensor.offset % alignment:
        raise ModelInvalid(f"{what} has the offset {tensor.offset}, which is no multiple of {alignment}.")
    return Stored(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        file=file,
        offset=start + tensor.offset,
        nbytes=nbytes,
        weights=elements,
    )
