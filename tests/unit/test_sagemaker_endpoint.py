"""The endpoint inside SageMaker, against a service that takes what SageMaker takes and takes its time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aws_refusals import Refused, _of_model
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from cloud import Killed
from sagemaker_system import full_system
from test_rollout_step import NEW, OLD, SMOKE, Wake, traffic

from ctc.policy.actions import Route, Smoke
from ctc.policy.evidence import Health
from ctc.policy.rollout import smoke_key
from ctc.policy.state import State, Version
from ctc.steps.local import FileObjectStore
from ctc.steps.ports import Server
from ctc.steps.task import StepFailed
from ctc.targets import sagemaker
from ctc.targets.sagemaker import endpoint as hosted
from ctc.targets.sagemaker.endpoint import HostedEndpoint, bodies_key, made_key
from ctc.targets.sagemaker.hosting import bodies
from ctc.targets.sagemaker.session import _refused

AT = datetime(2026, 3, 1, tzinfo=UTC)
SERVER = Server("api", ("serve",), 8080, "/ping", "/invocations", {"min": 2, "max": None})
ENDPOINT = "checkout-fraud-api"
Given = Mapping[str, Any]
MODELS = botocore.session.get_session()


@dataclass
class Hosting:
    """SageMaker's hosting: what it holds, and the requests that changed something. An update lasts until `settled`."""

    models: dict[str, Any] = field(default_factory=dict)
    configs: dict[str, Any] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    status: int = 200
    count: int = 0
    dies_at: int = 0
    done: bool = False

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        self.count += 1
        if self.dies_at and self.count >= self.dies_at:
            if self.done and self.count == self.dies_at:
                self._answer(service, operation, about, arguments)
            raise Killed
        return self._answer(service, operation, about, arguments)

    def settled(self) -> None:
        for endpoint in self.endpoints.values():
            endpoint["EndpointStatus"] = "InService"
            config = self.configs[endpoint.pop("Next", endpoint["EndpointConfigName"])]
            if endpoint["EndpointConfigName"] != config["EndpointConfigName"] or "ProductionVariants" not in endpoint:
                endpoint["EndpointConfigName"] = config["EndpointConfigName"]
                for kind in ("ProductionVariants", "ShadowProductionVariants"):
                    endpoint[kind] = [
                        {"VariantName": item["VariantName"], "CurrentWeight": item["InitialVariantWeight"]}
                        for item in config.get(kind, ())
                    ]

    def weights(self) -> dict[str, float]:
        [endpoint] = self.endpoints.values()
        return {item["VariantName"]: item["CurrentWeight"] for item in endpoint["ProductionVariants"]}

    def _answer(self, service: str, operation: str, about: str, given: dict[str, Any]) -> Mapping[str, Any]:
        name = "".join(word.capitalize() for word in operation.split("_"))
        shape = MODELS.get_service_model(service).operation_model(name).input_shape
        assert not ParamValidator().validate(given, shape).has_errors(), given
        try:
            _of_model(shape, given, "", "ValidationException")
            answer: Mapping[str, Any] = getattr(self, f"_{operation}")(given)
        except Refused as error:
            raise _refused(
                {"Error": {"Code": error.code, "Message": error.message}}, service, operation, about
            ) from error
        if not operation.startswith(("describe_", "invoke_")):
            self.log.append(operation)
        return answer

    def _create_model(self, given: Given) -> Given:
        return self._new(self.models, "model", given["ModelName"], given)

    def _create_endpoint_config(self, given: Given) -> Given:
        shadows = given.get("ShadowProductionVariants", [])
        variants = [*given["ProductionVariants"], *shadows]
        for variant in variants:
            self._known(self.models, "model", variant["ModelName"])
        names = [variant["VariantName"] for variant in variants]
        if len(set(names)) != len(names):
            raise Refused("ValidationException", "Variant names must be unique.")
        if shadows and len(given["ProductionVariants"]) != 1:
            raise Refused("ValidationException", "A shadow is taken beside one production variant only.")
        if sum(item["InitialVariantWeight"] for item in given["ProductionVariants"]) <= 0:
            raise Refused("ValidationException", "The weights must not all be 0.")
        return self._new(self.configs, "endpoint configuration", given["EndpointConfigName"], given)

    def _create_endpoint(self, given: Given) -> Given:
        self._known(self.configs, "endpoint configuration", given["EndpointConfigName"])
        return self._new(self.endpoints, "endpoint", given["EndpointName"], {**given, "EndpointStatus": "Creating"})

    def _update_endpoint(self, given: Given) -> Given:
        endpoint = self._quiet(given["EndpointName"])
        self._known(self.configs, "endpoint configuration", given["EndpointConfigName"])
        endpoint |= {"EndpointStatus": "Updating", "Next": given["EndpointConfigName"]}
        return {}

    def _update_endpoint_weights_and_capacities(self, given: Given) -> Given:
        endpoint = self._quiet(given["EndpointName"])
        by_name = {item["VariantName"]: item for item in endpoint["ProductionVariants"]}
        for item in given["DesiredWeightsAndCapacities"]:
            by_name[item["VariantName"]]["CurrentWeight"] = item["DesiredWeight"]
        return {}

    def _describe_endpoint(self, given: Given) -> Given:
        return dict(self._known(self.endpoints, "endpoint", given["EndpointName"]))

    def _describe_endpoint_config(self, given: Given) -> Given:
        return dict(self._known(self.configs, "endpoint configuration", given["EndpointConfigName"]))

    def _delete_endpoint_config(self, given: Given) -> Given:
        name = given["EndpointConfigName"]
        used = [(item["EndpointConfigName"], item.get("Next")) for item in self.endpoints.values()]
        assert not any(name in names for names in used), "it is in use"
        self._known(self.configs, "endpoint configuration", name)
        return dict(self.configs.pop(name))

    def _delete_model(self, given: Given) -> Given:
        name = given["ModelName"]
        for config in self.configs.values():
            assert name not in [item["ModelName"] for item in config["ProductionVariants"]], "it is in use"
        self._known(self.models, "model", name)
        return dict(self.models.pop(name))

    def _invoke_endpoint(self, given: Given) -> Given:
        assert given["TargetVariant"] in self.weights()
        self.asked.append(given["TargetVariant"])
        if self.status != 200:
            told = {
                "Error": {"Code": "ModelError", "Message": "m"},
                "OriginalStatusCode": self.status,
                "OriginalMessage": "no such column",
            }
            error = ClientError(told, "InvokeEndpoint")
            raise _refused(told, "sagemaker-runtime", "invoke_endpoint", given["EndpointName"]) from error
        return {"ResponseMetadata": {"HTTPStatusCode": 200}, "Body": b"{}"}

    def _new(self, kind: dict[str, Any], what: str, name: str, body: Given) -> Given:
        if name in kind:
            raise Refused("ValidationException", f'Cannot create already existing {what} "{name}".')
        kind[name] = dict(body)
        return {}

    def _known(self, kind: dict[str, Any], what: str, name: str) -> dict[str, Any]:
        if name not in kind:
            raise Refused("ValidationException", f'Could not find {what} "{name}".')
        found: dict[str, Any] = kind[name]
        return found

    def _quiet(self, name: str) -> dict[str, Any]:
        endpoint = self._known(self.endpoints, "endpoint", name)
        if endpoint["EndpointStatus"] != "InService":
            raise Refused("ValidationException", f'Cannot update in-progress endpoint "{name}".')
        return endpoint


