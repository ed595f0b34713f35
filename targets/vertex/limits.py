"""What Vertex AI would refuse or misread, found while compiling."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from ctc.compiler.bundle import canonical
from ctc.compiler.ir import Pipeline, Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.targets import gpus, kfp_words
from ctc.targets.kfp_ir import PIPELINE_NAME
from ctc.targets.kfp_words import ARGUMENT_BYTES, Limit, Service
from ctc.targets.vertex import check, events, schedules, serving
from ctc.targets.vertex.machines import GPU_TYPES, MACHINE_TYPES, disk_gb, smallest
from ctc.targets.vertex.pipeline import job_seconds, launches_job, payload, pipeline_job

_V1 = "aiplatform.v1:GoogleCloudAiplatformV1"


def _stated(value: int, field: str, said: str, revision: str = "20261106") -> Limit:
    return Limit(value, f"discovery document {field}, revision {revision}", said=said, field=field)


LIMITS: Mapping[str, Limit] = {
    "pipeline name": Limit(
        128, "kfp 2.17 dsl/utils.py", said="A valid pipeline name should match ^[a-z0-9][a-z0-9-]{0,127}$."
    ),
    "display name": _stated(
        check.NAME_LENGTH,
        f"{_V1}Schedule.displayName",
        "The name can be up to 128 characters long and can consist of any UTF-8 characters.",
    ),
    "label": Limit(
        63,
        "Google Cloud, resource-manager/docs/labels-overview, requirements for labels; Vertex AI takes 64",
        said="Values can be empty, and have a maximum length of 63 characters.",
    ),
    "task cpu": Limit(
        96, "Vertex AI, pipelines/machine-types (Japanese), CPU_LIMIT", said="最大で 96 個の CPU を指定できます。"
    ),
    "task memory": Limit(
        624,
        "Vertex AI, pipelines/machine-types (Japanese), MEMORY_LIMIT; read as GiB",
        said="最大 624 GB がサポートされます。",
    ),
    "environment": _stated(100, f"{_V1}ContainerSpec.env", "Maximum limit is 100."),
    "disk": _stated(
        64_000,
        "notebooks.v2:DataDisk.diskSizeGb",
        "The size of the disk in GB attached to this VM instance, up to a maximum of 64000 GB (64 TB).",
        "20261006",
    ),
    "runtime": _stated(7 * 86_400, f"{_V1}Scheduling.timeout", "The default is 7 days."),
    "replicas": _stated(
        1, f"{_V1}DedicatedResources.minReplicaCount", "This value must be greater than or equal to 1."
    ),
    "workflow": Limit(63, "Eventarc, the id of a trigger; Workflows takes 64; no sentence was at hand"),
    "workflow memory": Limit(
        512 * 1024,
        "Workflows, quotas (Japanese), as quoted by qiita.com/tetutetu214/items/7fe89b86ee0238f284f5; in bytes",
        said="データ サイズ 512 KB 変数、引数、イベントの累積最大サイズ",
    ),
}
"""Counts, lengths in characters, runtimes in seconds. The longest runtime is a default: no maximum is published."""

PAYLOAD_BYTES = ARGUMENT_BYTES.value * 3 // 4
"""Of the job that a launcher is given in a word: what is left takes the executor input, once for each pool."""

SERVICE = Service("Vertex AI")

_WORKFLOW = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")

_SETTINGS: tuple[tuple[str, re.Pattern[str], str, str], ...] = (
    (
        "project",
        re.compile(r"([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"),
        "the id of a Google Cloud project",
        "write the id, not the number or the name: `acme-ml`",
    ),
    ("region", re.compile(r"[a-z]+-[a-z]+[0-9]+"), "a region", "write for example `europe-west4`"),
    (
        "service_account",
        check.SERVICE_ACCOUNT,
        "the address of a service account",
        "write for example `training@acme-ml.iam.gserviceaccount.com`: its name has 6 to 30 characters",
    ),
    (
        "network",
        check.NETWORK,
        "the full name of a network",
        "write `projects/NUMBER/global/networks/NAME`, with the number of the project",
    ),
    (
        "kms_key",
        check.KMS_KEY,
        "the full name of a key",
        "write `projects/P/locations/L/keyRings/R/cryptoKeys/K`",
    ),
)


def limits(system: System) -> tuple[Diagnostic, ...]:
    """Every limit of Vertex AI that this system would meet."""
    settings = tuple(_settings(system))
    if settings:
        return settings
    crons = (*_every(system), *_crons(system))
    found = [
        *_names(system),
        *(crons or _alike(system)),
        *_memory(system),
        *_outs(system),
        *_servers(system),
    ]
    for pipeline in system.pipelines:
        for step in pipeline.steps():
            found += [*_machine(step), *_time(step), *kfp_words.words(step, SERVICE)]
            found += [*kfp_words.environment(step, SERVICE), *_variables(step)]
            found += kfp_words.document(step, json.dumps(step.document), SERVICE)
        found += _payloads(system, pipeline)
    return tuple(dict.fromkeys(found))


def _error(code: str, message: str, path: str, help: str) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _settings(system: System) -> Iterator[Diagnostic]:
    for key, pattern, what, advice in _SETTINGS:
        value = system.settings.get(key)
        if value is not None and not pattern.fullmatch(str(value)):
            yield _error("CT370", f"`{value}` is not {what}", f"targets.vertex.{key}", advice)
    if not system.root.startswith("gs://"):
        message = f"Vertex AI reads and writes Cloud Storage only, not {system.root}"
        yield _error("CT371", message, "targets.vertex.bucket", "name a bucket of Cloud Storage")


def _outs(system: System) -> Iterator[Diagnostic]:
    for out, path in system.outs:
        if "://" not in out or out.startswith("gs://"):
            continue
        message = f"Vertex AI reads and writes Cloud Storage only, not {out}"
        yield _error("CT371", message, path, "name a place in it, by a variable that the target's section sets")


def _names(system: System) -> Iterator[Diagnostic]:
    for pipeline in system.pipelines:
        if not PIPELINE_NAME.fullmatch(pipeline.name):
            yield _error(
                "CT372",
                f"Vertex AI refuses the pipeline name `{pipeline.name}`",
                "name",
                f"at most {LIMITS['pipeline name'].value} lower-case letters, digits and hyphens, with `-train` and "
                "`-wake` and the environment at the end",
            )
            return
    for event in events.topics(system):
        if not _WORKFLOW.fullmatch(events.workflow_id(system, event)):
            yield _error(
                "CT379",
                f"Workflows refuses the name `{events.workflow_id(system, event)}`",
                f"targets.vertex.events.{event}",
                f"shorten the event's name: {LIMITS['workflow'].value} characters are the most, with what is before it",
            )
    for name, _, _ in system.wakes.crons:
        length = len(f"{system.wake.name}-clocks-{name}-2")
        if length > LIMITS["display name"].value:
            message = f"the schedule of `{name}` has a name of {length} characters, Vertex AI takes "
            message += str(LIMITS["display name"].value)
            path = system.cron_path(name).removesuffix(".schedule")
            yield _error("CT372", message, path, "shorten the name of the trigger")


def _every(system: System) -> Iterator[Diagnostic]:
    period = system.wakes.every
    if _refused(functools.partial(schedules.every, period)):
        near = schedules.nearest(period)
        yield _error(
            "CT373",
            f"Vertex AI cannot wake every {_told(period)}: its schedules are crons, which start anew each day",
            "trigger_policy.wake_every",
            f"write whole minutes that divide a day, or 7d; the next shorter one is {_told(near)}",
        )


def _crons(system: System) -> Iterator[Diagnostic]:
    for name, cron, zone in system.wakes.crons:
        reason = _refused(functools.partial(schedules.dialect, cron, zone))
        if reason:
            yield _error(
                "CT374",
                f"no schedule of Vertex AI fires as `{cron}` does: {reason}",
                f"{system.cron_path(name)}.cron",
                "list the days of the month, or the days of the week, and leave the other field `*`",
            )


def _alike(system: System) -> Iterator[Diagnostic]:
    """Of two schedules called alike the service would keep one. Only for crons of which each has its schedules."""
    owners: dict[str, str] = {}
    for own, owner, _ in schedules.named(system):
        if own in owners:
            other = f"`{owners[own]}`" if owners[own] else "`wake_every`"
            yield _error(
                "CT372",
                f"a schedule of {other} and one of `{owner}` would both be called `{system.wake.name}-{own}`",
                system.cron_path(owner).removesuffix(".schedule"),
                "rename it: the schedules of `x` are `x`, `x-2` and `clocks-x`, and the one of `wake_every` is `every`",
            )
        owners[own] = owner


def _memory(system: System) -> Iterator[Diagnostic]:
    """A workflow holds the wake pipeline's job twice, as it was fetched and as it is sent."""
    size = 2 * len(canonical(pipeline_job(system, system.wake))) if events.topics(system) else 0
    if size > LIMITS["workflow memory"].value:
        yield _error(
            "CT379",
            f"the wake pipeline is {size // 2} bytes, too many for the workflow that starts it at an event",
            "targets.vertex.events",
            f"make the longest lists of the spec shorter: {LIMITS['workflow memory'].value // 2} bytes fit",
        )


