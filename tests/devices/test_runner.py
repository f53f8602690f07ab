"""Runners that are started for real: the reference one, and those that lie, hang, die and babble."""

import json
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from program import is_gone

from bench.devices import child, runner, runner_client
from bench.devices.runner_client import Answer, Described, Graph, Limits, Runner, Tensor, start
from bench.errors import CannotMeasure, UsageError

TOP = Path(__file__).resolve().parents[2]
REFERENCE = TOP / "examples" / "onnxruntime_runner.py"

M, N, K = 16, 32, 64
X, Y = Tensor(name="x", element="u8", shape=(M, K)), Tensor(name="y", element="s32", shape=(M, N))

# A runner that is told by its answers alone: ANSWERS[request] are the bytes of the answer.
SCRIPTED = r"""
import hashlib, json, os, signal, sys, time
from pathlib import Path
OUTPUT = bytes(range(256)) * 8
ANSWERS = {
    "describe": b'{"protocol": "compute-evidence-runner/1", "device": "a board", "driver": "1.2"}\n',
    "run": b'{"latencies_ns": [5], "sha256": ["%s"]}\n' % hashlib.sha256(OUTPUT).hexdigest().encode(),
}
def put(file):
    Path(file).write_bytes(OUTPUT)
def before(asked):
    pass
"""
SERVING = r"""
for line in sys.stdin:
    asked = json.loads(line)
    before(asked)
    if asked["request"] == "output":
        put(asked["file"])
    sys.stdout.buffer.write(ANSWERS.get(asked["request"], b'{"done": true}\n'))
    sys.stdout.buffer.flush()
"""
# The reference runner with something else in place of some of it.
WRAPPED = f"""
import sys, time, json
sys.path.insert(0, {str(REFERENCE.parent)!r})
import onnxruntime_runner as reference
"""
WRAPPED_SERVING = """
reference.serve(reference.Runner("CPUExecutionProvider"))
"""

Command = Callable[[str], str]


@pytest.fixture
def scripted(tmp_path: Path) -> Command:
    return lambda text: command(tmp_path, SCRIPTED + text + SERVING)


@pytest.fixture
def wrapped(tmp_path: Path) -> Command:
    return lambda text: command(tmp_path, WRAPPED + text + WRAPPED_SERVING)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def command(folder: Path, text: str) -> str:
    script = folder / "their runner.py"
    script.write_text(text, "utf-8")
    return shlex.join([sys.executable, str(script)])


def weights() -> np.ndarray:
    return np.random.default_rng(1).integers(-127, 128, (K, N), dtype=np.int8)


def inputs(count: int = 4) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 256, (M, K), dtype=np.uint8) for i in range(count)]


def product(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.int64) - 128) @ weights().astype(np.int64)


def model() -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    constants = {"w": weights(), "x_zero": np.array(128, np.uint8), "w_zero": np.array(0, np.int8)}
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w", "x_zero", "w_zero"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [M, K])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [M, N])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialized: bytes = made.SerializeToString()
    return serialized


def prepared(asked: Runner, *, streams: int = 1) -> Graph:
    asked.describe()
    graph = asked.prepare(model(), takes=X, gives=Y, streams=streams)
    graph.load(inputs())
    return graph


def ran(asked: Runner, *, limit_s: float = 30) -> Graph:
    """For scripted ones: a graph without a model, run once."""
    asked.describe()
    graph = asked.prepare(b"", takes=X, gives=Y, streams=1)
    graph.load(inputs(1))
    asked.limits = Limits(run_s=limit_s)
    unrotated(graph, [0])
    return graph


def unrotated(graph: Graph, order: Sequence[int]) -> Answer:
    return graph.run(order, [0] * len(order))


def refusal(typed: str, act: Callable[[Runner], object]) -> str:
    with start(typed) as asked, pytest.raises(CannotMeasure) as caught:
        act(asked)
    return str(caught.value)


# --------------------------------------------------------------------------------- the reference runner


def reference(*arguments: str) -> str:
    return shlex.join([sys.executable, str(REFERENCE), *arguments])


@pytest.mark.parametrize("streams", [1, 3])
def test_the_reference_runner_gives_the_output_of_each_run_it_was_asked_for(streams: int) -> None:
    order = [3, 0, 0, 2, 1, 3, 2]
    with start(reference()) as asked:
        graph = prepared(asked, streams=streams)
        answer = unrotated(graph, order)
        assert len(answer.latencies_ns) == len(order)
        assert [answer.sha256.index(digest) for digest in answer.sha256] == [0, 1, 1, 3, 4, 0, 3]
        for run in (6, 2, 4, 0):
            assert np.array_equal(graph.output(run), product(inputs()[order[run]]))


