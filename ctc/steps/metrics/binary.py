"""Metrics of a score that orders rows of two classes: all are read from the curve of hits and false alarms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctc.policy.statistics import NotEvaluable
from ctc.steps.metrics.form import Counted, Floats, Form, Indices, mean, ratio

ONE_CLASS = "only one class is there"
NO_POSITIVE = "no positive row: precision and recall mean nothing"
NOTHING_FLAGGED = "no row is flagged, so precision means nothing"

Read = Callable[[Floats, Floats], float]
"""A metric from the hits and the false alarms above each distinct score, from the highest on."""


def curve(kind: str, labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """`roc_auc`, `pr_auc` and the metrics at the top of the order. Rows of one score are always taken together.

    NotEvaluable where there are fewer than `k` rows.
    """
    if kind == "pr_auc":
        return _average_precision(labels, scores)
    if kind in ("precision_at_k", "recall_at_k") and arguments["k"] > len(labels):
        raise NotEvaluable(f"{len(labels)} rows; the {arguments['k']} highest are asked for")
    read, undefined = _READ[kind](arguments)
    order = np.argsort(-scores, kind="stable")
    positive = labels[order]
    # One point for each distinct score: rows that tie enter together.
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def of(counts: Indices) -> float:
        taken = counts[order]
        hits = np.cumsum(taken * positive)[ends]
        return read(hits, np.cumsum(taken)[ends] - hits)

    return Counted(of, len(labels), undefined)


def brier(labels: Floats, scores: Floats) -> Form:
    """Mean squared difference of probability and outcome. scikit-learn `brier_score_loss`."""
    require_probabilities(scores, "brier")
    return mean((scores - labels) ** 2)


def require_probabilities(scores: Floats, name: str) -> None:
    if scores.size and (scores.min() < 0 or scores.max() > 1):
        raise NotEvaluable(f"{name} needs probabilities; the scores reach from {scores.min():g} to {scores.max():g}")


def _roc_auc(arguments: Mapping[str, Any]) -> tuple[Read, str]:
    """Area under the ROC curve; ties count half. scikit-learn `roc_auc_score`."""

    def read(hits: Floats, alarms: Floats) -> float:
        heights = hits + np.concatenate([[0.0], hits[:-1]])
        return ratio(float(np.sum(np.diff(alarms, prepend=0.0) * heights)), 2 * hits[-1] * alarms[-1])

    return read, ONE_CLASS


def _precision_at_k(arguments: Mapping[str, Any]) -> tuple[Read, str]:
    k = arguments["k"]
    return lambda hits, alarms: _hits_among(hits, alarms, k) / k, ""


def _recall_at_k(arguments: Mapping[str, Any]) -> tuple[Read, str]:
    k = arguments["k"]
    return lambda hits, alarms: ratio(_hits_among(hits, alarms, k), hits[-1]), NO_POSITIVE


def _hits_among(hits: Floats, alarms: Floats, k: int) -> float:
    """Positives among the k highest; of rows that tie at the border, the share that fits, as in a random order."""
    rows = hits + alarms
    return float(np.interp(k, np.concatenate([[0.0], rows]), np.concatenate([[0.0], hits])))


def _precision_at_fpr(arguments: Mapping[str, Any]) -> tuple[Read, str]:
    def read(hits: Floats, alarms: Floats) -> float:
        place = _last_within(alarms, arguments["fpr"])
        return float("nan") if place is None else ratio(hits[place], hits[place] + alarms[place])

    return read, f"{NOTHING_FLAGGED} at this false positive rate, or {ONE_CLASS}"


def _recall_at_fpr(arguments: Mapping[str, Any]) -> tuple[Read, str]:
    def read(hits: Floats, alarms: Floats) -> float:
        if not hits[-1] or not alarms[-1]:
            return float("nan")
        place = _last_within(alarms, arguments["fpr"])
        return 0.0 if place is None else float(hits[place] / hits[-1])

    return read, ONE_CLASS


def _last_within(alarms: Floats, rate: float) -> int | None:
    """The lowest score whose false positive rate is at most `rate`; None if the highest one's is above already."""
    if not alarms[-1]:
        return None
    within = int(np.searchsorted(alarms / alarms[-1], rate, side="right"))
    return within - 1 if within else None


_READ = {
    "roc_auc": _roc_auc,
    "precision_at_k": _precision_at_k,
    "recall_at_k": _recall_at_k,
    "precision_at_fpr": _precision_at_fpr,
    "recall_at_fpr": _recall_at_fpr,
}

CURVES = frozenset({"pr_auc", *_READ})
"""The metrics that `curve` computes."""


def _average_precision(labels: Floats, scores: Floats) -> Form:
    """The step-wise area under precision and recall. scikit-learn `average_precision_score`.

    Only positive rows add to the sum, so only their places are looked at.
    """
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    positive = np.flatnonzero(labels[order] == 1)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), n - 1)
    # For each positive row: the last row of its score, and how many positives stand up to there.
    last = ends[np.searchsorted(ends, positive)]
    upto = np.searchsorted(positive, last, side="right") - 1

    def of(counts: Indices) -> float:
        taken = counts[order]
        own = taken[positive]
        hits = np.cumsum(own)
        if len(hits) == 0 or hits[-1] == 0:
            return float("nan")
        seen = np.maximum(np.cumsum(taken)[last], 1)
        return float(np.dot(own, hits[upto] / seen) / hits[-1])

    return Counted(of, n, NO_POSITIVE)
