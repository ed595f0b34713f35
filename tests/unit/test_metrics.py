"""Metrics against scikit-learn, and resampled metrics against the metric of the resampled rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from ctc.language.typed import HIGHER_IS_BETTER
from ctc.policy.statistics import NotEvaluable
from ctc.steps import metrics
from ctc.steps.metrics import Floats, Indices

Oracle = Callable[[Floats, Floats], float]
NO_GROUPS = np.empty(0, dtype=np.int64)


def flagged(of: Callable[..., float], **more: Any) -> Oracle:
    return lambda labels, scores: of(labels, scores >= 0.5, **more)


def chosen(of: Callable[..., float], **more: Any) -> Oracle:
    return lambda labels, scores: of(labels, scores.argmax(axis=1), **more)


def recall_at(rate: float) -> Oracle:
    def of(labels: Floats, scores: Floats) -> float:
        alarms, hits, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
        return float(hits[alarms <= rate].max())

    return of


BINARY: dict[str, tuple[dict[str, Any], Oracle]] = {
    "roc_auc": ({}, sk.roc_auc_score),
    "pr_auc": ({}, sk.average_precision_score),
    "log_loss": ({}, sk.log_loss),
    "brier": ({}, sk.brier_score_loss),
    "accuracy": ({}, flagged(sk.accuracy_score)),
    "balanced_accuracy": ({}, flagged(sk.balanced_accuracy_score)),
    "f1": ({}, flagged(sk.f1_score)),
    "precision": ({}, flagged(sk.precision_score)),
    "recall": ({}, flagged(sk.recall_score)),
    "recall_at_fpr": ({"fpr": 0.3}, recall_at(0.3)),
}
NUMBERS: dict[str, tuple[dict[str, Any], Oracle]] = {
    "mae": ({}, sk.mean_absolute_error),
    "rmse": ({}, sk.root_mean_squared_error),
    "mape": ({}, sk.mean_absolute_percentage_error),
    "r2": ({}, sk.r2_score),
    "pinball": ({"quantile": 0.9}, lambda labels, found: sk.mean_pinball_loss(labels, found, alpha=0.9)),
}
CLASSES: list[tuple[str, dict[str, Any], Oracle]] = [
    ("log_loss", {}, lambda labels, scores: sk.log_loss(labels, scores, labels=range(scores.shape[1]))),
    ("accuracy", {}, chosen(sk.accuracy_score)),
    ("balanced_accuracy", {}, chosen(sk.balanced_accuracy_score)),
    ("f1", {}, chosen(sk.f1_score, average="macro")),
    ("f1", {"average": "micro"}, chosen(sk.f1_score, average="micro")),
    ("f1", {"average": "weighted"}, chosen(sk.f1_score, average="weighted")),
]
AT_K = ("precision_at_k", "recall_at_k", "precision_at_fpr")
SEEDS = st.integers(0, 2**32 - 1)


def metric(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "arguments": arguments, "better": "higher"}


def sample(seed: int, *, numbers: bool = False) -> tuple[Floats, Floats]:
    """Rows whose scores tie often, 0, 0.5 and 1 among them."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(4, 120))
    if numbers:
        return draw.normal(size=n) + 0.01, draw.normal(size=n).round(1)
    labels = draw.integers(0, 2, n).astype(np.float64)
    labels[:2] = 0, 1
    scores = draw.integers(0, 11, n) / 10
    scores[0] = 0.7
    return labels, scores


def several_classes(seed: int) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(seed)
    n, classes = int(draw.integers(5, 80)), int(draw.integers(3, 6))
    labels = draw.integers(0, classes, n).astype(np.float64)
    labels[:classes] = np.arange(classes)[:n]
    raw = draw.integers(1, 6, (n, classes)) + 3 * (labels[:, None] == np.arange(classes))
    return labels, raw / raw.sum(axis=1, keepdims=True)


