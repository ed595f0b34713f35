"""The step `decide`: the promotion policy on the evaluation."""

from __future__ import annotations

import json

from ctc.policy import promotion
from ctc.steps.ports import Services
from ctc.steps.results import read_evaluation
from ctc.steps.task import Result, Task


def run(task: Task, services: Services) -> Result:
    """Writes `verdict.json`; the flag `promote` is its answer. A hold is a normal end."""
    verdict = promotion.decide(task.policy["promotion"], read_evaluation(task))
    path = task.outputs["verdict"] / "verdict.json"
    path.write_text(json.dumps(verdict, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return Result("ok", {"promote": verdict["promote"]}, verdict["reason"], verdict)
