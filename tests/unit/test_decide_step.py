"""The step `decide`: the evaluation in, the verdict out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from ctc.steps import decide
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed, Task

SERVICES = cast(Services, None)


def task(folder: Path, value: float | None) -> Task:
    gate = {"name": "floor", "kind": "range", "metric": "auc", "better": "higher", "min": 0.6, "max": None}
    if value is not None:
        contender = {"value": value, "low": None, "high": None, "n": 9}
        evaluation: dict[str, Any] = {"champion": "absent", "gates": {}, "metrics": {"auc": {"contender": contender}}}
        (folder / "evaluation.json").write_text(json.dumps(evaluation))
    policy = {"promotion": {"prefer": "fresher", "if_not_evaluable": "hold", "gates": [gate]}}
    folders = {"evaluation": folder}
    return Task("decide", {"policy": policy}, datetime(2024, 1, 1, tzinfo=UTC), "a", {}, folders, {"verdict": folder})


@pytest.mark.parametrize(("value", "promote"), [(0.7, True), (0.5, False)])
def test_the_verdict_is_the_policys(value: float, promote: bool, tmp_path: Path) -> None:
    result = decide.run(task(tmp_path, value), SERVICES)

    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict == result.numbers
    assert (result.status, result.flags, verdict["promote"]) == ("ok", {"promote": promote}, promote)
    assert result.reason == verdict["reason"]


def test_without_an_evaluation(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"evaluation\.json"):
        decide.run(task(tmp_path, None), SERVICES)
