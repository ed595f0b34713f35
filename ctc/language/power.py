"""What the gates can tell at the stated volume: the smallest difference that they see, and how often equals pass.

The volume is the least that the holdout (for a gate `by` slice: the slice) may hold. Closed formulas: nothing is
simulated, no data is read. What a formula needs and the spec does not state is assumed, and each estimate says how.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import lru_cache

from ctc.language.attempts import YEAR, attempts_per_year, most_attempts_per_year
from ctc.language.spec import Gate, Metric, Spec
from ctc.value import Value, frozen

POWER = 0.8
"""How often a gate must notice a difference for it to count as detectable: the convention of Cohen (1988)."""

RELATIVE = ("not_worse", "min_gain", "forgetting")
"""The kinds of gate that compare with the champion."""

_AUC = 0.75
"""The level that is assumed where no `range` gate asks for more; the variance hardly changes between 0.6 and 0.8."""

_APART, _SHARED, _MOST = 0.6, 0.4, 0.99
"""The correlation of the AUCs of successive models is about 0.6 where their training windows share nothing, and rises
with the share: 0.8 at one half, 0.95 at nine tenths. Measured by DeLong's covariance on retrains of a boosted tree, on
`examples/flight-delay`."""

_ALIKE = 0.95
"""The correlation at best: successive models that rank nearly alike."""

_DISAGREE, _AGREE = 0.05, 0.01
"""The share of rows that only one of two successive models gets right, as a rule and at best; measured there too."""

_ERRORS = "an error has no upper bound, so its spread is known from data only"
_RANKED = "its spread depends on the number of groups and of relevant rows in each, which the spec does not state"
_WITHOUT_FORMULA = {
    **dict.fromkeys(("mae", "rmse", "mape", "pinball", "r2"), _ERRORS),
    **dict.fromkeys(("log_loss",), "a surely wrong score costs without limit, so its spread is known from data only"),
    **dict.fromkeys(("ndcg",), _RANKED),
}
"""Why no closed formula can say what a gate on a metric sees."""

_SUREST = 1 - 1e-9
"""No test is asked for more: beyond it a normal bound says nothing."""

_MANY = 10**12
"""More rows than any holdout has, and few enough for float arithmetic."""


def normal(z: float) -> float:
    """The normal distribution's cumulative probability. Here, as `statistics` takes longer to import than to use."""
    return 0.5 * math.erfc(-z / math.sqrt(2))


@lru_cache(maxsize=256)
def normal_quantile(probability: float) -> float:
    """Its inverse, by bisection to the last digit; within 10 standard deviations."""
    low, high = -10.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if normal(middle) < probability else (low, middle)
    return (low + high) / 2


@frozen
class GateEstimate(Value):
    """What one relative gate can tell. A number that cannot be known from the spec is None.

    `detectable` is the difference beyond the gate's line that it notices in 4 of 5 attempts, in the metric's unit; for
    `not_worse` also the margin at which an equally good model passes that often. `passes_if_equal` is the share of
    equally good contenders that pass, `promotions_of_equals_per_year` how many that would be if this gate alone
    decided. The two numbers `at_best` hold where both models rank nearly alike. `confidence` is that of the test, after
    `false_promotions`. `attempts_per_year` is the most that triggers and their policy allow.
    """

    gate: str
    metric: str
    detectable: float | None
    passes_if_equal: float | None
    attempts_per_year: float | None
    promotions_of_equals_per_year: float | None
    assumptions: tuple[str, ...]
    confidence: float
    detectable_at_best: float | None = None
    passes_at_best: float | None = None


@frozen
class Volume(Value):
    """The rows that a gate may be judged on; `positives` is 0 where their number is not stated."""

    rows: int
    positives: int

    def classes(self) -> tuple[float, float]:
        """Positives and negatives. Half and half, the best case, where the spec does not say."""
        if self.positives > 0:
            return self.positives, max(self.rows - self.positives, self.positives)
        return self.rows / 2, self.rows / 2

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.positives} positive" if self.positives else f"{self.rows} rows"


def auc_variance(auc: float, positives: float, negatives: float) -> float:
    """Of one AUC: Hanley and McNeil (1982), formula 1, with their exponential scores."""
    both_above, both_below = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (both_above - auc * auc) + (negatives - 1) * (both_below - auc * auc)
    return max(spread, 0.0) / (positives * negatives)


