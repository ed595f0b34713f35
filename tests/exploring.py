"""Every history of a small world, by breadth: the shortest one that breaks an invariant is what is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Protocol, TypeVar

World = TypeVar("World", bound=Hashable)
_World = TypeVar("_World", bound=Hashable)


class Broken(AssertionError):
    """An invariant that does not hold, and the steps that lead there, first to last, a line each."""


class Model(Protocol[_World]):
    def check(self, world: _World) -> None: ...

    def worlds(self, world: _World) -> Iterable[tuple[str, _World]]: ...


def explore(model: Model[World], first: World, limit: int = 400_000) -> int:
    """The number of worlds that can be reached from the first; Broken if one breaks an invariant."""
    came: dict[World, tuple[World, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        world = queue.popleft()
        try:
            model.check(world)
            for name, after in model.worlds(world):
                if after not in came:
                    came[after] = (world, name)
                    queue.append(after)
        except AssertionError as broken:
            steps, link = [], came[world]
            while link is not None:
                steps.append(link[1])
                link = came[link[0]]
            raise Broken(f"{broken}\n" + "\n".join(steps[::-1])) from broken
        assert len(came) < limit, "the model has outgrown its bounds"
    return len(came)
