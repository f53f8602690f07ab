"""Runs on an external runner, each with its input rotated: what is right for them, and which are audited."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from math import prod
from pathlib import Path

import numpy as np
import pytest
from program import TOP

from bench.devices import cpu, runner
from bench.errors import NotAdmitted
from bench.terms import ConvShape, Device, GemmShape, Shape, Workload
from bench.workload import accuracy, opcount, operands, registry, sampling
from bench.workload.accuracy import Outputs, Place
from bench.workload.kernel import Prepared

# Kernels import one another relatively, and nobody else names them (tests/test_layers.py).
GRAPHS, ORT = (import_module(f"bench.kernels.{name}") for name in ("_ort_graph", "_ort"))

IMAGE = {"channels": 8, "filters": 8, "height": 6, "width": 5}
CASES: tuple[tuple[str, str, Shape], ...] = (
    ("ort_gemm", "fp32/MatMul", GemmShape(m=6, n=5, k=7)),
    ("ort_gemm", "fp32/MatMul", GemmShape(m=6, n=6, k=6, depth=3)),
    ("ort_gemm", "int8/QDQ-s8s8", GemmShape(m=16, n=16, k=16, depth=2)),
    ("ort_gemm", "int8/MatMulInteger-s8s8", GemmShape(m=6, n=5, k=7)),
    ("ort_conv", "fp32/Conv", ConvShape(batch=2, kernel=3, padding=1, **IMAGE)),
    ("ort_conv", "int8/QLinearConv-s8s8", ConvShape(batch=1, kernel=3, padding=0, **IMAGE)),
    ("ort_conv", "int8/QLinearConv-s8s8", ConvShape(batch=2, kernel=3, padding=1, depth=3, **IMAGE)),
    ("ort_conv", "fp32/Conv", ConvShape(batch=3, kernel=1, padding=0, depth=2, **IMAGE)),
)
IDS = [f"{form}-{shape.depth}" for _, form, shape in CASES]


def workload(kernel: str, form: str, shape: Shape) -> Workload:
    found = registry.kernel(kernel)
    return Workload(
        device="runner",
        kernel=kernel,
        backend=found.backend,
        operation=found.operation,
        form=next(each for each in found.forms if f"{each.precision}/{each.name}" == form),
        shape=shape,
        seed="5eed" * 16,
    )


def everywhere(row: Workload, *, real: bool, index: int, rotation: int) -> Place:
    height, width = opcount.implicit_gemm(row.shape)
    return Place(
        offset=operands.offsets(row)[index],
        real=real,
        rows=tuple(range(height)),
        columns=tuple(range(width)),
        rotation=rotation,
    )


def right(row: Workload, place: Place, values: np.ndarray) -> bool:
    check = accuracy.tally(row, Outputs(place=place, values=values)).check()
    return accuracy.real_error_fits(row, check) if place.real else accuracy.exact(check)


# ---------------------------------------------------------------------------------- rotated operands


@pytest.mark.parametrize(("kernel", "form", "shape"), CASES, ids=IDS)
def test_the_right_outputs_of_a_rotated_input_are_those_of_the_graph(
    kernel: str, form: str, shape: Shape
) -> None:
    import onnxruntime

    row = workload(kernel, form, shape)
    for real in {operands.has_reals(row), operands.is_deep(row)}:
        # The kernels' own: all sessions of a process share one pool of threads, once there is one.
        options = ORT.session_options(cpu.threads_here())
        session = onnxruntime.InferenceSession(
            GRAPHS.build(row, real=real), options, providers=["CPUExecutionProvider"]
        )
        x = ORT.inputs(row, real=real)[1]
        last = x.size - 1
        for rotation in (0, 1, x.shape[-1], x.shape[-1] * 4 + 3, last):
            rotated = np.roll(x.reshape(-1), -rotation).reshape(x.shape)
            (out,) = session.run(None, {GRAPHS.INPUT: rotated})
            place = everywhere(row, real=real, index=1, rotation=rotation)
            values = ORT.at_places(row, out, np.array(place.rows), np.array(place.columns))
            assert right(row, place, values), rotation
        unrotated = everywhere(row, real=real, index=1, rotation=0)
        assert not right(row, unrotated, values)


# ------------------------------------------------------------------------------------------- requests

WRAPPED = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(TOP / "examples")!r})
import onnxruntime_runner as reference
log = Path(__file__).with_name("log")
plain_run = reference.Graph.run
def run(self, order, rotations):
    with log.open("a") as file:
        file.write(json.dumps([order, rotations]) + chr(10))
    return plain_run(self, order, rotations)
reference.Graph.run = run
"""
SERVING = """
reference.serve(reference.Runner("CPUExecutionProvider"))
"""
# Each run of an input gets what the input itself gives.
NOT_ROTATED = """
plain_once = reference.Graph.run_once
reference.Graph.run_once = lambda self, index, rotation: plain_once(self, index, 0)
"""


