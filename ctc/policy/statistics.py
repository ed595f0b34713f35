"""The tests behind the gates: AUC with DeLong's variance, the paired bootstrap, and Holm's correction.

Where rows come in units that belong together (a customer's orders), units are what is independent: DeLong's variance
is then Obuchowski's, and the bootstrap draws units. All bounds are one-sided, all intervals two-sided, at a
`confidence` in (0, 1). A number that cannot be had raises NotEvaluable with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Statistic = Callable[[Indices], float]

RESAMPLES = 2000

_USABLE = 0.99
"""The share of resamples that must give a number; with fewer, the bound would be that of a selection."""


class NotEvaluable(Exception):
    """The statistic does not exist on these rows. The message says why."""


@dataclass(frozen=True)
class Interval:
    """A two-sided interval, `low <= high`."""

    low: float
    high: float


@dataclass(frozen=True)
class Bound:
    """The one-sided lower bound of a statistic, and its standard error."""

    lower: float
    se: float


@dataclass(frozen=True)
class Delong:
    """Two AUCs on the same rows. `gain` is contender minus champion, `se` its standard error; 0 if they rank alike."""

    contender: float
    champion: float
    gain: float
    se: float


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve; ties count half. `labels` 0 or 1. NotEvaluable if only one class is there."""
    positives, negatives = _by_class(labels, scores)
    above, _ = _placements(positives, negatives)
    return float(above.mean())


def delong(
    labels: ArrayLike, contender: ArrayLike, champion: ArrayLike, *, units: Indices | None = None, share: float = 1.0
) -> Delong:
    """DeLong, DeLong and Clarke-Pearson (1988) for two correlated AUCs, by the midranks of Sun and Xu (2014).

    `units` (0, 1, 2, ... by row) are what is independent; the variance is then that of Obuchowski (1997). With `share`
    the gain is contender minus that share of the champion. Where no pair of rows is ranked differently the variance is
    0, and `lower_bound` equals the gain.
    """
    new = _placements(*_by_class(labels, contender))
    old = _placements(*_by_class(labels, champion))
    value, reference = float(new[0].mean()), float(old[0].mean())
    variance = _auc_variance(new[0] - share * old[0], new[1] - share * old[1], labels, units)
    return Delong(value, reference, value - share * reference, math.sqrt(variance))


def auc_interval(
    labels: ArrayLike, scores: ArrayLike, confidence: float = 0.95, *, units: Indices | None = None
) -> Interval:
    """DeLong's interval of one AUC, cut at 0 and 1. A perfect separation has no variance: the interval is a point."""
    above, below = _placements(*_by_class(labels, scores))
    value = float(above.mean())
    half = _quantile((1 + confidence) / 2) * math.sqrt(_auc_variance(above, below, labels, units))
    return Interval(max(0.0, value - half), min(1.0, value + half))


def lower_bound(gain: float, se: float, confidence: float) -> float:
    """The one-sided lower bound of a normal estimate; the estimate itself where `se` is 0."""
    return gain - _quantile(confidence) * se


def paired_bootstrap(
    statistic: Statistic, n: int, *, seed: int, resamples: int = RESAMPLES, confidence: float = 0.975
) -> Bound:
    """The percentile lower bound of `statistic`, a gain computed from the row numbers that it is given (0 to n - 1).

    Both models are judged on the same resampled rows. NotEvaluable if more than 1 in 100 resamples gives no number.
    """
    values = resampled(statistic, n, seed, resamples)
    return Bound(float(np.quantile(values, 1 - confidence)), float(values.std(ddof=1)))


def bootstrap_interval(
    statistic: Statistic, n: int, *, seed: int, resamples: int = RESAMPLES, confidence: float = 0.95
) -> Interval:
    """The percentile interval of `statistic`, computed as in `paired_bootstrap`."""
    values = resampled(statistic, n, seed, resamples)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def resampled(statistic: Statistic, n: int, seed: int, resamples: int = RESAMPLES) -> Floats:
    """`statistic` of each resample: `n` numbers from 0 to n - 1, drawn with replacement.

    NotEvaluable if more than 1 in 100 resamples gives no number.
    """
    if n < 2:
        raise NotEvaluable(f"{n} rows are too few to resample")
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(0, n, n)) for _ in range(resamples)], dtype=np.float64)
    usable: Floats = values[np.isfinite(values)]
    if len(usable) < _USABLE * resamples:
        raise NotEvaluable(f"{resamples - len(usable)} of {resamples} resamples give no number")
    return usable


def holm(p_values: Sequence[float], level: float) -> tuple[float, ...]:
    """The level at which each of m hypotheses is tested, by Holm (1979).

    The smallest p at `level` / m, the next at `level` / (m - 1), and so on to the largest at `level`. All are rejected
    exactly where each p is at most its level.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    levels = {index: level / (len(order) - rank) for rank, index in enumerate(order)}
    return tuple(levels[index] for index in range(len(p_values)))


def _by_class(labels: ArrayLike, scores: ArrayLike) -> tuple[Floats, Floats]:
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"labels {truth.shape} and scores {values.shape} must be two columns of the same rows")
    if not np.isfinite(values).all():
        raise NotEvaluable("a score is missing or infinite")
    positive, negative = truth == 1, truth == 0
    if not (positive | negative).all():
        raise NotEvaluable("a label is neither 0 nor 1")
    if not positive.any() or not negative.any():
        raise NotEvaluable("only one class is there")
    return values[positive], values[negative]


def _placements(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it, for each negative the share of positives above it."""
    ranks = _midranks(np.concatenate([positives, negatives]))
    m, n = len(positives), len(negatives)
    above = (ranks[:m] - _midranks(positives)) / n
    below = 1 - (ranks[m:] - _midranks(negatives)) / m
    return above, below


def _midranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: Floats = last - (counts - 1) / 2
    ranks: Floats = middle[inverse]
    return ranks


def _auc_variance(above: Floats, below: Floats, labels: ArrayLike, units: Indices | None) -> float:
    """Of the mean of `above`, which is that of `below`: placements of one AUC, or differences of two."""
    if units is None:
        return _variance(above) + _variance(below)
    truth = np.asarray(labels)
    positive, negative = units[truth == 1], units[truth == 0]
    size = int(units.max()) + 1
    m, n = len(positive), len(negative)
    theta = float(above.mean())
    sums = (np.bincount(positive, above - theta, size), np.bincount(negative, below - theta, size))
    with_positives, with_negatives, both = (len(np.unique(part)) for part in (positive, negative, units))
    if with_positives < 2 or with_negatives < 2:
        raise NotEvaluable("a class is in one unit only")
    variance = (
        with_positives / (with_positives - 1) * float(sums[0] @ sums[0]) / m**2
        + with_negatives / (with_negatives - 1) * float(sums[1] @ sums[1]) / n**2
        + 2 * both / (both - 1) * float(sums[0] @ sums[1]) / (m * n)
    )
    return max(variance, 0.0)


def _variance(placements: Floats) -> float:
    """Of the mean of `placements`. One row of a class says nothing of its spread."""
    if len(placements) < 2:
        raise NotEvaluable("a class has only one row")
    return float(placements.var(ddof=1)) / len(placements)


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)
