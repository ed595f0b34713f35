"""The steps of a batch job: which rows are scored, what is refused of the answers, one file however often it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from step_tables import INSTANT, at, columns, data, load, services, source, store

from ctc.policy.windows import format_instant
from ctc.steps import engine, publish, record, results, rows
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "record.v1.schema.json").read_text())
NOW = at(48)
Row = dict[str, Any]
TYPES = {
    "main": {"id": pa.int64(), "at": INSTANT, "seen": INSTANT, "shop": pa.string(), "x": pa.float64(), "y": pa.int64()},
    "prices": {"shop": pa.string(), "known": INSTANT, "price": pa.int64()},
}
CHAMPION = {"version": "3", "uri": "u", "image": "i", "predict": ["p"], "code": ""}


def row(number: int, hours: float, **more: Any) -> Row:
    return {"id": number, "at": at(hours), "seen": at(hours), "shop": "a", "x": 1.0, "y": None} | more


def prepared(
    folder: Path,
    main: Sequence[Row],
    *,
    write: str = "append",
    after: datetime | None = None,
    schema: Mapping[str, str] | None = None,
    task: str = "binary",
    **more: Any,
) -> tuple[Task, Services]:
    """A job's task whose request has been made, on the main source and its prices."""
    described = {"event_time": "at", "known_at": "seen", "key": ["id"]} | more
    sources = {
        "main": source("rows", store(folder / "main.parquet", TYPES["main"], main), **described),
        "prices": source(
            "features",
            store(
                folder / "prices.parquet",
                TYPES["prices"],
                [{"shop": "a", "known": at(h), "price": h} for h in (0, 40, 50)],
            ),
            known_at="known",
            join=["shop"],
        ),
    }
    reached = services(folder)
    request = {
        "serving": "nightly",
        "attempt": "a1",
        "launch": 1,
        "champion": {**CHAMPION, "inputs_schema": schema},
        "after": None if after is None else format_instant(after),
        "part": "20240103T000000Z",
    }
    reached.objects.put(results.request_key("a1"), request)
    entry = {"rows": "main", "out": str(folder / "out"), "write": write}
    section = data(sources, label={"source": "main", "column": "y"}, task=task)
    policy = {"data": section, "format": {"csv": None}, "batch": {"nightly": entry}}
    document = {
        "version": 1,
        "name": "toy",
        "environment": "default",
        "target": "kubeflow",
        "spec_digest": "ab" * 32,
        "root": "s3://bucket/toy/prod",
        "policy": policy,
    }
    given = {"rows": folder / "rows", "predictions": folder / "predictions"}
    return Task("rows", document, NOW, "a1", inputs=given, outputs={"rows": folder / "rows"}), reached


def read(task: Task, reached: Services) -> Result:
    task.outputs["rows"].mkdir(exist_ok=True)
    return rows.run(task, reached)


def ids(task: Task) -> list[str]:
    return [item["row_id"] for item in load(task.outputs["rows"])]


def answer(task: Task, answers: Mapping[str, Sequence[Any]]) -> None:
    folder = task.inputs["predictions"]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(dict(answers)), folder / "predictions.parquet")


def published(folder: Path) -> dict[str, list[Row]]:
    """The rows of each file that a reader of `out` would read."""
    return {path.name: pq.read_table(path).to_pylist() for path in sorted((folder / "out").glob("*.parquet"))}


def test_rows_that_were_known_and_not_scored_before(tmp_path: Path) -> None:
    """The watermark is of when rows became known: one that happened early and was seen late is new."""
    late = row(1, 10, seen=at(30))
    main = [row(0, 10), late, row(2, 24), row(3, 47), row(4, 48), row(5, 49), row(6, 10, seen=at(50))]
    first = prepared(tmp_path, main)
    assert read(*first).flags == {"go": True}
    assert sorted(ids(first[0])) == ["0", "1", "2", "3", "4"]

    next_ = prepared(tmp_path, main, after=at(24))
    assert read(*next_).numbers == {"rows": 3}
    assert sorted(ids(next_[0])) == ["1", "3", "4"]


def test_features_are_those_of_the_event_and_the_label_is_not_shown(tmp_path: Path) -> None:
    task, reached = prepared(tmp_path, [row(0, 10), row(1, 41, y=1)])
    read(task, reached)
    assert columns(task.outputs["rows"]) == ["id", "at", "shop", "x", "row_id", "event_time", "price"]
    assert [item["price"] for item in load(task.outputs["rows"])] == [0, 40]


def test_what_happens_later_is_scored_with_what_is_known_now(tmp_path: Path) -> None:
    """The price of hour 50 is known before the event of hour 60, and not at hour 48."""
    task, reached = prepared(tmp_path, [row(0, 60, seen=at(40))])
    read(task, reached)
    [found] = load(task.outputs["rows"])
    assert (found["price"], found["event_time"]) == (40, at(60))


