"""Graphs of several layers and several streams, on ONNX Runtime's own provider for processors.

Each form of its kernels against the right outputs, and what is said of where and as what its nodes ran.
"""

import platform
import re
from contextlib import closing
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from bench.devices.cpu import FAMILY
from bench.errors import CannotMeasure, NotAdmitted
from bench.terms import Check, ConvShape, Device, Form, GemmShape, Shape, Workload
from bench.workload import accuracy, opcount, operands, registry
from bench.workload.accuracy import Outputs, Place, Tally
from bench.workload.kernel import CPU_PROVIDER, Examined, Kernel, Prepared, ThroughProvider

SHAPES: dict[str, Shape] = {
    "gemm": GemmShape(m=24, n=64, k=64, depth=3, streams=2),
    "conv": ConvShape(
        batch=2, channels=16, filters=16, height=9, width=7, kernel=3, padding=1, depth=3, streams=2
    ),
}
FORMS = [
    (kernel, form)
    for kernel in registry.kernels().values()
    if kernel.backend == "onnxruntime"
    for form in kernel.forms
]
# What the provider for processors does not compute in integers, and says nothing about.
DEQUANTISED = "QDQ-s8s8"


def named(cases: list[tuple[Kernel, Form]]) -> list[str]:
    return [f"{kernel.name}-{form.precision}-{form.name}" for kernel, form in cases]


HERE = [case for case in FORMS if case[1].precision != "bf16" and case[1].operand_set != "int8-saturating"]
CHAINING = [case for case in HERE if case[1].chains]
each_form = pytest.mark.parametrize(("kernel", "form"), HERE, ids=named(HERE))
each_chain = pytest.mark.parametrize(("kernel", "form"), CHAINING, ids=named(CHAINING))


@pytest.fixture(scope="module")
def device() -> Device:
    (found,) = FAMILY.look().devices
    return found


@pytest.fixture(autouse=True)
def _without_saturation(request: pytest.FixtureRequest, device: Device) -> None:
    """Without integer dot products pairs of u8*s8 are added in 16 bits, and full-range ones are wrong."""
    form = request.node.callspec.params.get("form") if hasattr(request.node, "callspec") else None
    gemm = registry.kernel("ort_gemm")
    (saturating,) = [form for form in gemm.forms if form.operand_set == "int8-saturating"]
    if form is not None and form.a == "u8" and gemm.unavailable(saturating, device) is None:
        pytest.skip("this processor adds u8*s8 products in 16 bits")


def workload(kernel: Kernel, form: Form, **changes: int) -> Workload:
    return Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=form,
        shape=replace(SHAPES[kernel.operation], **changes),
        seed="c0ffee00" * 8,
    )


def examined(kernel: Kernel, row: Workload, device: Device) -> Examined:
    through = cast(ThroughProvider, kernel)
    return through.examine(row, device, threads=threads(device))


def threads(device: Device) -> int:
    usable = device.fact("threads-usable")
    return usable if isinstance(usable, int) else 1


def prepared(kernel: Kernel, row: Workload, device: Device, *, real: bool = False) -> closing[Prepared]:
    return closing(kernel.prepare(row, device, threads=threads(device), real=real))


def whole(row: Workload, index: int, *, real: bool) -> Place:
    rows, columns = opcount.implicit_gemm(row.shape)
    offset = operands.offsets(row)[index]
    return Place(offset=offset, real=real, rows=tuple(range(rows)), columns=tuple(range(columns)))


def launched(ready: Prepared, place: Place, index: int) -> np.ndarray:
    ready.launch(index, real=place.real)
    ready.finish()
    return ready.outputs(np.array(place.rows), np.array(place.columns))


def checked(kernel: Kernel, row: Workload, device: Device, *, real: bool, launches: int = 4) -> Check:
    """All outputs of all streams, held against the right ones."""
    total = Tally()
    with prepared(kernel, row, device, real=real) as ready:
        for index in range(launches):
            place = whole(row, index, real=real)
            total += accuracy.tally(row, Outputs(place=place, values=launched(ready, place, index)))
    return total.check()


# ------------------------------------------------------------------------------------------- the results


@each_form
@pytest.mark.parametrize("streams", [1, 2, 4])
def test_every_output_of_every_stream_of_a_layer_is_right(
    kernel: Kernel, form: Form, streams: int, device: Device
) -> None:
    row = workload(kernel, form, depth=1, streams=streams)
    check = checked(kernel, row, device, real=False)
    rows, columns = opcount.implicit_gemm(row.shape)
    assert check.compared == 4 * rows * columns
    assert accuracy.exact(check)


@each_chain
@pytest.mark.parametrize("depth", [2, 3])
def test_outputs_of_layers_on_one_another_err_as_the_form_does(
    kernel: Kernel, form: Form, depth: int, device: Device
) -> None:
    row = workload(kernel, form, depth=depth)
    check = checked(kernel, row, device, real=True)
    rows, columns = opcount.implicit_gemm(row.shape)
    assert check.real_compared == 4 * rows * columns
    assert accuracy.real_error_fits(row, check)


