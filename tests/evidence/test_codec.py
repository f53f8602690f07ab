import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import builders
import jsonschema
import pytest

from bench.errors import EvidenceInvalid
from bench.evidence import codec
from bench.evidence.codec import decode, encode, schema_of
from bench.evidence.schema import FOLDER, SHIPPED, schema, schema_bytes
from bench.evidence.strict_json import read_json, to_bytes
from bench.terms import (
    Check,
    ConvShape,
    Cost,
    Device,
    Estimate,
    Evidence,
    Fact,
    Finding,
    GemmShape,
    Measurement,
    ModelEvidence,
    Sample,
    Trial,
    Verdict,
    Visit,
)

Break = Callable[[Any], object]


def there_and_back(evidence: Evidence) -> Evidence:
    return decode(Evidence, read_json(to_bytes(encode(evidence)), step=3), step=3)


def test_evidence_survives_writing_and_reading(evidence: Evidence) -> None:
    assert there_and_back(evidence) == evidence
    assert to_bytes(encode(there_and_back(evidence))) == to_bytes(encode(evidence))


def test_fields_are_camel_case_in_their_order(evidence: Evidence) -> None:
    assert list(encode(evidence))[-4:] == ["figures", "conditions", "verdict", "doesNotShow"]
    trial = Trial(shape=GemmShape(m=1, n=2, k=3), round=1, ops_per_s=(1.0,), spent_ns=5, reason=None)
    assert encode(trial) == {
        "shape": {"m": 1, "n": 2, "k": 3, "depth": 1, "streams": 1},
        "round": 1,
        "opsPerS": [1.0],
        "spentNs": 5,
        "reason": None,
    }


def test_samples_are_written_by_columns(evidence: Evidence) -> None:
    visit = encode(evidence)["measurements"][0]["visits"][0]
    assert visit["samples"] == {
        "startNs": "0 1000000 2000000",
        "hostNs": "999000 999001 999002",
        "rawNs": "999001 999002 999003",
        "cpuNs": "1998000 1998000 1998000",
        "launches": "8 8 8",
        "real": "0 1 0",
    }
    assert set(visit["settle"].values()) == {""}


def test_a_series_holds_integers_beyond_doubles() -> None:
    sample = Sample(start_ns=2**64 + 1, host_ns=-3, raw_ns=0, cpu_ns=0, launches=1, real=0)
    visit = Visit(settle=(), settle_ended="x", samples=(sample,), device_ns=(), clocks_hz=(), ended="x")
    assert decode(Visit, encode(visit), step=3) == visit


def test_costs_are_decimal_strings() -> None:
    assert encode(Cost(ops=2**60, bytes=7)) == {"ops": "1152921504606846976", "bytes": "7"}


def test_a_float_is_always_written_as_one() -> None:
    claim = {"value": 1, "low": 1.0, "high": 2, "level": 0.95, "unit": "op/s", "method": "m", "visits": 5}
    written = encode(Estimate(**claim))  # type: ignore[arg-type]  # ints are what Python code puts there
    assert to_bytes(written).startswith(b'{"value":1.0,"low":1.0,"high":2.0,')


@pytest.mark.parametrize("shape", [GemmShape(m=1, n=2, k=3), encode])
def test_shapes_are_told_apart_by_their_keys(shape: object) -> None:
    conv = ConvShape(batch=1, channels=2, filters=3, height=4, width=5, kernel=1, padding=0)
    trial = Trial(
        shape=shape if isinstance(shape, GemmShape) else conv, round=0, ops_per_s=(), spent_ns=0, reason="r"
    )
    assert decode(Trial, encode(trial), step=3) == trial


def at(*path: str | int, value: object) -> Break:
    """An edit of the JSON: the member at `path` set to `value`, or dropped where that is `...`."""

    def edit(root: Any) -> None:
        for step in path[:-1]:
            root = root[step]
        if value is ...:
            del root[path[-1]]
        else:
            root[path[-1]] = value

    return edit


