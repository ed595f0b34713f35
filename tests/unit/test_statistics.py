from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from ctc.policy.statistics import (
    Bound,
    Interval,
    NotEvaluable,
    auc,
    auc_interval,
    bootstrap_interval,
    delong,
    holm,
    lower_bound,
    paired_bootstrap,
)

Column = NDArray[np.float64]


@pytest.fixture(scope="module")
def vectors() -> tuple[dict[str, Any], Column, Column, Column]:
    """The vectors and the labels, contender's and champion's scores that they were computed from."""
    root = os.environ.get("CTC_ORACLES")
    if not root:
        pytest.skip("CTC_ORACLES does not name the folder of reference numbers")
    folder = Path(root, "promotion")
    with (folder / "paired_scores.csv").open() as file:
        rows = [(float(row["y"]), float(row["contender"]), float(row["champion"])) for row in csv.DictReader(file)]
    labels, contender, champion = np.array(rows).T
    return json.loads((folder / "vectors.json").read_text()), labels, contender, champion


def test_delong_equals_the_vectors(vectors: Any) -> None:
    numbers, labels, contender, champion = vectors
    oracle = numbers["paired_scores.csv delong (contender-champion)"]
    found = delong(labels, contender, champion)
    assert found.contender == pytest.approx(oracle["auc_contender"], abs=1e-12)
    assert found.champion == pytest.approx(oracle["auc_champion"], abs=1e-12)
    assert found.se == pytest.approx(oracle["se"], abs=1e-12)
    assert found.gain / found.se == pytest.approx(oracle["z"], abs=1e-9)
    variance = (auc_interval(labels, contender, 0.6826894921370859).high - found.contender) ** 2
    assert variance == pytest.approx(oracle["var_cov"][0][0], abs=1e-9)


def test_the_bootstrap_equals_the_vectors(vectors: Any) -> None:
    numbers, labels, contender, champion = vectors
    oracle = numbers["paired bootstrap (default_rng(1),2000, percentile) dAUC"]

    def gain(rows: NDArray[np.int64]) -> float:
        return auc(labels[rows], contender[rows]) - auc(labels[rows], champion[rows])

    interval = bootstrap_interval(gain, len(labels), seed=1, confidence=0.95)
    assert [interval.low, interval.high] == pytest.approx(oracle["ci95"], abs=0.002)
    bound = paired_bootstrap(gain, len(labels), seed=1, confidence=0.95)
    assert bound.lower == pytest.approx(oracle["noninferior_margin_.01_lower95"], abs=0.002)
    assert bound.se == pytest.approx(delong(labels, contender, champion).se, rel=0.1)


samples = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6)), min_size=4, max_size=60).filter(
    lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2
)


@settings(deadline=None)
@given(samples)
def test_auc_with_ties_equals_scipy_and_scikit_learn(rows: list[tuple[bool, int, int]]) -> None:
    labels, scores, _ = np.array(rows, dtype=float).T
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    value = auc(labels, scores)
    assert value == pytest.approx(u / (sum(labels == 1) * sum(labels == 0)), abs=1e-12)
    assert value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@settings(deadline=None)
@given(samples)
def test_delong_equals_the_definition(rows: list[tuple[bool, int, int]]) -> None:
    """Against the quadratic formula of 1988: every positive beside every negative."""
    labels, new, old = np.array(rows, dtype=float).T
    found = delong(labels, new, old)
    gains = [np.heaviside(scores[labels == 1][:, None] - scores[labels == 0][None, :], 0.5) for scores in (new, old)]
    gain = gains[0] - gains[1]
    variance = sum(gain.mean(axis=axis).var(ddof=1) / gain.shape[1 - axis] for axis in (0, 1))
    assert found.gain == pytest.approx(gain.mean(), abs=1e-12)
    assert found.se == pytest.approx(math.sqrt(variance), abs=1e-9)


@given(samples)
def test_models_that_swap_places_swap_the_sign(rows: list[tuple[bool, int, int]]) -> None:
    labels, new, old = np.array(rows, dtype=float).T
    one, other = delong(labels, new, old), delong(labels, old, new)
    assert one.gain == -other.gain
    assert one.se == pytest.approx(other.se, abs=1e-12)


def test_models_that_rank_alike_have_no_error() -> None:
    labels, scores = [0, 1, 0, 1, 1], [0.1, 0.4, 0.5, 0.8, 0.9]
    found = delong(labels, scores, [10 * score for score in scores])
    assert (found.gain, found.se) == (0.0, 0.0)
    assert lower_bound(found.gain, found.se, 0.975) == 0.0
    assert auc_interval([0, 0, 1, 1], [1, 2, 3, 4]) == Interval(1.0, 1.0)


def test_the_lower_bound_is_one_sided() -> None:
    assert lower_bound(0.01, 0.005, 0.975) == pytest.approx(0.01 - 1.959963984540054 * 0.005)
    assert lower_bound(0.01, 0.005, 0.5) == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("labels", "scores", "reason"),
    [
        ([1, 1, 1], [0.1, 0.2, 0.3], "only one class"),
        ([0, 0], [0.1, 0.2], "only one class"),
        ([], [], "only one class"),
        ([0, 1], [0.1, math.nan], "missing or infinite"),
        ([0, 1], [0.1, math.inf], "missing or infinite"),
        ([0, 2], [0.1, 0.2], "neither 0 nor 1"),
        ([0, math.nan], [0.1, 0.2], "neither 0 nor 1"),
    ],
)
def test_what_has_no_auc_says_why(labels: list[float], scores: list[float], reason: str) -> None:
    with pytest.raises(NotEvaluable, match=reason):
        auc(labels, scores)


