"""The kernels for CUDA: the very classes that run on a GPU, on a processor's tensors and on none at all.

A place stands for the device: torch's "cpu", where the operators exist, or "meta", which knows shapes and
types alone. What only a GPU can show is marked hardware.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scripted_device import schedule

from bench.devices import cuda
from bench.devices.clock import HostClock
from bench.errors import CannotMeasure
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.precision import PRECISIONS
from bench.terms import ConvShape, Device, Fact, Form, GemmShape, Scalar, Shape, Workload
from bench.workload import accuracy, opcount, operands, registry, sampling, selection
from bench.workload.accuracy import Outputs, Place, Tally
from bench.workload.kernel import Prepared

CUDA: Any = import_module("bench.kernels._cuda")
SEED = "c0ffee00" * 8
NAMES = ("cuda_gemm", "cuda_conv")
FORMS = [(name, form) for name in NAMES for form in registry.kernel(name).forms]
# What a processor's torch multiplies too, in these types.
ON_CPU = [case for case in FORMS if case[1].name in ("mm", "int_mm", "scaled_mm", "conv2d")]
WITH_REALS = [case for case in ON_CPU if operands.OPERAND_SETS[case[1].operand_set].real is not None]

SHAPES: dict[str, tuple[Shape, ...]] = {
    "cuda_gemm": (GemmShape(m=24, n=16, k=32), GemmShape(m=48, n=80, k=64)),
    "cuda_conv": (
        ConvShape(batch=2, channels=8, filters=16, height=7, width=4, kernel=3, padding=1),
        ConvShape(batch=3, channels=16, filters=16, height=4, width=4, kernel=1, padding=0),
    ),
}


def name(case: tuple[str, Form]) -> str:
    return f"{case[0]}-{case[1].precision}-{case[1].name}"


each_form = pytest.mark.parametrize(("kernel", "form"), FORMS, ids=map(name, FORMS))
each_cpu_form = pytest.mark.parametrize(("kernel", "form"), ON_CPU, ids=map(name, ON_CPU))


@dataclass
class ScriptedTimer:
    """Events whose times are told: each noted one is so many nanoseconds after the one before it."""

    step_ns: int = 1000
    noted: list[str] = field(default_factory=list)

    def begin(self) -> None:
        self.noted = ["begin"]

    def end(self) -> None:
        self.noted.append("end")

    def elapsed_ns(self) -> int | None:
        return self.step_ns if self.noted == ["begin", "end"] else None


def gpu(**facts: Scalar) -> Device:
    told = tuple(
        Fact(name=name.replace("_", "-"), value=value, source="scripted") for name, value in facts.items()
    )
    return Device(selector="cuda:0", family="cuda", kind="gpu", name="scripted", vendor=None, facts=told)


def workload(kernel: str, form: Form, shape: Shape) -> Workload:
    return Workload(
        device="cuda:0",
        kernel=kernel,
        backend="torch",
        operation=registry.kernel(kernel).operation,
        form=form,
        shape=shape,
        seed=SEED,
    )


def prepared(row: Workload, *, real: bool, on: str = "cpu", l2_bytes: int = 0) -> closing[Prepared]:
    place = CUDA.Place(device=on, l2_bytes=l2_bytes, timer=ScriptedTimer)
    kernel = type(registry.kernel(row.kernel))(place=lambda _device: place)  # type: ignore[call-arg]
    return closing(kernel.prepare(row, gpu(), threads=1, real=real))


def launched(ready: Prepared, row: Workload, index: int, *, real: bool) -> Outputs:
    """All outputs of one launch."""
    height, width = opcount.implicit_gemm(row.shape)
    ready.launch(index, real=real)
    ready.finish()
    return Outputs(
        place=Place(
            offset=operands.offsets(row)[index],
            real=real,
            rows=tuple(range(height)),
            columns=tuple(range(width)),
        ),
        values=ready.outputs(np.arange(height), np.arange(width)),
    )


# ---------------------------------------------------------------------------------------- the results


@each_cpu_form
@pytest.mark.parametrize("l2_bytes", [0, 10_000])
def test_every_output_on_exact_operands_is_right_whichever_buffers_it_is_launched_on(
    kernel: str, form: Form, l2_bytes: int
) -> None:
    for shape in SHAPES[kernel]:
        row = workload(kernel, form, shape)
        with prepared(row, real=False, l2_bytes=l2_bytes) as ready:
            seen = [accuracy.tally(row, launched(ready, row, i, real=False)) for i in range(operands.OFFSETS)]
        assert accuracy.exact(sum(seen, Tally()).check()), shape


@pytest.mark.parametrize(("kernel", "form"), WITH_REALS, ids=map(name, WITH_REALS))
def test_exact_and_real_launches_may_alternate(kernel: str, form: Form) -> None:
    row = workload(kernel, form, SHAPES[kernel][1])
    with prepared(row, real=True, l2_bytes=50_000) as ready:
        turns = [(index, real) for index in range(5) for real in (False, True)]
        seen = sum((accuracy.tally(row, launched(ready, row, i, real=real)) for i, real in turns), Tally())
    assert accuracy.exact(seen.check())
    assert accuracy.real_error_fits(row, seen.check())


@each_cpu_form
def test_the_probe_names_what_a_processor_computes_in(kernel: str, form: Form) -> None:
    row = sampling.probe_workload(workload(kernel, form, SHAPES[kernel][1]))
    real = operands.has_reals(row)
    place = sampling.untimed_place(row, "probe", 0, real=real, size=16)
    with prepared(row, real=real) as ready:
        ready.launch(0, real=real)
        values = ready.outputs(np.array(place.rows), np.array(place.columns))
    seen = accuracy.tally(row, Outputs(place=place, values=values)).check()
    # A processor does not round fp32 to TF32, whatever is asked of a GPU: the row would not count.
    assert accuracy.name_arithmetic(row, seen) == ("fp32" if form.precision == "tf32" else form.precision)


def test_a_row_of_single_pixels_has_a_probe_of_such() -> None:
    form = registry.kernel("cuda_conv").forms[0]
    kernels = [
        sampling.probe_workload(workload("cuda_conv", form, shape)).shape for shape in SHAPES["cuda_conv"]
    ]
    assert [(s.kernel, opcount.reduction(s)) for s in kernels if isinstance(s, ConvShape)] == [
        (3, 1008),
        (1, 1024),
    ]


@each_cpu_form
def test_operands_are_those_of_numpy_bit_by_bit(kernel: str, form: Form) -> None:
    place = CUDA.Place(device="cpu", l2_bytes=0, timer=ScriptedTimer)
    row = workload(kernel, form, SHAPES[kernel][1])
    for which in ("a", "b"):
        for real in {False, operands.has_reals(row)}:
            ours = CUDA.pool(row, which, place, real=real, columns_first=True)
            element = form.a if which == "a" else form.b
            theirs = operands.round_to(operands.pool(row, which, real=real).astype(np.float64), element)
            assert np.array_equal(ours.double().numpy(), theirs)
            assert ours.t().is_contiguous()


# ------------------------------------------------------------------------------ without any device


@each_form
def test_each_form_has_the_shape_and_type_that_it_says_also_at_the_largest_rungs(
    kernel: str, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_module("torch")
    _let_meta_compress(monkeypatch, torch)
    shape: Shape = GemmShape(m=16384, n=8192, k=2048)
    if kernel == "cuda_conv":
        shape = ConvShape(batch=256, channels=128, filters=512, height=28, width=28, kernel=3, padding=1)
    row = workload(kernel, form, shape)
    monkeypatch.setattr(operands, "fill", lambda *_args, **_kwargs: None)
    with prepared(row, real=operands.has_reals(row), on="meta", l2_bytes=50 << 20) as ready:
        ready.launch(0, real=False)
        out = ready._out  # type: ignore[attr-defined]
        flat = ready.as_matrix(out)  # type: ignore[attr-defined]
    element = import_module("bench.kernels._torch").element_type(form.out)
    assert (tuple(flat.shape), out.dtype) == (opcount.implicit_gemm(shape), element)


def _let_meta_compress(monkeypatch: pytest.MonkeyPatch, torch: ModuleType) -> None:
    """torch has no meta kernel of the compression: m rows of the kept half and what says where it was."""

    def compress(dense: Any) -> Any:
        assert dense.is_contiguous()
        return dense.new_empty((dense.shape[0], dense.shape[1] * 9 // 16))

    monkeypatch.setattr(torch, "_cslt_compress", compress)


# ------------------------------------------------------------------------------------- 2:4 sparse

SPARSE = [form for _, form in FORMS if form.sparse]
each_sparse = pytest.mark.parametrize("form", SPARSE, ids=lambda form: form.precision)


@pytest.fixture
def dense_in_place_of_sparse(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A processor has no compressed product: what would be compressed is kept, and multiplied whole."""
    torch = import_module("torch")
    compressed: list[Any] = []

    def compress(dense: Any) -> Any:
        compressed.append(dense)
        return dense

    def product(left: Any, right: Any, *, out_dtype: Any) -> Any:
        return torch._int_mm(left, right) if out_dtype == torch.int32 else torch.mm(left, right)

    monkeypatch.setattr(torch, "_cslt_compress", compress)
    monkeypatch.setattr(torch, "_cslt_sparse_mm", product)
    return compressed


