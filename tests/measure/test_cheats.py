"""Kernels that cheat, each driven through the real loop with the host's clocks and real products.

A cheat either always cheats, or is honest until timing begins: then it knows which launches are timed,
which is more than any library can know. Those at the end are not seen by this design, and say why.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from scripted_device import FP32, INT8, MS, Watcher, device, run_rows, schedule, telemetry

from bench.devices.clock import HostClock
from bench.judge.ceiling import NO_CLOCK
from bench.judge.delivered import Result, deliver
from bench.measure import stats
from bench.measure.loop import Loop
from bench.measure.row import Row
from bench.terms import (
    Device,
    Family,
    Form,
    GemmShape,
    Measurement,
    Operation,
    Schedule,
    Unavailable,
    Workload,
)
from bench.workload import operands
from bench.workload.kernel import HostTimed

SHAPE = GemmShape(m=64, n=48, k=256)
FP16 = Form(precision="fp16", name="mm", a="f16", b="f16", out="f16", operand_set="fp16", layout="row-major")
BF16 = Form(
    precision="bf16", name="mm", a="bf16", b="bf16", out="bf16", operand_set="bf16", layout="row-major"
)
U8S8 = replace(INT8, name="u8s8", a="u8")
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "s32": torch.int32}
THREADS = len(os.sched_getaffinity(0))

# Samples of 1 ms in windows of 24 ms: about 120 samples a row, each with outputs compared.
SHORT: Schedule = schedule(window_ns=24 * MS, settle_least_ns=4 * MS, settle_most_ns=12 * MS, limit_ns=1)

Tensor = torch.Tensor


# --------------------------------------------------------------------------------- honest arithmetic


def honest(left: Tensor, right: Tensor) -> Tensor:
    if not left.is_floating_point():
        return torch._int_mm(left, right)
    return left @ right


@dataclass(slots=True)
class Prepared(HostTimed):
    """Computes `arithmetic` of the operands; honestly in its first `honest_launches`."""

    workload: Workload
    kernel: "Kernel"
    left: dict[bool, Tensor]
    right: dict[bool, Tensor]
    out: Tensor
    launches: int = 0
    memory: dict[object, Any] = field(default_factory=dict)

    def operands(self, index: int, real: bool) -> tuple[Tensor, Tensor]:
        shape, offset = self.workload.shape, operands.offsets(self.workload)[index]
        assert isinstance(shape, GemmShape)
        return self.left[real][offset : offset + shape.m], self.right[real]

    def launch(self, index: int, *, real: bool) -> None:
        self.launches += 1
        if self.launches <= self.kernel.honest_launches:
            self.out = honest(*self.operands(index, real)).to(self.out.dtype)
        else:
            self.out = self.kernel.cheat(self, index, real).to(self.out.dtype)

    def finish(self) -> float:
        if "pending" in self.memory:
            left, right = self.memory.pop("pending")
            self.out = honest(left, right)
        return float(self.out[0, 0])

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        block: np.ndarray = self.out[rows][:, columns].double().numpy()
        return block

    def close(self) -> None:
        self.memory.clear()


Cheat = Callable[[Prepared, int, bool], Tensor]


def arithmetic(product: Callable[[Tensor, Tensor], Tensor]) -> Cheat:
    return lambda prepared, index, real: product(*prepared.operands(index, real))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    cheat: Cheat
    form: Form
    honest_launches: int = 0
    name: str = "cheat"
    backend: str = "cheat"
    operation: Operation = "gemm"
    families: tuple[Family, ...] = ("cpu",)

    @property
    def forms(self) -> tuple[Form, ...]:
        return (self.form,)

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:  # noqa: ARG002
        return None

    def prepare(
        self,
        workload: Workload,
        device: Device,  # noqa: ARG002
        *,
        threads: int,
        real: bool,
    ) -> Prepared:
        torch.set_num_threads(threads)
        sets = (False, True) if real else (False,)
        shape = workload.shape
        assert isinstance(shape, GemmShape)

        def pool(which: str, of_reals: bool) -> Tensor:
            values = operands.pool(workload, which, real=of_reals)
            if values.dtype == np.uint8:
                values = (values.astype(np.int16) - 128).astype(np.int8)
            tensor = torch.from_numpy(values)
            return tensor.bfloat16() if workload.form.a == "bf16" else tensor

        return Prepared(
            workload=workload,
            kernel=self,
            left={r: pool("a", r) for r in sets},
            right={r: pool("b", r) for r in sets},
            out=torch.zeros((shape.m, shape.n), dtype=TYPES[workload.form.out]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    result: Result
    measurement: Measurement

    @property
    def counts(self) -> bool:
        return self.result.rows[0].counts

    @property
    def reason(self) -> str | None:
        return self.result.rows[0].reason

    @property
    def codes(self) -> set[str]:
        return {finding.code for finding in self.result.findings}


# The check before timing takes three launches of a row's operands; the next launch is timed.
UNTIMED = 3


def run(cheat: Cheat, form: Form = FP32, *, only_timed: bool = False) -> Outcome:
    kernel = Kernel(cheat=cheat, form=form, honest_launches=UNTIMED if only_timed else 0)
    workload = Workload(
        device="cpu",
        kernel="cheat",
        backend="cheat",
        operation="gemm",
        form=form,
        shape=SHAPE,
        seed="a7" * 16,
    )
    row = Row(workload=workload, kernel=kernel, ladder=(SHAPE,), device=device(), threads=1)
    clock = HostClock()
    loop = Loop(
        clock=clock,
        schedule=SHORT,
        room=1 << 34,
        progress=Watcher(),
        after_visit=lambda _schedule: None,
        origin_ns=clock.host_ns(),
    )
    run_rows(loop, [row])
    loop.close([row])
    measurement = row.measurement()
    return Outcome(
        result=deliver([device(threads=THREADS)], [measurement], telemetry(), clock=NO_CLOCK),
        measurement=measurement,
    )


# ---------------------------------------------------------------------------------------- the cheats


def zeros(prepared: Prepared, index: int, real: bool) -> Tensor:  # noqa: ARG001
    return torch.zeros_like(prepared.out)


def constant(prepared: Prepared, index: int, real: bool) -> Tensor:  # noqa: ARG001
    return torch.full_like(prepared.out, 7)


def previous(prepared: Prepared, index: int, real: bool) -> Tensor:
    """What the launch before this one should have returned."""
    shown = prepared.memory.get("last", torch.zeros_like(prepared.out))
    prepared.memory["last"] = honest(*prepared.operands(index, real)).to(prepared.out.dtype)
    return shown


def stale(prepared: Prepared, index: int, real: bool) -> Tensor:
    """Computes once, then leaves the output as it is."""
    if "first" not in prepared.memory:
        prepared.memory["first"] = honest(*prepared.operands(index, real)).to(prepared.out.dtype)
    return prepared.memory["first"]


def one_set_of_operands(prepared: Prepared, index: int, real: bool) -> Tensor:  # noqa: ARG001
    """Ignores the offset: caches by the pool."""
    return honest(*prepared.operands(0, real))


def a_tenth_of_k_skipped(left: Tensor, right: Tensor) -> Tensor:
    k = left.shape[1] * 9 // 10
    return honest(left[:, :k].contiguous(), right[:k].contiguous())


def a_tenth_of_rows_skipped(prepared: Prepared, index: int, real: bool) -> Tensor:
    left, right = prepared.operands(index, real)
    rows = left.shape[0] * 9 // 10
    product = honest(left[:rows], right).to(prepared.out.dtype)
    return torch.cat([product, prepared.out[rows:]])


def half_of_the_columns_skipped(prepared: Prepared, index: int, real: bool) -> Tensor:
    left, right = prepared.operands(index, real)
    columns = right.shape[1] // 2
    product = honest(left, right[:, :columns].contiguous()).to(prepared.out.dtype)
    return torch.cat([product, prepared.out[:, columns:]], dim=1)


def through_bf16(left: Tensor, right: Tensor) -> Tensor:
    return (left.bfloat16() @ right.bfloat16()).float()


def bf16_operands_wide_output(left: Tensor, right: Tensor) -> Tensor:
    return left.bfloat16().float() @ right.bfloat16().float()


def through_tf32(left: Tensor, right: Tensor) -> Tensor:
    return tf32(left) @ tf32(right)


def tf32(values: Tensor) -> Tensor:
    """Rounded to eleven significant bits, half away from zero, as TF32 units do."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def truncated_tf32(left: Tensor, right: Tensor) -> Tensor:
    cut = [(x.contiguous().view(torch.int32) & ~0x1FFF).view(torch.float32) for x in (left, right)]
    return cut[0] @ cut[1]


