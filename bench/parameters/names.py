"""What a tensor is for, by its name: the table in profiles/parameters, read strictly."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import get_args

from bench.judge import catalog
from bench.judge.tables import Table
from bench.terms import Digest, Role

_FILE = "names"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Names that `pattern` is found in are of `role`, where the rank is right."""

    role: Role
    pattern: re.Pattern[str]
    rank: int | None


@cache
def table() -> tuple[Digest, tuple[Rule, ...]]:
    """The shipped table's digest and its rules, in their order."""
    data = catalog.shipped("parameters")[_FILE]
    return Digest(name=_FILE, sha256=hashlib.sha256(data).hexdigest()), read(
        data, f"profiles/parameters/{_FILE}.toml"
    )


def read(data: bytes, where: str) -> tuple[Rule, ...]:
    """The rules in a table's bytes; UsageError naming `where` and the key that is wrong."""
    top = Table.parse(data, where)
    top.text("version")
    rules = tuple(_rule(row) for row in top.tables("rule"))
    top.close()
    return rules


def _rule(row: Table) -> Rule:
    text = row.text("pattern")
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise row.wrong("pattern", f"not a regular expression: {error}") from error
    rank = row.count("rank") if row.has("rank") else None
    rule = Rule(role=row.choice("role", get_args(Role)), pattern=pattern, rank=rank)
    row.text("source")
    row.close()
    return rule


def role_of(pattern: str, shape: Sequence[int]) -> Role | None:
    """What tensors of this name pattern and shape are for; None where no rule fits."""
    _, rules = table()
    for rule in rules:
        if rule.rank in (None, len(shape)) and rule.pattern.search(pattern):
            return rule.role
    return None
