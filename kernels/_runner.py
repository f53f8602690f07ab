"""Graphs on an external runner: the same ONNX bytes, the same operands, timed from outside.

A batch of launches is one request. Each of its runs has an input that nobody has seen before: one that was
loaded, rotated by so much as is drawn for this run alone. Only the last launch runs on inputs as they were
loaded, and is held against the right outputs as any backend's is. The digests of all outputs stand before the
clock stops; they themselves then choose which other run is held against the right outputs.
"""

import hashlib
import secrets
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from bench.devices import runner
from bench.devices.runner_client import Answer, Graph, Tensor
from bench.errors import NotAdmitted
from bench.terms import Device, Workload
from bench.workload import accuracy, operands, sampling
from bench.workload.accuracy import Outputs, Place
from bench.workload.kernel import Examined

from . import _ort, _ort_graph

# One request in so many is audited. The right outputs of a deep graph take about a second of processor time,
# in which the device stands idle: more of them would let it cool, fewer would see less.
_AUDITED, _AUDITED_DEEP = 4, 32


def examine(workload: Workload) -> Examined:
    """Nobody but the runner sees where its graphs run, nor as what."""
    model = _ort_graph.build(workload, real=operands.is_deep(workload))
    return Examined(graph=_ort_graph.digest(model), placements=(), fused=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run of a request: which of the operands, which stream, and by how much its input is rotated."""

    index: int
    stream: int
    rotation: int


def _place(alone: Workload, run: _Run, at: int, *, real: bool) -> Place:
    """Where an audited run of a workload of one stream is looked at."""
    offset = operands.offsets(alone)[run.index] + int(operands.stream_offset(run.stream))
    real = real or operands.is_deep(alone)
    place = accuracy.choose_place(alone, "audit", at, offset=offset, real=real, size=sampling.BEFORE)
    return replace(place, rotation=run.rotation)


class RunnerGraph:
    """A workload's graphs on the runner, one per operand set."""

    def __init__(self, workload: Workload, device: Device, *, real: bool) -> None:
        self._workload = workload
        self._elements = prod(_ort_graph.input_shape(workload))
        self._order: list[int] = []
        self._runs: list[_Run] = []
        self._real = False
        self._answer = Answer(latencies_ns=(), sha256=())
        self._audited = False
        deep = operands.is_deep(workload)
        form = workload.form
        takes = Tensor(name=_ort_graph.INPUT, element=form.a, shape=tuple(_ort_graph.input_shape(workload)))
        gives = Tensor(
            name=_ort_graph.OUTPUT, element=form.out, shape=tuple(_ort_graph.output_shape(workload))
        )
        self._graphs: dict[bool, Graph] = {}
        for of_reals in (True,) if deep else (False, True) if real else (False,):
            graph = runner.connected(device).prepare(
                _ort_graph.build(workload, real=of_reals),
                takes=takes,
                gives=gives,
                streams=workload.shape.streams,
            )
            self._graphs[of_reals] = graph
            graph.load([_bits(x) for x in _ort.inputs(workload, real=of_reals)])
        if deep:
            self._graphs[False] = self._graphs[True]

    def launch(self, index: int, *, real: bool) -> None:
        self._real = real
        self._order.append(index)

    def finish(self) -> float:
        streams = range(self._workload.shape.streams)
        pairs = [(index, stream) for index in self._order for stream in streams]
        rotations = [*self._foreseen_by_nobody(len(pairs) - len(streams)), *(0 for _ in streams)]
        self._runs = [
            _Run(index=index, stream=stream, rotation=rotation)
            for (index, stream), rotation in zip(pairs, rotations, strict=True)
        ]
        inputs = [index * len(streams) + stream for index, stream in pairs]
        self._answer = self._graphs[self._real].run(inputs, rotations)
        self._order = []
        return float(self._answer.latencies_ns[-1])

    def _foreseen_by_nobody(self, count: int) -> list[int]:
        """So many rotations. Some come once in 2^40 more often than others."""
        words = np.frombuffer(secrets.token_bytes(8 * count), "<u8")
        rotations: list[int] = (words % self._elements).tolist()
        return rotations

    def outputs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        streams, runs = self._workload.shape.streams, len(self._runs)
        found = [self._output(run) for run in range(runs - streams, runs)]
        return _ort.at_places(self._workload, np.stack(found), rows, columns)

    def _output(self, run: int) -> np.ndarray:
        return _values(self._graphs[self._real].output(run), self._workload)

    def mark(self) -> None:
        pass

    def device_ns(self) -> int:
        """The runner's own word for the time of the last request: streams that overlap share it."""
        self._audit()
        return max(1, sum(self._answer.latencies_ns) // self._workload.shape.streams)

    def _audit(self) -> None:
        """Hold a run of the last request against its right outputs; which one, its digests say. Not timed.

        Of the requests that are asked about, the first is always audited.
        """
        workload, digests = self._workload, "".join(self._answer.sha256)
        drawn = hashlib.sha256(bytes.fromhex(workload.seed + digests)).digest()
        share, run, at = (int.from_bytes(drawn[8 * i : 8 * i + 8], "big") for i in range(3))
        if self._audited and share % (_AUDITED_DEEP if operands.is_deep(workload) else _AUDITED):
            return
        self._audited = True
        run %= len(self._runs)
        # A run is of one stream: of a launch with one stream, whose inputs lie further on in the pool.
        alone = replace(workload, shape=replace(workload.shape, streams=1))
        place = _place(alone, self._runs[run], at % 2**32, real=self._real)
        rows, columns = np.array(place.rows), np.array(place.columns)
        values = _ort.at_places(alone, self._output(run), rows, columns)
        check = accuracy.tally(alone, Outputs(place=place, values=values)).check()
        # Codes that are off by one are counted with all others in what the loop compares.
        fits = accuracy.real_error_fits(alone, check) if place.real else check.wrong == 0
        if not fits:
            raise NotAdmitted(
                f"{workload.row}: run {run + 1} of {len(self._runs)} in a request has a wrong output, "
                "though its digest was given: that run was not made, or not on its input.",
                code="runs-left-out",
            )

    def close(self) -> None:
        own = [self._graphs[True]] if operands.is_deep(self._workload) else [*self._graphs.values()]
        self._graphs = {}
        for graph in own:
            graph.close()


def _bits(values: np.ndarray) -> np.ndarray:
    """bf16, which the protocol carries as its bits."""
    return values.view(np.uint16) if values.dtype == _ort_graph.numpy_type("bf16") else values


def _values(found: np.ndarray, workload: Workload) -> np.ndarray:
    return found.view(_ort_graph.numpy_type("bf16")) if workload.form.out == "bf16" else found