def test_each_run_is_on_its_input_rotated_in_the_order_of_memory() -> None:
    with start(reference()) as asked:
        graph = prepared(asked, streams=2)
        graph.run([1, 1, 2], [0, 1, M * K - 3])
        given = inputs()[1].reshape(-1)
        moved = np.concatenate([given[1:], given[:1]]).reshape(M, K)
        assert np.array_equal(graph.output(0), product(inputs()[1]))
        assert np.array_equal(graph.output(1), product(moved))
        given = inputs()[2].reshape(-1)
        moved = np.concatenate([given[-3:], given[:-3]]).reshape(M, K)
        assert np.array_equal(graph.output(2), product(moved))


def test_what_is_loaded_anew_takes_the_place_of_the_inputs_before() -> None:
    with start(reference()) as asked:
        graph = prepared(asked)
        graph.load(inputs()[2:])
        unrotated(graph, [1])
        assert np.array_equal(graph.output(0), product(inputs()[3]))


def test_inputs_and_outputs_lie_on_the_disk_only_while_they_are_handed_over() -> None:
    with start(reference()) as asked:
        graph = prepared(asked)
        unrotated(graph, [0, 1])
        assert np.array_equal(graph.output(1), product(inputs()[1]))
        assert np.array_equal(graph.output(0), product(inputs()[0]))
        assert [file.name for file in graph.folder.iterdir()] == ["model.onnx"]
        graph.close()
        assert not graph.folder.exists()


def test_two_graphs_are_held_at_the_same_time_and_released_apart() -> None:
    with start(reference()) as asked:
        first, second = prepared(asked), prepared(asked)
        unrotated(first, [0])
        unrotated(second, [1])
        assert np.array_equal(first.output(0), product(inputs()[0]))
        first.close()
        assert np.array_equal(second.output(0), product(inputs()[1]))
        with pytest.raises(CannotMeasure, match="refused to run"):
            unrotated(first, [0])


def test_a_model_that_the_device_cannot_take_is_refused_in_its_words_and_the_next_one_runs() -> None:
    with start(reference()) as asked:
        asked.describe()
        with pytest.raises(CannotMeasure) as caught:
            asked.prepare(b"no model", takes=X, gives=Y, streams=1)
        assert "refused to prepare: 'InvalidProtobuf" in str(caught.value)
        with pytest.raises(CannotMeasure, match="no tensors of bf16 here"):
            asked.prepare(model(), takes=Tensor(name="x", element="bf16", shape=(M, K)), gives=Y, streams=1)
        unrotated(prepared(asked), [0])


def test_a_provider_that_is_not_there_is_refused_and_not_replaced() -> None:
    said = refusal(reference("--provider", "AcmeExecutionProvider"), prepared)
    assert "refused to prepare" in said
    assert "AcmeExecutionProvider" in said


def test_inputs_of_another_shape_or_type_are_a_defect_of_the_caller() -> None:
    with start(reference()) as asked:
        graph = prepared(asked)
        for wrong in (inputs()[0][1:], inputs()[0].view(np.int8)):
            with pytest.raises(ValueError, match="expected Tensor"):
                graph.load([wrong])


# --------------------------------------------------------------------------------------------- liars


def test_a_slow_board_is_as_slow_by_its_own_clock_as_from_outside(wrapped: Command) -> None:
    slowed = """
plain = reference.onnxruntime.InferenceSession.run
def run(self, *arguments):
    time.sleep(0.02)
    return plain(self, *arguments)
reference.onnxruntime.InferenceSession.run = run
"""
    with start(wrapped(slowed)) as asked:
        graph = prepared(asked)
        begun = time.monotonic_ns()
        answer = unrotated(graph, [0, 1, 2])
        assert min(answer.latencies_ns) >= 20_000_000
        assert sum(answer.latencies_ns) <= time.monotonic_ns() - begun
        assert np.array_equal(graph.output(1), product(inputs()[1]))


LYING = """
plain = reference.Graph.run
def run(self, order, rotations):
    said = plain(self, order, rotations)
    return said | {"latencies_ns": [%s for ns in said["latencies_ns"]]}
reference.Graph.run = run
"""


