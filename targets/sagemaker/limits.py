"""What a system would break of the services' limits, each with the place of the spec that causes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.compiler.ir import Runs, Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.targets import gpus
from ctc.targets.sagemaker import identities, names, resources, serving
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.machines import GPU_TYPES, INSTANCE_TYPES, smallest, volume_gib
from ctc.targets.sagemaker.names import Named
from ctc.targets.sagemaker.pipeline import Definition, definitions, is_training, support_uri, tries_seconds
from ctc.targets.sagemaker.schedules import dialect, own_names
from ctc.targets.sagemaker.watch import alarms, watched

ATTEMPT_LENGTH = 25
"""`20130310T060000Z-1f0e9d8c`, the longest that an attempt's id gets."""
JOB_LENGTH = 63
ANY_DIGEST = "0" * 64
"""In place of the sha256 of the uploaded files, which is as long and needs all of them written."""


def limits(system: System) -> tuple[Diagnostic, ...]:
    """What this system would meet at the service, one diagnostic a root cause, without spans."""
    settings = (*_settings(system), *_crons(system))
    if settings:
        return settings
    found = [
        *_names(system),
        *_schedule(system),
        *_policy(system),
        *_machines(system),
        *_servers(system),
        *_outs(system),
    ]
    origins = {step.name: step for pipeline in system.pipelines for step in pipeline.steps()}
    for kind, definition in definitions(system, support_uri(system, ANY_DIGEST)).items():
        found += _definition(kind, definition)
        for step in jobs(definition):
            found += _job(step, origins[step["Name"]], definition)
    unique = {(item.code, item.path): item for item in reversed(found)}
    return tuple(item for item in found if unique[item.code, item.path] is item)


def jobs(definition: Definition) -> Iterator[dict[str, Any]]:
    """Every step of a definition that starts a job, those inside Conditions included."""
    for step in definition["Steps"]:
        if step["Type"] == "Condition":
            yield from jobs({"Steps": step["Arguments"].get("IfSteps", [])})
            yield from jobs({"Steps": step["Arguments"].get("ElseSteps", [])})
        else:
            yield step


def _error(code: str, message: str, path: str, help: str = "") -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _settings(system: System) -> Iterator[Diagnostic]:
    for key, advice in (
        ("region", "write the region, for example `region: eu-north-1`"),
        ("role", "write the role's ARN, for example `role: arn:aws:iam::123456789012:role/ct`"),
    ):
        if not system.settings.get(key):
            yield _error("CT340", f"sagemaker needs `{key}`", "targets.sagemaker", advice)
    role = system.settings.get("role")
    if role and not names.ROLE.match(str(role)):
        yield _error(
            "CT341",
            f"{role} is not the ARN of an IAM role",
            "targets.sagemaker.role",
            "write arn:aws:iam::<12 digits>:role/<name>",
        )
    kms_key = system.settings.get("kms_key")
    if kms_key and not names.KEY.fullmatch(str(kms_key)):
        yield _error(
            "CT341",
            f"{kms_key} is not the ARN of a key",
            "targets.sagemaker.kms_key",
            "write arn:aws:kms:<region>:<12 digits>:key/<id>; an alias cannot be named in a policy",
        )
    for key, limit in (("subnets", "subnets"), ("security_groups", "security groups")):
        count = len(system.settings.get(key) or ())
        if count > LIMITS[limit].value:
            yield _over("CT347", f"targets.sagemaker.{key}", limit, count, f"{limit} of a job")
    if bool(system.settings.get("subnets")) != bool(system.settings.get("security_groups")):
        yield _error(
            "CT340",
            "sagemaker needs `subnets` and `security_groups` together",
            "targets.sagemaker",
            "write both, or neither: a job in a VPC has at least one of each",
        )
    for event, heard in resources.heard(system).items():
        if not re.fullmatch(r"[A-Za-z0-9_]*", heard.dedupe_by):
            yield _error(
                "CT341",
                f"the field {heard.dedupe_by!r} of {event} cannot be named in the state machine that hears it",
                f"targets.sagemaker.events.{event}",
                "dedupe by a field whose name has letters, digits and underscores only",
            )
    if not system.root.startswith("s3://"):
        yield _error(
            "CT342",
            f"sagemaker reads and writes S3 only, not {system.root}",
            "targets.sagemaker.bucket",
            "name an S3 bucket",
        )


