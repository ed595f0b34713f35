"""Who does what: service accounts, custom roles with the permissions that are used, and where each is granted.

A grant stands on the resource that it is about wherever the service has policies on resources: buckets (for the
objects below the system's own prefix), secrets, keys, service accounts. Vertex AI's own permissions have no such
place, so they are granted on the project, by a role that lists only those that these pipelines use. Permission names:
IAM's reference of the services' permissions (2026-11).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import Step, System
from ctc.targets.vertex.events import topics
from ctc.targets.vertex.pipeline import launches_job
from ctc.targets.vertex.staleness import staleness_seconds

ACCOUNT_LENGTH = 30
_METADATA = (
    "aiplatform.artifacts.create",
    "aiplatform.artifacts.get",
    "aiplatform.artifacts.list",
    "aiplatform.artifacts.update",
    "aiplatform.contexts.addContextArtifactsAndExecutions",
    "aiplatform.contexts.addContextChildren",
    "aiplatform.contexts.create",
    "aiplatform.contexts.get",
    "aiplatform.contexts.list",
    "aiplatform.contexts.update",
    "aiplatform.executions.addExecutionEvents",
    "aiplatform.executions.create",
    "aiplatform.executions.get",
    "aiplatform.executions.list",
    "aiplatform.executions.update",
    "aiplatform.metadataStores.get",
)
"""The record of lineage that every pipeline run keeps."""
_REGISTRY = (
    "aiplatform.models.delete",
    "aiplatform.models.get",
    "aiplatform.models.list",
    "aiplatform.models.update",
    "aiplatform.models.upload",
)
_LAUNCH = ("aiplatform.pipelineJobs.create", "aiplatform.pipelineJobs.get", "aiplatform.pipelineJobs.list")
_JOBS = ("aiplatform.customJobs.cancel", "aiplatform.customJobs.create", "aiplatform.customJobs.get")
SERVE = (
    "aiplatform.endpoints.create",
    "aiplatform.endpoints.deploy",
    "aiplatform.endpoints.get",
    "aiplatform.endpoints.list",
    "aiplatform.endpoints.predict",
    "aiplatform.endpoints.undeploy",
    "aiplatform.endpoints.update",
)
"""What moves traffic: a wake brings versions up, asks them, shares the traffic, and takes old ones down."""
_LOGS = ("logging.logEntries.create",)
_OBJECTS = ("storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list")
_READ = ("storage.objects.get", "storage.objects.list")
_WRITE = ("storage.objects.create", "storage.objects.delete")
"""To write over an object is to delete it too."""


def runner(system: System) -> str:
    """The account that runs the pipelines: the one that the spec names."""
    return str(system.settings["service_account"])


def waker(system: System) -> str:
    """The account of what starts the pipelines from outside; its id is shortened with a hash where it must be."""
    return f"{waker_id(system)}@{_domain(str(system.settings['project']))}.iam.gserviceaccount.com"


def waker_id(system: System) -> str:
    whole = f"{system.name}-waker"
    if len(whole) <= ACCOUNT_LENGTH:
        return whole
    mark = hashlib.sha256(system.name.encode()).hexdigest()[:6]
    return f"{system.name[: ACCOUNT_LENGTH - 13].rstrip('-')}-{mark}-waker"


def _domain(project: str) -> str:
    """A project of a domain, `acme.example:ml`, turns around in addresses: `ml.acme.example`."""
    domain, _, name = project.rpartition(":")
    return f"{name}.{domain}" if domain else name


def needs_waker(system: System) -> bool:
    """Whether anything but Vertex AI's own schedules starts something."""
    return bool(topics(system)) or staleness_seconds(system) is not None


def accounts(system: System) -> dict[str, dict[str, Any]]:
    """Bodies of `iam.projects.serviceAccounts.create`, by a name for each; the runner's where it is of this project."""
    about = f"of {system.name}, compiled by ctc"
    made = {}
    name, _, domain = runner(system).partition("@")
    if domain == f"{_domain(str(system.settings['project']))}.iam.gserviceaccount.com":
        made["runner"] = {
            "accountId": name,
            "serviceAccount": {"displayName": f"{system.name} runner", "description": f"Runs the pipelines {about}."},
        }
    if needs_waker(system):
        made["waker"] = {
            "accountId": waker_id(system),
            "serviceAccount": {"displayName": f"{system.name} waker", "description": f"Starts the wake {about}."},
        }
    return made


def roles(system: System) -> dict[str, dict[str, Any]]:
    """Bodies of `iam.projects.roles.create`, by a name for each."""
    launches = any(launches_job(step) for step in _steps(system))
    made = {
        "runner": (
            "what the pipelines do in Vertex AI",
            (
                *_METADATA,
                *_REGISTRY,
                *_LAUNCH,
                *(_JOBS if launches else ()),
                *(SERVE if system.servers else ()),
                *_LOGS,
            ),
        ),
        "keeper": ("what the pipelines do with their own objects", _OBJECTS),
        "reader": ("reading the rows and files of the spec", _READ),
    }
    if _outs(system):
        made["writer"] = ("writing the scores of batch jobs", _WRITE)
    if needs_waker(system):
        made["waker"] = (
            "starting the wake pipeline, and asking for runs",
            (
                "aiplatform.pipelineJobs.create",
                "aiplatform.pipelineJobs.list",
                "eventarc.events.receiveEvent",
                *_LOGS,
                "workflows.executions.create",
            ),
        )
    return {
        name: {
            "roleId": role_id(system, name),
            "role": {
                "title": f"{system.name} {name}",
                "description": f"{what[0].upper()}{what[1:]} (ctc).",
                "stage": "GA",
                "includedPermissions": sorted(permissions),
            },
        }
        for name, (what, permissions) in made.items()
    }


