"""The formulas behind the estimates, against simulation, statsmodels and published numbers."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import yaml
from changed_spec import MINIMAL, merge

from ctc.language import power
from ctc.language.spec import Spec
from ctc.language.typed import spec_from
from ctc.policy import statistics

SEED = 20240607


def spec_of(*changes: str) -> Spec:
    tree: dict[str, Any] = yaml.safe_load(MINIMAL.read_text())
    for change in changes:
        merge(tree, yaml.safe_load(change))
    return spec_from(tree, "default")


def only(*changes: str) -> power.GateEstimate:
    [estimate] = power.estimates(spec_of(*changes))
    return estimate


@pytest.mark.parametrize("probability", [1e-9, 0.01, 0.2, 0.5, 0.8, 0.95, 0.975, 1 - 1e-9])
def test_the_normal_distribution_is_the_usual_one(probability: float) -> None:
    assert power.normal_quantile(probability) == pytest.approx(NormalDist().inv_cdf(probability), rel=1e-7, abs=1e-12)
    assert power.normal(power.normal_quantile(probability)) == pytest.approx(probability, rel=1e-9)


@pytest.mark.parametrize(("auc", "positives", "negatives"), [(0.75, 40, 60), (0.9, 20, 200), (0.6, 100, 30)])
def test_the_variance_of_an_auc_is_that_of_exponential_scores(auc: float, positives: int, negatives: int) -> None:
    """For which Hanley and McNeil's formula is exact. 4000 draws know a variance to 2.2 % (one standard error)."""
    draw = np.random.default_rng(SEED)
    scale = auc / (1 - auc)
    labels = np.repeat([1.0, 0.0], [positives, negatives])
    values = [
        statistics.auc(labels, np.concatenate([draw.exponential(scale, positives), draw.exponential(1.0, negatives)]))
        for _ in range(4000)
    ]

    assert np.mean(values) == pytest.approx(auc, abs=0.005)
    assert np.var(values) == pytest.approx(power.auc_variance(auc, positives, negatives), rel=0.1)


@pytest.mark.parametrize(
    ("discordance", "difference", "rows"), [(0.10, 0.02, 1960), (0.10, 0.01, 7847), (0.05, 0.01, 3923)]
)
def test_the_detectable_difference_of_accuracies_is_that_of_connor(
    discordance: float, difference: float, rows: int
) -> None:
    """Connor (1987), tables of sample sizes for McNemar's test, 80 % power; his second variance is slightly smaller."""
    seen = power.detectable(power.accuracy_gain_se(rows, discordance), 0.975)

    assert seen == pytest.approx(difference, rel=0.005)


@pytest.mark.parametrize("gain", [0.0, 0.01, -0.02])
@pytest.mark.parametrize("line", [0.0, -0.01, 0.005])
@pytest.mark.parametrize("confidence", [0.9, 0.975])
def test_the_probability_to_pass_is_that_of_statsmodels(gain: float, line: float, confidence: float) -> None:
    from statsmodels.stats.power import normal_power

    se = 0.006
    theirs = normal_power(gain - line, nobs=1, alpha=1 - confidence, alternative="larger", sigma=se)

    assert power.passes(gain, line, se, confidence) == pytest.approx(float(theirs), abs=1e-12)


def test_the_detectable_difference_is_that_of_statsmodels() -> None:
    from statsmodels.stats.power import normal_sample_size_one_tail

    rows = normal_sample_size_one_tail(diff=0.01, power=0.8, alpha=0.025, std_null=0.3, std_alternative=0.3)

    assert power.detectable(0.3 / rows**0.5, 0.975) == pytest.approx(0.01, rel=1e-9)
    assert power.passes(0.01, 0.0, 0.3 / rows**0.5, 0.975) == pytest.approx(0.8, abs=1e-9)


@pytest.mark.parametrize(("margin", "confidence"), [(0.0, 0.95), (0.02, 0.95), (0.04, 0.975)])
def test_equals_pass_as_often_as_the_estimate_says(margin: float, confidence: float) -> None:
    """Equal models on 400 rows, judged by the gate's own DeLong test. 600 draws know a share to 0.02 (one s. e.)."""
    draw, rounds, half = np.random.default_rng(SEED), 600, 200
    labels = np.repeat([1.0, 0.0], half)
    passed, pairs = 0, []
    for _ in range(rounds):
        shared = draw.normal(labels, 1.0)
        ours, theirs = (shared + 0.5 * draw.normal(size=2 * half) for _ in range(2))
        found = statistics.delong(labels, ours, theirs)
        passed += statistics.lower_bound(found.gain, found.se, confidence) >= -margin
        pairs.append((found.contender, found.champion))
    correlation = float(np.corrcoef(np.array(pairs).T)[0, 1])
    se = power.auc_gain_se(float(np.mean(pairs)), half, half, correlation)

    assert passed / rounds == pytest.approx(power.passes(0.0, -margin, se, confidence), abs=0.07)


def test_an_estimate_rests_on_what_the_spec_states() -> None:
    """60 days and a run a week share 88 %; the correlation is 0.6 + 0.4 * 0.88."""
    estimate = only()
    se = power.auc_gain_se(0.75, 1000, 1000, 0.6 + 0.4 * (1 - 365 / 52 / 60))

    assert estimate.attempts_per_year == 52
    assert estimate.detectable == pytest.approx(power.detectable(se, 0.975))
    assert estimate.passes_if_equal == pytest.approx(power.passes(0.0, -0.01, se, 0.975))
    assert estimate.promotions_of_equals_per_year == pytest.approx(52 * power.passes(0.0, -0.01, se, 0.975))
    assert estimate.assumptions == (
        "confidence 97.5%",
        "2000 rows, half of them positive",
        "AUC 0.75",
        "r = 0.95 as successive windows share 88%",
    )