@each_sparse
def test_what_is_compressed_has_two_zeros_in_each_four_and_is_multiplied_right(
    form: Form, dense_in_place_of_sparse: list[Any]
) -> None:
    row = workload("cuda_gemm", form, GemmShape(m=32, n=48, k=64))
    with prepared(row, real=False, l2_bytes=50_000) as ready:
        seen = [accuracy.tally(row, launched(ready, row, i, real=False)) for i in range(operands.OFFSETS)]
    assert accuracy.exact(sum(seen, Tally()).check())
    assert len(dense_in_place_of_sparse) == len({*operands.offsets(row)}) == 4
    for dense in dense_in_place_of_sparse:
        kept = (dense.double().numpy() != 0).reshape(32, 16, 4).sum(axis=2)
        # A drawn zero makes it fewer.
        assert kept.max() == 2
        assert np.mean(kept == 2) > 0.9


@each_sparse
def test_a_sparse_row_counts_as_vendors_count_and_says_so(form: Form) -> None:
    dense = replace(form, layout="row-major")
    shape = GemmShape(m=32, n=48, k=64)
    assert opcount.cost(shape, form).ops == opcount.cost(shape, dense).ops == 2 * 32 * 48 * 64
    assert (form.sparse, dense.sparse) == (True, False)


def test_the_same_sign_probe_of_a_sparse_product_leaves_the_exact_range_of_fp32() -> None:
    (form,) = [form for form in SPARSE if form.precision == "int8"]
    row = sampling.probe_workload(workload("cuda_gemm", form, SHAPES["cuda_gemm"][0]))
    place = sampling.untimed_place(row, "probe", 0, real=False, size=16)
    assert accuracy.expected(row, place).min() > 2**24


