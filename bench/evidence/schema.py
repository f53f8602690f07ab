"""The JSON Schema 2020-12 of the payload, made from the same type hints that the codec goes by.

It ships as statement.schema.json, for programs of others; `bench` itself reads by the codec, which is
stricter. After a change of terms write it anew with `python -m bench.evidence.schema`; a test compares.
"""

import json
from pathlib import Path

from bench.evidence.codec import schema_of
from bench.evidence.statement import PREDICATE_TYPE, Statement

SHIPPED = Path(__file__).with_name("statement.schema.json")


def schema() -> dict[str, object]:
    """The schema of the whole in-toto Statement with our predicate."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{PREDICATE_TYPE}/statement.schema.json",
        "title": "in-toto Statement v1 with a compute-evidence predicate",
        **schema_of(Statement),
    }


def schema_bytes() -> bytes:
    """The schema as it is shipped."""
    return (json.dumps(schema(), indent=1) + "\n").encode("utf-8")


if __name__ == "__main__":
    SHIPPED.write_bytes(schema_bytes())