@each_chain
def test_a_layer_more_or_less_does_not_fit(kernel: Kernel, form: Form, device: Device) -> None:
    row, deeper = workload(kernel, form), workload(kernel, form, depth=4)
    with prepared(kernel, row, device) as ready:
        values = launched(ready, whole(row, 0, real=True), 0)
    seen = accuracy.tally(deeper, Outputs(place=whole(deeper, 0, real=True), values=values)).check()
    assert not accuracy.real_error_fits(deeper, seen)


@each_chain
def test_every_offset_of_a_deep_graph_is_launched_at(kernel: Kernel, form: Form, device: Device) -> None:
    row = workload(kernel, form)
    assert accuracy.real_error_fits(row, checked(kernel, row, device, real=True, launches=operands.OFFSETS))


@each_chain
def test_the_streams_of_a_deep_graph_give_other_outputs(kernel: Kernel, form: Form, device: Device) -> None:
    row = workload(kernel, form)
    with prepared(kernel, row, device) as ready:
        first, second = np.split(launched(ready, whole(row, 0, real=True), 0), 2)
    # Codes of 8 bits agree by chance on one output in some fifty.
    assert np.mean(first == second) < 0.1


# ------------------------------------------------------------------------------- where and as what they ran


# fp16 is cast to fp32 and back, and refused for that (tests/measure/test_admission.py).
FUSED = [case for case in HERE if case[1].name != DEQUANTISED and case[1].precision != "fp16"]
NOT_FUSED = [case for case in HERE if case[1].name == DEQUANTISED]
INTEGER = [case for case in FUSED if case[1].precision == "int8"]


@pytest.mark.parametrize(("kernel", "form"), FUSED, ids=named(FUSED))
def test_every_layer_is_placed_where_the_graph_was_sent(kernel: Kernel, form: Form, device: Device) -> None:
    depth = 3 if form.chains else 1
    found = examined(kernel, workload(kernel, form, depth=depth), device)
    assert [placed.node for placed in found.placements] == [f"heavy{layer}" for layer in range(depth)]
    assert {placed.provider for placed in found.placements} == {CPU_PROVIDER}
    assert re.fullmatch("[0-9a-f]{64}", found.graph)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors may have integers for it")
@pytest.mark.parametrize(("kernel", "form"), NOT_FUSED, ids=named(NOT_FUSED))
def test_a_form_that_is_dequantised_is_not_admitted(kernel: Kernel, form: Form, device: Device) -> None:
    row = workload(kernel, form)
    with pytest.raises(NotAdmitted, match=f"^{row.row}: {CPU_PROVIDER} did not fuse the form") as refused:
        examined(kernel, row, device)
    assert refused.value.code == "not-fused"


@pytest.mark.parametrize(("kernel", "form"), INTEGER, ids=named(INTEGER))
def test_an_int8_graph_runs_as_an_operator_of_integers(kernel: Kernel, form: Form, device: Device) -> None:
    row = workload(kernel, form, depth=3 if form.chains else 1)
    found = examined(kernel, row, device)
    assert {"QLinearConv", "QLinearMatMul", "MatMulInteger"} & {*found.fused}
    assert not {"Conv", "MatMul", "FusedConv"} & {*found.fused}


def test_the_digest_is_that_of_the_graph_and_of_its_weights(device: Device) -> None:
    kernel = registry.kernel("ort_conv")
    row = workload(kernel, kernel.forms[0])

    def digest(of: Workload) -> str:
        return examined(kernel, of, device).graph

    assert digest(row) == digest(row)
    others = [replace(row, seed="5eed" * 16), replace(row, shape=replace(row.shape, depth=2))]
    assert len({digest(row), *map(digest, others)}) == 3


@pytest.mark.parametrize("name", ["ort_gemm", "ort_conv"])
def test_bf16_is_refused_in_the_providers_words(name: str, device: Device) -> None:
    kernel = registry.kernel(name)
    (form,) = [form for form in kernel.forms if form.precision == "bf16"]
    for depth in (1, 3):
        with pytest.raises(CannotMeasure, match=r"onnxruntime refused: .*NOT_IMPLEMENTED.*heavy0"):
            prepared(kernel, workload(kernel, form, depth=depth), device)


@each_chain
def test_the_processors_session_for_comparing_runs_the_same_graph(
    kernel: Kernel, form: Form, device: Device
) -> None:
    row = workload(kernel, form)
    beside = cast(ThroughProvider, kernel)
    place = whole(row, 0, real=True)
    with (
        prepared(kernel, row, device) as ready,
        closing(beside.prepare_on_cpu(row, threads=threads(device))) as same,
    ):
        assert np.array_equal(launched(ready, place, 0), launched(same, place, 0))
