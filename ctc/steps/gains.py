"""The gain of a contender over the champion on the same rows, and the test that bounds it.

AUC is DeLong's, with units Obuchowski's; accuracy of rows is Tango's, which agrees with McNemar; every other metric is
the percentile of a paired bootstrap, of units where there are any. Resampling is seeded by names, so that the same
predictions give the same bits on every engine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from ctc.policy import statistics
from ctc.policy.proportions import PairedShares
from ctc.policy.statistics import Interval, NotEvaluable
from ctc.steps import metrics
from ctc.steps.judged import Indices, Part
from ctc.steps.metrics import Floats, classes

INTERVAL_CONFIDENCE = 0.95
INTERVAL_RESAMPLES = 500
"""Enough for an interval that is shown; what decides has its own number."""

MOST_UNITS = 50_000
"""More units than these are dealt into as many groups at random, and the groups resampled: the variance is the same in
expectation (random groups; Wolter, Introduction to Variance Estimation, 2007, chapter 2)."""

_TAIL, _MOST = 10, 20_000
"""Resamples below a bound, at least, and resamples in all, at most; beyond these the bound is a normal one."""


@dataclass(frozen=True)
class Gain:
    """`gain` is positive where the contender is better.

    `allowed` is what a relative margin comes to, in the metric's unit. `lower(confidence)` is the one-sided bound of
    the gain, `p(line)` that of the hypothesis that the gain is at most `line`; with a relative margin both know that
    the champion's value is an estimate too, and are exact at the line `-allowed`.
    """

    contender: float
    champion: float
    gain: float
    allowed: float
    se: float
    method: str
    n: int
    units: int | None
    lower: Callable[[float], float]
    p: Callable[[float], float]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """Both models' scores of a metric on the same rows."""

    metric: Mapping[str, Any]
    part: Part
    contender: Floats
    champion: Floats


def compared(pair: Pair, *, share: float, seed: int, better: str) -> Gain:
    """The gain in a metric, and with `share` above 0 the margin of that share of the champion's value.

    NotEvaluable where a model has no value, or nothing bounds the gain.
    """
    kind, part = pair.metric["kind"], pair.part
    sign = 1.0 if better == "higher" else -1.0
    if kind == "roc_auc":
        return _auc(pair, share)
    ours, theirs = (measured(pair.metric, part, scores) for scores in (pair.contender, pair.champion))
    allowed = _allowed(pair.metric, share, theirs)
    if kind == "accuracy" and part.units is None and not share:
        return _accuracy(pair, ours, theirs)
    return _bootstrapped(pair, (ours, theirs), sign, share, allowed, seed)


def measured(metric: Mapping[str, Any], part: Part, scores: Floats) -> float:
    """A metric of one model. NotEvaluable where it has none."""
    return metrics.value(metric, part.labels, scores, part.groups)


def interval(metric: Mapping[str, Any], part: Part, scores: Floats) -> Interval:
    """Of one model's metric, two-sided at 95 %. NotEvaluable where nothing bounds it."""
    if metric["kind"] == "roc_auc":
        return statistics.auc_interval(part.labels, scores, INTERVAL_CONFIDENCE, units=part.units)
    units, n = _resampling_units(part)
    return statistics.bootstrap_interval(
        metrics.resampled(metric, part.labels, scores, part.groups, units),
        n,
        seed=seed_of("interval", metric["name"]),
        resamples=INTERVAL_RESAMPLES,
        confidence=INTERVAL_CONFIDENCE,
    )


def ratio_bound(
    metric: Mapping[str, Any], above: tuple[Part, Floats], below: tuple[Part, Floats], *, seed: int, confidence: float
) -> float:
    """The one-sided lower bound of the ratio of one model's metric on two parts, each resampled on its own."""
    one, other = (_resampling(metric, part, scores) for part, scores in (above, below))

    if min(one.n, other.n) < 2:
        raise NotEvaluable("a slice of one unit cannot be resampled")
    generator = np.random.default_rng(seed)

    def ratio() -> float:
        lowest = one.of(generator.integers(0, one.n, one.n))
        highest = other.of(generator.integers(0, other.n, other.n))
        return lowest / highest if highest > 0 else math.nan

    values = np.array([ratio() for _ in range(resamples_for(1 - confidence))])
    usable = values[np.isfinite(values)]
    if len(usable) < 0.99 * len(values):
        raise NotEvaluable(f"{len(values) - len(usable)} of {len(values)} resamples give no ratio")
    return float(np.quantile(usable, 1 - confidence))


