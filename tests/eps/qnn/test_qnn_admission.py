"""Qualcomm's simulator behind its provider: admitted as what it is, counted for nothing."""

import json

from admitting import opened, row_of
from program import Program

from bench.judge.rows import arithmetic
from bench.terms import ConvShape, Device, GemmShape

CONV = ConvShape(batch=1, channels=32, filters=32, height=8, width=8, kernel=3, padding=1, depth=2)


def test_a_stack_of_convolutions_is_placed_and_computed_in_integers(device: Device) -> None:
    row = opened(row_of(device, "ort_conv", "int8/QDQ-u8s8", CONV))
    assert row.ended == "measuring", row.findings
    measurement = row.measurement()
    assert measurement.admission is not None
    assert {p.provider for p in measurement.admission.placements} == {"QNNExecutionProvider"}
    assert arithmetic(measurement) == "int8"


def test_an_operator_that_it_does_not_take_is_refused_with_the_nodes_name(device: Device) -> None:
    row = opened(row_of(device, "ort_gemm", "int8/MatMulInteger-u8s8", GemmShape(m=32, n=32, k=32)))
    assert (row.ended, row.findings[0].code) == ("refused", "not-placed")
    assert "does not take heavy0 (MatMulInteger)" in str(row.findings[0].numbers["detail"])


def test_the_simulator_comes_out_as_a_host_simulator_and_no_npu(bench: Program) -> None:
    said = bench(
        *("run", "--quick", "--device", "ort:QNNExecutionProvider", "--precision", "int8", "-o", "run.json"),
    )
    assert said.code == 0, said.err
    shown = " ".join(said.out.split())
    assert "host simulator, not an NPU" in shown
    assert "a host simulator, not an NPU: its rate is the host's" in shown
    assert bench("verify", "run.json").code == 0
    figures = json.loads(bench("show", "--json", "run.json").out)["figures"]
    assert [(figure["precision"], figure["row"], figure["reason"]) for figure in figures] == [
        ("int8", None, "host-simulator")
    ]
