"""The checks of the jobs in a pipeline definition, beside those of its references (`definition.py`)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.sagemaker import definition as definitions
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.machines import GPU_TYPES, INSTANCE_TYPES
from ctc.targets.sagemaker.names import KEY
from ctc.targets.shim import nodes_told

Document = Mapping[str, Any]

ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_IN_ML = re.compile(r"/opt/ml(/[A-Za-z0-9._-]+)+")
_OWN_DISK = {machine.name for machine in (*INSTANCE_TYPES, *GPU_TYPES) if machine.local_disk_gb}
_ROOTS = {"Version", "Metadata", "Parameters", "Steps"}


def check_pipeline(body: Document, role: str) -> list[str]:
    """Everything wrong with a definition whose jobs run as `role`, one sentence each, sorted."""
    found = definitions.check(body)
    if found:
        return sorted(set(found))
    try:
        return sorted(set(_findings(body, role)))
    except definitions.MALFORMED as error:
        return [f"a part of the definition is missing or of another type: {error!r}"]


def job_steps(body: Document) -> list[Mapping[str, Any]]:
    """The steps that start a job."""
    return [place.step for place in definitions.places(body) if place.step["Type"] in definitions.JOBS]


def _findings(body: Document, role: str) -> Iterator[str]:
    yield from (f"{name} is no part of a definition" for name in body.keys() - _ROOTS)
    for key in ("ctc-name", "ctc-environment", "ctc-spec-digest"):
        if not body.get("Metadata", {}).get(key):
            yield f"the metadata does not say {key}"
    steps = job_steps(body)
    if not steps:
        yield "the pipeline starts no job"
    networks = [_network(step) for step in steps]
    keys = [_key(step) for step in steps]
    for step, network, key in zip(steps, networks, keys, strict=True):
        training = step["Type"] == "Training"
        problems = [*_job(step, role), *(_training(step) if training else _processing(step))]
        if network != networks[0]:
            problems.append("is in another network than the first job")
        if key != keys[0]:
            problems.append("has another key than the first job")
        yield from (f"step {step['Name']}: {problem}" for problem in problems)


def _network(step: Document) -> Any:
    arguments = step["Arguments"]
    return arguments.get("VpcConfig") or arguments.get("NetworkConfig", {}).get("VpcConfig")


def _key(step: Document) -> Any:
    arguments = step["Arguments"]
    cluster = arguments.get("ResourceConfig") or arguments["ProcessingResources"]["ClusterConfig"]
    if cluster["InstanceType"] in _OWN_DISK:
        # Its hardware encrypts that disk; what it leaves has the key.
        return (arguments.get("OutputDataConfig") or arguments.get("ProcessingOutputConfig", {})).get("KmsKeyId")
    return cluster.get("VolumeKmsKeyId")


def _job(step: Document, role: str) -> Iterator[str]:
    arguments = step["Arguments"]
    training = step["Type"] == "Training"
    if arguments["RoleArn"] != role:
        yield f"runs as {arguments['RoleArn']}, not as the role of its pipeline"
    told = {item["Key"] for item in arguments["Tags"]}
    yield from (f"has no tag {name}" for name in {"ctc:name", "ctc:environment", "ctc:spec-digest"} - told)
    container = arguments["AlgorithmSpecification" if training else "AppSpecification"]
    yield from _container(container, "TrainingImage" if training else "ImageUri")
    cluster = arguments["ResourceConfig"] if training else arguments["ProcessingResources"]["ClusterConfig"]
    yield from _cluster(cluster, training, nodes_told(container.get("ContainerArguments", [])))
    yield from _environment(arguments.get("Environment", {}), training)
    runtime = arguments["StoppingCondition"]["MaxRuntimeInSeconds"]
    most = LIMITS["training runtime" if training else "processing runtime"].value
    if not 0 < runtime <= most:
        yield f"may run for {runtime} seconds, where the service takes 1 to {most}"
    network = _network(step)
    if network is not None and not (network["Subnets"] and network["SecurityGroupIds"]):
        yield "has a network without subnets or without security groups"
    if not step.get("RetryPolicies"):
        yield "meets no fault of the service with a retry"
    for policy in step.get("RetryPolicies", []):
        if policy.get("MaxAttempts", 0) < 1 or policy.get("BackoffRate", 0) < 1 or policy.get("IntervalSeconds", 0) < 1:
            yield "has a retry policy that never retries, or ever faster"


def _container(container: Document, image: str) -> Iterator[str]:
    name = container.get(image)
    if not name or (isinstance(name, str) and (len(name) > LIMITS["image"].value or " " in name)):
        yield f"{name!r} is no image"
    entry, words = container.get("ContainerEntrypoint", []), container.get("ContainerArguments", [])
    if not entry or not all(isinstance(word, str) for word in entry):
        yield "the image decides what runs: there is no entrypoint"
    if len(words) > LIMITS["arguments"].value:
        yield f"has {len(words)} words, where the service takes {LIMITS['arguments'].value}"
    for word in words:
        if isinstance(word, str) and (len(word) > LIMITS["argument"].value or "\n" in word):
            yield f"a word of the command is too long, or holds a line break: {word[:40]!r}"
        if not isinstance(word, str | Mapping):
            yield f"a word of the command is no text: {word!r}"


def _cluster(cluster: Document, training: bool, nodes: int) -> Iterator[str]:
    machines = (*INSTANCE_TYPES, *GPU_TYPES)
    known = {machine.name for machine in machines if (machine.training if training else machine.processing)}
    if cluster["InstanceType"] not in known:
        yield f"{cluster['InstanceType']!r} is no instance type that is picked from here"
    if cluster["InstanceCount"] != nodes:
        yield f"asks for {cluster['InstanceCount']} instances, where its command is of {nodes}"
    if not 1 <= cluster["VolumeSizeInGB"] <= LIMITS["volume"].value:
        yield f"a volume of {cluster['VolumeSizeInGB']} GiB"
    if "VolumeKmsKeyId" in cluster and cluster["InstanceType"] in _OWN_DISK:
        yield f"{cluster['InstanceType']} has a disk of its own, which takes no key"
    if "VolumeKmsKeyId" in cluster and not KEY.fullmatch(cluster["VolumeKmsKeyId"]):
        yield f"{cluster['VolumeKmsKeyId']!r} is no key"


def _environment(environment: Document, training: bool) -> Iterator[str]:
    if len(environment) > LIMITS["environment"].value:
        yield f"has {len(environment)} variables"
    most = LIMITS[f"environment value, {'training' if training else 'processing'}"].value
    for name, value in environment.items():
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
            yield f"{name!r} is no name of a variable"
        if isinstance(value, str) and len(value) > most:
            yield f"the variable {name} has more than {most} characters"


def _processing(step: Document) -> Iterator[str]:
    arguments = step["Arguments"]
    inputs = arguments.get("ProcessingInputs", [])
    outputs = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for kind, items in (("inputs", inputs), ("outputs", outputs)):
        if len(items) > LIMITS[f"processing {kind}"].value:
            yield f"has {len(items)} {kind}"
    yield from _alone("input", [item["InputName"] for item in inputs])
    yield from _alone("output", [item["OutputName"] for item in outputs])
    places = [item["S3Input"] for item in inputs] + [item["S3Output"] for item in outputs]
    yield from _alone("folder", [item["LocalPath"] for item in places])
    for item in places:
        if not _IN_ML.fullmatch(item["LocalPath"]):
            yield f"the folder {item['LocalPath']} is not below /opt/ml"
        yield from _uri(item["S3Uri"])
    yield from _words_of(arguments["AppSpecification"].get("ContainerArguments", []), places)
    if any(item["S3Output"]["S3UploadMode"] != "EndOfJob" for item in outputs):
        yield "uploads while it runs: a step that failed would leave half of its output"


def _words_of(words: Any, places: list[Any]) -> Iterator[str]:
    """Each folder of `--input NAME=FOLDER` and `--output NAME=FOLDER` is one that the service fills or empties."""
    known = {item["LocalPath"] for item in places}
    for before, word in itertools.pairwise(words):
        if before in ("--input", "--output") and isinstance(word, str):
            folder = word.partition("=")[2]
            if folder not in known:
                yield f"reads or writes {folder}, which the service neither fills nor keeps"


def _training(step: Document) -> Iterator[str]:
    arguments = step["Arguments"]
    channels = arguments.get("InputDataConfig", [])
    if len(channels) > LIMITS["training channels"].value:
        yield f"has {len(channels)} channels"
    yield from _alone("channel", [item["ChannelName"] for item in channels])
    for item in channels:
        yield from _uri(item["DataSource"]["S3DataSource"]["S3Uri"])
    yield from _uri(arguments["OutputDataConfig"]["S3OutputPath"])
    if arguments["OutputDataConfig"].get("CompressionType") != "NONE":
        yield "packs its model, which later steps read as files"
    for name, value in arguments.get("HyperParameters", {}).items():
        if not isinstance(value, str) or max(len(name), len(value)) > LIMITS["hyperparameter"].value:
            yield f"the hyperparameter {name} is no text, or too long"
    stopping = arguments["StoppingCondition"]
    spot, waits = arguments.get("EnableManagedSpotTraining", False), stopping.get("MaxWaitTimeInSeconds")
    if spot != (waits is not None):
        yield "says how long it waits for spot capacity without asking for it, or the other way round"
    elif waits is not None and waits < stopping["MaxRuntimeInSeconds"]:
        yield "may wait shorter than it may run"
    if spot and "CheckpointConfig" not in arguments:
        yield "begins anew after each interruption: spot capacity without checkpoints"


def _alone(kind: str, names: list[Any]) -> Iterator[str]:
    yield from (f"two of its {kind}s are called {name}" for name in sorted({x for x in names if names.count(x) > 1}))


def _uri(value: Any) -> Iterator[str]:
    """A text that begins as an URI of S3, or something that only a run knows."""
    text = value["Std:Join"]["Values"][0] if isinstance(value, Mapping) and "Std:Join" in value else value
    if isinstance(text, str) and not re.match(r"s3://[a-z0-9][a-z0-9.-]+/", text):
        yield f"{text!r} is no place in S3"


def seconds_of(rate: str) -> float:
    """The period of a rate expression in seconds; NaN for none."""
    match = re.fullmatch(r"rate\((\d+) (minute|hour|day)(s?)\)", rate)
    if match is None or (match[1] == "1") == bool(match[3]) or int(match[1]) < 1:
        return math.nan
    return int(match[1]) * {"minute": 60.0, "hour": 3600.0, "day": 86_400.0}[match[2]]
