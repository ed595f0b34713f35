"""The price book: what an hour of a machine, a gigabyte or a run costs, when that was read, and where.

The book that is shipped is data (`prices/prices.csv`, `prices/sources.csv`): list prices in US dollars, without tax,
discounts or reservations. `how` tells whether a price was listed or derived, and from what. What is not in the book has
no price: it is never taken for free.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from ctc.value import Value, frozen

ANYWHERE = "*"
"""The region of a price that is the same in all of them."""

CONFIDENCES = ("low", "medium-low", "medium", "medium-high", "high", "own")
"""From the least sure on. `own` is of a price that the user's file gives."""

CURRENCY = "USD"
"""Of the shipped book."""

UNITS = ("hour", "GB-month", "GB-hour", "run")

_FOLDER = Path(__file__).parent / "prices"


@frozen
class Source(Value):
    """Where prices were read. `licence` is empty where only single numbers were taken."""

    id: str
    title: str
    url: str
    licence: str = ""


@frozen
class Price(Value):
    """One `unit` of `item` at `service` (a target's name) in `region`; `spot` is None where it is not known.

    `as_of` is the day, or the month, of which the source holds. `source` is the id of one, or the user's own words.
    """

    service: str
    region: str
    item: str
    unit: str
    price: float
    spot: float | None
    how: str
    confidence: str
    source: str
    as_of: str

    @property
    def read_on(self) -> date:
        """The day from which the price's age counts: the first of the month where only that is known."""
        return date.fromisoformat(self.as_of if len(self.as_of) > 7 else f"{self.as_of}-01")


@frozen
class Book(Value):
    """Prices by (service, region, item), all of them in `currency`.

    `exchange` is how much of another currency one of the book's is; it is what caps in that currency need.
    """

    prices: Mapping[tuple[str, str, str], Price]
    sources: Mapping[str, Source] = field(default_factory=dict)
    currency: str = CURRENCY
    exchange: Mapping[str, float] = field(default_factory=dict)

    def find(self, service: str, region: str, item: str) -> Price | None:
        """The price in the region, else the one that holds in all of them."""
        return self.prices.get((service, region, item)) or self.prices.get((service, ANYWHERE, item))

    def regions(self, service: str) -> tuple[str, ...]:
        """Those of which the book has any price."""
        return tuple(sorted({region for name, region, _ in self.prices if name == service and region != ANYWHERE}))

    def over(self, older: Book) -> Book:
        """This book's prices, and those of `older` that it does not have."""
        return Book(
            {**older.prices, **self.prices},
            {**older.sources, **self.sources},
            self.currency,
            {**older.exchange, **self.exchange},
        )


def book_of(prices: Iterable[Price], sources: Iterable[Source] = ()) -> Book:
    """ValueError where one thing has two prices."""
    found: dict[tuple[str, str, str], Price] = {}
    for price in prices:
        key = (price.service, price.region, price.item)
        if key in found:
            raise ValueError(f"{price.item} has two prices in {price.region} at {price.service}")
        found[key] = price
    return Book(found, {source.id: source for source in sources})


@cache
def shipped() -> Book:
    """The book that comes with this version."""
    return book_of(
        (
            Price(
                row["service"],
                row["region"],
                row["item"],
                row["unit"],
                float(row["price"]),
                float(row["spot"]) if row["spot"] else None,
                row["how"],
                row["confidence"],
                row["source"],
                row["as_of"],
            )
            for row in _rows("prices.csv")
        ),
        (Source(**row) for row in _rows("sources.csv")),
    )


def stale(prices: Iterable[Price], at: date, age: timedelta) -> tuple[Price, ...]:
    """Those that were more than `age` old at `at`, the oldest first."""
    old = {price for price in prices if at - price.read_on > age}
    return tuple(sorted(old, key=lambda price: (price.read_on, price.service, price.region, price.item)))


def _rows(name: str) -> list[dict[str, str]]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
