"""The service's limits, as data with their sources, and what a system would break of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta

from ctc.compiler.ir import Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.targets import gpus
from ctc.targets.azureml import events, identities, schedules, serving
from ctc.targets.azureml.machines import GPU_SIZES, SIZES, smallest
from ctc.targets.azureml.pipeline import key, tries_seconds
from ctc.targets.azureml.places import WORKFLOW_NAME, datastore, group_id, sources
from ctc.targets.azureml.tags import tags
from ctc.value import Value, frozen


@frozen
class Limit(Value):
    """`quote` is what the source says, `as_of` the month in which it was read."""

    value: int
    source: str
    quote: str
    as_of: str = "2026-11"


_RESOURCES = "Azure Machine Learning, service limits (resource-limits-capacity)"
_QUOTAS = "Azure Machine Learning, manage quotas (how-to-manage-quotas)"
_ARM = "Azure/azure-resource-manager-schemas, 2026-05-01/Microsoft.MachineLearningServices.json"
_SDK = "azure-ai-ml 1.35.2, constants/_endpoint.py and _schema/_endpoint/online/online_endpoint.py"
_NAMES = "Azure Resource Manager, naming rules and restrictions (resource-name-rules)"

LIMITS: Mapping[str, Limit] = {
    "experiment name": Limit(256, _RESOURCES, "Experiments: Name | 256 characters"),
    "run id": Limit(256, _RESOURCES, "Runs: RunId/ParentRunId | 256 characters"),
    "tag value": Limit(1000, _RESOURCES, "Runs: Length of tag value | 1,000 characters"),
    "inputs": Limit(200, _RESOURCES, "Runs: Number of input datasets | 200"),
    "outputs": Limit(20, _RESOURCES, "Runs: Number of output datasets | 20"),
    "job lifetime": Limit(21 * 86400, _QUOTAS, "Job lifetime | 21 days"),
    "job lifetime, low priority": Limit(7 * 86400, _QUOTAS, "Job lifetime on a low-priority node | 7 days"),
    "component name": Limit(255, _ARM, "^[a-zA-Z0-9][a-zA-Z0-9\\-_]{0,254}$"),
    "workflow name": Limit(WORKFLOW_NAME, _NAMES, "Microsoft.Logic: workflows | resource group | 1-43"),
    "identity name": Limit(128, _NAMES, "Microsoft.ManagedIdentity: userAssignedIdentities | resource group | 3-128"),
    "endpoint name": Limit(serving.ENDPOINT_NAME, _SDK, "MAX_NAME_LENGTH = 32"),
    "mirrored": Limit(serving.MIRROR, _SDK, "value needs to be less than or equal to 50%"),
    "shared": Limit(1, _SDK, "traffic = fields.Dict(keys=fields.Str(), values=fields.Int()"),
    "word": Limit(131_072, "Linux, execve(2)", "MAX_ARG_STRLEN (defined as the constant value 131072)"),
}

ATTEMPT = len("20240212T060000Z-7a8948d9")
"""What an attempt adds to the name of its job."""

_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_SETTINGS: tuple[tuple[str, re.Pattern[str], str, str], ...] = (
    ("subscription", re.compile(_GUID), "the id of a subscription", "write the id, not the name: `az account show`"),
    (
        "resource_group",
        re.compile(r"[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]"),
        "a name of a resource group",
        "write letters, digits and `_.()-`, 90 at most, no full stop at the end",
    ),
    (
        "workspace",
        re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}"),
        "a name of a workspace",
        "write 3 to 33 letters, digits, `_` and `-`, the first no `_` or `-`",
    ),
    (
        "compute",
        re.compile(r"[a-zA-Z](?!.*-\d+$)[a-zA-Z0-9-]{2,23}"),
        "a name of a compute cluster",
        "write 3 to 24 letters, digits and hyphens, a letter first, no number after the last hyphen",
    ),
    (
        "datastore",
        re.compile(r"[a-z0-9_]{1,255}"),
        "a name of a datastore",
        "write lower-case letters, digits and underscores",
    ),
    (
        "identity",
        re.compile(_GUID),
        "the client id of a managed identity",
        "write what `az identity show --query clientId` tells of the cluster's identity",
    ),
    (
        "key_vault",
        re.compile(r"[a-zA-Z](?!.*--)[a-zA-Z0-9-]{1,22}[a-zA-Z0-9]"),
        "a name of a key vault",
        "write the vault's name, 3 to 24 letters, digits and hyphens, not its address",
    ),
)
_EXPRESSION = ("${{", "$[[")
_TOPIC_NAME = re.compile(r"[A-Za-z0-9-]{3,50}")


def limits(system: System) -> tuple[Diagnostic, ...]:
    """What this system would meet at the service, one diagnostic a root cause, without spans."""
    settings = tuple(_settings(system))
    if settings:
        return settings
    found = [*_names(system), *_schedules(system), *_events(system), *_sources(system), *_servers(system)]
    for pipeline in system.pipelines:
        for step in pipeline.steps():
            found += _step(step)
    unique = {(item.code, item.path): item for item in reversed(found)}
    return tuple(item for item in found if unique[item.code, item.path] is item)


def _error(code: str, message: str, path: str, help: str = "") -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _source(limit: Limit) -> str:
    return f"{limit.source}, {limit.as_of}"


def _settings(system: System) -> Iterator[Diagnostic]:
    for name, pattern, what, advice in _SETTINGS:
        given = system.settings.get(name)
        if given is not None and not pattern.fullmatch(str(given)):
            yield _error("CT360", f"`{given}` is not {what}", f"targets.azureml.{name}", advice)
    if not system.settings.get("key_vault") and any(step.secrets for step in system.train.steps()):
        message = "nothing says which key vault holds the secrets of `training.env`"
        yield _error("CT360", message, "targets.azureml", "write `key_vault: NAME`, that of the workspace")


def _names(system: System) -> Iterator[Diagnostic]:
    longest = f"{max((item.name for item in system.pipelines), key=len)}-{'x' * ATTEMPT}"
    for name, limit in (
        (longest, LIMITS["run id"]),
        (events.component_name(system), LIMITS["component name"]),
        (identities.waker_name(system), LIMITS["identity name"]),
        *((value, LIMITS["tag value"]) for value in tags(system).values()),
    ):
        if len(name) > limit.value:
            message = (
                f"the name {system.name} makes a name of {len(name)} characters, of {limit.value} that there may be"
            )
            yield _error("CT361", message, "name", f"shorten it; source: {_source(limit)}")
            return
    for pipeline in system.pipelines:
        for step in pipeline.steps():
            names = [name for name, _ in (*step.inputs, *step.imports)]
            if len({key(name) for name in names}) < len(names):
                yield _error(
                    "CT362",
                    f"two inputs of {step.name} differ by `-` and `_` only, which the service cannot tell apart",
                    "training.inputs",
                    "rename one of them",
                )
            if len(step.outputs) + 2 > LIMITS["outputs"].value:
                message = f"{step.name} has {len(step.outputs)} outputs beside its result and its checkpoints, of "
                message += f"{LIMITS['outputs'].value} that there may be"
                yield _error("CT362", message, step.origin, f"source: {_source(LIMITS['outputs'])}")
            if len(names) > LIMITS["inputs"].value:
                yield _error(
                    "CT362",
                    f"{step.name} has {len(names)} inputs, of {LIMITS['inputs'].value} that there may be",
                    "training.inputs",
                    f"put several into one folder; source: {_source(LIMITS['inputs'])}",
                )


def _schedules(system: System) -> Iterator[Diagnostic]:
    every = system.wakes.every
    if every < timedelta(minutes=1) or every % timedelta(minutes=1):
        yield _error(
            "CT363",
            f"a schedule recurs in whole minutes, not every {every.total_seconds():g} seconds",
            "trigger_policy.wake_every",
            "write whole minutes, for example 5m",
        )
    for name, cron, zone in system.wakes.crons:
        try:
            schedules.dialect(cron, zone)
        except ValueError as error:
            yield _error(
                "CT368",
                f"no schedule of Azure Machine Learning fires as `{cron}` does in {zone}: {error}",
                system.cron_path(name),
                "name a zone with the same clocks, such as UTC; list days of the month, or days of the week",
            )


def _events(system: System) -> Iterator[Diagnostic]:
    own = group_id(system).lower()
    for event, topic in events.topics(system).items():
        match = events.TOPIC.fullmatch(topic)
        path = f"targets.azureml.events.{event}"
        if match is None or (match["kind"] == "topics" and not _TOPIC_NAME.fullmatch(match["name"])):
            advice = "write the name of a topic of the resource group, or the whole id of a topic or system topic"
            yield _error("CT369", f"`{topic}` is no Event Grid topic", path, advice)
        elif match["group"].lower() != own:
            message = "the topic is in another resource group, where a deployment of this one makes no subscription"
            yield _error("CT369", message, path, "name a topic of the resource group, which forwards its events")


def _sources(system: System) -> Iterator[Diagnostic]:
    for uri in sources(system):
        found = datastore(uri)
        if found is not None and ("'" in found[1] or not found[1].isprintable()):
            message = f"{uri} holds a character that the condition on its role assignment cannot"
            yield _error("CT360", message, "sources", "name a path without `'` and without control characters")


def _step(step: Step) -> Iterator[Diagnostic]:
    place = step.origin if step.origin.startswith("serving.") else "training"
    path = "prepare.resources" if step.name == "prepare" else f"{place}.resources"
    if smallest(step.resources) is None:
        asked = f"{step.resources.cpu:g} vCPUs, {step.resources.memory_bytes / 1024**3:g} GiB and "
        asked += f"{step.resources.disk_bytes / 1024**3:g} GiB of disk"
        biggest = SIZES[-1]
        advice = f"the biggest is {biggest.name} with {biggest.cpu} vCPUs, {biggest.memory_gib} GiB and "
        advice += f"{biggest.disk_gib} GiB of temporary storage"
        if step.resources.gpus:
            asked += gpus.asked(step.resources)
            advice = gpus.advice(step.resources, ((size.gpu_type, size.gpus) for size in GPU_SIZES))
        yield _error("CT364", f"no listed VM size has {asked}", path, advice)
    lifetime = LIMITS["job lifetime" if step.spot is None else "job lifetime, low priority"]
    if tries_seconds(step) > lifetime.value:
        yield _error(
            "CT365",
            f"all tries of {step.name} take {tries_seconds(step)} seconds: a job lives {lifetime.value}",
            "training.timeout",
            f"source: {_source(lifetime)}",
        )
    for name, value in step.environment:
        if any(sign in value for sign in _EXPRESSION):
            path = "training.hyperparameters" if name == "CTC_HYPERPARAMETERS" else f"training.env.{name}"
            yield _error(
                "CT366",
                f"{name} holds the start of an expression, `${{{{` or `$[[`, which the service would evaluate",
                path,
                "put the text into a file of the image",
            )
    for text in (*step.apply, *step.argv):
        if "\0" in text:
            yield _error("CT367", f"a word of {step.name}'s command holds a NUL, which no command can", step.origin)
        elif len(text.encode()) >= LIMITS["word"].value:
            message = f"a word of {step.name}'s command is {len(text.encode())} bytes, Linux takes "
            message += str(LIMITS["word"].value - 1)
            yield _error("CT367", message, step.origin, "put the text into a file of training.code")


def _servers(system: System) -> Iterator[Diagnostic]:
    for server in system.servers:
        path = f"serving.{server.name}"
        if serving.machine(server) is None:
            asked = f"{server.resources.cpu:g} vCPUs and {server.resources.memory_bytes / 1024**3:g} GiB"
            advice = f"the biggest that hosts is {serving.HOSTING[-1].name}"
            yield _error("CT364", f"no VM size that hosts has {asked}", f"{path}.resources", advice)
        if server.count < 1:
            message = "a managed deployment of Azure ML runs one instance at least"
            yield _error("CT382", message, f"{path}.instances.min", "write 1")
    for number, step in enumerate(() if system.rollout is None else system.rollout.steps):
        path = f"rollout.steps.{number}.{step.kind}"
        if abs(step.share * 100 - serving.percent(step.share)) > 1e-9:
            message = f"Azure ML shares traffic in whole per cent, not {step.share * 100:g}%"
            yield _error("CT383", message, path, f"write a whole per cent; source: {_source(LIMITS['shared'])}")
        elif step.kind == "mirror" and serving.percent(step.share) > LIMITS["mirrored"].value:
            message = f"Azure ML mirrors {LIMITS['mirrored'].value}% of the traffic at most, not {step.share * 100:g}%"
            yield _error("CT384", message, path, f"source: {_source(LIMITS['mirrored'])}")
