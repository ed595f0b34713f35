"""What stands around the pipelines: their creation, their tags, and the rule that starts the record.

Bodies are those of the service's own requests: SageMaker CreatePipeline, EventBridge PutRule and PutTargets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.sagemaker import names
from ctc.value import Value, frozen

FINAL_STATUSES = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
"""Statuses in which an execution ends (botocore 1.44 PipelineExecutionStatus; the last one is new in 2026)."""


@frozen
class Heard(Value):
    """An outside event: where the settings find it, and the field that tells one from another, or empty."""

    mapped: Mapping[str, str]
    dedupe_by: str


def heard(system: System) -> dict[str, Heard]:
    """The events that a trigger waits for and the settings map, by name."""
    [wake] = system.wake.steps()
    document: Mapping[str, Any] = wake.document or {}
    waits = {
        trigger["event"]: trigger["dedupe_by"] or ""
        for trigger in document["policy"]["triggers"]["triggers"]
        if trigger["kind"] == "event" and trigger["enabled"]
    }
    mapped = system.settings.get("events", {})
    return {name: Heard(dict(mapped[name]["eventbridge"]), waits[name]) for name in sorted(waits) if name in mapped}


def tags(system: System) -> list[dict[str, str]]:
    """Identity, and what cost is told apart by, on all that takes tags."""
    told = {"ctc:name": system.name, "ctc:environment": system.environment, "ctc:spec-digest": system.spec_digest}
    return [{"Key": key, "Value": value} for key, value in told.items()]


def group_request(system: System) -> dict[str, Any]:
    """The CreateModelPackageGroup body."""
    return {
        "ModelPackageGroupName": names.group_name(system),
        "ModelPackageGroupDescription": f"The versions of {system.name}, compiled by ctc.",
        "Tags": tags(system),
    }


def package_request(system: System) -> dict[str, Any]:
    """The CreateModelPackage body of a version of the group.

    Registering adds the model's place (`InferenceSpecification.Containers[0].ModelDataSource`), the attempt and the
    numbers of its evaluation. A promotion approves the version, a quarantine rejects it. A version takes no tags.
    """
    image = next(step.image for step in system.train.steps() if step.name == "train")
    return {
        "ModelPackageGroupName": names.group_name(system),
        "ModelPackageDescription": f"A version of {system.name}, trained by its train pipeline.",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [{"Image": image}],
            "SupportedContentTypes": ["application/vnd.apache.parquet"],
            "SupportedResponseMIMETypes": ["application/vnd.apache.parquet"],
        },
        "CustomerMetadataProperties": {
            "ctc-name": system.name,
            "ctc-environment": system.environment,
            "ctc-spec-digest": system.spec_digest,
        },
    }


def topic_request(system: System) -> dict[str, Any]:
    """The CreateTopic body; who is told subscribes to it."""
    return {"Name": names.topic_name(system), "Tags": tags(system)}


def vpc(system: System) -> dict[str, list[str]]:
    """The VpcConfig of every job; empty where the settings name no subnets."""
    if not system.settings.get("subnets"):
        return {}
    return {
        "SecurityGroupIds": list(system.settings["security_groups"]),
        "Subnets": list(system.settings["subnets"]),
    }


def pipeline_request(system: System, kind: str) -> dict[str, Any]:
    """The CreatePipeline body; the definition, a file of its own, is added where it is sent."""
    return {
        "PipelineName": names.pipeline_name(system, kind),
        "PipelineDescription": f"The {kind} pipeline of {system.name}, compiled by ctc.",
        "RoleArn": system.settings["role"],
        "Tags": tags(system),
    }


def record_rule(system: System) -> dict[str, Any]:
    """The PutRule body: an execution of the train pipeline, or of a batch job's, ended, however."""
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {
            "pipelineArn": [names.pipeline_arn(system, kind) for kind in ("train", *names.scores(system))],
            "currentPipelineExecutionStatus": list(FINAL_STATUSES),
        },
    }
    ended = "training or scoring" if system.scores else "training"
    return {
        "Name": names.rule_name(system, "record"),
        "Description": f"Starts the record of {system.name} when its {ended} ended, compiled by ctc.",
        "EventPattern": json.dumps(pattern, sort_keys=True),
        "State": "ENABLED",
        "Tags": tags(system),
    }


def record_target(system: System) -> dict[str, Any]:
    """The PutTargets body.

    The event says nothing of the execution's parameters, so whoever starts the train pipeline puts the attempt into
    its display name and the instant into its description; both are in the event.
    """
    told = {"Attempt": "$.detail.pipelineExecutionDisplayName", "Instant": "$.detail.pipelineExecutionDescription"}
    target = {
        "Id": "record",
        "Arn": names.pipeline_arn(system, "record"),
        "RoleArn": names.role_arn(system, "events"),
        "SageMakerPipelineParameters": {
            "PipelineParameterList": [{"Name": name, "Value": path} for name, path in told.items()]
        },
        "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 3600},
    }
    return {"Rule": names.rule_name(system, "record"), "Targets": [target]}
