"""The two pipelines as bodies of `projects.locations.pipelineJobs.create` (Vertex AI REST v1).

The PipelineSpec in a body is Kubeflow's. One thing is Vertex's own: a plain container task can ask for neither spot
capacity nor a disk, and of accelerators only for a kind and a number, to which the service picks a machine. So a step
that needs one of them is launched as a CustomJob, as Google's own pipeline components do it: their launcher runs in the
task, creates the job and waits for it. The step's container goes into the job as it is, with the executor input escaped
once more, because it travels inside a JSON word.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.compiler.ir import Pipeline, Step, System
from ctc.targets.kfp_ir import executor_name, pipeline_spec
from ctc.targets.shim import bare
from ctc.targets.vertex.machines import DISK_GB, MachineType, disk_gb, smallest

LAUNCHER_IMAGE = "gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0"
LAUNCHER = ("python3", "-u", "-m", "google_cloud_pipeline_components.container.v1.custom_job.launcher")
EXECUTOR_INPUT, ESCAPED_INPUT = "{{$}}", "{{$.json_escape[1]}}"
"""The placeholder of a container task, and the one of a word that is itself JSON."""
PROJECT, LOCATION = "{{$.pipeline_google_cloud_project_id}}", "{{$.pipeline_google_cloud_location}}"
GCP_RESOURCES = "gcp_resources"
"""The launcher's own output: the job that it made, by which a launcher that is started again finds it."""
RESOURCES_FILE = f"{{{{$.outputs.parameters['{GCP_RESOURCES}'].output_file}}}}"
OVERHEAD = timedelta(minutes=10)
"""What a job may take beside the tries of its command: the shim ends each try by itself, the service only the job."""

_LABEL = re.compile(r"[^a-z0-9_-]")
LABEL_LENGTH = 63


def labels(system: System) -> dict[str, str]:
    """What tells this system's resources from all others, and its costs from theirs."""
    told = {
        "ctc-name": system.name,
        "ctc-environment": system.environment,
        "ctc-spec-digest": system.spec_digest,
    }
    return {key: _LABEL.sub("-", value.lower())[:LABEL_LENGTH] for key, value in told.items()}


def pipeline_job(system: System, pipeline: Pipeline) -> dict[str, Any]:
    """The body that runs `pipeline`; whoever sends it adds the values of its parameters."""
    spec = pipeline_spec(pipeline, system.root, lambda name: secret_address(str(system.settings["project"]), name))
    for step in pipeline.steps():
        if launches_job(step):
            _as_custom_job(system, spec, step)
    settings = system.settings
    body: dict[str, Any] = {
        "displayName": pipeline.name,
        "labels": labels(system),
        "pipelineSpec": spec,
        "runtimeConfig": {
            "gcsOutputDirectory": spec["defaultPipelineRoot"],
            # The other policy starts no task after a failure, and the record is one.
            "failurePolicy": "PIPELINE_FAILURE_POLICY_FAIL_SLOW",
            "parameterValues": {
                parameter.name: parameter.default for parameter in pipeline.parameters if parameter.default is not None
            },
        },
        "serviceAccount": str(settings["service_account"]),
    }
    if settings.get("network"):
        body["network"] = str(settings["network"])
    if settings.get("kms_key"):
        body["encryptionSpec"] = {"kmsKeyName": str(settings["kms_key"])}
    return body


def secret_address(project: str, name: str) -> str:
    """Where Secret Manager (REST v1) tells a secret's newest text."""
    return f"https://secretmanager.googleapis.com/v1/projects/{project}/secrets/{name}/versions/latest:access"


def launches_job(step: Step) -> bool:
    """Whether a step needs what only a CustomJob has."""
    return step.spot is not None or disk_gb(step.resources) > DISK_GB or step.resources.gpus > 0 or step.nodes > 1


def job_seconds(step: Step) -> int:
    """How long the job of a step may run: every try, and what is around them."""
    return math.ceil((step.timeout * (step.retries + 1) + OVERHEAD).total_seconds())


