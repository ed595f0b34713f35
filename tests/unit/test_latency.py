"""Quantiles of answers and their upper bounds, against scipy and by simulation; the gate that they answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from ctc.language.requests import LEAST, MOST, requests
from ctc.policy.latency import quantile
from ctc.policy.promotion import decide


@given(
    st.lists(st.floats(1e-6, 100), min_size=1, max_size=600),
    st.integers(0, 5),
    st.sampled_from([0.5, 0.9, 0.99]),
    st.sampled_from([0.9, 0.95, 0.975]),
)
def test_the_bound_is_the_order_statistic_of_the_binomial_law(
    seconds: list[float], failed: int, q: float, confidence: float
) -> None:
    ordered = [*sorted(seconds), *[math.inf] * failed]
    n = len(ordered)
    ranks = [k for k in range(1, n + 1) if binom.cdf(k - 1, n, q) >= confidence]

    found = quantile(seconds, failed, q, confidence)

    assert found.value == ordered[math.ceil(round(q * n, 9)) - 1]
    assert found.upper == (ordered[ranks[0] - 1] if ranks else None)
    assert (found.upper is not None) == (n >= found.needed)


def test_the_bound_covers_the_true_quantile_as_often_as_it_says() -> None:
    draws = np.random.default_rng(1).lognormal(size=(2000, 400))
    truth = math.exp(2.3263478740408408)  # the 99th percentile of the standard normal, exponentiated

    covered = sum((quantile(row, 0, 0.99, 0.975).upper or 0.0) >= truth for row in draws) / len(draws)

    # 2,000 trials have a standard error of 0.0035.
    assert covered >= 0.975 - 3 * 0.0035


def test_a_measurement_is_long_enough_for_its_bound_and_no_longer() -> None:
    assert [requests(rate) for rate in (0.1, 5, 10, 100, 5000)] == [LEAST, LEAST, 600, MOST, MOST]
    assert quantile([1.0] * LEAST, 0, 0.99, 0.975).upper == 1.0


def test_without_a_request_there_is_no_quantile() -> None:
    with pytest.raises(ValueError, match="no request"):
        quantile([], 0, 0.5, 0.9)


def gate(**limits: float | None) -> dict[str, Any]:
    return {"name": "fast", "kind": "latency", "confidence": 0.975, "metric": None, "p50": None, "p99": None, **limits}


def verdict(measured: dict[str, Any] | None, **limits: float) -> dict[str, Any]:
    section = {"gates": [gate(**limits)], "prefer": "fresher", "if_not_evaluable": "hold"}
    gates = {} if measured is None else {"fast": measured}
    found: dict[str, Any] = decide(section, {"champion": "absent", "metrics": {}, "slices": {}, "gates": gates})
    return dict(found["gates"][0])


def measured(
    failures: dict[str, int] | None = None, n: int = 1000, **quantiles: tuple[float | None, float | None]
) -> Any:
    failures = failures or {}
    told = {"status": "ok", "reason": "", "requests": n, "failed": sum(failures.values()), "failures": failures}
    told |= {"rate": 100.0, "sent_rate": 99.9, "ready_seconds": 0.2, "confidence": 0.975}
    return told | {
        name: {"value": value, "upper": upper, "needed": 6 if name == "p50" else 368}
        for name, (value, upper) in {"p50": (0.01, 0.011), "p99": (0.02, 0.03), **quantiles}.items()
    }


@pytest.mark.parametrize(
    ("found", "limits", "answer", "said"),
    [
        (measured(), {"p99": 0.03}, "pass", "p99 is at most 30 ms at 0.975 confidence; 30 ms allowed"),
        (measured(), {"p99": 0.029}, "fail", "p99 is at most 30 ms at 0.975 confidence; 29 ms allowed"),
        (measured(), {"p50": 0.011, "p99": 0.03}, "pass", "p50 is at most 11 ms"),
        (measured(), {"p50": 0.001, "p99": 0.03}, "fail", "p50 is at most 11 ms"),
        (measured(), {"p50": 0.001, "p99": 0.001}, "fail", "; p99 is at most 30 ms"),
        (
            measured({"HTTP 500 no": 40}, p99=(None, None)),
            {"p99": 1.0},
            "fail",
            "40 of 1000 requests failed: 40 x HTTP 500",
        ),
        (measured({"HTTP 500 no": 2}), {"p99": 0.03}, "pass", "2 of 1000 requests failed"),
        (measured(n=100), {"p99": 0.03}, "not_evaluable", "100 requests; the bound of p99 needs 368"),
        (measured(n=100), {"p50": 0.001, "p99": 0.03}, "fail", "p50 is at most 11 ms"),
        (None, {"p99": 0.03}, "not_evaluable", "no numbers for this gate"),
    ],
)
def test_the_gate_holds_the_bound_against_its_limit(
    found: dict[str, Any] | None, limits: dict[str, float], answer: str, said: str
) -> None:
    told = verdict(found, **limits)

    assert (told["answer"], said in told["reason"]) == (answer, True), told


def test_a_gate_that_asks_for_more_confidence_than_was_computed_is_not_evaluable() -> None:
    told = verdict({**measured(), "confidence": 0.9}, p99=0.03)

    assert told["answer"] == "not_evaluable"
    assert "0.9" in told["reason"]
