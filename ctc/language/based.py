"""A tree by its schema: values with units in base units, and the places that this version compiles but does not run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ctc.language.spans import Path
from ctc.language.units import READERS

Part = Mapping[str, Any]


def in_base_units(value: Any, part: Part, schema: Part) -> Any:
    """The tree with durations, sizes and the like read, whole numbers as `int`, and lists as tuples.

    The tree has the shape of `part`, a part of `schema`: nothing is checked here.
    """
    part = resolved(part, schema)
    if isinstance(value, dict):
        return {key: in_base_units(item, inner(part, key), schema) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(in_base_units(item, part.get("items", {}), schema) for item in value)
    unit = part.get("x-unit")
    if unit is not None and isinstance(value, str | int | float):
        return READERS[unit](value)
    # The schema takes 2.0 for a whole number, and it is one.
    return int(value) if part.get("type") == "integer" else value


def not_run(value: Any, part: Part, schema: Part, path: Path = ()) -> Iterator[Path]:
    """Where the tree asks for what `x-not-run` marks: a whole subtree (true), or some values or keys (a list)."""
    mark = part.get("x-not-run", resolved(part, schema).get("x-not-run"))
    if mark is True:
        yield path
        return
    if isinstance(mark, list):
        if isinstance(value, str) and value in mark:
            yield path
        elif isinstance(value, dict):
            yield from ((*path, key) for key in value if key in mark)
    part = resolved(part, schema)
    if isinstance(value, dict):
        for key, item in value.items():
            if not (isinstance(mark, list) and key in mark):
                yield from not_run(item, inner(part, key), schema, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from not_run(item, part.get("items", {}), schema, (*path, index))


def resolved(part: Part, schema: Part) -> Part:
    """The part itself, or the definition that it refers to."""
    reference = part.get("$ref")
    found: Part = part if reference is None else schema["$defs"][reference.rsplit("/", 1)[-1]]
    return found


def inner(part: Part, key: str) -> Part:
    """What describes the value of a key: one that the language has, or a name of the user's."""
    found = part.get("properties", {}).get(key, part.get("additionalProperties", {}))
    return found if isinstance(found, dict) else {}
