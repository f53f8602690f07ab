"""OpenVINO's provider, for real: what it is admitted with, and what it is caught at."""

import json

import pytest
from admitting import GRAPHS, dequantised, folded, opened, row_of, told, unchecked, with_a_stranger
from program import Program

from bench.devices import ort
from bench.judge.rows import arithmetic
from bench.measure import stats
from bench.terms import ConvShape, Device, GemmShape, Shape

GEMM = GemmShape(m=128, n=256, k=256, depth=4)
CONV = ConvShape(batch=1, channels=64, filters=64, height=14, width=14, kernel=3, padding=1, depth=4)
PROVIDER = "OpenVINOExecutionProvider"


@pytest.mark.parametrize(
    ("kernel", "form", "shape"),
    [
        ("ort_gemm", "fp32/MatMul", GEMM),
        ("ort_gemm", "int8/QDQ-u8s8", GEMM),
        ("ort_gemm", "int8/QDQ-s8s8", GEMM),
        ("ort_conv", "fp32/Conv", CONV),
        ("ort_conv", "int8/QDQ-s8s8", CONV),
    ],
)
def test_an_honest_graph_is_admitted_with_all_its_nodes(
    device: Device, kernel: str, form: str, shape: Shape
) -> None:
    row = opened(row_of(device, kernel, form, shape))
    assert row.ended == "measuring", row.findings
    measurement = row.measurement()
    admitted = measurement.admission
    assert admitted is not None
    assert {placed.provider for placed in admitted.placements} == {PROVIDER}
    assert {placed.node for placed in admitted.placements} == {f"heavy{n}" for n in range(shape.depth)}
    assert admitted.fused is None
    assert admitted.cpu_reason == "same-processor"
    assert arithmetic(measurement) == row.workload.precision
    assert "work-does-not-grow" not in told(row)


def test_an_operator_that_it_does_not_take_is_refused_with_the_nodes_name(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GRAPHS, "build", with_a_stranger("Det"))
    row = opened(row_of(device, "ort_gemm", "fp32/MatMul", GemmShape(m=256, n=256, k=256)))
    assert (row.ended, row.findings[0].code) == ("refused", "not-placed")
    assert "does not take stranger (Det)" in str(row.findings[0].numbers["detail"])


def test_a_form_that_it_does_not_take_is_refused_with_the_nodes_name(device: Device) -> None:
    row = opened(row_of(device, "ort_gemm", "int8/QLinearMatMul-u8s8", GEMM))
    assert (row.ended, row.findings[0].code) == ("refused", "not-placed")
    assert "does not take heavy0 (QLinearMatMul)" in str(row.findings[0].numbers["detail"])


def test_constant_operands_have_wrong_outputs(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRAPHS, "build", folded)
    assert opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM)).ended == "wrong-outputs"


def test_constant_operands_that_its_compiler_folds_away_do_not_grow(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if every output were right."""
    unchecked(monkeypatch)
    monkeypatch.setattr(GRAPHS, "build", folded)
    found = told(opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM)))
    assert found["work-does-not-grow"].status == "failure"


@pytest.mark.parametrize("form", ["int8/QDQ-u8s8", "int8/QDQ-s8s8"])
def test_a_float_graph_sold_as_int8_is_named(
    device: Device, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(GRAPHS, "build", dequantised)
    row = opened(row_of(device, "ort_gemm", form, GEMM))
    assert arithmetic(row.measurement()) == "floating-point"
    assert told(row)["arithmetic-differs"].numbers == {"asked": "int8", "measured": "floating-point"}


def test_an_int8_graph_that_it_computes_in_floating_point_is_named(device: Device) -> None:
    """OpenVINO has no integer kernel for MatMulInteger on a processor: it converts and multiplies."""
    row = opened(row_of(device, "ort_gemm", "int8/MatMulInteger-u8s8", GemmShape(m=128, n=256, k=256)))
    assert arithmetic(row.measurement()) == "floating-point"


def test_a_bf16_hint_under_an_fp32_graph_is_named(device: Device) -> None:
    flags = str(device.fact("instruction-sets")).split()
    if not {"avx512_bf16", "amx_bf16"} & {*flags}:
        pytest.skip("this processor has no bf16 instructions, and OpenVINO passes the hint over")
    hint = json.dumps({"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}})
    (hinted,) = ort.with_options([device], [f"load_config={hint}"])
    row = opened(row_of(hinted, "ort_gemm", "fp32/MatMul", GEMM))
    assert row.ended == "wrong-outputs"
    assert told(row)["arithmetic-differs"].numbers == {"asked": "fp32", "measured": "bf16"}


def test_a_run_on_it_is_signed_verified_and_shown(bench: Program) -> None:
    said = bench(
        *("run", "--quick", "--device", f"ort:{PROVIDER}", "--precision", "fp32", "-o", "run.json"),
    )
    assert said.code == 0, said.err
    assert "inconclusive" in said.out
    assert bench("verify", "run.json").code == 0
    assert f"ort:{PROVIDER}:CPU:0" in bench("show", "run.json").out


def test_a_row_on_it_is_held_under_load_and_that_window_is_the_figure(bench: Program) -> None:
    said = bench(
        *("run", "--device", f"ort:{PROVIDER}", "--precision", "int8", "--time", "5s", "--sustain", "10s"),
        *("-o", "held.json"),
    )
    assert said.code == 0, said.err
    assert bench("verify", "held.json").code == 0
    (figure,) = json.loads(bench("show", "--json", "held.json").out)["figures"]
    assert figure["estimate"]["method"] == stats.METHOD_HELD
