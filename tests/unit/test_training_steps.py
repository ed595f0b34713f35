"""What the user's commands are compiled to: prepared rows, CSV, files, variables, checkpoints, a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from changed_spec import MINIMAL, merge

from ctc.compiler.ir import Ref, Step, System
from ctc.compiler.lower import lower
from ctc.compiler.triggers import lease_seconds
from ctc.language.load import load_spec
from ctc.language.spec import Spec
from ctc.targets.kfp_check import check as check_kubeflow
from ctc.targets.kfp_ir import pipeline_spec
from ctc.targets.sagemaker.definition import check as check_sagemaker
from ctc.targets.sagemaker.pipeline import definitions

DIGEST = f"sha256:{'0' * 64}"
EVERYTHING = f"""
prepare:
  fit: [fit, "{{train}}", "{{prepared}}", "{{hp.depth}}"]
  apply: [apply, "{{prepared}}", "{{rows}}", "{{out}}", "{{hp.depth}}"]
  resources: {{cpu: 3}}
  timeout: 20m
training:
  argv: [train, "{{train}}", "{{base_model}}", "{{prepared}}", "{{inputs.base-weights}}", "{{model}}"]
  hyperparameters: {{depth: 6}}
  format: {{csv: {{delimiter: ";"}}}}
  inputs: {{base-weights: {{uri: "s3://acme/weights/", digest: "{DIGEST}"}}}}
  env: {{FAST: true, LEVEL: 3}}
