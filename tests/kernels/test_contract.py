"""What every kernel owes the core, for each of its forms: right results, honest counts, and reasons.

A kernel that is added to the folder is tested here without another line.
"""

import os
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from bench.devices.cpu import FAMILY
from bench.errors import CannotMeasure
from bench.precision import PRECISIONS
from bench.terms import Check, ConvShape, Device, Fact, Form, GemmShape, Shape, Unavailable, Workload
from bench.workload import accuracy, opcount, operands, registry, sampling
from bench.workload.accuracy import Outputs, Place, Tally
from bench.workload.kernel import Kernel, Prepared


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """The processor that a form runs on, and on how many threads."""

    device: Device
    threads: int


Runs = Callable[[Kernel, Form], Here]

SEED = "c0ffee00" * 8
KERNELS = registry.kernels()
FORMS = [(kernel, form) for kernel in KERNELS.values() for form in kernel.forms]

# Odd sizes, sizes of one, and sizes that vector kernels like; images that are not square, padding wider
# than one, and an even kernel.
SHAPES: dict[str, tuple[Shape, ...]] = {
    "gemm": (
        GemmShape(m=1, n=1, k=1),
        GemmShape(m=5, n=7, k=9),
        GemmShape(m=24, n=16, k=8),
        GemmShape(m=33, n=37, k=67),
    ),
    "conv": (
        ConvShape(batch=2, channels=3, filters=5, height=7, width=4, kernel=3, padding=1),
        ConvShape(batch=1, channels=33, filters=17, height=6, width=9, kernel=3, padding=0),
        ConvShape(batch=3, channels=16, filters=16, height=4, width=4, kernel=1, padding=0),
        ConvShape(batch=1, channels=2, filters=4, height=6, width=5, kernel=4, padding=2),
    ),
}

# A launch whose operands no machine holds: more than the 2^47 bytes that an address reaches.
BOUNDLESS: dict[str, Shape] = {
    "gemm": GemmShape(m=2**46, n=8, k=64),
    "conv": ConvShape(batch=2**42, channels=4, filters=4, height=16, width=16, kernel=3, padding=0),
}

each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())


def name(case: tuple[Kernel, Form]) -> str:
    return f"{case[0].name}-{case[1].precision}-{case[1].name}"


REAL_SETS = [name for name, chosen in operands.OPERAND_SETS.items() if chosen.real is not None]
# A GPU's kernels are run in test_cuda_kernels.
FORMS_HERE = [case for case in FORMS if "cpu" in case[0].families]
REAL_FORMS = [case for case in FORMS_HERE if case[1].operand_set in REAL_SETS]

each_form = pytest.mark.parametrize(("kernel", "form"), FORMS, ids=map(name, FORMS))
each_form_here = pytest.mark.parametrize(("kernel", "form"), FORMS_HERE, ids=map(name, FORMS_HERE))
each_real_form = pytest.mark.parametrize(("kernel", "form"), REAL_FORMS, ids=map(name, REAL_FORMS))


@pytest.fixture(scope="module")
def device() -> Device:
    found = FAMILY.look()
    if not found.devices:
        pytest.skip(found.unavailable[0].detail)
    return found.devices[0]


@pytest.fixture
def runs(device: Device) -> Runs:
    """Where to run a form, once it is known to run here."""

    def here(kernel: Kernel, form: Form) -> Here:
        why = kernel.unavailable(form, device)
        # What is meant for other processors is no row of this one's, and still right on it.
        if why is not None and why.code != "not-applicable":
            if os.environ.get("CI") == "true":
                pytest.fail(f"{why.subject}: {why.detail}")
            pytest.skip(f"{why.subject}: {why.detail}")
        _skip_where_products_saturate(form, device)
        found = Here(device=device, threads=usable_threads(device))
        if why is not None and (refusal := refused(kernel, form, found)) is not None:
            pytest.skip(refusal)
        return found

    return here


