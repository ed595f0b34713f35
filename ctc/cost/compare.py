"""What a change of a spec does to what it costs: pure, for whoever compares two specs.

found = delta(before, after, shipped())
text, section = found.text(), found.markdown()
"""

from __future__ import annotations

from collections.abc import Iterator

from ctc.cost.amounts import NOTHING, Amount, Range, always
from ctc.cost.book import Book
from ctc.cost.estimate import Estimate, by_target, estimate, targets_of
from ctc.cost.text import COLUMNS, money
from ctc.language.spec import Spec
from ctc.value import Value, frozen

_NONE = always(NOTHING)

_CENT = 0.005
"""A change of less is none: it would be shown as 0.00."""


@frozen
class TargetDelta(Value):
    """One target's estimates; None where the target, or the whole spec, is not there before or after.

    `lines` are the names of the lines whose month changes, the largest change of what is expected first.
    """

    target: str
    before: Estimate | None
    after: Estimate | None
    lines: tuple[str, ...]

    @property
    def run(self) -> tuple[Range, Range]:
        return _of(self.before, "run"), _of(self.after, "run")

    @property
    def month(self) -> tuple[Range, Range]:
        return _of(self.before, "month"), _of(self.after, "month")

    @property
    def changed(self) -> bool:
        return any(_differs(*pair) for pair in (self.run, self.month)) or _lacks(self.run) or _lacks(self.month)


@frozen
class CostDelta(Value):
    """For each target that either spec has. All in `currency`."""

    currency: str
    targets: tuple[TargetDelta, ...]

    @property
    def changed(self) -> tuple[TargetDelta, ...]:
        return tuple(item for item in self.targets if item.changed)

    def text(self) -> str:
        """A line for each amount that changes; empty where none does."""
        return "".join(f"{line}\n" for item in self.changed for line in _lines(item, self.currency))

    def markdown(self) -> str:
        """A table of a month, with runs beneath; empty where nothing changes."""
        if not self.changed:
            return ""
        rows = [f"| {self.currency} | " + " | ".join(COLUMNS) + " |", "| --- | ---: | ---: | ---: |"]
        for item in self.changed:
            for name, (was, now) in (("a month", item.month), ("a run", item.run)):
                if _differs(was, now) or _lacks((was, now)):
                    cells = (_change(*pair) for pair in zip(was.columns, now.columns, strict=True))
                    rows.append(f"| {item.target}, {name} | " + " | ".join(cells) + " |")
        why = [f"- {item.target}: {', '.join(item.lines)}" for item in self.changed if item.lines]
        return "\n".join((*rows, *(("", *why) if why else ()))) + "\n"


def delta(before: Spec | None, after: Spec | None, book: Book, target: str | None = None) -> CostDelta:
    """What `after` costs beside `before`, both rendered for one environment; None is a spec that is not there.

    Without records: two versions of a spec are compared by what they state. Specs that were rendered for a target, with
    its variables, are compared on that one: name it.
    """
    was, now = (_estimates(spec, book, target) for spec in (before, after))
    return CostDelta(
        book.currency,
        tuple(
            TargetDelta(name, was.get(name), now.get(name), _changed_lines(was.get(name), now.get(name)))
            for name in dict.fromkeys((*was, *now))
        ),
    )


def _estimates(spec: Spec | None, book: Book, target: str | None) -> dict[str, Estimate]:
    if spec is None:
        return {}
    if target is not None:
        return {target: estimate(spec, target, book)} if target in targets_of(spec) else {}
    return {item.target: item for item in by_target(spec, book)}


def _of(found: Estimate | None, name: str) -> Range:
    return _NONE if found is None else getattr(found, name)


def _differs(was: Range, now: Range) -> bool:
    return any(abs(one.known - other.known) >= _CENT for one, other in zip(was.columns, now.columns, strict=True))


def _lacks(pair: tuple[Range, Range]) -> bool:
    """Whether something is not known any more, or is known now."""
    was, now = pair
    return any(bool(one.lacks) != bool(other.lacks) for one, other in zip(was.columns, now.columns, strict=True))


def _changed_lines(before: Estimate | None, after: Estimate | None) -> tuple[str, ...]:
    was, now = (
        {(line.kind, line.name): line for line in ([] if found is None else found.lines)} for found in (before, after)
    )
    found = []
    for key in dict.fromkeys((*was, *now)):
        one, other = (lines[key].month if key in lines else _NONE for lines in (was, now))
        if _differs(one, other) or _lacks((one, other)):
            by = other.expected.known - one.expected.known or other.worst.known - one.worst.known
            hired = tuple(lines[key].hired if key in lines else "" for lines in (was, now))
            found.append((-abs(by), key, _named(key, hired)))
    return tuple(name for _, _, name in sorted(found))


def _named(key: tuple[str, str], hired: tuple[str, ...]) -> str:
    kind, name = key
    was, now = hired
    machines = f" ({was} -> {now})" if was and now and was != now else f" ({now or was})" if now or was else ""
    words = {"train": f"`{name}`", "wake": "wakes", "server": f"server `{name}`", "storage": "storage"}
    return words.get(kind, f"{kind} `{name}`") + machines


def _lines(item: TargetDelta, currency: str) -> Iterator[str]:
    for name, (was, now) in (("a run", item.run), ("a month", item.month)):
        for column, one, other in zip(COLUMNS, was.columns, now.columns, strict=True):
            if abs(one.known - other.known) >= _CENT or bool(one.lacks) != bool(other.lacks):
                yield f"{item.target}, {name}, {column}: {_change(one, other)} {currency}"
    if item.lines:
        yield f"{item.target}: by {', '.join(item.lines)}"


def _change(was: Amount, now: Amount) -> str:
    """`12.00 -> 24.00 (+12.00)`; the difference only where both are known whole."""
    if money(was) == money(now):
        return money(now)
    if was.lacks or now.lacks:
        return f"{money(was)} -> {money(now)}"
    return f"{money(was)} -> {money(now)} ({now.known - was.known:+,.2f})"