def custom_job(system: System, step: Step, container: Mapping[str, Any]) -> dict[str, Any]:
    """The CustomJob of a step, in the launcher's spelling (snake_case)."""
    machine = smallest(step.resources)
    settings = system.settings
    command = container["command"]
    if step.nodes > 1:
        # Each of the two pools has it, inside of one word.
        command = [*command[:-1], *map(bare, command[-1:])]
    scheduling: dict[str, Any] = {"timeout": f"{job_seconds(step)}s"}
    if step.spot is not None:
        # A machine that is taken away is replaced; the command goes on from its checkpoints.
        scheduling |= {"strategy": "SPOT", "restart_job_on_worker_restart": True}
    pool = {
        "machine_spec": _machine(machine),
        "disk_spec": {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": disk_gb(step.resources)},
        "container_spec": {
            "image_uri": container["image"],
            "command": _escaped(command),
            "args": _escaped(container["args"]),
            "env": container.get("env", []),
        },
    }
    # The first pool has one machine, the primary one; the second the others.
    others = [{**pool, "replica_count": step.nodes - 1}] if step.nodes > 1 else []
    job: dict[str, Any] = {
        "worker_pool_specs": [{**pool, "replica_count": 1}, *others],
        "scheduling": scheduling,
        # Without it the user's code would run as Vertex's own agent.
        "service_account": str(settings["service_account"]),
    }
    if settings.get("network"):
        job["network"] = str(settings["network"])
    made: dict[str, Any] = {
        "display_name": f"{system.name}-{step.name}",
        "job_spec": job,
        "labels": labels(system),
    }
    if settings.get("kms_key"):
        made["encryption_spec"] = {"kms_key_name": str(settings["kms_key"])}
    return made


def _machine(machine: MachineType | None) -> dict[str, Any]:
    if machine is None:
        return {"machine_type": ""}
    made: dict[str, Any] = {"machine_type": machine.name}
    if machine.gpus:
        made |= {"accelerator_type": machine.accelerator, "accelerator_count": machine.gpus}
    return made


def payload(executor: Mapping[str, Any]) -> dict[str, Any] | None:
    """The CustomJob that an executor launches; None for one that launches none."""
    container = executor.get("container", {})
    words = container.get("args", [])
    if tuple(container.get("command", ())) != LAUNCHER:
        return None
    found: dict[str, Any] = json.loads(words[words.index("--payload") + 1])
    return found


def worker(job: Mapping[str, Any]) -> dict[str, Any]:
    """The container of a CustomJob as that of a plain task."""
    spec = job["job_spec"]["worker_pool_specs"][0]["container_spec"]
    container = {
        "image": spec["image_uri"],
        "command": [_plain(word) for word in spec["command"]],
        "args": [_plain(word) for word in spec["args"]],
    }
    return {**container, "env": spec["env"]} if spec.get("env") else container


def _as_custom_job(system: System, spec: dict[str, Any], step: Step) -> None:
    executors = spec["deploymentSpec"]["executors"]
    container = executors[executor_name(step.name)]["container"]
    words = ["--type", "CustomJob", "--payload", canonical(custom_job(system, step, container)).decode()]
    words += ["--project", PROJECT, "--location", LOCATION, "--gcp_resources", RESOURCES_FILE]
    launcher = {"image": LAUNCHER_IMAGE, "command": list(LAUNCHER), "args": words}
    executors[executor_name(step.name)] = {"container": launcher}
    outputs = spec["components"][f"comp-{step.name}"].setdefault("outputDefinitions", {})
    outputs.setdefault("parameters", {})[GCP_RESOURCES] = {"parameterType": "STRING"}


def _escaped(words: list[str]) -> list[str]:
    return [ESCAPED_INPUT if word == EXECUTOR_INPUT else word for word in words]


def _plain(word: str) -> str:
    return EXECUTOR_INPUT if word == ESCAPED_INPUT else word
