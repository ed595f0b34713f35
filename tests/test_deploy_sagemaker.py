"""Deploying to SageMaker, against moto: what is sent, what is found again, and who may do it.

moto checks little (garbage definitions, bad cron, absent roles pass), so `requests` holds every request against
botocore's own model, which the client checks before it sends; what the service itself refuses is for a live account.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from aws_account import bootstrap
from aws_refusals import lenient, strict
from cloud import ALL, Clock, Killed, deploy, destroy, planned
from moto import mock_aws
from sagemaker_system import full_system

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.deploy.apply import Wish
from ctc.deploy.lease import LENGTH
from ctc.deploy.plan import Verb
from ctc.deploy.resource import CloudError
from ctc.diagnostics import CtcError
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import sagemaker
from ctc.targets.sagemaker import identities, names
from ctc.targets.sagemaker.deploy import SageMakerHands
from ctc.targets.sagemaker.session import Session, _refused

SPECS = Path(__file__).resolve().parent.parent / "specs"
NAMED = sorted(path.stem for path in SPECS.glob("*.yaml") if "sagemaker:" in path.read_text())
OPENED: dict[str, dict[str, Any]] = {}
READS = ("get_", "describe_", "list_")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(), strict():
        yield


class Counted(Session):
    """A session that counts its requests and may die at one of them, before or after it is sent."""

    def __init__(self, region: str, dies_at: int = 0, done: bool = False) -> None:
        if region not in OPENED:
            super().__init__(region)
            OPENED[region] = vars(self)
        # Opening clients takes longer than all that they are asked here.
        vars(self).update(OPENED[region])
        self.dies_at, self.done = dies_at, done
        self.asked: list[tuple[str, str]] = []

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        self.asked.append((operation, about))
        if self.dies_at and len(self.asked) >= self.dies_at:
            if self.done and len(self.asked) == self.dies_at:
                super().call(service, operation, about, **arguments)
            raise Killed
        return super().call(service, operation, about, **arguments)

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(operation, about) for operation, about in self.asked if not operation.startswith(READS)]


def compiled(name: str, change: tuple[str, str] | None = None, folder: Path | None = None) -> tuple[System, Bundle]:
    path = SPECS / f"{name}.yaml"
    if change is not None and folder is not None:
        text = path.read_text()
        assert change[0] in text
        path = folder / path.name
        path.write_text(text.replace(*change))
    environment = "prod" if "\nenvironments:" in path.read_text() else None
    loaded = load_spec(path, environment, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    built = build(loaded.spec, targets.load("sagemaker"))
    assert built.bundle is not None, built.diagnostics
    return built.system, built.bundle


def hands(made: tuple[System, Bundle], dies_at: int = 0, done: bool = False) -> tuple[SageMakerHands, Counted]:
    system, bundle = made
    session = Counted(system.settings["region"], dies_at, done)
    return SageMakerHands(system, bundle, session), session


def everything(made: tuple[System, Bundle]) -> dict[str, Any]:
    """What the account holds, asked of the services themselves."""
    region = made[0].settings["region"]

    def ask(service: str, operation: str, key: str) -> Any:
        return Counted(region).call(service, operation, "all").get(key, [])

    return {
        "pipelines": ask("sagemaker", "list_pipelines", "PipelineSummaries"),
        "groups": ask("sagemaker", "list_model_package_groups", "ModelPackageGroupSummaryList"),
        "topics": ask("sns", "list_topics", "Topics"),
        "alarms": ask("cloudwatch", "describe_alarms", "MetricAlarms"),
        "rules": ask("events", "list_rules", "Rules"),
        "schedules": ask("scheduler", "list_schedules", "Schedules"),
        "machines": ask("stepfunctions", "list_state_machines", "stateMachines"),
    }


def full(folder: Path) -> tuple[System, Bundle]:
    system = full_system(folder)
    return system, sagemaker.emit(system)


SAMPLED = ("batch_serving", "everywhere", "late_labels", "minimal", "canary")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAMPLED else pytest.mark.soak) for name in NAMED]
)
def test_deploy_is_found_again_whole_and_destroyed_whole(name: str) -> None:
    made, clock = compiled(name), Clock()
    bootstrap(made)
    first, _ = hands(made)

    plan = deploy(first, clock)

    assert {step.verb for step in plan.steps if not step.resource.admin} == {Verb.CREATE}
    assert {step.verb for step in plan.steps if step.resource.admin} == {Verb.KEEP}
    assert not planned(hands(made)[0], clock).changes
    again, session = hands(made)
    deploy(again, clock)
    assert {operation for operation, _ in session.changes} == {"put_object"}
    assert {about.rpartition("/")[2] for _, about in session.changes} == {"deployment.json"}
    found = everything(made)
    assert {item["PipelineName"] for item in found["pipelines"]} == {
        f"{made[0].name}-{kind}" for kind in ("wake", "train", "record", *names.scores(made[0]))
    }
    destroy(hands(made)[0], clock)
    left = {key: items for key, items in everything(made).items() if items}
    assert set(left) == {"groups"}
    assert not destroy(hands(made)[0], clock).changes


def test_what_was_deployed_is_what_the_bundle_asks(tmp_path: Path) -> None:
    made = full(tmp_path)
    bootstrap(made)
    deploy(hands(made)[0], Clock())

    region = made[0].settings["region"]
    files = {item.path: item.content for item in made[1].artifacts}
    said = boto3.client("sagemaker", region_name=region).describe_pipeline(PipelineName=f"{made[0].name}-train")
    assert json.loads(said["PipelineDefinition"]) == json.loads(files["pipelines/train.json"])
    assert said["RoleArn"] == made[0].settings["role"]
    s3 = boto3.client("s3", region_name=region)
    for path, uri in made[1].uploads:
        name, _, key = uri.removeprefix("s3://").partition("/")
        assert s3.get_object(Bucket=name, Key=key)["Body"].read() == files[path]
    found = everything(made)
    assert len(found["machines"]) == sum(path.endswith("-machine.json") for path in files)
    assert len(found["rules"]) == sum(path.endswith("-rule.json") for path in files)
    tags = boto3.client("sagemaker", region_name=region).list_tags(ResourceArn=said["PipelineArn"])["Tags"]
    assert {tag["Key"] for tag in tags} >= {"ctc:name", "ctc:environment", "ctc:spec-digest"}


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        (('cron: "30 2 * * 1"', 'cron: "30 3 * * 2"'), {"schedule/late-parcels-at-weekly"}),
        (
            ("\ntriggers:", "\ntrigger_policy: {wake_every: 2h}\ntriggers:"),
            {"schedule/late-parcels-wake", "alarm/late-parcels-wakes"},
        ),
    ],
    ids=["cron", "every"],
)
def test_one_field_changes_its_own_resource_and_what_carries_the_digest(
    change: tuple[str, str], touched: set[str], tmp_path: Path
) -> None:
    """The pipelines carry the spec's digest into records, and name the folder of their documents by its content."""
    before, clock = compiled("everywhere"), Clock()
    bootstrap(before)
    deploy(hands(before)[0], clock)
    after = hands(compiled("everywhere", change, tmp_path))[0]
    changes = {step.resource.address for step in planned(after, clock).changes}

    assert {item for item in changes if item.partition("/")[0] not in ("pipeline", "files")} == touched
    deploy(after, clock)
    assert not planned(after, clock).changes


