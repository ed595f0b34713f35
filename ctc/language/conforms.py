"""A quick yes for the shape of a spec, without the validator's import, which would be a third of `ctc validate`.

Only a yes counts: whatever this does not understand is a no, and then the real validator decides and explains. It reads
the same schema; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ctc.language.units import READERS

_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    # JSON Schema takes 2.0 for an integer, and so does the loader.
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    ),
}

_SAID = ("description", "examples", "patternErrorMessage", "x-not-run", "x-not-yet", "$schema", "$defs")
"""Keywords that decide nothing."""


def conforms(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether `value` surely satisfies the schema."""
    return _Quick(schema).satisfies(value, schema)


class _Quick:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self.keywords: dict[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
            "$ref": lambda value, name, _: self.satisfies(value, self._defined(name)),
            "type": lambda value, names, _: any(_TYPES[name](value) for name in _listed(names)),
            "const": lambda value, wanted, _: isinstance(value, str) and value == wanted,
            "enum": lambda value, wanted, _: isinstance(value, str) and value in wanted,
            # A no inside would be a yes here, so it must be one that is understood.
            "not": lambda value, part, _: self.keywords.keys() >= part.keys() and not self.satisfies(value, part),
            "anyOf": lambda value, parts, _: any(self.satisfies(value, part) for part in parts),
            "properties": self._properties,
            "additionalProperties": self._additional,
            "propertyNames": lambda value, part, _: all(self.satisfies(key, part) for key in value),
            "dependentSchemas": lambda value, parts, _: all(
                self.satisfies(value, part) for key, part in parts.items() if key in value
            ),
            "required": lambda value, keys, _: not isinstance(value, dict) or all(key in value for key in keys),
            "minProperties": lambda value, limit, _: not isinstance(value, dict) or len(value) >= limit,
            "maxProperties": lambda value, limit, _: not isinstance(value, dict) or len(value) <= limit,
            "minLength": lambda value, limit, _: not isinstance(value, str) or len(value) >= limit,
            "maxLength": lambda value, limit, _: not isinstance(value, str) or len(value) <= limit,
            "minItems": lambda value, limit, _: len(value) >= limit,
            "items": lambda value, part, _: all(self.satisfies(item, part) for item in value),
            "uniqueItems": lambda value, _, __: all(map(_hashable, value)) and len(set(value)) == len(value),
            "pattern": lambda value, pattern, _: not isinstance(value, str) or re.search(pattern, value) is not None,
            "minimum": lambda value, limit, _: not _is_number(value) or value >= limit,
            "maximum": lambda value, limit, _: not _is_number(value) or value <= limit,
            "exclusiveMinimum": lambda value, limit, _: not _is_number(value) or value > limit,
            "x-unit": lambda value, unit, _: _readable(value, unit),
            **dict.fromkeys(_SAID, lambda *_: True),
        }

    def satisfies(self, value: Any, part: Any) -> bool:
        if isinstance(part, bool):
            return part
        # The type first: the other keywords take it for granted.
        if "type" in part and not self.keywords["type"](value, part["type"], part):
            return False
        return all(name in self.keywords and self.keywords[name](value, given, part) for name, given in part.items())

    def _properties(self, value: Any, parts: Mapping[str, Any], _: Mapping[str, Any]) -> bool:
        if not isinstance(value, dict):
            return True
        return all(self.satisfies(value[key], part) for key, part in parts.items() if key in value)

    def _additional(self, value: Any, part: Any, whole: Mapping[str, Any]) -> bool:
        if not isinstance(value, dict):
            return True
        known = whole.get("properties", {})
        return all(self.satisfies(item, part) for key, item in value.items() if key not in known)

    def _defined(self, reference: str) -> Any:
        return self.schema["$defs"][reference.rsplit("/", 1)[-1]]


def _listed(names: Any) -> list[str]:
    return names if isinstance(names, list) else [names]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _hashable(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _readable(value: Any, unit: str) -> bool:
    try:
        READERS[unit](value)
    except ValueError:
        return False
    return True