def ranking(seed: int) -> tuple[Floats, Floats, Indices]:
    """Groups of two and more rows, each with a relevant one; scores tie."""
    draw = np.random.default_rng(seed)
    sizes = draw.integers(2, 12, int(draw.integers(1, 9)))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = draw.integers(0, 4, len(groups)).astype(np.float64)
    labels[np.cumsum(sizes) - 1] = 2
    order = draw.permutation(len(groups))
    return labels[order], draw.integers(0, 5, len(groups)).astype(np.float64), groups[order]


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_metrics_of_two_classes_are_scikit_learns(seed: int) -> None:
    labels, scores = sample(seed)
    for kind, (arguments, oracle) in BINARY.items():
        found = metrics.value(metric(kind, **arguments), labels, scores)
        assert found == pytest.approx(oracle(labels, scores), abs=1e-12), kind


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_metrics_of_numbers_are_scikit_learns(seed: int) -> None:
    labels, found = sample(seed, numbers=True)
    for kind, (arguments, oracle) in NUMBERS.items():
        assert metrics.value(metric(kind, **arguments), labels, found) == pytest.approx(
            oracle(labels, found), rel=1e-12, abs=1e-12
        ), kind


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_metrics_of_several_classes_are_scikit_learns(seed: int) -> None:
    labels, scores = several_classes(seed)
    for kind, arguments, oracle in CLASSES:
        assert metrics.value(metric(kind, **arguments), labels, scores) == pytest.approx(
            oracle(labels, scores), abs=1e-12
        ), (kind, arguments)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 14))
def test_ndcg_is_scikit_learns_of_each_group(seed: int, k: int) -> None:
    labels, scores, groups = ranking(seed)
    each = [sk.ndcg_score([labels[groups == group]], [scores[groups == group]], k=k) for group in np.unique(groups)]
    assert metrics.value(metric("ndcg", k=k), labels, scores, groups) == pytest.approx(np.mean(each), abs=1e-12)


def test_every_kind_of_the_language_is_here() -> None:
    assert set(metrics.METRICS) == set(HIGHER_IS_BETTER)
    judged = set(BINARY) | set(NUMBERS) | set(AT_K) | {"ndcg", "mean", "share"}
    assert judged == set(metrics.METRICS)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.booleans())
def test_a_resampled_metric_is_the_metric_of_the_rows(seed: int, grouped: bool) -> None:
    draw = np.random.default_rng(seed)
    cases = [(kind, arguments, *sample(seed)) for kind, (arguments, _) in BINARY.items()]
    cases += [(kind, {"k": 3} if "_k" in kind else {"fpr": 0.2}, *sample(seed)) for kind in AT_K]
    cases += [(kind, arguments, *sample(seed, numbers=True)) for kind, (arguments, _) in NUMBERS.items()]
    cases += [(kind, arguments, *several_classes(seed)) for kind, arguments, _ in CLASSES]
    for kind, arguments, labels, scores in cases:
        units = draw.integers(0, 7, len(labels)) if grouped else np.arange(len(labels))
        units = np.unique(units, return_inverse=True)[1]
        drawn = draw.integers(0, units.max() + 1, units.max() + 1)
        rows = np.concatenate([np.flatnonzero(units == unit) for unit in drawn])
        of = metrics.resampled(metric(kind, **arguments), labels, scores, units=units if grouped else None)
        try:
            expected = metrics.value(metric(kind, **arguments), labels[rows], scores[rows])
        except NotEvaluable:
            if len(rows) >= arguments.get("k", 0):
                assert np.isnan(of(drawn)), kind
            continue
        assert of(drawn) == pytest.approx(expected, rel=1e-9, abs=1e-9), kind


def test_a_resampled_ranking_draws_groups() -> None:
    labels, scores, groups = ranking(3)
    drawn = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    of = metrics.resampled(metric("ndcg", k=4), labels, scores, groups, units=groups)
    first = groups == 0
    assert of(drawn) == pytest.approx(sk.ndcg_score([labels[first]], [scores[first]], k=4), abs=1e-12)


def test_precision_and_recall_at_k_by_hand() -> None:
    labels, scores = np.array([1.0, 0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.7, 0.1])

    assert metrics.value(metric("precision_at_k", k=2), labels, scores) == 0.5
    assert metrics.value(metric("precision_at_k", k=3), labels, scores) == pytest.approx(2 / 3)
    assert metrics.value(metric("recall_at_k", k=4), labels, scores) == 1.0
    # Of the two positives that tie at the border, one fits.
    assert metrics.value(metric("recall_at_k", k=3), labels, scores) == pytest.approx(2 / 3)
    mixed = np.array([1.0, 0, 1, 0, 0])
    assert metrics.value(metric("precision_at_k", k=3), mixed, scores) == pytest.approx(1.5 / 3)


