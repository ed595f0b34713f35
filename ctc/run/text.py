"""Cycles as plain text: numbers, tables and sentences, shared by the terminal and the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ctc.run.records import Cycle, Estimate, Focus, Record, mapping, mappings, number

NOTHING = "-"
"""Stands where there is no number."""

COLUMNS = ("instant", "trigger", "rows", "champion", "contender", "gain [lower]", "decision")
RIGHT = frozenset({"rows", "champion", "contender", "gain [lower]"})


def amount(value: object, *, sign: bool = False) -> str:
    """A measured number: four decimals while it is small, thousands separated when it is big."""
    found = number(value)
    if found is None:
        return NOTHING
    plus = "+" if sign else ""
    found += 0.0  # a zero has no sign
    if found == 0 or 1e-4 <= abs(found) < 100:
        return f"{found:{plus}.4f}"
    return f"{found:{plus},.1f}" if abs(found) >= 100 else f"{found:{plus}.2e}"


def estimate(found: Estimate | None) -> str:
    """`0.6812 [0.6701, 0.6920]`."""
    if found is None:
        return NOTHING
    if found.low is None or found.high is None:
        return amount(found.value)
    return f"{amount(found.value)} [{amount(found.low)}, {amount(found.high)}]"


def comparison(found: Mapping[str, Any]) -> str:
    """The gain of the contender and its one-sided lower bound: `+0.0121 [+0.0050]`."""
    if number(found.get("gain")) is None:
        return NOTHING
    lower = number(found.get("lower"))
    gain = amount(found["gain"], sign=True)
    return gain if lower is None else f"{gain} [{amount(lower, sign=True)}]"


def when(instant: str) -> str:
    """`2013-03-10 06:00`, seconds only where there are any; UTC."""
    text = instant.removesuffix("Z").replace("T", " ")
    return text.removesuffix(":00") if text.count(":") == 2 else text


def rows(cycle: Cycle) -> str:
    counts = cycle.rows
    total = sum(counts.get(part, 0) for part in ("train", "valid", "holdout", "scored"))
    return f"{total:,}" if total else NOTHING


def decision(cycle: Cycle) -> str:
    """One word, and the version where one was registered; of a wake that changed something, what."""
    if cycle.outcome == "changed":
        told = [str(change.get("what")).replace("_", " ") for change in mappings(cycle.wake, "changes")]
        return ", ".join(dict.fromkeys(told))
    return f"{cycle.outcome} {cycle.version}" if cycle.version else cycle.outcome


def summary(found: Iterable[Cycle], focus: Focus) -> list[tuple[str, ...]]:
    """One row a cycle, under `COLUMNS`."""
    lines: list[tuple[str, ...]] = []
    for cycle in found:
        champion, contender = (cycle.estimate(focus.metric, "champion"), cycle.estimate(focus.metric, "contender"))
        lines.append(
            (
                when(cycle.instant),
                ", ".join(cycle.fired) or NOTHING,
                rows(cycle),
                amount(champion.value if champion else None),
                amount(contender.value if contender else None),
                comparison(cycle.comparison(focus.gate)),
                decision(cycle),
            )
        )
    return lines


def table(head: Sequence[str], lines: Iterable[Sequence[str]], right: Iterable[str] = ()) -> str:
    """Aligned columns, two spaces apart; the columns named in `right` end together."""
    cells = [list(head), *(list(line) for line in lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    ends = set(right)
    text = [
        "  ".join(
            cell.rjust(width) if name in ends else cell.ljust(width)
            for cell, width, name in zip(line, widths, head, strict=True)
        ).rstrip()
        for line in cells
    ]
    return "\n".join(text)


def windows(record: Record | None) -> list[tuple[str, str]]:
    """The data windows as half open intervals."""
    found = mapping(record, "windows")
    spans = (("training", "train_start", "train_end"), ("holdout", "holdout_start", "holdout_end"))
    return [
        (name, f"[{when(str(found[start]))}, {when(str(found[end]))})")
        for name, start, end in spans
        if start in found and end in found
    ]


def check_answer(check: Record) -> str:
    """`pass`, `not_evaluable`, or what a check that failed does: `stop`, `warn` or `quarantine`."""
    answer = str(check.get("answer", NOTHING))
    return str(check.get("on_fail", answer)) if answer == "fail" else answer


def check_passed(check: Record) -> bool:
    return check.get("answer") == "pass"


def numbers(found: Mapping[str, Any]) -> str:
    """`contender 0.6812, min 0.58`: the numbers of an answer, those that are not there, and its slices, left out."""
    return ", ".join(
        f"{name} {_value(value)}" for name, value in found.items() if value is not None and name not in _BY_SLICE
    )


def by_slice(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values of a slice that an answer rests on, with their numbers; those that are not judged last, with why."""
    told = [(str(value), _of_slice(part)) for value, part in mapping(found, "slices").items()]
    return told + [(str(value), f"not judged: {why}") for value, why in mapping(found, "not_judged").items()]


