"""The snapshot against a plain Python reading of the semantics, and what it refuses."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from step_tables import HOUR, INSTANT, at, columns, data, load, services, source, store, task, windows

from ctc.steps import snapshot
from ctc.steps.task import Result, StepFailed

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(48)
PHASES = (Phase.explicit, Phase.generate)
"""Without shrinking, which would run the engine hundreds of times."""
Row = dict[str, Any]
TYPES = {
    "main": {
        "id": pa.int64(),
        "at": INSTANT,
        "seen": INSTANT,
        "shop": pa.string(),
        "x": pa.float64(),
        "secret": pa.string(),
        "noise": pa.int64(),
    },
    "prices": {"shop": pa.string(), "known": INSTANT, "price": pa.int64(), "bonus": pa.int64()},
    "labels": {"id": pa.int64(), "known": INSTANT, "y": pa.int64()},
}


def run(folder: Path, tables: Mapping[str, Sequence[Row]], section: Row | None = None, **more: Any) -> Result:
    """The step on three tables written as files; `more` goes to the section `data`."""
    paths = {name: store(folder / f"{name}.parquet", TYPES[name], rows) for name, rows in tables.items()}
    sources = {
        "main": source("rows", paths["main"], event_time="at", known_at="seen", key=["id"]),
        "prices": source("features", paths["prices"], known_at="known", join=["shop"]),
        "labels": source("labels", paths["labels"], known_at="known", join=["id"]),
    }
    described = data(sources, drop=["noise"], audit=["secret"], **more)
    return snapshot.run(task("snapshot", folder, NOW, data=described, windows=section or windows()), services(folder))


def one_row(**more: Any) -> Row:
    """A main row of the training window, known at its event."""
    event = more.get("at", at(30))
    return {"id": 1, "at": event, "seen": event, "shop": "a", "x": 1.0, "secret": "s", "noise": 7} | more


def label(known: float, y: int | None = 1, id: int = 1) -> Row:
    return {"id": id, "known": at(known), "y": y}


HELD = [one_row(id=9, at=at(40))], [label(41, 0, id=9)]
"""A holdout row and its label, where a test is about training rows."""


def labels_of(folder: Path, tables: Mapping[str, Sequence[Row]], **more: Any) -> list[Any]:
    run(folder, {"prices": [], **tables}, windows(validation_share=0.0), **more)
    return [row["y"] for row in load(folder / "out" / "train")]


def latest(rows: Sequence[Row], key: str, value: Any, by: dt.datetime) -> Row:
    """The row of a key as it was known at `by`; of those known at once the greatest, column by column."""
    known = [row for row in rows if value is not None and row[key] == value and row["known"] and row["known"] <= by]
    others = sorted(set(TYPES["prices"] if key == "shop" else TYPES["labels"]) - {key, "known"})
    rank = [(row["known"], *((row[name] is not None, row[name] or 0) for name in others), row) for row in known]
    return max(rank, key=lambda item: item[:-1])[-1] if rank else dict.fromkeys(others)


def expected(tables: Mapping[str, Sequence[Row]], section: Row, absent: str) -> dict[str, list[Row]] | None:
    """The parts by the semantics; None where a label is absent and must not be."""
    hour = dt.timedelta(hours=1)
    held = NOW - 14 * hour
    learnt = held - dt.timedelta(seconds=section["gap"])
    begun = learnt - dt.timedelta(seconds=section["window"])
    rows = []
    for row in tables["main"]:
        inside = begun <= row["at"] < learnt or held <= row["at"] < NOW - 4 * hour
        if not inside or row["seen"] is None or row["seen"] > NOW:
            continue
        price = latest(tables["prices"], "shop", row["shop"], row["at"])
        y = latest(tables["labels"], "id", row["id"], row["at"] + 4 * hour)["y"]
        if y is None and absent == "error":
            return None
        if y is None and absent == "drop":
            continue
        own = {name: value for name, value in row.items() if name != "noise"}
        joined = {"price": price["price"], "bonus": price["bonus"], "y": y or 0}
        rows.append({**own, "row_id": str(row["id"]), "event_time": row["at"], **joined})
    rows.sort(key=lambda row: (row["event_time"], row["row_id"]))
    learning = [row for row in rows if row["at"] < learnt]
    cut = len(learning) - math.floor(len(learning) * section["validation_share"])
    return {"train": learning[:cut], "valid": learning[cut:], "holdout": [row for row in rows if row["at"] >= held]}


def without(rows: Sequence[Row], *names: str) -> list[Row]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def ordered(rows: Sequence[Row]) -> list[list[tuple[str, Any]]]:
    return [sorted(row.items()) for row in rows]


# Few distinct hours and keys, so that instants tie and keys meet.
hours = st.integers(2, 48).map(at)
known = st.one_of(st.none(), st.sampled_from(range(0, 52, 2)).map(at))
shops = st.sampled_from(["a", "b", None])
main_rows = st.lists(
    st.fixed_dictionaries(
        {
            "at": hours,
            "late": st.sampled_from([0, 0, 0, 1, 30]),
            "shop": shops,
            "x": st.sampled_from([None, 0.5, -1.0]),
            "secret": st.sampled_from(["u", None]),
            "noise": st.just(1),
        }
    ),
    max_size=25,
).map(
    lambda rows: [
        {
            **{name: value for name, value in row.items() if name != "late"},
            "id": index,
            "seen": row["at"] + dt.timedelta(hours=late),
        }
        for index, row in enumerate(rows)
        for late in (row["late"],)
    ]
)
prices = st.lists(
    st.fixed_dictionaries(
        {"shop": shops, "known": known, "price": st.sampled_from([None, 1, 2]), "bonus": st.sampled_from([None, 3, 4])}
    ),
    max_size=20,
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, list[Row]], Row, str]:
    """Tables whose labels come early, at their very deadline, too late, more than once, as nothing, or never."""
    main = draw(main_rows)
    labels = []
    for row in main:
        for delay in draw(st.lists(st.sampled_from([-1, 1, 1, 3, 4, 5, 20]), min_size=1, max_size=3)):
            y = draw(st.sampled_from([0, 1, 1, None]))
            labels.append({"id": row["id"], "known": row["at"] + dt.timedelta(hours=delay), "y": y})
    labels = [row for row in labels if draw(st.integers(0, 9)) > 0]
    section = windows(
        gap=draw(st.sampled_from([0.0, 3 * HOUR])),
        window=draw(st.sampled_from([6 * HOUR, 20 * HOUR])),
        validation_share=draw(st.sampled_from([0.0, 0.25, 0.5])),
    )
    absent = draw(st.sampled_from(["drop", "negative", "drop", "negative", "error"]))
    tables = {"main": main, "prices": draw(prices), "labels": draw(st.permutations(labels))}
    return tables, section, absent


@settings(max_examples=20, deadline=None, derandomize=True, database=None, phases=PHASES)
@given(world=worlds())
def test_the_snapshot_is_what_the_semantics_say(
    tmp_path_factory: pytest.TempPathFactory, world: tuple[dict[str, list[Row]], Row, str]
) -> None:
    tables, section, absent = world
    folder = tmp_path_factory.mktemp("world")
    parts = expected(tables, section, absent)
    if parts is None:
        with pytest.raises(StepFailed, match="`absent` is `error`"):
            run(folder, tables, section, label={"absent": absent})
        return

    result = run(folder, tables, section, label={"absent": absent})

    out = {name: load(folder / "out" / name) for name in ("train", "valid", "rows", "holdout")}
    assert ordered(out["train"]) == ordered(without(parts["train"], "secret", "seen"))
    assert ordered(out["valid"]) == ordered(without(parts["valid"], "secret", "seen"))
    assert ordered(out["holdout"]) == ordered(parts["holdout"])
    assert ordered(out["rows"]) == ordered(without(parts["holdout"], "secret", "seen", "y"))
    ids = [row["row_id"] for name in ("train", "valid", "holdout") for row in out[name]]
    assert len(ids) == len(set(ids))
    assert not {"y", "secret", "noise", "seen"} & set(columns(folder / "out" / "rows"))
    assert result.numbers["data"]["rows"] == {name: len(part) for name, part in parts.items()}
    assert result.flags["go"] == bool(parts["train"] and parts["holdout"])


def test_a_label_at_its_deadline_counts_and_one_after_it_does_not(tmp_path: Path) -> None:
    held, held_labels = HELD
    rows = [one_row(id=1), one_row(id=2), *held]
    known = [label(34, id=1), label(34.001, id=2), *held_labels]

    result = run(tmp_path, {"main": rows, "prices": [], "labels": known}, windows(validation_share=0.0))

    assert [row["row_id"] for row in load(tmp_path / "out" / "train")] == ["1"]
    assert result.numbers["data"]["absent_labels"] == 1


def test_a_label_corrected_in_time_is_the_correction_and_later_is_not(tmp_path: Path) -> None:
    held, held_labels = HELD
    tables = {"main": [one_row(), *held], "labels": [label(31, 1), label(33, 0), label(40, 1), *held_labels]}

    assert labels_of(tmp_path, tables) == [0]


def test_a_label_withdrawn_in_time_is_no_label(tmp_path: Path) -> None:
    held, held_labels = HELD
    tables = {"main": [one_row(), *held], "labels": [label(31, 1), label(33, None), *held_labels]}

    assert labels_of(tmp_path, tables) == []
    assert labels_of(tmp_path, tables, label={"absent": "negative"}) == [0]


def test_features_known_after_the_event_are_not_there(tmp_path: Path) -> None:
    held, held_labels = HELD
    known = [{"shop": "a", "known": at(hour), "price": hour, "bonus": 0} for hour in (29, 30, 31)]

    run(tmp_path, {"main": [one_row(), *held], "prices": known, "labels": [label(31), *held_labels]})

    assert [row["price"] for row in load(tmp_path / "out" / "train")] == [30]


def many(n: int = 40) -> dict[str, list[Row]]:
    """Rows of every half hour before the labelled end, all labelled."""
    main = [one_row(id=index, at=at(44 - (index + 1) / 2), x=index / 3) for index in range(n)]
    return {
        "main": main,
        "prices": [{"shop": "a", "known": at(1), "price": 5, "bonus": None}],
        "labels": [{"id": row["id"], "known": row["at"], "y": row["id"] % 2} for row in main],
    }


def test_the_fingerprint_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    tables = many()
    turned = {name: rows[::-1] for name, rows in tables.items()}

    one, other = run(tmp_path / "1", tables), run(tmp_path / "2", turned)
    assert one == other
    assert load(tmp_path / "1/out/train") == load(tmp_path / "2/out/train")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [("main", "x", 1e-9), ("main", "secret", None), ("prices", "price", 6), ("labels", "y", 1)],
)
def test_the_fingerprint_changes_with_one_value(tmp_path: Path, table: str, column: str, value: Any) -> None:
    before = run(tmp_path / "1", many()).numbers["data"]["fingerprint"]
    tables = many()
    tables[table][0][column] = value

    assert run(tmp_path / "2", tables).numbers["data"]["fingerprint"] != before


def test_facts_of_the_data(tmp_path: Path) -> None:
    found = run(tmp_path, many()).numbers["data"]

    assert (found["rows"], found["positives"], found["label_rate"]) == (
        {"train": 15, "valid": 5, "holdout": 20},
        20,
        0.5,
    )
    assert (found["first_event"], found["last_event"]) == ("2024-01-02T00:00:00Z", "2024-01-02T19:30:00Z")


def test_too_few_rows_stop_the_attempt(tmp_path: Path) -> None:
    result = run(tmp_path, many(), windows(min_rows=21))

    assert (result.status, result.flags) == ("stop", {"go": False})
    assert result.reason == "20 labelled rows to learn from; at least 21 are needed"


def test_no_rows_at_all_stop_the_attempt(tmp_path: Path) -> None:
    result = run(tmp_path, {"main": [], "prices": [], "labels": []})

    assert (result.status, result.numbers["data"]["label_rate"]) == ("stop", None)
    assert load(tmp_path / "out" / "rows") == []


def test_an_empty_holdout_stops_the_attempt(tmp_path: Path) -> None:
    tables = many()
    tables["main"] = tables["main"][20:]

    assert run(tmp_path, tables).reason == "no labelled row in the holdout"


def test_labels_that_are_not_binary_are_refused(tmp_path: Path) -> None:
    tables = many()
    tables["labels"][3]["y"] = 2

    with pytest.raises(StepFailed, match=r"`y` is something else in 1 rows.*0 and 1"):
        run(tmp_path, tables)


def test_a_row_without_its_key_is_refused(tmp_path: Path) -> None:
    tables = many()
    tables["main"][0]["id"] = None

    with pytest.raises(StepFailed, match=r"source main: 1 rows have no value in their key \(id\)"):
        run(tmp_path, tables, label={"absent": "negative"})


def single(folder: Path, rows: Sequence[Row], types: Mapping[str, pa.DataType], **described: Any) -> Result:
    """The step on one source that carries its own label."""
    file = store(folder / "main.parquet", types, rows)
    main = source("rows", file, **{"event_time": "at", "key": ["id"]} | described)
    section = data({"main": main}, label={"source": "main"})
    return snapshot.run(
        task("snapshot", folder, NOW, data=section, windows=windows(validation_share=0.0)), services(folder)
    )


PLAIN = {"id": pa.string(), "at": INSTANT, "y": pa.int64()}


def plain(*hours: float) -> list[Row]:
    return [{"id": f"r{index}", "at": at(hour), "y": index % 2} for index, hour in enumerate(hours)]


@pytest.mark.parametrize(
    "wall",
    ["2024-03-31T01:30", "2024-03-31T03:30", "2024-10-27T01:30", "2024-10-27T03:30", "2024-07-01T12:00"],
)
def test_a_naive_time_is_the_wall_clock_of_its_zone(tmp_path: Path, wall: str) -> None:
    zone, naive = "Europe/Stockholm", dt.datetime.fromisoformat(wall)
    instant = naive.replace(tzinfo=ZoneInfo(zone)).astimezone(dt.UTC)
    file = store(tmp_path / "main.parquet", {**PLAIN, "at": pa.timestamp("us")}, [{"id": "a", "at": naive, "y": 1}])
    described = data(
        {"main": source("rows", file, event_time="at", timezone=zone, key=["id"])}, label={"source": "main"}
    )
    now = instant + dt.timedelta(hours=5)

    snapshot.run(task("snapshot", tmp_path, now, data=described, windows=windows()), services(tmp_path))

    assert [row["event_time"] for row in load(tmp_path / "out" / "holdout")] == [instant]


def test_a_naive_time_without_a_zone_is_refused(tmp_path: Path) -> None:
    rows = [{"id": "a", "at": dt.datetime(2024, 1, 1), "y": 1}]  # noqa: DTZ001

    with pytest.raises(StepFailed, match=r"source main: `at` has no zone.*timezone: UTC"):
        single(tmp_path, rows, {**PLAIN, "at": pa.timestamp("us")})


def test_an_event_time_that_is_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="`at` is string, not a timestamp"):
        single(tmp_path, [{"id": "a", "at": "2024-01-01", "y": 1}], {**PLAIN, "at": pa.string()})


def test_dates_are_midnights(tmp_path: Path) -> None:
    rows = [{"id": "a", "at": dt.date(2024, 1, 2), "y": 1}]

    single(tmp_path, rows, {**PLAIN, "at": pa.date32()}, timezone="UTC")

    assert [row["event_time"] for row in load(tmp_path / "out" / "train")] == [at(24)]


def test_nanoseconds_are_instants(tmp_path: Path) -> None:
    single(tmp_path, plain(30, 40), {**PLAIN, "at": pa.timestamp("ns", "UTC")})

    assert [row["event_time"] for row in load(tmp_path / "out" / "train")] == [at(30)]


@pytest.mark.parametrize(
    ("parquet", "said"), [("nothing.parquet", "there is no file or folder"), ("*.x", "cannot be read")]
)
def test_a_source_that_is_not_there(tmp_path: Path, parquet: str, said: str) -> None:
    with pytest.raises(StepFailed, match=f"source main: .*{said}"):
        read_main(tmp_path, parquet)


def read_main(folder: Path, name: str) -> Result:
    section = data({"main": source("rows", str(folder / name), event_time="at", key=["id"])}, label={"source": "main"})
    return snapshot.run(
        task("snapshot", folder, NOW, data=section, windows=windows(validation_share=0.0)), services(folder)
    )


def test_a_source_that_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "main.parquet").write_text("id,at,y\n")

    with pytest.raises(StepFailed, match=r"source main: .*main.parquet cannot be read as Parquet"):
        read_main(tmp_path, "main.parquet")


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="source main has no column `att`; did you mean `at`"):
        single(tmp_path, plain(30), PLAIN, event_time="att")


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    types = {name: kind for name, kind in PLAIN.items() if name != "y"}

    with pytest.raises(StepFailed, match="source main has no column `y`"):
        single(tmp_path, without(plain(30), "y"), types)


@pytest.mark.parametrize("where", ["parts", "parts/*.parquet", "parts/2024-*"])
def test_a_source_may_be_a_folder_or_a_pattern(tmp_path: Path, where: str) -> None:
    rows = plain(30, 31, 40)
    for index, row in enumerate(rows):
        store(tmp_path / "parts" / f"2024-0{index + 1}.parquet", PLAIN, [row])

    read_main(tmp_path, where)

    assert [row["row_id"] for row in load(tmp_path / "out" / "train")] == ["r0", "r1"]


def test_a_label_in_its_row_counts_if_the_row_was_known_by_its_age(tmp_path: Path) -> None:
    rows = [{**row, "seen": at(seen)} for row, seen in zip(plain(30, 31, 40), (34, 36, 41), strict=True)]

    single(tmp_path, rows, {**PLAIN, "seen": INSTANT}, known_at="seen")

    assert [row["row_id"] for row in load(tmp_path / "out" / "train")] == ["r0"]
    assert "seen" not in columns(tmp_path / "out" / "rows")


def test_a_label_that_is_nan_is_no_label(tmp_path: Path) -> None:
    rows = [{**row, "y": y} for row, y in zip(plain(30, 31, 40), (float("nan"), 1.0, 0.0), strict=True)]

    single(tmp_path, rows, {**PLAIN, "y": pa.float64()})

    assert [row["row_id"] for row in load(tmp_path / "out" / "train")] == ["r1"]


def test_a_key_of_several_columns_makes_the_row_id(tmp_path: Path) -> None:
    rows = [{**row, "leg": 2} for row in plain(30, 40)]

    single(tmp_path, rows, {**PLAIN, "leg": pa.int32()}, key=["id", "leg"])

    assert [row["row_id"] for row in load(tmp_path / "out" / "train")] == ["r0|2"]


@pytest.mark.parametrize("name", ["row_id", "event_time", "_ctc_x"])
def test_names_of_our_own_are_refused(tmp_path: Path, name: str) -> None:
    rows = [{**row, name: "x"} for row in plain(30, 40)]

    with pytest.raises(StepFailed, match="ctc's own"):
        single(tmp_path, rows, {**PLAIN, name: pa.string()})


def test_keys_of_two_types_do_not_meet_silently(tmp_path: Path) -> None:
    main = store(tmp_path / "m.parquet", {"id": pa.int64(), "at": INSTANT}, [{"id": 1, "at": at(30)}])
    late = store(
        tmp_path / "l.parquet",
        {"id": pa.string(), "known": INSTANT, "y": pa.int64()},
        [{"id": "1", "known": at(31), "y": 1}],
    )
    section = data(
        {
            "main": source("rows", main, event_time="at", key=["id"]),
            "labels": source("labels", late, known_at="known", join=["id"]),
        }
    )

    with pytest.raises(StepFailed, match="source labels: join by `id`: the key is int64 on one side and string"):
        snapshot.run(task("snapshot", tmp_path, NOW, data=section, windows=windows()), services(tmp_path))