def test_latencies_that_leave_out_time_are_handed_on_beside_the_time_from_outside(wrapped: Command) -> None:
    with start(wrapped(LYING % "ns // 1000 + 1")) as asked:
        graph = prepared(asked)
        begun = time.monotonic_ns()
        told = sum(unrotated(graph, [0] * 50).latencies_ns)
        assert told < (time.monotonic_ns() - begun) // 10


def test_latencies_that_exceed_the_time_from_outside_are_seen_to(wrapped: Command) -> None:
    with start(wrapped(LYING % "1000 * (ns + 100_000)")) as asked:
        graph = prepared(asked)
        begun = time.monotonic_ns()
        told = sum(unrotated(graph, [0] * 50).latencies_ns)
        assert told > time.monotonic_ns() - begun


def test_a_latency_longer_than_the_request_may_take_is_refused(wrapped: Command) -> None:
    said = refusal(wrapped(LYING % "10**6 * (ns + 10**5)"), lambda asked: unrotated(prepared(asked), [0]))
    assert "expected latencies, whole numbers from 1 to 120000000000, got '" in said


def test_wrong_outputs_are_handed_out_to_be_compared(wrapped: Command) -> None:
    wrong = """
plain = reference.onnxruntime.InferenceSession.run
reference.onnxruntime.InferenceSession.run = lambda self, *a: [plain(self, *a)[0] + 1]
"""
    with start(wrapped(wrong)) as asked:
        graph = prepared(asked)
        unrotated(graph, [2])
        assert np.array_equal(graph.output(0), product(inputs()[2]) + 1)


def test_who_skips_runs_and_repeats_a_digest_has_a_wrong_output_for_each(wrapped: Command) -> None:
    skips = """
plain = reference.Graph.run
def run(self, order, rotations):
    said = plain(self, order[-1:], rotations[-1:])
    self.digests = self.digests * len(order)
    return {name: values * len(order) for name, values in said.items()}
reference.Graph.run = run
"""
    with start(wrapped(skips)) as asked:
        graph = prepared(asked)
        unrotated(graph, [0, 1, 2, 3])
        assert not np.array_equal(graph.output(1), product(inputs()[1]))
        assert np.array_equal(graph.output(3), product(inputs()[3]))


def test_who_skips_runs_and_computes_what_is_looked_at_afterwards_is_refused(wrapped: Command) -> None:
    late = """
plain = reference.Graph.run
def run(self, order, rotations):
    self.asked = order, rotations
    return {"latencies_ns": [1000] * len(order), "sha256": ["0" * 64] * len(order)}
def output(self, index, file):
    plain(self, *self.asked)
    reference.Path(file).write_bytes(self.outputs[self.digests[index]])
reference.Graph.run, reference.Graph.output = run, output
"""
    with start(wrapped(late)) as asked:
        graph = prepared(asked)
        unrotated(graph, [0, 1])
        with pytest.raises(CannotMeasure, match=f"expected the output of SHA-256 {'0' * 64} for run 1"):
            graph.output(1)


# ------------------------------------------------------------------------------- answers that are none


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"ready\n", "expected one JSON object on one line, got 'ready'"),
        (b"\n", "expected one JSON object on one line, got ''"),
        (b"[1]\n", "expected one JSON object on one line, got '[1]'"),
        (b"\xff\xfe\n", "expected one JSON object"),
        (b"[" * 100_000 + b"\n", "expected one JSON object"),
        (b'{"a": ' + b"9" * 10_000 + b"}\n", "expected one JSON object"),
        (b'{"a": "\x1b[2J"}\n', "expected one JSON object"),
        (b'{"done": true}\n', "expected an object with protocol, device, driver, or with error"),
        (b'{"protocol": "compute-evidence-runner/1", "device": "a"}\n', "expected an object with"),
        (b'{"protocol": "other/2", "device": "a", "driver": ""}\n', "the protocol compute-evidence-runner/1"),
        (b'{"protocol": "compute-evidence-runner/1", "device": 7, "driver": ""}\n', "as texts"),
        (b'{"protocol": "compute-evidence-runner/1", "device": "\\u200b ", "driver": ""}\n', "not empty"),
        (b'{"error": 5}\n', "expected an object with"),
        (
            b'{"error": "no \\u001b[31mdevice in /home//alice/slot"}\n',
            "refused to describe: 'no device in slot'",
        ),
        (b"{}\n{}\n", "expected one line and nothing after it, got '{} {}'"),
    ],
)
def test_an_answer_of_another_form_is_refused_with_what_was_said(
    scripted: Command, answer: bytes, said: str
) -> None:
    text = refusal(scripted(f"ANSWERS['describe'] = {answer!r}"), lambda asked: asked.describe())
    assert said in text
    assert text.startswith("the runner (python 'their runner.py') ")
    assert "\x1b" not in text


