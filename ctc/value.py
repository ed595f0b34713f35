"""What the frozen types of the spec and of the IR have in common, written once.

`dataclass(frozen=True)` generates and compiles the text of five methods for each class: for some hundred classes that
is a third of the time that `ctc validate` takes. `frozen` makes the same dataclasses (`fields` and `replace` work) and
generates nothing: their methods are `Value`'s, which read the fields when they are called.
"""

from __future__ import annotations

from collections.abc import Callable, KeysView
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, dataclass_transform

_V = TypeVar("_V", bound="Value")


class Value:
    """Frozen; equal to another of the same class with equal fields; hashable if its fields are."""

    if TYPE_CHECKING:
        __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    _asked: ClassVar[KeysView[str]] = {}.keys()
    _defaults: ClassVar[dict[str, Callable[[], Any]]] = {}

    def __init__(self, *given: Any, **named: Any) -> None:
        asked, own = self._asked, vars(self)
        own.update(zip(asked, given, strict=False))
        own.update(named)
        once = len(own) == len(given) + len(named)
        if len(own) < len(asked):
            own.update((name, one()) for name, one in self._defaults.items() if name not in own)
        if not once or own.keys() != asked:
            raise TypeError(f"{type(self).__name__} takes each of {', '.join(asked)} once: {given!r}, {named!r}")
        self.__post_init__()

    def __post_init__(self) -> None:
        """Where a class says what it does not accept."""

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *map(vars(self).__getitem__, self._asked)))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={vars(self)[name]!r}" for name in self._asked)
        return f"{type(self).__name__}({fields})"


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[_V]) -> type[_V]:
    """As `dataclass(frozen=True)`, for a subclass of `Value`."""
    made = dataclass(init=False, repr=False, eq=False)(kind)
    fields = made.__dataclass_fields__
    made._asked = fields.keys()
    made._defaults = {name: default for name, one in fields.items() if (default := _default(one)) is not None}
    return made


def _default(one: Field[Any]) -> Callable[[], Any] | None:
    if one.default is not MISSING:
        return lambda: one.default
    return None if one.default_factory is MISSING else one.default_factory