def resamples_for(level: float) -> int:
    """As many that some lie below a bound at `level`."""
    return max(statistics.RESAMPLES, min(_MOST, math.ceil(_TAIL / level)))


def seed_of(*names: str) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:8], "big")


def _allowed(metric: Mapping[str, Any], share: float, champion: float) -> float:
    if share and champion <= 0:
        raise NotEvaluable(f"a share of the champion's {metric['name']} is no margin, as that is {champion:g}")
    return share * champion


def _auc(pair: Pair, share: float) -> Gain:
    part = pair.part
    found = statistics.delong(part.labels, pair.contender, pair.champion, units=part.units, share=1 - share)
    allowed = share * found.champion
    gain = found.contender - found.champion
    # What is bounded is the gain and the allowed loss together; a fixed shift brings it to the gain's scale.
    return Gain(
        found.contender,
        found.champion,
        gain,
        allowed,
        found.se,
        "delong" if part.units is None else "delong_of_units",
        len(part.rows),
        None if part.units is None else part.n_units,
        lambda confidence: statistics.lower_bound(found.gain, found.se, confidence) - allowed,
        lambda line: _normal_p(gain - line, found.se),
    )


def _accuracy(pair: Pair, ours: float, theirs: float) -> Gain:
    arguments, labels = pair.metric["arguments"], pair.part.labels
    one, other = (classes.right(labels, scores, arguments) for scores in (pair.contender, pair.champion))
    found = PairedShares(len(labels), int((one > other).sum()), int((other > one).sum()))
    more = {
        "only_contender": found.only_contender,
        "only_champion": found.only_champion,
        "mcnemar_p": found.mcnemar(exact=True),
    }
    return Gain(ours, theirs, found.gain, 0.0, found.se, "tango", found.n, None, found.lower, found.p, more)


def _bootstrapped(
    pair: Pair, values: tuple[float, float], sign: float, share: float, allowed: float, seed: int
) -> Gain:
    ours, theirs = (_resampling(pair.metric, pair.part, scores) for scores in (pair.contender, pair.champion))
    kept = 1 - sign * share

    def statistic(drawn: Indices) -> float:
        return sign * (ours.of(drawn) - kept * theirs.of(drawn))

    @cache
    def resampled(count: int) -> Floats:
        return statistics.resampled(statistic, ours.n, seed, count)

    gain = sign * (values[0] - values[1])
    usual = resampled(statistics.RESAMPLES)
    se = float(usual.std(ddof=1))

    def lower(confidence: float) -> float:
        level = 1 - confidence
        if level * _MOST < _TAIL:
            return statistics.lower_bound(gain, se, confidence)
        return float(np.quantile(resampled(resamples_for(level)), level)) - allowed

    def p(line: float) -> float:
        return float((usual <= line + allowed).sum() + 1) / (len(usual) + 1)

    units = None if pair.part.units is None else pair.part.n_units
    return Gain(values[0], values[1], gain, allowed, se, "paired_bootstrap", len(pair.part.rows), units, lower, p)


@dataclass(frozen=True)
class _Resampling:
    """A metric of resampled units, which are numbered from 0 to `n`."""

    of: Callable[[Indices], float]
    n: int


def _resampling(metric: Mapping[str, Any], part: Part, scores: Floats) -> _Resampling:
    units, n = _resampling_units(part)
    return _Resampling(metrics.resampled(metric, part.labels, scores, part.groups, units), n)


def _resampling_units(part: Part) -> tuple[Indices | None, int]:
    """What is drawn, by row (None: the rows), and how many there are."""
    n = part.n_units
    if n <= MOST_UNITS:
        return part.units, n
    dealt = np.random.default_rng(seed_of("groups")).permutation(n) % MOST_UNITS
    return (dealt if part.units is None else dealt[part.units]), MOST_UNITS


def _normal_p(distance: float, se: float) -> float:
    if se == 0:
        return 0.0 if distance > 0 else 1.0
    return NormalDist().cdf(-distance / se)
