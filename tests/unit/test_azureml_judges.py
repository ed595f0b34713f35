"""Microsoft's own judge on what is emitted: azure-ai-ml, in an environment of its own, without any network."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from azureml_system import documents, every_system, full_system

from ctc.compiler.bundle import as_json
from ctc.targets.azureml.places import workspace_id
from ctc.targets.azureml.zones import WINDOWS, example
from ctc.targets.kfp_yaml import as_yaml

ROOT = Path(__file__).resolve().parent.parent.parent
JUDGE = ROOT / ".venv" / "judges" / "azureml" / "bin" / "python"
"""The interpreter with azure-ai-ml, whose pins are others than those of the tests: `make test` makes it."""

PLAY = """
import json, os, socket, sys

def refused(*words, **more):
    raise OSError("the judge has no network")

socket.socket.connect = socket.getaddrinfo = refused
from azure.ai.ml import load_component, load_job, load_model
from azure.ai.ml.constants._common import TimeZone
from azure.ai.ml.entities._load_functions import load_schedule
from tzlocal.windows_tz import tz_win, win_tz

def plain(value):
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)

def job(path):
    loaded = load_job(path)
    verdict = loaded._validate()
    rest = loaded._to_rest_object().properties
    return {"passed": verdict.passed, "said": plain(verdict._to_dict()), "rest": plain(getattr(rest, "_data", rest))}

def schedule(path):
    loaded = load_schedule(path)
    verdict, rest = loaded.create_job._validate(), loaded.trigger._to_rest_object()
    return {"passed": verdict.passed, "said": plain(verdict._to_dict()), "rest": plain(rest)}

def component(path):
    verdict = load_component(path)._validate()
    return {"passed": verdict.passed, "said": plain(verdict._to_dict())}

def model(path):
    loaded = load_model(path)
    return {"passed": True, "said": "", "rest": plain(loaded._to_rest_object())}

def unlike(ours, theirs, place):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return [said for key in {**ours, **theirs} for said in unlike(ours.get(key), theirs.get(key), f"{place}/{key}")]
    return [] if ours == theirs else [f"{place}: {ours!r} is read as {theirs!r}"]

def template(path):
    from azure.mgmt.eventgrid.models import EventSubscription
    from azure.mgmt.logic.models import Workflow
    from azure.mgmt.monitor.models import MetricAlertResource

    kinds = {"Microsoft.Logic/workflows": Workflow, "Microsoft.Insights/metricAlerts": MetricAlertResource}
    found = []
    for resource in json.load(open(path))["resources"]:
        body = {key: value for key, value in resource.items() if key not in ("type", "apiVersion", "name", "dependsOn")}
        model = kinds.get(resource["type"], EventSubscription)
        read = model.deserialize(body) if hasattr(model, "deserialize") else model(body)
        found += unlike(body, read.serialize() if hasattr(read, "serialize") else read.as_dict(), resource["type"])
    return {"passed": not found, "said": found}

def serving(path):
    from azure.ai.ml import load_online_deployment, load_online_endpoint

    if "deployment" in path:
        loaded = load_online_deployment(path)
        return {"passed": True, "said": "", "rest": plain(loaded._to_rest_object("westeurope"))}
    loaded = load_online_endpoint(path)
    return {"passed": True, "said": "", "rest": plain(loaded._to_rest_online_endpoint("westeurope"))}

judges = {
    "serving": serving,
    "components": component, "events": template, "pipelines": job, "registry": model, "schedules": schedule,
    "staleness": template,
}
told = {}
for path in json.load(open(sys.argv[1])):
    try:
        told[path] = judges[path.split("/")[0]](path)
    except Exception as error:
        told[path] = {"passed": False, "said": f"{type(error).__name__}: {error}"}
