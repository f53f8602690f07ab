"""The Chinese catalogue: complete, compiled as it is shipped, in the words of Taiwan and of the rule."""

import gettext
import io
import re
from collections.abc import Mapping
from string import Formatter

import pytest
from babel.messages import Catalog
from program import Made

from bench.evidence import statement
from bench.judge import catalog
from bench.report import catalogue, sentences, text
from bench.terms import Evidence

# Words of the mainland, and what Taiwan says instead.
FOREIGN = {
    "信息": "資訊、訊息",
    "数据": "資料",
    "數據": "資料",
    "默認": "預設",
    "默认": "預設",
    "服務器": "伺服器",
    "服务器": "伺服器",
    "軟件": "軟體",
    "软件": "軟體",
    "硬件": "硬體",
    "內存": "記憶體",
    "内存": "記憶體",
    "線程": "執行緒",
    "线程": "執行緒",
    "進程": "行程",
    "程序": "程式",
    "文件夾": "資料夾",
    "質量": "品質",
    "帶寬": "頻寬",
    "字節": "位元組",
    "比特": "位元",
    "緩存": "快取",
    "芯片": "晶片",
    "矩陣乘積": "矩陣乘法",
    "算法": "演算法",
    "運行": "執行",
    "接口": "介面",
    "打印": "列印",
    "屏幕": "螢幕",
    "網絡": "網路",
    "智能": "智慧",
    "激活": "啟用",
}
# What the rule's own text calls things (profiles/rules).
RULES_OWN = ("算力", "規格書")

# Latin words in Chinese text: units, formats, names of programs and of methods, and what is typed.
ALLOWED = {
    "sustain",
    *("GFLOPS", "TFLOPS", "MFLOPS", "KFLOPS", "PFLOPS", "GOPS", "TOPS", "MOPS", "GFLOP", "GOP", "op"),
    *("GHz", "TB", "GB", "MB", "kB", "min", "ns", "ppm", "UTC", "CPU", "GPU", "NPU", "AI", "DSSE", "SHA256"),
    *("A0", "A1", "copy", "triad", "bench", "verify", "self", "int8"),
}  # fmt: skip


@pytest.fixture(scope="module")
def kept() -> Catalog:
    return catalogue.read("zh-TW")


@pytest.fixture(scope="module")
def said(kept: Catalog) -> Mapping[str, str]:
    """Each English sentence, and how it is said in Chinese."""
    return {str(each.id): str(each.string) for each in kept if each.id}


# ------------------------------------------------------------------------------------------- complete


def test_every_sentence_in_use_is_translated_and_no_other() -> None:
    """`python -m bench.report.catalogue` tells which are missing, and drops those that nobody says."""
    kept = catalogue.read("zh-TW")
    in_use = {str(each.id) for each in catalogue.template() if each.id}
    assert len(in_use) > 300, "the search for sentences has lost its way"
    assert in_use - {str(each.id) for each in kept if each.string} == set()
    assert {str(each.id) for each in kept if each.id} - in_use == set()
    assert not kept.obsolete


def test_no_translation_is_a_guess(kept: Catalog) -> None:
    assert [each.id for each in kept if each.fuzzy and each.id] == []


def test_a_translation_has_the_names_of_its_sentence(said: Mapping[str, str]) -> None:
    def names(text: str) -> set[str]:
        return {f"{name}!{conversion}" for _, name, _, conversion in Formatter().parse(text) if name}

    assert {sentence for sentence, chinese in said.items() if names(sentence) != names(chinese)} == set()


def test_every_sentence_of_the_tables_is_marked_for_the_catalogue(said: Mapping[str, str]) -> None:
    tables = [table for name, table in vars(sentences).items() if name.isupper() and isinstance(table, dict)]
    assert len(tables) > 8
    for table in tables:
        assert {*table.values()} - {*said} == set()


