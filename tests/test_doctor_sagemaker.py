"""`ctc doctor --target sagemaker`: what an administrator has not made, or made otherwise, each with what to do."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import requests
from aws_account import bootstrap
from aws_refusals import strict
from botocore.handlers import BUILTIN_HANDLERS
from moto import mock_aws
from sagemaker_system import KEY, full_system
from test_deploy_sagemaker import DEPLOYER, Counted, Watched, everything, rights

from ctc.cli.common import guarded
from ctc.cli.doctor import doctor
from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.deploy.inspect import Finding
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import INSPECTED, NAMES, sagemaker
from ctc.targets.sagemaker.inspect import Inspection
from ctc.targets.sagemaker.session import Session

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"
REGION = "eu-north-1"
REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
CLIENTS: dict[tuple[str, str], Any] = {}
ALLOWED = SimpleNamespace(policy=None, who="", asked=[])
"""Who asks, and what they may do; nothing is answered for nobody."""


def _simulated(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["simulated"] = params


def _answer(model: Any, context: dict[str, Any], **_: Any) -> Any:
    """IAM's simulator, which moto lacks: by one policy, of which conditions hold if their keys are given."""
    if not ALLOWED.who or model.name not in ("GetCallerIdentity", "SimulatePrincipalPolicy"):
        return None
    if model.name == "GetCallerIdentity":
        return SimpleNamespace(status_code=200), {"Arn": ALLOWED.who, "Account": ACCOUNT}
    given = context["simulated"]
    ALLOWED.asked.append(given["PolicySourceArn"])
    keys = {item["ContextKeyName"] for item in given["ContextEntries"]}
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "allowed" if _may(action, resource, keys) else "implicitDeny",
        }
        for action in given["ActionNames"]
        for resource in given["ResourceArns"]
    ]
    half = len(results) // 2
    page = results[half:] if "Marker" in given else results[:half]
    more = {} if "Marker" in given else {"IsTruncated": True, "Marker": "2"}
    return SimpleNamespace(status_code=200), {"EvaluationResults": page, **more}


def _may(action: str, resource: str, keys: set[str]) -> bool:
    for statement in ALLOWED.policy["Statement"]:
        needed = {key for condition in statement.get("Condition", {}).values() for key in condition}
        if action in statement["Action"] and resource in statement["Resource"] and needed <= keys:
            return True
    return False


BUILTIN_HANDLERS.extend([("before-parameter-build.iam", _simulated), ("before-call.iam", _answer)])
BUILTIN_HANDLERS.append(("before-call.sts", _answer))


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    ALLOWED.who, ALLOWED.asked = DEPLOYER, []
    with mock_aws(), strict():
        yield
    ALLOWED.who = ""


def client(service: str, region: str = REGION) -> Any:
    if (service, region) not in CLIENTS:
        CLIENTS[service, region] = boto3.client(service, region_name=region)
    return CLIENTS[service, region]


