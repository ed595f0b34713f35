"""Two values of a spec: whether they are the same, which of them is more, and how they are written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any

from ctc.language.based import Part, inner, resolved
from ctc.language.shape import schema
from ctc.language.units import READERS, Money


class Absent(Enum):
    """Stands for a key that is not there; unlike null, which a patch may say. The same one in every process."""

    ABSENT = "(none)"

    def __repr__(self) -> str:
        return "(none)"


ABSENT = Absent.ABSENT

_LONGEST = 120
"""Characters of a value that are shown."""

_DEFAULT = re.compile(r"Default (\S+?)\.(?:\s|$)")
_PLAIN = re.compile(r"[A-Za-z_/.$][^\s:#,\[\]{}'\"]*(?: [^\s:#,\[\]{}'\"]+)*")
_WORDS = {"true", "false", "null", "~", "yes", "no", "on", "off"}


def part_of(part: Part, key: str | int) -> Part:
    """What the schema says of the value of a key, or of a list's items; a patch is a part of a spec."""
    part = resolved(part, schema())
    if part is schema()["properties"]["environments"]:
        return schema()
    return part.get("items", {}) if isinstance(key, int) else inner(part, key)


def canonical(value: Any, part: Part) -> Any:
    """The value in base units: equal for `90d` and `2160h`, for `5%` and 0.05. What cannot be read stays as it is."""
    whole = resolved(part, schema())
    if isinstance(value, dict):
        return {key: canonical(item, inner(whole, key)) for key, item in value.items()}
    if isinstance(value, list):
        return [canonical(item, whole.get("items", {})) for item in value]
    unit = whole.get("x-unit")
    if unit is not None and isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return READERS[unit](value)
        except (ValueError, TypeError):
            return value
    return int(value) if whole.get("type") == "integer" and isinstance(value, float) and value % 1 == 0 else value


def is_respelt(one: Any, other: Any) -> bool:
    """Whether two texts are the same quantity of some unit: what a variable means is seen only where it is used."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    for reader in READERS.values():
        try:
            if reader(one) == reader(other):
                return True
        except ValueError:
            continue
    return False


def same(one: Any, other: Any, part: Part) -> bool:
    """Whether two values mean the same whatever the environment. `1` and `1.0` do not: they are compiled as written."""
    return _equal(canonical(one, part), canonical(other, part))


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(item, other[key]) for key, item in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


@cache
def _read_default(description: str) -> str | None:
    match = _DEFAULT.search(description)
    return None if match is None else match[1].strip("`")


def default_of(part: Part) -> Any:
    """The default that the schema's description states; ABSENT where it states none."""
    written = _read_default(part.get("description", ""))
    if written is None:
        return ABSENT
    whole = resolved(part, schema())
    types = whole.get("type")
    if types == "boolean":
        return {"true": True, "false": False}.get(written, ABSENT)
    if types in ("integer", "number"):
        return json.loads(written) if re.fullmatch(r"-?\d+(?:\.\d+)?", written) else ABSENT
    if types == "string" and whole.get("x-unit") == "duration" and written == "0":
        return "0s"
    if types in ("object", "array"):
        return ABSENT
    if "enum" in whole and written not in whole["enum"]:
        return ABSENT
    return written


def direction(was: Any, now: Any, part: Part, order: Sequence[str] = ()) -> str:
    """`up`, `down`, `added`, `removed`, `changed`; `same` for what only looks different, `order` for a list's order."""
    if was is ABSENT or now is ABSENT:
        return "added" if was is ABSENT else "removed"
    one, other = canonical(was, part), canonical(now, part)
    if isinstance(one, list) and isinstance(other, list):
        return _of_lists(one, other)
    if isinstance(one, str) and isinstance(other, str):
        if one in order and other in order:
            return _way(order.index(one), order.index(other))
        if resolved(part, schema()).get("x-unit") == "instant":
            return _way(_moment(one), _moment(other))
        return "changed"
    if isinstance(one, Money) and isinstance(other, Money):
        return _way(one.amount, other.amount) if one.currency == other.currency else "changed"
    both = (one, other)
    if isinstance(one, bool) is not isinstance(other, bool) or any(isinstance(item, str | Mapping) for item in both):
        return "changed"
    try:
        return _way(one, other)
    except TypeError:
        return "changed"


def _of_lists(one: list[Any], other: list[Any]) -> str:
    former, latter = ({json.dumps(item, sort_keys=True, default=str) for item in items} for items in (one, other))
    if former == latter and len(one) == len(other):
        return "order"
    return "up" if former < latter else "down" if latter < former else "changed"


def _way(was: Any, now: Any) -> str:
    return "same" if was == now else "up" if was < now else "down"


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def shown(value: Any, longest: int = _LONGEST) -> str:
    """A value as a spec would write it, on one line, cut where it is long."""
    text = _written(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _written(value: Any) -> str:
    if value is ABSENT:
        return "(none)"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_written(key)}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    if (
        isinstance(value, str)
        and re.fullmatch(r"\d+(?:\.\d+)?(?:%|[a-zA-Z]+|)(?:\d+[smhd])*(?:/[smhd])?", value)
        and value[-1] not in "0123456789"
    ):
        return value
    return json.dumps(value, ensure_ascii=False)


def dotted(path: Sequence[str | int]) -> str:
    """A path for people: `promotion.gates.floor`, `rollout.steps[2]`; a key that is no plain word is quoted."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif re.fullmatch(r"[\w-]+", key):
            text += f".{key}" if text else key
        else:
            text += f"[{json.dumps(key, ensure_ascii=False)}]"
    return text
