"""Number formats: their properties against the formats as numpy and torch's own limits tell them."""

import os
from dataclasses import FrozenInstanceError
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from bench.errors import UsageError
from bench.precision import PRECISIONS, precision

EACH = pytest.mark.parametrize("name", PRECISIONS)


def test_every_documented_precision_is_there() -> None:
    assert list(PRECISIONS) == ["fp64", "fp32", "tf32", "bf16", "fp16", "fp8_e4m3", "fp8_e5m2", "int8"]


def test_a_precision_is_found_by_its_name() -> None:
    assert precision("bf16") is PRECISIONS["bf16"]


@pytest.mark.parametrize("name", ["int4", "FP32", "", "fp32 "])
def test_an_unknown_precision_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError) as refused:
        precision(name)
    said = str(refused.value)
    assert f"unknown precision {name!r}" in said
    assert all(known in said for known in PRECISIONS)
    assert "Type for example --precision fp32" in said


@pytest.mark.parametrize(("name", "kind"), [("fp64", np.float64), ("fp32", np.float32), ("fp16", np.float16)])
def test_the_unit_roundoff_is_half_of_numpys_spacing_at_one(name: str, kind: type) -> None:
    assert precision(name).unit_roundoff == float(np.finfo(kind).eps) / 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [("bf16", "bfloat16"), ("fp8_e4m3", "float8_e4m3fn"), ("fp8_e5m2", "float8_e5m2")],
)
def test_the_unit_roundoff_is_half_of_torchs_spacing_at_one(name: str, kind: str) -> None:
    if find_spec("torch") is None:
        without = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        without("torch is not installed: pip install 'compute-evidence[measure]'")
    torch = import_module("torch")
    assert precision(name).unit_roundoff == torch.finfo(getattr(torch, kind)).eps / 2


def test_tf32_rounds_like_fp16_and_ranges_like_fp32() -> None:
    assert precision("tf32").unit_roundoff == precision("fp16").unit_roundoff == 2.0**-11
    assert precision("tf32").bits == precision("fp32").bits


def test_integers_do_not_round() -> None:
    assert precision("int8").unit_roundoff is None


@EACH
def test_rates_are_flops_of_floating_point_and_ops_of_integers(name: str) -> None:
    row = precision(name)
    assert row.unit == {"floating": "TFLOPS", "integer": "TOPS"}[row.kind]


@EACH
def test_integers_alone_are_called_int(name: str) -> None:
    assert (precision(name).kind == "integer") == name.startswith("int")


@pytest.mark.parametrize(
    ("name", "bits"), [("fp64", 64), ("fp32", 32), ("bf16", 16), ("fp16", 16), ("fp8_e4m3", 8), ("int8", 8)]
)
def test_bits_are_those_of_an_element_in_memory(name: str, bits: int) -> None:
    assert precision(name).bits == bits


@EACH
def test_products_are_summed_in_no_fewer_bits_than_they_have(name: str) -> None:
    row = precision(name)
    accumulators = {"int32": 32} | {known: other.bits for known, other in PRECISIONS.items()}
    assert accumulators[row.accumulator] >= row.bits


def test_a_precision_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        precision("fp32").bits = 16  # type: ignore[misc]
