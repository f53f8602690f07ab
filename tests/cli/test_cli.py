"""The command line: what it tells before anything runs, what it refuses, and what other programs read."""

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import click
import pytest
from program import TOP, Answered, Made, Program, Said, in_imports, one_line

import bench.cli
from bench import errors, plan
from bench.cli import DEFECT, consoles, keys_here
from bench.cli.progress import Watcher
from bench.devices import cpu
from bench.errors import NOT_MET, BenchError, CannotMeasure, UsageError
from bench.evidence import envelope, statement
from bench.judge import catalog
from bench.terms import Evidence
from bench.units import format_seconds

HEAVY = ("torch", "onnxruntime", "onnx", "matplotlib")
COMMANDS = (
    *("run", "devices", "verify", "show", "report", "compare", "sign", "stamp", "params", "rules"),
    *("key", "key new", "key show", "key trust", "key revoke"),
    *("challenge", "challenge new", "challenge show", "challenge list", "challenge close"),
    *("results", "results list", "results verify", "results export"),
)

# As if the packages of the extra [measure] were not installed: no finder finds them.
WITHOUT_HEAVY = f"""
import sys

class Blind:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self._finder, name)

sys.meta_path[:] = [Blind(finder) for finder in sys.meta_path]
"""


def read(path: Path) -> Evidence:
    return statement.parse(envelope.parse(path.read_bytes()).payload)


# ------------------------------------------------------------------------------------- what it tells


def test_the_ways_to_start_it_are_one_program(bench: Program) -> None:
    ways = (
        (sys.executable, "-m", "bench"),
        (sys.executable, TOP / "cli.py"),
        (Path(sys.executable).with_name("bench"),),
    )
    told = {bench("--version", launcher=way).out for way in ways}
    assert len(told) == 1
    assert re.fullmatch(r"bench, version [0-9]+\.[0-9]+\.[0-9]+\n", told.pop())


def test_an_unknown_command_is_a_usage_error(bench: Program) -> None:
    said = bench("measure")
    assert said.code == 2
    assert "No such command 'measure'" in said.err
    assert "bench --help" in said.err


def test_help_lists_every_command_and_says_where_the_exit_codes_are(bench: Program) -> None:
    said = bench("--help")
    assert said.code == 0
    for command, summary in bench_summaries():
        assert re.search(rf"^  {command} +{re.escape(summary)}$", said.out, re.M)
    assert "Exit codes: 0 done, 1 what was asked for is not met, 2 usage; see README.md." in said.out
    table = re.findall(r"^\| ([0-9]+) \|", (TOP / "README.md").read_text("utf-8"), re.M)
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    raised = {each.exit_code for each in classes if issubclass(each, BenchError) and each is not BenchError}
    assert {int(code) for code in table} == {0, NOT_MET, DEFECT, consoles.READER_GONE, *raised}


def bench_summaries() -> list[tuple[str, str]]:
    return list(bench.cli._SUMMARIES.items())


def test_the_summaries_are_the_commands_own_first_lines() -> None:
    context = click.Context(bench.cli.cli)
    assert [name for name, _ in bench_summaries()] == bench.cli.cli.list_commands(context)
    for name, summary in bench_summaries():
        command = bench.cli.cli.get_command(context, name)
        assert command is not None
        assert (command.help or "").partition("\n")[0] == summary


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_the_help_of_every_command_fits_a_screen(bench: Program, command: str) -> None:
    said = bench(*command.split(), "--help")
    assert said.code == 0
    lines = said.out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_the_help_of_run_names_units_and_defaults(bench: Program) -> None:
    words = re.sub(r"\s+", " ", bench("run", "--help").out)
    words = words.replace("tw-ai- hardware", "tw-ai-hardware")
    for default in (
        "[default: cpu]",
        "[default: all]",
        "[default: tw-ai-hardware-2024]",
        f"[default: {plan.DEFAULT_LIMIT_S:.0f}s]",
        "[default: a new one in results/]",
        "[default: this machine's own]",
    ):
        assert default in words
    assert "fp32=48TFLOPS" in words
    assert "120s or 5min" in words


