"""The emitted workflows, executed by `workflows-emulator`: what they ask, what they answer, when they fail."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from vertex_system import documents, full_system

from ctc.steps import asked
from ctc.steps.task import Task
from ctc.targets.kfp_yaml import as_yaml

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents(full_system(tmp_path_factory.mktemp("full")))


WORKFLOWS = ROOT / ".venv" / "judges" / "workflows" / "bin" / "python"
"""The interpreter with `workflows-emulator`, whose own pins are older than those of the tests: `make test` makes it."""

PLAY = """
import json, sys, threading
from workflows_emulator import main
from workflows_emulator.lib import http_utils
from google.auth.credentials import AnonymousCredentials
import requests

order = json.load(open(sys.argv[1]))
# An error inside an assignment leaves the emulator's own lock taken.
main.LOCK = threading.RLock()
calls = []

class Session:
    def __init__(self, credentials):
        pass
    def request(self, method, url, headers=None, timeout=None, params=None, **body):
        calls.append({"method": method, "url": url, "query": params, "body": body.get("json")})
        code, text = order["answers"][len(calls) - 1]
        answer = requests.Response()
        answer.status_code, answer._content = code, json.dumps(text).encode()
        answer.headers["Content-Type"] = "application/json"
        return answer

http_utils.AuthorizedSession = Session
http_utils.default = lambda scopes=None: (AnonymousCredentials(), "acme-ml")
try:
    said = main.execute_workflow(main.load_workflow(order["source"]), {"event": order["event"]})
    print(json.dumps({"said": said, "calls": calls}))
except BaseException as error:
    print(json.dumps({"raised": str(error), "calls": calls}))
"""


def play(source: Any, event: Any, answers: list[Any], folder: Path) -> Any:
    """Executes a workflow by the emulator, with these answers to its requests: code and body of each."""
    if not WORKFLOWS.exists():
        if os.environ.get("CTC_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{WORKFLOWS} is absent and CTC_REQUIRE_TOOLS=1")
        pytest.skip("workflows-emulator is absent: `make test` installs it")
    (folder / "source.yaml").write_bytes(as_yaml(source))
    order = {"source": str(folder / "source.yaml"), "event": event, "answers": answers}
    (folder / "order.json").write_text(json.dumps(order))
    done = subprocess.run(
        [str(WORKFLOWS), "-W", "ignore", "-c", PLAY, str(folder / "order.json")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def message(data: bytes | None) -> dict[str, Any]:
    """What Eventarc hands to a workflow for a message of a topic."""
    told = {"messageId": "8137", "publishTime": "2026-03-01T06:00:00.123Z"}
    if data is not None:
        told["data"] = base64.b64encode(data).decode()
    return {"data": {"message": told, "subscription": "s"}, "type": "google.cloud.pubsub.topic.v1.messagePublished"}


@pytest.mark.parametrize(
    ("data", "fields"),
    [(b'{"incident": "INC-7"}', {"incident": "INC-7"}), (b"down", {}), (b"[1]", {}), (None, {})],
)
def test_a_message_wakes_with_what_it_says(
    bundle: dict[str, Any], data: bytes | None, fields: dict[str, Any], tmp_path: Path
) -> None:
    wake = bundle["pipelines/wake.json"]
    source = bundle["events/fraud-ops-alert.workflow.yaml"]
    done = play(source, message(data), [[200, wake], [200, {"name": "projects/1/p"}]], tmp_path)
    fetched, posted = done["calls"]
    values = posted["body"]["runtimeConfig"]["parameterValues"]
    # The emulator writes the text of `json.encode_to_string` with its line feeds escaped.
    alert = json.loads(values.pop("event").replace("\\n", " "))

    assert done["said"] == "projects/1/p"
    assert (fetched["method"], posted["method"]) == ("GET", "POST")
    assert fetched["url"].endswith("wake.json?alt=media")
    assert posted["query"] == {"pipelineJobId": "checkout-fraud-wake-on-8137"}
    assert posted["url"].endswith("/projects/acme-ml/locations/europe-west4/pipelineJobs")
    assert alert == {
        "name": "fraud-ops-alert", "id": "8137", "at": "2026-03-01T06:00:00.123Z", "fields": fields,
    }  # fmt: skip
    assert event_of(alert).name == "fraud-ops-alert"
    # It also writes null as a word.
    assert json.loads(json.dumps(posted["body"]["pipelineSpec"]).replace('"None"', "null")) == wake["pipelineSpec"]
    assert posted["body"]["serviceAccount"] == wake["serviceAccount"]


def event_of(alert: dict[str, Any]) -> Any:
    """The event as the wake step reads it."""
    now = datetime(2026, 3, 1, 7, tzinfo=UTC)
    return asked.event(Task("wake", {}, now, "", {"event": json.dumps(alert)}, {}, {}, {}))


def test_a_message_that_comes_twice_wakes_once(bundle: dict[str, Any], tmp_path: Path) -> None:
    source = bundle["events/fraud-ops-alert.workflow.yaml"]
    answers = [[200, bundle["pipelines/wake.json"]], [409, {}]]

    assert play(source, message(b"{}"), answers, tmp_path)["said"] == "woken before"


def test_a_refusal_is_not_swallowed(bundle: dict[str, Any], tmp_path: Path) -> None:
    source = bundle["events/fraud-ops-alert.workflow.yaml"]
    answers = [[200, bundle["pipelines/wake.json"]], [403, {}]]

    assert "raised" in play(source, message(b"{}"), answers, tmp_path)


@pytest.mark.parametrize("jobs", [{}, {"pipelineJobs": []}, {"pipelineJobs": [{"name": "p"}]}])
def test_the_watch_fails_when_nothing_ended_well(bundle: dict[str, Any], jobs: dict[str, Any], tmp_path: Path) -> None:
    done = play(bundle["staleness/workflow.yaml"], None, [[200, jobs]], tmp_path)
    [call] = done["calls"]
    name, state, since = call["query"]["filter"].split(" AND ")

    assert (name, state) == ('pipeline_name="checkout-fraud-train"', 'state="PIPELINE_STATE_SUCCEEDED"')
    age = datetime.now(UTC) - datetime.fromisoformat(since.removeprefix('end_time>"').removesuffix('"'))
    assert abs(age - timedelta(days=20)) < timedelta(hours=1)
    assert (done.get("said") == "fresh") == bool(jobs.get("pipelineJobs"))
    assert ("raised" in done) == (not jobs.get("pipelineJobs"))
