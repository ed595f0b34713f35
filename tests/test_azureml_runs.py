"""What ends badly or early on Azure ML, where no branch and no exit handler help: the same records as elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import project
import pytest

AT = ("--manual", "try", "--at", "2024-03-04T06:00:00Z")
MAY_DIFFER = {"target", "candidate"}


def failing(spec: Path) -> None:
    (spec.parent / "train.py").write_text("import sys\nsys.exit('the disk of the teacher is full')\n")


def stopping(spec: Path) -> None:
    text = spec.read_text()
    assert "max_age: 2d" in text
    spec.write_text(text.replace("{max_age: 2d}, source: visits, on_fail: warn}", "{max_age: 1s}, source: visits}"))


def refused(spec: Path) -> None:
    spec.write_text(spec.read_text().replace("min: 0.55", "min: 0.999"))


@pytest.mark.parametrize(
    ("spoil", "code", "outcome", "status"),
    [
        (failing, 3, "failed", {"train": "failed", "evaluate": "not_run", "decide": "not_run"}),
        pytest.param(stopping, 0, "stopped", {"train": "not_run", "register": "not_run"}, marks=pytest.mark.soak),
        pytest.param(refused, 0, "held", {"decide": "ok", "register": "not_run"}, marks=pytest.mark.soak),
    ],
    ids=["a failed training", "a failed check", "a refused contender"],
)
def test_the_record_is_the_one_of_another_target(
    tmp_path: Path, spoil: Callable[[Path], None], code: int, outcome: str, status: dict[str, str]
) -> None:
    found: dict[str, dict[str, Any]] = {}
    for target in ("sagemaker", "azureml"):
        spec = project.make(tmp_path / target / "toy", days=80)
        spoil(spec)
        records = project.run(spec, *AT, target=target, code=code)
        [found[target]] = [record for record in records if record["kind"] == "attempt"]
    ours, theirs = found["azureml"], found["sagemaker"]

    assert ours["outcome"] == outcome, ours["error"] or ours["reason"]
    assert {name: ours["steps"][name]["status"] for name in status} == status
    # An error names folders of the target's own.
    own = MAY_DIFFER | ({"error", "steps"} if outcome == "failed" else set())
    assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} <= own
    statuses = [{name: step["status"] for name, step in record["steps"].items()} for record in (ours, theirs)]
    # Nothing that it reads comes from the training: the service runs it beside that, whatever becomes of it.
    assert {name for name in statuses[0] if statuses[0][name] != statuses[1].get(name)} <= (
        {"predict-champion"} if outcome == "failed" else set()
    )
    log = project.state(tmp_path / "azureml" / "toy" / "ctc.yaml", "azureml") / "attempts" / ours["id"] / "log.txt"
    assert ("ctc: skipped: " in log.read_text()) is (outcome != "failed")
    assert json.dumps(ours["error"] or "").count("the disk of the teacher is full") == (outcome == "failed")
