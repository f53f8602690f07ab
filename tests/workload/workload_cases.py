"""Workloads for the tests of this room: one form per operand set, and the shapes they run at."""

from bench.terms import ConvShape, Form, GemmShape, Shape, Workload

SEED = "5eed" * 16

# A form for every operand set, by the set's name.
FORMS = {
    "fp64": Form(
        precision="fp64", name="plain", a="f64", b="f64", out="f64", operand_set="fp64", layout="row-major"
    ),
    "fp32": Form(
        precision="fp32", name="plain", a="f32", b="f32", out="f32", operand_set="fp32", layout="row-major"
    ),
    "tf32": Form(
        precision="tf32", name="plain", a="f32", b="f32", out="f32", operand_set="tf32", layout="row-major"
    ),
    "bf16": Form(
        precision="bf16", name="plain", a="bf16", b="bf16", out="bf16", operand_set="bf16", layout="row-major"
    ),
    "fp16": Form(
        precision="fp16", name="plain", a="f16", b="f16", out="f16", operand_set="fp16", layout="row-major"
    ),
    "fp8_e4m3": Form(
        precision="fp8_e4m3",
        name="plain",
        a="f8_e4m3",
        b="f8_e4m3",
        out="bf16",
        operand_set="fp8_e4m3",
        layout="row-major",
    ),
    "fp8_e5m2": Form(
        precision="fp8_e5m2",
        name="plain",
        a="f8_e5m2",
        b="f8_e4m3",
        out="bf16",
        operand_set="fp8_e5m2",
        layout="row-major",
    ),
    "int8": Form(
        precision="int8", name="plain", a="s8", b="s8", out="s32", operand_set="int8", layout="row-major"
    ),
    "int8-saturating": Form(
        precision="int8",
        name="saturating",
        a="u8",
        b="s8",
        out="s32",
        operand_set="int8-saturating",
        layout="row-major",
    ),
    "int8-same-sign": Form(
        precision="int8",
        name="same-sign",
        a="u8",
        b="s8",
        out="s32",
        operand_set="int8-same-sign",
        layout="row-major",
    ),
}

SMALL_GEMM = GemmShape(m=5, n=7, k=9)
SMALL_CONV = ConvShape(batch=2, channels=3, filters=5, height=7, width=4, kernel=3, padding=1)


def workload(form: Form, shape: Shape, seed: str = SEED) -> Workload:
    """A workload of no kernel in particular."""
    return Workload(
        device="cpu",
        kernel="any",
        backend="numpy",
        operation="gemm" if isinstance(shape, GemmShape) else "conv",
        form=form,
        shape=shape,
        seed=seed,
    )


def gemm_of(name: str, k: int, rows: int = 8, columns: int = 8) -> Workload:
    """A product on the named operand set."""
    return workload(FORMS[name], GemmShape(m=rows, n=columns, k=k))