def test_rows_of_another_source_than_the_main_one(tmp_path: Path) -> None:
    """Their key is the one that they are joined by."""
    task, reached = prepared(tmp_path, [row(0, 10)], write="replace")
    task.policy["batch"]["nightly"]["rows"] = "prices"
    with pytest.raises(StepFailed, match=r"source prices: 1 rows repeat the key \(shop\)"):
        read(task, reached)
    prices = [{"shop": shop, "known": at(1), "price": 5} for shop in "ab"]
    store(tmp_path / "prices.parquet", TYPES["prices"], prices)
    read(task, reached)
    assert columns(task.outputs["rows"]) == ["shop", "price", "row_id", "event_time"]
    assert ids(task) == ["a", "b"]


def test_the_model_is_given_the_columns_that_it_was_trained_on(tmp_path: Path) -> None:
    task, reached = prepared(tmp_path, [row(0, 10)], schema={"row_id": "string", "x": "float64"})
    read(task, reached)
    assert columns(task.outputs["rows"]) == ["row_id", "x"]

    task, reached = prepared(tmp_path, [row(0, 10)], schema={"row_id": "string", "z": "float64"})
    with pytest.raises(StepFailed, match=r"champion 3 was trained on it.*`z`|`z`"):
        read(task, reached)


def test_no_new_rows_is_a_normal_end(tmp_path: Path) -> None:
    result = read(*prepared(tmp_path, [row(0, 10)], after=at(24)))
    assert (result.status, result.flags) == ("stop", {"go": False})
    assert result.reason == "source main has no rows that became known after 2024-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ([row(0, 10), row(0, 11)], r"1 rows repeat the key \(id\)"),
        ([row(0, 10) | {"id": None}], r"1 rows have no value in their key \(id\)"),
    ],
)
def test_each_row_has_a_key_of_its_own(main: list[Row], message: str, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=message):
        read(*prepared(tmp_path, main))


def test_what_has_no_time_is_not_appended(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="give it `known_at:`, or replace"):
        read(*prepared(tmp_path, [row(0, 10)], event_time=None, known_at=None))
    assert read(*prepared(tmp_path, [row(0, 10)], event_time=None, known_at=None, write="replace")).flags["go"]


def test_scores_are_published_with_what_reads_them_back(tmp_path: Path) -> None:
    task, reached = prepared(tmp_path, [row(0, 10), row(1, 11)])
    read(task, reached)
    answer(task, {"row_id": ["1", "0"], "score": [0.25, 0.75]})

    result = publish.run(task, reached)

    about = {"model_version": "3", "event_time": NOW}
    assert published(tmp_path) == {
        "20240103T000000Z.parquet": [{"key": "0", "score": 0.75, **about}, {"key": "1", "score": 0.25, **about}]
    }
    assert result.numbers == {
        "out": f"{tmp_path / 'out'}/20240103T000000Z.parquet",
        "scores": {"scored": 2, "min": 0.25, "max": 0.75},
    }


@pytest.mark.parametrize(
    ("task", "answers", "wanted"),
    [
        ("regression", {"prediction": [1, 2], "quantile_0.9": [3.0, 4.0]}, ["score", "quantile_0.9"]),
        ("multiclass", {"score_a": [0.5, 0.5], "score_b": [0.5, 0.5]}, ["score_a", "score_b"]),
        ("ranking", {"score": [1.0, 2.0], "note": ["x", "y"]}, ["score"]),
    ],
)
def test_the_columns_of_other_tasks(task: str, answers: dict[str, Any], wanted: list[str], tmp_path: Path) -> None:
    asked, reached = prepared(tmp_path, [row(0, 10), row(1, 11)], task=task)
    read(asked, reached)
    answer(asked, {"row_id": ["0", "1"], **answers})
    publish.run(asked, reached)
    [file] = published(tmp_path).values()
    assert list(file[0]) == ["key", *wanted, "model_version", "event_time"]


WRONG = [
    ({"row_id": ["0"], "score": [0.5]}, "1 rows have no answer"),
    ({"row_id": ["0", "1", "2"], "score": [0.5] * 3}, "1 answers are of no row"),
    ({"row_id": ["0", "0"], "score": [0.5] * 2}, "1 answers repeat"),
    ({"row_id": ["0", None], "score": [0.5] * 2}, "1 answers repeat"),
    ({"row_id": ["0", "1"], "score": [0.5, math.nan]}, "1 answers are NaN"),
    ({"row_id": ["0", "1"], "score": [0.5, math.inf]}, "1 answers are NaN"),
    ({"row_id": ["0", "1"], "score": [0.5, None]}, "1 answers are NaN"),
    ({"row_id": ["0", "1"], "score": ["a", "b"]}, "write numbers"),
    ({"row_id": ["0", "1"], "prediction": [0.5, 0.5]}, "has no column `score`"),
    ({"score": [0.5, 0.5]}, "has no column `row_id`"),
]


