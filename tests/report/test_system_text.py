"""The report about a system in a terminal: what all did at once, each rank's part, what is missing."""

import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console
from system_cases import cut_off, figure, member, no_figure, part, parts, system, without_rank_1

from bench.judge import catalog
from bench.report import sentences
from bench.report import system as report
from bench.report.language import LANGUAGES, Language, speaking
from bench.report.parts import Part
from bench.terms import Fact, Finding, SystemEvidence

NUMBER = "0123456789ab"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e[bold]\nforged"


def told(evidence: SystemEvidence, ranks: Sequence[Part], width: int = 80) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    report.report(console, evidence, ranks, catalog.rules(evidence.rules.name), NUMBER)
    return out.getvalue()


def words(text: str) -> str:
    """Without line ends, for what may be wrapped."""
    return " ".join(text.split())


def test_the_heading_says_how_many_devices_on_how_many_machines() -> None:
    head = told(system(), parts()).split("\n\n")[0]
    assert f"Report {NUMBER}" in head
    assert "2 device(s) on 2 machine(s), measured at once" in head
    assert "1 × GPU of rank 1" in head


def test_devices_of_one_name_are_told_once_with_their_number() -> None:
    assert "2 × A 處理器" in told(system(), (part(0), replace(part(0), rank=1)))


def test_the_figure_stands_beside_the_sum_which_is_said_to_be_none() -> None:
    shown = words(told(system(), parts()))
    assert "bf16 150.0 TFLOPS ± 0.7 % 156.0 TFLOPS 96.2 % 15.0 s" in shown
    assert "for comparison, never the figure" in shown


def test_the_slowest_rank_the_spread_and_the_loss_against_running_alone_are_told() -> None:
    assert "bf16 rank 1 70.00 TFLOPS 13.3 % 11.1 % (rank 0)" in words(told(system(), parts()))


def test_a_loss_that_was_not_measured_is_not_told_as_nothing() -> None:
    whole = figure()
    unknown = replace(whole, loss=None, shares=tuple(replace(s, alone=None) for s in whole.shares))
    assert "13.3 % not measured" in words(told(system(figures=(unknown,)), parts()))


def test_precisions_without_a_figure_share_a_line_with_their_reason() -> None:
    figures = (figure(), *(no_figure(name, "no-common-window") for name in ("fp32", "fp16")))
    assert "fp32, fp16: no figure: the ranks share no window" in told(system(figures=figures), parts())


def test_each_rank_has_its_report_its_key_and_its_clocks_distance() -> None:
    first, second = told(system(), parts()).split("rank 1 on machine 1: cpu: GPU of rank 1")
    assert "report 000000000000" in first
    assert f"key SHA256:{'k' * 43}" in first
    assert "clock +" not in first
    assert "report 111111111111" in second
    assert "clock +1.234567 s ± 12 µs" in second
    assert "of several the shortest counts" in words(second)


def test_a_gpu_is_told_apart_by_its_uuid_and_its_size() -> None:
    of_gpu = part(1)
    assert of_gpu.evidence is not None
    facts = (Fact(name="uuid", value="GPU-1234", source="NVML"), Fact(name="sm-count", value=132, source="t"))
    device = replace(of_gpu.evidence.devices[0], facts=facts)
    shown = told(system(), (part(0), replace(of_gpu, evidence=replace(of_gpu.evidence, devices=(device,)))))
    assert "132 SMs" in shown
    assert "  GPU-1234\n" in shown


def test_a_rank_that_was_lost_is_named_with_its_machine_and_why() -> None:
    shown = told(*without_rank_1())
    assert "measurement, interrupted" in shown
    assert "rank 1 on machine 1 (cpu) is missing: it gave no sign of life" in shown
    assert "  none: it gave no sign of life" in shown
    assert "bf16, fp32: no figure: a rank's part is missing" in shown
    assert "150.0 TFLOPS ± 0.7 % 156.0" not in words(shown)


