"""The frozen values of terms as JSON and back, by their type hints alone.

One function per kind of hint gives its three views, which must agree: how it is written, how it is
read strictly, and its JSON Schema. No field is known here by name.

- A dataclass is a closed object: snake_case fields in their order become camelCase keys; every key is
  written, defaults included, and on reading one too many or too few is an error.
- A float is written as Python's repr, so it always carries a point or an exponent; on reading, an
  integer token (`48` for `48.0`) is refused, as every value has one spelling. A bool is never a number.
- An int is a JSON integer within 2^53 - 1, but the ints of the dataclasses in LARGE are decimal strings.
- **Series**: `tuple[D, ...]`, where all fields of D are plain ints, is written by columns: an object
  with one string per field, decimals separated by single spaces, in the order of the samples. Its
  numbers have no limit of 2^53, and the columns are equally long.
- The keys of a Mapping are data and stay as they are.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from bench.errors import EvidenceInvalid
from bench.evidence.strict_json import MAX_INT
from bench.printable import printable
from bench.terms import Cost

# Operations and bytes of one launch may pass 2^53.
LARGE: frozenset[type] = frozenset({Cost})

# Bounds the text only: 30 digits of ns are 10^13 years.
_DECIMAL = "(0|-?[1-9][0-9]{0,29})"
_COLUMN = re.compile(f"(?:{_DECIMAL}(?: {_DECIMAL})*+)?+")
# A million samples of a row; the file's size limit is met earlier.
MAX_SERIES = 1_000_000

Definitions = dict[str, object]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One kind of value: written (ValueError for what could not be read back), read, described.

    `read` takes the JSON and the path to it, and raises ValueError naming the path. `schema` enters
    the objects that it refers to into the definitions.
    """

    write: Callable[[Any], object]
    read: Callable[[object, str], Any]
    schema: Callable[[Definitions], dict[str, object]]


def encode(value: object) -> Any:
    """The JSON of a dataclass value. Raises ValueError naming the field that cannot be written."""
    kind: Any = type(value)
    return codec_of(kind).write(value)


def decode(kind: type[T], json: object, *, step: int, path: str = "") -> T:
    """The `kind` that `json` holds. Raises EvidenceInvalid carrying `step` and naming the path."""
    try:
        return cast(T, codec_of(cast(Any, kind)).read(json, path))
    except ValueError as error:
        raise EvidenceInvalid(str(error), step=step) from error


def schema_of(kind: type) -> dict[str, object]:
    """The JSON Schema 2020-12 of `kind`, self-contained. It cannot say that `1.0` is not an integer
    nor that columns are equally long; everything else that `decode` checks by form is in it."""
    definitions: Definitions = {}
    root = codec_of(kind).schema(definitions)
    return {**root, "$defs": dict(sorted(definitions.items()))}


