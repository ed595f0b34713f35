"""Accelerators of a spec on every target: the machine that is picked, what is asked of it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sagemaker_system
import vertex_system
import yaml
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from kfp.pipeline_spec import pipeline_spec_pb2

from ctc import targets
from ctc.compiler.build import Built, build
from ctc.compiler.ir import Resources
from ctc.diagnostics import Severity
from ctc.language.load import load_spec
from ctc.targets.azureml import machines as azureml
from ctc.targets.gpus import is_model
from ctc.targets.kfp_check import check_platform
from ctc.targets.sagemaker.check import job_steps
from ctc.targets.sagemaker.check_bundle import check_bundle
from ctc.targets.sagemaker.definition import places
from ctc.targets.vertex import bootstrap
from ctc.targets.vertex import machines as vertex
from ctc.targets.vertex.pipeline import payload

GIB = 1024**3
SPEC = Path(__file__).resolve().parent.parent.parent / "specs" / "several_targets.yaml"
ASKED = "gpu: {type: t4, count: 1}, disk: 500Gi"
USERS = {"train", "predict-contender", "predict-champion"}


def built(folder: Path, target: str, *changes: tuple[str, str]) -> Built:
    """`specs/several_targets.yaml` for one target, some of its texts replaced."""
    text = SPEC.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = folder / "spec.yaml"
    file.write_text(text)
    loaded = load_spec(file, None, target)
    assert loaded.spec is not None, loaded.diagnostics
    assert not loaded.spec.gaps_on(target)
    return build(loaded.spec, targets.load(target))


def content(made: Built) -> dict[str, bytes]:
    assert made.bundle is not None, made.diagnostics
    return {artifact.path: artifact.content for artifact in made.bundle.artifacts}


def on_vertex(files: Mapping[str, bytes]) -> dict[str, Any]:
    executors = json.loads(files["pipelines/train.json"])["pipelineSpec"]["deploymentSpec"]["executors"]
    jobs = {label.removeprefix("exec-"): payload(executor) for label, executor in executors.items()}
    return {name: job["job_spec"]["worker_pool_specs"][0]["machine_spec"] for name, job in jobs.items() if job}


def on_sagemaker(files: Mapping[str, bytes]) -> dict[str, Any]:
    found = {}
    for place in places(json.loads(files["pipelines/train.json"])):
        arguments = place.step["Arguments"]
        cluster = arguments.get("ResourceConfig") or arguments.get("ProcessingResources", {}).get("ClusterConfig")
        if cluster is not None:
            found[place.step["Name"]] = cluster["InstanceType"]
    return found


def on_azureml(files: Mapping[str, bytes]) -> dict[str, Any]:
    jobs = yaml.safe_load(files["pipelines/train.yml"])["jobs"]
    return {
        name.replace("_", "-"): job["resources"]["instance_type"] for name, job in jobs.items() if "resources" in job
    }


def on_kubeflow(files: Mapping[str, bytes]) -> dict[str, Any]:
    spec = next(yaml.safe_load_all(files["pipelines/train.yaml"]))
    containers = {name: executor.get("container") for name, executor in spec["deploymentSpec"]["executors"].items()}
    return {
        name.removeprefix("exec-"): container["resources"]["accelerator"]
        for name, container in containers.items()
        if container and "accelerator" in container["resources"]
    }


ONE = {"type": "nvidia.com/gpu", "count": "1", "resourceType": "nvidia.com/gpu", "resourceCount": "1"}
PICKED: dict[str, tuple[Callable[[Mapping[str, bytes]], dict[str, Any]], Any]] = {
    "vertex": (
        on_vertex,
        {"machine_type": "n1-highmem-16", "accelerator_type": "NVIDIA_TESLA_T4", "accelerator_count": 1},
    ),
    # The types with fewer vCPUs or a smaller disk of their own do not fit.
    "sagemaker": (on_sagemaker, "ml.g4dn.8xlarge"),
    "azureml": (on_azureml, "Standard_NC64as_T4_v3"),
    "kubeflow": (on_kubeflow, ONE),
}


@pytest.mark.parametrize("target", targets.NAMES)
def test_the_users_steps_have_them_and_ours_do_not(target: str, tmp_path: Path) -> None:
    read, wanted = PICKED[target]
    made = built(tmp_path, target)
    found = read(content(made))

    assert {name: found[name] for name in USERS} == dict.fromkeys(USERS, wanted)
    assert wanted not in [machine for name, machine in found.items() if name not in USERS]
    rows = {row["feature"]: row for row in json.loads(content(made)["fidelity.json"])["features"]}
    assert rows["step.gpu"]["used_by"] == ["training.resources.gpu"]


@pytest.mark.parametrize("target", targets.NAMES)
def test_a_target_may_have_its_own_model(target: str, tmp_path: Path) -> None:
    changes = (
        ("variables:\n", "variables:\n  gpu: l4\n"),
        (ASKED, 'gpu: {type: "${var.gpu}"}, disk: 64Gi'),
        ("    variables: {lake: gs://acme-shelves,", "    variables: {gpu: a100, lake: gs://acme-shelves,"),
        (
            'variables: {lake: "azureml://datastores/shelves/paths"}',
            'variables: {gpu: a100, lake: "azureml://datastores/shelves/paths"}',
        ),
    )
    wanted = {
        "vertex": {
            "machine_type": "a2-highgpu-2g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 2,
        },
        "sagemaker": "ml.g6.4xlarge",
        "azureml": "Standard_NC24ads_A100_v4",
        "kubeflow": ONE,
    }  # fmt: skip
    assert PICKED[target][0](content(built(tmp_path, target, *changes)))["train"] == wanted[target]


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ("gpu: {type: t4, count: 9}", {"vertex": "CT375", "sagemaker": "CT345", "azureml": "CT364"}, "have 1, "),
        ("gpu: {type: k80}", {"vertex": "CT375", "sagemaker": "CT345", "azureml": "CT364"}, "there are: "),
    ],
)
@pytest.mark.parametrize("target", ["vertex", "sagemaker", "azureml"])
def test_what_no_machine_has_is_refused_at_its_place(
    target: str, asked: str, code: dict[str, str], said: str, tmp_path: Path
) -> None:
    made = built(tmp_path, target, (ASKED, f"{asked}, disk: 64Gi"))
    assert made.bundle is None
    [error] = {item for item in made.diagnostics if item.severity is Severity.ERROR}
    assert (error.code, error.path) == (code[target], "training.resources")
    assert f" and {'9 t4' if '9' in asked else '1 k80'}" in error.message
    assert said in error.help


def test_a_model_that_only_trains_is_told_of_predictions(tmp_path: Path) -> None:
    made = built(tmp_path, "sagemaker", (ASKED, "gpu: {type: a100}, disk: 64Gi"))
    found = on_sagemaker(content(made))
    assert found["train"] == "ml.p4d.24xlarge"
    assert found["predict-contender"] == found["predict-champion"] == "ml.m5.4xlarge"
    warned = [(item.code, item.severity, item.path) for item in made.diagnostics]
    assert warned == [("CT358", Severity.WARNING, "training.resources.gpu")]
    assert "predict-contender` runs without accelerators" in made.diagnostics[0].message


def test_a_disk_of_its_own_takes_no_key_and_the_bundle_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sagemaker_system, "TRAINING", sagemaker_system.TRAINING.replace("300Gi", "300Gi, gpu: {type: t4}")
    )
    files = sagemaker_system.documents(sagemaker_system.full_system(tmp_path))
    assert check_bundle(files) == []
    [train] = [step for step in job_steps(files["pipelines/train.json"]) if step["Name"] == "train"]
    assert "VolumeKmsKeyId" not in train["Arguments"]["ResourceConfig"]
    train["Arguments"]["ResourceConfig"]["VolumeKmsKeyId"] = sagemaker_system.KEY
    assert any("takes no key" in problem for problem in check_bundle(files))
    del train["Arguments"]["ResourceConfig"]["VolumeKmsKeyId"]
    del train["Arguments"]["OutputDataConfig"]["KmsKeyId"]
    assert any("another key than the first job" in problem for problem in check_bundle(files))


def test_kubeflow_names_the_nodes_that_the_spec_names(tmp_path: Path) -> None:
    bare = built(tmp_path, "kubeflow", (", disk: 500Gi", ""))
    assert [(item.code, item.path) for item in bare.diagnostics] == [("CT318", "training.resources.gpu")]
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    named = ("namespace: vision,", "namespace: vision, gpu_nodes: {t4: {nvidia.com/gpu.product: Tesla-T4}},")
    told = built(tmp_path, "kubeflow", (", disk: 500Gi", ""), named)
    assert told.diagnostics == ()

    for made, selector in ((bare, None), (told, {"labels": {"nvidia.com/gpu.product": "Tesla-T4"}})):
        spec, platform = yaml.safe_load_all(content(made)["pipelines/train.yaml"])
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        for executor in spec["deploymentSpec"]["executors"].values():
            json_format.ParseDict(executor, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())
        assert check_platform(spec, [platform]) == []
        executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        wanted = {"tolerations": [toleration], **({"nodeSelector": selector} if selector else {})}
        assert executors == {f"exec-{name}": wanted for name in USERS}


@pytest.mark.parametrize(
    ("listed", "asked", "is_it"),
    [
        ("t4", "t4", True),
        ("a100-80gb", "a100", True),
        ("a100-80gb", "a100-80gb", True),
        ("a100-40gb", "a100-80gb", False),
        ("a10g", "a10", False),
        ("l40s", "l4", False),
        ("t4", "a100", False),
    ],
)
def test_a_model_without_a_memory_is_any_of_it(listed: str, asked: str, is_it: bool) -> None:
    assert is_model(listed, asked) is is_it


MODELS = st.sampled_from(["t4", "v100", "p100", "l4", "a10", "a100", "a100-40gb", "a100-80gb", "h100"])


@given(st.floats(0.1, 220), st.integers(1, 2000 * GIB), st.integers(0, 9), MODELS)
def test_vertex_gives_no_more_accelerators_than_it_must(cpu: float, memory: int, gpus: int, model: str) -> None:
    found = vertex.smallest(Resources(cpu, memory, GIB, gpus, model if gpus else ""))
    fitting = [
        machine
        for machine in (vertex.GPU_TYPES if gpus else vertex.MACHINE_TYPES)
        if machine.cpu >= cpu
        and machine.memory_gib * GIB >= memory
        and (not gpus or (machine.gpus >= gpus and model in (machine.gpu_type, machine.gpu_type.split("-")[0])))
    ]
    assert (found is None) == (not fitting)
    assert found is None or found.gpus == min(machine.gpus for machine in fitting)
    assert found is None or found.cpu <= min(machine.cpu for machine in fitting if machine.gpus == found.gpus) * 2


@given(st.floats(0.1, 100), st.integers(1, 2000 * GIB), st.integers(1, 8000 * GIB), st.integers(0, 9), MODELS)
def test_azure_gives_the_smallest(cpu: float, memory: int, disk: int, gpus: int, model: str) -> None:
    found = azureml.smallest(Resources(cpu, memory, disk, gpus, model if gpus else ""))
    fitting = [
        size
        for size in (*azureml.SIZES, *azureml.GPU_SIZES)
        if size.cpu >= cpu
        and size.memory_gib * GIB >= memory
        and size.disk_gib * GIB >= disk
        and (size.gpus >= gpus and model in (size.gpu_type, size.gpu_type.split("-")[0]) if gpus else not size.gpus)
    ]
    assert (found is None) == (not fitting)
    assert found is None or (found.cpu, found.memory_gib) == min((size.cpu, size.memory_gib) for size in fitting)


ATTACHED = {
    "t4": {4: {1, 2, 4}, 16: {1, 2, 4}, 32: {2, 4}, 64: {4}, 96: {4}},
    "p100": {4: {1, 2, 4}, 16: {1, 2, 4}, 32: {2, 4}, 64: set(), 96: set()},
    "v100": {4: {1, 2, 4, 8}, 8: {1, 2, 4, 8}, 16: {2, 4, 8}, 32: {4, 8}, 64: {8}, 96: {8}},
}
"""Google's compatibility table, as tensorflow/cloud has it: model, vCPUs of N1, counts."""


