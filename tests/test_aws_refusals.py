"""The stand-in for AWS refuses what AWS refuses, with AWS's codes; and what it refuses, a deploy tells in words.

Each row is one request that is bad in one way, beside the good one that it was made from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aws_refusals
import boto3
import pytest
import requests
from aws_refusals import ACCOUNT, strict
from botocore.exceptions import ClientError, ParamValidationError
from moto import mock_aws

from ctc.deploy.resource import CloudError
from ctc.targets.sagemaker.session import Denied, Exists, Lost, Missing, Session

REGION, ELSEWHERE = "eu-north-1", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/all"
DEFINITION = {
    "Version": "2020-12-01",
    "Parameters": [{"Name": "Instant", "Type": "String"}, {"Name": "Manual", "Type": "String", "DefaultValue": "-"}],
    "Steps": [
        {"Name": "a", "Type": "Processing", "Arguments": {"x": {"Get": "Parameters.Instant"}}},
        {"Name": "b", "Type": "Fail", "DependsOn": ["a"], "Arguments": {"x": {"Get": "Steps.a.Status"}}},
    ],
}
MACHINE = {"StartAt": "a", "States": {"a": {"Type": "Pass", "End": True}}}
SCHEDULE: dict[str, Any] = {
    "Name": "wake",
    "ScheduleExpression": "cron(30 2 ? * MON *)",
    "FlexibleTimeWindow": {"Mode": "OFF"},
    "Target": {"Arn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/p", "RoleArn": ROLE},
}
TARGET = {"Id": "1", "Arn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:pipeline/p", "RoleArn": ROLE}
ALARM = {"AlarmName": "a", "Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 3600, "Threshold": 1.0,
         "EvaluationPeriods": 24, "ComparisonOperator": "LessThanThreshold"}  # fmt: skip
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": f"{name}.amazonaws.com"}}
        for name in ("sagemaker", "scheduler", "events", "states")
    ],
}


def pipeline(name: str = "new", definition: Any = DEFINITION, **more: Any) -> dict[str, Any]:
    text = definition if isinstance(definition, str) else json.dumps(definition)
    return {"PipelineName": name, "PipelineDefinition": text, "ClientRequestToken": "t" * 32, "RoleArn": ROLE, **more}


def definition(**change: Any) -> dict[str, Any]:
    return {**DEFINITION, **change}


def machine(name: str = "new", **more: Any) -> dict[str, Any]:
    return {"name": name, "definition": json.dumps(MACHINE), "roleArn": ROLE, **more}


@pytest.fixture(scope="module")
def account() -> Iterator[list[tuple[str, str]]]:
    """An account that has one of each kind, called `old`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            patch.setenv(name, "testing")
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        with mock_aws(), strict() as refused:
            populate()
            assert refused == [], "an account can be made of good requests"
            yield refused


