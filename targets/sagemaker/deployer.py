"""What whoever deploys may do, action by action and resource by resource: nothing of another system's.

Actions and the resources that each takes: the service authorization reference (SageMaker, S3, SNS, CloudWatch,
EventBridge, EventBridge Scheduler, Step Functions, IAM, CloudFormation).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.sagemaker import identities, names, resources
from ctc.targets.sagemaker.limits import named
from ctc.targets.sagemaker.serving import rolled

Policy = dict[str, Any]
Statement = tuple[str, list[str], list[str]]
"""Sid, actions, resources."""

_PIPELINES = ("record", "train", "wake")


def deployer(system: System) -> Policy:
    """For `ctc plan`, `deploy`, `status` and `destroy`: no right on an identity but to look at it and to hand it on."""
    own = f"arn:{names.partition(system)}:s3:::{system.root.removeprefix('s3://')}"
    policy = _policy(
        ("Files", ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"], [f"{own}/deployment.json", f"{own}/support/*"]),
        ("State", ["s3:GetObject"], [f"{own}/records/*", f"{own}/state.json"]),
        *_services(system),
        *_endpoints(system),
        ("LookAtRoles", ["iam:GetRole", "iam:GetRolePolicy", "iam:ListRoleTags"], _all_roles(system)),
    )
    policy["Statement"].append(_listing(system))
    return policy


def _endpoints(system: System) -> Iterator[Statement]:
    """To take down what wakes made, and not to make any: whoever deploys moves no traffic."""
    for server in rolled(system):
        endpoint = names.arn(system, "sagemaker", f"endpoint/{names.endpoint_name(system, server.name)}")
        versions = f"{names.model_name(system, server.name)}-*"
        yield "EndEndpoint", ["sagemaker:DeleteEndpoint", "sagemaker:DescribeEndpoint"], [endpoint]
        for kind, noun in (("endpoint-config", "EndpointConfig"), ("model", "Model")):
            yield f"End{noun}", [f"sagemaker:Delete{noun}"], [names.arn(system, "sagemaker", f"{kind}/{versions}")]


def operator(system: System) -> Policy:
    """For whoever approves, rolls back or asks for a run, and reads the records: tells a wake, and changes nothing."""
    own = f"arn:{names.partition(system)}:s3:::{system.root.removeprefix('s3://')}"
    policy = _policy(
        ("Read", ["s3:GetObject"], [f"{own}/deployment.json", f"{own}/records/*", f"{own}/state.json"]),
        ("Tell", ["s3:PutObject"], [f"{own}/told/*"]),
        ("Wake", ["sagemaker:StartPipelineExecution"], [names.pipeline_arn(system, "wake")]),
    )
    policy["Statement"].append(_listing(system))
    return policy


def role_maker(system: System) -> Policy:
    """What `--create-roles` needs besides. Who may do this may give rights: it is an administrator's."""
    own = [names.role_arn(system, "pipeline")]
    verbs = ("CreateRole", "DeleteRole", "DeleteRolePolicy", "PutRolePolicy", "TagRole", "UpdateAssumeRolePolicy")
    return _policy(
        ("Roles", [f"iam:{verb}" for verb in verbs], _roles(system)),
        ("OwnRole", ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePolicy", "iam:TagRole"], own),
    )


def stack_deployer(system: System) -> Policy:
    """For the CloudFormation template, which holds identities: an administrator's, too."""
    partition, account, region = names.partition(system), names.account(system), names.region(system)
    own = f"arn:{partition}:s3:::{system.root.removeprefix('s3://')}"
    stack = f"arn:{partition}:cloudformation:{region}:{account}:stack/{system.name}/*"
    managed = f"arn:{partition}:iam::{account}:policy/{names.policy_name(system)}"
    return _policy(
        ("Stack", [f"cloudformation:{verb}Stack" for verb in ("Create", "Delete", "Update")], [stack]),
        ("StackState", ["cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks"], [stack]),
        ("Upload", ["s3:GetObject", "s3:PutObject"], [f"{own}/support/*", f"{own}/template.json"]),
        *_services(system),
        (
            "Roles",
            [f"iam:{verb}Role" for verb in ("Create", "Delete", "Get", "Tag")]
            + [f"iam:{verb}RolePolicy" for verb in ("Delete", "Get", "Put")],
            _roles(system),
        ),
        (
            "Policy",
            [f"iam:{verb}Policy" for verb in ("Create", "Delete", "Get")]
            + [f"iam:{verb}PolicyVersion" for verb in ("Create", "Delete")]
            + ["iam:ListPolicyVersions"],
            [managed],
        ),
        ("Attach", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], [names.role_arn(system, "pipeline")]),
    )


