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


OTHERS = set(targets.NAMES) - {"kubeflow", "sagemaker"}


class Deployment:
    """One target's history, and what stood after each part of it."""

    def __init__(self, spec: Path, target: str) -> None:
        self.spec, self.target = spec, target
        self.stood: dict[str, dict[str, Any]] = {}

    def run(self, *instants: str) -> None:
        project.run(self.spec, *(word for instant in instants for word in ("--at", instant)), target=self.target)
        self.stood[instants[-1]] = rollouts.endpoint(self.spec, self.target)

    def answer(self, verb: str, instant: str) -> None:
        about = (self.state["approval"]["id"],) if verb == "approve" else ()
        options = ("--target", self.target, "--python", sys.executable, "--at", instant, "--why", "seen")
        done = project.ctc(verb, self.spec, *about, *options, cwd=self.spec.parent)
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


class Histories:
    """The same project with the same history on every target that is asked for."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._made: dict[str, Deployment] = {}
        rollouts.make(base / "first", ROLLOUT)

    def of(self, name: str) -> Deployment:
        if name not in self._made:
            shutil.copytree(self._base / "first", self._base / name)
            self._made[name] = Deployment(self._base / name / "ctc.yaml", name)
            play(self._made[name])
        return self._made[name]


def play(deployment: Deployment) -> None:
    """A first champion, one that takes over from it, one that is aborted, and the second taken back."""
    deployment.run(at(FIRST), at(FIRST, 1))
    deployment.answer("approve", at(FIRST, 2))
    deployment.run(at(SECOND), at(SECOND, 1))
    deployment.run(at(SECOND, 2))
    deployment.answer("approve", at(SECOND, 3))
    deployment.run(at(SECOND, 4), at(SECOND, 5))
    deployment.run(at(SECOND, 29), at(THIRD), at(THIRD, 1), at(THIRD, 2))
    deployment.answer("approve", at(THIRD, 3))
    deployment.run(at(THIRD, 4))
    deployment.answer("rollback", at(THIRD, 5))


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Histories:
    return Histories(tmp_path_factory.mktemp("rollouts"))


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.soak) for name in ("sagemaker", *sorted(OTHERS))]
)
def test_every_target_decides_the_same(histories: Histories, target: str) -> None:
    one, other = histories.of("kubeflow"), histories.of(target)

    assert differing(one.records, other.records) <= MAY_DIFFER
    assert other.stood.keys() == one.stood.keys()
    for name in ("traffic", "mirror", "by", "since"):
        assert [stood[name] for stood in other.stood.values()] == [stood[name] for stood in one.stood.values()]


def test_one_goes_through(histories: Histories) -> None:
    deployment = histories.of("kubeflow")
    stood = deployment.stood
    assert stood[at(FIRST, 2)]["traffic"] == {"1": 1.0}
    mirrored, canary, whole = (stood[at(SECOND, hours)] for hours in (1, 3, 5))
    assert (mirrored["traffic"], mirrored["mirror"]) == ({"1": 1.0}, {"share": 0.5, "version": "2"})
    assert (canary["traffic"], canary["mirror"], canary["by"]) == ({"1": 0.9, "2": 0.1}, None, "shop")
    assert canary["since"] == at(SECOND, 3)
    assert (whole["traffic"], sorted(whole["ready"])) == ({"2": 1.0}, ["1", "2"])

    wakes = {record["instant"]: record for record in deployment.records if record["kind"] == "wake"}
    assert rollouts.changes([wakes[at(SECOND, 5)]]) == ["rollout_advanced", "promoted"]
    assert rollouts.changes([wakes[at(SECOND, 29)]]) == ["retired"]
    [smoke] = wakes[at(SECOND, 1)]["health"]
    assert (smoke["name"], smoke["answer"], smoke["numbers"]) == ("smoke", "pass", {"expected": 200, "status": 200})
    [scores] = wakes[at(SECOND, 5)]["health"]
    assert (scores["name"], scores["answer"]) == ("same_scores", "pass")
    column = scores["numbers"]["columns"]["p"]
    assert (column["rows_baseline"], column["rows"]) == (400, 400)


def test_one_is_aborted_and_the_one_before_it_rolled_back(histories: Histories) -> None:
    deployment = histories.of("kubeflow")
    stood = deployment.stood
    assert stood[at(THIRD, 2)]["traffic"] == {"2": 1.0}
    assert stood[at(THIRD, 3)]["traffic"] == {"2": 0.9, "3": 0.1}
    assert (stood[at(THIRD, 4)]["traffic"], sorted(stood[at(THIRD, 4)]["ready"])) == ({"2": 1.0}, ["2"])
    assert (stood[at(THIRD, 5)]["traffic"], sorted(stood[at(THIRD, 5)]["ready"])) == ({"1": 1.0}, ["1"])

    wakes = {record["instant"]: record for record in deployment.records if record["kind"] == "wake"}
    assert rollouts.changes([wakes[at(THIRD, 4)]]) == ["rollout_aborted"]
    assert rollouts.changes([wakes[at(THIRD, 5)]]) == ["rolled_back"]
    [scores] = wakes[at(THIRD, 4)]["health"]
    assert scores["answer"] == "fail"
    assert scores["numbers"]["columns"]["p"]["value"] > 0.3
    state = deployment.state
    assert (state["champion"]["version"], state["candidate"], state["rollout"]) == ("1", None, None)
    assert [kept["version"] for kept in state["quarantine"]] == ["3", "2"]
    assert state["hold"] is not None


def test_records_satisfy_their_schema(histories: Histories) -> None:
    import jsonschema

    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    for record in histories.of("kubeflow").records:
        jsonschema.validate(record, schema)


def test_a_person_reads_what_has_happened(histories: Histories) -> None:
    deployment = histories.of("kubeflow")
    spec = deployment.spec
    listed = project.ctc("runs", spec, "--target", "kubeflow", cwd=spec.parent)
    for words in ("rollout started", "rollout advanced, approval asked", "rollout aborted", "retired", "rolled back"):
        assert words in listed.stdout, listed.stderr
    last = next(record["id"] for record in deployment.records if record["instant"] == at(THIRD, 4))
    shown = project.ctc("runs", "show", last, spec, "--target", "kubeflow", cwd=spec.parent)
    assert shown.returncode == 0, shown.stderr
    assert "same_scores fail: jensen_shannon of `p` is " in " ".join(shown.stdout.split())
    assert "rollout aborted (version 3)" in shown.stdout
