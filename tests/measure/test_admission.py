"""Rows through a real execution provider, the processor's own: what is admitted, and what is not."""

from dataclasses import replace

import pytest
from admitting import BUILD, GRAPHS, dequantised, folded, opened, row_of, told, unchecked

from bench.devices import ort
from bench.devices.family import select
from bench.errors import CannotMeasure
from bench.judge.admission import through
from bench.judge.rows import arithmetic
from bench.measure import admission
from bench.terms import ConvShape, Device, GemmShape, Pair, Shape, Workload
from bench.workload import opcount

GEMM = GemmShape(m=128, n=256, k=256, depth=4)
CONV = ConvShape(batch=1, channels=64, filters=64, height=14, width=14, kernel=3, padding=1, depth=4)


@pytest.fixture(scope="module")
def device() -> Device:
    (found,) = select(["ort:CPUExecutionProvider"], [ort.FAMILY.look()])
    return found


@pytest.mark.parametrize(
    ("kernel", "form", "shape", "operator"),
    [
        ("ort_gemm", "fp32/MatMul", GEMM, "MatMul"),
        ("ort_gemm", "int8/QDQ-u8s8", GEMM, "QLinearMatMul"),
        ("ort_gemm", "int8/QLinearMatMul-u8s8", GEMM, "QLinearMatMul"),
        ("ort_gemm", "int8/MatMulInteger-u8s8", GemmShape(m=128, n=256, k=256), "MatMulInteger"),
        ("ort_conv", "fp32/Conv", CONV, "Conv"),
        ("ort_conv", "int8/QDQ-u8s8", CONV, "QLinearConv"),
    ],
)
def test_an_honest_graph_is_admitted_with_its_nodes_and_operators(
    device: Device, kernel: str, form: str, shape: Shape, operator: str
) -> None:
    row = opened(row_of(device, kernel, form, shape))
    assert row.ended == "measuring", row.findings
    measurement = row.measurement()
    admitted = measurement.admission
    assert admitted is not None
    assert [(p.node, p.provider) for p in admitted.placements] == [
        (f"heavy{layer}", "CPUExecutionProvider") for layer in range(shape.depth)
    ]
    assert admitted.fused is not None
    assert operator in admitted.fused
    assert admitted.cpu_reason == "same-processor"
    assert arithmetic(measurement) == row.workload.precision
    assert "work-does-not-grow" not in told(row)


def test_an_int8_graph_that_the_provider_computes_in_floating_point_is_refused_by_that_name(
    device: Device,
) -> None:
    """The processor's provider has no integer kernel for s8 activations by s8 weights in a QDQ MatMul."""
    row = opened(row_of(device, "ort_gemm", "int8/QDQ-s8s8", GEMM))
    assert row.ended == "refused"
    (finding,) = row.findings
    assert (finding.code, finding.status) == ("not-fused", "info")
    assert "it runs MatMul on dequantised values" in str(finding.numbers["detail"])


def test_fp16_that_is_cast_to_fp32_and_back_is_refused(device: Device) -> None:
    row = opened(row_of(device, "ort_gemm", "fp16/MatMul", GemmShape(m=128, n=256, k=256)))
    assert (row.ended, row.findings[0].code) == ("refused", "cast-around")


def test_a_float_graph_sold_as_int8_is_refused(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRAPHS, "build", dequantised)
    row = opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM))
    assert (row.ended, row.findings[0].code) == ("refused", "not-fused")


def test_a_graph_on_constants_has_wrong_outputs(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRAPHS, "build", folded)
    row = opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM))
    assert row.ended == "wrong-outputs"
    assert told(row)["wrong-outputs"].status == "failure"


def test_a_graph_that_was_folded_away_is_not_placed_anywhere(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In floating point ONNX Runtime itself folds it: no node that counts is left."""
    monkeypatch.setattr(GRAPHS, "build", folded)
    row = opened(row_of(device, "ort_gemm", "fp32/MatMul", GEMM))
    assert (row.ended, row.findings[0].code) == ("refused", "placement-unknown")
    assert "tells where 0 of 4 nodes are" in str(row.findings[0].numbers["detail"])


def test_work_that_does_not_grow_with_depth_leaves_no_figure(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph whose layers are one, whatever was asked for: right outputs aside."""

    def shallow(workload: Workload, *, real: bool) -> bytes:
        return BUILD(replace(workload, shape=replace(workload.shape, depth=1)), real=real)

    unchecked(monkeypatch)
    row = row_of(device, "ort_gemm", "fp32/MatMul", GemmShape(m=128, n=256, k=256))
    monkeypatch.setattr(GRAPHS, "build", shallow)
    found = told(opened(row))
    assert found["work-does-not-grow"].status == "failure"


def test_an_accelerator_is_held_against_the_processor_on_the_same_bytes(device: Device) -> None:
    """A provider that says it is an NPU and computes on the processor is given away by its rate."""
    called_npu = replace(device, kind="npu")
    row = opened(row_of(called_npu, "ort_gemm", "fp32/MatMul", GEMM))
    measurement = row.measurement()
    assert measurement.admission is not None
    assert measurement.admission.cpu_reason is None
    assert len(measurement.admission.cpu_pairs) >= 5
    beside = through(measurement)
    assert beside is not None
    assert beside.cpu_ratio is not None
    assert ("as-fast-as-processor" in told(row)) == (abs(beside.cpu_ratio - 1) <= 0.2)


def test_a_form_that_the_provider_does_not_take_says_so_and_alarms_nobody(device: Device) -> None:
    row = opened(row_of(device, "ort_conv", "bf16/Conv", CONV))
    assert row.ended == "refused"
    assert row.findings[0].status == "info"
    assert "heavy0" in str(row.findings[0].numbers["detail"])


def test_a_device_without_room_for_deeper_graphs_is_compared_at_less(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph this small would be compared at many times its depth; here 16 layers are the most."""
    row = opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM))
    usual = row.measurement().admission
    assert usual is not None
    assert usual.times > 2
    depths: list[int] = []

    def room_for_16(workload: Workload, *, real: bool) -> bytes:
        depths.append(workload.shape.depth)
        if workload.shape.depth > 16:
            raise CannotMeasure("no room")
        return BUILD(workload, real=real)

    monkeypatch.setattr(GRAPHS, "build", room_for_16)
    small = opened(row_of(device, "ort_gemm", "int8/QDQ-u8s8", GEMM)).measurement().admission
    assert small is not None
    assert small.times == 2
    assert max(depths) > 16


def test_twice_the_work_is_twice_the_operations() -> None:
    for shape, form in ((GEMM, "fp32/MatMul"), (GemmShape(m=8, n=16, k=16), "int8/MatMulInteger-u8s8")):
        device = Device(selector="ort:X", family="ort", kind="npu", name="x", vendor=None, facts=())
        workload = row_of(device, "ort_gemm", form, shape).workload
        for times in (1, 2, 8):
            deeper = admission.deepened(workload, times)
            assert opcount.ops(deeper.shape) == times * opcount.ops(shape)


def test_growth_goes_by_the_least_times_without_the_dispatch() -> None:
    pairs = (Pair(usual_ns=1100, other_ns=9000), Pair(usual_ns=5000, other_ns=2100))
    assert admission.growth((100, 700), pairs) == 2.0
    assert admission.growth((1100,), (Pair(usual_ns=1100, other_ns=1100),)) == 1.0
