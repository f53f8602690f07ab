"""What a process tells about itself: from recorded trees, and in processes that really are tampered with."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from program import TOP, environment

from bench.devices import inspect, loader, timers
from bench.terms import Digest, Fact

X = "7f00 r-xp 00000000 fe:00 12"
CLEAN = environment(TOP / "no-home")

# Every fact as its value or `absent: reason`, what was loaded, and what of it could not be read.
TELL = """
import json
from bench.devices import inspect
facts, (libraries, unread) = inspect.facts(), inspect.libraries()
print(json.dumps([
    {f.name: f"absent: {f.reason}" if f.value is None else f.value for f in (*facts, *unread)},
    [(library.name, library.sha256) for library in libraries],
]))
"""

NeedsProgram = Callable[[str, str], str]


def tree(root: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).write_text(text)
    return root


def fact(name: str, root: Path) -> Fact:
    (found,) = [item for item in inspect.facts(root) if item.name == name]
    return found


def tell(
    before: str = "", *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts and the digests of a process of its own that has run `before`."""
    kept = {name: value for name, value in CLEAN.items() if not name.startswith("LD_")}
    done = subprocess.run(
        [sys.executable, "-c", before + TELL],
        # Nor may the folder that the tests are started in, which python -c takes modules from.
        cwd=cwd or "/",
        env={**kept, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    facts, libraries = json.loads(done.stdout.splitlines()[-1])
    return facts, dict(libraries)


def compiled(needs_program: NeedsProgram, library: Path, source: str = "int nothing;") -> Path:
    gcc = needs_program("gcc", "gcc")
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [gcc, "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, text=True, check=True
    )
    return library


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------------------------- recorded trees


def test_preloaded_libraries_are_named_without_their_folders(tmp_path: Path) -> None:
    tree(tmp_path, {loader.ENVIRON: "HOME=/x\0LD_PRELOAD=/home/alice/liba.so:libb.so.2 /opt/c/libc.so\0"})
    assert fact("preloaded-by-environment", tmp_path).value == "liba.so libb.so.2 libc.so"
    assert "alice" not in str(inspect.facts(tmp_path))


def test_auditing_libraries_and_a_library_path_are_told(tmp_path: Path) -> None:
    tree(tmp_path, {loader.ENVIRON: "LD_AUDIT=/home/alice/watch.so\0LD_LIBRARY_PATH=/home/alice/lib\0"})
    assert fact("preloaded-by-audit", tmp_path).value == "watch.so"
    assert fact("library-path-set", tmp_path).value is True
    assert "alice" not in str(inspect.facts(tmp_path))


def test_the_preload_file_is_read_without_its_comments(tmp_path: Path) -> None:
    tree(tmp_path, {loader.PRELOAD_FILE: "# none: /lib/no.so\n/lib/a.so:/lib/b.so # and c\n\n\t/lib/d.so\n"})
    assert fact("preloaded-by-file", tmp_path).value == "a.so b.so d.so"


def test_an_environment_that_preloads_nothing_says_so(tmp_path: Path) -> None:
    tree(tmp_path, {loader.ENVIRON: "LD_PRELOAD=\0LD_LIBRARY_PATH=\0PYTHONPATH=\0"})
    assert fact("preloaded-by-environment", tmp_path).reason == "none-seen"
    assert fact("library-path-set", tmp_path).value is False
    assert fact("python-variables", tmp_path).reason == "none-seen"


def test_variables_that_decide_which_python_code_runs_are_named_without_their_values(tmp_path: Path) -> None:
    given = "PYTHONPATH=/home/alice\0PYTHONUNBUFFERED=1\0PYTHONSTARTUP=/home/alice/x.py\0MYPYTHONPATH=1\0"
    tree(tmp_path, {loader.ENVIRON: given})
    assert fact("python-variables", tmp_path).value == "PYTHONPATH PYTHONSTARTUP"
    assert "alice" not in str(inspect.facts(tmp_path))


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("Name:\tpython\nTracerPid:\t0\n", False, None),
        ("Name:\tpython\nTracerPid:\t4711\nUid:\t0\n", True, None),
        ("Name:\tpython\n", None, "not-understood"),
    ],
)
def test_a_tracer_is_told_by_its_process_number(
    tmp_path: Path, text: str, value: bool | None, reason: str | None
) -> None:
    told = fact("traced", tree(tmp_path, {"/proc/self/status": text}))
    assert (told.value, told.reason) == (value, reason)


