"""A wall meter's log: what is read of it, and what is refused with its line and what to do."""

import hashlib
import os
from pathlib import Path

import pytest

from bench.devices import power_log
from bench.errors import UsageError
from bench.terms import MeterReading

# 2026-01-31T12:00:00Z
ORIGIN_S = 1_769_860_800
ORIGIN_US = ORIGIN_S * 10**6
S = 10**9


def log(folder: Path, *lines: str, name: str = "meter.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def seconds(folder: Path, *counts: float | str, header: str = "time,energy_j", first: int = -2) -> Path:
    """A log with a count every second, the first at `first` seconds of the run."""
    return log(folder, header, *(f"{ORIGIN_S + first + i},{count}" for i, count in enumerate(counts)))


def readings(path: Path, end_s: float = 3.0) -> list[tuple[float, int]]:
    found = power_log.meter(path, ORIGIN_US, int(end_s * S)).readings
    return [(reading.at_ns / S, reading.energy_uj) for reading in found]


def refusal(path: Path, end_s: float = 3.0) -> str:
    with pytest.raises(UsageError) as caught:
        power_log.meter(path, ORIGIN_US, int(end_s * S))
    return str(caught.value)


def test_the_readings_are_those_around_the_run_on_its_time_base(tmp_path: Path) -> None:
    path = seconds(tmp_path, *range(100, 110))
    assert readings(path, 2.5) == [(i, (102 + i) * 10**6) for i in range(4)]


def test_a_run_between_readings_has_one_on_either_side(tmp_path: Path) -> None:
    path = log(
        tmp_path, "time,energy_j", *(f"{ORIGIN_S + at},{100 + at}" for at in (-1.5, -0.5, 0.5, 3.5, 4.5))
    )
    assert [at for at, _ in readings(path)] == [-0.5, 0.5, 3.5]


@pytest.mark.parametrize(
    ("column", "joules"),
    [("energy_j", 1), ("energy_wh", 3600), ("energy_kwh", 3_600_000), (" Energy_kWh ", 3_600_000)],
)
def test_every_unit_of_the_counter_comes_to_microjoules_exactly(
    tmp_path: Path, column: str, joules: int
) -> None:
    path = seconds(tmp_path, "12345.000001", "12345.000002", header=f"time,{column}", first=0)
    assert [energy for _, energy in readings(path)] == [12_345_000_001 * joules, 12_345_000_002 * joules]


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-31T12:00:01Z",
        "2026-01-31T13:00:01+01:00",
        "2026-01-31 13:00:01.000+01:00",
        "1769860801",
        "1769860801.000",
    ],
)
def test_a_time_is_iso_8601_with_an_offset_or_seconds_since_1970(tmp_path: Path, time: str) -> None:
    path = log(tmp_path, "time,energy_j", f"{ORIGIN_S},5", f"{time},6")
    assert readings(path)[1] == (1.0, 6_000_000)


def test_other_columns_empty_lines_and_a_byte_order_mark_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "meter.csv"
    rows = ("room,time,power_w,energy_j", '"a, b",1769860801,90,5', "", "\xb0,1769860802,90,6", "")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(rows).encode("latin-1"))
    assert readings(path) == [(1.0, 5_000_000), (2.0, 6_000_000)]


def test_a_row_on_which_the_meter_did_not_answer_is_no_reading(tmp_path: Path) -> None:
    assert [at for at, _ in readings(seconds(tmp_path, 1, 2, 3, "", 5, 6))] == [0, 2, 3]


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    path = seconds(tmp_path, 1100, 1101, 1102, 1103)
    with path.open("a") as file:
        file.write(f"{ORIGIN_S + 2},11")
    assert readings(path)[-1] == (1.0, 1_103_000_000)


def test_a_meter_that_moves_in_steps_is_followed_to_its_next_step(tmp_path: Path) -> None:
    path = seconds(tmp_path, 10, 10, 20, 20, 20, 20, 20, 30, 30)
    assert readings(path)[-2:] == [(4.0, 20_000_000), (5.0, 30_000_000)]


def test_a_log_that_begins_late_and_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    assert [at for at, _ in readings(seconds(tmp_path, 7, 8, first=1))] == [1, 2]


def test_the_digest_is_of_the_whole_file_and_the_name_has_no_folder(tmp_path: Path) -> None:
    path = seconds(tmp_path, *range(20))
    meter = power_log.meter(path, ORIGIN_US, 3 * S)
    assert meter.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert meter.file == "meter.csv"
    assert meter.readings[0] == MeterReading(at_ns=0, energy_uj=2_000_000)


def test_a_name_that_controls_the_terminal_is_made_safe(tmp_path: Path) -> None:
    path = seconds(tmp_path, *range(9)).rename(tmp_path / "a\x1b[2J\udcff.csv")
    assert power_log.meter(path, ORIGIN_US, 3 * S).file == "a.csv"