def _outs(system: System) -> Iterator[Diagnostic]:
    for out, path in system.outs:
        if "://" not in out or out.startswith("s3://"):
            continue
        message = f"sagemaker reads and writes S3 only, not {out}"
        yield _error("CT342", message, path, "name a place in S3, by a variable that the target's section sets")


def named(system: System) -> list[Named]:
    """Every resource that the bundle makes, with its name and the place of the spec that it is called after."""
    kinds = (*("wake", "train", "record"), *names.scores(system))
    made = [Named("pipeline name", names.pipeline_name(system, kind), "name") for kind in kinds]
    made += [
        Named("role name", names.role_name(system, role), "name")
        for role in identities.roles(system)
        if role != "pipeline"
    ]
    made.append(Named("policy name", names.policy_name(system), "name"))
    made.append(Named("rule name", names.rule_name(system, "record"), "name"))
    made.append(Named("schedule name", names.schedule_name(system, "wake"), "name"))
    for trigger, cron, _ in system.wakes.crons:
        for own in own_names(trigger, cron):
            path = f"{system.cron_path(trigger)}.cron"
            made.append(Named("schedule name", names.schedule_name(system, own), path))
    for event in resources.heard(system):
        path = f"targets.sagemaker.events.{event}"
        made.append(Named("rule name", names.rule_name(system, f"on-{event}"), path))
        made.append(Named("state machine name", names.machine_name(system, f"on-{event}"), path))
    for own in watched(system):
        made.append(Named("state machine name", names.machine_name(system, f"watch-{own}"), "name"))
        made.append(Named("schedule name", names.schedule_name(system, f"watch-{own}"), "name"))
    made += [Named("alarm name", names.alarm_name(system, own), "name") for own in alarms(system)]
    for server in serving.hosted(system):
        path = f"serving.{server.name}"
        made.append(Named("model name", names.model_name(system, server.name), path))
        made.append(Named("endpoint name", names.endpoint_name(system, server.name), path))
    for body in serving.documents(system).values():
        if "AlarmName" in body:
            made.append(Named("alarm name", body["AlarmName"], "rollout.limits"))
    made.append(Named("topic name", names.topic_name(system), "name"))
    made.append(Named("group name", names.group_name(system), "name"))
    return made


def _names(system: System) -> Iterator[Diagnostic]:
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", system.name):
        yield _error("CT343", f"{system.name} is no name for a pipeline: letters, digits and inner hyphens", "name")
    every = named(system)
    for kind, limit in names.LENGTHS.items():
        longest = max((item.name for item in every if item.kind == kind), key=len, default="")
        if len(longest) > limit:
            yield _error(
                "CT343",
                f"the {kind} {longest} has {len(longest)} characters, the service takes {limit}",
                "name",
                f"shorten the name, or the environment's, by {len(longest) - limit}",
            )
    for first, second in names.meeting(every):
        yield _error(
            "CT355",
            f"{second.path} and {first.path} would both make the {first.kind.removesuffix(' name')} {first.name}",
            second.path,
            "give one of them another name",
        )


def _schedule(system: System) -> Iterator[Diagnostic]:
    every = system.wakes.every
    if every < timedelta(minutes=1) or every % timedelta(minutes=1):
        yield _error(
            "CT344",
            f"EventBridge Scheduler wakes in whole minutes, not every {every.total_seconds():g} seconds",
            "trigger_policy.wake_every",
            "write whole minutes, for example 5m",
        )
    for trigger, cron, zone in system.wakes.crons:
        if len(zone) > LIMITS["schedule zone"].value:
            path = f"{system.cron_path(trigger)}.timezone"
            yield _over("CT344", path, "schedule zone", len(zone), "characters in the time zone")
        for expression in dialect(cron):
            if len(expression) > LIMITS["schedule expression"].value:
                path = f"{system.cron_path(trigger)}.cron"
                yield _over("CT344", path, "schedule expression", len(expression), f"characters in {expression}")


def _crons(system: System) -> Iterator[Diagnostic]:
    for trigger, cron, _ in system.wakes.crons:
        try:
            dialect(cron)
        except ValueError as error:
            yield _error(
                "CT356",
                f"EventBridge Scheduler cannot say {cron!r}: {error}",
                f"{system.cron_path(trigger)}.cron",
                "restrict the days of the month or the days of the week, or write two triggers",
            )