# --------------------------------------------------------------------------------- the settings


@pytest.fixture
def settings() -> Iterator[Callable[[], dict[str, object]]]:
    """What torch's switches say, the older and the newer; they are put back afterwards."""
    torch = import_module("torch")
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def read() -> dict[str, object]:
        return {
            "matmul": (matmul.allow_tf32, matmul.fp32_precision),
            "conv": (cudnn.allow_tf32, cudnn.conv.fp32_precision),
            "reduced": (
                matmul.allow_fp16_reduced_precision_reduction,
                matmul.allow_bf16_reduced_precision_reduction,
                matmul.allow_fp16_accumulation,
            ),
            "benchmark": cudnn.benchmark,
        }

    before = cudnn.benchmark, cudnn.conv.fp32_precision
    yield read
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = True
    cudnn.benchmark, cudnn.conv.fp32_precision = before


OFF = {"matmul": (False, "ieee"), "conv": (False, "ieee")}
ON = {"matmul": (True, "tf32"), "conv": (True, "tf32")}


def test_rows_that_take_turns_do_not_leak_their_settings_into_each_other(
    settings: Callable[[], dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_module("torch")
    seen: list[dict[str, object]] = []
    real = {"mm": torch.mm, "conv2d": torch.nn.functional.conv2d}

    def reading(operator: str) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            seen.append(settings())
            return real[operator](*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "mm", reading("mm"))
    monkeypatch.setattr(torch.nn.functional, "conv2d", reading("conv2d"))
    of = {
        (kernel, form.precision): workload(kernel, form, SHAPES[kernel][0])
        for kernel, form in ON_CPU
        if form.name in real
    }
    ready = {which: prepared(row, real=False).thing for which, row in of.items()}  # type: ignore[attr-defined]
    order = [*ready, *reversed(ready), *ready]
    for which in order:
        ready[which].launch(0, real=False)
        # Others in this process may set what they like between two launches.
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = True
        torch.set_float32_matmul_precision("high" if which[1] == "fp32" else "highest")
    assert [{k: one[k] for k in ("matmul", "conv")} for one in seen] == [
        ON if precision == "tf32" else OFF for _, precision in order
    ]
    assert all(one["reduced"] == (False, False, False) and one["benchmark"] for one in seen)


# ------------------------------------------------------------------------- time, buffers and memory


@pytest.mark.parametrize("kernel", NAMES)
def test_a_batch_is_timed_from_its_mark_to_the_end_of_its_last_launch(kernel: str) -> None:
    row = workload(kernel, registry.kernel(kernel).forms[0], SHAPES[kernel][0])
    with prepared(row, real=False) as ready:
        ready.launch(0, real=False)
        ready.finish()
        assert ready.device_ns() is None
        ready.mark()
        ready.launch(1, real=False)
        assert ready.device_ns() is None
        value = ready.finish()
        assert ready.device_ns() == 1000
        assert value == ready.outputs(np.array([0]), np.array([0]))[0, 0]


def test_events_give_whole_nanoseconds_of_torchs_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = import_module("torch")
    asked: list[str] = []

    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            asked.append("record")

        def synchronize(self) -> None:
            asked.append("synchronize")

        def elapsed_time(self, last: object) -> float:
            assert isinstance(last, Event)
            assert last is not self
            return 1.234567

    monkeypatch.setattr(torch.cuda, "Event", Event)
    events = CUDA.Events()
    events.begin()
    assert events.elapsed_ns() is None
    events.end()
    assert (events.elapsed_ns(), asked) == (1_234_567, ["record", "record", "synchronize"])
    events.begin()
    assert events.elapsed_ns() is None


@pytest.mark.parametrize("kernel", NAMES)
def test_a_small_shape_rotates_through_more_than_twice_the_second_level_cache(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_module("torch")
    operator, owner = ("mm", torch) if kernel == "cuda_gemm" else ("conv2d", torch.nn.functional)
    product, seen = getattr(owner, operator), []

    def looking(*args: Any, **kwargs: Any) -> Any:
        out = product(*args, **kwargs)
        # Kept alive here, two outputs could not have one address.
        seen.append((args[0].data_ptr(), args[1].data_ptr()))
        return out

    monkeypatch.setattr(owner, operator, looking)
    row = workload(kernel, registry.kernel(kernel).forms[0], SHAPES[kernel][0])
    footprint, l2_bytes = opcount.cost(row.shape, row.form).bytes, 100_000
    with prepared(row, real=False, l2_bytes=l2_bytes) as ready:
        copies = -(-2 * l2_bytes // footprint)
        for index in range(2 * copies):
            ready.launch(index % operands.OFFSETS, real=False)
        outs = {out.data_ptr() for out in ready._outs}  # type: ignore[attr-defined]
    weights = [b for _, b in seen]
    assert len({*weights}) == len(outs) == copies
    assert weights[:copies] == weights[copies:]
    assert len({*weights[:copies]}) * footprint >= 2 * l2_bytes


def test_a_large_shape_has_one_set_of_buffers() -> None:
    row = workload("cuda_gemm", registry.kernel("cuda_gemm").forms[0], GemmShape(m=128, n=128, k=128))
    with prepared(row, real=False, l2_bytes=opcount.cost(row.shape, row.form).bytes // 2) as ready:
        assert len(ready._outs) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("when", ["prepare", "launch"])
@pytest.mark.parametrize("kernel", NAMES)
def test_memory_that_runs_out_is_a_memory_error_in_torchs_words(
    kernel: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = import_module("torch")
    emptied: list[None] = []

    def without_memory(*args: Any, **kwargs: Any) -> Any:  # noqa: ARG001
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB.")

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(None))
    row = workload(kernel, registry.kernel(kernel).forms[0], SHAPES[kernel][0])
    refused = pytest.raises(MemoryError, match=f"^{row.row}: .*CUDA out of memory")
    if when == "prepare":
        monkeypatch.setattr(torch, "empty", without_memory)
        with refused:
            prepared(row, real=False)
    else:
        monkeypatch.setattr(torch, "mm", without_memory)
        monkeypatch.setattr(torch.nn.functional, "conv2d", without_memory)
        with prepared(row, real=False) as ready, refused:
            ready.launch(0, real=False)
    assert emptied


def test_a_launch_that_torch_cannot_do_fails_in_its_words() -> None:
    (form,) = [form for form in registry.kernel("cuda_gemm").forms if form.name == "mm-f32"][:1]
    row = workload("cuda_gemm", form, SHAPES["cuda_gemm"][0])
    # A processor has no product of bf16 with an fp32 output.
    refused = pytest.raises(CannotMeasure, match=f"^{row.row}: torch failed: .*aten::mm")
    with prepared(row, real=False) as ready, refused:
        ready.launch(0, real=False)


@pytest.mark.parametrize("kernel", NAMES)
def test_a_torch_without_cuda_refuses_in_its_words(kernel: str) -> None:
    torch = import_module("torch")
    if torch.cuda.is_available():
        pytest.skip("this torch has CUDA")
    row = workload(kernel, registry.kernel(kernel).forms[0], SHAPES[kernel][0])
    with pytest.raises(CannotMeasure, match=f"^{row.row}: torch refused: "):
        registry.kernel(kernel).prepare(row, gpu(), threads=1, real=False)


# ----------------------------------------------------------------------------- through every phase


class Watcher:
    """Told of everything, and says nothing."""

    def phase(self, row: Row, phase: str, visit: int) -> None:
        pass

    def rate(self, row: Row, ops_per_s: float) -> None:
        pass


def opened(row: Workload, *ladder: Shape, l2_bytes: int = 100_000) -> tuple[Loop, Row]:
    """A row that has been searched, checked and probed as on a GPU, on a processor's tensors."""
    place = CUDA.Place(device="cpu", l2_bytes=l2_bytes, timer=ScriptedTimer)
    kernel = type(registry.kernel(row.kernel))(place=lambda _device: place)  # type: ignore[call-arg]
    live = Row(workload=row, kernel=kernel, ladder=ladder, device=gpu(), threads=1)
    loop = Loop(
        clock=HostClock(),
        schedule=schedule(launch_most_ns=10**10, limit_ns=10**10),
        room=1 << 34,
        progress=Watcher(),
        after_visit=lambda _schedule: None,
    )
    loop.open([live])
    return loop, live


WHOLE = [case for case in WITH_REALS if case[1].precision in ("bf16", "fp8_e4m3", "fp8_e5m2")]


@pytest.mark.parametrize(("kernel", "form"), WHOLE, ids=map(name, WHOLE))
def test_a_row_goes_through_search_check_probe_and_visits_and_has_the_devices_own_time(
    kernel: str, form: Form
) -> None:
    loop, row = opened(workload(kernel, form, SHAPES[kernel][0]), *SHAPES[kernel])
    assert [trial.reason for trial in row.tried] == [None, None]
    assert row.before is not None
    assert accuracy.exact(row.before)
    assert row.probe is not None
    assert accuracy.name_arithmetic(sampling.probe_workload(row.workload), row.probe) == form.precision
    loop.visit([row])
    assert row.visits
    for visit in row.visits:
        assert visit.device_ns == (1000,) * len(visit.samples)
    timed = row.measurement().timed
    assert timed is not None
    assert accuracy.exact(timed)
    assert timed.real_compared > 0
    assert accuracy.real_error_fits(row.workload, timed)


def test_memory_that_runs_out_at_a_large_shape_leaves_the_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = import_module("torch")
    honest = torch.mm

    def with_little_memory(left: Any, right: Any) -> Any:
        if len(left) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return honest(left, right)

    monkeypatch.setattr(torch, "mm", with_little_memory)
    form = registry.kernel("cuda_gemm").forms[0]
    shapes = [GemmShape(m=m, n=64, k=64) for m in (64, 128)]
    _, row = opened(workload("cuda_gemm", form, shapes[0]), *shapes)
    assert [trial.reason for trial in row.tried] == [None, "no-memory"]


# ------------------------------------------------------------------------------ what has which form


def test_what_the_issue_asks_for_is_a_row() -> None:
    offered = {(kernel, form.precision, form.sparse) for kernel, form in FORMS}
    assert offered == {
        *(("cuda_gemm", precision, False) for precision in PRECISIONS),
        *(("cuda_gemm", precision, True) for precision in ("bf16", "int8")),
        *(("cuda_conv", precision, False) for precision in ("fp32", "tf32", "bf16", "fp16")),
    }
    pairs = {(form.a, form.b) for _, form in FORMS if form.precision.startswith("fp8")}
    assert pairs == {("f8_e4m3", "f8_e4m3"), ("f8_e5m2", "f8_e4m3")}


@pytest.mark.parametrize(
    ("capability", "missing"),
    [
        ("6.1", {"bf16", "tf32", "fp8_e4m3", "fp8_e5m2", "int8", "sparse"}),
        ("7.0", {"bf16", "tf32", "fp8_e4m3", "fp8_e5m2", "int8", "sparse"}),
        ("7.5", {"bf16", "tf32", "fp8_e4m3", "fp8_e5m2", "sparse"}),
        ("8.0", {"fp8_e4m3", "fp8_e5m2"}),
        ("8.6", {"fp8_e4m3", "fp8_e5m2"}),
        ("8.9", set()),
        ("9.0", set()),
        ("10.0", set()),
        ("12.0", set()),
    ],
)
def test_a_precision_that_the_architecture_lacks_is_a_row_with_its_reason(
    capability: str, missing: set[str]
) -> None:
    rows = selection.select(gpu(compute_capability=capability), (), quick=False)
    assert len(rows) == len(FORMS)
    refused = [row for row in rows if row.unavailable is not None]
    lacking = {
        "sparse" if row.form.sparse and row.form.precision in {"int8", "bf16"} else row.form.precision
        for row in refused
    }
    assert lacking == missing
    for row in refused:
        assert row.unavailable is not None
        assert row.unavailable.code == "not-supported-by-architecture"
        assert f"this device has {capability}" in row.unavailable.detail


@pytest.mark.parametrize(("architecture", "takes"), [("gfx90a", False), ("gfx942", False), ("gfx950", True)])
def test_an_amd_gpu_takes_fp8_where_its_encodings_are_ocps(architecture: str, takes: bool) -> None:
    rows = selection.select(gpu(gcn_arch=f"{architecture}:sramecc+:xnack-"), (), quick=False)
    refused = {row.form.precision for row in rows if row.unavailable is not None}
    assert refused == (set() if takes else {"fp8_e4m3", "fp8_e5m2"})


def test_where_the_capability_is_unknown_everything_is_tried() -> None:
    assert all(row.unavailable is None for row in selection.select(gpu(), (), quick=False))


# ---------------------------------------------------------------------------------- on a GPU itself


@pytest.fixture(scope="module")
def here() -> Device:
    found = cuda.FAMILY.look()
    if not found.devices:
        pytest.skip("; ".join(f"{why.code}: {why.detail}" for why in found.unavailable))
    return found.devices[0]


@pytest.mark.hardware
@each_form
def test_on_a_gpu_every_form_is_exact_and_named_as_asked(kernel: str, form: Form, here: Device) -> None:
    made = registry.kernel(kernel)
    why = made.unavailable(form, here)
    if why is not None:
        pytest.skip(f"{why.subject}: {why.detail}")
    shape: Shape = GemmShape(m=256, n=512, k=1024)
    if kernel == "cuda_conv":
        shape = ConvShape(batch=8, channels=128, filters=128, height=28, width=28, kernel=1, padding=0)
    row = workload(kernel, form, shape)
    with closing(made.prepare(row, here, threads=1, real=operands.has_reals(row))) as ready:
        seen = sum((accuracy.tally(row, launched(ready, row, i, real=False)) for i in range(4)), Tally())
        if operands.has_reals(row):
            seen += accuracy.tally(row, launched(ready, row, 4, real=True))
        ready.mark()
        ready.launch(0, real=False)
        ready.finish()
        assert (ready.device_ns() or 0) > 0
    assert accuracy.exact(seen.check())
    assert seen.check().real_error_ppm is None or accuracy.real_error_fits(row, seen.check())
    probe = sampling.probe_workload(row)
    real = operands.has_reals(probe)
    place = sampling.untimed_place(probe, "probe", 0, real=real, size=16)
    with closing(made.prepare(probe, here, threads=1, real=real)) as ready:
        ready.launch(0, real=real)
        values = ready.outputs(np.array(place.rows), np.array(place.columns))
    named = accuracy.name_arithmetic(
        probe, accuracy.tally(probe, Outputs(place=place, values=values)).check()
    )
    assert named == form.precision
