"""The step `register`: the contender becomes a version in the registry, a candidate, with where it came from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctc import __version__
from ctc.policy.strategy import FULL, full_at
from ctc.policy.windows import format_instant
from ctc.steps import results
from ctc.steps.ports import Services
from ctc.steps.storage import to_uri
from ctc.steps.task import Result, StepFailed, Task


def run(task: Task, services: Services) -> Result:
    """Registers once per attempt, however often it runs; `numbers` is the candidate, as the state document keeps it."""
    training = task.policy["training"]
    snapshot = _snapshot(task, services)
    trained_until = snapshot["windows"]["train_end"]
    code = os.environ.get("CTC_CODE", "")
    uri = task.uris.get("model") or str(task.inputs["model"])
    uri = uri if "://" in uri else to_uri(Path(uri))
    version = services.registry.register(
        task.policy["registry"]["model"],
        key=task.attempt,
        uri=uri,
        tags={
            "ctc.attempt": task.attempt,
            "ctc.spec_digest": task.document["spec_digest"],
            "ctc.code": code,
            "ctc.image": training["image"],
            "ctc.data": str(snapshot["data"]["fingerprint"]),
            "ctc.trained_until": trained_until,
            "ctc.version": __version__,
        },
        metrics=_metrics(results.read_evaluation(task)),
    )
    champion = results.request(services.objects, task.attempt).get("champion")
    strategy = str(snapshot["data"].get("strategy", FULL))
    apply = training.get("apply")
    candidate = {
        "version": version,
        "attempt": task.attempt,
        "uri": uri,
        "image": training["image"],
        "predict": list(training["predict"]),
        "code": code,
        "trained_until": trained_until,
        "full_at": full_at(strategy, champion, format_instant(task.instant)),
        "prepare": None if apply is None else {"apply": list(apply)},
        "inputs": dict(training.get("inputs", {})),
        "csv": training.get("csv"),
        "inputs_schema": snapshot["data"].get("inputs_schema"),
        "data": str(snapshot["data"]["fingerprint"]),
        "training": hashlib.sha256(f"{code}\n{training.get('digest', '')}".encode()).hexdigest(),
    }
    return Result("ok", reason=f"version {version}", numbers=candidate)


def _snapshot(task: Task, services: Services) -> Mapping[str, Any]:
    result = results.load(services.objects, task.attempt).get("snapshot")
    if result is None or not {"windows", "data"} <= result["numbers"].keys():
        raise StepFailed(f"the attempt {task.attempt} has no result of its snapshot: run the whole pipeline again")
    numbers: Mapping[str, Any] = result["numbers"]
    return numbers


def _metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    values = {name: measured["contender"]["value"] for name, measured in evaluation["metrics"].items()}
    return {name: float(value) for name, value in values.items() if value is not None}
