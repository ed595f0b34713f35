"""A rollout whose server is asked at each wake, through whole runs: a contender that answers badly is taken back."""

from __future__ import annotations

import json
from pathlib import Path

import project
import pytest
import rollouts
from rollouts import FIRST, SECOND, at

ROLLOUT = """\
rollout:
  steps:
    - smoke: {request: smoke.json}
    - traffic: 10%
      for: 4h
    - traffic: 100%
  limits:
    errors: {error_rate: {max: 1%}}
    slow: {latency: {p99: 5s}}
"""


@pytest.mark.soak
def test_a_server_that_fails_under_load_is_taken_back(tmp_path: Path) -> None:
    spec = rollouts.make(tmp_path / "p", ROLLOUT)
    project.run(spec, "--at", at(FIRST), "--at", at(FIRST, 1))
    (spec.parent / "serve.py").write_text(rollouts.SERVE.replace("FAILS_EVERY = [], 0", "FAILS_EVERY = [], 10"))

    started = project.run(spec, "--at", at(SECOND), "--at", at(SECOND, 1))
    canary = rollouts.endpoint(spec, "kubeflow")
    [aborted] = project.run(spec, "--at", at(SECOND, 2))

    assert rollouts.changes(started) == ["rollout_started", "rollout_advanced"]
    assert canary["traffic"] == {"1": 0.9, "2": 0.1}
    assert canary["ready"]["1"]["code"] != canary["ready"]["2"]["code"]
    assert rollouts.changes([aborted]) == ["rollout_aborted"]
    answers = {answer["name"]: answer for answer in aborted["health"]}
    assert {name: answer["answer"] for name, answer in answers.items()} == {"errors": "fail", "slow": "fail"}
    assert answers["errors"]["numbers"] == {"requests": 100, "failed": 10, "value": 0.1, "max": 0.01}
    assert rollouts.endpoint(spec, "kubeflow")["traffic"] == {"1": 1.0}
    state = json.loads((project.state(spec) / "state.json").read_text())
    assert (state["champion"]["version"], state["rollout"]) == ("1", None)
    assert [kept["version"] for kept in state["quarantine"]] == ["2"]

    (spec.parent / "smoke.json").unlink()
    refused = project.ctc("run", spec, "--target", "kubeflow", "--at", at(SECOND, 3), cwd=spec.parent)
    assert refused.returncode == 3
    assert "rollout.steps.0.smoke.request" in refused.stderr
    assert "is no file; write the body of one request there" in refused.stderr
