"""The administrator's sheet: every command is one that the AWS command line takes, on what the bundle holds."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sagemaker_system import KEY, documents, full_system

from ctc.compiler.ir import System
from ctc.targets import sagemaker
from ctc.targets.sagemaker.deployer import deployer, role_maker, stack_deployer

CLIENT = {"region"}
"""Options of every command."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    return full_system(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def sheet(system: System) -> str:
    [found] = [item for item in sagemaker.emit(system).artifacts if item.path == "BOOTSTRAP.md"]
    return found.content.decode()


def commands(sheet: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", sheet, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line]


def test_every_command_is_one_of_the_service_with_all_that_it_needs(sheet: str) -> None:
    session = pytest.importorskip("botocore.session").get_session()
    from botocore import xform_name

    found = commands(sheet)
    assert len(found) >= 8
    for program, service, verb, *words in found:
        assert program == "aws"
        model = session.get_service_model("s3" if service == "s3api" else service)
        [operation] = [name for name in model.operation_names if xform_name(name, "-") == verb]
        shape: Any = model.operation_model(operation).input_shape
        members = {xform_name(name, "-"): name for name in shape.members}
        given = {word[2:] for word in words if word.startswith("--")}
        assert given <= members.keys() | CLIENT, (service, verb, given - members.keys())
        assert set(shape.required_members) <= {members[name] for name in given & members.keys()}, (service, verb)


def test_every_file_that_a_command_reads_is_in_the_bundle(system: System, sheet: str) -> None:
    paths = {item.path for item in sagemaker.emit(system).artifacts}
    named = {word.removeprefix("file://") for words in commands(sheet) for word in words if word.startswith("file://")}
    bodies = {words[words.index("--body") + 1] for words in commands(sheet) if "--body" in words}

    assert named - {"value.txt"} <= paths
    assert bodies <= paths
    assert {path for path, _ in sagemaker.emit(system).uploads} <= bodies


def test_the_key_and_the_secret_are_where_they_are_needed(sheet: str) -> None:
    encryption = next(words for words in commands(sheet) if "put-bucket-encryption" in words)
    secret = next(words for words in commands(sheet) if "create-secret" in words)

    assert KEY in encryption[-1]
    assert secret[secret.index("--name") + 1] == "hub-token"


def test_whoever_applies_the_template_may_make_what_it_holds(system: System) -> None:
    text = str(stack_deployer(system))
    kinds = {item["Type"] for item in documents(system)["template.json"]["Resources"].values()}
    creates = {
        "AWS::SageMaker::Pipeline": "sagemaker:CreatePipeline",
        "AWS::SageMaker::ModelPackageGroup": "sagemaker:CreateModelPackageGroup",
        "AWS::IAM::ManagedPolicy": "iam:CreatePolicy",
        "AWS::IAM::Role": "iam:CreateRole",
        "AWS::SNS::Topic": "sns:CreateTopic",
        "AWS::CloudWatch::Alarm": "cloudwatch:PutMetricAlarm",
        "AWS::Scheduler::Schedule": "scheduler:CreateSchedule",
        "AWS::Events::Rule": "events:PutRule",
        "AWS::StepFunctions::StateMachine": "states:CreateStateMachine",
    }

    assert kinds == set(creates)
    for action in creates.values():
        assert action in text


NAMES_WITH_ENDINGS = (
    *("Stack", "StackState", "Upload", "Files", "State", "Versions"),
    *("EndEndpointConfig", "EndModel"),
)
"""Statements on names that end in what is not known before: a stack's number, a file, a version."""


@pytest.mark.parametrize("policy", [deployer, role_maker, stack_deployer])
def test_no_right_is_wider_than_this_system(policy: Any, system: System) -> None:
    for statement in policy(system)["Statement"]:
        assert "*" not in statement["Resource"]
        assert all("*" not in action for action in statement["Action"])
        if statement["Sid"] not in NAMES_WITH_ENDINGS:
            assert all("*" not in place for place in statement["Resource"])


def test_whoever_deploys_gives_no_rights(system: System) -> None:
    """One who may write a role's policy may do everything that role's service may."""
    actions = {action for statement in deployer(system)["Statement"] for action in statement["Action"]}

    assert {action for action in actions if action.startswith("iam:")} == {
        *("iam:GetRole", "iam:GetRolePolicy", "iam:ListRoleTags", "iam:PassRole")
    }


def test_a_word_of_the_spec_is_one_word_of_a_command(tmp_path: Path) -> None:
    odd = replace(full_system(tmp_path), settings={**full_system(tmp_path).settings, "region": "eu; rm -rf /"})
    [found] = [item for item in sagemaker.emit(odd).artifacts if item.path == "BOOTSTRAP.md"]

    assert "eu; rm -rf /" in commands(found.content.decode())[0]


def test_a_role_with_a_path_is_made_there(system: System) -> None:
    inner = replace(system, settings={**system.settings, "role": "arn:aws:iam::123456789012:role/ml/ct/fraud"})
    [found] = [item for item in sagemaker.emit(inner).artifacts if item.path == "BOOTSTRAP.md"]
    words = next(words for words in commands(found.content.decode()) if "create-role" in words)

    assert words[words.index("--role-name") + 1] == "fraud"
    assert words[words.index("--path") + 1] == "/ml/ct/"
