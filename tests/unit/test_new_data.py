"""Counting new labelled rows, against a plain Python count."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_tables import INSTANT, at, data, source, store

from ctc.policy.evidence import NewRows, NotEvaluable, RowsQuestion
from ctc.steps import new_data
from ctc.steps.task import StepFailed

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(48)
AGE = dt.timedelta(hours=4)
Row = dict[str, Any]
MAIN = {"id": pa.int64(), "at": INSTANT, "seen": INSTANT, "y": pa.int64()}
LABELS = {"id": pa.int64(), "known": INSTANT, "y": pa.int64()}


def section(folder: Path, main: list[Row], labels: list[Row] | None, absent: str) -> Row:
    """The section `data`; the label is the main source's own where `labels` is None."""
    types = MAIN if labels is None else {name: kind for name, kind in MAIN.items() if name != "y"}
    rows = [{name: row.get(name) for name in types} for row in main]
    file = store(folder / "main.parquet", types, rows)
    sources = {"main": source("rows", file, event_time="at", known_at="seen", key=["id"])}
    if labels is not None:
        late = store(folder / "labels.parquet", LABELS, labels)
        sources["labels"] = source("labels", late, known_at="known", join=["id"])
    return data(sources, label={"absent": absent, "source": "main" if labels is None else "labels"})


def counted(main: list[Row], labels: list[Row] | None, absent: str, question: RowsQuestion) -> NewRows:
    """The answer by the semantics."""
    rows = unsettled = 0
    for row in main:
        if row["seen"] is None or row["seen"] > NOW or row["at"] >= question.end:
            continue
        if question.start is not None and row["at"] < question.start:
            continue
        instants = [
            item["known"]
            for item in (labels if labels is not None else [{"id": row["id"], "known": row["seen"], "y": row["y"]}])
            if item["id"] == row["id"] and item["y"] is not None and item["known"] and item["known"] <= row["at"] + AGE
        ]
        if instants or absent == "negative":
            rows += 1
            unsettled += max([row["seen"], *([min(instants)] if instants else [])]) >= question.unsettled_since
    return NewRows(rows, unsettled)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Row], list[Row] | None]:
    main: list[Row] = []
    labels: list[Row] = []
    for index in range(draw(st.integers(0, 20))):
        event = draw(st.integers(20, 46))
        late = draw(st.sampled_from([0, 0, 1, 4, 6, None]))
        main.append(
            {
                "id": index if draw(st.integers(0, 9)) else None,
                "at": at(event),
                "seen": None if late is None else at(event + late),
                "y": draw(st.sampled_from([0, 1, None])),
            }
        )
        # No label is withdrawn: a later row of a key has a value too.
        delays = draw(st.lists(st.sampled_from([0, 2, 4, 5]), max_size=2))
        labels += [{"id": index, "known": at(event + delay), "y": draw(st.sampled_from([0, 1]))} for delay in delays]
    return main, draw(st.sampled_from([labels, labels, None]))


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    world=worlds(),
    absent=st.sampled_from(["drop", "negative", "error"]),
    begin=st.sampled_from([None, 20, 30, 44]),
    settle=st.sampled_from([0, 6, 12]),
)
def test_the_count_is_what_the_semantics_say(
    tmp_path_factory: pytest.TempPathFactory,
    world: tuple[list[Row], list[Row] | None],
    absent: str,
    begin: int | None,
    settle: int,
) -> None:
    main, labels = world
    folder = tmp_path_factory.mktemp("world")
    since = NOW - dt.timedelta(hours=settle)
    asked = [
        RowsQuestion("all", None, NOW - AGE, since),
        RowsQuestion("new", None if begin is None else at(begin), NOW - AGE, since),
    ]

    found = new_data.count(section(folder, main, labels, absent), asked, NOW)

    assert found == {question.name: counted(main, labels, absent, question) for question in asked}


def ask(folder: Path, main: list[Row], labels: list[Row], absent: str = "drop") -> object:
    question = RowsQuestion("q", at(20), at(44), at(42))
    return new_data.count(section(folder, main, labels, absent), [question], NOW)["q"]


