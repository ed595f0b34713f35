"""What is read of a source: CSV as Parquet, and the rows that `keep` leaves."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_tables import INSTANT, at, source, store

from ctc.steps import engine
from ctc.steps.task import StepFailed

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

Row = dict[str, Any]


def rows_of(described: Row) -> list[Row]:
    with engine.opened() as connection:
        read = engine.fetched(connection, engine.table(connection, "main", described))
    names = list(read)
    return [dict(zip(names, values, strict=True)) for values in zip(*read.values(), strict=True)]


def csv(path: Path, text: str, columns: dict[str, str] | None = None, **more: Any) -> Row:
    """A source of one CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    delimiter = more.pop("delimiter", ",")
    described = {"path": str(path), "delimiter": delimiter, "columns": columns or {}}
    return source("rows", "", csv=described, **more)


TYPES = {"n": "integer", "x": "number", "ok": "boolean", "day": "date", "at": "timestamp"}
HEADER = "id,n,x,ok,day,at,note\n"


def test_csv_columns_have_their_types_and_others_are_texts(tmp_path: Path) -> None:
    text = HEADER + '007,3,1.5,true,2024-01-02,2024-01-02T03:00:00+02:00,"a, ""b"""\n,,,,,,\n'

    rows = rows_of(csv(tmp_path / "r.csv", text, TYPES, event_time="at"))

    assert rows[0] == {
        "id": "007",
        "n": 3,
        "x": 1.5,
        "ok": True,
        "day": dt.date(2024, 1, 2),
        "at": dt.datetime(2024, 1, 2, 1, tzinfo=dt.UTC),
        "note": 'a, "b"',
    }
    assert rows[1] == dict.fromkeys(rows[0])


def test_csv_of_another_delimiter(tmp_path: Path) -> None:
    assert rows_of(csv(tmp_path / "r.csv", "a;b\n1,5;2\n", {"b": "integer"}, delimiter=";")) == [{"a": "1,5", "b": 2}]


def test_csv_times_without_an_offset_show_the_clock_of_their_zone(tmp_path: Path) -> None:
    text = "at\n2024-07-01 12:00:00\n2024-07-01T12:00:00Z\n"

    rows = rows_of(csv(tmp_path / "r.csv", text, {"at": "timestamp"}, event_time="at", timezone="Europe/Oslo"))

    assert [row["at"].hour for row in rows] == [10, 12]


@pytest.mark.parametrize(
    ("text", "columns", "said"),
    [
        ("at\n2024-07-01 12:00:00\n", {"at": "timestamp"}, "`at` is no instant in 1 rows.*timezone:"),
        ("at\n2024-07-01T12:00:00Z\nsoon\n", {"at": "timestamp"}, "no instant in 1 rows, such as 'soon'"),
        ("id,x\n1,2\n2,abc\n", {"x": "number"}, r'r\.csv, line 3: Error when converting column "x".*"abc"'),
        ("id,x\n1,2\n2\n", {}, r"r\.csv, line 3: Expected Number of Columns: 2 Found: 1; the line is '2'"),
        ("id,x\n", {"y": "number"}, "has no column `y`"),
        ("id,id\n1,2\n", {}, r"r\.csv, line 1: the header names `id` twice"),
        ("id,\n1,2\n", {}, r"r\.csv, line 1: the header does not name every column"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_told_with_its_place(
    tmp_path: Path, text: str, columns: dict[str, str], said: str
) -> None:
    with pytest.raises(StepFailed, match=said):
        rows_of(csv(tmp_path / "r.csv", text, columns))


def test_a_folder_of_csv_files_has_one_header(tmp_path: Path) -> None:
    described = csv(tmp_path / "many" / "1.csv", "a,b\n1,2\n")
    described["csv"]["path"] = str(tmp_path / "many")
    (tmp_path / "many" / "2.csv").write_text("a,b\n3,4\n")
    assert sorted(row["a"] for row in rows_of(described)) == ["1", "3"]

    (tmp_path / "many" / "3.csv").write_text("b,a\n3,4\n")
    with pytest.raises(StepFailed, match=r"the header of .*3\.csv is not that of .*1\.csv"):
        rows_of(described)


def test_csv_is_read_as_the_same_parquet_is(tmp_path: Path) -> None:
    rows = [{"id": index, "at": at(index), "x": index / 3} for index in range(5)]
    text = "id,at,x\n" + "".join(f"{row['id']},{row['at'].isoformat()},{row['x']!r}\n" for row in rows)
    columns = {"id": "integer", "at": "timestamp", "x": "number"}
    file = store(tmp_path / "r.parquet", {"id": pa.int64(), "at": INSTANT, "x": pa.float64()}, rows)

    assert rows_of(csv(tmp_path / "r.csv", text, columns, event_time="at")) == rows_of(
        source("rows", file, event_time="at")
    )


KEPT = {"x": pa.float64(), "n": pa.int64(), "s": pa.string(), "b": pa.bool_()}
kept_rows = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.sampled_from([None, float("nan"), -1.0, 0.0, 0.5, 2.0, math.inf]),
            "n": st.sampled_from([None, 0, 1, 2, 10]),
            "s": st.sampled_from([None, "", "a", "ab", "xab", "1"]),
            "b": st.sampled_from([None, True, False]),
        }
    ),
    max_size=20,
)
filters = st.lists(
    st.one_of(
        st.tuples(
            st.just("range"),
            st.fixed_dictionaries(
                {"column": st.sampled_from("xn")},
                optional={"min": st.sampled_from([0, 0.5]), "max": st.sampled_from([1, 2])},
            ),
        ),
        st.tuples(
            st.just("allowed_values"),
            st.sampled_from(
                [
                    {"column": "s", "values": ["a", 1]},
                    {"column": "n", "values": [1, 10, "x"]},
                    {"column": "b", "values": [True]},
                ]
            ),
        ),
        st.tuples(st.just("pattern"), st.sampled_from([{"column": "s", "regex": r} for r in ("a.?", "[0-9]", "")])),
        st.tuples(st.just("present"), st.sampled_from([{"columns": c} for c in (["x"], ["s", "b"])])),
    ),
    max_size=3,
)


