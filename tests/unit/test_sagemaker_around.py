"""What stands around SageMaker's pipelines: identities, events, alarm, the network, and the template of all of it."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.language.spec import Secret, Spec
from ctc.language.spec.serving import Notification
from ctc.targets import sagemaker
from ctc.targets.sagemaker import identities
from ctc.targets.sagemaker.limits import jobs

CANARY = Path(__file__).resolve().parent.parent.parent / "specs" / "canary.yaml"
NETWORK = {"subnets": ["subnet-0a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]}
NO_ARN = {
    "ecr:GetAuthorizationToken",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
}
"""Actions for which the service authorization reference names no resource type."""


@pytest.fixture(scope="module")
def spec() -> Spec:
    loaded = load_spec(CANARY, None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


def with_settings(spec: Spec, **settings: Any) -> Spec:
    return replace(spec, targets={**spec.targets, "sagemaker": {**spec.targets["sagemaker"], **settings}})


@pytest.fixture(scope="module")
def bundle(spec: Spec) -> dict[str, Any]:
    system = lower(with_settings(spec, **NETWORK), "sagemaker")
    assert sagemaker.limits(system) == ()
    artifacts = sagemaker.emit(system).artifacts
    return {item.path: json.loads(item.content) for item in artifacts if item.path.endswith(".json")}


def findings(template: dict[str, Any], folder: Path) -> list[str]:
    """cfn-lint's, every level; it reads its own copy of the services' schemas."""
    pytest.importorskip("cfnlint")
    from cfnlint.api import lint
    from cfnlint.config import ManualArgs

    path = folder / "template.json"
    path.write_text(json.dumps(template))
    return [str(match) for match in lint(path.read_text(), config=ManualArgs(regions=["eu-north-1"]))]


def test_cfn_lint_has_nothing_to_say_of_the_template_and_sees_what_is_wrong(
    bundle: dict[str, Any], tmp_path: Path
) -> None:
    broken = copy.deepcopy(bundle["template.json"])
    broken["Resources"]["Alarm1"]["Properties"]["ComparisonOperator"] = "Less"

    assert findings(bundle["template.json"], tmp_path) == []
    assert len(findings(broken, tmp_path)) == 1


def test_everything_is_named_unless_the_service_takes_no_name(bundle: dict[str, Any]) -> None:
    policies = [body for path, body in bundle.items() if path.endswith(".policy.json")]

    assert len(policies) == 4
    for statement in (item for body in policies for item in body["Statement"]):
        assert all("*" not in action for action in statement["Action"])
        if "*" in statement["Resource"]:
            assert set(statement["Action"]) <= NO_ARN
    for path, body in bundle.items():
        if path.endswith(".trust.json"):
            assert body["Statement"][0]["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def test_what_is_outside_its_own_folder_is_only_read(bundle: dict[str, Any]) -> None:
    storage = [
        item
        for item in bundle["identities/pipeline.policy.json"]["Statement"]
        if any(action.startswith("s3:") for action in item["Action"])
    ]
    written = {place for item in storage if "s3:PutObject" in item["Action"] for place in item["Resource"]}
    read = {place for item in storage if item["Action"] == ["s3:GetObject"] for place in item["Resource"]}

    assert written == {"arn:aws:s3:::acme-ct/checkout-fraud/default/sagemaker/*"}
    assert read == {"arn:aws:s3:::acme-payments/chargebacks/*", "arn:aws:s3:::acme-payments/payments/*"}


def test_every_job_is_in_the_network_and_has_its_tags(bundle: dict[str, Any]) -> None:
    wanted = {"Subnets": NETWORK["subnets"], "SecurityGroupIds": NETWORK["security_groups"]}
    steps = [step for path, body in bundle.items() if path.startswith("pipelines/") for step in jobs(body)]

    assert len(steps) == 11
    for step in steps:
        arguments = step["Arguments"]
        found = arguments["VpcConfig"] if step["Type"] == "Training" else arguments["NetworkConfig"]["VpcConfig"]
        assert found == wanted
        assert {item["Key"] for item in arguments["Tags"]} == {"ctc:name", "ctc:environment", "ctc:spec-digest"}


def test_subnets_without_security_groups_are_refused(spec: Spec) -> None:
    system = lower(with_settings(spec, subnets=["subnet-0a1b2c3d"]), "sagemaker")

    assert [item.code for item in sagemaker.limits(system)] == ["CT340"]


def reached(document: Any, path: str) -> Any:
    for part in path.removeprefix("$").split("."):
        document = document[part] if part else document
    return document


def filled(template: Any, event: Any) -> Any:
    """Amazon States Language's payload template: `.$` keys are paths, or the one function that is used."""
    if isinstance(template, list):
        return [filled(item, event) for item in template]
    if not isinstance(template, dict):
        return template
    made = {}
    for key, value in template.items():
        if not key.endswith(".$"):
            made[key] = filled(value, event)
        elif value == "States.JsonToString($)":
            made[key[:-2]] = json.dumps(event)
        else:
            made[key[:-2]] = reached(event, value)
    return made


