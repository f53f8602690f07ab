"""The report as a reader of a terminal meets it: 80 columns, intervals beside figures, inert strings."""

import fcntl
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from judge_cases import case
from program import Made, environment
from rich.cells import cell_len
from rich.console import Console
from scripted_device import FP32, telemetry

from bench.evidence import statement
from bench.judge import catalog
from bench.judge.claims import parse_claim
from bench.judge.conclusion import conclude, observed_in
from bench.judge.verdict import judge
from bench.report import sentences, text, typed
from bench.report.language import LANGUAGES, Language, speaking
from bench.terms import (
    Check,
    Claim,
    Declaration,
    Device,
    Evidence,
    Finding,
    GemmShape,
    Measurement,
    Sample,
    Verdict,
    Visit,
    Workload,
)
from bench.units import TERA, format_rate
from bench.workload import opcount

NUMBER = "0123456789ab"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b1m\u202e[bold]\nforged"


@pytest.fixture(scope="module")
def evidence(made: Made) -> Evidence:
    return statement.parse(made.payload)


def told(evidence: Evidence, width: int = 80) -> str:
    """The report on a console of that width that does no styling."""
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False, color_system=None)
    text.report(console, evidence, catalog.rules(evidence.rules.name), NUMBER)
    return out.getvalue()


def words(report: str) -> str:
    """The report without its line ends, for what may be wrapped."""
    return " ".join(report.split())


def concluded(evidence: Evidence) -> Evidence:
    """The evidence with what follows from it."""
    found = conclude(observed_in(evidence), catalog.rules(evidence.rules.name))
    return replace(
        evidence,
        delivered=found.delivered,
        figures=found.figures,
        conditions=found.conditions,
        verdict=found.verdict,
    )


@pytest.mark.parametrize("width", [80, 100, 160])
def test_no_line_is_longer_than_the_console(evidence: Evidence, width: int) -> None:
    claim = Claim(precision="fp32", ops_per_s=48e12, density="dense", engines=())
    lines = told(concluded(replace(evidence, claims=(claim,))), width).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_no_cell_is_cut_at_80_columns(evidence: Evidence) -> None:
    claim = Claim(precision="fp32", ops_per_s=48e12, density="dense", engines=())
    report = told(concluded(replace(evidence, claims=(claim,))))
    assert "…" not in report
    assert "..." not in report


def test_every_figure_is_printed_with_its_interval(evidence: Evidence) -> None:
    report = words(told(evidence, 160))
    measured = [row for row in evidence.delivered if row.estimate]
    assert measured
    for row in measured:
        assert row.estimate is not None
        shown = text.with_interval(row.estimate)
        assert format_rate(row.estimate.value, row.estimate.unit) in shown
        assert re.search(r" ± \S+ %$| \(.+ to .+\)$", shown)
        assert shown in report


def test_the_interval_is_the_half_width_as_a_share_of_the_value(evidence: Evidence) -> None:
    estimate = next(row.estimate for row in evidence.delivered if row.estimate)
    estimate = replace(estimate, value=40e12, low=39e12, high=41e12, unit="TFLOPS")
    assert text.with_interval(estimate) == "40.00 TFLOPS ± 2.5 %"


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (35.84e9, 0.0, 122.87e9, "35.84 GFLOPS (0 to 122.9 GFLOPS)"),
        (40e9, 0.0, 80e9, "40.00 GFLOPS (0 to 80.00 GFLOPS)"),
        (40e9, 38e9, 43e9, "40.00 GFLOPS (38.00 GFLOPS to 43.00 GFLOPS)"),
        (40e9, 38e9, 42.3e9, "40.00 GFLOPS ± 5.4 %"),
    ],
)
def test_an_interval_whose_sides_differ_is_told_by_its_ends(
    evidence: Evidence, value: float, low: float, high: float, shown: str
) -> None:
    estimate = next(row.estimate for row in evidence.delivered if row.estimate)
    estimate = replace(estimate, value=value, low=low, high=high, unit="TFLOPS")
    assert text.with_interval(estimate) == shown


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("a.evidence.json", "a.evidence.json"),
        ("a b.json", "'a b.json'"),
        ("x;reboot.json", "'x;reboot.json'"),
        ("$(id)`id`.json", "'$(id)`id`.json'"),
        ("it's.json", "'it'\"'\"'s.json'"),
        ("--trust=x", "./--trust=x"),
        ("-o a", "'./-o a'"),
    ],
)
def test_a_files_name_is_typed_as_one_word_that_is_no_option(name: str, word: str) -> None:
    assert typed.typed_name(name) == word
    assert shlex.split(word)[0].removeprefix("./") == name


