"""What was stated about a visit, as a reader meets it: named as stated, whole, and inert."""

import io
from dataclasses import fields, replace

import pytest
from program import Made
from rich.cells import cell_len
from rich.console import Console

from bench.evidence import statement
from bench.judge import catalog
from bench.report import case, text
from bench.terms import Case, DataSheet, Evidence, Party

LEAST = Case(
    number="42",
    **{field.name: None for field in fields(Case) if field.name != "number"},  # type: ignore[arg-type]
)
WHOLE = Case(
    number="115-採購-042",
    buyer=Party(name="某醫院", registration="12345675"),
    vendor=Party(name="A vendor Ltd.", registration=None),
    site="臺北市, room 3",
    chassis_serial="SN-0042",
    data_sheet=DataSheet(title="Server 規格書", page="12", sha256="7" * 64),
    server_number=1,
    servers=4,
    cooling="air",
    ambient_celsius=24.5,
    operator="王小明",
    witness="陳先生",
)


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    parsed = statement.parse(made.payload)
    assert isinstance(parsed, Evidence)
    return parsed


def told(evidence: Evidence, width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    text.report(console, evidence, catalog.rules(evidence.rules.name), "0123456789ab")
    return out.getvalue()


def test_everything_stated_has_its_line() -> None:
    assert case.lines(WHOLE) == [
        ("Case number", "115-採購-042"),
        ("Buyer", "某醫院 (registration number 12345675)"),
        ("Vendor", "A vendor Ltd."),
        ("Site", "臺北市, room 3"),
        ("Chassis serial number", "SN-0042"),
        ("Server", "1 of 4 identical servers"),
        ("Data sheet", "Server 規格書, page 12"),
        ("Data sheet, SHA-256", "7" * 64),
        ("Cooling", "air"),
        ("Ambient temperature", "24.5 °C"),
        ("Operator", "王小明"),
        ("Witness", "陳先生"),
    ]


def test_what_is_not_stated_has_no_line() -> None:
    assert case.lines(LEAST) == [("Case number", "42")]
    sheet = DataSheet(title="規格書", page=None, sha256=None)
    assert case.lines(replace(LEAST, data_sheet=sheet))[1:] == [("Data sheet", "規格書")]


def test_the_block_stands_after_the_head_and_says_that_nothing_in_it_was_measured(evidence: Evidence) -> None:
    report = told(replace(evidence, case=WHOLE), 160)
    assert report.index("Report ") < report.index("Stated about the visit (not measured)")
    assert report.index("Stated about the visit") < report.index("kernel and form")
    for label, value in case.lines(WHOLE):
        assert any(
            line.startswith(label) and line.rstrip().endswith(value) for line in report.splitlines()
        ), label


def test_a_report_without_a_case_has_no_such_block(evidence: Evidence) -> None:
    assert evidence.case is None
    assert "Stated about" not in told(evidence)


def test_the_longest_texts_are_shown_whole_within_80_columns(evidence: Evidence) -> None:
    long = "".join(chr(0x4E00 + index) for index in range(200))
    stated = replace(
        LEAST,
        buyer=Party(name=long, registration="12345675"),
        data_sheet=DataSheet(title=long, page=long, sha256="7" * 64),
    )
    report = told(replace(evidence, case=stated))
    assert max(map(cell_len, report.splitlines())) <= 80
    assert "…" not in report
    # A label may stand between two lines of a value, at its first line alone.
    block = "".join(report.split("not measured)")[1].split("kernel and form")[0].split())
    assert block.count(long) == 3


def test_brackets_and_colons_are_text(evidence: Evidence) -> None:
    report = told(replace(evidence, case=replace(LEAST, site="[bold]:smile:[/bold] 100%")), 160)
    assert "[bold]:smile:[/bold] 100%" in report


def test_the_head_shows_taipei_beside_utc(evidence: Evidence) -> None:
    line = told(replace(evidence, created="2026-11-21T07:43:09Z")).splitlines()[1]
    assert line == "2026-11-21 07:43:09 UTC, 2026-11-21 15:43:09 (Taipei, UTC+8), 民國115年11月21日"
