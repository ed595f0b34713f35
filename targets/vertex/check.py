"""The checks of a bundle's own documents that neither Google's SDK nor its protocol buffers make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.kfp_check import check as check_spec
from ctc.targets.shim import nodes_told
from ctc.targets.vertex import pipeline as vertex
from ctc.targets.vertex.machines import DISK_GB, GPU_TYPES, MACHINE_TYPES

SERVICE_ACCOUNT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.:-]+\.iam\.gserviceaccount\.com")
LOCATION = re.compile(r"projects/[a-z0-9:.-]+/locations/[a-z]+-[a-z]+[0-9]+")
NETWORK = re.compile(r"projects/[0-9]+/global/networks/[a-z]([a-z0-9-]*[a-z0-9])?")
KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
CRON = re.compile(r"TZ=[A-Za-z0-9_+/-]+( (\*|[0-9]+(,[0-9]+)*)){5}")
SECRET = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*=CTC_SECRET_[A-Z0-9_]+"
    r"=https://secretmanager\.googleapis\.com/v1/(projects/[^/]+/secrets/[A-Za-z0-9_-]{1,255})/versions/latest:access"
)
"""What a container is told of a secret: its variable, the one that holds it on one machine, where it is."""
NAME_LENGTH, LABELS = 128, 64
_LABEL_KEY, _LABEL_VALUE = re.compile(r"[a-z][a-z0-9_-]{0,62}"), re.compile(r"[a-z0-9_-]{0,63}")
_SECONDS = re.compile(r"[1-9][0-9]*s")
_FIELDS = {
    "displayName", "labels", "pipelineSpec", "runtimeConfig", "serviceAccount", "network", "encryptionSpec",
}  # fmt: skip
_POLICIES = {"PIPELINE_FAILURE_POLICY_FAIL_SLOW"}
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def check(body: Any) -> list[str]:
    """Everything wrong with the body of a pipeline job, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_job(body)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the document has not the shape of a pipeline job: {type(error).__name__}: {error}"]


