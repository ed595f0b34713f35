"""Every kind of holdout, and data without time, against a plain Python reading of the semantics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from step_tables import HOUR, INSTANT, at, columns, data, load, services, source, store, task, windows

from ctc.policy.draws import VALIDATION, drawn
from ctc.steps import engine, judged_rows, snapshot
from ctc.steps.task import Result, StepFailed

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(48)
PHASES = (Phase.explicit, Phase.generate)
"""Without shrinking, which would run the engine hundreds of times."""
Row = dict[str, Any]
MAIN = {"id": pa.int64(), "at": INSTANT, "seen": INSTANT, "shop": pa.string(), "split": pa.string(), "y": pa.int64()}
PRICES = {"shop": pa.string(), "known": INSTANT, "price": pa.int64()}
KINDS = ("time", "hash", "column", "source")
SHARE = 0.4


def section(kind: str, **more: Any) -> Row:
    """The section `windows` of a holdout: 40 % of the shops, rows marked `test`, or the source `judges`."""
    fixed: Row = {"holdout": None} if kind != "time" else {}
    described: Row = {
        "known_after": 0.0,
        "holdout_kind": kind,
        "hash": {"key": ["shop", "id"], "share": SHARE, "salt": "7"},
        "column": {"name": "split", "value": "test"},
        "source": "judges",
    }
    return windows(**described | fixed | more)


def run(folder: Path, tables: Mapping[str, Sequence[Row]], described: Row, *, timed: bool = True) -> Result:
    """The step on the tables main, prices and judges; only prices that are not negative are kept."""
    types = {"main": MAIN, "prices": PRICES, "judges": MAIN}
    paths = {name: store(folder / f"{name}.parquet", types[name], rows) for name, rows in tables.items()}
    positive = {"name": "positive", "kind": "range", "arguments": {"column": "price", "min": 0}}
    sources = {
        "main": source("rows", paths["main"], event_time="at" if timed else None, known_at="seen", key=["id"]),
        "prices": source("features", paths["prices"], known_at="known", join=["shop"], keep=[positive]),
        "judges": source("holdout", paths["judges"], known_at="seen"),
    }
    policy = data(sources, label={"source": "main", "known_after": 0.0})
    return snapshot.run(task("snapshot", folder, NOW, data=policy, windows=described), services(folder))


def price(tables: Mapping[str, Sequence[Row]], row: Row, by: dt.datetime) -> int | None:
    known = [
        item
        for item in tables["prices"]
        if item["shop"] == row["shop"] and row["shop"] is not None and item["known"] <= by and item["price"] >= 0
    ]
    return max((item["known"], item["price"]) for item in known)[1] if known else None


def expected(tables: Mapping[str, Sequence[Row]], described: Row, *, timed: bool) -> dict[str, dict[str, int | None]]:
    """The price of each row by part and row_id."""
    kind, share = described["holdout_kind"], described["validation_share"]
    held = dt.timedelta(seconds=described["holdout"] or 0)
    learnt_until = NOW - held - dt.timedelta(seconds=described["gap"])
    begun = None if described["window"] is None else learnt_until - dt.timedelta(seconds=described["window"])
    judged_from = {"time": NOW - held, "hash": begun}.get(kind)
    known = [row for row in tables["main"] if row["seen"] <= NOW]
    judging = [row for row in tables["judges"] if row["seen"] <= NOW]
    ids = {row["id"] for row in judging}

    def holds(row: Row) -> bool:
        match kind:
            case "time":
                return bool(row["at"] >= NOW - held)
            case "hash":
                return drawn("7", [row["shop"] or "\\N", str(row["id"])], SHARE)
            case "column":
                return bool(row["split"] == "test")
        return False

    def inside(row: Row, start: dt.datetime | None, end: dt.datetime) -> bool:
        labelled = row["y"] is not None and (not timed or row["seen"] <= row["at"])
        return labelled and (not timed or ((start is None or row["at"] >= start) and row["at"] < end))

    learnt = [row for row in known if not holds(row) and inside(row, begun, learnt_until)]
    holdout = [row for row in known if holds(row) and inside(row, judged_from, NOW)]
    if kind == "source":
        learnt = [row for row in learnt if row["id"] not in ids]
        holdout = [row for row in judging if inside(row, None, NOW)]
    if timed:
        learnt.sort(key=lambda row: (row["at"], str(row["id"])))
        cut = len(learnt) - int(len(learnt) * share)
        train, valid = learnt[:cut], learnt[cut:]
    else:
        valid = [row for row in learnt if drawn(VALIDATION, [str(row["id"])], share)]
        train = [row for row in learnt if row not in valid]
    parts = {"train": train, "valid": valid, "holdout": holdout}
    return {
        name: {str(row["id"]): price(tables, row, row["at"] if timed else NOW) for row in rows}
        for name, rows in parts.items()
    }


shops = st.sampled_from(["a", "b", "c", None])
one_row = st.fixed_dictionaries(
    {
        "at": st.integers(10, 47).map(at),
        "late": st.sampled_from([0, 0, 0, 2, 40]),
        "shop": shops,
        "split": st.sampled_from(["test", "train", "train", None]),
        "y": st.sampled_from([0, 1, 1, None]),
    }
)


def numbered(rows: list[Row], first: int) -> list[Row]:
    return [
        {**{name: value for name, value in row.items() if name != "late"}, "id": first + index}
        | {"seen": row["at"] + dt.timedelta(hours=row["late"])}
        for index, row in enumerate(rows)
    ]


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Some rows of the judging table are rows of the main one too."""
    main = numbered(draw(st.lists(one_row, min_size=4, max_size=25)), 0)
    others = numbered(draw(st.lists(one_row, max_size=6)), 1000)
    both = [row for row in main if draw(st.integers(0, 4)) == 0]
    # One that every row knows, so that no features are all too late.
    prices = [{"shop": shop, "known": at(1), "price": 0} for shop in "abc"]
    prices += draw(
        st.lists(
            st.fixed_dictionaries(
                {"shop": shops, "known": st.integers(2, 50).map(at), "price": st.sampled_from([-1, 1, 2])}
            ),
            max_size=12,
        )
    )
    return {"main": main, "prices": prices, "judges": [*others, *both]}


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None, derandomize=True, database=None, phases=PHASES)
@given(tables=worlds(), window=st.sampled_from([None, 20 * HOUR]), gap=st.sampled_from([0.0, 2 * HOUR]))
def test_the_parts_are_what_the_semantics_say(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    timed: bool,
    tables: dict[str, list[Row]],
    window: float | None,
    gap: float,
) -> None:
    if kind == "time" and not timed:
        return
    folder = tmp_path_factory.mktemp("world")
    described = section(kind, window=window if timed else None, gap=gap if timed else 0.0)

    result = run(folder, tables, described, timed=timed)

    out = {name: load(folder / "out" / name) for name in ("train", "valid", "rows", "holdout")}
    found = {name: {row["row_id"]: row["price"] for row in rows} for name, rows in out.items()}
    assert {name: found[name] for name in ("train", "valid", "holdout")} == expected(tables, described, timed=timed)
    assert found["rows"] == found["holdout"]
    assert not (found["train"].keys() | found["valid"].keys()) & found["holdout"].keys()
    assert ("event_time" in columns(folder / "out" / "rows")) is timed
    assert not [name for name in columns(folder / "out" / "holdout") if name.startswith("_ctc_")]
    assert result.flags["go"] == bool(found["train"] and found["holdout"])


