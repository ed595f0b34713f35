"""What each gate is answered from: the gain and its bound, by slice where it asks, and what concerns one model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ctc.language import comparison
from ctc.policy.statistics import NotEvaluable, holm
from ctc.steps import gains
from ctc.steps.gains import Gain, Pair
from ctc.steps.judged import Indices, Judged, Part
from ctc.steps.predictions import Predictions
from ctc.steps.slices import Slice

RELATIVE = frozenset({"not_worse", "min_gain", "forgetting"})
"""The kinds of gate that compare with the champion."""


@dataclass(frozen=True)
class Champion:
    """The champion's predictions, or why there are none: `state` is evaluated, absent or not_comparable."""

    state: str
    predictions: Predictions | None = None
    reason: str = ""


@dataclass(frozen=True)
class Models:
    """Both models on the judged rows; `compared` are the rows after both models' training end.

    `too_small` says why rows are too few to judge on, empty if they are not.
    """

    judged: Judged
    contender: Predictions
    champion: Champion
    compared: Indices
    too_small: Callable[[Indices], str]


def answers(policy: Mapping[str, Any], models: Models, model_bytes: int | None) -> dict[str, Any]:
    """What the gates are answered from, by name; a comparing one is left out where there is no champion."""
    known = {metric["name"]: metric for metric in policy["evaluation"]["metrics"]}
    found: dict[str, Any] = {}
    for gate in policy["promotion"]["gates"]:
        try:
            answer = _answer(gate, known, models, model_bytes)
        except NotEvaluable as error:
            answer = unanswered(str(error), len(models.compared) if models.champion.predictions else 0)
        if answer is not None:
            found[gate["name"]] = answer
    return found


def unanswered(reason: str, n: int) -> dict[str, Any]:
    numbers = dict.fromkeys(("contender", "champion", "gain", "se", "lower", "confidence", "method"))
    return {"status": "not_evaluable", "reason": reason, **numbers, "n": n}


def _answer(
    gate: Mapping[str, Any], known: Mapping[str, Any], models: Models, model_bytes: int | None
) -> dict[str, Any] | None:
    match gate["kind"]:
        case "not_worse" | "min_gain":
            if models.champion.state == "absent":
                return None
            return _relative(gate, known[gate["metric"]], models)
        case "forgetting":
            if models.champion.state == "absent":
                return None
            return _forgetting(gate, known[gate["metric"]], models)
        case "parity":
            return _parity(gate, known[gate["metric"]], models)
        case "model_size":
            return {"status": "ok", "reason": "", "bytes": model_bytes}
        case "expression" if comparison.names_champion(gate["that"]) and models.champion.state != "absent":
            return _named(gate, known, models)
        case _:
            return None


def _relative(gate: Mapping[str, Any], metric: Mapping[str, Any], models: Models) -> dict[str, Any]:
    rows = _comparable(models)
    if gate.get("by") is None:
        gain = _gain(gate, metric, models, rows, gate["name"])
        return _told(gate, gain, float(gate["confidence"]))
    return _by_slice(gate, metric, models, rows)


def _forgetting(gate: Mapping[str, Any], metric: Mapping[str, Any], models: Models) -> dict[str, Any]:
    """The comparison on the rows of a fixed source, which no model learns from. NotEvaluable if there are none."""
    if models.champion.predictions is None:
        raise NotEvaluable(models.champion.reason)
    rows = models.judged.fixed.get(gate["source"])
    if rows is None:
        raise NotEvaluable(f"the snapshot has no rows of the source {gate['source']}")
    return _told(gate, _gain(gate, metric, models, rows, gate["name"]), float(gate["confidence"]))


def _comparable(models: Models) -> Indices:
    """The rows that both models are compared on. NotEvaluable where they are too few, or one model has none."""
    if models.champion.predictions is None:
        raise NotEvaluable(models.champion.reason)
    small = models.too_small(models.compared)
    if small:
        raise NotEvaluable(f"after both models' training end: {small}")
    return models.compared


def _gain(gate: Mapping[str, Any], metric: Mapping[str, Any], models: Models, rows: Indices, name: str) -> Gain:
    part = models.judged.part(rows)
    assert models.champion.predictions is not None
    ours, theirs = (
        models.judged.scores(metric, model, part) for model in (models.contender, models.champion.predictions)
    )
    share = float(gate["margin"]) if gate.get("relative") else 0.0
    seed = gains.seed_of(name, metric["name"])
    return gains.compared(Pair(metric, part, ours, theirs), share=share, seed=seed, better=gate["better"])


def _line(gate: Mapping[str, Any], gain: Gain) -> float:
    """The gain that the bound must reach."""
    if gate["kind"] == "min_gain":
        return float(gate["value"])
    return -(gain.allowed if gate.get("relative") else float(gate["margin"]))


def _told(gate: Mapping[str, Any], gain: Gain, confidence: float) -> dict[str, Any]:
    told = {
        "status": "ok",
        "reason": "",
        "contender": gain.contender,
        "champion": gain.champion,
        "gain": gain.gain,
        "se": gain.se,
        "lower": gain.lower(confidence),
        "confidence": confidence,
        "method": gain.method,
        "n": gain.n,
        **gain.more,
    }
    if gain.units is not None:
        told["units"] = gain.units
    if gate.get("relative"):
        told["margin"] = gain.allowed
    return told