def test_the_command_that_verifies_names_what_was_given_and_nothing_else() -> None:
    given = {"--challenge": "c d.json", "--trust": None, "--rules": "-r.toml"}
    assert (
        typed.typed_verify("a.json", given) == "bench verify a.json --challenge 'c d.json' --rules ./-r.toml"
    )


def test_the_mark_beside_a_figures_row_says_how_it_was_chosen(evidence: Evidence) -> None:
    assert "of the rows that count, the one whose interval's lower end is highest" in words(told(evidence))


def test_every_row_is_in_the_table_and_the_devices_figures_are_marked(evidence: Evidence) -> None:
    lines = told(evidence, 160).splitlines()
    best = {figure.row for figure in evidence.figures}
    assert None not in best
    for row in evidence.delivered:
        kernel, precision, form = row.row.split("/", 2)
        mark = " *" if row.row in best else ""
        assert any(line.startswith(f"{precision}  {kernel} {form}{mark} ") for line in lines), row.row


def test_a_quick_report_says_smoke_test_and_gives_no_positive_word(evidence: Evidence) -> None:
    report = told(evidence)
    assert report.splitlines()[0].startswith(f"Report {NUMBER} · {evidence.created} · smoke test: it decides")
    assert "smoke test, decides nothing" in report
    assert "threshold-met" not in report
    assert "borne-out" not in report


def test_the_words_of_the_verdict_are_those_of_the_file(evidence: Evidence) -> None:
    measured = concluded(replace(evidence, mode="default"))
    report = words(told(measured, 160))
    assert "smoke" not in report
    assert "Tiers of tw-ai-hardware-2024, decided by the declared figure" in report
    assert measured.verdict.thresholds
    for row in measured.verdict.thresholds:
        assert f"{row.tier} ({row.device}) " in report
        for word in (row.declared_word, row.delivered_word, row.headline):
            assert word in report
    assert "threshold-not-met" in report
    assert "consultation 2024; check the regulation in force" in report
    assert "eligible" not in report


def test_a_declared_figure_stands_beside_the_delivered_one(evidence: Evidence) -> None:
    claim = Claim(precision="fp32", ops_per_s=1e15, density="dense", engines=())
    measured = concluded(replace(evidence, mode="default", claims=(claim,)))
    (row,) = measured.verdict.declared
    report = words(told(measured, 160))
    assert "1.000 PFLOPS (typed)" in report
    assert row.word in report
    assert "nobody" in report or "no sourced measurement" in report
    assert "stated-only" in report


def test_every_finding_is_told_in_words_with_its_subject(evidence: Evidence) -> None:
    findings = evidence.verdict.findings
    assert findings
    report = words(told(evidence))
    for code in {found.code for found in findings}:
        same = [found for found in findings if found.code == code]
        told_each = same if len(same) <= 2 else same[:1]
        for found in told_each:
            assert words(f"{found.subject}: {sentences.finding(found)}") in report
        # Of many rows with one finding the others are named.
        if len(told_each) < len(same):
            assert f"likewise ({len(same) - 1}): {', '.join(f.subject for f in same[1:])}" in report


def test_what_the_report_does_not_show_is_printed(evidence: Evidence) -> None:
    report = told(evidence)
    assert "Assurance A0: an accountable statement, not a proof. It does not show" in report
    for code in evidence.does_not_show:
        assert f"- {sentences.DOES_NOT_SHOW[code]}\n" in report


