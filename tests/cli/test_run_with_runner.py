"""`bench run --runner`: boards that are slow, that lie, forget, hang and die, each behind a real process.

All of them are the reference runner with something else in place of some of it.
"""

import shlex
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import TOP, Program, Said, is_gone, one_line

from bench.evidence import envelope, statement
from bench.terms import Evidence, GemmShape

REFERENCE = TOP / "examples" / "onnxruntime_runner.py"
ROW = "ort_gemm/fp64/MatMul"

WRAPPED = f"""
import json, os, sys, time
from pathlib import Path
sys.path.insert(0, {str(REFERENCE.parent)!r})
import onnxruntime_runner as reference
Path(__file__).with_name("pid").write_text(str(os.getpid()))

class Session(reference.onnxruntime.InferenceSession):
    # On one core: whoever measures needs the other.
    def __init__(self, model, **named):
        options = reference.onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        super().__init__(model, options, **named)
        self.size = len(model)

reference.onnxruntime.InferenceSession = Session
"""
SERVING = """
reference.serve(reference.Runner("CPUExecutionProvider"))
"""

# Less time than a smoke test takes, and less patience.
LAUNCHER = (
    f"import sys; sys.path.insert(0, {str(TOP)!r})",
    "from bench import plan; plan.QUICK_LIMIT_S = plan.LEAST_LIMIT_S = 0.5",
    "from bench.devices import runner_client as client",
    "client.LIMITS = client.Limits(prepare_s=30, run_s=%s, close_s=1, request_s=30)",
    "from bench.cli import main; main()",
)

# More work takes it longer, as it does any board: for each byte of the weights.
SLEEP_S = 3e-8
SLOWED = f"""
plain_session_run = reference.onnxruntime.InferenceSession.run
def session_run(self, *arguments):
    time.sleep({SLEEP_S} * self.size)
    return plain_session_run(self, *arguments)
reference.onnxruntime.InferenceSession.run = session_run
"""
TELLS = """
plain_run = reference.Graph.run
def run(self, order, rotations):
    said = plain_run(self, order, rotations)
    return said | {"latencies_ns": [%s for ns in said["latencies_ns"]]}
reference.Graph.run = run
"""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a run with a runner said, and what it left."""

    said: Said
    file: Path
    bench: Program
    folder: Path

    @property
    def evidence(self) -> Evidence:
        found = statement.parse(envelope.parse(self.file.read_bytes()).payload)
        assert isinstance(found, Evidence)
        return found

    @property
    def figure(self) -> float | None:
        (row,) = self.said.json["delivered"]
        assert row["row"] == ROW
        return None if row["estimate"] is None else float(row["estimate"]["value"])

    def findings(self, status: str) -> dict[str, Any]:
        """Their numbers by their codes."""
        found = self.said.json["verdict"]["findings"]
        return {each["code"]: each["numbers"] for each in found if each["status"] == status}

    @property
    def slowed_rate(self) -> float:
        (measurement,) = self.evidence.measurements
        shape = measurement.workload.shape
        assert isinstance(shape, GemmShape)
        return measurement.cost.ops / (SLEEP_S * shape.depth * shape.k * shape.n * 8)

    def is_gone(self) -> bool:
        """The runner is dead, or a zombie that whoever inherited it has not reaped yet."""
        return is_gone(int((self.folder / "pid").read_text()))


def launcher(*, run_s: float) -> tuple[str, ...]:
    return (sys.executable, "-c", "\n".join(LAUNCHER) % run_s)


def written(folder: Path, text: str) -> str:
    """The command of a runner with these lines in it."""
    script = folder / "their_runner.py"
    script.write_text(WRAPPED + text + SERVING, "utf-8")
    return shlex.join([sys.executable, str(script)])


Measure = Callable[..., Measured]


@pytest.fixture
def measure(bench: Program, tmp_path: Path) -> Measure:
    """One row, of the one form that there is in fp64."""

    def measured(text: str, *words: str | Path, run_s: float = 60, quick: str = "--quick") -> Measured:
        file = bench.folder / "report.evidence.json"
        said = bench(
            *("run", "--runner", written(tmp_path, text), "--precision", "fp64", *quick.split()),
            *("--quiet", "--json", "-o", file, *words),
            launcher=launcher(run_s=run_s),
        )
        return Measured(said=said, file=file, bench=bench, folder=tmp_path)

    return measured


# ------------------------------------------------------------------------------------- time and its telling


def test_a_slow_board_has_the_figure_of_a_slow_board_and_its_evidence_says_external(measure: Measure) -> None:
    measured = measure(SLOWED)
    assert measured.said.code == 0, measured.said.err
    assert measured.figure is not None
    assert measured.figure <= measured.slowed_rate
    assert not measured.findings("failure")
    assert "latencies-too-short" not in measured.findings("warning")
    assert measured.is_gone()

    verified = measured.bench("verify", measured.file)
    assert verified.code == 0, verified.err
    (device,) = measured.evidence.devices
    assert (device.family, device.fact("route")) == ("runner", "external")
    assert "external-runner" in measured.evidence.does_not_show
    shown = measured.bench("show", measured.file).out
    assert "runner: external runner: ONNX Runtime with CPUExecutionProvider\n" in shown
    page = measured.bench.folder / "report.html"
    assert measured.bench("report", measured.file, "-o", page).code == 0
    assert "external runner: ONNX Runtime with CPUExecutionProvider" in page.read_text("utf-8")


def test_latencies_divided_by_a_thousand_gain_nothing_and_are_told(measure: Measure) -> None:
    measured = measure(SLOWED + TELLS % "ns // 1000")
    assert measured.said.code == 0, measured.said.err
    assert measured.figure is not None
    assert measured.figure <= measured.slowed_rate
    told = measured.findings("warning")["latencies-too-short"]
    assert 500 * told["device_ns"] < told["host_ns"]
    assert measured.bench("verify", measured.file).code == 0


def test_latencies_times_a_thousand_leave_no_figure(measure: Measure) -> None:
    measured = measure(TELLS % "1000 * ns")
    assert measured.said.code == 0, measured.said.err
    assert measured.figure is None
    assert "device-clock-disagrees" in measured.findings("failure")
    assert measured.bench("verify", measured.file).code == 0


# ------------------------------------------------------------------------------------- outputs and runs

WRONG = """
plain_session_run = reference.onnxruntime.InferenceSession.run
reference.onnxruntime.InferenceSession.run = lambda self, *a: [plain_session_run(self, *a)[0] + 1]
"""
# The last one is made, as it is compared in every request, and passes for all others.
SKIPS = """
plain_run = reference.Graph.run
def run(self, order, rotations):
    said = plain_run(self, order[-1:], rotations[-1:])
    self.digests = self.digests * len(order)
    return {name: values * len(order) for name, values in said.items()}
