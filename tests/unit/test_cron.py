from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.language.cron import Cron


def texts(cron: str, start: str, end: str, zone: str) -> list[str]:
    found = Cron.parse(cron).instants(datetime.fromisoformat(start), datetime.fromisoformat(end), zone)
    return [f"{instant:%m-%d %H:%M}" for instant in found]


OSLO = "Europe/Oslo"
SPRING = ("2024-03-30T12:00Z", "2024-04-01T12:00Z")  # 2024-03-31 02:00 +01 becomes 03:00 +02, at 01:00Z
AUTUMN = ("2024-10-26T12:00Z", "2024-10-28T12:00Z")  # 2024-10-27 03:00 +02 becomes 02:00 +01, at 01:00Z


@pytest.mark.parametrize(
    ("cron", "window", "zone", "expected"),
    [
        pytest.param("30 2 * * *", SPRING, OSLO, ["03-31 01:00", "04-01 00:30"], id="skipped: at the shift"),
        pytest.param("*/20 2 * * *", SPRING, OSLO, ["03-31 01:00", "04-01 00:00", "04-01 00:20", "04-01 00:40"]),
        pytest.param("0,30 2,3 31 3 *", SPRING, OSLO, ["03-31 01:00", "03-31 01:30"], id="skipped meets real: once"),
        pytest.param("30 2 * * *", AUTUMN, OSLO, ["10-27 00:30", "10-28 01:30"], id="repeated: the first"),
        pytest.param("0 3 * * *", AUTUMN, OSLO, ["10-27 02:00", "10-28 02:00"], id="after the repeat"),
        pytest.param("30 2 * * *", AUTUMN, "UTC", ["10-27 02:30", "10-28 02:30"], id="UTC has no shift"),
        pytest.param(
            "0 12 * * *",
            ("2011-12-29T00:00Z", "2012-01-01T00:00Z"),
            "Pacific/Apia",
            ["12-29 22:00", "12-30 10:00", "12-30 22:00", "12-31 22:00"],
            id="a whole day skipped",
        ),
        pytest.param(
            "15 2 * * *",
            ("2024-10-05T00:00Z", "2024-10-07T00:00Z"),
            "Australia/Lord_Howe",
            ["10-05 15:30", "10-06 15:15"],
            id="a shift of half an hour",
        ),
    ],
)
def test_each_wall_clock_time_is_one_instant(
    cron: str, window: tuple[str, str], zone: str, expected: list[str]
) -> None:
    assert texts(cron, *window, zone) == expected


def test_the_start_is_excluded_and_the_end_included() -> None:
    assert texts("0 * * * *", "2024-01-01T01:00Z", "2024-01-01T03:00Z", "UTC") == ["01-01 02:00", "01-01 03:00"]


@pytest.mark.parametrize(
    ("cron", "days"),
    [
        ("0 0 13 * 5", [5, 12, 13, 19, 26]),
        ("0 0 */15 * *", [1, 16, 31]),
        ("0 0 */15 * 1", [1]),
        ("0 0 * * SUN", [7, 14, 21, 28]),
        ("0 0 * * 7", [7, 14, 21, 28]),
        ("0 0 * jan fri-sun", [5, 6, 7, 12, 13, 14, 19, 20, 21, 26, 27, 28]),
        ("0 0 1-5/2,20 * *", [1, 3, 5, 20]),
    ],
)
def test_days(cron: str, days: list[int]) -> None:
    start, end = datetime(2023, 12, 31, 12, tzinfo=UTC), datetime(2024, 1, 31, 12, tzinfo=UTC)
    assert [instant.day for instant in Cron.parse(cron).instants(start, end, "UTC")] == days


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0 0 * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("60 0 * * *", "minute 60 is not within 0 to 59"),
        ("0 24 * * *", "hour 24 is not within"),
        ("0 0 0 * *", "day of month 0 is not within"),
        ("0 0 * 13 *", "month 13 is not within"),
        ("0 0 * * 8", "day of week 8 is not within"),
        ("0 0 * * MOM", "or a name such as SUN"),
        ("0 0 L * *", "'L' is not a number"),
        ("0 0 ? * *", "'?' is not a number"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*/0 * * * *", "whole number from 1"),
        ("*/x * * * *", "whole number from 1"),
        ("10-5 * * * *", "runs backwards"),
        ("1,,2 * * * *", "'' is not a number"),
        ("-5 * * * *", "'' is not a number"),
        ("² * * * *", "is not a number"),
    ],
)
def test_a_bad_expression_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        Cron.parse(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Osloo", "", "../etc/passwd", "europe"])
def test_an_unknown_zone_is_one_sentence(zone: str) -> None:
    with pytest.raises(ValueError, match="there is no time zone"):
        list(Cron.parse("0 0 * * *").instants(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), zone))


