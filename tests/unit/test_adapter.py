"""Scripts written for another platform, unedited, as processes; SageMaker's against its SDK's own driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ctc.targets.shim import program

HYPERPARAMETERS = {"epochs": 3, "rate": 0.1, "kind": "tree", "early-stop": True, "layers": [8, 4]}

DUMP = """\
import json, os, pathlib, sys
found = {"argv": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}
input_dir = os.environ.get("SM_INPUT_DIR")
if input_dir:
    config = pathlib.Path(input_dir, "config")
    found["config"] = {path.name: json.loads(path.read_text()) for path in config.iterdir()}
    found["data"] = {path.name: str(path.resolve()) for path in pathlib.Path(input_dir, "data").iterdir()}
pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
"""


def adapted(
    folder: Path,
    interface: str,
    script: str,
    *words: str,
    step: str = "train",
    options: tuple[str, ...] = (),
    **more: str,
) -> subprocess.CompletedProcess[str]:
    """Runs a script by the adapter, with the folders of a training (or of the step's)."""
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "script.py").write_text(script)
    inputs = {"train": ("train", "valid"), "predict-contender": ("model", "rows")}[step]
    output = {"train": "model", "predict-contender": "predictions"}[step]
    for name in inputs:
        (folder / name).mkdir(exist_ok=True)
    (folder / "adapter.py").write_text(program("adapter"))
    return subprocess.run(
        [
            *[sys.executable, "-I", str(folder / "adapter.py"), "--step", step],
            *[word for name in inputs for word in ("--input", f"{name}={folder / name}")],
            *["--output", f"{output}={folder / output}", "--option", f"interface={interface}", *options],
            *["--", sys.executable, "script.py", *words],
        ],
        cwd=folder / "code",
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "CTC_HYPERPARAMETERS": json.dumps(HYPERPARAMETERS), **more},
    )


