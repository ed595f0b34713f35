"""Vertex AI's crons fire when the spec's do, over two years: of every spec, and of nine crons in five zones.

With the crons that `clocks` adds no instant is missed in any zone, whatever the service does where clocks change.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import everywhere
import pytest
from vertex_system import documents

from ctc.compiler.lower import lower
from ctc.language.cron import Cron
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets.vertex.check_bundle import check_bundle
from ctc.targets.vertex.clocks import at_clock_changes
from ctc.targets.vertex.schedules import dialect, every

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ZONES = ("UTC", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
CRONS = (
    "30 2 * * 1",
    "0 6 * * *",
    "*/20 1-3 * * SUN",
    "15 0 1 * *",
    "0 3 29-31 * *",
    "0 5 1,15 * 1",
    "0 6 2 1,4,7,10 *",
    "30 1 * 3,10,11 7",
    "59 23 31 12 *",
)
"""Those of the tests of Azure ML's schedules."""


def firings(expression: str) -> set[datetime]:
    """The instants in `(START, END]` of a service's cron, from its words alone.

    A time that the clocks skip does not fire, one that they show twice fires twice.
    """
    prefix, *words = expression.split(" ")
    zone = ZoneInfo(prefix.removeprefix("TZ="))
    minutes, hours, days, months, weekdays = (
        set(range(60)) if word == "*" else {int(number) for number in word.split(",")} for word in words
    )
    found, date = set(), START.date() - DAY
    while date <= END.date() + DAY:
        if date.day in days and date.month in months and date.isoweekday() % 7 in weekdays:
            for hour, minute, fold in itertools.product(hours & set(range(24)), minutes, (0, 1)):
                wall = datetime.combine(date, time(hour, minute, fold=fold), zone)
                instant = wall.astimezone(UTC)
                if instant.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
                    found.add(instant)
        date += DAY
    return {instant for instant in found if START < instant <= END}


def of_specs(folder: Path) -> set[tuple[str, str]]:
    found = set()
    for path in everywhere.SPECS:
        file = folder / path.name
        file.write_text(everywhere.variant(path, "vertex"))
        loaded = load_spec(file, "prod" if "environments:" in path.read_text() else None, "vertex", FIRST_ROW)
        assert loaded.spec is not None, loaded.diagnostics
        found |= {(cron, zone) for _, cron, zone in lower(loaded.spec, "vertex").wakes.crons}
    return found


def differing(cron: str, zone: str) -> tuple[set[datetime], set[datetime]]:
    """What the service misses, and what it adds."""
    wanted = set(Cron.parse(cron).instants(START, END, zone))
    made = {instant for expression in dialect(cron, zone) for instant in firings(expression)}
    return wanted - made, made - wanted


def near_a_change(instant: datetime, zone: str) -> bool:
    local, around = ZoneInfo(zone), (instant - timedelta(hours=3), instant + timedelta(hours=3))
    return len({moment.astimezone(local).utcoffset() for moment in around}) > 1


@pytest.mark.parametrize(("cron", "zone"), list(itertools.product(CRONS, ZONES)))
def test_a_schedule_fires_when_the_spec_says_but_where_the_clocks_change(cron: str, zone: str) -> None:
    """There wake looks once for each instant of the spec, whichever firing of the service finds it due."""
    missed, added = differing(cron, zone)

    assert all(near_a_change(instant, zone) for instant in missed | added)
    assert len(missed | added) <= 36


def test_so_does_every_spec(tmp_path: Path) -> None:
    pairs = of_specs(tmp_path)

    assert len(pairs) >= 4
    for cron, zone in sorted(pairs):
        missed, added = differing(cron, zone)
        assert all(near_a_change(instant, zone) for instant in missed | added), (cron, zone)


def test_the_comparison_is_not_blind() -> None:
    assert firings("TZ=Europe/Oslo 30 2 * * 1") != firings("TZ=UTC 30 2 * * 1")
    assert not near_a_change(min(firings("TZ=UTC 0 0 1 * *")), "Europe/Oslo")
    assert differing("30 2 * * *", "Europe/Oslo") == (
        {datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2027, 3, 28, 1, tzinfo=UTC)},
        {datetime(2026, 10, 25, 1, 30, tzinfo=UTC), datetime(2027, 10, 31, 1, 30, tzinfo=UTC)},
    )


def sure(expression: str) -> set[datetime]:
    """The firings at times that the clocks show once: the least that any service does."""
    zone = ZoneInfo(expression.split(" ")[0].removeprefix("TZ="))
    walls = {instant: instant.astimezone(zone).replace(tzinfo=None) for instant in firings(expression)}
    return {
        instant
        for instant, wall in walls.items()
        if len({wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}) == 1
    }


