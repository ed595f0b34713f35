"""Which rows judge: those of the last stretch, or rows that are set aside for good by a hash, a column or a source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
from ibis.expr import datatypes as dt

from ctc.policy.draws import BETWEEN, MISSING, VALIDATION, below
from ctc.policy.windows import Windows
from ctc.steps import engine
from ctc.steps.columns import comparable
from ctc.steps.joins import EVENT_TIME
from ctc.steps.parts import PART
from ctc.steps.task import StepFailed

HELD = "_ctc_held"
"""Whether a row judges."""

_NO_PART = ibis.null(dt.string)


@ibis.udf.scalar.builtin(name="md5_number_lower", signature=(("string",), "uint64"))  # type: ignore[untyped-decorator]
def digest(text: str) -> int:  # type: ignore[empty-body]
    """The last eight bytes of the MD5 of a text, little-endian, as a number."""


@ibis.udf.scalar.builtin(name="epoch_us", signature=((engine.INSTANT,), "int64"))  # type: ignore[untyped-decorator]
def microseconds(instant: Any) -> int:  # type: ignore[empty-body]
    """Microseconds since 1970 in UTC."""


def held(rows: Any, section: Mapping[str, Any], windows: Windows, where: str) -> Any:
    """Whether a row of the main source judges; true or false, never null. `where` names the source in messages."""
    match windows.kind:
        case "time":
            return rows[EVENT_TIME] >= engine.literal(windows.holdout_start)
        case "hash":
            described = section["hash"]
            return drawn(rows, described["key"], described["share"], described["salt"], f"{where}: `holdout.hash`")
        case "column":
            return _marked(rows, section["column"], f"{where}: `holdout.column`")
        case "source":
            return ibis.literal(False)


def validating(rows: Any, share: float) -> Any:
    """Whether a row is of the `share` that validates, where there is no time to take the latest by."""
    return drawn(rows, ["row_id"], share, VALIDATION, "the snapshot")


def drawn(rows: Any, key: Sequence[str], share: float, salt: str, where: str) -> Any:
    """Whether the key of a row is drawn, as `ctc.policy.draws.drawn` has it."""
    for column in key:
        engine.require(column, rows.columns, where)
    words = [ibis.literal(salt), *(_text(rows[column], column, where) for column in key)]
    return digest(ibis.literal(BETWEEN).join(words)) < ibis.literal(below(share), dt.uint64)


def _text(column: Any, name: str, where: str) -> Any:
    """The value of a key as text, one on every engine; StepFailed for types whose text is not."""
    kind = column.type()
    if kind.is_timestamp():
        column = microseconds(column.cast(engine.INSTANT))
    elif not (kind.is_string() or kind.is_integer() or kind.is_boolean() or kind.is_date()):
        raise StepFailed(f"{where}: `{name}` is {kind}; a key is of texts, whole numbers, truth values, dates or times")
    return column.cast("string").fill_null(MISSING)


def _marked(rows: Any, described: Mapping[str, Any], where: str) -> Any:
    name = described["name"]
    engine.require(name, rows.columns, where)
    values = comparable([described["value"]], rows[name].type())
    if not values:
        raise StepFailed(f"{where}: `{name}` is {rows[name].type()}, which cannot be {described['value']!r}")
    return (rows[name] == values[0]).fill_null(False)


def source(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The source that judges: event time and key are called as in the main one, unless it says otherwise."""
    described, main = data["sources"][name], data["sources"][data["rows"]]
    return {
        **described,
        "event_time": None if main["event_time"] is None else described["event_time"] or main["event_time"],
        "timezone": described["timezone"] or main["timezone"],
        "key": described["key"] or main["key"],
    }


def _instants(one: Any, other: Any) -> bool:
    """Whether both are instants: of a zone, or both of none; how finely they are written plays no part."""
    return one.is_timestamp() and other.is_timestamp() and (one.timezone is None) == (other.timezone is None)


def beside(whole: Any) -> tuple[Any, Any]:
    """The rows that are learnt from or judge, and those of fixed sources that stand beside them; None without any."""
    if PART not in whole.columns:
        return whole, None
    return whole.filter(whole[PART].isnull()).drop(PART), whole.filter(whole[PART].notnull())


def joined_by(rows: Any, others: Any) -> Any:
    """`rows` and those that stand beside them, as one table in which `PART` tells them apart."""
    return rows if others is None else marked(rows, None).select(*others.columns).union(others)


def marked(rows: Any, source: str | None) -> Any:
    """`rows` with the name of the fixed source that they stand beside the holdout for, null for all others."""
    return rows.mutate(**{PART: _NO_PART if source is None else ibis.literal(source)})


def together(main: Any, judging: Any, name: str, known_at: str | None) -> Any:
    """The rows of both as one table with the columns of the main rows; others of the judging source are left out.

    A judging source need not say when its rows became known, in the column `known_at` of the main one.
    """
    columns: dict[str, Any] = {}
    for column, kind in main.schema().items():
        if column not in judging.columns and (column == known_at or column.startswith(engine.OWN)):
            columns[column] = ibis.null(kind)
            continue
        engine.require(column, judging.columns, f"source {name}, unlike the rows that are learnt from,")
        other = judging[column].type()
        same = other.copy(nullable=True) == kind.copy(nullable=True)
        if not same and not (other.is_numeric() and kind.is_numeric()) and not _instants(other, kind):
            raise StepFailed(f"source {name}: `{column}` is {other}, and {kind} in the main source; write one type")
        columns[column] = judging[column] if same else judging[column].cast(kind)
    return main.union(judging.select(**columns))