def test_an_interrupted_run_says_so_and_its_rows_say_why_they_do_not_count(evidence: Evidence) -> None:
    rows = tuple(replace(row, visits=row.visits[:2], ended="interrupted") for row in evidence.measurements)
    report = told(concluded(replace(evidence, interrupted=True, measurements=rows)))
    assert "decides nothing, interrupted" in words(report)
    assert "(a) not counted: fewer than five visits" in report
    assert " *" not in report.split("* the device's")[0]


def test_a_row_that_failed_has_no_figure_and_refers_to_the_findings(evidence: Evidence) -> None:
    # A convolution whose outputs are not exact may be a fast algorithm; a GEMM is wrong.
    first = next(row for row in evidence.measurements if row.workload.operation == "gemm")
    others = [row for row in evidence.measurements if row is not first]
    assert first.before is not None
    failed = replace(first, before=replace(first.before, wrong=1), visits=())
    report = words(told(concluded(replace(evidence, measurements=(failed, *others))), 160))
    assert "no figure" in report
    assert "not counted: see the findings" in report
    assert f"✗ {failed.workload.row}: 1 of {first.before.compared} outputs were wrong before timing" in report


def test_a_failure_beside_a_tier_is_told_in_words_too(evidence: Evidence) -> None:
    failed = tuple(
        replace(row, before=replace(row.before, wrong=1) if row.before else None)
        for row in evidence.measurements
    )
    report = words(told(concluded(replace(evidence, measurements=failed)), 160))
    assert "wrong-outputs" not in report
    assert "] see the findings" in report


def test_hostile_strings_are_shown_as_inert_text(evidence: Evidence) -> None:
    selector = f"cpu{ESCAPES}"
    device = replace(evidence.devices[0], name=f"CPU {ESCAPES}", selector=selector)
    finding = Finding(subject=ESCAPES, status="warning", code=ESCAPES, numbers={ESCAPES: ESCAPES})
    rows = tuple(
        replace(row, workload=replace(row.workload, device=selector), findings=(finding,))
        for row in evidence.measurements
    )
    claim = Claim(precision="fp32", ops_per_s=1e12, density="unstated", engines=(ESCAPES,))
    forged = concluded(
        replace(
            evidence,
            devices=(device,),
            measurements=rows,
            claims=(claim,),
            does_not_show=(*evidence.does_not_show, ESCAPES),
        )
    )
    report = told(forged, 200)
    assert {c for c in report if not c.isprintable()} == {"\n"}
    assert not any(line.startswith("forged") for line in report.splitlines())
    # Brackets are text, not markup.
    assert "CPU [bold] forged" in report


# -------------------------------------------------------------------------------- the rule's own example

H100 = Device(
    selector="cuda:0", family="cuda", kind="gpu", name="NVIDIA H100 PCIe", vendor="NVIDIA", facts=()
)
# Rates of five visits in TFLOPS: mean 38.2, standard deviation 0.242, half-width 2.776 * 0.242 / sqrt(5).
VISITS = (37.894, 38.047, 38.2, 38.353, 38.506)


def measured(rates: tuple[float, ...], device: Device = H100, size: int = 4096) -> Measurement:
    """A row of right outputs and right arithmetic whose visits ran at `rates` TFLOPS."""
    workload = Workload(
        device=device.selector,
        kernel="torch_gemm",
        backend="torch",
        operation="gemm",
        form=FP32,
        shape=GemmShape(m=size, n=size, k=size),
        seed="5c" * 16,
    )
    cost = opcount.cost(workload.shape, FP32)
    right = Check(launches=4, compared=256, wrong=0, off_by_one=0, real_compared=256, real_error_ppm=0.5)

    def sample(rate: float, number: int) -> Sample:
        host_ns = round(10 * cost.ops / rate / TERA * 1e9)
        return Sample(
            start_ns=number * 10**9,
            host_ns=host_ns,
            raw_ns=host_ns,
            cpu_ns=host_ns,
            launches=10,
            real=int(number == 3),
        )

    visits = tuple(
        Visit(
            settle=(),
            settle_ended="settled",
            samples=tuple(sample(rate, number) for number in range(8)),
            device_ns=(),
            clocks_hz=(),
            ended="window-full",
        )
        for rate in rates
    )
    return Measurement(
        workload=workload,
        cost=cost,
        tried=(),
        before=right,
        probe=right,
        admission=None,
        visits=visits,
        held=None,
        timed=right,
        ended="narrow-enough",
        findings=(),
    )


