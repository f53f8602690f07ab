import time

import pytest

from bench.errors import EvidenceInvalid
from bench.evidence import strict_json
from bench.evidence.strict_json import read_json, to_bytes
from bench.printable import printable


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a":1,"a":2}', '"a" stands twice'),
        (b'{"a":1,"b":{"A":1,"\\u0061":2}}', "differ only in case"),
        (b'{"\\u212a":1,"k":2}', "differ only in case"),
        (b"[NaN]", "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[1e999]", "larger than a double"),
        (b"[1e-999]", "is written 0.0"),
        (b"[9007199254740992]", "beyond 9007199254740991"),
        (b"[-9007199254740992]", "beyond"),
        (b"[-0]", "is written 0"),
        (b"[1.50]", "is written 1.5"),
        (b"[1E3]", "is written 1000.0"),
        (b"[" + b"1" * 5000 + b"]", "a number of 5000 characters"),
        (b"[0." + b"1" * 5000 + b"]", "a number of 5002 characters"),
        (b"\xef\xbb\xbf[]", "byte order mark"),
        (b'["\xff"]', "utf-8"),
        (b'["\xed\xa0\x80"]', "utf-8"),
        (b'["\\ud800"]', "surrogates"),
        (b'{"\\uDC00":1}', "surrogates"),
        ('["x"]'.encode("utf-16"), "utf-8"),
        (b"[] []", "Extra data"),
        (b"", "Expecting value"),
        (b'{"a":', "Expecting value"),
        (b'{"a":"b', "Unterminated string"),
        (b'["a\nb"]', "control character"),
        (b"[01]", "delimiter"),
        (b"[1,]", "trailing comma|Expecting value"),
        (b"[" * 33 + b"]" * 33, "deeper than 32"),
        (b'{"a":' * 1_000_000, "deeper than 32"),
        (b"[" + b"1," * 100_000 + b"1]", "more than 100000 items"),
        (
            b"[" + b"[1,1,1]," * 90_000 * 0 + b"[" + b",".join([b"[" + b"1," * 99_998 + b"1]"] * 21) + b"]]",
            "more than 2000000",
        ),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else None,
)
def test_doubtful_json_is_refused_in_one_line_with_the_step(data: bytes, reason: str) -> None:
    with pytest.raises(EvidenceInvalid, match=f"(?i){reason}") as caught:
        read_json(data, step=7)
    assert caught.value.step == 7
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_more_bytes_than_the_limit_are_refused_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict_json, "MAX_BYTES", 10)
    with pytest.raises(EvidenceInvalid, match="11 bytes, at most 10"):
        read_json(b'"123456789"', step=0)


def test_brackets_and_commas_in_strings_do_not_count_as_structure() -> None:
    text = '[{,\\"' * 200_000
    assert read_json(to_bytes([text, "[" * 100]), step=0) == [text, "[" * 100]


def test_an_array_at_the_limit_is_read() -> None:
    assert read_json(b"[" + b"1," * 99_999 + b"1]", step=0) == [1] * 100_000


@pytest.mark.parametrize("piece", [b'"\\', b'\\"', b'"', b'["', b',"', b'"\\"'])
def test_hostile_input_takes_time_in_proportion_to_its_size(piece: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(EvidenceInvalid):
        read_json(piece * 1_000_000, step=0)
    # One pass takes about a second at worst; a quadratic one would take days.
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize(
    "value", [2**53 - 1, -(2**53) + 1, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 0.1, "é\u2028😀"]
)
def test_what_is_written_is_read_back(value: object) -> None:
    back = read_json(to_bytes([value]), step=0)
    assert back == [value]
    assert to_bytes(back) == to_bytes([value])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_cannot_be_read_is_not_written(value: object) -> None:
    with pytest.raises(ValueError, match=r"JSON|surrogates"):
        to_bytes([value])


def test_escaped_surrogate_pairs_are_ordinary_characters() -> None:
    assert read_json(b'["\\ud83d\\ude00"]', step=0) == ["😀"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("a\x9b2Jb", "ab"),
        ("one\r\ntwo\tthree\u2028four", "one  two three four"),
        ("fdp\u202egnp.exe\u2066\u200b", "fdpgnp.exe"),
        ("nul\x00bel\x07del\x7f\ud800\ue000", "nulbeldel"),
        ("處理器 é", "處理器 é"),
        ("x" * 300, "x" * 199 + "…"),
        ("\x1b" * 10_000 + "hidden", "…"),
        ("", ""),
    ],
)
def test_printed_strings_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
