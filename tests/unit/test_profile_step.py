"""Profiles as the engine computes them, against numpy and a plain count."""

from __future__ import annotations

import collections
import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_tables import INSTANT, at, services, store, task

from ctc.policy import profile as policy
from ctc.policy.profile import POINTS, VALUES, Categorical, Numeric, Profile, of_numbers
from ctc.steps import baselines, engine, profile
from ctc.steps.task import StepFailed

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

TYPES = {
    "f": pa.float64(),
    "i": pa.int64(),
    "d": pa.decimal128(8, 2),
    "b": pa.bool_(),
    "s": pa.string(),
    "t": INSTANT,
    "day": pa.date32(),
    "blob": pa.list_(pa.int64()),
}
DAY = dt.date(2024, 3, 1)


def made(folder: Path, rows: list[dict[str, Any]]) -> Profile:
    file = store(folder / "rows.parquet", TYPES, [{name: row.get(name) for name in TYPES} for row in rows])
    with engine.opened() as connection:
        return profile.of_table(connection, connection.read_parquet(file), TYPES)


def seconds(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, dt.datetime):
        return value.timestamp()
    if isinstance(value, dt.date):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC).timestamp()
    return float(value)


def close(own: float | None, expected: float | None) -> None:
    assert (own is None) == (expected is None)
    assert own is None or own == pytest.approx(expected, rel=1e-9, abs=1e-6)