def dumped(folder: Path, interface: str, **more: Any) -> dict[str, Any]:
    code = DUMP + "pathlib.Path(os.environ['CTC_MODEL'], 'm').write_text('x')\n"
    done = adapted(folder, interface, code, str(folder / "found.json"), **more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def test_sagemaker_s_variables_are_those_of_its_own_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = pytest.importorskip("sagemaker.train.container_drivers.scripts.environment")
    utils = pytest.importorskip("sagemaker.train.container_drivers.common.utils")
    monkeypatch.setenv("TRAINING_JOB_NAME", "job")
    monkeypatch.setattr(environment, "read_source_code_json", lambda: None)
    monkeypatch.setattr(environment, "read_distributed_json", lambda: None)
    config = dumped(tmp_path, "sagemaker", TRAINING_JOB_NAME="job")["config"]
    theirs_file = tmp_path / "theirs"
    environment.set_env(
        config["resourceconfig.json"],
        config["inputdataconfig.json"],
        config["hyperparameters.json"],
        output_file=str(theirs_file),
    )
    theirs = dict(line.removeprefix("export ").split("=", 1) for line in theirs_file.read_text().splitlines())
    found = dumped(tmp_path, "sagemaker", TRAINING_JOB_NAME="job")
    ours = found["environment"]

    assert theirs.keys() <= ours.keys()
    # Paths and the address of the only host are this machine's.
    places = {name for name in theirs if name.endswith("_DIR") or "CHANNEL_" in name} | {
        *("SM_OUTPUT_FAILURE", "SM_MASTER_ADDR", "SM_TRAINING_ENV")
    }
    for name in theirs.keys() - places:
        assert ours[name] == theirs[name].strip("'"), name
    ours_all, theirs_all = json.loads(ours["SM_TRAINING_ENV"]), json.loads(theirs["SM_TRAINING_ENV"].strip("'"))
    assert theirs_all.keys() <= ours_all.keys()
    assert theirs_all["channel_input_dirs"].keys() == ours_all["channel_input_dirs"].keys()
    assert found["argv"][1:] == utils.hyperparameters_to_cli_args(config["hyperparameters.json"])


def test_sagemaker_s_channels_are_the_rows(tmp_path: Path) -> None:
    found = dumped(tmp_path, "sagemaker")
    variables = found["environment"]

    assert variables["SM_MODEL_DIR"] == str(tmp_path / "model")
    for name in ("TRAIN", "TRAINING"):
        assert variables[f"SM_CHANNEL_{name}"] == str(tmp_path / "train")
    for name in ("VALIDATION", "VALID", "TEST"):
        assert variables[f"SM_CHANNEL_{name}"] == str(tmp_path / "valid")
    assert json.loads(variables["SM_CHANNELS"]) == ["train", "validation"]
    assert found["data"]["train"] == str(tmp_path / "train")
    assert not Path(variables["SM_OUTPUT_DATA_DIR"]).exists(), "it is gone with the step"


def test_a_base_model_is_sagemaker_s_channel_model(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    given = ("--input", f"base_model={base}")
    assert dumped(tmp_path, "sagemaker", options=given)["environment"]["SM_CHANNEL_MODEL"] == str(base)
    (base / "absent.json").write_text("{}")
    assert "SM_CHANNEL_MODEL" not in dumped(tmp_path, "sagemaker", options=given)["environment"]


def test_vertex_s_addresses_are_local_paths(tmp_path: Path) -> None:
    given = ("--csv", ",", "--checkpoints", str(tmp_path / "kept"))
    found = dumped(tmp_path, "vertex", options=given)
    variables = found["environment"]

    assert variables["AIP_MODEL_DIR"] == str(tmp_path / "model")
    assert variables["AIP_CHECKPOINT_DIR"] == str(tmp_path / "kept")
    assert variables["AIP_DATA_FORMAT"] == "csv"
    assert variables["AIP_TRAINING_DATA_URI"] == str(tmp_path / "train" / "data.csv")
    assert (
        variables["AIP_VALIDATION_DATA_URI"] == variables["AIP_TEST_DATA_URI"] == str(tmp_path / "valid" / "data.csv")
    )
    assert json.loads(variables["CLUSTER_SPEC"])["task"] == {"type": "workerpool0", "index": 0}
    assert found["argv"] == [str(tmp_path / "found.json")], "there the words of a job are its author's"


def test_what_a_script_writes_to_outputs_is_azure_s_model(tmp_path: Path) -> None:
    code = "import helper, pathlib\npathlib.Path('outputs', 'model.txt').write_text(helper.WORD)\n"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "helper.py").write_text("WORD = 'learnt'\n")

    done = adapted(tmp_path, "azureml", code)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "model.txt").read_text() == "learnt"
    assert not (tmp_path / "code" / "outputs").exists()
    variables = dumped(tmp_path, "azureml")["environment"]
    assert variables["AZURE_ML_INPUT_train"] == str(tmp_path / "train")
    assert variables["AZURE_ML_OUTPUT_model"] == str(tmp_path / "model")


@pytest.mark.parametrize(
    ("interface", "variable"),
    [("sagemaker", "SM_MODEL_DIR"), ("vertex", "AIP_STORAGE_URI"), ("azureml", "AZUREML_MODEL_DIR")],
)
def test_a_predict_command_finds_the_model(tmp_path: Path, interface: str, variable: str) -> None:
    code = f"import os, shutil; open(os.environ['CTC_PREDICTIONS'], 'w').write(os.environ['{variable}'])\n"

    done = adapted(tmp_path, interface, code, step="predict-contender")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions" / "predictions.parquet").read_text() == str(tmp_path / "model")


def test_a_failing_script_is_told_as_ever(tmp_path: Path) -> None:
    done = adapted(tmp_path, "sagemaker", "raise SystemExit('no such column: price')\n")

    assert done.returncode == 1
    assert "train failed: " in done.stderr and "no such column: price" in done.stderr
