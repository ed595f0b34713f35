"""What each task asks of labels, and what an attempt records of its data; forecasts against plain Python."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from step_tables import HOUR, INSTANT, at, columns, data, load, services, source, store, task, windows

from ctc.steps import snapshot
from ctc.steps.task import Result, StepFailed

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(48)
PHASES = (Phase.explicit, Phase.generate)
Row = dict[str, Any]
MAIN = {"id": pa.int64(), "at": INSTANT, "group": pa.string()}


def taken(folder: Path, labels: Sequence[Any], kind: pa.DataType, **more: Any) -> Result:
    """The step on one row for each label, a quarter of an hour apart, the last just before T."""
    rows = [
        {"id": index, "at": at(43.75 - index / 4), "group": f"q{index // 4}", "y": label}
        for index, label in enumerate(labels)
    ]
    main = source("rows", store(folder / "main.parquet", {**MAIN, "y": kind}, rows), event_time="at", key=["id"])
    asked = {"source": "main", **more.pop("label", {})}
    policy = data({"main": main}, label=asked, **more)
    return snapshot.run(task("snapshot", folder, NOW, data=policy, windows=windows()), services(folder))


@pytest.mark.parametrize(
    ("kind", "labels"), [(pa.string(), ["cat", "dog", "owl"]), (pa.int32(), [7, 1, 300]), (pa.large_string(), ["a"])]
)
def test_classes_are_counted(tmp_path: Path, kind: pa.DataType, labels: list[Any]) -> None:
    drawn = [None if index % 11 == 0 else labels[index * index % len(labels)] for index in range(80)]

    found = taken(tmp_path, drawn, kind, task="multiclass").numbers["data"]

    counted = Counter(str(label) for label in drawn if label is not None)
    assert found["classes"] == dict(counted)
    assert (found["class_count"], found["absent_labels"]) == (len(counted), 8)
    assert "label_mean" not in found
    assert {row["y"] for row in load(tmp_path / "out" / "holdout")} <= set(labels)


def test_many_classes_are_only_numbered(tmp_path: Path) -> None:
    found = taken(tmp_path, list(range(101)), pa.int64(), task="multiclass").numbers["data"]

    assert (found["class_count"], found["classes"]) == (101, None)


@pytest.mark.parametrize(
    ("asked", "kind", "labels", "said"),
    [
        ("multiclass", pa.float64(), [1.0, 2.0], "label `y` is float64; a multiclass task needs texts or whole"),
        ("ranking", pa.int64(), [0, 1, -1], "label `y` is something else in 1 rows; a ranking needs .* 0 or more"),
        ("ranking", pa.float64(), [0.0, float("inf")], "something else in 1 rows"),
        ("ranking", pa.string(), ["a"], "label `y` is string; a ranking"),
        ("regression", pa.float64(), [0.0, float("-inf")], "something else in 1 rows; a regression"),
    ],
)
def test_labels_that_are_none_of_the_task(
    tmp_path: Path, asked: str, kind: pa.DataType, labels: list[Any], said: str
) -> None:
    ranking = {"group": "group"} if asked == "ranking" else None
    with pytest.raises(StepFailed, match=said):
        taken(tmp_path, labels, kind, task=asked, ranking=ranking)


def test_a_ranking_keeps_its_groups_where_predict_sees_them(tmp_path: Path) -> None:
    found = taken(
        tmp_path,
        [0, 1, None, 3] * 20,
        pa.int64(),
        task="ranking",
        ranking={"group": "group"},
        label={"absent": "negative"},
    ).numbers["data"]

    assert (found["groups"], found["label_mean"]) == (20, 1.0)
    assert "group" in columns(tmp_path / "out" / "rows")
    assert {row["y"] for row in load(tmp_path / "out" / "train")} == {0, 1, 3}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"audit": ["group"]}, "`group` is the ranking's group.*`columns.audit`"),
        ({"ranking": {"group": "query"}}, "`task.ranking.group`: the joined snapshot has no column `query`"),
    ],
)
def test_a_ranking_without_its_group_is_refused(tmp_path: Path, more: Row, said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        taken(tmp_path, [0, 1], pa.int64(), **{"task": "ranking", "ranking": {"group": "group"}} | more)


def test_a_column_that_evaluation_needs_is_missed_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(
        StepFailed, match=r"`evaluation.slices`: the joined snapshot has no column `groop`; did you mean"
    ):
        taken(tmp_path, [0, 1], pa.int64(), judged_by=["id", "groop"])


def test_without_labels_every_row_counts(tmp_path: Path) -> None:
    rows = [{"id": index, "at": at(47 - index / 2), "group": None} for index in range(40)]
    main = source("rows", store(tmp_path / "main.parquet", MAIN, rows), event_time="at", key=["id"])
    policy = {**data({"main": main}), "label": None}
    section = windows(known_after=0.0, min_rows=30)

    result = snapshot.run(task("snapshot", tmp_path, NOW, data=policy, windows=section), services(tmp_path))

    assert result.reason == "21 rows to learn from; at least 30 are needed"
    assert result.numbers["data"]["rows"] == {"train": 16, "valid": 5, "holdout": 19}
    assert not {"positives", "label_rate", "label_mean"} & result.numbers["data"].keys()
    assert columns(tmp_path / "out" / "train") == columns(tmp_path / "out" / "rows")


SALES = {"shop": pa.string(), "day": INSTANT, "seen": INSTANT, "open": pa.bool_(), "y": pa.float64()}
PRICES = {"shop": pa.string(), "known": INSTANT, "price": pa.int64()}
HORIZON, AGE = dt.timedelta(hours=6), dt.timedelta(hours=2)
"""A value each hour, forecast six hours ahead, known two hours later."""


def forecast(folder: Path, rows: Sequence[Row], prices: Sequence[Row], section: Row) -> Result:
    sources = {
        "main": source(
            "rows", store(folder / "s.parquet", SALES, rows), event_time="day", known_at="seen", key=["shop", "day"]
        ),
        "prices": source("features", store(folder / "p.parquet", PRICES, prices), known_at="known", join=["shop"]),
    }
    policy = data(
        sources,
        task="forecast",
        forecast={"series": ["shop"], "every": HOUR, "horizon": 6 * HOUR, "season": None},
        label={"source": "main", "known_after": 2 * HOUR},
    )
    asked = task("snapshot", folder, NOW, data=policy, windows=section)
    asked = replace(asked, outputs={**asked.outputs, "history": folder / "out" / "history"})
    return snapshot.run(asked, services(folder))


@st.composite
def seasons(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    rows = [
        {
            "shop": shop,
            "day": at(hour),
            "seen": at(hour) + dt.timedelta(hours=draw(st.sampled_from([0, 0, 0, 1, 2, 9]))),
            "open": True,
            "y": draw(st.sampled_from([None, 1.0, 2.0])),
        }
        for shop in "ab"
        for hour in range(10, 47)
        if draw(st.integers(0, 5))
    ]
    prices = [{"shop": shop, "known": at(0), "price": 0} for shop in "ab"]
    later = st.tuples(st.sampled_from("ab"), st.integers(1, 47).map(at), st.integers(1, 3))
    prices += [
        {"shop": shop, "known": known, "price": price} for shop, known, price in draw(st.lists(later, max_size=15))
    ]
    return rows, prices


def origin_of(event: dt.datetime, anchor: dt.datetime) -> dt.datetime:
    return anchor + (event - anchor) // HORIZON * HORIZON


@pytest.mark.parametrize("kind", ["time", "hash"])
@settings(max_examples=10, deadline=None, derandomize=True, database=None, phases=PHASES)
@given(world=seasons(), gap=st.sampled_from([0.0, 3 * HOUR]))
def test_a_forecast_knows_what_was_known_at_its_origin(
    tmp_path_factory: pytest.TempPathFactory, kind: str, world: tuple[list[Row], list[Row]], gap: float
) -> None:
    rows, prices = world
    folder = tmp_path_factory.mktemp("forecast")
    section = windows(known_after=2 * HOUR, gap=gap, validation_share=0.0)
    if kind == "hash":
        described = {"key": ["shop"], "share": 0.5, "salt": "1"}
        section |= {"holdout": None, "holdout_kind": "hash", "hash": described, "gap": 0.0}
    end = NOW - AGE
    anchor = end - dt.timedelta(hours=10) if kind == "time" else end
    last = origin_of(end - dt.timedelta(microseconds=1), anchor)

    forecast(folder, rows, prices, section)

    out = {name: load(folder / "out" / name) for name in ("train", "rows", "holdout", "history")}
    for row in [*out["train"], *out["rows"]]:
        assert row["origin"] == origin_of(row["event_time"], anchor)
        assert row["horizon"] == (row["event_time"] - row["origin"]) // dt.timedelta(hours=1) + 1
        assert 1 <= row["horizon"] <= 6
        known = [item for item in prices if item["shop"] == row["shop"] and item["known"] <= row["origin"]]
        assert row["price"] == max((item["known"], item["price"]) for item in known)[1]
    assert set(columns(folder / "out" / "rows")) == {
        "row_id",
        "event_time",
        "shop",
        "day",
        "origin",
        "horizon",
        "price",
    }
    assert [row["row_id"] for row in out["rows"]] == [row["row_id"] for row in out["holdout"]]
    assert not {row["row_id"] for row in out["train"]} & {row["row_id"] for row in out["rows"]}

    begun = (anchor if kind == "time" else end) - dt.timedelta(seconds=section["gap"] + section["window"])
    wanted = {}
    for row in rows:
        known_from = max(row["seen"], row["day"] + AGE)
        first = anchor - (anchor - known_from) // HORIZON * HORIZON
        labelled = row["y"] is not None and row["seen"] <= row["day"] + AGE
        if labelled and begun <= row["day"] < end and first <= last:
            wanted[row["shop"], row["day"]] = (row["y"], first)
    assert {(row["shop"], row["day"]): (row["y"], row["origin"]) for row in out["history"]} == wanted
    assert "seen" not in columns(folder / "out" / "history")


def test_a_forecast_tells_of_its_series_and_origins(tmp_path: Path) -> None:
    rows = [
        {"shop": shop, "day": at(hour), "seen": at(hour), "open": True, "y": 1.0}
        for shop in "abc"
        for hour in range(20, 46)
    ]
    prices = [{"shop": shop, "known": at(0), "price": 0} for shop in "abc"]

    found = forecast(tmp_path, rows, prices, windows(known_after=2 * HOUR)).numbers["data"]

    assert (found["series"], found["origins"], found["label_mean"]) == (3, 2, 1.0)
    assert found["rows"]["holdout"] == 30


def test_a_forecast_has_names_of_its_own(tmp_path: Path) -> None:
    types = {"shop": pa.string(), "day": INSTANT, "horizon": pa.int64(), "y": pa.float64()}
    row = {"shop": "a", "day": at(20), "horizon": 1, "y": 1.0}
    main = source("rows", store(tmp_path / "s.parquet", types, [row]), event_time="day", key=["shop", "day"])
    policy = data(
        {"main": main},
        task="forecast",
        forecast={"series": ["shop"], "every": HOUR, "horizon": HOUR, "season": None},
        label={"source": "main"},
    )
    with pytest.raises(StepFailed, match="the name `horizon` is ctc's own"):
        snapshot.run(task("snapshot", tmp_path, NOW, data=policy, windows=windows()), services(tmp_path))
