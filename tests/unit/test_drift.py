"""Drift numbers, against scipy, the recorded numbers of other tools, and the laws of a distance."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from ctc.policy import drift, drift_variants
from ctc.policy.profile import POINTS, Categorical, Column, Numeric, Profile, of_numbers
from ctc.policy.statistics import NotEvaluable

METHODS = ("psi", "jensen_shannon", "l_infinity", "chi_square", "ks", "wasserstein")
REFERENCE = np.random.default_rng(1).normal(0, 1, 4000)
CURRENT = np.random.default_rng(2).normal(0.3, 1.4, 1500)


def categories(**counts: int) -> Categorical:
    return Categorical(sum(counts.values()), 0, counts)


def number(method: str, baseline: Column, current: Column) -> float:
    return drift.distance(method, baseline, current).value


def deciles(reference: np.ndarray, current: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.concatenate([[-np.inf], np.quantile(reference, np.arange(1, 10) / 10), [np.inf]])
    return np.histogram(reference, edges)[0], np.histogram(current, edges)[0]


def test_numeric_numbers_are_those_of_scipy() -> None:
    ours, theirs = of_numbers(REFERENCE), of_numbers(CURRENT)
    p, q = deciles(REFERENCE, CURRENT)
    expected = {
        "ks": stats.ks_2samp(REFERENCE, CURRENT).statistic,
        "wasserstein": stats.wasserstein_distance(REFERENCE, CURRENT) / REFERENCE.std(ddof=1),
        "jensen_shannon": jensenshannon(p, q, base=2),
        "l_infinity": np.abs(p / p.sum() - q / q.sum()).max(),
        "psi": np.sum((p / p.sum() - q / q.sum()) * np.log((p / p.sum()) / (q / q.sum()))),
        "chi_square": stats.contingency.association([p, q], method="cramer"),
    }
    for method, value in expected.items():
        assert number(method, ours, theirs) == pytest.approx(value, rel=1e-12), method


def test_chi_square_shows_the_test_behind_it() -> None:
    found = drift.distance("chi_square", categories(a=400, b=600, d=9), categories(a=300, b=500, c=20))
    judge = stats.chi2_contingency([[400, 600, 0, 9], [300, 500, 20, 0]], correction=False)
    assert found.numbers["statistic"] == pytest.approx(judge.statistic, rel=1e-12)
    assert found.numbers["p_value"] == pytest.approx(judge.pvalue, rel=1e-12)
    assert found.numbers["degrees"] == judge.dof == 3
    assert (found.baseline, found.current) == (1009, 820)


def test_a_value_that_is_new_is_a_bin_of_its_own() -> None:
    before, after = categories(a=50, b=50), categories(a=50, b=30, c=20)
    assert number("l_infinity", before, after) == pytest.approx(0.2)
    assert number("jensen_shannon", before, after) == pytest.approx(
        float(jensenshannon([50, 50, 0], [50, 30, 20], base=2)), rel=1e-12
    )


def test_values_that_a_profile_does_not_tell_apart_are_one_bin() -> None:
    before = Categorical(100, 0, {"a": 60, "b": 30}, other=10)
    after = categories(a=60, b=30, x=4, y=6)
    assert drift.bin_counts(before, after)[0].tolist() == [60, 30, 10]
    assert number("psi", before, after) == 0.0


@pytest.mark.parametrize("method", drift.BINNED)
def test_missing_values_are_a_bin(method: str) -> None:
    gaps = CURRENT.copy()
    gaps[::2] = np.nan
    assert number(method, of_numbers(CURRENT), of_numbers(gaps)) > 0.2
    assert number(method, of_numbers(gaps), of_numbers(gaps)) == pytest.approx(0, abs=1e-12)
    assert drift.distance(method, of_numbers(CURRENT), of_numbers(gaps)).numbers["missing"] == 0.5


def test_ks_and_wasserstein_judge_the_values_that_are_there() -> None:
    gaps = np.append(CURRENT, [np.nan] * 500)
    for method in ("ks", "wasserstein"):
        found = drift.distance(method, of_numbers(REFERENCE), of_numbers(gaps))
        assert found.value == number(method, of_numbers(REFERENCE), of_numbers(CURRENT))
        assert (found.current, found.numbers["missing"]) == (1500, 0.25)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_a_constant_that_moves_is_seen_in_both_directions(method: str, shift: float) -> None:
    assert number(method, of_numbers(np.full(200, 3.0)), of_numbers(np.full(200, 3.0 + shift))) >= 1.0


@pytest.mark.parametrize("method", METHODS)
def test_zeros_that_leave_are_seen(method: str) -> None:
    before = of_numbers(np.append(np.zeros(950), np.arange(1, 51)))
    after = of_numbers(np.append(np.zeros(700), np.arange(1, 301) / 6))
    assert number(method, before, after) > 0.2


def test_what_cannot_be_judged_says_why() -> None:
    words, numbers = categories(a=10), of_numbers([1.0, 2.0])
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: drift.distance("ks", words, words), "needs numbers"),
        (lambda: drift.distance("psi", words, numbers), "numeric now, and categorical in the baseline"),
        (lambda: drift.distance("psi", numbers, of_numbers([1.0]), 2), "1 rows in the window; at least 2"),
        (lambda: drift.distance("psi", of_numbers([]), numbers), "0 rows in the baseline"),
        (lambda: drift.distance("psi", of_numbers([np.nan]), numbers), "no deciles"),
        (lambda: drift.distance("ks", numbers, of_numbers([np.nan])), "0 rows in the window"),
        (lambda: drift.distance("wasserstein", numbers, of_numbers([1.0, np.inf])), "infinite"),
        (lambda: drift.distance("wasserstein", of_numbers([1.0]), numbers), "no standard deviation"),
    ]
    for judged, reason in cases:
        with pytest.raises(NotEvaluable, match=reason):
            judged()


def test_infinite_values_have_their_place() -> None:
    before, after = of_numbers([1.0, 2.0, 3.0, 4.0]), of_numbers([1.0, 2.0, 3.0, np.inf])
    assert number("ks", before, after) == 0.25
    assert number("psi", of_numbers([1.0, *[np.inf] * 9]), of_numbers([1.0, *[np.inf] * 9])) == 0.0


SAMPLES = st.lists(
    st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, allow_subnormal=False), st.just(math.nan)),
    min_size=2,
    max_size=60,
).filter(lambda sample: sum(not math.isnan(value) for value in sample) > 1)


@settings(max_examples=150, deadline=None)
@given(SAMPLES, st.permutations(METHODS))
def test_a_column_is_at_no_distance_from_itself(sample: list[float], methods: list[str]) -> None:
    column = of_numbers(sample)
    for method in methods:
        assert number(method, column, column) == pytest.approx(0, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(SAMPLES, SAMPLES)
def test_order_based_numbers_are_scipys_on_any_sample(one: list[float], other: list[float]) -> None:
    p, q = (np.array([value for value in sample if not math.isnan(value)]) for sample in (one, other))
    ours, theirs = of_numbers(one), of_numbers(other)
    assert drift.ks(ours, theirs) == pytest.approx(stats.ks_2samp(p, q, method="asymp").statistic, abs=1e-12)
    assert drift.wasserstein(ours, theirs) == pytest.approx(stats.wasserstein_distance(p, q), rel=1e-9, abs=1e-9)
    assert drift.ks(ours, theirs) == drift.ks(theirs, ours)


@settings(max_examples=150, deadline=None)
@given(SAMPLES)
def test_deciles_are_numpys_and_bins_hold_every_row(sample: list[float]) -> None:
    present = np.array([value for value in sample if not math.isnan(value)])
    edges = drift.decile_edges(of_numbers(sample))
    assert np.unique(edges).tolist() == pytest.approx(np.unique(np.quantile(present, drift.DECILES)).tolist())
    assert drift.numeric_counts(of_numbers(sample), edges).sum() == len(present)


@settings(max_examples=100, deadline=None)
@given(*[st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), min_size=1)] * 2)
def test_numbers_of_categories_are_symmetric_and_bounded(one: dict[str, int], other: dict[str, int]) -> None:
    ours, theirs = categories(**one), categories(**other)
    for method in drift.BINNED:
        value = number(method, ours, theirs)
        assert value == pytest.approx(number(method, theirs, ours), rel=1e-9, abs=1e-12)
        assert value >= 0
        if method != "psi":
            assert value <= 1 + 1e-12


def test_many_values_are_kept_as_points_of_equal_mass() -> None:
    draw = np.random.default_rng(3)
    values = draw.normal(size=70_000)
    column = of_numbers(values)
    assert len(column.values) == POINTS
    assert not column.exact
    ordered = np.sort(values)
    assert (np.searchsorted(ordered, column.values, side="right") == column.upto).all()
    assert np.diff(np.append(0, column.upto)).max() <= 70_000 / POINTS + 1
    other = draw.normal(0.02, 1.0, 50_000)
    judged = stats.ks_2samp(values, other, method="asymp").statistic
    assert drift.ks(column, of_numbers(other)) == pytest.approx(judged, abs=2 / POINTS)


def test_a_profile_is_the_same_after_a_round_trip() -> None:
    awkward = of_numbers([0.1 + 0.2, 1e-300, -math.inf, math.inf, math.nan, 5.0])
    written = Profile({"x": awkward, "s": Categorical(4, 1, {"a b": 2, "": 1})}, {"blob": "binary"})
    document = json.loads(json.dumps(written.to_json(), allow_nan=False))
    read = Profile.from_json(document)
    assert read.to_json() == written.to_json()
    again = read.columns["x"]
    assert isinstance(again, Numeric)
    assert again.values.tolist() == awkward.values.tolist()
    with pytest.raises(ValueError, match="version 9"):
        Profile.from_json({**document, "version": 9})


ORACLES = os.environ.get("CTC_ORACLES")


@pytest.mark.skipif(ORACLES is None, reason="CTC_ORACLES names no folder of recorded numbers")
def test_every_recorded_number_is_ours() -> None:
    folder = Path(ORACLES or "") / "metrics"
    recorded = json.loads((folder / "vectors.json").read_text())
    columns: list[tuple[np.ndarray, list[str]]] = []
    for name in ("reference", "current"):
        with (folder / f"{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        columns.append((np.array([float(row["x"]) for row in rows]), [row["c"] for row in rows]))
    (x, c), (y, d) = columns
    keys = recorded["counts"]["keys"]
    p, q = (np.array([labels.count(key) for key in keys]) for labels in (c, d))
    xs, ys = of_numbers(x), of_numbers(y)
    before, after = (Categorical(len(labels), 0, {key: labels.count(key) for key in keys}) for labels in (c, d))
    variants, statistic = drift_variants, drift.ks(xs, ys)
    raw, abc = drift.wasserstein(xs, ys), (p[:3], q[:3])
    largest = drift.l_infinity(p, q)
    contingency = drift.distance("chi_square", before, after).numbers
    abc_statistic, abc_degrees = drift.chi_square(*abc)
    found = {
        "psi_num/ref_deciles": number("psi", xs, ys),
        "psi_num/evidently": variants.evidently_psi(*variants.sturges_bins(x, y)),
        "psi_num/azureml(": variants.azure_psi(*variants.smaller_bins(x, y)),
        "psi_num/azureml-older": variants.azure_older_psi(*variants.smaller_bins(x, y)),
        "js_num/evidently": variants.jensen_shannon_distance(*variants.sturges_bins(x, y), base=math.e),
        "js_num/nannyml": variants.jensen_shannon_distance(*variants.doane_bins(x, y), base=2),
        "js_num/azureml": variants.jensen_shannon_distance(*variants.smaller_bins(x, y), base=2),
        "js_num/tfdv": variants.jensen_shannon_divergence(*variants.tfdv_bins(x, y)),
        "ks/statistic": number("ks", xs, ys),
        "ks/pvalue": variants.ks_p_value(statistic, len(x), len(y)),
        "linf_num/sagemaker": variants.robust_l_infinity(statistic, len(x), len(y)),
        "wasserstein/raw": raw,
        "wasserstein/evidently": raw / max(float(x.std()), drift.LEAST_DEVIATION),
        "wasserstein/azureml": number("wasserstein", xs, ys),
        "psi_cat/evidently": variants.evidently_psi(p, q),
        "psi_cat/azureml (+1, not": variants.azure_older_psi(p, q),
        "psi_cat/azureml HEAD": variants.azure_psi(p, q),
        "js_cat/evidently": variants.jensen_shannon_distance(p, q, base=math.e),
        "js_cat/nannyml": number("jensen_shannon", before, after),
        "js_cat/tfdv": variants.jensen_shannon_divergence(p, q),
        "linf_cat/tfdv": number("l_infinity", before, after),
        "linf_cat/sagemaker": variants.robust_l_infinity(largest, len(c), len(d)),
        "chi2/evidently": variants.goodness_of_fit(p, q),
        "chi2/nannyml+alibi p": contingency["p_value"],
        "chi2/nannyml stat": contingency["statistic"],
    }
    assert p.tolist() == recorded.pop("counts")["reference"]
    nested = recorded.pop("chi2 on ABC only")
    assert variants.goodness_of_fit(*abc) == pytest.approx(nested["goodness_of_fit_p"], rel=1e-12)
    abc_p = drift.chi_square_tail(abc_statistic, abc_degrees)
    assert abc_p == pytest.approx(nested["contingency_p"], rel=1e-12)
    for name, value in recorded.items():
        own = [number for start, number in found.items() if name.startswith(start)]
        assert len(own) == 1, name
        assert own[0] == pytest.approx(value, rel=1e-12, abs=1e-300), name
    assert len(found) == len(recorded)
