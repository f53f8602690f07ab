"""A backend that is installed and broken: its rows are refused in its words, and nothing else ends."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

import onnx
import onnxruntime
import pytest
import torch
from scripted_device import device

from bench.devices.cpu import FAMILY
from bench.errors import CannotMeasure
from bench.terms import ConvShape, GemmShape, Shape, Workload
from bench.workload import registry
from bench.workload.kernel import Kernel

KERNELS = registry.kernels()
# ONNX Runtime's pool is set up once in a process, with as many as the other tests ask for.
PROCESSOR = next(iter(FAMILY.look().devices), device())
THREADS = PROCESSOR.fact("threads-usable")
assert isinstance(THREADS, int)
SHAPES: dict[str, Shape] = {
    "gemm": GemmShape(m=24, n=16, k=8),
    "conv": ConvShape(batch=1, channels=3, filters=5, height=7, width=4, kernel=3, padding=1),
}

each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS.keys())


class Broken:
    """Finds a package and fails to load it."""

    def __init__(self, name: str, error: Exception) -> None:
        self._name, self._error = name, error

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self._name else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        pass

    def exec_module(self, module: ModuleType) -> None:  # noqa: ARG002
        raise self._error


def workload(kernel: Kernel, form_name: str | None = None) -> Workload:
    form = next(form for form in kernel.forms if form_name in (None, form.name))
    return Workload(
        device="cpu",
        kernel=kernel.name,
        backend=kernel.backend,
        operation=kernel.operation,
        form=form,
        shape=SHAPES[kernel.operation],
        seed="c0ffee00" * 8,
    )


@each_kernel
@pytest.mark.parametrize(
    "error",
    [
        OSError("libcudart.so.12: cannot open shared object file: No such file or directory"),
        ImportError("cannot import name 'C' from partially initialized module"),
        AttributeError("module 'numpy' has no attribute 'bool8'"),
        MemoryError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_one_that_does_not_import_is_refused_in_its_words(
    kernel: Kernel, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, kernel.backend)
    monkeypatch.setattr(sys, "meta_path", [Broken(kernel.backend, error), *sys.meta_path])
    words = str(error) or "MemoryError"
    with pytest.raises(CannotMeasure) as refused:
        kernel.prepare(workload(kernel), PROCESSOR, threads=THREADS, real=False)
    assert str(refused.value) == f"{workload(kernel).row}: {kernel.backend} refused: {words}"


@each_kernel
def test_one_whose_folder_is_empty_is_refused(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    # What an uninstall leaves imports as an empty package.
    monkeypatch.setitem(sys.modules, kernel.backend, ModuleType(kernel.backend))
    with pytest.raises(CannotMeasure, match=f"{kernel.backend} refused: .*has no attribute"):
        kernel.prepare(workload(kernel), PROCESSOR, threads=THREADS, real=False)


def test_a_torch_without_integer_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "_int_mm")
    kernel = KERNELS["torch_gemm"]
    with pytest.raises(CannotMeasure, match=r"torch refused: .*_int_mm"):
        kernel.prepare(workload(kernel, "int_mm"), PROCESSOR, threads=THREADS, real=False)
    kernel.prepare(workload(kernel, "mm"), PROCESSOR, threads=THREADS, real=False).close()


def test_a_graph_that_onnx_does_not_accept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: object) -> None:  # noqa: ARG001
        raise onnx.checker.ValidationError("Your model ir_version 8 is higher than the checker's")

    monkeypatch.setattr(onnx.checker, "check_model", refuse)
    kernel = KERNELS["ort_gemm"]
    with pytest.raises(CannotMeasure, match="onnxruntime refused: Your model ir_version 8"):
        kernel.prepare(workload(kernel), PROCESSOR, threads=THREADS, real=False)


@pytest.mark.parametrize(
    ("name", "owner", "function"),
    [
        ("torch_gemm", torch, "mm"),
        ("torch_conv", torch.nn.functional, "conv2d"),
        ("ort_gemm", onnxruntime.InferenceSession, "run_with_iobinding"),
        ("ort_conv", onnxruntime.InferenceSession, "run_with_iobinding"),
    ],
)
def test_a_launch_that_fails_in_any_way_is_refused(
    name: str, owner: object, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("the driver is gone")

    monkeypatch.setattr(owner, function, fail)
    kernel = KERNELS[name]
    ready = kernel.prepare(workload(kernel), PROCESSOR, threads=THREADS, real=False)
    with pytest.raises(CannotMeasure, match=f"{kernel.backend} failed: the driver is gone"):
        ready.launch(0, real=False)
    ready.close()


@each_kernel
def test_ctrl_c_is_no_refusal(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, kernel.backend)
    pressed = Broken(kernel.backend, KeyboardInterrupt())  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "meta_path", [pressed, *sys.meta_path])
    with pytest.raises(KeyboardInterrupt):
        kernel.prepare(workload(kernel), PROCESSOR, threads=THREADS, real=False)
