"""Quantiles of the times in which a server answered, and how high they may really be.

A request that was not answered well counts as one that never ends. The upper bound of a quantile is an order statistic,
which asks nothing of the distribution: of `n` answers the `k`-th smallest is at or above the quantile `q` with the
probability that at most `k - 1` of `n` draws fall below it, a binomial one (David and Nagaraja, Order Statistics, 3rd
edition, section 7.1). It takes answers as independent of each other; a server under load has slow stretches, so the
true confidence is somewhat lower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantile:
    """Seconds; infinite where the request at this place was not answered. `upper` None: too few for the confidence."""

    value: float
    upper: float | None
    needed: int


def quantile(seconds: Sequence[float], failed: int, q: float, confidence: float) -> Quantile:
    """The `q` quantile (the `ceil(q n)`-th smallest) of `n` requests, of which `failed` were not answered well.

    `q` and the one-sided `confidence` lie between 0 and 1. ValueError without any request.
    """
    ordered = [*sorted(seconds), *[math.inf] * failed]
    n = len(ordered)
    if not n:
        raise ValueError("there is no request to take a quantile of")
    place = max(math.ceil(q * n - 1e-9), 1)
    needed = math.ceil(math.log(1 - confidence) / math.log(q) - 1e-9)
    rank = _rank(n, q, confidence)
    return Quantile(ordered[place - 1], None if rank is None else ordered[rank - 1], needed)


def _rank(n: int, q: float, confidence: float) -> int | None:
    """The smallest `k` with P(Binomial(n, q) <= k - 1) >= `confidence`; None if there is none up to `n`."""
    below = 0.0
    for k in range(1, n + 1):
        below += math.exp(_log_mass(k - 1, n, q))
        if below >= confidence:
            return k
    return None


def _log_mass(k: int, n: int, q: float) -> float:
    choices = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return choices + k * math.log(q) + (n - k) * math.log1p(-q)