def role_id(system: System, name: str) -> str:
    return f"ctc_{re.sub('[^a-z0-9_]', '_', system.name)}_{name}"


def grants(system: System) -> list[dict[str, Any]]:
    """Every grant: the resource, by its full name, the binding that its policy needs, and why."""
    own = _bucket(system.root)
    as_runner = f"serviceAccount:{runner(system)}"
    project = f"//cloudresourcemanager.googleapis.com/projects/{system.settings['project']}"
    made = [
        _grant(project, _role(system, "runner"), as_runner, "Vertex AI has no policies on the resources that it makes"),
        _grant(own, _role(system, "keeper"), as_runner, "state, records and artifacts", below=f"{system.root}/"),
        _grant(
            _account(system, runner(system)),
            "roles/iam.serviceAccountUser",
            as_runner,
            "wake starts the other pipelines, and jobs, as the same account"
            if system.scores
            else "wake starts the train pipeline, and jobs, as the same account",
        ),
    ]
    made += [
        _grant(_bucket(uri), _role(system, "reader"), as_runner, "rows and files of the spec", below=uri)
        for uri in sorted(set(_inputs(system)))
    ]
    made += [
        _grant(_bucket(out), _role(system, "writer"), as_runner, "the scores of batch jobs", below=out)
        for out in _outs(system)
    ]
    for secret in sorted(set(_secrets(system))):
        name = f"//secretmanager.googleapis.com/projects/{system.settings['project']}/secrets/{secret}"
        made.append(_grant(name, "roles/secretmanager.secretAccessor", as_runner, "the spec names this secret"))
    if needs_waker(system):
        as_waker = f"serviceAccount:{waker(system)}"
        made += [
            _grant(project, _role(system, "waker"), as_waker, "neither service has policies on the resources started"),
            _grant(
                own,
                _role(system, "reader"),
                as_waker,
                "the workflow fetches the wake pipeline's job",
                below=f"{system.root}/support/",
            ),
            _grant(
                _account(system, runner(system)),
                "roles/iam.serviceAccountUser",
                as_waker,
                "the wake pipeline runs as the runner",
            ),
        ]
    return made


def _grant(resource: str, role: str, member: str, why: str, below: str = "") -> dict[str, Any]:
    binding: dict[str, Any] = {"role": role, "members": [member]}
    if below:
        bucket, _, prefix = below.removeprefix("gs://").partition("/")
        objects = f"projects/_/buckets/{bucket}/objects/{prefix}"
        binding["condition"] = {
            "title": "these objects only",
            # Listing is asked of the bucket, everything else of an object.
            "expression": f'resource.type != "storage.googleapis.com/Object" || resource.name.startsWith("{objects}")',
        }
    return {"resource": resource, "binding": binding, "why": why}


def _role(system: System, name: str) -> str:
    return f"projects/{system.settings['project']}/roles/{role_id(system, name)}"


def _bucket(uri: str) -> str:
    return f"//storage.googleapis.com/projects/_/buckets/{uri.removeprefix('gs://').partition('/')[0]}"


def _account(system: System, address: str) -> str:
    return f"//iam.googleapis.com/projects/{system.settings['project']}/serviceAccounts/{address}"


def _steps(system: System) -> Iterator[Step]:
    for pipeline in system.pipelines:
        yield from pipeline.steps()


def _outs(system: System) -> list[str]:
    """The folders in Cloud Storage to which batch jobs write."""
    return sorted({f"{out.rstrip('/')}/" for out, _ in system.outs if out.startswith("gs://")})


def _inputs(system: System) -> Iterator[str]:
    """What is read from Cloud Storage: sources, up to the first pattern in their paths, and the training's files."""
    for step in system.wake.steps():
        sources: Mapping[str, Any] = (step.document or {}).get("policy", {}).get("data", {}).get("sources", {})
        for source in sources.values():
            for path in (source.get("parquet"), (source.get("csv") or {}).get("path")):
                if path and path.startswith("gs://"):
                    yield re.split(r"[*?\[]", path, maxsplit=1)[0]
    for parameter in system.train.parameters:
        if parameter.name.startswith("input_") and (parameter.default or "").startswith("gs://"):
            yield str(parameter.default)


def _secrets(system: System) -> Iterator[str]:
    def within(value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            if set(value) == {"secret"} and isinstance(value["secret"], str):
                yield value["secret"]
            for item in value.values():
                yield from within(item)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from within(item)

    for step in system.wake.steps():
        yield from within((step.document or {}).get("policy", {}).get("notifications"))
    yield from (secret for step in system.train.steps() for _, secret in step.secrets)
