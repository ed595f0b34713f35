"""What stands around the pipelines: their creation, the schedule, and the rule that starts the record.

Bodies are those of the service's own requests: SageMaker CreatePipeline, EventBridge Scheduler CreateSchedule,
EventBridge PutRule and PutTargets.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System
from ctc.language.value import Value

ROLE = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+$")
FINAL_STATUSES = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
"""Statuses in which an execution ends (botocore 1.43 PipelineExecutionStatus; the last one is new in 2026)."""


NAME_LENGTH = 64
"""Of a role (IAM) and a rule (EventBridge)."""
ALARM_SECONDS = 86_400
"""The longest that one period, or all periods together, may be (CloudWatch PutMetricAlarm)."""


@dataclass(frozen=True, eq=False, repr=False)
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


def shortened(name: str) -> str:
    """The name itself, or as much of it as fits with a hash of the whole."""
    if len(name) <= NAME_LENGTH:
        return name
    return f"{name[: NAME_LENGTH - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def partition(system: System) -> str:
    match = ROLE.match(str(system.settings["role"]))
    return match[1] if match else "aws"


def account(system: System) -> str:
    match = ROLE.match(str(system.settings["role"]))
    return match[2] if match else "000000000000"


def region(system: System) -> str:
    return str(system.settings["region"])


def role_name(system: System, role: str) -> str:
    return shortened(f"{system.name}-{role}")


def role_arn(system: System, role: str) -> str:
    return f"arn:{partition(system)}:iam::{account(system)}:role/{role_name(system, role)}"


def hearing_name(system: System, event: str) -> str:
    """Of the rule and of the state machine behind it."""
    return shortened(f"{system.name}-on-{event}")


def hearing_arn(system: System, event: str) -> str:
    here = f"arn:{partition(system)}:states:{region(system)}:{account(system)}"
    return f"{here}:stateMachine:{hearing_name(system, event)}"


def topic_arn(system: System) -> str:
    return f"arn:{partition(system)}:sns:{region(system)}:{account(system)}:{system.name}-alarms"


def group_name(system: System) -> str:
    """Of the model packages."""
    return system.name


def tags(system: System) -> list[dict[str, str]]:
    """Identity, and what cost is told apart by, on all that takes tags."""
    told = {"ctc:name": system.name, "ctc:environment": system.environment, "ctc:spec-digest": system.spec_digest}
    return [{"Key": key, "Value": value} for key, value in told.items()]


def group_request(system: System) -> dict[str, Any]:
    """The CreateModelPackageGroup body."""
    return {
        "ModelPackageGroupName": group_name(system),
        "ModelPackageGroupDescription": f"The versions of {system.name}, compiled by ctc.",
        "Tags": tags(system),
    }


def topic_request(system: System) -> dict[str, Any]:
    """The CreateTopic body; who is told subscribes to it."""
    return {"Name": f"{system.name}-alarms", "Tags": tags(system)}


def alarm(system: System) -> dict[str, Any]:
    """The PutMetricAlarm body: no wake ended well for three wakes' time.

    On the count that the platform itself keeps of the wake pipeline's executions, missing data counting as none: a
    wake that never starts emits nothing of its own, so a metric of ours could not tell it. That a model grows old is
    said by the wakes, which this alarm watches over: CloudWatch looks back a day at most.
    """
    period = math.ceil(max(3 * system.wakes.every.total_seconds(), 3600) / 60) * 60
    return {
        "AlarmName": f"{system.name}-wakes",
        "AlarmDescription": f"No wake of {system.name} ended well for {period} seconds.",
        "Namespace": "AWS/Sagemaker/ModelBuildingPipeline",
        "MetricName": "ExecutionSucceeded",
        "Dimensions": [{"Name": "PipelineName", "Value": pipeline_name(system, "wake")}],
        "Statistic": "Sum",
        "Period": min(period, ALARM_SECONDS),
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [topic_arn(system)],
        "OKActions": [topic_arn(system)],
        "Tags": tags(system),
    }


def vpc(system: System) -> dict[str, list[str]]:
    """The VpcConfig of every job; empty where the settings name no subnets."""
    if not system.settings.get("subnets"):
        return {}
    return {
        "SecurityGroupIds": list(system.settings["security_groups"]),
        "Subnets": list(system.settings["subnets"]),
    }


def pipeline_name(system: System, kind: str) -> str:
    return f"{system.name}-{kind}"


def pipeline_arn(system: System, kind: str) -> str:
    """The ARN that the pipeline will have: region from the settings, partition and account from the role's ARN."""
    here = f"arn:{partition(system)}:sagemaker:{region(system)}:{account(system)}"
    return f"{here}:pipeline/{pipeline_name(system, kind)}"


def pipeline_request(system: System, kind: str) -> dict[str, Any]:
    """The CreatePipeline body; the definition, a file of its own, is added where it is sent."""
    return {
        "PipelineName": pipeline_name(system, kind),
        "PipelineDescription": f"The {kind} pipeline of {system.name}, compiled by ctc.",
        "RoleArn": system.settings["role"],
        "Tags": tags(system),
    }


def schedule(system: System) -> dict[str, Any]:
    """The CreateSchedule body: wakes at a fixed rate, with the instant that was scheduled, not the one of delivery."""
    return {
        "Name": pipeline_name(system, "wake"),
        "Description": f"Wakes {system.name}, compiled by ctc.",
        "ScheduleExpression": rate(system.wakes.every),
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "ENABLED",
        "Target": {
            "Arn": pipeline_arn(system, "wake"),
            "RoleArn": role_arn(system, "scheduler"),
            "SageMakerPipelineParameters": {
                "PipelineParameterList": [{"Name": "Instant", "Value": "<aws.scheduler.scheduled-time>"}]
            },
            # The next wake makes up for a lost one, so retrying for a day, the default, would only pile them up.
            "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 900},
        },
    }


def rate(every: timedelta) -> str:
    """`rate(6 hours)`. EventBridge Scheduler counts in whole minutes, hours or days."""
    minutes = max(1, int(every.total_seconds()) // 60)
    value, unit = minutes, "minute"
    if minutes % 1440 == 0:
        value, unit = minutes // 1440, "day"
    elif minutes % 60 == 0:
        value, unit = minutes // 60, "hour"
    return f"rate({value} {unit}{'' if value == 1 else 's'})"


def record_rule(system: System) -> dict[str, Any]:
    """The PutRule body: an execution of the train pipeline ended, however."""
    pattern = {
        "source": ["aws.sagemaker"],
        "detail-type": ["SageMaker Model Building Pipeline Execution Status Change"],
        "detail": {
            "pipelineArn": [pipeline_arn(system, "train")],
            "currentPipelineExecutionStatus": list(FINAL_STATUSES),
        },
    }
    return {
        "Name": pipeline_name(system, "record"),
        "Description": f"Starts the record of {system.name} when its training ended, compiled by ctc.",
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
        "Arn": pipeline_arn(system, "record"),
        "RoleArn": role_arn(system, "events"),
        "SageMakerPipelineParameters": {
            "PipelineParameterList": [{"Name": name, "Value": path} for name, path in told.items()]
        },
        "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 3600},
    }
    return {"Rule": pipeline_name(system, "record"), "Targets": [target]}
