"""What is said to an external runner, the command of a board's vendor, and checked of what it answers.

The command is one process for the whole run. It gets ONNX files and requests as lines of JSON, and
answers each with one line; docs/runner.md is the protocol. Every answer is checked here for its form, and
an output against the digest that was given inside the timed request; whether outputs are right and
latencies believable is for others.
"""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Self

import numpy as np

from bench.devices import child
from bench.devices.child import Child
from bench.errors import CannotMeasure, UsageError
from bench.printable import printable
from bench.terms import Element
from bench.units import NS_PER_S

PROTOCOL = "compute-evidence-runner/1"

# How an element lies in a file; bf16, which numpy does not have, as its bits.
_TYPES: Mapping[Element, str] = {
    "f64": "<f8",
    "f32": "<f4",
    "bf16": "<u2",
    "f16": "<f2",
    "s32": "<i4",
    "s8": "|i1",
    "u8": "|u1",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each answer is waited for, in seconds: a runner that takes longer is killed.

    Compilers for NPUs take minutes for a graph; the runs of one request were made to take a fraction of a
    second; everything else is loading and copying.
    """

    prepare_s: float = 300.0
    run_s: float = 120.0
    close_s: float = 5.0
    request_s: float = 60.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a runner says of its device and the driver below it."""

    device: str
    driver: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """The graph's one input or output, by its name in the graph."""

    name: str
    element: Element
    shape: tuple[int, ...]

    @property
    def type(self) -> np.dtype[Any]:
        return np.dtype(_TYPES[self.element])

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.type.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a runner says of the runs of one request: one latency and one digest of the output for each."""

    latencies_ns: tuple[int, ...]
    sha256: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Runner:
    """The running command; leaving its `with` ends it and removes its files. See `start`."""

    _child: Child
    _folder: "tempfile.TemporaryDirectory[str]"
    limits: Limits
    _graphs: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> Described:
        """What it says of itself. This and all other requests raise CannotMeasure."""
        said = self.ask("describe", {"protocol": PROTOCOL}, ("protocol", "device", "driver"))
        right = all(isinstance(text, str) for text in said.values()) and said["protocol"] == PROTOCOL
        if not right or not printable(said["device"]).strip():
            expected = f"the protocol {PROTOCOL}, a device that is not empty and a driver, as texts"
            raise self.wrong("describe", expected, json.dumps(said))
        return Described(device=said["device"], driver=said["driver"])

    def prepare(self, model: bytes, *, takes: Tensor, gives: Tensor, streams: int) -> "Graph":
        """Have an ONNX model compiled for the device and loaded; up to `streams` runs may overlap."""
        number, self._graphs = self._graphs, self._graphs + 1
        folder = Path(self._folder.name) / str(number)
        graph = Graph(runner=self, number=number, folder=folder, takes=takes, gives=gives)
        file = folder / "model.onnx"
        fields = {
            "model": str(file),
            "sha256": hashlib.sha256(model).hexdigest(),
            "input": _tensor(takes),
            "output": _tensor(gives),
            "streams": streams,
        }
        try:
            with self.writing():
                folder.mkdir()
                file.write_bytes(model)
            graph.done("prepare", fields, limit_s=self.limits.prepare_s)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return graph

    def close(self) -> None:
        """End the command, politely where it answers. Nothing is left of it, nor of its files."""
        try:
            with suppress(CannotMeasure):
                self.done("close", {}, limit_s=self.limits.close_s)
            self._child.end(self.limits.close_s)
        finally:
            self._folder.cleanup()

    # --------------------------------------------------------------------------- what Graph asks by

    def done(self, request: str, fields: Mapping[str, object], *, limit_s: float | None = None) -> None:
        """A request whose answer says no more than that it is done."""
        said = self.ask(request, fields, ("done",), limit_s=limit_s)
        if said["done"] is not True:
            raise self.wrong(request, '{"done": true}', json.dumps(said))

    def ask(
        self,
        request: str,
        fields: Mapping[str, object],
        keys: Sequence[str],
        *,
        limit_s: float | None = None,
    ) -> Mapping[str, Any]:
        """The answer, which has exactly these keys; what the runner gives as its error is raised."""
        limit_s = self.limits.request_s if limit_s is None else limit_s
        line = json.dumps({"request": request, **fields}).encode() + b"\n"
        text = self._child.ask(line, task=request, limit_s=limit_s)
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise self.wrong(request, "one JSON object on one line", text)
        if {*said} == {"error"} and isinstance(said["error"], str):
            raise CannotMeasure(
                f"{self._child.name} refused to {request}: {child.quoted(said['error'], limit=400)}. "
                "Mend what it names, or measure without --runner."
            )
        if {*said} != {*keys}:
            raise self.wrong(request, f"an object with {', '.join(keys)}, or with error", text)
        return said

    def wrong(self, request: str, expected: str, got: str | bytes) -> CannotMeasure:
        return CannotMeasure(
            f"{self._child.name} answered {request} wrongly: expected {expected}, got {child.quoted(got)}. "
            "Mend the runner as docs/runner.md says."
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Files for the runner are written here."""
        try:
            yield
        except OSError as error:
            raise CannotMeasure(_no_room(self._child.name, error)) from error


@dataclass(slots=True, kw_only=True)
class Graph:
    """A model that is prepared on the device, by Runner.prepare."""

    runner: Runner
    number: int
    folder: Path
    takes: Tensor
    gives: Tensor
    _last: Answer = Answer(latencies_ns=(), sha256=())

    def load(self, inputs: Sequence[np.ndarray]) -> None:
        """Hand over what is run on from now on, in place of the inputs before. Not timed."""
        files = [self.folder / f"in-{i:04}.bin" for i in range(len(inputs))]
        try:
            with self.runner.writing():
                for file, values in zip(files, inputs, strict=True):
                    file.write_bytes(_raw(values, self.takes))
            self.done("load", {"inputs": [str(file) for file in files]})
        finally:
            for file in files:
                _remove(file)

    def run(self, order: Sequence[int], rotations: Sequence[int]) -> Answer:
        """One run on each of these inputs, by index, each rotated. Whoever measures times this call.

        Element i of what the model gets is element (i + rotation) mod n of the input's n, flattened; each
        rotation is from 0 to n - 1.
        """
        limit_s = self.runner.limits.run_s
        fields = {"graph": self.number, "inputs": [*order], "rotations": [*rotations]}
        said = self.runner.ask("run", fields, ("latencies_ns", "sha256"), limit_s=limit_s)
        # No run takes longer than the request that it is part of.
        most_ns = round(limit_s * NS_PER_S)
        self._each(
            said["latencies_ns"],
            len(order),
            f"latencies, whole numbers from 1 to {most_ns}",
            lambda ns: type(ns) is int and 0 < ns <= most_ns,
        )
        self._each(
            said["sha256"],
            len(order),
            "SHA-256 digests, 64 small hexadecimal digits",
            lambda text: isinstance(text, str) and _DIGEST.fullmatch(text) is not None,
        )
        self._last = Answer(latencies_ns=tuple(said["latencies_ns"]), sha256=tuple(said["sha256"]))
        return self._last

    def output(self, index: int) -> np.ndarray:
        """The output of the last request's index-th run: the one whose digest was given then.

        Of the shape of `gives`; bf16 as its bits in uint16.
        """
        file = self.folder / "output.bin"
        try:
            self.done("output", {"run": index, "file": str(file)})
            data = self._read(file)
        finally:
            _remove(file)
        given, digest = self._last.sha256[index], hashlib.sha256(data).hexdigest()
        if digest != given:
            raise self.runner.wrong("output", f"the output of SHA-256 {given} for run {index}", digest)
        return np.frombuffer(data, self.gives.type).reshape(self.gives.shape)

    def close(self) -> None:
        """Release it. Where the runner cannot, its next answer tells."""
        with suppress(CannotMeasure):
            self.done("release", {})
        shutil.rmtree(self.folder, ignore_errors=True)

    def done(self, request: str, fields: Mapping[str, object], *, limit_s: float | None = None) -> None:
        self.runner.done(request, {"graph": self.number, **fields}, limit_s=limit_s)

    def _each(self, values: Any, count: int, what: str, fits: Callable[[Any], bool]) -> None:
        if not isinstance(values, list) or len(values) != count:
            got = f"{len(values)} values" if isinstance(values, list) else json.dumps(values)
            raise self.runner.wrong("run", f"a list of {count} {what}", got)
        for i, value in enumerate(values):
            if not fits(value):
                raise self.runner.wrong("run", what, f"{json.dumps(value)} for run {i}")

    def _read(self, file: Path) -> bytes:
        """What lies in the file: never more than an output has, and not from where a link leads."""
        expected = f"{self.gives.bytes} bytes in the file that it was given the name of"
        try:
            # Without O_NONBLOCK opening a FIFO would wait for a writer for ever.
            number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(number, "rb") as opened:
                regular = stat.S_ISREG(os.fstat(number).st_mode)
                data = opened.read(self.gives.bytes + 1) if regular else b""
        except OSError as error:
            got = "a link" if error.errno == errno.ELOOP else child.reason(error)
            raise self.runner.wrong("output", expected, got) from error
        if not regular or len(data) != self.gives.bytes:
            got = f"{len(data)} bytes" if len(data) <= self.gives.bytes else "more"
            raise self.runner.wrong("output", expected, got if regular else "something else than a file")
        return data


def start(command: str, limits: Limits | None = None) -> Runner:
    """Start the words of --runner, without a shell; `limits` are LIMITS unless others are given.

    Raises UsageError where they are no command, CannotMeasure where it cannot be started.
    """
    words = words_of(command)
    name = f"the runner ({printable(shown(words))})"
    started = child.start(words, name)
    try:
        folder = tempfile.TemporaryDirectory(prefix="bench-runner-", ignore_cleanup_errors=True)
    except OSError as error:
        started.kill("it was ended.")
        raise CannotMeasure(_no_room(name, error)) from error
    return Runner(_child=started, _folder=folder, limits=limits or LIMITS)


def words_of(command: str) -> list[str]:
    """The words of --runner; UsageError where they are no command."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _no_command(command, str(error).lower()) from error
    if not words:
        raise _no_command(command, "no word")
    return words


def _no_command(command: str, why: str) -> UsageError:
    return UsageError(
        f"--runner {printable(command)!r} is no command: expected a program and its arguments, quoted as for "
        f"a shell, got {why}. Type for example --runner 'python3 runner.py'."
    )


def shown(words: Sequence[str]) -> str:
    """The command with files by their names: the folders may hold a user's."""
    return shlex.join(re.sub(r"[^=]*/", "", word) for word in words)


def _tensor(tensor: Tensor) -> Mapping[str, object]:
    return {"name": tensor.name, "element": tensor.element, "shape": [*tensor.shape]}


def _raw(values: np.ndarray, tensor: Tensor) -> bytes:
    if (values.shape, values.dtype) != (tensor.shape, tensor.type):
        raise ValueError(f"expected {tensor}, got {values.dtype} of {values.shape}")
    return values.tobytes()


def _remove(file: Path) -> None:
    """A runner may have put anything there; the folder goes with the graph."""
    with suppress(OSError):
        file.unlink()


def _no_room(name: str, error: OSError) -> str:
    return (
        f"cannot write the files for {name}: {child.reason(error)}. Make room in the folder for temporary "
        "files, or set TMPDIR to another folder."
    )
