"""The page about a real run in a real browser: no request, no error, no sideways scrolling, whole on A4."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from program import Made, Program

from bench.evidence import keys, statement
from bench.evidence.envelope import PAYLOAD_TYPE, sign, to_json
from bench.evidence.strict_json import to_bytes

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE = Path(__file__).resolve().parent
AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
# Nothing of the browser's own may ask anybody anything.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CASE = """
number = "115-採購-042"
site = "臺北市"
[buyer]
name = "某醫院"
"""
LANGUAGES = ("en", "zh-TW")
# Inside A4's margins, in CSS pixels of 96 to an inch.
A4_INSIDE_PX = round((210 - 28) / 25.4 * 96)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A page in the browser, and what it said and asked for."""

    page: "Page"
    said: list[str]
    asked: list[str]


def missing(reason: str) -> Any:
    """Skip, or fail where everything must be there."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.fixture(scope="session")
def browser(needs_program: Callable[[str, str], str]) -> "Iterator[Browser]":
    path = needs_program("chromium", "chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install 'compute-evidence[test]'")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        yield started
        started.close()


@pytest.fixture(scope="session")
def axe() -> str:
    if not AXE.exists():
        missing(f"axe-core is not installed: npm ci --prefix {HERE}")
    return AXE.read_text("utf-8")


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    kept = os.environ.get("BENCH_TEST_ARTEFACTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("artefacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One real measurement, no smoke test, with a claim and a case."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "case.toml").write_text(CASE, "utf-8")
    program = Program(home=folder / "home", folder=folder)
    file = folder / "run.evidence.json"
    said = program(
        *("run", "--time", "5s", "--precision", "fp32", "--claim", "fp32=1TFLOPS"),
        *("--case", "case.toml", "-o", file),
    )
    assert said.code == 0, said.err
    return Made(file=file, bench=program, said=said)


@pytest.fixture(scope="session")
def pages(measured: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page in both languages."""
    folder = tmp_path_factory.mktemp("pages")
    made = {language: folder / f"{language}.html" for language in LANGUAGES}
    for language, path in made.items():
        said = measured.bench("--lang", language, "report", measured.file, "-o", path)
        assert said.code == 0, said.err
    return made


@pytest.fixture
def opened(browser: "Browser") -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_page(path: Path, width: int = 1440, scheme: Any = "light") -> Opened:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=False
        )
        contexts.append(context)
        page = context.new_page()
        found = Opened(page=page, said=[], asked=[])
        page.on("console", lambda message: found.said.append(message.text))
        page.on("pageerror", lambda error: found.said.append(str(error)))
        page.on("request", lambda request: found.asked.append(request.url))
        page.goto(path.as_uri())
        return found

    yield open_page
    for context in contexts:
        context.close()


def text_of(page: "Page") -> str:
    return " ".join(page.inner_text("body").split())


def sideways(page: "Page") -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1440, "light")])
def test_the_page_asks_nobody_and_fits(
    language: str,
    width: int,
    scheme: str,
    pages: dict[str, Path],
    opened: Callable[..., Opened],
    artefacts: Path,
) -> None:
    shown = opened(pages[language], width, scheme)
    shown.page.screenshot(path=artefacts / f"report-{language}-{width}-{scheme}.png", full_page=True)
    assert shown.said == []
    assert [url for url in shown.asked if not url.startswith("data:")] == [pages[language].as_uri()]
    assert sideways(shown.page) <= 0
    assert shown.page.get_attribute("html", "lang") == ("en" if language == "en" else "zh-Hant-TW")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_chart_is_there_with_text_in_the_pages_font(
    language: str, pages: dict[str, Path], opened: Callable[..., Opened]
) -> None:
    page = opened(pages[language]).page
    charts = page.locator("figure.chart svg")
    assert charts.count() == 4
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) > 100
        assert chart.locator("text").count() > 3
        body = page.evaluate("getComputedStyle(document.body).fontFamily")
        assert chart.locator("text").first.evaluate("it => getComputedStyle(it).fontFamily") == body
        inside = chart.evaluate(
            "svg => { const room = svg.getBoundingClientRect(); return [...svg.querySelectorAll('text')]"
            ".every(it => { const r = it.getBoundingClientRect();"
            " return r.left >= room.left - 1 && r.right <= room.right + 1 }) }"
        )
        assert inside, f"text of a chart is cut: {chart.text_content()}"
    assert page.locator("figure.qr svg").count() == 1


def test_charts_are_dark_where_the_page_is(pages: dict[str, Path], opened: Callable[..., Opened]) -> None:
    fills = [
        opened(pages["en"], scheme=scheme)
        .page.locator("figure.chart text")
        .first.evaluate("it => getComputedStyle(it).fill")
        for scheme in ("light", "dark")
    ]
    assert fills == ["rgb(27, 30, 35)", "rgb(233, 236, 239)"]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("width", "scheme"), [(375, "light"), (1440, "dark")])
def test_axe_finds_no_serious_violation(
    language: str, width: int, scheme: str, pages: dict[str, Path], axe: str, opened: Callable[..., Opened]
) -> None:
    assert serious(opened(pages[language], width, scheme).page, axe) == []


