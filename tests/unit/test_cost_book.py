"""The shipped price book: whole, dated, with sources, and about machines that the targets pick."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from ctc.cost.book import ANYWHERE, CONFIDENCES, UNITS, Book, Price, book_of, shipped, stale
from ctc.targets import NAMES

PRICES = tuple(shipped().prices.values())


def price(**changes: object) -> Price:
    fields: dict[str, object] = {
        "service": "sagemaker",
        "region": "eu-west-1",
        "item": "ml.m5.large",
        "unit": "hour",
        "price": 0.1,
        "spot": None,
        "how": "listed",
        "confidence": "own",
        "source": "a contract",
        "as_of": "2026-01-31",
    }
    return Price(**{**fields, **changes})  # type: ignore[arg-type]


def test_every_price_is_dated_and_sourced() -> None:
    assert len(PRICES) > 500
    for item in PRICES:
        assert item.service in NAMES
        assert item.unit in UNITS
        assert item.confidence in CONFIDENCES[:-1]
        assert item.how.startswith(("listed", "derived"))
        assert date(2023, 1, 1) < item.read_on < date(2027, 1, 1)
        assert item.price > 0
        assert shipped().sources[item.source].url.startswith("https://")


def test_every_source_is_used() -> None:
    assert {item.source for item in PRICES} == set(shipped().sources)


def test_spot_is_never_dearer_than_on_demand() -> None:
    assert [item for item in PRICES if item.spot is not None and not 0 < item.spot <= item.price] == []


def test_derived_prices_are_what_they_are_derived_from() -> None:
    """Each says its operands: the number is computed again from them."""
    counts = {"usual": 0, "spot": 0}
    for item in PRICES:
        usual = re.match(r"derived: (?:EC2|GCE) ([\d.]+) x ([\d.]+)", item.how)
        assert bool(usual) == item.how.startswith("derived")
        if usual:
            counts["usual"] += 1
            assert item.price == pytest.approx(float(usual[1]) * float(usual[2]), rel=2e-5), item.item
        ratio = re.search(r"ml price x EC2 spot/on-demand ([\d.]+)", item.how)
        spare = re.search(r"GCE spot ([\d.]+) \+ 0.15 x GCE on-demand", item.how)
        if ratio or spare or "0.20 x on-demand" in item.how:
            counts["spot"] += 1
            assert item.spot is not None
            if ratio:
                # The ratio is written with three digits.
                assert item.spot == pytest.approx(item.price * float(ratio[1]), rel=2e-3), item.item
            elif usual and spare:
                assert item.spot == pytest.approx(float(spare[1]) + 0.15 * float(usual[1]), rel=2e-5), item.item
            elif not spare:
                assert item.spot == pytest.approx(0.2 * item.price, rel=2e-5), item.item
    assert min(counts.values()) > 300


def test_larger_machines_of_a_family_cost_more() -> None:
    """A slip of a digit would show: within a family and a region the price grows with the size."""
    sizes = ["large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge", "24xlarge"]
    for family in ("ml.m5", "ml.c5", "ml.r5"):
        for region in shipped().regions("sagemaker"):
            found = [shipped().find("sagemaker", region, f"{family}.{size}") for size in sizes]
            rates = [item.price for item in found if item is not None]
            assert rates == sorted(rates), (family, region)


def test_a_price_of_everywhere_holds_where_there_is_no_other() -> None:
    book = book_of([price(region=ANYWHERE, price=1.0), price(price=2.0)])

    assert [found.price for found in (book.find("sagemaker", "eu-west-1", "ml.m5.large"),) if found] == [2.0]
    assert [found.price for found in (book.find("sagemaker", "eu-west-9", "ml.m5.large"),) if found] == [1.0]
    assert book.find("vertex", "eu-west-1", "ml.m5.large") is None
    assert book.regions("sagemaker") == ("eu-west-1",)


def test_two_prices_of_one_thing_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two prices"):
        book_of([price(), price(price=0.2)])


def test_own_prices_come_before_the_book() -> None:
    own = Book({("sagemaker", "eu-west-1", "ml.m5.large"): price(price=9.0)}, exchange={"EUR": 0.9})
    book = own.over(shipped())

    found = book.find("sagemaker", "eu-west-1", "ml.m5.large")
    assert found is not None and found.price == 9.0
    assert book.find("sagemaker", "us-east-1", "ml.m5.large") is not None
    assert book.exchange == {"EUR": 0.9}


@pytest.mark.parametrize(
    ("as_of", "at", "old"),
    [
        ("2026-01-31", date(2026, 4, 1), False),
        ("2026-01-31", date(2026, 5, 2), True),
        ("2026-01", date(2026, 4, 2), True),
        ("2026-01", date(2026, 4, 1), False),
        ("2026-01-31", date(2025, 1, 1), False),
    ],
)
def test_a_price_grows_old(as_of: str, at: date, old: bool) -> None:
    assert bool(stale([price(as_of=as_of)], at, timedelta(days=90))) is old