def many(n: int = 60) -> list[Row]:
    times = [at(47 - index / 2) for index in range(n)]
    return [
        {"id": index, "at": time, "seen": time, "shop": "abc"[index % 3], "split": None, "y": index % 2}
        for index, time in enumerate(times)
    ]


def held_of(folder: Path, rows: list[Row], **more: Any) -> set[str]:
    described = section("hash", window=None, **more)
    run(folder, {"main": rows, "prices": [], "judges": []}, described)
    return {row["row_id"] for row in load(folder / "out" / "holdout")}


def test_a_hash_holds_out_the_same_keys_in_any_order_and_beside_any_others(tmp_path: Path) -> None:
    rows = many()
    before = held_of(tmp_path / "1", rows[:40])

    assert 0 < len(before) < 40
    assert held_of(tmp_path / "2", rows[39::-1]) == before
    assert {key for key in held_of(tmp_path / "3", rows) if int(key) < 40} == before


def test_another_salt_holds_out_other_keys(tmp_path: Path) -> None:
    other = {"key": ["shop", "id"], "share": SHARE, "salt": "8"}
    assert held_of(tmp_path / "1", many()) != held_of(tmp_path / "2", many(), hash=other)


def test_windows_of_a_fixed_holdout_are_told_without_starts_that_there_are_not(tmp_path: Path) -> None:
    tables: dict[str, list[Row]] = {"main": many(), "prices": [], "judges": []}

    told = run(tmp_path, tables, section("column", window=20 * HOUR)).numbers["windows"]

    assert told == {
        "labelled_until": "2024-01-03T00:00:00Z",
        "train_start": "2024-01-02T04:00:00Z",
        "train_end": "2024-01-03T00:00:00Z",
        "holdout_end": "2024-01-03T00:00:00Z",
    }


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"holdout_kind": "column", "column": {"name": "splitt", "value": "x"}}, "has no column"),
        ({"holdout_kind": "column", "column": {"name": "y", "value": "x"}}, "`y` is int64, which cannot be 'x'"),
        ({"holdout_kind": "hash", "hash": {"key": ["z"], "share": 0.5, "salt": ""}}, "has no column"),
    ],
)
def test_a_holdout_that_cannot_be_told_is_refused(tmp_path: Path, described: Row, said: str) -> None:
    with pytest.raises(StepFailed, match=f"source main: .*{said}"):
        run(tmp_path, {"main": many(), "prices": [], "judges": []}, section("time") | described)


