"""Charts of a real run: SVG whose text stays text, the same bytes each time, nothing of a file as markup."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal
from xml.etree import ElementTree

import pytest
from program import Made

from bench.evidence import statement
from bench.judge import catalog
from bench.report import plot
from bench.report.page import render
from bench.terms import Declaration, Evidence, Level, Provenance, Reading, Roof, Sensor

SVG = "{http://www.w3.org/2000/svg}"


def figures(evidence: Evidence) -> str | None:
    return plot.figures(evidence, catalog.rules(evidence.rules.name))


CHARTS = (figures, plot.roofline, plot.over_time, plot.shapes)


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    """A real smoke test, with the memory's bandwidth, which those do not measure."""
    found = statement.parse(made.payload)
    assert isinstance(found, Evidence)
    return replace(
        found,
        delivered=tuple(
            replace(row, roof=Roof(intensity=80.0, bandwidth=2e10, ops_per_s=1.6e12, bound="memory"))
            for row in found.delivered
        ),
    )


def words(svg: str) -> list[str]:
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_a_chart_has_text_a_title_and_a_description(
    chart: Callable[[Evidence], str | None], evidence: Evidence
) -> None:
    svg = chart(evidence)
    assert svg is not None
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    named = [root.find(f".//*[@id='{name}']") for name in str(root.get("aria-labelledby")).split()]
    assert [one.tag for one in named if one is not None] == [f"{SVG}title", f"{SVG}desc"]
    assert all(one is not None and one.text for one in named)
    assert len(words(svg)) > 3
    assert not list(root.iter(f"{SVG}image"))
    assert not list(root.iter(f"{SVG}style"))


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)
def test_the_same_evidence_gives_the_same_bytes(
    chart: Callable[[Evidence], str | None], evidence: Evidence
) -> None:
    assert chart(evidence) == chart(evidence)


def test_charts_of_one_page_share_no_id(evidence: Evidence) -> None:
    ids = [name for chart in CHARTS for name in re.findall(r' id="([^"]+)"', chart(evidence) or "")]
    assert len(ids) == len(set(ids))


def test_what_a_chart_refers_to_is_in_it(evidence: Evidence) -> None:
    for chart in CHARTS:
        svg = chart(evidence) or ""
        wanted = re.findall(r'(?:url\(|href=")#([^)"]+)', svg)
        assert set(wanted) <= set(re.findall(r' id="([^"]+)"', svg))


def test_every_colour_is_the_pages(evidence: Evidence) -> None:
    for chart in CHARTS:
        svg = chart(evidence) or ""
        assert set(re.findall(r"#[0-9a-fA-F]{6}", svg)) == set()
        assert set(re.findall(r"var\(--([a-z]+)\)", svg)) <= set(plot.COLOURS)


def test_the_charts_colours_are_those_of_the_pages_variables() -> None:
    refused = {"file": "", "command": "", "step": 0, "name": "", "error": "", "steps": ()}
    page = render("invalid.html.j2", refused=refused)
    light, dark = re.findall(r":root \{([^}]*)\}", page)[:2]
    for colours, block in ((plot.COLOURS, light), (plot.DARK, dark)):
        assert {name: re.search(rf"--{name}: (#\w+);", block)[1] for name in colours} == colours  # type: ignore[index]


def test_the_bars_say_figure_and_threshold_in_words(evidence: Evidence) -> None:
    said = words(figures(evidence) or "")
    told = r"delivered: [0-9.]+ \w+ (± [0-9.]+ %|\([0-9.]+( \w+)? to [0-9.]+ \w+\))"
    assert any(re.fullmatch(told, text) for text in said)
    assert "threshold of training-server: 180.0 TFLOPS" in said
    assert {"fp32", "int8"} <= set(said)


def declaring(evidence: Evidence, provenance: Provenance) -> Evidence:
    """The evidence with one declared rate of that origin beside its tiers."""
    declared = Declaration(
        precision="fp32",
        ops_per_s=48e12,
        density="dense",
        engines=(),
        source="somebody",
        date=None,
        provenance=provenance,
        verified=provenance != "stated",
        contradicted_by=None,
        remark=None,
    )
    thresholds = tuple(
        replace(row, declared=declared if row.precision == "fp32" else None)
        for row in evidence.verdict.thresholds
    )
    return replace(evidence, verdict=replace(evidence.verdict, thresholds=thresholds, declared=()))


def outlined(svg: str) -> int:
    """How many bars of the declared figures' colour are not filled."""
    styles = re.findall(r'style="([^"]*)"', svg)
    return sum("stroke: var(--declared)" in style and "fill: none" in style for style in styles)