def test_a_trigger_that_is_gone_leaves_no_schedule(tmp_path: Path) -> None:
    before, clock = compiled("everywhere"), Clock()
    bootstrap(before)
    deploy(hands(before)[0], clock)
    text = (SPECS / "everywhere.yaml").read_text()
    line = next(line for line in text.splitlines(keepends=True) if "weekly:" in line)

    after = hands(compiled("everywhere", (line, "  by-hand: {manual: {}}\n"), tmp_path))
    deploy(after[0], clock)

    assert [item["Name"] for item in everything(before)["schedules"]] == ["late-parcels-wake"]
    operations = [operation for operation, _ in after[1].changes if operation != "put_object"]
    assert operations[0] == "delete_schedule"


def _until_it_ends(made: tuple[System, Bundle], start: Any, done: bool, step: int) -> Iterator[tuple[int, Clock]]:
    """Runs `start` killed at request 1, 1 + step, ... in fresh accounts, until it ends by itself."""
    number, ended = 1, False
    while not ended:
        # moto's own address, which it answers itself.
        requests.post("http://motoapi.amazonaws.com/moto-api/reset", timeout=5)
        bootstrap(made)
        clock = Clock()
        try:
            start(hands(made, number, done)[0], clock)
            ended = True
        except Killed:
            clock.pass_(LENGTH)
            yield number, clock
        number += step


