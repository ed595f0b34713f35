"""Two bodies, field by field."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ctc.value import Value, frozen


class Absent:
    """Stands for a field that is not there; unlike None, which a service may say."""

    def __repr__(self) -> str:
        return "(none)"


ABSENT = Absent()


@frozen
class Field(Value):
    """A field that differs: its dotted path, what it is, and what it should be."""

    path: str
    was: Any
    now: Any

    @property
    def top(self) -> str:
        """The field of the body in which it stands."""
        return self.path.partition(".")[0].partition("[")[0]


def differences(wanted: Mapping[str, Any], live: Mapping[str, Any], former: Collection[str]) -> tuple[Field, ...]:
    """The fields in which `live` is not what is `wanted`, sorted by name.

    A field of the live body that is not wanted counts if it was once asked for (`former`): it is to be taken away.
    """
    found: list[Field] = []
    for name in sorted({*wanted, *(field for field in former if field in live)}):
        found += _differences(name, live.get(name, ABSENT), wanted.get(name, ABSENT))
    return tuple(found)


def _differences(path: str, was: Any, now: Any) -> Iterator[Field]:
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for key in sorted({*was, *now}):
            yield from _differences(f"{path}.{key}", was.get(key, ABSENT), now.get(key, ABSENT))
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from _differences(f"{path}[{number}]", one, other)
    elif was != now or isinstance(was, bool) is not isinstance(now, bool):
        yield Field(path, was, now)
