"""Prices of one's own: a YAML or JSON file of `schemas/prices.v1.schema.json`; mistakes are told with their place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from ctc.cost.book import ANYWHERE, CURRENCY, Book, Price, shipped
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.shape import check_other
from ctc.language.source import Document, read
from ctc.language.spans import at
from ctc.value import Value, frozen

WHAT = "a file of prices"
CODE = "CT393"


@frozen
class Given(Value):
    """The book to use, with the shipped one below one's own prices; None where a diagnostic is an error."""

    book: Book | None
    diagnostics: tuple[Diagnostic, ...] = ()


@cache
def schema() -> Mapping[str, Any]:
    path = Path(__file__).parent.parent / "schemas" / "prices.v1.schema.json"
    loaded: Mapping[str, Any] = json.loads(path.read_bytes())
    return loaded


def read_prices(path: Path | Document) -> Given:
    """Never raises: what is wrong with the file is in the diagnostics. Another currency leaves the shipped book out."""
    document = read(path)
    if document.diagnostics or document.data is None:
        return Given(None, document.diagnostics)
    found = check_other(document.data, document.spans, schema(), WHAT) or tuple(_meaning(document))
    if found:
        return Given(None, found)
    data = document.data
    prices = (_price(entry, data) for entry in data["prices"])
    own = Book(
        {(price.service, price.region, price.item): price for price in prices},
        currency=data.get("currency", CURRENCY),
        exchange=data.get("exchange", {}),
    )
    return Given(own.over(shipped()) if own.currency == CURRENCY else own)


def _price(entry: Mapping[str, Any], data: Mapping[str, Any]) -> Price:
    spot = entry.get("spot")
    return Price(
        service=entry["service"],
        region=entry.get("region", ANYWHERE),
        item=entry["item"],
        unit=entry.get("unit", "hour"),
        price=float(entry["price"]),
        spot=None if spot is None else float(spot),
        how="stated",
        confidence="own",
        source=entry.get("source", data.get("source", "")),
        as_of=entry.get("as_of", data.get("as_of", "")),
    )


def _meaning(document: Document) -> Iterator[Diagnostic]:
    seen: dict[tuple[str, str, str], int] = {}
    data = document.data

    def finding(message: str, advice: str, index: int | None, *key: str) -> Diagnostic:
        path: tuple[str | int, ...] = key if index is None else ("prices", index, *key)
        span = at(document.spans, path)
        return Diagnostic(CODE, Severity.ERROR, message, ".".join(map(str, path)), span, help=advice)

    if not _is_day(data.get("as_of")):
        yield finding(f"there is no day {data['as_of']}", "write one such as 2026-11-01", None, "as_of")
    for index, entry in enumerate(data["prices"]):
        item = entry["item"]
        if not _is_day(entry.get("as_of")):
            yield finding(f"there is no day {entry['as_of']}", "write one such as 2026-11-01", index, "as_of")
        for key, words in (("as_of", "the day of the price"), ("source", "where the price comes from")):
            if key not in entry and key not in data:
                advice = f"add `{key}:` ({words}) here, or once for all at the top"
                yield finding(f"the price of {item} has no `{key}`", advice, index)
        if entry.get("spot", 0) > entry["price"]:
            advice = f"write at most {entry['price']:g}, or leave `spot` out where it is not known"
            yield finding(f"spare capacity of {item} costs more than the usual one", advice, index, "spot")
        key_of = (entry["service"], entry.get("region", ANYWHERE), item)
        if key_of in seen:
            place = at(document.spans, ("prices", seen[key_of]))
            line = "" if place is None else f" (line {place.line})"
            yield finding(f"{item} of {key_of[0]} has a price before{line}", "remove one of them", index, "item")
        seen.setdefault(key_of, index)


def _is_day(text: str | None) -> bool:
    if text is None:
        return True
    try:
        date.fromisoformat(text if len(text) > 7 else f"{text}-01")
    except ValueError:
        return False
    return True
