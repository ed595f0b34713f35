"""`BOOTSTRAP.md`: what an administrator does once, before the first deployment. Made from the same documents.

Every command names files of the bundle, so that what is read in them is what is done.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping

from ctc.compiler.ir import System
from ctc.targets.sagemaker import identities, names, resources

POLICY = "ctc"
"""The name of the policy of a role that comes with the bundle; in the template, too."""


def sheet(system: System, uploads: Mapping[str, str]) -> bytes:
    """The sheet, in Markdown. `uploads` are the files of the bundle with the URIs at which the jobs read them.

    Every value of the spec in a command is one quoted word of it.
    """
    return ("\n".join(_lines(system, uploads)) + "\n").encode()


def _lines(system: System, uploads: Mapping[str, str]) -> Iterator[str]:
    bucket = system.root.removeprefix("s3://").partition("/")[0]
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
        "## The roles",
        "Of the pipelines and their jobs, and of what starts them. `ctc deploy --create-roles` makes them, too, for",
        "those who have the rights of `identities/role-maker.json`.",
        "```sh",
        *_roles(system),
        "```",
        "",
        *_secrets(system),
        "## Whoever deploys",
        "May make what `ctc deploy` makes and nothing else, and give no rights; attach this policy to them.",
        "```sh",
        _command(
            *("iam", "create-policy", "--policy-name", f"{system.name}-deployer"),
            *("--policy-document", "file://identities/deployer.json"),
        ),
        "```",
        "Then `ctc plan` and `ctc deploy` do the rest. Whoever only approves, rolls back or asks for runs",
        "(`ctc approve --deployed`) needs `identities/operator.json`.",
        "",
        "## Instead of `ctc deploy`: CloudFormation",
        "One template holds everything, the roles but the first included; whoever applies it needs the rights of",
        "`identities/stack-deployer.json`. What the jobs read is uploaded first.",
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


def _roles(system: System) -> Iterator[str]:
    tags = [f"Key={tag['Key']},Value={tag['Value']}" for tag in resources.tags(system)[:2]]
    for role in identities.roles(system):
        own = role == "pipeline"
        name = names.own_role_name(system) if own else names.role_name(system, role)
        where = _path(system) if own else ("--tags", *tags)
        trust = f"file://identities/{role}.trust.json"
        yield _command("iam", "create-role", "--role-name", name, *where, "--assume-role-policy-document", trust)
        policy = names.policy_name(system) if own else POLICY
        document = ("--policy-document", f"file://identities/{role}.policy.json")
        yield _command("iam", "put-role-policy", "--role-name", name, "--policy-name", policy, *document)


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
