"""`BOOTSTRAP.md`: what an administrator does once, before the first deployment. Made from the same documents."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.vertex import identities, serving
from ctc.targets.vertex.events import topics
from ctc.targets.vertex.machines import smallest
from ctc.targets.vertex.staleness import staleness_seconds

_APIS = ("aiplatform", "cloudresourcemanager", "iam", "logging", "storage")

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "cloudresourcemanager": ("projects",),
    "storage": ("storage", "buckets"),
    "secretmanager": ("secrets",),
    "iam": ("iam", "service-accounts"),
}
"""The words of gcloud that bind a role on a resource of each service."""

_DEPLOYER = (
    "aiplatform.pipelineJobs.create",
    "aiplatform.schedules.create",
    "aiplatform.schedules.delete",
    "aiplatform.schedules.get",
    "aiplatform.schedules.list",
    "aiplatform.schedules.update",
)
_DEPLOYER_OF_EVENTS = (
    "eventarc.triggers.create",
    "eventarc.triggers.delete",
    "eventarc.triggers.get",
    "eventarc.triggers.update",
    "workflows.workflows.create",
    "workflows.workflows.delete",
    "workflows.workflows.get",
    "workflows.workflows.update",
)
_DEPLOYER_OF_ALARMS = (
    "cloudscheduler.jobs.create",
    "cloudscheduler.jobs.delete",
    "cloudscheduler.jobs.get",
    "cloudscheduler.jobs.update",
    "monitoring.alertPolicies.create",
    "monitoring.alertPolicies.delete",
    "monitoring.alertPolicies.get",
    "monitoring.alertPolicies.update",
)


def sheet(system: System) -> bytes:
    """The sheet, in Markdown. Every value of the spec in a command is one quoted word of it."""
    return ("\n".join(_lines(system)) + "\n").encode()


def _lines(system: System) -> Iterator[str]:
    project, region = str(system.settings["project"]), str(system.settings["region"])
    bucket = system.root.removeprefix("gs://").partition("/")[0]
    yield from (
        f"# Before `{system.name}` is deployed to Vertex AI",
        "",
        "An administrator runs this once, after reading it. Nothing here is run by ctc. Each role lists the",
        "permissions that these pipelines use, and no other; each grant says why it is there.",
        "",
        "## Services",
        "```sh",
        _command("services", "enable", *(f"{name}.googleapis.com" for name in _apis(system)), f"--project={project}"),
        "```",
        "",
        f"## The bucket, in the same region, with its old versions kept: `{bucket}`",
        "```sh",
        _command(
            *("storage", "buckets", "create", f"gs://{bucket}", f"--project={project}", f"--location={region}"),
            *("--uniform-bucket-level-access", "--public-access-prevention"),
        ),
        _command("storage", "buckets", "update", f"gs://{bucket}", "--versioning"),
        "```",
        "",
        "## Accounts and roles",
        "```sh",
    )
    for account in identities.accounts(system).values():
        name = account["serviceAccount"]["displayName"]
        words = ("iam", "service-accounts", "create", account["accountId"], f"--display-name={name}")
        yield _command(*words, f"--project={project}")
    for role in identities.roles(system).values():
        yield _role(project, role["roleId"], role["role"]["title"], role["role"]["includedPermissions"])
    yield _role(project, identities.role_id(system, "deployer"), f"{system.name} deployer", _deployer(system))
    yield "```"
    yield ""
    yield "## Grants"
    yield "```sh"
    for grant in identities.grants(system):
        yield f"# {grant['why']}"
        yield _grant(project, grant)
    yield "```"
    yield ""
    yield from _by_hand(system, project)


def _apis(system: System) -> list[str]:
    names = set(_APIS)
    if identities.needs_waker(system):
        names |= {"workflows", "workflowexecutions"}
    if topics(system):
        names |= {"eventarc", "pubsub"}
    if staleness_seconds(system) is not None:
        names |= {"cloudscheduler", "monitoring"}
    if any("secretmanager" in grant["resource"] for grant in identities.grants(system)):
        names.add("secretmanager")
    return sorted(names)


def _deployer(system: System) -> list[str]:
    permissions = {*_DEPLOYER}
    if identities.needs_waker(system):
        permissions |= {*_DEPLOYER_OF_EVENTS}
    if staleness_seconds(system) is not None:
        permissions |= {*_DEPLOYER_OF_ALARMS}
    return sorted(permissions)


def _by_hand(system: System, project: str) -> Iterator[str]:
    yield "## By hand"
    yield f"- Whoever deploys needs the role `{identities.role_id(system, 'deployer')}`, may write below"
    yield f"  `{system.root}/support/`, and may act as the accounts above."
    yield "- Vertex AI's own agents pull the images: give them `roles/artifactregistry.reader` where a registry is in"
    yield "  another project."
    if system.settings.get("kms_key"):
        yield "- The agents of Vertex AI and of Cloud Storage need `roles/cloudkms.cryptoKeyEncrypterDecrypter` on"
        yield f"  `{system.settings['kms_key']}`."
    if system.settings.get("network"):
        yield f"- `{system.settings['network']}` needs private services access, for the jobs to be peered with it."
    for accelerator, count in sorted(_accelerators(system).items()):
        yield f"- The region's quota for custom training must allow {count} of `{accelerator}`: it starts low."
    for server in system.servers:
        if system.settings.get("network"):
            yield f"- The endpoint `{serving.display_name(system, server)}` is reached by Private Service Connect:"
            yield "  its callers need a forwarding rule to the service attachment that it has once a model is deployed."
        if server.capture:
            yield f"- The dataset of `{serving.table(system, server)}` must exist, and that table must not: the"
            yield "  endpoint makes it, for which Vertex AI's agent needs `roles/bigquery.dataEditor` on the dataset."
    for event, topic in topics(system).items():
        yield f"- The topic `{topic}` of the event `{event}` must exist, and be in the project `{project}`."
    if staleness_seconds(system) is not None:
        yield "- The alert policy of the staleness alarm needs your notification channels."


def _accelerators(system: System) -> dict[str, int]:
    """How many accelerators one step may hold at once, by the service's name of them."""
    found: dict[str, int] = {}
    for step in system.train.steps():
        machine = smallest(step.resources)
        if machine is not None and machine.gpus:
            found[machine.accelerator] = max(found.get(machine.accelerator, 0), machine.gpus * step.nodes)
    return found


def _role(project: str, role: str, title: str, permissions: list[str]) -> str:
    words = ("iam", "roles", "create", role, f"--project={project}", f"--title={title}", "--stage=GA")
    return _command(*words, f"--permissions={','.join(permissions)}")


def _grant(project: str, grant: Mapping[str, Any]) -> str:
    service, _, name = grant["resource"].removeprefix("//").partition(".googleapis.com/")
    own = name.rpartition("/")[2]
    words = [*_COMMANDS[service], "add-iam-policy-binding", f"gs://{own}" if service == "storage" else own]
    words += [f"--member={grant['binding']['members'][0]}", f"--role={grant['binding']['role']}"]
    condition = grant["binding"].get("condition")
    if condition is not None:
        words.append(f"--condition=title={condition['title']},expression={condition['expression']}")
    elif service in ("cloudresourcemanager", "iam"):
        words.append("--condition=None")
    return _command(*words, *([] if service in ("storage", "cloudresourcemanager") else [f"--project={project}"]))


def _command(*words: str) -> str:
    return shlex.join(("gcloud", *words))