def loaded(words: tuple[str | Path, ...], home: Path) -> tuple[Said, set[str]]:
    """What a command said, and the libraries it had imported when it ended."""
    script = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    program = Program(home=home, folder=home.parent)
    said = program(*words, launcher=(sys.executable, "-c", script))
    return said, set(said.err.splitlines()[-1].split())


def test_help_imports_no_library_that_is_slow(tmp_path: Path) -> None:
    said, modules = loaded(("--help",), tmp_path / "home")
    assert said.code == 0
    assert not modules & {*HEAVY, "numpy", "rich", "cryptography", "psutil"}


def test_verify_imports_neither_backends_nor_plots(made: Made) -> None:
    for command in ("verify", "show"):
        said, modules = loaded((command, made.file), made.bench.home)
        assert said.code == 0
        assert not modules & set(HEAVY)


def test_help_comes_at_once_and_verify_in_little_more_time_than_its_libraries_take(made: Made) -> None:
    """Half a second, where importing numpy, click and cryptography takes an eighth; 3.4 times that were seen.

    Machines differ, and differ from hour to hour: no time by itself proves anything.
    """
    assert in_imports(lambda: made.bench("--help")) < 0.6
    assert in_imports(lambda: made.bench("verify", made.file)) < 4.5


@pytest.fixture
def without_heavy(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "blind").mkdir()
    (tmp_path / "blind" / "sitecustomize.py").write_text(WITHOUT_HEAVY)
    return {"PYTHONPATH": str(tmp_path / "blind")}


def test_verify_works_where_the_backends_are_not_installed(made: Made, without_heavy: dict[str, str]) -> None:
    imported = made.bench("-c", "import torch", env=without_heavy, launcher=(sys.executable,))
    assert "No module named 'torch'" in imported.err
    for command in ("verify", "show"):
        said = made.bench(command, made.file, env=without_heavy)
        assert (said.code, said.err) == (0, "")


def test_openings_are_computed_anew_where_the_backends_are_not_installed(
    answered: Answered, without_heavy: dict[str, str]
) -> None:
    words = ("verify", "--require", "A1", "--challenge", answered.challenge, answered.made.file)
    said = answered.auditor(*words, env=without_heavy)
    assert (said.code, said.err) == (0, "")
    assert "rows of outputs computed anew for 1 of 1 figures" in said.out
    assert "valid: assurance A1, " in said.out


def test_a_run_without_any_backend_says_what_to_install(
    bench: Program, without_heavy: dict[str, str]
) -> None:
    said = bench("run", "--quick", env=without_heavy)
    assert said.code == 3
    assert "nothing can be measured here" in one_line(said.err)
    assert "torch: pip install 'compute-evidence[measure]'" in said.err
    assert list(bench.folder.iterdir()) == []


def test_devices_are_listed_with_the_reason_for_what_is_not_there(
    bench: Program, without_heavy: dict[str, str]
) -> None:
    said = bench("devices")
    assert (said.code, said.err) == (0, "")
    assert re.search(r"^cpu  \S", said.out, re.M)
    assert re.search(r"^ort:CPUExecutionProvider:CPU:0  ", said.out, re.M)
    assert "\x1b" not in said.out
    families = {family["family"]: family for family in bench("devices", "--json").json}
    assert set(families) == {"cpu", "cuda", "ort", "runner"}
    assert all(family["devices"] or family["unavailable"] for family in families.values())
    blind = bench("devices", env=without_heavy)
    assert blind.code == 0
    assert re.search(r"^ort  unavailable: ONNX Runtime is not installed: .*pip install", blind.out, re.M)


def test_rules_are_listed_and_one_is_printed_with_its_reading(bench: Program) -> None:
    assert bench("rules").out.startswith("tw-ai-hardware-2024 2: ")
    whole = bench("rules", "tw-ai-hardware-2024").out
    for words in (
        "算力須等效於 45 TFlops以上",
        "reading (inference): ",
        "against: ",
        "minimum assurance A0",
        "檢索增強生成系統",
    ):
        assert words in whole
    (rules,) = bench("rules", "--json", "tw-ai-hardware-2024").json
    assert rules["decidedBy"] == "declared"
    said = bench("rules", "none")
    assert said.code == 2
    assert "known are tw-ai-hardware-2024" in one_line(said.err)


