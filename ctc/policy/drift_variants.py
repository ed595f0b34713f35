"""The drift numbers of other tools, where they differ from ours: what a monitor of a platform reports for one line.

Each function names the tool whose definition it is, in the version that the tests' vectors were made with. Numeric
columns are arrays without missing values; categorical ones are counts of the same categories in the same order.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ctc.language.checks.noise import chi_square_tail

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

ROBUST = 1.8
"""Deequ's constant of the robust L-infinity distance, for a level of 0.003."""


def sturges_bins(reference: Floats, current: Floats) -> tuple[Counts, Counts]:
    """Evidently's bins: Sturges' rule on both samples pooled."""
    edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
    return np.histogram(reference, edges)[0], np.histogram(current, edges)[0]


def smaller_bins(reference: Floats, current: Floats) -> tuple[Counts, Counts]:
    """Azure ML's bins: Sturges' number for the smaller sample, of equal width on the range of both."""
    bins = math.ceil(math.log2(min(len(reference), len(current))) + 1)
    low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
    edges = np.linspace(low, high, bins + 1)
    return np.histogram(reference, edges)[0], np.histogram(current, edges)[0]


def doane_bins(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """NannyML's bins: Doane's rule on the reference, and one for what lies outside. Shares, not counts."""
    edges = np.histogram_bin_edges(reference, bins="doane")
    inside = [np.histogram(sample, edges)[0] / len(sample) for sample in (reference, current)]
    ours, theirs = (np.append(shares, max(0.0, 1 - shares.sum())) for shares in inside)
    return ours, theirs


def evidently_psi(reference: Counts, current: Counts) -> float:
    """PSI where an empty bin gets 1e-4, or a millionth of the smallest share if that is no larger."""
    p, q = _filled(reference / reference.sum()), _filled(current / current.sum())
    return _psi(p, q)


def azure_psi(reference: Counts, current: Counts) -> float:
    """PSI with one row added to each bin."""
    return _psi(_laplace(reference), _laplace(current))


def azure_older_psi(reference: Counts, current: Counts) -> float:
    """PSI with one row added to each bin and none to the sum, as Azure ML had it earlier."""
    return _psi((reference + 1) / reference.sum(), (current + 1) / current.sum())


def jensen_shannon_distance(reference: NDArray[np.generic], current: NDArray[np.generic], base: float) -> float:
    """The root of the divergence of two rows of counts or shares: base 2 (NannyML, Azure ML) or e (Evidently)."""
    return math.sqrt(max(0.0, _divergence(_normalised(reference), _normalised(current)) / math.log(base)))


def jensen_shannon_divergence(reference: NDArray[np.generic], current: NDArray[np.generic]) -> float:
    """The divergence in bits, without a root: TFDV, and Vertex AI through it."""
    return _divergence(_normalised(reference), _normalised(current)) / math.log(2)


def tfdv_bins(reference: Floats, current: Floats, bins: int = 10) -> tuple[Floats, Floats]:
    """TFDV's bins: equal widths on each sample's own range, both spread evenly over the edges of the two."""
    histograms = [np.histogram(sample, bins) for sample in (reference, current)]
    edges = np.union1d(histograms[0][1], histograms[1][1])
    ours, theirs = (_spread(counts, own, edges) for counts, own in histograms)
    return ours, theirs


def robust_l_infinity(largest: float, reference_rows: int, current_rows: int) -> float:
    """Deequ's and SageMaker's Robust: what is left of a largest difference after what the sample sizes explain."""
    return max(0.0, largest - ROBUST * math.sqrt((reference_rows + current_rows) / (reference_rows * current_rows)))


def goodness_of_fit(reference: Counts, current: Counts) -> float:
    """Evidently's and Azure ML's p-value: the current counts against the shares of the reference; 0 for a new value."""
    expected = reference / reference.sum() * current.sum()
    if np.any((expected == 0) & (current > 0)):
        return 0.0
    used = expected > 0
    statistic = float(np.sum((current[used] - expected[used]) ** 2 / expected[used]))
    return chi_square_tail(statistic, int(used.sum()) - 1)


def ks_p_value(statistic: float, reference_rows: int, current_rows: int) -> float:
    """The exact two-sided p-value of the two-sample KS statistic (Hodges 1958), as scipy has it to 10,000 rows.

    Lattice paths: the chance that a path to each point has left the band of the statistic, one antidiagonal at a time.
    """
    m, n = reference_rows, current_rows
    shared = math.gcd(m, n)
    reach = round(statistic * (m // shared) * n)
    if reach == 0:
        return 1.0
    outside = np.zeros(1)
    first = 0
    for length in range(1, m + n + 1):
        low, high = max(0, length - n), min(length, m)
        i = np.arange(low, high + 1)
        j = length - i
        padded = np.concatenate([[0.0], outside, [0.0]])
        left, below = padded[i - first], padded[i - first + 1]
        outside = (i * left + j * below) / length
        outside[np.abs(i * (n // shared) - j * (m // shared)) >= reach] = 1.0
        first = low
    return float(outside[0])


def _filled(shares: Floats) -> Floats:
    smallest = float(shares[shares > 0].min())
    filled: Floats = np.where(shares == 0, smallest / 1e6 if smallest <= 1e-4 else 1e-4, shares)
    return filled


def _laplace(counts: Counts) -> Floats:
    shares: Floats = (counts + 1) / (counts.sum() + len(counts))
    return shares


def _psi(p: Floats, q: Floats) -> float:
    return float(np.sum((q - p) * np.log(q / p)))


def _normalised(counts: NDArray[np.generic]) -> Floats:
    numbers = counts.astype(np.float64)
    shares: Floats = numbers / numbers.sum()
    return shares


def _divergence(p: Floats, q: Floats) -> float:
    middle = (p + q) / 2
    entropies = [float(np.sum(side[side > 0] * np.log(side[side > 0] / middle[side > 0]))) for side in (p, q)]
    return sum(entropies) / 2


def _spread(counts: Counts, own: Floats, edges: Floats) -> Floats:
    """Rows of each of the finer bins, those of one bin shared out by width."""
    below = np.interp(edges, own, np.concatenate([[0], np.cumsum(counts)]), left=0.0, right=float(counts.sum()))
    rows: Floats = np.diff(below)
    return rows
