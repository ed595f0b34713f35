"""What a wake does for a version that rolls out, with an endpoint on plain files and servers that really answer."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import project
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rollouts

from ctc.policy.actions import Retire, Route, Smoke
from ctc.policy.evidence import Health
from ctc.policy.rollout import smoke_key
from ctc.policy.rules import Policy
from ctc.policy.standing import Position, Retiring
from ctc.policy.state import State, Version
from ctc.steps import server as servers
from ctc.steps.local import FileObjectStore
from ctc.steps.local_endpoint import LocalEndpoint
from ctc.steps.ports import Server, Services
from ctc.steps.rollout import Rollouts
from ctc.steps.task import StepFailed, Task

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = datetime(2024, 6, 12, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
SERVER = Server("api", ("python", "serve.py"), 8080, "/health", "/predict", {"min": 1, "max": None})
OLD, NEW = (Version(name, f"a{name}", f"m{name}", "image", ("python",), "", NOW - 9 * HOUR) for name in "34")
SCORES = {"name": "scores", "kind": "drift", "arguments": {"columns": ["p"], "method": "ks", "max": 0.3}}
SMOKE = {"kind": "smoke", "request": "smoke.json", "status": 200}


def traffic(share: float, *gates: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "traffic", "share": share, "for": 3600.0, "by": None, "gates": list(gates)}


@pytest.fixture
def endpoint(tmp_path: Path) -> LocalEndpoint:
    return LocalEndpoint(FileObjectStore(tmp_path / "root", "s3://b"))


class Wake:
    """A wake of a spec with a rollout of these steps, at an hour after NOW."""

    def __init__(
        self, folder: Path, *steps: dict[str, Any], mode: str = "act", limits: Any = (), port: int = 1
    ) -> None:
        self.objects = FileObjectStore(folder / "root", "s3://b")
        self.endpoint = LocalEndpoint(self.objects)
        self.services = Services(
            cast(Any, None), self.objects, cast(Any, None), cast(Any, None), endpoint=self.endpoint
        )
        served = {
            "role": "predictions",
            "parquet": str(folder / "served.parquet"),
            "csv": None,
            "event_time": "at",
            "known_at": None,
            "timezone": None,
            "key": ["visit"],
            "keep": [],
            "join": None,
            "columns": {"key": "visit", "score": "p", "model_version": "version", "event_time": "at"},
        }
        server = {"argv": [sys.executable, str(folder / "serve.py"), "--model", "{model}", "--port", str(port)]}
        server |= {"port": port, "health": "/health", "route": "/predict", "instances": {"min": 1, "max": None}}
        rollout = {"serving": "api", "server": server, "steps": list(steps), "limits": list(limits)}
        section = {"mode": mode, "cooldown": 0.0, "max_runs": None, "rearm": {"new_rows": 0, "backoff": 0.0}}
        self.document = {
            "policy": {
                "data": {"sources": {"served": served}},
                "windows": {"known_after": 0.0},
                "triggers": {**section, "triggers": [], "lease": 1.0, "rollout": {**rollout, "keep_previous": 60.0}},
            }
        }
        self.policy = Policy.from_document(self.document["policy"])

    def at(self, hours: float) -> Rollouts:
        return Rollouts(Task("wake", self.document, NOW + hours * HOUR, ""), self.services, self.policy)

    def state(self, step: int, **changes: Any) -> State:
        assert self.policy.rollout is not None
        position = Position("4", step, NOW, self.policy.rollout.digest)
        return replace(State(champion=OLD, candidate=NEW, rollout=position), **changes)


def answers(health: Health | None) -> dict[str, str]:
    assert health is not None
    return {answer.name: answer.answer for answer in health.answers}


def test_an_endpoint_tells_what_stands(endpoint: LocalEndpoint) -> None:
    assert endpoint.read("api") is None
    endpoint.route(SERVER, [OLD, NEW], Route("k", "api", (("3", 1.0), ("4", 0.0)), 0.5, "user"), NOW)
    found = endpoint.read("api")
    assert found is not None
    assert (dict(found.traffic), found.mirror, found.mirrored, found.by) == ({"3": 1.0}, 0.5, "4", "user")
    assert (found.ready, found.since) == (("3", "4"), NOW)


def test_the_same_route_again_changes_nothing_and_another_keeps_who_is_ready(endpoint: LocalEndpoint) -> None:
    route = Route("k", "api", (("3", 0.9), ("4", 0.1)))
    endpoint.route(SERVER, [OLD, NEW], route, NOW)
    first = endpoint.read("api")
    endpoint.route(SERVER, [OLD, NEW], route, NOW + HOUR)
    assert endpoint.read("api") == first
    endpoint.route(SERVER, [OLD], Route("k", "api", (("3", 1.0),)), NOW + HOUR)
    back = endpoint.read("api")
    assert back is not None
    assert (dict(back.traffic), back.ready, back.since) == ({"3": 1.0}, ("3", "4"), NOW + HOUR)


def test_a_version_with_traffic_is_never_let_go(endpoint: LocalEndpoint) -> None:
    endpoint.route(SERVER, [OLD, NEW], Route("k", "api", (("3", 0.9), ("4", 0.1))), NOW)
    endpoint.retire("api", "4")
    endpoint.retire("other", "4")
    found = endpoint.read("api")
    assert found is not None
    assert found.ready == ("3", "4")
    endpoint.route(SERVER, [NEW], Route("k", "api", (("4", 1.0),)), NOW)
    for _ in range(2):
        endpoint.retire("api", "3")
    found = endpoint.read("api")
    assert found is not None
    assert found.ready == ("4",)


def test_a_write_that_dies_leaves_the_old_shares(endpoint: LocalEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint.route(SERVER, [OLD], Route("k", "api", (("3", 1.0),)), NOW)
    before = endpoint.read("api")

    def die(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(OSError, match="No space left"):
        endpoint.route(SERVER, [NEW], Route("k", "api", (("4", 1.0),)), NOW)
    assert endpoint.read("api") == before


def test_a_wake_repairs_the_traffic_that_a_slow_one_moved_late(tmp_path: Path) -> None:
    wake = Wake(tmp_path, traffic(0.1), traffic(1.0))
    late = Route("late", "api", (("4", 1.0),))
    wake.endpoint.route(SERVER, [OLD, NEW], late, NOW)
    wake.at(1).repair(wake.state(0))
    found = wake.endpoint.read("api")
    assert found is not None
    assert dict(found.traffic) == {"3": 0.9, "4": 0.1}
    wake.at(2).repair(State(champion=OLD))
    found = wake.endpoint.read("api")
    assert found is not None
    assert (dict(found.traffic), found.ready) == ({"3": 1.0}, ("3",))


def test_the_previous_champion_stays_ready_while_it_is_kept(tmp_path: Path) -> None:
    wake = Wake(tmp_path, traffic(1.0))
    kept = State(champion=NEW, previous=OLD, retiring=Retiring("3", NOW + HOUR))
    wake.at(0).apply(Route("k", "api", (("3", 1.0),)), kept)
    wake.at(0).repair(kept)
    found = wake.endpoint.read("api")
    assert found is not None
    assert (dict(found.traffic), found.ready) == ({"4": 1.0}, ("3", "4"))
    wake.at(1).apply(Retire("r", "api", "3"), replace(kept, retiring=None))
    found = wake.endpoint.read("api")
    assert found is not None
    assert found.ready == ("4",)


def test_an_action_about_a_version_that_was_dropped_is_overtaken(tmp_path: Path) -> None:
    wake = Wake(tmp_path, SMOKE, traffic(1.0))
    wake.at(0).apply(Route("k", "api", (("3", 0.9), ("4", 0.1))), State(champion=OLD))
    wake.at(0).apply(Smoke("k", "api", "4", "smoke.json", 200), State(champion=OLD))
    assert wake.endpoint.read("api") is None
    assert wake.objects.get("smokes/k.json") is None


def test_without_an_endpoint_nothing_is_moved(tmp_path: Path) -> None:
    wake = Wake(tmp_path, traffic(1.0))
    wake.services = replace(wake.services, endpoint=None)
    with pytest.raises(StepFailed, match="no endpoint"):
        wake.at(0).repair(wake.state(0))


@pytest.mark.parametrize("change", [{"rollout": None}, {"candidate": None}, {"pending": ({},)}, {"champion": None}])
def test_nothing_is_measured_where_nothing_would_follow(tmp_path: Path, change: dict[str, Any]) -> None:
    wake = Wake(tmp_path, traffic(0.1, SCORES))
    found = wake.at(1).health(wake.state(0, **change))
    assert found == (Health() if "champion" in change else None)
    observing = Wake(tmp_path, traffic(0.1, SCORES), mode="observe")
    assert observing.at(1).health(observing.state(0)) is None
    moved = replace(wake.state(0), rollout=Position("4", 0, NOW, "other steps"))
    assert wake.at(1).health(moved) is None


def served(folder: Path, *stretches: tuple[str, float, float, float]) -> None:
    """Rows of a version from one hour to another, 200 an hour, with scores around a middle."""
    rows = [
        {"visit": str(n), "at": NOW + (start + n / 200) * HOUR, "version": version, "p": middle + (n * 37 % 100) / 1000}
        for version, start, end, middle in stretches
        for n in range(int((end - start) * 200))
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "served.parquet")


@pytest.mark.parametrize(
    ("stretches", "share", "hours", "expected"),
    [
        ([("3", 0, 2, 0.3), ("4", 0, 2, 0.3)], 0.1, 1, "pass"),
        ([("3", 0, 2, 0.3), ("4", 0, 2, 0.6)], 0.1, 1, "fail"),
        ([("3", -2, 0, 0.6), ("3", 0, 2, 0.3), ("4", -2, 0, 0.6), ("4", 0, 2, 0.3)], 0.1, 1, "pass"),
        ([("3", 0, 2, 0.3), ("4", 0, 2, 0.6)], 0.1, 0.4, "not_evaluable"),
        ([("3", 0, 2, 0.3), ("4", 0.9, 2, 0.6)], 0.1, 1, "not_evaluable"),
        ([("3", -1, 0, 0.3), ("4", 0, 1, 0.3)], 1.0, 1, "pass"),
        ([("3", -1, 0, 0.3), ("4", 0, 1, 0.6)], 1.0, 1, "fail"),
        ([("3", 0, 1, 0.3), ("4", 0, 1, 0.6)], 1.0, 1, "not_evaluable"),
    ],
    ids=["alike", "apart", "only since the step", "too early", "too few", "all, alike", "all, apart", "all, nothing"],
)
def test_scores_since_the_step_began_are_compared(
    tmp_path: Path, stretches: list[tuple[str, float, float, float]], share: float, hours: float, expected: str
) -> None:
    served(tmp_path, *stretches)
    wake = Wake(tmp_path, traffic(share, SCORES), traffic(1.0))
    assert answers(wake.at(hours).health(wake.state(0))) == {"scores": expected}


def test_rows_that_cannot_be_read_are_an_answer(tmp_path: Path) -> None:
    wake = Wake(tmp_path, traffic(0.1, SCORES))
    found = wake.at(1).health(wake.state(0))
    assert found is not None
    assert found.answers[0].answer == "not_evaluable"
    assert "served" in found.answers[0].reason


@pytest.fixture
def served_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its server and a request, from which a wake is run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m4").mkdir()
    (tmp_path / "m4" / "model.json").write_text('{"a|True|False": 0.25}')
    (tmp_path / "serve.py").write_text(rollouts.SERVE)
    (tmp_path / "smoke.json").write_text(json.dumps({"instances": [{"shop": "a", "amount": 60.0, "price": 9.5}]}))
    return tmp_path


def smoked(wake: Wake, **state: Any) -> Health:
    """The answer that a later wake finds of a smoke test that this one made."""
    assert wake.policy.rollout is not None
    step = wake.policy.rollout.steps[0]
    standing = wake.state(0, **state)
    assert standing.rollout is not None
    action = Smoke(smoke_key(standing.rollout), "api", "4", step["request"], step["status"])
    wake.at(0).apply(action, standing)
    found = wake.at(1).health(standing)
    assert found is not None
    return found


def test_a_smoke_test_starts_the_server_and_asks_it(served_model: Path) -> None:
    wake = Wake(served_model, SMOKE, port=project.free_port())
    found = smoked(wake)
    assert found.smoke is not None
    assert (found.smoke.answer, found.smoke.numbers) == ("pass", {"status": 200, "expected": 200})
    (served_model / "serve.py").write_text("import sys; sys.exit(1)")
    assert smoked(wake) == found, "an answer is kept: the same action again asks nobody"


@pytest.mark.parametrize(
    ("change", "answer", "said"),
    [
        (("FAILS_EVERY = [], 0", "FAILS_EVERY = [], 1"), "fail", "answered with 500, 200 was expected"),
        (("rates =", "import sys; sys.exit('no such format: 7')\nrates ="), "fail", "no such format: 7"),
        (None, "not_evaluable", "smoke.json cannot be read"),
    ],
)
def test_a_smoke_test_that_does_not_pass(
    served_model: Path, change: tuple[str, str] | None, answer: str, said: str
) -> None:
    if change is None:
        (served_model / "smoke.json").unlink()
    else:
        (served_model / "serve.py").write_text(rollouts.SERVE.replace(*change))
    wake = Wake(served_model, SMOKE, port=project.free_port())
    found = smoked(wake).smoke
    assert found is not None
    assert found.answer == answer
    assert said in found.reason
    if change is None:
        (served_model / "smoke.json").write_text('{"instances": [{"shop": "a", "amount": 1, "price": 1}]}')
        asked_again = smoked(wake).smoke
        assert asked_again is not None
        assert asked_again.answer == "pass"


def test_a_server_that_answers_badly_leaves_its_limit(served_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "RATE", 500.0)
    errors = {"name": "errors", "kind": "error_rate", "arguments": {"max": 0.05}}
    slow = {"name": "slow", "kind": "latency", "arguments": {"p50": 5.0}}
    port = project.free_port()
    wake = Wake(served_model, SMOKE, traffic(0.1), limits=[errors, slow], port=port)
    assert answers(wake.at(1).health(wake.state(1))) == {"errors": "pass", "slow": "pass"}
    assert wake.at(1).health(wake.state(0)) == Health(), "a smoke test comes before any traffic"
    (served_model / "serve.py").write_text(rollouts.SERVE.replace("FAILS_EVERY = [], 0", "FAILS_EVERY = [], 10"))
    found = wake.at(1).health(wake.state(1))
    assert answers(found) == {"errors": "fail", "slow": "pass"}
    assert found is not None
    assert found.answers[0].numbers["failed"] == 10
    assert "HTTP 500" in found.answers[0].reason
    (served_model / "serve.py").write_text("import sys; sys.exit('gone')")
    assert answers(wake.at(1).health(wake.state(1))) == {"errors": "fail", "slow": "fail"}


def test_without_a_request_the_answers_are_not_known(served_model: Path) -> None:
    errors = {"name": "errors", "kind": "error_rate", "arguments": {"max": 0.05}}
    wake = Wake(served_model, traffic(0.1), limits=[errors])
    assert answers(wake.at(1).health(wake.state(0))) == {"errors": "not_evaluable"}
