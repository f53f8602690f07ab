"""Which language is spoken, what it is spoken about, and what stays as it is in every language."""

import contextlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from program import Made, Program
from rich.cells import cell_len
from rich.console import Console

from bench.evidence import statement
from bench.judge import catalog
from bench.report import sentences, text
from bench.report.language import Language, listed, of_environment, speaking, spoken, tr

# ------------------------------------------------------------------------------------ which is spoken


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "zh_Hant_TW.UTF-8"}, "zh-TW"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        # Simplified characters are another writing, which is not spoken here.
        ({"LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "zh_TW.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW.UTF-8"}, "zh-TW"),
        ({"LC_ALL": "C", "LC_MESSAGES": "zh_TW.UTF-8", "LANG": "zh_TW.UTF-8"}, "en"),
        # Set to nothing is not set (POSIX, 8.2).
        ({"LC_ALL": "", "LANG": "zh_TW.UTF-8"}, "zh-TW"),
    ],
)
def test_the_environments_locale_decides_in_the_order_of_posix(
    environment: Mapping[str, str], language: Language
) -> None:
    assert of_environment(environment) == language


def test_a_language_is_spoken_until_its_end_whatever_ends_it() -> None:
    with speaking("zh-TW"):
        with contextlib.suppress(ValueError), speaking("en"):
            assert spoken() == "en"
            raise ValueError
        assert spoken() == "zh-TW"
    assert spoken() == "en"


@pytest.mark.parametrize(
    ("words", "env", "first"),
    [
        ((), {"BENCH_LANG": "zh-TW"}, "報告"),
        ((), {"BENCH_LANG": "", "LC_ALL": "zh_TW.UTF-8"}, "報告"),
        ((), {"BENCH_LANG": "en", "LC_ALL": "zh_TW.UTF-8"}, "Report"),
        (("--lang", "en"), {"BENCH_LANG": "zh-TW"}, "Report"),
    ],
)
def test_what_is_typed_comes_before_bench_lang_and_that_before_the_locale(
    made: Made, words: tuple[str, ...], env: Mapping[str, str], first: str
) -> None:
    said = made.bench(*words, "show", made.file, env=env)
    assert said.code == 0
    assert said.out.startswith(f"{first} ")


@pytest.mark.parametrize("words", [("show",), ("report", "-o", "report.html")])
def test_a_report_may_be_asked_for_in_a_language_of_its_own(
    made: Made, tmp_path: Path, words: tuple[str, ...]
) -> None:
    bench = Program(home=made.bench.home, folder=tmp_path)
    said = bench(*words, "--lang", "zh-TW", made.file, env={"BENCH_LANG": "en"})
    assert said.code == 0
    assert "報告" in (said.out if words == ("show",) else (tmp_path / "report.html").read_text("utf-8"))


def test_a_language_that_is_not_spoken_is_refused_with_those_that_are(made: Made) -> None:
    for said in (
        made.bench("--lang", "fr", "show", made.file),
        made.bench("show", made.file, env={"BENCH_LANG": "fr"}),
    ):
        assert said.code == 2
        assert "'en', 'zh-TW'" in said.err


# -------------------------------------------------------------------------------------- what is said


def test_a_sentence_is_said_with_its_values() -> None:
    assert tr("status: {status}", status="open") == "status: open"
    with speaking("zh-TW"):
        assert tr("status: {status}", status="open") == "狀態：open"


def test_values_are_not_read_for_names() -> None:
    for language in ("en", "zh-TW"):
        with speaking(language):
            assert "{status}" in tr("status: {status}", status="{status}")


def test_words_that_no_catalogue_has_are_said_as_they_are() -> None:
    with speaking("zh-TW"):
        assert tr("a rule set's own {words}") == "a rule set's own {words}"


def test_names_are_listed_with_the_languages_own_comma() -> None:
    assert listed(["a", "b"]) == "a, b"
    with speaking("zh-TW"):
        assert listed(["a", "b"]) == "a、b"


@pytest.mark.parametrize(
    ("count", "english", "chinese"),
    [
        (999, "999", "999"),
        (9_999, "9,999", "9,999"),
        (125_000_000, "125 million", "1.25 億"),
        (1_000_000_000, "1 billion", "10 億"),
        (8_030_261_248, "8.03 billion", "80.3 億"),
        (1_000_000_000_000, "1 trillion", "1 兆"),
    ],
)
def test_counts_are_told_in_the_steps_in_which_each_language_counts(
    count: int, english: str, chinese: str
) -> None:
    assert sentences.number(count) == english
    with speaking("zh-TW"):
        assert sentences.number(count) == chinese


def test_an_answer_stands_beside_its_code_and_a_tier_has_the_rules_own_title() -> None:
    rules = catalog.rules("tw-ai-hardware-2024")
    assert sentences.answer("threshold-met") == "threshold-met"
    assert sentences.title(rules, "edge-device") == "edge-device"
    with speaking("zh-TW"):
        assert sentences.answer("threshold-met") == "達到門檻 (threshold-met)"
        assert sentences.title(rules, "edge-device") == "AI邊緣運算設備"
        assert sentences.title(rules, "content-generation") == "內容生成系統"


def test_a_code_without_a_sentence_is_shown_in_every_language() -> None:
    with speaking("zh-TW"):
        assert sentences.reason("brand-new") == sentences.answer("brand-new").split()[0] == "brand-new"


# ------------------------------------------------------------------------- what is not spoken about


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_programs_read_is_the_same_in_every_language(made: Made, command: str) -> None:
    english, chinese = (
        made.bench("--lang", language, command, "--json", made.file) for language in ("en", "zh-TW")
    )
    assert english.json == chinese.json
    assert english.code == chinese.code == 0


def test_exit_codes_steps_and_errors_are_the_same_in_every_language(made: Made, tmp_path: Path) -> None:
    forged = tmp_path / "forged.json"
    envelope = json.loads(made.file.read_bytes())
    forged.write_text(json.dumps({**envelope, "payload": envelope["payload"][:-8] + "AAAAAAA="}))
    english, chinese = (made.bench("--lang", language, "verify", forged) for language in ("en", "zh-TW"))
    assert english.code == chinese.code != 0
    assert english.err == chinese.err


def test_the_lines_of_verify_and_the_verdict_are_in_chinese(made: Made) -> None:
    lines = made.bench("--lang", "zh-TW", "verify", made.file).out.splitlines()
    assert re.match(r"  0 read +[0-9]+ 位元組，在限度之內$", lines[1])
    assert re.match(r"  3 decode +算力證據，", lines[4])
    assert lines[-1] == "有效：保證等級 A0，快速測試，不作任何判定"


# ------------------------------------------------------------------------------------- in a terminal


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_in_chinese_is_wider_than_the_console_and_none_is_cut(made: Made, width: int) -> None:
    evidence = statement.parse(made.payload)
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    with speaking("zh-TW"):
        text.report(console, evidence, catalog.rules(evidence.rules.name), "0123456789ab")
    assert max(map(cell_len, out.getvalue().splitlines())) <= width
    assert "…" not in out.getvalue()
