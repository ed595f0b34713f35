"""Slices of the judged rows: by the values of a column, or between the edges of a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ctc.steps.predictions import floats
from ctc.steps.task import StepFailed

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

NULL = "null"
"""The value of rows that have none."""


@dataclass(frozen=True)
class Slice:
    """The rows by value: `codes` number the `names`. A value is judged if it has enough rows and positives."""

    name: str
    codes: Indices
    names: pa.Array
    min_rows: int
    min_positives: int

    def parts(self, rows: Indices, positive: NDArray[np.bool_]) -> tuple[dict[str, Indices], dict[str, str], int]:
        """The values' rows among `rows`, in the order of the names; why others are not judged; and how many these are.

        `positive` says which of all rows are. Of the values that are not judged the largest are named.
        """
        codes = self.codes[rows]
        size = len(self.names)
        counts, positives = np.bincount(codes, minlength=size), np.bincount(codes[positive[rows]], minlength=size)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(counts)
        # Chosen before anything becomes a Python object: a column may have as many values as there are rows.
        enough = (counts >= max(self.min_rows, 1)) & (positives >= self.min_positives)
        chosen, small = np.flatnonzero(enough), np.flatnonzero(~enough & (counts > 0))
        found = {
            name: rows[order[ends[code] - counts[code] : ends[code]]]
            for code, name in zip(chosen, self._named(chosen), strict=True)
        }
        shown = small[np.argsort(-counts[small], kind="stable")][:_SHOWN]
        reasons = {
            name: self._too_small(int(counts[code]), int(positives[code]))
            for code, name in zip(shown, self._named(shown), strict=True)
        }
        return found, reasons, len(small)

    def _named(self, codes: Indices) -> list[str]:
        names: list[str] = self.names.take(pa.array(codes)).to_pylist()
        return names

    def _too_small(self, rows: int, positives: int) -> str:
        if rows < self.min_rows:
            return f"{rows} rows; at least {self.min_rows} are asked for"
        return f"{positives} positive rows; at least {self.min_positives} are asked for"


_SHOWN = 20


def of(section: Mapping[str, Any], column: pa.ChunkedArray) -> Slice:
    """One slice of the `evaluation` section. StepFailed if the column cannot be sliced so."""
    name, edges = section["name"], section.get("edges") or ()
    codes, names = _bands(column, name, edges) if edges else _values(column, name)
    return Slice(name, codes, names, int(section["min_rows"]), int(section.get("min_positives", 0)))


def _values(column: pa.ChunkedArray, name: str) -> tuple[Indices, pa.Array]:
    """Values as text, in order; rows without one are `null`."""
    try:
        texts = column.cast(pa.string())
    except pa.ArrowException as error:
        raise StepFailed(f"slice {name}: a column of {column.type} has no values to slice by") from error
    coded = (texts.fill_null(NULL) if texts.null_count else texts).combine_chunks().dictionary_encode()
    order = pc.sort_indices(coded.dictionary)
    place = np.empty(len(order), dtype=np.int64)
    place[np.from_dlpack(order)] = np.arange(len(order))
    return place[np.from_dlpack(coded.indices)], coded.dictionary.take(order)


def _bands(column: pa.ChunkedArray, name: str, edges: tuple[float, ...]) -> tuple[Indices, pa.Array]:
    """`[-inf, a)`, `[a, b)`, ... `[z, inf)`, and `null` for rows without a number."""
    try:
        values = floats(column)
    except pa.ArrowException as error:
        raise StepFailed(f"slice {name}: a column of {column.type} has no numbers for `edges`") from error
    bounds = ["-inf", *(f"{edge:g}" for edge in edges), "inf"]
    names = [f"[{low}, {high})" for low, high in pairwise(bounds)]
    codes = np.searchsorted(np.asarray(edges, dtype=np.float64), values, side="right")
    return np.where(np.isnan(values), len(names), codes).astype(np.int64), pa.array([*names, NULL])
