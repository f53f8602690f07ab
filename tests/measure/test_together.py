"""What several devices did at once: clocks brought together, the window they share, the work inside it."""

import math
from collections.abc import Sequence

import pytest

from bench.measure import together
from bench.measure.together import SAME, Offset, Timebase, Track
from bench.terms import Exchange, Sample
from bench.units import NS_PER_S

MS = 1_000_000


def exchange(sent: int, received: int, answered: int, back: int, *, phase: str = "before") -> Exchange:
    return Exchange(
        phase=phase,  # type: ignore[arg-type]
        sent_ns=sent,
        received_ns=received,
        answered_ns=answered,
        back_ns=back,
    )


def samples(number: int, *, start: int = 0, each: int = 100 * MS, gap: int = 0) -> list[Sample]:
    return [
        Sample(
            start_ns=start + index * (each + gap), host_ns=each, raw_ns=each, cpu_ns=each, launches=10, real=0
        )
        for index in range(number)
    ]


def tracks(*lists: Sequence[Sample], ops: int = 7) -> list[Track]:
    return [together.track(each, ops, SAME) for each in lists]


# ----------------------------------------------------------------------------------------------- the time


def test_an_offset_is_the_middle_of_question_and_answer() -> None:
    """Rank 0's clock is 1000 ahead, each way takes 30, and answering 5."""
    found = together.offset(exchange(100, 1130, 1135, 165))
    assert found == Offset(at_ns=132, ns=1000.0, uncertainty_ns=30.0)


@pytest.mark.parametrize("there", [0, 10, 59, 60])
def test_an_offset_errs_by_half_of_the_round_trip_at_most(there: int) -> None:
    """However the 60 of the round trip are shared between the two ways."""
    found = together.offset(exchange(0, 500 + there, 500 + there, 60))
    assert abs(found.ns - 500) <= found.uncertainty_ns == 30


def test_the_shortest_round_trip_counts_and_clocks_drift_evenly_in_between() -> None:
    base = together.timebase(
        [
            exchange(0, 10_000, 10_000, 20_000),
            exchange(100, 5_105, 5_105, 110),
            exchange(1_000_100, 1_005_205, 1_005_205, 1_000_110, phase="after"),
        ]
    )
    assert base is not None
    assert base.uncertainty_ns == 5
    assert [base(at) for at in (105, 500_105, 1_000_105)] == [5_105, 505_155, 1_005_205]


def test_without_a_question_after_the_window_there_is_no_common_time() -> None:
    assert together.timebase([exchange(0, 1, 1, 2)]) is None
    assert together.timebase([]) is None


def offsets(first: float, last: float, *, apart_s: int, uncertainty: float = 0.0) -> Timebase:
    return Timebase(
        before=Offset(at_ns=0, ns=first, uncertainty_ns=uncertainty),
        after=Offset(at_ns=apart_s * NS_PER_S, ns=last, uncertainty_ns=uncertainty),
    )


def test_clocks_that_move_further_than_crystals_drift_do_not_agree() -> None:
    """100 ppm of 10 s is a millisecond."""
    assert offsets(0, 0.9 * MS, apart_s=10).agrees
    assert not offsets(0, 1.1 * MS, apart_s=10).agrees
    assert offsets(0, 1.1 * MS, apart_s=10, uncertainty=0.1 * MS).agrees


# --------------------------------------------------------------------------------------------- the window


def test_the_common_window_is_from_the_last_begin_to_the_first_end() -> None:
    assert together.common_window(tracks(samples(20), samples(20, start=300 * MS))) == (300 * MS, 2000 * MS)


def test_what_clocks_may_err_narrows_it_at_both_ends() -> None:
    apart = together.track(samples(20), 7, offsets(0, 0, apart_s=1, uncertainty=5.5))
    assert together.common_window([*tracks(samples(20)), apart]) == (6, 2000 * MS - 6)


def test_windows_that_do_not_meet_have_none_in_common() -> None:
    assert together.common_window(tracks(samples(5), samples(5, start=500 * MS))) is None
    assert together.common_window(tracks(samples(5), [])) is None
    assert together.common_window([]) is None


# ------------------------------------------------------------------------------------------------ the work


def test_work_at_an_edge_counts_by_its_time_inside() -> None:
    spans = [(0.0, 100.0, 50), (100.0, 200.0, 50), (250.0, 350.0, 50)]
    assert together.inside(spans, 50, 300) == (25 + 50 + 25, 50 + 100 + 50)
    assert together.inside(spans, 200, 250) == (0, 0)


def test_the_system_is_all_work_in_the_window_over_its_length() -> None:
    both = tracks(samples(100), samples(100, start=50 * MS))
    window = together.common_window(both)
    assert window is not None
    found = together.rate(both, window, "TFLOPS")
    assert found is not None
    # Two ranks at 10 launches of 7 operations in 0.1 s each.
    assert found.value == pytest.approx(2 * 700)
    assert (found.low, found.high, found.method) == (found.value, found.value, together.METHOD)


def test_a_rank_that_pauses_brings_less_than_its_own_rate() -> None:
    steady, pausing = tracks(samples(200), samples(100, gap=100 * MS))
    window = together.common_window([steady, pausing])
    assert window is not None
    found = together.rate([steady, pausing], window, "TFLOPS")
    assert found is not None
    own = [
        work * NS_PER_S / busy
        for work, busy in (together.inside(t.spans, *window) for t in (steady, pausing))
    ]
    assert sum(own) == pytest.approx(1400)
    assert found.value == pytest.approx(1050, rel=0.01)
    assert found.value < math.fsum(own)


def test_a_rate_that_moves_widens_the_interval() -> None:
    slow = samples(50, start=50 * 100 * MS, each=200 * MS)
    moving = tracks([*samples(50), *slow], samples(150))
    window = together.common_window(moving)
    assert window is not None
    found = together.rate(moving, window, "TFLOPS")
    assert found is not None
    assert found.low < 0.95 * found.value


def test_a_few_samples_give_no_figure() -> None:
    few = tracks(samples(19), samples(100))
    window = together.common_window(few)
    assert window is not None
    assert together.rate(few, window, "TFLOPS") is None
