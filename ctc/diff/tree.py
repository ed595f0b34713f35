"""What differs between two trees of YAML: things are told apart by their names, items of lists by what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from ctc.diff.meaning import is_entity
from ctc.diff.values import ABSENT, canonical, part_of, same
from ctc.language.based import Part, resolved
from ctc.language.shape import schema
from ctc.language.spans import Path


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it was.

    `was` and `now` are values as written, or ABSENT. `former` and `path` are the places in the two trees: they are
    different where an item of a list has moved, or a thing has another name.
    """

    former: Path
    path: Path
    was: Any
    now: Any

    @property
    def renamed(self) -> bool:
        """Whether only a name changed."""
        return self.former != self.path and isinstance(self.path[-1], str) and self.former[-1] != self.path[-1]


def differences(was: Any, now: Any, below: Path = ()) -> Iterator[Difference]:
    """What differs between two trees of the language, in the order of the later one; what went stands last."""
    part: Part = schema()
    for key in below:
        part = part_of(part, key)
    yield from _between(was, now, below, below, part)


def _between(was: Any, now: Any, former: Path, path: Path, part: Part) -> Iterator[Difference]:
    if repr(was) == repr(now):
        # Nearly every subtree is: this says so without a look at the schema.
        return
    if isinstance(was, dict) and isinstance(now, dict):
        yield from _maps(was, now, former, path, part)
    elif isinstance(was, list) and isinstance(now, list) and _hold_maps(was, now):
        yield from _lists(was, now, former, path, part)
    elif not same(was, now, part):
        yield Difference(former, path, was, now)


def _maps(was: dict[str, Any], now: dict[str, Any], former: Path, path: Path, part: Part) -> Iterator[Difference]:
    kinds = _kinds(part)
    if kinds and path and {*was} & kinds != {*now} & kinds and is_entity(path):
        yield Difference(former, path, was, now)
        return
    renames = _renames(was, now, path, part)
    for key, value in now.items():
        if key in renames:
            yield Difference((*former, renames[key]), (*path, key), was[renames[key]], value)
        elif key in was:
            yield from _between(was[key], value, (*former, key), (*path, key), part_of(part, key))
        else:
            yield from _one_sided(ABSENT, value, (*former, key), (*path, key))
    for key, value in was.items():
        if key not in now and key not in renames.values():
            yield from _one_sided(value, ABSENT, (*former, key), (*path, key))


def _one_sided(was: Any, now: Any, former: Path, path: Path) -> Iterator[Difference]:
    """What came or went: as a whole where it has a meaning as such, else each value below it."""
    value = now if was is ABSENT else was
    if not isinstance(value, dict) or not value or is_entity(path):
        yield Difference(former, path, was, now)
        return
    for key, item in value.items():
        old, new = (ABSENT, item) if was is ABSENT else (item, ABSENT)
        yield from _one_sided(old, new, (*former, key), (*path, key))


def _renames(was: dict[str, Any], now: dict[str, Any], path: Path, part: Part) -> dict[str, str]:
    """The new names of things that are otherwise as they were, with their former ones; only where it is clear which."""
    gone = [key for key in was if key not in now and is_entity((*path, key))]
    come = [key for key in now if key not in was]
    if not gone or not come or not isinstance(part_of(part, come[0]), dict) or come[0] in part.get("properties", {}):
        return {}
    found = {}
    for key in come:
        alike = [old for old in gone if isinstance(now[key], dict) and same(was[old], now[key], part_of(part, key))]
        rivals = [other for other in come if alike and same(was[alike[0]], now[other], part_of(part, other))]
        if len(alike) == 1 and len(rivals) == 1:
            found[key] = alike[0]
    return found


def _hold_maps(was: list[Any], now: list[Any]) -> bool:
    items = [*was, *now]
    return bool(was) and bool(now) and any(isinstance(item, dict) for item in items)


def _lists(was: list[Any], now: list[Any], former: Path, path: Path, part: Part) -> Iterator[Difference]:
    """Items are matched by what tells them apart: the kind of a step, the key of a matrix row."""
    item_part = part_of(part, 0)
    pairs = _aligned(was, now, path, item_part)
    for old, new in sorted(pairs, key=lambda pair: (pair[1] is None, pair[1] or 0, pair[0] or 0)):
        if old is not None and new is not None:
            yield from _between(was[old], now[new], (*former, old), (*path, new), item_part)
        elif new is not None:
            yield Difference((*former, new), (*path, new), ABSENT, now[new])
        elif old is not None:
            yield Difference((*former, old), (*path, old), was[old], ABSENT)


def _aligned(was: list[Any], now: list[Any], path: Path, part: Part) -> Iterator[tuple[int | None, int | None]]:
    """Which item is which: those that are as they were first, then between them those of the same kind."""
    before, after = (_exact(items, part) for items in (was, now))
    old_kinds, new_kinds = (_marks(items, path, part) for items in (was, now))
    for tag, left, left_end, right, right_end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(range(left, left_end), range(right, right_end), strict=True)
            continue
        matcher = SequenceMatcher(None, old_kinds[left:left_end], new_kinds[right:right_end], autojunk=False)
        for inner, first, first_end, other, other_end in matcher.get_opcodes():
            old, new = range(left + first, left + first_end), range(right + other, right + other_end)
            if inner == "equal":
                yield from zip(old, new, strict=True)
            else:
                yield from ((None, item) for item in new)
                yield from ((item, None) for item in old)


def _exact(items: Sequence[Any], part: Part) -> list[str]:
    return [json.dumps(canonical(item, part), sort_keys=True, default=str) for item in items]


def _marks(items: Sequence[Any], path: Path, part: Part) -> list[str]:
    kinds = _kinds(part)
    found = []
    for item in items:
        if path[:1] == ("matrix",) and len(path) > 1:
            key = item.get(path[1]) if isinstance(item, dict) else item
            found.append(str(key).lower())
        elif kinds and isinstance(item, dict) and {*item} & kinds:
            found.append(",".join(sorted({*item} & kinds)))
        else:
            found.append(json.dumps(canonical(item, part), sort_keys=True, default=str))
    return found


def _kinds(part: Part) -> set[str]:
    """The keys of which a map of this part has exactly one; none where it is no such map."""
    whole = resolved(part, schema())
    if whole.get("not", {}).get("minProperties") == 2 or whole.get("maxProperties") == 1:
        return set(whole.get("properties", {}))
    return set(whole["dependentSchemas"]) if "dependentSchemas" in whole and "anyOf" in whole else set()
