"""The step `record`: every way an attempt can end, one shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from ctc.steps import record, results
from ctc.steps.local import FileObjectStore
from ctc.steps.ports import Services
from ctc.steps.task import Result, Task

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "record.v1.schema.json").read_text())
PROMOTION = {"prefer": "fresher", "if_not_evaluable": "hold", "gates": []}
DOCUMENT = {
    "name": "toy",
    "environment": "default",
    "target": "kubeflow",
    "spec_digest": "ab" * 32,
    "policy": {"steps": {"users": ["train", "predict-contender", "predict-champion"]}, "promotion": PROMOTION},
}
VERDICT = {"version": 1, "promote": True, "decision": "promote", "reason": "all 2 gates pass", "gates": []}
CANDIDATE = {
    "version": "4",
    "attempt": "a1",
    "uri": "s3://b/m",
    "image": "i",
    "predict": ["python"],
    "code": "",
    "trained_until": "2024-01-01T00:00:00Z",
}
RESULTS = {
    "snapshot": Result(
        "ok", {"go": True}, "", {"windows": {"labelled_until": "2024-03-01T06:00:00Z"}, "data": {"fingerprint": "f"}}
    ),
    "validate": Result("ok", {"go": True}, "", {"checks": []}),
    "evaluate": Result("ok", {}, "", {"version": 1, "rows": 10}),
    "decide": Result("ok", {"promote": True}, "all 2 gates pass", VERDICT),
    "register": Result("ok", {}, "", CANDIDATE),
}
USERS = ("train", "predict-contender", "predict-champion")


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    monkeypatch.delenv("CTC_STATUS_DIR", raising=False)
    objects = FileObjectStore(tmp_path, "s3://b")
    request = {"triggers": ["weekly"], "launch": 1, "champion": {"version": "3"}}
    objects.put("attempts/a1/request/request.json", request)
    return cast(Services, Services(None, objects, None, None))  # type: ignore[arg-type]


def recorded(services: Services) -> dict[str, Any]:
    result = record.run(Task("record", DOCUMENT, datetime(2024, 3, 4, 6, tzinfo=UTC), "a1"), services)
    assert result.status == "ok"
    document = services.objects.get("records/a1.json")
    assert document is not None
    jsonschema.validate(document, SCHEMA)
    return dict(document)


def kept(services: Services, *steps: str, **changed: Result) -> None:
    for step in steps:
        results.store(services.objects, "a1", step, RESULTS[step])
    for step, result in changed.items():
        results.store(services.objects, "a1", step, result)


def status(folder: Path, step: str, error: str = "") -> None:
    folder.mkdir(exist_ok=True)
    document = {"step": step, "status": "failed" if error else "ok", "exit_code": 1, "error": error, "seconds": 1.0}
    (folder / f"{step}.json").write_text(json.dumps(document))


def test_a_candidate(services: Services) -> None:
    kept(services, *RESULTS)
    document = recorded(services)

    assert (document["outcome"], document["candidate"], document["champion"]) == ("candidate", CANDIDATE, "3")
    assert document["decision"] == VERDICT
    assert document["policy"] == {"promotion": PROMOTION}
    assert document["evaluation"] == {"version": 1, "rows": 10}
    assert (document["triggers"], document["error"]) == (["weekly"], "")
    assert {step["status"] for step in document["steps"].values()} == {"ok"}


def test_held(services: Services) -> None:
    held = Result("ok", {"promote": False}, "floor: auc 0.4 is below 0.5", {**VERDICT, "promote": False})
    kept(services, "snapshot", "validate", "evaluate", decide=held)
    document = recorded(services)
    assert (document["outcome"], document["reason"]) == ("held", "floor: auc 0.4 is below 0.5")
    assert document["candidate"] is None
    assert document["steps"]["register"] == {"status": "not_run"}


@pytest.mark.parametrize("step", ["snapshot", "validate"])
def test_stopped(step: str, services: Services) -> None:
    kept(services, "snapshot", **{step: Result("stop", {"go": False}, "only 7 rows", RESULTS[step].numbers)})
    document = recorded(services)
    assert (document["outcome"], document["reason"], document["error"]) == ("stopped", "only 7 rows", "")
    assert document["steps"]["train"] == {"status": "not_run"}


def test_a_failed_step_of_ours(services: Services) -> None:
    kept(services, "snapshot", "validate", evaluate=Result("failed", {}, "a score is NaN in row 3|x"))
    document = recorded(services)
    assert (document["outcome"], document["reason"]) == ("failed", "evaluate failed")
    assert document["error"] == "a score is NaN in row 3|x"
    assert document["evaluation"] == {}


def test_a_failed_step_of_the_users(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_STATUS_DIR", str(tmp_path / "status"))
    kept(services, "snapshot", "validate")
    status(tmp_path / "status", "train")
    status(tmp_path / "status", "predict-contender", "exited with code 7; its last lines:\nthe disk is full")
    document = recorded(services)
    assert document["reason"] == "predict-contender failed"
    assert document["error"].endswith("the disk is full")
    assert [document["steps"][step]["status"] for step in USERS] == ["ok", "failed", "not_run"]


@pytest.mark.parametrize(
    ("heard", "silent"),
    [
        ([], "snapshot ended"),
        (["snapshot"], "validate ended"),
        (["snapshot", "validate"], "train or predict-contender or predict-champion or evaluate ended"),
        (["snapshot", "validate", "evaluate"], "decide ended"),
        (["snapshot", "validate", "evaluate", "decide"], "register ended"),
    ],
)
def test_a_step_that_died_in_silence(heard: list[str], silent: str, services: Services) -> None:
    kept(services, *heard)
    document = recorded(services)
    assert document["outcome"] == "failed"
    assert document["error"].startswith(silent)
    assert document["candidate"] is None


def test_every_record_has_the_same_keys(services: Services) -> None:
    nothing = recorded(services)
    services.objects.put("attempts/a1/request/request.json", {"triggers": [], "launch": 1, "champion": None})
    assert set(nothing) == set(SCHEMA["$defs"]["attempt"]["properties"])
    # Records that older versions wrote have no policy.
    assert set(SCHEMA["$defs"]["attempt"]["required"]) == set(nothing) - {"policy"}


def test_results_of_an_earlier_launch_do_not_count(services: Services) -> None:
    kept(services, *RESULTS)
    services.objects.put("attempts/a1/request/request.json", {"triggers": [], "launch": 2, "champion": None})
    kept(services, "snapshot", validate=Result("stop", {"go": False}, "stale"))
    document = recorded(services)
    assert document["outcome"] == "stopped"
    assert document["candidate"] is None


def test_the_first_record_stands(services: Services) -> None:
    services.objects.put("records/a1.json", {"outcome": "lost"})
    kept(services, *RESULTS)
    task = Task("record", DOCUMENT, datetime(2024, 3, 4, 6, tzinfo=UTC), "a1")
    assert record.run(task, services).numbers["written"] is False
    assert services.objects.get("records/a1.json") == {"outcome": "lost"}