zones = {"windows": [zone.value for zone in TimeZone], "examples": win_tz, "iana": tz_win}
json.dump({"files": told, "zones": zones}, open(sys.argv[2], "w"))
"""


def judge(folder: Path, files: dict[str, Any]) -> dict[str, Any]:
    """What the judge says of each file, and the time zones that it knows."""
    if not JUDGE.is_file():
        reason = f"{JUDGE} is not there: `make test` installs it"
        if os.environ.get("CTC_REQUIRE_TOOLS"):
            pytest.fail(reason)
        pytest.skip(reason)
    for path, document in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(as_yaml(document) if path.endswith(".yml") else as_json(document))
    asked, told = folder / "asked.json", folder / "told.json"
    asked.write_text(json.dumps(sorted(files)))
    environment = {"PATH": os.defpath, "HOME": str(folder), "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED": "false"}
    done = subprocess.run(
        [str(JUDGE), "-I", "-W", "ignore", "-c", PLAY, str(asked), str(told)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert told.is_file(), done.stderr
    verdict: dict[str, Any] = json.loads(told.read_text())
    return verdict


def judged(files: dict[str, Any]) -> dict[str, Any]:
    kinds = ("components/", "events/", "pipelines/", "registry/", "schedules/", "serving/", "staleness/")
    return {path: document for path, document in files.items() if path.startswith(kinds)}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents(full_system(tmp_path_factory.mktemp("full")))


@pytest.fixture(scope="module")
def verdict(bundle: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    files = judged(bundle)
    # The wake as the workflow of an event starts it: with a registered component.
    asked = copy.deepcopy(files["pipelines/wake.yml"])
    registered = files["components/wake.yml"]
    asked["jobs"]["wake"]["component"] = f"azureml:{registered['name']}:{registered['version']}"
    return judge(tmp_path_factory.mktemp("judge"), {**files, "pipelines/asked.yml": asked})


def test_every_file_loads_and_is_valid(bundle: dict[str, Any], verdict: dict[str, Any]) -> None:
    assert {path: told["said"] for path, told in verdict["files"].items() if not told["passed"]} == {}
    assert set(judged(bundle)) < set(verdict["files"])
    assert {path.split("/")[0] for path in verdict["files"]} == {
        "components", "events", "pipelines", "registry", "schedules", "serving", "staleness",
    }  # fmt: skip


def test_the_training_of_every_spec_loads_and_is_valid(tmp_path: Path) -> None:
    files = {
        path.replace("/", f"/{name}-"): document
        for name, made in every_system(tmp_path).items()
        for path, document in documents(made).items()
        if path == "pipelines/train.yml"
    }
    told = judge(tmp_path / "judge", files)["files"]

    assert {path: verdict["said"] for path, verdict in told.items() if not verdict["passed"]} == {}
    assert len(told) == len(files) >= 14


def test_the_job_that_an_event_starts_is_the_one_that_the_sdk_would_send(
    bundle: dict[str, Any], verdict: dict[str, Any], tmp_path: Path
) -> None:
    """But for what the SDK looks up first (ids of compute, datastore and component) and what the workflow fills in."""
    template = bundle["events/fraud-ops-alert.template.json"]
    actions = template["resources"][0]["properties"]["definition"]["actions"]["shake"]["else"]["actions"]
    ours = copy.deepcopy(actions["wake"]["inputs"]["body"]["properties"])
    theirs = verdict["files"]["pipelines/asked.yml"]["rest"]
    workspace = workspace_id(full_system(tmp_path))

    for name in ("default_compute", "default_datastore"):
        kind = f"{name.removeprefix('default_')}s"
        assert ours["settings"].pop(name) == f"{workspace}/{kind}/{theirs['settings'].pop(name)}"
    component = ours["jobs"]["wake"].pop("componentId")
    named, version = theirs["jobs"]["wake"].pop("componentId").split(":")
    assert component == f"{workspace}/components/{named}/versions/{version}"
    assert ours["inputs"].pop("event")["value"].startswith("@{")
    del theirs["inputs"]["event"]
    for left_out in ("properties", "isArchived", "outputs"):
        del theirs[left_out]
    del theirs["settings"]["_source"], theirs["jobs"]["wake"]["_source"]
    assert ours == theirs


def test_triggers_keep_their_meaning(verdict: dict[str, Any]) -> None:
    files = verdict["files"]

    assert files["schedules/every.yml"]["rest"]["triggerType"] == "Recurrence"
    assert files["schedules/on-weekly.yml"]["rest"] == {
        "triggerType": "Cron", "expression": "30 2 * * 1", "timeZone": "W. Europe Standard Time",
    }  # fmt: skip


def test_what_is_served_keeps_its_meaning(verdict: dict[str, Any]) -> None:
    """In what the SDK would send: one deployment without traffic, a mirror, then the traffic."""
    files = verdict["files"]
    deployment = files["serving/api/rollout-0-deployment.yml"]["rest"]["properties"]
    mirror = files["serving/api/rollout-2-mirror-10.yml"]["rest"]["properties"]
    moved = files["serving/api/rollout-4-traffic-100.yml"]["rest"]["properties"]

    assert (deployment["instanceType"], deployment["modelMountPath"]) == ("Standard_F4s_v2", "/var/ctc/model")
    assert deployment["dataCollector"]["collections"]["request"]["samplingRate"] == 1.0
    assert (mirror["traffic"], mirror["mirrorTraffic"]) == ({"champion": 100, "candidate": 0}, {"candidate": 10})
    assert (moved["traffic"], moved["mirrorTraffic"]) == ({"champion": 0, "candidate": 100}, {"candidate": 0})


def test_the_time_zones_are_those_of_the_sdk_and_of_cldr(verdict: dict[str, Any]) -> None:
    zones = verdict["zones"]

    assert set(WINDOWS) <= set(zones["windows"])
    for windows, names in WINDOWS.items():
        assert zones["examples"][windows] == example(windows)
        assert {zones["iana"][name] for name in names.split()} == {windows}


def broken(path: str, change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], tuple[str, Any]]:
    def make(files: dict[str, Any]) -> tuple[str, Any]:
        document = copy.deepcopy(files[path])
        change(document)
        return path, document

    return make


BROKEN = {
    "a step of no type that there is": broken("pipelines/train.yml", lambda job: job["jobs"]["train"].update(type="x")),
    "an input that is not declared": broken(
        "pipelines/train.yml", lambda job: job["jobs"]["train"]["inputs"].update(more="x")
    ),
    "a step name with a hyphen": broken(
        "pipelines/train.yml", lambda job: job["jobs"].update({"a-b": job["jobs"]["snapshot"]})
    ),
    "a step of a step that is not there": broken(
        "pipelines/train.yml",
        lambda job: job["jobs"]["decide"]["inputs"].update(evaluation="${{parent.jobs.none.outputs.x}}"),
    ),
    "retries of a command": broken(
        "pipelines/train.yml", lambda job: job["jobs"]["train"].update(retry_settings={"max_retries": 1})
    ),
    "a recurrence without an interval": broken("schedules/every.yml", lambda made: made["trigger"].pop("interval")),
    "a batch of no number": broken(
        "events/fraud-ops-alert.template.json",
        lambda made: made["resources"][1]["properties"]["destination"]["properties"].update(maxEventsPerBach=1),
    ),
    "a watch of a metric that is misspelt": broken(
        "staleness/template.json", lambda made: made["resources"][1]["properties"].update(windowsize="PT6H")
    ),
    "a component with a hyphen": broken("components/wake.yml", lambda made: made.update(name="a-b")),
}


UNSEEN = {"an input that is not declared", "a step of a step that is not there", "retries of a command"}
"""What the SDK lets pass, and our own checks do not: tests/unit/test_azureml_mutations.py."""


def test_the_judge_is_not_blind(bundle: dict[str, Any], tmp_path: Path) -> None:
    files, named = {"pipelines/wake.yml": bundle["pipelines/wake.yml"]}, {}
    for number, (name, make) in enumerate(BROKEN.items()):
        path, document = make(bundle)
        own = f"{path.partition('/')[0]}/{number}{Path(path).suffix}"
        files[own], named[own] = document, name
    told = judge(tmp_path, files)["files"]

    assert {name for path, name in named.items() if told[path]["passed"]} == UNSEEN
