"""What a diff says: plain, frozen, in the order in which it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ctc.diagnostics import Diagnostic, Severity
from ctc.diff.meaning import Kind, Level, Meaning
from ctc.diff.values import ABSENT, shown
from ctc.report import mask, masked


def safe(path: str, value: Any, longest: int = 120) -> str:
    """A value for people, with stars for what looks like a secret, by itself or by the name of its key."""
    if value is ABSENT:
        return shown(value)
    text = shown(value, 10 * longest)
    key = re.split(r"[.\[\]\"]+", path.rstrip(']"'))[-1]
    hidden = masked(mask(f"{key}: {text}"))[len(key) + 2 :]
    return hidden if len(hidden) <= longest else f"{hidden[: longest - 1]}…"


@dataclass(frozen=True)
class Place:
    """A line of a file on one of the two sides, `side` being `base` or `head`; line 0 where there is no line."""

    side: str
    file: str
    line: int


@dataclass(frozen=True)
class Holds:
    """What a change comes to somewhere: a place of the rendered spec, its values, and the states where it is so."""

    path: str
    was: Any
    now: Any
    meaning: Meaning
    where: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One thing that somebody wrote, or that changed because of what they wrote elsewhere.

    `where` names the states in which it holds, and is empty where that is all of them. `comes_to` is what it changes
    at other places, or with other values than those written. A `renamed` thing is as it was under the name `former`.
    """

    path: str
    place: Place
    was: Any
    now: Any
    meaning: Meaning
    where: tuple[str, ...] = ()
    comes_to: tuple[Holds, ...] = ()
    former: str = ""

    @property
    def kind(self) -> Kind:
        return self.meaning.kind

    @property
    def level(self) -> Level:
        return self.meaning.level

    def said(self, longest: int = 120) -> tuple[str, str]:
        """Was and now for people; a renamed thing by its two names."""
        if self.former:
            return self.former, self.path
        return safe(self.path, self.was, longest), safe(self.path, self.now, longest)

    @property
    def verb(self) -> str:
        if self.former:
            return "renamed"
        return "added" if self.was is ABSENT else "removed" if self.now is ABSENT else "changed"


@dataclass(frozen=True)
class Resources:
    """What a deployment of one state on one target does, if the former spec is what is deployed."""

    where: str
    target: str
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    """What a deploy no longer knows of: it stays until `ctc destroy`."""
    relabelled: int = 0
    """Resources in which only the spec's digest is another."""
    unknown: str = ""
    """Why nothing can be said, where nothing can."""

    @property
    def is_nothing(self) -> bool:
        named = (*self.created, *self.updated, *self.replaced, *self.deleted, *self.left)
        return not named and not self.relabelled and not self.unknown


@dataclass(frozen=True)
class Number:
    """Something that is counted or estimated before and after, in words; `not estimated` where it is not."""

    what: str
    where: str
    was: str
    now: str


@dataclass(frozen=True)
class Outcome:
    """What follows of the changes of one spec: resources, wakes and runs, what gates see, notes."""

    resources: tuple[Resources, ...] = ()
    numbers: tuple[Number, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpecDiff:
    """One spec. `verb` is `added`, `removed`, `changed`, `moved` or `unchanged`; `findings` are those of the head.

    `rows` counts the deployments of one environment: the rows of the matrix, else 1.
    """

    verb: str
    path: str
    name: str
    changes: tuple[Change, ...] = ()
    outcome: Outcome = field(default_factory=Outcome)
    findings: tuple[Diagnostic, ...] = ()
    warnings: tuple[str, ...] = ()
    former: str = ""

    @property
    def level(self) -> Level:
        return max((change.level for change in self.changes), default=Level.NONE)

    @property
    def is_invalid(self) -> bool:
        return any(item.severity is Severity.ERROR for item in self.findings)

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for specs that changed alike: the same places, from and to the same values."""
        if self.verb in ("added", "removed"):
            return (self.verb,)
        return (
            False,
            *((c.path, repr(c.was), repr(c.now), c.meaning, c.where) for c in self.changes),
        )


@dataclass(frozen=True)
class Report:
    """The whole comparison. `base` and `head` are what people call the two sides."""

    base: str
    head: str
    specs: tuple[SpecDiff, ...]
    unchanged: int

    @property
    def level(self) -> Level:
        return max((spec.level for spec in self.specs), default=Level.NONE)

    @property
    def is_different(self) -> bool:
        return any(spec.changes or spec.verb != "unchanged" for spec in self.specs)

    def changes(self) -> Iterator[tuple[SpecDiff, Change]]:
        for spec in self.specs:
            for change in spec.changes:
                yield spec, change

    def count(self, level: Level) -> int:
        return sum(change.level is level for _, change in self.changes())
