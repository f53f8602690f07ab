"""Evidence changed after the run, and signed again by whoever holds the trusted key.

Such a file passes the signature; what its figures and words do not follow from has to be found by
recomputing. The subjects are always brought up to date, so that it is never they that give it away.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from program import Made, Program

from bench.evidence import envelope, keys, statement
from bench.evidence.keys import SigningKey
from bench.evidence.strict_json import to_bytes
from bench.judge import catalog
from bench.judge.conclusion import conclude, observed_in, profile_digests
from bench.terms import Evidence

Change = Callable[[Any], object]


def trusted_key(made: Made) -> SigningKey:
    return keys.load(made.bench.home / "key")


def sealed(payload: bytes, key: SigningKey) -> bytes:
    return envelope.to_json(envelope.sign(payload, envelope.PAYLOAD_TYPE, [key]))


def changed(made: Made, change: Change) -> bytes:
    """The evidence with a change made to its predicate's JSON."""
    forged = json.loads(made.payload)
    change(forged["predicate"])
    subjects = statement.subjects(forged["predicate"])
    forged["subject"] = [{"name": s.name, "digest": {"sha256": s.digest.sha256}} for s in subjects]
    return sealed(to_bytes(forged), trusted_key(made))


def spelled(made: Made, old: bytes, new: bytes) -> bytes:
    """The evidence with its payload spelled otherwise in one place."""
    assert made.payload.count(old) >= 1, old
    return sealed(made.payload.replace(old, new, 1), trusted_key(made))


def concluded(evidence: Evidence, **changes: Any) -> Evidence:
    """The evidence with changes and everything that honestly follows from them."""
    evidence = replace(evidence, **changes)
    rules = catalog.rules(evidence.rules.name)
    found = conclude(observed_in(evidence), rules)
    return replace(
        evidence,
        assurance=found.assurance,
        does_not_show=found.does_not_show,
        delivered=found.delivered,
        figures=found.figures,
        conditions=found.conditions,
        verdict=found.verdict,
        profiles=profile_digests(evidence.devices),
    )


def built(made: Made, evidence: Evidence) -> bytes:
    return sealed(statement.build(evidence), trusted_key(made))


def numbers(series: Any, column: str) -> list[int]:
    return [int(text) for text in series[column].split()]


def set_number(series: Any, column: str, index: int, value: int) -> None:
    """Change one number of a column of samples or readings."""
    values = numbers(series, column)
    values[index] = value
    series[column] = " ".join(map(str, values))


def measured(predicate: Any) -> Any:
    """The first row that has a figure."""
    return next(row for row in predicate["measurements"] if row["visits"])


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / f"{name}.evidence.json"
    path.write_bytes(data)
    return path


# ----------------------------------------------------------------------- what is said to forgeries

Answer = tuple[int, int | None, str]


def verified(bench: Program, files: list[Path]) -> list[Answer]:
    """Exit code, step and error of each file, from one command that reads them all.

    What is refused is told on stderr in one line, and the command ends with the first one's code.
    """
    said = bench("verify", "--json", *files)
    answers = [(r["exitCode"], r.get("step"), r.get("error", "")) for r in said.json]
    told = [
        f"bench: {path}: step {step}: {error}"
        for path, (code, step, error) in zip(files, answers, strict=True)
        if code
    ]
    assert said.err.splitlines() == told
    assert said.code == next((code for code, _, _ in answers if code), 0)
    assert "defect of bench" not in said.err
    return answers


def all_verified(made: Made, folder: Path, forged: Mapping[str, bytes]) -> dict[str, Answer]:
    """The answers to forgeries by their names."""
    files = [write(folder, f"{index:02d}", data) for index, data in enumerate(forged.values())]
    return dict(zip(forged, verified(made.bench, files), strict=True))


@dataclass(frozen=True, kw_only=True)
class Forgery:
    """A change to the predicate's JSON, and the step and words that refuse it."""

    name: str
    change: Change
    step: int
    reason: str


def set_at(*path: str | int, to: object) -> Change:
    """Set the value at a path of the predicate; a callable `to` gets the old one."""

    def change(predicate: Any) -> None:
        place = predicate
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to(place[path[-1]]) if callable(to) else to

    return change


def delete_at(*path: str | int) -> Change:
    def change(predicate: Any) -> None:
        place = predicate
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


def in_first_row(*path: str | int, to: object) -> Change:
    return lambda predicate: set_at(*path, to=to)(measured(predicate))
