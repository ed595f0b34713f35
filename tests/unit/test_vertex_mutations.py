"""Good bundles broken in many ways, each of which our own checks must catch, whoever else catches it too."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from breaking import Change, Files, at, text, without
from vertex_system import documents, full_system

from ctc.targets.vertex.check_bundle import check_bundle
from ctc.targets.vertex.pipeline import payload

TRAIN, WAKE = "pipelines/train.json", "pipelines/wake.json"
EVERY, WEEKLY = "schedules/every.json", "schedules/weekly.json"
GRANTS, RUNNER, WAKER = "identities/grants.json", "identities/role-runner.json", "identities/role-waker.json"
EVENT, ALARM = "events/fraud-ops-alert", "staleness/alert-policy.json"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return documents(full_system(tmp_path_factory.mktemp("good")))


def in_job(*keys: Any, value: Any) -> Change:
    """Sets what is at a place of the CustomJob of the training."""

    def change(files: Files) -> None:
        executor = files[TRAIN]["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"]
        job = payload(executor)
        node: Any = job
        for key in keys[:-1]:
            node = node[key]
        node[keys[-1]] = value
        words = executor["container"]["args"]
        words[words.index("--payload") + 1] = json.dumps(job)

    return change


def grant(number: int, *keys: Any, value: Any) -> Change:
    return at(GRANTS, "grants", number, *keys, value=value)


def ungranted(number: int) -> Change:
    return without(GRANTS, "grants", number)


def forgets(path: str, permission: str) -> Change:
    def change(files: Files) -> None:
        files[path]["role"]["includedPermissions"].remove(permission)

    return change


def no_secret(files: Files) -> None:
    """Takes every grant on a secret away."""
    grants = files[GRANTS]["grants"]
    files[GRANTS]["grants"] = [item for item in grants if "secretmanager" not in item["resource"]]


SPEC = (TRAIN, "pipelineSpec")
POOL = ("job_spec", "worker_pool_specs", 0)

API = "serving/api"
CONTAINER = ("model", "containerSpec")
LOGGING = ("predictRequestResponseLoggingConfig",)
MACHINE = ("deployedModel", "dedicatedResources", "machineSpec")

MUTATIONS: dict[str, Change] = {
    "an unknown field of the job": at(TRAIN, "pipelineJobId", value="x"),
    "a display name of 129 characters": at(TRAIN, "displayName", value="x" * 129),
    "a label in capitals": at(TRAIN, "labels", "Team", value="x"),
    "a label of 64 characters": at(TRAIN, "labels", "ctc-name", value="x" * 64),
    "no label that tells whose it is": without(TRAIN, "labels", "ctc-name"),
    "an account that is none": at(TRAIN, "serviceAccount", value="fraud-ct"),
    "another account for wake": at(WAKE, "serviceAccount", value="other-ct@acme-ml.iam.gserviceaccount.com"),
    "a network without its project": at(TRAIN, "network", value="ml"),
    "a key that is none": at(TRAIN, "encryptionSpec", "kmsKeyName", value="artifacts"),
    "output in another store": at(TRAIN, "runtimeConfig", "gcsOutputDirectory", value="s3://acme/x"),
    "output away from the root": at(TRAIN, "runtimeConfig", "gcsOutputDirectory", value="gs://acme/x"),
    "a failure that starts no record": at(
        TRAIN, "runtimeConfig", "failurePolicy", value="PIPELINE_FAILURE_POLICY_FAIL_FAST"
    ),
    "an undeclared parameter": at(TRAIN, "runtimeConfig", "parameterValues", "more", value="x"),
    "a parameter that is a number": at(TRAIN, "runtimeConfig", "parameterValues", "champion_model", value=1),
    "an old schema of the spec": at(*SPEC, "schemaVersion", value="2.0.0"),
    "a task of a component that is not there": at(
        *SPEC, "root", "dag", "tasks", "record", "componentRef", "name", value="comp-x"
    ),
    "a component of an executor that is not there": at(
        *SPEC, "components", "comp-train", "executorLabel", value="exec-x"
    ),
    "a condition on nothing": at(
        *SPEC, "components", "comp-body", "dag", "tasks", "if-validate-go", "triggerPolicy", "condition", value="true"
    ),
    "an exit task that may be skipped": without(*SPEC, "root", "dag", "tasks", "record", "triggerPolicy"),
    "a circle": at(
        *SPEC, "components", "comp-body", "dag", "tasks", "snapshot", "dependentTasks", value=["if-validate-go"]
    ),
    "more vCPUs than a task has": at(
        *SPEC, "deploymentSpec", "executors", "exec-snapshot", "container", "resources", "cpuLimit", value=97.0
    ),
    "resources in numbers only": without(
        *SPEC, "deploymentSpec", "executors", "exec-snapshot", "container", "resources", "resourceCpuLimit"
    ),
    "another launcher": at(
        *SPEC, "deploymentSpec", "executors", "exec-train", "container", "image", value="gcr.io/x/y:1"
    ),
    "a launcher that forgets its job": text(TRAIN, "--gcp_resources", "--resources"),
    "a launcher without its output": without(
        *SPEC, "components", "comp-train", "outputDefinitions", "parameters", "gcp_resources"
    ),
    "a machine that is none": in_job(*POOL, "machine_spec", "machine_type", value="n9-mega-7"),
    "an accelerator that the machine cannot have": in_job(*POOL, "machine_spec", "accelerator_type", value="NVIDIA_L4"),
    "as many accelerators as the machine cannot have": in_job(*POOL, "machine_spec", "accelerator_count", value=3),
    "a machine for accelerators without any": in_job(*POOL, "machine_spec", value={"machine_type": "a2-highgpu-1g"}),
    "a kind of accelerator and no number of it": in_job(
        *POOL, "machine_spec", value={"machine_type": "e2-standard-4", "accelerator_type": "NVIDIA_TESLA_T4"}
    ),
    "two workers": in_job(*POOL, "replica_count", value=2),
    "fewer workers than the command is told of": in_job("job_spec", "worker_pool_specs", 1, "replica_count", value=1),
    "workers on other machines": in_job(
        "job_spec", "worker_pool_specs", 1, "machine_spec", value={"machine_type": "e2-standard-4"}
    ),
    "workers in a third pool": in_job(
        "job_spec", "worker_pool_specs", value=[{"replica_count": 1}, {"replica_count": 1}, {"replica_count": 1}]
    ),
    "a disk that is smaller than none asked for": in_job(*POOL, "disk_spec", "boot_disk_size_gb", value=50),
    "a timeout in minutes": in_job("job_spec", "scheduling", "timeout", value="90m"),
    "an unknown strategy": in_job("job_spec", "scheduling", "strategy", value="CHEAP"),
    "spot capacity without a restart": in_job("job_spec", "scheduling", "restart_job_on_worker_restart", value=False),
    "a job as Vertex's own agent": in_job("job_spec", "service_account", value=""),
    "a job in another network": in_job("job_spec", "network", value="projects/1/global/networks/x"),
    "a job under another key": in_job("encryption_spec", "kms_key_name", value="x"),
    "a worker's input that breaks its JSON": in_job(*POOL, "container_spec", "args", 3, value="{{$}}"),
    "a worker without its input": in_job(*POOL, "container_spec", "args", value=[]),
    "a secret that nobody may read": no_secret,
    "another secret than the one that may be read": text(TRAIN, "secrets/hub-token/", "secrets/root-token/"),
    "a secret of another service": text(TRAIN, "https://secretmanager.googleapis.com", "https://secrets.example"),
    "a secret in another variable here": text(TRAIN, "CTC_SECRET_HUB_TOKEN", "HUB_TOKEN"),
    "a container that is told of secrets and reads none": text(TRAIN, "def fill_in(", "def fill_out("),
    "nothing that wakes": without(EVERY),
    "a cron without a zone": at(WEEKLY, "cron", value="30 2 * * 1"),
    "a cron of six fields": at(WEEKLY, "cron", value="TZ=UTC 0 30 2 * * 1"),
    "a cron with a name": at(WEEKLY, "cron", value="TZ=UTC 30 2 * * mon"),
    "a cron at minute 60": at(WEEKLY, "cron", value="TZ=UTC 60 2 * * 1"),
    "a cron with two day fields": at(WEEKLY, "cron", value="TZ=UTC 30 2 1 * 1"),
    "wakes side by side": at(EVERY, "maxConcurrentActiveRunCount", value="2"),
    "wakes in a queue": at(EVERY, "allowQueueing", value=True),
    "a schedule that runs once": at(EVERY, "createPipelineJobRequest", "pipelineJobId", value="wake"),
    "a schedule without a location": at(EVERY, "createPipelineJobRequest", "parent", value="projects/acme-ml"),
    "a schedule of another pipeline": at(
        EVERY, "createPipelineJobRequest", "pipelineJob", "displayName", value="checkout-fraud-train"
    ),
    "a runner that owns the project": grant(0, "binding", "role", value="roles/owner"),
    "a runner that uses all of Vertex": grant(0, "binding", "role", value="roles/aiplatform.user"),
    "a role that nobody defines": grant(0, "binding", "role", value="projects/acme-ml/roles/ctc_other"),
    "objects for everybody": grant(1, "binding", "members", value=["allUsers"]),
    "a person instead of an account": grant(1, "binding", "members", value=["user:me@acme.example"]),
    "all objects of the bucket": without(GRANTS, "grants", 1, "binding", "condition"),
    "objects of another bucket": grant(1, "resource", value="//storage.googleapis.com/projects/_/buckets/other"),
    "objects in all buckets": grant(1, "resource", value="//cloudresourcemanager.googleapis.com/projects/acme-ml"),
    "acting as every account": grant(2, "resource", value="//cloudresourcemanager.googleapis.com/projects/acme-ml"),
    "no reason for a grant": grant(2, "why", value=""),
    "a runner that cannot start train": ungranted(2),
    "a runner that cannot keep its state": ungranted(1),
    "a runner that cannot make jobs": forgets(RUNNER, "aiplatform.customJobs.create"),
    "a runner that changes policies": at(
        RUNNER, "role", "includedPermissions", 0, value="resourcemanager.projects.setIamPolicy"
    ),
    "a waker that cannot start wake": forgets(WAKER, "aiplatform.pipelineJobs.create"),
    "a waker that hears nothing": forgets(WAKER, "eventarc.events.receiveEvent"),
    "a permission that is none": at(WAKER, "role", "includedPermissions", 0, value="aiplatform.everything"),
    "an id with a hyphen": at(RUNNER, "roleId", value="ctc-runner"),
    "a version that is champion at once": at("registry/model.json", "model", "versionAliases", value=["champion"]),
    "a model that is called otherwise": at("registry/model.json", "modelId", value="7-fraud"),
    "a trigger of another workflow": at(f"{EVENT}.trigger.json", "destination", "workflow", value="projects/x"),
    "a topic that is none": at(f"{EVENT}.trigger.json", "transport", "pubsub", "topic", value="alerts"),
    "a filter that matches nothing": at(
        f"{EVENT}.trigger.json", "eventFilters", value=[{"attribute": "bucket", "value": "b"}]
    ),
    "a workflow as another account": at(f"{EVENT}.workflow.json", "serviceAccount", value="x@y"),
    "a workflow without its source": without(f"{EVENT}.workflow.yaml"),
    "an alert of another event": text(f"{EVENT}.workflow.yaml", '"name": "fraud-ops-alert"', '"name": "other"'),
    "a workflow that starts train": text(f"{EVENT}.workflow.yaml", "wake.json", "train.json"),
    "a message that wakes twice": text(f"{EVENT}.workflow.yaml", '-on-\\" + message.messageId', '-on-\\" + event.id'),
    "an event that is not handed over": text(f"{EVENT}.workflow.yaml", "parameterValues.event", "parameterValues.x"),
    "a request without an identity": text(f"{EVENT}.workflow.yaml", "OAuth2", "OIDC"),
    "a watch of another pipeline": text("staleness/workflow.yaml", "checkout-fraud-train", "other-train"),
    "a watch that counts failures": text("staleness/workflow.yaml", "STATE_SUCCEEDED", "STATE_FAILED"),
    "a watch that never fails": text("staleness/workflow.yaml", '"raise"', '"return"'),
    "an alarm on another workflow": text(ALARM, "checkout-fraud-staleness", "other"),
    "an alarm that is off": at(ALARM, "enabled", value=False),
    "an alarm that is blind to a dead watch": without(ALARM, "conditions", 1),
    "an alarm that needs both": at(ALARM, "combiner", value="AND"),
    "an hour that starts another workflow": text("staleness/scheduler-job.json", "workflows/checkout", "workflows/x"),
    "a server of another model": at(f"{API}/model.json", "modelId", value="other"),
    "a server without a command": at(f"{API}/model.json", *CONTAINER, "command", value=[]),
    "a command with a hole": at(f"{API}/model.json", *CONTAINER, "command", 0, value="{model}"),
    "a server without an image": at(f"{API}/model.json", *CONTAINER, "imageUri", value=""),
    "a route that is no path": at(f"{API}/model.json", *CONTAINER, "predictRoute", value="invocations"),
    "two ports": text(f"{API}/model.json", '{"containerPort": 8080}', '{"containerPort": 8080}, {"containerPort": 81}'),
    "health on another port": at(f"{API}/model.json", *CONTAINER, "startupProbe", "httpGet", "port", value=81),
    "a server that has to start at once": at(
        f"{API}/model.json", *CONTAINER, "startupProbe", "failureThreshold", value=1
    ),
    "an endpoint of nobody": at(f"{API}/endpoint.json", "labels", value={}),
    "an endpoint that is open": without(f"{API}/endpoint.json", "privateServiceConnectConfig"),
    "an endpoint of one model": at(f"{API}/endpoint.json", "network", value="projects/1/global/networks/ml"),
    "an endpoint for every project": at(
        f"{API}/endpoint.json", "privateServiceConnectConfig", "projectAllowlist", value=["acme-ml", "other"]
    ),
    "an endpoint under no key": without(f"{API}/endpoint.json", "encryptionSpec"),
    "an endpoint without a name": at(f"{API}/endpoint.json", "displayName", value=""),
    "a capture of more than all": at(f"{API}/endpoint.json", *LOGGING, "samplingRate", value=100),
    "a capture to a bucket": at(f"{API}/endpoint.json", *LOGGING, "bigqueryDestination", "outputUri", value="gs://x/y"),
    "a deployment of a version that may not be": text(f"{API}/deploy.json", "@unset", "@1"),
    "a server as the project's own account": at(f"{API}/deploy.json", "deployedModel", "serviceAccount", value=""),
    "a server on a machine that is none": at(f"{API}/deploy.json", *MACHINE, "machineType", value="n9-mega-7"),
    "no replicas": at(f"{API}/deploy.json", *MACHINE[:2], "minReplicaCount", value=0),
    "fewer replicas at most than at least": at(f"{API}/deploy.json", *MACHINE[:2], "maxReplicaCount", value=1),
    "a first model without traffic": at(f"{API}/deploy.json", "trafficSplit", value={"0": 50, "champion": 50}),
    "a smaller candidate": at(f"{API}/rollout-0-deploy.json", *MACHINE[:2], "minReplicaCount", value=1),
    "a candidate with traffic at once": at(
        f"{API}/rollout-0-deploy.json", "trafficSplit", value={"champion": 0, "0": 100}
    ),
    "a candidate on the live endpoint": at(f"{API}/candidate/endpoint.json", "displayName", value="checkout-fraud-api"),
    "a step of more than all": at(f"{API}/rollout-3-traffic-10.json", "trafficSplit", "champion", value=95),
    "a step of half a per cent": at(
        f"{API}/rollout-3-traffic-10.json", "trafficSplit", value={"champion": 99.5, "candidate": 0.5}
    ),
    "a step to another model": at(f"{API}/rollout-3-traffic-10.json", "trafficSplit", value={"champion": 90, "x": 10}),
    "a step of another share": at(
        f"{API}/rollout-3-traffic-10.json", "trafficSplit", value={"champion": 80, "candidate": 20}
    ),
    "a rollout without an end": without(f"{API}/rollout-4-traffic-100.json"),
    "a rollout that cannot be taken back": without(f"{API}/rollout-back.json"),
    "a rollout back to the candidate": at(
        f"{API}/rollout-back.json", "trafficSplit", value={"champion": 0, "candidate": 100}
    ),
    "a runner that cannot move traffic": forgets(RUNNER, "aiplatform.endpoints.update"),
    "an hour that starts as another account": text("staleness/scheduler-job.json", "checkout-fraud-waker@", "x@"),
}


def test_a_good_bundle_is_good(good: Files) -> None:
    assert check_bundle(good) == []
    assert len(MUTATIONS) >= 30


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_bundle_is_caught(good: Files, name: str) -> None:
    broken = copy.deepcopy(good)
    MUTATIONS[name](broken)

    assert broken != good
    assert check_bundle(broken)