def serious(page: "Page", axe: str) -> list[str]:
    """What axe-core finds that is serious or critical."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"], "nothing was looked at"
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_what_scrolls_sideways_is_reached_by_keyboard(
    pages: dict[str, Path], opened: Callable[..., Opened]
) -> None:
    page = opened(pages["en"], 375).page
    wide = page.evaluate(
        "[...document.querySelectorAll('*')].filter(it => it.scrollWidth > it.clientWidth + 1"
        " && getComputedStyle(it).overflowX === 'auto').map(it => it.tabIndex)"
    )
    assert wide
    assert set(wide) == {0}


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_paper_nothing_is_cut_and_each_page_has_the_reports_number(
    language: str,
    pages: dict[str, Path],
    measured: Made,
    opened: Callable[..., Opened],
    artefacts: Path,
    needs_program: Callable[[str, str], str],
) -> None:
    page = opened(pages[language]).page
    paper = artefacts / f"report-{language}.pdf"
    page.pdf(path=paper, prefer_css_page_size=True)
    program = needs_program("pdftotext", "poppler-utils")
    read = Program(home=artefacts, folder=artefacts)(paper, "-", launcher=(program, "-raw"))
    sheets = ["".join(sheet.split()) for sheet in read.out.split("\f")[:-1]]
    number = measured.bench("show", "--json", measured.file).json["report"]
    assert len(sheets) > 2
    for index, sheet in enumerate(sheets, 1):
        # The foot may be read before or after what stands above it.
        foot = re.findall(rf"{number}·\S{{2,4}}115-採購-042", sheet)
        assert foot, sheet[-200:]
        assert f"{index}/{len(sheets)}" in sheet
    printed = "".join(sheets)
    for row in page.locator("tbody th").all_inner_texts():
        assert "".join(row.split()) in printed
    # As wide as the paper lets it be, no table is wider.
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_INSIDE_PX, "height": 900})
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('table, svg, pre')]"
        ".map(it => it.getBoundingClientRect().right))"
    )
    assert widest <= A4_INSIDE_PX
    assert sideways(page) <= 0


def test_on_paper_no_word_of_an_answer_is_broken(
    pages: dict[str, Path], opened: Callable[..., Opened]
) -> None:
    page = opened(pages["en"]).page
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_INSIDE_PX, "height": 900})
    looked_at, broken = page.evaluate(
        """() => {
            let words = 0
            const broken = []
            for (const it of document.querySelectorAll('.answers .card, td.answer, th.answer')) {
                const walk = document.createTreeWalker(it, NodeFilter.SHOW_TEXT)
                while (walk.nextNode()) for (const word of walk.currentNode.data.matchAll(/[\\w.]+/g)) {
                    const range = document.createRange()
                    range.setStart(walk.currentNode, word.index)
                    range.setEnd(walk.currentNode, word.index + word[0].length)
                    words += 1
                    if (range.getClientRects().length > 1) broken.push(word[0])
                }
                if (it.scrollWidth > it.clientWidth + 1) broken.push('cut: ' + it.textContent)
            }
            return [words, broken]
        }"""
    )
    assert looked_at > 20
    assert broken == []


def test_the_page_is_small_enough_to_send(pages: dict[str, Path]) -> None:
    assert all(path.stat().st_size <= 1_500_000 for path in pages.values())


def test_a_smoke_test_and_an_invalid_file_are_shown_as_such(
    made: Made, tmp_path: Path, axe: str, opened: Callable[..., Opened], artefacts: Path
) -> None:
    cut = tmp_path / "cut.evidence.json"
    cut.write_bytes(made.file.read_bytes()[:-9])
    for file, code, words in (
        (made.file, 0, "This was a smoke test"),
        (cut, 4, "This file is not valid evidence"),
    ):
        page = tmp_path / f"{code}.html"
        assert made.bench("report", file, "-o", page).code == code
        shown = opened(page, 375)
        shown.page.screenshot(path=artefacts / f"report-{code}.png", full_page=True)
        assert words in text_of(shown.page)
        assert shown.said == []
        assert sideways(shown.page) <= 0
        red = shown.page.locator(".alarm").first.evaluate("it => getComputedStyle(it).borderTopColor")
        assert red == "rgb(179, 18, 29)"
        assert serious(shown.page, axe) == []


def test_hostile_strings_of_a_signed_file_are_inert_text(
    made: Made, tmp_path: Path, opened: Callable[..., Opened]
) -> None:
    hostile = (
        "<script>document.title='owned'</script>"
        "<img src=http://localhost:9/ onerror=\"document.title='owned'\">"
        "\u202egnp.exe\x1b]0;owned\x07 </style></title>" + "W" * 10_240
    )
    forged = json.loads(made.payload)
    forged["predicate"]["devices"][0]["name"] = hostile
    forged["predicate"]["system"][0]["value"] = hostile
    forged["predicate"]["harness"]["version"] = hostile
    subjects = statement.subjects(forged["predicate"])
    forged["subject"] = [{"name": s.name, "digest": {"sha256": s.digest.sha256}} for s in subjects]
    file = tmp_path / "hostile.evidence.json"
    file.write_bytes(to_json(sign(to_bytes(forged), PAYLOAD_TYPE, [keys.load(made.bench.home / "key")])))
    said = made.bench("report", file, "-o", tmp_path / "hostile.html")
    assert said.code == 0, said.err
    shown = opened(tmp_path / "hostile.html", 375)
    assert shown.page.title().startswith("Report ")
    assert "<script>document.title=" in text_of(shown.page)
    assert shown.page.locator("script, img").count() == 0
    assert [url for url in shown.asked if not url.startswith("data:")] == [shown.page.url]
    assert shown.said == []
    assert sideways(shown.page) <= 0
    assert "\u202e" not in shown.page.content()