def example(evidence: Evidence, *rows: Measurement, devices: tuple[Device, ...] = (H100,)) -> Evidence:
    """What the real judge makes of scripted measurements, in the frame of a real report."""
    scripted = replace(
        evidence,
        mode="default",
        devices=devices,
        measurements=rows,
        memory=(),
        diagnostics=(),
        telemetry=telemetry(),
        claims=(),
    )
    return concluded(scripted)


def headlines(verdict: Verdict) -> dict[str, str]:
    found = {}
    for row in verdict.thresholds:
        (about,) = [b for b in verdict.declared if b.declared == row.declared] or [None]
        words = text.headline(row, about)
        assert (words is None) == (row.declared is None)
        if words is not None:
            found[row.tier] = words
    return found


def test_the_rules_own_example_reads_as_the_design_has_it(evidence: Evidence) -> None:
    verdict = example(evidence, measured(VISITS)).verdict
    assert headlines(verdict)["inference-server"] == (
        "declared 48 TFLOPS fp32 ≥ 45: threshold met; delivered 38.2 ± 0.3 (0.80 of declared, "
        "reference 0.74 to 0.82): borne out; delivered alone: threshold not met"
    )
    assert headlines(verdict)["training-server"].startswith(
        "declared 48 TFLOPS fp32 < 180: threshold not met; delivered 38.2 ± 0.3 (0.80 of declared, "
    )


def test_the_headline_is_printed_below_the_table_of_tiers(evidence: Evidence) -> None:
    shown = example(evidence, measured(VISITS))
    report = words(told(shown, 160))
    assert f"inference-server (cuda:0): {headlines(shown.verdict)['inference-server']}" in report


def test_a_declared_figure_that_nobody_re_read_is_marked_in_both_tables(evidence: Evidence) -> None:
    report = words(told(example(evidence, measured(VISITS)), 160))
    assert "48.00 TFLOPS (not re-read): threshold-met" in report
    assert "cuda:0 fp32 48.00 TFLOPS (not re-read) 38.20 TFLOPS ± 0.8 %" in report
    assert "51.00 TFLOPS 38.20 TFLOPS" in report


def test_a_headline_gives_its_reason_where_there_is_no_answer(evidence: Evidence) -> None:
    words_of = headlines(example(evidence, measured(VISITS[:2])).verdict)["inference-server"]
    assert words_of == (
        "declared 48 TFLOPS fp32 ≥ 45: threshold met; delivered nothing: inconclusive (fewer than five "
        "visits); delivered alone: inconclusive (fewer than five visits)"
    )


def test_a_headline_about_a_typed_claim_says_whose_word_it_is(evidence: Evidence) -> None:
    claim = Claim(precision="fp32", ops_per_s=1e15, density="dense", engines=())
    unknown = replace(H100, name="Nobody's Accelerator 9000")
    shown = example(evidence, measured(VISITS), devices=(unknown,))
    shown = concluded(replace(shown, claims=(claim,)))
    assert headlines(shown.verdict)["inference-server"] == (
        "declared 1000 TFLOPS fp32 ≥ 45: stated only (typed, no source was read); delivered 38.2 ± 0.3 "
        "(0.04 of declared, reference none): no reference (no sourced measurement of this device is known); "
        "delivered alone: threshold not met"
    )


def test_a_headline_about_a_claim_that_is_not_comparable_says_what_would_be(evidence: Evidence) -> None:
    claim = Claim(precision="fp32", ops_per_s=1e15, density="sparse", engines=())
    unknown = replace(H100, name="Nobody's Accelerator 9000")
    shown = example(evidence, measured(VISITS), devices=(unknown,))
    shown = concluded(replace(shown, claims=(claim,)))
    assert headlines(shown.verdict)["inference-server"] == (
        "declared 1000 TFLOPS fp32 ≥ 45: stated only (typed, no source was read); delivered 38.2 ± 0.3: not "
        "comparable (counts sparse operations; dense ones are measured); comparable would be: the dense "
        "figure of the GPU alone, in fp32; delivered alone: threshold not met"
    )


