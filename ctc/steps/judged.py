"""The judged rows: their labels, the groups and units that they come in, and the columns that metrics read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ctc.policy.statistics import NotEvaluable
from ctc.steps import predictions, slices
from ctc.steps.metrics import LABEL_FREE
from ctc.steps.parts import PART
from ctc.steps.predictions import Floats, Predictions
from ctc.steps.slices import Slice
from ctc.steps.task import StepFailed

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Texts:
    """A column of names: `values` by row, `codes` their numbers from 0."""

    values: pa.Array
    codes: Indices


@dataclass(frozen=True)
class Judged:
    """The judged rows, in the order of `row_id`.

    `labels` are 0 and 1, numbers of `classes`, relevances, numbers, or without a label empty. `events` are microseconds
    since 1970 in UTC, None where rows have no time. `columns` are those of the snapshot that metrics name. `every` are
    the rows of the holdout, `fixed` those that stand beside it, by the source that a `forgetting` gate names.
    """

    ids: pa.Array
    events: Indices | None
    labels: Floats
    classes: tuple[str, ...]
    positive: NDArray[np.bool_]
    group: Texts | None
    unit: Texts | None
    slices: Mapping[str, Slice]
    columns: Mapping[str, Floats]
    every: Indices
    fixed: Mapping[str, Indices]

    @property
    def n(self) -> int:
        return len(self.ids)

    def part(self, rows: Indices) -> Part:
        """These rows, their units numbered anew."""
        return Part(
            rows,
            self.labels[rows] if len(self.labels) else self.labels,
            np.empty(0, dtype=np.int64) if self.group is None else self.group.codes[rows],
            None if self.unit is None else np.unique(self.unit.codes[rows], return_inverse=True)[1],
        )

    def scores(self, metric: Mapping[str, Any], model: Predictions, part: Part) -> Floats:
        """What a metric reads of a model on these rows. NotEvaluable if the model has no such column."""
        if metric["kind"] in LABEL_FREE:
            name = metric["arguments"]["column"]
            column = model.columns.get(name, self.columns.get(name))
            if column is None:
                raise NotEvaluable(f"there is no column `{name}`")
            return column[part.rows]
        if metric["kind"] == "pinball":
            return model.columns.get(quantile_column(metric), model.scores)[part.rows]
        return model.scores[part.rows]


@dataclass(frozen=True)
class Part:
    """Some of the judged rows, by their numbers. `units` are numbered from 0, None where rows are units."""

    rows: Indices
    labels: Floats
    groups: Indices
    units: Indices | None

    @property
    def n_units(self) -> int:
        return len(self.rows) if self.units is None else int(self.units.max(initial=-1)) + 1


def read(folder: Path, policy: Mapping[str, Any], classes: Iterable[str] = ()) -> Judged:
    """The snapshot's holdout. `classes` are those that a model knows. StepFailed if it lacks what is asked of it."""
    section, data = policy["evaluation"], policy["data"]
    label = None if data["label"] is None else data["label"]["column"]
    group = section.get("group")
    units = list(section.get("unit") or ())
    parquet = pq.ParquetFile(folder / "data.parquet")
    known = parquet.schema_arrow.names
    _require(known, section, label, group, units)
    named = [name for name in metric_columns(section) if name in known]
    wanted = [
        "row_id",
        "event_time",
        PART,
        label,
        group,
        *units,
        *(part["column"] for part in section["slices"]),
        *named,
    ]
    table = parquet.read(columns=list(dict.fromkeys(name for name in wanted if name in known))).sort_by("row_id")
    ids = table["row_id"].cast(pa.string()).combine_chunks()
    _require_once(ids)
    every, fixed = _parts(table)
    judging = policy.get("windows", {}).get("source")
    if judging is not None:
        fixed.setdefault(judging, every)
    labels, all_classes = _labels(table, label, data["task"], classes)
    return Judged(
        ids=ids,
        events=_events(table),
        labels=labels,
        classes=all_classes,
        positive=labels == 1 if data["task"] == "binary" and label else np.zeros(len(ids), dtype=np.bool_),
        group=None if group is None else _texts(table, [group]),
        unit=_texts(table, units) if units else None,
        slices={part["name"]: slices.of(part, table[part["column"]]) for part in section["slices"]},
        columns={name: column for name in named if (column := _numbers(table[name])) is not None},
        every=every,
        fixed=fixed,
    )