def test_what_is_shipped_is_what_the_catalogue_compiles_to(kept: Catalog) -> None:
    shipped = catalogue.po_file("zh-TW").with_suffix(".mo").read_bytes()
    assert shipped == catalogue.as_mo(kept)
    assert gettext.GNUTranslations(io.BytesIO(shipped)).gettext("threshold met") == "達到門檻"


def test_the_catalogue_is_written_as_it_is_kept(kept: Catalog) -> None:
    assert catalogue.po_file("zh-TW").read_bytes() == catalogue.as_po(kept)


# ------------------------------------------------------------------------------------ the right words


def test_no_word_and_no_character_is_of_the_mainland(said: Mapping[str, str]) -> None:
    for chinese in said.values():
        # 演算法 is Taiwan's word, and holds the mainland's.
        plain = chinese.replace("演算法", "")
        assert [word for word in FOREIGN if word in plain] == [], chinese
        # Big5 is Taiwan's own set of characters. A few of it are simplified ones of others.
        "".join(re.findall("[\u4e00-\u9fff]", chinese)).encode("big5")
        assert not {*"后云么"} & {*chinese}, chinese


def test_chinese_has_chinese_punctuation(said: Mapping[str, str]) -> None:
    beside = re.compile("[\u4e00-\u9fff][,:;?!]|[,;?!][\u4e00-\u9fff]")
    assert [chinese for chinese in said.values() if beside.search(chinese)] == []


def test_the_rules_own_terms_are_used(said: Mapping[str, str]) -> None:
    whole = "".join(said.values())
    for term in RULES_OWN:
        assert term in whole
    assert said["Data sheet"] == "規格書"
    # Tiers and items are called as the rule set has them, which no catalogue says again.
    rules = catalog.rules("tw-ai-hardware-2024")
    for each in (*rules.tiers, *rules.items):
        assert each.title_en not in said


# -------------------------------------------------------------------------------------- a real report


def own_words(evidence: Evidence) -> set[str]:
    """The Latin words that the evidence itself brings: names, rows, codes."""
    texts = [
        *(device.name for device in evidence.devices),
        *(device.selector for device in evidence.devices),
        *(row.row for row in evidence.delivered),
        *(row.measured or "" for row in evidence.delivered),
        *(text.shape_text(measurement.workload.shape) for measurement in evidence.measurements),
        *(sensor.name for sensor in evidence.telemetry.sensors),
        *(finding.subject for finding in evidence.verdict.findings),
        *(str(value) for finding in evidence.verdict.findings for value in finding.numbers.values()),
        *(row.headline for row in evidence.verdict.thresholds),
        *(row.declared_word for row in evidence.verdict.thresholds),
        *(row.delivered_word for row in evidence.verdict.thresholds),
        *(str(evidence.clock.value), evidence.rules.name),
    ]
    return {word for said in texts for word in latin(said)}


def latin(said: str) -> list[str]:
    return re.findall(r"[A-Za-z][A-Za-z0-9]+", said)


def test_a_report_in_chinese_holds_no_english_sentence(made: Made) -> None:
    report = made.bench("--lang", "zh-TW", "show", made.file).out
    evidence = statement.parse(made.payload)
    # The report's number and its time are no words.
    report = re.sub(r"\b[0-9a-f]{12}\b|[0-9-]+T[0-9:]+Z", "", report)
    assert {*latin(report)} - own_words(evidence) - ALLOWED == set()
    for tier in catalog.rules(evidence.rules.name).tiers:
        assert tier.title_zh in report


def test_verifying_in_chinese_holds_no_english_sentence(made: Made) -> None:
    lines = made.bench("--lang", "zh-TW", "verify", made.file).out.splitlines()
    steps = [re.sub(r"^  \d [a-z-]+ +", "", line) for line in lines[1:]]
    words = re.sub(r"\(SHA256:[^)]*\)|\b[0-9a-f]{12}\b|[0-9-]+T[0-9:]+Z|verdict/\d", "", "\n".join(steps))
    evidence = statement.parse(made.payload)
    assert {*latin(words)} - own_words(evidence) - ALLOWED == set()
