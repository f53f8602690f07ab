"""A case that no run would have signed is refused by verify, whoever signed it again."""

from pathlib import Path
from typing import Any

from forging import all_verified, built, changed, concluded
from program import Made

from bench.evidence import statement
from bench.evidence.codec import encode
from bench.terms import Case, DataSheet, Evidence, Party

CASE = Case(
    number="42",
    buyer=Party(name="某醫院", registration="12345675"),
    vendor=None,
    site="臺北市",
    chassis_serial=None,
    data_sheet=DataSheet(title="規格書", page="7", sha256="7" * 64),
    server_number=1,
    servers=4,
    cooling=None,
    ambient_celsius=24.5,
    operator=None,
    witness=None,
)
LIMIT = "case-is-stated"


def with_case(made: Made) -> bytes:
    """The evidence as it would be, had the case been given to its run."""
    evidence = statement.parse(made.payload)
    assert isinstance(evidence, Evidence)
    return built(made, concluded(evidence, case=CASE))


def altered(made: Made, *path: str, to: object) -> bytes:
    """The same with a value that is changed in the case."""

    def change(predicate: Any) -> None:
        predicate["case"] = inner = encode(CASE)
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = to
        predicate["doesNotShow"].append(LIMIT)

    return changed(made, change)


def test_a_case_is_held_to_the_limits_that_its_file_was_held_to(made: Made, tmp_path: Path) -> None:
    refused = {
        "case: site: expected one line": altered(made, "site", to="a\x1b[2Jb"),
        "case: operator: expected one line": altered(made, "operator", to="\u202eb"),
        "case: number: expected one line": altered(made, "number", to="x" * 201),
        "case.buyer: name: expected one line": altered(made, "buyer", "name", to="a\nb"),
        "case.buyer: registration: 12345678 is not": altered(made, "buyer", "registration", to="12345678"),
        "case.dataSheet: sha256: expected 64": altered(made, "dataSheet", "sha256", to="7"),
        "case.dataSheet: unknown keys: file": altered(made, "dataSheet", "file", to="/etc/passwd"),
        "case: server_number: expected n of N": altered(made, "serverNumber", to=5),
        "case: server_number: it goes with servers": altered(made, "servers", to=None),
        "case: ambient_celsius: expected -40 to 80": altered(made, "ambientCelsius", to=1e6),
    }
    for words, (code, step, error) in all_verified(made, tmp_path, refused).items():
        assert (code, step) == (4, 3), words
        assert words in error
        assert error.isprintable()


def test_a_case_and_its_limit_come_and_go_together(made: Made, tmp_path: Path) -> None:
    files = {
        "both": with_case(made),
        "no limit": changed(made, lambda predicate: predicate.update(case=encode(CASE))),
        "no case": changed(made, lambda predicate: predicate["doesNotShow"].append(LIMIT)),
    }
    answers = all_verified(made, tmp_path, files)
    assert answers["both"][0] == 0
    assert answers["no limit"][:2] == answers["no case"][:2] == (4, 6)
    assert "does not show: case-is-stated left out" in answers["no limit"][2]