def usable_threads(device: Device) -> int:
    usable = device.fact("threads-usable")
    return usable if isinstance(usable, int) else 1


@cache
def refused(kernel: Kernel, form: Form, here: Here) -> str | None:
    """In which words the backend refuses a form at the least of shapes; None where it does not."""
    try:
        kernel.prepare(
            workload(kernel, form, SHAPES[kernel.operation][0]), here.device, threads=here.threads, real=False
        ).close()
    except CannotMeasure as error:
        return str(error)
    return None


def _skip_where_products_saturate(form: Form, device: Device) -> None:
    """Full-range u8*s8 is wrong, honestly, on a processor that has a row of its own for saturation."""
    rows = [(kernel, row) for kernel, row in FORMS if row.operand_set == "int8-saturating"]
    saturates = any(kernel.unavailable(row, device) is None for kernel, row in rows)
    if saturates and (form.a, form.operand_set) == ("u8", "int8"):
        pytest.skip("this processor adds u8*s8 products in 16 bits")


def workload(kernel: Kernel, form: Form, shape: Shape) -> Workload:
    return Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=form,
        shape=shape,
        seed=SEED,
    )


def prepared(kernel: Kernel, row: Workload, here: Here, *, real: bool) -> closing[Prepared]:
    return closing(kernel.prepare(row, here.device, threads=here.threads, real=real))


def launched(ready: Prepared, row: Workload, index: int, *, real: bool) -> Outputs:
    """All outputs of one launch."""
    height, width = opcount.implicit_gemm(row.shape)
    offset = operands.offsets(row)[index]
    place = Place(offset=offset, real=real, rows=tuple(range(height)), columns=tuple(range(width)))
    return launched_at(ready, place, index)


def launched_at(ready: Prepared, place: Place, index: int) -> Outputs:
    ready.launch(index, real=place.real)
    ready.finish()
    return Outputs(place=place, values=ready.outputs(np.array(place.rows), np.array(place.columns)))


def checked(kernel: Kernel, row: Workload, here: Here, *, real: bool, launches: int = 4) -> Check:
    """All outputs of launches at several offsets, held against the right ones."""
    with prepared(kernel, row, here, real=real) as ready:
        tallies = [accuracy.tally(row, launched(ready, row, index, real=real)) for index in range(launches)]
    return sum(tallies, Tally()).check()


# ---------------------------------------------------------------------------------------- the results