def test_detectable_is_the_margin_at_which_four_of_five_equals_pass() -> None:
    seen = only().detectable
    assert seen is not None

    again = only(f"promotion: {{gates: {{not_worse: {{not_worse: {{margin: {seen!r}}}}}}}}}")

    assert again.passes_if_equal == pytest.approx(0.8, abs=1e-9)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("retraining: {holdout: {min_rows: 1000}}", "retraining: {holdout: {min_rows: 4000}}"),
        ("retraining: {holdout: {min_positives: 20}}", "retraining: {holdout: {min_positives: 200}}"),
        ("retraining: {window: 7d}", "retraining: {window: 180d}"),
        ("promotion: {gates: {not_worse: {not_worse: {confidence: 99%}}}}", "mode: act"),
        ("promotion: {false_promotions: {max: 0.1, per: 365d}}", "mode: act"),
    ],
)
def test_more_to_go_by_lets_more_equals_pass(less: str, more: str) -> None:
    few, many = only(less), only(more)

    assert few.passes_if_equal is not None and many.passes_if_equal is not None
    assert few.detectable is not None and many.detectable is not None
    assert few.passes_if_equal < many.passes_if_equal - 0.01
    assert few.detectable > many.detectable * 1.05


BETTER = "promotion: {gates: {not_worse: null, better: {min_gain: {metric: m, value: %s, confidence: 95%%}}}}"
LOSS = "evaluation: {metrics: {auc: null, m: {log_loss: {}}}}"


def test_without_a_formula_only_the_test_itself_is_known() -> None:
    exact, below = only(LOSS, BETTER % 0), only(LOSS, BETTER % 0.1)

    assert (exact.detectable, exact.passes_if_equal) == (None, pytest.approx(0.05))
    assert (below.detectable, below.passes_if_equal) == (None, None)
    assert "no more than 5% of equals pass, as the value is above 0" in below.assumptions


@pytest.mark.parametrize(
    ("change", "passing"),
    [("promotion: {prefer: champion}", 0.5), ("promotion: {prefer: fresher}", 0.99999)],
)
def test_who_prefers_the_champion_promotes_half_of_the_equals_at_most(change: str, passing: float) -> None:
    wide = "promotion: {gates: {not_worse: {not_worse: {margin: 0.1}}}}"

    assert only(wide, change).passes_if_equal == pytest.approx(passing, abs=1e-4)


def test_a_limit_on_false_promotions_is_shared_by_the_attempts() -> None:
    """Once in two years among 104 attempts: each has 1 / 104."""
    spec = spec_of("promotion: {false_promotions: {max: 1, per: 730d}}")
    loose = spec_of("promotion: {false_promotions: {max: 50, per: 365d}}")
    incremental = spec_of("promotion: {false_promotions: {max: 1, per: 730d}}", "retraining: {strategy: incremental}")

    assert power.alpha_per_attempt(spec) == pytest.approx(1 / 104)
    assert power.estimates(spec)[0].confidence == pytest.approx(1 - 1 / 104)
    assert power.estimates(loose)[0].confidence == 0.975, "it tightens, and never loosens"
    assert power.alpha_per_attempt(incremental) is None


def test_equals_must_pass_every_gate() -> None:
    spec = spec_of("promotion: {gates: {better: {min_gain: {metric: auc, value: 0}}}}")
    found = power.estimates(spec)

    assert power.promotions_of_equals(spec, found) == pytest.approx(52 * 0.025)
    assert power.promotions_of_equals(spec_of("mode: observe"), found) is None


def test_a_slice_has_its_own_volume() -> None:
    gate = "promotion: {gates: {not_worse: {not_worse: {by: region}}}}"
    small = only("evaluation: {slices: {region: {column: x, min_rows: 200}}}", gate)

    assert small.detectable is not None and small.detectable > 3 * (only().detectable or 0)
    assert "one slice alone; with more of them fewer pass" in small.assumptions


def test_a_relative_margin_is_of_the_level() -> None:
    relative = only("promotion: {gates: {not_worse: {not_worse: {margin: {relative: 2%}}}}}")
    absolute = only("promotion: {gates: {not_worse: {not_worse: {margin: 0.015}}}}")

    assert relative.passes_if_equal == pytest.approx(absolute.passes_if_equal)


def test_what_is_said_is_one_line() -> None:
    assert power.said(only()) == (
        "not_worse: auc sees 0.0093; equally good models that pass: 85%, at most 44 a year "
        "(confidence 97.5%; 2000 rows, half of them positive; AUC 0.75; r = 0.95 as successive windows share 88%)"
    )


@pytest.mark.parametrize(
    "change",
    [
        "retraining: {holdout: {min_rows: 1000000000000000000000000000000}}",
        "retraining: {holdout: {min_rows: 1, min_positives: 1000000000000000000000}}",
        "retraining: {window: 0d}",
        "evaluation: {metrics: {auc: {roc_auc: null, accuracy: {}}}}",
        "promotion: {false_promotions: {max: 1.0e-300, per: 365d}}",
        "promotion: {false_promotions: {max: 1.0e+300, per: 365d}}",
        "promotion: {false_promotions: {max: 1, per: 0d}}",
        "promotion: {gates: {floor: {range: {min: 0.9999999999999999}}}}",
        "promotion: {gates: {not_worse: {not_worse: {margin: 1.0e+308}}}}",
        "trigger_policy: {max_runs: {count: 1000000000000000000000000, per: 36525d}}",
        "triggers: {weekly: null}",
        "label: none",
    ],
)
def test_odd_numbers_are_no_exception(change: str) -> None:
    for estimate in power.estimates(spec_of(change)):
        assert 0 <= (estimate.passes_if_equal or 0) <= 1
        assert power.said(estimate)