def _policy(system: System) -> Iterator[Diagnostic]:
    """White space does not count."""
    size = len(canonical(identities.policy(system, "pipeline")))
    if size > LIMITS["managed policy"].value:
        yield _over("CT357", "sources", "managed policy", size, "characters in the policy of the pipelines' role")


def _machines(system: System) -> Iterator[Diagnostic]:
    biggest = INSTANCE_TYPES[-1]
    for pipeline in system.pipelines:
        for step in pipeline.steps():
            place = step.origin if step.origin.startswith("serving.") else "training"
            path = "prepare.resources" if step.name == "prepare" else f"{place}.resources"
            if smallest(step.resources, training=True) is None:
                asked = f"{step.resources.cpu:g} vCPUs and {step.resources.memory_bytes / 1024**3:g} GiB"
                advice = f"the biggest is {biggest.name} with {biggest.cpu} vCPUs and {biggest.memory_gib} GiB"
                if step.resources.gpus:
                    asked += gpus.asked(step.resources)
                    advice = gpus.advice(step.resources, ((item.gpu_type, item.gpu) for item in GPU_TYPES))
                yield _error("CT345", f"no listed instance type has {asked}", path, advice)
            elif step.resources.gpus and not is_training(step) and smallest(step.resources, training=False) is None:
                models = ", ".join(dict.fromkeys(item.gpu_type for item in GPU_TYPES if item.processing))
                yield Diagnostic(
                    "CT358",
                    Severity.WARNING,
                    f"`{step.name}` runs without accelerators: no processing job of SageMaker may have"
                    f"{gpus.asked(step.resources).removeprefix(' and')}",
                    f"{path}.gpu",
                    help=f"name a model that both kinds of job may have: {models}; or let the command predict without",
                )
            if volume_gib(step.resources) > LIMITS["volume"].value:
                yield _over("CT346", f"{place}.resources.disk", "volume", volume_gib(step.resources), "GiB of disk")


def _servers(system: System) -> Iterator[Diagnostic]:
    for server in serving.hosted(system):
        if serving.machine(server) is None:
            asked = f"{server.resources.cpu:g} vCPUs and {server.resources.memory_bytes / 1024**3:g} GiB"
            asked += gpus.asked(server.resources)
            yield _error("CT345", f"no listed instance type has {asked}", f"serving.{server.name}.resources")
    rollbacks = [body for body in serving.documents(system).values() if "AlarmName" in body]
    if len(rollbacks) > LIMITS["rollback alarms"].value:
        yield _over("CT347", "rollout.limits", "rollback alarms", len(rollbacks), "alarms that end a rollout")


def _definition(kind: str, definition: Definition) -> Iterator[Diagnostic]:
    steps = list(jobs(definition))
    if len(steps) > LIMITS["steps"].value:
        yield _over("CT347", "", "steps", len(steps), f"steps in the {kind} pipeline")
    if len(definition["Parameters"]) > LIMITS["parameters"].value:
        yield _over("CT347", "", "parameters", len(definition["Parameters"]), f"parameters of the {kind} pipeline")
    size = len(canonical(definition))
    if size > LIMITS["definition"].value:
        yield _over("CT347", "", "definition", size, f"bytes in the definition of the {kind} pipeline")
    for step in definition["Steps"]:
        if len(step["Name"]) > LIMITS["step name"].value:
            yield _over("CT347", "", "step name", len(step["Name"]), f"characters in the step name {step['Name']}")


