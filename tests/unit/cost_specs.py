"""Specs and a price book of round numbers, for the tests of estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from changed_spec import merge

from ctc.cost.book import Book, Price, book_of
from ctc.language.shape import check_shape
from ctc.language.spec import Spec
from ctc.language.typed import spec_from

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"

DURATIONS = "cost: {durations: {wake: 3m, ours: 6m, prepare: 12m, train: 30m, predict: 9m, measure: 15m, batch: 18m}}"
STORED = "cost: {storage: 100GB}"


def spec_of(*changes: str, name: str = "everywhere.yaml", target: str | None = None) -> Spec:
    """A spec of `specs/` with changes merged into it; with a target, with that target's variables filled in."""
    from ctc.language.render import render
    from ctc.language.source import decode

    tree: dict[str, Any] = yaml.safe_load((SPECS / name).read_text())
    for change in changes:
        merge(tree, yaml.safe_load(change) or {})
    rendered = render(decode(yaml.safe_dump(tree, sort_keys=False).encode(), name), None, target)
    found = (*rendered.diagnostics, *check_shape(rendered.data, rendered.spans))
    assert [item.message for item in found] == []
    return spec_from(rendered.data, rendered.environment, rendered.row)


def price(service: str, region: str, item: str, amount: float, spot: float | None = None, unit: str = "hour") -> Price:
    return Price(service, region, item, unit, amount, spot, "listed", "own", "by hand", "2026-06-01")


def book(*more: Price) -> Book:
    return book_of(
        [
            price("sagemaker", "eu-north-1", "ml.t3.medium", 0.05),
            price("sagemaker", "eu-north-1", "ml.t3.xlarge", 0.20),
            price("sagemaker", "eu-north-1", "ml.m5.large", 0.10, 0.04),
            price("sagemaker", "eu-north-1", "ml.c5.xlarge", 0.25),
            price("sagemaker", "eu-north-1", "ml.g4dn.xlarge", 0.70, 0.30),
            price("sagemaker", "eu-north-1", "training-volume", 0.146, unit="GB-month"),
            price("sagemaker", "eu-north-1", "processing-volume", 0.073, unit="GB-month"),
            price("sagemaker", "eu-north-1", "storage", 0.02, unit="GB-month"),
            price("vertex", "europe-west4", "e2-standard-4", 0.16, 0.06),
            price("vertex", "europe-west4", "boot-disk", 0.0002, unit="GB-hour"),
            price("vertex", "europe-west4", "storage", 0.02, unit="GB-month"),
            price("vertex", "*", "pipeline-run", 0.03, unit="run"),
            price("azureml", "westeurope", "Standard_E2s_v3", 0.2, 0.05),
            price("azureml", "westeurope", "cluster:cpu-cluster", 0.1),
            price("kubeflow", "*", "vcpu", 0.03),
            price("kubeflow", "*", "gib", 0.004),
            *more,
        ]
    )
