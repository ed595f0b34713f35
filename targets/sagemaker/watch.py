"""The alarms that the platform raises, also when no wake runs any more.

That wakes end well is a metric of the service, on which CloudWatch alarms for up to seven days' absence. Where that is
too short, and for the age of the last training, an hourly state machine asks the service for its executions and fails
when it finds none that is young enough; the alarm on it goes off too when the watch itself is dead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from ctc.compiler.ir import System
from ctc.targets.sagemaker import names
from ctc.targets.sagemaker.resources import tags
from ctc.targets.sagemaker.schedules import schedule

HOUR = 3600
ALARM_SECONDS = 604_800
"""All periods of an alarm together, where a period is an hour or more (CloudWatch PutMetricAlarm, Period)."""
MISSED = 3
"""So many wakes' time without one that ended well raises the alarm; so many silent hours of a watch, too."""


class Watched(NamedTuple):
    """A pipeline, and how old its last good execution may get, in seconds."""

    pipeline: str
    seconds: int


def silence(system: System) -> int:
    """For how long no wake may end well, in seconds: whole hours, at least three wakes."""
    return math.ceil(MISSED * system.wakes.every.total_seconds() / HOUR) * HOUR


def max_age(system: System) -> int | None:
    """The staleness of the spec in seconds; None where nothing watches it."""
    [wake] = system.wake.steps()
    document: Mapping[str, Any] = wake.document or {}
    found = document.get("policy", {}).get("triggers", {}).get("staleness")
    return None if found is None else math.ceil(float(found))


def watched(system: System) -> dict[str, Watched]:
    """What is watched by a state machine, by the name of its alarm."""
    found = {}
    age = max_age(system)
    if age is not None:
        found["staleness"] = Watched("train", age)
    if silence(system) > ALARM_SECONDS:
        found["wakes"] = Watched("wake", silence(system))
    return found


def alarms(system: System) -> dict[str, dict[str, Any]]:
    """The PutMetricAlarm bodies by name."""
    made = {own: _on_watch(system, own, what) for own, what in watched(system).items()}
    if "wakes" not in made:
        made["wakes"] = _on_wakes(system)
    return made


def _on_wakes(system: System) -> dict[str, Any]:
    """On the count that the platform itself keeps of the wake pipeline's executions, missing data counting as none.

    A wake that never starts emits nothing of its own, so a metric of ours could not tell it.
    """
    period = silence(system)
    about = f"No wake of {system.name} ended well for {period} seconds."
    dimension = {"Name": "PipelineName", "Value": names.pipeline_name(system, "wake")}
    space = "AWS/Sagemaker/ModelBuildingPipeline"
    return _alarm(system, "wakes", about, space, "ExecutionSucceeded", dimension, period // HOUR)


def _on_watch(system: System, own: str, what: Watched) -> dict[str, Any]:
    about = (
        f"No {what.pipeline} of {system.name} that was started in the last {what.seconds} seconds ended well, "
        "or nothing watches it any more."
    )
    dimension = {"Name": "StateMachineArn", "Value": names.machine_arn(system, f"watch-{own}")}
    return _alarm(system, own, about, "AWS/States", "ExecutionsSucceeded", dimension, MISSED)


def _alarm(
    system: System, own: str, about: str, space: str, metric: str, dimension: Mapping[str, str], hours: int
) -> dict[str, Any]:
    return {
        "AlarmName": names.alarm_name(system, own),
        "AlarmDescription": about,
        "Namespace": space,
        "MetricName": metric,
        "Dimensions": [dict(dimension)],
        "Statistic": "Sum",
        "Period": HOUR,
        "EvaluationPeriods": hours,
        "Threshold": 1.0,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [names.topic_arn(system)],
        "OKActions": [names.topic_arn(system)],
        "Tags": tags(system),
    }


def machine(system: System, what: Watched) -> dict[str, Any]:
    """The definition of a watch: Amazon States Language with JSONata, which alone reckons with time."""
    since = f"{{% $fromMillis($toMillis($states.context.Execution.StartTime) - {what.seconds * 1000}) %}}"
    asked = {
        "PipelineName": names.pipeline_name(system, what.pipeline),
        "CreatedAfter": since,
        "SortBy": "CreationTime",
        "SortOrder": "Descending",
        "MaxResults": 100,
    }
    found = "{% 'Succeeded' in $states.input.PipelineExecutionSummaries.PipelineExecutionStatus %}"
    more = "{% $exists($states.input.NextToken) %}"
    return {
        "Comment": f"Finds a young {what.pipeline} of {system.name}, compiled by ctc.",
        "QueryLanguage": "JSONata",
        "StartAt": "ask",
        "States": {
            "ask": _ask(system, asked),
            "ask-on": _ask(system, {**asked, "NextToken": "{% $states.input.NextToken %}"}),
            "judge": {
                "Type": "Choice",
                "Choices": [{"Condition": found, "Next": "young"}, {"Condition": more, "Next": "ask-on"}],
                "Default": "old",
            },
            "young": {"Type": "Succeed"},
            "old": {
                "Type": "Fail",
                "Error": "Old",
                "Cause": f"no {what.pipeline} that was started in the last {what.seconds} seconds has ended well",
            },
        },
        "TimeoutSeconds": HOUR,
    }


def _ask(system: System, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Type": "Task",
        "Resource": f"arn:{names.partition(system)}:states:::aws-sdk:sagemaker:listPipelineExecutions",
        "Arguments": dict(arguments),
        "Retry": [{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 30, "MaxAttempts": 5, "BackoffRate": 2}],
        "Next": "judge",
    }


def machine_request(system: System, own: str) -> dict[str, Any]:
    """The CreateStateMachine body without its definition, which is a file of its own."""
    return {
        "name": names.machine_name(system, f"watch-{own}"),
        "roleArn": names.role_arn(system, "watch"),
        "type": "STANDARD",
        "tags": [{"key": item["Key"], "value": item["Value"]} for item in tags(system)],
    }


def hourly(system: System, own: str) -> dict[str, Any]:
    """The CreateSchedule body that starts a watch."""
    target = {"Arn": names.machine_arn(system, f"watch-{own}"), "Input": "{}"}
    about = f"Watches {own} of {system.name}, compiled by ctc."
    return schedule(system, f"watch-{own}", "rate(1 hour)", target, about)
