"""Who does what: managed identities, custom roles with the operations that are used, and where each is granted.

The runner is the identity of the cluster on which our steps run; the waker is that of the workflows that start wakes
and watch. Workspaces have roles on themselves only, not on the jobs in them; storage is granted on one container, by a
condition on the system's own prefix; a secret on itself. Operation names: "Manage access to Azure Machine Learning
workspaces" and the list of Azure's resource provider operations, conditions: "Azure role assignment condition format"
(2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml.places import datastore, group_id, outs, sources, staleness_seconds, workspace_id

_ML = "Microsoft.MachineLearningServices/workspaces"
_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
SECRET_ROLE = "Key Vault Secrets User"
"""The one role of Azure's that is used, on single secrets."""
_SUBMIT = (
    f"{_ML}/read",
    f"{_ML}/*/read",
    f"{_ML}/jobs/write",
    f"{_ML}/metadata/artifacts/write",
    f"{_ML}/environments/write",
    f"{_ML}/environments/build/action",
    f"{_ML}/environments/readSecrets/action",
    f"{_ML}/components/versions/write",
)
_REGISTER = (f"{_ML}/models/write", f"{_ML}/models/versions/write")
SERVE = (
    f"{_ML}/onlineEndpoints/write",
    f"{_ML}/onlineEndpoints/deployments/write",
    f"{_ML}/onlineEndpoints/deployments/delete",
    f"{_ML}/onlineEndpoints/score/action",
)
"""What moves traffic: a wake brings versions up, asks them, shares the traffic, and takes old ones down."""
_KEEP = (f"{_BLOBS}/read", f"{_BLOBS}/write", f"{_BLOBS}/add/action", f"{_BLOBS}/delete")
_READ = (f"{_BLOBS}/read",)
_WRITE = (f"{_BLOBS}/write", f"{_BLOBS}/add/action")
LOGS = "Microsoft.Insights/logs/AmlRunStatusChangedEvent/read"


def waker_name(system: System) -> str:
    return f"{system.name}-waker"


def waker_id(system: System) -> str:
    """The identity of what starts and watches from outside the workspace."""
    provider = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return f"{group_id(system)}/providers/{provider}/{waker_name(system)}"


def needs_waker(system: System) -> bool:
    """Whether anything but the workspace's own schedules starts something."""
    return bool(system.settings.get("events")) or staleness_seconds(system) is not None


def role_name(system: System, name: str) -> str:
    return f"ctc {system.name} {name}"


def roles(system: System) -> dict[str, dict[str, Any]]:
    """Role definitions as `az role definition create` takes them, by a name for each."""
    made: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
        "runner": ("What the jobs do in the workspace", (*_SUBMIT, *_REGISTER, *(SERVE if system.servers else ())), ()),
        "keeper": ("What the jobs do with their own blobs", (), _KEEP),
        "reader": ("Reading the rows and files of the spec", (), _READ),
        "deployer": ("Deploying the bundle", _deployer(system), _KEEP),
    }
    if outs(system):
        made["writer"] = ("Writing the scores of batch jobs", (), _WRITE)
    if needs_waker(system):
        starts = (f"{_ML}/jobs/write",) if system.settings.get("events") else ()
        watches = (LOGS,) if staleness_seconds(system) is not None else ()
        made["waker"] = (
            "Starting the wake job, and asking for runs",
            (f"{_ML}/read", f"{_ML}/jobs/read", f"{_ML}/components/versions/read", *starts, *watches),
            (),
        )
    return {
        name: {
            "Name": role_name(system, name),
            "IsCustom": True,
            "Description": f"{what} (ctc).",
            "Actions": sorted(actions),
            "NotActions": [],
            "DataActions": sorted(data),
            "NotDataActions": [],
            "AssignableScopes": [group_id(system)],
        }
        for name, (what, actions, data) in made.items()
    }