def test_a_typed_claim_is_named_so_and_drawn_hollow(evidence: Evidence) -> None:
    typed = figures(declaring(evidence, "stated")) or ""
    assert "declared: 48.00 TFLOPS (typed)" in words(typed)
    told = ElementTree.fromstring(typed).find(f"{SVG}desc")
    assert told is not None
    assert "declared: 48.00 TFLOPS (typed)" in str(told.text)
    assert outlined(typed) == 1
    sourced = figures(declaring(evidence, "V")) or ""
    assert "declared: 48.00 TFLOPS" in words(sourced)
    assert outlined(sourced) == 0


@pytest.mark.parametrize(
    ("mode", "interrupted", "words_of_it"),
    [
        ("quick", False, "smoke test: it decides nothing"),
        ("default", False, "measurement"),
        ("default", True, "measurement, interrupted"),
    ],
)
def test_the_chart_alone_says_what_its_report_is_worth(
    mode: Literal["default", "quick"], interrupted: bool, words_of_it: str, evidence: Evidence
) -> None:
    rules = catalog.rules(evidence.rules.name)
    alone = replace(evidence, mode=mode, interrupted=interrupted)
    said = words(plot.figures_file(alone, rules, "0123456789ab", "svg").decode())
    assert words_of_it in said
    assert f"Assurance {evidence.assurance}: " in " ".join(said)
    assert f"Rule set {rules.id}: {rules.status}" in " ".join(said)


def test_a_sensors_name_is_text_and_no_markup_or_mathematics(evidence: Evidence) -> None:
    hostile = r"$\frac{a}{b}$ <script>alert(1)</script>"
    readings = tuple(
        Reading(at_ns=10**9 * second, busy_us=second, own_us=second, steal_us=0) for second in range(900)
    )
    sensor = Sensor(
        name=hostile,
        unit="mdegC",
        source="/sys",
        every=1,
        levels=tuple(Level(value=40_000 + index) for index in range(900)),
        reason=None,
    )
    telemetry = replace(evidence.telemetry, readings=readings, sensors=(sensor,))
    svg = plot.over_time(replace(evidence, telemetry=telemetry)) or ""
    assert "<script" not in svg
    assert any(text.startswith(r"$\frac{a}{b}$ <script>") for text in words(svg))
    assert "Temperature, °C: 40 to 40.9." in svg


def test_power_is_the_growth_of_a_counter_of_energy(evidence: Evidence) -> None:
    readings = tuple(
        Reading(at_ns=10**9 * second, busy_us=second, own_us=second, steal_us=0) for second in range(20)
    )
    levels = tuple(Level(value=75_000_000 * second) for second in range(20))
    sensor = Sensor(name="energy", unit="uJ", source="/sys", every=1, levels=levels, reason=None)
    telemetry = replace(evidence.telemetry, readings=readings, sensors=(sensor,), meter=None)
    assert "Power, W: 75 to 75." in (plot.over_time(replace(evidence, telemetry=telemetry)) or "")


def test_a_long_run_is_drawn_with_a_few_hundred_points(evidence: Evidence) -> None:
    readings = tuple(
        Reading(at_ns=10**8 * index, busy_us=index, own_us=index, steal_us=0) for index in range(40_000)
    )
    telemetry = replace(evidence.telemetry, readings=readings)
    assert len(plot.over_time(replace(evidence, telemetry=telemetry)) or "") < 200_000


def test_without_figures_nothing_is_drawn(evidence: Evidence) -> None:
    verdict = replace(evidence.verdict, thresholds=(), declared=())
    nothing = replace(evidence, figures=(), verdict=verdict, measurements=(), delivered=())
    assert figures(nothing) is None
    assert plot.roofline(nothing) is None
    assert plot.shapes(nothing) is None


def test_the_chart_alone_is_a_file_with_its_number_and_its_own_colours(evidence: Evidence) -> None:
    svg = plot.figures_file(evidence, catalog.rules(evidence.rules.name), "0123456789ab", "svg")
    root = ElementTree.fromstring(svg)
    assert any("Report 0123456789ab" in text for text in words(svg.decode()))
    style = root.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme:dark" in str(style.text)


def test_the_picture_is_a_png_and_the_same_each_time(evidence: Evidence) -> None:
    picture = plot.figures_file(evidence, catalog.rules(evidence.rules.name), "0123456789ab", "png")
    assert picture.startswith(b"\x89PNG\r\n")
    assert picture == plot.figures_file(evidence, catalog.rules(evidence.rules.name), "0123456789ab", "png")