def through_fp16(left: Tensor, right: Tensor) -> Tensor:
    scale = 2.0**-12  # products of the fp32 operand set would overflow
    return ((left * scale).half().float() @ right.half().float()).half().float() / scale


def fp16_sums(left: Tensor, right: Tensor) -> Tensor:
    """Sums kept in fp16: blocks of 16 products at a time."""
    total = torch.zeros((left.shape[0], right.shape[1]), dtype=torch.float16)
    for k in range(0, left.shape[1], 16):
        total += (left[:, k : k + 16].float() @ right[k : k + 16].float()).half()
    return total


def through_int8(left: Tensor, right: Tensor) -> Tensor:
    """Quantised to 8 bits by the largest magnitude, as for a bf16 claim."""
    parts = [x.float() for x in (left, right)]
    scales = [float(p.abs().max()) / 127 for p in parts]
    codes = [torch.round(p / s).to(torch.int8) for p, s in zip(parts, scales, strict=True)]
    return torch._int_mm(codes[0].contiguous(), codes[1].contiguous()).float() * (scales[0] * scales[1])


def two_int8_products(left: Tensor, right: Tensor) -> Tensor:
    """A = 128 hi + lo with 8 bits each, B of 8 bits: exact where A and B are small integers."""
    a_scale = 1.0 if float(left.abs().max()) > 1 else 2.0**-13
    b_scale = 1.0 if float(right.abs().max()) > 1 else 2.0**-8
    a = torch.round(left / a_scale)
    high = torch.round(a / 128)
    low = a - 128 * high
    b = torch.round(right / b_scale).clamp(-127, 127).to(torch.int8)
    products = [torch._int_mm(part.to(torch.int8), b) for part in (high, low)]
    return (128 * products[0] + products[1]).float() * (a_scale * b_scale)