def judged_by(folder: Path, types: Mapping[str, pa.DataType], rows: list[Row]) -> list[Row]:
    """The holdout that a table of its own gives, beside prices that every row knows."""
    main = store(folder / "main.parquet", MAIN, many())
    known = store(folder / "prices.parquet", PRICES, [{"shop": shop, "known": at(1), "price": 5} for shop in "abc"])
    sources = {
        "main": source("rows", main, event_time="at", known_at="seen", key=["id"]),
        "prices": source("features", known, known_at="known", join=["shop"]),
        "judges": source("holdout", store(folder / "judges.parquet", types, rows)),
    }
    policy = data(sources, label={"source": "main", "known_after": 0.0})
    described = section("source", window=None)
    snapshot.run(task("snapshot", folder, NOW, data=policy, windows=described), services(folder))
    return load(folder / "out" / "holdout")


JUDGE = {name: kind for name, kind in MAIN.items() if name != "seen"}


def judge(**more: Any) -> Row:
    return {"id": 900, "at": at(20), "shop": "a", "split": None, "y": 1} | more


def test_a_judging_table_is_joined_like_the_main_rows_or_brings_its_features(tmp_path: Path) -> None:
    assert [row["price"] for row in judged_by(tmp_path / "1", JUDGE, [judge()])] == [5]
    brought = judged_by(tmp_path / "2", {**JUDGE, "price": pa.int32(), "more": pa.int64()}, [judge(price=8, more=1)])
    assert [row["price"] for row in brought] == [8]
    assert "more" not in brought[0]


def test_a_judging_table_without_a_column_of_the_main_rows_is_refused(tmp_path: Path) -> None:
    types = {name: kind for name, kind in JUDGE.items() if name != "split"}
    row = {name: value for name, value in judge().items() if name != "split"}
    with pytest.raises(StepFailed, match=r"source judges, unlike the rows .* has no column `split`"):
        judged_by(tmp_path, types, [row])


