"""What the frozen types of the spec and of the IR have in common, written once.

`dataclass` would generate and compile equality and text for each of some seventy classes: a third of the time that
`ctc validate` takes. So they ask for neither (`eq=False, repr=False`), and inherit these.
"""

from __future__ import annotations


class Value:
    """Equal to another of the same class with equal fields; hashable if its fields are."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({fields})"