def auc_gain_se(auc: float, positives: float, negatives: float, correlation: float) -> float:
    """Of the difference of two AUCs on the same rows: Hanley and McNeil (1983)."""
    return math.sqrt(2 * auc_variance(auc, positives, negatives) * (1 - correlation))


def accuracy_gain_se(rows: float, discordance: float) -> float:
    """Of the difference of two accuracies on the same rows, where there is none: McNemar's, as in Connor (1987)."""
    return math.sqrt(discordance / rows)


def detectable(se: float, confidence: float, power: float = POWER) -> float:
    """The distance from a gate's line at which it passes with this power."""
    return (normal_quantile(confidence) + normal_quantile(power)) * se


def passes(gain: float, line: float, se: float, confidence: float) -> float:
    """The probability that the lower bound of a true `gain` lies above `line`."""
    return normal((gain - line) / se - normal_quantile(confidence))


def estimates(spec: Spec) -> tuple[GateEstimate, ...]:
    """One for each relative gate whose metric is known; the whole spec must have the right shape, no more."""
    attempts = attempts_per_year(spec)
    metrics = {metric.name: metric for metric in spec.evaluation.metrics}
    return tuple(
        _estimate(spec, gate, metrics[gate.metric], attempts)
        for gate in spec.promotion.gates
        if gate.kind in RELATIVE and gate.metric in metrics and 0.5 < gate.confidence < 1
    )


def promotions_of_equals(spec: Spec, found: tuple[GateEstimate, ...]) -> float | None:
    """How many equally good models a year pass every gate, at most: as many as pass the strictest of them."""
    known = [item.promotions_of_equals_per_year for item in found]
    least = [number for number in known if number is not None]
    return min(least) if least and spec.mode != "observe" else None


def alpha_per_attempt(spec: Spec) -> float | None:
    """What `false_promotions` leaves each attempt, if the attempts that may come share it; None where nothing does."""
    attempts = attempts_that_share(spec)
    limit = spec.promotion.false_promotions
    return limit.max / attempts if limit is not None and attempts else None


def attempts_that_share(spec: Spec) -> float | None:
    """The most attempts within the time of `false_promotions`; None where it is not stated, or does not apply."""
    limit = spec.promotion.false_promotions
    if limit is None or not limit.per or spec.retraining.strategy == "incremental":
        return None
    return most_attempts_per_year(spec) * (limit.per / YEAR)


def confidence_of(spec: Spec, gate: Gate) -> float:
    """The gate's own, or the higher one that `false_promotions` asks for."""
    alpha = alpha_per_attempt(spec)
    return gate.confidence if alpha is None else max(gate.confidence, min(1 - alpha, _SUREST))


def volume_of(spec: Spec, gate: Gate) -> Volume | None:
    """The least that the gate may be judged on; None where the spec does not say."""
    if gate.kind == "forgetting":
        return None
    if gate.by is None:
        holdout = spec.retraining.holdout
        return _volume(holdout.min_rows, holdout.min_positives)
    part = next((item for item in spec.evaluation.slices if item.name == gate.by), None)
    return None if part is None else _volume(part.min_rows, part.min_positives)


def _volume(rows: int, positives: int) -> Volume:
    return Volume(min(max(rows, positives), _MANY), min(positives, _MANY))


def line_of(gate: Gate, level: float) -> float:
    """The gain that the gate's lower bound must reach."""
    if gate.kind == "min_gain":
        return gate.value or 0.0
    return -(gate.margin or 0.0) * (level if gate.relative else 1.0)


def said(estimate: GateEstimate) -> str:
    """One line for people: what the gate sees, and what it does with equals."""
    sees = "not estimated" if estimate.detectable is None else f"sees {estimate.detectable:.2g}"
    passing = "unknown" if estimate.passes_if_equal is None else _rounded(estimate.passes_if_equal)
    line = f"{estimate.gate}: {estimate.metric} {sees}; equally good models that pass: {passing}"
    if estimate.promotions_of_equals_per_year is not None:
        line += f", at most {estimate.promotions_of_equals_per_year:.2g} a year"
    return f"{line} ({'; '.join(estimate.assumptions)})"