def changing_zones() -> list[str]:
    """All zones of the database whose clocks change in those two years."""
    return [
        zone
        for zone in sorted(available_timezones() - {"localtime"})
        if len({(START + 7 * n * DAY).astimezone(ZoneInfo(zone)).utcoffset() for n in range(105)}) > 1
    ]


def of_all(expressions: Iterable[str]) -> set[datetime]:
    return set().union(*map(sure, expressions))


def proves_that_none_is_missed(cron: str, zone: str, period: timedelta) -> None:
    wanted = set(Cron.parse(cron).instants(START, END, zone))
    own, beside = dialect(cron, zone), at_clock_changes(cron, zone, period)
    assert wanted <= of_all((*own, *beside, *every(period))), (cron, zone, period)


def hard_cron(random_: random.Random) -> str:
    """Small hours, where clocks change, on every day, some weekdays, some days of the month, or either of both."""
    days = random_.choice(("* * *", "* * 0,6", "25-31 * *", "1-14 3,4,10,11 *", "* 3-11 *", "1 * 0"))
    minutes = random_.choice(("0", "30", "*/20", "59", "15,45", "*/7"))
    return f"{minutes} {random_.choice(('0', '1', '2', '3', '0-3', '*/2', '23', '*'))} {days}"


def test_no_instant_is_missed_in_zones_with_hard_clocks() -> None:
    for zone in (*ZONES, "Africa/Casablanca", "Asia/Gaza", "America/Santiago", "America/Nuuk"):
        for cron in ("30 2 * * *", "*/20 0-3 * * *"):
            proves_that_none_is_missed(cron, zone, timedelta(days=1))


@pytest.mark.parametrize("seed", range(12))
def test_no_instant_is_missed_in_any_zone(seed: int) -> None:
    random_ = random.Random(seed)
    zone = random_.choice(changing_zones())
    proves_that_none_is_missed(hard_cron(random_), zone, random_.choice((DAY, 7 * DAY, DAY / 4)))


@pytest.mark.soak
@pytest.mark.parametrize("zone", changing_zones())
def test_no_instant_is_missed_in_each_zone(zone: str) -> None:
    random_ = random.Random(zone)
    for _ in range(6):
        proves_that_none_is_missed(hard_cron(random_), zone, random_.choice((DAY, 7 * DAY, DAY / 4)))


def test_crons_beside_are_made_only_where_clocks_change_over_them() -> None:
    assert at_clock_changes("0 6 * * *", "Europe/Oslo", 7 * DAY) == ()
    assert at_clock_changes("30 2 * * *", "UTC", 7 * DAY) == ()
    assert at_clock_changes("0 1,2,3 * * *", "Europe/Oslo", timedelta(hours=1)) == ()
    assert at_clock_changes("30 2 * * *", "Europe/Oslo", timedelta(hours=2)) == (
        "TZ=UTC 0 1 25,26,27,28,29,30,31 3 *",
        "TZ=UTC 30 0 25,26,27,28,29,30,31 10 *",
    )


def test_without_them_an_instant_would_be_missed() -> None:
    wanted = set(Cron.parse("30 2 * * *").instants(START, END, "Europe/Oslo"))

    assert wanted - of_all(dialect("30 2 * * *", "Europe/Oslo")) == {
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2027, 3, 28, 1, tzinfo=UTC),
        datetime(2027, 10, 31, 0, 30, tzinfo=UTC),
    }


def test_a_bundle_holds_them_as_schedules_of_the_same_pipeline(tmp_path: Path) -> None:
    text = everywhere.variant(next(path for path in everywhere.SPECS if path.stem == "everywhere"), "vertex")
    assert "30 2 * * 1" in text
    text = text.replace("30 2 * * 1", "30 2 * * 0").replace(
        "\ntriggers:", "\ntrigger_policy: {wake_every: 1d}\ntriggers:", 1
    )
    (tmp_path / "spec.yaml").write_text(text)
    loaded = load_spec(tmp_path / "spec.yaml", None, "vertex", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    made = documents(lower(loaded.spec, "vertex"))
    crons = {path: body["cron"] for path, body in made.items() if path.startswith("schedules/")}

    assert check_bundle(made) == []
    assert set(crons) == {f"schedules/{own}.json" for own in ("every", "weekly", "clocks-weekly", "clocks-weekly-2")}
    assert crons["schedules/weekly.json"] == "TZ=Europe/Oslo 30 2 * * 0"
    assert crons["schedules/clocks-weekly.json"].startswith("TZ=UTC ")