ROW = ("measurements", 0)
VISIT = (*ROW, "visits", 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (at("extra", value=1), "the whole: unknown keys: extra; missing keys: -"),
        (at("format", value=...), "the whole: unknown keys: -; missing keys: format"),
        (at("devices", 0, "Name", value="x"), "devices[0]: unknown keys: Name"),
        (
            at("devices", 0, "facts", 0, "reason", value=...),
            "devices[0].facts[0]: unknown keys: -; missing keys: reason",
        ),
        (at("mode", value="full"), "mode: expected one of default, quick, got 'full'"),
        (at("mode", value=["default"]), "mode: expected one of default, quick, got an array"),
        (at("interrupted", value=0), "interrupted: expected true or false, got 0"),
        (
            at(*ROW, "before", "launches", value=True),
            "measurements[0].before.launches: expected an integer, got True",
        ),
        (
            at(*ROW, "before", "launches", value=2.0),
            "measurements[0].before.launches: expected an integer, got 2.0",
        ),
        (
            at(*ROW, "before", "launches", value=None),
            "measurements[0].before.launches: expected an integer, got None",
        ),
        (at("nonce", value=5), "nonce: expected a string, got 5"),
        (at("devices", value={}), "devices: expected an array, got an object"),
        (at("rules", value=[]), "rules: expected an object, got an array"),
        (
            at("claims", 0, "opsPerS", value=48),
            "claims[0].opsPerS: expected a number with a point or an exponent, got 48",
        ),
        (at("delivered", 0, "median", value=2), "delivered[0].median: expected a number with a point"),
        (at("delivered", 0, "counts", value=1), "delivered[0].counts: expected true or false"),
        (
            at("devices", 0, "facts", 0, "value", value=[]),
            "devices[0].facts[0].value: expected one of str, int, float, bool",
        ),
        (
            at(*ROW, "findings", 0, "numbers", "share", value={}),
            "numbers.share: expected one of str, int, float, bool",
        ),
        (
            at(*ROW, "findings", 0, "numbers", "share", value=None),
            "numbers.share: expected one of str, int, float, bool",
        ),
        (at(*ROW, "cost", "ops", value=1), "cost.ops: expected a string, got 1"),
        (at(*ROW, "cost", "ops", value="01"), "cost.ops: expected an integer as a decimal string"),
        (at(*ROW, "cost", "ops", value="1" * 31), "cost.ops: expected an integer as a decimal string"),
        (at(*ROW, "cost", "ops", value="١"), "cost.ops: expected an integer as a decimal string"),
        (at(*ROW, "cost", "ops", value="1\n"), "cost.ops: expected an integer as a decimal string"),
        (
            at(*ROW, "workload", "shape", value={"m": 1}),
            "workload.shape: expected one of GemmShape, ConvShape",
        ),
        (at(*ROW, "workload", "shape", "m", value=0), "workload.shape: a GEMM shape is positive"),
        (at(*ROW, "before", "extra", value=0), "before: unknown keys: extra"),
        (
            at(*VISIT, "samples", "hostNs", value="1 2"),
            "samples: the columns are not equally long: startNs 3, hostNs 2",
        ),
        (
            at(*VISIT, "samples", "hostNs", value="1  2 3"),
            "samples.hostNs: expected decimals separated by single spaces",
        ),
        (at(*VISIT, "samples", "hostNs", value=" 1 2 3"), "samples.hostNs: expected decimals"),
        (at(*VISIT, "samples", "hostNs", value="1 2 03"), "samples.hostNs: expected decimals"),
        (at(*VISIT, "samples", "hostNs", value="1 2 -0"), "samples.hostNs: expected decimals"),
        (at(*VISIT, "samples", "hostNs", value="1 2 3\n"), "samples.hostNs: expected decimals"),
        (at(*VISIT, "samples", "hostNs", value="1 2 3e9"), "samples.hostNs: expected decimals"),
        (at(*VISIT, "samples", "hostNs", value=[1, 2, 3]), "samples.hostNs: expected a string, got an array"),
        (at(*VISIT, "samples", value=[]), "samples: expected an object, got an array"),
        (at(*VISIT, "samples", "real", value=...), "samples: unknown keys: -; missing keys: real"),
        (at("figures", 0, "estimate", "low", value=9e12), "figures[0].estimate: an interval holds its value"),
        (
            at("devices", 0, "facts", 0, "value", value=None),
            "devices[0].facts[0]: cores: a value or a reason, not both",
        ),
        (at("\x1b[2Jx", value=1), "unknown keys: x;"),
    ],
)
def test_what_does_not_fit_is_refused_naming_its_path(evidence: Evidence, edit: Break, message: str) -> None:
    value = encode(evidence)
    edit(value)
    with pytest.raises(EvidenceInvalid, match=re.escape(message)) as caught:
        decode(Evidence, value, step=3)
    assert caught.value.step == 3


