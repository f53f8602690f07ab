"""Committed outputs: the tree, the draw of places, and what leaving work out comes to."""

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from workload_cases import FORMS, SEED

from bench.terms import ConvShape, Form, GemmShape, Sample, Shape, Visit, Workload
from bench.workload import accuracy, openings, operands
from bench.workload.opcount import implicit_gemm

Spoil = Callable[[np.ndarray], None]

TALL = GemmShape(m=1200, n=3, k=5)


# ------------------------------------------------------------------------------------- the tree


def leaf(index: int) -> bytes:
    return hashlib.sha256(b"\x00leaf %d" % index).digest()


def mth(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the largest power of two below the number."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\x01" + mth(leaves[:split]) + mth(leaves[split:])).digest()


@pytest.mark.parametrize("size", [*range(1, 18), 31, 32, 33, 1000])
def test_the_tree_is_that_of_rfc_6962(size: int) -> None:
    leaves = [leaf(index) for index in range(size)]
    assert openings.root(leaves) == mth(leaves)


@pytest.mark.parametrize("size", range(1, 9))
def test_every_choice_of_leaves_leads_to_the_root_by_its_siblings(size: int) -> None:
    leaves = [leaf(index) for index in range(size)]
    for number in range(1, size + 1):
        for opened in combinations(range(size), number):
            beside = openings.siblings(leaves, opened)
            known = {index: leaves[index] for index in opened}
            assert openings.implied_root(known, size, beside) == openings.root(leaves)


def test_a_leaf_or_a_sibling_that_is_another_one_leads_elsewhere() -> None:
    leaves = [leaf(index) for index in range(21)]
    opened = (0, 3, 4, 20)
    beside = openings.siblings(leaves, opened)
    known = {index: leaves[index] for index in opened}
    for index in opened:
        assert openings.implied_root(known | {index: leaf(99)}, 21, beside) != openings.root(leaves)
    for index in range(len(beside)):
        other = [*beside[:index], leaf(99), *beside[index + 1 :]]
        assert openings.implied_root(known, 21, other) != openings.root(leaves)


def test_siblings_that_are_too_few_or_too_many_lead_nowhere() -> None:
    leaves = [leaf(index) for index in range(21)]
    beside = openings.siblings(leaves, (0, 3))
    known = {index: leaves[index] for index in (0, 3)}
    assert openings.implied_root(known, 21, beside[:-1]) is None
    assert openings.implied_root(known, 21, [*beside, leaf(0)]) is None


def test_a_row_whose_bytes_are_two_digests_is_no_node() -> None:
    digests = [leaf(0), leaf(1)]
    as_row = hashlib.sha256(b"\x00" + b"".join(digests)).digest()
    assert openings.root(digests) != as_row


# ------------------------------------------------------------------------------------- the draw


def workload(form: Form = FORMS["fp32"], shape: Shape = TALL, seed: str = SEED) -> Workload:
    conv = isinstance(shape, ConvShape)
    layout = "channels-last" if conv else "row-major"
    return Workload(
        device="cpu",
        kernel="plain",
        backend="plain",
        operation="conv" if conv else "gemm",
        form=replace(form, layout=layout),
        shape=shape,
        seed=seed,
    )


ROOT = hashlib.sha256(b"root").digest()


def test_places_are_distinct_ascending_and_below_the_size() -> None:
    places = openings.draw(workload(), ROOT, 5000, 1000)
    assert places == sorted({*places})
    assert len(places) == 1000
    assert 0 <= places[0] <= places[-1] < 5000


def test_all_leaves_are_opened_where_there_are_no_more() -> None:
    assert openings.draw(workload(), ROOT, 1000, 1000) == list(range(1000))
    assert openings.draw(workload(), ROOT, 7, 1000) == list(range(7))


@pytest.mark.parametrize(
    ("other", "root", "size"),
    [
        (workload(seed="5eee" * 16), ROOT, 5000),
        (replace(workload(), kernel="other"), ROOT, 5000),
        (replace(workload(), device="cuda:1"), ROOT, 5000),
        (workload(), ROOT[::-1], 5000),
        (workload(), ROOT, 5001),
    ],
    ids=["nonce", "row", "device", "root", "size"],
)
def test_the_places_depend_on_nonce_row_device_root_and_size(other: Workload, root: bytes, size: int) -> None:
    same = {*openings.draw(workload(), ROOT, 5000, 1000)} & {*openings.draw(other, root, size, 1000)}
    # 200 of 1000 in common are expected of independent draws, with a deviation of 11.
    assert len(same) < 300