def version(number: int) -> Version:
    return Version(str(number), f"a-{number}", f"s3://acme-ct/models/{number}", "r/i", (), "", AT)


def route(*traffic: tuple[int, float], mirror: float = 0.0) -> Route:
    return Route("key", "api", tuple((str(number), share) for number, share in traffic), mirror)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    system = full_system(tmp_path_factory.mktemp("full"))
    [(name, found)] = bodies(system, {item.path: item.content for item in sagemaker.emit(system).artifacts})
    assert name == "api"
    return found


@pytest.fixture
def objects(deployed: dict[str, Any], tmp_path: Path) -> FileObjectStore:
    store = FileObjectStore(tmp_path / "root", str(tmp_path / "root"))
    store.put(bodies_key("api"), deployed)
    return store


def wake(service: Hosting, objects: FileObjectStore, wanted: Route, minutes: int = 0) -> None:
    versions = [version(int(number)) for number, _ in wanted.traffic]
    endpoint = HostedEndpoint(service, objects)  # type: ignore[arg-type]
    endpoint.route(SERVER, versions, wanted, AT + timedelta(minutes=minutes))


STEPS: tuple[tuple[Route, dict[str, float]], ...] = (
    (route((1, 1.0)), {"v1": 1.0}),
    (route((1, 1.0), (2, 0.0)), {"v1": 1.0, "v2": 0.0}),
    (route((1, 1.0), (2, 0.0), mirror=0.2), {"v1": 1.0}),
    (route((1, 0.9), (2, 0.1)), {"v1": 0.9, "v2": 0.1}),
    (route((1, 0.5), (2, 0.5)), {"v1": 0.5, "v2": 0.5}),
    (route((2, 1.0)), {"v1": 0.0, "v2": 1.0}),
)
"""A rollout from its first champion to the last step, and the weights of the variants after each."""


