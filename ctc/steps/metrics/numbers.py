"""Metrics of a predicted number, in the label's unit where nothing else is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ctc.policy.statistics import NotEvaluable
from ctc.steps.metrics.form import Floats, Form, Sums, mean


def mae(labels: Floats, predictions: Floats) -> Form:
    """Mean absolute error. scikit-learn `mean_absolute_error`."""
    return mean(np.abs(labels - predictions))


def rmse(labels: Floats, predictions: Floats) -> Form:
    """Root mean squared error. scikit-learn `root_mean_squared_error`."""
    squares = (predictions - labels) ** 2
    return Sums(np.vstack([squares, np.ones(len(labels))]), lambda sums: float(np.sqrt(sums[0] / sums[1])))


def mape(labels: Floats, predictions: Floats) -> Form:
    """Mean absolute error as a fraction of the label. scikit-learn `mean_absolute_percentage_error`.

    NotEvaluable where a label is 0.
    """
    nought = int((labels == 0).sum())
    if nought:
        raise NotEvaluable(f"mape divides by the label, which is 0 in {nought} rows")
    return mean(np.abs(predictions - labels) / np.abs(labels))


def r2(labels: Floats, predictions: Floats) -> Form:
    """Share of variance explained. scikit-learn `r2_score`, but without a value where all labels are equal."""
    centred = labels - labels.mean()
    parts = np.vstack([(labels - predictions) ** 2, centred, centred**2, np.ones(len(labels))])
    least = np.finfo(np.float64).eps * float(np.max(centred**2, initial=0.0)) * len(labels)

    def finish(sums: Floats) -> float:
        errors, total, squares, n = sums
        spread = squares - total**2 / n
        return float(1 - errors / spread) if spread > least else float("nan")

    return Sums(parts, finish, "all labels are equal: there is no variance to explain")


def pinball(labels: Floats, predictions: Floats, arguments: Mapping[str, Any]) -> Form:
    """Quantile loss at `quantile`. scikit-learn `mean_pinball_loss`."""
    quantile, above = float(arguments["quantile"]), labels - predictions
    return mean(np.where(above >= 0, quantile * above, (quantile - 1) * above))
