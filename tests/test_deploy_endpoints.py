"""What a deploy does about endpoints, against moto: it leaves what wakes need, looks at no traffic, and ends it all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from aws_account import bootstrap
from aws_refusals import strict
from cloud import Clock, deploy, destroy, planned
from moto import mock_aws
from sagemaker_system import full_system
from test_deploy_sagemaker import Counted, Watched, compiled, full, hands, rights
from test_sagemaker_endpoint import ENDPOINT, route, wake

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.deploy.plan import Verb
from ctc.diagnostics import CtcError
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import sagemaker
from ctc.targets.sagemaker.deploy import SageMakerHands, connect
from ctc.targets.sagemaker.endpoint import HostedEndpoint
from ctc.targets.sagemaker.in_service import service_services
from ctc.targets.sagemaker.stores import S3ObjectStore

REGION = "eu-north-1"
REQUEST = "s3://acme-ct/smoke.json"


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws(), strict():
        yield


@pytest.fixture
def made(tmp_path: Path) -> tuple[System, Bundle]:
    system, bundle = full(tmp_path)
    bootstrap((system, bundle))
    return system, bundle


def changed(folder: Path, pattern: str, instead: str) -> tuple[System, Bundle]:
    """The same system with another spec."""
    folder.mkdir(exist_ok=True)
    full_system(folder)
    file = folder / "full.yaml"
    text = re.sub(pattern, instead, file.read_text())
    assert text != file.read_text()
    file.write_text(text)
    loaded = load_spec(file, None, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    system = lower(loaded.spec, "sagemaker")
    return system, sagemaker.emit(system)


def woken(made: tuple[System, Bundle], *traffic: tuple[int, float]) -> None:
    session = Counted(REGION)
    wake(session, S3ObjectStore(session, made[0].root), route(*traffic))  # type: ignore[arg-type]


def served() -> dict[str, list[str]]:
    client = boto3.client("sagemaker", region_name=REGION)
    return {
        "endpoints": [item["EndpointName"] for item in client.list_endpoints()["Endpoints"]],
        "configs": [item["EndpointConfigName"] for item in client.list_endpoint_configs()["EndpointConfigs"]],
        "models": [item["ModelName"] for item in client.list_models()["Models"]],
    }


def test_a_spec_with_a_rollout_is_deployed_and_makes_no_machine(made: tuple[System, Bundle]) -> None:
    deploy(hands(made)[0], Clock())

    assert not any(served().values())
    client = boto3.client("s3", region_name=REGION)
    bucket, _, prefix = made[0].root.removeprefix("s3://").partition("/")
    left = json.loads(client.get_object(Bucket=bucket, Key=f"{prefix}/support/serving/api.json")["Body"].read())
    assert left["endpoint"]["EndpointName"] == ENDPOINT
    assert not planned(hands(made)[0], Clock()).changes


def test_traffic_is_the_controllers_and_no_difference_for_a_plan(made: tuple[System, Bundle]) -> None:
    clock = Clock()
    deploy(hands(made)[0], clock)
    woken(made, (1, 0.9), (2, 0.1))
    woken(made, (1, 0.5), (2, 0.5))
    client = boto3.client("sagemaker", region_name=REGION)

    def weights() -> dict[str, float]:
        found = client.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
        return {item["VariantName"]: item["CurrentWeight"] for item in found}

    assert weights() == {"v1": 0.5, "v2": 0.5}
    plan = planned(hands(made)[0], clock)
    assert not plan.changes and "endpoint/api" in {step.resource.address for step in plan.steps}
    again, session = hands(made)
    deploy(again, clock)
    assert weights() == {"v1": 0.5, "v2": 0.5}
    assert not [operation for operation, _ in session.asked if "endpoint" in operation]


def test_another_machine_is_a_change_of_the_endpoint_alone(made: tuple[System, Bundle]) -> None:
    clock = Clock()
    deploy(hands(made)[0], clock)
    files = {item.path: item for item in made[1].artifacts}
    body = json.loads(files["serving/api/config.json"].content)
    body["ProductionVariants"][0]["InitialInstanceCount"] += 1
    other = Bundle(
        made[1].target,
        tuple(
            type(item)(item.path, json.dumps(body).encode()) if item.path == "serving/api/config.json" else item
            for item in made[1].artifacts
        ),
        made[1].uploads,
    )
    plan = planned(hands((made[0], other))[0], clock)

    assert {step.resource.address: step.verb for step in plan.changes} == {"endpoint/api": Verb.UPDATE}


def test_destroying_takes_down_what_wakes_made_with_the_rights_of_the_bundle(made: tuple[System, Bundle]) -> None:
    clock = Clock()
    deploy(hands(made)[0], clock)
    woken(made, (1, 0.9), (2, 0.1))
    boto3.client("sagemaker", region_name=REGION).create_model(ModelName="theirs", ExecutionRoleArn=ROLE)
    assert {kind: len(names) for kind, names in served().items()} == {"endpoints": 1, "configs": 1, "models": 3}

    session = Serving(made[0], rights(made, "deployer"))
    destroy(SageMakerHands(*made, session), clock)

    assert not session.denied
    assert served() == {"endpoints": [], "configs": [], "models": ["theirs"]}
    assert not destroy(hands(made)[0], clock).changes


def test_without_its_rollout_an_endpoint_goes_on_answering_until_it_is_destroyed(
    made: tuple[System, Bundle], tmp_path: Path
) -> None:
    clock = Clock()
    deploy(hands(made)[0], clock)
    woken(made, (1, 1.0))
    later = changed(tmp_path / "later", r"(?s)\nrollout:.*?keep_previous: 24h\n", "\n")

    plan = planned(hands(later)[0], clock)
    assert {step.resource.address: step.verb for step in plan.steps}["endpoint/api"] is Verb.LEAVE
    deploy(hands(later)[0], clock)
    assert served()["endpoints"] == [ENDPOINT]
    destroy(hands(later)[0], clock)
    assert not any(served().values())


ROLE = "arn:aws:iam::123456789012:role/fraud-ct"


class Serving(Watched):
    """A session that also knows on which endpoint, configuration or model a request acts."""

    def _resource(self, service: str, about: str, arguments: dict[str, Any]) -> str:  # type: ignore[override]
        for key, kind in (
            ("EndpointConfigName", "endpoint-config"),
            ("EndpointName", "endpoint"),
            ("ModelName", "model"),
        ):
            if key in arguments:
                return f"arn:aws:sagemaker:{REGION}:123456789012:{kind}/{arguments[key]}"
        return super()._resource(service, about, arguments)


def test_a_wake_of_a_rollout_reaches_the_endpoint_and_no_other_does(made: tuple[System, Bundle]) -> None:
    for name, kind in (("wake", HostedEndpoint), ("record", type(None))):
        document = json.loads(next(a.content for a in made[1].artifacts if a.path == f"documents/{name}.json"))
        assert type(service_services(document, REGION).endpoint) is kind


def test_a_server_that_the_service_cannot_host_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    system, bundle = compiled("canary", ("port: 8080", "port: 8081"), tmp_path)
    with pytest.raises(CtcError) as caught:
        connect(system, bundle)

    assert "SageMaker hosts no server like api" in caught.value.message
    assert "answer /ping and /invocations on port 8080" in caught.value.help
    assert sagemaker.emit(system) == bundle


def test_a_request_that_no_wake_could_read_is_told_before_anything_is_asked(made: tuple[System, Bundle]) -> None:
    with pytest.raises(CtcError) as caught:
        connect(*made)
    assert "the smoke step's request smoke.json is a file of this machine" in caught.value.message
    assert f"{made[0].root}/requests/smoke.json" in caught.value.help


@pytest.mark.parametrize(
    ("pattern", "instead", "said"),
    [
        (r"    - smoke: .*\n", "", "the limits errors, slow are judged by the request of a `smoke` step"),
        ("request: smoke.json", f"request: {REQUEST}", "rollout.steps.1: nobody sees what a mirror answers"),
        (r"(?s)request: smoke.json(.*?)    - mirror: 10%\n      for: 2h\n", rf"request: {REQUEST}\1", ""),
    ],
    ids=["unasked", "mirror", "good"],
)
def test_a_rollout_that_wakes_could_not_judge_is_refused(pattern: str, instead: str, said: str, tmp_path: Path) -> None:
    there = changed(tmp_path, pattern, instead)
    if said:
        with pytest.raises(CtcError, match=re.escape(said)):
            connect(*there)
    else:
        assert "endpoint/api" in {item.address for item in connect(*there).desired()}
