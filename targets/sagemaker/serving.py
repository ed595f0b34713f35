"""Online serving: the bodies of a model, its endpoint and each step of a rollout, for servers that can be hosted.

A hosted container is started with the word `serve`, finds the model in `/opt/ml/model`, and answers `/ping` and
`/invocations` on port 8080 (SageMaker developer guide, "Custom inference code with hosting services"): there is no
field for a command, a port or a path. Two versions share an endpoint as two variants, between which each step of a
rollout moves the weights; a mirror is a shadow variant. Whoever applies a body adds the version to the names of model
and configuration, and the model's place to the container.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import Server, System
from ctc.targets.sagemaker import names
from ctc.targets.sagemaker.machines import InstanceType, smallest
from ctc.targets.sagemaker.resources import tags, vpc

CONTRACT = (8080, "/ping", "/invocations")
"""Port, health and route of a hosted container."""
LIVE, NEXT = "champion", "candidate"
"""The variants of an endpoint."""
HEALTHY_SECONDS = 300
"""For how long a server may start: as long as our own probe waits for it."""
_KEEP_SECONDS = 3600
"""The longest that the service keeps the old fleet (botocore 1.44, TerminationWaitInSeconds)."""


def hosted(system: System) -> tuple[Server, ...]:
    """The servers that the service can host."""
    return tuple(item for item in system.servers if (item.port, item.health, item.route) == CONTRACT)


def rolling(system: System) -> str | None:
    """The server between whose versions a rollout moves the traffic; None where nothing rolls out."""
    rollout = rollout_of(system)
    return None if rollout is None else str(rollout["serving"])


def rolled(system: System) -> tuple[Server, ...]:
    """That server, if the service can host it: a wake makes its endpoint."""
    return tuple(server for server in hosted(system) if server.name == rolling(system))


def documents(system: System) -> dict[str, dict[str, Any]]:
    """The bodies by file."""
    made = {}
    for server in hosted(system):
        folder = f"serving/{server.name}"
        made[f"{folder}/model.json"] = _model(system, server)
        made[f"{folder}/config.json"] = _config(system, server, [_variant(system, server, LIVE, 1.0)])
        made[f"{folder}/endpoint.json"] = {**_endpoint(system, server), "Tags": tags(system)}
        rollout = rollout_of(system)
        if rollout is not None and rollout["serving"] == server.name:
            made |= {f"{folder}/rollout/{name}.json": body for name, body in _steps(system, server, rollout).items()}
    return made


def machine(server: Server) -> InstanceType | None:
    """The cheapest type of those that train and process: hosting has them all but the smallest ones."""
    return smallest(server.resources, training=True)


def rollout_of(system: System) -> Mapping[str, Any] | None:
    """The section of the wake's document; None where nothing rolls out."""
    [wake] = system.wake.steps()
    document: Mapping[str, Any] = wake.document or {}
    found: Mapping[str, Any] | None = document["policy"]["triggers"]["rollout"]
    return found


def _model(system: System, server: Server) -> dict[str, Any]:
    """CreateModel."""
    made: dict[str, Any] = {
        "ModelName": names.model_name(system, server.name),
        "ExecutionRoleArn": system.settings["role"],
        "PrimaryContainer": {"Image": server.image, "Environment": {"CTC_MODEL": "/opt/ml/model"}},
        "Tags": tags(system),
    }
    if network := vpc(system):
        made["VpcConfig"] = network
    return made


def _variant(system: System, server: Server, name: str, weight: float) -> dict[str, Any]:
    found = machine(server)
    return {
        "VariantName": name,
        "ModelName": names.model_name(system, server.name),
        "InitialInstanceCount": server.count,
        "InstanceType": "" if found is None else found.name,
        "InitialVariantWeight": weight,
        "ContainerStartupHealthCheckTimeoutInSeconds": HEALTHY_SECONDS,
    }