def test_a_request_is_done_only_where_the_answer_says_so(scripted: Command) -> None:
    said = refusal(scripted("""ANSWERS['prepare'] = b'{"done": 1}\\n'"""), ran)
    assert """answered prepare wrongly: expected {"done": true}, got '{"done": 1}'.""" in said


@pytest.mark.parametrize(
    "latencies",
    ["[]", "[1, 2]", "5", "null", "[0]", "[-1]", "[true]", "[1.5]", "[1e3]", '["5"]', "[null]", "[NaN]"],
)
def test_latencies_that_are_no_whole_numbers_one_for_each_run_are_refused(
    scripted: Command, latencies: str
) -> None:
    answer = f'{{"latencies_ns": {latencies}, "sha256": ["{"0" * 64}"]}}\n'.encode()
    said = refusal(scripted(f"ANSWERS['run'] = {answer!r}"), ran)
    assert "latencies, whole numbers from 1 to 30000000000, got" in said


@pytest.mark.parametrize(
    "digests",
    ["[]", '["a", "b"]', '"a"', '["a"]', "[1]", f'["{"A" * 64}"]', f'["{"0" * 65}"]', '["\\ud800"]'],
)
def test_digests_that_are_none_or_not_one_for_each_run_are_refused(scripted: Command, digests: str) -> None:
    answer = f'{{"latencies_ns": [5], "sha256": {digests}}}\n'.encode()
    said = refusal(scripted(f"ANSWERS['run'] = {answer!r}"), ran)
    assert "SHA-256 digests, 64 small hexadecimal digits, got" in said


@pytest.mark.parametrize(
    ("put", "got"),
    [
        ("pass", "got 'no such file or directory'"),
        ("Path(file).write_bytes(OUTPUT[:-1])", "got '2047 bytes'"),
        ("Path(file).write_bytes(OUTPUT + b'.')", "got 'more'"),
        ("Path(file).symlink_to('/dev/zero')", "got 'a link'"),
        ("other = Path(file + 'x'); other.write_bytes(OUTPUT); Path(file).symlink_to(other)", "got 'a link'"),
        ("os.mkfifo(file)", "got 'something else than a file'"),
        ("os.mkdir(file)", "got 'is a directory'"),
        ("Path(file).write_bytes(OUTPUT[::-1])", "expected the output of SHA-256"),
    ],
)
def test_an_output_that_is_not_the_one_committed_in_its_file_is_refused(
    scripted: Command, put: str, got: str
) -> None:
    typed = scripted(f"def put(file):\n    {put}")
    assert got in refusal(typed, lambda asked: ran(asked).output(0))


def test_an_output_as_committed_is_read(scripted: Command) -> None:
    with start(scripted("")) as asked:
        assert ran(asked).output(0).tobytes() == bytes(range(256)) * 8


# ---------------------------------------------------------------------------- hanging, dying, babbling

HANGS = "def before(asked):\n    while asked['request'] == 'run': time.sleep(1)\n"


def test_a_runner_that_hangs_is_killed_and_does_not_answer_what_comes_later(scripted: Command) -> None:
    with start(scripted(HANGS)) as asked:
        with pytest.raises(CannotMeasure) as caught:
            ran(asked, limit_s=0.3)
        assert "asked to run: expected an answer within 0.3 s, it said nothing, and was killed" in str(
            caught.value
        )
        with pytest.raises(CannotMeasure, match="asked to describe and does not run any more"):
            asked.describe()


def test_an_answer_without_a_lines_end_is_waited_for_and_quoted(scripted: Command) -> None:
    said = refusal(scripted("ANSWERS['run'] = b'almost'"), lambda asked: ran(asked, limit_s=1))
    assert "it said 'almost' without a line's end" in said


