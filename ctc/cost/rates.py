"""What a thing that is hired costs an hour, by the book, and which prices that took."""

from __future__ import annotations

from collections.abc import Iterator

from ctc.compiler.hire import Hire
from ctc.cost.amounts import Amount, exactly, total, unknown
from ctc.cost.book import ANYWHERE, Book, Price
from ctc.cost.expected import HOURS_A_MONTH

_HOURS = {"hour": 1.0, "GB-hour": 1.0, "GB-month": HOURS_A_MONTH}
"""The hours that a unit covers."""


class Rates:
    """The prices of one service in one region; `used` are those that were asked for and found."""

    def __init__(self, book: Book, service: str, region: str) -> None:
        self.book = book
        self.service = service
        self.region = region
        self._used: dict[Price, None] = {}

    @property
    def used(self) -> tuple[Price, ...]:
        return tuple(sorted(self._used, key=lambda price: (price.service, price.region, price.item)))

    def of(self, item: str, *, spot: bool = False) -> Amount:
        """An hour of it, of its GB, or one of it, by its unit."""
        found = self.book.find(self.service, self.region, item)
        if found is None:
            return unknown(self._lack(item))
        self._used[found] = None
        price = found.spot if spot else found.price
        if price is None:
            return unknown(f"the spot price of {item} in {self.region}")
        return exactly(price / _HOURS.get(found.unit, 1.0))

    def hour(self, hire: Hire, *, spot: bool = False) -> Amount:
        """All of its machines, with their volumes. `spot` asks for the price of spare capacity; disks have no such."""
        if not hire.parts:
            return unknown(f"a machine: {hire.why}")
        return total(part.times(exactly(hire.nodes)) for part in self._parts(hire, spot))

    def _parts(self, hire: Hire, spot: bool) -> Iterator[Amount]:
        for item, count in hire.parts:
            yield self.of(item, spot=spot).times(exactly(count))
        if hire.volume is not None:
            item, size = hire.volume
            yield self.of(item).times(exactly(size))

    def _lack(self, item: str) -> str:
        if not self.region:
            return f"the region of {self.service} (--region {self.service}=REGION), for the price of {item}"
        where = "" if self.region == ANYWHERE else f" in {self.region}"
        return f"the price of {item}{where}"
