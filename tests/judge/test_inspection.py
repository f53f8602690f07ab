"""What a reader is told of a process's statement about itself, whatever somebody wrote into it."""

from dataclasses import replace
from typing import Any

import pytest

from bench.devices import inspect, loader, timers
from bench.judge.inspection import findings
from bench.report import sentences
from bench.terms import Digest, Fact, Finding, Inspection, Scalar

# What an untouched machine says: absent facts were looked for and not seen.
UNTOUCHED: dict[str, Scalar | None] = {
    **dict.fromkeys((loader.BY_ENVIRONMENT, loader.BY_AUDIT, loader.BY_FILE, inspect.VARIABLES)),
    **dict.fromkeys((inspect.SITE, inspect.USER, inspect.MONITORING, timers.REPLACED)),
    **dict.fromkeys((loader.LIBRARY_PATH, inspect.TRACED, inspect.TRACE, inspect.PROFILE), False),
    **dict.fromkeys((timers.OFF_LIBRARY, timers.OFF_KERNEL, timers.OFF_BOOTTIME, timers.OFF_REALTIME), 0),
    timers.VDSO: True,
    timers.SOURCE: "tsc",
    inspect.HARNESS_FILES: 0,
}


def fact(name: str, value: Scalar | None, reason: str = "none-seen") -> Fact:
    return Fact(name=name, value=value, source="scripted", reason=reason if value is None else None)


def inspection(**changed: Scalar | None) -> Inspection:
    """An untouched machine's but for facts that are named with _ for -."""
    values = {**UNTOUCHED, **{name.replace("_", "-"): value for name, value in changed.items()}}
    return Inspection(facts=tuple(fact(*item) for item in values.items()), libraries=())


def found(**changed: Scalar | None) -> list[Finding]:
    return [*findings(inspection(**changed))]


def codes(given: Inspection) -> list[str]:
    return [finding.code for finding in findings(given)]


def test_an_untouched_machine_shows_nothing() -> None:
    assert found() == []


def test_every_fact_that_is_judged_is_one_that_a_process_tells() -> None:
    assert {*UNTOUCHED} <= {item.name for item in inspect.facts()}


def test_what_this_process_tells_is_all_of_the_kind_that_is_expected() -> None:
    assert "not-inspected" not in codes(Inspection(facts=inspect.facts(), libraries=()))


@pytest.mark.parametrize(
    ("changed", "status", "code", "numbers"),
    [
        (
            {"preloaded_by_environment": "a.so b.so", "preloaded_by_file": "c.so"},
            *("warning", "preloaded-libraries", {"libraries": 3, "names": "a.so, b.so, c.so"}),
        ),
        (
            {"preloaded_by_audit": "a.so"},
            *("warning", "preloaded-libraries", {"libraries": 1, "names": "a.so"}),
        ),
        ({"library_path_set": True}, "info", "library-path-set", {}),
        (
            {"sitecustomize": "elsewhere"},
            "warning",
            "customised-interpreter",
            {"by": "sitecustomize (elsewhere)"},
        ),
        (
            {"usercustomize": "user's site-packages", "python_variables": "PYTHONPATH"},
            *(
                "warning",
                "customised-interpreter",
                {"by": "usercustomize (user's site-packages), PYTHONPATH"},
            ),
        ),
        (
            {"python_variables": "PYTHONHOME PYTHONPATH"},
            *("info", "customised-interpreter", {"by": "PYTHONHOME, PYTHONPATH"}),
        ),
        ({"traced": True}, "warning", "traced", {"by": "another process"}),
        (
            {"trace_function": True, "profile_function": True, "monitoring_tools": "watcher"},
            *("warning", "traced", {"by": "a trace function, a profile function, monitoring tools"}),
        ),
        (
            {"timers_replaced": "time.time_ns HostClock.raw_ns"},
            *("warning", "timers-modified", {"names": "time.time_ns, HostClock.raw_ns"}),
        ),
        ({"clock_off_library_ns": 10_001}, "warning", "timers-read-otherwise", {"off_ns": 10_001}),
        (
            {"clock_off_kernel_ns": 10**9, "clock_off_library_ns": 20_000},
            *("warning", "timers-read-otherwise", {"off_ns": 10**9}),
        ),
        ({"raw_clock_off_boottime_ppm": 10_001}, "warning", "clock-rates-differ", {"share": 0.010001}),
        ({"raw_clock_off_realtime_ppm": 500_000}, "warning", "clock-rates-differ", {"share": 0.5}),
        ({"clock_source": "hpet"}, "info", "clock-source-unusual", {"source": "hpet"}),
        ({"vdso_mapped": False}, "info", "no-vdso", {}),
        ({"harness_files_differing": 2}, "warning", "harness-files-differ", {"files": 2}),
    ],
)
def test_what_was_seen_is_told_once_with_its_numbers(
    changed: dict[str, Any], status: str, code: str, numbers: dict[str, Scalar]
) -> None:
    (finding,) = found(**changed)
    assert (finding.subject, finding.status, finding.code) == ("machine", status, code)
    assert finding.numbers == numbers
    told = sentences.finding(finding)
    assert told.endswith(".")
    assert code not in told