@pytest.mark.parametrize(("answers", "message"), WRONG)
def test_answers_that_are_not_one_finite_score_a_row_are_not_published(
    answers: dict[str, Any], message: str, tmp_path: Path
) -> None:
    task, reached = prepared(tmp_path, [row(0, 10), row(1, 11)])
    read(task, reached)
    answer(task, answers)
    with pytest.raises(StepFailed, match=message):
        publish.run(task, reached)
    assert published(tmp_path) == {}


def test_a_champion_that_could_not_be_run_fails_the_job(tmp_path: Path) -> None:
    task, reached = prepared(tmp_path, [row(0, 10)])
    read(task, reached)
    task.inputs["predictions"].mkdir()
    (task.inputs["predictions"] / "not_comparable.json").write_text('{"version": 1, "reason": "exit 3"}')
    with pytest.raises(StepFailed, match="exit 3"):
        publish.run(task, reached)


@pytest.mark.parametrize(("write", "file"), [("append", "20240103T000000Z.parquet"), ("replace", "scores.parquet")])
@pytest.mark.parametrize("place", ["write_file", "replace", "afterwards"])
def test_killed_at_any_moment_and_run_again_each_row_is_there_once(
    place: str, write: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    task, reached = prepared(tmp_path, [row(0, 10), row(1, 11)], write=write)
    read(task, reached)
    answer(task, {"row_id": ["0", "1"], "score": [0.25, 0.75]})
    left = tmp_path / "out" / f".{file}.dead.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half of a file")
    with monkeypatch.context() as patch:
        if place == "write_file":
            patch.setattr(engine, "write_file", die)
        elif place == "replace":
            patch.setattr(Path, "replace", die)
        if place == "afterwards":
            publish.run(task, reached)
        else:
            with pytest.raises(Killed):
                publish.run(task, reached)
    assert set(published(tmp_path)) == ({file} if place == "afterwards" else set())

    publish.run(task, reached)

    assert [item["key"] for item in published(tmp_path)[file]] == ["0", "1"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [file]


def test_what_replaces_leaves_nothing_of_before(tmp_path: Path) -> None:
    for number in (2, 1):
        task, reached = prepared(tmp_path, [row(index, 10) for index in range(number)], write="replace")
        read(task, reached)
        answer(task, {"row_id": [str(index) for index in range(number)], "score": [0.5] * number})
        publish.run(task, reached)
    assert {name: len(found) for name, found in published(tmp_path).items()} == {"scores.parquet": 1}


READ = Result("ok", {"go": True}, "2 rows to score", {"rows": 2})
WRITTEN = Result("ok", {}, "2 rows scored", {"out": "o/p.parquet", "scores": {"scored": 2, "min": 0.1, "max": 0.9}})


@pytest.mark.parametrize(
    ("kept", "outcome", "statuses"),
    [
        ({"rows": READ, "publish": WRITTEN}, "scored", ["ok", "ok", "ok"]),
        ({"rows": Result("stop", {"go": False}, "no rows", {"rows": 0})}, "empty", ["stop", "not_run", "not_run"]),
        ({"rows": READ, "publish": Result("failed", {}, "1 rows have no answer")}, "failed", ["ok", "ok", "failed"]),
        ({"rows": Result("failed", {"go": False}, "no file")}, "failed", ["failed", "not_run", "not_run"]),
        ({"rows": READ}, "failed", ["ok", "not_run", "not_run"]),
        ({}, "failed", ["not_run", "not_run", "not_run"]),
    ],
)
def test_every_end_of_a_job_has_a_record(
    kept: dict[str, Result], outcome: str, statuses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CTC_STATUS_DIR", raising=False)
    task, reached = prepared(tmp_path, [row(0, 10)])
    for name, result in kept.items():
        results.store(reached.objects, "a1", name, result)

    record.run(task, reached)

    written = reached.objects.get("records/a1.json")
    assert written is not None
    jsonschema.validate(written, SCHEMA)
    assert written["outcome"] == outcome
    found = {name: item["status"] for name, item in written["steps"].items()}
    assert found == dict(zip(("rows", "predict-champion", "publish"), statuses, strict=True))
    assert bool(written["error"]) is (outcome == "failed")
    assert written["out"] == ("o/p.parquet" if outcome == "scored" else None)


def test_a_wake_that_gave_the_job_up_has_the_last_word(tmp_path: Path) -> None:
    task, reached = prepared(tmp_path, [row(0, 10)])
    reached.objects.put("records/a1.json", {"id": "a1", "outcome": "lost"})
    assert record.run(task, reached).numbers["written"] is False
    assert reached.objects.get("records/a1.json") == {"id": "a1", "outcome": "lost"}