def test_each_step_of_a_rollout_is_what_answers(objects: FileObjectStore) -> None:
    service = Hosting()
    for minutes, (wanted, weights) in enumerate(STEPS):
        wake(service, objects, wanted, minutes)
        service.settled()
        wake(service, objects, wanted, minutes)
        assert service.weights() == weights
        shadows = service.endpoints[ENDPOINT]["ShadowProductionVariants"]
        assert [item["VariantName"] for item in shadows] == (["v2"] if wanted.mirror else [])
        before = list(service.log)
        wake(service, objects, wanted, minutes)
        assert service.log == before, "what is as it should be is not asked for again"
        assert set(service.configs) == {service.endpoints[ENDPOINT]["EndpointConfigName"]}

    HostedEndpoint(service, objects).retire("api", "1")  # type: ignore[arg-type]
    service.settled()
    wake(service, objects, route((2, 1.0)))
    assert service.weights() == {"v2": 1.0} and len(service.models) == len(service.configs) == 1
    made = objects.get(made_key("api"))
    assert made is not None and [made["models"], made["configs"]] == [list(service.models), list(service.configs)]


def test_a_change_of_shares_alone_moves_weights_and_starts_no_machine(objects: FileObjectStore) -> None:
    service = Hosting()
    for wanted in (route((1, 1.0)), route((1, 0.9), (2, 0.1))):
        for _ in range(2):
            wake(service, objects, wanted)
            service.settled()
    service.log.clear()
    wake(service, objects, route((1, 0.5), (2, 0.5)))

    assert service.log == ["update_endpoint_weights_and_capacities"]


