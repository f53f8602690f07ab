"""Checkpoints of torch.save (.pt, .pth, .ckpt, .bin), described without loading them: torch is not needed.

The file is a zip archive of stored records: `data.pkl` is a pickle of the saved object, and `data/KEY` the
bytes of each storage (https://docs.pytorch.org/docs/stable/notes/serialization.html, "Serialized file
format for torch.save"). A pickle is a program for a stack machine. Here its steps are followed as data:
the few names that a state dict needs stand for plain descriptions, those of values that often lie beside one
(paths, dates, numbers of NumPy) for nothing, every other name is refused, and there is nothing that a step
could call. `torch.load(map_location="meta")` would not do: it believes a shape that
its storage cannot hold, and makes of a shared storage as many as there are views.
"""

import os
import pickletools
import re
import struct
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd, prod
from pathlib import Path
from typing import BinaryIO

from bench.errors import ModelInvalid
from bench.parameters.files import opened
from bench.parameters.inventory import (
    MAX_COUNT,
    MAX_HEADER_BYTES,
    MAX_NAME,
    MAX_RANK,
    MAX_TENSORS,
    Header,
    Stored,
    require_few,
    require_plausible,
)
from bench.printable import printable

MAX_PICKLE_BYTES = 64 * 2**20
# A tensor takes some 30 steps; more than this only stalls whoever reads it.
MAX_STEPS = 16 * MAX_TENSORS
MAX_DEPTH = 64
HEADER_BYTES = 2**20

_CONVERT = (
    "Save the state dict alone, with torch.save(model.state_dict(), FILE), or convert it to safetensors"
)


def read(path: Path) -> Header:
    """The tensors of one checkpoint, named by the keys that lead to them, joined by dots.

    Nested dictionaries, lists and tuples are walked, each once. Of tensors that lie over one another in
    one storage the largest counts and the others are `shared`; those that lie apart, as parts of one flat
    buffer or columns of one matrix, count each.

    Raises UsageError when the file cannot be opened, and ModelInvalid when it is no such checkpoint, asks
    for anything but plain containers and tensors, or contradicts itself.
    """
    shown = printable(str(path))
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        _require_zip(shown, file)
        records = _records(shown, file, size)
        pickled = _pickled(shown, file, records)
    found = _tensors(shown, _Machine(shown).run(pickled))
    return Header(
        size=min(size, HEADER_BYTES),
        tensors=tuple(_stored(shown, path.name, found, records)),
    )


# ------------------------------------------------------------------------------------- the archive

# APPNOTE.TXT of PKWARE, sections 4.3.7 (local header), 4.3.12 (directory), 4.3.14 to 4.3.16 (its end).
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_IN_EXTRA = 0xFFFFFFFF
# Of the flags, sizes that follow the data (bit 3) and names in UTF-8 (bit 11) change nothing here.
_HARMLESS_FLAGS = 1 << 3 | 1 << 11
# Besides the storages an archive has some ten records.
_MAX_RECORDS = MAX_TENSORS + 100


@dataclass(frozen=True, slots=True)
class _Record:
    """`start` and `size` are of its data; its local header begins at `header`."""

    name: str
    header: int
    start: int
    size: int


def _require_zip(shown: str, file: BinaryIO) -> None:
    head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return
    if head[:1] == b"\x80" or head[257:262] == b"ustar":
        raise ModelInvalid(
            f"{shown}: it is saved in torch's old format, a bare pickle or tar file, whose tensors cannot be "
            "found without running it. Save it again with torch.save of torch 1.6 or later, or convert it to "
            "safetensors."
        )
    raise ModelInvalid(
        f"{shown}: it is no checkpoint of torch.save: expected a zip archive, got a file that begins with "
        f"the bytes {head[:8].hex(' ') or 'of nothing'}. If it holds a model in another form, convert it "
        "to safetensors or GGUF and give the outcome; if it holds none, give the file with the weights."
    )


