"""What the watching triggers gather: windows as they were known, baselines, live metrics, rows since a change."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import mean_absolute_error, ndcg_score, roc_auc_score
from step_tables import DAY, HOUR, INSTANT, at, data, services, source, store

from ctc.policy.evidence import LiveAnswer, Moment, NotEvaluable
from ctc.policy.live import LiveQuestion, live_questions
from ctc.policy.profile import Profile, of_numbers
from ctc.policy.state import State, Version
from ctc.steps import baselines, live
from ctc.steps.ports import Services

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

MAIN = {"id": pa.int64(), "at": INSTANT, "seen": INSTANT, "x": pa.float64(), "s": pa.string()}
LABELS = {"id": pa.int64(), "known": INSTANT, "y": pa.int64()}
SERVED = {"rid": pa.int64(), "when": INSTANT, "p": pa.float64(), "version": pa.string()}
CHAMPION = Version("7", "a1", "s3://bucket/m", "i", ("p",), "", at(0))
NAMES = {"key": "rid", "score": "p", "model_version": "version", "event_time": "when"}


def trigger(kind: str, **more: Any) -> dict[str, Any]:
    common = {"name": "it", "kind": kind, "every": HOUR, "known_after": 4 * HOUR, "sustained": None, "wait_for": None}
    own: dict[str, Any] = {
        "drift": {
            "source": "main",
            "columns": ["x"],
            "method": "ks",
            "max": 0.35,
            "false_alarms": None,
            "window": 10 * HOUR,
            "baseline": "champion",
            "require": "any",
            "min_rows": 5,
        },
        "performance": {
            "metric": {"name": "auc", "kind": "roc_auc", "arguments": {}, "better": "higher"},
            "min": None,
            "max": None,
            "drop": None,
            "window": 20 * HOUR,
            "min_rows": 4,
        },
    }[kind]
    return {**common, **own, **more}


def section(folder: Path, rows: list[dict[str, Any]], served: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Rows of which each has its label two hours after it happened, in a source of its own."""
    main = [{"seen": row["at"], "s": "a", "x": 0.0, **row} for row in rows]
    labels = [
        {"id": row["id"], "known": row.get("labelled", row["at"] + dt.timedelta(hours=2)), "y": row.get("y", 0)}
        for row in rows
    ]
    sources = {
        "main": source(
            "rows",
            store(folder / "main.parquet", MAIN, [{name: row[name] for name in MAIN} for row in main]),
            event_time="at",
            known_at="seen",
            key=["id"],
        ),
        "labels": source("labels", store(folder / "labels.parquet", LABELS, labels), known_at="known", join=["id"]),
    }
    if served is not None:
        file = store(folder / "served.parquet", SERVED, served)
        sources["served"] = source("predictions", file, event_time="when", key=["rid"], columns=NAMES)
    return data(sources)


def answer(
    described: dict[str, Any],
    kept: Services,
    given: dict[str, Any],
    now: dt.datetime,
    state: State = State(champion=CHAMPION),  # noqa: B008
) -> LiveAnswer | NotEvaluable:
    asked = live_questions(state, [given], now)
    return live.gather(described, kept.objects, state, asked, now)["it"]


def moment(found: LiveAnswer | NotEvaluable) -> Moment:
    assert isinstance(found, LiveAnswer), found
    return found.moments[0]


def drifting(since: float) -> list[dict[str, Any]]:
    """A row an hour for 60 hours; from `since` on its x is 10 higher."""
    return [{"id": n, "at": at(n), "x": n % 10 + (10.0 if n >= since else 0.0)} for n in range(60)]


@pytest.fixture
def kept(tmp_path: Path) -> Services:
    made = services(tmp_path)
    profile = Profile({"x": of_numbers([n % 10 for n in range(100)])}, {"t": "time"})
    made.objects.put(baselines.training_key("a1"), profile.to_json())
    answered = Profile({baselines.PREDICTION: of_numbers(np.linspace(0, 1, 50))})
    made.objects.put(baselines.predictions_key("a1"), answered.to_json())
    return made


def test_drift_is_judged_on_the_window_as_it_was_known(tmp_path: Path, kept: Services) -> None:
    rows = drifting(since=40)
    rows[45]["seen"] = at(80)
    found = moment(answer(section(tmp_path, rows), kept, trigger("drift"), at(50)))
    assert found.over is True
    assert found.numbers["columns"]["x"]["rows"] == 9
    assert found.numbers["columns"]["x"]["rows_baseline"] == 100
    assert found.numbers["columns"]["x"]["value"] == pytest.approx(1.0)
    assert moment(answer(section(tmp_path, rows), kept, trigger("drift"), at(40))).over is False


def test_sustained_looks_at_every_instant_of_the_span(tmp_path: Path, kept: Services) -> None:
    described = section(tmp_path, drifting(since=40))
    given = trigger("drift", sustained=3 * HOUR)
    short = answer(described, kept, given, at(46))
    assert isinstance(short, LiveAnswer)
    assert [found.over for found in short.moments] == [True, True, True, False]
    long = answer(described, kept, given, at(48))
    assert isinstance(long, LiveAnswer)
    assert [found.over for found in long.moments] == [True] * 4
    assert long.change == at(45)
    assert answer(described, kept, given, at(48)) == long


