"""What a picture shows, without any place on it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from ctc.value import Value, frozen


class Role(StrEnum):
    """What a node is; each has a look of its own."""

    TRIGGER = "trigger"
    OURS = "ours"
    """A step in our image."""
    USERS = "users"
    """A step in the user's image."""
    GATE = "gate"
    ROLLOUT = "rollout"
    SERVING = "serving"


class Kind(StrEnum):
    """What an edge means."""

    THEN = "then"
    IF = "if"
    """The way on only if the label holds."""
    BACK = "back"
    """What a live model's rows wake."""


@frozen
class Node(Value):
    """`name` is unique in the picture; `title` and `details` are what it says. `off`: it is there and does nothing."""

    name: str
    title: str
    role: Role
    details: tuple[str, ...] = ()
    off: bool = False


@frozen
class Edge(Value):
    """From a node or a band to another, by name."""

    tail: str
    head: str
    kind: Kind = Kind.THEN
    label: str = ""


@frozen
class Band(Value):
    """Nodes that belong together, in rows from top to bottom. `notes` are said of the band as a whole."""

    name: str
    title: str
    rows: tuple[tuple[Node, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> Iterator[Node]:
        for row in self.rows:
            yield from row


@frozen
class Graph(Value):
    """Bands from top to bottom. Edges join nodes of one band, or one band and another."""

    title: str
    about: str
    bands: tuple[Band, ...]
    edges: tuple[Edge, ...]

    @property
    def nodes(self) -> Iterator[Node]:
        for band in self.bands:
            yield from band.nodes
