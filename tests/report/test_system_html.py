"""The page about a system, and its chart: what it tells, and nothing of a file as markup."""

from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from system_cases import member, part, parts, system, without_rank_1

from bench.judge import catalog
from bench.report import html, plot
from bench.report.language import LANGUAGES, Language, speaking
from bench.report.parts import Part
from bench.terms import SystemEvidence

RULES = catalog.rules("tw-ai-hardware-2024")
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\x1b[31m\u202eevil {{ 7*7 }} $\\frac{1}{2}$'
CHECKED = html.Checked(
    number="0123456789ab",
    command="bench verify a.evidence.json",
    digest="0123456789ab" + "0" * 52,
    file_digest="f" * 64,
    signers=("self SHA256:abc",),
    steps=((0, "read", "9 bytes, within limits"),),
)


class _Read(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(evidence: SystemEvidence, ranks: Sequence[Part]) -> str:
    return html.system(evidence, ranks, RULES, CHECKED)


def text_of(text: str) -> str:
    return " ".join(" ".join(_Read(text).text).split())


@pytest.fixture(scope="module")
def shown() -> str:
    return page(system(), parts())


def test_the_first_screen_says_what_a_reader_must_know(shown: str) -> None:
    first = text_of(shown.split("<nav")[0])
    for words in (
        "2 device(s) on 2 machine(s), measured at once",
        "threshold met",
        "180.0 TFLOPS bf16",
        "150.0 TFLOPS ± 0.7 %",
        "Assurance level A0",
        "Case number 115-採購-042",
        "who the other ranks are: rank 0 alone speaks for their keys",
    ):
        assert words in first


@pytest.mark.parametrize(
    "words",
    [
        "bf16 150.0 TFLOPS ± 0.7 % 156.0 TFLOPS 96.2 % rank 1: 70.00 TFLOPS 13.3 % 11.1 % (rank 0) 15.0 s",
        "fp32: no figure: a rank has no figure in this precision",
        "for comparison, never the figure",
        "rank 1 1 cpu GPU of rank 1",
        "111111111111",
        "+1.234567 s ± 12 µs",
        "Each rank's own figure, by its own report (95 %)",
        "bench verify a.evidence.json",
    ],
)
def test_the_page_holds(words: str, shown: str) -> None:
    assert words in text_of(shown)


def test_a_lost_rank_stands_above_everything_and_no_figure_is_drawn() -> None:
    lost, ranks = without_rank_1()
    verdict = replace(lost.verdict, thresholds=())
    shown = page(replace(lost, verdict=verdict), ranks)
    head = text_of(shown.split("<main")[0])
    assert "rank 1 on machine 1 (cpu) is missing: it gave no sign of life" in head
    assert "The run was interrupted" in head
    assert "There is no figure to draw." in text_of(shown)
    assert 'id="ranks-title"' not in shown


def test_nothing_of_a_file_is_markup() -> None:
    hostile = part(1)
    assert hostile.evidence is not None
    device = replace(hostile.evidence.devices[0], name=HOSTILE)
    ranks = (part(0), replace(hostile, evidence=replace(hostile.evidence, devices=(device,))))
    shown = page(system(members=(member(0), replace(member(1), device=HOSTILE))), ranks)
    assert not {"script", "img", "iframe", "form"} & {*_Read(shown).tags}
    assert not [name for name in _Read(shown).attributes if name.startswith("on")]
    assert "49" not in text_of(shown).split("evil")[1][:8]
    assert not {*"\x1b\u202e"} & {*shown}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_is_said_in_every_language(language: Language) -> None:
    with speaking(language):
        shown = text_of(page(system(), parts()))
    assert ("全部同時" in shown) == (language == "zh-TW")
    assert ("All at once" in shown) == (language == "en")


def test_the_chart_of_figures_draws_the_system_beside_what_is_declared_and_asked() -> None:
    (group,) = plot.groups(system(), RULES)
    assert group.title == "bf16"
    assert [bar.kind for bar in group.bars] == ["delivered", "declared", "threshold"]
    assert group.bars[0].value == 150e12


def test_the_chart_of_ranks_has_a_bar_for_each_of_them() -> None:
    (group,) = plot.shares(system())
    assert [bar.words for bar in group.bars] == ["rank 0: 80.00 TFLOPS", "rank 1: 70.00 TFLOPS"]
    svg = plot.ranks(system())
    assert svg is not None
    assert svg == plot.ranks(system())
    assert ElementTree.fromstring(svg).get("role") == "img"


def test_the_picture_of_the_figures_says_how_many_devices_it_is_about() -> None:
    svg = plot.figures_file(system(), RULES, "0123456789ab", "svg").decode()
    assert "2 device(s) on 2 machine(s), measured at once" in svg
