"""How the other tables meet the main one: by which column, and when their rows were known."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ctc.init.parts import Guess, Joined, column_of
from ctc.init.tables import Column, Database, Table, instant, quoted, scan


def later_by(database: Database, one: Table, event: str, other: Joined | str) -> tuple[float, float] | None:
    """The median and the 99th percentile of the seconds from the event to a later time; None without such rows."""
    start = instant(column_of(one, event))
    if isinstance(other, str):
        end, source = instant(column_of(one, other)), scan(one.path)
        sql = f"SELECT ({end} - {start}) / 1e6 AS s FROM {source}"
    else:
        end, key = instant(column_of(other.table, other.known_at.value)), quoted(other.key)
        sql = (
            f"SELECT (b.t - a.t) / 1e6 AS s FROM (SELECT {key} AS k, {start} AS t FROM {scan(one.path)}) a "
            f"JOIN (SELECT {key} AS k, {end} AS t FROM {scan(other.table.path)}) b ON a.k = b.k"
        )
    found = database.one(f"SELECT quantile_cont(s, 0.5), quantile_cont(s, 0.99) FROM ({sql})", one.path)
    return None if found[0] is None else (float(found[0]), float(found[1]))


def later_times(database: Database, main: Table, event_time: str) -> tuple[str, ...]:
    """The time columns whose values come after the event in nearly every row."""
    found = []
    for column in main.of_kind("time"):
        if column.name == event_time:
            continue
        gap = later_by(database, main, event_time, column.name)
        if gap is not None and gap[0] > 0:
            found.append(column.name)
    return tuple(found)


def row_join(main: Table, key: tuple[str, ...], table: Table) -> Joined | None:
    """How a table that speaks of single rows of the main one meets them; None if it does not."""
    if _same_columns(main, table):
        return None
    shared = [name for name in (*key, *main.unique) if table.column(name) is not None]
    known_at = _known_at(table)
    if not shared or known_at is None or (len(key) > 1 and shared[0] not in main.unique):
        return None
    return Joined(table, shared[0], known_at)


def _known_at(table: Table) -> Guess[str] | None:
    times = [column for column in table.of_kind("time") if not column.missing]
    if not times:
        return None
    named = [column for column in times if re.search(r"known|avail|publish|settled|record|load", column.name.lower())]
    if named:
        return Guess(named[0].name, "its name says so")
    if len(times) == 1:
        return Guess(times[0].name, "the only timestamp column")
    return Guess(times[-1].name, "the last of the timestamp columns", True)


def feature_joins(
    main: Table, event_time: str, labels: Joined | None, others: Sequence[Table], label: str
) -> tuple[tuple[Joined, ...], list[tuple[Table, str]]]:
    features: list[Joined] = []
    unused: list[tuple[Table, str]] = []
    taken = {column.name.lower() for column in main.columns} | {"event_time", "row_id"}
    for table in others:
        if labels is not None and table is labels.table:
            continue
        known_at = _known_at(table)
        shared = [
            column.name
            for column in table.columns
            if column.name not in (event_time, label)
            and column.kind in ("text", "number")
            and not _is_float(column)
            and (own := main.column(column.name)) is not None
            and own.type == column.type
        ]
        joined = {known_at.value, *shared[:1]} if known_at is not None else set()
        clash = [column.name for column in table.columns if column.name.lower() in taken and column.name not in joined]
        if _same_columns(main, table):
            unused.append((table, f"it has the columns of {main.name}: put both in one folder to use both"))
        elif known_at is None:
            unused.append((table, "no timestamp says when its rows were known"))
        elif not shared:
            unused.append((table, f"it shares no column with {main.name} to join by"))
        elif clash or label.lower() in {column.name.lower() for column in table.columns}:
            unused.append((table, f"rename `{(clash or [label])[0]}`, which is a column of the rows too"))
        else:
            features.append(Joined(table, shared[0], known_at))
            taken |= {column.name.lower() for column in table.columns}
    return tuple(features), unused


def _is_float(column: Column) -> bool:
    return column.kind == "number" and not column.whole


def _same_columns(one: Table, other: Table) -> bool:
    return {column.name for column in one.columns} == {column.name for column in other.columns}
