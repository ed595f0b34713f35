"""The checks of the serving documents: that a rollout is of the endpoint, adds up, and can be taken back."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.targets.sagemaker.machines import GPU_TYPES, INSTANCE_TYPES

Files = Mapping[str, Any]
VARIANTS = ["champion", "candidate"]


def check_serving(files: Files) -> Iterator[str]:
    """Sentences on what lies below `serving/`. KeyError where a document is missing."""
    folders = sorted({"/".join(path.split("/")[:2]) for path in files if path.startswith("serving/")})
    for folder in folders:
        yield from (f"{folder}: {problem}" for problem in _server(files, folder))


def serving_needs(files: Files) -> Iterator[tuple[str, str]]:
    """What a wake does at the endpoints: actions, each with the resource's type and name."""
    for path, body in files.items():
        if re.fullmatch(r"serving/[^/]+/endpoint\.json", path):
            for verb in ("CreateEndpoint", "UpdateEndpoint", "UpdateEndpointWeightsAndCapacities", "InvokeEndpoint"):
                yield f"sagemaker:{verb}", f"endpoint/{body['EndpointName']}"
            yield "sagemaker:CreateEndpointConfig", f"endpoint-config/{body['EndpointConfigName']}-1"
            yield "sagemaker:CreateModel", f"model/{files[path.replace('endpoint', 'model')]['ModelName']}-1"
        elif "AlarmName" in body and path.startswith("serving/"):
            yield "cloudwatch:PutMetricAlarm", f"alarm:{body['AlarmName']}"


def _server(files: Files, folder: str) -> Iterator[str]:
    model, config, endpoint = (files[f"{folder}/{name}.json"] for name in ("model", "config", "endpoint"))
    if model["ExecutionRoleArn"] != files["requests/wake.json"]["RoleArn"]:
        yield "the model runs as another role than the pipelines"
    jobs = files["pipelines/wake.json"]["Steps"][0]["Arguments"]
    if model.get("VpcConfig") != jobs.get("NetworkConfig", {}).get("VpcConfig"):
        yield "the model is in another network than the jobs"
    if "ModelDataUrl" in model["PrimaryContainer"] or not model["PrimaryContainer"]["Image"]:
        yield "the container has no image, or a model before there is one"
    if endpoint["EndpointConfigName"] != config["EndpointConfigName"]:
        yield "the endpoint has another configuration"
    if [item["VariantName"] for item in config["ProductionVariants"]] != VARIANTS[:1]:
        yield "the endpoint begins with something else than the champion"
    yield from _config(config, model)
    rollout = {path.rpartition("/")[2]: body for path, body in files.items() if path.startswith(f"{folder}/rollout/")}
    if rollout:
        yield from (f"rollout: {problem}" for problem in _rollout(rollout, endpoint, model, files))


def _config(config: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[str]:
    known = {machine.name for machine in (*INSTANCE_TYPES, *GPU_TYPES) if machine.training}
    variants = [*config["ProductionVariants"], *config.get("ShadowProductionVariants", [])]
    for item in variants:
        if item["ModelName"] != model["ModelName"]:
            yield f"the variant {item['VariantName']} is of another model"
        if item["InstanceType"] not in known:
            yield f"{item['InstanceType']!r} is no instance type that is picked from here"
        if item["InitialInstanceCount"] < 1:
            yield f"nothing runs {item['VariantName']}"
    if sum(item["InitialVariantWeight"] for item in config["ProductionVariants"]) <= 0:
        yield "no variant has traffic"
    capture = config.get("DataCaptureConfig")
    if capture is not None and not 1 <= capture["InitialSamplingPercentage"] <= 100:
        yield "captures more than all, or nothing"
    if capture is not None and not re.match(r"s3://[^/]+/.+", capture["DestinationS3Uri"]):
        yield "captures to no place in S3"


def _rollout(
    rollout: Mapping[str, Any], endpoint: Mapping[str, Any], model: Mapping[str, Any], files: Files
) -> Iterator[str]:
    update, config = rollout["update.json"], rollout["config.json"]
    name = endpoint["EndpointName"]
    weights = {item["VariantName"]: item["InitialVariantWeight"] for item in config["ProductionVariants"]}
    if list(weights) != VARIANTS or weights[VARIANTS[1]] != 0:
        yield "does not begin with all traffic at the champion"
    if (update["EndpointName"], update["EndpointConfigName"]) != (name, config["EndpointConfigName"]):
        yield "changes another endpoint"
    told = [item["AlarmName"] for item in _rollbacks(update)]
    made = [body["AlarmName"] for path, body in rollout.items() if path.startswith("alarm-")]
    if sorted(told) != sorted(made):
        yield "is not taken back by the alarms on its limits"
    topic = files["alarms/topic.json"]["Name"]
    for path, body in rollout.items():
        if path.startswith("alarm-"):
            found = {item["Name"]: item["Value"] for item in body["Dimensions"]}
            if found != {"EndpointName": name, "VariantName": VARIANTS[1]}:
                yield f"{path} looks at another variant"
            if body["ComparisonOperator"] != "GreaterThanThreshold" or not body["AlarmActions"][0].endswith(
                f":{topic}"
            ):
                yield f"{path} does not go off beyond its limit, or tells nobody"
        elif "ProductionVariants" in body:
            yield from _config(body, model)
    shares = []
    for path in sorted((path for path in rollout if path.endswith("-traffic.json")), key=_number):
        body = rollout[path]
        found = {item["VariantName"]: item["DesiredWeight"] for item in body["DesiredWeightsAndCapacities"]}
        if body["EndpointName"] != name or list(found) != VARIANTS:
            yield f"{path} is of another endpoint, or of other variants"
        elif not math.isclose(sum(found.values()), 1, abs_tol=1e-6) or min(found.values()) < 0:
            yield f"{path} does not share all of the traffic"
        shares.append(found.get(VARIANTS[1], 0))
    if shares != sorted(shares) or (shares and shares[-1] != 1):
        yield "does not lead all of the traffic to the candidate, step by step"


def _rollbacks(update: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = update["DeploymentConfig"].get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return found


def _number(path: str) -> int:
    return int(path.partition("-")[0])