def test_one_row_of_a_class_has_an_auc_but_no_error() -> None:
    assert auc([1, 0, 0], [0.5, 0.1, 0.9]) == 0.5
    with pytest.raises(NotEvaluable, match="only one row"):
        delong([1, 0, 0], [0.5, 0.1, 0.9], [0.4, 0.1, 0.9])


def test_columns_of_different_rows_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="two columns of the same rows"):
        auc([0, 1], [0.1, 0.2, 0.3])


def test_the_bootstrap_is_seeded_and_about_right() -> None:
    values = np.random.default_rng(7).normal(0.5, 1.0, 400)

    def mean(rows: NDArray[np.int64]) -> float:
        return float(values[rows].mean())

    first = paired_bootstrap(mean, 400, seed=3, confidence=0.95)
    assert first == paired_bootstrap(mean, 400, seed=3, confidence=0.95)
    assert first != paired_bootstrap(mean, 400, seed=4, confidence=0.95)
    assert first.se == pytest.approx(values.std() / 20, rel=0.1)
    assert first.lower == pytest.approx(lower_bound(float(values.mean()), first.se, 0.95), abs=0.01)


def test_a_gain_that_never_varies_is_its_own_bound() -> None:
    assert paired_bootstrap(lambda rows: 0.25, 10, seed=0, resamples=50) == Bound(0.25, 0.0)


@pytest.mark.parametrize(("n", "reason"), [(1, "too few"), (3, "resamples give no number")])
def test_what_cannot_be_resampled_says_why(n: int, reason: str) -> None:
    def rare(rows: NDArray[np.int64]) -> float:
        return math.nan if (rows == rows[0]).all() else 1.0

    with pytest.raises(NotEvaluable, match=reason):
        paired_bootstrap(rare, n, seed=0, resamples=500)


def test_units_of_one_row_are_rows(vectors: Any) -> None:
    _, labels, contender, champion = vectors
    units = np.random.default_rng(3).permutation(len(labels))
    rows = delong(labels, contender, champion)
    assert delong(labels, contender, champion, units=units).se == pytest.approx(rows.se, rel=1e-12)
    one, other = auc_interval(labels, contender), auc_interval(labels, contender, units=units)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_rows_that_repeat_within_their_unit_say_no_more() -> None:
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 2, 300).astype(float)
    contender, champion = labels + draw.normal(size=300), labels + draw.normal(size=300)
    alone = delong(labels, contender, champion)
    again = [np.repeat(column, 4) for column in (labels, contender, champion)]
    found = delong(again[0], again[1], again[2], units=np.repeat(np.arange(300), 4))
    assert found.gain == pytest.approx(alone.gain, abs=1e-12)
    assert found.se == pytest.approx(alone.se, rel=1e-9)
    assert delong(again[0], again[1], again[2]).se < 0.6 * alone.se


def test_the_variance_of_units_covers() -> None:
    """Obuchowski (1997): scores of a unit are alike, in both models; one bound in twenty misses the true gain of 0."""
    draw = np.random.default_rng(11)
    missed, trials = 0, 600
    for _ in range(trials):
        units = np.repeat(np.arange(80), 5)
        labels = (draw.random(400) < 0.4).astype(float)
        shared, own = draw.normal(size=(2, 80)), draw.normal(size=(2, 400))
        one, other = (labels + shared[k][units] + own[k] for k in (0, 1))
        found = delong(labels, one, other, units=units)
        missed += lower_bound(found.gain, found.se, 0.95) > 0
    assert 0.02 < missed / trials < 0.08


def test_a_share_of_the_champion() -> None:
    draw = np.random.default_rng(6)
    labels = draw.integers(0, 2, 200).astype(float)
    one, other = labels + draw.normal(size=200), labels + draw.normal(size=200)
    found, alone = delong(labels, one, other, share=0.98), delong(labels, one, other, share=0.0)
    assert found.gain == pytest.approx(found.contender - 0.98 * found.champion, abs=1e-12)
    assert alone.se == pytest.approx((auc_interval(labels, one, 0.6826894921370859).high - alone.contender), rel=1e-9)


def test_a_class_within_one_unit() -> None:
    with pytest.raises(NotEvaluable, match="one unit"):
        delong([1, 1, 0, 0], [4, 3, 2, 1], [4, 1, 2, 3], units=np.array([0, 0, 1, 2]))


@pytest.mark.parametrize(
    ("p_values", "levels"),
    [
        ([0.01], [0.05]),
        ([0.01, 0.04], [0.025, 0.05]),
        ([0.04, 0.001, 0.02], [0.05, 0.05 / 3, 0.025]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values: list[float], levels: list[float]) -> None:
    assert holm(p_values, 0.05) == pytest.approx(levels)


# Few examples: statsmodels collects the garbage of the whole process at each call.
@settings(max_examples=10)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.5]))
def test_holm_rejects_all_where_statsmodels_does(p_values: list[float], level: float) -> None:
    rejected = multipletests(p_values, alpha=level, method="holm")[0]
    assert all(p <= own for p, own in zip(p_values, holm(p_values, level), strict=True)) == bool(rejected.all())