reference.Graph.run = run
"""


def test_wrong_outputs_leave_no_figure(measure: Measure) -> None:
    measured = measure(WRONG)
    assert measured.said.code == 0, measured.said.err
    assert measured.figure is None
    assert "wrong-outputs" in measured.findings("failure")


def test_runs_that_were_left_out_leave_no_figure(measure: Measure) -> None:
    measured = measure(SKIPS)
    assert measured.said.code == 0, measured.said.err
    assert measured.figure is None
    detail = measured.findings("failure")["runs-left-out"]["detail"]
    assert "in a request has a wrong output, though its digest was given" in detail
    assert measured.bench("verify", measured.file).code == 0


# --------------------------------------------------------------------------- hanging, dying and babbling

AT_RUN = """
def run(self, order, rotations):
    {}
reference.Graph.run = run
"""


@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("time.sleep(600)", "expected an answer within 0.5 s, it said nothing, and was killed"),
        ("os._exit(7)", "expected an answer, but it ended with exit status 7"),
        ("return {'latencies_ns': 'garbage', 'sha256': []}", "answered run wrongly"),
    ],
    ids=["hangs", "dies", "babbles"],
)
def test_a_runner_that_fails_at_its_runs_refuses_the_row_in_words(
    measure: Measure, act: str, said: str
) -> None:
    measured = measure(AT_RUN.format(act), run_s=0.5)
    assert measured.said.code == 0, measured.said.err
    assert "Traceback" not in measured.said.err
    assert measured.figure is None
    (numbers,) = measured.findings("failure").values()
    assert said in numbers["detail"]
    assert measured.is_gone()
    assert measured.bench("verify", measured.file).code == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("os._exit(7)\n", "but it ended with exit status 7"),
        ("print('Welcome to the board', flush=True)\n", "got 'Welcome to the board"),
        ("reference.Runner.describe = lambda self: {}\n", "expected an object with protocol, device, driver"),
    ],
    ids=["dies", "babbles", "says nothing"],
)
def test_a_runner_that_fails_at_once_is_one_line_and_no_evidence(
    measure: Measure, text: str, said: str
) -> None:
    measured = measure(text)
    assert measured.said.code == 3
    assert said in one_line(measured.said.err)
    assert not measured.file.exists()
    assert measured.is_gone()


# --------------------------------------------------------------------------------------- tiers, and options


def test_the_edge_tier_is_not_met_by_a_runner_however_fast(measure: Measure, tmp_path: Path) -> None:
    """The shipped rules, with a limit for edge devices that any board reaches."""
    shipped = (TOP / "profiles" / "rules" / "tw-ai-hardware-2024.toml").read_text("utf-8")
    low, rules = 'precision = "claimed"\nvalue = 0.000005', tmp_path / "low.toml"
    rules.write_text(shipped.replace('precision = "claimed"\nvalue = 5', low), "utf-8")
    words = ("--rules", rules, "--claim", "fp64=1TFLOPS")
    measured = measure(SLOWED, *words, quick="--time 1s")
    assert measured.said.code == 0, measured.said.err
    (row,) = (row for row in measured.evidence.verdict.thresholds if row.precision == "fp64")
    assert row.delivered is not None
    assert row.delivered.low > row.limit
    assert (row.tier, row.delivered_word, row.delivered_reason) == (
        "edge-device",
        "inconclusive",
        "placement-unknown",
    )
    assert measured.bench("verify", "--rules", rules, measured.file).code == 0


def test_each_of_repeated_runs_starts_a_runner_of_its_own(bench: Program, tmp_path: Path) -> None:
    """With wrong outputs, as nothing is then visited: the runs are short."""
    counting = "Path(__file__).with_name(f'pid-{os.getpid()}').touch()\n"
    said = bench(
        *("run", "--runner", written(tmp_path, WRONG + counting), "--precision", "fp64", "--quick"),
        *("--repeat", "2", "--json", "--quiet"),
    )
    assert said.code == 0, said.err
    assert [run["figures"][0]["device"] for run in said.json["runs"]] == ["runner", "runner"]
    # One for what is refused before anything is measured, and one for each run.
    started = [int(file.name.removeprefix("pid-")) for file in tmp_path.glob("pid-*")]
    assert len(started) == 3
    assert all(map(is_gone, started))


def test_ctrl_c_leaves_no_runner(bench: Program, tmp_path: Path) -> None:
    process = bench.start(
        *("run", "--runner", written(tmp_path, SLOWED), "--precision", "fp64", "--quick", "-o", "cut.json")
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert is_gone(int((tmp_path / "pid").read_text()))
