"""Windows, label ages and holdouts that must fit together, with the numbers at which they no longer do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from changed_spec import FORECAST, SERVED, findings

from ctc.language.checks.time import firings, written
from ctc.language.spec import ScheduleTrigger

DAILY = 'triggers: {weekly: null, daily: {schedule: {cron: "30 2 * * *", timezone: UTC}}}'
HOURLY = 'triggers: {weekly: null, hourly: {schedule: {cron: "5 * * * *", timezone: UTC}}}'


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (timedelta(days=90), "90d"),
        (timedelta(days=1, hours=2, minutes=3, seconds=4), "1d2h3m4s"),
        (timedelta(minutes=90), "1h30m"),
        (timedelta(0), "0s"),
    ],
)
def test_times_are_written_as_in_a_spec(time: timedelta, text: str) -> None:
    assert written(time) == text


@pytest.mark.parametrize(("cron", "zone"), [("nonsense", "UTC"), ("0 0 30 2 *", "UTC"), ("0 0 * * *", "Oslo")])
def test_a_schedule_that_is_none_fires_never(cron: str, zone: str) -> None:
    assert firings(ScheduleTrigger(cron, zone)) == ()


@pytest.mark.parametrize(
    ("retraining", "needed"),
    [
        ("{window: null}", True),
        ("{window: 60d}", False),
        ('{window: null, since: "2024-01-01"}', False),
        ("{window: null, strategy: fine_tune}", True),
        ("{window: null, strategy: incremental, full_every: 7d}", False),
        ("{window: null, holdout: {time: null, hash: {key: [customer], share: 10%}}}", False),
    ],
)
def test_a_window_is_needed_where_one_is_cut(retraining: str, needed: bool) -> None:
    assert bool(findings("CT270", f"retraining: {retraining}")) is needed


NO_TIME = """
sources: {parcels: {event_time: none}}
label: {known_after: 0d}
retraining: {window: null, holdout: {time: null, hash: {key: [parcel_id], share: 10%}}}
"""


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ("{}", None),
        ("label: {known_after: 1d}", "label.known_after"),
        ("retraining: {window: 60d}", "retraining.window"),
        ('retraining: {since: "2024-01-01"}', "retraining.since"),
        ("retraining: {gap: 1d}", "retraining.gap"),
        ("retraining: {holdout: {hash: null, time: 14d}}", "retraining.holdout.time"),
        ("retraining: {strategy: incremental, full_every: 1d}", "retraining.strategy"),
        ("triggers: {enough: {new_data: {min_rows: 10}}}", "triggers.enough.new_data"),
        ("validation: {checks: {fresh: {freshness: {max_age: 1d}}}}", "validation.checks.fresh.freshness"),
        ("validation: {checks: {fresh: {freshness: {max_age: 1d}, source: arrivals}}}", None),
        ("triggers: {moved: {drift: {columns: [a], method: psi, max: 1, window: 1d}}}", "triggers.moved.drift.window"),
    ],
)
def test_data_without_time(change: str, path: str | None) -> None:
    assert [item.path for item in findings("CT271", NO_TIME, change)] == ([] if path is None else [path])


def test_data_without_time_is_one_cause() -> None:
    [found] = findings("CT271", "sources: {parcels: {event_time: none}}")

    assert "`label.known_after`, `retraining.window`, `retraining.holdout.time`" in found.message


@pytest.mark.parametrize(("gap", "leaks"), [("0d", "up to 14d"), ("13d", "up to 1d"), ("14d", None), ("20d", None)])
def test_the_gap_of_a_forecast(gap: str, leaks: str | None) -> None:
    task = "task: {forecast: {series: [store], every: 1d, horizon: 14d}}"
    found = findings("CT272", FORECAST, task, f"retraining: {{gap: {gap}}}")

    assert [leaks in item.message for item in found if leaks] == ([True] if leaks else [])
    assert bool(found) is bool(leaks)


@pytest.mark.parametrize(("age", "window", "old"), [("90d", "60d", "104d"), ("60d", "60d", None), ("7d", "60d", None)])
def test_the_age_of_labels_and_the_window(age: str, window: str, old: str | None) -> None:
    found = findings("CT273", f"{{label: {{known_after: {age}}}, retraining: {{window: {window}}}}}")

    assert [f"newest row is {old} old" in item.message for item in found] == ([] if old is None else [True])


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (HOURLY, 336),
        (DAILY, None),
        (HOURLY + "\ntrigger_policy: {cooldown: 12h}", 28),
        (HOURLY + "\ntrigger_policy: {cooldown: 1d}", None),
        (HOURLY + "\ntrigger_policy: {max_runs: {count: 1, per: 6h}}", 56),
        (HOURLY + "\npromotion: {false_promotions: {max: 1, per: 365d}}", None),
        (HOURLY + "\npromotion: {gates: {not_worse: null}}", None),
    ],
)
def test_how_many_runs_a_row_judges(change: str, runs: int | None) -> None:
    found = findings("CT274", change)

    assert [f"judges about {runs} runs" in item.message for item in found] == ([] if runs is None else [True])


@pytest.mark.parametrize(
    ("key", "unit", "shared"),
    [
        ("[parcel_id]", "[customer]", True),
        ("[parcel_id, depot]", "[customer]", True),
        ("[customer]", "[customer]", False),
        ("[household]", "[customer]", False),
        ("[parcel_id]", "[parcel_id]", False),
        ("[parcel_id]", "null", False),
    ],
)
def test_entities_on_both_sides(key: str, unit: str, shared: bool) -> None:
    change = f"retraining: {{holdout: {{time: null, hash: {{key: {key}, share: 10%}}}}}}\nevaluation: {{unit: {unit}}}"

    assert bool(findings("CT275", change)) is shared


@pytest.mark.parametrize(
    ("holdout", "paths"),
    [
        ("source: gold", ["retraining.holdout.source"]),
        ("source: parcels", ["retraining.holdout.source"]),
        ("source: arrivals", []),
        ("column: {name: note, value: x}", ["retraining.holdout.column.name"]),
        ("column: {name: late, value: 1}", ["retraining.holdout.column.name"]),
        ("column: {name: split, value: test}", []),
    ],
)
def test_holdouts_that_can_be_set_aside(holdout: str, paths: list[str]) -> None:
    change = f"retraining: {{holdout: {{time: null, {holdout}}}}}\ncolumns: {{drop: [note]}}"

    assert [item.path for item in findings("CT277", change)] == paths
    assert [item.path for item in findings("CT277", change, "retraining: {gap: 1d}")] == [*paths, "retraining.gap"]


@pytest.mark.parametrize(
    ("every", "horizon", "season", "paths"),
    [
        ("1d", "14d", "7d", []),
        ("0d", "14d", "7d", ["every"]),
        ("7d", "1d", "28d", ["horizon"]),
        ("1d", "0d", "7d", ["horizon"]),
        ("7d", "28d", "365d", ["season"]),
        ("2d", "14d", "1d", ["season"]),
        ("4d", "14d", "30d", ["horizon", "season"]),
        ("15m", "1d", "7d", []),
    ],
)
def test_steps_of_a_forecast(every: str, horizon: str, season: str, paths: list[str]) -> None:
    task = f"task: {{forecast: {{series: [store], every: {every}, horizon: {horizon}, season: {season}}}}}"

    assert [item.path for item in findings("CT279", FORECAST, task)] == [f"task.forecast.{key}" for key in paths]


PERFORMANCE = SERVED + "triggers: {slipping: {performance: {metric: auc, min: 0.6, window: %s}%s}}"


@pytest.mark.parametrize(
    ("change", "runs"),
    [
        (DAILY, 7),
        ("{}", None),
        (DAILY + "\nlabel: {known_after: 3d}", None),
        (DAILY + "\nlabel: {known_after: 4d}", 4),
        (DAILY + "\ntrigger_policy: {cooldown: 3d}", None),
        (DAILY + "\npromotion: {prefer: champion}", None),
    ],
)
def test_how_long_champions_live(change: str, runs: int | None) -> None:
    found = findings("CT430", PERFORMANCE % ("30d", ""), change)

    assert [f"after {runs} runs in a row" in item.message for item in found] == ([] if runs is None else [True])


@pytest.mark.parametrize(
    ("window", "sustained", "holdout", "early"),
    [
        # known_after 7d: the newest row learnt is 7d + holdout old, drift is seen after window + sustained.
        ("7d", "1d", "14d", True),
        ("20d", "1d", "14d", True),
        ("20d", "2d", "14d", False),
        ("30d", "1d", "14d", False),
        ("7d", "1h", "1d", True),
        ("8d", "1h", "1d", False),
    ],
)
def test_what_a_retrain_after_drift_could_learn(window: str, sustained: str, holdout: str, early: bool) -> None:
    drift = f"drift: {{columns: [weight], method: psi, max: 0.2, window: {window}}}, sustained: {sustained}"
    change = f"retraining: {{holdout: {{time: {holdout}}}}}\ntriggers: {{moved: {{{drift}}}}}"

    assert bool(findings("CT431", change)) is early
    assert findings("CT431", change, "triggers: {moved: {then: alert}}") == []
    assert findings("CT431", change, "triggers: {moved: {wait_for: {mature_rows_after_change: 10}}}") == []
    assert findings("CT431", change, "triggers: {moved: {enabled: false}}") == []


@pytest.mark.parametrize(("window", "early"), [("7d", True), ("14d", True), ("15d", False)])
def test_what_a_retrain_after_a_poor_metric_could_learn(window: str, early: bool) -> None:
    """Its labels are as late as those that are learnt, so only the holdout lies between."""
    assert bool(findings("CT431", PERFORMANCE % (window, ""))) is early


@pytest.mark.parametrize(("settle", "quiet"), [("23h", True), ("1d", False), ("2d", False)])
def test_forecasts_settle_within_a_step(settle: str, quiet: bool) -> None:
    task = "task: {forecast: {series: [store], every: 1d, horizon: 14d}}"
    trigger = f"triggers: {{enough: {{new_data: {{min_rows: 10, settle: {settle}}}}}}}"

    assert bool(findings("CT434", FORECAST, task, trigger)) is not quiet
    assert findings("CT434", trigger) == []
