"""What the shipped price book covers, as the tables of `docs/cost.md`."""

from __future__ import annotations

from ctc.cost.book import CONFIDENCES, Price, shipped
from ctc.targets.azureml import machines as azureml
from ctc.targets.sagemaker import machines as sagemaker
from ctc.targets.vertex import machines as vertex

MACHINES: dict[str, set[str]] = {
    "sagemaker": {machine.name for machine in (*sagemaker.INSTANCE_TYPES, *sagemaker.GPU_TYPES)},
    "vertex": {machine.name for machine in (*vertex.MACHINE_TYPES, *vertex.GPU_TYPES)},
    "azureml": {size.name for size in (*azureml.SIZES, *azureml.GPU_SIZES)},
}
"""Every machine that a target may pick."""

Row = tuple[str, ...]


def coverage() -> list[Row]:
    """Service, region, machines with a price of those that may be picked, with a spot price, other prices, dates."""
    rows: list[Row] = []
    for service, machines in MACHINES.items():
        for region in shipped().regions(service):
            prices = [
                price for (name, place, _), price in shipped().prices.items() if (name, place) == (service, region)
            ]
            priced = [price for price in prices if price.item in machines]
            others = sorted(price.item for price in prices if price.item not in machines)
            rows.append(
                (
                    service,
                    region,
                    f"{len(priced)} of {len(machines)}",
                    str(sum(price.spot is not None for price in priced)),
                    ", ".join(others) or "none",
                    _dates(prices),
                    min((price.confidence for price in prices), key=CONFIDENCES.index),
                )
            )
    return rows


def missing() -> list[Row]:
    """The machines that have a price nowhere."""
    known = {(service, item) for service, _, item in shipped().prices}
    return [
        (service, ", ".join(f"`{name}`" for name in sorted(machines) if (service, name) not in known) or "none")
        for service, machines in MACHINES.items()
    ]


def sources() -> list[Row]:
    """Each source with how many prices are of it."""
    by_source: dict[str, list[Price]] = {}
    for price in shipped().prices.values():
        by_source.setdefault(price.source, []).append(price)
    return [
        (f"[{source.title}]({source.url})", source.licence or "single numbers", str(len(prices)), _dates(prices))
        for source in shipped().sources.values()
        if (prices := by_source[source.id])
    ]


def _dates(prices: list[Price]) -> str:
    days = sorted(price.as_of for price in prices)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