def populate() -> None:
    for name, trust in (("all", TRUST), ("nobody", {"Version": "2012-10-17", "Statement": []})):
        call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    call("iam", "put_role_policy", RoleName="all", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    call("sagemaker", "create_pipeline", **pipeline("old"))
    call("sagemaker", "create_model_package_group", ModelPackageGroupName="old")
    call("sagemaker", "create_model_package", ModelPackageGroupName="old", ModelApprovalStatus="Approved")
    call("scheduler", "create_schedule", **{**SCHEDULE, "Name": "old"})
    call("events", "put_rule", Name="old", EventPattern='{"source": ["aws.s3"]}')
    call("events", "put_targets", Rule="old", Targets=[TARGET])
    call("stepfunctions", "create_state_machine", **machine("old"))
    call("sns", "create_topic", Name="old", Tags=[{"Key": "ctc:name", "Value": "a"}])
    call("s3", "create_bucket", Bucket="old", CreateBucketConfiguration={"LocationConstraint": REGION})
    call("s3", "put_object", Bucket="old", Key="old", Body=b"1")


POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
CLIENTS: dict[tuple[str, str], Any] = {}


def client(service: str, region: str = REGION) -> Any:
    if (service, region) not in CLIENTS:
        CLIENTS[service, region] = boto3.client(service, region_name=region)
    return CLIENTS[service, region]


def call(service: str, operation: str, region: str = REGION, /, **arguments: Any) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = getattr(client(service, region), operation)(**arguments)
    return answer


@dataclass(frozen=True)
class Bad:
    """A request, the code by which AWS refuses it, and what a deploy makes of that."""

    service: str
    operation: str
    arguments: Mapping[str, Any]
    code: str
    told: type[CloudError] = CloudError
    region: str = REGION
    moto: bool = field(default=False)
    """moto refuses it by itself."""


def start(*given: str, name: str = "old") -> dict[str, Any]:
    return {"PipelineName": name, "PipelineParameters": [{"Name": item, "Value": "x"} for item in given]}


def schedule(**change: Any) -> dict[str, Any]:
    return {**SCHEDULE, **change}


def target(**change: Any) -> dict[str, Any]:
    return {**SCHEDULE, "Target": {**SCHEDULE["Target"], **change}}


def steps(*listed: Mapping[str, Any]) -> dict[str, Any]:
    return pipeline(definition=definition(Steps=list(listed)))


A: Mapping[str, Any] = {"Name": "a", "Type": "Processing"}
V, R = "ValidationException", "ResourceNotFoundException"
BAD: Mapping[str, Bad] = {
    "pipeline-illegal-name": Bad("sagemaker", "create_pipeline", pipeline("no_underscore"), V),
    "pipeline-name-too-long": Bad("sagemaker", "create_pipeline", pipeline("x" * 257), V),
    "pipeline-duplicate-name": Bad("sagemaker", "create_pipeline", pipeline("old"), V, Exists, moto=True),
    "pipeline-description-too-long": Bad("sagemaker", "create_pipeline", pipeline(PipelineDescription="x" * 3073), V),
    "pipeline-absent-role": Bad("sagemaker", "create_pipeline", pipeline(RoleArn=f"{ROLE}-gone"), V),
    "pipeline-role-of-nobody": Bad("sagemaker", "create_pipeline", pipeline(RoleArn=ROLE.replace("all", "nobody")), V),
    "pipeline-foreign-role": Bad(
        "sagemaker", "create_pipeline", pipeline(RoleArn=ROLE.replace(ACCOUNT, "9" * 12)), "AccessDeniedException",
        Denied,
    ),
    "pipeline-reserved-tag": Bad(
        "sagemaker", "create_pipeline", pipeline(Tags=[{"Key": "aws:name", "Value": "x"}]), V
    ),
    "pipeline-tag-twice": Bad("sagemaker", "create_pipeline", pipeline(Tags=[{"Key": "a", "Value": "x"}] * 2), V),
    "pipeline-too-many-tags": Bad(
        "sagemaker", "create_pipeline", pipeline(Tags=[{"Key": f"k{n}", "Value": "x"} for n in range(51)]), V
    ),
    "definition-no-json": Bad("sagemaker", "create_pipeline", pipeline(definition="{"), V),
    "definition-no-steps": Bad("sagemaker", "create_pipeline", steps(), V),
    "definition-other-version": Bad("sagemaker", "create_pipeline", pipeline(definition=definition(Version="1")), V),
    "definition-unknown-type": Bad("sagemaker", "create_pipeline", steps({**A, "Type": "Procesing"}), V),
    "definition-step-twice": Bad("sagemaker", "create_pipeline", steps(A, A), V),
    "definition-missing-parent": Bad("sagemaker", "create_pipeline", steps({**A, "DependsOn": ["z"]}), V),
    "definition-undeclared-parameter": Bad(
        "sagemaker", "create_pipeline", steps({**A, "Arguments": {"x": {"Get": "Parameters.Z"}}}), V
    ),
    "definition-unknown-step": Bad(
        "sagemaker", "create_pipeline", steps({**A, "Arguments": {"x": [{"Get": "Steps.z.Status"}]}}), V
    ),
    "definition-parameter-twice": Bad(
        "sagemaker", "create_pipeline", pipeline(definition=definition(Parameters=[{"Name": "Instant"}] * 2)), V
    ),
    "update-absent-pipeline": Bad(
        "sagemaker", "update_pipeline", {"PipelineName": "gone", "RoleArn": ROLE}, "ResourceNotFound", Missing
    ),
    "update-bad-definition": Bad(
        "sagemaker", "update_pipeline", {"PipelineName": "old", "PipelineDefinition": "[]", "RoleArn": ROLE}, V
    ),
    "read-absent-pipeline": Bad(
        "sagemaker", "describe_pipeline", {"PipelineName": "gone"}, "ResourceNotFound", Missing
    ),
    "read-in-another-region": Bad(
        "sagemaker", "describe_pipeline", {"PipelineName": "old"}, "ResourceNotFound", Missing, ELSEWHERE
    ),
    "delete-absent-pipeline": Bad(
        "sagemaker", "delete_pipeline", {"PipelineName": "gone", "ClientRequestToken": "t" * 32}, "ResourceNotFound",
        Missing,
    ),
    "start-absent-pipeline": Bad(
        "sagemaker", "start_pipeline_execution", start("Instant", name="gone"), "ResourceNotFound", Missing
    ),
    "start-undeclared-parameter": Bad("sagemaker", "start_pipeline_execution", start("Instant", "Z"), V),
    "start-without-a-value": Bad("sagemaker", "start_pipeline_execution", start("Manual"), V),
    "group-illegal-name": Bad("sagemaker", "create_model_package_group", {"ModelPackageGroupName": "-x"}, V),
    "group-name-too-long": Bad("sagemaker", "create_model_package_group", {"ModelPackageGroupName": "x" * 64}, V),
    "group-duplicate-name": Bad(
        "sagemaker", "create_model_package_group", {"ModelPackageGroupName": "old"}, V, Exists
    ),
    "group-with-versions": Bad(
        "sagemaker", "delete_model_package_group", {"ModelPackageGroupName": "old"}, "ConflictException"
    ),
    "group-absent": Bad("sagemaker", "delete_model_package_group", {"ModelPackageGroupName": "gone"}, V, Missing),
    "schedule-five-fields": Bad("scheduler", "create_schedule", schedule(ScheduleExpression="cron(30 2 * * 1)"), V),
    "schedule-both-days": Bad("scheduler", "create_schedule", schedule(ScheduleExpression="cron(30 2 1 * MON *)"), V),
    "schedule-hour-25": Bad("scheduler", "create_schedule", schedule(ScheduleExpression="cron(0 25 ? * * *)"), V),
    "schedule-no-rate": Bad("scheduler", "create_schedule", schedule(ScheduleExpression="rate(0 hours)"), V),
    "schedule-unknown-zone": Bad(
        "scheduler", "create_schedule", schedule(ScheduleExpressionTimezone="Europe/Atlantis"), V
    ),
    "schedule-illegal-name": Bad("scheduler", "create_schedule", schedule(Name="a b"), V),
    "schedule-name-too-long": Bad("scheduler", "create_schedule", schedule(Name="x" * 65), V),
    "schedule-duplicate-name": Bad(
        "scheduler", "create_schedule", schedule(Name="old"), "ConflictException", Exists, moto=True
    ),
    "schedule-unknown-state": Bad("scheduler", "create_schedule", schedule(State="PAUSED"), V),
    "schedule-window-without-length": Bad(
        "scheduler", "create_schedule", schedule(FlexibleTimeWindow={"Mode": "FLEXIBLE"}), V
    ),
    "schedule-absent-group": Bad("scheduler", "create_schedule", schedule(GroupName="gone"), R, Missing),
    "schedule-absent-role": Bad("scheduler", "create_schedule", target(RoleArn=f"{ROLE}-gone"), V),
    "schedule-role-of-nobody": Bad("scheduler", "create_schedule", target(RoleArn=ROLE.replace("all", "nobody")), V),
    "schedule-target-in-another-region": Bad(
        "scheduler", "create_schedule", target(Arn=SCHEDULE["Target"]["Arn"].replace(REGION, ELSEWHERE)), V
    ),
    "schedule-update-absent": Bad("scheduler", "update_schedule", schedule(Name="gone"), R, Missing, moto=True),
    "schedule-read-in-another-region": Bad(
        "scheduler", "get_schedule", {"Name": "old"}, R, Missing, ELSEWHERE, moto=True
    ),
    "rule-no-pattern": Bad("events", "put_rule", {"Name": "new"}, V, moto=True),
    "rule-pattern-no-json": Bad(
        "events", "put_rule", {"Name": "new", "EventPattern": "{"}, "InvalidEventPatternException", moto=True
    ),
    "rule-pattern-without-list": Bad(
        "events", "put_rule", {"Name": "new", "EventPattern": '{"source": "aws.s3"}'}, "InvalidEventPatternException",
        moto=True,
    ),
    "rule-absent-bus": Bad(
        "events", "put_rule", {"Name": "new", "EventPattern": '{"source": ["x"]}', "EventBusName": "gone"}, R, Missing,
        moto=True,
    ),
    "rule-name-too-long": Bad("events", "put_rule", {"Name": "x" * 65, "EventPattern": '{"source": ["x"]}'}, V),
    "target-of-absent-rule": Bad(
        "events", "put_targets", {"Rule": "gone", "Targets": [TARGET]}, R, Missing, moto=True
    ),
    "target-without-role": Bad(
        "events", "put_targets", {"Rule": "old", "Targets": [{"Id": "1", "Arn": TARGET["Arn"]}]}, V
    ),
    "rule-with-targets": Bad("events", "delete_rule", {"Name": "old"}, V, moto=True),
    "machine-illegal-name": Bad("stepfunctions", "create_state_machine", machine("a b"), "InvalidName", moto=True),
    "machine-no-json": Bad("stepfunctions", "create_state_machine", machine(definition="{"), "InvalidDefinition"),
    "machine-unknown-state": Bad(
        "stepfunctions", "create_state_machine", machine(definition=json.dumps({**MACHINE, "StartAt": "z"})),
        "InvalidDefinition",
    ),
    "machine-no-arn": Bad("stepfunctions", "create_state_machine", machine(roleArn="all"), "InvalidArn", moto=True),
    "machine-absent-role": Bad(
        "stepfunctions", "create_state_machine", machine(roleArn=f"{ROLE}-gone"), "AccessDeniedException",
        Denied,
    ),
    "machine-duplicate-name": Bad(
        "stepfunctions", "create_state_machine",
        machine("old", definition=json.dumps({**MACHINE, "Comment": "other"})), "StateMachineAlreadyExists", Exists,
    ),
    "machine-absent": Bad(
        "stepfunctions", "describe_state_machine",
        {"stateMachineArn": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:gone"}, "StateMachineDoesNotExist",
        Missing, moto=True,
    ),
    "topic-illegal-name": Bad("sns", "create_topic", {"Name": "a b"}, "InvalidParameter", moto=True),
    "topic-of-others": Bad(
        "sns", "create_topic", {"Name": "old", "Tags": [{"Key": "ctc:name", "Value": "b"}]}, "InvalidParameter"
    ),
    "alarm-without-metric": Bad(
        "cloudwatch", "put_metric_alarm", {key: item for key, item in ALARM.items() if key != "MetricName"},
        "ValidationError",
    ),
    "alarm-longer-than-a-week": Bad(
        "cloudwatch", "put_metric_alarm", {**ALARM, "EvaluationPeriods": 200}, "ValidationError"
    ),
    "alarm-odd-period": Bad("cloudwatch", "put_metric_alarm", {**ALARM, "Period": 90}, "ValidationError"),
    "object-stale-etag": Bad(
        "s3", "put_object", {"Bucket": "old", "Key": "old", "Body": b"2", "IfMatch": '"stale"'}, "PreconditionFailed",
        Lost, moto=True,
    ),
    "object-is-there-already": Bad(
        "s3", "put_object", {"Bucket": "old", "Key": "old", "Body": b"2", "IfNoneMatch": "*"}, "PreconditionFailed",
        Lost, moto=True,
    ),
    "object-absent": Bad("s3", "get_object", {"Bucket": "old", "Key": "gone"}, "NoSuchKey", Missing, moto=True),
    "bucket-absent": Bad("s3", "put_object", {"Bucket": "gone", "Key": "k", "Body": b""}, "NoSuchBucket", moto=True),
    "role-duplicate-name": Bad(
        "iam", "create_role", {"RoleName": "all", "AssumeRolePolicyDocument": json.dumps(TRUST)},
        "EntityAlreadyExists", Exists, moto=True,
    ),
    "role-absent": Bad("iam", "get_role", {"RoleName": "gone"}, "NoSuchEntity", Missing, moto=True),
    "role-with-policies": Bad("iam", "delete_role", {"RoleName": "all"}, "DeleteConflict", moto=True),
    "role-bad-policy": Bad(
        "iam", "put_role_policy", {"RoleName": "all", "PolicyName": "q", "PolicyDocument": "{}"},
        "MalformedPolicyDocument", moto=True,
    ),
    "role-name-too-long": Bad(
        "iam", "create_role", {"RoleName": "x" * 65, "AssumeRolePolicyDocument": json.dumps(TRUST)}, "ValidationError"
    ),
}  # fmt: skip


def test_many_ways_to_be_wrong_are_refused() -> None:
    assert len(BAD) >= 60
    assert {bad.service for bad in BAD.values()} == {
        "cloudwatch", "events", "iam", "s3", "sagemaker", "scheduler", "sns", "stepfunctions",
    }  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_with_the_services_own_code(name: str, account: list[tuple[str, str]]) -> None:
    bad = BAD[name]
    with pytest.raises(ClientError) as caught:
        call(bad.service, bad.operation, bad.region, **bad.arguments)

    assert caught.value.response["Error"]["Code"] == bad.code, caught.value


@pytest.mark.parametrize("name", BAD)
def test_a_deploy_tells_it_in_words(name: str, account: list[tuple[str, str]]) -> None:
    """With the resource and the action; absent and present ones are told apart, since a deploy goes on there."""
    bad, session = BAD[name], Session(BAD[name].region)
    session._clients = {bad.service: client(bad.service, bad.region)}
    with pytest.raises(CloudError) as caught:
        session.call(bad.service, bad.operation, "thing/new", **bad.arguments)

    assert type(caught.value) is bad.told
    assert caught.value.message.startswith("thing/new: ")


@pytest.mark.soak
def test_moto_alone_would_take_them_or_tell_them_otherwise(account: list[tuple[str, str]]) -> None:
    """Each rule is needed; where moto refuses the same by itself, the row says so."""
    taken: list[str] = []
    for name, bad in BAD.items():
        # moto's own address, which it answers itself.
        requests.post("http://motoapi.amazonaws.com/moto-api/reset", timeout=5)
        populate()
        with aws_refusals.lenient():
            if not is_refused(bad):
                taken.append(name)
    requests.post("http://motoapi.amazonaws.com/moto-api/reset", timeout=5)
    populate()

    assert set(taken) == {name for name, bad in BAD.items() if not bad.moto}
    assert len(taken) >= 40


def is_refused(bad: Bad) -> bool:
    try:
        call(bad.service, bad.operation, bad.region, **bad.arguments)
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == bad.code)
    except (NotImplementedError, KeyError):
        return False
    return False


def test_a_field_that_no_service_has_is_not_even_sent(account: list[tuple[str, str]]) -> None:
    with pytest.raises(ParamValidationError):
        call("sagemaker", "create_pipeline", **pipeline(Descripton="x"))
    with pytest.raises(CloudError) as caught:
        Session(REGION).call("sagemaker", "create_pipeline", "pipeline/new", **pipeline(Descripton="x"))
    assert "Descripton" in caught.value.message and "bug in ctc" in caught.value.help


GOOD: Mapping[str, Callable[[], Any]] = {
    "cron": lambda: call("scheduler", "create_schedule", **schedule(Name="g1")),
    "cron-lists": lambda: call(
        "scheduler", "create_schedule", **schedule(Name="g2", ScheduleExpression="cron(0/15 8-17 ? JAN-MAR MON,FRI *)")
    ),
    "cron-last": lambda: call(
        "scheduler", "create_schedule", **schedule(Name="g3", ScheduleExpression="cron(0 0 L * ? 2026-2030)")
    ),
    "rate": lambda: call("scheduler", "create_schedule", **schedule(Name="g4", ScheduleExpression="rate(1 hour)")),
    "pattern": lambda: call(
        "events", "put_rule", Name="g5", EventPattern='{"detail": {"a": [{"prefix": "x"}, {"exists": false}]}}'
    ),
    "pipeline": lambda: call("sagemaker", "create_pipeline", **pipeline("g6")),
    "start": lambda: call("sagemaker", "start_pipeline_execution", **start("Instant", "Manual")),
    "same-machine": lambda: call("stepfunctions", "create_state_machine", **machine("g7")),
    "alarm": lambda: call("cloudwatch", "put_metric_alarm", **ALARM),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_request_is_taken(name: str, account: list[tuple[str, str]]) -> None:
    before = len(account)
    GOOD[name]()

    assert len(account) == before
