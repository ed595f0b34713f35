"""A wake and what it tells: once, whatever dies in between; and both targets for real."""

from __future__ import annotations

import dataclasses
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from project import SPEC, ctc, make, run, state

from ctc.policy.notices import Notice
from ctc.steps import notify, wake
from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher
from ctc.steps.notify import NotSent
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

MONDAY = datetime(2024, 3, 4, 6, tzinfo=UTC)
DAY = 86400.0
EVENTS = ["trained", "promoted", "not_promoted", "approval_needed", "over_budget", "failed", "stale"]
RECORD = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "record.v1.schema.json").read_text())


class Aliases:
    """A registry without versions."""

    def register(self, model: str, **_: Any) -> str:
        raise AssertionError("a wake registers nothing")

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """The alias is nobody's concern here."""

    def prune(self, model: str, keep: int, used: Any) -> None:
        """Neither is the number of versions."""


def document(**section: Any) -> dict[str, Any]:
    channels = [
        {"name": name, "kind": "webhook", "arguments": {"url": {"secret": "hook"}}, "events": EVENTS}
        for name in ("one", "two")
    ]
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
                "triggers": [{"name": "asked", "kind": "manual", "enabled": True, "exempt": False}],
                "cooldown": 0,
                "max_runs": None,
                "rearm": {"new_rows": 0, "backoff": 0},
                "lease": 7200.0,
                **section,
            },
            "notifications": {"channels": channels},
        },
    }


def services(folder: Path) -> Services:
    objects = FileObjectStore(folder, "s3://bucket/toy/prod")
    return Services(FileStateStore(folder), objects, LocalLauncher(objects), Aliases())


def woken(services: Services, hours: float = 0, manual: str = "", **section: Any) -> Result:
    at = MONDAY + timedelta(hours=hours)
    return wake.run(Task("wake", document(**section), at, "", {"manual": manual}), services)


def ended(services: Services, attempt: str, outcome: str = "candidate") -> None:
    """The record of an attempt that is over."""
    candidate = {
        "version": "1",
        "attempt": attempt,
        "uri": "s3://bucket/model",
        "image": "registry.example/toy@sha256:1",
        "predict": ["python", "predict.py"],
        "code": "",
        "trained_until": "2024-02-20T06:00:00Z",
    }
    decision = {"gates": [{"name": "floor", "answer": "pass", "reason": "auc 0.7 is in range"}]}
    document = {
        "id": attempt,
        "kind": "attempt",
        "name": "toy",
        "environment": "prod",
        "target": "kubeflow",
        "spec_digest": "ab" * 32,
        "outcome": outcome,
        "reason": "all 1 gates pass",
        "decision": decision,
        "candidate": candidate if outcome == "candidate" else None,
    }
    services.objects.put(f"records/{attempt}.json", document)


ASK = '{"who": "me", "why": "x"}'


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Notice]:
    """What was sent, by both channels."""
    found: list[Notice] = []

    def send(kind: str, arguments: Mapping[str, Any], notice: Notice, sender: Any) -> None:
        assert arguments == {"url": "http://hook"}
        found.append(notice)

    monkeypatch.setenv("CTC_SECRET_HOOK", "http://hook")
    monkeypatch.setattr(notify, "send", send)
    return found


def test_a_promotion_is_told_with_its_numbers(tmp_path: Path, sent: list[Notice]) -> None:
    here = services(tmp_path)
    attempt = woken(here, manual=ASK).numbers["attempt"]
    assert sent == []
    ended(here, attempt)
    result = woken(here, 1)

    assert [notice.event for notice in sent] == ["trained", "trained", "promoted", "promoted"]
    assert "floor pass: auc 0.7 is in range" in sent[2].lines
    assert sent[2].next == f"ctc runs show {attempt}"
    assert [(item["channel"], item["event"], item["ok"]) for item in result.numbers["notified"]] == [
        ("one", "trained", True),
        ("two", "trained", True),
        ("one", "promoted", True),
        ("two", "promoted", True),
    ]
    assert "told one of promoted" in result.reason
    assert woken(here, 2).numbers["notified"] == []


def test_a_question_is_told_with_its_id(tmp_path: Path, sent: list[Notice]) -> None:
    here = services(tmp_path)
    ended(here, woken(here, manual=ASK, mode="recommend").numbers["attempt"])
    result = woken(here, 1, mode="recommend")
    [question] = {notice.next for notice in sent if notice.event == "approval_needed"}
    assert result.numbers["approval"]["id"] in question


def test_a_lost_attempt_is_told_once(tmp_path: Path, sent: list[Notice]) -> None:
    here = services(tmp_path)
    woken(here, manual=ASK)
    woken(here, 3)
    assert [notice.event for notice in sent] == ["failed", "failed"]
    assert "no record by the end of its lease" in sent[0].lines[0]


def test_a_wake_that_is_held_back_tells_nobody(tmp_path: Path, sent: list[Notice]) -> None:
    here = services(tmp_path)
    result = woken(here, manual=ASK, mode="observe")
    assert result.numbers["record"]["suppressed"]["by"] == "mode"
    assert sent == []


def test_the_budget_is_told_once_while_it_lasts(tmp_path: Path, sent: list[Notice]) -> None:
    here = services(tmp_path)
    budget = {"per_run": 20.0, "per_month": 10.0, "currency": "EUR"}
    for hour in range(3):
        woken(here, hour, manual=json.dumps({"who": "me", "why": f"try {hour}"}), budget=budget)
    assert [notice.event for notice in sent] == ["over_budget", "over_budget"]


