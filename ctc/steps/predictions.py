"""What a model's predict command wrote, read strictly: one finite number for each row of the holdout, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
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


def read(folder: Path, row_ids: Sequence[str], task: str) -> Floats:
    """The predictions in the order of `row_ids` (each there once). Malformed if they do not match the rows exactly."""
    column = COLUMNS[task]
    table = _table(folder / "predictions.parquet", column)
    ids = [str(value) for value in table["row_id"].to_pylist()]
    values = _numbers(table[column], column)
    position = {row_id: index for index, row_id in enumerate(ids)}
    if len(position) != len(ids):
        seen: set[str] = set()
        repeated = [row_id for row_id in ids if row_id in seen or seen.add(row_id)]  # type: ignore[func-returns-value]
        raise Malformed(f"the predictions name {_some(repeated)} twice: write one row for each row_id")
    wanted = set(row_ids)
    missing = [row_id for row_id in row_ids if row_id not in position]
    extra = [row_id for row_id in ids if row_id not in wanted]
    if missing or extra:
        said = [f"{len(missing)} missing ({_some(missing)})"] if missing else []
        said += [f"{len(extra)} that nobody asked for ({_some(extra)})"] if extra else []
        raise Malformed(
            f"the predictions do not match the {len(wanted)} rows: {', '.join(said)}; write one row for each row_id"
        )
    bad = [row_id for row_id, value in zip(ids, values, strict=True) if not np.isfinite(value)]
    if bad:
        raise Malformed(f"`{column}` is NaN or infinite in {len(bad)} rows ({_some(bad)}): write a finite number")
    return values[[position[row_id] for row_id in row_ids]]


def _table(file: Path, column: str) -> pa.Table:
    if not file.is_file():
        raise Malformed(f"there is no {file.name}: predict must write the file that it is given as {{predictions}}")
    try:
        table = pq.read_table(file)
    except pa.ArrowException as error:
        raise Malformed(f"{file.name} cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    for name in ("row_id", column):
        if name not in table.column_names:
            raise Malformed(f"{file.name} has no column `{name}`; it has: {', '.join(table.column_names)}")
    return table


def _numbers(column: pa.ChunkedArray, name: str) -> Floats:
    try:
        values: Floats = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        raise Malformed(f"`{name}` is {column.type}: write numbers") from error
    return values


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(ids[:_SHOWN])
    return f"{shown} and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else shown