def test_every_leaf_is_as_likely_to_be_drawn_as_any_other() -> None:
    times = np.zeros(100)
    for number in range(2000):
        times[openings.draw(workload(), number.to_bytes(32, "big"), 100, 20)] += 1
    # Binomial(2000, 0.2): 400 expected, deviation 17.9; chi square of 99 degrees stays below 160 but in 1e-4.
    assert float(np.sum((times - 400) ** 2 / (400 * 0.8))) < 160


@pytest.mark.parametrize(("share", "expected"), [(0.10, 487), (0.05, 1000), (0.01, 5102)])
def test_the_counts_are_those_of_the_formula(share: float, expected: int) -> None:
    assert openings.count(share) == expected

    def escape(number: int) -> float:
        """Base-2 logarithm of the chance that some of 2^64 commitments hides the share."""
        return 64 + number * math.log2(1 - share)

    assert escape(expected) <= math.log2(1 - openings.CONFIDENCE) < escape(expected - 1)


def test_leaving_out_a_twentieth_of_the_rows_is_caught_in_every_one_of_2000_runs() -> None:
    """By construction in 999 of 1000 although the cheat tries 2^64 commitments; this one tries one."""
    size, opened = 2048, openings.count(0.05)
    for number in range(2000):
        left_out = range(17 * number % size, 17 * number % size + size // 20)
        seed = hashlib.sha256(b"%d" % number).hexdigest()
        places = openings.draw(workload(seed=seed), ROOT, size, opened)
        assert {place % size for place in left_out} & {*places}


def test_a_cheat_who_tries_many_commitments_escapes_no_more_often_than_the_formula_says() -> None:
    """Sixteen tries in place of 2^64, and the count that the same formula has for them."""
    tries, size, left_out = 16, 1000, {*range(50)}
    opened = math.ceil((math.log(tries) + math.log(1000)) / -math.log1p(-0.05))
    escaped = 0
    for number in range(2000):
        roots = (hashlib.sha256(b"%d %d" % (number, attempt)).digest() for attempt in range(tries))
        escaped += any(not left_out & {*openings.draw(workload(), r, size, opened)} for r in roots)
    # At most 2 are expected (Poisson): more than 8 come in 2 of 10,000 such simulations.
    assert escaped <= 8


# ----------------------------------------------------------------------------------- the outputs


def window(launches: Sequence[int], *, real: int = 0, ended: str = "window-full") -> Visit:
    def sample(number: int, real: int) -> Sample:
        return Sample(start_ns=0, host_ns=1, raw_ns=1, cpu_ns=1, launches=number, real=real)

    *before, last = launches
    return Visit(
        settle=(sample(3, 0),),
        settle_ended="settled",
        samples=(*(sample(number, 0) for number in before), sample(last, real)),
        device_ns=(),
        clocks_hz=(),
        ended=ended,
    )


STAYS = (window((5, 2)), window((7,)), window((4, 4, 4)))


def outputs(chosen: Workload, offset: int) -> np.ndarray:
    """The whole output of a launch at a pool offset, by the sampled check's own way to it."""
    rows, columns = implicit_gemm(chosen.shape)
    place = accuracy.Place(offset=offset, real=False, rows=tuple(range(rows)), columns=tuple(range(columns)))
    return accuracy.expected(chosen, place)


def committed(
    chosen: Workload, stays: Sequence[Visit] = STAYS, spoil: Spoil = lambda _: None
) -> Mapping[int, list[bytes]]:
    found = {}
    offsets, last = operands.offsets(chosen), openings.last_launches(stays)
    for stay in openings.committed_stays(stays):
        whole = outputs(chosen, offsets[last[stay]])
        spoil(whole)
        found[stay] = openings.leaves(chosen, lambda rows, columns, w=whole: w[rows][:, columns])  # type: ignore[misc]
    return found


CONV = ConvShape(batch=2, channels=3, filters=4, height=9, width=7, kernel=3, padding=1)
IMAGES = [replace(CONV, padding=0), CONV, replace(CONV, kernel=1, padding=0)]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("shape", [TALL, *IMAGES], ids=str)
def test_right_outputs_of_every_operand_set_are_opened_and_fit(form: Form, shape: Shape) -> None:
    chosen = workload(form, shape)
    opening = openings.open_rows(chosen, STAYS, committed(chosen), 0.05)
    height = implicit_gemm(shape)[0]
    assert opening.reason is None
    assert (opening.stays, opening.leaves) == ((0, 2), 2 * height)
    assert opening.opened == min(1000, 2 * height)
    assert openings.fits(chosen, STAYS, opening)


def test_images_whose_channels_come_first_are_opened_too() -> None:
    chosen = workload(shape=CONV)
    chosen = replace(chosen, form=replace(chosen.form, layout="channels-first"))
    assert openings.open_rows(chosen, STAYS, committed(chosen), 0.05).reason is None


@pytest.mark.parametrize("shape", [GemmShape(m=3, n=1050, k=4100), GemmShape(m=1100, n=2, k=4200)], ids=str)
def test_operands_larger_than_a_block_give_the_same_outputs(shape: GemmShape) -> None:
    chosen = workload(shape=shape)
    assert openings.open_rows(chosen, STAYS[:1], committed(chosen, STAYS[:1]), 0.05).reason is None


def rows_left_out(whole: np.ndarray) -> None:
    """A twentieth of the rows keeps what the launch before left there."""
    whole[::20] = 1.0


def one_element(whole: np.ndarray) -> None:
    whole[:, 1] += 1.0


@pytest.mark.parametrize("spoil", [rows_left_out, one_element])
def test_outputs_that_are_not_right_are_not_opened(spoil: Spoil) -> None:
    chosen = workload()
    opening = openings.open_rows(chosen, STAYS, committed(chosen, spoil=spoil), 0.05)
    assert opening.reason == openings.OUTPUTS_DIFFER
    assert opening.root is None


def test_codes_that_a_device_rounds_its_own_way_are_told_apart_from_wrong_outputs() -> None:
    form = replace(FORMS["int8"], out="s8")
    chosen = workload(form)
    opening = openings.open_rows(chosen, STAYS, committed(chosen, spoil=one_element), 0.05)
    assert opening.reason == openings.ROUNDED_OTHERWISE


def test_a_negative_zero_is_a_zero() -> None:
    zeros = np.zeros((1, 4))
    for element in ("f64", "f32", "f16", "bf16"):
        assert np.array_equal(openings.encode(zeros, element), openings.encode(-zeros, element))  # type: ignore[arg-type]


def test_the_bytes_of_a_row_are_those_of_its_type() -> None:
    row = np.array([[1.0, -2.0, 384.0]])
    assert openings.encode(row, "f32").tobytes() == np.array([1, -2, 384], "<f4").tobytes()
    assert openings.encode(row, "s32").tobytes() == np.array([1, -2, 384], "<i4").tobytes()
    assert openings.encode(row, "bf16").tobytes() == bytes.fromhex("803f00c0c043")
    assert openings.encode(np.array([[200.0, 3.0]]), "u8").tobytes() == bytes([200, 3])


def test_an_output_of_another_window_or_operand_is_not_right() -> None:
    chosen = workload()
    opening = openings.open_rows(chosen, STAYS, committed(chosen), 0.05)
    moved = (window((5, 3)), *STAYS[1:])
    assert not openings.fits(chosen, moved, opening)
    assert not openings.fits(replace(chosen, seed="ab" * 32), STAYS, opening)


def test_a_changed_root_or_sibling_does_not_fit() -> None:
    chosen = workload()
    opening = openings.open_rows(chosen, STAYS, committed(chosen), 0.05)
    assert opening.root is not None
    assert opening.siblings is not None
    beside = base64.b64decode(opening.siblings)
    assert not openings.fits(chosen, STAYS, replace(opening, root="00" * 32))
    for text in (
        "",
        "%",
        opening.siblings[:-4],
        opening.siblings + "\n",
        base64.b64encode(beside[:-32]).decode(),
        base64.b64encode(beside[:-1]).decode(),
        base64.b64encode(beside + bytes(32)).decode(),
        base64.b64encode(bytes([beside[0] ^ 1]) + beside[1:]).decode(),
    ):
        assert not openings.fits(chosen, STAYS, replace(opening, siblings=text)), text[:40]
    for root in ("", "zz" * 32, "00" * 31):
        assert not openings.fits(chosen, STAYS, replace(opening, root=root))


# ----------------------------------------------------------------------------------- the windows


def test_committed_are_the_first_and_the_last_window_that_end_on_exact_operands() -> None:
    on_reals, cut = window((3, 3), real=1), window((3,), ended="interrupted")
    assert openings.committed_stays(STAYS) == (0, 2)
    assert openings.committed_stays((on_reals, *STAYS, on_reals, cut)) == (1, 3)
    assert openings.committed_stays((on_reals, STAYS[0])) == (1,)
    assert openings.committed_stays((on_reals, cut)) == ()


def test_a_row_without_such_a_window_says_so() -> None:
    assert openings.open_rows(workload(), STAYS, {}, 0.05).reason == openings.NO_EXACT_WINDOW


def test_the_share_of_the_work_that_is_covered_counts_launches_of_windows_alone() -> None:
    chosen = workload()
    covers = openings.open_rows(chosen, STAYS, committed(chosen), 0.10).covers
    assert covers is not None
    assert (covers.committed, covers.timed) == (2, 5 + 2 + 7 + 12)
    assert (covers.skipped_share, covers.confidence) == (0.10, 0.999)