def dequantised(left: Tensor, right: Tensor) -> Tensor:
    """An "int8" product in floating point: exact on zero-mean operands."""
    return (left.float() @ right.float()).to(torch.int32)


def int4(left: Tensor, right: Tensor) -> Tensor:
    return 256 * torch._int_mm((left >> 4).contiguous(), (right >> 4).contiguous())


WRONG: dict[str, tuple[Cheat, Form]] = {
    "zeros": (zeros, FP32),
    "a constant": (constant, FP32),
    "the previous output": (previous, FP32),
    "the first output for ever": (stale, FP32),
    "the output of other operands": (one_set_of_operands, FP32),
    "a tenth of K skipped": (arithmetic(a_tenth_of_k_skipped), FP32),
    "half of the columns skipped": (half_of_the_columns_skipped, FP32),
    "bf16 for fp32": (arithmetic(through_bf16), FP32),
    "bf16 operands summed in fp32 for fp32": (arithmetic(bf16_operands_wide_output), FP32),
    "TF32 for fp32": (arithmetic(through_tf32), FP32),
    "truncated TF32 for fp32": (arithmetic(truncated_tf32), FP32),
    "fp16 for fp32": (arithmetic(through_fp16), FP32),
    "int8 for fp32": (arithmetic(through_int8), FP32),
    "fp16 accumulation for fp16": (arithmetic(fp16_sums), FP16),
    "bf16 for fp16": (arithmetic(lambda a, b: (a.bfloat16() @ b.bfloat16()).half()), FP16),
    "int8 for bf16": (arithmetic(through_int8), BF16),
    "int4 for int8": (arithmetic(int4), INT8),
    "zeros for int8": (zeros, INT8),
    "a tenth of the rows skipped": (a_tenth_of_rows_skipped, FP32),
    "the previous output for int8": (previous, INT8),
    "a tenth of K skipped for int8": (arithmetic(a_tenth_of_k_skipped), INT8),
}


# ---------------------------------------------------------------------------------------- the honest


@pytest.mark.parametrize(
    "form", [FP32, FP16, BF16, INT8, U8S8], ids=lambda form: f"{form.precision} {form.name}"
)
def test_an_honest_kernel_counts(form: Form) -> None:
    outcome = run(arithmetic(honest), form)
    assert (outcome.counts, outcome.reason) == (True, None)
    assert outcome.result.rows[0].measured == form.precision


# Most outputs are right: the 24 rows that are looked at before timing miss a tenth of the rows in 8 % of
# runs (0.9^24), those and the 50 rows and more of timed launches in less than one of 2,000 (0.9^74).
PATCHY = ("a tenth of the rows skipped",)


# ----------------------------------------------------------------------------------- always cheating


@pytest.mark.parametrize("name", [name for name in WRONG if name not in PATCHY])
def test_a_wrong_kernel_has_no_time(name: str) -> None:
    outcome = run(*WRONG[name])
    assert (outcome.counts, outcome.reason) == (False, "wrong-outputs")
    assert outcome.measurement.visits == ()
    assert outcome.result.figures[0].estimate is None


@pytest.mark.parametrize("name", PATCHY)
def test_a_kernel_that_is_wrong_in_places_has_no_figure(name: str) -> None:
    outcome = run(*WRONG[name])
    assert not outcome.counts
    assert outcome.reason in ("wrong-outputs", "wrong-timed-outputs")
    assert outcome.result.figures[0].estimate is None


