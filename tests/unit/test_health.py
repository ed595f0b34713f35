"""The limits and gates of a version that rolls out: truth tables of what its server and its live scores say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance

from ctc.policy.evidence import Answered
from ctc.policy.health import LEAST, judge_answers, judge_scores
from ctc.policy.profile import Categorical, of_numbers


def limit(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "it", "kind": kind, "arguments": arguments}


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [(99, 1, "pass"), (98, 2, "fail"), (100, 0, "pass"), (0, 100, "fail"), (98, 1, "not_evaluable")],
)
def test_the_error_rate_may_be_at_its_line(good: int, bad: int, expected: str) -> None:
    found = judge_answers(limit("error_rate", max=0.01), Answered((0.01,) * good, {"HTTP 500": bad} if bad else {}))
    assert found.answer == expected
    if expected != "not_evaluable":
        assert found.numbers == {"requests": good + bad, "failed": bad, "value": bad / (good + bad), "max": 0.01}
        assert ("HTTP 500" in found.reason) == bool(bad)


@pytest.mark.parametrize(
    ("slow", "failed", "arguments", "expected"),
    [
        (0, 0, {"p99": 0.03}, "pass"),
        (1, 0, {"p99": 0.03}, "pass"),
        (2, 0, {"p99": 0.03}, "fail"),
        (0, 2, {"p99": 0.03}, "fail"),
        (50, 0, {"p50": 0.03}, "pass"),
        (51, 0, {"p50": 0.03}, "fail"),
        (2, 0, {"p50": 0.03, "p99": 0.01}, "fail"),
        (2, 0, {"p50": 0.03, "p99": 0.2}, "pass"),
    ],
)
def test_latency_is_a_quantile_in_which_failures_never_end(
    slow: int, failed: int, arguments: dict[str, float], expected: str
) -> None:
    seconds = (0.03,) * (LEAST - slow - failed) + (0.1,) * slow
    found = judge_answers(limit("latency", **arguments), Answered(seconds, {"TimeoutError": failed} if failed else {}))
    assert found.answer == expected
    if "p99" in arguments:
        assert found.numbers["p99"]["value"] == (None if failed > 1 else 0.1 if slow > 1 else 0.03)
        assert ("never" in found.reason) == (failed > 1)


@given(st.lists(st.floats(0.001, 9.0), min_size=LEAST, max_size=300), st.integers(0, 20), st.floats(0.001, 9.0))
def test_one_more_failure_never_helps(seconds: list[float], failed: int, most: float) -> None:
    order = ["pass", "fail"]
    for kind in (limit("latency", p99=most), limit("latency", p50=most), limit("error_rate", max=0.05)):
        before = judge_answers(kind, Answered(seconds, {"x": failed}))
        after = judge_answers(kind, Answered(seconds, {"x": failed + 1}))
        assert order.index(before.answer) <= order.index(after.answer)


def test_scores_are_compared_with_the_champions() -> None:
    draw = np.random.default_rng(3)
    champion = draw.beta(2, 3, 500)
    same = judge_scores(
        limit("drift", columns=["p"], method="jensen_shannon", max=0.3),
        {"p": of_numbers(champion)},
        {"p": of_numbers(draw.beta(2, 3, 200))},
    )
    moved = judge_scores(
        limit("drift", columns=["p"], method="jensen_shannon", max=0.3),
        {"p": of_numbers(champion)},
        {"p": of_numbers(draw.beta(8, 2, 200))},
    )
    assert (same.answer, moved.answer) == ("pass", "fail")
    assert moved.numbers["columns"]["p"]["value"] > 0.3 > same.numbers["columns"]["p"]["value"]


def test_the_distance_is_scipys() -> None:
    one, other = {"a": 300, "b": 100}, {"a": 120, "b": 80}
    found = judge_scores(
        limit("drift", columns=["answer"], method="jensen_shannon", max=0.1),
        {"answer": Categorical(400, 0, one, 0)},
        {"answer": Categorical(200, 0, other, 0)},
    )
    wanted = distance.jensenshannon([0.75, 0.25], [0.6, 0.4], base=2)
    assert found.numbers["columns"]["answer"]["value"] == pytest.approx(wanted, abs=1e-12)


def test_too_few_rows_are_no_answer() -> None:
    few, many = of_numbers(np.arange(LEAST - 1.0)), of_numbers(np.arange(500.0))
    gate = limit("drift", columns=["p"], method="psi", max=0.1)
    assert judge_scores(gate, {"p": many}, {"p": few}).answer == "not_evaluable"
    assert judge_scores(gate, {"p": few}, {"p": many}).answer == "not_evaluable"
    assert "no such column" in judge_scores(gate, {}, {"p": many}).reason
