"""The clock that stands in evidence of a GPU: how it was read, one value a window, and why there is none."""

from dataclasses import replace

import pytest
from builders import evidence, measured_row

from bench.errors import EvidenceInvalid
from bench.evidence import surroundings
from bench.terms import Device, Evidence, Fact, Measurement

HOPPER = Device(
    selector="cuda:0",
    family="cuda",
    kind="gpu",
    name="A GPU",
    vendor="NVIDIA",
    facts=(Fact(name="compute-capability", value="9.0", source="typed"),),
)
UNKNOWN = replace(HOPPER, facts=(Fact(name="compute-capability", value="10.3", source="typed"),))


def of_gpu(device: Device, value: str | None, reason: str | None = None) -> Evidence:
    clock = Fact(name="clock", value=value, source="typed", reason=reason)
    return replace(evidence(), devices=(device,), clock=clock)


def row(*clocks_hz: int) -> Measurement:
    measured = measured_row()
    visit = replace(measured.visits[0], clocks_hz=clocks_hz, ended="window-full")
    return replace(measured, visits=(visit,))


@pytest.mark.parametrize(
    ("device", "value"),
    [
        (HOPPER, "triton-globaltimer/nvidia-sm-90"),
        (HOPPER, "nvml-sm-clock/nvidia-sm-90"),
        (UNKNOWN, "triton-globaltimer"),
    ],
)
def test_a_gpus_clock_says_how_it_was_read_and_on_which_architecture(device: Device, value: str) -> None:
    surroundings._require_clock(of_gpu(device, value), device)


@pytest.mark.parametrize(
    ("device", "value"),
    [
        (HOPPER, "triton-globaltimer/nvidia-sm-100"),
        (HOPPER, "triton-globaltimer"),
        (HOPPER, "guessed/nvidia-sm-90"),
        (HOPPER, "imul-chain/3-cycles/intel-golden-cove"),
        (UNKNOWN, "triton-globaltimer/nvidia-sm-100"),
    ],
)
def test_a_clock_that_no_gpu_of_this_kind_has_is_refused(device: Device, value: str) -> None:
    with pytest.raises(EvidenceInvalid, match="by a chain that is not known"):
        surroundings._require_clock(of_gpu(device, value), device)


def test_a_gpus_clock_may_be_missing_where_nothing_could_read_it() -> None:
    surroundings._require_clock(of_gpu(HOPPER, None, "window-clock-refused"), HOPPER)


@pytest.mark.parametrize("reason", ["not-installed", "microarchitecture-unknown", "clock-not-measured"])
def test_a_gpus_clock_is_not_missing_for_a_processors_reason(reason: str) -> None:
    with pytest.raises(EvidenceInvalid, match="for a reason that is none here"):
        surroundings._require_clock(of_gpu(HOPPER, None, reason), HOPPER)


def test_every_full_window_of_a_gpu_has_one_clock() -> None:
    surroundings._require_clocks(row(1_830_000_000), HOPPER, known=True)
    for clocks in ((), (1_830_000_000, 1_830_000_000)):
        with pytest.raises(EvidenceInvalid, match=f"clock of {len(clocks)} cores was measured, expected 1"):
            surroundings._require_clocks(row(*clocks), HOPPER, known=True)


def test_a_gpus_clock_of_zero_is_refused() -> None:
    with pytest.raises(EvidenceInvalid, match="not above zero"):
        surroundings._require_clocks(row(0), HOPPER, known=True)
