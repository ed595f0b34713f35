"""`kill -9` during `ctc run`, at seeded random moments: a reader that shares no code finds every invariant true, and
the next run finishes the cycle. `make test` does a dozen, `make soak` three hundred."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import project
import pytest
from proofs import Proof

FIRST, SECOND = "2024-02-26T06:00:00Z", "2024-03-04T06:00:00Z"


@pytest.fixture(scope="module", params=["kubeflow", "sagemaker"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, float, set[str]]:
    """Target, a project with a champion, the seconds that its next cycle takes, and the records that it makes."""
    spec = project.make(tmp_path_factory.mktemp("kills") / "toy", days=80)
    project.run(spec, "--at", FIRST, target=request.param)
    undisturbed = spec.parent.parent / "undisturbed"
    shutil.copytree(spec.parent, undisturbed)
    start = time.monotonic()
    project.run(undisturbed / "ctc.yaml", "--at", SECOND, target=request.param)
    seconds = time.monotonic() - start
    return request.param, spec.parent, seconds, outcomes(project.state(undisturbed / "ctc.yaml", request.param))


def kill_once(base: tuple[str, Path, float, set[str]], seed: int, folder: Path) -> None:
    target, origin, seconds, expected = base
    shutil.copytree(origin, folder)
    spec = folder / "ctc.yaml"
    moment = random.Random(seed).uniform(0.05, seconds)
    command = [sys.executable, "-m", "ctc", "run", str(spec), "--target", target, "--python", sys.executable]
    process = subprocess.Popen(
        [*command, "--at", SECOND], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    context = f"target {target}, seed {seed}, killed after {moment:.3f} of {seconds:.1f} s"
    read_independently(project.state(spec, target), context)
    done = project.ctc("run", spec, "--target", target, "--python", sys.executable, "--at", SECOND, cwd=folder)
    assert done.returncode == 0, f"{context}\n{done.stdout}\n{done.stderr}"
    read_independently(project.state(spec, target), context)
    assert outcomes(project.state(spec, target)) == expected, context


def read_independently(state: Path, context: str) -> None:
    """The invariants, from the files alone: plain JSON, no code of the project."""
    document = json.loads((state / "state.json").read_text())
    records = {path.stem: json.loads(path.read_text()) for path in (state / "records").glob("*.json")}
    attempts = {name: record for name, record in records.items() if record["kind"] == "attempt"}

    assert document["champion"] is not None, context
    champion = document["champion"]
    assert (folder_of(champion["uri"], state) / "model.json").is_file(), context
    for name, record in records.items():
        assert record["id"] == name, context
    for request in (state / "attempts").glob("*"):
        live = document["attempt"] is not None and document["attempt"]["id"] == request.name
        # An attempt has its record, or is the one live attempt, or belongs to an action still pending in the state.
        assert request.name in attempts or live or request.name in json.dumps(document), f"{context}: {request.name}"
    for path in (state / "launches").glob("*.json"):
        json.loads(path.read_text())


def folder_of(uri: str, state: Path) -> Path:
    prefix = f"s3://toy-ct/toy/default/{state.name}"
    return state / uri.removeprefix(prefix).lstrip("/") if uri.startswith(prefix) else Path(uri)


def outcomes(state: Path) -> set[str]:
    """Who was promoted and what each attempt came to, by attempt."""
    found: set[str] = set()
    for path in (state / "records").glob("*.json"):
        record: dict[str, Any] = json.loads(path.read_text())
        if record["kind"] == "attempt":
            found.add(f"{record['id']} {record['outcome']}")
    champion = json.loads((state / "state.json").read_text())["champion"]
    return found | {f"champion {champion['attempt']}"}


def test_killed_runs_are_finished_by_the_next(base: tuple[str, Path, float, set[str]], tmp_path: Path) -> None:
    # In one test, since what it starts from takes longer than a kill.
    for seed in range(6):
        kill_once(base, seed, tmp_path / f"toy-{seed}")


@pytest.mark.soak
@pytest.mark.parametrize("first", range(1000, 1150, 5))
def test_three_hundred_killed_runs_are_finished_by_the_next(
    base: tuple[str, Path, float, set[str]], first: int, tmp_path: Path, proof: Proof
) -> None:
    counts = proof("kills")
    for seed in range(first, first + 5):
        kill_once(base, seed, tmp_path / f"toy-{seed}")
        counts[base[0]] = counts.get(base[0], 0) + 1
