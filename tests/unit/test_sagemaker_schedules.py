"""EventBridge Scheduler's crons fire when the spec's do, over two years and across every change of the clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.compiler.lower import lower
from ctc.language.cron import Cron
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import sagemaker
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.schedules import dialect, schedules

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu")
WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def numbers(word: str, low: int, high: int) -> set[int]:
    """A field as the service's user guide has it: `*`, `?`, numbers and ranges in a list."""
    if word in ("*", "?"):
        return set(range(low, high + 1))
    found: set[int] = set()
    for part in word.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    assert found <= set(range(low, high + 1))
    return found


def firings(expression: str, zone: str) -> Iterator[datetime]:
    """The instants in `(START, END]` of a service's cron, written apart from the language's own.

    A time that the clocks skip does not fire, one that they show twice fires the first time.
    """
    assert expression.startswith("cron(")
    assert len(expression) <= LIMITS["schedule expression"].value
    minutes, hours, days, months, weekdays, year = expression[5:-1].split(" ")
    assert (days == "?") != (weekdays == "?"), "one of the two day fields is `?`, the other is not"
    assert year == "*"
    names = WEEKDAYS if weekdays in ("*", "?") else weekdays.split(",")
    local = ZoneInfo(zone)
    date = START.date() - DAY
    while date <= END.date() + DAY:
        wanted = date.day in numbers(days, 1, 31) and date.month in numbers(months, 1, 12)
        if wanted and WEEKDAYS[date.isoweekday() % 7] in names:
            for hour in numbers(hours, 0, 23):
                for minute in numbers(minutes, 0, 59):
                    wall = datetime.combine(date, time(hour, minute))
                    instant = wall.replace(tzinfo=local).astimezone(UTC)
                    if instant.astimezone(local).replace(tzinfo=None) == wall and START < instant <= END:
                        yield instant
        date += DAY


def differences(cron: str, zone: str) -> tuple[set[datetime], set[datetime]]:
    """What the service misses, and what it adds."""
    wanted = set(Cron.parse(cron).instants(START, END, zone))
    made = {instant for expression in dialect(cron) for instant in firings(expression, zone)}
    return wanted - made, made - wanted


def is_a_shift(instant: datetime, zone: str) -> bool:
    """The clocks go forward here: the instant at which the language fires the times that they skip."""
    local, before = ZoneInfo(zone), instant - timedelta(seconds=1)
    return (instant.astimezone(local).utcoffset() or DAY) > (before.astimezone(local).utcoffset() or DAY)


def in_specs() -> list[tuple[str, str]]:
    found = set()
    for path in sorted(SPECS.glob("*.yaml")):
        loaded = load_spec(path, "prod" if path.stem == "environments" else None, "sagemaker", FIRST_ROW)
        assert loaded.spec is not None, loaded.diagnostics
        found |= {(cron, zone) for _, cron, zone in lower(loaded.spec, "sagemaker").wakes.crons}
    return sorted(found)


CRONS = [
    ("30 2 * * 1", "Europe/Oslo"),
    ("30 2 * * *", "Europe/Oslo"),
    ("30 2 * * 7", "America/New_York"),
    ("*/15 1-3 * * *", "Australia/Lord_Howe"),
    ("0 4 1 * *", "Europe/Oslo"),
    ("0 3 7 */3 *", "Asia/Kathmandu"),
    ("5,35 6-18/4 * jan-jun mon-fri", "Australia/Lord_Howe"),
    ("0 0 1,15 * fri", "America/Sao_Paulo"),
    ("0 0 29 2 *", "UTC"),
]


@pytest.mark.parametrize(("cron", "zone"), sorted({*in_specs(), *CRONS}))
def test_a_schedule_fires_when_the_spec_says_but_at_times_that_the_clocks_skip(cron: str, zone: str) -> None:
    missed, added = differences(cron, zone)

    assert added == set()
    assert len(missed) <= 2
    assert all(is_a_shift(instant, zone) for instant in missed)


def test_every_spec_brings_crons() -> None:
    assert len(in_specs()) >= 4


def test_the_comparison_is_not_blind() -> None:
    missed, _ = differences("30 2 * * *", "Europe/Oslo")

    assert missed == {datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)}
    assert set(firings("cron(30 3 * * ? *)", "Europe/Oslo")) != set(
        Cron.parse("30 2 * * *").instants(START, END, "UTC")
    )


def few(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}/7")
    return st.lists(st.one_of(number.map(str), ranges), min_size=1, max_size=2).map(",".join)


@settings(max_examples=40, deadline=None)
@given(
    few(0, 59),
    few(0, 23),
    st.one_of(st.sampled_from(["*", "*/2"]), few(1, 31)),
    st.one_of(st.just("*"), few(1, 12)),
    st.one_of(st.sampled_from(["*", "*/2", "mon-fri", "0", "7"]), few(0, 6)),
    st.sampled_from(ZONES),
)
def test_each_cron_is_said_exactly_or_refused(
    minute: str, hour: str, day: str, month: str, weekday: str, zone: str
) -> None:
    cron = f"{minute} {hour} {day} {month} {weekday}"
    try:
        dialect(cron)
    except ValueError:
        # Both day fields narrow the days, and one of them by a step: no expression of the service says that.
        assert day != "*" and weekday != "*" and "*" in day + weekday
        return
    missed, added = differences(cron, zone)

    assert added == set()
    assert all(is_a_shift(instant, zone) for instant in missed)


def test_the_longest_expression_fits() -> None:
    odd = "1-59/2 1-23/2 1-31/2 1-11/2 1,3,5"

    assert max(map(len, dialect(odd))) <= LIMITS["schedule expression"].value


def test_the_schedules_of_a_spec_start_its_wake_pipeline_in_its_zone() -> None:
    loaded = load_spec(SPECS / "canary.yaml", None, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    system = lower(loaded.spec, "sagemaker")
    made = schedules(system)

    assert set(made) == {"wake", "at-weekly"}
    assert made["at-weekly"]["ScheduleExpression"] == "cron(30 2 ? * MON *)"
    assert made["at-weekly"]["ScheduleExpressionTimezone"] == "Europe/Oslo"
    assert {body["Target"]["Arn"] for body in made.values()} == {made["wake"]["Target"]["Arn"]}


def test_days_that_are_in_both_fields_are_refused_with_their_place() -> None:
    loaded = load_spec(SPECS / "minimal.yaml", None, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    system = lower(loaded.spec, "sagemaker")
    wakes = replace(system.wakes, crons=(("odd", "0 3 */2 * mon", "UTC"),))
    [found] = sagemaker.limits(replace(system, wakes=wakes))

    assert (found.code, found.path) == ("CT356", "triggers.odd.schedule.cron")
