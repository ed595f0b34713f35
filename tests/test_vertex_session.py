"""The line to Google: what is asked again, what is told of a refusal, and that no document is written over another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from google_cloud import Google, serve

from ctc.deploy.resource import CloudError
from ctc.diagnostics import CtcError
from ctc.steps.ports import Conflict
from ctc.targets.vertex import session as lines
from ctc.targets.vertex.session import Exists, Lost, Missing, Session
from ctc.targets.vertex.stores import NOTHING, GcsObjectStore, GcsStateStore, delete, get, keys, put

ROOT = "gs://bucket/ct/fraud"


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    made = Google(buckets={"bucket": {}})
    monkeypatch.setattr(lines.time, "sleep", lambda _: None)
    with serve(made) as base:
        for service in ("STORAGE", "AIPLATFORM", "WORKFLOWS"):
            monkeypatch.setenv(f"{lines.OVERRIDE}{service}", base)
        yield made


@pytest.fixture
def session(google: Google) -> Session:
    return Session("europe-west4")


def error(code: int, status: str, message: str = "no", **more: Any) -> tuple[int, Any]:
    return code, {"error": {"code": code, "status": status, "message": message, **more}}


def ask(session: Session) -> Any:
    return session.call("aiplatform", "GET", "v1/projects/p/locations/l/schedules/7", "schedule/every")


@pytest.mark.parametrize("code", sorted(lines.AGAIN))
def test_what_passes_is_asked_again(google: Google, session: Session, code: int) -> None:
    google.script = [error(code, "X")] * (lines.TRIES - 1) + [(200, {"name": "7"})]
    assert ask(session) == {"name": "7"}
    assert len(google.asked) == lines.TRIES


def test_what_does_not_pass_is_told(google: Google, session: Session) -> None:
    google.script = [error(429, "RESOURCE_EXHAUSTED", "Quota exceeded")] * lines.TRIES
    with pytest.raises(CloudError, match=r"schedule/every: .*Quota exceeded \(RESOURCE_EXHAUSTED\)") as told:
        ask(session)
    assert len(google.asked) == lines.TRIES
    assert "later" in (told.value.help or "")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (404, "NOT_FOUND", Missing),
        (409, "ALREADY_EXISTS", Exists),
        (409, "ABORTED", Lost),
        (412, "FAILED_PRECONDITION", Lost),
        (400, "INVALID_ARGUMENT", CloudError),
        (400, "FAILED_PRECONDITION", CloudError),
        (401, "UNAUTHENTICATED", CloudError),
        (403, "PERMISSION_DENIED", CloudError),
    ],
)
def test_each_refusal_has_its_kind_and_is_asked_once(
    google: Google, session: Session, code: int, status: str, kind: type[CloudError]
) -> None:
    google.script = [error(code, status)]
    with pytest.raises(CloudError) as told:
        ask(session)
    assert type(told.value) is kind
    assert len(google.asked) == 1


IN_WORDS = "Permission 'aiplatform.schedules.get' denied on resource '//aiplatform.googleapis.com/projects/p'."
OF_STORAGE = "sa@p.iam does not have storage.objects.get access to the Google Cloud Storage object."
INFO = {"reason": "IAM_PERMISSION_DENIED", "metadata": {"permission": "workflows.workflows.get", "resource": "w/x"}}


@pytest.mark.parametrize(
    ("message", "details", "said"),
    [
        (IN_WORDS, [], "aiplatform.schedules.get is denied on //aiplatform.googleapis.com/projects/p"),
        (OF_STORAGE, [], "storage.objects.get is denied on schedule/every: sa@p.iam"),
        ("denied", [INFO], "workflows.workflows.get is denied on w/x"),
    ],
)
def test_a_denied_permission_is_named(
    google: Google, session: Session, message: str, details: list[Any], said: str
) -> None:
    google.script = [error(403, "PERMISSION_DENIED", message, details=details)]
    with pytest.raises(CloudError) as told:
        ask(session)
    assert said in told.value.message
    assert "bootstrap" in (told.value.help or "")


def test_an_api_that_is_off_says_who_turns_it_on(google: Google, session: Session) -> None:
    google.script = [error(403, "PERMISSION_DENIED", "has not been used", details=[{"reason": "SERVICE_DISABLED"}])]
    with pytest.raises(CloudError) as told:
        ask(session)
    assert "gcloud services enable aiplatform.googleapis.com" in (told.value.help or "")


def test_an_answer_that_is_no_json_is_told(google: Google, session: Session) -> None:
    google.script = [(200, b"<html>"), (400, b"<html>bad")]
    with pytest.raises(CloudError, match="other than JSON"):
        ask(session)
    with pytest.raises(CloudError, match="<html>bad"):
        ask(session)


def test_an_operation_is_waited_for_and_its_failure_has_a_kind(google: Google, session: Session) -> None:
    google.script = [(200, {"name": "o/1"}), (200, {"name": "o/1", "done": True, "response": {"name": "w"}})]
    assert session.finish("workflows", "v1", {"name": "o/1"}, "workflow/w") == {"name": "w"}
    failed = {"name": "o/2", "done": True, "error": {"code": 6, "message": "there already"}}
    with pytest.raises(Exists, match=r"workflow/w: .*there already"):
        session.finish("workflows", "v1", failed, "workflow/w")


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Google()) as base:
        pass
    monkeypatch.setattr(lines.time, "sleep", lambda _: None)
    monkeypatch.setenv(f"{lines.OVERRIDE}AIPLATFORM", base)
    with pytest.raises(CloudError, match="could not be asked") as told:
        ask(Session("europe-west4"))
    assert "goes on where it stopped" in (told.value.help or "")


def test_where_requests_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{lines.OVERRIDE}STORAGE", raising=False)
    assert lines.endpoint("aiplatform", "us-east1") == ("https://us-east1-aiplatform.googleapis.com", False)
    assert lines.endpoint("storage", "us-east1") == ("https://storage.googleapis.com", False)
    for given in ("http://example.com", "http://127.0.0.1.example.com"):
        monkeypatch.setenv(f"{lines.OVERRIDE}STORAGE", given)
        with pytest.raises(CtcError, match="in clear"):
            lines.endpoint("storage", "us-east1")


def test_no_credentials_go_to_this_machine(google: Google, session: Session) -> None:
    put(session, f"{ROOT}/a", b"1")
    [(_, _, headers)] = google.asked
    assert not {"authorization"} & {name.lower() for name in headers}


def test_a_state_document_is_never_written_over_another(session: Session) -> None:
    store = GcsStateStore(session, f"{ROOT}/state.json")
    assert store.read().token == NOTHING
    first = store.compare_and_set(NOTHING, {"n": 1})
    with pytest.raises(Conflict):
        store.compare_and_set(NOTHING, {"n": 2})
    second = store.compare_and_set(first, {"n": 2})
    with pytest.raises(Conflict):
        store.compare_and_set(first, {"n": 3})
    assert (store.read().document, store.read().token) == ({"n": 2}, second)
    delete(session, f"{ROOT}/state.json")
    with pytest.raises(Conflict):
        store.compare_and_set(second, {"n": 3})


def test_of_many_who_count_at_once_none_is_lost(google: Google, session: Session) -> None:
    def count() -> None:
        store = GcsStateStore(Session("europe-west4"), f"{ROOT}/state.json")
        for _ in range(5):
            while True:
                held = store.read()
                try:
                    store.compare_and_set(held.token, {"n": (held.document or {"n": 0})["n"] + 1})
                except Conflict:
                    continue
                break

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert GcsStateStore(session, f"{ROOT}/state.json").read().document == {"n": 20}


def test_documents_below_a_prefix(session: Session) -> None:
    store = GcsObjectStore(session, ROOT)
    assert store.get("records/a b/é.json") is None
    assert store.put_once("records/a b/é.json", {"x": 1})
    assert not store.put_once("records/a b/é.json", {"x": 2})
    assert store.get("records/a b/é.json") == {"x": 1}
    for number in range(4):
        store.put(f"records/{number}.json", {})
    store.put("other.json", {})
    names = ("records/0.json", "records/1.json", "records/2.json", "records/3.json", "records/a b/é.json")
    assert keys(session, f"{ROOT}/records/") == names
    assert keys(session, f"{ROOT}/nothing/") == ()


def test_what_is_no_json_object_says_where(session: Session) -> None:
    for content in (b"{", b"[1]"):
        put(session, f"{ROOT}/state.json", content)
        assert get(session, f"{ROOT}/state.json")[0] == content
        with pytest.raises(CtcError, match=r"gs://bucket/ct/fraud/state\.json"):
            GcsStateStore(session, f"{ROOT}/state.json").read()


def test_an_absent_bucket_is_no_conflict(session: Session) -> None:
    with pytest.raises(Missing, match="bucket does not exist"):
        put(session, "gs://absent/a", b"", NOTHING)
