"""Good bundles broken in many ways, each of which our own checks must catch; and who else catches it.

A mutation is made in the single document and in the template alike, so that no check sees it by comparing the two.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from breaking import Change, Files, at, text, without
from sagemaker_system import documents, full_system
from test_sagemaker_judges import judge, plain

from ctc.targets.sagemaker.check import job_steps
from ctc.targets.sagemaker.check_bundle import check_bundle
from ctc.targets.sagemaker.check_template import _wanted

TRAIN, WAKE, RECORD = "pipelines/train.json", "pipelines/wake.json", "pipelines/record.json"
EVERY, WEEKLY, HOURLY = "schedules/wake.json", "schedules/at-weekly.json", "schedules/watch-staleness.json"
PIPELINE, SCHEDULER = "identities/pipeline.policy.json", "identities/scheduler.policy.json"
EVENTS, HEARING = "identities/events.policy.json", "identities/hearing.policy.json"
EVENT = "events/fraud-ops-alert"
RULE, TARGET = "events/record-rule.json", "events/record-target.json"
ALARM, WATCH = "alarms/staleness.json", "alarms/staleness-machine.json"
TEMPLATE = "template.json"
SERVING = "serving/api"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return documents(full_system(tmp_path_factory.mktemp("good")))


def step(name: str, *keys: Any, value: Any, path: str = TRAIN) -> Change:
    """Sets what is at a place of the arguments of a job; None takes it away."""

    def change(files: Files) -> None:
        node = next(item for item in job_steps(files[path]) if item["Name"] == name)["Arguments"]
        for key in keys[:-1]:
            node = node[key]
        if value is None:
            del node[keys[-1]]
        else:
            assert isinstance(node, list) or keys[-1] not in node or node[keys[-1]] != value
            node[keys[-1]] = value

    return change


def of_step(name: str, key: str, value: Any) -> Change:
    """Sets a part of a step beside its arguments."""

    def change(files: Files) -> None:
        found: Any = next(item for item in job_steps(files[TRAIN]) if item["Name"] == name)
        found[key] = value

    return change


def statement(path: str, sid: str, key: str, value: Any) -> Change:
    """Sets a part of a statement of a policy; None takes it away."""

    def change(files: Files) -> None:
        found = next(item for item in files[path]["Statement"] if item["Sid"] == sid)
        assert found.get(key) != value
        if value is None:
            del found[key]
        else:
            found[key] = value

    return change


def forgets(path: str, sid: str) -> Change:
    """Takes a statement away."""

    def change(files: Files) -> None:
        kept = [item for item in files[path]["Statement"] if item["Sid"] != sid]
        assert len(kept) == len(files[path]["Statement"]) - 1
        files[path]["Statement"] = kept

    return change


def extra_role(files: Files) -> None:
    for kind in ("policy", "trust"):
        files[f"identities/other.{kind}.json"] = files[f"identities/hearing.{kind}.json"]


def parameter_of(path: str, name: str, value: str) -> Change:
    """What a schedule or a rule gives the pipeline that it starts."""

    def change(files: Files) -> None:
        body = files[path]
        target = body["Target"] if "Target" in body else body["Targets"][0]
        told = target["SageMakerPipelineParameters"]["PipelineParameterList"]
        next(item for item in told if item["Name"] == name)["Value"] = value

    return change


CLUSTER = ("ProcessingResources", "ClusterConfig")
START = (f"{EVENT}-machine.json", "States", "start")

MUTATIONS: dict[str, Change] = {
    # The pipelines.
    "an old version of the definition": at(TRAIN, "Version", value="2019-01-01"),
    "no steps": at(TRAIN, "Steps", value=[]),
    "a reference to nothing": text(TRAIN, "Steps.validate.", "Steps.validation."),
    "a parameter that is not there": text(TRAIN, "Parameters.ChampionModel", "Parameters.Champion"),
    "a property file of no output": of_step(
        "validate", "PropertyFiles", [{"PropertyFileName": "result", "OutputName": "x", "FilePath": "result.json"}]
    ),
    "a retry of what the service never retries": of_step(
        "train", "RetryPolicies", [{"ExceptionType": ["SageMaker.MY_CODE"], "MaxAttempts": 2}]
    ),
    "no retries at all": of_step("train", "RetryPolicies", []),
    "a circle": of_step("snapshot", "DependsOn", ["validate"]),
    "no word on whose it is": without(TRAIN, "Metadata", "ctc-spec-digest"),
    "a job as another role": step("snapshot", "RoleArn", value="arn:aws:iam::123456789012:role/admin"),
    "a job without tags": step("train", "Tags", value=[]),
    "a job without an image": step("evaluate", "AppSpecification", "ImageUri", value=""),
    "an image that decides what runs": step("evaluate", "AppSpecification", "ContainerEntrypoint", value=[]),
    "a word of 257 characters": step("evaluate", "AppSpecification", "ContainerArguments", 0, value="x" * 257),
    "a folder that is not mounted": step(
        "evaluate", "AppSpecification", "ContainerArguments", value=["--input", "snapshot=/opt/ml/processing/input/x"]
    ),
    "an instance type that is none": step("evaluate", *CLUSTER, "InstanceType", value="ml.mega.1"),
    "a type that does not train": step("train", "ResourceConfig", "InstanceType", value="ml.t3.medium"),
    "two instances": step("train", "ResourceConfig", "InstanceCount", value=2),
    "one instance for a command of three": step("train", "ResourceConfig", "InstanceCount", value=1),
    "two instances for a command of one": step("evaluate", *CLUSTER, "InstanceCount", value=2),
    "a disk of nothing": step("evaluate", *CLUSTER, "VolumeSizeInGB", value=0),
    "a disk under another key": step("evaluate", *CLUSTER, "VolumeKmsKeyId", value="alias/other"),
    "a disk without the key": step("evaluate", *CLUSTER, "VolumeKmsKeyId", value=None),
    "a job outside the network": step("evaluate", "NetworkConfig", value=None),
    "a network without groups": step("evaluate", "NetworkConfig", "VpcConfig", "SecurityGroupIds", value=[]),
    "a job that runs for months": step("train", "StoppingCondition", "MaxRuntimeInSeconds", value=10_000_000),
    "a wait that is shorter than the run": step("train", "StoppingCondition", "MaxWaitTimeInSeconds", value=1),
    "a wait for no spot capacity": step("train", "EnableManagedSpotTraining", value=False),
    "spot capacity without checkpoints": step("train", "CheckpointConfig", value=None),
    "a packed model": step("train", "OutputDataConfig", "CompressionType", value="GZIP"),
    "a hyperparameter that is a number": step("train", "HyperParameters", "depth", value=8),
    "an environment value that is too long": step("snapshot", "Environment", value={"A": "x" * 257}),
    "an output in another store": step(
        "train", "OutputDataConfig", "S3OutputPath", value="gs://acme-ct/checkout-fraud/default/sagemaker/x"
    ),
    "an output away from its own part": step("train", "OutputDataConfig", "S3OutputPath", value="s3://other/x/y"),
    "two channels of one name": step("train", "InputDataConfig", 1, "ChannelName", value="ctc"),
    "a pipeline of two names": at("requests/train.json", "PipelineName", value="checkout-fraud-wake"),
    "a pipeline with an underscore": at("requests/train.json", "PipelineName", value="checkout_fraud"),
    "a record pipeline as another role": at(
        "requests/record.json", "RoleArn", value="arn:aws:iam::123456789012:role/other"
    ),
    # The schedules.
    "nothing that wakes": without(EVERY),
    "a rate of nothing": at(EVERY, "ScheduleExpression", value="rate(0 hours)"),
    "a rate in the wrong number": at(EVERY, "ScheduleExpression", value="rate(1 days)"),
    "a cron of five fields": at(WEEKLY, "ScheduleExpression", value="cron(30 2 * * 1)"),
    "a cron with both day fields": at(WEEKLY, "ScheduleExpression", value="cron(30 2 1 * MON *)"),
    "a cron at minute 60": at(WEEKLY, "ScheduleExpression", value="cron(60 2 ? * MON *)"),
    "a cron without its zone": without(WEEKLY, "ScheduleExpressionTimezone"),
    "a schedule that is off": at(WEEKLY, "State", value="DISABLED"),
    "a schedule that may come late": at(
        EVERY, "FlexibleTimeWindow", value={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    ),
    "a schedule of train": text(EVERY, "pipeline/checkout-fraud-wake", "pipeline/checkout-fraud-train"),
    "the instant of delivery": parameter_of(EVERY, "Instant", "<aws.scheduler.execution-id>"),
    "a schedule as another role": at(
        EVERY, "Target", "RoleArn", value="arn:aws:iam::123456789012:role/checkout-fraud-hearing"
    ),
    # The policies.
    "a policy of an old version": at(SCHEDULER, "Version", value="2008-10-17"),
    "everything": statement(PIPELINE, "Own", "Resource", ["*"]),
    "all buckets": statement(PIPELINE, "Own", "Resource", ["arn:aws:s3:::*"]),
    "all of a bucket": statement(PIPELINE, "Own", "Resource", ["arn:aws:s3:::acme-ct/*"]),
    "all that S3 does": statement(PIPELINE, "Own", "Action", ["s3:*"]),
    "a list of a whole bucket": statement(PIPELINE, "List0", "Condition", None),
    "its role to any service": statement(PIPELINE, "GiveItselfToJobs", "Condition", None),
    "any role": statement(PIPELINE, "GiveItselfToJobs", "Resource", ["arn:aws:iam::123456789012:role/*"]),
    "all secrets": statement(
        PIPELINE, "Secrets", "Resource", ["arn:aws:secretsmanager:eu-north-1:123456789012:secret:*"]
    ),
    "another secret": statement(
        PIPELINE, "Secrets", "Resource", ["arn:aws:secretsmanager:eu-north-1:123456789012:secret:pay-??????"]
    ),
    "no secrets": forgets(PIPELINE, "Secrets"),
    "a pipeline that brings no version up": forgets(PIPELINE, "Versions0"),
    "a pipeline that cannot move traffic": forgets(PIPELINE, "Traffic0"),
    "a pipeline that sets no limits on a rollout": forgets(PIPELINE, "Limits"),
    "a right to write secrets": statement(PIPELINE, "Secrets", "Action", ["secretsmanager:PutSecretValue"]),
    "the key for anybody": statement(PIPELINE, "KeyOfDisks", "Condition", None),
    "no key": forgets(PIPELINE, "Key"),
    "no jobs": forgets(PIPELINE, "Jobs"),
    "no network interfaces": forgets(PIPELINE, "Interfaces"),
    "a denial": statement(PIPELINE, "Registry", "Effect", "Deny"),
    "a scheduler that starts every pipeline": statement(
        SCHEDULER, "Wake", "Resource", ["arn:aws:sagemaker:eu-north-1:123456789012:pipeline/*"]
    ),
    "a scheduler that starts nothing": forgets(SCHEDULER, "Wake"),
    "a scheduler that watches nothing": forgets(SCHEDULER, "Watch"),
    "events that start train": text(EVENTS, "pipeline/checkout-fraud-record", "pipeline/checkout-fraud-train"),
    "hearing that deletes": statement(
        HEARING, "Wake", "Action", ["sagemaker:DeletePipeline", "sagemaker:StartPipelineExecution"]
    ),
    "a role for everybody": at("identities/hearing.trust.json", "Statement", 0, "Principal", value={"AWS": "*"}),
    "a role for other accounts": without("identities/events.trust.json", "Statement", 0, "Condition"),
    "a role that nothing uses": extra_role,
    # The events.
    "a record after success only": text(RULE, '\\"Failed\\", ', ""),
    "a record after wakes": text(RULE, "pipeline/checkout-fraud-train", "pipeline/checkout-fraud-wake"),
    "a rule that is off": at(RULE, "State", value="DISABLED"),
    "an end that starts wake": text(TARGET, "pipeline/checkout-fraud-record", "pipeline/checkout-fraud-wake"),
    "a record of another attempt": parameter_of(TARGET, "Attempt", "$.detail.pipelineExecutionArn"),
    "a target of no rule": at(f"{EVENT}-target.json", "Rule", value="checkout-fraud-on-other"),
    "events of any source": at(f"{EVENT}-rule.json", "EventPattern", value="{}"),
    "an event on another bus": at(f"{EVENT}-target.json", "EventBusName", value="other"),
    "an event that is cut short": at(f"{EVENT}-target.json", "Targets", 0, "InputPath", value="$.detail"),
    "an alert of another event": text(f"{EVENT}-machine.json", '"name": "fraud-ops-alert"', '"name": "other"'),
    "an event that wakes twice": at(*START, "Parameters", "ClientRequestToken.$", value="$$.Execution.Id"),
    "an event that is not handed over": text(f"{EVENT}-machine.json", "States.JsonToString($)", "$.id"),
    "an event that starts train": at(*START, "Parameters", "PipelineName", value="checkout-fraud-train"),
    "a state that does not exist": text(f"{EVENT}-machine.json", '"Next": "start"', '"Next": "begin"'),
    "a machine as another role": at(
        f"{EVENT}-request.json", "roleArn", value="arn:aws:iam::123456789012:role/checkout-fraud-events"
    ),
    # The alarms.
    "an alarm that CloudWatch does not take": at(ALARM, "EvaluationPeriods", value=169),
    "a period that is no minute": at(ALARM, "Period", value=3601),
    "an alarm that is silent when all is dead": at(ALARM, "TreatMissingData", value="notBreaching"),
    "an alarm on too many": at(ALARM, "ComparisonOperator", value="GreaterThanThreshold"),
    "an alarm on another metric": at(ALARM, "MetricName", value="ExecutionsStarted"),
    "an alarm that nobody hears": at(ALARM, "AlarmActions", value=[]),
    "a watch of wake": text(WATCH, "checkout-fraud-train", "checkout-fraud-wake"),
    "a watch that is content with failures": text(WATCH, "'Succeeded' in", "'Failed' in"),
    "a watch that never fails": at(WATCH, "States", "judge", "Default", value="young"),
    "a watch of all time": text(WATCH, " - 1728000000)", " - 0)"),
    "a watch that is never started": without(HOURLY),
    "no watch of the wakes": without("alarms/wakes.json"),
    # The registry.
    "a version that is approved at once": at("registry/package.json", "ModelApprovalStatus", value="Approved"),
    "a version of another group": at("registry/package.json", "ModelPackageGroupName", value="other"),
    "a group with an underscore": at("registry/group.json", "ModelPackageGroupName", value="checkout_fraud"),
    # Serving.
    "a model as another role": at(
        f"{SERVING}/model.json", "ExecutionRoleArn", value="arn:aws:iam::123456789012:role/x"
    ),
    "a model outside the network": without(f"{SERVING}/model.json", "VpcConfig"),
    "an endpoint of another configuration": at(f"{SERVING}/endpoint.json", "EndpointConfigName", value="other"),
    "an endpoint that begins with the candidate": at(
        f"{SERVING}/config.json", "ProductionVariants", 0, "VariantName", value="candidate"
    ),
    "an endpoint of nothing": at(f"{SERVING}/config.json", "ProductionVariants", 0, "InitialInstanceCount", value=0),
    "a capture of more than all": at(
        f"{SERVING}/config.json", "DataCaptureConfig", "InitialSamplingPercentage", value=101
    ),
    "a rollout that begins with traffic": at(
        f"{SERVING}/rollout/config.json", "ProductionVariants", 1, "InitialVariantWeight", value=0.5
    ),
    "a step that loses traffic": at(
        f"{SERVING}/rollout/3-traffic.json", "DesiredWeightsAndCapacities", 0, "DesiredWeight", value=0.5
    ),
    "a rollout that never ends": without(f"{SERVING}/rollout/4-traffic.json"),
    "a rollout that nothing takes back": without(
        f"{SERVING}/rollout/update.json", "DeploymentConfig", "AutoRollbackConfiguration"
    ),
    "a limit on the champion": at(f"{SERVING}/rollout/alarm-errors.json", "Dimensions", 1, "Value", value="champion"),
    # The template alone.
    "a template that forgets a rule": without(TEMPLATE, "Resources", "RecordRule"),
    "a template with another definition": text(TEMPLATE, "ml.m5.4xlarge", "ml.m5.24xlarge"),
    "a template that waits for nothing": at(TEMPLATE, "Resources", "Schedule1", "DependsOn", value=["Nothing"]),
    "a template that is in a hurry": without(TEMPLATE, "Resources", "RecordRule", "DependsOn"),
    "a template with a wider role": text(TEMPLATE, "states:StartExecution", "states:*"),
}


def broken(good: Files, name: str) -> Files:
    files = copy.deepcopy(good)
    MUTATIONS[name](files)
    assert files != good
    if files[TEMPLATE] == good[TEMPLATE]:
        _into_template(good, files)
    return files


def _into_template(good: Files, files: Files) -> None:
    """Puts what is changed in a single document into the template as well."""
    resources = files[TEMPLATE]["Resources"]
    for path in good:
        if path == TEMPLATE or path.startswith("serving/") or files.get(path) == good[path]:
            continue
        before = list(_wanted(good, resources))
        if path not in files:
            after = [item for item in before if item[1] != good[path]]
            for _, body in before:
                if body == good[path]:
                    [logical] = [key for key, item in resources.items() if item["Properties"] == body]
                    del resources[logical]
            assert len(after) < len(before)
            continue
        changed = {**good, path: files[path]}
        for (_, old), (_, new) in zip(before, list(_wanted(changed, resources)), strict=True):
            if old != new:
                [item] = [item for item in resources.values() if item["Properties"] == old]
                item["Properties"] = new


def test_a_good_bundle_is_good(good: Files) -> None:
    assert check_bundle(good) == []
    assert len(MUTATIONS) >= 30


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_bundle_is_caught(good: Files, name: str) -> None:
    assert check_bundle(broken(good, name))


OPERATIONS = {
    r"requests/": ("sagemaker", "CreatePipeline"),
    r"schedules/": ("scheduler", "CreateSchedule"),
    r"-rule.json": ("events", "PutRule"),
    r"-target.json": ("events", "PutTargets"),
    r"events/.*-request.json": ("stepfunctions", "CreateStateMachine"),
    r"alarms/.*-request.json": ("stepfunctions", "CreateStateMachine"),
    r"alarms/topic.json": ("sns", "CreateTopic"),
    r"alarms/[a-z]+.json": ("cloudwatch", "PutMetricAlarm"),
    r"serving/.*/model.json": ("sagemaker", "CreateModel"),
    r"serving/.*config.json|-mirror.json": ("sagemaker", "CreateEndpointConfig"),
    r"serving/.*/endpoint.json": ("sagemaker", "CreateEndpoint"),
    r"serving/.*/update.json": ("sagemaker", "UpdateEndpoint"),
    r"-traffic.json": ("sagemaker", "UpdateEndpointWeightsAndCapacities"),
    r"serving/.*/alarm-": ("cloudwatch", "PutMetricAlarm"),
    r"registry/group": ("sagemaker", "CreateModelPackageGroup"),
    r"registry/package": ("sagemaker", "CreateModelPackage"),
}
"""The request that each document is, by the beginning or the end of its path."""


def by_botocore(models: Any, files: Files) -> list[str]:
    """What botocore's service models say of every request of a bundle."""
    found = []
    for path, body in files.items():
        if path.startswith("pipelines/"):
            for item in body["Steps"] and job_steps(body):
                name = f"pipelines-abcdefghijkl-{item['Name']}-0123456789"
                request = {f"{item['Type']}JobName": name, **plain(item["Arguments"])}
                found.append(judge(models, "sagemaker", f"Create{item['Type']}Job", request))
        for pattern, (service, operation) in OPERATIONS.items():
            if re.search(pattern, path):
                added: dict[str, Any] = {}
                if operation == "CreatePipeline":
                    kind = path.removeprefix("requests/")
                    definition = json.dumps(files[f"pipelines/{kind}"])
                    added = {"PipelineDefinition": definition, "ClientRequestToken": "0" * 32}
                elif operation == "CreateStateMachine":
                    added = {"definition": json.dumps(files[path.replace("-request", "-machine")])}
                elif operation in ("CreateSchedule", "CreateModelPackage"):
                    added = {"ClientToken": "0" * 32}
                found.append(judge(models, service, operation, {**body, **added}))
                break
    return [report for report in found if report]


