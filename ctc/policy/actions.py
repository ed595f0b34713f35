"""What the controller asks for. Applying an action twice is harmless: `key` makes the second time nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StartTraining:
    """Put `request` at `attempts/<attempt>/request/request.json`, then launch the train pipeline under `key`."""

    key: str
    attempt: str
    launch: int
    request: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "action": "start_training",
            "key": self.key,
            "attempt": self.attempt,
            "launch": self.launch,
            "request": dict(self.request),
        }


@dataclass(frozen=True)
class StartScoring:
    """Put `request` where a training's is put, then launch the pipeline of the batch entry `serving` under `key`."""

    key: str
    serving: str
    job: str
    launch: int
    request: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "action": "start_scoring",
            "key": self.key,
            "serving": self.serving,
            "job": self.job,
            "launch": self.launch,
            "request": dict(self.request),
        }


@dataclass(frozen=True)
class Promote:
    """Point the registry's alias `champion` at `version`."""

    key: str
    version: str

    def to_json(self) -> dict[str, Any]:
        return {"action": "promote", "key": self.key, "version": self.version}


@dataclass(frozen=True)
class Route:
    """Send each version its share of the traffic (shares add up to 1), and `mirror` of it also to the last of them,
    whose answers nobody sees. `by` is the request's field that keeps one user with one version."""

    key: str
    serving: str
    traffic: tuple[tuple[str, float], ...]
    mirror: float = 0.0
    by: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "action": "route",
            "key": self.key,
            "serving": self.serving,
            "traffic": [list(part) for part in self.traffic],
            "mirror": self.mirror,
            "by": self.by,
        }


@dataclass(frozen=True)
class Smoke:
    """Ask `version` the `request` (a file of the spec), and note whether it answers with `status`."""

    key: str
    serving: str
    version: str
    request: str
    status: int

    def to_json(self) -> dict[str, Any]:
        return {
            "action": "smoke",
            "key": self.key,
            "serving": self.serving,
            "version": self.version,
            "request": self.request,
            "status": self.status,
        }


@dataclass(frozen=True)
class Retire:
    """Stop keeping `version` ready; its files stay."""

    key: str
    serving: str
    version: str

    def to_json(self) -> dict[str, Any]:
        return {"action": "retire", "key": self.key, "serving": self.serving, "version": self.version}


@dataclass(frozen=True)
class WriteRecord:
    """Put `record` at the object key `key`, unless something is there: the first record of an id is the record."""

    key: str
    record: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"action": "write_record", "key": self.key, "record": dict(self.record)}


Action = StartTraining | StartScoring | Promote | Route | Smoke | Retire | WriteRecord


def action_from_json(document: Mapping[str, Any]) -> Action:
    """The action that `to_json` wrote. ValueError for an action that this ctc does not know."""
    match document["action"]:
        case "start_training":
            return StartTraining(document["key"], document["attempt"], document["launch"], document["request"])
        case "start_scoring":
            return StartScoring(
                document["key"], document["serving"], document["job"], document["launch"], document["request"]
            )
        case "promote":
            return Promote(document["key"], document["version"])
        case "route":
            traffic = tuple((version, share) for version, share in document["traffic"])
            by = document.get("by")
            return Route(document["key"], document["serving"], traffic, document["mirror"], by)
        case "smoke":
            return Smoke(
                document["key"], document["serving"], document["version"], document["request"], document["status"]
            )
        case "retire":
            return Retire(document["key"], document["serving"], document["version"])
        case "write_record":
            return WriteRecord(document["key"], document["record"])
        case other:
            raise ValueError(f"unknown action {other!r} in the state document")
