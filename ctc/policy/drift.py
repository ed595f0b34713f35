"""How far a column has moved from its baseline: one number for each method, larger the farther, 0 where nothing moved.

A line is left when the number is above it. Definitions, all on two profiles:

- Bins. Of numbers: the deciles of the baseline (linear interpolation, as `numpy.quantile`), `[a, b)`, open at both
  ends. A value on which two or more deciles fall is a bin of its own, so that a column of few values, or of many zeros,
  is seen as what it is. Otherwise: every value; those that one of the two profiles does not tell apart are one bin.
  Missing values are a bin, if there are any.
- `psi`: sum of (p - q) ln(p / q); a share below 1e-4 counts as 1e-4, and nothing is scaled back (Siddiqi 2006).
- `jensen_shannon`: the distance, root of the divergence in bits, 0 to 1. scipy `jensenshannon(base=2)`.
- `l_infinity`: the largest |p - q| of a bin, 0 to 1.
- `chi_square`: Cramer's V of the two rows of counts, root of chi-square / n, 0 to 1. The p-value would fall with drift,
  and the statistic grow with the rows alone; V does neither, so that one line holds for any size. Statistic, degrees of
  freedom and p-value (without Yates' correction, scipy `chi2_contingency`) stand beside it.
- `ks`: the statistic D, 0 to 1. scipy `ks_2samp`. Of the values that are there; numbers only.
- `wasserstein`: the distance of order 1 in standard deviations (with n - 1) of the baseline, which count as at least
  1e-3. scipy `wasserstein_distance`. Of the values that are there; numbers only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctc.language.checks.noise import chi_square_tail
from ctc.policy.profile import Categorical, Column, Counts, Floats, Numeric
from ctc.policy.statistics import NotEvaluable

FLOOR = 1e-4
"""What a smaller share of a bin counts as in PSI."""

LEAST_DEVIATION = 1e-3
"""What a smaller standard deviation counts as in the Wasserstein distance."""

DECILES = np.arange(1, 10) / 10

BINNED = ("psi", "jensen_shannon", "l_infinity", "chi_square")
"""The methods that compare shares of bins, and so judge columns of any kind."""


@dataclass(frozen=True)
class Distance:
    """`value` is the number that is judged; `baseline` and `current` are the rows that it was judged on."""

    value: float
    baseline: int
    current: int
    numbers: Mapping[str, Any] = field(default_factory=dict)


def distance(method: str, baseline: Column, current: Column, min_rows: int = 1) -> Distance:
    """The number of one column. NotEvaluable where it has none: too few rows, another kind, no finite deviation."""
    if baseline.kind != current.kind:
        raise NotEvaluable(f"it is {current.kind} now, and {baseline.kind} in the baseline")
    binned = method in BINNED
    sizes = (baseline.rows, current.rows) if binned else (baseline.present, current.present)
    least = max(min_rows, 1)
    for where, size in zip(("the baseline", "the window"), sizes, strict=True):
        if size < least:
            raise NotEvaluable(f"{size} rows in {where}; at least {least} are asked for")
    value, numbers = _binned(method, baseline, current) if binned else _ordered(method, baseline, current)
    missing = {"missing_baseline": baseline.missing / baseline.rows, "missing": current.missing / current.rows}
    return Distance(value, *sizes, {**numbers, **missing})


def bin_counts(baseline: Column, current: Column) -> tuple[Counts, Counts]:
    """Rows of both in the same bins; bins that are empty on both sides are left out."""
    if isinstance(baseline, Numeric) and isinstance(current, Numeric):
        edges = decile_edges(baseline)
        ours, theirs = numeric_counts(baseline, edges), numeric_counts(current, edges)
    elif isinstance(baseline, Categorical) and isinstance(current, Categorical):
        ours, theirs = _category_counts(baseline, current)
    else:
        raise NotEvaluable(f"it is {current.kind} now, and {baseline.kind} in the baseline")
    ours, theirs = np.append(ours, baseline.missing), np.append(theirs, current.missing)
    used = (ours + theirs) > 0
    return ours[used], theirs[used]


def decile_edges(baseline: Numeric) -> Floats:
    """The cuts of the bins: deciles; one on which several fall stands twice, as `[value, value]`."""
    if baseline.present == 0:
        raise NotEvaluable("the baseline has no value, so no deciles")
    deciles, counts = np.unique(_quantiles(baseline, DECILES), return_counts=True)
    edges: Floats = np.repeat(deciles, np.minimum(counts, 2))
    return edges


def numeric_counts(column: Numeric, edges: Floats) -> Counts:
    """Rows of each bin, one more than edges. A bin ends before its edge; between equal edges is that value alone."""
    second = np.append(False, edges[1:] == edges[:-1])
    below = _rows_below(column, edges, inclusive=second)
    return np.diff(np.concatenate([[0], below, [column.present]])).astype(np.int64)


def psi(ours: Counts, theirs: Counts) -> float:
    """Population stability index of two rows of counts."""
    p, q = np.maximum(_shares(ours), FLOOR), np.maximum(_shares(theirs), FLOOR)
    return float(np.sum((p - q) * np.log(p / q)))


def jensen_shannon(ours: Counts, theirs: Counts) -> float:
    """Jensen-Shannon distance of two rows of counts, base 2."""
    p, q = _shares(ours), _shares(theirs)
    middle = (p + q) / 2
    return math.sqrt(max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2))


def l_infinity(ours: Counts, theirs: Counts) -> float:
    """The largest difference of the shares of one bin."""
    return float(np.max(np.abs(_shares(ours) - _shares(theirs))))


def chi_square(ours: Counts, theirs: Counts) -> tuple[float, int]:
    """Pearson's statistic of the contingency table of two rows of counts, and its degrees of freedom."""
    table = np.array([ours, theirs], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(np.sum((table - expected) ** 2 / expected)), table.shape[1] - 1


def ks(baseline: Numeric, current: Numeric) -> float:
    """The largest difference of the two empirical distributions."""
    _, ours, theirs = _distributions(baseline, current)
    return float(np.max(np.abs(ours - theirs)))


def wasserstein(baseline: Numeric, current: Numeric) -> float:
    """The area between the two empirical distributions, in the column's unit. NotEvaluable with an infinite value."""
    points, ours, theirs = _distributions(baseline, current)
    if not np.isfinite(points).all():
        raise NotEvaluable("a value is infinite, and so is the distance")
    return float(np.sum(np.abs(ours - theirs)[:-1] * np.diff(points)))


def _binned(method: str, baseline: Column, current: Column) -> tuple[float, dict[str, Any]]:
    ours, theirs = bin_counts(baseline, current)
    numbers: dict[str, Any] = {"bins": len(ours)}
    if method == "psi":
        return psi(ours, theirs), numbers
    if method == "jensen_shannon":
        return jensen_shannon(ours, theirs), numbers
    if method == "l_infinity":
        return l_infinity(ours, theirs), numbers
    statistic, degrees = chi_square(ours, theirs)
    p_value = chi_square_tail(statistic, degrees) if degrees else 1.0
    numbers |= {"statistic": statistic, "degrees": degrees, "p_value": p_value}
    return cramers_v(statistic, int(ours.sum() + theirs.sum())), numbers


def cramers_v(statistic: float, rows: int) -> float:
    """Cramer's V of a table of two rows."""
    return math.sqrt(statistic / rows)


def _ordered(method: str, baseline: Column, current: Column) -> tuple[float, dict[str, Any]]:
    if not (isinstance(baseline, Numeric) and isinstance(current, Numeric)):
        raise NotEvaluable(f"{method} needs numbers, and it is {current.kind}; psi or jensen_shannon judge any column")
    if method == "ks":
        return ks(baseline, current), {}
    if method == "wasserstein":
        raw = wasserstein(baseline, current)
        return raw / max(deviation(baseline), LEAST_DEVIATION), {"distance": raw, "std": baseline.std}
    raise ValueError(f"unknown drift method {method!r} in the step document")


def deviation(baseline: Numeric) -> float:
    """The baseline's standard deviation; NotEvaluable where one row or an infinite value leaves it none."""
    if baseline.std is None or not math.isfinite(baseline.std):
        raise NotEvaluable("the baseline has no standard deviation")
    return baseline.std


def _quantiles(column: Numeric, shares: Floats) -> Floats:
    """Linear interpolation between the order statistics, with the arithmetic of `numpy.quantile`."""
    places = shares * (column.present - 1)
    below = np.floor(places).astype(np.int64)
    fraction = places - below
    above = np.minimum(below + 1, column.present - 1)
    low, high = (column.values[np.searchsorted(column.upto, place, side="right")] for place in (below, above))
    # Between an infinite value and another nothing can be interpolated: the later one is taken.
    finite = np.isfinite(low) & np.isfinite(high)
    gap = np.subtract(high, low, out=np.zeros_like(low), where=finite)
    steps = np.where(fraction >= 0.5, high - np.where(finite, gap * (1 - fraction), 0.0), low + gap * fraction)
    return np.where(finite | (fraction == 0), np.where(fraction == 0, low, steps), high)


def _rows_below(column: Numeric, edges: Floats, inclusive: Any) -> Counts:
    """Rows below each edge, or at or below it where `inclusive`."""
    upto = np.concatenate([[0], column.upto])
    strict = upto[np.searchsorted(column.values, edges, side="left")]
    loose = upto[np.searchsorted(column.values, edges, side="right")]
    return np.where(inclusive, loose, strict).astype(np.int64)


def _category_counts(baseline: Categorical, current: Categorical) -> tuple[Counts, Counts]:
    """A value is a bin of its own if either profile would tell how many rows have it; the rest is one bin."""
    names = sorted(
        name
        for name in {*baseline.counts, *current.counts}
        if all(name in side.counts or side.other == 0 for side in (baseline, current))
    )
    ours, theirs = ([side.counts.get(name, 0) for name in names] for side in (baseline, current))
    rest = [side.present - sum(kept) for side, kept in ((baseline, ours), (current, theirs))]
    return np.array([*ours, rest[0]], dtype=np.int64), np.array([*theirs, rest[1]], dtype=np.int64)


def _distributions(baseline: Numeric, current: Numeric) -> tuple[Floats, Floats, Floats]:
    """All values of both, and the share of each side's rows at or below them."""
    points = np.union1d(baseline.values, current.values)
    ours, theirs = (_rows_below(side, points, inclusive=True) / side.present for side in (baseline, current))
    return points, ours, theirs


def _shares(counts: Counts) -> Floats:
    shares: Floats = counts / counts.sum()
    return shares


def _relative_entropy(p: Floats, q: Floats) -> float:
    used = p > 0
    return float(np.sum(p[used] * np.log2(p[used] / q[used])))
