"""The schema of the language for editors and tools that know JSON Schema draft-07 only.

Rules: the "Migrating" guide of json-schema.org from draft-07 through 2019-09 to 2020-12, backwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DIALECT = "http://json-schema.org/draft-07/schema#"

_RENAMED = {"$defs": "definitions", "dependentSchemas": "dependencies"}
_BY_NAME = ("$defs", "dependentSchemas", "properties", "patternProperties")
"""Keywords that hold a schema for each name."""
_ONE = ("additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then")
_SEVERAL = ("allOf", "anyOf", "oneOf")
_ONLY_LATER = frozenset(
    {
        "$anchor",
        "$dynamicAnchor",
        "$dynamicRef",
        "$vocabulary",
        "dependentRequired",
        "maxContains",
        "minContains",
        "prefixItems",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords of 2020-12 that draft-07 would pass over in silence. Of these the language uses none."""


def draft7(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The draft-07 schema that takes the same values as one of 2020-12; annotations are kept.

    Raises ValueError for a keyword that has no counterpart here.
    """
    return {"$schema": DIALECT, **{key: value for key, value in _part(schema).items() if key != "$schema"}}


def _part(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema  # true or false
    lost = sorted(_ONLY_LATER & schema.keys())
    if lost:
        raise ValueError(f"draft-07 has no {', '.join(f'`{key}`' for key in lost)}")
    made = {_RENAMED.get(key, key): _value(key, value) for key, value in schema.items() if key != "$ref"}
    if "$ref" not in schema:
        return made
    reference = {"$ref": schema["$ref"].replace("#/$defs/", "#/definitions/", 1)}
    if not made:
        return reference
    # Draft-07 passes over everything that stands beside a `$ref`.
    return {**made, "allOf": [reference, *made.get("allOf", [])]}


def _value(key: str, value: Any) -> Any:
    if key in _BY_NAME:
        return {name: _part(part) for name, part in value.items()}
    if key in _ONE:
        return _part(value)
    return [_part(part) for part in value] if key in _SEVERAL else value
