"""What each data check answers, from what was counted.

Ratios are of all rows, 0 where there are none. A check that cannot be judged is `not_evaluable`, which stops nothing
and is told. `docs/semantics.md`, Checks, has every definition.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from ctc.policy.windows import format_instant

ROW_LEVEL = frozenset({"null_ratio", "range", "allowed_values", "pattern", "sql"})
"""The kinds that judge each row for itself: only their offending rows can be set aside."""

MIN_HISTORY, MAX_HISTORY = 3, 10
"""The least accepted attempts that say what is usual, and the most that are looked at, the latest ones."""

ACCEPTED = frozenset({"candidate", "held"})
"""The outcomes of attempts whose data was good enough to judge a model on."""

Arguments = Mapping[str, Any]
Found = Mapping[str, Any]


class Answer(NamedTuple):
    """`numbers` is JSON."""

    answer: Literal["pass", "fail", "not_evaluable"]
    reason: str
    numbers: dict[str, Any]


def accepted(history: Sequence[Mapping[str, Any]], instant: datetime) -> list[str]:
    """The ids of the latest accepted attempts of a history, its order from old to new, before `instant`."""
    now = format_instant(instant)
    chosen = [str(item["id"]) for item in history if item["outcome"] in ACCEPTED and str(item["instant"]) < now]
    return chosen[-MAX_HISTORY:]


def row_count(arguments: Arguments, found: Found, _: datetime) -> Answer:
    """`found`: rows, and `history`, the rows of the last accepted attempts, where `usual` asks for it."""
    rows, low, high = int(found["rows"]), arguments.get("min"), arguments.get("max")
    numbers: dict[str, Any] = {"rows": rows, "min": low, "max": high}
    usual = arguments.get("usual")
    if usual is not None:
        earlier = [int(count) for count in found.get("history", ())]
        median = statistics.median(earlier) if earlier else None
        numbers |= {"usual": usual, "runs": len(earlier), "median": median}
    if low is not None and rows < low:
        return Answer("fail", f"{rows} rows; at least {low} are asked for", numbers)
    if high is not None and rows > high:
        return Answer("fail", f"{rows} rows; at most {high} are allowed", numbers)
    if usual is None:
        return Answer("pass", f"{rows} rows", numbers)
    if len(earlier) < MIN_HISTORY or median is None:
        said = f"{rows} rows; {len(earlier)} accepted runs say what is usual, and {MIN_HISTORY} are needed"
        return Answer("not_evaluable", said, numbers)
    said = f"{rows} rows; the median of the last {len(earlier)} accepted runs is {median:g}"
    # Not the quotient of the two: its rounding would refuse a count that lies exactly on the line.
    holds = abs(rows - median) <= usual * median * (1 + 1e-12)
    return Answer("pass" if holds else "fail", said, numbers)


def null_ratio(arguments: Arguments, found: Found, _: datetime) -> Answer:
    missing, ratio = int(found["bad"] or 0), _ratio(found)
    numbers = {"rows": int(found["rows"]), "missing": missing, "ratio": ratio, "max": arguments["max"]}
    said = f"{missing} of {found['rows']} are missing in `{arguments['column']}`"
    return Answer(_holds(ratio <= arguments["max"]), said, numbers)


def tolerated(arguments: Arguments, found: Found, _: datetime) -> Answer:
    """Of `range`, `allowed_values`, `pattern` and `sql`: passes while the bad rows are at most the tolerated share."""
    outside, ratio, tolerate = int(found["bad"] or 0), _ratio(found), float(arguments.get("tolerate") or 0.0)
    numbers: dict[str, Any] = {"rows": int(found["rows"]), "outside": outside, "ratio": ratio, "tolerate": tolerate}
    if "expression" in arguments:
        said = f"{outside} of {found['rows']} do not fulfil `{' '.join(arguments['expression'].split())}`"
    elif "regex" in arguments:
        said = f"{outside} of {found['rows']} do not match in `{arguments['column']}`"
    elif "low" in found:
        numbers |= {"lowest": _plain(found["low"]), "highest": _plain(found["high"])}
        reach = f"{found['low']} to {found['high']}"
        said = f"{outside} of {found['rows']} are outside in `{arguments['column']}`, which has {reach}"
    else:
        said = f"{outside} of {found['rows']} are not allowed in `{arguments['column']}`"
    return Answer(_holds(ratio <= tolerate), said, numbers)


def unique(arguments: Arguments, found: Found, _: datetime) -> Answer:
    repeated = int(found["rows"]) - int(found["distinct"] or 0)
    said = f"{repeated} rows repeat `{', '.join(arguments['columns'])}`"
    return Answer(_holds(repeated == 0), said, {"rows": int(found["rows"]), "repeated": repeated})


def freshness(arguments: Arguments, found: Found, now: datetime) -> Answer:
    newest, limit = found["newest"], float(arguments["max_age"])
    if newest is None:
        return Answer("fail", "there is no row", {"newest": None, "age_seconds": None, "max_age_seconds": limit})
    age = (now - newest.astimezone(UTC)).total_seconds()
    numbers = {"newest": format_instant(newest), "age_seconds": age, "max_age_seconds": limit}
    said = f"the newest row is of {format_instant(newest)}, {age / 3600:.1f} h old"
    return Answer(_holds(age <= limit), said, numbers)


def label_rate(arguments: Arguments, found: Found, _: datetime) -> Answer:
    """`found`: labelled rows, and the positive ones among them; neither where no label has two classes."""
    low, high = arguments.get("min"), arguments.get("max")
    if "labelled" not in found:
        nothing = dict.fromkeys(("labelled", "positives", "rate"))
        return Answer("not_evaluable", "the spec has no label of two classes", {**nothing, "min": low, "max": high})
    labelled, positives = int(found["labelled"] or 0), int(found["positives"] or 0)
    numbers: dict[str, Any] = {"labelled": labelled, "positives": positives, "rate": None, "min": low, "max": high}
    if labelled == 0:
        return Answer("not_evaluable", "no row has a label", numbers)
    rate = positives / labelled
    holds = (low is None or rate >= low) and (high is None or rate <= high)
    said = f"{positives} of {labelled} labels are positive, {rate:.4%}"
    return Answer(_holds(holds), said, numbers | {"rate": rate})


def schema(arguments: Arguments, types: Mapping[str, tuple[str, frozenset[str]]], own: frozenset[str]) -> Answer:
    """`types`: of each column what it is called in the data, and the language's names that it goes by.

    `own` are the columns that nobody listed because they are ours.
    """
    wanted: Mapping[str, str] = arguments["columns"]
    absent = [column for column in wanted if column not in types]
    wrong = {
        column: types[column][0] for column, kind in wanted.items() if column in types and kind not in types[column][1]
    }
    refused = arguments.get("extra") == "refuse"
    extra = [column for column in types if column not in wanted and column not in own] if refused else []
    told = [f"`{column}` is not there" for column in absent]
    told += [f"`{column}` is {kind}, not {wanted[column]}" for column, kind in wrong.items()]
    told += [f"`{column}` is not listed" for column in extra]
    numbers: dict[str, Any] = {"columns": len(wanted), "absent": absent, "wrong": wrong, "extra": extra}
    return Answer(_holds(not told), "; ".join(told) or f"{len(wanted)} columns are as listed", numbers)


def leakage(arguments: Arguments, areas: Mapping[str, float], numbers: Mapping[str, Any]) -> Answer:
    """`areas`: of each judged feature its ROC AUC alone, in the better direction."""
    limit = float(arguments["max_auc"])
    told = {**numbers, "max_auc": limit}
    if not areas:
        return Answer("not_evaluable", "no feature of a type that can be ranked", told)
    ranked = sorted(areas.items(), key=lambda item: (-item[1], item[0]))
    feature, highest = ranked[0]
    told |= {"feature": feature, "highest": highest, "features": dict(ranked[:5])}
    said = f"`{feature}` alone tells the label with ROC AUC {highest:.4f}"
    return Answer(_holds(highest <= limit), said, told)


def _holds(passed: bool) -> Literal["pass", "fail"]:
    return "pass" if passed else "fail"


def _plain(value: Any) -> int | float | str | None:
    """A value of a column as JSON has it: no decimals, no infinity."""
    plain: Any = float(value) if isinstance(value, Decimal) else value
    if isinstance(plain, date) or (isinstance(plain, float) and not math.isfinite(plain)):
        return str(plain)
    found: int | float | str | None = plain
    return found


def _ratio(found: Found) -> float:
    return int(found["bad"] or 0) / int(found["rows"]) if found["rows"] else 0.0


JUDGES: dict[str, Callable[[Arguments, Found, datetime], Answer]] = {
    "row_count": row_count,
    "null_ratio": null_ratio,
    "range": tolerated,
    "allowed_values": tolerated,
    "pattern": tolerated,
    "sql": tolerated,
    "unique": unique,
    "freshness": freshness,
    "label_rate": label_rate,
}
"""The kinds that one scan of their table is enough for."""