def test_rows_are_counted_since_the_change(tmp_path: Path, kept: Services) -> None:
    described = section(tmp_path, drifting(since=40))
    found = answer(described, kept, trigger("drift", wait_for=3, sustained=HOUR), at(55))
    assert isinstance(found, LiveAnswer)
    # Four of the ten rows of its window are of after the change, which is over the line.
    assert found.change == at(44)
    # Labels are known by event time + 4 h: the rows of 44 to 50.
    assert found.mature == 7


@pytest.mark.parametrize(
    ("rows", "expected"), [(range(5, 10), False), (range(20, 30), True)], ids=["same season", "another level"]
)
def test_a_season_is_the_same_window_a_year_before(tmp_path: Path, kept: Services, rows: range, expected: bool) -> None:
    year = dt.timedelta(days=365)
    before = [{"id": 1000 + n, "at": at(n) - year, "x": float(5 + n % 5)} for n in range(40, 50)]
    now = [{"id": n, "at": at(n), "x": float(rows[n % len(rows)])} for n in range(40, 50)]
    described = section(tmp_path, before + now)
    assert moment(answer(described, kept, trigger("drift", baseline="season"), at(50))).over is expected


def test_the_score_is_judged_against_what_the_champion_answered_on_its_holdout(tmp_path: Path, kept: Services) -> None:
    served = [{"rid": n, "when": at(n), "p": 0.9 + n / 1000, "version": "7"} for n in range(50)]
    described = section(tmp_path, drifting(100), served)
    given = trigger("drift", source="served", columns=["p"])
    found = moment(answer(described, kept, given, at(50)))
    assert found.over is True
    assert found.numbers["columns"]["p"]["rows_baseline"] == 50


def test_a_line_from_false_alarms_stands_among_the_numbers(tmp_path: Path, kept: Services) -> None:
    given = trigger("drift", max=None, false_alarms={"max": 1, "per": 90 * DAY}, sustained=2 * HOUR)
    found = answer(section(tmp_path, drifting(since=30)), kept, given, at(50))
    assert moment(found).over is True
    assert 0.3 < moment(found).numbers["columns"]["x"]["line"] < 1


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ({}, State(), "there is no champion yet"),
        ({"baseline": "fixed"}, State(champion=CHAMPION), "there is no champion yet"),
        ({}, State(champion=Version("8", "a8", "u", "i", (), "", at(0))), "attempt a8 has left no profile"),
        ({"columns": ["z"]}, State(champion=CHAMPION), "source main has no column `z`"),
    ],
)
def test_drift_without_a_baseline_or_a_column_is_not_evaluable(
    tmp_path: Path, kept: Services, change: dict[str, Any], state: State, reason: str
) -> None:
    found = answer(section(tmp_path, drifting(40)), kept, trigger("drift", **change), at(50), state)
    assert isinstance(found, NotEvaluable)
    assert reason in found.reason


def test_a_column_that_the_model_did_not_see_is_taken_from_the_training_window(tmp_path: Path, kept: Services) -> None:
    rows = [{**row, "s": "a" if row["id"] < 40 else "b"} for row in drifting(100)]
    described, given = section(tmp_path, rows), trigger("drift", columns=["x", "s"], method="psi", require="all")
    found = answer(described, kept, given, at(55))
    assert isinstance(found, NotEvaluable)
    assert "the record of attempt a1 has no training window, in which to look at `s`" in found.reason
    windows = {"train_start": "2024-01-01T10:00:00Z", "train_end": "2024-01-02T00:00:00Z"}
    kept.objects.put("records/a1.json", {"id": "a1", "instant": "2024-01-01T22:00:00Z", "windows": windows})
    columns = moment(answer(described, kept, given, at(55))).numbers["columns"]
    assert (columns["s"]["rows_baseline"], columns["x"]["rows_baseline"]) == (13, 100)
    assert (columns["s"]["over"], columns["x"]["over"]) == (True, False)


def test_too_few_rows_are_not_evaluable(tmp_path: Path, kept: Services) -> None:
    found = moment(answer(section(tmp_path, drifting(40)), kept, trigger("drift", min_rows=11), at(50)))
    assert (found.over, found.reason) == (None, "`x`: 10 rows in the window; at least 11 are asked for")


