"""What both ONNX Runtime kernels share: a session that cannot leave its provider, and bound operands."""

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import CannotMeasure
from bench.terms import ConvShape, Device, Form, Unavailable, Workload
from bench.workload import operands
from bench.workload.kernel import HostTimed

from . import _ort_graph
from ._refusal import refusal, refused_by

if TYPE_CHECKING:
    import onnxruntime

_PROVIDER = "CPUExecutionProvider"
_INTEGER_DOT = ("avx512_vnni", "avx_vnni", "amx_int8")


def unavailable(form: Form, device: Device) -> Unavailable | None:
    """A form that is for other processors than this one, or missing packages."""
    saturates = _saturates(device)
    if form.operand_set == "int8-saturating" and not saturates:
        return Unavailable(
            subject=form.name, code="not-applicable", detail="this processor adds u8*s8 products in 32 bits"
        )
    for package in ("onnxruntime", "onnx"):
        if find_spec(package) is None:
            return Unavailable(
                subject=package, code="not-installed", detail="pip install 'compute-evidence[measure]'"
            )
    if form.a == "u8" and form.operand_set == "int8" and saturates:
        return Unavailable(
            subject=form.name,
            code="saturates",
            detail="without VNNI, pairs of u8*s8 products are added in 16 bits",
        )
    return None


def _saturates(device: Device) -> bool:
    """Whether the provider's u8*s8 kernels saturate on this processor: x86 with AVX2 and no integer dot."""
    instructions = set(str(device.fact("instruction-sets") or "").split())
    return "avx2" in instructions and not instructions.intersection(_INTEGER_DOT)


@cache
def _share_one_pool(threads: int) -> None:
    """One pool of threads for all sessions: that of a session just left would go on spinning for a while,
    and halve the rate of the next one (seen: 0.43 to 0.78 of it).
    """
    import onnxruntime

    onnxruntime.set_global_thread_pool_sizes(threads, 1)


def _session(workload: Workload, *, real: bool, threads: int) -> "onnxruntime.InferenceSession":
    import onnxruntime

    options = onnxruntime.SessionOptions()
    _share_one_pool(threads)
    options.use_per_session_threads = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    model = _ort_graph.build(workload, real=real)
    session = onnxruntime.InferenceSession(model, options, providers=[_PROVIDER], enable_fallback=0)
    for subgraph in session.get_provider_graph_assignment_info():
        elsewhere = [node.name for node in subgraph.get_nodes() if subgraph.ep_name != _PROVIDER]
        if elsewhere:
            raise CannotMeasure(
                f"{workload.row}: {subgraph.ep_name} took {', '.join(elsewhere)}, expected {_PROVIDER} alone."
            )
    return session


class BoundSession(HostTimed):
    """A workload's sessions, one per operand set, with inputs and output bound in place."""

    def __init__(self, workload: Workload, threads: int, sets: tuple[bool, ...]) -> None:
        self._workload = workload
        self._runs: dict[bool, list[tuple[Any, Any]]] = {}
        self._pools: list[np.ndarray] = []
        with refused_by("onnxruntime", workload):
            out_type = _ort_graph.NUMPY_TYPES[workload.form.out]
            self._out: np.ndarray = np.zeros(_ort_graph.output_shape(workload), dtype=out_type)
            for real in sets:
                self._hold(real, threads)

    def _hold(self, real: bool, threads: int) -> None:
        session = _session(self._workload, real=real, threads=threads)
        pool = operands.pool(self._workload, "a", real=real)
        self._pools.append(pool)
        self._runs[real] = [
            (session.run_with_iobinding, self._bind(session, pool, offset))
            for offset in operands.offsets(self._workload)
        ]

    def _bind(self, session: "onnxruntime.InferenceSession", pool: np.ndarray, offset: int) -> Any:
        shape = _ort_graph.input_shape(self._workload)
        rows = int(np.prod(shape)) // pool.shape[1]
        window = pool[offset : offset + rows]
        binding = session.io_binding()
        binding.bind_input(_ort_graph.INPUT, "cpu", 0, pool.dtype.type, shape, window.ctypes.data)
        binding.bind_output(
            _ort_graph.OUTPUT, "cpu", 0, self._out.dtype.type, self._out.shape, self._out.ctypes.data
        )
        return binding

    def launch(self, index: int, *, real: bool) -> None:
        run, binding = self._runs[real][index]
        try:
            run(binding)
        except Exception as error:
            raise refusal(self._workload, "onnxruntime failed", error) from error

    def finish(self) -> float:
        return float(self._out.flat[0])

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out = self._out
        if isinstance(self._workload.shape, ConvShape):
            # (n, f, y, x) -> (n, y, x, f): a row of the implicit GEMM is one output position.
            positions = self._workload.shape.out_height * self._workload.shape.out_width
            image, position = rows.reshape(-1, 1) // positions, rows.reshape(-1, 1) % positions
            out = out.reshape(*out.shape[:2], -1)
            return np.asarray(out[image, columns.reshape(1, -1), position], dtype=np.float64)
        return np.asarray(out[rows][:, columns], dtype=np.float64)

    def close(self) -> None:
        self._runs, self._pools = {}, []