@pytest.mark.parametrize(
    "changed",
    [
        {"sitecustomize": "standard library"},
        {"clock_off_library_ns": 10_000, "clock_off_kernel_ns": 10_000},
        {"raw_clock_off_boottime_ppm": 10_000, "raw_clock_off_realtime_ppm": 10_000},
        {"clock_source": "kvm-clock"},
        {"clock_source": "arch_sys_counter"},
    ],
)
def test_what_honest_machines_show_is_no_finding(changed: dict[str, Any]) -> None:
    assert found(**changed) == []


@pytest.mark.parametrize("name", UNTOUCHED)
def test_a_fact_that_could_not_be_read_is_no_finding(name: str) -> None:
    facts = tuple(
        fact(item.name, None, "not-permitted") if item.name == name else item for item in inspection().facts
    )
    assert codes(Inspection(facts=facts, libraries=())) == []


def test_a_clock_that_stands_still_runs_at_another_rate() -> None:
    facts = tuple(
        fact(item.name, None, "clock-stands-still") if item.name == timers.OFF_REALTIME else item
        for item in inspection().facts
    )
    (finding,) = findings(Inspection(facts=facts, libraries=()))
    assert (finding.code, finding.numbers) == ("clock-rates-differ", {"share": 1.0})


def test_libraries_without_a_digest_are_told_by_name() -> None:
    unread = (fact("library/libcuda.so.1", None, "deleted"), fact("library/libm.so.6", None, "no-file"))
    given = replace(inspection(), facts=(*inspection().facts, *unread))
    (finding,) = findings(given)
    assert (finding.status, finding.code) == ("info", "libraries-unread")
    assert finding.numbers == {"libraries": 2, "names": "libcuda.so.1, libm.so.6"}


def test_the_libraries_that_were_loaded_are_judged_by_nobody_here() -> None:
    given = replace(inspection(), libraries=(Digest(name="libm.so.6", sha256="0" * 64),))
    assert codes(given) == []


def test_several_things_seen_are_told_each() -> None:
    seen = found(
        preloaded_by_environment="a.so", traced=True, clock_source="jiffies", harness_files_differing=1
    )
    assert [finding.code for finding in seen] == [
        *("preloaded-libraries", "traced", "clock-source-unusual", "harness-files-differ"),
    ]


# ------------------------------------------------------------------------ statements of somebody's own


def test_an_empty_inspection_is_told() -> None:
    (finding,) = findings(Inspection(facts=(), libraries=()))
    assert (finding.status, finding.code) == ("warning", "not-inspected")
    assert finding.numbers == {"facts": len(UNTOUCHED)}


@pytest.mark.parametrize("name", UNTOUCHED)
def test_a_fact_that_was_left_out_is_told(name: str) -> None:
    facts = tuple(item for item in inspection().facts if item.name != name)
    assert [(f.code, f.numbers) for f in findings(Inspection(facts=facts, libraries=()))] == [
        ("not-inspected", {"facts": 1})
    ]


@pytest.mark.parametrize("name", UNTOUCHED)
@pytest.mark.parametrize("value", ["", "  ", "0", -1, 0.0, 1e308, True, 7, "a.so"])
def test_a_value_of_another_kind_neither_raises_nor_goes_unseen(name: str, value: Scalar) -> None:
    seen = found(**{name.replace("-", "_"): value})
    assert {finding.status for finding in seen} <= {"info", "warning"}
    usual = UNTOUCHED[name]
    words = usual is None or isinstance(usual, str)
    fits = type(value) is str and value.strip() if words else type(value) is type(usual) and value >= 0  # type: ignore[operator]
    assert ("not-inspected" in [finding.code for finding in seen]) == (not fits)


def test_a_fact_that_stands_twice_counts_as_left_out() -> None:
    twice = replace(inspection(), facts=(fact(inspect.TRACED, False), *inspection(traced=True).facts))
    assert codes(twice) == ["not-inspected"]