def test_a_series_longer_than_the_limit_is_refused(
    monkeypatch: pytest.MonkeyPatch, evidence: Evidence
) -> None:
    monkeypatch.setattr(codec, "MAX_SERIES", 2)
    with pytest.raises(EvidenceInvalid, match="more than 2 numbers"):
        decode(Evidence, encode(evidence), step=3)


def checked(launches: int) -> Measurement:
    return replace(builders.measured_row(), before=replace(builders.CHECK, launches=launches))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"created": None}, "Evidence.created: the value: expected a string"),
        ({"mode": "full"}, "Evidence.mode: the value: expected one of default, quick"),
        ({"asked": ("fp32", 8)}, "Evidence.asked: the value: expected a string"),
        ({"measurements": (checked(2**53),)}, "Check.launches: the value: expected an integer"),
        ({"measurements": (checked(True),)}, "Check.launches"),
        ({"devices": (None,)}, "Evidence.devices: the value: expected Device"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(
    evidence: Evidence, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        encode(replace(evidence, **change))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53, None, (1,)])
def test_a_finding_with_an_impossible_number_is_not_written(number: Any) -> None:
    with pytest.raises(ValueError, match=r"Finding\.numbers"):
        encode(Finding(subject="s", status="info", code="c", numbers={"n": number}))


def test_a_type_without_json_is_refused_when_its_codec_is_made() -> None:
    @dataclass
    class Odd:
        value: Mapping[int, str]

    with pytest.raises(TypeError, match="no JSON for"):
        codec.codec_of(Odd)


def test_bool_and_int_stay_apart_in_facts() -> None:
    facts = tuple(Fact(name="n", value=value, source="s") for value in (True, 1, 1.0, "1"))
    device = Device(selector="s", family="cpu", kind="cpu", name="n", vendor=None, facts=facts)
    back = decode(Device, read_json(to_bytes(encode(device)), step=3), step=3)
    assert [type(fact.value) for fact in back.facts] == [bool, int, float, str]


# ----------------------------------------------------------------------------------------- schema


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_schema_is_the_one_the_types_give(name: str) -> None:
    assert (FOLDER / name).read_bytes() == schema_bytes(name), "type: python -m bench.evidence.schema"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_schema_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("kind", [Evidence, ModelEvidence, Measurement, Visit, Verdict, Check])
def test_every_object_of_the_schema_is_closed(kind: type) -> None:
    for name, definition in schema_of(kind)["$defs"].items():  # type: ignore[attr-defined]
        assert definition["additionalProperties"] is False, name
        assert definition["required"] == list(definition["properties"]), name


def test_an_independent_validator_accepts_what_is_written(evidence: Evidence) -> None:
    validator = jsonschema.Draft202012Validator(schema_of(Evidence))
    validator.validate(json.loads(to_bytes(encode(evidence))))


@pytest.mark.parametrize(
    "edit",
    [
        at("extra", value=1),
        at("format", value=...),
        at("mode", value="full"),
        at(*ROW, "before", "launches", value=True),
        at(*ROW, "before", "launches", value=2**53),
        at(*ROW, "cost", "ops", value="01"),
        at(*ROW, "workload", "shape", value={"m": 1}),
        at(*VISIT, "samples", "hostNs", value="1  2"),
        at(*VISIT, "samples", "hostNs", value="1 2 "),
        at("delivered", 0, "median", value="2"),
    ],
)
def test_an_independent_validator_refuses_what_we_refuse(evidence: Evidence, edit: Break) -> None:
    value = encode(evidence)
    edit(value)
    assert not jsonschema.Draft202012Validator(schema_of(Evidence)).is_valid(value)
