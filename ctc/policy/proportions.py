"""Two models' shares of right answers on the same rows: McNemar's test and the bound that agrees with it.

`only_contender` counts the rows that only the contender gets right, `only_champion` those that only the champion does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_HALVINGS = 100
"""Of an interval two wide: to the last digit of a float."""


@dataclass(frozen=True)
class PairedShares:
    """Right answers of two models on `n` rows, of which they disagree on `only_contender + only_champion`."""

    n: int
    only_contender: int
    only_champion: int

    @property
    def gain(self) -> float:
        """Contender's share less champion's."""
        return (self.only_contender - self.only_champion) / self.n

    @property
    def se(self) -> float:
        """The standard error of `gain`, from the observed shares (Wald)."""
        apart = self.only_contender + self.only_champion
        return math.sqrt(max(apart - self.n * self.gain**2, 0.0)) / self.n

    def score(self, gain: float) -> float:
        """Tango (1998), Statistics in Medicine 17: the z of the score test that the true gain is `gain`, in (-1, 1).

        At 0 it is McNemar's, `(b - c) / sqrt(b + c)`; 0 where nothing speaks against `gain`.
        """
        n, b, c = self.n, self.only_contender, self.only_champion
        linear = -b - c + (2 * n - b + c) * gain
        root = math.sqrt(max(linear**2 + 8 * n * c * gain * (1 - gain), 0.0))
        # The larger root of the quadratic, without the cancellation where `linear` is positive.
        other = -c * gain * (1 - gain)
        share = (root - linear) / (4 * n) if linear <= 0 else (-2 * other / (root + linear) if root + linear else 0.0)
        variance = n * (2 * share + gain * (1 - gain))
        distance = b - c - n * gain
        if distance == 0:
            return 0.0
        return math.copysign(math.inf, distance) if variance <= 0 else distance / math.sqrt(variance)

    def lower(self, confidence: float) -> float:
        """The one-sided lower bound of the gain: where Tango's score test stops rejecting at 1 - `confidence`.

        It is above 0 exactly where McNemar's test without correction says so at that level.
        """
        wanted = NormalDist().inv_cdf(confidence)
        low, high = -1.0, self.gain
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.score(middle) > wanted else (low, middle)
        return low

    def p(self, gain: float) -> float:
        """One-sided, of the hypothesis that the true gain is at most `gain`."""
        return 1.0 if gain >= 1 else 0.0 if gain <= -1 else 1 - NormalDist().cdf(self.score(gain))

    def mcnemar(self, *, exact: bool = False, corrected: bool = False) -> float:
        """McNemar's two-sided p: by chi-square, with Edwards' correction if `corrected`, or of the exact binomial."""
        b, c = self.only_contender, self.only_champion
        apart = b + c
        if apart == 0:
            return 1.0
        if exact:
            # Each term from the one before it, in logarithms: the binomials themselves outgrow any number.
            term = math.lgamma(apart + 1) - math.lgamma(min(b, c) + 1) - math.lgamma(max(b, c) + 1)
            total, share = 0.0, 1.0
            for k in range(min(b, c), -1, -1):
                total += share
                share *= k / (apart - k + 1)
                if share < 1e-17 * total:
                    break
            return min(1.0, 2 * total * math.exp(term - apart * math.log(2)))
        statistic = max(abs(b - c) - corrected, 0) ** 2 / apart
        return math.erfc(math.sqrt(statistic / 2))