# ---------------------------------------------------------------------------------- what run refuses


@pytest.mark.parametrize(
    ("words", "code", "reasons"),
    [
        (("--device", "toaster"), 2, ("'toaster'", "known here are cpu", "Type for example --device cpu")),
        (("--precision", "fp12"), 2, ("'fp12'", "known are fp64, fp32", "--precision fp32")),
        (("--precision", "tf32"), 3, ("tf32", "Available are bf16, fp16, fp32, fp64, int8", "--precision ")),
        (("--claim", "48TFLOPS"), 2, ("'48TFLOPS'", "PRECISION=RATE", "--claim int8=5TOPS")),
        (("--claim", "int8=5TFLOPS"), 2, ("counted in TOPS", "5TFLOPS", "--claim int8=5TOPS")),
        (("--claim", "fp32=5TOPS"), 2, ("counted in TFLOPS", "5TOPS", "--claim fp32=5TFLOPS")),
        (("--require", "toaster"), 2, ("'toaster'", "known are training-server, inference-server")),
        (("--rules", "softer"), 2, ("'softer'", "known are tw-ai-hardware-2024", "FILE.toml")),
        (("--time", "1s"), 2, ("1s is too short", "at least 5s")),
        (("--time", "soon"), 2, ("'soon'", "120s or 2min")),
        (("--time", "5h"), 2, ("too long", "at most 120 min 00 s")),
        (("--quick", "--time", "9s"), 2, ("exclude each other", "type one of them")),
        (("--key", "none"), 2, ("no key at none", "bench key new")),
        (("-o", "taken/run.json"), 3, ("cannot write taken/run.json", "-o FILE")),
        (("-o", "/proc/run.json"), 3, ("cannot write /proc/run.json", "-o FILE")),
        (("-o", "/sys/run.json"), 3, ("cannot write /sys/run.json", "-o FILE")),
        (("-o", "."), 2, ("is a directory",)),
    ],
    ids=lambda value: "-".join(value)[:40] if isinstance(value, tuple) else str(value),
)
def test_what_cannot_be_measured_is_refused_before_the_first_measurement(
    bench: Program, words: tuple[str, ...], code: int, reasons: tuple[str, ...]
) -> None:
    (bench.folder / "taken").write_text("a file")
    begun = time.monotonic()
    said = bench("run", *words)
    assert time.monotonic() - begun < 3
    assert said.code == code
    assert (said.out, "search" in said.err, "Traceback" in said.err) == ("", False, False)
    for reason in reasons:
        assert reason in said.err
    if not said.err.startswith("Usage: "):
        one_line(said.err)
    left = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert left == [bench.folder / "taken"]
    assert not bench.home.exists(), "a run that is refused makes no key"


def test_a_family_without_hardware_is_refused_with_the_probes_reason(bench: Program) -> None:
    families = {family["family"]: family for family in bench("devices", "--json").json}
    said = bench("run", "--device", "cuda")
    assert said.code == 3
    error = one_line(said.err)
    if families["cuda"]["devices"]:
        assert "no kernel of this version measures the family cuda" in error
    else:
        (why,) = families["cuda"]["unavailable"]
        assert f"cuda is unavailable ({why['code']}): {why['detail'].rstrip('. ')}" in error
        assert "bench devices" in error


def test_a_machine_without_room_for_the_operands_is_refused() -> None:
    with pytest.raises(CannotMeasure, match=r"no room for the operands: \S+ needs .*are free for it\. Free"):
        plan.make(
            devices=cpu.inventory(cpu.affinity_here()).devices,
            precisions=("fp32",),
            claims=(),
            rules=catalog.rules("tw-ai-hardware-2024"),
            quick=True,
            limit_s=None,
            nonce="00" * 32,
            room=10**5,
        )


