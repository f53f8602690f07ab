"""Profiles as values: what rules ask and what vendors declare, read from the TOML files of profiles/.

Strict: an unknown or missing key, a wrong unit, a figure without source is refused, naming file and
key. A device is matched by the exact name and kind it reports, and by its identity where the profile has
one; there is no default for an unknown one.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from bench.errors import UsageError
from bench.judge.claims import ENGINES
from bench.judge.tables import Table
from bench.precision import DECLARABLE, PRECISIONS, comparable_precision
from bench.terms import (
    READ_AT_SOURCE,
    Architecture,
    Declaration,
    Density,
    Device,
    DeviceKind,
    DeviceSpec,
    Identity,
    Item,
    ItemCondition,
    Limit,
    Provenance,
    Reference,
    RuleSet,
    Scalar,
    Tier,
)

KINDS: tuple[DeviceKind, ...] = get_args(DeviceKind)
# What is judged by where nothing else is asked for.
DEFAULT_RULES = "tw-ai-hardware-2024"
ASSURANCE_LEVELS = ("A0", "A1", "A2", "A3")

# Of the memory that a GPU is sold with, ECC takes a sixteenth where it lies in the memory itself (15.0 of a
# T4's 16 GiB), and the driver some more. Sizes that are sold are further apart.
_MEMORY = (0.9, 1.01)
_GIB = 2**30

# What else a data sheet says; kept in the file for its readers, judged by nobody.
_SHEET = ("memory_bandwidth_gb_per_s", "tdp_w", "power_w", "engine", "derivation", "onnxruntime_path")


def rule_ids() -> tuple[str, ...]:
    """The rule sets that ship, by the id that --rules takes."""
    return tuple(sorted(shipped("rules")))


def rules(name_or_path: str) -> RuleSet:
    """A shipped rule set by its id, or one of your own as FILE.toml; UsageError for anything else."""
    if name_or_path.endswith(".toml"):
        return read_rules(_bytes_of(Path(name_or_path)), name_or_path)
    if name_or_path not in rule_ids():
        known = ", ".join(rule_ids())
        raise UsageError(
            f"unknown rule set {name_or_path!r}: known are {known}, or a file of your own, FILE.toml."
        )
    return read_rules(shipped("rules")[name_or_path], f"profiles/rules/{name_or_path}.toml")


def require_known(rule_set: RuleSet, asked: Iterable[str]) -> None:
    """UsageError unless each is a tier of the rule set, or a level of assurance."""
    known = [tier.id for tier in rule_set.tiers]
    for name in asked:
        if name not in (*known, *ASSURANCE_LEVELS):
            raise UsageError(
                f"unknown tier {name!r} of {rule_set.id}: known are {', '.join(known)}, and the levels of "
                f"assurance {', '.join(ASSURANCE_LEVELS)}."
            )


def require_known_items(rule_set: RuleSet, asked: Iterable[str]) -> None:
    """UsageError unless each is an item of the rule set."""
    known = [item.id for item in rule_set.items]
    for name in asked:
        if name not in known:
            raise UsageError(
                f"unknown item {name!r} of {rule_set.id}: known are {', '.join(known) or 'none'}."
            )


@cache
def specs() -> tuple[DeviceSpec, ...]:
    """Every device profile that ships, sorted by id."""
    return tuple(
        read_spec(data, f"profiles/devices/{stem}.toml") for stem, data in sorted(shipped("devices").items())
    )


def device_spec(device: Device) -> DeviceSpec | None:
    """What the vendor declared for the device of exactly this identity; None when nobody did."""
    spec = named(device)
    differs = spec is not None and any(mark.differs for mark in marks(spec, device))
    return None if differs else spec


def named(device: Device) -> DeviceSpec | None:
    """The profile that claims the device's exact kind and name, whatever else it shows; or None."""
    return _index().get((device.kind, device.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One mark of a profile's identity: the device's fact, its value (None: not readable), what fits."""

    fact: str
    value: Scalar | None
    expected: str
    fits: bool

    @property
    def differs(self) -> bool:
        """What cannot be read excludes nobody."""
        return self.value is not None and not self.fits


def marks(spec: DeviceSpec, device: Device) -> tuple[Mark, ...]:
    """The device held against every mark of the profile's identity; none where it has none."""
    asked = spec.identity
    if asked is None:
        return ()
    sms, memory, capability = (
        device.fact(name) for name in ("sm-count", "memory-bytes", "compute-capability")
    )
    return (
        Mark(fact="sm-count", value=sms, expected=str(asked.sm_count), fits=sms == asked.sm_count),
        Mark(
            fact="memory-bytes",
            value=memory,
            expected=" or ".join(f"{size} GiB" for size in asked.memory_gib),
            fits=any(_of_size(memory, size) for size in asked.memory_gib),
        ),
        Mark(
            fact="compute-capability",
            value=capability,
            expected=asked.compute_capability,
            fits=capability == asked.compute_capability,
        ),
    )


def _of_size(memory_bytes: Scalar | None, gib: int) -> bool:
    least, most = _MEMORY
    return isinstance(memory_bytes, int) and least * gib <= memory_bytes / _GIB <= most * gib


@cache
def _index() -> Mapping[tuple[str, str], DeviceSpec]:
    return by_name(specs())


def by_name(known: Iterable[DeviceSpec]) -> dict[tuple[str, str], DeviceSpec]:
    """Profiles by kind and reported name; UsageError when two profiles claim one name."""
    found: dict[tuple[str, str], DeviceSpec] = {}
    for spec in known:
        for name in spec.names:
            other = found.setdefault((spec.kind, name), spec)
            if other is not spec:
                raise UsageError(
                    f"the profiles {other.id} and {spec.id} both claim the device name {name!r}: "
                    "a name belongs to one file in profiles/devices."
                )
    return found


# ------------------------------------------------------------------------------------------ decoding


def read_spec(data: bytes, where: str) -> DeviceSpec:
    """A device profile from its bytes; UsageError naming `where` and the key that is wrong."""
    table = Table.parse(data, where)
    spec = DeviceSpec(
        id=shipped_id(table),
        name=table.text("name"),
        kind=table.choice("kind", KINDS),
        names=table.texts("names"),
        identity=_identity(table.table("identity")) if table.has("identity") else None,
        declared=tuple(_declaration(row) for row in table.tables("declared")),
        references=tuple(_reference(row) for row in table.tables("reference", required=False)),
        architecture=_architecture(table),
        note=table.text("note", required=False),
        digest=hashlib.sha256(data).hexdigest(),
    )
    table.skip("sheet", _SHEET)
    table.close()
    return spec


def read_rules(data: bytes, where: str) -> RuleSet:
    """A rule set from its bytes; UsageError naming `where` and the key that is wrong."""
    table = Table.parse(data, where)
    decided, reading = table.table("decided_by"), table.table("reading")
    rule_set = RuleSet(
        id=shipped_id(table),
        version=table.text("version"),
        status=table.text("status"),
        title_en=table.text("title_en"),
        title_zh=table.text("title_zh"),
        source=table.text("source"),
        decided_by=decided.choice("figure", ("declared", "delivered")),
        decided_by_quote_en=decided.text("quote_en"),
        decided_by_quote_zh=decided.text("quote_zh"),
        reading=reading.text("text"),
        reading_basis=reading.choice("basis", ("text", "inference")),
        reading_for=reading.texts("arguments_for"),
        reading_against=reading.texts("arguments_against"),
        examples=table.texts("examples"),
        minimum_assurance=table.choice("minimum_assurance", ASSURANCE_LEVELS),
        required_sections=table.texts("required_sections"),
        tiers=tuple(_tier(row) for row in table.tables("tier")),
        items=tuple(_item(row) for row in table.tables("item", required=False)),
        digest=hashlib.sha256(data).hexdigest(),
    )
    for part in (decided, reading, table):
        part.close()
    return rule_set


def shipped_id(table: Table) -> str:
    """The id, which a shipped file also bears as its name, so that no two can share one."""
    value = table.text("id")
    if table.where.startswith("profiles/") and Path(table.where).stem != value:
        raise table.wrong("id", f"got {value!r}, expected the file's own name")
    return value


def _identity(row: Table) -> Identity:
    identity = Identity(
        sm_count=row.count("sm_count"),
        memory_gib=row.counts("memory_gib"),
        compute_capability=row.text("compute_capability"),
        source=row.text("source"),
    )
    row.close()
    return identity


def _declaration(row: Table) -> Declaration:
    precision = row.choice("precision", DECLARABLE)
    provenance, verified = _provenance(row)
    declared = Declaration(
        precision=precision,
        ops_per_s=row.rate("value", _unit(row, precision)),
        density=row.choice("density", get_args(Density)),
        engines=row.texts("engines", required=False),
        source=row.text("source"),
        date=row.text("date", required=False) or None,
        provenance=provenance,
        verified=verified,
        contradicted_by=row.text("contradicted_by", required=False) or None,
        remark=row.text("remark", required=False) or None,
    )
    row.close()
    return declared


def _reference(row: Table) -> Reference:
    precision = row.choice("precision", tuple(PRECISIONS))
    unit = _unit(row, precision)
    low, value, high = (row.rate(key, unit) for key in ("low", "value", "high"))
    if not low <= value <= high:
        raise row.wrong("value", "expected low <= value <= high")
    reference = Reference(
        precision=precision,
        ops_per_s=value,
        low_ops_per_s=low,
        high_ops_per_s=high,
        source=row.text("source"),
        verified=row.truth("verified"),
    )
    row.close()
    return reference


def _provenance(row: Table) -> tuple[Provenance, bool]:
    """Where a figure was read, and whether that was at its source."""
    provenance = row.choice("provenance", get_args(Provenance)[:-1])
    return provenance, row.truth("verified", expected=provenance in READ_AT_SOURCE)


def _architecture(table: Table) -> tuple[Architecture, ...]:
    """One row at most for an engine and precision, so that no two can be played off."""
    found: dict[tuple[str, str], Architecture] = {}
    for row in table.tables("architecture", required=False):
        provenance, verified = _provenance(row)
        made = Architecture(
            engine=row.choice("engine", ENGINES),
            precision=row.choice("precision", tuple(PRECISIONS)),
            macs_per_cycle=row.count("macs_per_cycle"),
            clock_hz=row.count("clock_hz"),
            source=row.text("source"),
            provenance=provenance,
            verified=verified,
        )
        if found.setdefault((made.engine, made.precision), made) is not made:
            raise row.wrong("precision", f"a second row for {made.engine} and {made.precision}: keep one")
        row.close()
    return tuple(found.values())


def _tier(row: Table) -> Tier:
    tier = Tier(
        id=row.text("id"),
        title_en=row.text("title_en"),
        title_zh=row.text("title_zh"),
        quote_en=row.text("quote_en"),
        quote_zh=row.text("quote_zh"),
        scope=row.choice("scope", ("system", "device")),
        kinds=tuple(row.choice_of("kinds", KINDS)),
        limits=tuple(_limit(limit) for limit in row.tables("limit")),
    )
    row.close()
    return tier


def _item(row: Table) -> Item:
    item = Item(
        id=row.text("id"),
        title_en=row.text("title_en"),
        title_zh=row.text("title_zh"),
        quote_en=row.text("quote_en"),
        quote_zh=row.text("quote_zh"),
        condition=row.choice("condition", get_args(ItemCondition)),
        parameters=row.count("parameters"),
    )
    row.close()
    return item


def _limit(row: Table) -> Limit:
    """A limit whose precision is "claimed" holds for the floating-point precision that the claim names."""
    name = row.choice("precision", (*PRECISIONS, "claimed"))
    unit = _unit(row, "fp32" if name == "claimed" else name)
    limit = Limit(ops_per_s=row.rate("value", unit), unit=unit, precision=None if name == "claimed" else name)
    row.close()
    return limit


def _unit(row: Table, precision: str) -> str:
    """The unit, which the precision prescribes: TFLOPS is floating point, TOPS integers."""
    return row.choice("unit", (comparable_precision(precision).unit,))


# ------------------------------------------------------------------------------------------- reading


@cache
def shipped(folder: str) -> Mapping[str, bytes]:
    """The TOML files of a folder of profiles/, by stem; in a checkout and in a wheel alike."""
    found = (files("bench.profiles") / folder).iterdir()
    return {Path(file.name).stem: file.read_bytes() for file in found if file.name.endswith(".toml")}


def architectures(kind: Literal["cpu", "gpu"]) -> Mapping[str, bytes]:
    """The files of profiles/arch for one kind of device, by stem: a GPU's has a compute capability."""
    return {
        stem: data
        for stem, data in shipped("arch").items()
        if Table.parse(data, f"profiles/arch/{stem}.toml").has("compute_capability") == (kind == "gpu")
    }


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the rule set {path}: {error.strerror}. Give a TOML file.") from error