@pytest.mark.parametrize(
    ("claimed", "why", "would_be"),
    [
        ("int4=10TOPS,dense,npu", "a format that is not compared here", "NPU alone, in int8"),
        ("unstated=10TOPS,dense,npu", "source does not say in which precision", "NPU alone, in int8"),
        ("int8=10TOPS,sparse,npu", "counts sparse operations; dense ones are measured", "NPU alone, in int8"),
        (
            "int8=34TOPS,dense,gpu+npu",
            "adds up several engines; one device was measured",
            "NPU alone, in int8",
        ),
        ("fp16=9TFLOPS,dense,gpu", "names another kind of engine than this device", "NPU alone, in fp16"),
    ],
)
def test_a_claim_that_is_not_comparable_is_told_with_why_and_what_would_be(
    evidence: Evidence, claimed: str, why: str, would_be: str
) -> None:
    npu = replace(H100, name="Some NPU", kind="npu")
    shown = example(evidence, measured(VISITS), devices=(npu,))
    report = words(told(concluded(replace(shown, claims=(parse_claim(claimed),))), 160))
    assert f"not-comparable ({why})" in report
    assert f"comparable would be: the dense figure of the {would_be}" in report


def test_what_would_be_comparable_is_told_once_for_all_figures_of_a_device(evidence: Evidence) -> None:
    lines = told(example(evidence, measured(VISITS)), 160).splitlines()
    (line,) = (line for line in lines if line.startswith("comparable would be"))
    assert line.endswith("the dense figure of the GPU alone, in fp64, tf32, bf16, fp16, fp8_e4m3, int8")


def test_nothing_is_said_of_what_would_be_comparable_where_all_figures_are(evidence: Evidence) -> None:
    unknown = replace(H100, name="Nobody's Accelerator 9000")
    shown = example(evidence, measured(VISITS), devices=(unknown,))
    report = told(concluded(replace(shown, claims=(parse_claim("fp32=48TFLOPS,dense"),))))
    assert "comparable would be" not in report


def test_a_third_hand_figure_above_its_architecture_is_noted_in_words_that_do_not_accuse() -> None:
    board = next(spec for spec in catalog.specs() if spec.id == "a311d")
    npu = replace(H100, name="Some NPU", kind="npu")
    verdict = judge(case(npu, specs={npu.selector: board}))
    note = next(sentences.finding(one) for one in verdict.findings if one.code.startswith("architecture"))
    assert note.startswith(
        "A note without a verdict (verified = false): 768 multiply-adds a cycle × 0.8 GHz × 2 would be "
        "1.229 Top/s (data sheet p. 99 as quoted"
    )
    assert "declared are 5 Top/s (Paddle-Lite" in note
    assert note.endswith("and they may be about different parts or clocks.")
    # Whole within what a report shows of a finding.
    assert len(note) < 600
    assert not re.search(r"contradict|refute|false claim|wrong|mislead|exaggerat", note, re.I)


@pytest.mark.parametrize(
    ("low", "value", "high", "shown"),
    [
        (37.9, 38.2, 38.5, "38.2 ± 0.3"),
        (0.28, 0.33, 0.38, "0.33 ± 0.05"),
        (0.32, 0.325, 0.33, "0.325 ± 0.005"),
        (900.0, 1000.0, 1100.0, "1000 ± 100"),
        (45.0, 45.0, 45.0, "45.00 ± 0.00"),
    ],
)
def test_the_half_width_has_one_digit_and_the_value_as_many_places(
    evidence: Evidence, low: float, value: float, high: float, shown: str
) -> None:
    estimate = next(row.estimate for row in evidence.delivered if row.estimate)
    scaled = replace(estimate, low=low * TERA, value=value * TERA, high=high * TERA)
    assert text._tera(scaled) == shown


