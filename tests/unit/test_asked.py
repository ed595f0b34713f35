"""What people and other systems ask of a wake, from its parameters to what it did."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from ctc.steps import wake
from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher
from ctc.steps.ports import Services
from ctc.steps.task import Result, StepFailed, Task

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "record.v1.schema.json").read_text())
NOW = datetime(2024, 3, 4, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
EVENT = {"name": "ops", "kind": "event", "event": "ops-alert", "dedupe_by": "incident", "max_age": 3600.0}
TRIGGER = {**EVENT, "enabled": True, "exempt": False}
OFFICERS = {"any_of": ["officers"], "all_of": [], "expires": 86400.0}
MODEL = {"uri": "s3://b/m", "image": "i", "predict": ["p"], "code": "c", "trained_until": "2024-01-01T00:00:00Z"}


class Aliases:
    def __init__(self) -> None:
        self.aliases: dict[str, str | None] = {}
        self.keys: list[str] = []

    def register(self, model: str, *, key: str, **_: Any) -> str:
        self.keys = list(dict.fromkeys([*self.keys, key]))
        return str(self.keys.index(key) + 1)

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        self.aliases[alias] = version

    def prune(self, model: str, keep: int, used: Collection[str]) -> None:
        assert keep == 10


@pytest.fixture
def services(tmp_path: Path) -> Services:
    objects = FileObjectStore(tmp_path, "s3://bucket/toy/prod")
    return Services(FileStateStore(tmp_path), objects, LocalLauncher(objects), cast(Any, Aliases()))


def woken(services: Services, at: datetime = NOW, **parameters: Any) -> Result:
    section = {"mode": "act", "model": "toy", "keep": 10, "triggers": [TRIGGER], "cooldown": 0, "max_runs": None}
    document = {
        "version": 1,
        "step": "wake",
        "name": "toy",
        "environment": "prod",
        "target": "kubeflow",
        "root": "s3://bucket/toy/prod",
        "spec_digest": "ab" * 32,
        "policy": {
            "data": {"label": {"known_after": 0}},
            "windows": {"known_after": 0, "holdout": 3600, "gap": 0, "window": 3600, "since": None},
            "training": {"image": "registry.example/toy@sha256:1"},
            "triggers": {**section, "rearm": {"new_rows": 0, "backoff": 0}, "lease": 7200.0, "approval": OFFICERS},
        },
    }
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return wake.run(Task("wake", document, at, "", texts), services)


def command(do: str, **more: Any) -> dict[str, Any]:
    return {"who": "ada", "why": "because", "do": do, **more}


def whats(result: Result) -> list[str]:
    return [change["what"] for change in result.numbers["changes"]]


def candidate(services: Services, attempt: str, version: str, champion: str | None) -> None:
    found = {**MODEL, "version": version, "attempt": attempt}
    record = {"id": attempt, "outcome": "candidate", "candidate": found, "champion": champion}
    services.objects.put(f"records/{attempt}.json", {**record, "spec_digest": "ab" * 32})


def test_a_model_is_adopted_asked_about_approved_and_taken_back(services: Services, tmp_path: Path) -> None:
    adopted = woken(services, manual=command("adopt", version=MODEL, id="m1"))
    assert whats(adopted) == ["adopted"]
    assert adopted.numbers["champion"] == "1"
    started = woken(services, NOW + HOUR, event={"name": "ops-alert", "fields": {"incident": "7"}})
    attempt = started.numbers["attempt"]
    candidate(services, attempt, "2", "1")
    asked = woken(services, NOW + 2 * HOUR)
    assert whats(asked) == ["approval_asked"]
    question = asked.numbers["approval"]["id"]
    approved = woken(services, NOW + 3 * HOUR, manual=command("approve", about=question))
    assert whats(approved) == ["approved", "promoted"]
    registry = cast(Aliases, services.registry)
    assert registry.aliases == {"champion": "2", "previous": "1"}
    back = woken(services, NOW + 4 * HOUR, manual=command("rollback"))
    assert whats(back) == ["rolled_back"]
    assert registry.aliases == {"champion": "1", "previous": None}
    for path in (tmp_path / "records").glob("*.json"):
        record = json.loads(path.read_text())
        if record.get("kind") == "wake":
            jsonschema.validate(record, SCHEMA)


def test_adopting_twice_registers_once(services: Services) -> None:
    for _ in range(2):
        woken(services, manual=command("adopt", version=MODEL, id="m1"))
    assert cast(Aliases, services.registry).keys == ["adopted-m1"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"manual": "{"}, "the parameter `manual` is"),
        ({"manual": "[1]"}, "the parameter `manual` is"),
        ({"manual": {"who": "ada"}}, "no why"),
        ({"manual": command("dance")}, "asks to 'dance'; it may ask to: approve, reject, adopt, rollback, resume"),
        ({"manual": command("adopt", version={"uri": "u"})}, "the model to adopt lacks a part"),
        ({"manual": command("adopt")}, "the model to adopt lacks a part"),
        ({"event": {"id": "7"}}, "no name"),
        ({"event": {"name": "ops-alert", "at": "yesterday"}}, "the parameter `event` cannot be read"),
        ({"event": {"name": "ops-alert", "fields": 3}}, "the parameter `event` cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(services: Services, parameters: Any, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        woken(services, **parameters)


@pytest.mark.parametrize(
    ("event", "fires"),
    [
        ({"name": "ops-alert", "fields": {"incident": "7"}}, True),
        ({"name": "ops-alert", "id": "x"}, True),
        ({"name": "ops-alert", "at": "2024-03-04T04:00:00Z"}, False),
        ({"name": "another"}, False),
    ],
)
def test_an_event_starts_an_attempt(services: Services, event: Any, fires: bool) -> None:
    assert bool(woken(services, event=event).numbers["launched"]) == fires
