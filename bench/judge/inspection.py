"""What the process said about itself, where a reader should look: pure, and nobody is accused.

A self-statement can only be held against its own side: there are warnings here and no failures, and a clean
one shows nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

from bench.devices import inspect, loader, timers
from bench.terms import Fact, Finding, Inspection, Scalar

# The system call and the vDSO round to a nanosecond each and take a change of the clock's rate at slightly
# different moments. A timer scaled by a thousandth since the process began is off by a hundred times this.
_OFF_NS = 10_000
# As between the clocks of a sample (judge/findings): time keeping slews by 0.05 %, after a wrong start by
# up to a tenth, and that is worth a word.
_OFF_PPM = 10_000

# What is looked at here. A fact that is not there, or is not what it should be, has not been looked at.
_WORDS = (
    *(loader.BY_ENVIRONMENT, loader.BY_AUDIT, loader.BY_FILE, inspect.VARIABLES, inspect.SITE, inspect.USER),
    *(inspect.MONITORING, timers.REPLACED, timers.SOURCE),
)
_FLAGS = (loader.LIBRARY_PATH, inspect.TRACED, inspect.TRACE, inspect.PROFILE, timers.VDSO)
_NUMBERS = (
    *(timers.OFF_LIBRARY, timers.OFF_KERNEL, timers.OFF_BOOTTIME, timers.OFF_REALTIME),
    inspect.HARNESS_FILES,
)

Facts = Mapping[str, Fact]


def findings(inspection: Inspection) -> Iterator[Finding]:
    """What stands out in the facts, in their order; none for a machine with nothing about it."""
    facts = _sound(inspection)
    yield from _missing(facts)
    yield from _loaded(facts)
    yield from _interpreter(facts)
    yield from _traced(facts)
    yield from _timers(facts)
    yield from _clocks(facts)
    yield from _files(facts, inspection)


def _sound(inspection: Inspection) -> Facts:
    """The facts by name, of those that stand once and have no value or one of their kind."""
    counted = Counter(fact.name for fact in inspection.facts)
    return {
        fact.name: fact
        for fact in inspection.facts
        if counted[fact.name] == 1 and (fact.value is None or _fits(fact.name, fact.value))
    }


def _fits(name: str, value: Scalar) -> bool:
    if name in _WORDS:
        return type(value) is str and value.strip() != ""
    if name in _FLAGS:
        return type(value) is bool
    return name in _NUMBERS and type(value) is int and value >= 0


def _words(facts: Facts, name: str) -> str:
    """A fact that is absent has no words, and was not seen."""
    value = facts[name].value if name in facts else None
    return value if isinstance(value, str) else ""


def _flag(facts: Facts, name: str) -> bool:
    return name in facts and facts[name].value is True


def _number(facts: Facts, name: str) -> int:
    value = facts[name].value if name in facts else None
    return value if isinstance(value, int) else 0


def _missing(facts: Facts) -> Iterator[Finding]:
    missing = {*_WORDS, *_FLAGS, *_NUMBERS} - {*facts}
    if missing:
        yield Finding(
            subject="machine", status="warning", code="not-inspected", numbers={"facts": len(missing)}
        )


def _loaded(facts: Facts) -> Iterator[Finding]:
    sources = (loader.BY_ENVIRONMENT, loader.BY_AUDIT, loader.BY_FILE)
    names = [name for source in sources for name in _words(facts, source).split()]
    if names:
        yield Finding(
            subject="machine",
            status="warning",
            code="preloaded-libraries",
            numbers={"libraries": len(names), "names": ", ".join(names)},
        )
    if _flag(facts, loader.LIBRARY_PATH):
        yield Finding(subject="machine", status="info", code="library-path-set", numbers={})


def _interpreter(facts: Facts) -> Iterator[Finding]:
    """A module that runs at every start is a warning; a variable of the shell is often there for others."""
    places = {name: _words(facts, name) for name in (inspect.SITE, inspect.USER)}
    modules = [
        f"{name} ({place})" for name, place in places.items() if place not in ("", inspect.STANDARD_LIBRARY)
    ]
    found = [*modules, *_words(facts, inspect.VARIABLES).split()]
    if found:
        yield Finding(
            subject="machine",
            status="warning" if modules else "info",
            code="customised-interpreter",
            numbers={"by": ", ".join(found)},
        )


def _traced(facts: Facts) -> Iterator[Finding]:
    ways = {
        "another process": _flag(facts, inspect.TRACED),
        "a trace function": _flag(facts, inspect.TRACE),
        "a profile function": _flag(facts, inspect.PROFILE),
        "monitoring tools": _words(facts, inspect.MONITORING) != "",
    }
    seen = [way for way, there in ways.items() if there]
    if seen:
        yield Finding(subject="machine", status="warning", code="traced", numbers={"by": ", ".join(seen)})


def _timers(facts: Facts) -> Iterator[Finding]:
    names = _words(facts, timers.REPLACED).split()
    if names:
        yield Finding(
            subject="machine", status="warning", code="timers-modified", numbers={"names": ", ".join(names)}
        )
    off_ns = max(_number(facts, name) for name in (timers.OFF_LIBRARY, timers.OFF_KERNEL))
    if off_ns > _OFF_NS:
        yield Finding(
            subject="machine", status="warning", code="timers-read-otherwise", numbers={"off_ns": off_ns}
        )


def _clocks(facts: Facts) -> Iterator[Finding]:
    rates = (timers.OFF_BOOTTIME, timers.OFF_REALTIME)
    off_ppm = max(_number(facts, name) for name in rates)
    still = any(name in facts and facts[name].reason == "clock-stands-still" for name in rates)
    if still or off_ppm > _OFF_PPM:
        share = 1.0 if still else off_ppm / 1e6
        yield Finding(
            subject="machine", status="warning", code="clock-rates-differ", numbers={"share": share}
        )
    source = _words(facts, timers.SOURCE)
    if source and source not in timers.USUAL_SOURCES:
        yield Finding(
            subject="machine", status="info", code="clock-source-unusual", numbers={"source": source}
        )
    if timers.VDSO in facts and facts[timers.VDSO].value is False:
        yield Finding(subject="machine", status="info", code="no-vdso", numbers={})


def _files(facts: Facts, inspection: Inspection) -> Iterator[Finding]:
    differing = _number(facts, inspect.HARNESS_FILES)
    if differing:
        yield Finding(
            subject="machine", status="warning", code="harness-files-differ", numbers={"files": differing}
        )
    names = [f.name.removeprefix(loader.UNREAD) for f in inspection.facts if f.name.startswith(loader.UNREAD)]
    if names:
        yield Finding(
            subject="machine",
            status="info",
            code="libraries-unread",
            numbers={"libraries": len(names), "names": ", ".join(name or "any" for name in names)},
        )