@each_form_here
def test_every_output_on_exact_operands_is_right(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    for shape in SHAPES[kernel.operation]:
        check = checked(kernel, workload(kernel, form, shape), here, real=False)
        height, width = opcount.implicit_gemm(shape)
        assert (check.compared, check.wrong) == (4 * height * width, 0), shape
        assert accuracy.exact(check), shape


@each_real_form
def test_outputs_on_real_operands_err_as_the_asked_arithmetic_does(
    kernel: Kernel, form: Form, runs: Runs
) -> None:
    # A band holds for K = 1024; a sum of a few terms errs less, and only its upper end is asked for.
    here = runs(kernel, form)
    for shape in SHAPES[kernel.operation]:
        row = workload(kernel, form, shape)
        assert accuracy.real_error_fits(row, checked(kernel, row, here, real=True)), shape


@each_form_here
def test_the_probe_names_the_precision_asked_for(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = sampling.probe_workload(workload(kernel, form, SHAPES[kernel.operation][0]))
    offset, real = operands.offsets(row)[0], operands.has_reals(row)
    place = accuracy.choose_place(row, "probe", 0, offset=offset, real=real, size=16)
    with prepared(kernel, row, here, real=real) as ready:
        seen = accuracy.tally(row, launched_at(ready, place, 0)).check()
    named = accuracy.name_arithmetic(row, seen)
    right = {form.operand_set if form.operand_set == "int8-saturating" else form.precision}
    if (kernel.backend, form.name) == ("onnxruntime", "QDQ-s8s8"):
        # Its provider for processors dequantises these and says nothing: seen on x86 with AVX-512 VNNI.
        right.add("floating-point")
    assert named in right


@each_form_here
def test_two_launches_in_a_row_compute_other_products(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, SHAPES[kernel.operation][1])
    with prepared(kernel, row, here, real=False) as ready:
        first, second = (launched(ready, row, index, real=False).values for index in (0, 1))
    # Codes of 8 bits agree by chance on about one output in a hundred.
    assert np.mean(first == second) < 0.1


@each_form_here
def test_every_offset_is_launched_at(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, SHAPES[kernel.operation][1])
    assert checked(kernel, row, here, real=False, launches=operands.OFFSETS).wrong == 0


@each_real_form
def test_exact_and_real_launches_may_alternate(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, SHAPES[kernel.operation][1])
    with prepared(kernel, row, here, real=True) as ready:
        turns = [(index, real) for index in range(3) for real in (False, True)]
        tallies = [accuracy.tally(row, launched(ready, row, index, real=real)) for index, real in turns]
    check = sum(tallies, Tally()).check()
    assert accuracy.exact(check)
    assert accuracy.real_error_fits(row, check)


@each_form_here
def test_finish_reads_the_last_output(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, SHAPES[kernel.operation][1])
    with prepared(kernel, row, here, real=False) as ready:
        for index in range(3):
            ready.launch(index, real=False)
            value = ready.finish()
            assert value == ready.outputs(np.array([0]), np.array([0]))[0, 0]


@each_form_here
def test_outputs_are_read_where_they_are_asked_for(kernel: Kernel, form: Form, runs: Runs) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, SHAPES[kernel.operation][1])
    with prepared(kernel, row, here, real=False) as ready:
        whole = launched(ready, row, 0, real=False).values
        some = ready.outputs(np.array([4, 0, 2]), np.array([3, 1]))
    assert some.dtype == np.float64
    assert np.array_equal(some, whole[np.ix_([4, 0, 2], [3, 1])])


# ----------------------------------------------------------------------------------------- the count


def counted(shape: Shape) -> int:
    """Two for every multiply-add of the textbook loops that meets stored elements."""
    if isinstance(shape, GemmShape):
        return sum(2 for _ in product(range(shape.m), range(shape.n), range(shape.k)))
    axes = (shape.batch, shape.filters, shape.channels, shape.out_height, shape.out_width)
    low, high = shape.padding, (shape.padding + shape.height, shape.padding + shape.width)
    return sum(
        2
        for _, _, _, y, x, r, s in product(*map(range, (*axes, shape.kernel, shape.kernel)))
        if low <= y + r < high[0] and low <= x + s < high[1]
    )


@each_kernel
def test_the_count_is_that_of_the_textbook_loops(kernel: Kernel) -> None:
    for shape in SHAPES[kernel.operation]:
        for form in kernel.forms:
            assert opcount.cost(shape, form).ops == counted(shape)


# -------------------------------------------------------------------------------------- the description


@each_form
def test_a_form_speaks_of_a_known_precision_and_operand_set(kernel: Kernel, form: Form) -> None:
    assert form.precision in PRECISIONS, kernel.name
    assert form.operand_set in operands.OPERAND_SETS, kernel.name


def test_every_row_has_a_name_of_its_own() -> None:
    rows = [workload(kernel, form, SHAPES[kernel.operation][0]).row for kernel, form in FORMS]
    assert len(set(rows)) == len(rows)


@each_kernel
@pytest.mark.parametrize("word", [" = ", "Counted:", "Path:", "reference:"])
def test_the_docstring_states_formula_count_path_and_reference(kernel: Kernel, word: str) -> None:
    assert word in (sys.modules[type(kernel).__module__].__doc__ or "")


@each_kernel
def test_a_kernel_serves_a_family_in_some_form(kernel: Kernel) -> None:
    assert kernel.families
    assert kernel.forms


# ---------------------------------------------------------------------------------------- the refusals


@each_form
def test_a_form_runs_here_or_says_why_not(kernel: Kernel, form: Form, device: Device) -> None:
    why = kernel.unavailable(form, device)
    assert why is None or (isinstance(why, Unavailable) and why.code and why.detail)


@pytest.mark.parametrize(
    ("instructions", "saturates"),
    [
        ("avx2 fma", True),
        ("avx2 avx512f avx512bw", True),
        ("avx2 avx512f avx512_vnni", False),
        ("avx2 avx_vnni", False),
        ("avx2 avx512_vnni amx_int8", False),
        ("asimd asimddp", False),
        (None, False),
    ],
)
def test_the_saturating_form_is_for_x86_without_integer_dot_products(
    runs: Runs, instructions: str | None, saturates: bool
) -> None:
    kernel = registry.kernel("ort_gemm")
    runs(kernel, kernel.forms[0])
    (form,) = [form for form in kernel.forms if form.operand_set == "int8-saturating"]
    reason = "not-readable" if instructions is None else None
    fact = Fact(name="instruction-sets", value=instructions, source="scripted", reason=reason)
    processor = Device(selector="cpu", family="cpu", kind="cpu", name="scripted", vendor=None, facts=(fact,))
    assert (kernel.unavailable(form, processor) is None) == saturates


def test_of_what_is_for_other_devices_bf16_alone_does_not_run_here(device: Device) -> None:
    for kernel, form in FORMS:
        if "cpu" not in kernel.families:
            continue
        why = kernel.unavailable(form, device)
        if why is not None and why.code == "not-applicable":
            words = refused(kernel, form, Here(device=device, threads=usable_threads(device)))
            assert (words is None) == (form.precision != "bf16"), f"{kernel.name}: {words}"
            assert words is None or "onnxruntime refused: " in words


@each_form
def test_without_its_package_a_form_is_refused_with_the_command_to_type(
    kernel: Kernel, form: Form, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = kernel.unavailable(form, device)
    if here is not None and here.code == "not-applicable":
        pytest.skip(f"{here.detail}, which is known without a package")
    # None in sys.modules is how Python itself marks a package that cannot be imported.
    for package in ("torch", "onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    why = kernel.unavailable(form, device)
    assert why is not None
    assert why.code == "not-installed"
    assert why.subject in ("torch", "onnxruntime", "onnx")
    assert "pip install 'compute-evidence[measure]'" in why.detail


@each_form_here
def test_operands_beyond_any_memory_are_refused_in_the_backends_words(
    kernel: Kernel, form: Form, runs: Runs
) -> None:
    here = runs(kernel, form)
    row = workload(kernel, form, BOUNDLESS[kernel.operation])
    with pytest.raises(CannotMeasure, match=f"^{row.row}: .*Unable to allocate"):
        prepared(kernel, row, here, real=False)


def test_an_operator_that_onnxruntime_lacks_is_refused_in_its_words(runs: Runs) -> None:
    kernel = registry.kernel("ort_conv")
    here = runs(kernel, kernel.forms[0])
    form = replace(kernel.forms[0], precision="fp64", a="f64", b="f64", out="f64", operand_set="fp64")
    with pytest.raises(CannotMeasure, match=r"onnxruntime refused: .*NOT_IMPLEMENTED"):
        prepared(kernel, workload(kernel, form, SHAPES["conv"][0]), here, real=False)


def test_a_launch_that_torch_cannot_do_fails_in_its_words(runs: Runs) -> None:
    kernel = registry.kernel("torch_conv")
    here = runs(kernel, kernel.forms[0])
    # An image of padding: a few bytes in, 2^52 out.
    shape = ConvShape(batch=1, channels=1, filters=16, height=8, width=8, kernel=1, padding=2**22)
    row = workload(kernel, kernel.forms[0], shape)
    refused = pytest.raises(CannotMeasure, match=r"torch failed: .*can't allocate memory")
    with prepared(kernel, row, here, real=False) as ready, refused:
        ready.launch(0, real=False)
