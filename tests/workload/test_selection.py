"""Which rows a run has, and at which shapes: the devices' facts and what was asked decide, nothing else."""

import sys
from dataclasses import asdict
from typing import Any

import pytest

from bench.terms import Device, Fact, Family
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


def test_a_family_without_kernels_has_no_rows() -> None:
    assert selection.select(device(None, family="ort"), (), quick=False) == []
    assert selection.offered_precisions(device(None, family="ort")) == set()


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
