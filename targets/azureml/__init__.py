"""Azure Machine Learning (v2): pipeline jobs and schedules as the CLI's YAML, without its SDK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import System
from ctc.compiler.target import Capability, Support
from ctc.targets.azureml import bootstrap, events, identities, pipeline, registry, serving, staleness
from ctc.targets.azureml.limits import limits
from ctc.targets.azureml.places import staleness_seconds
from ctc.targets.azureml.schedules import schedules
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.shim import NO_MPI

__all__ = ["CAPABILITIES", "NAME", "emit", "limits"]

NAME = "azureml"
VERSION_LENGTH = 16
"""How much of the hash of what is uploaded is the version of the wake's component."""


def _emulated(reason: str) -> Capability:
    return Capability(Support.EMULATED, reason)


def _native(reason: str = "") -> Capability:
    return Capability(Support.NATIVE, reason)


_SKIPS = "job YAML has no branches: the later steps start, find the flag false in `result.json` and end well, undone"
_OURS = "our own step, the same numbers on every target; no monitor of the platform is asked"

CAPABILITIES: Mapping[str, Capability] = {
    "branch.promotion": _emulated(_SKIPS),
    "branch.validation": _emulated(_SKIPS),
    "champion.own_image": _emulated(
        "an image is no input of a job: whoever submits `train` writes the champion's into its step"
    ),
    "notifications": _emulated("sent by our wake step; while no wake comes, nothing is sent"),
    "record.always": _emulated(
        "`continue_on_step_failure` and optional inputs: the record waits for every step and runs though one failed"
    ),
    "run.single": _emulated(
        "the service runs jobs side by side: the lease in the state document lets one attempt live at a time"
    ),
    "serving.batch": _native(
        "a pipeline job of its own; a schedule wakes at the instants of its cron, and wake submits it with the "
        "champion of that moment"
    ),
    "rollout.approval": _emulated(
        "held open in wake's state until enough of the named people have said yes to wake: no service is asked"
    ),
    "rollout.mirror": _native("`mirror_traffic` of the endpoint, in whole per cent and at most 50"),
    "rollout.smoke": _native("a request to the candidate's deployment alone, by the header `azureml-model-deployment`"),
    "rollout.traffic": _native("`traffic` of the endpoint, in whole per cent: one body for each step"),
    "serving.capture": _native("`data_collector` of the deployment, into the workspace's own datastore"),
    "serving.instances": _emulated(
        "`min` is the number of instances of a deployment. Up to `max` it is scaled by Azure Monitor, whose autoscale "
        "setting is yours to make: the bundle has none"
    ),
    "serving.online": _emulated(
        "the bundle has the endpoint, its deployments and each step of its rollout; this version deploys none of them. "
        "A promotion tags the version in the registry. A deployment has no field for a command: the image serves by "
        "itself, and finds the model's folder in `CTC_MODEL`"
    ),
    "staleness": _emulated(
        "an hourly Logic App asks the workspace's logs for train jobs that ended well, and an alert tells when it "
        "finds none: also while no wake comes. To it a run that its checks stopped has ended well; wake tells it apart"
    ),
    "step.distributed": _native(
        "that many machines of serverless compute, on each of which the service starts the command once with its rank "
        "(`distribution: {type: pytorch}`); the container starts its processes with torchrun's variables"
    ),
    "step.mpi": Capability(Support.UNSUPPORTED, NO_MPI),
    "step.gpu": _native(
        "serverless compute of the smallest listed VM size that has the model (`a100`: any A100, `a100-80gb`: one with "
        "that memory) and at least as many; the workspace needs quota for its family, which starts at none"
    ),
    "step.resources": _native(
        "serverless compute of the smallest listed VM size with the vCPUs, the memory and as much temporary storage"
    ),
    "step.retries": _emulated("the shim runs the command again in the job: parallel steps alone have retry settings"),
    "step.secrets": _emulated(
        "a job is handed no secret by the service: before the command starts, its container reads it from the Key "
        "Vault in `targets.azureml.key_vault`, as the workspace's user-assigned identity, the only one that serverless "
        "compute has; the image needs nothing but Python"
    ),
    "step.spot": _native(
        "`job_tier: Spot`; there is no longest wait, and a job that was taken away is started by the next attempt"
    ),
    "step.timeout": _native("each try is ended by the shim; `limits.timeout` ends the job after all tries"),
    "trigger.drift": _native(_OURS),
    "trigger.event": _emulated(
        "a Logic App takes the events of the Event Grid topic in `events` and starts the wake job with each as its "
        "input `event`; without a topic, whoever sees the alert starts it, percent-encoded"
    ),
    "trigger.manual": _native("start the wake job with the input `manual`, percent-encoded"),
    "trigger.new_data": _emulated("the wake counts the labelled rows; nothing is started by a blob's arrival"),
    "trigger.performance": _native(_OURS),
    "trigger.schedule": _emulated(
        "a schedule of its own wakes at the instants, and the wake judges them. The service's schedules have no "
        "months: with some left out, it wakes in them too, to no effect"
    ),
    "trigger.schedule.timezone": _emulated(
        "the schedule names the Windows zone with the same clocks (Unicode CLDR). What the service does with a time "
        "that the clocks skip or show twice is not documented; wake knows the instant, and fires at the next wake, once"
    ),
    "wake.every": _native("a recurrence schedule in whole minutes"),
}
"""How each feature that `lower` names is carried."""


def emit(system: System) -> Bundle:
    """The bundle. Pure: no SDK, no network, no clock."""
    uploaded = pipeline.documents(system)
    support = pipeline.support_uri(system, uploaded)
    jobs = pipeline.jobs(system, support)
    yamls = {
        **{f"pipelines/{kind}.yml": job for kind, job in jobs.items()},
        **{f"schedules/{name}.yml": schedule for name, schedule in schedules(system).items()},
        "registry/model.yml": registry.model(system),
        **serving.documents(system),
    }
    documents: dict[str, Any] = {
        **{f"identities/role-{name}.json": role for name, role in identities.roles(system).items()},
        "identities/grants.json": {"version": 1, "grants": identities.grants(system)},
    }
    version = support.rpartition("/")[2][:VERSION_LENGTH]
    for event, topic in events.topics(system).items():
        yamls["components/wake.yml"] = events.component(system, jobs["wake"], version)
        documents[f"events/{event}.template.json"] = events.wake_on(system, event, topic, jobs["wake"], version)
    max_age = staleness_seconds(system)
    if max_age is not None:
        documents["staleness/template.json"] = staleness.alarm(system, max_age)
    artifacts = [
        *(Artifact(path, as_yaml(document)) for path, document in yamls.items()),
        *(Artifact(path, as_json(document)) for path, document in documents.items()),
        Artifact("BOOTSTRAP.md", bootstrap.sheet(system)),
        *uploaded,
        *fidelity_files(system, CAPABILITIES),
    ]
    uploads = {artifact.path: f"{support}/{artifact.path.removeprefix('support/')}" for artifact in uploaded}
    return Bundle(
        target=NAME,
        artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.path)),
        uploads=tuple(sorted(uploads.items())),
    )
