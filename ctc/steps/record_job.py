"""The end of a batch job: what became of it, from what its steps left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ctc.policy.records import UNKNOWN, Identity, job_head, record_key
from ctc.steps import results
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

STEPS = ("rows", "predict-champion", "publish")
"""The steps of the pipeline before the last, in order."""

Found = Mapping[str, Mapping[str, Any]]


def run(task: Task, services: Services) -> Result:
    """Writes the job's record, unless a wake that gave it up was first."""
    request = results.request(services.objects, task.attempt)
    found = {
        **results.statuses(os.environ.get("CTC_STATUS_DIR", ""), STEPS),
        **results.load(services.objects, task.attempt, results.OF_A_JOB),
    }
    document = task.document
    identity = Identity(document["name"], document["environment"], document["target"], document["spec_digest"])
    ended = _end(found)
    record = {
        **job_head(identity, task.attempt, task.instant, request),
        **ended,
        **UNKNOWN,
        **_numbers(found, ended["outcome"]),
        "steps": {step: {"status": status} for step, status in _statuses(found).items()},
    }
    written = services.objects.put_once(record_key(task.attempt), record)
    reason = f"{ended['outcome']}: {ended['reason']}" if written else "the job already has a record, and it stands"
    return Result("ok", reason=reason, numbers={"outcome": ended["outcome"], "written": written})


def _end(found: Found) -> dict[str, str]:
    """`outcome`, `reason` and `error`, which is empty unless the job failed."""
    for step in STEPS:
        said = found.get(step)
        if said is not None and said["status"] == "failed":
            return _ended("failed", f"{step} failed", str(said.get("error") or said.get("reason")))
    read, published = found.get("rows"), found.get("publish")
    if published is not None:
        return _ended("scored", published["reason"])
    if read is not None and not read["flags"]["go"]:
        return _ended("empty", read["reason"])
    silent = next(step for step in STEPS if step in results.OF_A_JOB and step not in found)
    return _ended(
        "failed",
        f"no result of {silent}",
        f"{silent}, or the step before it, ended without a result: the process was ended from outside, or its image "
        "could not be started; look into the platform's log of the step",
    )


def _ended(outcome: str, reason: str, error: str = "") -> dict[str, str]:
    return {"outcome": outcome, "reason": reason, "error": error}


def _numbers(found: Found, outcome: str) -> dict[str, Any]:
    """Where the scores are, and what is known of rows and scores."""
    published = found.get("publish", {}).get("numbers", {}) if outcome == "scored" else {}
    rows = found.get("rows", {}).get("numbers", {})
    return {"out": published.get("out"), "data": {**rows, **published.get("scores", {})}}


def _statuses(found: Found) -> dict[str, str]:
    """One that left no trace went well if a later one has a result, else it did not end."""
    answers: dict[str, str] = {}
    later = False
    for step in reversed(STEPS):
        said = found.get(step)
        answers[step] = str(said["status"]) if said is not None else ("ok" if later else "not_run")
        later = later or step in found
    return {step: answers[step] for step in STEPS}
