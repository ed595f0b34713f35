"""The checks of who may do what: that each role has what its documents use, and nothing that none of them does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

Files = Mapping[str, Any]

SERVICES = {
    "pipeline": "sagemaker.amazonaws.com",
    "scheduler": "scheduler.amazonaws.com",
    "events": "events.amazonaws.com",
    "hearing": "states.amazonaws.com",
    "watch": "states.amazonaws.com",
}
NO_ARN = {
    "ecr:GetAuthorizationToken",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeVpcs",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeSubnets",
    "ec2:DescribeSecurityGroups",
}
"""Actions for which the service authorization reference names no resource type."""
_JOBS = {f"sagemaker:{verb}{kind}Job" for verb in ("Create", "Describe", "Stop") for kind in ("Processing", "Training")}
_PACKAGES = {f"sagemaker:{verb}ModelPackage" for verb in ("Create", "Describe", "Update", "Delete")}
_KEPT = {f"sagemaker:{verb}{kind}" for verb in ("Create", "Delete", "Describe") for kind in ("Model", "EndpointConfig")}
_MOVED = {f"sagemaker:{verb}Endpoint" for verb in ("Create", "Describe", "Invoke", "Update")}
SERVES = {
    *_KEPT,
    *_MOVED,
    "sagemaker:UpdateEndpointWeightsAndCapacities",
    *(f"cloudwatch:{verb}" for verb in ("DeleteAlarms", "DescribeAlarms", "PutMetricAlarm", "TagResource")),
}
"""What moves traffic at an endpoint."""
_USED = {
    "pipeline": {
        *_JOBS,
        *_PACKAGES,
        *NO_ARN,
        "sagemaker:AddTags",
        "sagemaker:ListModelPackages",
        "sagemaker:ListPipelineExecutions",
        "sagemaker:StartPipelineExecution",
        "iam:PassRole",
        *SERVES,
        *(f"s3:{verb}" for verb in ("GetObject", "PutObject", "DeleteObject", "ListBucket")),
        *(f"logs:{verb}" for verb in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")),
        *(f"ecr:{verb}" for verb in ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")),
        *(f"kms:{verb}" for verb in ("CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey")),
        *(f"ec2:{verb}NetworkInterface{x}" for verb in ("Create", "Delete") for x in ("", "Permission")),
        "secretsmanager:GetSecretValue",
    },
    "scheduler": {"sagemaker:StartPipelineExecution", "states:StartExecution"},
    "events": {"sagemaker:StartPipelineExecution", "states:StartExecution"},
    "hearing": {"sagemaker:StartPipelineExecution"},
    "watch": {"sagemaker:ListPipelineExecutions"},
}
"""The actions that a role's documents may use."""
Right = tuple[str, str]
"""An action and the ARN of what it is done to."""


def check_identities(files: Files, needs: Mapping[str, set[Right]], role: str) -> Iterator[str]:
    """Sentences on the roles; `needs` is what the documents of each use, `role` the pipelines' own."""
    held = {
        path.removeprefix("identities/").partition(".")[0]
        for path in files
        if re.match(r"identities/.*\.(policy|trust)\.json", path)
    }
    yield from (f"identities: there is no role {name}" for name in needs.keys() - held)
    yield from (f"identities: nothing uses the role {name}" for name in held - needs.keys())
    for name in sorted(held & needs.keys()):
        policy = files[f"identities/{name}.policy.json"]
        found = [
            *_trust(files[f"identities/{name}.trust.json"], SERVICES[name], role.split(":")[4]),
            *_policy(policy, _USED[name]),
            *_missing(policy, needs[name]),
            *_unused(policy, needs[name]),
            *_passing(policy, role),
        ]
        yield from (f"identities: {name} {problem}" for problem in found)


def _trust(trust: Mapping[str, Any], service: str, account: str) -> Iterator[str]:
    [statement] = trust["Statement"]
    if (trust["Version"], statement["Effect"], statement["Action"]) != ("2012-10-17", "Allow", "sts:AssumeRole"):
        yield "cannot be assumed, or other things are done to it"
    if statement["Principal"] != {"Service": service}:
        yield f"can be assumed by {statement['Principal']}, where {service} needs it"
    if statement.get("Condition") != {"StringEquals": {"aws:SourceAccount": account}}:
        yield "can be assumed on behalf of other accounts"


def _policy(policy: Mapping[str, Any], used: set[str]) -> Iterator[str]:
    if policy["Version"] != "2012-10-17":
        yield f"has a policy of the version {policy['Version']!r}"
    names = [statement["Sid"] for statement in policy["Statement"]]
    yield from (f"has two statements {name}" for name in {name for name in names if names.count(name) > 1})
    for statement in policy["Statement"]:
        if statement["Effect"] != "Allow":
            yield f"is denied something by {statement['Sid']}"
        if not re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"]):
            yield f"has a statement that is called {statement['Sid']!r}"
        yield from (f"may do {action}, which nothing does" for action in statement["Action"] if action not in used)
        for place in statement["Resource"]:
            if place == "*" and not set(statement["Action"]) <= NO_ARN:
                yield f"may do {', '.join(statement['Action'])} to everything"
            elif place != "*" and not re.match(r"arn:aws[a-z-]*:[a-z0-9]+:[a-z0-9-]*:(\d{12})?:[^*?]", place):
                yield f"may do {', '.join(statement['Action'])} to {place}, which is too wide or no ARN"
            bucket, _, key = place.partition(":s3:::")[2].partition("/")
            if "*" in bucket or key == "*":
                yield f"may reach more buckets, or more of one, than its own part: {place}"
        if "s3:ListBucket" in statement["Action"] and not statement.get("Condition", {}).get("StringLike"):
            yield "may list a whole bucket"


def _missing(policy: Mapping[str, Any], needs: set[Right]) -> Iterator[str]:
    for action, place in sorted(needs):
        allowed = any(
            statement["Effect"] == "Allow"
            and action in statement["Action"]
            and any(fnmatchcase(place, pattern) for pattern in statement["Resource"])
            for statement in policy["Statement"]
        )
        if not allowed:
            yield f"needs {action} on {place}"


def _unused(policy: Mapping[str, Any], needs: set[Right]) -> Iterator[str]:
    """Starting, passing and reading of secrets are given for exactly the things that are used."""
    exact = ("states:StartExecution", "sagemaker:StartPipelineExecution", "secretsmanager:GetSecretValue")
    for statement in policy["Statement"]:
        for action in set(statement["Action"]) & set(exact):
            for place in statement["Resource"]:
                if "*" in place or not any(action == wanted and fnmatchcase(thing, place) for wanted, thing in needs):
                    yield f"may do {action} to {place}, which nothing does"


def _passing(policy: Mapping[str, Any], role: str) -> Iterator[str]:
    for statement in policy["Statement"]:
        if "iam:PassRole" in statement["Action"]:
            condition = statement.get("Condition", {}).get("StringEquals", {})
            if condition.get("iam:PassedToService") != "sagemaker.amazonaws.com":
                yield "may pass its role to any service"
            if statement["Resource"] != [role]:
                yield "may pass other roles than itself"
        wanted = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        if "kms:CreateGrant" in statement["Action"] and statement.get("Condition") != wanted:
            yield "may give the key to anybody"