def _by_slice(gate: Mapping[str, Any], metric: Mapping[str, Any], models: Models, rows: Indices) -> dict[str, Any]:
    """The comparison in each value of a slice, each at its level of Holm's; the one nearest to its line stands for all.

    NotEvaluable if all values are too small.
    """
    parts, small = _values(models.judged.slices[gate["by"]], models.judged, rows)
    found: dict[str, Gain] = {}
    reasons: dict[str, str] = {}
    for value, own in parts.items():
        try:
            found[value] = _gain(gate, metric, models, own, f"{gate['name']}\n{value}")
        except NotEvaluable as error:
            reasons[value] = str(error)
    level = 1 - float(gate["confidence"])
    p_values = [gain.p(_line(gate, gain)) for gain in found.values()]
    told = {
        value: _told(gate, gain, _confidence(gate, own, level)) | {"p": p}
        for (value, gain), p, own in zip(found.items(), p_values, holm(p_values, level), strict=True)
    }
    told |= {value: unanswered(reason, len(parts[value])) for value, reason in reasons.items()}
    whole = unanswered("no value of the slice has an answer", len(rows))
    if found:
        worst = min(found, key=lambda value: told[value]["lower"] - _line(gate, found[value]))
        whole = {**told[worst], "worst": worst}
    return {**whole, "by": gate["by"], "slices": dict(sorted(told.items())), "not_judged": small}


def _confidence(gate: Mapping[str, Any], own: float, level: float) -> float:
    return float(gate["confidence"]) if own == level else 1 - own


def _values(part: Slice, judged: Judged, rows: Indices) -> tuple[dict[str, Indices], dict[str, str]]:
    parts, small, count = part.parts(rows, judged.positive)
    if not parts:
        raise NotEvaluable(f"none of the {count} values of the slice {part.name} has enough rows")
    return parts, small


def _parity(gate: Mapping[str, Any], metric: Mapping[str, Any], models: Models) -> dict[str, Any]:
    """The contender's lowest slice to its highest. NotEvaluable with fewer than two slices, or values not above 0."""
    small = models.too_small(models.judged.every)
    if small:
        raise NotEvaluable(small)
    rows, reasons = _values(models.judged.slices[gate["by"]], models.judged, models.judged.every)
    if len(rows) < 2:
        raise NotEvaluable(f"one value of the slice {gate['by']} has enough rows; a ratio needs two")
    parts = {value: models.judged.part(own) for value, own in rows.items()}
    scores = {value: models.judged.scores(metric, models.contender, part) for value, part in parts.items()}
    values = {}
    for value, part in parts.items():
        try:
            values[value] = gains.measured(metric, part, scores[value])
        except NotEvaluable as error:
            raise NotEvaluable(f"{gate['by']} {value}: {error}") from error
    lowest, highest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    if values[lowest] < 0 or values[highest] <= 0:
        raise NotEvaluable(f"a ratio needs values above 0; {gate['by']} {lowest} has {values[lowest]:g}")
    bound = gains.ratio_bound(
        metric,
        (parts[lowest], scores[lowest]),
        (parts[highest], scores[highest]),
        seed=gains.seed_of(gate["name"], metric["name"]),
        confidence=float(gate["confidence"]),
    )
    return {
        "status": "ok",
        "reason": "",
        "ratio": values[lowest] / values[highest],
        "lower": bound,
        "confidence": float(gate["confidence"]),
        "method": "bootstrap",
        "lowest": lowest,
        "highest": highest,
        "slices": {value: {"value": found, "n": len(rows[value])} for value, found in sorted(values.items())},
        "not_judged": reasons,
        "n": len(models.judged.every),
    }


def _named(gate: Mapping[str, Any], known: Mapping[str, Any], models: Models) -> dict[str, Any]:
    """Both models' metrics that an expression names, on the rows that both are compared on."""
    part = models.judged.part(_comparable(models))
    assert models.champion.predictions is not None
    pair = {"contender": models.contender, "champion": models.champion.predictions}
    values = {
        metric: {
            name: gains.measured(known[metric], part, models.judged.scores(known[metric], model, part))
            for name, model in pair.items()
        }
        for metric in comparison.metrics_of(gate["that"])
    }
    return {"status": "ok", "reason": "", "metrics": values, "n": len(part.rows)}


def whole(part: Part, metric: Mapping[str, Any], scores: Any, too_small: str) -> dict[str, Any]:
    """One metric of one model: value and 95 % interval, or the reason why there is none."""
    nothing = {"value": None, "low": None, "high": None, "n": len(part.rows)}
    if too_small:
        return {**nothing, "reason": too_small}
    try:
        value = gains.measured(metric, part, scores())
    except NotEvaluable as error:
        return {**nothing, "reason": str(error)}
    try:
        interval = gains.interval(metric, part, scores())
    except NotEvaluable:
        return {**nothing, "value": value}
    return {"value": value, "low": interval.low, "high": interval.high, "n": len(part.rows)}