@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_requests_all_along_the_next_deploy_finishes_it(done: bool, tmp_path: Path) -> None:
    """A sample of them; the soak takes every one, of every spec."""
    made, kills = full(tmp_path), 0
    for _, clock in _until_it_ends(made, deploy, done, 19):
        deploy(hands(made)[0], clock)
        assert not planned(hands(made)[0], clock).changes
        kills += 1
    assert kills >= 4


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_every_request_the_next_deploy_finishes_it(name: str, done: bool) -> None:
    made = compiled(name)
    for _, clock in _until_it_ends(made, deploy, done, 1):
        deploy(hands(made)[0], clock)
        assert not planned(hands(made)[0], clock).changes
        destroy(hands(made)[0], clock)
        assert {key for key, items in everything(made).items() if items} <= {"groups"}


def test_what_another_deployment_made_stays() -> None:
    made, clock = compiled("everywhere"), Clock()
    bootstrap(made)
    region = made[0].settings["region"]
    client = boto3.client("sagemaker", region_name=region)
    tags = [{"Key": "ctc:name", "Value": "late-parcels"}, {"Key": "ctc:environment", "Value": "prod"}]
    with lenient():
        client.create_pipeline(
            PipelineName="late-parcels-train",
            PipelineDefinition="{}",
            ClientRequestToken="x" * 32,
            RoleArn=made[0].settings["role"],
            Tags=tags,
        )
        boto3.client("scheduler", region_name=region).create_schedule(
            Name="late-parcels-wake",
            ScheduleExpression="rate(1 hour)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": "arn:aws:sqs:eu-north-1:123456789012:theirs", "RoleArn": made[0].settings["role"]},
        )

    refused = planned(hands(made)[0], clock).refused

    assert {step.resource.address for step in refused} == {"pipeline/late-parcels-train", "schedule/late-parcels-wake"}
    with pytest.raises(CtcError, match="not this deployment's"):
        deploy(hands(made)[0], clock)
    assert client.describe_pipeline(PipelineName="late-parcels-train")["PipelineDefinition"] == "{}"
    assert len(everything(made)["pipelines"]) == 1


def test_what_somebody_clicked_is_seen_and_put_right() -> None:
    made, clock = compiled("everywhere"), Clock()
    bootstrap(made)
    deploy(hands(made)[0], clock)
    region = made[0].settings["region"]
    scheduler = boto3.client("scheduler", region_name=region)
    said = scheduler.get_schedule(Name="late-parcels-wake")
    kept = {key: said[key] for key in ("Name", "FlexibleTimeWindow", "Target", "Description")}
    scheduler.update_schedule(**kept, ScheduleExpression="rate(2 hours)", State="DISABLED")
    boto3.client("events", region_name=region).disable_rule(Name="late-parcels-record")
    boto3.client("cloudwatch", region_name=region).delete_alarms(AlarmNames=["late-parcels-wakes"])

    plan = planned(hands(made)[0], clock)

    assert {step.resource.address: [field.path for field in step.fields] for step in plan.changes} == {
        "alarm/late-parcels-wakes": [],
        "rule/late-parcels-record": ["State"],
        "schedule/late-parcels-wake": ["ScheduleExpression", "State"],
    }
    deploy(hands(made)[0], clock)
    assert not planned(hands(made)[0], clock).changes


