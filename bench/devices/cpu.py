"""The family `cpu`: all CPUs of this machine that the process may use, as one device.

Identity is what /proc and /sys say, each fact with the path it stood in. Nothing is guessed: a
machine that does not say its model's name has none, and the reason stands there instead.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from bench.devices import cgroup
from bench.devices.family import DeviceFamily, Inventory
from bench.devices.tree import HERE, absent, fact, index_list, read, read_or_empty
from bench.terms import Device, Fact, Scalar, Unavailable

CPUINFO = "/proc/cpuinfo"
CPUS = "/sys/devices/system/cpu"

# The flags that decide how fast a matrix product can be, by the names Linux gives them:
# arch/x86/include/asm/cpufeatures.h, then arch/arm64/kernel/cpuinfo.c.
INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"),
    *("avx512_bf16", "avx512_fp16", "avx_vnni", "avx_vnni_int8", "avx_ne_convert", "amx_tile", "amx_int8"),
    *("amx_bf16", "amx_fp16", "amx_complex", "avx10"),
    # Tells microarchitectures apart (profiles/arch).
    "avx512_vbmi2",
    *(
        "asimd",
        "asimdhp",
        "asimddp",
        "asimdfhm",
        "i8mm",
        "bf16",
        "sve",
        "sve2",
        "svei8mm",
        "svebf16",
        "sve2p1",
    ),
    *("sme", "smei8i32", "smeb16f32", "smef16f32", "smef32f32", "sme2"),
)

# arch/arm64/include/asm/cputype.h, ARM_CPU_IMP_*.
ARM_IMPLEMENTERS = {
    "0x41": "ARM",
    "0x42": "Broadcom",
    "0x43": "Cavium",
    "0x46": "Fujitsu",
    "0x48": "HiSilicon",
    "0x4e": "NVIDIA",
    "0x50": "APM",
    "0x51": "Qualcomm",
    "0x61": "Apple",
    "0x6d": "Microsoft",
    "0x70": "Phytium",
    "0xc0": "Ampere",
}

_SIBLINGS = "topology/thread_siblings_list"

CACHES = {("1", "Data"): "l1d", ("2", "Unified"): "l2", ("3", "Unified"): "l3"}


def inventory(affinity: frozenset[int], root: Path = HERE) -> Inventory:
    """The CPU of the machine below `root`; `affinity` are the logical CPUs this process may run on."""
    try:
        text = read(root, CPUINFO)
    except OSError as error:
        why = Unavailable(
            subject="cpu", code="no-cpuinfo", detail=f"{error.strerror}: {CPUINFO}; measuring is for Linux"
        )
        return Inventory(family="cpu", devices=(), unavailable=(why,))
    processors = _processors(text)
    facts = (
        *_identity(root, processors),
        *_counts(root, processors, affinity),
        *_caches(root),
        *_clocks(root, min(affinity), processors),
        *_surroundings(root, processors),
    )
    device = Device(
        selector="cpu",
        family="cpu",
        kind="cpu",
        name=_name(facts),
        vendor=_text(facts, "vendor"),
        facts=facts,
    )
    return Inventory(family="cpu", devices=(device,), unavailable=())


def affinity_here() -> frozenset[int]:
    """The logical CPUs this process may run on; where the system cannot say, all of them."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


@cache
def threads_here() -> int:
    """What this process may use of the processor, and what a device beside it that has no threads gets: ONNX
    Runtime has one pool of them in a process.
    """
    found = inventory(affinity_here()).devices
    threads = found[0].fact("threads-usable") if found else None
    return threads if isinstance(threads, int) else 1


def one_cpu_per_core(affinity: frozenset[int], root: Path = HERE) -> tuple[int, ...]:
    """The lowest CPU of each core that `affinity` reaches; a CPU whose siblings nobody tells is a core."""
    first: dict[str, int] = {}
    for cpu in sorted(affinity):
        first.setdefault(_siblings(root, cpu) or str(cpu), cpu)
    return tuple(sorted(first.values()))


