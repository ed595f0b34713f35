"""`BOOTSTRAP.md`: what an administrator does once, before the first deployment. Made from the same documents.

Every command names files of the bundle, so that what is read in them is what is done.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.sagemaker import identities, names, resources
from ctc.targets.sagemaker.limits import named

Policy = dict[str, Any]


def sheet(system: System, uploads: Mapping[str, str]) -> bytes:
    """The sheet, in Markdown. `uploads` are the files of the bundle with the URIs at which the jobs read them.

    Every value of the spec in a command is one quoted word of it.
    """
    return ("\n".join(_lines(system, uploads)) + "\n").encode()


def deployer(system: System) -> Policy:
    """What whoever deploys may do: make and change what the template holds, and nothing of another system's."""
    here = names.partition(system), names.account(system), names.region(system)
    iam, account, region = f"arn:{here[0]}:iam::{here[1]}", here[1], here[2]
    roles = sorted(names.role_arn(system, role) for role in identities.roles(system) if role != "pipeline")
    pipelines = [names.pipeline_arn(system, kind) for kind in ("record", "train", "wake", *names.scores(system))]
    called = {kind: sorted(item.name for item in named(system) if item.kind == kind) for kind in names.LENGTHS}
    own = f"arn:{here[0]}:s3:::{system.root.removeprefix('s3://')}"
    stack = f"arn:{here[0]}:cloudformation:{region}:{account}:stack/{system.name}/*"
    verbs = ("Create", "Delete", "Describe", "Update")
    statements = [
        ("Stack", [f"cloudformation:{verb}Stack" for verb in ("Create", "Delete", "Update")], [stack]),
        ("StackState", ["cloudformation:DescribeStackEvents", "cloudformation:DescribeStacks"], [stack]),
        ("Upload", ["s3:GetObject", "s3:PutObject"], [f"{own}/support/*", f"{own}/template.json"]),
        ("Pipelines", [*(f"sagemaker:{verb}Pipeline" for verb in verbs), "sagemaker:AddTags"], pipelines),
        (
            "Models",
            [f"sagemaker:{verb}ModelPackageGroup" for verb in ("Create", "Delete", "Describe")] + ["sagemaker:AddTags"],
            [names.arn(system, "sagemaker", f"model-package-group/{names.group_name(system)}")],
        ),
        (
            "Schedules",
            [f"scheduler:{verb}Schedule" for verb in ("Create", "Delete", "Get", "Update")],
            [names.arn(system, "scheduler", f"schedule/default/{name}") for name in called["schedule name"]],
        ),
        (
            "Rules",
            [f"events:{verb}" for verb in ("DeleteRule", "DescribeRule", "PutRule", "PutTargets", "RemoveTargets")]
            + ["events:TagResource"],
            _rules(system),
        ),
        (
            "Alarms",
            [f"cloudwatch:{verb}" for verb in ("DeleteAlarms", "DescribeAlarms", "PutMetricAlarm", "TagResource")],
            [names.arn(system, "cloudwatch", f"alarm:{name}") for name in called["alarm name"]],
        ),
        (
            "Topic",
            [f"sns:{verb}" for verb in ("CreateTopic", "DeleteTopic", "GetTopicAttributes", "TagResource")],
            [names.topic_arn(system)],
        ),
        (
            "Roles",
            [f"iam:{verb}Role" for verb in ("Create", "Delete", "Get", "Tag")]
            + [f"iam:{verb}RolePolicy" for verb in ("Delete", "Get", "Put")],
            roles,
        ),
        (
            "Policy",
            [f"iam:{verb}Policy" for verb in ("Create", "Delete", "Get")]
            + [f"iam:{verb}PolicyVersion" for verb in ("Create", "Delete")]
            + ["iam:ListPolicyVersions"],
            [f"{iam}:policy/{names.policy_name(system)}"],
        ),
        ("Attach", ["iam:AttachRolePolicy", "iam:DetachRolePolicy"], [names.role_arn(system, "pipeline")]),
        ("Give", ["iam:PassRole"], sorted([*roles, names.role_arn(system, "pipeline")])),
    ]
    if called["state machine name"]:
        machines = [f"states:{verb}StateMachine" for verb in verbs] + ["states:TagResource"]
        where = [names.arn(system, "states", f"stateMachine:{name}") for name in called["state machine name"]]
        statements.append(("Machines", machines, where))
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