@cache
def codec_of(hint: Any) -> Codec:
    """The codec of a type hint. Raises TypeError for a hint that has no JSON."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _SCALARS:
        return _SCALARS[hint]
    if is_dataclass(hint):
        return _record(cast(type, hint))
    if origin is Literal:
        return _word(arguments)
    if origin is tuple and arguments[1:] == (...,):
        return _series(arguments[0]) if _is_series(arguments[0]) else _list(arguments[0])
    if origin is Mapping and arguments[0] is str:
        return _mapping(arguments[1])
    if origin in (Union, UnionType):
        return _optional(arguments) if len({*arguments} - {NoneType}) == 1 else _choice(arguments)
    raise TypeError(f"the codec has no JSON for {hint}")


# ---------------------------------------------------------------------------------------- scalars


def _is_float(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_int(value: object) -> bool:
    return type(value) is int and abs(value) <= MAX_INT


def _scalar(name: str, fits: Callable[[object], bool], schema: dict[str, object]) -> Codec:
    def check(value: object, path: str) -> object:
        if not fits(value):
            raise ValueError(f"{path}: expected {name}, got {_shown(value)}")
        return value

    return Codec(write=lambda value: check(value, "the value"), read=check, schema=lambda _: schema)


_STRING = _scalar("a string", lambda value: type(value) is str, {"type": "string"})
_FLOAT = _scalar("a number with a point or an exponent", _is_float, {"type": "number"})


def _write_float(value: Any) -> object:
    return _FLOAT.write(float(value) if _is_int(value) else value)


_SCALARS: Mapping[Any, Codec] = {
    str: _STRING,
    bool: _scalar("true or false", lambda value: type(value) is bool, {"type": "boolean"}),
    int: _scalar("an integer", _is_int, {"type": "integer", "minimum": -MAX_INT, "maximum": MAX_INT}),
    float: Codec(write=_write_float, read=_FLOAT.read, schema=_FLOAT.schema),
    NoneType: _scalar("null", lambda value: value is None, {"type": "null"}),
}


def _read_decimal(json: object, path: str) -> int:
    text = _STRING.read(json, path)
    if not re.fullmatch(_DECIMAL, text):
        raise ValueError(f"{path}: expected an integer as a decimal string, got {_shown(json)}")
    return int(text)


_DECIMAL_STRING = Codec(
    write=lambda value: _decimal(value),
    read=_read_decimal,
    schema=lambda _: {"type": "string", "pattern": f"^{_DECIMAL}$"},
)


def _decimal(value: object) -> str:
    if type(value) is not int or not -(10**30) < value < 10**30:
        raise ValueError(f"the value: expected an integer of at most 30 digits, got {_shown(value)}")
    return str(value)


def _word(words: tuple[str, ...]) -> Codec:
    return _scalar(f"one of {', '.join(words)}", lambda value: value in words, {"enum": list(words)})


# ------------------------------------------------------------------------------------- containers


def _list(item: Any) -> Codec:
    codec = codec_of(item)

    def read(json: object, path: str) -> tuple[object, ...]:
        if type(json) is not list:
            raise ValueError(f"{path}: expected an array, got {_shown(json)}")
        return tuple(codec.read(value, f"{path}[{index}]") for index, value in enumerate(json))

    return Codec(
        write=lambda values: [codec.write(value) for value in values],
        read=read,
        schema=lambda definitions: {"type": "array", "items": codec.schema(definitions)},
    )


def _mapping(item: Any) -> Codec:
    codec = codec_of(item)

    def read(json: object, path: str) -> dict[str, object]:
        entries = _entries(json, path)
        return {key: codec.read(value, f"{path}.{printable(key)}") for key, value in entries.items()}

    return Codec(
        write=lambda values: {_STRING.write(key): codec.write(value) for key, value in values.items()},
        read=read,
        schema=lambda definitions: {"type": "object", "additionalProperties": codec.schema(definitions)},
    )


def _optional(members: tuple[Any, ...]) -> Codec:
    codec = codec_of(next(member for member in members if member is not NoneType))
    return Codec(
        write=lambda value: None if value is None else codec.write(value),
        read=lambda json, path: None if json is None else codec.read(json, path),
        schema=lambda definitions: {"anyOf": [codec.schema(definitions), {"type": "null"}]},
    )


def _choice(members: tuple[Any, ...]) -> Codec:
    """A union of scalars, told apart by their JSON type, and dataclasses, by their exact sets of keys."""
    by_type = {member: codec_of(member) for member in members}
    records = {frozenset(_keys(member)): codec for member, codec in by_type.items() if is_dataclass(member)}
    scalars = {member: codec for member, codec in by_type.items() if member in _SCALARS}
    if len(records) + len(scalars) != len(members):
        raise TypeError(f"the codec cannot tell these apart: {members}")

    def write(value: object) -> object:
        codec = next((by_type[base] for base in type(value).__mro__ if base in by_type), None)
        if codec is None:
            raise ValueError(
                f"the value: {type(value).__name__} is none of {', '.join(m.__name__ for m in members)}"
            )
        return codec.write(value)

    def read(json: object, path: str) -> object:
        codec = records.get(frozenset(json)) if type(json) is dict else scalars.get(type(json))
        if codec is None:
            known = ", ".join(member.__name__ for member in members)
            raise ValueError(f"{path}: expected one of {known}, got {_shown(json)}")
        return codec.read(json, path)

    def schema(definitions: Definitions) -> dict[str, object]:
        return {"anyOf": [codec.schema(definitions) for codec in by_type.values()]}

    return Codec(write=write, read=read, schema=schema)


# ---------------------------------------------------------------------------------------- records


def _keys(record: Any) -> dict[str, str]:
    """Key in the file -> name of the field, in the order of the fields."""
    names = [field.name for field in fields(record)]
    return {re.sub("(?<=.)_(.)", lambda match: match[1].upper(), name): name for name in names}


def _record(record: type) -> Codec:
    keys = _keys(record)
    hints = get_type_hints(record)
    large = record in LARGE
    codecs = {
        key: _DECIMAL_STRING if large and hints[name] is int else codec_of(hints[name])
        for key, name in keys.items()
    }

    def write(value: object) -> object:
        if type(value) is not record:
            raise ValueError(f"the value: expected {record.__name__}, got {_shown(value)}")
        return {key: _written(codecs[key], value, name) for key, name in keys.items()}

    def read(json: object, path: str) -> object:
        entries = _closed(json, path, keys)
        values = {
            name: codecs[key].read(entries[key], f"{path}.{key}" if path else key)
            for key, name in keys.items()
        }
        try:
            return record(**values)
        except ValueError as error:
            raise ValueError(f"{path}: {printable(str(error))}") from error

    def schema(definitions: Definitions) -> dict[str, object]:
        if record.__name__ not in definitions:
            definitions[record.__name__] = _closed_schema(
                record, {key: codec.schema(definitions) for key, codec in codecs.items()}
            )
        return {"$ref": f"#/$defs/{record.__name__}"}

    return Codec(write=write, read=read, schema=schema)


def _written(codec: Codec, value: object, name: str) -> object:
    try:
        return codec.write(getattr(value, name))
    except ValueError as error:
        raise ValueError(f"{type(value).__name__}.{name}: {error}") from error


def _is_series(item: Any) -> bool:
    return is_dataclass(item) and all(hint is int for hint in get_type_hints(item).values())


def _series(record: type) -> Codec:
    keys = _keys(record)
    pattern = f"^({_DECIMAL}( {_DECIMAL})*)?$"

    def write(rows: tuple[object, ...]) -> object:
        return {key: " ".join(_decimal(getattr(row, name)) for row in rows) for key, name in keys.items()}

    def read(json: object, path: str) -> tuple[object, ...]:
        entries = _closed(json, path, keys)
        columns = [_column(entries[key], f"{path}.{key}") for key in keys]
        if len({len(column) for column in columns}) != 1:
            lengths = ", ".join(f"{key} {len(column)}" for key, column in zip(keys, columns, strict=True))
            raise ValueError(f"{path}: the columns are not equally long: {lengths}")
        names = list(keys.values())
        return tuple(record(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True))

    def schema(definitions: Definitions) -> dict[str, object]:
        name = f"{record.__name__}Series"
        definitions[name] = _closed_schema(
            record, {key: {"type": "string", "pattern": pattern} for key in keys}
        )
        return {"$ref": f"#/$defs/{name}"}

    return Codec(write=write, read=read, schema=schema)


def _column(json: object, path: str) -> list[int]:
    text = _STRING.read(json, path)
    if text.count(" ") >= MAX_SERIES:
        raise ValueError(f"{path}: more than {MAX_SERIES} numbers")
    if not _COLUMN.fullmatch(text):
        raise ValueError(f"{path}: expected decimals separated by single spaces, got {_shown(json)}")
    return [int(number) for number in text.split(" ")] if text else []


# ---------------------------------------------------------------------------------------- objects


def _entries(json: object, path: str) -> dict[str, object]:
    if type(json) is not dict:
        raise ValueError(f"{path or 'the whole'}: expected an object, got {_shown(json)}")
    return json


def _closed(json: object, path: str, keys: Mapping[str, str]) -> dict[str, object]:
    entries = _entries(json, path)
    if entries.keys() != keys.keys():
        unknown = ", ".join(printable(key) for key in entries.keys() - keys.keys())
        missing = ", ".join(sorted(keys.keys() - entries.keys()))
        raise ValueError(
            f"{path or 'the whole'}: unknown keys: {unknown or '-'}; missing keys: {missing or '-'}"
        )
    return entries


def _closed_schema(record: type, properties: dict[str, object]) -> dict[str, object]:
    return {
        "description": " ".join((record.__doc__ or "").split("\n\n")[0].split()),
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _shown(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return {dict: "an object", list: "an array"}.get(type(value), "a tuple")
    return printable(repr(value), limit=60)
