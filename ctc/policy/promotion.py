"""Whether a contender replaces the champion: every gate's answer, and the verdict that follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ctc.language import comparison

VERSION = 1

RELATIVE = frozenset({"not_worse", "min_gain", "forgetting"})
"""The kinds of gate that compare with the champion."""

Answer = Literal["pass", "fail", "not_evaluable", "not_applicable"]


@dataclass(frozen=True)
class GateAnswer:
    """`not_applicable`: the gate compares with a champion, and there is none yet. `numbers` is JSON."""

    name: str
    kind: str
    answer: Answer
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
    """The verdict document, from the `promotion` section and the evaluation document.

    `decision` is promote, hold, or ask: then no gate failed, some are not evaluable, and a person is to decide.
    `promote` is true for ask too, so that there is a version to ask about.
    """
    gates = section["gates"]
    answers = [_answer(gate, evaluation) for gate in gates]
    failed, unknown = _failed(answers), _unknown(answers)
    asks = section["if_not_evaluable"] == "ask" and bool(unknown)
    obstacle = failed or ("" if asks else unknown)
    if not obstacle and not asks and section["prefer"] == "champion" and evaluation["champion"] != "absent":
        obstacle = _no_gain(gates, evaluation)
    return {
        "version": VERSION,
        "promote": not obstacle,
        "decision": "hold" if obstacle else "ask" if asks else "promote",
        "reason": obstacle or (unknown if asks else _praise(answers, evaluation)),
        "gates": [answer.to_json() for answer in answers],
    }


def _answer(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    kind = gate["kind"]
    if kind not in _RULES:
        raise ValueError(f"unknown gate kind {kind!r} in the step document")
    return _RULES[kind](gate, evaluation)


def _range(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    value = _value(evaluation, gate["metric"], "contender")
    if value is None:
        measured = (evaluation["metrics"].get(gate["metric"]) or {}).get("contender") or {}
        reason = measured.get("reason") or f"{gate['metric']} of the contender has no value"
        return GateAnswer(gate["name"], "range", "not_evaluable", reason)
    if gate.get("by") is not None:
        return _range_by_slice(gate, evaluation)
    said, inside = _within(gate, value)
    numbers = {"contender": value, "min": gate["min"], "max": gate["max"]}
    return GateAnswer(gate["name"], "range", "pass" if inside else "fail", said, numbers)


def _range_by_slice(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    """The range in each value of the slice that has enough rows. A range is no test: there is nothing to correct."""
    by, metric = gate["by"], gate["metric"]
    small = (evaluation.get("not_judged") or {}).get(by) or {}
    parts = evaluation["slices"].get(by) or {}
    values = {value: _number(part["metrics"][metric]["contender"]) for value, part in parts.items()}
    numbers = {"min": gate["min"], "max": gate["max"], "slices": values, "not_judged": small}
    judged = {value: _within(gate, found) for value, found in values.items() if found is not None}
    failed = [f"{by} {value}: {said}" for value, (said, inside) in judged.items() if not inside]
    unknown = [value for value, found in values.items() if found is None]
    if failed:
        return GateAnswer(gate["name"], "range", "fail", _listed(failed), numbers)
    if unknown or not judged:
        reason = f"{metric} has no value in {by} {_listed(unknown, ', ')}" if unknown else _all_small(by)
        return GateAnswer(gate["name"], "range", "not_evaluable", reason, numbers)
    reason = f"{metric} is in range in all {len(judged)} values of {by}{_left_out(small)}"
    return GateAnswer(gate["name"], "range", "pass", reason, numbers)


def _within(gate: Mapping[str, Any], value: float) -> tuple[str, bool]:
    low, high = gate["min"], gate["max"]
    if low is not None and value < low:
        return f"{gate['metric']} {value:g} is below {low:g}", False
    if high is not None and value > high:
        return f"{gate['metric']} {value:g} is above {high:g}", False
    return f"{gate['metric']} {value:g} is in range", True


def _relative(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    name, kind = gate["name"], gate["kind"]
    if evaluation["champion"] == "absent":
        return GateAnswer(name, kind, "not_applicable", "there is no champion to compare with")
    measured = evaluation["gates"].get(name)
    if gate.get("by") is not None and measured is not None and measured.get("slices"):
        return _relative_by_slice(gate, measured, evaluation["champion"])
    missing = _missing(gate, measured, evaluation["champion"])
    if measured is None or missing:
        return GateAnswer(name, kind, "not_evaluable", missing)
    said, passed = _bounded(gate, measured)
    return GateAnswer(name, kind, "pass" if passed else "fail", said, _compared(gate, measured))


def _relative_by_slice(gate: Mapping[str, Any], measured: Mapping[str, Any], champion: str) -> GateAnswer:
    """Every value of the slice must pass, each at its own level of Holm's."""
    by, parts = gate["by"], measured["slices"]
    missing = {value: said for value, part in parts.items() if (said := _missing(gate, part, champion))}
    judged = {value: _bounded(gate, part) for value, part in parts.items() if value not in missing}
    numbers = {
        "worst": measured.get("worst"),
        "slices": {value: _compared(gate, part) for value, part in parts.items() if value in judged},
        "not_judged": measured["not_judged"],
    }
    failed = [f"{by} {value}: {said}" for value, (said, passed) in judged.items() if not passed]
    if failed:
        return GateAnswer(gate["name"], gate["kind"], "fail", _listed(failed), numbers)
    if missing:
        reason = _listed([f"{by} {value}: {said}" for value, said in missing.items()])
        return GateAnswer(gate["name"], gate["kind"], "not_evaluable", reason, numbers)
    worst = measured["worst"]
    reason = f"all {len(judged)} values of {by} pass{_left_out(measured['not_judged'])}; the nearest is {worst}: "
    return GateAnswer(gate["name"], gate["kind"], "pass", reason + judged[worst][0], numbers)


