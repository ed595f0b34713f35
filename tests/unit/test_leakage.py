"""The ROC AUC of one feature alone, against scikit-learn's."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from step_tables import INSTANT, at, data, services, source, store, task

from ctc.policy.data_checks import Answer
from ctc.steps import engine, leakage

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

TYPES = {
    "row_id": pa.string(),
    "event_time": INSTANT,
    "y": pa.int64(),
    "x": pa.float64(),
    "n": pa.int32(),
    "d": pa.date32(),
    "b": pa.bool_(),
    "s": pa.string(),
    "l": pa.list_(pa.int64()),
}


def judge(folder: Path, rows: list[dict[str, Any]], max_auc: float = 0.98, types: Any = TYPES, **more: Any) -> Answer:
    """The check on `rows` as the training part of a snapshot; the other parts have none."""
    label = more.pop("label", {})
    kind = more.pop("kind", "binary")
    for name in ("train", "valid", "holdout"):
        store(folder / name / "data.parquet", types, rows if name == "train" else [])
    described = data({"main": source("rows", "none", event_time="at", key=["id"])}, label=label or {}, task=kind)
    if label is None:
        described["label"] = None
    check = {"name": "c", "kind": "leakage", "source": None, "on_fail": "stop"}
    inputs = {name: folder / name for name in ("train", "valid", "holdout")}
    step = task("validate", folder, at(48), inputs, data=described)
    with engine.opened() as connection:
        return leakage.judge(connection, step, services(folder), {**check, "arguments": {"max_auc": max_auc, **more}})


def table(seed: int, count: int = 400) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        y = int(draw.random() < 0.3)
        x = round(draw.gauss(0.5 * y, 1), 1)
        missing = draw.random()
        rows.append(
            {
                "row_id": str(index),
                "event_time": at(index / 100),
                "y": y,
                "x": None if missing < 0.1 else float("nan") if missing < 0.15 + 0.2 * y else x,
                "n": draw.randrange(5) - y,
                "d": dt.date(2024, 1, 1) + dt.timedelta(days=draw.randrange(9) + y),
                "b": draw.random() < 0.4 + 0.2 * y,
                "s": draw.choice("abc"),
            }
        )
    return rows


def area(rows: list[dict[str, Any]], name: str, fill: float) -> float:
    def number(value: Any) -> float:
        if isinstance(value, dt.date):
            return float(value.toordinal())
        return fill if value is None or value != value else float(value)

    return float(roc_auc_score([row["y"] for row in rows], [number(row[name]) for row in rows]))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["x", "n", "d", "b"])
def test_the_area_is_scikit_learns_in_the_better_direction(tmp_path: Path, name: str, seed: int) -> None:
    rows = table(seed)

    found = judge(tmp_path, rows, columns=[name]).numbers

    both = [area(rows, name, fill) for fill in (-1e9, 1e9)]
    assert found["highest"] == pytest.approx(max(*both, *(1 - value for value in both)), abs=1e-12)
    assert (found["feature"], found["rows"]) == (name, len(rows))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=30))
def test_turning_a_feature_round_changes_nothing(tmp_path: Path, pairs: list[tuple[int, int]]) -> None:
    rows = [{"row_id": str(i), "event_time": at(0), "y": y, "n": n} for i, (y, n) in enumerate(pairs)]
    turned = [{**row, "n": -row["n"]} for row in rows]

    answers = [judge(tmp_path, given, columns=["n"]) for given in (rows, turned)]

    assert answers[0].answer == answers[1].answer
    if len({y for y, _ in pairs}) == 2:
        assert answers[0].numbers["highest"] == pytest.approx(answers[1].numbers["highest"], abs=1e-12)
        assert 0.5 <= answers[0].numbers["highest"] <= 1
    else:
        assert answers[0].answer == "not_evaluable"


def test_a_value_that_is_there_for_one_class_only_leaks_by_being_there(tmp_path: Path) -> None:
    rows = [{"row_id": str(i), "event_time": at(0), "y": i % 2, "x": 1.0 if i % 2 else None} for i in range(50)]

    found = judge(tmp_path, rows, columns=["x"])

    assert (found.answer, found.numbers["highest"]) == ("fail", 1.0)


def test_a_text_that_tells_the_label_is_found_and_named(tmp_path: Path) -> None:
    rows = [{**row, "s": "late" if row["y"] else "early"} for row in table(1)]

    found = judge(tmp_path, rows)

    assert (found.answer, found.numbers["feature"]) == ("fail", "s")
    assert found.reason.startswith("`s` alone tells the label with ROC AUC 1.0")
    assert found.numbers["not_judged"] == {"l": "array<int64>"}


@pytest.mark.parametrize("each", [1, 2, 5])
def test_a_key_of_many_values_tells_nothing(tmp_path: Path, each: int) -> None:
    rows = [{**row, "s": f"k{index // each}"} for index, row in enumerate(table(2, 1500))]

    assert judge(tmp_path, rows, columns=["s"]).numbers["highest"] < 0.56


def digest(key: str) -> int:
    """The engine's hash."""
    [[value]] = duckdb.execute("SELECT hash(?)", [key]).fetchall()
    return int(value)


def told_by_others(rows: list[dict[str, Any]]) -> float:
    """Each text's share of positive labels in the four other folds, compared within the fold, pair by pair."""
    fold = [digest(row["row_id"]) % 5 for row in rows]
    overall = sum(row["y"] for row in rows) / len(rows)
    shares = []
    for own, row in zip(fold, rows, strict=True):
        others = [o["y"] for f, o in zip(fold, rows, strict=True) if f != own and o["s"] == row["s"]]
        shares.append((sum(others) + overall) / (len(others) + 1))
    wins, pairs = 0.0, 0
    for (own, one, share), (other, another, below) in itertools.permutations(zip(fold, rows, shares, strict=True), 2):
        if own == other and one["y"] > another["y"]:
            wins, pairs = wins + (share > below) + 0.5 * (share == below), pairs + 1
    return wins / pairs