def test_the_clock_source_and_its_rivals_are_told(tmp_path: Path) -> None:
    folder = "/sys/devices/system/clocksource/clocksource0"
    tree(
        tmp_path,
        {f"{folder}/current_clocksource": "hpet\n", f"{folder}/available_clocksource": "hpet acpi_pm \n"},
    )
    assert fact("clock-source", tmp_path).value == "hpet"
    assert fact("clock-sources-available", tmp_path).value == "hpet acpi_pm"


def test_a_process_without_the_kernels_fast_clock_says_so(tmp_path: Path) -> None:
    assert fact("vdso-mapped", tree(tmp_path / "a", {loader.MAPS: f"{X} [vdso]\n"})).value is True
    assert fact("vdso-mapped", tree(tmp_path / "b", {loader.MAPS: f"{X} /bin/x\n"})).value is False


def test_a_machine_that_tells_nothing_has_a_reason_for_every_fact(tmp_path: Path) -> None:
    facts = inspect.facts(tmp_path)
    names = [item.name for item in facts]
    assert len({*names}) == len(names)
    of_files = [item for item in facts if item.source.startswith(("/proc", "/sys", "/etc"))]
    assert [item.reason for item in of_files] == ["no-file"] * 9


def test_what_cannot_be_read_is_no_absent_file(tmp_path: Path) -> None:
    for path in (loader.ENVIRON, loader.PRELOAD_FILE, loader.MAPS):
        (tmp_path / path.lstrip("/")).mkdir(parents=True)
    for name in ("preloaded-by-environment", "preloaded-by-file", "python-variables", "vdso-mapped"):
        assert fact(name, tmp_path).reason == "not-readable"
    found, unread = inspect.libraries(tmp_path)
    assert [(item.name, item.reason) for item in unread] == [("library/", "not-readable")]
    assert found == ()


# --------------------------------------------------------------------------------------- libraries


def mapped(root: Path, paths: Iterable[str], contents: Mapping[str, str] | None = None) -> Path:
    lines = "".join(f"{X}                 {path}\n" for path in paths)
    return tree(root, {loader.MAPS: lines, **(contents or {})})


@pytest.mark.parametrize(
    "path",
    [
        "/v/site-packages/torch/lib/libtorch_cpu.so",
        "/v/site-packages/torch/lib/libc10_cuda.so",
        "/v/site-packages/numpy/_core/_multiarray_umath.cpython-311-x86_64-linux-gnu.so",
        "/v/site-packages/numpy.libs/libscipy_openblas64_-32a4b2a6.so",
        "/v/site-packages/onnxruntime/capi/onnxruntime_pybind11_state.so",
        "/v/site-packages/nvidia/cudnn/lib/libcudnn.so.9",
        "/opt/intel/libmkl_rt.so.2",
        "/opt/intel/libiomp5.so",
        "/usr/lib/libgomp.so.1.0.0",
        "/usr/lib/libopenblasp-r0.3.26.so",
        "/usr/lib/libdnnl.so.3",
        "/usr/lib/libcuda.so.570.86",
        "/usr/local/cuda/libcudart.so.12",
        "/usr/lib/libcublasLt.so.12",
        "/usr/lib/libnvidia-ml.so.1",
        "/usr/lib/libc.so.6",
        "/usr/lib/libc-2.31.so",
        "/usr/lib/libm.so.6",
        "/usr/lib/libpthread.so.0",
        "/usr/lib/ld-linux-aarch64.so.1",
        "/lib/ld-musl-x86_64.so.1",
        "/usr/bin/python3.11",
    ],
)
def test_libraries_of_numbers_drivers_and_runtimes_are_chosen(tmp_path: Path, path: str) -> None:
    mapped(tmp_path, [path], {path: "code"})
    expected = Digest(name=Path(path).name, sha256=hashlib.sha256(b"code").hexdigest())
    assert inspect.libraries(tmp_path)[0] == (expected,)
    assert inspect.libraries(tmp_path)[1] == ()


