"""What a model's predict command wrote, read strictly: one row for each of the holdout, all numbers finite.

The column is `score` for a binary task and a ranking, `prediction` for a regression and a forecast, and `score_CLASS`
for each of several classes, where CLASS is the label as text. More columns are read if a metric names them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ctc.steps.task import StepFailed

Floats = NDArray[np.float64]

COLUMNS = {"binary": "score", "ranking": "score", "regression": "prediction", "forecast": "prediction"}
"""The column that holds the prediction, by task."""

CLASS = "score_"
"""Before a class's name in the column of its score."""

FILE = "predictions.parquet"
ADDED = "columns.parquet"
"""What `evaluation.score` adds to a model's rows: `row_id` and columns."""

_SHOWN = 3


@dataclass(frozen=True)
class Predictions:
    """One model's answers, in the order of the judged rows.

    `scores` are (rows,), of several classes (rows, classes), and empty where there is no label and no such column;
    `columns` are those that metrics name.
    """

    scores: Floats
    columns: Mapping[str, Floats] = field(default_factory=dict)


class Malformed(StepFailed):
    """The predictions are not what the contract asks for; the message says how."""


def absent(folder: Path) -> bool:
    """True where the step had no champion to run."""
    return (folder / "absent.json").is_file()


def not_comparable(folder: Path) -> str:
    """Why the step could not give the champion's command what it was made for; empty if it could."""
    file = folder / "not_comparable.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["reason"]) if file.is_file() else ""


def read(folder: Path, row_ids: pa.Array, task: str, *, probabilities: bool = False) -> Floats:
    """The predictions of a task with one column, in the order of `row_ids` (strings, each there once).

    Malformed if they do not match the rows exactly, or are no finite numbers, or, where `probabilities` are asked for,
    lie outside of [0, 1].
    """
    return _read(folder / FILE, row_ids, [COLUMNS[task]], probabilities)[COLUMNS[task]]


def read_model(
    folder: Path,
    row_ids: pa.Array,
    task: str,
    *,
    also: Iterable[str] = (),
    probabilities: bool = False,
    labelled: bool = True,
) -> Predictions:
    """As `read`, for every task but multiclass; the prediction may be missing where there are no labels.

    The columns `also` are read where they are there.
    """
    there = names(folder)
    column = COLUMNS.get(task, "score")
    if column not in there and not labelled:
        found = _read(folder / FILE, row_ids, [name for name in also if name in there], False)
        return Predictions(np.empty(0), found)
    more = [name for name in also if name in there and name != column]
    found = _read(folder / FILE, row_ids, [column], probabilities) | _read(folder / FILE, row_ids, more, False)
    return Predictions(found[column], found)


def read_classes(
    folder: Path, row_ids: pa.Array, classes: Sequence[str], needed: Iterable[str], also: Iterable[str] = ()
) -> Predictions:
    """The scores of `classes`, in their order; 0 for one without a column, Malformed if it is `needed`."""
    there = names(folder)
    lacking = sorted(set(needed) - set(class_names(there)))
    if lacking:
        told = ", ".join(f"`{CLASS}{name}`" for name in lacking[:_SHOWN])
        raise Malformed(
            f"{FILE} has no column {told}, and the holdout has rows of that class: write one for each class"
        )
    columns = [f"{CLASS}{name}" for name in classes]
    known = [column for column in columns if column in there]
    more = [name for name in also if name in there and name not in known]
    found = _read(folder / FILE, row_ids, known, False) | _read(folder / FILE, row_ids, more, False)
    scores = np.column_stack([found.get(column, np.zeros(len(row_ids))) for column in columns])
    return Predictions(scores, found)


def read_added(folder: Path, row_ids: pa.Array, also: Iterable[str]) -> Mapping[str, Floats]:
    """The columns `also` that `evaluation.score` has added to the rows, where they are there."""
    there = _names(folder / ADDED)
    return _read(folder / ADDED, row_ids, [name for name in also if name in there], False)


