"""The results of an attempt's steps, as they are kept below `attempts/<attempt>/results/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ctc.steps.ports import ObjectStore
from ctc.steps.task import Result, StepFailed, Task

VERSION = 1

OURS = ("snapshot", "validate", "evaluate", "decide", "register")
"""Our steps of the train pipeline that leave a result for its record, in order."""

OF_A_JOB = ("rows", "publish")
"""Those of a batch job."""

SCORE = "score-"
"""How the kinds of batch pipelines start, before the name of their entry of `serving`."""

BETWEEN = "; "
"""Parts the sentences of a wake's reason."""


def steps(users: Iterable[str]) -> tuple[str, ...]:
    """Every step that a record tells of, in order, the user's among them, which leave no result."""
    return (*OURS[:2], *users, *OURS[2:])


def result_document(step: str, result: Result) -> dict[str, Any]:
    """`result.json`: see `schemas/step.v1.schema.json`."""
    return {
        "version": VERSION,
        "step": step,
        "status": result.status,
        "flags": dict(result.flags),
        "reason": result.reason,
        "numbers": dict(result.numbers),
    }


def request(objects: ObjectStore, attempt: str) -> Mapping[str, Any]:
    """What wake asked of the attempt; empty if there is no such request."""
    return objects.get(request_key(attempt)) or {}


def request_key(attempt: str) -> str:
    return f"{request_folder(attempt)}/request.json"


def request_folder(attempt: str) -> str:
    return f"attempts/{attempt}/request"


def store(objects: ObjectStore, attempt: str, step: str, result: Result) -> None:
    """Keeps a result, marked with the launch that made it: an attempt that died is launched again under the same id."""
    launch = request(objects, attempt).get("launch")
    objects.put(_key(attempt, step), {**result_document(step, result), "launch": launch})


def load(objects: ObjectStore, attempt: str, steps: Iterable[str] = OURS) -> dict[str, Mapping[str, Any]]:
    """The results of the attempt's present launch by step; one that an earlier launch left is not among them."""
    launch = request(objects, attempt).get("launch")
    kept = ((step, objects.get(_key(attempt, step))) for step in steps)
    return {step: result for step, result in kept if result is not None and result.get("launch") == launch}


def statuses(folder: str, users: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """What the shim said of the user's steps, where it runs on this machine; elsewhere nothing."""
    paths = {step: Path(folder, f"{step}.json") for step in users if folder}
    return {step: json.loads(path.read_text(encoding="utf-8")) for step, path in paths.items() if path.is_file()}


def read_evaluation(task: Task) -> dict[str, Any]:
    """The document that `evaluate` wrote, from the input `evaluation`."""
    path = task.inputs["evaluation"] / "evaluation.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        raise StepFailed(f"the evaluation {path} cannot be read ({error}): run the attempt again") from error
    return document


def _key(attempt: str, step: str) -> str:
    return f"attempts/{attempt}/results/{step}.json"