def test_the_interval_is_half_open(tmp_path: Path) -> None:
    main = [{"id": hour, "at": at(hour), "seen": at(hour)} for hour in (19, 20, 43, 44)]
    labels = [{"id": hour, "known": at(hour), "y": 1} for hour in (19, 20, 43, 44)]

    assert ask(tmp_path, main, labels) == NewRows(2, 1)


def test_a_late_label_neither_counts_nor_unsettles(tmp_path: Path) -> None:
    main = [{"id": 1, "at": at(30), "seen": at(30)}]
    labels = [{"id": 1, "known": at(43), "y": 1}]

    assert ask(tmp_path, main, labels) == NewRows(0, 0)
    assert ask(tmp_path, main, labels, "negative") == NewRows(1, 0)


def test_a_correction_does_not_count_twice_nor_unsettle(tmp_path: Path) -> None:
    main = [{"id": 1, "at": at(40), "seen": at(40)}]
    labels = [{"id": 1, "known": at(41), "y": 0}, {"id": 1, "known": at(43), "y": 1}]

    assert ask(tmp_path, main, labels) == NewRows(1, 0)


def test_without_labels_every_known_row_counts(tmp_path: Path) -> None:
    main = [{"id": hour, "at": at(hour), "seen": at(hour + 2)} for hour in (19, 20, 41, 43, 47)]
    described = {**section(tmp_path, main, [], "drop"), "label": None}

    assert new_data.count(described, [RowsQuestion("q", at(20), NOW, at(44))], NOW) == {
        "q": NewRows(3, 1, labelled=False)
    }


def timeless(folder: Path, main: list[Row], labels: list[Row], *, known_at: str | None = "seen") -> object:
    described = section(folder, main, labels, "drop")
    described["label"]["known_after"] = 0.0
    described["sources"]["main"] |= {"event_time": None, "known_at": known_at}
    return new_data.count(described, [RowsQuestion("q", at(20), NOW, at(44))], NOW)["q"]


def test_a_row_without_time_is_new_when_it_and_its_label_became_known(tmp_path: Path) -> None:
    main = [{"id": index, "at": None, "seen": at(hour)} for index, hour in enumerate((10, 10, 30, 45, 50))]
    known = ((0, 15), (1, 30), (2, 25), (3, 40), (4, 50))
    labels = [{"id": index, "known": at(hour), "y": 1} for index, hour in known]

    assert timeless(tmp_path, main, labels) == NewRows(3, 1)


def test_rows_that_do_not_say_when_they_were_known_cannot_be_counted_as_new(tmp_path: Path) -> None:
    found = timeless(tmp_path, [{"id": 1, "at": None, "seen": at(30)}], [], known_at=None)

    assert isinstance(found, NotEvaluable)
    assert "source main does not say when its rows became known" in found.reason


def test_labels_that_do_not_say_when_they_were_known_cannot_be_counted_as_new(tmp_path: Path) -> None:
    described = section(tmp_path, [{"id": 1, "at": None, "seen": at(30)}], [{"id": 1, "known": at(30), "y": 1}], "drop")
    described["sources"]["labels"]["known_at"] = None

    found = new_data.count(described, [RowsQuestion("q", None, NOW, NOW)], NOW)["q"]

    assert isinstance(found, NotEvaluable)
    assert "source labels does not say" in found.reason


def test_rows_that_are_not_kept_do_not_count(tmp_path: Path) -> None:
    described = section(
        tmp_path, [{"id": hour, "at": at(hour), "seen": at(hour)} for hour in (30, 31)], None, "negative"
    )
    few = {"name": "few", "kind": "range", "arguments": {"column": "id", "max": 30}}
    described["sources"]["main"]["keep"] = [few]

    assert new_data.count(described, [RowsQuestion("q", None, at(44), NOW)], NOW) == {"q": NewRows(1, 0)}


def test_a_missing_column_is_a_message(tmp_path: Path) -> None:
    described = section(tmp_path, [], [], "drop")
    described["label"]["column"] = "yy"

    with pytest.raises(StepFailed, match="source labels has no column `yy`; did you mean `y`"):
        new_data.count(described, [], NOW)
