"""McNemar's test against statsmodels and the vectors, Tango's bound against the likelihood that it maximises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar

from ctc.policy.proportions import PairedShares

COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200)).filter(sum)


@given(COUNTS)
def test_mcnemar_is_statsmodels(counts: tuple[int, int, int]) -> None:
    b, c, agree = counts
    found = PairedShares(b + c + agree, b, c)
    table = [[agree, c], [b, 0]]
    if b + c == 0:
        assert found.mcnemar() == found.mcnemar(exact=True) == 1.0
        return
    assert found.mcnemar() == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue, rel=1e-9, abs=1e-15)
    # statsmodels corrects a difference of 0 too, to below 0, and squares it.
    if b != c:
        expected = mcnemar(table, exact=False, correction=True).pvalue
        assert found.mcnemar(corrected=True) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert found.mcnemar(exact=True) == pytest.approx(min(1.0, mcnemar(table, exact=True).pvalue), rel=1e-9)


def test_mcnemar_equals_the_vectors(oracles: Path) -> None:
    vectors = json.loads((oracles / "promotion" / "vectors.json").read_text())
    found = PairedShares(101 + 121 + 59 + 33, 121, 59)
    for exact, corrected in ((False, True), (False, False), (True, False)):
        expected = vectors[f"mcnemar [[101,121],[59,33]] exact={exact} corrected={corrected}"]["statsmodels"][1]
        assert found.mcnemar(exact=exact, corrected=corrected) == pytest.approx(expected, rel=1e-12)
    paired = vectors["paired_scores.csv mcnemar@0.5 rows=champion ok/not, cols=contender ok/not"]
    (right, lost), (won, wrong) = paired["table"]
    found = PairedShares(right + lost + won + wrong, won, lost)
    assert found.gain == pytest.approx(paired["acc_cont"] - paired["acc_champ"], abs=1e-12)
    assert found.mcnemar(exact=True) == pytest.approx(paired["exact_p"], rel=1e-9)


@settings(deadline=None)
@given(COUNTS, st.sampled_from([0.9, 0.95, 0.975, 0.999]))
def test_the_bound_agrees_with_mcnemar(counts: tuple[int, int, int], confidence: float) -> None:
    b, c, agree = counts
    found = PairedShares(b + c + agree, b, c)
    lower = found.lower(confidence)
    assert -1 <= lower <= found.gain
    significant = b > c and (b - c) / math.sqrt(b + c) > norm.ppf(confidence)
    assert (lower > 1e-12) == significant


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 100)), st.floats(-0.6, 0.6))
def test_the_score_is_of_the_likeliest_shares(counts: tuple[int, int, int], gain: float) -> None:
    b, c, agree = counts
    n = b + c + agree
    low, high = max(0.0, -gain) + 1e-12, min(1.0, (1 - gain) / 2) - 1e-12

    def unlikely(share: float) -> float:
        rest = 1 - 2 * share - gain
        return -(b * math.log(share + gain) + c * math.log(share) + agree * math.log(max(rest, 1e-300)))

    share = minimize_scalar(unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    expected = (b - c - n * gain) / math.sqrt(n * (2 * share + gain - gain**2))
    assert PairedShares(n, b, c).score(gain) == pytest.approx(expected, rel=2e-4, abs=2e-4)


def test_models_that_agree_everywhere_still_have_a_bound() -> None:
    z = norm.ppf(0.975)
    assert PairedShares(100, 0, 0).lower(0.975) == pytest.approx(-(z**2) / (100 + z**2), abs=1e-9)


def test_the_bound_covers() -> None:
    draw = np.random.default_rng(7)
    shares, missed, trials = (0.06, 0.05), 0, 2000
    for _ in range(trials):
        b, c, _ = draw.multinomial(400, [*shares, 1 - sum(shares)])
        missed += PairedShares(400, int(b), int(c)).lower(0.95) > shares[0] - shares[1]
    # Within three standard errors of 5 %.
    assert abs(missed / trials - 0.05) < 3 * math.sqrt(0.05 * 0.95 / trials)
