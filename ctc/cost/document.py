"""Estimates as JSON: `schemas/cost.v1.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from ctc.cost.amounts import Amount, Range
from ctc.cost.book import Book, Price
from ctc.cost.caps import Verdict
from ctc.cost.estimate import Estimate, Line

VERSION = 1


def as_json(found: Iterable[tuple[Estimate, Sequence[Verdict]]], book: Book) -> str:
    """Canonical: the same estimates are the same bytes. Amounts are rounded to a millionth."""
    document = {
        "version": VERSION,
        "kind": "cost",
        "currency": book.currency,
        "estimates": [_estimate(item, caps, book) for item, caps in found],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=False) + "\n"


def amount(found: Amount) -> dict[str, Any]:
    """`value` is null where nothing is known; with `lacks` it is a least value."""
    nothing = bool(found.lacks) and found.known == 0
    return {"value": None if nothing else round(found.known, 6), "lacks": list(found.lacks)}


def columns(found: Range) -> dict[str, Any]:
    return {"low": amount(found.low), "expected": amount(found.expected), "worst": amount(found.worst)}


def _estimate(found: Estimate, caps: Sequence[Verdict], book: Book) -> dict[str, Any]:
    counts = found.counts
    return {
        "name": found.name,
        "environment": found.environment,
        "target": found.target,
        "region": found.region,
        "counts": {
            "wakes": columns(counts.wakes),
            "runs": columns(counts.runs),
            "jobs": {kind: columns(count) for kind, count in counts.jobs.items()},
        },
        "run": columns(found.run),
        "runs_month": columns(found.runs_month),
        "month": columns(found.month),
        "lines": [_line(line) for line in found.lines],
        "caps": [
            {
                "cap": verdict.cap,
                "amount": verdict.amount,
                "currency": verdict.currency,
                "answer": verdict.answer,
                "estimate": None if verdict.estimate is None else columns(verdict.estimate),
            }
            for verdict in caps
        ],
        "prices": [_price(price, book) for price in found.prices],
        "notes": list(found.notes),
    }


def _line(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "name": line.name,
        "path": line.path,
        "hired": line.hired,
        "hours": None if line.hours is None else columns(line.hours),
        "each": None if line.each is None else columns(line.each),
        "month": columns(line.month),
        "basis": line.basis,
    }


def _price(price: Price, book: Book) -> dict[str, Any]:
    source = book.sources.get(price.source)
    return {
        "service": price.service,
        "region": price.region,
        "item": price.item,
        "unit": price.unit,
        "price": price.price,
        "spot": price.spot,
        "how": price.how,
        "confidence": price.confidence,
        "source": price.source if source is None else source.title,
        "url": None if source is None else source.url,
        "as_of": price.as_of,
    }
