"""Where the nodes of a tree stand in their file: a table beside the data, which stays plain."""

from __future__ import annotations

from dataclasses import dataclass

from ctc.diagnostics import Span

Path = tuple[str | int, ...]
"""Where a node stands in the tree: keys and list indices from the root."""


# As many as values in the file: a generated `__init__` pays.
@dataclass(frozen=True)
class Place:
    """Where a node stands in the file: its key, if it has one, and the first line of its value."""

    key: Span | None
    value: Span
    scalar: bool = True


Spans = dict[Path, Place]


def at(spans: Spans, path: Path, *, key: bool = False) -> Span | None:
    """The place of a scalar, or of the key of a map or list; where the file lacks it, of the nearest node above."""
    for length in range(len(path), -1, -1):
        place = spans.get(path[:length])
        if place is not None:
            prefer_key = key or length < len(path) or not place.scalar
            return place.key if prefer_key and place.key is not None else place.value
    return None