def test_other_libraries_and_files_that_no_code_is_run_from_are_left_out(tmp_path: Path) -> None:
    paths = ["/usr/lib/libssl.so.3", "/usr/lib/python3.11/lib-dynload/_csv.so", "/usr/lib/libcurses.so"]
    mapped(tmp_path, paths, dict.fromkeys(paths, ""))
    with (tmp_path / "proc/self/maps").open("a") as maps:
        maps.write("7f00 r--p 00000000 fe:00 12 /usr/lib/libm.so.6\n7f00 rwxp 00000000 00:00 0 \n")
        maps.write("7f00 r-xp 00000000 00:00 0 [vdso]\n")
    assert inspect.libraries(tmp_path) == ((), ())


def test_a_library_mapped_in_parts_stands_once(tmp_path: Path) -> None:
    path = "/usr/lib/libm.so.6"
    mapped(tmp_path, [path, path], {path: "code"})
    assert len(inspect.libraries(tmp_path)[0]) == 1


def test_two_libraries_of_one_name_both_stand_in_an_order_that_no_folder_decides(tmp_path: Path) -> None:
    for number, (first, second) in enumerate([("a", "b"), ("b", "a")]):
        root = tmp_path / str(number)
        paths = {f"/{first}/libgomp.so.1": "mine", f"/{second}/libgomp.so.1": "other", "/a/libm.so": "m"}
        mapped(root, paths, paths)
        digests = sorted(hashlib.sha256(text).hexdigest() for text in (b"mine", b"other"))
        names = ["libgomp.so.1", "libgomp.so.1 (2)"]
        expected = [Digest(name=n, sha256=d) for n, d in zip(names, digests, strict=True)]
        assert [*inspect.libraries(root)[0]][:2] == expected
        assert inspect.libraries(root)[0][2].name == "libm.so"


def test_a_library_with_blanks_in_its_path_is_read(tmp_path: Path) -> None:
    path = "/my programs/torch/lib/libtorch cpu.so"
    mapped(tmp_path, [path], {path: "code"})
    assert [library.name for library in inspect.libraries(tmp_path)[0]] == ["libtorch cpu.so"]


def test_libraries_that_are_gone_or_deleted_are_still_named(tmp_path: Path) -> None:
    # What stands at a deleted library's place now is another file.
    there = "/home/alice/libc10.so"
    mapped(tmp_path, ["/home/alice/libtorch.so", f"{there} (deleted)"], {there: "another"})
    assert inspect.libraries(tmp_path)[0] == ()
    assert [(item.name, item.reason) for item in inspect.libraries(tmp_path)[1]] == [
        ("library/libc10.so", "deleted"),
        ("library/libtorch.so", "no-file"),
    ]
    assert "alice" not in str(inspect.libraries(tmp_path)[1])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_library_that_may_not_be_read_is_still_named(tmp_path: Path) -> None:
    path = "/usr/lib/libm.so.6"
    mapped(tmp_path, [path], {path: "code"})
    (tmp_path / path.lstrip("/")).chmod(0)
    assert [item.reason for item in inspect.libraries(tmp_path)[1]] == ["not-permitted"]


def test_numpys_libraries_are_among_those_that_a_process_has_loaded() -> None:
    _, before = tell()
    facts, after = tell("import numpy\n")
    assert [name for name in facts if name.startswith("library/")] == []
    assert not any(name.startswith("_multiarray_umath") for name in before)
    (name,) = [name for name in after if name.startswith("_multiarray_umath")]
    import numpy._core._multiarray_umath as extension

    assert after[name] == sha256(Path(extension.__file__))