def share(affinity: frozenset[int], index: int, of: int, root: Path = HERE) -> frozenset[int]:
    """The index-th of `of` shares of the CPUs, by whole cores; where cores are too few, one core each."""
    cores: dict[str, set[int]] = {}
    for cpu in sorted(affinity):
        cores.setdefault(_siblings(root, cpu) or str(cpu), set()).add(cpu)
    each = list(cores.values())
    own = each[index * len(each) // of : (index + 1) * len(each) // of] or [each[index % len(each)]]
    return frozenset().union(*own)


def clock_cpus(device: Device, affinity: frozenset[int], root: Path = HERE) -> tuple[int, ...]:
    """The CPUs whose clock stands for the device's: one of each core, at most as many as threads may run."""
    return one_cpu_per_core(affinity, root)[: int(str(device.fact("threads-usable")))]


def _here() -> Inventory:
    return inventory(affinity_here())


FAMILY = DeviceFamily(name="cpu", look=_here)


def _processors(text: str) -> list[Mapping[str, str]]:
    """One mapping per logical CPU; the board's block at the end of some ARM files is left out."""
    blocks = (
        re.findall(r"^([^\t:\n]+?)[ \t]*:[ \t]*(.*?)[ \t]*$", block, re.M)
        for block in re.split(r"\n\s*\n", text)
    )
    return [block for block in map(dict, blocks) if "processor" in block]


def _line(name: str, processors: Sequence[Mapping[str, str]], *keys: str) -> Fact:
    """What the CPUs say under one of `keys`; kinds of cores that differ are named one after the other."""
    for key in keys:
        values = dict.fromkeys(value for cpu in processors if (value := cpu.get(key)))
        if values:
            return Fact(name=name, value=" + ".join(values), source=CPUINFO)
    return absent(name, CPUINFO, "no-line")


def _identity(root: Path, processors: Sequence[Mapping[str, str]]) -> Iterator[Fact]:
    implementer = _line("vendor", processors, "vendor_id", "CPU implementer")
    yield _line("model", processors, "model name", "cpu model")
    yield Fact(
        name="vendor",
        value=ARM_IMPLEMENTERS.get(str(implementer.value), implementer.value),
        source=implementer.source,
        reason=implementer.reason,
    )
    yield _line("cpu-family", processors, "cpu family", "CPU architecture")
    yield _line("cpu-part", processors, "model", "CPU part")
    yield _line("stepping", processors, "stepping", "CPU revision")
    yield _line("microcode", processors, "microcode")
    yield _instruction_sets(processors)
    yield fact("board", root, "/sys/firmware/devicetree/base/model")


def _instruction_sets(processors: Sequence[Mapping[str, str]]) -> Fact:
    """Those that every core has: work may be moved between them."""
    lines = [_flags(cpu) for cpu in processors]
    if not all(lines):
        return absent("instruction-sets", CPUINFO, "no-line")
    common = frozenset.intersection(*lines) if lines else frozenset()
    known = " ".join(flag for flag in INSTRUCTION_SETS if flag in common)
    if not known:
        return absent("instruction-sets", CPUINFO, "none-known")
    return Fact(name="instruction-sets", value=known, source=CPUINFO)


def _flags(cpu: Mapping[str, str]) -> frozenset[str]:
    return frozenset((cpu.get("flags") or cpu.get("Features") or "").split())


def _counts(root: Path, processors: Sequence[Mapping[str, str]], affinity: frozenset[int]) -> Iterator[Fact]:
    quota = cgroup.cpu_quota(root)
    allowed = math.inf if quota.value is None else float(quota.value)
    usable = max(1, math.floor(min(len(affinity), allowed)))
    yield _distinct("sockets", root, "topology/physical_package_id", refuse="-1")
    yield _distinct("cores", root, _SIBLINGS)
    yield Fact(name="logical-cpus", value=len(processors), source=CPUINFO)
    yield Fact(name="threads-affinity", value=len(affinity), source="sched_getaffinity")
    yield quota
    yield Fact(name="threads-usable", value=usable, source="threads-affinity and cpu-quota")
    yield _cores_usable(root, affinity, usable)
    yield fact("smt-active", root, f"{CPUS}/smt/active", lambda text: bool(int(text)))
    yield fact("numa-nodes", root, "/sys/devices/system/node/online", lambda text: len(index_list(text)))


def _cores_usable(root: Path, affinity: frozenset[int], usable: int) -> Fact:
    """Cores that the threads can have to themselves: SMT siblings share one."""
    source = f"{CPUS}/cpu*/{_SIBLINGS}"
    if not all(_siblings(root, cpu) for cpu in affinity):
        return absent("cores-usable", source, "no-file")
    cores = len(one_cpu_per_core(affinity, root))
    return Fact(name="cores-usable", value=min(cores, usable), source=f"{source} and threads-usable")


def _siblings(root: Path, cpu: int) -> str:
    return read_or_empty(root, f"{CPUS}/cpu{cpu}/{_SIBLINGS}")


def _each_cpu(root: Path) -> list[Path]:
    return sorted((root / CPUS.lstrip("/")).glob("cpu[0-9]*"))


def _distinct(name: str, root: Path, path: str, refuse: str = "") -> Fact:
    """How many different texts the CPUs hold in `path`; `refuse` is how the kernel writes "unknown"."""
    source = f"{CPUS}/cpu*/{path}"
    values = {text for folder in _each_cpu(root) if (text := read_or_empty(folder, path))}
    if not values:
        return absent(name, source, "no-file")
    if refuse in values:
        return absent(name, source, "not-told")
    return Fact(name=name, value=len(values), source=source)


def _caches(root: Path) -> Iterator[Fact]:
    """For each level the largest one's size and how many CPUs share it, and how many there are."""
    found: dict[str, dict[str, int]] = {label: {} for label in CACHES.values()}
    for index in (index for folder in _each_cpu(root) for index in sorted(folder.glob("cache/index*"))):
        label = CACHES.get((read_or_empty(index, "level"), read_or_empty(index, "type")))
        size = _cache_bytes(read_or_empty(index, "size"))
        if label and size:
            found[label][read_or_empty(index, "shared_cpu_list")] = size
    for label, sizes in found.items():
        source = f"{CPUS}/cpu*/cache/index*"
        if not sizes:
            yield absent(f"{label}-cache-bytes", source, "no-file")
            continue
        largest = max(sizes, key=lambda shared: sizes[shared])
        yield Fact(name=f"{label}-cache-bytes", value=sizes[largest], source=f"{source}/size")
        yield Fact(
            name=f"{label}-cache-cpus", value=len(index_list(largest)), source=f"{source}/shared_cpu_list"
        )
        yield Fact(name=f"{label}-cache-count", value=len(sizes), source=f"{source}/shared_cpu_list")


def _cache_bytes(text: str) -> int | None:
    match = re.fullmatch(r"([1-9][0-9]*)([KM])", text)
    return int(match[1]) * {"K": 1 << 10, "M": 1 << 20}[match[2]] if match else None


def _clocks(root: Path, cpu: int, processors: Sequence[Mapping[str, str]]) -> Iterator[Fact]:
    """Of the first CPU this process may use. The current one is a glance, not what a run had."""
    folder = f"{CPUS}/cpu{cpu}/cpufreq"
    current = fact("frequency-current-hz", root, f"{folder}/scaling_cur_freq", _khz)
    yield current if current.value is not None else _cpuinfo_frequency(current, processors)
    yield fact("frequency-min-hz", root, f"{folder}/cpuinfo_min_freq", _khz)
    yield fact("frequency-max-hz", root, f"{folder}/cpuinfo_max_freq", _khz)
    yield fact("governor", root, f"{folder}/scaling_governor")
    yield fact("clock-source", root, "/sys/devices/system/clocksource/clocksource0/current_clocksource")


def _khz(text: str) -> Scalar:
    if (hertz := int(text) * 1000) <= 0:
        raise ValueError(text)
    return hertz


def _cpuinfo_frequency(missing: Fact, processors: Sequence[Mapping[str, str]]) -> Fact:
    text = next((cpu["cpu MHz"] for cpu in processors if "cpu MHz" in cpu), "")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or float(text) <= 0:
        return missing
    return Fact(name=missing.name, value=round(float(text) * 1_000_000), source=CPUINFO)


def _surroundings(root: Path, processors: Sequence[Mapping[str, str]]) -> Iterator[Fact]:
    """Whether this is a virtual machine: only x86 says so outright, elsewhere the maker's name hints."""
    if any("flags" in cpu for cpu in processors):
        flagged = any("hypervisor" in _flags(cpu) for cpu in processors)
        yield Fact(name="hypervisor", value=flagged, source=f"{CPUINFO} flags")
    else:
        yield absent("hypervisor", CPUINFO, "not-told")
    yield fact("hypervisor-type", root, "/sys/hypervisor/type")
    yield fact("system-vendor", root, "/sys/class/dmi/id/sys_vendor")
    yield fact("system-product", root, "/sys/class/dmi/id/product_name")


def _text(facts: Iterable[Fact], name: str) -> str | None:
    return next((str(item.value) for item in facts if item.name == name and item.value is not None), None)


def _name(facts: Sequence[Fact]) -> str:
    """The model as the machine says it; without one, what there is to tell it by."""
    model, vendor, part = (_text(facts, name) for name in ("model", "vendor", "cpu-part"))
    return model or f"{vendor or 'unnamed'} CPU" + (f", part {part}" if part else "")
