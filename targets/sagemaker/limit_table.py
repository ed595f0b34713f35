"""The services' limits, as data: the number, who says it, in which words, and when that was read."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.targets.sagemaker.names import LENGTHS
from ctc.value import Value, frozen

_MODEL = "botocore 1.44 service model"


@frozen
class Limit(Value):
    """`said` is the sentence of the source.

    `shape` is where botocore's service model states it: `service:Shape` for the `max` of a shape, and
    `service:Shape.member` for a sentence of a member's documentation; empty for another source. `as_of` is the month
    of the reading.
    """

    value: int
    source: str
    said: str
    shape: str = ""
    as_of: str = "2026-11"


def _max(value: int, shape: str) -> Limit:
    return Limit(value, f"{_MODEL}, {shape}", f'"max":{value}', shape)


def _told(value: int, shape: str, said: str) -> Limit:
    return Limit(value, f"{_MODEL}, {shape}", said, shape)


LIMITS: Mapping[str, Limit] = {
    "pipeline name": Limit(
        LENGTHS["pipeline name"],
        "service error quoted in aws/sagemaker-python-sdk#2933; the model says 256",
        'An error occurred (ValidationException) when calling the CreatePipeline operation: [string "<pipeline-name>" '
        "is too long (length: <xxx>, maximum allowed: 82)]",
    ),
    "role name": _max(LENGTHS["role name"], "iam:roleNameType"),
    "policy name": _max(LENGTHS["policy name"], "iam:policyNameType"),
    "rule name": _max(LENGTHS["rule name"], "events:RuleName"),
    "schedule name": _max(LENGTHS["schedule name"], "scheduler:Name"),
    "schedule expression": _max(256, "scheduler:ScheduleExpression"),
    "schedule zone": _max(50, "scheduler:ScheduleExpressionTimezone"),
    "state machine name": _max(LENGTHS["state machine name"], "stepfunctions:Name"),
    "state machine": _max(1_048_576, "stepfunctions:Definition"),
    "topic name": _told(
        LENGTHS["topic name"], "sns:CreateTopicInput.Name", "must be between 1 and 256 characters long"
    ),
    "alarm name": _max(LENGTHS["alarm name"], "cloudwatch:AlarmName"),
    "alarm description": _max(1024, "cloudwatch:AlarmDescription"),
    "alarm seconds": _told(
        604_800,
        "cloudwatch:PutMetricAlarmInput.Period",
        "Period multiplied by EvaluationPeriods can't be more than 604,800 seconds",
    ),
    "alarm seconds, short periods": _told(
        86_400,
        "cloudwatch:PutMetricAlarmInput.Period",
        "For alarms with a period of less than one hour (3,600 seconds), the total evaluation period can't be longer "
        "than one day (86,400 seconds).",
    ),
    "group name": _max(LENGTHS["group name"], "sagemaker:EntityName"),
    "model name": _max(LENGTHS["model name"], "sagemaker:ModelName"),
    "endpoint name": _max(LENGTHS["endpoint name"], "sagemaker:EndpointName"),
    "rollback alarms": _max(10, "sagemaker:AlarmList"),
    "event pattern": _max(4096, "events:EventPattern"),
    "subnets": _max(16, "sagemaker:Subnets"),
    "security groups": _max(5, "sagemaker:VpcSecurityGroupIds"),
    "job name": _max(63, "sagemaker:ProcessingJobName"),
    "step name": Limit(
        29, "derived from the name of a job", "job names are pipelines-<12>-<step>-<10> within 63 characters"
    ),
    "steps": Limit(
        50,
        f"{_MODEL}, sagemaker:SelectedStepList; the service's own limit is not published",
        '"max":50',
        "sagemaker:SelectedStepList",
    ),
    "parameters": _max(200, "sagemaker:ParameterList"),
    "definition": _max(1_048_576, "sagemaker:PipelineDefinition"),
    "arguments": _max(100, "sagemaker:ContainerArguments"),
    "argument": _max(256, "sagemaker:ContainerArgument"),
    "processing inputs": _max(10, "sagemaker:ProcessingInputs"),
    "processing outputs": _max(10, "sagemaker:ProcessingOutputs"),
    "training channels": _max(20, "sagemaker:InputDataConfig"),
    "environment": _max(100, "sagemaker:ProcessingEnvironmentMap"),
    "environment value, processing": _max(256, "sagemaker:ProcessingEnvironmentValue"),
    "environment value, training": _max(512, "sagemaker:TrainingEnvironmentValue"),
    "hyperparameters": _max(100, "sagemaker:HyperParameters"),
    "hyperparameter": _told(
        256,
        "sagemaker:CreateTrainingJobRequest.HyperParameters",
        "Each key and value is limited to 256 characters, as specified by the Length Constraint.",
    ),
    "image": _max(255, "sagemaker:ImageUri"),
    "S3 URI": _max(1024, "sagemaker:S3Uri"),
    "processing runtime": _max(777_600, "sagemaker:ProcessingMaxRuntimeInSeconds"),
    "training runtime": _told(
        28 * 86_400, "sagemaker:StoppingCondition.MaxRuntimeInSeconds", "The maximum value is 28 days."
    ),
    "volume": _max(16_384, "sagemaker:ProcessingVolumeSizeInGB"),
    "managed policy": Limit(
        6144,
        "AWS re:Post, knowledge center, iam-increase-policy-size (Italian); white space does not count",
        "Il limite massimo di caratteri per le policy gestite è 6.144.",
    ),
}
"""Counts and lengths in characters, runtimes in seconds, volumes in GiB."""
