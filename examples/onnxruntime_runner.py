"""A runner for `bench run --runner "python3 examples/onnxruntime_runner.py"`: ONNX Runtime itself.

To adapt it to a board, replace `Graph` and `describe` by what its vendor's library does; the rest may stay
as it is. docs/runner.md explains the requests and what each answer must hold.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

PROTOCOL = "compute-evidence-runner/1"
# bf16 is missing, as numpy does not have it: such graphs are refused with words.
TYPES = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "s32": "<i4", "s8": "i1", "u8": "u1"}


class Graph:
    """One model, loaded. Everything that can be done before the clock runs is done here and in `load`."""

    def __init__(self, asked: dict, provider: str) -> None:
        model = Path(asked["model"]).read_bytes()
        if hashlib.sha256(model).hexdigest() != asked["sha256"]:
            raise ValueError("the model's file is not the one that was meant")
        for tensor in (asked["input"], asked["output"]):
            if tensor["element"] not in TYPES:
                raise ValueError(f"no tensors of {tensor['element']} here")
        self.session = onnxruntime.InferenceSession(model, providers=[provider], enable_fallback=0)
        self.takes, self.gives = asked["input"], asked["output"]
        self.streams = ThreadPoolExecutor(asked["streams"])
        self.inputs: list[np.ndarray] = []
        self.outputs: dict[str, bytes] = {}
        self.digests: list[str] = []

    def load(self, files: list[str]) -> None:
        kind, shape = TYPES[self.takes["element"]], self.takes["shape"]
        self.inputs = [np.fromfile(file, kind).reshape(shape) for file in files]

    def run(self, order: list[int], rotations: list[int]) -> dict:
        self.outputs = {}
        runs = list(self.streams.map(self.run_once, order, rotations))
        self.digests = [digest for _, digest in runs]
        return {"latencies_ns": [ns for ns, _ in runs], "sha256": self.digests}

    def run_once(self, index: int, rotation: int) -> tuple[int, str]:
        """The device's part is timed; then the output's digest is taken, and equal outputs kept once."""
        # Of the flattened input the element `rotation` comes first, and what stood before it last.
        given = np.roll(self.inputs[index].reshape(-1), -rotation).reshape(self.takes["shape"])
        begun = time.perf_counter_ns()
        (output,) = self.session.run([self.gives["name"]], {self.takes["name"]: given})
        took = time.perf_counter_ns() - begun
        raw = output.astype(TYPES[self.gives["element"]], copy=False).tobytes()
        digest = hashlib.sha256(raw).hexdigest()
        self.outputs[digest] = raw
        return took, digest

    def output(self, run: int, file: str) -> None:
        Path(file).write_bytes(self.outputs[self.digests[run]])


class Runner:
    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.graphs: dict[int, Graph] = {}

    def describe(self) -> dict:
        device = f"ONNX Runtime with {self.provider}"
        return {"protocol": PROTOCOL, "device": device, "driver": f"onnxruntime {onnxruntime.__version__}"}

    def answer(self, asked: dict) -> dict:
        match asked["request"]:
            case "describe":
                return self.describe()
            case "prepare":
                self.graphs[asked["graph"]] = Graph(asked, self.provider)
            case "load":
                self.graphs[asked["graph"]].load(asked["inputs"])
            case "run":
                return self.graphs[asked["graph"]].run(asked["inputs"], asked["rotations"])
            case "output":
                self.graphs[asked["graph"]].output(asked["run"], asked["file"])
            case "release":
                del self.graphs[asked["graph"]]
            case "close":
                self.graphs.clear()
            case other:
                raise ValueError(f"unknown request {other}")
        return {"done": True}


def serve(runner: Runner) -> None:
    """One line of answer for each line of request, until `close` or the end of the requests."""
    # Libraries write to standard output as they like: what is not an answer goes to standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            said = runner.answer(asked)
        except Exception as error:  # noqa: BLE001 - whatever the library refuses with is told
            said = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(said) + "\n")
        answers.flush()
        if asked["request"] == "close":
            break


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--provider", default="CPUExecutionProvider", help="the execution provider to use")
    serve(Runner(options.parse_args().provider))
