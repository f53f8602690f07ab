"""JSON with one spelling for one value, read within limits that are checked before parsing.

Refuses whatever two parsers could read in two ways, and whatever could exhaust this one. What the
values mean is not known here.
"""

import json
import math
import re
from typing import NoReturn, TypeVar

from bench.errors import EvidenceInvalid
from bench.printable import printable

# A run of three minutes writes well under 10 MB. Larger limits only help whoever wants to stall an
# auditor; smaller ones would refuse a sustained run of an hour with every sample in it.
MAX_BYTES = 64 * 2**20
MAX_DEPTH = 32
MAX_ITEMS = 100_000
MAX_TOKENS = 2_000_000

# The integers that every JSON reader holds exactly (RFC 8259, section 6); the longest number that we
# write is a double such as -2.2250738585072014e-308.
MAX_INT = 2**53 - 1
_MAX_NUMBER = 24

# Possessive, so that no input makes the scan take more than one pass. An unclosed string runs to the end.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{},]', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_Number = TypeVar("_Number", int, float)


def read_json(data: bytes, *, step: int) -> object:
    """The value that `data` spells. Raises EvidenceInvalid carrying `step` for anything doubtful.

    Refused: more than MAX_BYTES, MAX_DEPTH, MAX_ITEMS or MAX_TOKENS; a byte order mark, bytes that are
    not UTF-8, lone surrogates; keys that repeat, also in another case; NaN, infinities and numbers that
    a double cannot hold; integers beyond MAX_INT; numbers not written as `to_bytes` writes them (`1.50`,
    `-0`, `1E3`); data after the value.
    """
    try:
        _check_limits(data)
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
        if _SURROGATE.search(data):
            to_bytes(value)
    except json.JSONDecodeError as error:
        raise EvidenceInvalid(f"this is not JSON, or not all of it: {error}", step=step) from error
    except ValueError as error:
        raise EvidenceInvalid(f"not JSON that can be accepted: {error}", step=step) from error
    return value


def to_bytes(value: object) -> bytes:
    """Compact UTF-8 JSON with the keys in the order of their insertion; equal orders give equal bytes.

    Raises ValueError for NaN, infinities and lone surrogates.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


def _check_limits(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        raise ValueError(f"{len(data)} bytes, at most {MAX_BYTES} are read")
    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("it begins with a byte order mark")
    commas = [0]
    for count, token in enumerate(_TOKEN.finditer(data)):
        mark = data[token.start()]
        if mark in b"[{":
            commas.append(0)
        elif mark in b"]}" and len(commas) > 1:
            commas.pop()
        elif mark in b",":
            commas[-1] += 1
        if len(commas) - 1 > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if commas[-1] >= MAX_ITEMS:
            raise ValueError(f"an array or object of more than {MAX_ITEMS} items")
        if count >= MAX_TOKENS:
            raise ValueError(f"more than {MAX_TOKENS} strings, brackets and commas")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    seen: dict[str, str] = {}
    for key, _ in pairs:
        before = seen.get(folded := key.casefold())
        if before == key:
            raise ValueError(f'the key "{printable(key)}" stands twice in one object')
        # Some readers match keys whatever their case: with both spellings in a file, two programs
        # would see two values.
        if before is not None:
            raise ValueError(f'the keys "{printable(before)}" and "{printable(key)}" differ only in case')
        seen[folded] = key
    return dict(pairs)


def _integer(text: str) -> int:
    _check_length(text)
    value = int(text)
    if abs(value) > MAX_INT:
        raise ValueError(f"the integer {text} is beyond {MAX_INT}; larger ones are decimal strings")
    return _as_written(value, text)


def _float(text: str) -> float:
    _check_length(text)
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text} is larger than a double can hold")
    return _as_written(value, text)


def _as_written(value: _Number, text: str) -> _Number:
    if repr(value) != text:
        raise ValueError(f"the number {text} is written {value!r} here")
    return value


def _check_length(text: str) -> None:
    if len(text) > _MAX_NUMBER:
        raise ValueError(f"a number of {len(text)} characters, at most {_MAX_NUMBER} are read")


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")