ROW = st.fixed_dictionaries(
    {
        "f": st.one_of(st.none(), st.just(math.nan), st.floats(-1e9, 1e9), st.sampled_from([0.0, 1.5, math.inf])),
        "i": st.one_of(st.none(), st.integers(-5, 5)),
        "d": st.one_of(st.none(), st.decimals(-1000, 1000, places=2)),
        "b": st.one_of(st.none(), st.booleans()),
        "s": st.one_of(st.none(), st.sampled_from(["", "a", "b", "NaN"])),
        "t": st.one_of(st.none(), st.integers(0, 99).map(at)),
        "day": st.one_of(st.none(), st.integers(0, 40).map(lambda days: DAY + dt.timedelta(days=days))),
    }
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, max_size=30))
def test_the_engine_counts_as_numpy_does(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    found = made(tmp_path, rows)
    assert found.skipped == {"blob": "array<int64>"}
    for name in ("f", "i", "d", "t", "day"):
        column = found.columns[name]
        expected = of_numbers([seconds(row[name]) for row in rows])
        assert isinstance(column, Numeric)
        assert (column.rows, column.missing, column.exact) == (len(rows), expected.missing, True)
        assert column.values.tolist() == expected.values.tolist()
        assert column.upto.tolist() == expected.upto.tolist()
        close(column.mean, expected.mean)
        close(column.std, expected.std)
    for name in ("b", "s"):
        values = [str(row[name]).lower() if name == "b" else row[name] for row in rows if row[name] is not None]
        column = found.columns[name]
        assert isinstance(column, Categorical)
        assert column.counts == collections.Counter(values)
        assert (column.rows, column.missing, column.other) == (len(rows), len(rows) - len(values), 0)


def test_many_values_become_points_and_an_other(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    n = 30_000
    numbers, words = draw.normal(size=n), draw.integers(0, 3000, size=n)
    file = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": numbers, "s": [f"v{word}" for word in words]}), file)
    with engine.opened() as connection:
        found = profile.of_table(connection, connection.read_parquet(str(file)), ["x", "s"])
    column, expected = found.columns["x"], of_numbers(numbers)
    assert isinstance(column, Numeric)
    assert len(column.values) == POINTS
    assert not column.exact
    assert column.values.tolist() == expected.values.tolist()
    assert column.upto.tolist() == expected.upto.tolist()
    assert column.std == pytest.approx(numbers.std(ddof=1), rel=1e-12)
    kept = found.columns["s"]
    assert isinstance(kept, Categorical)
    counted = sorted(collections.Counter(f"v{word}" for word in words).items(), key=lambda item: (-item[1], item[0]))
    assert list(kept.counts.items()) == counted[:VALUES]
    assert kept.other == n - sum(count for _, count in counted[:VALUES])


def points(values: list[float], most: int) -> tuple[list[tuple[float, int]], bool]:
    """Value and rows at or below it: of every value, or of the last one that ends in each of `most` equal shares."""
    counted = collections.Counter(value for value in values if value == value)
    upto, ends = 0, []
    for value in sorted(counted):
        upto += counted[value]
        ends.append((value, upto))
    shares = {(count - 1) * most // upto: (value, count) for value, count in ends}
    return (ends, True) if len(ends) <= most else (list(shares.values()), False)


NUMBERS = st.lists(
    st.one_of(st.integers(-9, 9).map(float), st.floats(-10, 10), st.sampled_from([math.nan, math.inf, -0.0, 0.0])),
    max_size=80,
)


@given(NUMBERS, st.integers(1, 12), st.lists(st.integers(0, 80), max_size=4))
def test_the_points_are_those_of_a_plain_count(values: list[float], most: int, cuts: list[int]) -> None:
    """In memory, and from batches that cut the sorted numbers anywhere."""
    expected, exact = points(values, most)
    present = np.sort([value for value in values if value == value])
    pieces = np.split(present, sorted(min(cut, len(present)) for cut in cuts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy, "POINTS", most)
        here = of_numbers(values)
        streamed = policy.of_ordered(pieces, len(values), len(present), here.mean, here.std)
    for found in (here, streamed):
        assert list(zip(found.values.tolist(), found.upto.tolist(), strict=True)) == expected
        assert (found.exact, found.rows, found.present) == (exact, len(values), len(present))
        assert not (np.signbit(found.values) & (found.values == 0)).any()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROW, min_size=1, max_size=30), st.integers(0, 70))
def test_numbers_that_memory_does_not_hold_at_once_have_the_same_profile(
    tmp_path: Path, rows: list[dict[str, Any]], room: int
) -> None:
    whole = made(tmp_path, rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "IN_MEMORY", room)
        found = made(tmp_path, rows)
    assert list(found.columns) == list(whole.columns)
    for name, column in whole.columns.items():
        own, expected = found.columns[name].to_json(), column.to_json()
        for moment in ("mean", "std"):
            close(own.pop(moment, None), expected.pop(moment, None))
        assert own == expected


def test_a_table_that_changes_while_it_is_read_is_told() -> None:
    with engine.opened() as connection:
        for rows in (2, 4):
            with pytest.raises(StepFailed, match=f"had {rows} rows, and 3 when it was read again"):
                engine.fill(connection, "SELECT range FROM range(3)", np.empty((1, rows)))


def test_sums_beyond_all_numbers_leave_no_mean() -> None:
    found = of_numbers([1e308, 1.5e308, 1.7e308])
    assert (found.mean, found.std) == (None, None)
    assert found.upto.tolist() == [1, 2, 3]


def test_a_profile_is_kept_and_found_again(tmp_path: Path) -> None:
    types = {"row_id": pa.string(), "event_time": INSTANT, "x": pa.float64()}
    rows = [{"row_id": str(n), "event_time": at(n), "x": n / 2} for n in range(6)]
    store(tmp_path / "train" / "data.parquet", types, rows[:4])
    store(tmp_path / "valid" / "data.parquet", types, rows[4:])
    step = task("validate", tmp_path, at(9), {part: tmp_path / part for part in profile.LEARNT})
    kept = services(tmp_path)
    with engine.opened() as connection:
        profile.keep(connection, step, kept)
    found = baselines.kept(kept.objects, "attempts/a1/profile.json")
    assert found is not None
    assert found.columns.keys() == {"event_time", "x"}
    column = found.columns["x"]
    assert isinstance(column, Numeric)
    assert column.values.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]

    baselines.keep_predictions(step, kept, np.array([0.25, 0.25, 0.75]))
    answered = baselines.kept(kept.objects, baselines.predictions_key("a1"))
    assert answered is not None
    assert answered.columns[baselines.PREDICTION].to_json()["upto"] == "2 3"

    assert baselines.kept(kept.objects, "attempts/a2/profile.json") is None
    kept.objects.put("attempts/a3/profile.json", {"version": 1, "columns": {"x": {}}})
    with pytest.raises(StepFailed, match="damaged"):
        baselines.kept(kept.objects, "attempts/a3/profile.json")