def metric_columns(section: Mapping[str, Any]) -> list[str]:
    """The columns that metrics name, and those of quantiles."""
    named = [metric["arguments"]["column"] for metric in section["metrics"] if metric["kind"] in LABEL_FREE]
    quantiles = [quantile_column(metric) for metric in section["metrics"] if metric["kind"] == "pinball"]
    return list(dict.fromkeys([*named, *quantiles]))


def quantile_column(metric: Mapping[str, Any]) -> str:
    """The column of a predicted quantile, such as `quantile_0.9`; `prediction` where there is none."""
    return f"quantile_{metric['arguments']['quantile']:g}"


def _require(known: list[str], section: Mapping[str, Any], label: str | None, group: str | None, units: Any) -> None:
    asked = [(f"slice {part['name']}", part["column"]) for part in section["slices"]]
    asked += [("`evaluation.unit`", name) for name in units]
    asked += [("the label", label)] if label else []
    asked += [("the ranking's group", group)] if group else []
    for place, column in asked:
        if column not in known:
            raise StepFailed(f"{place}: the snapshot has no column `{column}`; it has: {', '.join(known)}")


def _require_once(ids: pa.Array) -> None:
    repeated = len(ids) - len(pc.unique(ids))
    if repeated:
        raise StepFailed(
            f"{repeated} rows of the holdout repeat their key, so predictions cannot be told apart; "
            "name the columns that identify a row as `key`, and add a `unique` check"
        )


def _events(table: pa.Table) -> Indices | None:
    if "event_time" not in table.column_names:
        return None
    events = table["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).combine_chunks()
    if events.null_count:
        return None
    return np.asarray(np.from_dlpack(events), dtype=np.int64)


def _parts(table: pa.Table) -> tuple[Indices, dict[str, Indices]]:
    """The rows of the holdout, and those of each fixed source beside it."""
    if PART not in table.column_names:
        return np.arange(len(table)), {}
    coded = table[PART].cast(pa.string()).combine_chunks().dictionary_encode("encode")
    names = coded.dictionary.to_pylist()
    codes = np.asarray(np.from_dlpack(coded.indices), dtype=np.int64)
    found = {name: np.flatnonzero(codes == code) for code, name in enumerate(names)}
    return found.pop(None, np.empty(0, dtype=np.int64)), found


def _labels(table: pa.Table, label: str | None, task: str, classes: Iterable[str]) -> tuple[Floats, tuple[str, ...]]:
    if label is None:
        return np.empty(0), ()
    if task != "multiclass":
        return predictions.floats(table[label]), ()
    coded = table[label].cast(pa.string()).combine_chunks().dictionary_encode()
    there = coded.dictionary.to_pylist()
    every = tuple(sorted({*there, *classes}))
    numbers = np.array([every.index(name) for name in there], dtype=np.float64)
    return numbers[np.from_dlpack(coded.indices)], every


def _texts(table: pa.Table, columns: list[str]) -> Texts:
    """Several columns joined by `|`; rows without a value are of one name together."""
    try:
        parts = [table[name].cast(pa.string()).combine_chunks().fill_null(slices.NULL) for name in columns]
    except pa.ArrowException as error:
        raise StepFailed(f"the columns {', '.join(columns)} are no names: {error}") from error
    values = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, "|")
    codes = np.asarray(np.from_dlpack(values.dictionary_encode().indices), dtype=np.int64)
    return Texts(values, codes)


def _numbers(column: pa.ChunkedArray) -> Floats | None:
    """None for a column of no numbers: the metric that names it then says that there is none."""
    try:
        return predictions.floats(column)
    except pa.ArrowException:
        return None