def _job(job: dict[str, Any], step: Step, definition: Definition) -> Iterator[Diagnostic]:
    arguments = job["Arguments"]
    training = job["Type"] == "Training"
    container = arguments["AlgorithmSpecification" if training else "AppSpecification"]
    yield from _words(container["ContainerArguments"], step, definition)
    yield from _environment(arguments.get("Environment", {}), step, training)
    yield from _hyperparameters(arguments.get("HyperParameters", {}))
    image = container["TrainingImage" if training else "ImageUri"]
    if isinstance(image, str) and len(image) > LIMITS["image"].value:
        path = "runtime.image" if step.runs is Runs.RUNTIME else "training.image"
        yield _over("CT348", path, "image", len(image), "characters in the image's address")
    counts = {
        "processing inputs": len(arguments.get("ProcessingInputs", [])),
        "processing outputs": len(arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])),
        "training channels": len(arguments.get("InputDataConfig", [])),
    }
    for what, count in counts.items():
        if count > LIMITS[what].value:
            yield _over("CT347", step.origin, what, count, f"{what} of {step.name}")
    runtime = "training runtime" if training else "processing runtime"
    if tries_seconds(step) > LIMITS[runtime].value:
        text = f"seconds for all tries of {step.name}"
        yield _over("CT349", "training.timeout", runtime, tries_seconds(step), text)
    stopping = arguments["StoppingCondition"]
    if stopping.get("MaxWaitTimeInSeconds", 0) > LIMITS["training runtime"].value:
        waiting = stopping["MaxWaitTimeInSeconds"]
        yield _over("CT349", "training.spot.max_wait", "training runtime", waiting, "seconds of waiting and running")


def _words(words: list[Any], step: Step, definition: Definition) -> Iterator[Diagnostic]:
    if len(words) > LIMITS["arguments"].value:
        yield _over("CT350", step.origin, "arguments", len(words), f"container arguments of {step.name}")
    for word in words:
        size = longest(word, definition)
        if size > LIMITS["argument"].value and isinstance(word, str):
            yield _over("CT351", step.origin, "argument", size, f"characters in a word of {step.name}'s command")
        elif size > LIMITS["argument"].value:
            text = f"characters that the address of a file may take in the arguments of {step.name}"
            yield _over("CT351", "targets.sagemaker.bucket", "argument", size, text)
        if isinstance(word, str) and ("\n" in word or "\r" in word):
            yield _error(
                "CT352",
                f"a word of {step.name}'s command holds a line break, which container arguments may not",
                step.origin,
                "move the text into a file of the image and name the file",
            )


def _environment(environment: Mapping[str, Any], step: Step, training: bool) -> Iterator[Diagnostic]:
    if len(environment) > LIMITS["environment"].value:
        yield _over("CT353", step.origin, "environment", len(environment), f"environment variables of {step.name}")
    for name, value in environment.items():
        typed = name == "CTC_HYPERPARAMETERS"
        # Training and the predictions are given the same ones: the narrower limit holds.
        key = f"environment value, {'training' if training and not typed else 'processing'}"
        if isinstance(value, str) and len(value) > LIMITS[key].value:
            path = "training.hyperparameters" if typed else step.origin
            yield _over("CT353", path, key, len(value), f"characters in {name}")


def _hyperparameters(hyperparameters: Mapping[str, str]) -> Iterator[Diagnostic]:
    path = "training.hyperparameters"
    if len(hyperparameters) > LIMITS["hyperparameters"].value:
        yield _over("CT354", path, "hyperparameters", len(hyperparameters), "hyperparameters")
    for name, value in hyperparameters.items():
        size = max(len(name), len(value))
        if size > LIMITS["hyperparameter"].value:
            yield _over("CT354", f"{path}.{name}", "hyperparameter", size, f"characters in the hyperparameter {name}")


def longest(value: Any, definition: Definition) -> int:
    """How many characters a value may take at run time, by what its parts refer to.

    `Manual` is left out: whoever starts a wake by hand is told its limit.
    """
    if isinstance(value, str):
        return len(value)
    if "Std:Join" in value:
        return sum(longest(part, definition) for part in value["Std:Join"]["Values"])
    path = str(value["Get"]).split(".")
    if path[0] == "Parameters":
        return {"Attempt": ATTEMPT_LENGTH, "Instant": len("2013-03-10T06:00:00Z")}.get(path[1], 0)
    job = next(job for job in jobs(definition) if job["Name"] == path[1])
    if job["Type"] == "Training":
        place = job["Arguments"]["OutputDataConfig"]["S3OutputPath"]
        return longest(place, definition) + 1 + JOB_LENGTH + len("/output/model/")
    outputs = job["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    named = next(item for item in outputs if f"['{item['OutputName']}']" in value["Get"])
    return longest(named["S3Output"]["S3Uri"], definition)


def _over(code: str, path: str, limit: str, found: int, what: str) -> Diagnostic:
    known = LIMITS[limit]
    return _error(
        code, f"{found} {what}: SageMaker takes {known.value}", path, f"source: {known.source}, {known.as_of}"
    )
