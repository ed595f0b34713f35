"""The checks of the CloudFormation template: that it makes what the single documents say, and that alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Files = Mapping[str, Any]


def check_template(files: Files) -> Iterator[str]:
    """Sentences on the template. KeyError where a document is missing."""
    template = files["template.json"]
    resources = template["Resources"]
    if template["AWSTemplateFormatVersion"] != "2010-09-09":
        yield "template.json: has another format"
    for logical, item in resources.items():
        for other in item.get("DependsOn", []):
            if other not in resources:
                yield f"template.json: {logical} waits for {other}, which does not exist"
    found = sorted((item["Type"], json.dumps(item["Properties"], sort_keys=True)) for item in resources.values())
    wanted = sorted((kind, json.dumps(body, sort_keys=True)) for kind, body in _wanted(files, resources))
    for kind, body in found:
        if (kind, body) not in wanted:
            yield f"template.json: makes a {kind} that no document says: {body[:120]}"
    for kind, body in wanted:
        if (kind, body) not in found:
            yield f"template.json: does not make a {kind} as its document says: {body[:120]}"
    yield from _order(resources)


def _wanted(files: Files, resources: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    paths = (path for path in files if path.startswith("pipelines/"))
    for kind in (path.removeprefix("pipelines/").removesuffix(".json") for path in paths):
        body = {"PipelineDefinitionBody": json.dumps(files[f"pipelines/{kind}.json"], sort_keys=True)}
        yield "AWS::SageMaker::Pipeline", {**files[f"requests/{kind}.json"], "PipelineDefinition": body}
    yield "AWS::SageMaker::ModelPackageGroup", files["registry/group.json"]
    topic = files["alarms/topic.json"]
    yield "AWS::SNS::Topic", {"TopicName": topic["Name"], "Tags": topic["Tags"]}
    for path, body in files.items():
        if path.startswith("schedules/"):
            yield "AWS::Scheduler::Schedule", body
        elif path.startswith("alarms/") and path.endswith("-machine.json"):
            yield "AWS::StepFunctions::StateMachine", _machine(files, path)
        elif path.startswith("alarms/") and "AlarmName" in body:
            yield "AWS::CloudWatch::Alarm", body
        elif path.startswith("events/") and path.endswith("-rule.json"):
            targets = files[path.replace("-rule.json", "-target.json")]["Targets"]
            yield "AWS::Events::Rule", {**body, "EventPattern": json.loads(body["EventPattern"]), "Targets": targets}
        elif path.startswith("events/") and path.endswith("-machine.json"):
            yield "AWS::StepFunctions::StateMachine", _machine(files, path)
        elif path.startswith("identities/") and path.endswith(".policy.json"):
            yield from _role(files, path, resources)


def _machine(files: Files, path: str) -> dict[str, Any]:
    asked = files[path.replace("-machine.json", "-request.json")]
    return {
        "StateMachineName": asked["name"],
        "StateMachineType": asked["type"],
        "RoleArn": asked["roleArn"],
        "Definition": files[path],
        "Tags": [{"Key": item["key"], "Value": item["value"]} for item in asked["tags"]],
    }


def _role(files: Files, path: str, resources: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A role's name is its own: that the documents call it so is looked at where they are."""
    role = path.removeprefix("identities/").removesuffix(".policy.json")
    if role == "pipeline":
        name = resources["PipelinePolicy"]["Properties"]["ManagedPolicyName"]
        own = [str(files["requests/wake.json"]["RoleArn"]).rpartition("/")[2]]
        body = {"ManagedPolicyName": name, "PolicyDocument": files[path], "Roles": own}
        yield "AWS::IAM::ManagedPolicy", body
        return
    yield (
        "AWS::IAM::Role",
        {
            "RoleName": resources[f"{role.capitalize()}Role"]["Properties"]["RoleName"],
            "AssumeRolePolicyDocument": files[f"identities/{role}.trust.json"],
            "Policies": [{"PolicyName": "ctc", "PolicyDocument": files[path]}],
            "Tags": files["requests/wake.json"]["Tags"],
        },
    )


def _order(resources: Mapping[str, Any]) -> Iterator[str]:
    """What CloudFormation cannot see from a name: a schedule, a rule, a machine needs its role and what it starts."""
    for logical, item in resources.items():
        kind, after = item["Type"].rpartition("::")[2], item.get("DependsOn", [])
        if kind in ("Schedule", "Rule", "StateMachine") and not any(name.endswith("Role") for name in after):
            yield f"template.json: {logical} does not wait for its role"
        if kind in ("Schedule", "Rule") and len(after) < 2:
            yield f"template.json: {logical} does not wait for what it starts"
        if kind == "Alarm" and "AlarmTopic" not in after:
            yield f"template.json: {logical} does not wait for its topic"
