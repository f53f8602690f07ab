"""Which rows a run has, and at which shapes: the devices' facts and what was asked decide, nothing else."""

import sys
from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.precision import PRECISIONS
from bench.terms import ConvShape, Device, Fact, Family, GemmShape, Shape
from bench.workload import ladder, opcount, registry, selection
from bench.workload.operands import OPERAND_SETS


def device(instructions: str | None, family: Family = "cpu") -> Device:
    reason = "not-readable" if instructions is None else None
    fact = Fact(name="instruction-sets", value=instructions, source="scripted", reason=reason)
    return Device(selector="cpu", family=family, kind="cpu", name="scripted", vendor=None, facts=(fact,))


PROCESSORS = ("avx2 fma", "avx2 avx512f avx512_vnni", "asimd asimddp", None)


def rows(instructions: str | None, *asked: str, quick: bool = False) -> list[tuple[str, str, str]]:
    selected = selection.select(device(instructions), asked, quick=quick)
    return [(row.kernel.name, row.form.precision, row.form.name) for row in selected]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("asked", [(), ("int8",), ("fp32", "int8"), ("fp64",)], ids=str)
@pytest.mark.parametrize("instructions", PROCESSORS)
def test_rows_are_the_same_without_the_backends(
    instructions: str | None, asked: tuple[str, ...], quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = rows(instructions, *asked, quick=quick)
    for package in ("torch", "onnxruntime", "onnx"):
        monkeypatch.setitem(sys.modules, package, None)
    assert rows(instructions, *asked, quick=quick) == here
    assert here


def test_a_form_for_other_processors_is_no_row() -> None:
    saturating = ("ort_gemm", "int8", "MatMulInteger-u8s8-saturating")
    assert [saturating in rows(instructions) for instructions in PROCESSORS] == [True, False, False, False]


def test_only_what_was_asked_for_is_a_row() -> None:
    assert {precision for _, precision, _ in rows(None, "fp64", "int8")} == {"fp64", "int8"}
    assert {precision for _, precision, _ in rows(None)} == selection.offered_precisions(device(None))


def test_a_smoke_test_takes_one_form_of_each_kernel_and_precision() -> None:
    quick = [row[:2] for row in rows(None, quick=True)]
    assert len({*quick}) == len(quick)
    assert {precision for _, precision in quick} == {"fp32", "bf16", "fp16", "int8"}
    assert rows(None, "fp64", quick=True) == [row for row in rows(None) if row[1] == "fp64"]


def test_a_precision_is_offered_where_a_kernel_for_the_family_computes_it() -> None:
    offered = {
        family: selection.offered_precisions(device(None, family)) for family in ("cpu", "cuda", "ort")
    }
    assert offered["cpu"] == {"fp64", "fp32", "bf16", "fp16", "int8"}
    assert offered["cuda"] == {*PRECISIONS}
    assert "tf32" not in offered["ort"]


def test_a_smoke_test_of_a_gpu_takes_dense_products_alone() -> None:
    quick = selection.select(device(None, family="cuda"), (), quick=True)
    assert [row.form.name for row in quick if row.kernel.operation == "gemm"] == ["mm", "mm", "mm", "int_mm"]
    assert not any(row.form.sparse for row in quick)


# ------------------------------------------------------------------------------------------ the ladder


@pytest.mark.parametrize("operation", ["gemm", "conv"])
def test_the_short_ladder_is_part_of_the_long_one(operation: str) -> None:
    short, long = (ladder.ladder(operation, "cpu", quick=quick) for quick in (True, False))  # type: ignore[arg-type]
    assert {*short} < {*long}
    assert len({*long}) == len(long)


@pytest.mark.parametrize("quick", [False, True])
def test_every_form_of_a_processor_has_rungs_where_its_operands_stay_exact(quick: bool) -> None:
    for kernel in registry.kernels().values():
        for form in kernel.forms:
            rungs = ladder.rungs(kernel.operation, form, "cpu", quick=quick)
            assert rungs
            assert max(map(opcount.reduction, rungs)) <= OPERAND_SETS[form.operand_set].k_max
            assert list(rungs) == sorted(rungs, key=opcount.ops)


# ------------------------------------------------------------------------------- the ladder of a GPU


def of_a_gpu() -> list[tuple[Any, Any]]:
    kernels = [kernel for kernel in registry.kernels().values() if "cuda" in kernel.families]
    return [(kernel, form) for kernel in kernels for form in kernel.forms]


@pytest.mark.parametrize("nonce", [None, *(f"{number:064x}" for number in range(20))])
@pytest.mark.parametrize("quick", [False, True])
def test_every_form_of_a_gpu_has_rungs_in_whole_tiles_where_its_operands_stay_exact(
    quick: bool, nonce: str | None
) -> None:
    for kernel, form in of_a_gpu():
        rungs = ladder.rungs(kernel.operation, form, "cuda", quick=quick, nonce=nonce)
        assert len(rungs) >= (2 if quick else 6)
        assert max(map(opcount.reduction, rungs)) <= OPERAND_SETS[form.operand_set].k_max
        for shape in rungs:
            sizes = asdict(shape)
            assert all(
                sizes[name] % 128 == 0 for name in ("m", "n", "k", "channels", "filters") if name in sizes
            )


def test_where_winograd_could_be_faster_and_exact_a_gpu_has_convolutions_of_single_pixels_alone() -> None:
    conv = registry.kernel("cuda_conv")
    for form in conv.forms:
        shapes = ladder.rungs("conv", form, "cuda", quick=False)
        kernels = {shape.kernel for shape in shapes if isinstance(shape, ConvShape)}
        assert kernels == ({1, 3} if form.precision in ("bf16", "fp16") else {1})


def test_around_the_rungs_of_a_gpu_sizes_stay_whole_tiles() -> None:
    for kernel, form in of_a_gpu():
        refinement = ladder.refinement(kernel.operation, form, "cuda", quick=False)
        assert (refinement.idle_rungs, refinement.k_max) == (6, OPERAND_SETS[form.operand_set].k_max)
        for rung in ladder.rungs(kernel.operation, form, "cuda", quick=False)[1:]:
            for shape in refinement.neighbours(rung, 1):
                sizes = asdict(shape)
                names = [name for name in ("m", "n", "k", "channels", "filters") if name in sizes]
                assert all(sizes[name] % 64 == 0 for name in names)


def test_the_short_ladder_of_a_gpu_is_part_of_the_long_one_which_ends_where_large_cards_are_busy() -> None:
    for operation in ("gemm", "conv"):
        short, long = (ladder.ladder(operation, "cuda", quick=quick) for quick in (True, False))  # type: ignore[arg-type]
        assert {*short} < {*long}
        assert len({*long}) == len(long)
        assert [opcount.ops(shape) for shape in long] == sorted(map(opcount.ops, long))
        assert max(map(opcount.ops, long)) > 5 * 10**11
    assert ladder.digest("cuda") is not None


# ------------------------------------------------------------------------- the ladder behind a provider


def behind_a_provider() -> list[tuple[Any, Any]]:
    return [
        (kernel, form)
        for kernel in registry.kernels().values()
        if "ort" in kernel.families
        for form in kernel.forms
    ]


def stackable(shape: Shape) -> bool:
    """Whether another layer takes what this one gives, said apart from the code under test."""
    if isinstance(shape, GemmShape):
        return shape.n == shape.k
    same_size = shape.out_height == shape.height and shape.out_width == shape.width
    return same_size and shape.channels == shape.filters


@pytest.mark.parametrize("nonce", [None, *(f"{number:064x}" for number in range(20))])
@pytest.mark.parametrize("quick", [False, True])
def test_every_form_behind_a_provider_has_rungs_and_deep_ones_can_be_stacked(
    quick: bool, nonce: str | None
) -> None:
    for kernel, form in behind_a_provider():
        rungs = ladder.rungs(kernel.operation, form, "ort", quick=quick, nonce=nonce)
        assert rungs, form
        assert all(stackable(shape) for shape in rungs if shape.depth > 1)
        assert max(map(opcount.reduction, rungs)) <= OPERAND_SETS[form.operand_set].k_max
        assert list(rungs) == sorted(rungs, key=opcount.ops)
        # A form whose outputs are wider than its inputs has single layers alone.
        assert any(shape.depth > 1 for shape in rungs) == (form.a == form.out)


def test_an_external_runner_climbs_the_ladder_of_the_providers() -> None:
    for kernel, form in behind_a_provider():
        climbed = [ladder.rungs(kernel.operation, form, f, quick=False) for f in ("ort", "runner")]
        assert climbed[0] == climbed[1]
    assert ladder.digest("runner") == ladder.digest("ort") != ladder.digest("cpu")
    assert ladder.digest("ort") is not None


def test_around_every_rung_and_around_that_shapes_stay_square_and_within_the_most() -> None:
    for kernel, form in behind_a_provider():
        refinement = ladder.refinement(kernel.operation, form, "ort", quick=False)
        seen: set[Shape] = set()
        for rung in ladder.rungs(kernel.operation, form, "ort", quick=False):
            for first in (rung, *refinement.neighbours(rung, 1)):
                seen |= {first, *refinement.neighbours(first, 2)}
        assert all(stackable(shape) for shape in seen if shape.depth > 1)
        assert max(shape.depth for shape in seen) == (32 if form.a == form.out else 1)
        assert {shape.streams for shape in seen} == {1, 2, 4}
        assert max(map(opcount.reduction, seen)) <= OPERAND_SETS[form.operand_set].k_max


def test_neither_depth_nor_streams_go_beyond_the_most() -> None:
    conv = registry.kernel("ort_conv")
    refinement = ladder.refinement("conv", conv.forms[0], "ort", quick=False)
    most = ConvShape(
        batch=1, channels=64, filters=64, height=14, width=14, kernel=3, padding=1, depth=24, streams=4
    )
    found = {*refinement.neighbours(most, 1)}
    assert {(shape.depth, shape.streams) for shape in found} == {(24, 4), (12, 4), (24, 2)}
    assert max(s.depth for s in refinement.neighbours(replace(most, depth=12), 1)) == 24


def test_a_processor_is_refined_as_before_and_climbs_its_whole_ladder() -> None:
    form = registry.kernel("torch_gemm").forms[0]
    for family, idle in (("cpu", None), ("ort", 2)):
        refinement = ladder.refinement("gemm", form, family, quick=False)  # type: ignore[arg-type]
        assert refinement.idle_rungs == idle
        assert ladder.refinement("gemm", form, family, quick=True).rounds == ()  # type: ignore[arg-type]
    usual = ladder.refinement("gemm", form, "cpu", quick=False)
    assert usual.dimensions == (("m",), ("n",), ("k",))
    found = usual.neighbours(GemmShape(m=512, n=512, k=512), 1)
    assert [(s.m, s.n, s.k) for s in found] == [
        (256, 512, 512), (1024, 512, 512), (512, 256, 512),
        (512, 1024, 512), (512, 512, 256), (512, 512, 1024),
    ]  # fmt: skip
    assert all((shape.depth, shape.streams) == (1, 1) for shape in ladder.ladder("gemm", "cpu", quick=False))


# ------------------------------------------------------------------------------- under a challenge

NONCES = [f"{number:064x}" for number in range(200)]


@pytest.mark.parametrize("operation", ["gemm", "conv"])
def test_a_challenges_nonce_moves_each_size_by_an_eighth_at_most_and_in_whole_steps(operation: Any) -> None:
    usual = ladder.ladder(operation, "cpu", quick=False)
    for nonce in NONCES[:50]:
        moved = ladder.ladder(operation, "cpu", quick=False, nonce=nonce)
        for before, after in zip(usual, moved, strict=True):
            for name, size in asdict(before).items():
                step = 1 if name == "height" else 64
                less = size - getattr(after, name)
                assert 0 <= less <= size / 8
                assert less % step == 0


@pytest.mark.parametrize(
    ("operation", "index", "choices"), [("gemm", 1, 8), ("gemm", 3, 20), ("gemm", 7, 125), ("conv", 4, 8)]
)
def test_the_larger_rungs_have_the_choices_that_the_profile_tells(
    operation: Any, index: int, choices: int
) -> None:
    found = {
        ladder.ladder(operation, "cpu", quick=False, nonce=f"{number:064x}")[index]
        for number in range(50 * choices)
    }
    assert len(found) == choices


def test_a_moved_ladder_is_the_same_for_everyone_who_has_the_nonce() -> None:
    quick, whole = (ladder.ladder("gemm", "cpu", quick=quick, nonce=NONCES[7]) for quick in (True, False))
    assert {*quick} <= {*whole}
    assert whole == ladder.ladder("gemm", "cpu", quick=False, nonce=NONCES[7])
    assert whole != ladder.ladder("gemm", "cpu", quick=False, nonce=NONCES[8])


def test_moved_rungs_keep_operands_exact_and_the_order_of_work() -> None:
    for kernel in registry.kernels().values():
        for form in kernel.forms:
            rungs = ladder.rungs(kernel.operation, form, "cpu", quick=False, nonce=NONCES[3])
            assert [opcount.ops(s) for s in rungs] == sorted(opcount.ops(s) for s in rungs)
            assert all(opcount.reduction(s) <= OPERAND_SETS[form.operand_set].k_max for s in rungs)
