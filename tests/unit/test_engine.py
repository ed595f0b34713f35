"""The data engine: what it must read right whatever the files' statistics, names and places say."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctc.steps import engine
from ctc.steps.task import StepFailed

# ibis asks DuckDB in a way that DuckDB 2 has another name for; nothing of ours can change that.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NAN, INF = float("nan"), float("inf")


def read(path: Path, **given: Any) -> tuple[Any, Any]:
    connection = engine.connect()
    plain = {"event_time": None, "known_at": None, "timezone": None, "key": [], "join": None}
    return connection, engine.table(connection, "visits", {"parquet": str(path), **plain, **given})


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ([NAN, 1.0, 0.0], 1),
        ([NAN, 1.0, None], 2),
        ([INF, -INF, 1.0], 0),
        ([NAN, NAN], 2),
        ([None, None], 2),
        ([0.0], 0),
    ],
)
def test_nan_is_missing_whatever_the_statistics_of_the_file_say(
    values: list[float | None], missing: int, kind: pa.DataType, tmp_path: Path
) -> None:
    """Parquet's least and greatest leave NaN out; an engine that trusts them takes such a column for finite."""
    pq.write_table(pa.table({"x": pa.array(values, kind, from_pandas=False)}), tmp_path / "x.parquet")
    connection, table = read(tmp_path / "x.parquet")
    absent = engine.missing(table["x"])
    found = engine.one(connection, table.aggregate(n=absent.sum(), rows=table.count()))
    assert (int(found["n"]), found["rows"]) == (missing, len(values))
    # As a filter it reaches the reader of the file, which looks at the statistics by itself.
    for chosen, left in ((table.filter(absent), missing), (table.filter(~absent), len(values) - missing)):
        assert engine.one(connection, chosen.aggregate(n=chosen.count())) == {"n": left}


@pytest.mark.parametrize("place", ["plain", "[odd] it's *"])
def test_a_place_may_be_called_anything(place: str, tmp_path: Path) -> None:
    """What is written into a folder is read back, as a file, a folder and a part, and nothing beside it."""
    for name in (place, "o", "plain2"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"x": [1, 2]}), tmp_path / name / "in.parquet")
    connection, table = read(tmp_path / place / "in.parquet")
    engine.write(connection, table, tmp_path / place / "out")
    for path in (tmp_path / place / "out" / "data.parquet", tmp_path / place / "out"):
        again, found = read(path)
        assert engine.one(again, found.aggregate(n=found.count())) == {"n": 2}
    parts = engine.parts(connection, [tmp_path / place / "out"])
    assert engine.one(connection, parts.aggregate(n=parts.count())) == {"n": 2}


def test_instants_come_back_in_utc(tmp_path: Path) -> None:
    at = datetime(2024, 7, 1, 12, tzinfo=UTC)
    for kind in (pa.timestamp("ns", "UTC"), pa.timestamp("ms", "Europe/Oslo"), pa.timestamp("us", "+05:30")):
        pq.write_table(pa.table({"at": pa.array([at], kind)}), tmp_path / "x.parquet")
        connection, table = read(tmp_path / "x.parquet", event_time="at")
        assert engine.one(connection, table.aggregate(last=table["at"].max())) == {"last": at}


def test_a_column_without_values_has_a_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.nulls(2)}), tmp_path / "x.parquet")
    connection, table = read(tmp_path / "x.parquet")
    assert table["x"].type().is_string()
    held = engine.hold(connection, "held", table)
    assert engine.one(connection, held.aggregate(n=engine.missing(held["x"]).sum()))["n"] == 2


def test_damaged_pages_are_a_failure_with_a_message(tmp_path: Path) -> None:
    """The head and the foot of the file are whole, so that it fails only when it is read."""
    file = tmp_path / "x.parquet"
    pq.write_table(pa.table({"x": [f"value {n}" for n in range(5000)]}), file, use_dictionary=False)
    whole = bytearray(file.read_bytes())
    whole[40:4000] = bytes(3960)
    file.write_bytes(whole)
    connection, table = read(file)
    with pytest.raises(StepFailed, match="the data engine gave up: "):
        engine.one(connection, table.aggregate(x=table["x"].max()))


@pytest.mark.parametrize(("setting", "value"), [("MEMORY", "1GB'; DROP"), ("THREADS", "two threads")])
def test_a_bound_that_is_none_is_refused(setting: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"CTC_ENGINE_{setting}", value)
    with pytest.raises(StepFailed, match=f"CTC_ENGINE_{setting} is .*; write a number, or a size such as 4GB"):
        engine.connect()


def test_a_bound_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_ENGINE_THREADS", "1")
    monkeypatch.setenv("CTC_ENGINE_MEMORY", "1GiB")
    rows = engine.connect().raw_sql("SELECT current_setting('threads'), current_setting('memory_limit')").fetchall()
    assert rows == [(1, "1.0 GiB")]


def test_a_row_without_a_part_of_its_key_has_no_row_id(tmp_path: Path) -> None:
    """The engine's own join passes over what is missing, and two rows would be taken for one."""
    from ctc.steps import snapshot

    pq.write_table(pa.table({"shop": ["a", None, None], "n": [1, 1, None]}), tmp_path / "x.parquet")
    connection, table = read(tmp_path / "x.parquet")
    row_id = snapshot.row_id([table["shop"], table["n"]])
    assert engine.one(connection, table.aggregate(there=row_id.count(), text=row_id.max())) == {
        "there": 1,
        "text": "a|1",
    }