@pytest.mark.parametrize(
    ("cron", "never"),
    [
        ("0 0 31 2 *", True),
        ("0 0 30 2 *", True),
        ("0 0 29 2 *", False),
        ("0 0 31 4,6,9,11 *", True),
        ("0 0 31 2 1", False),
        ("0 0 * 2 *", False),
        ("0 0 30,31 2 */2", True),
    ],
)
def test_a_day_that_no_year_has(cron: str, never: bool) -> None:
    assert Cron.parse(cron).never_fires() is never
    start = datetime(2024, 1, 1, tzinfo=UTC)
    fired = next(Cron.parse(cron).instants(start, start + timedelta(days=366), "UTC"), None)
    assert (fired is None) is never


def brute_force(cron: Cron, start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """Minute by minute in UTC: a wall-clock minute counts when first shown; a skipped one when the clock jumps."""
    found = []
    before = start - timedelta(hours=12)
    latest = before.astimezone(zone).replace(tzinfo=None) - timedelta(minutes=1)
    minute = before
    while minute <= end:
        wall = minute.astimezone(zone).replace(tzinfo=None)
        passed = []
        while latest < wall:
            latest += timedelta(minutes=1)
            passed.append(latest)
        if start < minute and any(matches(cron, time) for time in passed):
            found.append(minute)
        minute += timedelta(minutes=1)
    return found


def matches(cron: Cron, wall: datetime) -> bool:
    day_of_month, day_of_week = wall.day in cron.days, (wall.weekday() + 1) % 7 in cron.weekdays
    day = (day_of_month or day_of_week) if cron.either_day else (day_of_month and day_of_week)
    return day and wall.minute in cron.minutes and wall.hour in cron.hours and wall.month in cron.months


SHIFTS = st.sampled_from(
    [
        ("Europe/Oslo", datetime(2024, 3, 31, 1, tzinfo=UTC)),
        ("Europe/Oslo", datetime(2024, 10, 27, 1, tzinfo=UTC)),
        ("America/New_York", datetime(2024, 3, 10, 7, tzinfo=UTC)),
        ("America/New_York", datetime(2024, 11, 3, 6, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2024, 4, 6, 15, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2024, 10, 5, 15, 30, tzinfo=UTC)),
        ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
        ("Asia/Kolkata", datetime(2024, 6, 1, tzinfo=UTC)),
    ]
)
minutes = st.sampled_from(["*", "0", "30", "*/15", "59", "5-50/9", "0,1,31"])
hours = st.sampled_from(["*", "0", "1", "2", "3", "0-3", "23", "*/2", "2,12"])
days = st.sampled_from(["* * *", "* * SUN", "31 * *", "* 3,10 *", "3 * MON", "*/2 * 1-5"])


@settings(max_examples=60, deadline=None)
@given(SHIFTS, minutes, hours, days, st.integers(-1500, 300), st.integers(0, 2000))
def test_instants_equal_a_scan_of_every_minute(
    shift: tuple[str, datetime], minute: str, hour: str, day: str, offset: int, length: int
) -> None:
    zone, at = shift
    start = at + timedelta(minutes=offset)
    end = start + timedelta(minutes=length)
    cron = Cron.parse(f"{minute} {hour} {day}")
    found = list(cron.instants(start, end, zone))
    assert found == brute_force(cron, start, end, ZoneInfo(zone))
    assert all(first < second for first, second in pairwise(found))


def test_a_part_of_the_time_is_a_part_of_the_instants() -> None:
    cron = Cron.parse("*/7 * * * *")
    start, middle, end = (datetime(2024, 10, 27, hour, 30, tzinfo=UTC) for hour in (0, 1, 4))
    whole = list(cron.instants(start, end, OSLO))
    assert whole == [*cron.instants(start, middle, OSLO), *cron.instants(middle, end, OSLO)]
