"""Good bundles broken in many ways, each of which our own checks must catch, whoever else catches it too."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from azureml_system import documents, full_system
from breaking import Change, Files, at, text, without

from ctc.targets.azureml.check_bundle import check_bundle

TRAIN, WAKE = "pipelines/train.yml", "pipelines/wake.yml"
EVERY, WEEKLY = "schedules/every.yml", "schedules/on-weekly.yml"
GRANTS, MODEL, COMPONENT = "identities/grants.json", "registry/model.yml", "components/wake.yml"
RUNNER, KEEPER, WAKER = (f"identities/role-{name}.json" for name in ("runner", "keeper", "waker"))
SECRETS = "Key Vault Secrets User"
EVENT, ALARM = "events/fraud-ops-alert.template.json", "staleness/template.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return documents(full_system(tmp_path_factory.mktemp("good")))


def command(step: str, old: str, new: str) -> Change:
    def change(files: Files) -> None:
        component = files[TRAIN]["jobs"][step]["component"]
        assert old in component["command"], step
        component["command"] = component["command"].replace(old, new)

    return change


def grants(files: Files) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = files[GRANTS]["grants"]
    return found


def granted(ending: str, **fields: Any) -> Change:
    """Changes the grants of the role whose name ends so."""

    def change(files: Files) -> None:
        for grant in grants(files):
            if grant["role"].endswith(ending):
                grant.update(fields)

    return change


def ungranted(role: str) -> Change:
    def change(files: Files) -> None:
        files[GRANTS]["grants"] = [grant for grant in grants(files) if not grant["role"].endswith(role)]

    return change


def twice(files: Files) -> None:
    grants(files).append(copy.deepcopy(grants(files)[0]))


def everywhere(files: Files) -> None:
    for grant in grants(files):
        grant.pop("condition", None)


def forgets(path: str, operation: str) -> Change:
    def change(files: Files) -> None:
        role = files[path]
        for kind in ("Actions", "DataActions"):
            role[kind] = [item for item in role[kind] if not item.endswith(operation)]

    return change


def may(path: str, operation: str) -> Change:
    def change(files: Files) -> None:
        files[path]["Actions"].append(operation)

    return change


ML = "Microsoft.MachineLearningServices/workspaces"
JOBS = (TRAIN, "jobs")
APP = ("resources", 0, "properties", "definition")
ASKED = (EVENT, *APP, "actions", "shake", "else", "actions")
WATCH = (ALARM, *APP, "actions")
LOOP = "${{parent.jobs.record.outputs.ctc_result}}"

API = "serving/api"
ROUTES = ("environment", "inference_config")

MUTATIONS: dict[str, Change] = {
    "an unknown field of the job": at(TRAIN, "on_finalize", value="record"),
    "a job that is no pipeline": at(TRAIN, "type", value="command"),
    "a name of 257 characters": at(TRAIN, "display_name", value="x" * 257),
    "no tag that tells whose it is": without(TRAIN, "tags", "ctc"),
    "a tag that is a number": at(TRAIN, "tags", "ctc_environment", value=1),
    "a tag of 1001 characters": at(TRAIN, "tags", "ctc", value="x" * 1001),
    "no record after a failed step": at(TRAIN, "settings", "continue_on_step_failure", value=False),
    "results of another run": at(TRAIN, "settings", "force_rerun", value=False),
    "a compute that is none": at(TRAIN, "settings", "default_compute", value="ct cluster"),
    "an input that is empty": at(WAKE, "inputs", "manual", value=""),
    "an input that is mounted": at(TRAIN, "inputs", "request", "mode", value="rw_mount"),
    "a step with a hyphen": lambda files: files[TRAIN]["jobs"].update({"a-b": files[TRAIN]["jobs"]["snapshot"]}),
    "a step that is swept": at(*JOBS, "train", "type", value="sweep"),
    "retries of a command": at(*JOBS, "train", "retry_settings", value={"max_retries": 2}),
    "a step that may be reused": at(*JOBS, "train", "component", "is_deterministic", value=True),
    "a step that says so itself": at(*JOBS, "train", "is_deterministic", value=False),
    "a step without an image": at(*JOBS, "train", "component", "environment", "image", value=""),
    "an input that is not declared": at(*JOBS, "train", "inputs", "more", value="${{parent.inputs.attempt}}"),
    "a declared input that is not given": without(*JOBS, "train", "inputs", "train"),
    "an input of no job": at(*JOBS, "snapshot", "inputs", "instant", value="${{parent.inputs.now}}"),
    "an input of no step": at(*JOBS, "decide", "inputs", "evaluation", value="${{parent.jobs.x.outputs.evaluation}}"),
    "an input of no output": at(*JOBS, "decide", "inputs", "evaluation", value="${{parent.jobs.train.outputs.x}}"),
    "an input that is a word": at(*JOBS, "decide", "inputs", "evaluation", value="here"),
    "a folder in place of a text": at(*JOBS, "snapshot", "inputs", "instant", value="${{parent.inputs.request}}"),
    "a circle": at(*JOBS, "snapshot", "inputs", "instant", value=LOOP),
    "an output that is not declared": without(*JOBS, "train", "component", "outputs", "model"),
    "an output in another datastore": text(TRAIN, "datastores/fraud_ct", "datastores/other"),
    "an output without its attempt": text(TRAIN, "/attempts/unset/", "/attempts/latest/"),
    "an output that is read only": at(*JOBS, "train", "outputs", "model", "mode", value="ro_mount"),
    "checkpoints that are kept at the end": at(*JOBS, "train", "outputs", "ctc_checkpoints", "mode", value="upload"),
    "a command of an input that is not there": command("train", "inputs.valid", "inputs.other"),
    "a command that forgets an input": command("train", "valid=${{inputs.valid}}", "valid=/tmp"),
    "a command with another expression": command("predict_contender", "shim.py", "${{secrets.x}}"),
    "a path that is not quoted": command(
        "train", '"${{inputs.ctc_support}}/with_secrets.py"', "${{inputs.ctc_support}}/with_secrets.py"
    ),
    "a step that asks nobody": command("register", '/gate.py"', '/other.py"'),
    "a step without an end": at(*JOBS, "train", "limits", "timeout", value=0),
    "a spot job of eight days": at(*JOBS, "train", "limits", "timeout", value=8 * 86400),
    "a step of 22 days": at(*JOBS, "decide", "limits", "timeout", value=22 * 86400),
    "a tier that is none": at(*JOBS, "train", "queue_settings", "job_tier", value="Cheap"),
    "a machine that is none": at(*JOBS, "train", "resources", "instance_type", value="Standard_X1"),
    "two machines": at(*JOBS, "measure_latency", "resources", "instance_count", value=2),
    "fewer machines than the command is told of": at(*JOBS, "train", "resources", "instance_count", value=2),
    "machines that are not told their ranks": without(*JOBS, "train", "distribution"),
    "a command for each accelerator": at(*JOBS, "train", "distribution", "process_count_per_instance", value=8),
    "ranks for one machine": at(
        *JOBS, "measure_latency", "distribution", value={"type": "pytorch", "process_count_per_instance": 1}
    ),
    "the user's code on the cluster": without(*JOBS, "train", "compute"),
    "the user's code as the runner": at(*JOBS, "train", "identity", "client_id", value="x"),
    "the user's code as somebody, for no secret": at(*JOBS, "measure_latency", "identity", value={"type": "managed"}),
    "a secret that nobody asks for as somebody": without(*JOBS, "train", "identity"),
    "a container that is told of secrets and reads none": command("train", "/with_secrets.py", "/shim.py"),
    "a container that reads secrets and is told of none": command(
        "train", "https://fraud-vault.vault.azure", "https://x"
    ),
    "another secret than the one that may be read": command("train", "/secrets/hub-token", "/secrets/root-token"),
    "a secret that nobody may read": granted(SECRETS, scope="secret:other"),
    "a secret in another variable here": command("train", "=CTC_SECRET_HUB_TOKEN=", "=HUB_TOKEN="),
    "our step as nobody": without(*JOBS, "decide", "identity"),
    "our step as a person": at(*JOBS, "decide", "identity", "type", value="user_identity"),
    "our step as another": at(*JOBS, "decide", "identity", "client_id", value="me"),
    "a record that needs every step": at(
        *JOBS, "record", "component", "inputs", "ctc_after_3", value={"type": "uri_folder"}
    ),
    "a record that does not wait": without(*JOBS, "record", "inputs", "ctc_after_3"),
    "a step without its document": without("documents/decide.json"),
    "nothing that wakes": without(EVERY),
    "a schedule of train": at(EVERY, "create_job", value="../pipelines/train.yml"),
    "a schedule of another system": at(EVERY, "name", value="other-every"),
    "a time zone of the Internet's": at(WEEKLY, "trigger", "time_zone", value="Europe/Oslo"),
    "a cron with a day that is ignored": at(WEEKLY, "trigger", "expression", value="30 2 1 * 1"),
    "a cron with a month that is ignored": at(WEEKLY, "trigger", "expression", value="30 2 * 3 1"),
    "a cron with a name": at(WEEKLY, "trigger", "expression", value="30 2 * * MON"),
    "a cron at minute 60": at(WEEKLY, "trigger", "expression", value="60 2 * * 1"),
    "a cron on day 7 of the week": at(WEEKLY, "trigger", "expression", value="30 2 * * 7"),
    "a start in another zone": at(EVERY, "trigger", "start_time", value="2024-01-01T00:00:00+02:00"),
    "a recurrence of nothing": at(EVERY, "trigger", "interval", value=0),
    "a recurrence in hours with days": at(
        EVERY, "trigger", "schedule", value={"hours": [1], "minutes": [0], "month_days": [1]}
    ),
    "a runner that may do everything": may(RUNNER, "*"),
    "a runner that may do all in the workspace": may(RUNNER, f"{ML}/*"),
    "a runner that changes rights": may(RUNNER, "Microsoft.Authorization/roleAssignments/write"),
    "a runner that reads keys": may(RUNNER, f"{ML}/listKeys/action"),
    "an operation that is none": may(RUNNER, "everything"),
    "a role for the whole subscription": at(RUNNER, "AssignableScopes", value=["/subscriptions/x"]),
    "a runner that cannot start train": forgets(RUNNER, "/jobs/write"),
    "a runner that cannot register": forgets(RUNNER, "/models/versions/write"),
    "a runner that cannot keep its state": forgets(KEEPER, "/blobs/write"),
    "a waker that cannot start wake": forgets(WAKER, "/jobs/write"),
    "a waker that cannot read logs": forgets(WAKER, "AmlRunStatusChangedEvent/read"),
    "a grant of a role that nobody defines": granted(" runner", role="Contributor"),
    "a grant on the resource group": granted(" runner", scope="/subscriptions/x/resourceGroups/payments"),
    "a grant on the whole container": everywhere,
    "a condition about reading only": granted(" keeper", condition="(@Resource[x:path] StringStartsWith 'x')"),
    "a role of blobs on the workspace": granted(
        " keeper", scope=f"/subscriptions/x/resourceGroups/payments/providers/{ML}/fraud"
    ),
    "a grant to everybody": granted(" runner", principal={}),
    "a grant without a reason": granted(" runner", why=""),
    "a grant that is given twice": twice,
    "no grant to the waker": ungranted(" waker"),
    "a version that is champion at once": at(MODEL, "tags", "ctc_alias", value="champion"),
    "a model that is called otherwise": at(MODEL, "name", value="_fraud"),
    "a model of another step": at(MODEL, "path", value="azureml://datastores/fraud_ct/paths/x"),
    "a workflow that is off": at(EVENT, "resources", 0, "properties", "state", value="Disabled"),
    "a workflow without an identity": at(EVENT, "resources", 0, "identity", "userAssignedIdentities", value={}),
    "a workflow of 44 characters": text(EVENT, "checkout-fraud-on-fraud-ops-alert", "x" * 44),
    "a subscription before its workflow": at(EVENT, "resources", 1, "dependsOn", value=["x"]),
    "a subscription to something else": at(EVENT, "resources", 1, "type", value="Microsoft.EventGrid/domains/x"),
    "events to another workflow": at(
        EVENT, "resources", 1, "properties", "destination", "properties", "endpointUrl", value="https://x.example"
    ),
    "events in batches": at(
        EVENT, "resources", 1, "properties", "destination", "properties", "maxEventsPerBatch", value=10
    ),
    "no answer to the handshake": at(EVENT, *APP, "actions", "shake", "expression", value="@equals(1, 1)"),
    "an alert of another event": at(*ASKED, "alert", "inputs", "name", value="other"),
    "a request without an identity": without(*ASKED, "wake", "inputs", "authentication"),
    "a request as another identity": at(*ASKED, "wake", "inputs", "authentication", "identity", value="x"),
    "an event that wakes twice": at(*ASKED, "wake", "inputs", "method", value="POST"),
    "a workflow that starts train": text(EVENT, "jobs/checkout-fraud-wake-on", "jobs/checkout-fraud-train-on"),
    "an event that is not handed over": at(
        *ASKED, "wake", "inputs", "body", "properties", "inputs", "event", "value", value="-"
    ),
    "an event with signs of a shell": text(EVENT, "encodeUriComponent", "concat"),
    "another component": at(COMPONENT, "version", value="1"),
    "a component that does something else": at(COMPONENT, "command", value="echo"),
    "an event that is lost": at(*ASKED, "refused", "inputs", "statusCode", value=200),
    "a watch of another pipeline": text(ALARM, "checkout-fraud-train-", "other-train-"),
    "a watch that counts failures": text(ALARM, 'Status == \\"Completed\\"', 'Status == \\"Failed\\"'),
    "a watch without an age": text(ALARM, "ago(1728000s)", "ago(0s)"),
    "a watch that never fails": at(
        *WATCH, "judge", "else", "actions", "alarm", "inputs", "runStatus", value="Succeeded"
    ),
    "a watch that asks as nobody": without(*WATCH, "ask", "inputs", "authentication"),
    "a watch that asks once a month": at(ALARM, *APP, "triggers", "hourly", "recurrence", "frequency", value="Month"),
    "an alarm that is off": at(ALARM, "resources", 1, "properties", "enabled", value=False),
    "an alarm on something else": at(ALARM, "resources", 1, "properties", "scopes", value=["x"]),
    "an endpoint with traffic before its deployment": at(f"{API}/endpoint.yml", "traffic", value={"champion": 100}),
    "an endpoint of 33 signs": text(f"{API}/endpoint.yml", "checkout-fraud-api", "x" * 33),
    "an endpoint with a key": at(f"{API}/endpoint.yml", "auth_mode", value="key"),
    "an endpoint as nobody": at(f"{API}/endpoint.yml", "identity", "type", value="none"),
    "an endpoint of nobody": at(f"{API}/endpoint.yml", "tags", value={}),
    "a deployment of another endpoint": at(f"{API}/deployment.yml", "endpoint_name", value="other"),
    "a deployment of another model": at(f"{API}/deployment.yml", "model", value="azureml:other:1"),
    "a server that is told another folder": at(
        f"{API}/deployment.yml", "environment_variables", "CTC_MODEL", value="/opt/model"
    ),
    "a server without an image": at(f"{API}/deployment.yml", "environment", "image", value=""),
    "a server without a route": without(f"{API}/deployment.yml", *ROUTES, "readiness_route"),
    "a route that is no path": at(f"{API}/deployment.yml", *ROUTES, "scoring_route", "path", value="score"),
    "a route on another port": at(f"{API}/deployment.yml", *ROUTES, "scoring_route", "port", value=81),
    "a server on a size that is none": at(f"{API}/deployment.yml", "instance_type", value="Standard_D4s_v3"),
    "a server without instances": at(f"{API}/deployment.yml", "instance_count", value=0),
    "a request of an hour": at(f"{API}/deployment.yml", "request_settings", "request_timeout_ms", value=3_600_000),
    "a server that has to start at once": at(f"{API}/deployment.yml", "liveness_probe", "failure_threshold", value=1),
    "a capture of more than all": at(f"{API}/deployment.yml", "data_collector", "sampling_rate", value=100.0),
    "a capture of answers only": without(f"{API}/deployment.yml", "data_collector", "collections", "request"),
    "a first model without traffic": at(f"{API}/traffic.yml", "traffic", value={"champion": 0}),
    "a smaller candidate": at(f"{API}/rollout-0-deployment.yml", "instance_count", value=1),
    "a candidate in place of the champion": at(f"{API}/rollout-0-deployment.yml", "name", value="champion"),
    "a mirror of most": at(f"{API}/rollout-2-mirror-10.yml", "mirror_traffic", "candidate", value=51),
    "a mirror of nothing": at(f"{API}/rollout-2-mirror-10.yml", "mirror_traffic", value={}),
    "a mirror to the champion": at(f"{API}/rollout-2-mirror-10.yml", "mirror_traffic", value={"champion": 10}),
    "a mirror that moves traffic": at(
        f"{API}/rollout-2-mirror-10.yml", "traffic", value={"champion": 90, "candidate": 10}
    ),
    "a mirror that does not end": without(f"{API}/rollout-3-traffic-10.yml", "mirror_traffic"),
    "a step of more than all": at(f"{API}/rollout-3-traffic-10.yml", "traffic", "champion", value=95),
    "a step of half a per cent": at(
        f"{API}/rollout-3-traffic-10.yml", "traffic", value={"champion": 99.5, "candidate": 0.5}
    ),
    "a step of another share": at(
        f"{API}/rollout-3-traffic-10.yml", "traffic", value={"champion": 80, "candidate": 20}
    ),
    "a step that opens the endpoint": at(f"{API}/rollout-3-traffic-10.yml", "auth_mode", value="key"),
    "a rollout without an end": without(f"{API}/rollout-4-traffic-100.yml"),
    "a rollout that cannot be taken back": without(f"{API}/rollout-back.yml"),
    "a runner that cannot move traffic": forgets(RUNNER, "/onlineEndpoints/write"),
    "an alarm on runs that ended well": text(ALARM, "RunsFailed", "RunsSucceeded"),
}


def test_a_good_bundle_is_good(good: Files) -> None:
    assert check_bundle(good) == []
    assert len(MUTATIONS) >= 100


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_bundle_is_caught(good: Files, name: str) -> None:
    broken = copy.deepcopy(good)
    MUTATIONS[name](broken)

    assert broken != good
    assert check_bundle(broken)