def test_nothing_that_starts_is_made_without_start() -> None:
    made, clock = compiled("everywhere"), Clock()
    bootstrap(made)

    deploy(hands(made)[0], clock, Wish(start=False))

    found = everything(made)
    assert found["pipelines"] and not found["rules"] and not found["schedules"]
    assert {step.resource.kind for step in planned(hands(made)[0], clock, ALL).changes} == {"rule", "schedule"}


DEPLOYER = "arn:aws:iam::123456789012:user/deployer"
PREFIXES = {"stepfunctions": "states", "sagemaker": "sagemaker", "s3": "s3", "sns": "sns", "scheduler": "scheduler"}


class Watched(Counted):
    """A session of a user who has one policy: each request is held against it, with the resource on which it acts.

    moto's own enforcement knows resources of S3 only, and takes no signature of EventBridge Scheduler.
    """

    def __init__(self, system: System, policy: Mapping[str, Any]) -> None:
        super().__init__(system.settings["region"])
        self.system, self.policy, self.denied = system, policy, set[tuple[str, str]]()

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        if service != "sts":
            model = self._client(service).meta.method_to_api_mapping[operation]
            action = f"{PREFIXES.get(service, service)}:{model}"
            resource = self._resource(service, about, arguments)
            if not any(_allows(statement, action, resource) for statement in self.policy["Statement"]):
                self.denied.add((action, resource))
                told = f"User: {DEPLOYER} is not authorized to perform: {action} on resource: {resource}"
                answer = {"Error": {"Code": "AccessDeniedException", "Message": told}}
                raise _refused(answer, service, operation, about)
        return super().call(service, operation, about, **arguments)

    def _resource(self, service: str, about: str, arguments: Mapping[str, Any]) -> str:
        if service == "s3":
            return f"arn:aws:s3:::{arguments['Bucket']}/{arguments['Key']}"
        kind, _, name = about.partition("/")
        system = self.system
        if kind in ("given-role", "role", "role-policy"):
            return f"arn:aws:iam::123456789012:role/{name.partition('/')[0]}"
        of_service = {
            "pipeline": ("sagemaker", f"pipeline/{name}"),
            "model-package-group": ("sagemaker", f"model-package-group/{name}"),
            "topic": ("sns", name),
            "alarm": ("cloudwatch", f"alarm:{name}"),
            "rule": ("events", f"rule/{name}"),
            "schedule": ("scheduler", f"schedule/default/{name}"),
            "state-machine": ("states", f"stateMachine:{name}"),
        }
        return names.arn(system, *of_service[kind])