def test_what_a_channel_does_never_fails_a_wake(
    tmp_path: Path, sent: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise NotSent("the server answered 404")

    monkeypatch.setattr(notify, "send", refuse)
    here = services(tmp_path)
    ended(here, woken(here, manual=ASK).numbers["attempt"])
    result = woken(here, 1)
    assert (result.status, result.numbers["champion"]) == ("ok", "1")
    assert {item["error"] for item in result.numbers["notified"]} == {"the server answered 404"}
    assert "could not tell one of promoted: the server answered 404" in result.reason


@pytest.mark.parametrize("damage", ["[]", '{"gates": [1]}', '{"gates": "no"}', '{"gates": 7}', '"x"'])
def test_a_damaged_record_is_told_all_the_same(tmp_path: Path, sent: list[Notice], damage: str) -> None:
    here = services(tmp_path)
    attempt = woken(here, manual=ASK).numbers["attempt"]
    here.objects.put(f"records/{attempt}.json", {"id": attempt, "outcome": "held", "decision": json.loads(damage)})
    assert woken(here, 1).status == "ok"
    assert [notice.event for notice in sent] == ["not_promoted"] * 2


class Crash(BaseException):
    """The process is gone."""


class Fuse:
    """Dies before or after the nth of the operations that go through it."""

    def __init__(self, at: float) -> None:
        self.left = at

    def through(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any) -> Any:
            self._burn()
            answer = do(*arguments)
            self._burn()
            return answer

        return guarded

    def _burn(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


class Through:
    """A service whose writes go through a fuse."""

    def __init__(self, service: Any, fuse: Fuse) -> None:
        self._service, self._fuse = service, fuse

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._service, name)
        return self._fuse.through(attribute) if name in ("put", "put_once", "compare_and_set", "send") else attribute


def told_over_a_crash(folder: Path, at: int, sent: list[Notice], monkeypatch: pytest.MonkeyPatch) -> bool:
    """A wake that ends an attempt and promotes dies at an operation, the next one works; whether the first one died."""
    here = services(folder)
    ended(here, woken(here, manual=ASK).numbers["attempt"])
    fuse, send, died = Fuse(at), notify.send, False
    fused = dataclasses.replace(here, state=Through(here.state, fuse), objects=Through(here.objects, fuse))  # type: ignore[arg-type]
    monkeypatch.setattr(notify, "send", fuse.through(send))
    try:
        woken(fused, 1)
    except Crash:
        died = True
    monkeypatch.setattr(notify, "send", send)
    assert woken(here, 2).numbers["champion"] == "1"
    return died


def test_a_crash_loses_one_message_at_most_and_doubles_none(
    tmp_path: Path, sent: list[Notice], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every operation, before it and after it."""
    at = 0
    whole = ["promoted", "promoted", "trained", "trained"]
    while True:
        sent.clear()
        died = told_over_a_crash(tmp_path / str(at), at, sent, monkeypatch)
        events = sorted(notice.event for notice in sent)
        missing = list(whole)
        for event in events:
            missing.remove(event)
        assert len(missing) <= 1, f"at {at}: {events}"
        if not died:
            assert events == whole
            break
        at += 1
    assert at > 20


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook that keeps what was posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[dict[str, Any]] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing: pytest's output is for results."""


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


SECRET = "s3cr3t-T0KEN"
TOLD = """\
notifications:
  team: {webhook: {url: {secret: team-hook}}, events: [trained, promoted, not_promoted, failed]}
  pager: {pagerduty: {key: {secret: no-such-key}}, events: [promoted]}
"""


@pytest.mark.parametrize("target", ["kubeflow", pytest.param("sagemaker", marks=pytest.mark.soak)])
def test_a_run_tells_for_real(target: str, tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_SECRET_TEAM_HOOK", f"http://127.0.0.1:{receiver.server_port}/{SECRET}")
    monkeypatch.delenv("CTC_SECRET_NO_SUCH_KEY", raising=False)
    spec = make(tmp_path / "toy")
    spec.write_text(SPEC + TOLD)
    records = run(spec, "--at", "2024-03-04T06:00:00Z", target=target)

    for record in records:
        jsonschema.validate(record, RECORD)
    [attempt] = [record for record in records if record["kind"] == "attempt"]
    assert attempt["outcome"] == "candidate"
    promoted = next(record for record in records if any(c["what"] == "promoted" for c in record.get("changes", ())))
    assert [(seen["event"], seen["record"]) for seen in receiver.seen] == [
        ("trained", attempt["id"]),
        ("promoted", promoted["id"]),
    ]
    assert receiver.seen[1]["next"] == f"ctc runs show {attempt['id']}"
    log = (state(spec, target) / "wake.log").read_text()
    assert "told team of promoted" in log
    assert "could not tell pager of promoted: the secret no-such-key is not there" in log
    everything = b"".join(path.read_bytes() for path in state(spec, target).rglob("*") if path.is_file())
    assert SECRET.encode() not in everything

    checked = ctc("runs", "show", attempt["id"], spec, "--target", target, "--check", cwd=spec.parent)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "give the verdict that it holds" in checked.stdout
    exposed = ctc("runs", spec, "--target", target, "-o", "prometheus", cwd=spec.parent)
    assert f'ctc_champion_info{{name="toy",environment="default",target="{target}",version="1"' in exposed.stdout
