"""The page about a run: what it tells, nothing of a file as markup, what is invalid in red and no figures."""

import base64
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from program import Made, one_line

from bench.cli import report, run
from bench.cli.verify import By
from bench.evidence import statement
from bench.evidence.steps import NAMES
from bench.judge import catalog
from bench.report import html, page
from bench.report.language import speaking
from bench.terms import Case, Device, Evidence, Fact, Finding

HOSTILE = (
    '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31m\u202eevil\u2066 </style><style>*{}'
    " {{ 7*7 }} $\\frac{1}{2}$ " + "A" * 10_240
)
CHECKED = html.Checked(
    number="0123456789ab",
    command="bench verify a.evidence.json",
    digest="0123456789ab" + "0" * 52,
    file_digest="f" * 64,
    signers=("self SHA256:abc",),
    steps=((0, "read", "9 bytes, within limits"),),
)


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    found = statement.parse(made.payload)
    assert isinstance(found, Evidence)
    return found


def page_of(evidence: Evidence) -> str:
    return html.report(evidence, catalog.rules(evidence.rules.name), CHECKED)


class _Read(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(text: str) -> str:
    return " ".join(" ".join(_Read(text).text).split())


@pytest.fixture(scope="module")
def shown(evidence: Evidence) -> str:
    return page_of(evidence)


def test_the_first_screen_says_what_a_reader_must_know(shown: str, evidence: Evidence) -> None:
    first = text_of(shown.split("<nav")[0])
    assert " ".join(evidence.devices[0].name.split()) in first
    assert "This was a smoke test" in first
    for words in (
        "180.0 TFLOPS fp32",
        "Declared",
        "Delivered",
        "Assurance level A0",
        "Status: consultation 2024; check the regulation in force",
        "What this report does not show that it is fresh: no auditor's challenge went into it",
    ):
        assert words in first


@pytest.mark.parametrize(
    "words",
    [
        "The figure of each precision",
        "All rows",
        "The run over time",
        "Throttle marks",
        "Shapes tried",
        "Environment",
        "Findings",
        "bench verify a.evidence.json",
        "SHA256:abc",
        CHECKED.digest,
        CHECKED.file_digest,
        "9 bytes, within limits",
        "UTC+8",
    ],
)
def test_the_page_holds(words: str, shown: str) -> None:
    assert words in text_of(shown)


def test_the_page_has_no_script_no_form_and_no_address_to_ask(shown: str) -> None:
    read = _Read(shown)
    assert not {"script", "form", "iframe", "object", "embed", "img", "base"} & set(read.tags)
    for name, value in read.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href"):
            assert str(value).startswith(("#", "data:,"))
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert ("content", policy) in read.attributes
    assert re.findall(r"url\((?!#)", shown) == []


def test_each_row_and_each_fact_is_in_a_table(shown: str, evidence: Evidence) -> None:
    text = text_of(shown)
    for row in evidence.delivered:
        kernel, _, form = row.row.split("/", 2)
        assert f"{kernel} {form}" in text
    for fact in evidence.devices[0].facts:
        assert fact.name in text


def test_the_same_evidence_gives_the_same_page(shown: str, evidence: Evidence) -> None:
    assert page_of(evidence) == shown


def test_the_language_spoken_is_the_pages(evidence: Evidence) -> None:
    with speaking("zh-TW"):
        chinese = page_of(evidence)
    assert '<html lang="zh-Hant-TW">' in chinese
    assert "民國" in chinese
    assert "How to verify" not in chinese


def test_hostile_strings_are_inert_text_everywhere(evidence: Evidence) -> None:
    device = evidence.devices[0]
    hostile = replace(
        evidence,
        devices=(
            Device(
                selector=device.selector,
                family=device.family,
                kind=device.kind,
                name=HOSTILE,
                vendor=HOSTILE,
                facts=(Fact(name=HOSTILE, value=HOSTILE, source=HOSTILE),),
            ),
        ),
        system=(Fact(name=HOSTILE, value=HOSTILE, source=HOSTILE),),
        case=Case(
            number="<b>\"'}</style><script>alert(3)</script>",
            buyer=None,
            vendor=None,
            site=None,
            chassis_serial=None,
            data_sheet=None,
            server_number=None,
            servers=None,
            cooling=None,
            ambient_celsius=None,
            operator=None,
            witness=None,
        ),
        verdict=replace(
            evidence.verdict,
            findings=(
                Finding(
                    subject=HOSTILE, status="warning", code="backend-failed", numbers={"detail": HOSTILE}
                ),
            ),
        ),
        harness=replace(evidence.harness, version=HOSTILE),
    )
    text = page_of(hostile)
    read = _Read(text)
    assert not {"script", "img", "b"} & set(read.tags)
    assert read.tags.count("style") == 1
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Co"} == {"Cc"}  # line ends
    assert {c for c in text if unicodedata.category(c) == "Cc"} == {"\n"}
    assert "A" * 700 not in text
    assert "49" not in re.findall(r"</style><style>\*\{\} (\S+)", "".join(read.text))


def test_what_stands_at_the_foot_of_printed_pages_ends_no_style() -> None:
    assert (
        page.css_string('"}</style>')
        == '"\\000022\\00007d\\00003c\\00002f\\000073\\000074\\000079\\00006c\\000065\\00003e"'
    )


def test_a_long_case_number_is_cut_at_the_foot_and_nowhere_else(evidence: Evidence) -> None:
    none = dict.fromkeys(field.name for field in fields(Case))
    number = "7" * 100
    text = page_of(replace(evidence, case=Case(**{**none, "number": number})))  # type: ignore[arg-type]
    assert page.css_string(f"Report 0123456789ab · case {'7' * 59}…") in text
    assert number in text_of(text)


def test_what_the_file_says_of_itself_is_called_so(shown: str, evidence: Evidence) -> None:
    text = text_of(shown)
    assert f"Measured with, as the file says bench {evidence.harness.version}" in text
    assert "The device's name is the one that the machine gives itself" in text.split("Contents")[0]


# -------------------------------------------------------------------------------------- the command


def test_the_page_verifies_by_what_it_was_made_by(tmp_path: Path) -> None:
    by = By(
        trust_file=Path("their trust"),
        revoked=None,
        tsa_roots=None,
        challenge=tmp_path / "c;d.json",
        rules="own.toml",
        model=None,
    )
    assert report._command(Path("in") / "-a b.json", by) == (
        "bench verify './-a b.json' --challenge 'c;d.json' --trust 'their trust' --rules own.toml"
    )


@pytest.mark.parametrize(
    ("rules", "options"),
    [
        (None, " --challenge 'an asked.json'"),
        ("tw-ai-hardware-2024", " --challenge 'an asked.json'"),
        ("own.toml", " --challenge 'an asked.json' --rules own.toml"),
    ],
)
def test_a_run_under_a_challenge_is_verified_against_it(rules: str | None, options: str) -> None:
    typed = run.Typed(
        devices=("cpu",),
        ep_libraries=(),
        ep_options=(),
        runner=None,
        precisions=(),
        claims=(),
        rules=rules,
        required=(),
        challenge=Path("an asked.json"),
        case=None,
        quick=False,
        time=None,
        sustain=None,
    )
    assert run.verifying(Path("a.json"), typed) == f"bench verify a.json{options}"


def test_a_name_with_a_command_in_it_is_quoted_wherever_a_command_is_printed(
    made: Made, tmp_path: Path
) -> None:
    name = "a;touch $(owned).evidence.json"
    (tmp_path / name).write_bytes(made.file.read_bytes())
    (tmp_path / f"cut {name}").write_bytes(made.file.read_bytes()[:-9])
    for file, code in ((name, 0), (f"cut {name}", 4)):
        assert made.bench("report", tmp_path / file, "-o", tmp_path / "p.html").code == code
        assert f"bench verify '{file}'" in text_of((tmp_path / "p.html").read_text("utf-8"))
    said = made.bench("params", "--hosted", "A", "--claim", "params=3B", "-o", tmp_path / f"count {name}")
    assert said.out.splitlines()[-1] == f"verify    bench verify '{tmp_path / f'count {name}'}'"


def test_the_command_writes_the_page_and_its_chart(made: Made, tmp_path: Path) -> None:
    for name, begins in (("r.html", b"<!doctype html>"), ("r.svg", b"<?xml"), ("r.png", b"\x89PNG")):
        said = made.bench("report", made.file, "-o", tmp_path / name)
        assert (said.code, said.err, said.out.strip()) == (0, "", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(begins)


def test_the_page_is_named_by_the_digest_of_what_was_signed(made: Made, tmp_path: Path) -> None:
    made.bench("report", made.file, "-o", tmp_path / "r.html")
    number = made.bench("show", "--json", made.file).json["report"]
    text = text_of((tmp_path / "r.html").read_text("utf-8"))
    assert f"Report {number} " in text
    assert re.search(rf"\b{number}[0-9a-f]{{52}}\b", text)


def _edited(made: Made) -> bytes:
    envelope = json.loads(made.file.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"quick"', b'"quack"', 1)
    envelope["payload"] = base64.b64encode(payload).decode()
    return json.dumps(envelope).encode()


INVALID: dict[str, tuple[Callable[[Made], bytes], int, int]] = {
    "edited": (_edited, 5, 2),
    "cut": (lambda made: made.file.read_bytes()[:-9], 4, 1),
    "no evidence": (lambda _made: b"<script>alert(1)</script>", 4, 1),
}


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_file_gives_a_page_that_says_so_and_no_figure(
    case: str, made: Made, tmp_path: Path
) -> None:
    make, code, step = INVALID[case]
    (tmp_path / "x.evidence.json").write_bytes(make(made))
    said = made.bench("report", tmp_path / "x.evidence.json", "-o", tmp_path / "x.html")
    verified = made.bench("verify", tmp_path / "x.evidence.json")
    assert said.code == verified.code == code
    assert f"step {step}: " in one_line(said.err)
    text = (tmp_path / "x.html").read_text("utf-8")
    assert 'class="alarm"' in text
    assert f"Step {step} ({NAMES[step]}) failed." in text_of(text)
    assert not re.search(r"[KMGT](FL)?OPS|<svg|<table|<script", text)


def test_of_an_invalid_file_there_is_no_chart(made: Made, tmp_path: Path) -> None:
    (tmp_path / "x.evidence.json").write_bytes(_edited(made))
    for name in ("x.svg", "x.png"):
        assert made.bench("report", tmp_path / "x.evidence.json", "-o", tmp_path / name).code == 5
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("FILE", "-o", "r.pdf"), r"r\.pdf is to be: .*\.html, \.svg, \.png.*-o report\.html"),
        (("absent.json", "-o", "r.html"), r"cannot read absent\.json"),
    ],
)
def test_bad_words_are_a_clear_line(words: Any, told: str, made: Made) -> None:
    said = made.bench("report", *(made.file if word == "FILE" else word for word in words))
    assert said.code == 2
    assert re.search(told, one_line(said.err))


def test_a_count_of_parameters_has_a_page_and_no_chart(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "hosted.evidence.json"
    said = made.bench("params", "--hosted", "A <b>service</b>", "--claim", "params=3B", "-o", file)
    assert said.code == 0, said.err
    assert made.bench("report", file, "-o", tmp_path / "p.html").code == 0
    text = (tmp_path / "p.html").read_text("utf-8")
    assert "<b>" not in text
    for words in (
        "Nothing was counted",
        "A <b>service</b> is hosted elsewhere",
        "params=3B",
        "technical documents",
    ):
        assert words in text_of(text)
    said = made.bench("report", file, "-o", tmp_path / "p.svg")
    assert said.code == 2
    assert "give -o FILE.html" in one_line(said.err)