def test_two_devices_with_a_row_of_one_name_keep_their_shapes_and_marks(evidence: Evidence) -> None:
    second = replace(H100, selector="cuda:1")
    rows = (measured(VISITS), measured(VISITS[:2], second, size=2048))
    report = told(example(evidence, *rows, devices=(H100, second)), 160)
    first, other = (line.split() for line in report.splitlines() if " torch_gemm mm" in line)
    assert first[3] == "*"
    assert first[-1] == "4096×4096×4096"
    assert other[3] == "(a)"
    assert other[-1] == "2048×2048×2048"


@pytest.mark.parametrize(
    ("precision", "shown"),
    [
        ("fp32", "5.000 TFLOPS"),
        ("fp4", "5.000 TFLOPS"),
        ("int8", "5.000 TOPS"),
        ("int4", "5.000 TOPS"),
        ("unstated", "5.000 TOPS"),
    ],
)
def test_a_declared_rate_is_counted_in_the_precisions_unit(precision: str, shown: str) -> None:
    declared = Declaration(
        precision=precision,
        ops_per_s=5e12,
        density="dense",
        engines=(),
        source="a data sheet",
        date=None,
        provenance="S1",
        verified=True,
        contradicted_by=None,
        remark=None,
    )
    assert text.declared_rate(declared) == shown


# ------------------------------------------------------------------------------- the verdict at the top


def verdict_block(report: str) -> list[str]:
    """From the verdict's heading to the empty line below it."""
    lines = report.splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("Verdict on "))
    return lines[first : lines.index("", first)]


def test_the_verdict_stands_above_all_tables_with_both_figures_and_a_bar(evidence: Evidence) -> None:
    report = told(example(evidence, measured(VISITS)))
    assert report.index("Verdict on ") < report.index("asked kernel")
    assert verdict_block(report)[:7] == [
        "Verdict on tw-ai-hardware-2024, by the declared figure",
        "✗ threshold not met: training-server, 180.0 TFLOPS fp32",
        "  declared 48.00 TFLOPS (not re-read), delivered 38.20 TFLOPS ± 0.8 %",
        "  ▕██████████▍··◆···································|▏ 0 to 180.0 TFLOPS",
        "✓ threshold met: inference-server, 45.00 TFLOPS fp32",
        "  declared 48.00 TFLOPS (not re-read), delivered 38.20 TFLOPS ± 0.8 %",
        "  ▕███████████████████████████████████████·······|··◆▏ 0 to 48.00 TFLOPS",
    ]
    assert verdict_block(report)[-1] == "bars: █ delivered, ◆ declared, | threshold"


def test_an_answer_that_is_left_open_says_why_at_the_top(evidence: Evidence) -> None:
    unknown = replace(H100, name="Nobody's Accelerator 9000")
    block = verdict_block(told(example(evidence, measured(VISITS), devices=(unknown,))))
    why = "? inconclusive (no profile matches this device)"
    assert f"{why}: inference-server, 45.00 TFLOPS fp32" in words("\n".join(block))
    assert "  declared none, delivered 38.20 TFLOPS ± 0.8 %" in block


def test_of_several_devices_each_answer_names_its_own(evidence: Evidence) -> None:
    second = replace(H100, selector="cuda:1")
    rows = (measured(VISITS), measured(VISITS, second))
    block = verdict_block(told(example(evidence, *rows, devices=(H100, second))))
    for selector in ("cuda:0", "cuda:1"):
        assert f"inference-server ({selector}), 45.00 TFLOPS fp32" in words("\n".join(block))


def test_every_answer_has_a_weight_that_is_not_a_guess() -> None:
    weights = {word: sentences.weight(word) for word in sentences.ANSWERS}
    assert {word for word, weight in weights.items() if weight == "good"} == {
        *("threshold-met", "borne-out", "met"),
    }
    for word in ("inconclusive", "smoke-test", "stated-only", "no-reference"):
        assert weights[word] == "open"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_verdict_and_every_line_fit_80_columns_in_both_languages(
    evidence: Evidence, language: Language
) -> None:
    second = replace(H100, selector="cuda:1")
    shown = example(evidence, measured(VISITS), measured(VISITS, second), devices=(H100, second))
    with speaking(language):
        lines = told(shown).splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert "…" not in "".join(lines)


