"""Whether a version that rolls out keeps its limits: of its server's answers, and of the scores that it gave live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ctc.policy import latency, live_rules
from ctc.policy.evidence import Answered, LimitAnswer
from ctc.policy.profile import Column

LEAST = 100
"""Requests, and rows of each side, below which nothing is said. Of fewer, one slow answer is the 99th percentile, and
ten bins of two samples of the same data have a PSI of 0.2 by chance."""

_QUANTILES = {"p50": 0.5, "p99": 0.99}
_CONFIDENCE = 0.975
_SHOWN = 2


def judge_answers(limit: Mapping[str, Any], answered: Answered) -> LimitAnswer:
    """A limit of the kind `error_rate` or `latency`, as the document has it; the estimate may be at its line."""
    if answered.requests < LEAST:
        reason = f"{answered.requests} requests; {LEAST} are needed"
        return LimitAnswer(limit["name"], "not_evaluable", reason, {"requests": answered.requests})
    return (_error_rate if limit["kind"] == "error_rate" else _latency)(limit, answered)


def _error_rate(limit: Mapping[str, Any], answered: Answered) -> LimitAnswer:
    most, share = float(limit["arguments"]["max"]), answered.failed / answered.requests
    numbers = {"requests": answered.requests, "failed": answered.failed, "value": share, "max": most}
    reason = f"{answered.failed} of {answered.requests} requests failed, {100 * most:.4g} % may"
    if answered.failures:
        usual = sorted(answered.failures.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
        reason += f" ({'; '.join(f'{count} x {what}' for what, count in usual)})"
    return LimitAnswer(limit["name"], "fail" if share > most else "pass", reason, numbers)


def _latency(limit: Mapping[str, Any], answered: Answered) -> LimitAnswer:
    numbers: dict[str, Any] = {"requests": answered.requests, "failed": answered.failed}
    said, over = [], False
    for name, q in _QUANTILES.items():
        most = limit["arguments"].get(name)
        if most is None:
            continue
        found = latency.quantile(answered.seconds, answered.failed, q, _CONFIDENCE).value
        numbers[name] = {"value": None if math.isinf(found) else found, "max": most}
        took = "never" if math.isinf(found) else f"{1000 * found:.3g} ms"
        said.append(f"{name} is {took}, {1000 * most:.3g} ms allowed")
        over = over or found > most
    reason = f"{', '.join(said)} ({answered.requests} requests)"
    return LimitAnswer(limit["name"], "fail" if over else "pass", reason, numbers)


def judge_scores(
    limit: Mapping[str, Any], champion: Mapping[str, Column | str], contender: Mapping[str, Column | str]
) -> LimitAnswer:
    """A limit of the kind `drift`: what the contender answered live against what the champion did, column by column.

    One column above `max` fails; the numbers are those of the trigger and the check of that name.
    """
    arguments = limit["arguments"]
    over, reason, numbers = live_rules.judge_drift(
        arguments["method"],
        list(arguments["columns"]),
        champion,
        contender,
        line=live_rules.fixed_line(float(arguments["max"])),
        min_rows=LEAST,
    )
    return LimitAnswer(limit["name"], "not_evaluable" if over is None else "fail" if over else "pass", reason, numbers)
