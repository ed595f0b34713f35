"""Jobs that azure-ai-ml writes, executed by our interpreter: it runs any such document, not only what we emit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_azureml_judges import JUDGE

from ctc.targets.azureml import interpreter

MADE = """
import sys
from azure.ai.ml import Input, Output, command, dsl

IMAGE = "azureml:tools@latest"
FOLDER, FILE = Output(type="uri_folder"), Output(type="uri_file")

def step(name, text, outputs=None, **inputs):
    return command(name=name, command=text, environment=IMAGE, inputs=inputs, outputs=outputs or {})

write = step(
    "write", "echo ${{inputs.n}} ${{inputs.word}} > ${{outputs.out}}/n.txt", {"out": FOLDER},
    n=Input(type="integer", default=3), word=Input(type="string", default="a"),
)
read = step(
    "read", "cat ${{inputs.data}}/n.txt $[[ ${{inputs.note}} ]] > ${{outputs.sum}}", {"sum": FILE},
    data=Input(type="uri_folder"), note=Input(type="uri_file", optional=True),
)
fail = step("fail", "echo the teacher is ill; exit 3", {"out": FOLDER})

@dsl.pipeline(default_compute="cpu")
def chain(n: int = 4):
    first = write(n=n)
    second = read(data=first.outputs.out)
    second.outputs.sum = Output(type="uri_file", path="azureml://datastores/lake/paths/chain/sum.txt")

@dsl.pipeline(default_compute="cpu")
def defaults():
    second = read(data=write().outputs.out)
    second.outputs.sum = Output(type="uri_file", path="azureml://datastores/lake/paths/defaults/sum.txt")

@dsl.pipeline(default_compute="cpu", continue_on_step_failure=False)
def stops():
    read(data=fail().outputs.out)
    write(n=1)

@dsl.pipeline(default_compute="cpu")
def given(data: Input(type="uri_folder"), note: Input(type="uri_file")):
    second = read(data=data, note=note)
    second.outputs.sum = Output(type="uri_file", path="azureml://datastores/lake/paths/given/sum.txt")

alone = command(
    command="echo $GREETING ${{inputs.who}} > ${{outputs.said}}/word.txt", environment=IMAGE, compute="cpu",
    inputs={"who": "you"}, environment_variables={"GREETING": "hello"},
    outputs={"said": Output(type="uri_folder", path="azureml://datastores/lake/paths/alone/", mode="rw_mount")},
)
folder = sys.argv[1]
chain().dump(f"{folder}/chain.yml")
defaults().dump(f"{folder}/defaults.yml")
stops().dump(f"{folder}/stops.yml")
given(
    data=Input(type="uri_folder", path="azureml://datastores/lake/paths/rows/"),
    note=Input(type="uri_file", path="azureml://datastores/lake/paths/note.txt"),
).dump(f"{folder}/given.yml")
alone._to_job().dump(f"{folder}/alone.yml")
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the SDK wrote its jobs."""
    if not JUDGE.is_file():
        (pytest.fail if os.environ.get("CTC_REQUIRE_TOOLS") else pytest.skip)(f"{JUDGE} is not there: make test")
    folder = tmp_path_factory.mktemp("written")
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    done = subprocess.run(
        [str(JUDGE), "-I", "-W", "ignore", "-c", MADE, str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def run(job: Path, lake: Path, scratch: Path) -> dict[str, Any]:
    scratch.mkdir()
    order = {
        "job": str(job),
        "base": str(job.parent),
        "mounts": {"azureml://datastores/lake/paths": str(lake)},
        "working": "",
        "environment": {"PATH": os.defpath},
        "scratch": str(scratch),
    }
    (scratch / "order.json").write_text(json.dumps(order))
    words = [sys.executable, "-I", interpreter.__file__, str(scratch / "order.json"), str(scratch / "report.json")]
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    report: dict[str, Any] = json.loads((scratch / "report.json").read_text())
    return report


@pytest.mark.parametrize(
    ("name", "wrote", "text"),
    [
        ("chain", "chain/sum.txt", "4 a\n"),
        ("defaults", "defaults/sum.txt", "3 a\n"),
        ("given", "given/sum.txt", "rows\nnote\n"),
        ("alone", "alone/word.txt", "hello you\n"),
    ],
)
def test_a_job_of_the_sdk_runs(written: Path, tmp_path: Path, name: str, wrote: str, text: str) -> None:
    lake = tmp_path / "lake"
    (lake / "rows").mkdir(parents=True)
    (lake / "rows" / "n.txt").write_text("rows\n")
    (lake / "note.txt").write_text("note\n")
    report = run(written / f"{name}.yml", lake, tmp_path / "scratch")

    assert report["status"] == "Completed", report
    assert (lake / wrote).read_text() == text


def test_a_job_of_the_sdk_stops_where_it_says(written: Path, tmp_path: Path) -> None:
    report = run(written / "stops.yml", tmp_path, tmp_path / "scratch")

    assert report["status"] == "Failed"
    assert "the teacher is ill" in report["reason"]
    assert "completed" not in report["ended"].values()
