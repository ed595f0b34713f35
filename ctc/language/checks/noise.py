"""How far a drift number strays by chance alone, where nothing has drifted.

The baseline counts as known exactly, which is the kindest case: a baseline of few rows only adds noise. With B bins and
n rows, n times Pearson's statistic is chi-squared with B - 1 degrees of freedom; PSI is Pearson's statistic, and the
Jensen-Shannon divergence an eighth of it, up to terms of higher order (Lin 1991; Yurdakul 2018 for PSI). For the
distance of Kolmogorov and Smirnov it is Kolmogorov's distribution.
"""

from __future__ import annotations

import math

from ctc.language.units import share

BINS = 10
"""Deciles of the baseline: the bins of a numeric column."""

MEASURED = ("psi", "jensen_shannon", "ks")
"""The methods whose noise depends on nothing but the number of rows."""

AT_MOST_ONE = ("jensen_shannon", "ks", "l_infinity", "chi_square")
"""The methods whose number never exceeds 1."""


def crossing(method: str, line: float, rows: int) -> float:
    """The chance that one undrifted column of so many rows exceeds the line. `method` is one of MEASURED."""
    if method == "psi":
        return chi_square_tail(line * rows, BINS - 1)
    if method == "jensen_shannon":
        # The distance is the root of the divergence in bits.
        return chi_square_tail(8 * math.log(2) * line**2 * rows, BINS - 1)
    return _kolmogorov_tail(line * math.sqrt(rows))


def firing(one: float, columns: int, require: str | float) -> float:
    """The chance that a trigger on so many columns fires, where each alone exceeds its line with the chance `one`."""
    if require == "any":
        return 1 - (1 - one) ** columns
    if require == "all":
        return one**columns
    needed = max(1, math.ceil(share(require) * columns - 1e-9))
    return sum(
        math.comb(columns, count) * one**count * (1 - one) ** (columns - count) for count in range(needed, columns + 1)
    )


def chi_square_tail(value: float, degrees: int) -> float:
    """The chance that a chi-squared number of so many degrees of freedom exceeds the value."""
    if value <= 0:
        return 1.0
    half = value / 2
    order, tail = (0.5, math.erfc(math.sqrt(half))) if degrees % 2 else (1.0, math.exp(-half))
    while order < degrees / 2:
        tail += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
        order += 1
    return min(tail, 1.0)


def _kolmogorov_tail(value: float) -> float:
    # The series is 1 to six digits below this, where it converges slowly.
    if value < 0.3:
        return 1.0
    signs = (1.0, -1.0) * 10
    return min(1.0, 2 * sum(sign * math.exp(-2 * (term * value) ** 2) for term, sign in enumerate(signs, 1)))