def test_what_a_hanging_runner_has_started_is_killed_with_it(scripted: Command, tmp_path: Path) -> None:
    starts = f"""
import subprocess
there = subprocess.Popen(["sleep", "1000"])
Path({str(tmp_path / "pid")!r}).write_text(str(there.pid))
"""
    refusal(scripted(starts + HANGS), lambda asked: ran(asked, limit_s=0.3))
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("sys.exit(3)", "it ended with exit status 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (Segmentation fault) ended it"),
        ("os.close(1); time.sleep(60)", "it closed its standard output or input"),
    ],
)
def test_a_runner_that_dies_is_an_error_with_its_last_words(scripted: Command, end: str, how: str) -> None:
    dies = f"""
def before(asked):
    if asked["request"] == "run":
        sys.stderr.write("x" * 5000 + " the device at /sys/bus/npu0 fell off" + chr(27) + "[2J")
        sys.stderr.flush()
        {end}
"""
    said = refusal(scripted(dies), ran)
    assert f"asked to run: expected an answer, but {how}" in said
    assert "xx the device at npu0 fell off'" in said
    assert len(said) < 2500


def test_a_request_that_nobody_reads_is_an_error(scripted: Command, tmp_path: Path) -> None:
    deaf = f"""
def before(asked):
    os.close(0)
    sys.stdout.buffer.write(ANSWERS["describe"])
    sys.stdout.flush()
    Path({str(tmp_path / "deaf")!r}).touch()
    time.sleep(60)
"""
    with start(scripted(deaf)) as asked:
        asked.describe()
        wait_for(tmp_path / "deaf")
        with pytest.raises(CannotMeasure, match="but it closed its standard output or input"):
            asked.prepare(b"", takes=X, gives=Y, streams=1)


def wait_for(file: Path) -> None:
    for _ in range(3000):
        if file.exists():
            return
        time.sleep(0.01)
    raise TimeoutError(file)


def test_a_long_request_and_many_words_beside_the_answer_do_not_block_each_other(scripted: Command) -> None:
    talks = """
def before(asked):
    sys.stderr.write("loading " * 200_000)
    digest = "0" * 64
    ANSWERS["run"] = json.dumps({"latencies_ns": [5] * 50_000, "sha256": [digest] * 50_000}).encode() + b"\\n"
"""
    with start(scripted(talks)) as asked:
        asked.describe()
        graph = asked.prepare(b"", takes=X, gives=Y, streams=1)
        assert len(unrotated(graph, [15] * 50_000).sha256) == 50_000


def test_a_line_without_end_is_cut_off(scripted: Command) -> None:
    flood = "ANSWERS['describe'] = b'x' * (17 * 2**20)\n"
    said = refusal(scripted(flood), lambda asked: asked.describe())
    assert f"expected a line of at most {child.LINE_MOST} bytes, got 'xxx" in said
    assert len(said) < 1000


def test_a_line_that_nobody_asked_for_is_refused(scripted: Command, tmp_path: Path) -> None:
    early = f"""
def before(asked):
    sys.stdout.buffer.write(ANSWERS["describe"])
    sys.stdout.flush()
    time.sleep(0.2)
    sys.stdout.write("loaded")
    sys.stdout.flush()
    Path({str(tmp_path / "said")!r}).touch()
    time.sleep(60)
"""
    with start(scripted(early)) as asked:
        asked.describe()
        wait_for(tmp_path / "said")
        with pytest.raises(CannotMeasure, match="expected nothing before the request, got 'loaded'"):
            asked.prepare(b"", takes=X, gives=Y, streams=1)


# ------------------------------------------------------------------------------- beginning and ending


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("/no/such/runner", "no such file or directory"),
        ("'no such runner' --core 0", "no such file or directory"),
        (str(TOP / "README.md"), "permission denied"),
        ("a\0b", "null byte"),
    ],
)
def test_a_command_that_cannot_be_started_is_refused(typed: str, why: str) -> None:
    with pytest.raises(CannotMeasure, match=f"cannot be started: .*{why}.* Give --runner"):
        start(typed)