def pushed(name: str) -> str:
    """An image in the account's registry, by its digest."""
    client("ecr").create_repository(repositoryName=name)
    said = client("ecr").put_image(
        repositoryName=name, imageManifest=json.dumps({"of": name, **MANIFEST}), imageTag="v1"
    )
    return f"{REGISTRY}/{name}@{said['image']['imageId']['imageDigest']}"


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A system with everything, whose administrator has done all that its sheet says."""
    full_system(tmp_path)
    file = tmp_path / "full.yaml"
    text = file.read_text()
    for found in sorted(set(re.findall(r"registry\.example/[^\s\"'}]+", text))):
        text = text.replace(found, pushed(re.split("[@:]", found.partition("/")[2])[0]))
    text = text.replace(KEY, client("kms").create_key()["KeyMetadata"]["Arn"])
    file.write_text(text.replace("{source: fraud.ops,", "{bus: fraud, source: fraud.ops,"))
    made = built(file)
    bootstrap(made)
    client("events").create_event_bus(Name="fraud")
    client("secretsmanager").create_secret(Name="hub-token", SecretString="x")
    client("secretsmanager").create_secret(Name="slack-fraud-oncall", SecretString="x")
    ALLOWED.policy = rights(made, "deployer")
    return file


def built(file: Path) -> tuple[System, Bundle]:
    loaded = load_spec(file, None, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    system = lower(loaded.spec, "sagemaker")
    return system, sagemaker.emit(system)


def looked(file: Path, session: Session | None = None) -> dict[str, Finding]:
    made = built(file)
    found = list(Inspection(*made, session or Counted(REGION)).findings())
    assert len({item.place for item in found}) == len(found)
    return {item.place: item for item in found}


def test_what_an_administrator_made_by_the_sheet_is_all_that_is_needed(spec: Path) -> None:
    found = looked(spec)

    assert {place: item for place, item in found.items() if item.status != "ok"} == {"quotas": found["quotas"]}
    kinds = {place.partition("/")[0] for place in found}
    assert kinds == {
        *("credentials", "bucket", "given-role", "role-policy", "role", "image", "secret", "event-bus", "key"),
        *("rights", "quotas"),
    }


def test_an_empty_account_is_told_thing_by_thing_with_the_command_of_the_sheet(spec: Path) -> None:
    sheet = next(item.content for item in built(spec)[1].artifacts if item.path == "BOOTSTRAP.md").decode()
    requests.post("http://motoapi.amazonaws.com/moto-api/reset", timeout=5)
    found = looked(spec)

    failed = {place for place, item in found.items() if item.status == "fail"}
    kinds = {place.partition("/")[0] for place in failed}
    assert kinds == {"bucket", "given-role", "role-policy", "role", "image", "secret", "event-bus", "key"}
    for place in failed:
        advice = found[place].advice
        assert advice, place
        if place.partition("/")[0] in ("bucket", "given-role", "role-policy", "role", "secret"):
            command = advice.partition("the bundle's folder: ")[2]
            assert command in sheet.splitlines(), (place, advice)


def _role(name: str) -> None:
    client("iam").update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(OTHERS))


def _policy(name: str) -> None:
    client("iam").put_role_policy(RoleName=name, PolicyName="ctc", PolicyDocument=json.dumps(NOTHING))


def _elsewhere() -> None:
    s3 = client("s3")
    s3.delete_bucket(Bucket="acme-ct")
    client("s3", "eu-west-1").create_bucket(
        Bucket="acme-ct", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )


OTHERS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}],
}
NOTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}]}
BROKEN: Mapping[str, tuple[Callable[[], object], str, str, str, str]] = {
    "no-versions": (
        lambda: client("s3").put_bucket_versioning(
            Bucket="acme-ct", VersioningConfiguration={"Status": "Suspended"}
        ),
        "bucket/acme-ct, versions", "warn", "not kept", "aws s3api put-bucket-versioning --bucket acme-ct",
    ),
    "public": (
        lambda: client("s3").delete_public_access_block(Bucket="acme-ct"),
        "bucket/acme-ct, public access", "warn", "BlockPublicAcls", "aws s3api put-public-access-block",
    ),
    "no-encryption": (
        lambda: client("s3").delete_bucket_encryption(Bucket="acme-ct"),
        "bucket/acme-ct, encryption", "warn", "not by the key of the spec", "aws s3api put-bucket-encryption",
    ),
    "bucket-elsewhere": (_elsewhere, "bucket/acme-ct", "fail", "it is in eu-west-1", "name a bucket of eu-north-1"),
    "role-of-nobody": (
        lambda: _role("fraud-ct"), "given-role/fraud-ct", "fail", "sagemaker.amazonaws.com may not assume it",
        "update-assume-role-policy --role-name fraud-ct",
    ),
    "policy-of-others": (
        lambda: _policy("checkout-fraud-events"), "role/checkout-fraud-events", "warn", "Policy.Statement",
        "aws iam put-role-policy --role-name checkout-fraud-events",
    ),
    "policy-gone": (
        lambda: client("iam").delete_role_policy(RoleName="fraud-ct", PolicyName="checkout-fraud-pipeline"),
        "role-policy/fraud-ct/checkout-fraud-pipeline", "fail", "no such policy", "aws iam put-role-policy",
    ),
    "image-gone": (
        lambda: client("ecr").batch_delete_image(repositoryName="fraud", imageIds=[{"imageTag": "v1"}]),
        f"image/{REGISTRY}/fraud@*", "fail", "no image of that name", "ctc package --push",
    ),
    "repository-gone": (
        lambda: client("ecr").delete_repository(repositoryName="ctc", force=True),
        f"image/{REGISTRY}/ctc@*", "fail", "no repository of that name", "aws ecr create-repository",
    ),
    "secret-gone": (
        lambda: client("secretsmanager").delete_secret(SecretId="hub-token", ForceDeleteWithoutRecovery=True),
        "secret/hub-token", "fail", "no such secret", "aws secretsmanager create-secret",
    ),
    "secret-going": (
        lambda: client("secretsmanager").delete_secret(SecretId="hub-token"),
        "secret/hub-token", "fail", "to be deleted", "restore-secret --secret-id hub-token",
    ),
    "bus-gone": (
        lambda: client("events").delete_event_bus(Name="fraud"), "event-bus/fraud", "fail", "no such event bus",
        "aws events create-event-bus --name fraud",
    ),
    "key-off": (
        lambda: client("kms").disable_key(KeyId=client("kms").list_keys()["Keys"][0]["KeyId"]),
        "key/*", "fail", "Disabled", "enable it",
    ),
}  # fmt: skip


SAMPLED = ("bucket-elsewhere", "image-gone", "no-versions", "policy-of-others", "role-of-nobody", "secret-gone")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLED else pytest.mark.soak) for name in BROKEN]
)
def test_one_thing_that_is_wrong_is_one_finding_with_place_cause_and_advice(name: str, spec: Path) -> None:
    act, place, status, cause, advice = BROKEN[name]
    act()
    found = looked(spec)

    wrong, *others = [item for item in found if found[item].status != "ok" and item != "quotas"]
    assert fnmatch.fnmatchcase(wrong, place), others
    assert name == "bucket-elsewhere" or not others
    assert (found[wrong].status, cause in found[wrong].cause, advice in found[wrong].advice) == (status, True, True), (
        found[wrong]
    )


def test_a_right_that_is_missing_is_named_with_its_resource(spec: Path) -> None:
    for statement in ALLOWED.policy["Statement"]:
        statement["Action"] = [item for item in statement["Action"] if item != "scheduler:CreateSchedule"]
    rule = looked(spec)["rights"]

    assert rule.status == "fail"
    assert f"{DEPLOYER} may not scheduler:CreateSchedule on arn:aws:scheduler:{REGION}:" in rule.cause
    assert "aws iam create-policy --policy-name checkout-fraud-deployer" in rule.advice


def test_the_role_behind_a_session_is_what_is_simulated(spec: Path) -> None:
    ALLOWED.who = f"arn:aws:sts::{ACCOUNT}:assumed-role/ci/run-7"
    assert looked(spec)["rights"].status == "ok"
    assert set(ALLOWED.asked) == {f"arn:aws:iam::{ACCOUNT}:role/ci"}
    ALLOWED.who = f"arn:aws:iam::{ACCOUNT}:root"
    assert looked(spec)["rights"].status == "warn"


def test_what_may_not_be_looked_at_is_told_and_stops_nothing(spec: Path) -> None:
    """Whoever may only deploy: the roles are looked at, of the bucket little is."""
    made = built(spec)
    found = looked(spec, Narrow(made[0], rights(made, "deployer")))

    skipped = {place.partition("/")[0] for place, item in found.items() if item.status == "skip"}
    assert {"bucket", "image", "secret", "event-bus", "key", "rights", "quotas"} == skipped
    assert f"{DEPLOYER} may not secretsmanager:DescribeSecret" in found["secret/hub-token"].cause
    assert all(item.status == "ok" for place, item in found.items() if "role" in place)


class Narrow(Watched):
    def _resource(self, service: str, about: str, arguments: Mapping[str, Any]) -> str:
        return super()._resource(service, about, arguments) if "role" in about and service == "iam" else about


def test_another_account_or_none_is_told_and_nothing_else_is_asked(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ALLOWED.who = "arn:aws:iam::999999999999:user/ann"
    found = looked(spec)
    assert set(found) == {"credentials"}
    assert found["credentials"].status == "fail" and "999999999999" in found["credentials"].cause
    assert f"sign in to the account {ACCOUNT}" in found["credentials"].advice


def answers(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = guarded(doctor, [*words, "-o", "json"])
    return code, {item["what"]: item for item in json.loads(capsys.readouterr().out)["checks"]}


def test_the_verb_asks_where_a_target_is_named_and_changes_nothing(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = built(spec)
    before = everything(made)
    _, found = answers(capsys, str(spec), "--target", "sagemaker")
    assert found["target sagemaker, bucket/acme-ct"]["status"] == "ok"
    client("events").delete_event_bus(Name="fraud")
    code, found = answers(capsys, str(spec), "--target", "sagemaker")
    assert code == 3 and found["target sagemaker, event-bus/fraud"]["status"] == "fail"
    assert everything(made) == before

    for words in (("--target", "sagemaker", "--offline"), ()):
        _, found = answers(capsys, str(spec), *words)
        assert [what for what in found if what.startswith("target sagemaker,")] == ["target sagemaker, deploy"]


def test_without_credentials_nothing_is_asked(
    spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(spec.parent))
    ALLOWED.who = ""
    _, found = answers(capsys, str(spec), "--target", "sagemaker")

    asked = {what: item["status"] for what, item in found.items() if what.startswith("target sagemaker,")}
    assert asked == {"target sagemaker, credentials": "skip"}


@pytest.mark.parametrize("target", [name for name in NAMES if name not in INSPECTED])
def test_other_targets_say_that_they_are_not_asked_yet(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = answers(capsys, str(ROOT / "specs" / "everywhere.yaml"), "--target", target)

    item = found[f"target {target}, deploy"]
    assert item["status"] == "skip" and f"not yet {target}" in item["found"] and "ctc bootstrap" in item["advice"]