def _bounded(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[str, bool]:
    """Whether the bound reaches the gate's line, in a sentence."""
    lower = float(measured["lower"]) + 0.0  # a zero has no sign
    bound = f"the gain in {gate['metric']} is at least {lower:g} at {measured['confidence']:.4g} confidence"
    if gate["kind"] == "min_gain":
        return f"{bound}; more than {gate['value']:g} wanted", lower > gate["value"]
    margin = _margin(gate, measured)
    of = f", {100 * gate['margin']:g}% of the champion's value" if gate.get("relative") else ""
    return f"{bound}; at least {-margin:g} wanted{of}", lower >= -margin


def _margin(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> float:
    return float(measured["margin"] if gate.get("relative") else gate["margin"])


_COMPARED = ("contender", "champion", "gain", "se", "lower", "confidence", "p", "method", "n", "units", "mcnemar_p")


def _compared(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a comparison, and of its line."""
    numbers = {key: measured[key] for key in _COMPARED if measured.get(key) is not None}
    if gate["kind"] == "min_gain":
        return {**numbers, "value": gate["value"]}
    return {**numbers, "margin": _margin(gate, measured)}


def _parity(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    """The bound of the ratio of the contender's lowest slice to its highest; no champion is needed."""
    measured = evaluation["gates"].get(gate["name"])
    missing = _unmeasured(measured) or _too_weak(gate, measured or {})
    if measured is None or missing:
        return GateAnswer(gate["name"], "parity", "not_evaluable", missing)
    lower, least = _number(measured["lower"]), gate["min_ratio"]
    if lower is None:
        return GateAnswer(gate["name"], "parity", "not_evaluable", "the bound of the ratio is not a number")
    kept = ("ratio", "lower", "confidence", "lowest", "highest", "slices", "not_judged", "n")
    numbers = {key: measured[key] for key in kept} | {"min_ratio": least}
    reason = (
        f"{gate['metric']} of {gate['by']} {measured['lowest']} is {measured['ratio']:.4g} of that of "
        f"{measured['highest']}, and at least {lower:.4g} at {measured['confidence']:.4g} confidence; "
        f"at least {least:g} wanted{_left_out(measured['not_judged'])}"
    )
    return GateAnswer(gate["name"], "parity", "pass" if lower >= least else "fail", reason, numbers)


def _model_size(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    size = _number((evaluation["gates"].get(gate["name"]) or {}).get("bytes"))
    if size is None:
        return GateAnswer(gate["name"], "model_size", "not_evaluable", "the evaluation was not given the model")
    numbers = {"bytes": int(size), "max": gate["max"]}
    fits = size <= gate["max"]
    reason = f"the model's files have {size:,.0f} bytes; at most {gate['max']:,.0f} allowed"
    return GateAnswer(gate["name"], "model_size", "pass" if fits else "fail", reason, numbers)


def _latency(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    """The upper bounds of the quantiles that the gate limits; a request that failed counts as never answered."""
    name, measured = gate["name"], evaluation["gates"].get(gate["name"])
    missing = _unmeasured(measured) or _too_weak(gate, measured or {})
    if measured is None or missing:
        return GateAnswer(name, "latency", "not_evaluable", missing)
    limits = {q: float(gate[q]) for q in ("p50", "p99") if gate.get(q) is not None}
    kept = ("requests", "failed", "failures", "rate", "sent_rate", "ready_seconds", "confidence")
    numbers = {key: measured[key] for key in kept}
    said, slow, few = [], [], []
    for q, limit in limits.items():
        found = measured[q]
        numbers |= {q: found["value"], f"{q}_upper": found["upper"], f"{q}_max": limit}
        if found["needed"] > measured["requests"]:
            few.append(f"{measured['requests']} requests; the bound of {q} needs {found['needed']}")
            continue
        upper = _number(found["upper"])
        bound = "unanswered for some" if upper is None else f"at most {1000 * upper:.4g} ms"
        said.append(f"{q} is {bound} at {measured['confidence']:.4g} confidence; {1000 * limit:g} ms allowed")
        if upper is None or upper > limit:
            slow.append(said[-1])
    failures = _listed([f"{count} x {why}" for why, count in measured["failures"].items()], ", ")
    unanswered = f"; {measured['failed']} of {measured['requests']} requests failed: {failures}" if failures else ""
    if slow or few:
        reason = _listed(slow or few) + unanswered
        return GateAnswer(name, "latency", "fail" if slow else "not_evaluable", reason, numbers)
    return GateAnswer(name, "latency", "pass", _listed(said) + unanswered, numbers)


def _expression(gate: Mapping[str, Any], evaluation: Mapping[str, Any]) -> GateAnswer:
    """A comparison of metrics of the whole holdout; if it names the champion, of the rows after both trainings."""
    name, that = gate["name"], gate["that"]
    ours = {metric: _value(evaluation, metric, "contender") for metric in evaluation["metrics"]}
    theirs: dict[str, float | None] = {}
    if comparison.names_champion(that):
        if evaluation["champion"] == "absent":
            return GateAnswer(name, "expression", "not_applicable", "there is no champion to compare with")
        measured = evaluation["gates"].get(name)
        missing = _unmeasured(measured)
        if measured is None or missing:
            return GateAnswer(name, "expression", "not_evaluable", missing)
        ours = {metric: _number(found["contender"]) for metric, found in measured["metrics"].items()}
        theirs = {metric: _number(found["champion"]) for metric, found in measured["metrics"].items()}
    try:
        found = comparison.compare(that, ours, theirs)
    except comparison.NoNumber as error:
        return GateAnswer(name, "expression", "not_evaluable", f"{that}: {error}")
    named = {
        ("champion." if champion else "") + metric: (theirs if champion else ours)[metric]
        for metric, champion in comparison.names(that)
    }
    numbers = {"left": found.left, "right": found.right, **named}
    reason = f"{that}: {found.left:g} {found.sign} {found.right:g} {'holds' if found.holds else 'does not hold'}"
    return GateAnswer(name, "expression", "pass" if found.holds else "fail", reason, numbers)


_RULES: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], GateAnswer]] = {
    "range": _range,
    "not_worse": _relative,
    "min_gain": _relative,
    "forgetting": _relative,
    "parity": _parity,
    "model_size": _model_size,
    "latency": _latency,
    "expression": _expression,
}


def _missing(gate: Mapping[str, Any], measured: Mapping[str, Any] | None, champion: str) -> str:
    """Why a comparison cannot be judged; empty if it can."""
    if champion == "not_comparable":
        return (measured or {}).get("reason") or "the champion cannot be run on these rows"
    missing = _unmeasured(measured)
    if measured is None or missing:
        return missing
    if _number(measured.get("gain")) is None or _number(measured.get("lower")) is None:
        return "the gain or its lower bound is not a number"
    if gate.get("relative") and _number(measured.get("margin")) is None:
        return "what the relative margin comes to is not a number"
    return _too_weak(gate, measured)


def _unmeasured(measured: Mapping[str, Any] | None) -> str:
    if measured is None:
        return "the evaluation has no numbers for this gate"
    if measured["status"] != "ok":
        return measured.get("reason") or "the evaluation gives no reason"
    return ""


def _too_weak(gate: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    confidence = _number(measured.get("confidence"))
    if confidence is None or confidence < gate["confidence"]:
        return f"the bound was computed at confidence {confidence}, the gate asks for {gate['confidence']}"
    return ""


def _failed(answers: Iterable[GateAnswer]) -> str:
    """Why the contender is refused; empty if it is not. No gate at all refuses it too."""
    answers = tuple(answers)
    if not answers:
        return "there is no gate: nothing says that the contender may replace the champion"
    return "; ".join(f"{answer.name}: {answer.reason}" for answer in answers if answer.answer == "fail")


def _unknown(answers: Iterable[GateAnswer]) -> str:
    """Which gates have no answer, and why; empty if all have one."""
    return "; ".join(
        f"{answer.name} is not evaluable: {answer.reason}" for answer in answers if answer.answer == "not_evaluable"
    )


def _no_gain(gates: Iterable[Mapping[str, Any]], evaluation: Mapping[str, Any]) -> str:
    """`prefer: champion` keeps the champion unless the estimated gain is above 0 wherever the gates compare.

    Gates that compare nothing say where to look by their metrics; without these every metric is looked at.
    """
    gates = tuple(gates)
    every = [{"metric": name, "better": found["better"]} for name, found in evaluation["metrics"].items()]
    directed = [gate for gate in gates if gate["metric"] is not None and gate["better"] in ("higher", "lower")]
    relative = [gate for gate in directed if gate["kind"] in RELATIVE]
    for gate in relative or directed or [found for found in every if found["better"] != "neither"]:
        whole = gate in relative and gate.get("by") is None
        measured = evaluation["gates"].get(gate["name"]) if whole else None
        gain = _number((measured or {}).get("gain")) if whole else _gain(gate, evaluation)
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
        which = "need no champion pass" if passed != 1 else "needs no champion passes"
        return f"the first champion: {'the gate' if passed == 1 else f'all {passed} gates'} that {which}"
    return "the gate passes" if passed == 1 else f"all {passed} gates pass"


def _value(evaluation: Mapping[str, Any], metric: str, model: Literal["contender", "champion"]) -> float | None:
    measured = (evaluation["metrics"].get(metric) or {}).get(model) or {}
    return _number(measured.get("value"))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


_SHOWN = 5


def _listed(parts: Iterable[str], between: str = "; ") -> str:
    parts = list(parts)
    more = f"{between}and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return between.join(parts[:_SHOWN]) + more


def _left_out(small: Mapping[str, str]) -> str:
    """Values that are too small to judge, in a few words; empty if there are none."""
    return f" (not judged, too small: {_listed(small, ', ')})" if small else ""


def _all_small(by: str) -> str:
    return f"no value of the slice {by} has enough rows"
