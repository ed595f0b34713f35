"""The serving documents of Azure ML: a rollout as the traffic of one endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from azureml_system import documents, full_system

from ctc.compiler.ir import Resources, RolloutStep, System
from ctc.targets import azureml
from ctc.targets.azureml.check_bundle import check_bundle
from ctc.targets.azureml.machines import GIB
from ctc.targets.azureml.serving import endpoint_name, machine

API = "serving/api"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    return full_system(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def files(system: System) -> dict[str, Any]:
    return documents(system)


def test_each_step_of_the_rollout_shares_the_traffic_as_the_spec_says(files: dict[str, Any]) -> None:
    """`smoke`, `mirror: 10%`, `traffic: 10%`, `traffic: 100%`: a smoke is a request of wake's, and no change."""
    shared = {
        path.removeprefix(f"{API}/"): (body["traffic"], body["mirror_traffic"])
        for path, body in files.items()
        if path.startswith(API) and "traffic" in body
    }

    assert shared == {
        "traffic.yml": ({"champion": 100}, {}),
        "rollout-2-mirror-10.yml": ({"champion": 100, "candidate": 0}, {"candidate": 10}),
        "rollout-3-traffic-10.yml": ({"champion": 90, "candidate": 10}, {"candidate": 0}),
        "rollout-4-traffic-100.yml": ({"champion": 0, "candidate": 100}, {"candidate": 0}),
        "rollout-back.yml": ({"champion": 100, "candidate": 0}, {"candidate": 0}),
    }


def test_a_model_is_served_as_the_spec_says(files: dict[str, Any]) -> None:
    deployment = files[f"{API}/deployment.yml"]

    assert (deployment["instance_type"], deployment["instance_count"]) == ("Standard_F4s_v2", 2)
    assert deployment["environment"]["inference_config"]["scoring_route"] == {"path": "/invocations", "port": 8080}
    assert deployment["environment_variables"] == {"CTC_MODEL": deployment["model_mount_path"]}
    assert deployment["data_collector"]["sampling_rate"] == 1.0


def test_a_server_is_on_a_size_that_hosts(system: System) -> None:
    """The Dsv3 series trains, and is not in the list of sizes of endpoints."""
    [server] = system.servers
    found = machine(replace(server, resources=Resources(2, 8 * GIB, 500 * GIB)))

    assert found is not None
    assert found.name == "Standard_E2s_v3"


@pytest.mark.parametrize("length", [1, 27, 28, 29, 60])
def test_an_endpoint_has_a_name_that_the_service_takes(system: System, length: int) -> None:
    [server] = system.servers
    name = endpoint_name(replace(system, name="n" * length), server)

    assert 3 <= len(name) <= 32
    assert (name == f"{'n' * length}-api") == (length <= 28)


def test_nobody_may_move_traffic_where_there_is_none(system: System) -> None:
    made = documents(replace(system, servers=(), rollout=None))

    assert not [path for path in made if path.startswith("serving/")]
    assert not [name for name in made["identities/role-runner.json"]["Actions"] if "onlineEndpoints" in name]
    assert check_bundle(made) == []


def test_what_the_service_refuses_is_told_at_its_place(system: System) -> None:
    [server] = system.servers
    assert system.rollout is not None
    big = replace(server, count=0, resources=Resources(4, 2000 * GIB, GIB))
    steps = (RolloutStep("mirror", 0.6), RolloutStep("traffic", 0.005), RolloutStep("traffic", 1.0))
    other = replace(system, servers=(big,), rollout=replace(system.rollout, steps=steps))

    assert {(item.code, item.path) for item in azureml.limits(other)} >= {
        ("CT364", "serving.api.resources"),
        ("CT382", "serving.api.instances.min"),
        ("CT383", "rollout.steps.1.traffic"),
        ("CT384", "rollout.steps.0.mirror"),
    }
    assert not {"CT364", "CT382", "CT383", "CT384"} & {item.code for item in azureml.limits(system)}