def test_features_that_were_known_only_after_every_row_are_leakage(tmp_path: Path) -> None:
    late = [{"shop": "a", "known": at(47.5), "price": 1}]

    with pytest.raises(StepFailed, match=r"source prices: 20 rows meet it by their key.*`known` is later.*leakage"):
        run(tmp_path, {"main": many(), "prices": late, "judges": []}, section("time", window=None))


def keyed(folder: Path, shops: list[str], **main: Any) -> list[Any]:
    """The prices that rows get from a source that does not say when its rows were known."""
    types = {"shop": pa.string(), "price": pa.int64()}
    prices = [{"shop": shop, "price": index} for index, shop in enumerate(shops)]
    sources = {
        "main": source("rows", store(folder / "main.parquet", MAIN, many(12)), key=["id"], **main),
        "prices": source("features", store(folder / "prices.parquet", types, prices), join=["shop"]),
    }
    policy = data(sources, label={"source": "main", "known_after": 0.0})
    described = section("hash", window=None)
    snapshot.run(task("snapshot", folder, NOW, data=policy, windows=described), services(folder))
    return [(row["shop"], row["price"]) for row in load(folder / "out" / "train")]


def test_without_time_features_may_be_joined_by_a_key_that_is_there_once(tmp_path: Path) -> None:
    assert set(keyed(tmp_path, ["b", "a"])) <= {("a", 1), ("b", 0), ("c", None)}


def test_without_time_features_of_one_key_that_say_nothing_of_time_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="source prices: 1 values of `shop` stand in more than one row"):
        keyed(tmp_path, ["b", "a", "a"])


def test_rows_to_be_remembered_stand_beside_the_holdout(tmp_path: Path) -> None:
    """Of any age up to T, with features of their time; none of them is learnt from, checked or counted."""
    row = {"seen": None, "shop": "a", "split": "", "y": 1}
    tables = {
        "main": [row | {"id": index, "at": at(20 + index / 3), "seen": at(0)} for index in range(80)],
        "prices": [{"shop": "a", "known": at(hour), "price": hour} for hour in (1, 30)],
        "judges": [row | {"id": key, "at": at(when)} for key, when in ((5, 2), (900, 35), (901, 500))],
    }
    types = {"main": MAIN, "prices": PRICES, "judges": MAIN}
    paths = {name: store(tmp_path / f"{name}.parquet", types[name], rows) for name, rows in tables.items()}
    sources = {
        "main": source("rows", paths["main"], event_time="at", known_at="seen", key=["id"]),
        "prices": source("features", paths["prices"], known_at="known", join=["shop"]),
        "judges": source("holdout", paths["judges"], known_at=None),
    }
    policy = data(sources, label={"source": "main", "known_after": 0.0}, remembered=["judges"])
    folder = tmp_path / "out"
    step = task("snapshot", folder, NOW, data=policy, windows=windows(known_after=0.0))

    result = snapshot.run(step, services(folder))

    holdout, rows = load(step.outputs["holdout"]), load(step.outputs["rows"])
    beside = {found["id"]: found for found in holdout if found["_ctc_part"]}
    assert {key: (found["_ctc_part"], found["price"]) for key, found in beside.items()} == {
        5: ("judges", 1),
        900: ("judges", 30),
    }
    assert result.numbers["data"]["rows"]["holdout"] == len(holdout) - 2 > 0
    assert [found["row_id"] for found in rows] == [found["row_id"] for found in holdout]
    assert not {"_ctc_part", "y"} & set(rows[0])
    learnt = {found["id"] for part in ("train", "valid") for found in load(step.outputs[part])}
    assert learnt and 5 not in learnt and "_ctc_part" not in columns(step.outputs["train"])
    with engine.opened() as connection:
        judged = judged_rows.snapshot(connection, replace(step, inputs=step.outputs))
        checked = engine.fetched(connection, judged.select("id"))["id"]
    assert len(checked) == sum(result.numbers["data"]["rows"].values())
    assert not {5, 900} & {int(key) for key in checked}
