"""Where each value of a rendered spec comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ctc.language.render import Rendered
from ctc.language.spans import Path, at

WHOLE = ("environments", "matrix", "variables")
"""Sections that rendering uses up."""


@dataclass(frozen=True)
class Origin:
    """`line` of the spec; `patch` is the environment or target whose patch stands there, `references` what was filled
    in, each with the line that defines it.
    """

    line: int
    patch: str = ""
    references: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        parts = [f"line {self.line}" + (f", {self.patch}" if self.patch else "")]
        parts += [f"{name} of line {line}" for name, line in self.references]
        return "; ".join(parts)


def resolved_tree(rendered: Rendered) -> dict[str, Any]:
    """The spec as it holds: without what rendering has used up, and named as the matrix row is."""
    tree = {key: value for key, value in rendered.data.items() if key not in WHOLE}
    if isinstance(tree.get("targets"), dict):
        tree["targets"] = {
            name: {key: value for key, value in settings.items() if key != "variables"}
            for name, settings in tree["targets"].items()
        }
    if rendered.row:
        tree["name"] = f"{tree['name']}-{rendered.row}"
    return tree


def origins(rendered: Rendered) -> dict[Path, Origin]:
    """The origin of every scalar and list of the resolved tree, by its path."""
    found: dict[Path, Origin] = {}
    for path in _leaves(resolved_tree(rendered)):
        span = at(rendered.spans, path)
        references = tuple((name, _defined(rendered, name)) for name in _filled_below(rendered, path))
        found[path] = Origin(0 if span is None else span.line, _patch(rendered, path), references)
    return found


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path


def _filled_below(rendered: Rendered, path: Path) -> tuple[str, ...]:
    """The references of a scalar, or of all items of a list."""
    names = [name for place, given in rendered.filled.items() if place[: len(path)] == path for name in given]
    return tuple(dict.fromkeys(names))


def _patch(rendered: Rendered, path: Path) -> str:
    for length in range(len(path), 0, -1):
        source = rendered.patched.get(path[:length])
        if source is not None:
            return ".".join(map(str, source[:2]))
    return ""


def _defined(rendered: Rendered, reference: str) -> int:
    """The line of the variable, or of the matrix."""
    scope, _, name = reference.partition(".")
    span = at(rendered.spans, ("variables", name) if scope == "var" else ("matrix",))
    return 0 if span is None else span.line
