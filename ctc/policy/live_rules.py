"""What one look of a `drift` or `performance` trigger finds: over the line, not over, or neither can be said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ctc.policy import drift, false_alarms
from ctc.policy.profile import Column
from ctc.policy.statistics import NotEvaluable

Line = Callable[[str, Column, int], float]
"""The line of a column, by its name, its baseline and the rows that are judged."""


def fixed_line(most: float) -> Line:
    """One line for every column and size."""

    def line(_name: str, _baseline: Column, _rows: int) -> float:
        return most

    return line


def judge_drift(
    method: str,
    columns: Sequence[str],
    baseline: Mapping[str, Column | str],
    current: Mapping[str, Column | str],
    *,
    line: Line,
    require: str | float = "any",
    min_rows: int = 1,
) -> tuple[bool | None, str, dict[str, Any]]:
    """Whether enough columns are over their line, why, and the numbers by column.

    A column that has no profile comes as the reason why. None: it depends on a column that cannot be judged.
    """
    judged = {
        name: _column(method, name, baseline.get(name), current.get(name), line, min_rows) for name in sorted(columns)
    }
    over = [name for name, found in judged.items() if found["over"]]
    unknown = [name for name, found in judged.items() if found["over"] is None]
    needed = false_alarms.needed(require, len(columns))
    numbers = {"method": method, "needed": needed, "over": len(over), "columns": judged}
    if over and len(over) >= needed:
        return True, f"{_said(method, over, judged)} ({len(over)} of {len(columns)} columns, {needed} wanted)", numbers
    if len(over) + len(unknown) >= needed:
        return None, f"`{unknown[0]}`: {judged[unknown[0]]['reason']}", numbers
    known = [name for name, found in judged.items() if found["over"] is not None]
    most = sorted(known, key=lambda name: judged[name]["line"] - judged[name]["value"])[:1]
    return (
        False,
        f"{_said(method, most, judged)} ({len(over)} of {len(columns)} columns over, {needed} wanted)",
        numbers,
    )


def _column(
    method: str, name: str, baseline: Column | str | None, current: Column | str | None, line: Line, min_rows: int
) -> dict[str, Any]:
    nothing = {"value": None, "line": None, "over": None}
    for where, column in (("the baseline", baseline), ("the window", current)):
        if column is None or isinstance(column, str):
            return {**nothing, "reason": f"{where} has no such column" if column is None else f"{where}: {column}"}
    assert baseline is not None and not isinstance(baseline, str)
    assert current is not None and not isinstance(current, str)
    sizes = {"rows_baseline": baseline.rows, "rows": current.rows}
    try:
        found = drift.distance(method, baseline, current, min_rows)
        limit = line(name, baseline, found.current)
    except NotEvaluable as error:
        return {**nothing, "reason": str(error), **sizes}
    return {"value": found.value, "line": limit, "over": found.value > limit, **sizes, **found.numbers}


def _said(method: str, names: Sequence[str], judged: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{method} of `{name}` is {judged[name]['value']:.4g} against {judged[name]['line']:.4g}" for name in names
    )


def judge_performance(
    trigger: Mapping[str, Any], live: float, promoted: float | None, rows: int
) -> tuple[bool, str, dict[str, Any]]:
    """Whether a live metric has left its range, or dropped by more than allowed since the promotion.

    `promoted` is the champion's value at its promotion, needed with `drop` only.
    """
    metric = trigger["metric"]
    low, high, drop = trigger["min"], trigger["max"], trigger["drop"]
    numbers = {"metric": metric["name"], "value": live, "rows": rows, "min": low, "max": high}
    said = []
    if low is not None and live < low:
        said.append(f"at least {low:g} is asked for")
    if high is not None and live > high:
        said.append(f"at most {high:g} is allowed")
    if drop is not None:
        assert promoted is not None
        worse = promoted - live if metric["better"] == "higher" else live - promoted
        numbers |= {"promoted": promoted, "worse": worse, "drop": drop}
        if worse > drop:
            said.append(f"{worse:.4g} worse than {promoted:.4g} at promotion, {drop:g} is allowed")
    reason = f"{metric['name']} is {live:.4g} on {rows} rows"
    return bool(said), f"{reason}; {', '.join(said)}" if said else f"{reason}, within its line", numbers