@pytest.mark.parametrize("name", WRONG)
def test_a_kernel_that_is_wrong_in_timed_launches_alone_has_no_figure(name: str) -> None:
    outcome = run(*WRONG[name], only_timed=True)
    assert outcome.measurement.before is not None
    assert outcome.measurement.before.wrong == 0
    assert outcome.result.rows[0].measured == WRONG[name][1].precision
    assert len(outcome.measurement.visits) == 5
    assert (outcome.counts, outcome.reason) == (False, "wrong-timed-outputs")
    assert outcome.result.figures[0].estimate is None


# ---------------------------------------------------------- exact on the integer operands all the same


def test_fp32_by_two_int8_products_is_exact_on_integers_and_named_by_the_probe() -> None:
    outcome = run(arithmetic(two_int8_products))
    assert outcome.measurement.before is not None
    assert outcome.measurement.before.wrong == 0
    assert outcome.measurement.timed is not None
    assert outcome.measurement.timed.wrong == 0
    assert {"arithmetic-differs", "wrong-timed-reals"} <= outcome.codes
    assert not outcome.counts
    assert outcome.result.rows[0].measured != "fp32"


def test_fp32_by_two_int8_products_in_timed_launches_alone_is_caught_on_timed_reals() -> None:
    outcome = run(arithmetic(two_int8_products), only_timed=True)
    assert outcome.result.rows[0].measured == "fp32"
    assert outcome.measurement.timed is not None
    assert outcome.measurement.timed.wrong == 0
    assert (outcome.counts, outcome.reason) == (False, "wrong-timed-reals")
    assert outcome.result.figures[0].estimate is None


@pytest.mark.parametrize("product", [through_tf32, through_bf16, two_int8_products])
def test_a_kernel_honest_on_exact_operands_and_cheap_on_reals_has_no_figure(
    product: Callable[[Tensor, Tensor], Tensor],
) -> None:
    def cheat(prepared: Prepared, index: int, real: bool) -> Tensor:
        return (product if real else honest)(*prepared.operands(index, real))

    outcome = run(cheat, only_timed=True)
    assert (outcome.counts, outcome.reason) == (False, "wrong-timed-reals")


@pytest.mark.parametrize("form", [INT8, U8S8], ids=["s8s8", "u8s8"])
def test_an_int8_product_dequantised_through_fp32_is_named_by_the_same_sign_probe(form: Form) -> None:
    outcome = run(arithmetic(dequantised), form)
    assert outcome.measurement.before is not None
    assert outcome.measurement.before.wrong == 0
    assert (outcome.counts, outcome.reason) == (False, "arithmetic-differs")
    assert outcome.result.rows[0].measured == "floating-point"


def test_a_fast_path_for_exact_operands_gains_nothing_the_rate_on_reals_is_the_figure() -> None:
    def cheat(prepared: Prepared, index: int, real: bool) -> Tensor:
        pair = prepared.operands(index, real)
        for _ in range(20 if real else 0):
            honest(*pair)
        return honest(*pair)

    outcome = run(cheat)
    ops = outcome.measurement.cost.ops
    slow = stats.mean_rate(outcome.measurement.visits, ops, "TFLOPS", real_only=True)
    mixed = stats.mean_rate(outcome.measurement.visits, ops, "TFLOPS", real_only=False)
    figure = outcome.result.figures[0].estimate
    assert "operand-rates-differ" in outcome.codes
    assert slow is not None
    assert mixed is not None
    assert figure == slow
    assert figure.value < 0.7 * mixed.value


# ------------------------------------------------------------------------- what this design does not see


def test_not_seen_an_int8_product_through_fp32_in_timed_launches_alone() -> None:
    """Timed integers have zero mean and stay exact in fp32; only the untimed probe leaves its range."""
    assert run(arithmetic(dequantised), INT8, only_timed=True).counts


def test_not_seen_a_kernel_that_keeps_the_output_of_each_operand_offset() -> None:
    """There are sixteen offsets and one B: their products can be kept, and each is right."""

    def cheat(prepared: Prepared, index: int, real: bool) -> Tensor:
        kept = prepared.memory.get((index, real))
        if kept is None:
            kept = prepared.memory[index, real] = honest(*prepared.operands(index, real))
        return kept

    assert run(cheat).counts


def test_not_seen_a_kernel_that_computes_only_the_last_launch_before_it_is_waited_for() -> None:
    """An output that nobody reads need not be computed; only the last of a sample is read."""

    def cheat(prepared: Prepared, index: int, real: bool) -> Tensor:
        prepared.memory["pending"] = prepared.operands(index, real)
        return prepared.out

    assert run(cheat).counts
