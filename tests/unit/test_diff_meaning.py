"""The table of meanings against the schema: every place of the language has one row, and no row is of no place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from ctc.diff.meaning import Kind, Level, meaning, rule_at, rules
from ctc.diff.values import ABSENT, default_of, direction, part_of, shown
from ctc.language.based import Part, resolved
from ctc.language.shape import schema
from ctc.language.spans import Path


def places(part: Part, path: tuple[str, ...] = ()) -> Iterator[tuple[str, bool]]:
    """Every place of the language, and whether it is a leaf: one that can hold a value without keys of its own."""
    whole = resolved(part, schema())
    inner: dict[str, Any] = dict(whole.get("properties", {}))
    if isinstance(whole.get("additionalProperties"), dict):
        inner["*"] = whole["additionalProperties"]
    items = whole.get("items", {})
    if inner.keys() and path[:1] != ("environments",):
        for key, item in inner.items():
            yield from places(item, (*path, key))
    if "object" in str(resolved(items, schema()).get("type", "")):
        yield from places(items, (*path, "[]"))
    types = whole.get("type", "object")
    yield ".".join(path), not inner or (isinstance(types, list) and set(types) > {"object"})


PLACES = dict(places(schema()))
LEAVES = sorted(path for path, leaf in PLACES.items() if leaf)


def named(pattern: str) -> Path:
    """A place with names for the stars, as a spec has it."""
    words = pattern.split(".")
    return tuple(0 if word == "[]" else "some" if word == "*" else word for word in words)


def test_every_leaf_is_matched_by_exactly_one_rule() -> None:
    found = Counter(path for rule in rules() for path in rule.paths)

    assert [path for path in LEAVES if found[path] != 1 and not path.endswith("rows.[].*")] == []
    assert [path for path, number in found.items() if number > 1] == []


def test_no_rule_is_of_a_place_that_the_language_does_not_have() -> None:
    known = {*PLACES, "matrix.*.rows.[]", "matrix.*.rows.[].*", "environments.*"}

    assert [path for rule in rules() for path in rule.paths if path not in known] == []


@pytest.mark.parametrize("path", LEAVES)
def test_every_direction_has_a_meaning(path: str) -> None:
    rule = rule_at(named(path))

    assert rule is not None
    for way in ("up", "down", "added", "removed", "changed"):
        words = {way, rule._bounded(way), "changed", "any"}
        # A limit cannot change without becoming looser or tighter.
        assert words & rule.means.keys() or (rule.bound and way == "changed") or way == "changed", (path, way)
    assert all(item.why and not item.why.endswith(".") for item in rule.means.values())


@pytest.mark.parametrize(
    ("path", "was", "now", "kind", "level"),
    [
        ("promotion.gates.g.range.min", 0.7, 0.6, Kind.WEAKENS, Level.HIGH),
        ("promotion.gates.g.range.min", 0.6, 0.7, Kind.BEHAVIOUR, Level.MEDIUM),
        ("promotion.gates.g.range.min", 0.6, ABSENT, Kind.WEAKENS, Level.HIGH),
        ("promotion.gates.g.range.max", ABSENT, 3, Kind.BEHAVIOUR, Level.MEDIUM),
        ("promotion.gates.g.latency.p99", "25ms", "0.03s", Kind.WEAKENS, Level.HIGH),
        ("promotion.gates.g.not_worse.confidence", ABSENT, 0.9, Kind.WEAKENS, Level.HIGH),
        ("promotion.gates.g.not_worse.confidence", ABSENT, "97.5%", Kind.COSMETIC, Level.LOW),
        ("promotion.approval", {"any_of": ["a"]}, ABSENT, Kind.WEAKENS, Level.HIGH),
        ("promotion.approval.any_of", ["a"], ["a", "b"], Kind.WEAKENS, Level.HIGH),
        ("promotion.approval.all_of", ["a"], ["a", "b"], Kind.BEHAVIOUR, Level.LOW),
        ("promotion.approval.all_of", ["a", "b"], ["b", "a"], Kind.COSMETIC, Level.LOW),
        ("validation.checks.c.range.tolerate", ABSENT, "1%", Kind.WEAKENS, Level.HIGH),
        ("validation.checks.c.on_fail", ABSENT, "warn", Kind.WEAKENS, Level.HIGH),
        ("validation.checks.c.unique.columns", ["a"], ["a", "b"], Kind.WEAKENS, Level.HIGH),
        ("rollout.steps.[].for", "4h", "1h", Kind.WEAKENS, Level.HIGH),
        ("rollout.steps.[].traffic", "10%", 0.2, Kind.REACH, Level.HIGH),
        ("mode", "observe", "act", Kind.REACH, Level.HIGH),
        ("mode", "act", "recommend", Kind.BEHAVIOUR, Level.HIGH),
        ("label.known_after", "14d", "7d", Kind.DATA, Level.HIGH),
        ("columns.drop", ["a", "b"], ["a"], Kind.DATA, Level.HIGH),
        ("retraining.gap", "2d", ABSENT, Kind.DATA, Level.HIGH),
        ("cost.max_per_month", "400 USD", 500, Kind.SPEND, Level.HIGH),
        ("triggers.t.enabled", ABSENT, False, Kind.BEHAVIOUR, Level.HIGH),
        ("description", "a", "b", Kind.COSMETIC, Level.LOW),
    ],
)
def test_meanings(path: str, was: object, now: object, kind: Kind, level: Level) -> None:
    place = tuple(0 if word == "[]" else word for word in path.split("."))
    found = meaning(place, was, now)

    assert (found.kind, found.level) == (kind, level)


def test_instants_and_money_have_a_direction() -> None:
    assert direction("2024-01-01", "2024-01-01T01:00:00+01:00", {"x-unit": "instant"}) == "same"
    assert direction("2024-01-01", "2024-02-01", {"x-unit": "instant"}) == "up"
    assert direction("10 USD", "9 EUR", {"x-unit": "money"}) == "changed"


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("retraining.gap", "0s"),
        ("shared", False),
        ("promotion.registry.keep", 10),
        ("promotion.if_not_evaluable", "hold"),
        ("triggers.t.enabled", True),
        ("trigger_policy.wake_every", "1h"),
    ],
)
def test_defaults_are_read_from_the_schema(path: str, default: object) -> None:
    part: Part = schema()
    for key in path.split("."):
        part = part_of(part, key)

    assert default_of(part) == default


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["python", "-m", "x: y"], '[python, "-m", "x: y"]'),
        ({"a": True, "b": None}, "{a: true, b: null}"),
        ("no", '"no"'),
        ("90d", "90d"),
        ("1e3", '"1e3"'),
        (ABSENT, "(none)"),
        ("x" * 200, "x" * 119 + "…"),
    ],
)
def test_values_are_shown_as_a_spec_writes_them(value: object, text: str) -> None:
    assert shown(value) == text
