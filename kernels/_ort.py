"""What both ONNX Runtime kernels share: a session that cannot leave its provider, and bound operands."""

import json
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.errors import NotAdmitted
from bench.terms import ConvShape, Device, Form, Placement, Unavailable, Workload
from bench.workload import operands
from bench.workload.kernel import CPU_PROVIDER, NOT_APPLICABLE, Examined, HostTimed, Prepared

from . import _ort_graph
from ._refusal import refusal, refused_by

if TYPE_CHECKING:
    import onnxruntime

_INTEGER_DOT = ("avx512_vnni", "avx_vnni", "amx_int8")
# Operators that multiply in floating point, as ONNX Runtime's optimised graphs name them.
_FLOATING = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Conv", "FusedConv", "NhwcFusedConv")


def unavailable(form: Form, device: Device) -> Unavailable | None:
    """A form that is for other devices than this one, or missing packages."""
    if device.family != "cpu" and form.operand_set == "int8-saturating":
        return _not_applicable(
            form, "how this device adds u8*s8 products is not known before they are checked"
        )
    if device.family == "cpu" and form.precision in ("fp16", "bf16"):
        return _not_applicable(form, "on a processor this provider casts to fp32 and back")
    if device.family == "cpu" and form.name.startswith("QLinearMatMul"):
        return _not_applicable(form, "on a processor the QDQ form is fused to it")
    saturates = _saturates(device)
    if form.operand_set == "int8-saturating" and not saturates:
        return _not_applicable(form, "this processor adds u8*s8 products in 32 bits")
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


def _not_applicable(form: Form, detail: str) -> Unavailable:
    return Unavailable(subject=form.name, code=NOT_APPLICABLE, detail=detail)


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


# The processor that the same bytes run on to be compared: what the family cpu describes is not needed.
_PROCESSOR = Device(selector="cpu", family="cpu", kind="cpu", name="cpu", vendor=None, facts=())


def prepare_on_cpu(workload: Workload, *, threads: int) -> Prepared:
    """The same bytes on the provider that every onnxruntime has."""
    return BoundSession(workload, _PROCESSOR, threads, real=False)


# ------------------------------------------------------------------------------------------- sessions


def session_options(threads: int) -> "onnxruntime.SessionOptions":
    """Options whose sessions run on the one pool of this process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    _share_one_pool(threads)
    options.use_per_session_threads = False
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def provider_of(device: Device) -> str:
    """The execution provider that a row on the device is to run in, nowhere else."""
    return CPU_PROVIDER if device.family == "cpu" else str(device.fact("ep"))


def _created(
    model: bytes, device: Device, options: "onnxruntime.SessionOptions"
) -> "onnxruntime.InferenceSession":
    """A session on the device. Raises NotAdmitted where the provider logs an error and goes on."""
    import onnxruntime

    from bench.devices import ort
    from bench.devices.overheard import overheard

    if device.family == "cpu":
        return onnxruntime.InferenceSession(model, options, providers=[CPU_PROVIDER], enable_fallback=0)
    with overheard() as heard:
        ort.add_to(options, device)
        session = onnxruntime.InferenceSession(model, options, enable_fallback=0)
        errors = [line for line in heard().split(" | ") if "[E:onnxruntime" in line]
    if errors:
        raise NotAdmitted(
            f"{provider_of(device)} reported an error and went on: {errors[0]}", code="provider-error"
        )
    return session


def _session(
    workload: Workload, model: bytes, device: Device, threads: int, *, profile: Path | None = None
) -> "onnxruntime.InferenceSession":
    """A session none of whose nodes is elsewhere than in the device's provider."""
    provider, options = provider_of(device), session_options(threads)
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if provider != CPU_PROVIDER:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        session = _created(model, device, options)
    except NotAdmitted:
        raise
    except Exception as error:
        if "fallback to CPU EP" in str(error):
            raise _not_placed(workload, _strangers(model, device, threads), provider) from error
        raise
    strangers = _elsewhere(_placements(session), provider)
    if strangers:
        raise _not_placed(workload, strangers, provider)
    return session


def _strangers(model: bytes, device: Device, threads: int) -> list[Placement]:
    """The nodes that the provider does not take, from a session that lets them fall back."""
    session = _created(model, device, session_options(threads))
    return _elsewhere(_placements(session), provider_of(device))