def test_an_endpoint_that_is_being_changed_is_left_until_the_next_wake(
    objects: FileObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    service = Hosting()
    wake(service, objects, route((1, 1.0)))
    before = list(service.log)
    wake(service, objects, route((1, 0.9), (2, 0.1)))
    assert service.log == before and "is Creating: the next wake goes on" in capsys.readouterr().err

    service.settled()
    wake(service, objects, route((1, 0.9), (2, 0.1)))
    service.settled()
    assert service.weights() == {"v1": 0.9, "v2": 0.1}


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_each_request_the_next_wakes_finish_it_and_nothing_is_forgotten(
    done: bool, step: int, deployed: dict[str, Any], tmp_path: Path
) -> None:
    kills, number = 0, 1
    while True:
        store, service = FileObjectStore(tmp_path / f"{done}-{number}", "root"), Hosting()
        store.put(bodies_key("api"), deployed)
        service.dies_at, service.done, killed = number, done, False
        for wanted, weights in STEPS:
            for _ in range(3):
                try:
                    wake(service, store, wanted)
                except Killed:
                    service.dies_at, killed = 0, True
                service.settled()
            assert service.weights() == weights
            made = store.get(made_key("api"))
            assert made is not None and set(made["models"]) >= set(service.models)
            assert set(made["configs"]) >= set(service.configs)
        assert len(service.configs) == 1 and len(service.models) == 2
        if not killed:
            break
        kills, number = kills + 1, number + step
    assert kills * step > 30


def test_a_new_spec_alone_is_no_reason_for_new_machines(deployed: dict[str, Any], objects: FileObjectStore) -> None:
    """Its digest is in the tags of everything."""
    service = Hosting()
    wake(service, objects, route((1, 1.0)))
    service.settled()
    before = list(service.log)
    [digest] = [tag["Value"] for tag in deployed["model"]["Tags"] if tag["Key"] == "ctc:spec-digest"]
    text = json.dumps(deployed).replace(digest, "another")
    objects.put(bodies_key("api"), json.loads(text))
    wake(service, objects, route((1, 1.0)))
    assert service.log == before

    changed = json.loads(json.dumps(deployed))
    changed["config"]["ProductionVariants"][0]["InitialInstanceCount"] += 1
    objects.put(bodies_key("api"), changed)
    wake(service, objects, route((1, 1.0)))
    assert service.log[len(before) :] == ["create_endpoint_config", "update_endpoint"]


def _foreign(service: Hosting, objects: FileObjectStore) -> None:
    service.endpoints[ENDPOINT] = {"EndpointName": ENDPOINT, "EndpointStatus": "InService", "EndpointConfigName": "x"}


def _failed(service: Hosting, objects: FileObjectStore) -> None:
    wake(service, objects, route((1, 1.0)))
    service.endpoints[ENDPOINT] |= {"EndpointStatus": "Failed", "FailureReason": "the container did not start"}


@pytest.mark.parametrize(
    ("prepare", "said"),
    [(_foreign, "this deployment did not make it"), (_failed, "is Failed: the container did not start; delete it")],
)
def test_what_a_wake_cannot_mend_is_told(
    prepare: Callable[[Hosting, FileObjectStore], None], said: str, objects: FileObjectStore
) -> None:
    service = Hosting()
    prepare(service, objects)
    with pytest.raises(StepFailed, match=said):
        wake(service, objects, route((1, 1.0), (2, 0.0)))
    assert "update_endpoint" not in service.log


def test_without_a_deploy_there_is_nothing_to_make_it_of(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="run ctc deploy once more"):
        wake(Hosting(), FileObjectStore(tmp_path, "root"), route((1, 1.0)))


@pytest.fixture
def asked(objects: FileObjectStore, tmp_path: Path) -> Iterator[tuple[Hosting, HostedEndpoint, str]]:
    service = Hosting()
    for wanted in (route((1, 1.0)), route((1, 1.0), (2, 0.0))):
        wake(service, objects, wanted)
        service.settled()
    request = tmp_path / "request.json"
    request.write_text("{}")
    yield service, HostedEndpoint(service, objects), str(request)  # type: ignore[arg-type]


def smoke(endpoint: HostedEndpoint, request: str, number: int = 2) -> Any:
    return endpoint.smoke(SERVER, version(number), Smoke("key", "api", str(number), request, 200))


def test_a_smoke_test_asks_the_version_itself(asked: tuple[Hosting, HostedEndpoint, str]) -> None:
    service, endpoint, request = asked
    assert smoke(endpoint, request).answer == "pass" and service.asked == ["v2"]
    service.status = 500
    found = smoke(endpoint, request)
    assert found.answer == "fail" and "500, 200 was expected: no such column" in found.reason
    assert "is Updating" in smoke(endpoint, request, 7).reason, "it is brought up first"
    service.settled()
    assert service.weights() == {"v1": 1.0, "v2": 0.0, "v7": 0.0}
    assert "name a file in S3" in smoke(endpoint, f"{request}.gone").reason
    service.endpoints[ENDPOINT]["EndpointStatus"] = "Updating"
    assert "is Updating" in smoke(endpoint, request).reason


def test_limits_are_of_a_hundred_answers_of_the_version(
    asked: tuple[Hosting, HostedEndpoint, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, endpoint, request = asked
    monkeypatch.setattr(hosted, "RATE", 1e6)
    found = endpoint.answered(SERVER, version(2), request=request, since=AT)
    assert (found.requests, found.failed, set(service.asked)) == (100, 0, {"v2"})
    service.status = 503
    found = endpoint.answered(SERVER, version(2), request=request, since=AT)
    assert found.failures == {"status 503": 100}
    with pytest.raises(StepFailed, match="there is none"):
        endpoint.answered(SERVER, version(2), request=None, since=AT)


def test_a_shadow_is_not_asked(objects: FileObjectStore, asked: tuple[Hosting, HostedEndpoint, str]) -> None:
    service, endpoint, request = asked
    wake(service, objects, route((1, 1.0), (2, 0.0), mirror=0.2))
    service.settled()

    assert "a shadow, which answers nobody" in smoke(endpoint, request).reason


def test_wakes_of_a_whole_rollout_leave_what_the_state_says(
    deployed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each wake judges, acts and repairs as in a job; the service finishes what it was asked between two wakes."""
    monkeypatch.setattr(hosted, "RATE", 1e6)
    request = tmp_path / "smoke.json"
    request.write_text("{}")
    limit = {"name": "errors", "kind": "error_rate", "arguments": {"max": 0.01}}
    steps = ({**SMOKE, "request": str(request)}, traffic(0.1), traffic(1.0))
    woken, service = Wake(tmp_path, *steps, limits=[limit]), Hosting()
    woken.objects.put(bodies_key("api"), deployed)
    endpoint = HostedEndpoint(service, woken.objects)  # type: ignore[arg-type]
    woken.services = replace(woken.services, endpoint=endpoint)

    def repaired(state: State, hour: float) -> Health | None:
        rollouts = woken.at(hour)
        health = rollouts.health(state)
        rollouts.repair(state)
        service.settled()
        return health

    old, new = (replace(version, uri=f"s3://acme-ct/{version.uri}") for version in (OLD, NEW))

    def rolling(step: int) -> State:
        return woken.state(step, champion=old, candidate=new)

    alone = State(champion=old)
    repaired(alone, 0)
    repaired(alone, 1)
    assert service.weights() == {"v3": 1.0}
    beginning = rolling(0)
    position = beginning.rollout
    assert position is not None
    asking = Smoke(smoke_key(position), "api", "4", str(request), 200)
    woken.at(2).apply(asking, beginning)
    told = repaired(beginning, 2)
    assert told is not None and told.smoke is not None and told.smoke.answer == "not_evaluable"
    assert service.weights() == {"v3": 1.0, "v4": 0.0}, "it is up, and has no traffic"
    woken.at(3).apply(asking, beginning)
    told = woken.at(4).health(beginning)
    assert told is not None and told.smoke is not None and told.smoke.answer == "pass"
    for step, weights in ((1, {"v3": 0.9, "v4": 0.1}), (2, {"v3": 0.0, "v4": 1.0})):
        repaired(rolling(step), 5 + step)
        assert service.weights() == weights
        health = repaired(rolling(step), 5.5 + step)
        assert health is not None and [answer.answer for answer in health.answers] == ["pass"]
    service.status = 503
    health = repaired(rolling(2), 9)
    assert health is not None and [answer.answer for answer in health.answers] == ["fail"]

    back = State(champion=old, previous=new)
    repaired(back, 10)
    repaired(back, 11)
    repaired(back, 12)
    assert service.weights() == {"v3": 1.0}
    assert (len(service.configs), len(service.models)) == (1, 1)