def _allows(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    allowed = action in statement["Action"]
    return allowed and any(fnmatch.fnmatchcase(resource, pattern) for pattern in statement["Resource"])


def rights(made: tuple[System, Bundle], *documents: str) -> dict[str, Any]:
    files = {item.path: item.content for item in made[1].artifacts}
    statements = [json.loads(files[f"identities/{document}.json"])["Statement"] for document in documents]
    return {"Statement": [statement for document in statements for statement in document]}


@pytest.mark.parametrize("name", ["everywhere", "late_labels", "batch_serving", "full"])
def test_whoever_deploys_needs_no_more_rights_than_the_bundle_gives(name: str, tmp_path: Path) -> None:
    made, clock = (full(tmp_path) if name == "full" else compiled(name)), Clock()
    bootstrap(made)
    session = Watched(made[0], rights(made, "deployer"))

    for act in (deploy, planned, destroy):
        act(SageMakerHands(*made, session), clock)

    assert SageMakerHands(*made, session).state().read().document is None
    assert len(session.asked) > 100
    assert not session.denied


def test_whoever_tells_needs_no_right_to_deploy(tmp_path: Path) -> None:
    made = full(tmp_path)
    bootstrap(made)
    deploy(hands(made)[0], Clock())
    session = Watched(made[0], rights(made, "operator"))
    operator = SageMakerHands(*made, session)

    operator.documents().read()
    assert operator.state().read().document is None
    assert operator.objects().put_once("told/approve-1.json", {"who": "ann"})
    assert operator.wake({"told": "approve-1"}).startswith("arn:aws:sagemaker:")
    with pytest.raises(CtcError, match="may not"):
        operator.delete(operator.desired()[-1])
    assert {action for action, _ in session.denied} == {"scheduler:DeleteSchedule"}


def test_a_right_that_is_missing_is_told_with_who_what_and_where(tmp_path: Path) -> None:
    made, clock = full(tmp_path), Clock()
    bootstrap(made)
    policy = rights(made, "deployer")
    for statement in policy["Statement"]:
        statement["Action"] = [item for item in statement["Action"] if item != "scheduler:CreateSchedule"]

    with pytest.raises(CtcError) as caught:
        deploy(SageMakerHands(*made, Watched(made[0], policy)), clock)

    first, done, failed, left, last = caught.value.message.splitlines()
    schedule = "checkout-fraud-at-weekly"
    assert first == (
        f"schedule/{schedule}: {DEPLOYER} may not scheduler:CreateSchedule on "
        f"arn:aws:scheduler:eu-north-1:123456789012:schedule/default/{schedule}"
    )
    assert done.startswith("done: create files/support/") and "create pipeline/checkout-fraud-wake" in done
    assert failed == f"failed: schedule/{schedule}" and left.startswith("not begun: schedule/")
    assert last == "the same command finishes it"
    assert "identities/deployer.json" in caught.value.help
    deploy(SageMakerHands(*made, Watched(made[0], rights(made, "deployer"))), clock)
    assert not planned(hands(made)[0], clock).changes


def test_roles_are_an_administrators_unless_asked_for(tmp_path: Path) -> None:
    made, clock = full(tmp_path), Clock()
    region = made[0].settings["region"]
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    boto3.client("s3", region_name=region).create_bucket(Bucket="acme-ct", **where)
    with pytest.raises(CtcError, match="role/checkout-fraud-scheduler: an administrator makes it: ctc bootstrap"):
        deploy(hands(made)[0], clock)
    assert not any(everything(made).values())

    maker = Watched(made[0], rights(made, "deployer", "role-maker"))
    deploy(SageMakerHands(*made, maker), clock, Wish(roles=True))
    assert not planned(hands(made)[0], clock, Wish(roles=True)).changes
    assert {step.verb for step in planned(hands(made)[0], clock).steps} == {Verb.KEEP}
    role = boto3.client("iam", region_name=region).get_role_policy(RoleName="checkout-fraud-events", PolicyName="ctc")
    assert role["PolicyDocument"] == identities.policy(made[0], "events")
    destroy(SageMakerHands(*made, maker), clock)
    assert [role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]] == ["fraud-ct"]


NOTHING = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": "*"}


def test_a_role_that_is_not_what_the_spec_needs_is_told_and_left_alone(tmp_path: Path) -> None:
    made, clock = full(tmp_path), Clock()
    bootstrap(made)
    iam = boto3.client("iam")
    iam.put_role_policy(
        RoleName="checkout-fraud-events",
        PolicyName="ctc",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [NOTHING]}),
    )

    deploy(hands(made)[0], clock)

    [step] = [step for step in planned(hands(made)[0], clock).steps if step.verb is Verb.CHECK]
    assert step.resource.address == "role/checkout-fraud-events"
    assert all(field.path.startswith("Policy.Statement") for field in step.fields)
    said = iam.get_role_policy(RoleName="checkout-fraud-events", PolicyName="ctc")
    assert said["PolicyDocument"]["Statement"] == [NOTHING]


def test_a_bucket_that_is_not_there_is_told() -> None:
    made = compiled("everywhere")

    with pytest.raises(CloudError, match=r"deployment.json: s3:.* The specified bucket does not exist"):
        deploy(hands(made)[0], Clock())