def test_a_full_disk_is_found_before_the_first_measurement(bench: Program) -> None:
    limited = ("sh", "-c", 'ulimit -f 100; exec "$@"', "sh", sys.executable, "-m", "bench")
    said = bench("run", "--quick", launcher=limited)
    assert said.code == 3
    assert re.search(r"cannot write results/\S+: file too large\. .*-o FILE", one_line(said.err))
    assert list((bench.folder / "results").iterdir()) == []


def test_a_key_that_others_can_read_is_refused(bench: Program) -> None:
    key = bench.folder / "vendor"
    assert bench("key", "new", "-o", key).code == 0
    key.chmod(0o644)
    said = bench("run", "--key", key)
    assert said.code == 2
    assert f"chmod 600 {key}" in one_line(said.err)


@pytest.mark.parametrize("variable", ["BENCH_KEY_PASSPHRASE", "BENCH_KEY_PASSPHRASE_FILE"])
def test_the_key_of_a_first_run_is_encrypted_with_the_passphrase_given(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "passphrase").write_text("correct horse\n")
    words = {
        "BENCH_KEY_PASSPHRASE": "correct horse",
        "BENCH_KEY_PASSPHRASE_FILE": str(tmp_path / "passphrase"),
    }
    for name in words:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(variable, words[variable])
    made = keys_here.signing_key(None)
    assert keys_here.signing_key(None).fingerprint == made.fingerprint
    monkeypatch.delenv(variable)
    with pytest.raises(UsageError, match="is encrypted"):
        keys_here.signing_key(None)


def test_an_encrypted_key_without_its_passphrase_is_refused(bench: Program) -> None:
    key = bench.folder / "vendor"
    assert bench("key", "new", "-o", key, env={"BENCH_KEY_PASSPHRASE": "correct horse"}).code == 0
    said = bench("run", "--key", key)
    assert said.code == 2
    assert "is encrypted. Set BENCH_KEY_PASSPHRASE_FILE=FILE" in one_line(said.err)
    said = bench("run", "--key", key, env={"BENCH_KEY_PASSPHRASE": "wrong donkey"})
    assert said.code == 2
    assert "the passphrase does not open the key" in one_line(said.err)
    assert "donkey" not in said.err


# ----------------------------------------------------------------------------------------------- keys


def test_a_key_is_made_shown_and_never_overwritten(bench: Program) -> None:
    assert "none yet: bench key new" in bench("key", "show").out
    made = bench("key", "new")
    assert made.code == 0
    fingerprint = made.out.strip()
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", fingerprint)
    file = bench.home / "key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    again = bench("key", "new")
    assert again.code == 2
    assert "there is a key already" in one_line(again.err)
    assert file.read_bytes() == before
    shown = bench("key", "show").out.splitlines()
    assert shown == [f"key      {fingerprint}  {file}", f"trusted  {fingerprint}  self"]
    told = bench("key", "show", "--json").json
    assert told == {
        "key": fingerprint,
        "path": str(file),
        "trusted": [
            {"principal": "self", "fingerprint": fingerprint, "validAfter": None, "validBefore": None}
        ],
        "revoked": [],
    }


def test_a_vendors_key_is_trusted_by_name_and_then_verifies(made: Made, bench: Program) -> None:
    public = made.bench.home / "key.pub"
    assert bench("verify", made.file).code == 5
    said = bench("key", "trust", "vendor@example.org", public)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("trusted: SHA256:")
    assert bench("key", "trust", "vendor@example.org", public).out.startswith("already trusted: ")
    verified = bench("verify", made.file)
    assert verified.code == 0
    assert "signed by vendor@example.org (SHA256:" in verified.out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("two words", "key.pub"), "cannot name a signer"),
        (("vendor", "none.pub"), "cannot read none.pub"),
        (("vendor", "key"), "holds a private key"),
    ],
)
def test_what_cannot_be_trusted_is_refused(
    made: Made, bench: Program, words: tuple[str, ...], reason: str
) -> None:
    for name in ("key", "key.pub"):
        (bench.folder / name).write_bytes((made.bench.home / name).read_bytes())
    said = bench("key", "trust", *words)
    assert said.code == 2
    assert reason in one_line(said.err)
    assert not (bench.home / "allowed_signers").exists()


