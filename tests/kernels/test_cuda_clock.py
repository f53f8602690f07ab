"""A GPU's clock over a window: from what its blocks noted, and by which way it is read where none is."""

import os
import time

import numpy as np
import pytest

from bench.errors import CannotMeasure
from bench.workload.kernel import BY_SENSOR, IN_STREAM
from bench.workload.registry import window_clock

CLOCK = window_clock()
MODULE = __import__(type(CLOCK).__module__, fromlist=["mean_hz"])
S = 10**9
CAPABILITIES = (70, 75, 80, 86, 89, 90, 100, 120)


def notes(*rows: tuple[int, int, int]) -> np.ndarray:
    """(multiprocessor, cycles, ns) of each block, as int64 holds 64 bits without a sign."""
    return np.array(rows, dtype=np.uint64).view(np.int64)


def test_the_clock_is_cycles_over_time_between_two_notes() -> None:
    assert MODULE.mean_hz(notes((0, 1000, 5 * S)), notes((0, 1000 + 3 * S, 7 * S))) == 3 * S // 2


def test_each_multiprocessor_counts_from_its_own_zero_and_the_median_is_taken() -> None:
    begun = notes((0, 7, S), (1, 900, S), (2, 0, S))
    ended = notes((2, 1_700_000_000, 2 * S), (1, 900 + 1_980_000_000, 2 * S), (0, 7 + 1_830_000_000, 2 * S))
    assert MODULE.mean_hz(begun, ended) == 1_830_000_000


def test_blocks_of_one_multiprocessor_say_the_same_whichever_is_taken() -> None:
    begun = notes((4, 0, 0), (4, 1830, 1000))
    ended = notes((4, 1_830_000_000, S), (4, 1_830_018_300, S + 10_000))
    assert MODULE.mean_hz(begun, ended) == MODULE.mean_hz(begun[:1], ended[:1]) == 1_830_000_000


def test_a_multiprocessor_that_was_seen_at_one_end_only_tells_nothing() -> None:
    begun, ended = notes((0, 0, 0), (1, 0, 0)), notes((1, S, S), (2, 9 * S, S))
    assert MODULE.mean_hz(begun, ended) == S


def test_a_counter_that_went_round_is_counted_on() -> None:
    begun, ended = notes((0, 2**64 - S, 2**64 - S)), notes((0, S, 0))
    assert MODULE.mean_hz(begun, ended) == 2 * S


def test_the_steps_of_a_coarse_timer_are_far_below_the_ceilings_margin() -> None:
    # Half a second at 1.5 GHz, by a timer that moves every 1.048576 ms and is late by up to a step.
    step, hertz = 2**20, 1_500_000_000
    window, cycles = S // 2, hertz // 2
    for late in (0, step // 2, step - 1):
        ended = (window + late) // step * step
        measured = MODULE.mean_hz(notes((0, 0, 0)), notes((0, cycles + hertz * late // S, ended)))
        assert abs(measured / hertz - 1) < 0.005


@pytest.mark.parametrize(
    ("begun", "ended"),
    [(notes((0, 0, 0)), notes((1, S, S))), (notes((0, 0, S)), notes((0, 5, S)))],
    ids=["no-multiprocessor-at-both-ends", "no-time-between"],
)
def test_notes_that_tell_no_clock_are_refused(begun: np.ndarray, ended: np.ndarray) -> None:
    with pytest.raises(CannotMeasure, match="no multiprocessor noted its clock at both ends"):
        MODULE.mean_hz(begun, ended)


def test_without_a_gpu_there_is_no_way_to_read_its_clock_and_the_refusal_names_both_ways() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(CannotMeasure, match=r".+; .+"):
        CLOCK.compile()


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_the_kernel_compiles_for_every_capability_that_has_a_profile(
    capability: int, tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("triton", reason="Triton comes with CUDA builds of torch")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    from triton import compile as compiled
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(fn=MODULE.note_kernel(), signature={"rows": "*i64"}, constexprs={})
    made = compiled(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 1})
    order = [made.asm["ptx"].index(register) for register in ("%smid", "%clock64", "%globaltimer")]
    assert order == sorted(order)
    assert made.asm["ptx"].count("st.global") == 3
    assert made.asm["cubin"]


@pytest.mark.hardware
def test_the_clock_in_the_stream_and_the_sensor_agree_on_a_steady_load() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no CUDA device")
    way, source = CLOCK.compile()
    if way in BY_SENSOR:
        pytest.skip(source)
    assert way == IN_STREAM
    a = torch.randn((8192, 8192), dtype=torch.bfloat16, device="cuda")
    _work(torch, a, seconds=3)
    CLOCK.begin()
    _work(torch, a, seconds=3)
    sensed = torch.cuda.clock_rate() * 1_000_000
    assert abs(CLOCK.hertz() / sensed - 1) < 0.03


def _work(torch: object, a: object, *, seconds: int) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(20):
            a @ a  # type: ignore[operator]
        torch.cuda.synchronize()  # type: ignore[attr-defined]
