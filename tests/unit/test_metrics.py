"""Metrics against scikit-learn, and resampled metrics against the metric of the resampled rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from ctc.policy.statistics import NotEvaluable
from ctc.steps import metrics

ORACLES: dict[str, Callable[..., float]] = {
    "roc_auc": sk.roc_auc_score,
    "pr_auc": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "brier": sk.brier_score_loss,
    "accuracy": lambda labels, scores: sk.accuracy_score(labels, scores >= 0.5),
    "mae": sk.mean_absolute_error,
    "rmse": sk.root_mean_squared_error,
}
NUMBERS = ("mae", "rmse")
RESAMPLED = [kind for kind in ORACLES if kind != "roc_auc"]


def metric(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "arguments": arguments, "better": "higher"}


def sample(kind: str, seed: int) -> tuple[metrics.Floats, metrics.Floats]:
    """Rows whose scores tie often, 0, 0.5 and 1 among them."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 200))
    if kind in NUMBERS:
        return draw.normal(size=n), draw.normal(size=n).round(1)
    labels = draw.integers(0, 2, n).astype(np.float64)
    labels[:2] = 0, 1
    return labels, draw.integers(0, 11, n) / 10


@pytest.mark.parametrize("kind", ORACLES)
def test_every_metric_is_scikit_learns(kind: str) -> None:
    for seed in range(30):
        labels, scores = sample(kind, seed)
        assert metrics.value(metric(kind), labels, scores) == pytest.approx(ORACLES[kind](labels, scores), abs=1e-12)


def test_there_is_an_oracle_for_every_metric() -> None:
    assert set(ORACLES) == set(metrics.METRICS)


@pytest.mark.parametrize("kind", RESAMPLED)
def test_a_resampled_metric_is_the_metric_of_the_rows(kind: str) -> None:
    for seed in range(20):
        labels, scores = sample(kind, seed)
        of, draw = metrics.resampled(metric(kind), labels, scores), np.random.default_rng(seed)
        for _ in range(5):
            rows = draw.integers(0, len(labels), len(labels))
            if kind == "pr_auc" and labels[rows].sum() == 0:
                assert np.isnan(of(rows))
            else:
                assert of(rows) == pytest.approx(metrics.value(metric(kind), labels[rows], scores[rows]), abs=1e-12)


def test_a_threshold_counts_itself_as_positive() -> None:
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.3, 0.29, 0.1])

    assert metrics.value(metric("accuracy", threshold=0.3), labels, scores) == pytest.approx(2 / 3)
    assert metrics.value(metric("accuracy"), labels, scores) == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", ORACLES)
def test_no_rows_have_no_metric(kind: str) -> None:
    with pytest.raises(NotEvaluable, match="no rows"):
        metrics.value(metric(kind), np.array([]), np.array([]))


@pytest.mark.parametrize(("kind", "label"), [("roc_auc", 0.0), ("roc_auc", 1.0), ("pr_auc", 0.0)])
def test_one_class_is_not_evaluable(kind: str, label: float) -> None:
    with pytest.raises(NotEvaluable):
        metrics.value(metric(kind), np.full(4, label), np.array([0.1, 0.2, 0.2, 0.4]))


@pytest.mark.parametrize("kind", ["log_loss", "brier"])
def test_what_is_no_probability_has_no_probability_metric(kind: str) -> None:
    with pytest.raises(NotEvaluable, match="needs probabilities"):
        metrics.value(metric(kind), np.array([0.0, 1.0]), np.array([-2.0, 3.0]))
