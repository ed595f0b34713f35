"""What people tell a deployment, from the command line to the registry's alias: one story on real runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import project
import pytest

APPROVAL = "promotion:\n  approval: {any_of: [officers], expires: 2d}\n"
EVENT = "  asked: {manual: {}}\n  ops: {event: {name: ops-alert, dedupe_by: incident}}\n"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = project.make(tmp_path / "told", days=80)
    text = path.read_text().replace("promotion:\n", APPROVAL).replace("  asked: {manual: {}}\n", EVENT)
    text = text.replace('host: "http://kfp.example"}', 'host: "http://kfp.example", events: {ops-alert: {http: {}}}}')
    path.write_text("".join(line for line in text.splitlines(keepends=True) if "sagemaker:" not in line))
    return path


def told(spec: Path, *words: str, code: int = 0) -> str:
    done = project.ctc(words[0], spec, *words[1:], "--python", sys.executable, cwd=spec.parent)
    assert done.returncode == code, done.stderr
    return done.stdout


def state(spec: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((spec.parent / ".ctc/toy/default/kubeflow/state.json").read_text())
    return document


def test_the_story(spec: Path, tmp_path: Path) -> None:
    a_model_waits_for_a_yes_is_taken_back_and_held(spec)
    a_decision_is_derived_again_from_its_record(spec)
    a_model_in_production_is_adopted(spec, tmp_path / "elsewhere")


def a_model_waits_for_a_yes_is_taken_back_and_held(spec: Path) -> None:
    told(spec, "run", "--at", "2024-03-04T06:00:00Z")
    question = state(spec)["approval"]["id"]
    shown = project.ctc("approve", spec, cwd=spec.parent).stdout
    assert question in shown
    assert "officers" in shown

    refused = told(spec, "approve", "another", "--why", "x", "--at", "2024-03-04T06:30:00Z", code=3)
    assert f"the question is {question} now" in refused
    yes = told(spec, "approve", question, "--why", "looks right", "--at", "2024-03-04T07:00:00Z")
    assert "for officers: looks right" in yes
    assert state(spec)["champion"]["version"] == "1"

    told(spec, "run", "--at", "2024-03-11T06:00:00Z")
    second = state(spec)["approval"]["id"]
    told(spec, "approve", second, "--why", "fine", "--at", "2024-03-11T07:00:00Z")
    assert state(spec)["champion"]["version"] == "2"
    back = told(spec, "rollback", "--why", "complaints", "--at", "2024-03-11T08:00:00Z")
    assert "version 1 is the champion again" in back

    held = told(spec, "run", "--event", "ops-alert,incident=7", "--at", "2024-03-18T06:00:00Z")
    assert "suppressed" in held
    after = state(spec)
    assert (after["champion"]["version"], after["attempt"]) == ("1", None)
    assert after["quarantine"][0]["version"] == "2"
    assert all(after["quarantine"][0].values())
    listed = project.ctc("runs", spec, cwd=spec.parent).stdout
    for word in ("approval asked", "approved, promoted", "rolled back", "refused"):
        assert word in listed


def a_decision_is_derived_again_from_its_record(spec: Path) -> None:
    attempt = state(spec)["champion"]["attempt"]
    done = project.ctc("explain", attempt, spec, cwd=spec.parent)
    assert done.returncode == 0, done.stderr
    assert attempt in done.stdout


def a_model_in_production_is_adopted(spec: Path, elsewhere: Path) -> None:
    model = next(spec.parent.glob(".ctc/toy/default/kubeflow/attempts/*/artifacts*/**/train/model"))
    options = ("--model", str(model), "--trained-until", "2024-02-01", "--state", str(elsewhere))
    adopted = told(spec, "adopt", *options, "--why", "in production", "--at", "2024-02-05T05:00:00Z")
    assert "adopted (version 1)" in adopted
    again = told(spec, "adopt", *options, "--why", "again", "--at", "2024-02-05T05:30:00Z", code=3)
    assert "version 1 is the champion" in again
