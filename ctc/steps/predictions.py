"""What a model's predict command wrote, read strictly: one finite number for each row of the holdout, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ctc.steps.task import StepFailed

Floats = NDArray[np.float64]

COLUMNS = {"binary": "score", "regression": "prediction"}
"""The column that holds the prediction, by task."""

_SHOWN = 3


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
    """The predictions in the order of `row_ids` (strings, each there once).

    Malformed if they do not match the rows exactly, or are no finite numbers, or, where `probabilities` are asked for,
    lie outside of [0, 1].
    """
    column = COLUMNS[task]
    table = _table(folder / "predictions.parquet", column)
    ids = _strings(table["row_id"])
    _require_same_rows(ids, row_ids)
    values = _numbers(table[column], column)
    _refuse(~np.isfinite(values), ids, f"`{column}` is NaN, missing or infinite", "write a finite number")
    if probabilities:
        outside = (values < 0) | (values > 1)
        _refuse(outside, ids, f"`{column}` is outside of 0 to 1", "a metric of this spec needs probabilities")
    places: Floats = values[np.from_dlpack(pc.index_in(row_ids, value_set=ids))]
    return places


def floats(column: pa.ChunkedArray) -> Floats:
    """A numeric column as numpy; NaN where it is null. `to_numpy` would load pandas, a quarter of a second."""
    whole = column.cast(pa.float64()).combine_chunks()
    whole = whole.fill_null(float("nan")) if whole.null_count else whole
    return np.asarray(np.from_dlpack(whole), dtype=np.float64)


def _table(file: Path, column: str) -> pa.Table:
    if not file.is_file():
        raise Malformed(f"there is no {file.name}: predict must write the file that it is given as {{predictions}}")
    try:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        for name in ("row_id", column):
            if names.count(name) != 1:
                how = "no" if name not in names else "more than one"
                raise Malformed(f"{file.name} has {how} column `{name}`; it has: {', '.join(names)}")
        return parquet.read(columns=["row_id", column])
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