def test_power_without_a_counter_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = log(tmp_path, "time,power_w", f"{ORIGIN_S},90")
    for said in (refusal(path), _check_refusal(path)):
        assert "sampled covers only part of the time" in said
        assert "energy_j, energy_wh, energy_kwh" in said


def _check_refusal(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        power_log.check(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        *("", "zeit,energy_j", "time,energy", "time;energy_j", "1,2"),
        *("time,energy_j,energy_wh", "time,time,energy_j"),
    ],
)
def test_a_header_without_exactly_a_time_and_a_counter_is_refused_before_the_run(
    tmp_path: Path, header: str
) -> None:
    said = _check_refusal(log(tmp_path, header))
    assert "line 1" in said
    assert "time and one of energy_j, energy_wh, energy_kwh" in said


def test_a_log_without_rows_may_begin_a_run_but_not_end_it(tmp_path: Path) -> None:
    path = log(tmp_path, "time,energy_j")
    power_log.check(path)
    assert "it has no rows" in refusal(path)


def test_rows_that_are_there_before_the_run_are_checked_before_the_run(tmp_path: Path) -> None:
    assert "line 3" in _check_refusal(seconds(tmp_path, 1, "two"))


@pytest.mark.parametrize("count", ["two", "-1", "1,5", "nan", "1e3", "0x10", "1_0", "9" * 40, "\x1b[2J"])
def test_an_energy_that_is_no_plain_number_is_refused_with_its_line(tmp_path: Path, count: str) -> None:
    said = refusal(seconds(tmp_path, 1, 2, f'"{count}"', 4))
    assert "meter.csv, line 4: the energy is " in said
    assert "expected a decimal number" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2026-01-31T12:00:01",
        "2026-01-31",
        "31.01.2026 12:00:01",
        "noon",
        "1769860801000",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "-5",
    ],
)
def test_a_time_of_an_unknown_zone_or_unit_is_refused_with_its_line(tmp_path: Path, time: str) -> None:
    said = refusal(log(tmp_path, "time,energy_j", f"{ORIGIN_S},1", f"{time},2"))
    assert "line 3: the time is " in said
    assert "seconds since 1970" in said


def test_a_row_that_is_too_short_is_refused_with_its_line(tmp_path: Path) -> None:
    path = log(tmp_path, "time,energy_j", f"{ORIGIN_S},1", f"{ORIGIN_S + 1}")
    assert "line 3: 1 columns; expected at least 2" in refusal(path)


@pytest.mark.parametrize("second", [0, -1])
def test_times_out_of_order_are_refused_with_their_line(tmp_path: Path, second: int) -> None:
    said = refusal(log(tmp_path, "time,energy_j", f"{ORIGIN_S},1", f"{ORIGIN_S + second},2"))
    assert "line 3" in said
    assert "each row later than the one before" in said


def test_a_meter_that_was_reset_during_the_run_is_refused(tmp_path: Path) -> None:
    said = refusal(seconds(tmp_path, 100, 101, 102, 0, 1, 2))
    assert "line 5: the energy counter fell from 102000000 to 0 uJ" in said
    assert "reset" in said


def test_a_meter_that_was_reset_before_the_run_does_not_matter(tmp_path: Path) -> None:
    assert len(readings(seconds(tmp_path, 900, 0, 1, 2, 3, 4))) == 4


def test_a_counter_that_stands_still_is_refused(tmp_path: Path) -> None:
    assert "stood at 7000000 uJ" in refusal(seconds(tmp_path, *[7] * 8))


@pytest.mark.parametrize("first", [-100, 100])
def test_a_log_of_another_time_is_refused_with_both_times(tmp_path: Path, first: int) -> None:
    said = refusal(seconds(tmp_path, 1, 2, 3, first=first))
    assert "2026-01-31T12:00:00.000000Z to 2026-01-31T12:00:03.000000Z" in said
    assert "Set the clock" in said


def test_a_meter_without_a_reading_within_the_run_is_refused(tmp_path: Path) -> None:
    path = log(tmp_path, "time,energy_j", f"{ORIGIN_S - 60},1", f"{ORIGIN_S + 60},2")
    assert "says nothing about the run" in refusal(path)


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in _check_refusal(tmp_path / "none.csv")
    assert "--power-log FILE.csv" in _check_refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in _check_refusal(tmp_path / "pipe")


def test_a_file_of_more_than_64_mib_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.truncate(power_log.MAX_BYTES + 1)
    assert "more than 67108864 bytes" in _check_refusal(path)


def test_a_cell_without_end_is_refused(tmp_path: Path) -> None:
    assert "comma-separated values" in _check_refusal(log(tmp_path, "time,energy_j", f'1,"{"x" * 200_000}'))
