"""The serving documents of SageMaker: a rollout as variants of one endpoint, for servers that the service can host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sagemaker_system import documents, full_system

from ctc.compiler.ir import Resources, System
from ctc.targets import sagemaker
from ctc.targets.sagemaker.check_bundle import check_bundle
from ctc.targets.sagemaker.machines import GIB, GPU_TYPES, INSTANCE_TYPES
from ctc.targets.sagemaker.names import model_name
from ctc.targets.sagemaker.serving import hosted

ROLLOUT = "serving/api/rollout"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> System:
    return full_system(tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def files(system: System) -> dict[str, Any]:
    return documents(system)


def test_each_step_of_the_rollout_moves_the_traffic_as_the_spec_says(files: dict[str, Any]) -> None:
    """`smoke`, `mirror: 10%`, `traffic: 10%`, `traffic: 100%`: a smoke is a request of wake's, and no change."""
    steps = {path.removeprefix(f"{ROLLOUT}/") for path in files if path.startswith(ROLLOUT)}
    mirror = files[f"{ROLLOUT}/2-mirror.json"]
    shares = {
        number: {
            item["VariantName"]: item["DesiredWeight"]
            for item in files[f"{ROLLOUT}/{number}-traffic.json"]["DesiredWeightsAndCapacities"]
        }
        for number in (3, 4)
    }

    assert steps == {
        "config.json", "update.json", "2-mirror.json", "3-traffic.json", "4-traffic.json",
        "alarm-errors.json", "alarm-slow-p99.json",
    }  # fmt: skip
    assert [item["VariantName"] for item in mirror["ProductionVariants"]] == ["champion"]
    assert [item["InitialVariantWeight"] for item in mirror["ShadowProductionVariants"]] == [0.1]
    assert shares == {3: {"champion": 0.9, "candidate": 0.1}, 4: {"champion": 0.0, "candidate": 1.0}}


def test_limits_take_a_rollout_back(files: dict[str, Any]) -> None:
    update = files[f"{ROLLOUT}/update.json"]["DeploymentConfig"]
    errors, slow = files[f"{ROLLOUT}/alarm-errors.json"], files[f"{ROLLOUT}/alarm-slow-p99.json"]

    assert (errors["MetricName"], errors["Statistic"], errors["Threshold"]) == ("Invocation5XXErrors", "Average", 0.005)
    assert (slow["MetricName"], slow["ExtendedStatistic"], slow["Threshold"]) == ("ModelLatency", "p99", 30_000.0)
    assert update["AutoRollbackConfiguration"]["Alarms"] == [
        {"AlarmName": errors["AlarmName"]},
        {"AlarmName": slow["AlarmName"]},
    ]
    assert update["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 3600


def test_a_model_is_served_as_the_spec_says(files: dict[str, Any]) -> None:
    [variant] = files["serving/api/config.json"]["ProductionVariants"]

    assert variant["InitialInstanceCount"] == 2
    assert variant["InstanceType"] == "ml.c5.xlarge"
    assert files["serving/api/config.json"]["DataCaptureConfig"]["InitialSamplingPercentage"] == 100
    assert files["serving/api/model.json"]["VpcConfig"]["Subnets"] == ["subnet-0a1b2c3d"]


@pytest.mark.parametrize(("key", "value"), [("port", 9000), ("health", "/health"), ("route", "/predict")])
def test_what_the_service_cannot_host_has_no_documents(system: System, key: str, value: Any) -> None:
    [server] = system.servers
    other = replace(system, servers=(replace(server, **{key: value}),))
    found = documents(other)

    assert hosted(other) == ()
    assert not [path for path in found if path.startswith("serving/")]
    assert check_bundle(found) == []


def test_a_server_that_fits_no_machine_is_refused(system: System) -> None:
    [server] = system.servers
    other = replace(system, servers=(replace(server, resources=Resources(4, 2000 * GIB, GIB)),))

    assert ("CT345", "serving.api.resources") in {(item.code, item.path) for item in sagemaker.limits(other)}


def test_a_server_may_have_accelerators(system: System) -> None:
    [server] = system.servers
    other = replace(system, servers=(replace(server, resources=Resources(4, 8 * GIB, GIB, 1, "t4")),))
    files = documents(other)
    config = files["serving/api/config.json"]

    assert [item["InstanceType"] for item in config["ProductionVariants"]] == ["ml.g4dn.xlarge"]
    assert "KmsKeyId" not in config, "its disk is its own"
    assert check_bundle(files) == []


def test_every_type_that_is_picked_can_host() -> None:
    session = pytest.importorskip("botocore.session").get_session()
    hosting = session.get_service_model("sagemaker").shape_for("ProductionVariantInstanceType").enum

    assert {machine.name for machine in (*INSTANCE_TYPES, *GPU_TYPES) if machine.training} <= set(hosting)


@pytest.mark.parametrize("length", [1, 33, 34, 60])
def test_a_model_has_room_for_its_version(system: System, length: int) -> None:
    name = model_name(replace(system, name="n" * length), "api")

    assert len(f"{name}-20130310T060000Z-1f0e9d8c") <= 63
