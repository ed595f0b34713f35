"""The step `wake` on files: rounds, conflicts, leftovers, and what it launches."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from ctc import steps
from ctc.policy.controller import NewRows, NotEvaluable, PastInstant
from ctc.policy.state import State
from ctc.steps import wake
from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher
from ctc.steps.ports import Conflict, Services, Versioned
from ctc.steps.task import Result, StepFailed, Task

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "record.v1.schema.json").read_text())
MONDAY = datetime(2024, 3, 4, 6, tzinfo=UTC)
DAY = 86400.0


def trigger(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "enabled": True, "exempt": False, **more}


WEEKLY = trigger("weekly", "schedule", cron="0 6 * * 1", timezone="UTC")
ASKED = trigger("asked", "manual")
FRESH = trigger("fresh", "new_data", min_rows=100, settle=0)


def document(*triggers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "step": "wake",
        "name": "toy",
        "environment": "prod",
        "target": "kubeflow",
        "root": "s3://bucket/toy/prod",
        "spec_digest": "ab" * 32,
        "policy": {
            "data": {"label": {"known_after": 3 * DAY}},
            "windows": {"known_after": 3 * DAY, "holdout": 7 * DAY, "gap": 0, "window": 30 * DAY, "since": None},
            "training": {"image": "registry.example/toy@sha256:1"},
            "triggers": {
                "mode": "act",
                "model": "toy-prod",
                "keep": 10,
                "triggers": list(triggers),
                "cooldown": 0,
                "max_runs": None,
                "rearm": {"new_rows": 0, "backoff": 0},
                "lease": 7200.0,
            },
        },
    }


class Aliases:
    """A registry that remembers its aliases."""

    def __init__(self) -> None:
        self.set: list[tuple[str, str, str | None]] = []
        self.pruned: list[tuple[int, set[str]]] = []
        self.registered: list[str] = []

    def register(self, model: str, *, key: str, **_: Any) -> str:
        self.registered.append(key)
        return "9"

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        self.set.append((model, alias, version))

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        self.pruned.append((keep, set(used)))


@pytest.fixture
def services(tmp_path: Path) -> Services:
    objects = FileObjectStore(tmp_path, "s3://bucket/toy/prod")
    return Services(FileStateStore(tmp_path), objects, LocalLauncher(objects), Aliases())


def woken(
    services: Services, *triggers: Mapping[str, Any], at: datetime = MONDAY, manual: str = '{"who": "me", "why": "x"}'
) -> Result:
    return wake.run(Task("wake", document(*(triggers or (ASKED,))), at, "", {"manual": manual}), services)


def attempt_record(services: Services, attempt: str, version: str) -> None:
    """The record of an attempt that made a candidate."""
    candidate = {
        "version": version,
        "attempt": attempt,
        "uri": f"s3://bucket/model-{version}",
        "image": f"registry.example/toy@sha256:{version}",
        "predict": ["python", "predict.py"],
        "code": "",
        "trained_until": "2024-02-20T06:00:00Z",
    }
    services.objects.put(f"records/{attempt}.json", {"id": attempt, "outcome": "candidate", "candidate": candidate})


def test_a_first_run_is_launched_with_everything_it_needs(services: Services) -> None:
    result = woken(services)

    attempt = result.numbers["attempt"]
    assert result.numbers["launched"] == [f"{attempt}-1"]
    launch = services.objects.get(f"launches/{attempt}-1.json")
    assert launch is not None
    assert launch["parameters"] == {
        "instant": "2024-03-04T06:00:00Z",
        "attempt": attempt,
        "request": f"s3://bucket/toy/prod/attempts/{attempt}/request",
        "champion_model": "s3://bucket/toy/prod/absent",
        "champion_image": "registry.example/toy@sha256:1",
    }
    request = services.objects.get(f"attempts/{attempt}/request/request.json")
    assert request is not None
    assert (request["champion"], request["triggers"], request["launch"]) == (None, ["asked"], 1)
    assert services.objects.get("absent/absent.json") is not None
    state = services.state.read().document
    assert state is not None
    assert state["pending"] == []
    record = result.numbers["record"]
    assert services.objects.get(f"records/{record['id']}.json") == record
    jsonschema.validate(record, SCHEMA)


def test_a_quiet_wake_writes_no_record(services: Services, tmp_path: Path) -> None:
    result = woken(services, manual="")
    assert result.reason == "asked quiet: nobody asked"
    assert result.numbers["record"] is None
    assert not (tmp_path / "records").exists()


def test_a_candidate_becomes_the_champion_and_the_next_run_knows_it(services: Services) -> None:
    aliases = services.registry
    assert isinstance(aliases, Aliases)
    for version in ("1", "2"):
        attempt = woken(services, manual=json.dumps({"who": "me", "why": version})).numbers["attempt"]
        attempt_record(services, attempt, version)
    assert woken(services, manual="").numbers["champion"] == "2"
    assert ("toy-prod", "champion", "1") in aliases.set
    assert aliases.set[-2:] == [("toy-prod", "champion", "2"), ("toy-prod", "previous", "1")]

    result = woken(services, manual='{"who": "me", "why": "3"}')
    launch = services.objects.get(f"launches/{result.numbers['launched'][0]}.json")
    assert launch is not None
    assert launch["parameters"]["champion_model"] == "s3://bucket/model-2"
    assert launch["parameters"]["champion_image"] == "registry.example/toy@sha256:2"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("crash_at", range(5))
def test_a_wake_that_dies_anywhere_is_finished_by_the_next(crash_at: int, services: Services) -> None:
    """Each write in turn is the last one of the first wake: the second wake ends where an undisturbed one would."""
    writes = 0

    def dying(name: str, port: Any) -> Any:
        real = getattr(port, name)

        def call(*arguments: Any) -> Any:
            nonlocal writes
            if writes == crash_at:
                raise Killed
            writes += 1
            return real(*arguments)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for port, name in [
            (services.state, "compare_and_set"),
            *[(services.objects, "put"), (services.objects, "put_once")],
        ]:
            patch.setattr(port, name, dying(name, port))
        with pytest.raises(Killed):
            woken(services)

    woken(services)
    state = services.state.read().document
    assert state is not None
    attempt = state["attempt"]["id"]
    assert services.objects.get(f"launches/{attempt}-1.json") is not None
    assert services.objects.get(f"attempts/{attempt}/request/request.json") is not None
    assert state["pending"] == []


class Contested:
    """A state store on which others write first, `times` times."""

    def __init__(self, real: Any, times: int, meanwhile: Any) -> None:
        self.real, self.times, self.meanwhile = real, times, meanwhile

    def read(self) -> Versioned:
        held: Versioned = self.real.read()
        return held

    def compare_and_set(self, token: str, state: Mapping[str, Any]) -> str:
        if self.times:
            self.times -= 1
            self.meanwhile()
        written: str = self.real.compare_and_set(token, state)
        return written


def test_a_conflict_is_decided_again(services: Services) -> None:
    contested = Contested(services.state, 1, lambda: woken(services))
    result = wake.run(
        Task("wake", document(ASKED), MONDAY, "", {"manual": '{"who": "me", "why": "x"}'}),
        dataclasses.replace(services, state=contested),
    )
    # The rival had the same request, so its run is the only one.
    assert result.numbers["launched"] in ([], [f"{result.numbers['attempt']}-2"])
    assert len(list_of(services, "attempts")) == 1


def list_of(services: Services, folder: str) -> list[str]:
    objects = services.objects
    assert isinstance(objects, FileObjectStore)
    return [path.name for path in (objects._folder / folder).iterdir()]


def test_a_later_wake_that_came_first_is_no_error(services: Services) -> None:
    later = MONDAY.replace(hour=9)
    contested = Contested(services.state, 1, lambda: woken(services, at=later, manual=""))
    result = wake.run(Task("wake", document(ASKED), MONDAY, ""), dataclasses.replace(services, state=contested))
    assert result.reason == "another wake, at a later instant, came first"


def test_endless_conflicts_are_given_up(services: Services) -> None:
    def conflict() -> None:
        raise Conflict("state.json was written by somebody else")

    contested = Contested(services.state, 99, conflict)
    with pytest.raises(StepFailed, match="5 times in a row"):
        wake.run(Task("wake", document(ASKED), MONDAY, ""), dataclasses.replace(services, state=contested))
    assert contested.times == 94


def test_the_past_is_refused(services: Services) -> None:
    woken(services)
    with pytest.raises(PastInstant, match="before the last wake"):
        woken(services, at=MONDAY.replace(hour=5))


@pytest.mark.parametrize("manual", ["{", "[]", "1", '{"who": "me"}'])
def test_a_manual_request_of_another_shape(manual: str, services: Services) -> None:
    with pytest.raises(StepFailed, match="the parameter `manual`"):
        woken(services, manual=manual)


def counting(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    module = ModuleType("ctc.steps.new_data")

    def count(data: Any, asked: Any, now: datetime) -> dict[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        return {question.name: answer for question in asked}

    module.count = count  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ctc.steps.new_data", module)
    monkeypatch.setattr(steps, "new_data", module, raising=False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NewRows(500), "fired"),
        (NewRows(50), "quiet"),
        (NotEvaluable("no such column"), "not_evaluable"),
        (StepFailed("visits.parquet is missing"), "not_evaluable"),
        (PermissionError(13, "denied", "visits.parquet"), "not_evaluable"),
    ],
)
def test_new_data_is_counted_or_not_evaluable(
    answer: Any, said: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting(monkeypatch, answer)
    result = woken(services, FRESH, manual="")
    [told] = result.numbers["triggers"]
    assert told["answer"] == said
    if isinstance(answer, Exception):
        assert "visits.parquet" in told["reason"]


def test_a_wake_without_questions_loads_no_engine(tmp_path: Path) -> None:
    program = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}]
from ctc.policy.state import State
from ctc.steps import wake
from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher, MlflowRegistry
from ctc.steps.ports import Services
from ctc.steps.task import Task
folder = Path({str(tmp_path)!r})
objects = FileObjectStore(folder, "s3://b")
services = Services(FileStateStore(folder), objects, LocalLauncher(objects), MlflowRegistry(folder / "mlflow.db"))
wake.run(Task("wake", {document(WEEKLY)!r}, datetime(2024, 3, 4, 6, tzinfo=UTC), ""), services)
print(sorted(set(sys.modules) & {{"ibis", "duckdb", "numpy", "mlflow", "pyarrow", "jsonschema", "yaml"}}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    ("strategy", "full_at", "base"),
    [
        ("incremental", "2024-03-01T00:00:00Z", "s3://bucket/toy/prod/model"),
        ("incremental", "2024-02-01T00:00:00Z", "s3://bucket/toy/prod/absent"),
        ("fine_tune", None, "s3://bucket/toy/prod/model"),
        ("full", None, None),
    ],
)
def test_a_training_is_told_which_model_it_goes_on_from(
    strategy: str, full_at: str | None, base: str | None, services: Services
) -> None:
    champion = {
        "version": "3",
        "attempt": "a0",
        "uri": "s3://bucket/toy/prod/model",
        "image": "i",
        "predict": [],
        "code": "",
        "trained_until": "2024-02-10T00:00:00Z",
        "full_at": full_at,
    }
    told = document(ASKED)
    told["policy"]["windows"] |= {"strategy": strategy, "replay": 0.0, "full_every": 20 * DAY}
    services.state.compare_and_set(services.state.read().token, {**State().to_json(), "champion": champion})
    result = wake.run(Task("wake", told, MONDAY, "", {"manual": '{"who": "me", "why": "x"}'}), services)

    launch = services.objects.get(f"launches/{result.numbers['launched'][0]}.json")
    assert launch is not None
    assert launch["parameters"].get("base_model") == base
    if base is not None and base.endswith("absent"):
        assert services.objects.get("absent/absent.json") is not None