def test_a_rank_that_was_cut_off_is_named_and_what_it_left_is_shown() -> None:
    shown = told(cut_off(), parts())
    assert "rank 1 on machine 1 (cpu) was cut off: it gave no sign of life" in shown
    assert "is missing: it" not in shown
    assert "  cut off: it gave no sign of life" in shown
    assert "report 111111111111" in shown


def test_a_rank_without_a_key_or_an_exchange_is_shown_all_the_same() -> None:
    bare = replace(part(1, there=False), fingerprint=None, offset_ns=None, uncertainty_ns=None)
    lost, ranks = without_rank_1()
    nothing = replace(lost, members=(member(0), replace(lost.members[1], key="")))
    assert "rank 1 on machine 1" in told(nothing, (ranks[0], bare))


def test_each_ranks_own_figures_stand_below_each_other() -> None:
    own = told(system(), parts()).split("Each rank's own figure")[1]
    assert words(own).startswith(", by its own report (95 %) rank fp32 0 2.000 TFLOPS ± 5.0 % 1 2.000 TFLOPS")


def test_the_answer_is_about_the_system() -> None:
    shown = words(told(system(), parts()))
    assert "threshold met: training-server, 180.0 TFLOPS bf16" in shown
    assert "training-server (system): declared 200 TFLOPS bf16 ≥ 180: threshold met" in shown
    assert "system: The declared figure is the sum of 2 devices' data sheets" in shown
    assert "who the other ranks are: rank 0 alone speaks for their keys" in shown


def test_a_finding_about_a_rank_says_in_words_why_its_part_is_missing() -> None:
    numbers = {"node": 1, "why": "report-not-received"}
    finding = Finding(subject="rank 1", status="failure", code="rank-missing", numbers=numbers)
    verdict = replace(system().verdict, findings=(finding,))
    shown = words(told(system(verdict=verdict), parts()))
    assert "rank 1: Its part is missing, on machine 1: its report did not arrive." in shown


def test_names_of_a_file_cannot_steer_the_terminal() -> None:
    hostile = part(1)
    assert hostile.evidence is not None
    device = replace(hostile.evidence.devices[0], name=ESCAPES)
    ranks = (part(0), replace(hostile, evidence=replace(hostile.evidence, devices=(device,))))
    members = (member(0), replace(member(1), device=ESCAPES))
    shown = told(system(members=members), ranks)
    assert not {*"\x1b\x07\x9b\u202e"} & {*shown}
    assert "\nforged" not in shown


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_longer_than_the_console_and_no_cell_is_cut(width: int, language: Language) -> None:
    figures = tuple(replace(figure(), precision=name) for name in ("fp64", "fp32", "bf16", "fp16", "int8"))
    with speaking(language):
        for evidence, ranks in ((system(figures=figures), parts()), without_rank_1()):
            shown = told(evidence, ranks, width)
            assert max(map(cell_len, shown.splitlines())) <= width
            assert "…" not in shown


def test_many_precisions_are_told_in_tables_that_fit() -> None:
    def with_all(rank: int) -> Part:
        found = part(rank)
        assert found.evidence is not None
        one = found.evidence.figures[0]
        figures = tuple(replace(one, precision=name) for name in ("fp64", "fp32", "bf16", "fp16", "int8"))
        return replace(found, evidence=replace(found.evidence, figures=figures))

    own = told(system(), (with_all(0), with_all(1))).split("Each rank's own figure")[1].split("Tiers of")[0]
    assert own.count("± 5.0 %") == 10
    assert own.count("rank ") == 2


def test_every_reason_of_a_system_is_said_in_chinese_too() -> None:
    codes = ("rank-missing", "no-common-window", "rank-lost", "report-not-received")
    english = [sentences.reason(code) for code in codes]
    with speaking("zh-TW"):
        chinese = [sentences.reason(code) for code in codes]
    assert not {*english} & {*chinese, *codes}