def by_cfn_lint(good: Files, files: Files) -> list[str]:
    """What cfn-lint says of what is changed in the template; it reads its own copy of the services' schemas."""
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    before, after = good[TEMPLATE]["Resources"], files[TEMPLATE]["Resources"]
    changed = {key: item for key, item in after.items() if item != before.get(key)}
    if not changed:
        return []
    needed = {name for item in changed.values() for name in item.get("DependsOn", [])} & after.keys()
    kept = {key: dict(after[key]) for key in {*changed, *needed}}
    for key in needed - changed.keys():
        kept[key].pop("DependsOn", None)
    template = {**files[TEMPLATE], "Resources": kept}
    return [str(match) for match in lint(json.dumps(template), config=ManualArgs(regions=["eu-north-1"]))]


SAMPLE = (
    "no steps",
    "an instance type that is none",
    "a cron at minute 60",
    "a policy of an old version",
    "all secrets",
    "an alarm that CloudWatch does not take",
    "a group with an underscore",
)


@pytest.mark.parametrize("names", [SAMPLE, pytest.param(tuple(MUTATIONS), marks=pytest.mark.soak)], ids=["few", "all"])
def test_who_catches_what(good: Files, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Ours catch every one; the table that is printed shows what the vendor's own judges leave open."""
    session = pytest.importorskip("botocore.session").get_session()
    pytest.importorskip("cfnlint")
    services = {service for service, _ in OPERATIONS.values()}
    models = {name: session.get_service_model(name) for name in services}
    assert by_botocore(models, good) == []
    rows = []
    for name in names:
        files = broken(good, name)
        row = (bool(check_bundle(files)), bool(by_botocore(models, files)), bool(by_cfn_lint(good, files)))
        rows.append((name, *row))
    with capsys.disabled():
        print(f"\n{'broken: ' + str(len(rows)):46}ours  botocore  cfn-lint")
        for name, ours, botocore, cfn_lint in rows:
            print(f"{name:46}{'yes' if ours else '-':6}{'yes' if botocore else '-':10}{'yes' if cfn_lint else '-'}")
        totals = [sum(row[column] for row in rows) for column in (1, 2, 3)]
        print(f"{'caught':46}{totals[0]:<6}{totals[1]:<10}{totals[2]}")

    assert totals[0] == len(rows)
    assert 0 < totals[1] < len(rows)
    assert 0 < totals[2] < len(rows)
