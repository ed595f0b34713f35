"""Waking by an outside event, without function code: EventBridge rule, Step Functions, the wake pipeline.

A rule's own target gives a pipeline parameter a constant or one value of the event, never a text made of both (the
EventBridge user guide, "targets"), and the wake reads one JSON text. So the rule hands the event to a state machine
of a few states, in Amazon States Language with JSONPath, that puts the text together and starts the pipeline.
"""

from __future__ import annotations

import json
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.sagemaker import names, resources
from ctc.targets.sagemaker.resources import Heard


def rule(system: System, event: str, heard: Heard) -> dict[str, Any]:
    """The PutRule body."""
    mapped = heard.mapped
    pattern = {"source": [mapped["source"]]}
    if "detail_type" in mapped:
        pattern["detail-type"] = [mapped["detail_type"]]
    return {
        "Name": names.rule_name(system, f"on-{event}"),
        "EventBusName": mapped.get("bus", "default"),
        "Description": f"Hears {event} for {system.name}, compiled by ctc.",
        "EventPattern": json.dumps(pattern, sort_keys=True),
        "State": "ENABLED",
        "Tags": resources.tags(system),
    }


def target(system: System, event: str, heard: Heard) -> dict[str, Any]:
    """The PutTargets body: the whole event, to the state machine."""
    hearing = {
        "Id": "hearing",
        "Arn": names.machine_arn(system, f"on-{event}"),
        "RoleArn": names.role_arn(system, "events"),
        "RetryPolicy": {"MaximumRetryAttempts": 8, "MaximumEventAgeInSeconds": 3600},
    }
    return {
        "Rule": names.rule_name(system, f"on-{event}"),
        "EventBusName": heard.mapped.get("bus", "default"),
        "Targets": [hearing],
    }


def machine(system: System, event: str, heard: Heard) -> dict[str, Any]:
    """The state machine's definition.

    The event's own id is the token of the start: an event that is delivered twice starts one execution. A field to
    dedupe by goes along where the event has it.
    """
    told: dict[str, Any] = {"name": event, "id.$": "$.id", "at.$": "$.time"}
    start = {
        "Type": "Task",
        "Resource": f"arn:{names.partition(system)}:states:::aws-sdk:sagemaker:startPipelineExecution",
        "Parameters": {
            "PipelineName": names.pipeline_name(system, "wake"),
            "ClientRequestToken.$": "$.id",
            "PipelineParameters": [
                {"Name": "Instant", "Value.$": "$.at"},
                {"Name": "Event", "Value.$": "States.JsonToString($)"},
            ],
        },
        "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 30, "MaxAttempts": 5, "BackoffRate": 2}],
        "End": True,
    }
    states: dict[str, Any] = {"start": start, "plain": {"Type": "Pass", "Parameters": told, "Next": "start"}}
    first = "plain"
    if heard.dedupe_by:
        path = f"$.detail.{heard.dedupe_by}"
        field = {f"{heard.dedupe_by}.$": path}
        states["with-field"] = {"Type": "Pass", "Parameters": {**told, "fields": field}, "Next": "start"}
        present = {"Variable": path, "IsPresent": True, "Next": "with-field"}
        states["has-field"] = {"Type": "Choice", "Choices": [present], "Default": "plain"}
        first = "has-field"
    return {
        "Comment": f"Wakes {system.name} with {event}, compiled by ctc.",
        "StartAt": first,
        "States": states,
        "TimeoutSeconds": 3600,
    }


def request(system: System, event: str) -> dict[str, Any]:
    """The CreateStateMachine body without its definition, which is a file of its own."""
    return {
        "name": names.machine_name(system, f"on-{event}"),
        "roleArn": names.role_arn(system, "hearing"),
        "type": "STANDARD",
        "tags": [{"key": item["Key"], "value": item["Value"]} for item in resources.tags(system)],
    }
