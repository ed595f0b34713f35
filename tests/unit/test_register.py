"""The step `register`: the candidate and where it came from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from ctc.policy.state import Version
from ctc.steps import register, results
from ctc.steps.local import FileObjectStore
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task


class Registry:
    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def register(self, model: str, *, key: str, uri: str, tags: Mapping[str, str], metrics: Mapping[str, float]) -> str:
        self.calls.append({"model": model, "key": key, "uri": uri, "tags": tags, "metrics": metrics})
        return "7"

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        raise AssertionError("the alias moves when a wake says so")

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        raise AssertionError("a wake takes versions away, not an attempt")


@pytest.fixture
def services(tmp_path: Path) -> Services:
    return cast(Services, Services(None, FileObjectStore(tmp_path, "s3://b"), None, Registry()))  # type: ignore[arg-type]


def task(folder: Path, **uris: str) -> Task:
    measured = {"auc": {"contender": {"value": 0.75}}, "f1": {"contender": {"value": None}}}
    (folder / "evaluation.json").write_text(json.dumps({"metrics": measured}))
    training = {
        "image": "registry.example/toy@sha256:2",
        "predict": ["python", "predict.py", "{model}", "3"],
        "hyperparameters": {"depth": 3},
    }
    document = {"spec_digest": "ab", "policy": {"training": training, "registry": {"model": "toy-prod"}}}
    inputs = {"model": folder / "model", "evaluation": folder}
    return Task("register", document, datetime(2024, 1, 1, tzinfo=UTC), "a1", {}, inputs, {}, uris)


def test_the_candidate_can_be_run_again(tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_CODE", "c0de")
    numbers = {"windows": {"train_end": "2023-12-20T00:00:00Z"}, "data": {"fingerprint": "f1"}}
    results.store(services.objects, "a1", "snapshot", Result("ok", numbers=numbers))
    result = register.run(task(tmp_path, model="s3://bucket/attempts/a1/model"), services)

    candidate = Version.from_json(result.numbers)
    assert candidate.predict == ("python", "predict.py", "{model}", "3")
    assert result.numbers == {**candidate.to_json(), "version": "7", "code": "c0de", "attempt": "a1"}
    assert candidate.uri == "s3://bucket/attempts/a1/model"
    assert candidate.trained_until == datetime(2023, 12, 20, tzinfo=UTC)
    [call] = cast(Registry, services.registry).calls
    assert (call["model"], call["key"], call["metrics"]) == ("toy-prod", "a1", {"auc": 0.75})
    assert call["tags"]["ctc.data"] == "f1"
    assert call["tags"]["ctc.code"] == "c0de"


def test_a_local_folder_becomes_its_address(
    tmp_path: Path, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CTC_MOUNTS", json.dumps({"s3://bucket/toy": str(tmp_path)}))
    numbers = {"windows": {"train_end": "2023-12-20T00:00:00Z"}, "data": {"fingerprint": "f1"}}
    results.store(services.objects, "a1", "snapshot", Result("ok", numbers=numbers))
    assert register.run(task(tmp_path), services).numbers["uri"] == "s3://bucket/toy/model"
    told = task(tmp_path, model=str(tmp_path / "model"))
    assert register.run(told, services).numbers["uri"] == "s3://bucket/toy/model"


def test_without_a_snapshot(tmp_path: Path, services: Services) -> None:
    with pytest.raises(StepFailed, match="no result of its snapshot"):
        register.run(task(tmp_path), services)
