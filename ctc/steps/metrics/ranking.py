"""Metrics of an order within groups: the mean over the groups that have something to find.

A row is relevant if its label is above 0. Rows of a group that tie share their places evenly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctc.policy.statistics import NotEvaluable
from ctc.steps.metrics.form import Floats, Form, Indices, Sums, ratio

NOTHING_TO_FIND = "no group has a relevant row"


@dataclass(frozen=True)
class _Order:
    """Rows by group and descending value: `rows` are their numbers, `place` counts from 0 within the group."""

    rows: Indices
    place: Indices


def ndcg(labels: Floats, scores: Floats, groups: Indices, k: int) -> Form:
    """Normalised discounted cumulative gain of the first `k`, gains linear. scikit-learn `ndcg_score` of each group.

    A group without a relevant row has no best order, and is left out. NotEvaluable if a label is below 0.
    """
    if len(labels) and labels.min() < 0:
        raise NotEvaluable(f"ndcg needs labels of 0 and more; the least is {labels.min():g}")
    best = _order(groups, labels)
    ideal = np.bincount(groups[best.rows], labels[best.rows] * _discounts(best.place, k))
    found = np.bincount(groups, labels * _shared(groups, scores, lambda place: _discounts(place, k)))
    return _mean_of_groups(groups, found, ideal, ideal > 0)


def precision_at_k(labels: Floats, scores: Floats, groups: Indices, k: int) -> Form:
    """Relevant rows among the first `k`, of k; of every group, however few rows it has."""
    hits = np.bincount(groups, (labels > 0) * _shared(groups, scores, lambda place: (place < k).astype(np.float64)))
    there = np.bincount(groups) > 0
    return _mean_of_groups(groups, hits, np.full(len(hits), float(k)), there)


def recall_at_k(labels: Floats, scores: Floats, groups: Indices, k: int) -> Form:
    """Relevant rows among the first `k`, of all relevant ones; groups without one are left out."""
    hits = np.bincount(groups, (labels > 0) * _shared(groups, scores, lambda place: (place < k).astype(np.float64)))
    relevant = np.bincount(groups, labels > 0)
    return _mean_of_groups(groups, hits, relevant, relevant > 0)


def _mean_of_groups(groups: Indices, above: NDArray[Any], below: NDArray[Any], counted: NDArray[np.bool_]) -> Form:
    """The mean of `above / below` over the `counted` groups, as sums over rows: a group's part stands in its first."""
    each = np.where(counted, above / np.where(counted, below, 1.0), 0.0)
    parts = np.zeros((2, len(groups)))
    there, first = np.unique(groups, return_index=True)
    parts[0, first] = each[there]
    parts[1, first] = np.asarray(counted, dtype=np.float64)[there]
    return Sums(parts, lambda sums: ratio(sums[0], sums[1]), NOTHING_TO_FIND)


def _discounts(place: Indices, k: int) -> Floats:
    return np.where(place < k, 1 / np.log2(place + 2.0), 0.0)


def _shared(groups: Indices, scores: Floats, weight: Callable[[Indices], Floats]) -> Floats:
    """The weight of each row's place in its group; rows that tie have the mean of theirs."""
    order = _order(groups, scores)
    by_place = weight(order.place)
    group, value = groups[order.rows], scores[order.rows]
    starts = np.append(True, (np.diff(group) != 0) | (np.diff(value) != 0))
    run = np.cumsum(starts) - 1
    means = np.bincount(run, by_place) / np.bincount(run)
    weights = np.empty(len(scores))
    weights[order.rows] = means[run]
    return weights


def _order(groups: Indices, values: Floats) -> _Order:
    rows = np.lexsort((-values, groups))
    group = groups[rows]
    starts = np.flatnonzero(np.append(True, np.diff(group) != 0))
    sizes = np.diff(np.append(starts, len(rows)))
    return _Order(rows, np.arange(len(rows)) - np.repeat(starts, sizes))