def _listing(system: System) -> dict[str, Any]:
    """Without it S3 answers 403 where it means 404."""
    bucket, _, prefix = system.root.removeprefix("s3://").partition("/")
    return {
        "Sid": "Prefix",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [f"arn:{names.partition(system)}:s3:::{bucket}"],
        "Condition": {"StringLike": {"s3:prefix": [f"{prefix}/*"]}},
    }


def _services(system: System) -> Iterator[Statement]:
    """Everything but files and identities."""
    everything = named(system)
    called = {kind: sorted(item.name for item in everything if item.kind == kind) for kind in names.LENGTHS}
    verbs = ("Create", "Delete", "Describe", "Update")
    tags = ["sagemaker:AddTags", "sagemaker:ListTags"]
    yield (
        "Pipelines",
        [*(f"sagemaker:{verb}Pipeline" for verb in verbs), *tags],
        [names.pipeline_arn(system, kind) for kind in (*_PIPELINES, *names.scores(system))],
    )
    group = f"model-package-group/{names.group_name(system)}"
    yield (
        "Models",
        [*(f"sagemaker:{verb}ModelPackageGroup" for verb in verbs[:3]), "sagemaker:ListModelPackages", *tags],
        [names.arn(system, "sagemaker", group)],
    )
    versions = names.arn(system, "sagemaker", f"model-package/{names.group_name(system)}/*")
    yield "Versions", ["sagemaker:DeleteModelPackage"], [versions]
    yield (
        "Schedules",
        [f"scheduler:{verb}Schedule" for verb in ("Create", "Delete", "Get", "Update")],
        [names.arn(system, "scheduler", f"schedule/default/{name}") for name in called["schedule name"]],
    )
    rules = ("DeleteRule", "DescribeRule", "ListTagsForResource", "ListTargetsByRule", "PutRule", "PutTargets")
    more = ("RemoveTargets", "TagResource")
    yield "Rules", [f"events:{verb}" for verb in (*rules, *more)], _rules(system)
    alarms = ("DeleteAlarms", "DescribeAlarms", "ListTagsForResource", "PutMetricAlarm", "TagResource")
    places = [names.arn(system, "cloudwatch", f"alarm:{name}") for name in called["alarm name"]]
    yield "Alarms", [f"cloudwatch:{verb}" for verb in alarms], places
    topics = ("CreateTopic", "DeleteTopic", "GetTopicAttributes", "ListTagsForResource", "TagResource")
    yield "Topic", [f"sns:{verb}" for verb in topics], [names.topic_arn(system)]
    if called["state machine name"]:
        machines = [f"states:{verb}StateMachine" for verb in verbs]
        places = [names.arn(system, "states", f"stateMachine:{name}") for name in called["state machine name"]]
        yield "Machines", [*machines, "states:ListTagsForResource", "states:TagResource"], places
    yield "Give", ["iam:PassRole"], _all_roles(system)


def _roles(system: System) -> list[str]:
    """The roles that come with the bundle."""
    return sorted(names.role_arn(system, role) for role in identities.roles(system) if role != "pipeline")


def _all_roles(system: System) -> list[str]:
    return sorted([*_roles(system), names.role_arn(system, "pipeline")])


def _policy(*statements: Statement) -> Policy:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": where}
            for sid, actions, where in statements
        ],
    }


def _rules(system: System) -> list[str]:
    made = [names.arn(system, "events", f"rule/{names.rule_name(system, 'record')}")]
    for event, heard in resources.heard(system).items():
        bus = heard.mapped.get("bus", "default").rpartition("/")[2]
        folder = "" if bus == "default" else f"{bus}/"
        made.append(names.arn(system, "events", f"rule/{folder}{names.rule_name(system, f'on-{event}')}"))
    return sorted(made)
