"""What the tables of a folder are taken for, and what the user said of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, Literal, TypeVar

from ctc.diagnostics import CtcError
from ctc.init.tables import Column, Table

T = TypeVar("T")
Task = Literal["binary", "regression"]


@dataclass(frozen=True)
class Guess(Generic[T]):
    """A value, and why it was chosen; `why` is empty where the user said so. `todo`: somebody must look at it."""

    value: T
    why: str = ""
    todo: bool = False


@dataclass(frozen=True)
class Wishes:
    """What the user said already; None is for us to guess."""

    label: str | None = None
    event_time: str | None = None
    key: tuple[str, ...] | None = None
    task: Task | None = None
    known_after: timedelta | None = None


@dataclass(frozen=True)
class Joined:
    """A table whose rows meet the main table's by a column of the same name."""

    table: Table
    key: str
    known_at: Guess[str]


@dataclass(frozen=True)
class Data:
    """What plays which part. `labels` is None where the label stands in the main table itself.

    `later` are time columns of the main table that come after the event: they would tell of the label. `unused` are the
    tables that play no part, with the reason.
    """

    main: Table
    event_time: Guess[str]
    key: Guess[tuple[str, ...]]
    label: Guess[str]
    task: Guess[Task]
    known_after: Guess[timedelta]
    labels: Joined | None
    features: tuple[Joined, ...]
    later: tuple[str, ...]
    unused: tuple[tuple[Table, str], ...]

    @property
    def label_table(self) -> Table:
        return self.main if self.labels is None else self.labels.table


def require_column(table: Table, name: str, option: str) -> Column:
    """The column of that name; CtcError, with the closest there is, if there is none."""
    column = table.column(name)
    if column is None:
        known = [item.name for item in table.columns]
        raise CtcError(f"{option}: {table.path} has no column `{name}`", did_you_mean(name, known))
    return column


def column_of(table: Table, name: str) -> Column:
    column = table.column(name)
    assert column is not None
    return column


def did_you_mean(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(names)}"
