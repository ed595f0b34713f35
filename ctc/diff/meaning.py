"""What a change of a place of the language means: the table `schemas/meaning.v1.json`, read and asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cache
from pathlib import Path as FilePath
from typing import Any

from ctc.diff.values import ABSENT, default_of, direction, part_of
from ctc.language.based import Part, resolved
from ctc.language.shape import schema
from ctc.language.spans import Path


class Kind(StrEnum):
    """What a reviewer has to think of."""

    WEAKENS = "weakens"
    DATA = "data"
    REACH = "reach"
    BEHAVIOUR = "behaviour"
    SPEND = "spend"
    OPERATIONS = "operations"
    COSMETIC = "cosmetic"


class Level(IntEnum):
    """How much it matters, least first."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Meaning:
    """What one change is, how much it matters, and why."""

    kind: Kind
    level: Level
    why: str


@dataclass(frozen=True)
class Rule:
    """One row of the table. `bound` says of a limit which way is looser; `order` puts words in order.

    `absent` is `tightest` where a bound that is not there lets nothing pass, unlike one that is no bound then.
    """

    paths: tuple[str, ...]
    means: Mapping[str, Meaning]
    bound: str = ""
    order: tuple[str, ...] = ()
    absent: str = ""

    def meaning(self, was: Any, now: Any, part: Part) -> Meaning:
        """What a change from one value to another means; a value that is the default, written or not, is the same."""
        default = default_of(part)
        former, latter = (default if value is ABSENT else value for value in (was, now))
        way = direction(former, latter, part, self.order)
        if way == "same":
            said = "the default" if ABSENT in (was, now) else "the same value"
            return Meaning(Kind.COSMETIC, Level.LOW, f"{said}, written differently: decisions stay the same")
        if way == "order":
            return Meaning(Kind.COSMETIC, Level.LOW, "the same items in another order")
        candidates = (way, self._bounded(way), "changed", "any")
        found = next((self.means[word] for word in candidates if word in self.means), None)
        # The table has no word for a direction that no value of this place can take.
        return found if found is not None else max(self.means.values(), key=lambda item: item.level)

    def renamed(self) -> Meaning:
        """What another name of the same thing means."""
        return self.means.get("renamed") or max(self.means.values(), key=lambda item: item.level)

    def _bounded(self, way: str) -> str:
        grows = {"up": True, "down": False, "added": self.bound == "min", "removed": self.bound == "max"}
        if not self.bound or way not in grows:
            return ""
        if self.absent == "tightest" and way in ("added", "removed"):
            return "looser" if way == "added" else "tighter"
        return "looser" if grows[way] is (self.bound == "max") else "tighter"


UNKNOWN = Meaning(
    Kind.BEHAVIOUR, Level.MEDIUM, "the language has no such place, or nothing is known of it: read what it changes"
)


@cache
def rules() -> tuple[Rule, ...]:
    """The table, in its order."""
    # Beside the package, as the schema is.
    path = FilePath(__file__).parent.parent / "schemas" / "meaning.v1.json"
    return tuple(
        Rule(
            tuple(row["paths"]),
            {word: _meaning(text) for word, text in row["means"].items()},
            row.get("bound", ""),
            tuple(row.get("order", ())),
            row.get("absent", ""),
        )
        for row in json.loads(path.read_bytes())["rules"]
    )


def _meaning(text: str) -> Meaning:
    head, _, why = text.partition(": ")
    kind, level = head.split(" ")
    return Meaning(Kind(kind), Level[level.upper()], why)


@cache
def _by_path() -> dict[str, Rule]:
    return {path: rule for rule in rules() for path in rule.paths}


@cache
def rule_at(path: Path) -> Rule | None:
    """The rule of a place, which is written with the user's names; None where the table has none."""
    return _by_path().get(pattern(path))


def pattern(path: Path) -> str:
    """A place with `*` for each name of the user's and `[]` for each index."""
    part: Part = schema()
    words = []
    for number, key in enumerate(path):
        known = resolved(part, schema()).get("properties", {})
        is_environment = number == 1 and path[0] == "environments"
        words.append("[]" if isinstance(key, int) else key if key in known and not is_environment else "*")
        part = part_of(part, key)
    return ".".join(words)


def is_entity(path: Path) -> bool:
    """Whether what stands at a place comes and goes as a whole: the table says what its coming means."""
    rule = rule_at(path)
    return rule is not None and not {"added", "removed", "any"}.isdisjoint(rule.means)


def meaning(path: Path, was: Any, now: Any, *, renamed: bool = False) -> Meaning:
    """What a change at a place means. Below the last place that the table knows, what it means there."""
    part: Part = schema()
    for key in path:
        part = part_of(part, key)
    for length in range(len(path), 0, -1):
        rule = rule_at(path[:length])
        if rule is not None:
            if renamed:
                return rule.renamed()
            return rule.meaning(was, now, part) if length == len(path) else rule.meaning({}, {"": ""}, {})
    return UNKNOWN
