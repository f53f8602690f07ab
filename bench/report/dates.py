"""When evidence was made, as people date it: Taipei's time beside UTC, and the calendar of the Republic."""

from datetime import UTC, date, datetime, timedelta, timezone

from bench.report.language import tr

# Taiwan keeps no summer time.
_TAIPEI = timezone(timedelta(hours=8))

_SHOWN = "%Y-%m-%d %H:%M:%S"


def minguo(day: date) -> str:
    """`民國115年11月21日`: the year of the Republic is counted from 1912 as the first."""
    return f"民國{day.year - 1911}年{day.month}月{day.day}日"


def local(created: str) -> datetime:
    """The time in Taipei that evidence's `created` (RFC 3339 in UTC, to the second) tells."""
    return datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).astimezone(_TAIPEI)


def taipei(created: str) -> str:
    """`2026-11-21 15:43:09 (Taipei, UTC+8)`"""
    return tr("{time} (Taipei, UTC+8)", time=local(created).strftime(_SHOWN))


def both(created: str) -> str:
    """Taipei's time beside UTC, and Taipei's date in the calendar of the Republic."""
    here = local(created)
    utc = here.astimezone(UTC).strftime(_SHOWN)
    return tr("{utc} UTC, {taipei}, {minguo}", utc=utc, taipei=taipei(created), minguo=minguo(here))
