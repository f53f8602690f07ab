"""What the kernels of ONNX graphs share: their forms' shape, and who is handed a graph.

A processor or a provider is, in this process, ONNX Runtime's; a board without one has a runner.
"""

from bench.terms import Device, Element, Family, Form, Unavailable, Workload
from bench.workload.kernel import Examined, Prepared

from . import _ort, _runner


def integer(name: str, a: Element, out: Element, *, layout: str, operand_set: str = "int8") -> Form:
    """An int8 form with weights in s8."""
    return Form(precision="int8", name=name, a=a, b="s8", out=out, operand_set=operand_set, layout=layout)


def floating(precision: str, element: Element, *, name: str, layout: str) -> Form:
    """A form that is the plain operator, `name`, in one type."""
    return Form(
        precision=precision,
        name=name,
        a=element,
        b=element,
        out=element,
        operand_set=precision,
        layout=layout,
    )


class OnnxKernel:
    """A kernel but for its name, operation and forms."""

    backend = "onnxruntime"
    families: tuple[Family, ...] = ("cpu", "ort", "runner")

    def unavailable(self, form: Form, device: Device) -> Unavailable | None:
        return _ort.unavailable(form, device)

    def prepare(self, workload: Workload, device: Device, *, threads: int, real: bool) -> Prepared:
        if device.family == "runner":
            return _runner.RunnerGraph(workload, device, real=real)
        return _ort.BoundSession(workload, device, threads, real=real)

    def examine(self, workload: Workload, device: Device, *, threads: int) -> Examined:
        if device.family == "runner":
            return _runner.examine(workload)
        return _ort.examine(workload, device, threads)

    def prepare_on_cpu(self, workload: Workload, *, threads: int) -> Prepared:
        return _ort.prepare_on_cpu(workload, threads=threads)