def _elsewhere(placements: Sequence[Placement], provider: str) -> list[Placement]:
    return [placed for placed in placements if placed.provider != provider]


def _placements(session: "onnxruntime.InferenceSession") -> list[Placement]:
    """Of every node, as the session was partitioned."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise NotAdmitted(
            "this onnxruntime does not tell where nodes are placed, expected 1.24 or later. "
            "Type: pip install --upgrade onnxruntime",
            code="placement-unknown",
        )
    return [
        Placement(node=node.name, operator=node.op_type, provider=subgraph.ep_name)
        for subgraph in session.get_provider_graph_assignment_info()
        for node in subgraph.get_nodes()
    ]


def _not_placed(workload: Workload, strangers: Sequence[Placement], provider: str) -> NotAdmitted:
    heavy = [placed for placed in strangers if placed.node.startswith(_ort_graph.HEAVY)]
    named = ", ".join(f"{placed.node} ({placed.operator})" for placed in (heavy or strangers)[:3])
    return NotAdmitted(
        f"{workload.row}: {provider} does not take {named or 'a node of the graph'}: it would run elsewhere.",
        code="not-placed",
    )


# ------------------------------------------------------------------------------------------ examining


def examine(workload: Workload, device: Device, threads: int) -> Examined:
    """Where the graph's heavy nodes are placed, and as which operators they run. Raises NotAdmitted."""
    real = operands.is_deep(workload)
    model, provider = _ort_graph.build(workload, real=real), provider_of(device)
    with refused_by("onnxruntime", workload), tempfile.TemporaryDirectory() as folder:
        session = _session(workload, model, device, threads, profile=Path(folder) / "profile")
        placed = [p for p in _placements(session) if p.node.startswith(_ort_graph.HEAVY)]
        if len(placed) < workload.shape.depth:
            raise NotAdmitted(
                f"{workload.row}: {provider} tells where {len(placed)} of {workload.shape.depth} nodes are.",
                code="placement-unknown",
            )
        session.run(None, {_ort_graph.INPUT: _input(workload, real=real)})
        operators = _ran(Path(session.end_profiling()))
    if workload.form.a in ("f16", "bf16") and "Cast" in operators:
        raise NotAdmitted(
            f"{workload.row}: {provider} casts to another type and back: it runs {', '.join(operators)}.",
            code="cast-around",
        )
    floating = [name for name in operators if name in _FLOATING]
    if workload.form.a in ("u8", "s8") and floating:
        raise NotAdmitted(
            f"{workload.row}: {provider} did not fuse the form to integers: it runs {', '.join(floating)} on "
            "dequantised values.",
            code="not-fused",
        )
    return Examined(
        graph=_ort_graph.digest(model), placements=tuple(placed), fused=_shown(operators, workload)
    )


def _ran(profile: Path) -> tuple[str, ...]:
    """The operators in a session's profile, each once, in their order."""
    events = json.loads(profile.read_text("utf-8"))
    names = (event["args"].get("op_name") for event in events if event.get("cat") == "Node")
    return tuple(dict.fromkeys(name for name in names if name))


def _shown(operators: Sequence[str], workload: Workload) -> tuple[str, ...] | None:
    """None where a provider compiled all of it into nodes of its own: then no operator is seen."""
    family = "MatMul" if workload.operation == "gemm" else "Conv"
    return tuple(operators) if any(family in name or "Gemm" in name for name in operators) else None


def _input(workload: Workload, *, real: bool) -> np.ndarray:
    pool = _pool(workload, real=real)
    return _window(workload, pool, operands.offsets(workload)[0])


def _pool(workload: Workload, *, real: bool) -> np.ndarray:
    pool = operands.pool(workload, "a", real=real)
    return pool.astype(_ort_graph.numpy_type("bf16")) if workload.form.a == "bf16" else pool


def _window(workload: Workload, pool: np.ndarray, offset: int) -> np.ndarray:
    shape = _ort_graph.input_shape(workload)
    rows = int(np.prod(shape)) // pool.shape[1]
    return pool[offset : offset + rows].reshape(shape)