def answers() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows with labels, and what was served to them: by this champion, twice to some, and by another."""
    draw = np.random.default_rng(4)
    rows = [{"id": n, "at": at(n), "y": int(draw.random() < 0.5)} for n in range(60)]
    served = [{"rid": n, "when": at(n), "p": float(draw.random()), "version": "7"} for n in range(60)]
    served += [{"rid": n, "when": at(n + 1), "p": 1.0 - n / 60, "version": "7"} for n in range(60)]
    served += [{"rid": n, "when": at(n), "p": 1.0, "version": "6"} for n in range(60)]
    return rows, served


def test_a_live_metric_is_of_this_champions_first_answers_with_mature_labels(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    rows[30]["labelled"] = at(35)  # after its age of four hours: no label by then
    served[31]["p"] = None
    served[91]["when"] = at(70)  # not yet served
    found = moment(answer(section(tmp_path, rows, served), kept, trigger("performance", min=0.99), at(50)))
    used = [n for n in range(26, 46) if n not in (30, 31)]
    expected = roc_auc_score([rows[n]["y"] for n in used], [served[n]["p"] for n in used])
    assert found.numbers["value"] == pytest.approx(expected, rel=1e-12)
    assert found.numbers["rows"] == 18
    assert found.over is True


def test_a_ranking_is_judged_in_its_groups(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    rows = [{**row, "s": "abcd"[n % 4]} for n, row in enumerate(rows)]
    described = section(tmp_path, rows, served) | {"task": "ranking", "ranking": {"group": "s"}}
    metric = {"name": "top", "kind": "ndcg", "arguments": {"k": 3}, "better": "higher"}
    found = moment(answer(described, kept, trigger("performance", metric=metric, min=0.99), at(50)))
    expected = []
    for group in "abcd":
        used = [n for n in range(26, 46) if rows[n]["s"] == group]
        labels, scores = [rows[n]["y"] for n in used], [served[n]["p"] for n in used]
        if any(labels):
            expected.append(ndcg_score([labels], [scores], k=3))
    assert found.numbers["value"] == pytest.approx(np.mean(expected), rel=1e-12)


def test_a_forecast_is_judged_by_its_first_answers(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    metric = {"name": "error", "kind": "mae", "arguments": {}, "better": "lower"}
    described = section(tmp_path, rows, served) | {"task": "forecast"}
    found = moment(answer(described, kept, trigger("performance", metric=metric, max=0.1), at(50)))
    used = range(26, 46)
    expected = mean_absolute_error([rows[n]["y"] for n in used], [served[n]["p"] for n in used])
    assert found.numbers["value"] == pytest.approx(expected, rel=1e-12)
    assert found.over is True


def test_several_classes_are_not_judged_by_one_score(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    described = section(tmp_path, rows, served) | {"task": "multiclass"}
    found = answer(described, kept, trigger("performance", min=0.9), at(50))
    assert isinstance(found, NotEvaluable)
    assert "a score for each class" in found.reason


def test_a_drop_is_measured_from_the_promotion(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    described, given = section(tmp_path, rows, served), trigger("performance", drop=0.1)
    found = answer(described, kept, given, at(50))
    assert isinstance(found, NotEvaluable)
    assert "the record of attempt a1 has no auc of champion 7" in found.reason
    record = {"id": "a1", "evaluation": {"metrics": {"auc": {"contender": {"value": 0.95}}}}}
    kept.objects.put("records/a1.json", record)
    dropped = moment(answer(described, kept, given, at(50)))
    assert dropped.over is True
    assert dropped.numbers["worse"] == pytest.approx(0.95 - dropped.numbers["value"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_rows": 21}, "20 labelled answers of champion 7; 21 are asked for"),
        ({"window": HOUR, "min_rows": 1}, "class"),
    ],
)
def test_a_live_metric_that_has_no_value_is_not_evaluable(
    tmp_path: Path, kept: Services, change: dict[str, Any], reason: str
) -> None:
    rows, served = answers()
    given = trigger("performance", min=0.5, **change)
    found = moment(answer(section(tmp_path, rows, served), kept, given, at(50)))
    assert found.over is None
    assert reason in found.reason


def test_a_live_metric_that_is_infinite_is_not_evaluable(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    served[40]["p"] = float("inf")
    metric = {"name": "error", "kind": "mae", "arguments": {}, "better": "lower"}
    found = moment(answer(section(tmp_path, rows, served), kept, trigger("performance", metric=metric, max=1), at(50)))
    assert found.over is None
    assert "finite" in found.reason


def test_without_a_champion_or_served_rows_nothing_is_measured(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    given = trigger("performance", min=0.5)
    nobody = answer(section(tmp_path, rows, served), kept, given, at(50), State())
    assert nobody == NotEvaluable("there is no champion yet, so nothing has been served")
    unserved = answer(section(tmp_path, rows), kept, given, at(50))
    assert isinstance(unserved, NotEvaluable)
    assert "no source with `role: predictions`" in unserved.reason


def test_questions_share_one_engine(tmp_path: Path, kept: Services) -> None:
    rows, served = answers()
    described = section(tmp_path, [{**row, "x": float(row["id"] % 10)} for row in rows], served)
    triggers = [trigger("drift"), trigger("performance", min=0.01, name="live"), trigger("drift", name="two", max=0.01)]
    asked = live_questions(State(champion=CHAMPION), triggers, at(50))
    assert all(isinstance(question, LiveQuestion) for question in asked)
    found = live.gather(described, kept.objects, State(champion=CHAMPION), asked, at(50))
    assert {name: moment(given).over for name, given in found.items()} == {"it": False, "live": False, "two": False}
