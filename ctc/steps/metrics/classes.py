"""Metrics of a class: with two classes of a score and a threshold, with more of a score for each class.

Labels of more than two classes are their numbers, 0, 1, 2, ..., and scores (rows, classes). The class of a row is the
one with the highest score, the first of those that tie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctc.policy.statistics import NotEvaluable
from ctc.steps.metrics.binary import NO_POSITIVE, NOTHING_FLAGGED, ONE_CLASS, require_probabilities
from ctc.steps.metrics.form import Floats, Form, Sums, mean, ratio

_SUM_TOLERANCE = 1e-4
"""How far the probabilities of a row may be from 1: more than 32-bit floats lose over a thousand classes."""


def log_loss(labels: Floats, scores: Floats) -> Form:
    """Mean negative log likelihood, probabilities kept off 0 and 1 by the float epsilon. scikit-learn `log_loss`."""
    require_probabilities(scores, "log_loss")
    epsilon = np.finfo(np.float64).eps
    if scores.ndim == 1:
        clipped = np.clip(scores, epsilon, 1 - epsilon)
        return mean(-np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))
    off = int((np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE).sum())
    if off:
        raise NotEvaluable(f"log_loss needs probabilities; in {off} rows they do not sum to 1")
    return mean(-np.log(np.clip(scores[np.arange(len(labels)), labels.astype(np.int64)], epsilon, 1 - epsilon)))


def accuracy(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """Share of rows whose class is right (at the threshold counts as positive). scikit-learn `accuracy_score`."""
    return mean(right(labels, scores, arguments))


def right(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Floats:
    """1 where the class of a row is right, else 0."""
    hit: Floats = (_chosen(scores, arguments) == labels).astype(np.float64)
    return hit


def balanced_accuracy(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """Mean recall of the classes that are there, at least two. scikit-learn `balanced_accuracy_score`."""

    def finish(sums: Floats) -> float:
        hits, there, _ = sums.reshape(3, -1)
        known = there > 0
        return float(np.mean(hits[known] / there[known])) if known.sum() > 1 else float("nan")

    return Sums(_confusion(labels, scores, arguments), finish, ONE_CLASS)


def f1(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """Harmonic mean of precision and recall; over several classes by `average`. scikit-learn `f1_score`.

    A class that is neither there nor chosen is left out.
    """
    undefined = "no row is positive, and none is flagged"
    if scores.ndim == 1:
        flagged = _chosen(scores, arguments)
        parts = np.vstack([flagged * labels, labels, flagged])
        return Sums(parts, lambda sums: ratio(2 * sums[0], sums[1] + sums[2]), undefined)
    average = arguments.get("average", "macro")

    def finish(sums: Floats) -> float:
        hits, there, chosen = sums.reshape(3, -1)
        if average == "micro":
            return ratio(2 * hits.sum(), there.sum() + chosen.sum())
        known = there + chosen > 0
        each = 2 * hits[known] / (there + chosen)[known]
        return float(np.mean(each)) if average == "macro" else ratio(float(each @ there[known]), there.sum())

    return Sums(_confusion(labels, scores, arguments), finish, undefined)


def precision(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """Share of positives among the flagged. scikit-learn `precision_score`, but without a value where none is."""
    flagged = _chosen(scores, arguments)
    return Sums(np.vstack([flagged * labels, flagged]), lambda sums: ratio(sums[0], sums[1]), NOTHING_FLAGGED)


def recall(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Form:
    """Share of the positives that are flagged. scikit-learn `recall_score`, but without a value where there is none."""
    flagged = _chosen(scores, arguments)
    return Sums(np.vstack([flagged * labels, labels]), lambda sums: ratio(sums[0], sums[1]), NO_POSITIVE)


def _chosen(scores: Floats, arguments: Mapping[str, Any]) -> Floats:
    """The class of each row."""
    if scores.ndim == 2:
        highest: Floats = scores.argmax(axis=1).astype(np.float64)
        return highest
    return (scores >= float(arguments.get("threshold", 0.5))).astype(np.float64)


def _confusion(labels: Floats, scores: Floats, arguments: Mapping[str, Any]) -> Floats:
    """By row, for each class: whether it is rightly chosen, whether it is there, whether it is chosen."""
    classes = np.arange(scores.shape[1] if scores.ndim == 2 else 2)[:, None]
    there: NDArray[np.bool_] = labels == classes
    chosen: NDArray[np.bool_] = _chosen(scores, arguments) == classes
    parts: Floats = np.vstack([there & chosen, there, chosen]).astype(np.float64)
    return parts
