"""SQL conditions on one row, from a spec: an expression of pure functions of the row's columns, and nothing else.

A condition is parsed by the engine's own parser and refused unless it is one expression whose every part is known to
read nothing but the row: no subquery, no aggregate, no window, and of functions only those whose answer depends on
their arguments alone. It is then bound against the columns in a second engine without access to files or network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from ctc.steps.engine import OWN
from ctc.steps.task import StepFailed

_PARTS = frozenset(
    {"COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "FUNCTION", "OPERATOR", "CAST", "TYPE", "CASE", "BETWEEN"}
    | {"COLLATE"}
)
_REFUSED = ("__", "json_serialize", "json_deserialize", "json_execute")
"""Functions that the engine calls by itself, and those that read SQL."""

_CLOCKS = frozenset({"current_localtime", "current_localtimestamp", "version"})
"""Functions that the engine calls consistent, and whose answer is another tomorrow; `age` of one instant is, too."""

_WORDS = frozenset({"now", "today", "yesterday", "tomorrow"})
"""Texts that the engine reads as an instant by the clock wherever it needs one."""

_LOCKED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def with_conditions(connection: Any, table: Any, name: str, wanted: Mapping[str, tuple[str, str]]) -> Any:
    """`table` with a column for each condition, true where it holds, else false.

    `wanted` has, by the column's name, the place that asks and the condition. A row for which it is NULL, or cannot be
    computed (a text that is no number), does not fulfil it. `name` is that of a view in the engine. StepFailed, with
    the place, for what is no condition on these columns.
    """
    if not wanted:
        return table
    query = connection.compile(table)
    described = connection.con.execute(f"DESCRIBE {query}").fetchall()
    types = {str(row[0]): str(row[1]) for row in described if not str(row[0]).startswith(OWN)}
    for where, expression in wanted.values():
        require_condition(expression, types, where)
    columns = ", ".join(
        f'COALESCE(TRY(\n({expression}\n)), false) AS "{column}"' for column, (_, expression) in wanted.items()
    )
    connection.raw_sql(f'CREATE OR REPLACE TEMP VIEW "{name}" AS SELECT *, {columns} FROM ({query})')
    return connection.table(name)


def require_condition(expression: str, types: Mapping[str, str], where: str) -> None:
    """StepFailed unless the text is one condition on columns of these types (by name, as the engine calls them)."""
    connection = duckdb.connect(config=_LOCKED)
    try:
        connection.execute("SET lock_configuration = true")
        problem = _problem(connection, expression, types) or _unbound(connection, expression, types)
    finally:
        connection.close()
    if problem:
        raise StepFailed(f"{where}: the expression `{' '.join(expression.split())}` {problem}")


def _problem(connection: Any, expression: str, types: Mapping[str, str]) -> str:
    plain, given = (_parsed(connection, text) for text in ("true", expression))
    if given.get("error"):
        return f"cannot be read: {str(given.get('error_message')).splitlines()[0]}"
    statement = "is more than one condition on a row; write one, such as `paid_at >= ordered_at`"
    [wanted] = plain["statements"]
    if len(given["statements"]) != 1:
        return statement
    found = given["statements"][0]
    chosen = found["node"].pop("select_list", [])
    wanted["node"].pop("select_list")
    # All that is not the one expression must be as in a query that has nothing else.
    if len(chosen) != 1 or _unplaced(found) != _unplaced(wanted):
        return statement
    return _impure(connection, chosen[0], frozenset(name.lower() for name in types), frozenset())


def _parsed(connection: Any, expression: str) -> dict[str, Any]:
    try:
        text = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT (\n{expression}\n)"]).fetchall()[0][0]
    except duckdb.Error as error:
        return {"error": True, "error_message": str(error)}
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _unplaced(node: Any) -> Any:
    """A parsed statement without where in the text its parts stand."""
    if isinstance(node, dict):
        return {name: _unplaced(value) for name, value in node.items() if not name.startswith("query_location")}
    return [_unplaced(item) for item in node] if isinstance(node, list) else node


def _impure(connection: Any, node: Any, columns: frozenset[str], within: frozenset[str]) -> str:
    """What in a parsed expression reads more than `columns` (small letters); empty if nothing does.

    `within` are the macros whose definition the expression is part of.
    """
    if isinstance(node, list):
        return next((said for item in node if (said := _impure(connection, item, columns, within))), "")
    if not isinstance(node, dict):
        return ""
    part = node.get("class")
    if part is not None and part not in _PARTS:
        return f"has a {str(part).lower()}, and a condition reads the columns of one row only"
    # What is no column may be a value of the engine's, such as `current_timestamp`.
    if part == "COLUMN_REF" and str(node["column_names"][0]).lower() not in columns:
        return f"reads `{'.'.join(node['column_names'])}`, which is no column"
    if part == "CONSTANT" and _text(node).strip().lower() in _WORDS:
        return f"has the text '{_text(node)}', which the engine may take for an instant of the clock"
    if part == "FUNCTION" and str(node["function_name"]).lower() == "age" and len(node["arguments"]) == 1:
        return "calls `age` of one instant, whose answer does not depend on the row alone"
    if part == "FUNCTION":
        said = _function(connection, str(node["function_name"]).lower(), within)
        if said:
            return said
    return _impure(connection, list(node.values()), columns, within)


def _text(constant: Mapping[str, Any]) -> str:
    literal = constant["literal"]
    return str(literal.get("text", "")) if literal.get("kind") == "STRING" else ""


def _function(connection: Any, name: str, within: frozenset[str]) -> str:
    known = connection.execute(
        "SELECT function_type, stability, macro_definition, parameters FROM duckdb_functions() "
        "WHERE lower(function_name) = ?",
        [name],
    ).fetchall()
    if not known or name in within:
        return f"calls `{name}`, which is no function of the engine"
    kinds = {kind for kind, *_ in known}
    if kinds & {"aggregate", "window"}:
        return f"calls `{name}`, which is of many rows; this holds or fails for each row"
    refused = f"calls `{name}`, whose answer does not depend on the row alone"
    if name in _CLOCKS or name.startswith(_REFUSED) or kinds & {"table", "table_macro", "pragma"}:
        return refused
    for kind, stability, definition, parameters in known:
        if kind == "scalar" and stability != "CONSISTENT":
            return refused
        if kind == "macro":
            parsed = _parsed(connection, definition)
            own = frozenset(str(parameter).lower() for parameter in parameters)
            if parsed.get("error") or _impure(connection, parsed["statements"], own, within | {name}):
                return refused
    return ""


def _unbound(connection: Any, expression: str, types: Mapping[str, str]) -> str:
    """What is wrong with an expression for columns of these types; empty if it is a condition on them."""
    quoted = {'"' + name.replace('"', '""') + '"': kind for name, kind in types.items()}
    columns = ", ".join(f"{name} {kind}" for name, kind in quoted.items())
    try:
        connection.execute(f"CREATE TABLE judged ({columns})")
        kind = str(connection.execute(f"DESCRIBE SELECT TRY(\n({expression}\n)) FROM judged").fetchall()[0][1])
    except duckdb.Error as error:
        return f"does not fit the columns: {str(error).splitlines()[0]}"
    return "" if kind == "BOOLEAN" else f"is {kind}, not a condition that holds or fails; compare it with something"