def inputs(workload: Workload, *, real: bool) -> list[np.ndarray]:
    """The input of each launch and, within it, of each stream: views of one pool."""
    pool = _pool(workload, real=real)
    return [
        _window(workload, pool, offset + int(operands.stream_offset(stream)))
        for offset in operands.offsets(workload)
        for stream in range(workload.shape.streams)
    ]


def at_places(workload: Workload, out: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Outputs (streams, ...) of a launch at rows x columns of the implicit GEMM, as float64."""
    if isinstance(workload.shape, ConvShape):
        # (s, n, f, y, x) -> (s n, y x, f): a row of the implicit GEMM is one output position.
        positions = workload.shape.out_height * workload.shape.out_width
        image, position = rows.reshape(-1, 1) // positions, rows.reshape(-1, 1) % positions
        images = out.reshape(-1, workload.shape.filters, positions)
        return np.asarray(images[image, columns.reshape(1, -1), position], dtype=np.float64)
    return np.asarray(out.reshape(-1, workload.shape.n)[rows][:, columns], dtype=np.float64)


# --------------------------------------------------------------------------------------------- launching


class BoundSession(HostTimed):
    """A workload's sessions, one per operand set, with inputs and outputs bound in place.

    With more than one stream each has a thread and an output of its own, and a launch is one run of each.
    """

    def __init__(self, workload: Workload, device: Device, threads: int, *, real: bool) -> None:
        self._workload = workload
        self._runs: dict[bool, list[list[Any]]] = {}
        self._pools: list[list[np.ndarray]] = []
        self._pending: list[Future[None]] = []
        streams = workload.shape.streams
        self._workers = [ThreadPoolExecutor(1) for _ in range(streams)] if streams > 1 else []
        with refused_by("onnxruntime", workload):
            out_type = _ort_graph.numpy_type(workload.form.out)
            shape = (streams, *_ort_graph.output_shape(workload))
            self._out: np.ndarray = np.zeros(shape, dtype=out_type)
            if operands.is_deep(workload):
                self._runs[True] = self._runs[False] = self._held(device, threads, real=True)
            else:
                self._runs[False] = self._held(device, threads, real=False)
                if real:
                    self._runs[True] = self._held(device, threads, real=True)

    def _held(self, device: Device, threads: int, *, real: bool) -> list[list[Any]]:
        """For each launch of the pool, for each stream: a run that is ready."""
        workload, streams = self._workload, self._workload.shape.streams
        model = _ort_graph.build(workload, real=real)
        session = _session(workload, model, device, threads)
        given = inputs(workload, real=real)
        self._pools.append(given)
        bound = [self._bind(session, x, self._out[i % streams]) for i, x in enumerate(given)]
        return [bound[first : first + streams] for first in range(0, len(bound), streams)]

    def _bind(self, session: "onnxruntime.InferenceSession", x: np.ndarray, y: np.ndarray) -> Any:
        form, binding = self._workload.form, session.io_binding()
        binding.bind_input(_ort_graph.INPUT, "cpu", 0, _bound_type(form.a), x.shape, x.ctypes.data)
        binding.bind_output(_ort_graph.OUTPUT, "cpu", 0, _bound_type(form.out), y.shape, y.ctypes.data)

        def run() -> None:
            session.run_with_iobinding(binding)
            # A provider whose time is its own has not finished when the run returns.
            binding.synchronize_outputs()

        return run

    def launch(self, index: int, *, real: bool) -> None:
        runs = self._runs[real][index]
        try:
            if not self._workers:
                runs[0]()
                return
            self._pending += [worker.submit(run) for worker, run in zip(self._workers, runs, strict=True)]
        except Exception as error:
            raise refusal(self._workload, "onnxruntime failed", error) from error

    def finish(self) -> float:
        pending, self._pending = self._pending, []
        try:
            for each in pending:
                each.result()
        except Exception as error:
            raise refusal(self._workload, "onnxruntime failed", error) from error
        return float(self._out.flat[0])

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return at_places(self._workload, self._out, rows, columns)

    def close(self) -> None:
        for worker in self._workers:
            worker.shutdown(cancel_futures=True)
        self._runs, self._pools = {}, []


def _bound_type(element: Any) -> Any:
    """numpy's type, or ONNX's number of a type that numpy has not."""
    return _ort_graph.tensor_type(element) if element == "bf16" else _ort_graph.numpy_type(element)
