"""The types that a spec gives to columns, and what is done with columns of these types."""

from __future__ import annotations

from collections.abc import Iterator

from ctc.language.checks import Finding, check
from ctc.language.spec import NO_TIME, Check, Source, Spec

_NUMBERS = ("integer", "number")
_TIMES = ("timestamp", "date")

Types = dict[str, tuple[str, str]]
"""Of each column the type and the path that says so."""

JOINED = ""
"""Stands for the joined rows, which no source is called."""


@check("CT239", "a column of one type that is used as one of another")
def columns_are_used_as_what_they_are(spec: Spec) -> Iterator[Finding]:
    tables: dict[str, Types] = {source.name: _of_csv(source) for source in spec.sources}
    tables[JOINED] = {}
    for source in spec.sources:
        if source.role in ("rows", "features"):
            tables[JOINED] = {**tables[source.name], **tables[JOINED]}
        yield from _times(source, tables[source.name])
    yield from _label(spec, tables)
    for item in spec.checks:
        table = tables.get(_table(item), {})
        if item.kind == "schema":
            yield from _schema(item, table)
    for item in spec.checks:
        yield from _use(item, tables.get(_table(item), {}))


def _table(item: Check) -> str:
    return item.over.source if item.over is not None else item.source or JOINED


def _of_csv(source: Source) -> Types:
    if source.csv is None:
        return {}
    path = f"sources.{source.name}.csv.columns"
    return {column: (kind, f"{path}.{column}") for column, kind in source.csv.columns.items()}


def _times(source: Source, types: Types) -> Iterator[Finding]:
    for key, column in (("event_time", source.event_time), ("known_at", source.known_at)):
        if column is None or column == NO_TIME or column not in types:
            continue
        kind, said = types[column]
        if kind not in _TIMES:
            message = f"`{column}` is the `{key}` of `{source.name}`, and `{kind}` is no time"
            yield Finding(
                said, message, "write `timestamp` or `date`", (f"sources.{source.name}.{key}", "used as time")
            )


def _label(spec: Spec, tables: dict[str, Types]) -> Iterator[Finding]:
    label = spec.label
    if label is None or label.column not in tables.get(label.source, {}):
        return
    kind, said = tables[label.source][label.column]
    numeric = spec.task in ("regression", "forecast", "ranking")
    allowed = _NUMBERS if numeric else (*_NUMBERS, "boolean")
    if spec.task != "multiclass" and kind not in allowed:
        wanted = "numbers" if numeric else "0 and 1, or false and true"
        message = f"`{label.column}` is the label, and a {spec.task} task needs {wanted}, not `{kind}`"
        yield Finding(said, message, f"write {', '.join(allowed)}", ("label.column", "the label"))


def _schema(item: Check, table: Types) -> Iterator[Finding]:
    """What a schema says against an earlier one; what is new in it joins the table."""
    for column, kind in item.arguments["columns"].items():
        said = f"validation.checks.{item.name}.schema.columns.{column}"
        earlier, where = table.setdefault(column, (kind, said))
        if earlier != kind and not {earlier, kind} <= set(_NUMBERS):
            message = f"`{column}` cannot be `{kind}` and `{earlier}`"
            yield Finding(said, message, "write the type that it has", (where, f"{earlier} here"))


def _use(item: Check, table: Types) -> Iterator[Finding]:
    column = item.arguments.get("column")
    if column not in table:
        return
    kind, said = table[column]
    path, related = f"validation.checks.{item.name}.{item.kind}.column", (said, "its type")
    if item.kind == "range" and kind not in _NUMBERS:
        advice = "`freshness` judges times" if kind in _TIMES else "`allowed_values` and `pattern` judge texts"
        yield Finding(path, f"a range is of numbers, and `{column}` is `{kind}`", advice, related)
    elif item.kind == "pattern" and kind != "string":
        advice = "use `range`" if kind in _NUMBERS else "use `allowed_values` or `sql`"
        yield Finding(path, f"a pattern is of texts, and `{column}` is `{kind}`", advice, related)
    elif item.kind == "allowed_values" and kind in _NUMBERS:
        texts = [value for value in item.arguments["values"] if isinstance(value, str)]
        if len(texts) == len(item.arguments["values"]):
            message = f"`{column}` is `{kind}`, so no value of it is the text `{texts[0]}`"
            yield Finding(f"validation.checks.{item.name}.allowed_values.values", message, "write numbers", related)