def test_a_library_that_was_deleted_while_it_was_loaded_is_still_named(
    tmp_path: Path, needs_program: NeedsProgram
) -> None:
    library = compiled(needs_program, tmp_path / "libcudafake.so")
    load = f"import ctypes, os\nctypes.CDLL({str(library)!r})\n"
    assert tell(load)[1]["libcudafake.so"] == sha256(library)
    facts, libraries = tell(f"{load}os.remove({str(library)!r})\n")
    assert facts["library/libcudafake.so"] == "absent: deleted"
    assert "libcudafake.so" not in libraries


# ------------------------------------------------------------------------- processes tampered with


def test_nothing_is_seen_in_a_process_that_was_left_alone() -> None:
    facts, _ = tell()
    for name in ("preloaded-by-environment", "preloaded-by-audit", "timers-replaced", "python-variables"):
        assert facts[name] == "absent: none-seen"
    for name in ("library-path-set", "traced", "trace-function", "profile-function"):
        assert facts[name] is False
    assert (facts["clock-off-library-ns"], facts["clock-off-kernel-ns"]) < (1000, 1000)
    assert max(facts["raw-clock-off-boottime-ppm"], facts["raw-clock-off-realtime-ppm"]) < 10_000


def test_a_preloaded_library_is_told_and_has_its_digest_whatever_its_name(
    tmp_path: Path, needs_program: NeedsProgram
) -> None:
    library = compiled(needs_program, tmp_path / "anything.so")
    # The program itself may have hidden the variable by now.
    facts, libraries = tell("import os; del os.environ['LD_PRELOAD']\n", env={"LD_PRELOAD": str(library)})
    assert facts["preloaded-by-environment"] == "anything.so"
    assert libraries["anything.so"] == sha256(library)


