"""Azure Machine Learning (v2): pipeline jobs and schedules as the CLI's YAML, without its SDK."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.compiler.bundle import Artifact, Bundle
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import System
from ctc.compiler.target import Capability, Support
from ctc.targets.azureml import pipeline
from ctc.targets.azureml.limits import limits
from ctc.targets.azureml.schedules import schedules
from ctc.targets.kfp_yaml import as_yaml

__all__ = ["CAPABILITIES", "NAME", "emit", "limits"]

NAME = "azureml"


def _emulated(reason: str) -> Capability:
    return Capability(Support.EMULATED, reason)


def _native(reason: str = "") -> Capability:
    return Capability(Support.NATIVE, reason)


_SKIPS = "job YAML has no branches: the later steps start, find the flag false in `result.json` and end well, undone"
_OURS = "our own step, the same numbers on every target; no monitor of the platform is asked"

CAPABILITIES: Mapping[str, Capability] = {
    "wake.every": _native("a recurrence schedule in whole minutes"),
    "notifications": _emulated("sent by our wake step; while no wake comes, nothing is sent"),
    "serving.online": _emulated(
        "a promotion tags the version in the registry, from which a server takes its model; this version deploys no "
        "endpoint, and starts the server only where its answers are timed"
    ),
    "staleness": _emulated("told by the next wake; while no wake comes, nobody is told"),
    "trigger.event": _emulated("whoever sees the alert starts the wake job with the input `event`, percent-encoded"),
    "trigger.drift": _native(_OURS),
    "trigger.performance": _native(_OURS),
    "trigger.manual": _native("start the wake job with the input `manual`, percent-encoded"),
    "trigger.schedule": _emulated(
        "a cron schedule of its own wakes at the instants and the wake judges them; one with days or months, which the "
        "service's cron ignores, fires at the first wake after its instant, so up to `wake_every` later"
    ),
    "trigger.schedule.timezone": _emulated(
        "the cron schedule has the Windows zone of the IANA zone; zones not in our list are left to `wake_every`"
    ),
    "trigger.new_data": _emulated("the wake counts the labelled rows; nothing is started by a blob's arrival"),
    "step.timeout": _native("each try is ended by the shim; `limits.timeout` ends the job after all tries"),
    "step.retries": _emulated("the shim runs the command again in the job: parallel steps alone have retry settings"),
    "step.resources": _native("serverless compute of the smallest listed VM size with the vCPUs and the memory"),
    "step.secrets": Capability(
        Support.UNSUPPORTED,
        "a job is handed no secret by the service: let the training code read it from Key Vault, by the identity of "
        "its compute",
    ),
    "step.spot": _native(
        "`job_tier: Spot`; there is no longest wait, and a job that was taken away is started by the next attempt"
    ),
    "branch.validation": _emulated(_SKIPS),
    "branch.promotion": _emulated(_SKIPS),
    "champion.own_image": _emulated(
        "an image is no input of a job: whoever submits `train` writes the champion's into its step"
    ),
    "record.always": _emulated(
        "`continue_on_step_failure` and optional inputs: the record waits for every step and runs though one failed"
    ),
    "run.single": _emulated(
        "the service runs jobs side by side: the lease in the state document lets one attempt live at a time"
    ),
}
"""How each feature that `lower` names is carried."""


def emit(system: System) -> Bundle:
    """The bundle. Pure: no SDK, no network, no clock."""
    uploaded = pipeline.documents(system)
    support = pipeline.support_uri(system, uploaded)
    made = {f"pipelines/{kind}.yml": job for kind, job in pipeline.jobs(system, support).items()}
    made |= {f"schedules/{name}.yml": schedule for name, schedule in schedules(system).items()}
    artifacts = [
        *(Artifact(path, as_yaml(document)) for path, document in made.items()),
        *uploaded,
        *fidelity_files(system, CAPABILITIES),
    ]
    uploads = {artifact.path: f"{support}/{artifact.path.removeprefix('support/')}" for artifact in uploaded}
    return Bundle(
        target=NAME,
        artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.path)),
        uploads=tuple(sorted(uploads.items())),
    )
