"""The line of a drift trigger that asks for a number of false alarms instead of a line.

`false_alarms: {max, per}`: with E evaluations in `per`, at most `max` of them may be over the line where nothing has
changed, so one may with the chance max / E. Expectations add up whether windows overlap or not. Of k columns of which
j must drift, each gets j / k of that chance, which holds however the columns depend on each other (Markov; for `any` it
is Bonferroni's). `sustained` only makes alarms rarer and is left out.

The line is the quantile of the number between two samples of the baseline's own profile, of the sizes of baseline and
window: SAMPLES seeded draws. Numbers on bins draw both rows of counts. `ks` and `wasserstein` draw one sample of the
effective size n m / (n + m), of LARGEST rows at most, beyond which they fall with the root of the size (Kolmogorov
1933; del Barrio, Gine and Matran 1999). Where the chance is too small to be seen in the draws, the tail beyond the
highest ones is taken as exponential, which is heavier than that of any of these numbers, so that the line errs upwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ctc.policy import drift
from ctc.policy.profile import Categorical, Column, Counts, Floats, Numeric
from ctc.policy.statistics import NotEvaluable

SAMPLES = 4000
LARGEST = 1000
TAIL = 200
"""So many of the highest draws tell how the tail goes on."""

_SEED = 20240101


def chance(section: Mapping[str, Any], every: float, columns: int, needed: int) -> float:
    """How often one column may be over its line at one evaluation. `every`: seconds between evaluations."""
    evaluations = max(float(section["per"]) / every, 1.0)
    return min(float(section["max"]) / evaluations * needed / columns, 0.5)


def needed(require: str | float, columns: int) -> int:
    """How many columns must drift: `any` is one, `all` is all, a share is rounded up."""
    if require == "any":
        return 1
    if require == "all":
        return columns
    return max(1, math.ceil(float(require) * columns - 1e-9))


def line(method: str, baseline: Column, current: int, one: float) -> float:
    """The number that a window of `current` undrifted rows exceeds with a chance of at most `one`.

    `current` is taken down to three binary digits, so that windows of about one size have one line. NotEvaluable where
    the baseline has no such number.
    """
    rows = rounded(current)
    if method in drift.BINNED:
        return _quantile(_binned(method, baseline, rows), one)
    if not isinstance(baseline, Numeric):
        raise NotEvaluable(f"{method} needs numbers, and the baseline is {baseline.kind}")
    size = baseline.present * rows / (baseline.present + rows)
    drawn = max(1, min(int(size), LARGEST))
    scale = math.sqrt(drawn / size)
    if method == "wasserstein":
        scale /= max(drift.deviation(baseline), drift.LEAST_DEVIATION)
    return scale * _quantile(_ordered(method, baseline, drawn), one)


def _binned(method: str, baseline: Column, rows: int) -> Floats:
    """The number between two samples of the baseline, in the baseline's own bins."""
    draw = np.random.default_rng(_SEED)
    number = _NUMBERS[method]
    counts = _bins(baseline)
    shares = counts / counts.sum()
    # Drawn in parts: a thousand bins times all samples would take the memory of a small machine.
    found = np.empty(SAMPLES)
    for start in range(0, SAMPLES, 500):
        ours = draw.multinomial(baseline.rows, shares, size=500)
        theirs = draw.multinomial(rows, shares, size=500)
        found[start : start + 500] = [number(p, q) for p, q in zip(ours, theirs, strict=True)]
    return found


def _bins(baseline: Column) -> Counts:
    if isinstance(baseline, Categorical):
        counts = [*baseline.counts.values(), baseline.other, baseline.missing]
    else:
        counts = [*drift.numeric_counts(baseline, drift.decile_edges(baseline)).tolist(), baseline.missing]
    return np.array([count for count in counts if count], dtype=np.int64)


def _cramers_v(ours: Counts, theirs: Counts) -> float:
    return drift.cramers_v(drift.chi_square(ours, theirs)[0], int(ours.sum() + theirs.sum()))


_NUMBERS: dict[str, Callable[[Counts, Counts], float]] = {
    "psi": drift.psi,
    "jensen_shannon": drift.jensen_shannon,
    "l_infinity": drift.l_infinity,
    "chi_square": _cramers_v,
}


def _ordered(method: str, baseline: Numeric, rows: int) -> Floats:
    """The number between a sample of the baseline and the baseline itself."""
    if method == "wasserstein" and not np.isfinite(baseline.values).all():
        raise NotEvaluable("a value of the baseline is infinite, and so is the distance")
    draw = np.random.default_rng(_SEED)
    truth = baseline.upto / baseline.present
    widths = np.append(np.diff(baseline.values), 0.0)
    found = np.empty(SAMPLES)
    for index in range(SAMPLES):
        places = np.searchsorted(truth, draw.random(rows), side="left")
        sample = np.cumsum(np.bincount(places, minlength=len(truth))) / rows
        gaps = np.abs(sample - truth)
        found[index] = gaps.max() if method == "ks" else float(np.dot(gaps, widths))
    return found


def _quantile(drawn: Floats, one: float) -> float:
    """The value that is exceeded with the chance `one`; beyond the draws by the mean excess of the highest."""
    ordered = np.sort(drawn)
    expected = one * len(ordered)
    if expected >= TAIL:
        return float(ordered[len(ordered) - 1 - math.floor(expected)])
    start = float(ordered[-TAIL - 1])
    excess = float(np.mean(ordered[-TAIL:] - start))
    return start + excess * math.log(TAIL / expected)


def rounded(rows: int) -> int:
    """A number of rows taken down to three binary digits: windows of about one size have one line."""
    step = 1 << max(0, rows.bit_length() - 3)
    return max(1, rows // step * step)