def test_the_first_run_makes_a_key_and_says_so(made: Made) -> None:
    first, second, *_ = made.said.err.splitlines()
    assert re.fullmatch(
        r"made this machine's signing key SHA256:\S{43} in \S+/key, trusted here as 'self'\.", first
    )
    assert re.match(r"measuring [1-9][0-9]* rows on cpu: about .*Ctrl-C keeps what was measured\.", second)


def planned(limit_s: float, *, precisions: Sequence[str] = (), sustain_s: float | None = None) -> plan.Plan:
    return plan.make(
        devices=cpu.inventory(cpu.affinity_here()).devices,
        precisions=precisions,
        claims=(),
        rules=catalog.rules("tw-ai-hardware-2024"),
        quick=False,
        limit_s=limit_s,
        sustain_s=sustain_s,
        nonce="00" * 32,
        room=1 << 40,
    )


def test_a_held_window_for_each_precision_is_announced_on_top() -> None:
    # 3 s of settling come before each minute.
    once = planned(600.0, precisions=("fp32",)).expected_s
    assert planned(600.0, precisions=("fp32",), sustain_s=60.0).expected_s == once + 63
    two = planned(600.0, precisions=("fp32", "bf16"), sustain_s=60.0)
    assert two.expected_s == planned(600.0, precisions=("fp32", "bf16")).expected_s + 126


def test_a_run_that_no_evidence_could_hold_is_refused_by_its_whole_length() -> None:
    with pytest.raises(
        UsageError, match=r"measuring for 200 min 00 s is too long: .* or hold fewer precisions"
    ):
        planned(6000.0, precisions=("fp32",), sustain_s=6000.0)


def test_the_duration_announced_is_what_the_rows_need(capsys: pytest.CaptureFixture[str]) -> None:
    made = planned(plan.LEAST_LIMIT_S)
    # Five visits to all these rows take longer than the five seconds asked for.
    beside = planned(600.0).expected_s - 600
    assert made.expected_s > made.limit_s + beside
    Watcher(made, quiet=False).announce()
    assert f" on cpu: about {format_seconds(made.expected_s)}, at most " in capsys.readouterr().err


# ----------------------------------------------------------------------------------- what run prints


def test_a_run_prints_its_report_and_how_to_verify_it(made: Made) -> None:
    key, verify = made.said.out.splitlines()[-2:]
    assert re.fullmatch(r"key       SHA256:\S{43}", key)
    assert verify == f"verify    bench verify {made.file}"
    assert "\x1b" not in made.said.out + made.said.err


@dataclass(frozen=True, kw_only=True)
class Told:
    """A short run of a user who has a key, quiet, for a program to read."""

    folder: Path
    said: Said


