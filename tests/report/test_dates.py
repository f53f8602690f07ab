"""Dates in both calendars, and Taipei's time beside UTC."""

from datetime import date

import pytest

from bench.report import dates
from bench.report.language import LANGUAGES, speaking


@pytest.mark.parametrize(
    ("day", "shown"),
    [
        (date(2026, 11, 21), "民國115年11月21日"),
        (date(1912, 1, 1), "民國1年1月1日"),
        (date(2024, 2, 29), "民國113年2月29日"),
    ],
)
def test_the_republic_counts_its_years_from_1912(day: date, shown: str) -> None:
    assert dates.minguo(day) == shown


def test_taipei_is_eight_hours_ahead_in_summer_and_winter() -> None:
    assert dates.taipei("2026-11-21T07:43:09Z") == "2026-11-21 15:43:09 (Taipei, UTC+8)"
    assert dates.taipei("2026-06-21T16:00:00Z") == "2026-06-22 00:00:00 (Taipei, UTC+8)"


def test_both_times_stand_side_by_side() -> None:
    shown = dates.both("2026-11-21T07:43:09Z")
    assert shown == "2026-11-21 07:43:09 UTC, 2026-11-21 15:43:09 (Taipei, UTC+8), 民國115年11月21日"


def test_the_republics_date_is_that_of_taipei() -> None:
    created = "2025-12-31T16:30:00Z"
    assert dates.minguo(dates.local(created)) == "民國115年1月1日"
    for language in LANGUAGES:
        with speaking(language):
            assert "民國115年1月1日" in dates.both(created)
            assert "2025-12-31 16:30:00" in dates.both(created)
