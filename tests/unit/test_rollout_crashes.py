"""A wake that dies at any of its writes during a rollout: the next one ends with the traffic that the state wants."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ctc.policy.rollout import traffic
from ctc.policy.rules import Policy
from ctc.policy.standing import Grounds
from ctc.policy.state import State, Version
from ctc.steps import wake
from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher
from ctc.steps.local_endpoint import LocalEndpoint
from ctc.steps.ports import Services
from ctc.steps.task import Task

NOW = datetime(2024, 6, 12, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
WAKES = (0, 1, 2, 3)
OLD, NEW = (Version(name, f"a{name}", f"m{name}", "image", ("python",), "", NOW - 9 * HOUR) for name in "34")
STEPS = [
    {"kind": "mirror", "share": 0.5, "for": 3600.0, "by": None, "gates": []},
    {"kind": "traffic", "share": 0.1, "for": 3600.0, "by": None, "gates": []},
    {"kind": "traffic", "share": 1.0, "for": 0.0, "by": None, "gates": []},
]
SERVER = {"argv": ["serve"], "port": 1, "health": "/h", "route": "/r", "instances": {"min": 1, "max": None}}
DOCUMENT = {
    "name": "toy",
    "environment": "prod",
    "target": "kubeflow",
    "spec_digest": "ab" * 32,
    "policy": {
        "data": {"label": None, "sources": {}},
        "windows": {"known_after": 0.0, "holdout": 60.0, "gap": 0, "window": 60.0, "since": None},
        "training": {"image": "image"},
        "triggers": {
            "mode": "act",
            "model": "toy",
            "keep": 10,
            "triggers": [],
            "cooldown": 0,
            "max_runs": None,
            "rearm": {"new_rows": 0, "backoff": 0},
            "lease": 7200.0,
            "rollout": {"serving": "api", "server": SERVER, "steps": STEPS, "limits": [], "keep_previous": 3600.0},
        },
    },
}


class Died(BaseException):
    """The process is gone: nobody catches this."""


class Death:
    """Dies at the `at`-th write, before it is done or just after."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at, self.after, self.count = at, after, 0

    def of(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def write(*words: Any, **named: Any) -> Any:
            self.count += 1
            dies = self.count == self.at
            if dies and not self.after:
                raise Died
            done = act(*words, **named)
            if dies:
                raise Died
            return done

        return write


class Aliases:
    def __init__(self) -> None:
        self.champion = ""

    def register(self, *_: Any, **__: Any) -> str:
        raise AssertionError("a wake registers nothing")

    def set_alias(self, _model: str, alias: str, version: str | None) -> None:
        self.champion = str(version) if alias == "champion" else self.champion

    def prune(self, *_: Any) -> None:
        return


def deployed(folder: Path, death: Death) -> Services:
    objects, aliases = FileObjectStore(folder, "s3://b"), Aliases()
    state, endpoint = FileStateStore(folder), LocalEndpoint(objects)
    begun = State(champion=OLD, candidate=NEW, grounds=Grounds("3", "ab" * 32, "evidence"))
    state.compare_and_set(state.read().token, begun.to_json())
    for thing, names in ((state, ["compare_and_set"]), (objects, ["put", "put_once"]), (aliases, ["set_alias"])):
        for name in names:
            setattr(thing, name, death.of(getattr(thing, name)))
    return Services(state, objects, LocalLauncher(objects), aliases, endpoint=endpoint)


def play(folder: Path, death: Death) -> list[dict[str, float]]:
    """The traffic after each wake; a wake that died is followed by another at the same instant."""
    services, policy = deployed(folder, death), Policy.from_document(DOCUMENT["policy"])  # type: ignore[arg-type]
    stood = []
    for hours in WAKES:
        task = Task("wake", DOCUMENT, NOW + hours * HOUR, "", {"manual": ""})
        try:
            wake.run(task, services)
        except Died:
            wake.run(task, services)
        state = State.from_json(services.state.read().document)
        assert services.endpoint is not None
        found, wanted = services.endpoint.read("api"), traffic(state, policy)
        assert found is not None
        assert wanted is not None
        assert state.pending == ()
        assert dict(found.traffic) == {version: share for version, share in wanted.traffic if share}
        assert found.mirror == wanted.mirror
        assert state.champion is not None
        assert services.registry.champion == state.champion.version  # type: ignore[attr-defined]
        stood.append({**found.traffic, **{f"ready {version}": 1.0 for version in found.ready}})
    return stood


def test_wherever_a_wake_dies_the_traffic_goes_the_same_way(tmp_path: Path) -> None:
    never = Death(0, after=False)
    undisturbed = play(tmp_path / "never", never)
    both = {"ready 3": 1.0, "ready 4": 1.0}
    assert undisturbed == [
        {"3": 1.0, **both},
        {"3": 0.9, "4": 0.1, **both},
        {"4": 1.0, **both},
        {"4": 1.0, "ready 4": 1.0},
    ]
    assert never.count > 15
    for at in range(1, never.count + 1):
        for after in (False, True):
            assert play(tmp_path / f"{at}-{after}", Death(at, after=after)) == undisturbed, (at, after)
