"""The step `record`, always the last: what became of the attempt, from what its steps left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctc import __version__
from ctc.policy.records import record_key
from ctc.policy.windows import format_instant
from ctc.steps import record_job, results
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

VERSION = 1


@dataclass(frozen=True)
class _End:
    """How the attempt ended. `error` is the failed step's message, empty unless it failed."""

    outcome: str
    reason: str
    error: str = ""


def run(task: Task, services: Services) -> Result:
    """Writes the attempt's record, unless one is there: a wake that gave the attempt up has the last word.

    A batch job ends with this step too: what was asked for tells which of them it is.
    """
    if "serving" in results.request(services.objects, task.attempt):
        return record_job.run(task, services)
    found = results.load(services.objects, task.attempt)
    statuses = results.statuses(os.environ.get("CTC_STATUS_DIR", ""), task.policy["steps"]["users"])
    end = _end(_steps(task), found, statuses)
    request = results.request(services.objects, task.attempt)
    document = _record(task, request, found, statuses, end)
    written = services.objects.put_once(record_key(task.attempt), document)
    reason = f"{end.outcome}: {end.reason}" if written else "the attempt already has a record, and it stands"
    return Result("ok", reason=reason, numbers={"outcome": end.outcome, "written": written})


def _end(
    steps: tuple[str, ...], found: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, Mapping[str, Any]]
) -> _End:
    for step in steps:
        said = found.get(step) or statuses.get(step)
        if said is not None and said["status"] == "failed":
            error = said["reason"] if step in found else said["error"]
            return _End("failed", f"{step} failed", error)
    for result in found.values():
        if result["status"] == "stop":
            return _End("stopped", result["reason"])
    decided = found.get("decide")
    if decided is not None and not decided["flags"]["promote"]:
        return _End("held", decided["reason"])
    if decided is not None and "register" in found:
        return _End("candidate", decided["reason"])
    silent = _silent(steps, found, statuses)
    return _End(
        "failed",
        f"no result of {silent[0]}",
        f"{' or '.join(silent)} ended without a result: the process was ended from outside, or its image could not be "
        "started; look into the platform's log of the step",
    )


def _silent(steps: tuple[str, ...], found: Mapping[str, Any], statuses: Mapping[str, Any]) -> list[str]:
    """The steps of which one died in silence: those after the last one heard, up to the next that would speak."""
    heard = [index for index, step in enumerate(steps) if step in found or step in statuses]
    rest = steps[max(heard, default=-1) + 1 :] or steps[-1:]
    speaking = next((index for index, step in enumerate(rest) if statuses or step in results.OURS), len(rest) - 1)
    return list(rest[: speaking + 1])


def _record(
    task: Task,
    request: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    statuses: Mapping[str, Mapping[str, Any]],
    end: _End,
) -> dict[str, Any]:
    numbers = {step: found[step]["numbers"] if step in found else {} for step in results.OURS}
    champion = request.get("champion")
    document = task.document
    return {
        "version": VERSION,
        "kind": "attempt",
        "id": task.attempt,
        "name": document["name"],
        "environment": document["environment"],
        "target": document["target"],
        "instant": format_instant(task.instant),
        "spec_digest": document["spec_digest"],
        "triggers": list(request.get("triggers", [])),
        "outcome": end.outcome,
        "reason": end.reason,
        "windows": numbers["snapshot"].get("windows", {}),
        "data": numbers["snapshot"].get("data", {}),
        "checks": numbers["validate"].get("checks", []),
        "evaluation": numbers["evaluate"],
        "policy": {"promotion": dict(document["policy"]["promotion"])},
        "decision": numbers["decide"],
        "candidate": numbers["register"] if end.outcome == "candidate" else None,
        "champion": None if champion is None else champion["version"],
        "steps": {step: {"status": status} for step, status in _step_statuses(_steps(task), found, statuses).items()},
        "error": end.error,
        "versions": {"ctc": __version__},
    }


def _steps(task: Task) -> tuple[str, ...]:
    """The steps that this pipeline has."""
    return results.steps(task.policy["steps"]["users"])


def _step_statuses(
    steps: tuple[str, ...], found: Mapping[str, Mapping[str, Any]], statuses: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Every step's status. One that left no trace went well if a later one has a result, else it did not end."""
    answers: dict[str, str] = {}
    later = False
    for step in reversed(steps):
        said = found.get(step) or statuses.get(step)
        answers[step] = said["status"] if said is not None else ("ok" if later else "not_run")
        later = later or step in found
    return {step: answers[step] for step in steps}
