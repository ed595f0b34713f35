"""What holds of every estimate: more is never cheaper, columns are in order, nothing unknown lowers a total unseen."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import yaml
from cost_specs import SPECS, book, spec_of

from ctc.cost.book import Book, Price, book_of, shipped
from ctc.cost.estimate import Estimate, by_target, estimate, targets_of
from ctc.language.load import load_each
from ctc.language.spec import Spec

SEEDS = range(12)


def changes(random_: random.Random) -> dict[str, object]:
    """A spec's knobs, drawn within what the language takes."""
    hours = random_.choice(["1h", "2h", "6h"])
    policy: dict[str, object] = {"wake_every": hours}
    if random_.random() < 0.5:
        policy["cooldown"] = random_.choice(["6h", "1d", "3d"])
    if random_.random() < 0.5:
        policy["max_runs"] = {"count": random_.randint(1, 9), "per": random_.choice(["7d", "30d"])}
    cron = random_.choice(["30 2 * * 1", "0 4 * * *", "0 */6 * * *"])
    triggers: dict[str, object] = {"weekly": {"schedule": {"cron": cron, "timezone": "Europe/Oslo"}}}
    if random_.random() < 0.5:
        triggers["fresh"] = {"new_data": {"min_rows": 100}}
    durations = {
        name: f"{random_.randint(1, 50)}m" for name in ("wake", "ours", "train", "predict") if random_.random() < 0.8
    }
    return {
        "trigger_policy": policy,
        "triggers": triggers,
        "training": {"retries": random_.randint(0, 2)},
        "cost": {"durations": {"batch": "1m", **durations}, "storage": f"{random_.randint(1, 900)}GB"},
    }


def drawn(seed: int) -> tuple[random.Random, dict[str, object]]:
    random_ = random.Random(seed)
    return random_, changes(random_)


def made(knobs: dict[str, object], *more: str) -> Spec:
    return spec_of(yaml.safe_dump(knobs), *more)


def estimates(spec: Spec, priced: Book) -> Iterator[Estimate]:
    return iter(by_target(spec, priced, regions={"azureml": "westeurope"}))


def never_less(one: Estimate, other: Estimate) -> None:
    """Where nothing lacks on either side each column is at least as much; what lacks is not compared."""
    for least, most in ((one.run, other.run), (one.month, other.month), (one.runs_month, other.runs_month)):
        for was, now in zip(least.columns, most.columns, strict=True):
            if not was.lacks and not now.lacks:
                assert now.known >= was.known - 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_more_is_never_cheaper(seed: int) -> None:
    random_, knobs = drawn(seed)
    spec = made(knobs)
    more = random_.choice(
        [
            "trigger_policy: {wake_every: 30m}",
            "trigger_policy: {cooldown: null}",
            "trigger_policy: {max_runs: null}",
            "training: {timeout: 3h}",
            "training: {retries: 3}",
            "cost: {storage: 2TB}",
            "triggers: {fresh: {new_data: {min_rows: 100}}}",
        ]
    )
    for one, other in zip(estimates(spec, book()), estimates(made(knobs, more), book()), strict=True):
        never_less(one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_dearer_prices_are_never_cheaper(seed: int) -> None:
    random_, knobs = drawn(seed)
    prices = list(book().prices.values())
    index = random_.randrange(len(prices))
    item = prices[index]
    prices[index] = Price(**{**vars(item), "price": item.price * 2})
    spec = made(knobs)
    for one, other in zip(estimates(spec, book()), estimates(spec, book_of(prices)), strict=True):
        never_less(one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_unknown_price_never_lowers_a_total_unseen(seed: int) -> None:
    random_, knobs = drawn(seed)
    spec, full = made(knobs), book()
    gone = random_.choice(sorted(full.prices))
    without = Book({key: item for key, item in full.prices.items() if key != gone})
    for one, other in zip(estimates(spec, full), estimates(spec, without), strict=True):
        for before, after in ((one.run, other.run), (one.month, other.month)):
            for was, now in zip(before.columns, after.columns, strict=True):
                assert now.known <= was.known + 1e-9
                if now.known < was.known - 1e-9:
                    assert set(now.lacks) > set(was.lacks), gone


@pytest.mark.parametrize("seed", SEEDS)
def test_spot_is_never_dearer(seed: int) -> None:
    _, knobs = drawn(seed)
    spot = "training: {spot: {checkpoint: 10m, max_wait: 1h}}"
    for target in ("sagemaker", "vertex", "azureml"):
        usual = estimate(made(knobs), target, book(), region=None if target != "azureml" else "westeurope")
        spare = estimate(made(knobs, spot), target, book(), region=None if target != "azureml" else "westeurope")
        never_less(spare, usual)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("priced", ["shipped", "by hand"])
def test_columns_are_in_order(path: object, priced: str) -> None:
    """Where one is not known whole, what is known of it is no more than the worst."""
    chosen = shipped() if priced == "shipped" else book()
    for loaded in load_each(path)[0]:  # type: ignore[arg-type]
        assert loaded.spec is not None
        for target in targets_of(loaded.spec):
            found = estimate(loaded.spec, target, chosen)
            for line in found.lines:
                for columns in (line.month, *(() if line.each is None else (line.each,))):
                    low, expected, worst = columns.columns
                    assert low.lacks or expected.lacks or low.known <= expected.known + 1e-9, line.name
                    assert expected.lacks or worst.lacks or expected.known <= worst.known + 1e-9, line.name


def test_an_estimate_is_always_the_same() -> None:
    _, knobs = drawn(7)

    assert [vars(item) for item in estimates(made(knobs), book())] == [
        vars(item) for item in estimates(made(dict(reversed(knobs.items()))), book())
    ]
