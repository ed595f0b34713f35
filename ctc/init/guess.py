"""Which table holds the rows, which column is the label, the event time and the key, each with the reason."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta

from ctc.diagnostics import CtcError
from ctc.init.joins import feature_joins, later_by, later_times, row_join
from ctc.init.parts import Data, Guess, Joined, Task, Wishes, column_of, did_you_mean, require_column
from ctc.init.tables import Column, Database, Table, identifies, instant, quoted, scan, time_in_text

LABEL_NAMES = re.compile(
    r"y|((is|has|was|will|did)_)?(label|target|outcome|churn(ed)?|fraud(ulent)?|default(ed)?|convert(ed)?|conversion"
    r"|click(ed)?|bought|purchased|late|survived|cancel(l)?ed|returned|repaid)|.*_(label|target|outcome)"
)
NUMBER_NAMES = re.compile(r"price|amount|sales|demand|revenue|duration|cost|fare|tip|spend|.*_(price|sales|demand)")
LABEL_TABLES = re.compile(r".*(label|outcome|target|result|truth|chargeback|arrival|conversion|feedback|response).*")
BEFORE_NAMES = re.compile(r"birth|born|dob|built|since|sign_?up|registered|first|start|founded|opened")
"""Times that describe what the row is about, long before its event."""

TIME_NAMES = ("event_time", "event_timestamp", "timestamp")
SPLITS = re.compile(r"(.*[-_])?(test|valid|validation|val|eval|holdout|dev)")
_RESERVED = ("event_time", "row_id")


def guess(database: Database, tables: Sequence[Table], wishes: Wishes) -> Data:
    """The parts of the tables. CtcError where the data cannot be trained on by time, with what is missing."""
    usable = [table for table in tables if table.rows]
    if not usable:
        raise CtcError(f"{tables[0].path} has no rows", "put rows with their labels in it")
    timed = [table for table in usable if table.of_kind("time")]
    if not timed:
        raise _no_time(database, usable)
    main = max(timed, key=lambda table: _weight(table, usable, wishes))
    event_time = _event_time(database, main, wishes)
    key = _key(database, main, event_time.value, wishes)
    _refuse_reserved(main, event_time.value, key.value)
    others = [table for table in usable if table is not main]
    labels, label = _label(main, key.value, others, wishes)
    later = later_times(database, main, event_time.value)
    features, unused = feature_joins(main, event_time.value, labels, others, label.value)
    column = column_of(main if labels is None else labels.table, label.value)
    return Data(
        main,
        event_time,
        key,
        label,
        _task(column, wishes),
        _known_after(database, main, event_time.value, labels, later, wishes),
        labels,
        features,
        later,
        (*((table, "it has no rows") for table in tables if not table.rows), *unused),
    )


def _weight(table: Table, tables: Sequence[Table], wishes: Wishes) -> tuple[int, ...]:
    """The main table is the one that others refer to: identified rows, many columns, and no table of outcomes."""
    referring = sum(
        1 for other in tables if other is not table and any(other.column(name) is not None for name in table.unique)
    )
    named = (wishes.event_time, *(wishes.key or ()))
    has_all = all(table.column(name) is not None for name in named if name is not None)
    is_split = SPLITS.fullmatch(table.name.lower()) is not None
    is_label = LABEL_TABLES.fullmatch(table.name.lower()) is not None and referring > 0
    return (has_all, not is_split, not is_label, referring, bool(table.unique), len(table.columns), table.rows)


def _event_time(database: Database, main: Table, wishes: Wishes) -> Guess[str]:
    columns = main.of_kind("time")
    if wishes.event_time is not None:
        named = require_column(main, wishes.event_time, "--event-time")
        if named.kind != "time":
            raise CtcError(
                f"--event-time: `{named.name}` is {named.type}, not a timestamp", _advice_for_time(main, [named.name])
            )
        return Guess(named.name)
    whole = [column for column in columns if not column.missing]
    if not whole:
        listed = ", ".join(f"`{column.name}` lacks {column.missing} of {main.rows}" for column in columns)
        raise CtcError(
            f"no timestamp column of {main.path} has a value in every row: {listed}",
            "leave out the rows without a time, or name another column with --event-time",
        )
    if len(columns) == 1:
        return Guess(columns[0].name, "the only timestamp column")
    for wanted in TIME_NAMES:
        for column in whole:
            if column.name.lower() == wanted:
                return Guess(column.name, "its name says so")
    if len(whole) == 1:
        return Guess(whole[0].name, "the only timestamp column with a value in every row")
    exact = [column for column in whole if column.type != "DATE"] or whole
    likely = [column for column in exact if not BEFORE_NAMES.search(column.name.lower())] or exact
    if len(likely) == 1:
        return Guess(likely[0].name, "the only column that is a timestamp and no mere date")
    middle = {column.name: _median(database, main, column) for column in likely}
    first = min(likely, key=lambda column: (middle[column.name], column.name))
    others = ", ".join(column.name for column in likely if column is not first)
    return Guess(first.name, f"the earliest of the timestamp columns; others: {others}")


def _median(database: Database, table: Table, column: Column) -> float:
    [found] = database.one(f"SELECT quantile_cont({instant(column)}, 0.5) FROM {scan(table.path)}", table.path)
    return float(found)


def _key(database: Database, main: Table, event_time: str, wishes: Wishes) -> Guess[tuple[str, ...]]:
    if wishes.key is not None:
        for name in wishes.key:
            require_column(main, name, "--key")
        if not identifies(database, main, wishes.key):
            raise CtcError(
                f"--key: {', '.join(wishes.key)} does not tell the rows of {main.path} apart, or is missing in some",
                "name more columns, or leave out the repeated rows",
            )
        return Guess(tuple(wishes.key))
    if main.unique:
        best = min(main.unique, key=_id_rank)
        rest = [name for name in main.unique if name != best]
        why = "the only column without repeats" if not rest else f"has no repeats; nor has {', '.join(rest[:3])}"
        return Guess((best,), why)
    parts = [
        column.name
        for column in main.columns
        if not column.missing and (column.kind == "text" or column.whole) and not column.binary
    ]
    named = [name for name in sorted(parts, key=_id_rank) if _id_rank(name)[0] < 2] or parts
    for columns in [(name, event_time) for name in named[:5]] + [
        (one, other) for index, one in enumerate(named[:5]) for other in named[index + 1 : 5]
    ]:
        if identifies(database, main, columns):
            return Guess(columns, "together they have no repeats")
    if identifies(database, main, (event_time,)):
        return Guess((event_time,), "no two rows have the same time")
    raise CtcError(
        f"no column of {main.path} tells its rows apart, and a prediction must be matched to its row",
        "add a column with a number for each row, or name the columns that do with --key A --key B",
    )


def _id_rank(name: str) -> tuple[int, str]:
    low = name.lower()
    if low in ("id", "row_id", "uuid", "key"):
        return 0, low
    return (1, "") if re.search(r"(^|[_ -])(id|uuid|key|number|no)$|Id$", name) else (2, "")


def _label(
    main: Table, key: tuple[str, ...], others: Sequence[Table], wishes: Wishes
) -> tuple[Joined | None, Guess[str]]:
    joinable = [joined for table in others if (joined := row_join(main, key, table)) is not None]
    if wishes.label is not None:
        if main.column(wishes.label) is not None:
            _require_label(main, wishes.label)
            return None, Guess(wishes.label)
        for joined in joinable:
            if joined.table.column(wishes.label) is not None:
                _require_label(joined.table, wishes.label)
                return joined, Guess(wishes.label)
        tables = [main, *(joined.table for joined in joinable)]
        known = [column.name for table in tables for column in table.columns]
        raise CtcError(f"--label: there is no column `{wishes.label}`", did_you_mean(wishes.label, known))
    own = [column for column in _label_candidates(main) if column.name not in key]
    named = [column for column in own if LABEL_NAMES.fullmatch(column.name.lower())]
    if named:
        return None, Guess(_best_named(named).name, "its name says so")
    for joined in sorted(joinable, key=lambda item: not LABEL_TABLES.fullmatch(item.table.name.lower())):
        told = [column for column in _label_candidates(joined.table) if main.column(column.name) is None]
        named = [column for column in told if LABEL_NAMES.fullmatch(column.name.lower())]
        if named:
            return joined, Guess(_best_named(named).name, f"its name says so, and {joined.table.name} comes later")
        if len(told) == 1 or (told and LABEL_TABLES.fullmatch(joined.table.name.lower())):
            return joined, Guess(told[-1].name, f"what {joined.table.name} adds to the rows", len(told) > 1)
    if _label_in_words(main):
        raise _no_label(main)
    binary = [column for column in own if column.binary]
    if len(binary) == 1:
        return None, Guess(binary[0].name, "the only column of nothing but 0 and 1", True)
    numbers = [column for column in own if NUMBER_NAMES.fullmatch(column.name.lower())]
    if numbers:
        return None, Guess(numbers[-1].name, "its name sounds like an outcome", True)
    if own:
        return None, Guess(own[-1].name, "the last column with numbers", True)
    raise _no_label(main)


def _label_candidates(table: Table) -> list[Column]:
    """Columns that can be a label: numbers or booleans of more than one value."""
    return [
        column
        for column in table.of_kind("number", "boolean")
        if column.distinct > 1 and column.name not in table.unique and column.missing < table.rows
    ]


def _best_named(columns: Sequence[Column]) -> Column:
    """`label` and `target` before the rest; classes before numbers; then the last, where tables have it."""
    plain = ("label", "target", "y")
    return max(enumerate(columns), key=lambda item: (item[1].name.lower() in plain, item[1].binary, item[0]))[1]


def _known_after(
    database: Database, main: Table, event_time: str, labels: Joined | None, later: Sequence[str], wishes: Wishes
) -> Guess[timedelta]:
    if wishes.known_after is not None:
        return Guess(wishes.known_after)
    if labels is not None:
        gap = later_by(database, main, event_time, labels)
        if gap is not None and gap[1] > 0:
            return Guess(_whole(gap[1]), f"99 % of the labels are known within {_words(gap[1])}")
        return Guess(timedelta(days=1), "no label matches a row", True)
    for name in later:
        gap = later_by(database, main, event_time, name)
        if gap is not None and gap[1] > 0:
            return Guess(
                _whole(gap[1]), f"99 % of `{name}` lie within {_words(gap[1])}; is the label known then?", True
            )
    return Guess(timedelta(days=1), "how old a row is when its label is known; the data do not say", True)


def _whole(seconds: float) -> timedelta:
    """Rounded up: to hours below half a day, to days above."""
    unit = 3600 if seconds <= 12 * 3600 else 86400
    return timedelta(seconds=max(1, math.ceil(seconds / unit)) * unit)


def _words(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds < 72 * 3600 else f"{seconds / 86400:.1f} days"


def _task(label: Column, wishes: Wishes) -> Guess[Task]:
    if wishes.task == "binary" and not label.binary:
        raise CtcError(
            f"--task binary: `{label.name}` has other values than 0 and 1", "make it 0 and 1, or use --task regression"
        )
    if wishes.task is not None:
        return Guess(wishes.task)
    if label.binary:
        return Guess("binary", f"`{label.name}` is nothing but 0 and 1")
    if label.whole and label.distinct <= 20:
        return Guess("regression", f"`{label.name}` has {label.distinct} whole numbers; are they classes?", True)
    return Guess("regression", f"`{label.name}` holds numbers")


def _require_label(table: Table, name: str) -> None:
    column = column_of(table, name)
    if column.kind not in ("number", "boolean"):
        raise CtcError(
            f"--label: `{name}` is {column.type}; a label is a number, or 0 and 1",
            f"write it as a number, for instance ({quoted(name)} = 'yes')::integer",
        )


def _refuse_reserved(main: Table, event_time: str, key: tuple[str, ...]) -> None:
    for column in main.columns:
        low = column.name.lower()
        fits = (column.name == event_time == "event_time") or (key == ("row_id",) and column.name == "row_id")
        if (low in _RESERVED and not fits) or low.startswith("_ctc_"):
            raise CtcError(f"{main.path}: the column name `{column.name}` is ctc's own", "rename the column")


def _no_time(database: Database, tables: Sequence[Table]) -> CtcError:
    for table in tables:
        text = time_in_text(database, table)
        if text:
            return CtcError(
                f"no timestamp column found: `{text[0]}` in {table.path} holds times as text",
                _advice_for_time(table, text),
            )
    return CtcError(
        f"no timestamp column found in {tables[0].path}: windows and the holdout are cut by the time of each row",
        "add a column that says when each row happened, of a timestamp type",
    )


def _advice_for_time(table: Table, columns: Sequence[str]) -> str:
    name = quoted(columns[0])
    return (
        f"write it as a timestamp, for instance in DuckDB: copy (select * replace ({name}::timestamptz as {name}) "
        f"from '{table.path.name}') to 'with-times.parquet'"
    )


def _label_in_words(main: Table) -> list[str]:
    """Columns named like a label that hold two words, such as yes and no."""
    return [
        column.name
        for column in main.of_kind("text")
        if LABEL_NAMES.fullmatch(column.name.lower()) and len(column.values) == 2
    ]


def _no_label(main: Table) -> CtcError:
    words = _label_in_words(main)
    if words:
        name = words[0]
        return CtcError(
            f"the label `{name}` in {main.path} is text; a label is a number, or 0 and 1",
            f"write it as a number, for instance ({quoted(name)} = 'yes')::integer",
        )
    return CtcError(
        f"no column of {main.path} can be the label: it needs numbers, or 0 and 1, of more than one value",
        "add the outcome of each row, or a second table with it and the rows' key",
    )