def _deployer(system: System) -> tuple[str, ...]:
    names = [*_SUBMIT, *_REGISTER, f"{_ML}/schedules/read", f"{_ML}/schedules/write", f"{_ML}/schedules/delete"]
    if needs_waker(system):
        names += ["Microsoft.Resources/deployments/*", "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"]
        names += [f"Microsoft.Logic/workflows/{verb}" for verb in ("read", "write", "delete")]
        names.append("Microsoft.Logic/workflows/triggers/listCallbackUrl/action")
    if system.settings.get("events"):
        names += [f"Microsoft.EventGrid/eventSubscriptions/{verb}" for verb in ("read", "write", "delete")]
        kinds = ("topics", "systemTopics")
        names += [
            f"Microsoft.EventGrid/{kind}/eventSubscriptions/{verb}"
            for kind in kinds
            for verb in ("read", "write", "delete")
        ]
    if staleness_seconds(system) is not None:
        names += [f"Microsoft.Insights/metricAlerts/{verb}" for verb in ("read", "write", "delete")]
    return tuple(names)


def grants(system: System) -> list[dict[str, Any]]:
    """Every role assignment: who, which role, on which one resource, below which path, and why.

    `scope` is a resource id, or `datastore:NAME` for the container behind it, or `secret:NAME` for one in the
    workspace's key vault: those are asked of Azure when the role is assigned.
    """
    runner, waker, workspace = runner_of(system), {"identity": waker_id(system)}, workspace_id(system)
    made = [
        _grant(runner, role_name(system, "runner"), workspace, "a workspace has no roles on what is inside it"),
    ]
    for kind, why, uris in (
        ("keeper", "state, records and artifacts", [f"{system.root}/"]),
        ("reader", "rows and files of the spec", sorted(set(sources(system)))),
        ("writer", "the scores of batch jobs", outs(system)),
    ):
        # One assignment for each container: a second one of the same role is refused, whatever its condition.
        below: dict[str, list[str]] = {}
        for found in filter(None, map(datastore, uris)):
            below.setdefault(found[0], []).append(found[1])
        operations = {"keeper": _KEEP, "reader": _READ, "writer": _WRITE}[kind]
        for name, paths in below.items():
            made.append(_grant(runner, role_name(system, kind), f"datastore:{name}", why))
            made[-1]["condition"] = condition(paths, operations)
    secrets = sorted(set(_secrets(system)))
    made += [_grant(runner, SECRET_ROLE, f"secret:{secret}", "the spec names this secret") for secret in secrets]
    trainer = {"workspace": str(system.settings["workspace"])}
    for secret in sorted({secret for step in system.train.steps() for _, secret in step.secrets}):
        why = "the user's commands are given this secret, which their job reads as the workspace"
        made.append(_grant(trainer, SECRET_ROLE, f"secret:{secret}", why))
    if needs_waker(system):
        made.append(_grant(waker, role_name(system, "waker"), workspace, "the workflows start wakes, or ask for runs"))
    return made


def runner_of(system: System) -> dict[str, str]:
    """The identity of our steps: the one that the spec names by its client id, or the cluster's own."""
    if system.settings.get("identity"):
        return {"client_id": str(system.settings["identity"])}
    return {"compute": str(system.settings["compute"])}


def _grant(principal: dict[str, str], role: str, scope: str, why: str) -> dict[str, Any]:
    return {"principal": principal, "role": role, "scope": scope, "why": why}


def condition(below: list[str], operations: tuple[str, ...]) -> str:
    """These operations on blobs whose path starts so; listing is asked of the container, everything else of a blob."""
    asked = []
    for name in operations:
        listing = " AND NOT SubOperationMatches{'Blob.List'}" if name.endswith("/read") else ""
        asked.append(f"!(ActionMatches{{'{name}'}}{listing})")
    paths = " OR ".join(f"@Resource[{_BLOBS}:path] StringStartsWith '{path}'" for path in below)
    return f"(({' AND '.join(asked)}) OR ({paths}))"


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