@pytest.mark.parametrize("model", ATTACHED)
@pytest.mark.parametrize("family", ["standard", "highmem"])
def test_what_is_attached_to_n1_is_what_google_allows(model: str, family: str) -> None:
    for cpu, counts in ATTACHED[model].items():
        name = f"n1-{family}-{cpu}"
        assert {item.gpus for item in vertex.GPU_TYPES if (item.name, item.gpu_type) == (name, model)} == counts, name


def test_machines_of_their_own_have_the_accelerators_that_their_names_tell() -> None:
    for machine in vertex.GPU_TYPES:
        series = machine.name.split("-")[0]
        assert series in {"t4": "n1", "p100": "n1", "v100": "n1", "l4": "g2"}.get(machine.gpu_type, "a2a3")
        if machine.name.endswith("g"):
            assert machine.name.endswith(f"-{machine.gpus}g")
    for size in azureml.GPU_SIZES:
        model = size.gpu_type.split("-")[0].upper()
        assert model in size.name or size.name == "Standard_ND96asr_v4"


def test_the_service_knows_the_accelerators() -> None:
    types = pytest.importorskip("google.cloud.aiplatform_v1", reason="google-cloud-aiplatform is not installed").types
    assert {item.accelerator for item in vertex.GPU_TYPES} <= set(types.AcceleratorType.__members__)


def test_the_sheet_of_vertex_names_the_quota(tmp_path: Path) -> None:
    """Three machines with one each train at once (`vertex_system.py`)."""
    sheet = vertex_system.full_system(tmp_path)
    lines = bootstrap.sheet(sheet).decode().splitlines()
    assert [line for line in lines if "must allow 3 of `NVIDIA_TESLA_T4`" in line]
