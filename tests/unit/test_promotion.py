"""The truth table of promotion."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ctc.policy.promotion import decide
from ctc.policy.statistics import delong, lower_bound

NAN = math.nan


def gate(kind: str, name: str = "it", **arguments: Any) -> dict[str, Any]:
    empty = {"min": None, "max": None, "margin": None, "value": None, "confidence": 0.975}
    return {"name": name, "kind": kind, "metric": "auc", "better": "higher", **empty, **arguments}


def section(*gates: dict[str, Any], prefer: str = "fresher", unknown: str = "hold") -> dict[str, Any]:
    return {"prefer": prefer, "if_not_evaluable": unknown, "gates": list(gates)}


def evaluation(
    contender: float | None = 0.8, champion: str = "evaluated", old: float | None = 0.79, **gates: Any
) -> dict[str, Any]:
    metric = {
        "better": "higher",
        "contender": {"value": contender},
        "champion": None if old is None else {"value": old},
    }
    return {"version": 1, "champion": champion, "metrics": {"auc": metric}, "slices": {}, "gates": gates}


def measured(**changes: Any) -> dict[str, Any]:
    numbers = {"contender": 0.8, "champion": 0.79, "gain": 0.01, "se": 0.005, "lower": 0.0002, "n": 1000}
    return {"status": "ok", "reason": "", "confidence": 0.975, "method": "delong", **numbers, **changes}


def answer(verdict: dict[str, Any]) -> str:
    return str(verdict["gates"][0]["answer"])


@pytest.mark.parametrize(
    ("low", "high", "value", "expected"),
    [
        (0.8, None, 0.8, "pass"),
        (0.8, None, 0.7999, "fail"),
        (None, 0.5, 0.5, "pass"),
        (None, 0.5, 0.5001, "fail"),
        (0.7, 0.9, 0.8, "pass"),
        (0.0, None, -0.1, "fail"),
        (0.7, None, None, "not_evaluable"),
        (0.7, None, NAN, "not_evaluable"),
        (0.7, None, math.inf, "not_evaluable"),
    ],
)
@pytest.mark.parametrize("champion", ["evaluated", "absent", "not_comparable"])
def test_range(low: float | None, high: float | None, value: float | None, expected: str, champion: str) -> None:
    verdict = decide(section(gate("range", min=low, max=high)), evaluation(value, champion))
    assert answer(verdict) == expected
    assert verdict["promote"] is (expected == "pass")


NOT_WORSE, MIN_GAIN = gate("not_worse", margin=0.01), gate("min_gain", value=0.01)


@pytest.mark.parametrize(
    ("rule", "numbers", "expected"),
    [
        (NOT_WORSE, {"lower": -0.0099}, "pass"),
        (NOT_WORSE, {"lower": -0.01}, "pass"),
        (NOT_WORSE, {"lower": -0.0101}, "fail"),
        (gate("not_worse", margin=0.0), {"gain": 0.0, "se": 0.0, "lower": 0.0}, "pass"),
        (MIN_GAIN, {"lower": 0.0101}, "pass"),
        (MIN_GAIN, {"lower": 0.01}, "fail"),
        (MIN_GAIN, {"lower": -1.0, "gain": 0.5}, "fail"),
        (NOT_WORSE, {"lower": NAN}, "not_evaluable"),
        (NOT_WORSE, {"lower": None}, "not_evaluable"),
        (NOT_WORSE, {"gain": NAN}, "not_evaluable"),
        (NOT_WORSE, {"confidence": 0.95}, "not_evaluable"),
        (NOT_WORSE, {"confidence": 0.99}, "pass"),
        (NOT_WORSE, {"confidence": None}, "not_evaluable"),
        (NOT_WORSE, {"status": "not_evaluable", "reason": "12 rows, 1000 wanted"}, "not_evaluable"),
    ],
)
def test_comparisons(rule: dict[str, Any], numbers: dict[str, Any], expected: str) -> None:
    verdict = decide(section(rule), evaluation(it=measured(**numbers)))
    assert answer(verdict) == expected
    assert verdict["decision"] == ("promote" if expected == "pass" else "hold")
    assert verdict["reason"]


@pytest.mark.parametrize("rule", [NOT_WORSE, MIN_GAIN])
def test_a_comparison_that_was_not_measured_holds(rule: dict[str, Any]) -> None:
    verdict = decide(section(rule), evaluation())
    assert (answer(verdict), verdict["promote"]) == ("not_evaluable", False)


@pytest.mark.parametrize("rule", [NOT_WORSE, MIN_GAIN])
def test_a_champion_that_cannot_be_run_holds(rule: dict[str, Any]) -> None:
    verdict = decide(section(rule), evaluation(champion="not_comparable", it=measured(reason="column gone")))
    assert (answer(verdict), verdict["promote"]) == ("not_evaluable", False)
    assert "column gone" in verdict["reason"]


@pytest.mark.parametrize(
    ("gates", "value", "promoted", "answers"),
    [
        ([gate("range", min=0.7), NOT_WORSE], 0.8, True, ["pass", "not_applicable"]),
        ([gate("range", min=0.9), NOT_WORSE], 0.8, False, ["fail", "not_applicable"]),
        ([gate("range", min=0.9), NOT_WORSE], NAN, False, ["not_evaluable", "not_applicable"]),
        ([NOT_WORSE, MIN_GAIN], 0.8, True, ["not_applicable", "not_applicable"]),
        ([], 0.8, False, []),
    ],
)
@pytest.mark.parametrize("prefer", ["fresher", "champion"])
def test_the_first_champion(gates: Any, value: float, promoted: bool, answers: list[str], prefer: str) -> None:
    verdict = decide(section(*gates, prefer=prefer), evaluation(value, "absent", None))
    assert [given["answer"] for given in verdict["gates"]] == answers
    assert verdict["promote"] is promoted


@pytest.mark.parametrize(
    ("gains", "fresher", "champion"),
    [
        ([0.002], True, True),
        ([0.0], True, False),
        ([-0.002], True, False),
        ([0.002, 0.001], True, True),
        ([0.002, -0.001], True, False),
        ([-0.001, 0.002], True, False),
    ],
)
def test_prefer(gains: list[float], fresher: bool, champion: bool) -> None:
    gates = [gate("not_worse", f"g{index}", margin=0.1) for index in range(len(gains))]
    found = evaluation(**{f"g{index}": measured(gain=gain, lower=gain - 0.01) for index, gain in enumerate(gains)})
    assert decide(section(*gates, prefer="fresher"), found)["promote"] is fresher
    assert decide(section(*gates, prefer="champion"), found)["promote"] is champion


@pytest.mark.parametrize(
    ("better", "contender", "champion", "promoted"),
    [
        ("higher", 0.8, 0.79, True),
        ("higher", 0.8, 0.8, False),
        ("lower", 0.8, 0.79, False),
        ("lower", 0.8, 0.81, True),
        ("higher", 0.8, None, False),
    ],
)
def test_prefer_champion_without_a_comparison(
    better: str, contender: float, champion: float | None, promoted: bool
) -> None:
    rule = section(gate("range", min=0.0, better=better), prefer="champion")
    assert decide(rule, evaluation(contender, old=champion))["promote"] is promoted


def test_every_gate_must_pass_and_failures_are_named_first() -> None:
    rules = section(gate("range", "floor", min=0.7), gate("range", "high", min=0.9), gate("not_worse", "x", margin=0.0))
    verdict = decide(rules, evaluation())
    assert verdict["promote"] is False
    assert verdict["reason"] == "high: auc 0.8 is below 0.9"


def test_equal_models_are_promoted_as_often_as_the_confidence_says() -> None:
    """Type I error: 600 pairs of equally good models, 1000 rows; 2.5 % and 10 % expected, within four errors."""
    generator = np.random.default_rng(20240601)
    for confidence in (0.975, 0.9):
        rule = section(gate("min_gain", value=0.0, confidence=confidence))
        promoted = 0
        for _ in range(600):
            labels = (generator.random(1000) < 0.3).astype(int)
            signal = labels + generator.normal(0, 1, 1000)
            scores = signal + generator.normal(0, 0.7, (2, 1000))
            found = delong(labels, *scores)
            numbers = measured(gain=found.gain, lower=lower_bound(found.gain, found.se, confidence))
            promoted += decide(rule, evaluation(it={**numbers, "confidence": confidence}))["promote"]
        alpha = 1 - confidence
        assert abs(promoted / 600 - alpha) < 4 * math.sqrt(alpha * confidence / 600)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown gate kind 'sympathy'"):
        decide(section(gate("sympathy")), evaluation())


@pytest.mark.parametrize(
    ("gates", "hold", "ask"),
    [
        (["pass"], "promote", "promote"),
        (["fail"], "hold", "hold"),
        (["unknown"], "hold", "ask"),
        (["pass", "unknown"], "hold", "ask"),
        (["fail", "unknown"], "hold", "hold"),
        (["unknown", "fail"], "hold", "hold"),
        (["absent", "pass"], "promote", "promote"),
        (["absent", "unknown"], "hold", "ask"),
        ([], "hold", "hold"),
    ],
)
@pytest.mark.parametrize("prefer", ["fresher", "champion"])
def test_hold_or_ask(gates: list[str], hold: str, ask: str, prefer: str) -> None:
    """A failed gate holds; one without an answer holds or asks; the first champion is no exception."""
    made = {"pass": gate("range", min=0.7), "fail": gate("range", min=0.9), "absent": gate("min_gain", value=0.0)}
    rules = [made.get(kind, gate("range", metric="loss", min=0.0)) for kind in gates]
    found = evaluation(champion="absent" if "absent" in gates else "evaluated")
    for unknown, expected in (("hold", hold), ("ask", ask)):
        verdict = decide(section(*rules, prefer=prefer, unknown=unknown), found)
        assert (verdict["decision"], verdict["promote"]) == (expected, expected != "hold")
        assert verdict["reason"]


def by_slice(**slices: dict[str, Any]) -> dict[str, Any]:
    return {**measured(), "by": "shop", "worst": next(iter(slices), None), "slices": slices, "not_judged": {}}


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ({"a": measured(), "b": measured()}, "pass"),
        ({"a": measured(), "b": measured(lower=-0.02)}, "fail"),
        ({"a": measured(status="not_evaluable", reason="one class"), "b": measured(lower=-0.02)}, "fail"),
        ({"a": measured(), "b": measured(status="not_evaluable", reason="one class")}, "not_evaluable"),
        ({"a": measured(confidence=0.99), "b": measured(confidence=0.97)}, "not_evaluable"),
        ({"a": measured(lower=NAN)}, "not_evaluable"),
    ],
)
def test_a_comparison_by_slice(slices: dict[str, Any], expected: str) -> None:
    verdict = decide(section(gate("not_worse", margin=0.01, by="shop")), evaluation(it=by_slice(**slices)))
    assert answer(verdict) == expected


@pytest.mark.parametrize(("lower", "expected"), [(-0.05, "pass"), (-0.0501, "fail")])
def test_a_relative_margin(lower: float, expected: str) -> None:
    found = evaluation(it=measured(lower=lower, margin=0.05))
    assert answer(decide(section(gate("not_worse", margin=0.1, relative=True)), found)) == expected
    del found["gates"]["it"]["margin"]
    assert answer(decide(section(gate("not_worse", margin=0.1, relative=True)), found)) == "not_evaluable"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pass"),
        ({"lower": 0.79}, "fail"),
        ({"lower": NAN}, "not_evaluable"),
        ({"confidence": 0.9}, "not_evaluable"),
        ({"status": "not_evaluable", "reason": "one slice"}, "not_evaluable"),
    ],
)
@pytest.mark.parametrize("champion", ["evaluated", "absent", "not_comparable"])
def test_parity(changes: dict[str, Any], expected: str, champion: str) -> None:
    numbers = {"ratio": 0.9, "lower": 0.8, "lowest": "a", "highest": "b", "slices": {}, "not_judged": {}}
    found = evaluation(champion=champion, it={**measured(), **numbers, **changes})
    assert answer(decide(section(gate("parity", by="shop", min_ratio=0.8)), found)) == expected


@pytest.mark.parametrize(
    ("that", "champion", "expected"),
    [
        ("auc >= 0.8", "absent", "pass"),
        ("auc > 0.8", "absent", "fail"),
        ("auc > champion.auc", "absent", "not_applicable"),
        ("auc > champion.auc", "not_comparable", "not_evaluable"),
        ("auc > champion.auc", "evaluated", "pass"),
        ("auc > champion.auc + 0.01", "evaluated", "fail"),
        ("loss < 1", "evaluated", "not_evaluable"),
    ],
)
def test_expressions(that: str, champion: str, expected: str) -> None:
    values = {"status": "ok", "reason": "", "metrics": {"auc": {"contender": 0.75, "champion": 0.745}}}
    unknown = {"status": "not_evaluable", "reason": "the champion cannot be run"}
    found = evaluation(champion=champion, it=unknown if champion == "not_comparable" else values)
    assert answer(decide(section(gate("expression", metric=None, better=None, that=that)), found)) == expected


@pytest.mark.parametrize(("contender", "promoted"), [(0.8, True), (0.79, False)])
def test_prefer_champion_looks_at_the_whole_holdout_of_a_gate_by_slice(contender: float, promoted: bool) -> None:
    """The slice that is nearest to its line may have lost while the model as a whole has gained."""
    found = evaluation(contender, it=by_slice(a=measured(gain=-0.001, lower=-0.005)) | {"gain": -0.001})
    rule = section(gate("not_worse", margin=0.01, by="shop"), prefer="champion")
    assert decide(rule, found)["promote"] is promoted


def test_prefer_champion_without_a_gated_metric_looks_at_every_metric() -> None:
    found = evaluation(0.79, it={"status": "ok", "reason": "", "bytes": 10})
    rule = gate("model_size", metric=None, better=None, max=100)
    assert decide(section(rule, prefer="fresher"), found)["promote"]
    assert not decide(section(rule, prefer="champion"), found)["promote"]