def _estimate(spec: Spec, gate: Gate, metric: Metric, attempts: float | None) -> GateEstimate:
    confidence = confidence_of(spec, gate)
    level = level_of(spec, metric.name)
    volume = volume_of(spec, gate)
    usual, best, assumptions = _standard_errors(spec, metric, volume, level, attempts)
    line = line_of(gate, level)
    share = _share(spec, gate, line, usual, confidence)
    raised = f", raised from {_percent(gate.confidence)} by false_promotions" if confidence > gate.confidence else ""
    notes = [f"confidence {_percent(confidence)}{raised}", *assumptions]
    if spec.evaluation.unit and usual is not None:
        notes.append("rows as if each were a unit of its own, which is the best case")
    if gate.by is not None and usual is not None:
        notes.append("one slice alone; with more of them fewer pass")
    if gate.kind == "min_gain" and share is None:
        notes.append(f"no more than {_percent(1 - confidence)} of equals pass, as the value is above 0")
    return GateEstimate(
        gate=gate.name,
        metric=metric.name,
        detectable=None if usual is None else detectable(usual, confidence),
        passes_if_equal=share,
        attempts_per_year=attempts,
        promotions_of_equals_per_year=None if share is None or attempts is None else share * attempts,
        assumptions=tuple(notes),
        confidence=confidence,
        detectable_at_best=None if best is None else detectable(best, confidence),
        passes_at_best=_share(spec, gate, line, best, confidence),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.5g}%"


def _rounded(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.1 else f"{100 * share:.2g}%"


def _share(spec: Spec, gate: Gate, line: float, se: float | None, confidence: float) -> float | None:
    """Of equals that pass; without a standard error it is known only where the line is no gain at all."""
    if line == 0:
        share = 1 - confidence
    elif se is None:
        return None
    else:
        share = passes(0.0, line, se, confidence)
    # Half of all equals look better than the champion, and no other is promoted then.
    return min(share, 0.5) if spec.promotion.prefer == "champion" and gate.kind != "forgetting" else share


def level_of(spec: Spec, metric: str | None) -> float:
    """What the metric is assumed to be: a usual value, or the floor that a `range` gate sets."""
    floors = [gate.min for gate in spec.promotion.gates if gate.kind == "range" and gate.metric == metric]
    return max([_AUC, *(floor for floor in floors if floor is not None and floor < 0.99)])


def _standard_errors(
    spec: Spec, metric: Metric, volume: Volume | None, level: float, attempts: float | None
) -> tuple[float | None, float | None, tuple[str, ...]]:
    """As a rule and at best, and what they rest on. None for metrics without a formula, and without a volume."""
    if volume is None or volume.rows < 2:
        return None, None, ("the spec states no number of rows",)
    if metric.kind == "roc_auc":
        positives, negatives = volume.classes()
        correlation, reason = _correlation(spec, attempts)
        usual, best = (
            auc_gain_se(level, positives, negatives, value) for value in (correlation, max(correlation, _ALIKE))
        )
        half = "" if volume.positives else ", half of them positive"
        return usual, best, (f"{volume}{half}", f"AUC {level:g}", f"r = {correlation:.2g} {reason}")
    if metric.kind == "accuracy":
        usual, best = (accuracy_gain_se(volume.rows, share) for share in (_DISAGREE, _AGREE))
        return usual, best, (str(volume), f"one model alone right on {_DISAGREE:.0%} of them")
    return None, None, (_WITHOUT_FORMULA.get(metric.kind, "its spread is known from data only"),)


def _correlation(spec: Spec, attempts: float | None) -> tuple[float, str]:
    """Of the AUCs of a contender and its champion, and why."""
    if spec.retraining.strategy != "full":
        return _ALIKE, "as the contender starts from the champion"
    if not attempts:
        return _APART + _SHARED / 2, "as is usual between retrained models"
    # All rows since a fixed day: a year of them at least.
    window = spec.retraining.window or YEAR
    shared = 1 - min(YEAR / attempts / window, 1.0) if window > timedelta(0) else 0.0
    return min(_APART + _SHARED * shared, _MOST), f"as successive windows share {shared:.0%}"
