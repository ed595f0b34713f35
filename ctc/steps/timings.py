"""What latency gates are answered from: the times that the probe wrote, as quantiles with their upper bounds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctc.policy import latency
from ctc.steps.task import StepFailed

FILE = "timings.json"

QUANTILES = {"p50": 0.5, "p99": 0.99}


def answers(policy: Mapping[str, Any], inputs: Mapping[str, Path]) -> dict[str, Any]:
    """The numbers of each latency gate by its name; seconds, null where a request was never answered."""
    return {
        gate["name"]: _answer(_read(inputs[gate["timings"]] / FILE), float(gate["confidence"]))
        for gate in policy["promotion"]["gates"]
        if gate["kind"] == "latency"
    }


def _answer(timings: Mapping[str, Any], confidence: float) -> dict[str, Any]:
    failed = sum(timings["failures"].values())
    seconds = timings["seconds"]
    found = {name: latency.quantile(seconds, failed, q, confidence) for name, q in QUANTILES.items()}
    return {
        "status": "ok",
        "reason": "",
        "requests": len(seconds) + failed,
        "failed": failed,
        "failures": dict(timings["failures"]),
        "rate": timings["rate"],
        "sent_rate": timings["sent_rate"],
        "ready_seconds": timings["ready_seconds"],
        "confidence": confidence,
        **{
            name: {"value": _finite(item.value), "upper": _finite(item.upper), "needed": item.needed}
            for name, item in found.items()
        },
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value


def _read(file: Path) -> dict[str, Any]:
    """StepFailed for what the probe does not write."""
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        known = {name: document[name] for name in ("seconds", "failures", "rate", "sent_rate", "ready_seconds")}
        if not known["seconds"] and not known["failures"]:
            raise ValueError("there is no time in it")
        return known
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"the timings {file} cannot be read ({error}): run the attempt again") from error