def _refused(ask: Callable[[], object]) -> str:
    try:
        ask()
    except ValueError as error:
        return str(error)
    return ""


def _told(period: timedelta) -> str:
    seconds = int(period.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _machine(step: Step) -> Iterator[Diagnostic]:
    place = step.origin if step.origin.startswith("serving.") else "training"
    path = "prepare.resources" if step.name == "prepare" else f"{place}.resources"
    biggest = MACHINE_TYPES[-1]
    if smallest(step.resources) is None:
        asked = f"{step.resources.cpu:g} vCPUs and {step.resources.memory_bytes / 1024**3:g} GiB"
        advice = f"the biggest is {biggest.name} with {biggest.cpu} vCPUs and {biggest.memory_gib:g} GiB"
        if step.resources.gpus:
            asked += gpus.asked(step.resources)
            advice = gpus.advice(step.resources, ((item.gpu_type, item.gpus) for item in GPU_TYPES))
        yield _error("CT375", f"no listed machine type has {asked}", path, advice)
    if disk_gb(step.resources) > LIMITS["disk"].value:
        message = f"a job's disk has {LIMITS['disk'].value} GB at most, not {disk_gb(step.resources)}"
        yield _error("CT376", message, f"{path}.disk", "keep what is bigger in the bucket")


def _time(step: Step) -> Iterator[Diagnostic]:
    if launches_job(step) and job_seconds(step) > LIMITS["runtime"].value:
        yield _error(
            "CT377",
            f"all tries of `{step.name}` may take {job_seconds(step)} seconds, a job {LIMITS['runtime'].value}",
            "training.timeout",
            "lower training.timeout or training.retries; work goes on from the checkpoints",
        )


def _servers(system: System) -> Iterator[Diagnostic]:
    for server in system.servers:
        path = f"serving.{server.name}"
        if serving.machine(server) is None:
            biggest = MACHINE_TYPES[-1]
            asked = f"{server.resources.cpu:g} vCPUs and {server.resources.memory_bytes / 1024**3:g} GiB"
            advice = f"the biggest is {biggest.name} with {biggest.cpu} vCPUs and {biggest.memory_gib:g} GiB"
            yield _error("CT375", f"no listed machine type has {asked}", f"{path}.resources", advice)
        if server.count < LIMITS["replicas"].value:
            message = f"an endpoint of Vertex AI keeps {LIMITS['replicas'].value} replica at least"
            yield _error("CT380", message, f"{path}.instances.min", "write 1")
        length = len(f"{serving.display_name(system, server)}-candidate")
        if length > LIMITS["display name"].value:
            message = f"the endpoint of `{server.name}` has a name of {length} characters, Vertex AI takes "
            message += str(LIMITS["display name"].value)
            yield _error("CT372", message, path, "shorten the name of the server")
    for number, step in enumerate(() if system.rollout is None else system.rollout.steps):
        if step.kind == "traffic" and abs(step.share * 100 - serving.percent(step.share)) > 1e-9:
            message = f"Vertex AI shares traffic in whole per cent, not {step.share * 100:g}%"
            yield _error("CT381", message, f"rollout.steps.{number}.traffic", "write a whole per cent, 1% or more")


def _variables(step: Step) -> Iterator[Diagnostic]:
    if len(step.environment) > LIMITS["environment"].value:
        message = f"`{step.name}` has {len(step.environment)} variables, a container {LIMITS['environment'].value}"
        yield _error("CT378", message, "training.env", "put them into a file of training.code")


def _payloads(system: System, pipeline: Pipeline) -> Iterator[Diagnostic]:
    if not any(launches_job(step) for step in pipeline.steps()):
        return
    origins = {f"exec-{step.name}": step for step in pipeline.steps()}
    for label, executor in pipeline_job(system, pipeline)["pipelineSpec"]["deploymentSpec"]["executors"].items():
        job = payload(executor)
        size = 0 if job is None else len(canonical(job))
        if size > PAYLOAD_BYTES:
            step = origins[label]
            yield _error(
                "CT316",
                f"the job of step `{step.name}` is {size} bytes, and Vertex AI hands it over as one word of a command",
                step.origin,
                f"make its command or its environment shorter: {PAYLOAD_BYTES} bytes fit",
            )
