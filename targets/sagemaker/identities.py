"""Who may do what: one role a caller, its trust and the least rights that its documents use, resource by resource.

`pipeline` is the role of the settings, which an administrator makes; the others are made with the bundle. Actions and
the resources that each takes: the service authorization reference (SageMaker, EventBridge, ECR, CloudWatch Logs, EC2);
what the pipeline's role needs: "Build and manage pipelines, access" of the SageMaker developer guide. A statement names
`*` only where the service takes no ARN for any of its actions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import Runs, System
from ctc.targets.sagemaker import names, resources
from ctc.targets.sagemaker.names import account, partition, pipeline_arn, region
from ctc.targets.sagemaker.serving import documents, hosted
from ctc.targets.sagemaker.watch import watched

SERVICES: Mapping[str, str] = {
    "pipeline": "sagemaker.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
    "events": "events.amazonaws.com",
    "hearing": "states.amazonaws.com",
    "watch": "states.amazonaws.com",
}
"""Who assumes each role."""
ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)")
JOBS = ("processing-job", "training-job")

Policy = dict[str, Any]


def roles(system: System) -> tuple[str, ...]:
    """The roles that this system needs."""
    needed = {"hearing": bool(resources.heard(system)), "watch": bool(watched(system))}
    return tuple(role for role in SERVICES if needed.get(role, True))


def trust(system: System, role: str) -> Policy:
    """Only the service, and only for this account, may take the role."""
    return _policy(
        {
            "Sid": "Service",
            "Effect": "Allow",
            "Principal": {"Service": SERVICES[role]},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": account(system)}},
        }
    )


def policy(system: System, role: str) -> Policy:
    """What the role may do."""
    watches = [names.machine_arn(system, f"watch-{own}") for own in watched(system)]
    machines = [names.machine_arn(system, f"on-{event}") for event in resources.heard(system)]
    wake = _allow("Wake", "sagemaker:StartPipelineExecution", pipeline_arn(system, "wake"))
    if role == "scheduler":
        return _policy(wake, *([_allow("Watch", "states:StartExecution", watches)] if watches else []))
    if role == "hearing":
        return _policy(wake)
    if role == "watch":
        seen = sorted({pipeline_arn(system, what.pipeline) for what in watched(system).values()})
        return _policy(_allow("Watch", "sagemaker:ListPipelineExecutions", seen))
    if role == "events":
        return _policy(
            _allow("Record", "sagemaker:StartPipelineExecution", pipeline_arn(system, "record")),
            *([_allow("Hear", "states:StartExecution", machines)] if machines else []),
        )
    return _policy(*_pipeline(system))


def _pipeline(system: System) -> Iterator[dict[str, Any]]:
    here = f"arn:{partition(system)}:sagemaker:{region(system)}:{account(system)}"
    own = str(system.settings["role"])
    jobs = [f"{here}:{kind}/pipelines-*" for kind in JOBS]
    verbs = ("Create", "Describe", "Stop")
    actions = [f"sagemaker:{verb}{kind}" for kind in ("ProcessingJob", "TrainingJob") for verb in verbs]
    yield _allow("Jobs", [*actions, "sagemaker:AddTags"], jobs)
    passing = _allow("GiveItselfToJobs", "iam:PassRole", own)
    yield {**passing, "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}}
    yield _allow(
        "Train",
        ["sagemaker:StartPipelineExecution", "sagemaker:ListPipelineExecutions"],
        [pipeline_arn(system, kind) for kind in ("train", *names.scores(system))],
    )
    name = names.group_name(system)
    yield _allow(
        "Registry",
        ["CreateModelPackage", "DescribeModelPackage", "UpdateModelPackage", "DeleteModelPackage", "ListModelPackages"],
        [f"{here}:model-package-group/{name}", f"{here}:model-package/{name}/*"],
        service="sagemaker",
    )
    yield from _storage(system)
    yield from _images(system)
    logs = f"arn:{partition(system)}:logs:{region(system)}:{account(system)}:log-group:/aws/sagemaker"
    groups = [f"{logs}/ProcessingJobs", f"{logs}/TrainingJobs"]
    yield _allow(
        "Logs",
        ["CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"],
        [f"{group}{part}" for group in groups for part in ("", ":*")],
        service="logs",
    )
    yield from _serving(system)
    yield from _secrets(system)
    yield from _key(system)
    yield from _network(system)


def _serving(system: System) -> Iterator[dict[str, Any]]:
    """What moves traffic: a wake brings versions up, asks them, shares the traffic, and takes old ones down."""
    for number, server in enumerate(hosted(system)):
        versions = f"{names.model_name(system, server.name)}*"
        model, config = (names.arn(system, "sagemaker", f"{kind}/{versions}") for kind in ("model", "endpoint-config"))
        endpoint = names.arn(system, "sagemaker", f"endpoint/{names.endpoint_name(system, server.name)}")
        verbs = ("Create", "Delete", "Describe")
        kept = [f"{verb}{kind}" for verb in verbs for kind in ("Model", "EndpointConfig")]
        yield _allow(f"Versions{number}", kept, [model, config], service="sagemaker")
        moving = ["CreateEndpoint", "DescribeEndpoint", "InvokeEndpoint", "UpdateEndpoint"]
        moving.append("UpdateEndpointWeightsAndCapacities")
        yield _allow(f"Traffic{number}", [*moving, "AddTags"], [endpoint, config, model], service="sagemaker")
    told = [body["AlarmName"] for body in documents(system).values() if "AlarmName" in body]
    if told:
        watching = ["DeleteAlarms", "DescribeAlarms", "PutMetricAlarm", "TagResource"]
        alarms = [names.arn(system, "cloudwatch", f"alarm:{name}") for name in told]
        yield _allow("Limits", watching, alarms, service="cloudwatch")


def _secrets(system: System) -> Iterator[dict[str, Any]]:
    """Those that commands and notifications are given, and no other. Secrets Manager adds six characters to an ARN."""
    wanted = secrets(system)
    if wanted:
        found = [names.arn(system, "secretsmanager", f"secret:{secret}-??????") for secret in wanted]
        yield _allow("Secrets", "secretsmanager:GetSecretValue", found)


def secrets(system: System) -> list[str]:
    """The names of the secrets that commands and notifications are given."""
    steps = [step for pipeline in system.pipelines for step in pipeline.steps()]
    of_commands = {secret for step in steps for _, secret in step.secrets}
    told = [(step.document or {}).get("policy", {}).get("notifications") for step in steps]
    return sorted({*of_commands, *_named(told)})


def _named(value: Any) -> Iterator[str]:
    """The names in every `{"secret": NAME}` of a document."""
    if isinstance(value, Mapping):
        if set(value) == {"secret"}:
            yield str(value["secret"])
        for item in value.values():
            yield from _named(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _named(item)


def _key(system: System) -> Iterator[dict[str, Any]]:
    """Of the grants only those that a service of AWS makes for itself: the disks of the jobs are its to open."""
    if key := system.settings.get("kms_key"):
        yield _allow("Key", ["Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"], str(key), service="kms")
        grants = _allow("KeyOfDisks", "kms:CreateGrant", str(key))
        yield {**grants, "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}}}


def _storage(system: System) -> Iterator[dict[str, Any]]:
    """Its own part of the bucket; what it reads elsewhere it only reads."""
    yield _allow("Own", ["GetObject", "PutObject", "DeleteObject"], _objects(system, system.root + "/"), service="s3")
    places = sorted({f"{system.root}/", *_read(system)})
    others = [place for place in places if place != f"{system.root}/"]
    if others:
        yield _allow("Read", "s3:GetObject", [_objects(system, place) for place in others])
    outs = [out for out, _ in system.outs if out.startswith("s3://")]
    if outs:
        yield _allow("Scores", "s3:PutObject", [_objects(system, out.rstrip("/") + "/") for out in sorted(outs)])
    for number, bucket in enumerate(sorted({_split(place)[0] for place in places})):
        inside = sorted({f"{key}*" for name, key in map(_split, places) if name == bucket})
        found = _allow(f"List{number}", "s3:ListBucket", f"arn:{partition(system)}:s3:::{bucket}")
        yield {**found, "Condition": {"StringLike": {"s3:prefix": inside}}}


def _read(system: System) -> Iterator[str]:
    """Where the sources of the spec are, and the files that its commands are given."""
    for step in (*system.wake.steps(), *system.train.steps()):
        data = {} if step.document is None else step.document["policy"].get("data", {})
        for source in data.get("sources", {}).values():
            for kind in ("parquet", "csv"):
                place = source.get(kind)
                path = place if isinstance(place, str) else (place or {}).get("path", "")
                if str(path).startswith("s3://"):
                    yield str(path)
    for parameter in system.train.parameters:
        place = parameter.default or ""
        if place.startswith("s3://") and not place.startswith(f"{system.root}/"):
            yield place


def _split(uri: str) -> tuple[str, str]:
    """Bucket, and the part of the key before any pattern of file names."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, re.split(r"[*?\[{]", key)[0]


def _objects(system: System, uri: str) -> str:
    bucket, key = _split(uri)
    return f"arn:{partition(system)}:s3:::{bucket}/{key}*"


def _images(system: System) -> Iterator[dict[str, Any]]:
    """Nothing for images that are not in this cloud's registry."""
    steps = [step for pipeline in system.pipelines for step in pipeline.steps()]
    matches = [ECR.match(image) for image in sorted({step.image for step in steps if step.runs is not Runs.CHAMPION})]
    found = [f"arn:{partition(system)}:ecr:{match[2]}:{match[1]}:repository/{match[3]}" for match in matches if match]
    if found:
        layers = ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"]
        yield _allow("Images", layers, sorted(set(found)), service="ecr")
        yield _allow("ImagesLogin", "ecr:GetAuthorizationToken", "*")


def _network(system: System) -> Iterator[dict[str, Any]]:
    """A job inside a VPC makes its own network interfaces; of the descriptions EC2 takes no ARN."""
    if not system.settings.get("subnets"):
        return
    here = f"arn:{partition(system)}:ec2:{region(system)}:{account(system)}"
    subnets = [f"{here}:subnet/{name}" for name in system.settings["subnets"]]
    groups = [f"{here}:security-group/{name}" for name in system.settings["security_groups"]]
    interfaces = f"{here}:network-interface/*"
    making = ["CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"]
    ending = ["DeleteNetworkInterfacePermission"]
    yield _allow("Interfaces", [*making, *ending], [interfaces, *subnets, *groups], service="ec2")
    seen = ["NetworkInterfaces", "Vpcs", "DhcpOptions", "Subnets", "SecurityGroups"]
    yield _allow("Networks", [f"Describe{kind}" for kind in seen], "*", service="ec2")


def _policy(*statements: Mapping[str, Any]) -> Policy:
    return {"Version": "2012-10-17", "Statement": [dict(statement) for statement in statements]}


def _allow(sid: str, actions: str | list[str], where: str | list[str], *, service: str = "") -> dict[str, Any]:
    named = [actions] if isinstance(actions, str) else actions
    full = sorted(f"{service}:{action}" if service else action for action in named)
    return {"Sid": sid, "Effect": "Allow", "Action": full, "Resource": [where] if isinstance(where, str) else where}