@pytest.fixture(scope="module")
def told(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")
    program = Program(home=made.bench.home, folder=folder)
    said = program(
        *("run", "--time", "5s", "--precision", "fp64", "--claim", "fp64=1000TFLOPS"),
        *("--require", "edge-device", "--json", "--quiet"),
    )
    return Told(folder=folder, said=said)


def test_a_quiet_run_says_nothing_on_stderr_but_what_is_not_met(told: Told) -> None:
    assert told.said.err == "bench: required, and not met: edge-device.\n"
    assert told.said.code == 1
    assert "\x1b" not in told.said.out


def test_the_default_file_is_named_by_time_device_and_report_number(told: Told) -> None:
    (file,) = (told.folder / "results").iterdir()
    number = sha256(envelope.parse(file.read_bytes()).payload).hexdigest()[:12]
    assert re.fullmatch(rf"20[0-9]{{6}}T[0-9]{{6}}Z-cpu-{number}\.evidence\.json", file.name)
    assert told.said.json["report"] == number
    assert told.said.json["evidence"] == f"results/{file.name}"


def test_a_typed_claim_of_any_size_meets_nothing(told: Told) -> None:
    rows = told.said.json["verdict"]["thresholds"]
    (edge,) = [row for row in rows if (row["tier"], row["precision"]) == ("edge-device", "fp64")]
    assert edge["declared"]["opsPerS"] == 1e15
    assert (edge["declaredWord"], edge["headline"]) == ("stated-only", "stated-only")


def test_the_result_for_programs_is_that_of_the_file(told: Told, made: Made) -> None:
    (file,) = (told.folder / "results").iterdir()
    shown = made.bench("show", "--json", file).json
    result = told.said.json
    assert result.pop("key") == json.loads(file.read_bytes())["signatures"][0]["keyid"]
    assert {**result, "evidence": str(file), "key": None} == shown
    assert (result["mode"], result["assurance"], result["interrupted"]) == ("default", "A0", False)


# ------------------------------------------------------------------------------- what is interrupted


def started(program: Program, *words: str | Path, until: str) -> subprocess.Popen[str]:
    """A run whose stderr has reached a line."""
    process = program.start(*words)
    assert process.stderr is not None
    for line in process.stderr:
        if until in line:
            return process
    pytest.fail(f"{until!r} was never said")


def interrupted(
    program: Program, *words: str | Path, until: str, after_s: float, by: Sequence[signal.Signals]
) -> Said:
    process = started(program, *words, until=until)
    time.sleep(after_s)
    for number in by:
        process.send_signal(number)
        time.sleep(0.02)
    out, err = process.communicate(timeout=30)
    return Said(code=process.returncode, out=out, err=err)


def unfinished(program: Program, file: Path) -> Evidence:
    """What verified of a run that did not end by itself."""
    said = program("verify", file)
    assert (said.code, said.err) == (0, "")
    assert "valid: assurance A0, interrupted, " in said.out
    assert ", interrupted" in program("show", file).out.splitlines()[0]
    evidence = read(file)
    assert evidence.interrupted
    for row in evidence.delivered:
        if row.estimate is None or row.estimate.visits < 5:
            assert not row.counts
    return evidence


@pytest.mark.parametrize(
    ("until", "after_s", "by", "measured"),
    [
        ("round 1: every row in turn", 1.2, [signal.SIGINT], True),
        ("search", 0.1, [signal.SIGINT], False),
        ("round 1: every row in turn", 1.2, [signal.SIGTERM, signal.SIGINT, signal.SIGTERM], True),
    ],
    ids=["while-measuring", "while-searching", "terminated-impatiently"],
)
def test_ctrl_c_keeps_what_was_measured(
    bench: Program, until: str, after_s: float, by: list[signal.Signals], measured: bool
) -> None:
    said = interrupted(bench, "run", "--precision", "fp64", until=until, after_s=after_s, by=by)
    assert said.code == 130
    assert said.out == ""
    last = said.err.splitlines()[-1]
    match = re.fullmatch(r"bench: interrupted; what was measured is in (results/\S+\.evidence\.json)\.", last)
    assert match, said.err
    assert "Traceback" not in said.err
    assert [path.name for path in (bench.folder / "results").iterdir()] == [Path(match[1]).name]
    evidence = unfinished(bench, bench.folder / match[1])
    assert any(row.visits for row in evidence.measurements) == measured
    assert {row.reason for row in evidence.delivered} == {"too-few-visits"}


def test_a_run_that_is_killed_leaves_what_it_had_saved(bench: Program) -> None:
    results = bench.folder / "results"
    with started(bench, "run", "--precision", "fp64", "--time", "60s", until="round 1") as process:
        deadline = time.monotonic() + 40
        while not (files := list(results.glob("*-partial.evidence.json"))):
            assert process.poll() is None
            assert time.monotonic() < deadline, "nothing was saved"
            time.sleep(0.1)
        process.kill()
    (file,) = files
    evidence = unfinished(bench, file)
    assert any(row.visits for row in evidence.measurements)
    assert list(results.iterdir()) == [file]