@pytest.mark.parametrize("seed", range(3))
def test_a_text_ranks_by_what_it_tells_in_the_other_folds(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    rows = [{**row, "s": None if draw.random() < 0.2 else draw.choice("abc")[: 1 - row["y"]]} for row in table(seed)]

    expected = told_by_others(rows)

    assert judge(tmp_path, rows, columns=["s"]).numbers["highest"] == pytest.approx(
        max(expected, 1 - expected), abs=1e-12
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.int64(), [2**60, 2**60 + 1, 2**60 + 2, None]),
        (pa.uint64(), [2**63 + 1, 2**63 + 2, 2**63 + 3, None]),
        (pa.decimal128(30, 2), [Decimal("12345678901234567890.01"), Decimal("12345678901234567890.02"), None]),
        (pa.float32(), [0.5, 1.0, float("nan"), None]),
    ],
    ids=str,
)
def test_numbers_rank_as_they_are_written(tmp_path: Path, kind: pa.DataType, values: list[Any]) -> None:
    """Neither a large number nor a missing one beside it makes two values one."""
    draw = random.Random(1)
    places = [draw.randrange(len(values)) for _ in range(300)]
    labels = [int(draw.random() < 0.2 + place / 10) for place in places]
    rows = [
        {"row_id": str(i), "event_time": at(0), "y": y, "n": values[place]}
        for i, (y, place) in enumerate(zip(labels, places, strict=True))
    ]
    there = [place if values[place] is not None and values[place] == values[place] else None for place in places]

    found = judge(tmp_path, rows, columns=["n"], types={**TYPES, "n": kind}).numbers["highest"]

    areas = [roc_auc_score(labels, [fill if place is None else place for place in there]) for fill in (-1, 9)]
    assert found == pytest.approx(max(*areas, *(1 - value for value in areas)), abs=1e-12)


def test_rows_are_drawn_by_the_digest_of_their_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(3, 3000)
    sizes = [sum(row["y"] == side for row in rows) for side in (0, 1)]
    monkeypatch.setattr(leakage, "MOST_ROWS", 500)
    drawn = [row for row in rows if digest(row["row_id"]) >> 11 < 2**53 * 500 // sizes[row["y"]]]

    found = judge(tmp_path, rows, columns=["n"]).numbers

    expected = area(drawn, "n", 0)
    assert found["rows"] == len(drawn)
    assert found["highest"] == pytest.approx(max(expected, 1 - expected), abs=1e-12)


def test_each_class_is_ranked_against_its_own_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{**row, "y": min(row["n"] % 4, 2), "n": index % 7} for index, row in enumerate(table(4, 2000))]
    monkeypatch.setattr(leakage, "MOST_ROWS", 300)

    found = judge(tmp_path, rows, columns=["n"], kind="multiclass").numbers

    best, most = 0.5, 0
    for label in range(3):
        sizes = {side: sum((row["y"] == label) == side for row in rows) for side in (True, False)}
        drawn = [
            {**row, "y": int(row["y"] == label)}
            for row in rows
            if digest(row["row_id"]) >> 11 < 2**53 * 300 // sizes[row["y"] == label]
        ]
        expected = area(drawn, "n", 0)
        best, most = max(best, expected, 1 - expected), max(most, len(drawn))
    assert found["rows"] == most
    assert found["highest"] == pytest.approx(best, abs=1e-12)


def test_the_rows_of_a_frequent_class_are_thinned_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(3, 6000)
    whole = judge(tmp_path, rows, columns=["n"]).numbers
    monkeypatch.setattr(leakage, "MOST_ROWS", 1000)

    thin = judge(tmp_path, rows, columns=["n"])

    assert whole["rows"] == 6000
    assert 1800 < thin.numbers["rows"] < 2200
    assert thin.numbers["highest"] == pytest.approx(whole["highest"], abs=0.04)
    assert thin == judge(tmp_path, rows, columns=["n"])


def test_a_multiclass_label_is_told_class_by_class(tmp_path: Path) -> None:
    rows = [{**row, "y": index % 3, "n": int(index % 3 == 1)} for index, row in enumerate(table(4, 90))]

    assert judge(tmp_path, rows, columns=["n"], kind="multiclass").numbers["highest"] == 1.0


def test_a_number_is_told_above_its_median(tmp_path: Path) -> None:
    rows = [{**row, "y": index, "n": index // 2} for index, row in enumerate(table(5, 100))]

    assert judge(tmp_path, rows, columns=["n"], kind="regression").numbers["highest"] == 1.0


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([], {}, "all of one class"),
        ([{**row, "y": 1} for row in table(6, 20)], {}, "all of one class"),
        (table(6, 20), {"columns": ["l"]}, "`l` is array<int64>, which cannot be ranked"),
        (table(6, 20), {"label": None}, "no label"),
    ],
)
def test_what_cannot_be_judged_is_said(tmp_path: Path, rows: Any, more: dict[str, Any], said: str) -> None:
    found = judge(tmp_path, rows, **more)

    assert found.answer == "not_evaluable"
    assert said in found.reason


def test_a_column_without_any_value_tells_nothing(tmp_path: Path) -> None:
    rows = [{**row, "x": None, "s": None} for row in table(7, 50)]

    assert judge(tmp_path, rows, columns=["x", "s"]).numbers["features"] == {"s": 0.5, "x": 0.5}
