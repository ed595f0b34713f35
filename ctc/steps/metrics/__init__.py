"""Metrics: one definition each, equal to scikit-learn's of the same name, in numpy so that the step starts fast.

Labels are (rows,): 0 and 1, the number of the class, a number, or a relevance. Scores are (rows,), with more than two
classes (rows, classes); for `mean` and `share` they are the column.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctc.policy import statistics
from ctc.policy.statistics import NotEvaluable
from ctc.steps.metrics import binary, classes, numbers, ranking
from ctc.steps.metrics.form import Counted, Floats, Form, Indices, Sums, mean

PROBABILITIES = frozenset({"log_loss", "brier"})
"""The metrics that read a score as a probability."""

LABEL_FREE = frozenset({"mean", "share"})
"""The metrics of a column, which need no label."""


def _share(column: Floats, arguments: Mapping[str, Any]) -> Form:
    """The share of rows whose value lies in `min` to `max`, both inclusive."""
    low, high = arguments.get("min", -np.inf), arguments.get("max", np.inf)
    return mean(((_complete(column) >= low) & (column <= high)).astype(np.float64))


def _complete(column: Floats) -> Floats:
    missing = int((~np.isfinite(column)).sum())
    if missing:
        raise NotEvaluable(f"the column has no value, or an infinite one, in {missing} rows")
    return column


_PLAIN: dict[str, Callable[[Floats, Floats], Form]] = {
    "log_loss": classes.log_loss,
    "brier": binary.brier,
    "mae": numbers.mae,
    "rmse": numbers.rmse,
    "mape": numbers.mape,
    "r2": numbers.r2,
}

_WITH_ARGUMENTS: dict[str, Callable[[Floats, Floats, Mapping[str, Any]], Form]] = {
    "accuracy": classes.accuracy,
    "balanced_accuracy": classes.balanced_accuracy,
    "f1": classes.f1,
    "precision": classes.precision,
    "recall": classes.recall,
    "pinball": numbers.pinball,
}

_IN_GROUPS: dict[str, Callable[[Floats, Floats, Indices, int], Form]] = {
    "ndcg": ranking.ndcg,
    "precision_at_k": ranking.precision_at_k,
    "recall_at_k": ranking.recall_at_k,
}

METRICS = frozenset({*_PLAIN, *_WITH_ARGUMENTS, *_IN_GROUPS, *binary.CURVES, *LABEL_FREE})
"""The kinds of metric."""

_NO_GROUPS: Indices = np.empty(0, dtype=np.int64)


def value(metric: Mapping[str, Any], labels: Floats, scores: Floats, groups: Indices = _NO_GROUPS) -> float:
    """One metric of the `evaluation` section. NotEvaluable where the rows cannot say: none, or one class only.

    `groups` are the numbers of the rows' groups, for a ranking.
    """
    form = _form(metric, labels, scores, groups)
    if metric["kind"] == "roc_auc":
        # By midranks, as in DeLong's test: both print the same digits.
        return statistics.auc(labels, scores)
    if isinstance(form, Sums):
        found = form.finish(form.parts.sum(axis=1))
    else:
        found = form.of(np.ones(form.n, dtype=np.int64))
    if not np.isfinite(found):
        raise NotEvaluable(form.undefined or f"{metric['kind']} is not finite")
    return found


def resampled(
    metric: Mapping[str, Any],
    labels: Floats,
    scores: Floats,
    groups: Indices = _NO_GROUPS,
    units: Indices | None = None,
) -> Callable[[Indices], float]:
    """The metric of resampled rows, by their numbers, or where rows have `units` by the numbers of these.

    What does not change between resamples is computed once. NaN where a resample has no value.
    """
    form = _form(metric, labels, scores, groups)
    if isinstance(form, Sums):
        return _resampled_sums(form, units)
    return _resampled_counts(form, units)


def _form(metric: Mapping[str, Any], labels: Floats, scores: Floats, groups: Indices) -> Form:
    if len(scores) == 0:
        raise NotEvaluable("there are no rows")
    kind, arguments = metric["kind"], metric["arguments"]
    if kind in _PLAIN:
        return _PLAIN[kind](labels, scores)
    if kind in _WITH_ARGUMENTS:
        return _WITH_ARGUMENTS[kind](labels, scores, arguments)
    if kind in _IN_GROUPS and len(groups):
        return _IN_GROUPS[kind](labels, scores, groups, int(arguments["k"]))
    if kind in LABEL_FREE:
        return mean(_complete(scores)) if kind == "mean" else _share(scores, arguments)
    return binary.curve(kind, labels, scores, arguments)


def _resampled_sums(form: Sums, units: Indices | None) -> Callable[[Indices], float]:
    parts = form.parts if units is None else np.vstack([np.bincount(units, part) for part in form.parts])
    finish = form.finish

    def of(drawn: Indices) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            return finish(np.array([part[drawn].sum() for part in parts]))

    return of


def _resampled_counts(form: Counted, units: Indices | None) -> Callable[[Indices], float]:
    def of(drawn: Indices) -> float:
        if units is None:
            return form.of(np.bincount(drawn, minlength=form.n))
        return form.of(np.bincount(drawn, minlength=int(units.max()) + 1)[units])

    return of


__all__ = ["LABEL_FREE", "METRICS", "PROBABILITIES", "Floats", "Indices", "NotEvaluable", "resampled", "value"]
