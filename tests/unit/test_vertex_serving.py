"""The serving documents of Vertex AI: a rollout as the traffic split of one endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vertex_system import documents, full_system

from ctc.compiler.ir import Resources, RolloutStep, System
from ctc.targets import vertex
from ctc.targets.vertex.check_bundle import check_bundle
from ctc.targets.vertex.machines import GIB
from ctc.targets.vertex.serving import machine

API = "serving/api"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    return full_system(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def files(system: System) -> dict[str, Any]:
    return documents(system)


def test_each_step_of_the_rollout_shares_the_traffic_as_the_spec_says(files: dict[str, Any]) -> None:
    """`smoke`, `mirror: 10%`, `traffic: 10%`, `traffic: 100%`: the first two ask an endpoint of the candidate's own."""
    splits = {
        path.removeprefix(f"{API}/"): body["trafficSplit"]
        for path, body in files.items()
        if path.startswith(API) and "trafficSplit" in body
    }

    assert splits == {
        "deploy.json": {"0": 100},
        "candidate/deploy.json": {"0": 100},
        "rollout-0-deploy.json": {"champion": 100, "0": 0},
        "rollout-3-traffic-10.json": {"champion": 90, "candidate": 10},
        "rollout-4-traffic-100.json": {"champion": 0, "candidate": 100},
        "rollout-back.json": {"champion": 100, "candidate": 0},
    }


def test_a_model_is_served_as_the_spec_says(files: dict[str, Any]) -> None:
    container = files[f"{API}/model.json"]["model"]["containerSpec"]
    resources = files[f"{API}/deploy.json"]["deployedModel"]["dedicatedResources"]
    logging = files[f"{API}/endpoint.json"]["predictRequestResponseLoggingConfig"]

    assert container["command"] == ["python", "-m", "fraud.serve", "--model", "$(AIP_STORAGE_URI)"]
    assert (container["healthRoute"], container["predictRoute"]) == ("/ping", "/invocations")
    assert container["ports"] == [{"containerPort": 8080}]
    assert resources["machineSpec"] == {"machineType": "e2-standard-4"}
    assert (resources["minReplicaCount"], resources["maxReplicaCount"]) == (2, 4)
    assert logging["bigqueryDestination"]["outputUri"] == "bq://acme-ml.ctc_checkout_fraud.api"
    assert "predictRequestResponseLoggingConfig" not in files[f"{API}/candidate/endpoint.json"]


def test_a_word_that_the_service_would_fill_in_stays_as_it_is(system: System) -> None:
    [server] = system.servers
    made = documents(replace(system, servers=(replace(server, argv=("serve", "$(HOME)", "{model}")),)))

    assert made[f"{API}/model.json"]["model"]["containerSpec"]["command"] == [
        "serve", "$$(HOME)", "$(AIP_STORAGE_URI)",
    ]  # fmt: skip


def test_a_candidate_that_is_not_asked_alone_has_no_endpoint_of_its_own(system: System) -> None:
    assert system.rollout is not None
    direct = replace(system, rollout=replace(system.rollout, steps=(RolloutStep("traffic", 1.0),)))
    made = documents(direct)

    assert not [path for path in made if path.startswith(f"{API}/candidate/")]
    assert made[f"{API}/rollout-1-traffic-100.json"]["trafficSplit"]["candidate"] == 100
    assert check_bundle(made) == []


def test_nobody_may_move_traffic_where_there_is_none(system: System) -> None:
    made = documents(replace(system, servers=(), rollout=None))
    permissions = made["identities/role-runner.json"]["role"]["includedPermissions"]

    assert not [path for path in made if path.startswith("serving/")]
    assert not [name for name in permissions if name.startswith("aiplatform.endpoints.")]
    assert check_bundle(made) == []


def test_what_the_service_refuses_is_told_at_its_place(system: System) -> None:
    [server] = system.servers
    assert system.rollout is not None
    big = replace(server, count=0, resources=Resources(4, 2000 * GIB, GIB))
    steps = (RolloutStep("traffic", 0.005), RolloutStep("traffic", 1.0))
    other = replace(system, servers=(big,), rollout=replace(system.rollout, steps=steps))
    long = replace(system, servers=(replace(server, name="a" * 120),))

    assert machine(big) is None
    assert {(item.code, item.path) for item in vertex.limits(other)} >= {
        ("CT375", "serving.api.resources"),
        ("CT380", "serving.api.instances.min"),
        ("CT381", "rollout.steps.0.traffic"),
    }
    assert ("CT372", f"serving.{'a' * 120}") in {(item.code, item.path) for item in vertex.limits(long)}
    assert not {"CT375", "CT380", "CT381"} & {item.code for item in vertex.limits(system)}