def names(folder: Path) -> list[str]:
    """The columns of the predictions."""
    return _names(folder / FILE)


def class_names(columns: Iterable[str]) -> list[str]:
    """The classes that have a column of their own."""
    return [column.removeprefix(CLASS) for column in columns if column.startswith(CLASS)]


def _read(file: Path, row_ids: pa.Array, columns: Sequence[str], probabilities: bool) -> dict[str, Floats]:
    table = _table(file, columns)
    ids = _strings(table["row_id"])
    _require_same_rows(ids, row_ids)
    order = np.from_dlpack(pc.index_in(row_ids, value_set=ids))
    found: dict[str, Floats] = {}
    for column in columns:
        values = _numbers(table[column], column)
        _refuse(~np.isfinite(values), ids, f"`{column}` is NaN, missing or infinite", "write a finite number")
        if probabilities:
            outside = (values < 0) | (values > 1)
            _refuse(outside, ids, f"`{column}` is outside of 0 to 1", "a metric of this spec needs probabilities")
        found[column] = values[order]
    return found


def floats(column: pa.ChunkedArray) -> Floats:
    """A numeric column as numpy; NaN where it is null. `to_numpy` would load pandas, a quarter of a second."""
    whole = column.cast(pa.float64()).combine_chunks()
    whole = whole.fill_null(float("nan")) if whole.null_count else whole
    return np.asarray(np.from_dlpack(whole), dtype=np.float64)


def _names(file: Path) -> list[str]:
    if not file.is_file():
        raise Malformed(f"there is no {file.name}: predict must write the file that it is given as {{predictions}}")
    try:
        schema: list[str] = pq.ParquetFile(file).schema_arrow.names
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    return schema


def _table(file: Path, columns: Sequence[str]) -> pa.Table:
    there = _names(file)
    for name in ("row_id", *columns):
        if there.count(name) != 1:
            how = "no" if name not in there else "more than one"
            raise Malformed(f"{file.name} has {how} column `{name}`; it has: {', '.join(there)}")
    try:
        return pq.ParquetFile(file).read(columns=["row_id", *columns])
    except (pa.ArrowException, OSError) as error:
        raise Malformed(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _strings(column: pa.ChunkedArray) -> pa.Array:
    try:
        return column.cast(pa.string()).combine_chunks()
    except pa.ArrowException as error:
        raise Malformed(f"`row_id` is {column.type}: write the row_id of each row as it was given") from error


def _numbers(column: pa.ChunkedArray, name: str) -> Floats:
    try:
        return floats(column)
    except pa.ArrowException as error:
        raise Malformed(f"`{name}` is {column.type}: write numbers") from error


def _require_same_rows(ids: pa.Array, wanted: pa.Array) -> None:
    if len(pc.unique(ids)) != len(ids):
        counts = ids.value_counts()
        repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
        raise Malformed(f"the predictions name {_some(repeated)} twice: write one row for each row_id")
    missing = wanted.filter(pc.is_null(pc.index_in(wanted, value_set=ids)))
    extra = ids.filter(pc.is_null(pc.index_in(ids, value_set=wanted)))
    said = [f"{len(missing)} missing ({_some(missing)})"] if len(missing) else []
    said += [f"{len(extra)} that nobody asked for ({_some(extra)})"] if len(extra) else []
    if said:
        raise Malformed(
            f"the predictions do not match the {len(wanted)} rows: {', '.join(said)}; write one row for each row_id"
        )


def _refuse(bad: NDArray[np.bool_], ids: pa.Array, what: str, instead: str) -> None:
    if bad.any():
        chosen = ids.take(pa.array(np.flatnonzero(bad)))
        raise Malformed(f"{what} in {len(chosen)} rows ({_some(chosen)}): {instead}")


def _some(ids: pa.Array) -> str:
    shown = ", ".join(_shown(value) for value in ids[:_SHOWN].to_pylist())
    return f"{shown} and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else shown


def _shown(value: Any) -> str:
    return "a missing row_id" if value is None else str(value)