_BY_SLICE = ("slices", "not_judged")


def _of_slice(part: Any) -> str:
    return numbers(part) if isinstance(part, Mapping) else amount(part)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return amount(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return "{" + numbers(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)


def details(cycle: Cycle, focus: Focus) -> str:
    """Everything that a cycle's records say, for a terminal."""
    record = cycle.attempt if cycle.attempt is not None else cycle.wake
    parts = [
        f"{cycle.id}  {when(cycle.instant)} UTC  {decision(cycle)}",
        f"  {cycle.reason}" if cycle.reason else "",
        _block("triggers", _judged(cycle.answers) or list(cycle.fired)),
        _block("windows", [f"{name:8}  {span}" for name, span in windows(record)]),
        _block("rows", [f"{name:8}  {count:>12,}" for name, count in cycle.rows.items()]),
        _block("checks", [line for check in cycle.checks for line in _lines(check, check_answer(check))]),
        _block("metrics", _metrics(cycle)),
        _block("slices", _slices(cycle, focus)),
        _block("gates", _judged(cycle.gates)),
        _block("rollout", _judged(mappings(cycle.wake, "health"))),
        _block("changes", list(cycle.changes)),
        _block("actions", [f"{item.get('action')} {item.get('key', '')}" for item in _actions(cycle)]),
        _block("error", str((record or {}).get("error") or "").splitlines()),
    ]
    return "\n".join(part for part in parts if part)


def _block(name: str, lines: Sequence[str]) -> str:
    return "\n".join([f"\n{name}", *(f"  {line}".rstrip() for line in lines)]) if lines else ""


def _judged(found: Iterable[Record]) -> list[str]:
    return [line for item in found for line in _lines(item, str(item.get("answer")))]


def _lines(item: Record, answer: str) -> list[str]:
    """An answer with its reason, its numbers on the next line, and those of slices below."""
    found = mapping(item, "numbers")
    told = [f"  {numbers(found)}"] if numbers(found) else []
    told += [f"    {value}: {said}" for value, said in by_slice(found)]
    return [f"{item.get('name')} {answer}: {item.get('reason', '')}", *told]


def _metrics(cycle: Cycle) -> list[str]:
    lines = [
        (name, estimate(cycle.estimate(name, "contender")), estimate(cycle.estimate(name, "champion")))
        for name in cycle.metrics
    ]
    return table(("metric", "contender", "champion"), lines, ("contender", "champion")).splitlines() if lines else []


def _slices(cycle: Cycle, focus: Focus) -> list[str]:
    lines = [
        (f"{name}={value}", f"{n:,}" if isinstance(n, int) else NOTHING, amount(contender), amount(champion))
        for name, value, n, contender, champion in slice_rows(cycle, focus)
    ]
    head = ("slice", "rows", f"contender {focus.metric}", f"champion {focus.metric}")
    return table(head, lines, head[1:]).splitlines() if lines else []


def slice_rows(cycle: Cycle, focus: Focus) -> list[tuple[str, str, Any, Any, Any]]:
    """(slice, value, rows, contender, champion) of the main metric, in the order of the records."""
    found = []
    for name, values in cycle.slices.items():
        for value in values:
            part = mapping(values, value)
            measured = mapping(mapping(part, "metrics"), focus.metric)
            found.append((name, str(value), part.get("n"), measured.get("contender"), measured.get("champion")))
    return found


def _actions(cycle: Cycle) -> list[Record]:
    return [item for item in (cycle.wake or {}).get("actions", []) if isinstance(item, Mapping)]