LYING_CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    now->tv_sec /= 2;
    return failed;
}
"""


def test_a_c_library_that_tells_another_time_than_the_kernel_is_seen(
    tmp_path: Path, needs_program: NeedsProgram
) -> None:
    library = compiled(needs_program, tmp_path / "lies.so", LYING_CLOCK)
    facts, _ = tell(env={"LD_PRELOAD": str(library)})
    assert facts["clock-off-kernel-ns"] >= 10**9
    assert facts["timers-replaced"] == "absent: none-seen"
    # The same symbol that the interpreter uses: the C library agrees with the liar.
    assert facts["clock-off-library-ns"] == 0


@pytest.mark.parametrize(
    ("patch", "name"),
    [
        ("time.monotonic_ns = lambda: 0", "time.monotonic_ns"),
        ("time.perf_counter_ns = time.monotonic_ns", "time.perf_counter_ns"),
        ("time.process_time_ns = print", "time.process_time_ns"),
        ("del time.time_ns", "time.time_ns"),
        (
            "import importlib.util as u; copy = u.module_from_spec(u.find_spec('time'));"
            "time.sleep = copy.sleep",
            "time.sleep",
        ),
        ("import bench.devices.clock as c; c.HostClock.host_ns = lambda self: 0", "HostClock.host_ns"),
        ("import bench.devices.clock as c; c.HostClock.cpu_ns = time.process_time_ns", "HostClock.cpu_ns"),
        ("import bench.devices.clock as c; c.time = __import__('types').SimpleNamespace()", "time"),
    ],
)
def test_a_function_that_tells_the_time_and_was_exchanged_is_named(patch: str, name: str) -> None:
    facts, _ = tell(f"import time\n{patch}\n")
    assert facts["timers-replaced"] == name


CHANGED = """
import time
original = time.clock_gettime_ns
time.clock_gettime_ns = lambda clock: original(clock) {change} if clock in {clocks} else original(clock)
"""


@pytest.mark.parametrize("change", ["// 2", "* 2"])
def test_a_scaled_clock_disagrees_with_the_library_the_kernel_and_the_other_clocks(change: str) -> None:
    clocks = "(time.CLOCK_MONOTONIC, time.CLOCK_MONOTONIC_RAW)"
    facts, _ = tell(CHANGED.format(clocks=clocks, change=change))
    assert facts["timers-replaced"] == "time.clock_gettime_ns"
    assert min(facts["clock-off-library-ns"], facts["clock-off-kernel-ns"]) > 10**6
    for name in ("raw-clock-off-boottime-ppm", "raw-clock-off-realtime-ppm"):
        assert facts[name] == pytest.approx(500_000, rel=0.05)


def test_a_halved_cpu_time_is_seen() -> None:
    facts, _ = tell(CHANGED.format(clocks="(time.CLOCK_PROCESS_CPUTIME_ID,)", change="// 2"))
    assert min(facts["clock-off-library-ns"], facts["clock-off-kernel-ns"]) > 10**6
    assert facts["raw-clock-off-boottime-ppm"] < 10_000


def test_a_clock_that_stands_still_has_no_rate() -> None:
    facts, _ = tell("import time\ntime.clock_gettime_ns = lambda clock: 5\n")
    assert facts["raw-clock-off-boottime-ppm"] == "absent: clock-stands-still"


def test_functions_that_watch_every_line_are_told() -> None:
    assert tell("import sys\nsys.settrace(lambda *a: None)\n")[0]["trace-function"] is True
    assert tell("import sys\nsys.setprofile(lambda *a: None)\n")[0]["profile-function"] is True


def test_monitoring_tools_are_told_where_python_has_them() -> None:
    register = "import sys\nif hasattr(sys, 'monitoring'): sys.monitoring.use_tool_id(3, 'watcher')\n"
    told = tell(register)[0]["monitoring-tools"]
    assert told == ("watcher" if sys.version_info >= (3, 12) else "absent: old-python")


def test_a_real_tracer_is_told() -> None:
    trace_me = "import ctypes\nallowed = ctypes.CDLL(None).ptrace(0, 0, None, None) == 0\n"
    facts, _ = tell(trace_me + "if not allowed: print('[{}, {}]'); raise SystemExit\n")
    if not facts:
        pytest.skip("this system lets nobody trace")
    assert facts["traced"] is True


def test_a_sitecustomize_is_told_by_its_place_and_not_run_again(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "sitecustomize.py").write_text(f"open({str(ran)!r}, 'a').write('once')\n")
    facts, _ = tell(env={"PYTHONPATH": str(tmp_path)})
    assert facts["sitecustomize"] == "elsewhere"
    assert facts["python-variables"] == "PYTHONPATH"
    assert ran.read_text() == "once"


def test_a_usercustomize_that_hides_its_origin_is_told() -> None:
    hide = "import sys, types\nsys.modules['usercustomize'] = types.ModuleType('usercustomize')\n"
    assert tell(hide)[0]["usercustomize"] == "elsewhere"


def test_a_customising_module_is_placed_by_its_folder() -> None:
    place = (
        "import sys, sysconfig, importlib.util as u\n"
        "spec = u.spec_from_file_location('sitecustomize', sysconfig.get_path({!r}) + '/s.py')\n"
        "sys.modules['sitecustomize'] = u.module_from_spec(spec)\n"
    )
    assert tell(place.format("stdlib"))[0]["sitecustomize"] == inspect.STANDARD_LIBRARY
    assert tell(place.format("purelib"))[0]["sitecustomize"] == "site-packages"


def test_path_files_with_code_are_named(tmp_path: Path) -> None:
    base = tmp_path / "user"
    env = {"PYTHONUSERBASE": str(base)}
    find = [sys.executable, "-c", "import site; print(site.getusersitepackages())"]
    where = Path(subprocess.run(find, env={**CLEAN, **env}, capture_output=True, text=True).stdout.strip())
    tree(where, {"mine.pth": "import os\n", "folder.pth": "/usr/lib/importance\n"})
    named = tell(env=env)[0]["start-up-files"].split()
    assert "mine.pth" in named
    assert "folder.pth" not in named


def test_on_a_system_without_linuxs_clocks_and_files_nothing_is_raised(tmp_path: Path) -> None:
    other = (
        "import platform, time\nplatform.system = lambda: 'Other'\n"
        "del time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW\n"
        f"import pathlib, bench.devices.inspect as i\nfor f in (i.facts, i.libraries):\n"
        f"    f.__defaults__ = (pathlib.Path({str(tmp_path)!r}),)\n"
    )
    facts, libraries = tell(other)
    assert libraries == {}
    assert facts["clock-off-kernel-ns"] == facts["clock-off-library-ns"] == "absent: other-system"
    assert facts["raw-clock-off-boottime-ppm"] == "absent: no-clock"
    assert facts["traced"] == facts["vdso-mapped"] == facts["library/"] == "absent: no-file"


def test_a_processor_whose_system_calls_are_not_known_has_no_other_reading() -> None:
    facts, _ = tell("import platform\nplatform.machine = lambda: 'abacus'\n")
    assert facts["clock-off-kernel-ns"] == "absent: no-other-reading"
    assert facts["clock-off-library-ns"] == 0


def test_the_kernels_number_of_the_call_is_the_headers(tmp_path: Path, needs_program: NeedsProgram) -> None:
    source = tmp_path / "number.c"
    source.write_text("#include <sys/syscall.h>\nSYS_clock_gettime\n")
    gcc = needs_program("gcc", "gcc")
    said = subprocess.run([gcc, "-E", "-P", source], capture_output=True, text=True, check=True).stdout
    assert timers.CALLS.get(os.uname().machine, int(said)) == int(said)


# ---------------------------------------------------------------------------------- the own files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a wheel of these sources was installed."""
    sources, built, there = (tmp_path_factory.mktemp(name) for name in ("sources", "built", "there"))
    for name in ("bench", "kernels", "profiles"):
        shutil.copytree(TOP / name, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, sources)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    alone = ["--no-deps", "--no-index"]
    build = [*pip, "wheel", *alone, "--no-build-isolation", "--wheel-dir", built, sources]
    subprocess.run(build, env=CLEAN, check=True, timeout=120)
    install = [*pip, "install", *alone, "--target", there, *built.glob("*.whl")]
    subprocess.run(install, env=CLEAN, check=True, timeout=120)
    return there