def test_at_k_of_groups_by_hand() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2])
    labels, scores = np.array([2.0, 0, 1, 0, 0, 1]), np.array([0.9, 0.8, 0.7, 0.5, 0.4, 0.1])

    assert metrics.value(metric("precision_at_k", k=2), labels, scores, groups) == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert metrics.value(metric("recall_at_k", k=2), labels, scores, groups) == pytest.approx((0.5 + 1) / 2)


def test_precision_at_a_false_positive_rate_by_hand() -> None:
    labels = np.array([1.0, 0, 1, 0, 0, 0, 0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])

    assert metrics.value(metric("precision_at_fpr", fpr=0.2), labels, scores) == pytest.approx(2 / 3)
    assert metrics.value(metric("recall_at_fpr", fpr=0.1), labels, scores) == pytest.approx(0.5)


def test_columns() -> None:
    column = np.array([1.0, 2.0, 3.0, 10.0])

    assert metrics.value(metric("mean", column="x"), column, column) == 4.0
    assert metrics.value(metric("share", column="x", min=2), column, column) == 0.75
    assert metrics.value(metric("share", column="x", min=2, max=3), column, column) == 0.5
    with pytest.raises(NotEvaluable, match="in 1 rows"):
        metrics.value(metric("mean", column="x"), column, np.array([1.0, np.nan]))


def test_a_threshold_counts_itself_as_positive() -> None:
    labels, scores = np.array([1.0, 0.0, 1.0]), np.array([0.3, 0.29, 0.1])

    assert metrics.value(metric("accuracy", threshold=0.3), labels, scores) == pytest.approx(2 / 3)
    assert metrics.value(metric("accuracy"), labels, scores) == pytest.approx(1 / 3)


@pytest.mark.parametrize("kind", sorted(metrics.METRICS))
def test_no_rows_have_no_metric(kind: str) -> None:
    with pytest.raises(NotEvaluable, match="no rows"):
        metrics.value(metric(kind, k=1, fpr=0.1, quantile=0.5), np.array([]), np.array([]))


@pytest.mark.parametrize(
    ("kind", "labels", "scores", "said"),
    [
        ("roc_auc", [0, 0], [0.1, 0.2], "one class"),
        ("roc_auc", [1, 1], [0.1, 0.2], "one class"),
        ("pr_auc", [0, 0], [0.1, 0.2], "no positive row"),
        ("balanced_accuracy", [1, 1], [0.1, 0.9], "one class"),
        ("f1", [0, 0], [0.1, 0.2], "none is flagged"),
        ("precision", [0, 1], [0.1, 0.2], "no row is flagged"),
        ("recall", [0, 0], [0.9, 0.2], "no positive row"),
        ("recall_at_k", [0, 0], [0.9, 0.2], "no positive row"),
        ("precision_at_k", [1], [0.9], "1 rows; the 2 highest"),
        ("precision_at_fpr", [0, 1], [0.9, 0.2], "no row is flagged"),
        ("recall_at_fpr", [1, 1], [0.9, 0.2], "one class"),
        ("log_loss", [0, 1], [-2, 3], "needs probabilities"),
        ("brier", [0, 1], [-2, 3], "needs probabilities"),
        ("mape", [0, 1], [1, 1], "which is 0 in 1 rows"),
        ("r2", [0.1, 0.1, 0.1], [1, 2, 3], "all labels are equal"),
    ],
)
def test_what_has_no_value_says_why(kind: str, labels: list[float], scores: list[float], said: str) -> None:
    with pytest.raises(NotEvaluable, match=said):
        metrics.value(metric(kind, k=2, fpr=0.1), np.array(labels, dtype=float), np.array(scores, dtype=float))


def test_probabilities_of_several_classes_sum_to_one() -> None:
    with pytest.raises(NotEvaluable, match="in 1 rows they do not sum to 1"):
        metrics.value(metric("log_loss"), np.array([0.0, 1.0]), np.array([[0.5, 0.5, 0.0], [0.2, 0.2, 0.2]]))


def test_a_ranking_with_nothing_to_find_has_no_value() -> None:
    groups = np.array([0, 0])
    for kind in ("ndcg", "recall_at_k"):
        with pytest.raises(NotEvaluable, match="no group has a relevant row"):
            metrics.value(metric(kind, k=1), np.zeros(2), np.array([0.2, 0.1]), groups)
    with pytest.raises(NotEvaluable, match="labels of 0 and more"):
        metrics.value(metric("ndcg", k=1), np.array([-1.0, 1.0]), np.array([0.2, 0.1]), groups)
