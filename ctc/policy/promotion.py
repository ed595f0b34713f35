"""Whether a contender replaces the champion: every gate's answer, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

VERSION = 1


@dataclass(frozen=True)
class GateAnswer:
    """`not_applicable`: the gate compares with a champion, and there is none yet. `numbers` is JSON."""

    name: str
    kind: str
    answer: Literal["pass", "fail", "not_evaluable", "not_applicable"]
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "answer": self.answer,
            "reason": self.reason,
            "numbers": dict(self.numbers),
        }


def decide(section: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict document, from the `promotion` section and the evaluation document."""
    gates = section["gates"]
    answers = [_answer(gate, evaluation) for gate in gates]
    obstacle = _obstacle(answers)
    if not obstacle and section["prefer"] == "champion" and evaluation["champion"] != "absent":
        obstacle = _no_gain(gates, evaluation)
    return {
        "version": VERSION,
        "promote": not obstacle,
        "decision": "hold" if obstacle else "promote",
        "reason": obstacle or _praise(answers, evaluation),
        "gates": [answer.to_json() for answer in answers],
    }


def _answer(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    match gate["kind"]:
        case "range":
            return _range(gate, evaluation)
        case "not_worse" | "min_gain":
            return _relative(gate, evaluation)
        case kind:
            raise ValueError(f"unknown gate kind {kind!r} in the step document")


def _range(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    value = _value(evaluation, gate["metric"], "contender")
    if value is None:
        measured = (evaluation["metrics"].get(gate["metric"]) or {}).get("contender") or {}
        reason = measured.get("reason") or f"{gate['metric']} of the contender has no value"
        return GateAnswer(gate["name"], "range", "not_evaluable", reason)
    low, high = gate["min"], gate["max"]
    numbers = {"contender": value, "min": low, "max": high}
    if low is not None and value < low:
        return GateAnswer(gate["name"], "range", "fail", f"{gate['metric']} {value:g} is below {low:g}", numbers)
    if high is not None and value > high:
        return GateAnswer(gate["name"], "range", "fail", f"{gate['metric']} {value:g} is above {high:g}", numbers)
    return GateAnswer(gate["name"], "range", "pass", f"{gate['metric']} {value:g} is in range", numbers)


def _relative(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    name, kind = gate["name"], gate["kind"]
    if evaluation["champion"] == "absent":
        return GateAnswer(name, kind, "not_applicable", "there is no champion to compare with")
    measured = evaluation["gates"].get(name)
    missing = _missing(gate, measured, evaluation["champion"])
    if measured is None or missing:
        return GateAnswer(name, kind, "not_evaluable", missing)
    lower = float(measured["lower"])
    numbers = {key: measured.get(key) for key in ("contender", "champion", "gain", "se", "lower", "confidence", "n")}
    bound = f"the gain in {gate['metric']} is at least {lower:g} at {measured['confidence']:.4g} confidence"
    if kind == "not_worse":
        numbers["margin"] = gate["margin"]
        passed, wanted = lower >= -gate["margin"], f"at least {-gate['margin']:g} wanted"
    else:
        numbers["value"] = gate["value"]
        passed, wanted = lower > gate["value"], f"more than {gate['value']:g} wanted"
    return GateAnswer(name, kind, "pass" if passed else "fail", f"{bound}; {wanted}", numbers)


def _missing(gate: Mapping[str, Any], measured: Mapping[str, Any] | None, champion: str) -> str:
    """Why a comparison cannot be judged; empty if it can."""
    if champion == "not_comparable":
        return (measured or {}).get("reason") or "the champion cannot be run on these rows"
    if measured is None:
        return "the evaluation has no numbers for this gate"
    if measured["status"] != "ok":
        return measured.get("reason") or "the evaluation gives no reason"
    if _number(measured.get("gain")) is None or _number(measured.get("lower")) is None:
        return "the gain or its lower bound is not a number"
    confidence = _number(measured.get("confidence"))
    if confidence is None or confidence < gate["confidence"]:
        return f"the bound was computed at confidence {confidence}, the gate asks for {gate['confidence']}"
    return ""


def _obstacle(answers: Iterable[GateAnswer]) -> str:
    """Why the gates hold the contender back; empty if they do not. A failed gate is named before one without answer."""
    answers = tuple(answers)
    if not answers:
        return "there is no gate: nothing says that the contender may replace the champion"
    failed = [f"{answer.name}: {answer.reason}" for answer in answers if answer.answer == "fail"]
    if failed:
        return "; ".join(failed)
    return "; ".join(
        f"{answer.name} is not evaluable: {answer.reason}" for answer in answers if answer.answer == "not_evaluable"
    )


def _no_gain(gates: Iterable[Mapping[str, Any]], evaluation: Mapping[str, Any]) -> str:
    """`prefer: champion` keeps the champion unless the estimated gain is above 0 wherever the gates compare.

    Gates that compare nothing say where to look by their metrics.
    """
    gates = tuple(gates)
    relative = [gate for gate in gates if gate["kind"] != "range"]
    for gate in relative or gates:
        gain = _number(evaluation["gates"][gate["name"]]["gain"]) if relative else _gain(gate, evaluation)
        if gain is None:
            return f"prefer: champion needs the gain in {gate['metric']}, and the champion has no value"
        if gain <= 0:
            return f"prefer: champion, and the estimated gain in {gate['metric']} is {gain:g}"
    return ""


def _gain(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> float | None:
    contender = _value(evaluation, gate["metric"], "contender")
    champion = _value(evaluation, gate["metric"], "champion")
    if contender is None or champion is None:
        return None
    return contender - champion if gate["better"] == "higher" else champion - contender


def _praise(answers: Iterable[GateAnswer], evaluation: Mapping[str, Any]) -> str:
    passed = sum(answer.answer == "pass" for answer in answers)
    if evaluation["champion"] == "absent":
        return f"the first champion: all {passed} gates that need no champion pass"
    return f"all {passed} gates pass"


def _value(evaluation: Mapping[str, Any], metric: str, model: Literal["contender", "champion"]) -> float | None:
    measured = (evaluation["metrics"].get(metric) or {}).get(model) or {}
    return _number(measured.get("value"))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