def differing(installed: Path) -> Any:
    return tell(env={"PYTHONPATH": str(installed)})[0]["harness-files-differing"]


def test_an_installed_wheel_has_the_files_of_its_record(wheel: Path) -> None:
    assert differing(wheel) == 0


def test_files_that_were_changed_added_and_removed_after_installing_are_counted(
    wheel: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "changed"
    shutil.copytree(wheel, installed)
    with (installed / "bench/judge/energy.py").open("a") as file:
        file.write("# changed\n")
    assert differing(installed) == 1
    (installed / "bench/kernels/mine.py").write_text("KERNEL = None\n")
    assert differing(installed) == 2
    (installed / "bench/report/beside.py").unlink()
    assert differing(installed) == 3
    with (installed / "bench/profiles/ladders/cpu.toml").open("a") as file:
        file.write("# changed\n")
    assert differing(installed) == 4


def test_an_empty_record_of_the_sources_folder_does_not_hide_the_wheels(wheel: Path, tmp_path: Path) -> None:
    tree(tmp_path, {"compute_evidence.egg-info/PKG-INFO": "Name: compute-evidence\nVersion: 0.1.0\n"})
    told = tell(env={"PYTHONPATH": str(wheel)}, cwd=tmp_path)[0]["harness-files-differing"]
    assert told == 0


def test_sources_that_are_run_beside_an_installed_wheel_are_not_held_against_it(
    wheel: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(wheel / "bench", other / "bench")
    both = os.pathsep.join(map(str, (other, wheel)))
    told = tell(env={"PYTHONPATH": both})[0]["harness-files-differing"]
    assert told == "absent: not-from-a-wheel"


def test_a_program_that_no_distribution_has_is_not_held_against_any(wheel: Path, tmp_path: Path) -> None:
    shutil.copytree(wheel / "bench", tmp_path / "bench")
    alone = "import sys\nsys.path = [p for p in sys.path if not p.endswith('site-packages')]\n"
    told = tell(alone, env={"PYTHONPATH": str(tmp_path)})[0]["harness-files-differing"]
    assert told == "absent: not-installed"
