"""The JSON Schemas 2020-12 of the payloads, made from the same type hints that the codec goes by.

They ship as statement.schema.json, system.schema.json and model.schema.json, for programs of others; `bench`
itself reads by the codec, which is stricter. After a change of terms write them anew with
`python -m bench.evidence.schema`; a test compares.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from bench.evidence.codec import schema_of
from bench.evidence.statement import (
    MODEL_PREDICATE_TYPE,
    PREDICATE_TYPE,
    SYSTEM_PREDICATE_TYPE,
    ModelStatement,
    Statement,
    SystemStatement,
)

# By file name: the predicate's type and the statement around it.
SHIPPED: Mapping[str, tuple[str, type]] = {
    "statement.schema.json": (PREDICATE_TYPE, Statement),
    "system.schema.json": (SYSTEM_PREDICATE_TYPE, SystemStatement),
    "model.schema.json": (MODEL_PREDICATE_TYPE, ModelStatement),
}
FOLDER = Path(__file__).parent


def schema(name: str) -> dict[str, object]:
    """The schema of a whole in-toto Statement with one of our predicates."""
    predicate, statement = SHIPPED[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{predicate}/{name}",
        "title": f"in-toto Statement v1 with the predicate {predicate}",
        **schema_of(statement),
    }


def schema_bytes(name: str) -> bytes:
    """The schema as it is shipped."""
    return (json.dumps(schema(name), indent=1) + "\n").encode("utf-8")


if __name__ == "__main__":
    for shipped in SHIPPED:
        (FOLDER / shipped).write_bytes(schema_bytes(shipped))