def _lines(system: System, uploads: Mapping[str, str]) -> Iterator[str]:
    bucket = system.root.removeprefix("s3://").partition("/")[0]
    role = names.own_role_name(system)
    yield from (
        f"# Before `{system.name}` is deployed to SageMaker",
        "",
        "An administrator runs the first part once, in the folder of this bundle and after reading it. Nothing here is",
        "run by ctc. Each policy lists the actions that these documents use, on the resources that they use.",
        "",
        f"## The bucket, with its old versions kept: `{bucket}`",
        "```sh",
        *_bucket(system, bucket),
        "```",
        "",
        "## The role of the pipelines and their jobs",
        "Its policy, `identities/pipeline.policy.json`, comes with the template.",
        "```sh",
        _command(
            *("iam", "create-role", "--role-name", role, *_path(system)),
            *("--assume-role-policy-document", "file://identities/pipeline.trust.json"),
        ),
        "```",
        "",
        *_secrets(system),
        "## Whoever deploys",
        "May make what the template holds and nothing else; attach this policy to them.",
        "```sh",
        _command(
            *("iam", "create-policy", "--policy-name", f"{system.name}-deployer"),
            *("--policy-document", "file://identities/deployer.json"),
        ),
        "```",
        "",
        "## The deployment",
        "What the jobs read is uploaded first; then the stack is made.",
        "```sh",
        *(_put(path, uri) for path, uri in sorted(uploads.items())),
        _put("template.json", f"{system.root}/template.json"),
        _command(
            *("cloudformation", "create-stack", "--stack-name", system.name, "--region", names.region(system)),
            *(
                "--template-url",
                f"https://{bucket}.s3.{names.region(system)}.amazonaws.com/{_key(system.root)}/template.json",
            ),
            *("--capabilities", "CAPABILITY_NAMED_IAM"),
        ),
        "```",
        "",
    )
    yield from _by_hand(system)


def _path(system: System) -> tuple[str, ...]:
    """Of a role that is not at the top: part of its ARN, and not of its name."""
    inner = str(system.settings["role"]).partition(":role/")[2].rpartition("/")[0]
    return ("--path", f"/{inner}/") if inner else ()


def _bucket(system: System, bucket: str) -> Iterator[str]:
    region = names.region(system)
    # The one region that must not be named: it is where a bucket is without.
    where = () if region == "us-east-1" else ("--create-bucket-configuration", f"LocationConstraint={region}")
    yield _command("s3api", "create-bucket", "--bucket", bucket, "--region", region, *where)
    closed = ",".join(f"{name}=true" for name in _CLOSED)
    yield _command(
        "s3api", "put-public-access-block", "--bucket", bucket, "--public-access-block-configuration", closed
    )
    yield _command("s3api", "put-bucket-versioning", "--bucket", bucket, "--versioning-configuration", "Status=Enabled")
    if key := system.settings.get("kms_key"):
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": str(key)}
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
        configuration = json.dumps({"Rules": [rule]}, sort_keys=True)
        words = ("--server-side-encryption-configuration", configuration)
        yield _command("s3api", "put-bucket-encryption", "--bucket", bucket, *words)


_CLOSED = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _secrets(system: System) -> Iterator[str]:
    wanted = identities.secrets(system)
    if not wanted:
        return
    yield "## Secrets"
    yield "Each file holds the value; delete it afterwards."
    yield "```sh"
    for name in wanted:
        words = ("--region", names.region(system), "--name", name, "--secret-string", "file://value.txt")
        yield _command("secretsmanager", "create-secret", *words)
    yield "```"
    yield ""


def _by_hand(system: System) -> Iterator[str]:
    yield "## By hand"
    yield f"- Whoever is to be told subscribes to the topic `{names.topic_arn(system)}`."
    if key := system.settings.get("kms_key"):
        yield f"- The policy of the key `{key}` must let the account give it to roles"
        yield f"  (`arn:{names.partition(system)}:iam::{names.account(system)}:root`), as the default one does."
    if system.settings.get("subnets"):
        yield "- From the subnets the jobs must reach S3, SageMaker, CloudWatch Logs and the images' registry: by NAT,"
        yield "  or by endpoints of the VPC."
    for event, heard in resources.heard(system).items():
        bus = heard.mapped.get("bus", "default")
        if bus != "default":
            yield f"- The event bus `{bus}` of the event `{event}` must exist."
    steps = (step for pipeline in system.pipelines for step in pipeline.steps())
    for image in sorted({step.image for step in steps if step.image}):
        if not identities.ECR.match(image):
            yield f"- `{image}` is not in ECR: the service pulls images from other registries only inside a VPC that"
            yield "  reaches them, or mirror it to ECR and name that."
    yield "- The quotas of the account must allow the instance types of the jobs: SageMaker gives new accounts few."


def _key(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[2]


def _put(path: str, uri: str) -> str:
    bucket = uri.removeprefix("s3://").partition("/")[0]
    return _command("s3api", "put-object", "--bucket", bucket, "--key", _key(uri), "--body", path)


def _command(*words: str) -> str:
    return shlex.join(("aws", *words))
