"""Profiles: what is kept of a column's distribution, so that drift needs no old data.

A numeric column keeps its empirical distribution: every distinct value with the number of rows at or below it, up to
POINTS values; beyond that POINTS values that cut the rows into equal shares, each still with its exact number of rows,
so that the distribution between two of them is known to within 1 / POINTS of the rows. Others keep the counts of their
values, at most VALUES of them and one `other`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

VERSION = 1

POINTS = 10_000
"""The most values of a numeric column that are kept."""

VALUES = 1_000
"""The most values of any other column that are kept by name."""

PIECE = 1 << 16
"""Numbers that are squared at a time."""

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
            "values": " ".join(map(repr, self.values.tolist())),
            "upto": " ".join(map(str, self.upto.tolist())),
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
    given = np.array(values, dtype=np.float64)
    given.sort()
    return of_sorted(given)


def of_sorted(values: Floats) -> Numeric:
    """The profile of ascending numbers, those that are missing (NaN) at the end, as `numpy.sort` leaves them."""
    present = values[: np.searchsorted(values, np.nan)]
    if len(present) == 0:
        return Numeric(len(values), len(values), np.empty(0), np.empty(0, dtype=np.int64), None, None)
    changes = present[1:] != present[:-1]
    exact = int(np.count_nonzero(changes)) < POINTS
    last = np.append(np.flatnonzero(changes), len(present) - 1) if exact else _bucket_ends(present, changes)
    mean, std = _moments(present)
    # A zero of either sign is one value.
    return Numeric(len(values), len(values) - len(present), present[last] + 0.0, last + 1, mean, std, exact)


def _bucket_ends(present: Floats, changes: NDArray[np.bool_]) -> Counts:
    """Of each of POINTS equal shares of ascending rows the last place at which a value ends, if one does."""
    rows = len(present)
    share = (np.arange(1, POINTS + 1) * rows - 1) // POINTS
    first = np.append(0, share[:-1] + 1)
    before = np.searchsorted(present, present[share]) - 1
    last: Counts = np.where(np.append(changes, True)[share], share, before)
    return last[last >= first]


def _moments(present: Floats) -> tuple[float | None, float | None]:
    """Mean and standard deviation of ascending numbers, in two passes; None where they are infinite or too few."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(present.mean())
        # In pieces that stay in the processor's cache, without a second array of all rows.
        squares = sum(float(np.square(part - mean).sum()) for part in _pieces(present))
        std = math.sqrt(squares / (len(present) - 1)) if len(present) > 1 else None
    return mean if math.isfinite(mean) else None, std if std is not None and math.isfinite(std) else None


def _pieces(values: Floats) -> Iterator[Floats]:
    return (values[start : start + PIECE] for start in range(0, len(values), PIECE))


def of_ordered(batches: Iterable[Floats], rows: int, present: int, mean: float | None, std: float | None) -> Numeric:
    """The same of more rows than memory holds: `present` of them have a value, which come in ascending batches."""
    kept = _Ordered(present)
    for batch in batches:
        kept.add(batch)
    values, upto = kept.points()
    return Numeric(rows, rows - present, values + 0.0, upto, mean, std, kept.distinct <= POINTS)


class _Ordered:
    """The points of ascending batches: all values while they are few enough, and the last one of each equal share."""

    def __init__(self, present: int) -> None:
        self.distinct = 0
        self._present, self._seen = present, 0
        self._open: Floats = np.empty(0)
        self._all: list[tuple[Floats, Counts]] = []
        self._shares: dict[int, tuple[float, int]] = {}

    def add(self, batch: Floats) -> None:
        if len(batch) == 0:
            return
        # The last value of a batch may go on in the next one: it waits for that.
        values = np.concatenate([self._open, batch])
        ends = np.flatnonzero(values[1:] != values[:-1])
        self._end(values[ends], ends + 1 + self._seen - len(self._open))
        self._seen += len(batch)
        self._open = values[-1:].copy()

    def _end(self, values: Floats, upto: Counts) -> None:
        self.distinct += len(values)
        if self.distinct <= POINTS:
            self._all.append((values, upto))
        share = (upto - 1) * POINTS // self._present
        last = np.flatnonzero(np.append(np.diff(share) != 0, True)[: len(share)])
        ends = zip(values[last].tolist(), upto[last].tolist(), strict=True)
        self._shares.update(zip(share[last].tolist(), ends, strict=True))

    def points(self) -> tuple[Floats, Counts]:
        self._end(self._open, np.full(len(self._open), self._seen))
        self._open = self._open[:0]
        if self.distinct <= POINTS:
            values = np.concatenate([pair[0] for pair in self._all])
            return values, np.concatenate([pair[1] for pair in self._all]).astype(np.int64)
        pairs = np.array(list(self._shares.values()))
        return pairs[:, 0], pairs[:, 1].astype(np.int64)


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