@pytest.mark.parametrize(
    ("typed", "why"), [("", "no word"), ("  ", "no word"), ("run 'this", "closing quotation")]
)
def test_what_is_no_command_is_a_usage_error(typed: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        start(typed)


def test_the_command_is_read_by_no_shell(tmp_path: Path) -> None:
    said = refusal(
        f"{sys.executable} -c 'import sys; sys.exit(len(sys.argv))' ; > {tmp_path / 'made'}", Runner.describe
    )
    assert "exit status 4" in said
    assert not (tmp_path / "made").exists()


def test_a_runner_ends_when_it_is_closed_and_a_stubborn_one_is_killed(
    scripted: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_client, "LIMITS", Limits(close_s=0.2))
    stays = f"""
Path({str(tmp_path / "pid")!r}).write_text(str(os.getpid()))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def before(asked):
    while asked["request"] == "close": time.sleep(1)
"""
    with start(scripted(stays)) as asked:
        asked.describe()
    assert is_gone(int((tmp_path / "pid").read_text()))
    asked.close()


def test_ctrl_c_leaves_neither_the_runner_nor_its_files(scripted: Command, tmp_path: Path) -> None:
    typed = scripted(f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n" + HANGS)
    program = f"""
import tempfile
tempfile.tempdir = {tempfile.tempdir!r}
from bench.devices.runner_client import Tensor, start
tensor = Tensor(name="x", element="u8", shape=(1,))
with start({typed!r}) as asked:
    asked.describe()
    graph = asked.prepare(b"", takes=tensor, gives=tensor, streams=1)
    print("running", flush=True)
    graph.run([0], [0])
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=TOP
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"running\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert said.endswith(b"KeyboardInterrupt\n")
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_files_that_cannot_be_written_are_an_error_with_the_place(scripted: Command, tmp_path: Path) -> None:
    removes = """
import shutil
def before(asked):
    if asked["request"] == "load": shutil.rmtree(Path(asked["inputs"][0]).parents[1])
"""
    said = refusal(scripted(removes), lambda asked: (ran(asked), ran(asked)))
    assert "no such file or directory. Make room in the folder for temporary files, or set TMPDIR" in said
    (tmp_path / "temporary").rmdir()
    with pytest.raises(CannotMeasure, match="set TMPDIR"):
        start(scripted(""))
    (tmp_path / "temporary").mkdir()


# ---------------------------------------------------------------------------------------- the device


def test_the_device_is_what_the_runner_says_and_which_files_said_it(tmp_path: Path) -> None:
    script = tmp_path / "alice" / "run me.py"
    script.parent.mkdir()
    script.write_bytes(b"pass")
    typed = shlex.join(
        ["/usr/bin/env", "python3", str(script), f"--weights={tmp_path}/alice/w", "--core", "0"]
    )
    described = Described(device=" ACME\x1b[2J N1\n", driver="")
    device = runner.device_of(typed, described)
    assert (device.selector, device.family, device.kind, device.vendor) == (
        "runner",
        "runner",
        "accelerator",
        None,
    )
    assert device.name == "ACME N1"
    assert device.fact("route") == "external"
    assert device.fact("runner-command") == "env python3 'run me.py' --weights=w --core 0"
    # sha256sum of "pass".
    digest = "d74ff0ee8da3b9806b18c877dbf29bbde50b5bd8e4dad7a3a725000feb82e8f1"
    assert device.fact("runner-sha256.2") == digest
    assert re.fullmatch("[0-9a-f]{64}", str(device.fact("runner-sha256")))
    assert device.fact("device-says") == "ACME N1"
    reasons = {fact.name: fact.reason for fact in device.facts if fact.value is None}
    assert reasons == {"driver-says": "not-told", "placement": "not-told"}
    assert not any("alice" in str(fact.value) for fact in device.facts)


def test_a_program_that_may_not_be_read_has_no_digest() -> None:
    device = runner.device_of("no-such-program", Described(device="a board", driver="1"))
    assert {fact.reason for fact in device.facts if fact.name == "runner-sha256"} == {"not-readable"}


# ------------------------------------------------------------------------------------------- the page


def test_the_page_shows_the_requests_and_answers_that_are_spoken(wrapped: Command, tmp_path: Path) -> None:
    log = tmp_path / "log"
    listens = f"""
plain = reference.Runner.answer
def answer(self, asked):
    said = plain(self, asked)
    with open({str(log)!r}, "a") as file:
        file.write(json.dumps([asked, said]) + chr(10))
    return said
reference.Runner.answer = answer
"""
    with start(wrapped(listens)) as asked:
        graph = prepared(asked)
        unrotated(graph, [1, 0, 1])
        graph.output(2)
        graph.close()
    spoken = [json.loads(line) for line in log.read_text().splitlines()]
    page = (TOP / "docs" / "runner.md").read_text("utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.S)]
    requests = [block for block in shown if "request" in block]
    assert [keys(block) for block in requests] == [keys(request) for request, _ in spoken]
    answers = [keys(block) for block in shown if "request" not in block]
    assert answers == [
        keys(answer) for request, answer in spoken if request["request"] not in ("release", "close")
    ]


def keys(message: dict[str, object]) -> Sequence[object]:
    return [message.get("request"), *message]
