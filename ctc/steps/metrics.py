"""Metrics: one definition each, equal to scikit-learn's of the same name, in numpy so that the step starts fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctc.policy import statistics
from ctc.policy.statistics import NotEvaluable

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Metric = Callable[[Floats, Floats, Mapping[str, Any]], float]


def roc_auc(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> float:
    """Area under the ROC curve; ties count half. scikit-learn `roc_auc_score`."""
    return statistics.auc(labels, scores)


def pr_auc(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> float:
    """Average precision: the step-wise area under precision and recall. scikit-learn `average_precision_score`."""
    positives = float(labels.sum())
    if positives == 0:
        raise NotEvaluable("no positive row: precision and recall mean nothing")
    order = np.argsort(-scores, kind="stable")
    sorted_scores, hits = scores[order], np.cumsum(labels[order])
    # One point for each distinct score: rows that tie enter together.
    ends = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    precision, recall = hits[ends] / (ends + 1), hits[ends] / positives
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def log_loss(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> float:
    """Mean negative log likelihood, probabilities kept off 0 and 1 by the float epsilon. scikit-learn `log_loss`."""
    _require_probabilities(scores, "log_loss")
    return float(np.mean(_per_row("log_loss", labels, scores, arguments)))


def brier(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> float:
    """Mean squared difference of probability and outcome. scikit-learn `brier_score_loss`."""
    _require_probabilities(scores, "brier")
    return float(np.mean(_per_row("brier", labels, scores, arguments)))


def accuracy(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> float:
    """Share of rows whose score is on their label's side of `threshold` (at it counts as positive; default 0.5)."""
    return float(np.mean(_per_row("accuracy", labels, scores, arguments)))


def mae(labels: Floats, predictions: Floats, arguments: Mapping[str, Any]) -> float:
    """Mean absolute error, in the label's unit."""
    return float(np.mean(_per_row("mae", labels, predictions, arguments)))


def rmse(labels: Floats, predictions: Floats, arguments: Mapping[str, Any]) -> float:
    """Root mean squared error, in the label's unit."""
    return float(np.sqrt(np.mean(_per_row("rmse", labels, predictions, arguments))))


PROBABILITIES = frozenset({"log_loss", "brier"})
"""The metrics that read a score as a probability."""

METRICS: dict[str, Metric] = {
    "roc_auc": roc_auc,
    "pr_auc": pr_auc,
    "log_loss": log_loss,
    "brier": brier,
    "accuracy": accuracy,
    "mae": mae,
    "rmse": rmse,
}


def value(metric: Mapping[str, Any], labels: Floats, scores: Floats) -> float:
    """One metric of the `evaluation` section. NotEvaluable where the rows cannot say: none, or one class only."""
    if len(labels) == 0:
        raise NotEvaluable("there are no rows")
    return METRICS[metric["kind"]](labels, scores, metric["arguments"])


def resampled(metric: Mapping[str, Any], labels: Floats, scores: Floats) -> Callable[[Indices], float]:
    """The metric of resampled rows, by their numbers; what does not change between resamples is computed once.

    NaN where a resample has no positive row. ValueError for roc_auc, whose variance needs no resampling.
    """
    kind, arguments = metric["kind"], metric["arguments"]
    if kind == "pr_auc":
        return _resampled_pr_auc(labels, scores)
    per_row = _per_row(kind, labels, scores, arguments)
    if kind == "rmse":
        return lambda rows: float(np.sqrt(per_row[rows].mean()))
    return lambda rows: float(per_row[rows].mean())


def _per_row(kind: str, labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Floats:
    """The numbers whose mean is the metric (for rmse: its square)."""
    if kind == "log_loss":
        epsilon = np.finfo(np.float64).eps
        clipped = np.clip(scores, epsilon, 1 - epsilon)
        losses: Floats = -np.where(labels == 1, np.log(clipped), np.log1p(-clipped))
        return losses
    if kind == "accuracy":
        right: Floats = ((scores >= float(arguments.get("threshold", 0.5))) == (labels == 1)).astype(np.float64)
        return right
    if kind == "mae":
        errors: Floats = np.abs(labels - scores)
        return errors
    if kind in ("brier", "rmse"):
        squares: Floats = (scores - labels) ** 2
        return squares
    raise ValueError(f"{kind} is no mean over rows")


def _resampled_pr_auc(labels: Floats, scores: Floats) -> Callable[[Indices], float]:
    """Sorted once: a resample only changes how often each row counts, and only positive rows add to the sum."""
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    positive = np.flatnonzero(labels[order] == 1)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), n - 1)
    # For each positive row: the last row of its score, and how many positives stand up to there.
    last = ends[np.searchsorted(ends, positive)]
    upto = np.searchsorted(positive, last, side="right") - 1

    def of(rows: Indices) -> float:
        counts = np.bincount(place[rows], minlength=n)
        own = counts[positive]
        hits = np.cumsum(own)
        if len(hits) == 0 or hits[-1] == 0:
            return float("nan")
        seen = np.maximum(np.cumsum(counts)[last], 1)
        return float(np.dot(own, hits[upto] / seen) / hits[-1])

    return of


def _require_probabilities(scores: Floats, name: str) -> None:
    if len(scores) and (scores.min() < 0 or scores.max() > 1):
        raise NotEvaluable(f"{name} needs probabilities; the scores reach from {scores.min():g} to {scores.max():g}")