@contextmanager
def on_a_runner(folder: Path, row: Workload, *, real: bool, text: str = "") -> Iterator[Prepared]:
    script = folder / "their_runner.py"
    script.write_text(WRAPPED + text + SERVING, "utf-8")
    with runner.connected_to(shlex.join([sys.executable, str(script)])):
        (device,) = runner.FAMILY.look().devices
        assert isinstance(device, Device)
        prepared = registry.kernel(row.kernel).prepare(row, device, threads=1, real=real)
        with closing(prepared):
            yield prepared


def request(prepared: Prepared, launches: int, *, real: bool) -> None:
    for index in range(launches):
        prepared.launch(index, real=real)
    prepared.finish()


def asked(folder: Path) -> list[tuple[list[int], list[int]]]:
    return [tuple(json.loads(line)) for line in (folder / "log").read_text().splitlines()]


def test_all_runs_but_those_of_the_last_launch_are_rotated_each_by_its_own(tmp_path: Path) -> None:
    row = workload("ort_gemm", "int8/MatMulInteger-s8s8", GemmShape(m=64, n=64, k=64, streams=2))
    with on_a_runner(tmp_path, row, real=False) as prepared:
        for _ in range(2):
            request(prepared, 8, real=False)
    (order, first), (_, second) = asked(tmp_path)
    assert order == [*range(16)]
    assert first[-2:] == second[-2:] == [0, 0]
    rotated = [*first[:-2], *second[:-2]]
    assert len({*rotated}) > 20
    assert all(0 <= rotation < prod((64, 64)) for rotation in rotated)


@pytest.mark.parametrize(
    ("kernel", "form", "shape"),
    [
        ("ort_gemm", "fp32/MatMul", GemmShape(m=32, n=32, k=32, streams=2)),
        ("ort_conv", "int8/QLinearConv-s8s8", ConvShape(batch=2, kernel=3, padding=1, **IMAGE)),
        ("ort_conv", "fp32/Conv", ConvShape(batch=2, kernel=3, padding=1, depth=2, streams=2, **IMAGE)),
    ],
    ids=["streams", "images", "deep"],
)
def test_right_runs_pass_every_audit(tmp_path: Path, kernel: str, form: str, shape: Shape) -> None:
    row = workload(kernel, form, shape)
    real = operands.has_reals(row)
    with on_a_runner(tmp_path, row, real=real) as prepared:
        for _ in range(40):
            request(prepared, 5, real=real)
            place = sampling.timed_place(row, 0, offset=operands.offsets(row)[4], real=real)
            values = prepared.outputs(np.array(place.rows), np.array(place.columns))
            assert right(row, place, values)
            assert (prepared.device_ns() or 0) > 0


@pytest.mark.parametrize("shape", [GemmShape(m=32, n=32, k=32), GemmShape(m=32, n=32, k=32, depth=2)])
def test_who_gives_the_output_of_the_input_as_it_was_loaded_is_found_out(
    tmp_path: Path, shape: GemmShape
) -> None:
    row = workload("ort_gemm", "fp32/MatMul", shape)

    def run(prepared: Prepared) -> None:
        # The first audit alone misses him with a probability of 1 in 16: when it meets the last run.
        for _ in range(200):
            request(prepared, 16, real=True)
            prepared.device_ns()

    with (
        on_a_runner(tmp_path, row, real=True, text=NOT_ROTATED) as prepared,
        pytest.raises(NotAdmitted, match="in a request has a wrong output") as refused,
    ):
        run(prepared)
    assert refused.value.code == "runs-left-out"
