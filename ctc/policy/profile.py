"""Profiles: what is kept of a column's distribution, so that drift needs no old data.

A numeric column keeps its empirical distribution: every distinct value with the number of rows at or below it, up to
POINTS values; beyond that POINTS values that cut the rows into equal shares, each still with its exact number of rows,
so that the distribution between two of them is known to within 1 / POINTS of the rows. Others keep the counts of their
values, at most VALUES of them and one `other`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

VERSION = 1

POINTS = 10_000
"""The most values of a numeric column that are kept."""

VALUES = 1_000
"""The most values of any other column that are kept by name."""

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Numeric:
    """Rows at or below each of `values` (ascending) are `upto`, a count; `upto` ends with the rows that have a value.

    `rows` counts the missing ones too. `exact`: every distinct value is there. `mean` and `std` (with n - 1) are of the
    values, None where there are too few.
    """

    rows: int
    missing: int
    values: Floats
    upto: Counts
    mean: float | None
    std: float | None
    exact: bool = True

    kind: Literal["numeric"] = "numeric"

    @property
    def present(self) -> int:
        return self.rows - self.missing

    def to_json(self) -> dict[str, Any]:
        """Values and counts are texts of numbers: a tenth of the lines, and infinities have a place."""
        return {
            "kind": self.kind,
            "rows": self.rows,
            "missing": self.missing,
            "values": " ".join(repr(value) for value in self.values.tolist()),
            "upto": " ".join(str(count) for count in self.upto.tolist()),
            "mean": self.mean,
            "std": self.std,
            "exact": self.exact,
        }


@dataclass(frozen=True)
class Categorical:
    """Rows by value, as text; `other` rows have values that are not kept. `rows` counts the missing ones too."""

    rows: int
    missing: int
    counts: Mapping[str, int]
    other: int = 0

    kind: Literal["categorical"] = "categorical"

    @property
    def present(self) -> int:
        return self.rows - self.missing

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "rows": self.rows,
            "missing": self.missing,
            "counts": dict(self.counts),
            "other": self.other,
        }


Column = Numeric | Categorical


@dataclass(frozen=True)
class Profile:
    """The columns of a table; `skipped` are those of a type that has no distribution here, with the type."""

    columns: Mapping[str, Column]
    skipped: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "skipped": dict(self.skipped),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        """ValueError, KeyError or TypeError where the document has another shape."""
        if document["version"] != VERSION:
            raise ValueError(f"the profile has version {document['version']!r}; this ctc reads version {VERSION}")
        columns = {name: _column(column) for name, column in document["columns"].items()}
        return cls(columns, dict(document["skipped"]))


def of_numbers(values: ArrayLike) -> Numeric:
    """The profile of numbers, NaN being missing."""
    given = np.asarray(values, dtype=np.float64)
    present = np.sort(given[~np.isnan(given)])
    distinct, counts = np.unique(present, return_counts=True)
    upto = np.cumsum(counts)
    exact = len(distinct) <= POINTS
    if not exact:
        bucket = (upto - 1) * POINTS // len(present)
        last = np.append(np.flatnonzero(np.diff(bucket)), len(bucket) - 1)
        distinct, upto = distinct[last], upto[last]
    finite = bool(len(present)) and bool(np.isfinite(present).all())
    mean = float(present.mean()) if finite else None
    std = float(present.std(ddof=1)) if finite and len(present) > 1 else None
    return Numeric(len(given), len(given) - len(present), distinct, upto.astype(np.int64), mean, std, exact)


def _column(document: Mapping[str, Any]) -> Column:
    rows, missing = int(document["rows"]), int(document["missing"])
    match document["kind"]:
        case "numeric":
            values = np.array([float(word) for word in document["values"].split()], dtype=np.float64)
            upto = np.array([int(word) for word in document["upto"].split()], dtype=np.int64)
            return Numeric(rows, missing, values, upto, document["mean"], document["std"], bool(document["exact"]))
        case "categorical":
            counts = {str(value): int(count) for value, count in document["counts"].items()}
            return Categorical(rows, missing, counts, int(document["other"]))
        case kind:
            raise ValueError(f"a profile has no column of kind {kind!r}")
