"""The bundle as one CloudFormation template: every resource but the pipelines' role, which an administrator makes.

The same bodies as the single requests, in CloudFormation's spelling of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.sagemaker import events, identities, names, resources, watch
from ctc.targets.sagemaker.bootstrap import POLICY
from ctc.targets.sagemaker.pipeline import Definition
from ctc.targets.sagemaker.schedules import schedules


def template(system: System, definitions: Mapping[str, Definition]) -> dict[str, Any]:
    """`definitions` are the pipelines by kind."""
    own = {role: f"{role.capitalize()}Role" for role in identities.roles(system) if role != "pipeline"}
    made = {
        "ModelPackageGroup": _resource("SageMaker::ModelPackageGroup", resources.group_request(system)),
        "PipelinePolicy": _pipeline_policy(system),
        "AlarmTopic": _topic(system),
        "RecordRule": _rule(resources.record_rule(system), resources.record_target(system), "RecordPipeline"),
    }
    for kind, definition in definitions.items():
        body = resources.pipeline_request(system, kind)
        body["PipelineDefinition"] = {"PipelineDefinitionBody": json.dumps(definition, sort_keys=True)}
        made[_logical(system, kind)] = _resource("SageMaker::Pipeline", body, "PipelinePolicy")
    for role, logical in own.items():
        made[logical] = _role(system, role)
    for number, (event, heard) in enumerate(resources.heard(system).items(), 1):
        asked = events.request(system, event)
        definition = events.machine(system, event, heard)
        made[f"Hearing{number}"] = _machine(system, asked, definition, "HearingRole", "WakePipeline")
        rule, target = events.rule(system, event, heard), events.target(system, event, heard)
        made[f"HearingRule{number}"] = _rule(rule, target, f"Hearing{number}")
    for number, body in enumerate(schedules(system).values(), 1):
        made[f"Schedule{number}"] = _resource("Scheduler::Schedule", body, "WakePipeline", own["scheduler"])
    for number, (name, what) in enumerate(watch.watched(system).items(), 1):
        asked = watch.machine_request(system, name)
        made[f"Watch{number}"] = _machine(system, asked, watch.machine(system, what), "WatchRole")
        hourly = watch.hourly(system, name)
        made[f"WatchSchedule{number}"] = _resource("Scheduler::Schedule", hourly, f"Watch{number}", own["scheduler"])
    for number, body in enumerate(watch.alarms(system).values(), 1):
        made[f"Alarm{number}"] = _resource("CloudWatch::Alarm", body, "AlarmTopic")
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The continuous training of {system.name}, compiled by ctc.",
        "Resources": made,
    }


def _logical(system: System, kind: str) -> str:
    """Of a pipeline: letters and digits only."""
    scores = names.scores(system)
    return f"Score{scores.index(kind) + 1}Pipeline" if kind in scores else f"{kind.capitalize()}Pipeline"


def _resource(kind: str, properties: Mapping[str, Any], *after: str) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": f"AWS::{kind}", "Properties": dict(properties)}
    return {**made, "DependsOn": list(after)} if after else made


def _role(system: System, role: str) -> dict[str, Any]:
    body = {
        "RoleName": names.role_name(system, role),
        "AssumeRolePolicyDocument": identities.trust(system, role),
        "Policies": [{"PolicyName": POLICY, "PolicyDocument": identities.policy(system, role)}],
        "Tags": resources.tags(system),
    }
    return _resource("IAM::Role", body)


def _pipeline_policy(system: System) -> dict[str, Any]:
    body = {
        "ManagedPolicyName": names.policy_name(system),
        "PolicyDocument": identities.policy(system, "pipeline"),
        "Roles": [names.own_role_name(system)],
    }
    return _resource("IAM::ManagedPolicy", body)


def _topic(system: System) -> dict[str, Any]:
    body = resources.topic_request(system)
    return _resource("SNS::Topic", {"TopicName": body["Name"], "Tags": body["Tags"]})


def _rule(rule: Mapping[str, Any], target: Mapping[str, Any], after: str) -> dict[str, Any]:
    body = {**rule, "EventPattern": json.loads(rule["EventPattern"]), "Targets": target["Targets"]}
    return _resource("Events::Rule", body, "EventsRole", after)


def _machine(system: System, asked: Mapping[str, Any], definition: Mapping[str, Any], *after: str) -> dict[str, Any]:
    body = {
        "StateMachineName": asked["name"],
        "StateMachineType": asked["type"],
        "RoleArn": asked["roleArn"],
        "Definition": dict(definition),
        "Tags": resources.tags(system),
    }
    return _resource("StepFunctions::StateMachine", body, *after)