def check_schedule(body: Any, wake: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the body of a schedule that starts the pipeline job `wake`."""
    try:
        return sorted(set(_schedule(body, wake)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        return [f"the document has not the shape of a schedule: {type(error).__name__}: {error}"]


def _job(body: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{name} is no field of a pipeline job that is used here" for name in body.keys() - _FIELDS)
    yield from _name(body["displayName"])
    yield from _labels(body["labels"])
    account = body["serviceAccount"]
    if not SERVICE_ACCOUNT.fullmatch(account):
        yield f"{account!r} is no service account"
    if "network" in body and not NETWORK.fullmatch(body["network"]):
        yield f"{body['network']!r} is no network"
    if "encryptionSpec" in body and not KMS_KEY.fullmatch(body["encryptionSpec"]["kmsKeyName"]):
        yield f"{body['encryptionSpec']['kmsKeyName']!r} is no key"
    spec, runtime = body["pipelineSpec"], body["runtimeConfig"]
    yield from _runtime(runtime, spec)
    for label, executor in spec["deploymentSpec"]["executors"].items():
        if "importer" in executor:
            continue
        job = vertex.payload(executor)
        if job is None:
            yield from _container(label, executor["container"])
        else:
            yield from _launcher(label, executor["container"], job, body)
    flat = plain_outputs(spec)
    for label, executor in flat["deploymentSpec"]["executors"].items():
        yield from (f"executor {label}: {problem}" for problem in _handed(executor.get("container", {})))
    yield from check_spec(flat)


def _handed(container: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how a container comes to its secrets."""
    words, command = container.get("args", []), container.get("command", [])
    before = words[: words.index("--step")] if "--step" in words else []
    reads = any("def fill_in(" in word for word in command)
    if bool(before) != reads:
        yield "reads secrets and is told of none, or is told of some and reads none"
    yield from (f"{word!r} is no secret of Secret Manager" for word in before if not SECRET.fullmatch(word))


def plain_outputs(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the containers of its CustomJobs in place of their launchers."""
    executors = {}
    for label, executor in spec["deploymentSpec"]["executors"].items():
        job = vertex.payload(executor)
        executors[label] = executor if job is None else {"container": vertex.worker(job)}
    return {**spec, "deploymentSpec": {**spec["deploymentSpec"], "executors": executors}}


def _runtime(runtime: Mapping[str, Any], spec: Mapping[str, Any]) -> Iterator[str]:
    root = runtime["gcsOutputDirectory"]
    if not root.startswith("gs://") or root != spec.get("defaultPipelineRoot"):
        yield f"the output directory {root!r} is not the root of the pipeline in Cloud Storage"
    if runtime["failurePolicy"] not in _POLICIES:
        yield f"under the failure policy {runtime['failurePolicy']!r} no record is written after a failure"
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, value in runtime.get("parameterValues", {}).items():
        if name not in declared:
            yield f"the pipeline has no parameter {name}"
        elif not isinstance(value, str):
            yield f"the parameter {name} is no text"
    for field in runtime.keys() - {"gcsOutputDirectory", "failurePolicy", "parameterValues"}:
        yield f"{field} is no field of the runtime that is used here"


def _container(label: str, container: Mapping[str, Any]) -> Iterator[str]:
    resources = container["resources"]
    biggest = MACHINE_TYPES[-1]
    for number, text, most in (
        ("cpuLimit", "resourceCpuLimit", biggest.cpu),
        ("memoryLimit", "resourceMemoryLimit", biggest.memory_gib * 2**30 / 1e9),
    ):
        if not 0 < resources[number] <= most:
            yield f"executor {label}: {number} {resources[number]} is more than a task can have, or nothing"
        if not resources.get(text):
            yield f"executor {label}: states {number} and not {text}"


def _launcher(
    label: str, container: Mapping[str, Any], job: Mapping[str, Any], body: Mapping[str, Any]
) -> Iterator[str]:
    if container["image"] != vertex.LAUNCHER_IMAGE:
        yield f"executor {label}: {container['image']} is not the launcher"
    words = container["args"]
    for option, value in (
        ("--type", "CustomJob"),
        ("--project", vertex.PROJECT),
        ("--location", vertex.LOCATION),
        ("--gcp_resources", vertex.RESOURCES_FILE),
    ):
        if option not in words or words[words.index(option) + 1 :][:1] != [value]:
            yield f"executor {label}: the launcher needs {option} {value}"
    for component in body["pipelineSpec"]["components"].values():
        outputs = component.get("outputDefinitions", {}).get("parameters", {})
        if component.get("executorLabel") == label and vertex.GCP_RESOURCES not in outputs:
            yield f"executor {label}: its component has no output {vertex.GCP_RESOURCES}"
    yield from (f"executor {label}: {problem}" for problem in _custom_job(job, body))


def _custom_job(job: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[str]:
    yield from _name(job["display_name"])
    yield from _labels(job["labels"])
    spec = job["job_spec"]
    if spec["service_account"] != body["serviceAccount"]:
        yield "its job runs as another account than the pipeline"
    if spec.get("network") != body.get("network"):
        yield "its job is in another network than the pipeline"
    if job.get("encryption_spec", {}).get("kms_key_name") != body.get("encryptionSpec", {}).get("kmsKeyName"):
        yield "its job is encrypted by another key than the pipeline"
    pool, *others = spec["worker_pool_specs"]
    scheduling = spec["scheduling"]
    nodes = nodes_told(pool["container_spec"]["args"])
    if sum(item["replica_count"] for item in (pool, *others)) != nodes or len(others) > 1:
        yield f"its job has not {nodes} workers, in one pool or two"
    for other in others:
        if {**other, "replica_count": 1} != {**pool, "replica_count": 1}:
            yield "its workers are not alike"
    yield from _machine(pool["machine_spec"])
    if pool["replica_count"] != 1:
        yield "its first pool has not one worker"
    if pool["disk_spec"]["boot_disk_type"] != "pd-ssd" or pool["disk_spec"]["boot_disk_size_gb"] < DISK_GB:
        yield "its job has another disk than an SSD of 100 GB or more"
    if not _SECONDS.fullmatch(scheduling["timeout"]):
        yield f"the timeout {scheduling['timeout']!r} is no number of seconds"
    if scheduling.get("strategy", "SPOT") != "SPOT":
        yield f"there is no use for the strategy {scheduling['strategy']!r}"
    if ("strategy" in scheduling) != scheduling.get("restart_job_on_worker_restart", False):
        yield "a job on spot capacity is restarted when its machine is taken away, and no other job is"
    if vertex.EXECUTOR_INPUT in (*pool["container_spec"]["command"], *pool["container_spec"]["args"]):
        yield "the executor input of a job is escaped once more: it stands inside a JSON word"


def _machine(spec: Mapping[str, Any]) -> Iterator[str]:
    name, count, accelerator = spec["machine_type"], spec.get("accelerator_count", 0), spec.get("accelerator_type", "")
    if spec.keys() - {"machine_type", "accelerator_count", "accelerator_type"}:
        yield "its machine has fields that are not used here"
    if not count and not accelerator:
        if name not in {machine.name for machine in MACHINE_TYPES}:
            yield f"there is no machine type {name!r}"
    elif (name, count, accelerator) not in {(item.name, item.gpus, item.accelerator) for item in GPU_TYPES}:
        yield f"no machine type {name!r} has {count} of {accelerator!r}"


def _name(name: str) -> Iterator[str]:
    if not 0 < len(name) <= NAME_LENGTH:
        yield f"the display name {name!r} has not 1 to {NAME_LENGTH} characters"


def _labels(labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            yield f"the label {key}={value} has characters, or a length, that no label may have"
    missing = {"ctc-name", "ctc-environment", "ctc-spec-digest"} - labels.keys()
    yield from (f"the label {key} is missing: nothing would tell whose this is" for key in missing)


def _schedule(body: Mapping[str, Any], wake: Mapping[str, Any]) -> Iterator[str]:
    yield from _name(body["displayName"])
    if not CRON.fullmatch(body["cron"]):
        yield f"the cron {body['cron']!r} is not a zone and five lists of numbers"
    else:
        for field, (low, high) in zip(body["cron"].split(" ")[1:], _BOUNDS, strict=True):
            if field != "*" and not all(low <= int(number) <= high for number in field.split(",")):
                yield f"the cron {body['cron']!r} has a number that its field does not"
        if body["cron"].split(" ")[3] != "*" and body["cron"].split(" ")[5] != "*":
            yield f"the cron {body['cron']!r} restricts both of its day fields, which dialects read in two ways"
    for field, wanted in (("maxConcurrentRunCount", "1"), ("maxConcurrentActiveRunCount", "1")):
        if body.get(field) != wanted:
            yield f"{field} is {body.get(field)!r}: wakes of one schedule would run side by side"
    if body.get("allowQueueing") is not False:
        yield "missed wakes would queue up"
    request = body["createPipelineJobRequest"]
    if not LOCATION.fullmatch(request["parent"]):
        yield f"{request['parent']!r} is no project and location"
    if "pipelineJobId" in request:
        yield "a fixed pipelineJobId lets a schedule run once only"
    if request["pipelineJob"] != wake:
        yield "the schedule does not start the wake pipeline of this bundle"