def holds(row: Row, kind: str, given: Row) -> bool:
    """Whether a filter keeps a row: a missing value is one that is not outside."""

    def value(column: str) -> Any:
        found = row[column]
        return None if isinstance(found, float) and math.isnan(found) else found

    if kind == "present":
        return all(value(column) is not None for column in given["columns"])
    found = value(given["column"])
    if found is None:
        return True
    if kind == "range":
        return bool(given.get("min", -math.inf) <= found <= given.get("max", math.inf))
    if kind == "pattern":
        return re.fullmatch(given["regex"], found) is not None
    return found in ([str(item) for item in given["values"]] if isinstance(found, str) else given["values"])


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(rows=kept_rows, chosen=filters)
def test_kept_rows_are_those_for_which_every_filter_holds(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], chosen: list[tuple[str, Row]]
) -> None:
    rows = [{**row, "id": index} for index, row in enumerate(rows)]
    file = store(tmp_path_factory.mktemp("keep") / "r.parquet", {"id": pa.int64(), **KEPT}, rows)
    keep = [{"name": f"f{index}", "kind": kind, "arguments": given} for index, (kind, given) in enumerate(chosen)]

    found = rows_of(source("rows", file, keep=keep))

    wanted = [row["id"] for row in rows if all(holds(row, kind, given) for kind, given in chosen)]
    assert sorted(row["id"] for row in found) == wanted


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("range", {"column": "s", "min": 1}, "keep f: `s` is string; a range needs numbers"),
        ("pattern", {"column": "n", "regex": "1"}, "keep f: `n` is int64; a pattern needs texts"),
        ("allowed_values", {"column": "n", "values": ["a"]}, "can have none of the allowed values"),
        ("present", {"columns": ["m"]}, "source main: keep f has no column `m`"),
    ],
)
def test_a_filter_that_cannot_judge_is_refused(tmp_path: Path, kind: str, given: Row, said: str) -> None:
    file = store(tmp_path / "r.parquet", KEPT, [])

    with pytest.raises(StepFailed, match=said):
        rows_of(source("rows", file, keep=[{"name": "f", "kind": kind, "arguments": given}]))


def test_served_rows_have_the_columns_that_they_are_said_to_have(tmp_path: Path) -> None:
    names = {"key": "id", "score": "p", "model_version": "v", "event_time": "at"}
    file = store(tmp_path / "r.parquet", {"id": pa.int64(), "p": pa.float64(), "at": INSTANT}, [])

    with pytest.raises(StepFailed, match="source main: `columns` has no column `v`"):
        rows_of(source("predictions", file, event_time="at", columns=names))
