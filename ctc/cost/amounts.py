"""Numbers of which a part may not be known: what is not known is told, never counted as nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ctc.value import Value, frozen


@frozen
class Amount(Value):
    """At least `known`, and exactly that where nothing lacks. Never negative. `lacks` are few words each."""

    known: float = 0.0
    lacks: tuple[str, ...] = ()

    @property
    def is_nothing(self) -> bool:
        """Surely 0."""
        return self.known == 0 and not self.lacks

    def times(self, other: Amount) -> Amount:
        """Nothing of what is not known is nothing; else the product lacks what either lacks."""
        if self.is_nothing or other.is_nothing:
            return NOTHING
        return Amount(self.known * other.known, _union((self, other)))

    def at_most(self, other: Amount) -> Amount:
        """The less of two bounds: where one is not known whole, the other bounds."""
        if self.lacks and other.lacks:
            return self if self.known >= other.known else other
        if self.lacks or other.lacks:
            return other if self.lacks else self
        return self if self.known <= other.known else other


NOTHING = Amount()


def exactly(value: float) -> Amount:
    return Amount(float(value))


def unknown(*lacks: str) -> Amount:
    return Amount(0.0, lacks)


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum; its parts are added exactly, so that their order is nothing."""
    parts = tuple(amounts)
    return Amount(math.fsum(part.known for part in parts), _union(parts))


def _union(amounts: Iterable[Amount]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lack for amount in amounts for lack in amount.lacks))


@frozen
class Range(Value):
    """What there is at least, what is to be expected, and at worst."""

    low: Amount
    expected: Amount
    worst: Amount

    @property
    def columns(self) -> tuple[Amount, Amount, Amount]:
        return self.low, self.expected, self.worst

    def times(self, other: Range) -> Range:
        return Range(*(mine.times(theirs) for mine, theirs in zip(self.columns, other.columns, strict=True)))


def always(amount: Amount) -> Range:
    """The same in all three columns."""
    return Range(amount, amount, amount)


def sum_of(ranges: Iterable[Range]) -> Range:
    parts = tuple(ranges)
    return Range(
        total(part.low for part in parts), total(part.expected for part in parts), total(part.worst for part in parts)
    )
