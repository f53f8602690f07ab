"""A case file is read strictly: what is stated is taken as it stands, or refused by the key's name."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from builders import CASE, evidence

from bench.errors import EvidenceInvalid, UsageError
from bench.evidence import case, statement
from bench.evidence.codec import decode, encode
from bench.terms import Case, DataSheet, Party

WHOLE = """
number = "115-採購-042"
site = "臺北市, room 3"
chassis_serial = "SN-0042"
server_number = 1
servers = 4
cooling = "air"
ambient_celsius = 24.5
operator = "王小明"

[buyer]
name = "某醫院"
registration = "12345675"

[vendor]
name = "A vendor Ltd."

[data_sheet]
title = "Server 規格書"
page = "12"
sha256 = "7777777777777777777777777777777777777777777777777777777777777777"
"""
LEAST = 'number = "42"\n'


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "case.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    """What is said of a case file that is refused: one line, without what could steer a terminal."""
    path = written(folder, text)
    with pytest.raises(UsageError) as error:
        case.read(path)
    said = str(error.value)
    assert str(path) in said
    assert said.isprintable()
    return said


# ------------------------------------------------------------------------------------------- what is read


def test_everything_that_is_stated_is_taken_as_it_stands(tmp_path: Path) -> None:
    assert case.read(written(tmp_path, WHOLE)) == CASE


def test_only_the_number_is_required_and_nothing_else_is_assumed(tmp_path: Path) -> None:
    found = case.read(written(tmp_path, LEAST))
    assert found.number == "42"
    assert {value for key, value in encode(found).items() if key != "number"} == {None}
    assert "number: missing" in refused(tmp_path, 'site = "here"\n')


def test_the_template_is_read_once_its_number_is_filled_in(tmp_path: Path) -> None:
    assert "number: it is empty: fill it in" in refused(tmp_path, case.TEMPLATE)
    filled = case.TEMPLATE.replace('number = ""', 'number = "42"', 1)
    assert case.read(written(tmp_path, filled)) == case.read(written(tmp_path, LEAST))


def test_every_line_of_the_template_is_one_that_is_read(tmp_path: Path) -> None:
    data = b"a data sheet"
    (tmp_path / "sheet.pdf").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    values = {"registration": "12345675", "file": "sheet.pdf", "sha256": digest}
    whole = re.sub("^#(?! |$)", "", case.TEMPLATE, flags=re.MULTILINE)
    whole = re.sub('(?m)^(\\w+) = ""$', lambda m: f'{m[1]} = "{values.get(m[1], m[1])}"', whole)
    found = encode(case.read(written(tmp_path, whole)))
    assert None not in [*found.values(), *found["buyer"].values(), *found["vendor"].values()]
    assert found["dataSheet"] == {"title": "title", "page": "page", "sha256": digest}


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "case.toml"
    path.write_text(WHOLE, "utf-8-sig")
    assert case.read(path).number == "115-採購-042"


def test_the_template_says_what_is_meant_in_chinese_too() -> None:
    for term in ("統一編號", "規格書", "機箱序號", "見證人", "買方", "賣方"):
        assert term in case.TEMPLATE


@pytest.mark.parametrize("number", ["25", "25.0", "2.5e1"])
def test_a_temperature_may_be_whole(tmp_path: Path, number: str) -> None:
    assert case.read(written(tmp_path, f"{LEAST}ambient_celsius = {number}\n")).ambient_celsius == 25.0


# ------------------------------------------------------------------------------------ the data sheet


def sheet(**rows: str) -> str:
    return f'{LEAST}[data_sheet]\ntitle = "規格書"\n' + "".join(f'{k} = "{v}"\n' for k, v in rows.items())


def test_of_a_data_sheets_file_only_the_digest_is_recorded(tmp_path: Path) -> None:
    data = os.urandom(3 * 2**20)
    (tmp_path / "規格書.pdf").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    found = case.read(written(tmp_path, sheet(file="規格書.pdf", page="7")))
    assert found.data_sheet == DataSheet(title="規格書", page="7", sha256=digest)
    assert case.read(written(tmp_path, sheet(file="規格書.pdf", page="7", sha256=digest))) == found


def test_a_digest_that_is_not_the_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sheet.pdf").write_bytes(b"another edition")
    digest = hashlib.sha256(b"another edition").hexdigest()
    said = refused(tmp_path, sheet(file="sheet.pdf", sha256="7" * 64))
    assert f"data_sheet.sha256: the digest of sheet.pdf is {digest}" in said


def test_a_data_sheet_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file, why in (
        ("none.pdf", "no such file"),
        (".", "is a directory"),
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (r"a\u0000b", "null byte"),
        (r"a\u001b[2Jb", "no such file"),
    ):
        said = refused(tmp_path, sheet(file=file))
        assert "data_sheet.file: cannot read" in said
        assert why in said


# --------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('number = ""', "number: it is empty"),
        ('number = "  "', "number: expected text"),
        ("number = 42", "number: expected text, got 42"),
        (r'number = "a\nb"', "number: expected one line"),
        (r'number = "\u001b[2Jowned"', "number: expected one line"),
        (r'number = "\u0007"', "number: expected one line"),
        (r'number = "\u009b1m"', "number: expected one line"),
        (r'number = "a\u202eb"', "number: expected one line"),
        (r'number = "a\u200bb"', "number: expected one line"),
        (f'number = "{"長" * 201}"', "number: expected one line of 1 to 200"),
        (f"number = {'9' * 5000}", "not a TOML file"),
        (f"number = 0x{'f' * 9000}", "number: expected text, got a number of more than 64 bits"),
        (f"number = {'[' * 5000}", "not a TOML file"),
        (f"number = {'{a=' * 3000}", "not a TOML file"),
        (f"number{'.a' * 3000} = 1", "number: expected text, got a table"),
        ('number = "1"\nnumber = "2"', "not a TOML file"),
        ("number = ", "not a TOML file"),
    ],
)
def test_a_number_that_is_no_line_of_text_is_refused(tmp_path: Path, line: str, words: str) -> None:
    assert words in refused(tmp_path, line + "\n")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("color = 1", "color: unknown key"),
        ('site = ""', "site: it is empty"),
        (r'witness = "\u202e"', "witness: expected one line"),
        ("operator = [1]", "operator: expected text, got a list"),
        ('buyer = "A"', "buyer: expected a table"),
        ("[buyer]", "buyer.name: missing"),
        ('[vendor]\nname = "A"\naddress = "B"', "vendor.address: unknown key"),
        ('[vendor]\nname = "\\u0000"', "vendor.name: expected one line"),
        ('[data_sheet]\npage = "1"', "data_sheet.title: missing"),
        ('[data_sheet]\ntitle = "A"\npage = 1', "data_sheet.page: expected text, got 1"),
        ('[data_sheet]\ntitle = "A"\nsha256 = "77"', "data_sheet.sha256: expected 64 lower-case"),
        ("server_number = 1", "server_number: it goes with servers"),
        ("servers = 1", "server_number: it goes with servers"),
        ("server_number = 5\nservers = 4", "server_number: expected n of N"),
        ("server_number = 0\nservers = 4", "server_number: expected a whole number above zero"),
        ("server_number = 1\nservers = true", "servers: expected a whole number above zero, got True"),
        ("server_number = 1\nservers = 1000001", "server_number: expected n of N"),
        (f"server_number = 1\nservers = 0x{'f' * 9000}", "servers: expected a whole number above zero"),
        ("ambient_celsius = -40.1", "ambient_celsius: expected -40 to 80"),
        ("ambient_celsius = 81", "ambient_celsius: expected -40 to 80"),
        ("ambient_celsius = nan", "ambient_celsius: expected a number"),
        ("ambient_celsius = inf", "ambient_celsius: expected a number"),
        ("ambient_celsius = 1e999999", "ambient_celsius: expected -40 to 80"),
        ("ambient_celsius = 1e99999999999999999999", "is out of range"),
        ('ambient_celsius = "25"', "ambient_celsius: expected a number"),
        ("ambient_celsius = true", "ambient_celsius: expected a number"),
    ],
)
def test_anything_else_is_refused_by_its_key(tmp_path: Path, lines: str, words: str) -> None:
    assert words in refused(tmp_path, f"{LEAST}{lines}\n")


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "not UTF-8: save it as UTF-8 text" in refused(tmp_path, 'number = "統一編號"'.encode("big5"))
    assert "at most 16384 are read" in refused(tmp_path, LEAST + "#" * 16384)
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("none.toml", "no such file"), ("pipe", "not a regular file"), (".", "regular file")):
        with pytest.raises(UsageError, match=why):
            case.read(tmp_path / name)


# ------------------------------------------------------------------------------- the registration number


@pytest.mark.parametrize(
    "number",
    [
        "04595257",  # divisible by ten, as before 2023
        "00501503",
        "00501508",  # by five only
        "12345675",  # 7 in the seventh place: 40, which is divisible by ten
        "00000074",  # the same: 15, by five only
        "00000075",  # the same, its 7 counted as 10
    ],
)
def test_a_registration_number_fits_the_rule_of_2023_or_the_older_one(number: str) -> None:
    assert Party(name="A", registration=number).registration == number


@pytest.mark.parametrize("number", ["00501502", "04595258", "12345678", "00000063", "00000076"])
def test_a_registration_number_with_a_wrong_digit_is_refused(tmp_path: Path, number: str) -> None:
    said = refused(tmp_path, f'{LEAST}[buyer]\nname = "A"\nregistration = "{number}"\n')
    assert f"buyer.registration: {number} is not a 統一編號" in said


@pytest.mark.parametrize("number", ["1234567", "123456750", "1234567a", "1234567５", " 2345675"])
def test_a_registration_number_has_eight_digits(number: str) -> None:
    with pytest.raises(ValueError, match="8 digits"):
        Party(name="A", registration=number)


# -------------------------------------------------------------------------------------- in the evidence


def forged(path: tuple[str, ...], to: object) -> Any:
    json = encode(CASE)
    inner = json
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return json


@pytest.mark.parametrize(
    ("path", "to", "words"),
    [
        (("number",), "", "number: expected one line"),
        (("number",), None, "number: expected a string"),
        (("site",), "a\x1b[2Jb", "site: expected one line"),
        (("buyer", "registration"), "12345678", "check digit is wrong"),
        (("vendor", "name"), "\u202e", "name: expected one line"),
        (("dataSheet", "sha256"), "7" * 63, "sha256: expected 64"),
        (("dataSheet", "file"), "/etc/passwd", "unknown keys: file"),
        (("serverNumber",), 5, "server_number: expected n of N"),
        (("servers",), None, "server_number: it goes with servers"),
        (("ambientCelsius",), 81.0, "ambient_celsius: expected -40 to 80"),
        (("ambientCelsius",), 25, "expected a number with a point"),
    ],
)
def test_evidence_holds_no_case_that_could_not_have_been_read(
    path: tuple[str, ...], to: object, words: str
) -> None:
    with pytest.raises(EvidenceInvalid) as error:
        decode(Case, forged(path, to), step=3, path="predicate.case")
    assert words in str(error.value)
    assert str(error.value).isprintable()


def test_a_case_is_part_of_what_is_signed() -> None:
    parsed = statement.parse(statement.build(evidence()))
    assert parsed == evidence()
    assert parsed.case == CASE
