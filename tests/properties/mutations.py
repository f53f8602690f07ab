"""How signed files are mutated: their bytes, their envelope's JSON, and the predicate, signed again.

A mutation is drawn by hypothesis, so that one which breaks something is made small and shown.
"""

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DataObject

Mutate = Callable[[DataObject, Any], Any]

# Values of every type, and what parsers and arithmetic stumble over.
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**53 - 1, 2**53, 2**63, -(2**63), 10**30, 10**400]),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1e308, 5e-324, 0.05, 1.0]),
    st.text(max_size=8),
    st.sampled_from(["", "0", "1 2 3", "-1", "9" * 25, "A1", "A3", "fp32", "\x1b[2J", "\ud800", "‮"]),
    # Each anew: a mutant is changed further after it was drawn.
    st.sampled_from([[], {}, [0], [0, [0]], [[[0], 0]]]).map(copy.deepcopy),
    st.integers(1, 40).map(lambda depth: json.loads("[" * depth + "]" * depth)),
)


# ---------------------------------------------------------------------------------------- of bytes


def in_bytes(data: DataObject, file: bytes) -> bytes:
    """A few bytes replaced, left out, put in, doubled or moved to the end."""
    place = data.draw(st.integers(0, len(file) - 1))
    length = data.draw(st.sampled_from([1, 1, 2, 7, 100, 5000]))
    before, cut, after = file[:place], file[place : place + length], file[place + length :]
    kind = data.draw(st.sampled_from(["replace", "drop", "put", "double", "end", "truncate", "wrap"]))
    fresh = data.draw(st.binary(min_size=1, max_size=9))
    return {
        "replace": before + fresh + after,
        "drop": before + after,
        "put": before + fresh + cut + after,
        "double": before + cut + cut + after,
        "end": before + after + cut,
        "truncate": before,
        "wrap": b"[" * length + file + b"]" * length,
    }[kind]


# ----------------------------------------------------------------------------------------- of JSON


def in_json(data: DataObject, value: Any) -> Any:
    """One place of a JSON value changed: its value, its key, its neighbours, its number or text a little."""
    changed = copy.deepcopy(value)
    holder, key = _place(data, changed)
    kinds = {"strange": _strange, "little": _little, "drop": _drop, "double": _double, "rename": _rename}
    kinds[data.draw(st.sampled_from(sorted(kinds)))](data, holder, key)
    return changed


def _place(data: DataObject, value: Any) -> tuple[Any, Any]:
    """A container and a key or index in it: first a depth, so that long arrays do not take all the draws."""
    holder = value
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = data.draw(st.sampled_from(keys))
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 5)) == 0:
            return holder, key
        holder = inner


def _strange(data: DataObject, holder: Any, key: Any) -> None:
    holder[key] = data.draw(STRANGE)


def _little(data: DataObject, holder: Any, key: Any) -> None:
    """A number by one or by a share, a text by one character; all else becomes strange."""
    old = holder[key]
    if isinstance(old, bool) or old is None or isinstance(old, dict | list):
        _strange(data, holder, key)
    elif isinstance(old, int):
        holder[key] = old + data.draw(st.sampled_from([-1, 1, old, -2 * old]))
    elif isinstance(old, float):
        holder[key] = old * data.draw(st.sampled_from([1.0000001, 0.99, 2.0, -1.0]))
    else:
        place = data.draw(st.integers(0, len(old)))
        character = data.draw(st.sampled_from("0123456789 abcfAZ+/=-:\x00é"))
        keep = data.draw(st.booleans())
        holder[key] = old[:place] + character + old[place + (not keep) :]


def _drop(data: DataObject, holder: Any, key: Any) -> None:  # noqa: ARG001
    del holder[key]


def _double(data: DataObject, holder: Any, key: Any) -> None:
    if isinstance(holder, list):
        holder.insert(data.draw(st.integers(0, len(holder))), copy.deepcopy(holder[key]))
    else:
        holder[data.draw(st.sampled_from([f"{key}2", key.upper(), f"{key}\u200b"]))] = holder[key]


def _rename(data: DataObject, holder: Any, key: Any) -> None:
    """Of an object a key, of an array the order."""
    if isinstance(holder, list):
        holder.append(holder.pop(key))
    else:
        holder[data.draw(st.sampled_from([key.title(), key + "_", ""]))] = holder.pop(key)


def unsealed(file: bytes) -> Any:
    """The statement in an evidence file."""
    return json.loads(base64.b64decode(json.loads(file)["payload"]))