# ------------------------------------------------------------------------------------ at a terminal


@pytest.fixture(scope="module")
def counted(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real count of a small model, whose file has a name that is wider than the terminal."""
    folder = tmp_path_factory.mktemp("counted")
    tensor = {"dtype": "F32", "shape": [8, 8], "data_offsets": [0, 256]}
    header = f'{{"model.layers.0.mlp.down_proj.weight":{tensor}}}'.replace("'", '"').encode()
    model = folder / f"{'模型' * 25}-{'long' * 10}.safetensors"
    model.write_bytes(struct.pack("<Q", len(header)) + header + bytes(range(256)))
    file = folder / "counted.evidence.json"
    said = made.bench("params", model, "--claim", "params=1B", "-o", file)
    assert said.code == 0, said.err
    return file


def on_a_terminal(made: Made, file: Path, **env: str) -> str:
    """What `bench show` writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = (sys.executable, "-m", "bench", "show", file)
    with subprocess.Popen(
        command,
        env=environment(made.bench.home, **{"TERM": "xterm-256color", **env}),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = b""
        while more := _read(ours):
            written += more
    os.close(ours)
    assert process.returncode == 0, written
    return written.decode(env.get("PYTHONIOENCODING", "utf-8")).replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """The next bytes; none when the program that wrote them has ended, which Linux tells as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def file_of(kind: str, made: Made, counted: Path) -> Path:
    return made.file if kind == "made" else counted


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["made", "counted"])
@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_a_terminal_of_80_columns_without_colour_gets_no_escape_codes(
    made: Made, counted: Path, kind: str, language: Language, plain: dict[str, str]
) -> None:
    shown = on_a_terminal(made, file_of(kind, made, counted), BENCH_LANG=language, **plain)
    assert "\x1b" not in shown
    assert max(map(cell_len, shown.splitlines())) <= 80
    # The rule's own quotes leave something out; nothing else is cut.
    quotes = [item.quote_zh for item in catalog.rules("tw-ai-hardware-2024").items]
    assert shown.count("…") == (0 if kind == "made" else sum(quote.count("…") for quote in quotes))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["made", "counted"])
def test_a_terminal_gets_colour_and_the_same_words_as_without(
    made: Made, counted: Path, kind: str, language: Language
) -> None:
    file = file_of(kind, made, counted)
    shown = on_a_terminal(made, file, BENCH_LANG=language)
    assert "\x1b[1m" in shown
    if kind == "made":
        assert re.search(r"\x1b\[1;3[123]m[✓✗?] ", shown)
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == on_a_terminal(
        made, file, BENCH_LANG=language, NO_COLOR="1"
    )


def test_a_terminal_without_block_characters_gets_bars_of_ascii(made: Made) -> None:
    shown = on_a_terminal(made, made.file, PYTHONIOENCODING="ascii", NO_COLOR="1")
    bars = [line for line in shown.splitlines() if re.fullmatch(r"  \[[#.o|]{50}\] 0 to .*", line)]
    assert len(bars) == shown.count("declared none, delivered ") > 0
    assert "bars: # delivered, o declared, | threshold" in shown
    assert all(line.isascii() for line in shown.splitlines())


def test_no_name_of_an_item_is_broken_at_80_columns(made: Made, counted: Path) -> None:
    shown = on_a_terminal(made, counted, NO_COLOR="1").splitlines()
    for item in catalog.rules("tw-ai-hardware-2024").items:
        assert any(line.startswith(f"{item.id} ") for line in shown)


def test_what_is_piped_is_wide_and_plain(made: Made) -> None:
    said = made.bench("show", made.file)
    assert "\x1b" not in said.out
    assert "Verdict on tw-ai-hardware-2024" in said.out
    assert max(map(cell_len, said.out.splitlines())) > 80