def started(machine: dict[str, Any], event: Any) -> dict[str, Any]:
    """What the machine asks of the service for this event."""
    state = machine["States"][machine["StartAt"]]
    while state["Type"] != "Task":
        if state["Type"] == "Choice":
            path, _, field = state["Choices"][0]["Variable"].rpartition(".")
            found = field in reached(event, path)
            state = machine["States"][state["Choices"][0]["Next"] if found else state["Default"]]
        else:
            event = filled(state["Parameters"], event)
            state = machine["States"][state["Next"]]
    asked: dict[str, Any] = filled(state["Parameters"], event)
    return asked


@pytest.mark.parametrize(
    ("detail", "fields"), [({"incident": 'IN"C-7'}, {"incident": 'IN"C-7'}), ({"other": "x"}, None)]
)
def test_an_event_becomes_the_parameter_of_a_wake(
    bundle: dict[str, Any], detail: dict[str, str], fields: dict[str, str] | None
) -> None:
    event = {"id": "17793124-05d4-b198-2fde-7ededc63b103", "time": "2026-11-23T08:00:00Z", "detail": detail}
    asked = started(bundle["events/fraud-ops-alert-machine.json"], event)
    given = {item["Name"]: item["Value"] for item in asked["PipelineParameters"]}
    told = json.loads(given["Event"])

    assert asked["PipelineName"] == bundle["requests/wake.json"]["PipelineName"]
    assert asked["ClientRequestToken"] == event["id"]
    assert given["Instant"] == told["at"] == event["time"]
    assert (told["name"], told["id"], told.get("fields")) == ("fraud-ops-alert", event["id"], fields)
    assert set(given) <= {item["Name"] for item in bundle["pipelines/wake.json"]["Parameters"]}


def test_commands_may_read_their_own_secrets_and_no_other() -> None:
    loaded = load_spec(CANARY.with_name("fine_tune.yaml"), None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    system = lower(loaded.spec, "sagemaker")
    wanted = {secret for step in system.train.steps() for _, secret in step.secrets}
    found = [
        item
        for role in identities.roles(system)
        for item in identities.policy(system, role)["Statement"]
        if any(action.startswith("secretsmanager:") for action in item["Action"])
    ]

    assert wanted
    [statement] = found
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    region = system.settings["region"]
    assert statement["Resource"] == [
        f"arn:aws:secretsmanager:{region}:123456789012:secret:{name}-??????" for name in sorted(wanted)
    ]


def test_no_secret_may_be_read_but_those_of_commands_and_notifications(spec: Spec) -> None:
    told = [Notification("oncall", "slack", {"webhook": Secret("hook")}, ("failed",))]
    for notifications, named in ((told, {"hook"}), ([], set[str]())):
        system = lower(replace(spec, notifications=tuple(notifications)), "sagemaker")
        statements = identities.policy(system, "pipeline")["Statement"]
        read = [place for item in statements if "secretsmanager" in str(item["Action"]) for place in item["Resource"]]
        assert {place.rpartition(":")[2].removesuffix("-??????") for place in read} == named


def test_a_key_reaches_every_disk_and_every_output(spec: Spec) -> None:
    key = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    artifacts = sagemaker.emit(lower(with_settings(spec, kms_key=key), "sagemaker")).artifacts
    found = {item.path: json.loads(item.content) for item in artifacts if item.path.endswith(".json")}
    steps = [step for path, body in found.items() if path.startswith("pipelines/") for step in jobs(body)]

    for arguments in (step["Arguments"] for step in steps):
        if "ResourceConfig" in arguments:
            assert arguments["ResourceConfig"]["VolumeKmsKeyId"] == key
            assert arguments["OutputDataConfig"]["KmsKeyId"] == key
        else:
            assert arguments["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] == key
            assert arguments.get("ProcessingOutputConfig", {"KmsKeyId": key})["KmsKeyId"] == key
    rights = [item for item in found["identities/pipeline.policy.json"]["Statement"] if item["Resource"] == [key]]
    assert [item.get("Condition") for item in rights] == [None, {"Bool": {"kms:GrantIsForAWSResource": "true"}}]
