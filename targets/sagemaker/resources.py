"""What stands around the pipelines: their creation, the schedule, and the rule that starts the record.

Bodies are those of the service's own requests: SageMaker CreatePipeline, EventBridge Scheduler CreateSchedule,
EventBridge PutRule and PutTargets.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from ctc.compiler.ir import System

ROLE = re.compile(r"^arn:(aws[a-z-]*):iam::(\d{12}):role/[\w+=,.@/-]+$")
FINAL_STATUSES = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
"""Statuses in which an execution ends (botocore 1.43 PipelineExecutionStatus; the last one is new in 2026)."""


def pipeline_name(system: System, kind: str) -> str:
    return f"{system.name}-{kind}"


def pipeline_arn(system: System, kind: str) -> str:
    """The ARN that the pipeline will have: region from the settings, partition and account from the role's ARN."""
    match = ROLE.match(str(system.settings["role"]))
    partition, account = match.groups() if match else ("aws", "000000000000")
    region = system.settings["region"]
    return f"arn:{partition}:sagemaker:{region}:{account}:pipeline/{pipeline_name(system, kind)}"


def pipeline_request(system: System, kind: str) -> dict[str, Any]:
    """The CreatePipeline body; the definition, a file of its own, is added where it is sent."""
    tags = {"ctc:name": system.name, "ctc:environment": system.environment, "ctc:spec-digest": system.spec_digest}
    return {
        "PipelineName": pipeline_name(system, kind),
        "PipelineDescription": f"The {kind} pipeline of {system.name}, compiled by ctc.",
        "RoleArn": system.settings["role"],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
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
            "RoleArn": system.settings["role"],
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
        "RoleArn": system.settings["role"],
        "SageMakerPipelineParameters": {
            "PipelineParameterList": [{"Name": name, "Value": path} for name, path in told.items()]
        },
        "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 3600},
    }
    return {"Rule": pipeline_name(system, "record"), "Targets": [target]}
