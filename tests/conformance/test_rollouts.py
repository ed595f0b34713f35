"""A rollout over several wakes on every target: one that goes through, with an approval inside it, and one that is
aborted. The compiled files are executed, the server is a real one, and the records of the targets must be equal."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import project
import pytest
import rollouts
from conformance.test_same_decision import MAY_DIFFER, differing
from rollouts import FIRST, SECOND, THIRD, at

from ctc import targets

ROLLOUT = """\
rollout:
  steps:
    - smoke: {request: smoke.json}
    - mirror: 50%
      for: 1h
    - approval: {any_of: [officers], expires: 2d}
    - traffic: 10%
      for: 2h
      by: shop
      gates: {same_scores: {drift: {columns: [p], method: jensen_shannon, max: 0.3}}}
    - traffic: 100%
  keep_previous: 24h
"""


class Deployment:
    """One target's history, and what stood after each part of it."""

    def __init__(self, spec: Path, target: str) -> None:
        self.spec, self.target = spec, target
        self.stood: dict[str, dict[str, Any]] = {}

    def run(self, *instants: str) -> None:
        project.run(self.spec, *(word for instant in instants for word in ("--at", instant)), target=self.target)
        self.stood[instants[-1]] = rollouts.endpoint(self.spec, self.target)

    def approve(self, instant: str) -> None:
        question = self.state["approval"]["id"]
        options = ("--target", self.target, "--python", sys.executable, "--at", instant, "--why", "seen")
        done = project.ctc("approve", self.spec, question, *options, cwd=self.spec.parent)
        assert done.returncode == 0, done.stdout + done.stderr
        self.stood[instant] = rollouts.endpoint(self.spec, self.target)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((project.state(self.spec, self.target) / "state.json").read_text())
        return state

    @property
    def records(self) -> list[dict[str, Any]]:
        files = sorted((project.state(self.spec, self.target) / "records").glob("*.json"))
        return [json.loads(file.read_text()) for file in files]


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Deployment]:
    base = tmp_path_factory.mktemp("rollouts")
    first = rollouts.make(base / "first", ROLLOUT)
    made = {}
    for name in targets.NAMES:
        shutil.copytree(first.parent, base / name)
        made[name] = deployment = Deployment(base / name / "ctc.yaml", name)
        deployment.run(at(FIRST), at(FIRST, 1))
        deployment.approve(at(FIRST, 2))
        deployment.run(at(SECOND), at(SECOND, 1))
        deployment.run(at(SECOND, 2))
        deployment.approve(at(SECOND, 3))
        deployment.run(at(SECOND, 4), at(SECOND, 5))
        deployment.run(at(SECOND, 29), at(THIRD), at(THIRD, 1), at(THIRD, 2))
        deployment.approve(at(THIRD, 3))
        deployment.run(at(THIRD, 4))
    return made


def test_every_target_decides_the_same(deployments: dict[str, Deployment]) -> None:
    first, *others = deployments.values()
    for other in others:
        assert differing(first.records, other.records) <= MAY_DIFFER
        assert other.stood.keys() == first.stood.keys()
        assert [stood["traffic"] for stood in other.stood.values()] == [
            stood["traffic"] for stood in first.stood.values()
        ]


def test_one_goes_through_and_one_is_taken_back(deployments: dict[str, Deployment]) -> None:
    for deployment in deployments.values():
        stood = deployment.stood
        assert stood[at(FIRST, 2)]["traffic"] == {"1": 1.0}
        assert (stood[at(SECOND, 1)]["traffic"], stood[at(SECOND, 1)]["mirror"]) == (
            {"1": 1.0},
            {"share": 0.5, "version": "2"},
        )
        canary = stood[at(SECOND, 3)]
        assert (canary["traffic"], canary["mirror"], canary["by"]) == ({"1": 0.9, "2": 0.1}, None, "shop")
        assert canary["since"] == at(SECOND, 3)
        assert (stood[at(SECOND, 5)]["traffic"], sorted(stood[at(SECOND, 5)]["ready"])) == ({"2": 1.0}, ["1", "2"])
        assert stood[at(THIRD, 2)]["traffic"] == {"2": 1.0}
        assert stood[at(THIRD, 3)]["traffic"] == {"2": 0.9, "3": 0.1}
        assert (stood[at(THIRD, 4)]["traffic"], sorted(stood[at(THIRD, 4)]["ready"])) == ({"2": 1.0}, ["2"])

        wakes = {record["instant"]: record for record in deployment.records if record["kind"] == "wake"}
        assert rollouts.changes([wakes[at(SECOND, 5)]]) == ["rollout_advanced", "promoted"]
        assert rollouts.changes([wakes[at(SECOND, 29)]]) == ["retired"]
        [smoke] = wakes[at(SECOND, 1)]["health"]
        assert (smoke["name"], smoke["answer"], smoke["numbers"]) == ("smoke", "pass", {"expected": 200, "status": 200})
        [scores] = wakes[at(SECOND, 5)]["health"]
        assert (scores["name"], scores["answer"]) == ("same_scores", "pass")
        column = scores["numbers"]["columns"]["p"]
        assert (column["rows_baseline"], column["rows"]) == (400, 400)

        aborted = wakes[at(THIRD, 4)]
        assert rollouts.changes([aborted]) == ["rollout_aborted"]
        [scores] = aborted["health"]
        assert scores["answer"] == "fail"
        assert scores["numbers"]["columns"]["p"]["value"] > 0.3
        state = deployment.state
        assert (state["champion"]["version"], state["candidate"], state["rollout"]) == ("2", None, None)
        assert [kept["version"] for kept in state["quarantine"]] == ["3"]
        assert "same_scores: jensen_shannon of `p`" in state["hold"]["reason"]


def test_records_satisfy_their_schema(deployments: dict[str, Deployment]) -> None:
    import jsonschema

    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    for deployment in deployments.values():
        for record in deployment.records:
            jsonschema.validate(record, schema)


def test_a_person_reads_what_has_happened(deployments: dict[str, Deployment]) -> None:
    deployment = deployments["kubeflow"]
    spec = deployment.spec
    listed = project.ctc("runs", spec, "--target", "kubeflow", cwd=spec.parent).stdout
    for words in ("rollout started", "rollout advanced, approval asked", "rollout aborted", "retired"):
        assert words in listed
    last = next(record["id"] for record in deployment.records if record["instant"] == at(THIRD, 4))
    shown = project.ctc("runs", "show", last, spec, "--target", "kubeflow", cwd=spec.parent)
    assert shown.returncode == 0, shown.stderr
    assert "same_scores fail: jensen_shannon of `p` is " in " ".join(shown.stdout.split())
    assert "rollout aborted (version 3)" in shown.stdout