retraining: {{strategy: fine_tune, replay: 20%, validation_share: 10%}}
"""


def loaded(folder: Path, *changes: str) -> Spec:
    tree = yaml.safe_load(MINIMAL.read_text())
    for change in changes:
        merge(tree, yaml.safe_load(change) or {})
    path = folder / "ctc.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    found = load_spec(path, None, None)
    assert found.spec is not None, found.diagnostics
    return found.spec


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return loaded(tmp_path, EVERYTHING)


def steps(system: System) -> dict[str, Step]:
    return {step.name: step for step in system.train.steps()}


@pytest.mark.parametrize(
    "change",
    [
        "",
        "training: {env: {TOKEN: {secret: hub-token}}}",
        f'prepare: {{image: "registry.example/x@{DIGEST}"}}',
    ],
)
def test_it_all_runs(change: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, EVERYTHING, change).gaps == ()


@pytest.mark.parametrize("target", ["kubeflow", "sagemaker"])
def test_the_flow_of_rows(target: str, spec: Spec) -> None:
    found = steps(lower(spec, target))

    assert dict(found["prepare"].inputs) == {
        "train": Ref("snapshot", "csv_train"),
        "valid": Ref("snapshot", "csv_valid"),
    }
    assert dict(found["train"].inputs) == {
        "train": Ref("prepare", "ready_train"),
        "valid": Ref("prepare", "ready_valid"),
        "prepared": Ref("prepare", "prepared"),
    }
    for name in ("predict-contender", "predict-champion"):
        assert dict(found[name].inputs)["rows"] == Ref("snapshot", "csv_rows")
    assert found["predict-contender"].apply == ("apply", "{prepared}", "{rows}", "{out}", "6")
    assert found["predict-champion"].apply == ()
    assert dict(found["train"].imports) == {"base_model": "base_model", "input_base-weights": "input_base-weights"}
    assert (found["prepare"].resources.cpu, found["prepare"].timeout.total_seconds()) == (3.0, 1200.0)
    for name in ("prepare", "train", "predict-contender", "predict-champion"):
        assert found[name].digests == (("input_base-weights", DIGEST),)
        assert dict(found[name].environment) | {"FAST": "true", "LEVEL": "3"} == dict(found[name].environment)
    assert [name for name, step in found.items() if step.checkpoints] == ["train"]


def test_nothing_is_applied_to_validation_rows_that_there_never_are(tmp_path: Path) -> None:
    found = steps(lower(loaded(tmp_path, EVERYTHING, "retraining: {validation_share: 0}"), "kubeflow"))

    assert found["prepare"].outputs == ("prepared", "ready_train")
    assert dict(found["train"].inputs)["valid"] == Ref("snapshot", "csv_valid")


def test_kubeflow_is_given_a_sound_document(spec: Spec) -> None:
    system = lower(spec, "kubeflow")
    document = pipeline_spec(system.train, system.root)

    assert check_kubeflow(document) == []
    given = document["root"]["inputDefinitions"]["parameters"]
    assert given["input_base-weights"]["defaultValue"] == "s3://acme/weights/"
    assert given["base_model"]["defaultValue"] == f"{system.root}/absent"
    args = document["deploymentSpec"]["executors"]["exec-train"]["container"]["args"]
    assert args[args.index("--checkpoints") + 1] == f"{system.root}/attempts/{{attempt}}/checkpoints"
    assert args[args.index("--csv") + 1] == ";"
    args = document["deploymentSpec"]["executors"]["exec-predict-contender"]["container"]["args"]
    count = int(args[args.index("--apply") + 1])
    assert args[args.index("--") + 1 :][:count] == ["apply", "{prepared}", "{rows}", "{out}", "6"]


def test_sagemaker_is_given_a_sound_document(spec: Spec) -> None:
    system = lower(spec, "sagemaker")
    document = definitions(system, f"{system.root}/support/x")["train"]

    assert check_sagemaker(document) == []
    [condition] = [step for step in document["Steps"] if step["Name"] == "if-validate-go"]
    jobs: dict[str, Any] = {step["Name"]: step["Arguments"] for step in condition["Arguments"]["IfSteps"]}
    config = jobs["train"]["CheckpointConfig"]
    assert config["LocalPath"] == "/opt/ml/checkpoints"
    assert config["S3Uri"]["Std:Join"]["Values"] == [
        f"{system.root}/attempts/",
        {"Get": "Parameters.Attempt"},
        "/checkpoints",
    ]
    assert "EnableManagedSpotTraining" not in jobs["train"]
    channels = {channel["ChannelName"]: channel for channel in jobs["train"]["InputDataConfig"]}
    assert channels["base_model"]["DataSource"]["S3DataSource"]["S3Uri"] == {"Get": "Parameters.BaseModel"}
    assert {"train", "valid", "prepared", "input_base-weights"} <= set(channels)


def test_the_lease_has_room_for_preparing(spec: Spec, tmp_path: Path) -> None:
    assert lease_seconds(spec) - lease_seconds(loaded(tmp_path, EVERYTHING, "prepare: null", PLAIN)) == 1200.0


PLAIN = """training: {argv: [train, "{train}", "{base_model}", "{model}"]}"""


def test_what_a_version_is_made_of_changes_with_each_part(spec: Spec, tmp_path: Path) -> None:
    """Of all that decides what is learnt, nothing is left out of the digest; where it runs is no part of it."""
    changes = (
        "training: {hyperparameters: {depth: 7}}",
        "training: {seed: 3}",
        'training: {argv: [other, "{train}", "{base_model}", "{model}"]}',
        "training: {env: {FAST: false}}",
        "training: {format: {csv: {delimiter: ','}}}",
        f"training: {{inputs: {{base-weights: {{digest: 'sha256:{'1' * 64}'}}}}}}",
        'prepare: {apply: [other, "{prepared}", "{rows}", "{out}"]}',
    )
    digests = [digest(spec), *(digest(loaded(tmp_path, EVERYTHING, change)) for change in changes)]

    assert len(set(digests)) == len(changes) + 1
    assert digest(loaded(tmp_path, EVERYTHING, "training: {timeout: 3h, resources: {cpu: 4}}")) == digests[0]


def digest(spec: Spec) -> str:
    document = steps_document(lower(spec, "sagemaker"), "register")
    assert document == steps_document(lower(spec, "kubeflow"), "register")
    return document


def steps_document(system: System, step: str) -> str:
    found = steps(system)[step].document
    assert found is not None
    return str(found["policy"]["training"]["digest"])