def _records(shown: str, file: BinaryIO, size: int) -> Mapping[str, _Record]:
    """The records by their names without the archive's own, as torch's reader takes it from the first."""
    begin, end, count = _directory_bounds(shown, file, size)
    file.seek(begin)
    try:
        records = list(_entries(shown, file, file.read(end - begin), count))
    except (struct.error, ValueError) as error:
        raise _broken(shown, "its directory ends within an entry") from error
    ends = sorted((record.header, record.start + record.size) for record in records)
    if any(after[0] < before[1] for before, after in pairwise(ends)) or (ends and ends[-1][1] > begin):
        raise _broken(shown, "two of its records lie over one another")
    prefix = records[0].name.partition("/")[0] + "/" if records else "/"
    by_name: dict[str, _Record] = {}
    # The reader in torch does not tell upper from lower case.
    lower: set[str] = set()
    for record in records:
        if not record.name.startswith(prefix) or record.name.lower() in lower:
            raise _broken(shown, f"its record {printable(record.name)} is there twice or out of its folder")
        lower.add(record.name.lower())
        by_name[record.name.removeprefix(prefix)] = record
    return by_name


def _directory_bounds(shown: str, file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the directory begins and ends, and how many entries it has. torch writes no comment after it."""
    file.seek(max(0, size - _END.size - _LOCATOR64.size - _END64.size))
    tail = file.read()
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\x05\x06":
        raise _broken(shown, "it does not end as a zip archive does: it may have been cut short")
    _, _, _, _, count, length, begin, _ = _END.unpack(tail[-_END.size :])
    end = size - _END.size
    if tail[-_END.size - _LOCATOR64.size :][:4] == b"PK\x06\x07":
        end -= _LOCATOR64.size + _END64.size
        _, _, at, _ = _LOCATOR64.unpack(tail[-_END.size - _LOCATOR64.size : -_END.size])
        if at != end or tail[:4] != b"PK\x06\x06":
            raise _broken(shown, "the end of its directory is not where it is said to be")
        *_, count, length, begin = _END64.unpack(tail[: _END64.size])
    if begin + length != end:
        raise _broken(shown, "its directory is not where the file's end says")
    if length > MAX_HEADER_BYTES or count > _MAX_RECORDS:
        raise _broken(
            shown,
            f"its directory has {count} entries in {length} bytes; at most {_MAX_RECORDS} in "
            f"{MAX_HEADER_BYTES} bytes are read",
        )
    return begin, end, count


def _entries(shown: str, file: BinaryIO, directory: bytes, count: int) -> Iterator[_Record]:
    at = 0
    for _ in range(count):
        fields = _ENTRY.unpack_from(directory, at)
        magic, _, _, flags, method, _, _, _, packed, plain, named, extra, comment, *_, header = fields
        at += _ENTRY.size
        raw, more = directory[at : at + named], directory[at + named : at + named + extra]
        at += named + extra + comment
        if magic != b"PK\x01\x02" or at > len(directory):
            raise ValueError("not an entry")
        name = raw.decode("utf-8", "surrogateescape")
        # First of all: such an archive also has compressed records.
        if name.partition("/")[2].startswith(("code/", "constants.pkl")):
            raise ModelInvalid(
                f"{shown}: it is a TorchScript archive: a program, not a checkpoint. {_CONVERT}."
            )
        plain, packed, header = _widened(plain, packed, header, more)
        if method != 0 or plain != packed or flags & ~_HARMLESS_FLAGS:
            raise _broken(
                shown,
                f"its record {printable(name)} is compressed or encrypted, torch.save stores records as "
                "they are",
            )
        yield _Record(name, header, _data_start(shown, file, header, raw), plain)
    if at != len(directory):
        raise _broken(shown, f"its directory says {count} entries and has other bytes after them")


def _widened(plain: int, packed: int, header: int, extra: bytes) -> list[int]:
    """Sizes and place of an entry, those of 64 bits from its extra field (APPNOTE.TXT, 4.5.3)."""
    values = [plain, packed, header]
    at = 0
    while _IN_EXTRA in values and at < len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            wide = iter(struct.unpack_from(f"<{values.count(_IN_EXTRA)}Q", extra, at + 4))
            return [next(wide) if value == _IN_EXTRA else value for value in values]
        at += 4 + length
    return values


def _data_start(shown: str, file: BinaryIO, header: int, name: bytes) -> int:
    if header < 2**63:
        file.seek(header)
        local = file.read(_LOCAL.size + len(name))
        if len(local) == _LOCAL.size + len(name):
            magic, _, _, method, _, _, _, _, _, named, extra = _LOCAL.unpack_from(local)
            same = magic == b"PK\x03\x04" and named == len(name) and local[_LOCAL.size :] == name
            if same and method == 0:
                return header + len(local) + int(extra)
    shown_name = printable(name.decode("utf-8", "surrogateescape"))
    raise _broken(shown, f"its record {shown_name} is not where the directory says")


def _pickled(shown: str, file: BinaryIO, records: Mapping[str, _Record]) -> bytes:
    record = records.get("data.pkl")
    if record is None:
        raise ModelInvalid(
            f"{shown}: it is no checkpoint of torch.save: the zip archive has no record data.pkl."
        )
    if record.size > MAX_PICKLE_BYTES:
        raise _broken(shown, f"its data.pkl has {record.size} bytes, at most {MAX_PICKLE_BYTES} are read")
    file.seek(record.start)
    return file.read(record.size)


def _broken(shown: str, what: str) -> ModelInvalid:
    return ModelInvalid(f"{shown}: {what}. Save the checkpoint again with torch.save.")


# -------------------------------------------------------------------------------------- the pickle

# Storage classes and types in safetensors' words, with the bytes of an element.
_STORAGES = {
    "torch.DoubleStorage": ("F64", 8),
    "torch.FloatStorage": ("F32", 4),
    "torch.HalfStorage": ("F16", 2),
    "torch.BFloat16Storage": ("BF16", 2),
    "torch.LongStorage": ("I64", 8),
    "torch.IntStorage": ("I32", 4),
    "torch.ShortStorage": ("I16", 2),
    "torch.CharStorage": ("I8", 1),
    "torch.ByteStorage": ("U8", 1),
    "torch.BoolStorage": ("BOOL", 1),
    "torch.ComplexFloatStorage": ("C64", 8),
    "torch.ComplexDoubleStorage": ("C128", 16),
    "torch.storage.UntypedStorage": ("U8", 1),
}
_TYPES = {
    "torch.float64": ("F64", 8),
    "torch.float32": ("F32", 4),
    "torch.float16": ("F16", 2),
    "torch.bfloat16": ("BF16", 2),
    "torch.float8_e4m3fn": ("F8_E4M3", 1),
    "torch.float8_e4m3fnuz": ("F8_E4M3FNUZ", 1),
    "torch.float8_e5m2": ("F8_E5M2", 1),
    "torch.float8_e5m2fnuz": ("F8_E5M2FNUZ", 1),
    "torch.float8_e8m0fnu": ("F8_E8M0", 1),
    "torch.int64": ("I64", 8),
    "torch.int32": ("I32", 4),
    "torch.int16": ("I16", 2),
    "torch.int8": ("I8", 1),
    "torch.uint64": ("U64", 8),
    "torch.uint32": ("U32", 4),
    "torch.uint16": ("U16", 2),
    "torch.uint8": ("U8", 1),
    "torch.bool": ("BOOL", 1),
    "torch.complex64": ("C64", 8),
    "torch.complex128": ("C128", 16),
}

_PACKED_TYPE = re.compile(r"torch\.(?:u?int[1-7]|bits[0-9a-z]+|float[46]_e[0-9]m[0-9]fn(?:_x2)?)")


@dataclass(frozen=True, slots=True, eq=False)
class _Name:
    """A name that the pickle asks for. It stays a name."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class _Storage:
    key: str
    dtype: str
    itemsize: int
    nbytes: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Tensor:
    """A view of a storage, of which it spans the bytes from `begin` to `end`.

    It is one block, or blocks of `width` bytes whose distances are multiples of `pitch`; that is 0 for one.
    `distinct`: no two elements are the same bytes.
    """

    storage: _Storage
    dtype: str
    shape: tuple[int, ...]
    elements: int
    nbytes: int
    begin: int
    end: int
    width: int
    pitch: int
    distinct: bool


class _Opaque:
    """Stands for a path, a date, a number or the like: nothing that could hold a tensor."""


class _Namespace(list[object]):
    """Stands for a plain object by what it is given as its attributes."""


def _of_type(storage: object, offset: object, shape: object, strides: object, kind: object) -> _Tensor:
    """A view of a storage. Raises ValueError for arguments that are none."""
    typed = _TYPES.get(kind.text) if isinstance(kind, _Name) else None
    if typed is None and isinstance(storage, _Storage) and kind is None:
        typed = storage.dtype, storage.itemsize
    if typed is None or not isinstance(storage, _Storage):
        raise ValueError("not a storage and a type")
    dtype, itemsize = typed
    (start,), extents, steps = _numbers((offset,)), _numbers(shape), _numbers(strides)
    reach, width, pitch, distinct = 0, 1, 0, True
    for stride, extent in sorted(zip(steps, extents, strict=True)):
        if extent > 1:
            distinct = distinct and stride > reach
            reach += (extent - 1) * stride
            if stride == width and pitch == 0:
                width *= extent
            else:
                pitch = gcd(pitch, stride)
    elements = prod(extents)
    return _Tensor(
        storage=storage,
        dtype=dtype,
        shape=extents,
        elements=elements,
        nbytes=elements * itemsize,
        begin=start * itemsize,
        end=(start + reach + 1 if elements else start) * itemsize,
        width=width * itemsize,
        pitch=pitch * itemsize,
        distinct=distinct or elements == 0,
    )


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    return _of_type(storage, offset, shape, strides, None)


def _typed_tensor(
    storage: object,
    offset: object,
    shape: object,
    strides: object,
    _grad: object,
    _hooks: object,
    *rest: object,
) -> _Tensor:
    return _of_type(storage, offset, shape, strides, rest[0])


def _parameter(data: object, *_: object) -> object:
    return data


def _subclassed(build: object, kind: object, arguments: object, _state: object) -> object:
    plain = isinstance(kind, _Name) and kind.text in _CLASSES
    if not plain or not isinstance(build, _Name) or build.text not in _BUILDERS:
        raise ValueError("not a tensor with attributes")
    return _BUILDERS[build.text](*_tuple(arguments))


def _empty_dictionary() -> object:
    return {}


def _default_dictionary(_factory: object = None, items: object = None) -> object:
    return items if isinstance(items, dict) else {}


def _namespace() -> object:
    return _Namespace()


def _first(value: object, *_: object) -> object:
    return value


def _tuple(value: object) -> tuple[object, ...]:
    """A tuple of shape or arguments. A long one, used by many steps, would take its length with each."""
    if not isinstance(value, tuple) or len(value) > MAX_RANK:
        raise TypeError("not a short tuple")
    return value


_BUILDERS: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
# Protocol 2 has the names of Python 2.
_BUILTINS = ("builtins", "__builtin__")
_CONTAINERS = ("set", "frozenset", "list", "tuple", "dict")
# Things of which training scripts save values beside the weights. Called or given attributes, each is and
# stays an _Opaque; none of them can hold a tensor.
_OPAQUE = frozenset(
    (
        *(
            f"{room}.{name}"
            for room in _BUILTINS
            for name in ("int", "long", "float", "complex", "bool", "str", "unicode", "bytes")
        ),
        *(
            f"{room}.{name}"
            for room in ("pathlib", "pathlib._local")
            for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
        ),
        *(f"datetime.{name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
        "numpy.dtype",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
    )
)
# What stands in for each thing that a checkpoint may call: a description, or its first argument.
_CALLS: dict[str, Callable[..., object]] = {
    **_BUILDERS,
    "torch._tensor._rebuild_from_type_v2": _subclassed,
    "collections.OrderedDict": _empty_dictionary,
    "collections.Counter": _first,
    "collections.defaultdict": _default_dictionary,
    "argparse.Namespace": _namespace,
    **{f"{room}.{name}": _first for room in _BUILTINS for name in _CONTAINERS},
    "_codecs.encode": _first,
    "torch.Size": _first,
    "torch.device": _first,
    "torch.serialization._get_layout": _first,
}
_CLASSES = {"torch.Tensor", "torch.nn.parameter.Parameter"}
_NAMES = _CALLS.keys() | _OPAQUE | _STORAGES.keys() | _TYPES.keys() | _CLASSES

_NUMBERS = frozenset(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"))
_TEXTS = frozenset(("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"))
_BYTES = frozenset(("BINBYTES", "SHORT_BINBYTES"))
_LITERALS = _NUMBERS | _TEXTS | _BYTES
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = frozenset(("BINPUT", "LONG_BINPUT"))
_GETS = frozenset(("BINGET", "LONG_BINGET"))
_NOTHING = frozenset(("PROTO", "FRAME", "STOP"))
# These make objects of classes by steps of their own, which no state dict needs.
_MAKERS = frozenset(("INST", "EXT1", "EXT2", "EXT4"))


class _Machine:
    """The pickle's stack machine, for the steps that a state dict takes.

    Dictionaries, lists and tuples are made as such, sets and attributes are not.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self, pickled: bytes) -> object:
        """The saved object. Raises ModelInvalid at the first step that is not a plain state dict's."""
        at = 0
        try:
            with warnings.catch_warnings():
                # Names with a stray backslash are warned of.
                warnings.simplefilter("error")
                for count, (opcode, argument, position) in enumerate(pickletools.genops(pickled)):
                    at = position or 0
                    if count == MAX_STEPS:
                        raise _broken(self._shown, f"its data.pkl takes more than {MAX_STEPS} steps")
                    self._step(opcode.name, argument)
            return self._stack.pop()
        except (ValueError, TypeError, LookupError, Warning) as error:
            raise _broken(
                self._shown, f"its data.pkl is not as torch.save writes it, at byte {at}"
            ) from error

    def _step(self, name: str, argument: object) -> None:
        stack = self._stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _PUTS:
            self._memo[_integer(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[_integer(argument)])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _SHORT_TUPLES:
            stack.append(tuple(self._popped(_SHORT_TUPLES[name])))
        elif name in ("TUPLE", "FROZENSET"):
            stack.append(tuple(self._marked()))
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = self._popped(2)
            stack.append(self._called(function, arguments))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("SETITEM", "SETITEMS"):
            items = self._popped(2) if name == "SETITEM" else self._marked()
            _set(stack[-1], items)
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = self._popped(1) if name == "APPEND" else self._marked()
            if not isinstance(stack[-1], list):
                raise TypeError("not a list")
            stack[-1].extend(items)
        elif name == "BUILD":
            # Attributes of the dictionary or tensor below, such as a state dict's versions.
            attributes = stack.pop()
            if isinstance(stack[-1], _Namespace):
                stack[-1].append(attributes)
        elif name == "GLOBAL":
            stack.append(self._named(_dotted(argument)))
        elif name == "STACK_GLOBAL":
            module, attribute = self._popped(2)
            stack.append(self._named(f"{_text(module)}.{_text(attribute)}"))
        elif name in _MAKERS:
            raise self._refused(_dotted(argument))
        elif name not in _NOTHING:
            raise ValueError(name)

    def _named(self, name: str) -> _Name:
        if name not in _NAMES:
            raise self._refused(name)
        return _Name(name)

    def _refused(self, name: str) -> ModelInvalid:
        if _PACKED_TYPE.fullmatch(name):
            return ModelInvalid(
                f"{self._shown}: it names the type {name}, whose elements are no whole bytes: tensors of it "
                "are not counted in a checkpoint. Save them as torch.uint8 beside their scales, or convert "
                "the model to safetensors."
            )
        if name.startswith(("torch._utils._rebuild_", "torch.Q", "torch.q")):
            return ModelInvalid(
                f"{self._shown}: it needs {printable(name)}: tensors that are quantised by torch, sparse or "
                "distributed are not counted. Save plain tensors, or convert it to safetensors."
            )
        return ModelInvalid(
            f"{self._shown}: whoever loads it is made to import or run {printable(name)}, which weights do "
            f"not need; nothing was run. {_CONVERT}."
        )

    def _called(self, function: object, arguments: object) -> object:
        name = function.text if isinstance(function, _Name) else ""
        # A new one each time, as keys of a dictionary are told apart by it.
        return _Opaque() if name in _OPAQUE else _CALLS[name](*_tuple(arguments))

    def _popped(self, count: int) -> list[object]:
        if len(self._stack) < count:
            raise LookupError("stack")
        items = self._stack[-count:]
        del self._stack[-count:]
        return items

    def _marked(self) -> list[object]:
        mark = self._marks.pop()
        items = self._stack[mark:]
        del self._stack[mark:]
        return items


def _dotted(argument: object) -> str:
    """Module and name, which genops parts by a space; of an extension, its number."""
    return str(argument).replace(" ", ".", 1)


def _storage(identity: object) -> _Storage:
    """The storage that a persistent id names: ("storage", class, key, location, elements)."""
    word, kind, key, _, elements = _tuple(identity)
    if word != "storage" or not isinstance(kind, _Name) or kind.text not in _STORAGES:
        raise ValueError("not a storage")
    if type(elements) is not int or elements < 0:
        raise ValueError("not a number of elements")
    dtype, itemsize = _STORAGES[kind.text]
    return _Storage(_text(key), dtype, itemsize, elements * itemsize)


def _set(target: object, items: Sequence[object]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise TypeError("not a dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        # The hash of a long or deep tuple would be computed again for each of its uses.
        if isinstance(key, tuple) and (len(key) > MAX_DEPTH or any(isinstance(k, tuple) for k in key)):
            raise ValueError("not a key")
        target[key] = value


def _numbers(values: object) -> tuple[int, ...]:
    """Extents, strides or an offset, bounded so that one tensor takes a bounded time."""
    numbers = [n for n in _tuple(values) if type(n) is int and 0 <= n <= MAX_COUNT]
    if len(numbers) != len(_tuple(values)):
        raise ValueError("not a shape")
    return tuple(numbers)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("not an integer")
    return value


# ------------------------------------------------------------------------------------- the tensors


def _tensors(shown: str, saved: object) -> list[tuple[str, _Tensor]]:
    """The tensors in order. A container that is met again, as in a cycle, holds nothing new."""
    found: list[tuple[str, _Tensor]] = []
    met: set[int] = set()

    def walk(value: object, name: str, depth: int) -> None:
        if isinstance(value, _Tensor):
            found.append((name, value))
            require_few(shown, len(found))
        elif isinstance(value, dict | list | tuple) and id(value) not in met:
            if depth == MAX_DEPTH:
                raise _broken(shown, f"what it holds is nested deeper than {MAX_DEPTH} levels")
            met.add(id(value))
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            for key, part in pairs:
                if isinstance(part, _Tensor | dict | list | tuple):
                    # One character too many is enough for the tensors below to be refused.
                    walk(part, f"{name}.{_key(key)}"[: MAX_NAME + 2] if depth else _key(key), depth + 1)

    walk(saved, "tensor", 0)
    return found


def _key(key: object) -> str:
    """A dictionary's key as part of a name; those that are neither text nor numbers say what they are."""
    return str(key)[: MAX_NAME + 1] if isinstance(key, str | int | float) else f"<{type(key).__name__}>"


def _stored(
    shown: str, file: str, found: Sequence[tuple[str, _Tensor]], records: Mapping[str, _Record]
) -> Iterator[Stored]:
    shared = _shared([tensor for _, tensor in found])
    for (name, tensor), is_shared in zip(found, shared, strict=True):
        require_plausible(shown, name, tensor.shape, tensor.nbytes)
        record = _record_of(shown, name, tensor, records)
        is_block = tensor.end - tensor.begin == tensor.nbytes
        yield Stored(
            name=name,
            dtype=tensor.dtype,
            shape=tensor.shape,
            file=file,
            offset=record.start + tensor.begin if is_block else None,
            nbytes=tensor.nbytes,
            shared=is_shared,
        )


def _record_of(shown: str, name: str, tensor: _Tensor, records: Mapping[str, _Record]) -> _Record:
    """Raises ModelInvalid unless the tensor lies in its storage, and that is the record's size."""
    storage = tensor.storage
    record = records.get(f"data/{storage.key}")
    held = record.size if record is not None else 0
    what = None
    if record is None:
        what = f"the storage {printable(storage.key)}, which the archive does not have"
    elif not storage.nbytes <= held < storage.nbytes + storage.itemsize:
        what = f"the storage {printable(storage.key)} of {storage.nbytes} bytes, the archive has {held} of it"
    elif tensor.end > held:
        what = f"bytes up to {tensor.end} of a storage of {held}"
    elif not tensor.distinct:
        what = f"{tensor.elements} elements of which several are the same bytes"
    if record is None or what is not None:
        raise _broken(
            shown, f"the tensor {printable(name)} of the shape {list(tensor.shape)} asks for {what}"
        )
    return record


def _shared(tensors: Sequence[_Tensor]) -> list[bool]:
    """Which tensors lie over a larger one, or an earlier one of the same size, of their storage."""
    storages: dict[str, list[int]] = {}
    for index, tensor in enumerate(tensors):
        if tensor.elements:
            storages.setdefault(tensor.storage.key, []).append(index)
    shared = [False] * len(tensors)
    for indices in storages.values():
        indices.sort(key=lambda i: (-tensors[i].nbytes, i))
        for index, apart in zip(indices, _apart([tensors[i] for i in indices]), strict=True):
            shared[index] = not apart
    return shared


def _apart(views: Sequence[_Tensor]) -> Sequence[bool]:
    """Which views of one storage to count so that no byte counts twice; earlier ones come first.

    Views lie apart when their spans do, and also when they are different columns of one matrix: of the
    two ways to tell, the one that counts more bytes.
    """
    ways = [_disjoint([(view.begin, view.end) for view in views])]
    pitch = views[0].pitch
    columns = [(view.begin % pitch, view.begin % pitch + view.width) for view in views if pitch]
    if pitch and all(view.pitch == pitch for view in views) and all(end <= pitch for _, end in columns):
        ways.append(_disjoint(columns))
    return max(
        ways, key=lambda way: sum(view.nbytes for view, apart in zip(views, way, strict=True) if apart)
    )


def _disjoint(spans: Sequence[tuple[int, int]]) -> list[bool]:
    """For each span whether it overlaps none of those kept before it."""
    kept = []
    # Of the spans that are kept, in order.
    begins: list[int] = []
    ends: list[int] = []
    for begin, end in spans:
        place = bisect_right(ends, begin)
        apart = place == len(begins) or end <= begins[place]
        if apart:
            begins.insert(place, begin)
            ends.insert(place, end)
        kept.append(apart)
    return kept