def _config(
    system: System, server: Server, variants: list[dict[str, Any]], shadow: dict[str, Any] | None = None
) -> dict[str, Any]:
    """CreateEndpointConfig."""
    made: dict[str, Any] = {
        "EndpointConfigName": names.model_name(system, server.name),
        "ProductionVariants": variants,
        "Tags": tags(system),
    }
    if shadow is not None:
        made["ShadowProductionVariants"] = [shadow]
    if server.capture:
        made["DataCaptureConfig"] = {
            "EnableCapture": True,
            "InitialSamplingPercentage": max(1, round(server.capture * 100)),
            "DestinationS3Uri": f"{system.root}/captured/{server.name}",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        }
    if key := system.settings.get("kms_key"):
        found = machine(server)
        # An instance with a disk of its own encrypts that, and the service refuses another key for it.
        if found is None or not found.local_disk_gb:
            made["KmsKeyId"] = key
        if "DataCaptureConfig" in made:
            made["DataCaptureConfig"]["KmsKeyId"] = key
    return made


def _endpoint(system: System, server: Server) -> dict[str, Any]:
    return {
        "EndpointName": names.endpoint_name(system, server.name),
        "EndpointConfigName": names.model_name(system, server.name),
    }


def _steps(system: System, server: Server, rollout: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`begin` brings the candidate up without traffic; each step then follows, and `alarm-*` take it all back."""
    limits = dict(_alarms(system, server, rollout["limits"]))
    fleet = {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": int(min(rollout["keep_previous"], _KEEP_SECONDS)),
    }
    update: dict[str, Any] = {**_endpoint(system, server), "DeploymentConfig": {"BlueGreenUpdatePolicy": fleet}}
    if limits:
        alarms = [{"AlarmName": body["AlarmName"]} for body in limits.values()]
        update["DeploymentConfig"]["AutoRollbackConfiguration"] = {"Alarms": alarms}
    both = [_variant(system, server, LIVE, 1.0), _variant(system, server, NEXT, 0.0)]
    made = {"config": _config(system, server, both), "update": update}
    for number, step in enumerate(rollout["steps"], 1):
        if step["kind"] == "mirror":
            alone, shadow = _variant(system, server, LIVE, 1.0), _variant(system, server, NEXT, step["share"])
            made[f"{number}-mirror"] = _config(system, server, [alone], shadow)
        elif step["kind"] == "traffic":
            weights = {LIVE: round(1 - step["share"], 9), NEXT: step["share"]}
            made[f"{number}-traffic"] = {
                "EndpointName": names.endpoint_name(system, server.name),
                "DesiredWeightsAndCapacities": [
                    {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
                ],
            }
    return {**made, **limits}


def _alarms(system: System, server: Server, limits: list[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """PutMetricAlarm of what CloudWatch measures of the candidate; drift is judged by wake alone."""
    for limit in limits:
        arguments = limit["arguments"]
        if limit["kind"] == "error_rate":
            # The metric is 1 for each request that failed, else 0: its average is the rate.
            yield _alarm(system, server, str(limit["name"]), "Invocation5XXErrors", arguments["max"], "")
        elif limit["kind"] == "latency":
            for percentile in ("p50", "p99"):
                if arguments.get(percentile) is not None:
                    own = f"{limit['name']}-{percentile}"
                    yield _alarm(system, server, own, "ModelLatency", arguments[percentile] * 1e6, percentile)


def _alarm(
    system: System, server: Server, own: str, metric: str, most: float, percentile: str
) -> tuple[str, dict[str, Any]]:
    """`most` in the metric's unit: a share, or microseconds."""
    endpoint = names.endpoint_name(system, server.name)
    statistic = {"ExtendedStatistic": percentile} if percentile else {"Statistic": "Average"}
    return f"alarm-{own}", {
        "AlarmName": names.alarm_name(system, f"{server.name}-{own}"),
        "AlarmDescription": f"The candidate of {endpoint} is beyond the limit {own}.",
        "Namespace": "AWS/SageMaker",
        "MetricName": metric,
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": NEXT}],
        **statistic,
        "Period": 60,
        "EvaluationPeriods": 5,
        "Threshold": float(most),
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [names.topic_arn(system)],
        "Tags": tags(system),
    }
