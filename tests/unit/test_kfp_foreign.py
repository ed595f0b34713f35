"""Pipelines that Kubeflow's SDK compiles, executed as ours are: on Kubeflow, and as jobs of Vertex AI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("kfp")

from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.targets import kfp_rehearse
from ctc.targets.kfp_local import localised
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.vertex.pipeline import LAUNCHER
from ctc.targets.vertex.rehearse import plain

MADE = """
import sys
from typing import NamedTuple
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Output

quick = dsl.component(install_kfp_package=False)

@quick
def add(a: int, b: float = 2.0) -> float:
    return a + b

@quick
def keep(value: float, to: str):
    open(to, "w").write(str(value))

@quick
def write(text: str, out: Output[Dataset]):
    open(out.path, "w").write(text)

@quick
def read(data: Input[Dataset], to: str):
    open(to, "w").write(open(data.path).read().upper())

@quick
def look(n: int) -> NamedTuple("Seen", [("go", bool), ("word", str)]):
    return (n > 3, "word")

@quick
def fail():
    raise SystemExit("the teacher is ill")

@quick
def told(to: str, status: dsl.PipelineTaskFinalStatus):
    open(to, "w").write(status.state)

@quick
def several(options: dict, names: list, to: str):
    open(to, "w").write(options["a"] + ",".join(names))

@dsl.container_component
def shell(word: str):
    return dsl.ContainerSpec(image="alpine", command=["echo"], args=[word])

@dsl.pipeline
def chain(to: str, n: int = 4):
    keep(value=add(a=n).output, to=to)

@dsl.pipeline
def artifacts(to: str):
    read(data=write(text="hello").output, to=to)

@dsl.pipeline
def branch(to: str, n: int = 4):
    seen = look(n=n)
    with dsl.If(seen.outputs["go"] == True):
        again = look(n=n)
        with dsl.If(again.outputs["go"] == True):
            keep(value=1.5, to=to)

@dsl.pipeline
def switch(to: str, go: bool = True):
    with dsl.If(go == True):
        keep(value=2.5, to=to)

@dsl.pipeline
def structures(to: str):
    several(options={"a": "b"}, names=["c", "d"], to=to)

@dsl.pipeline
def inner(n: int) -> float:
    return add(a=n).output

@dsl.pipeline
def nested(to: str, n: int = 1):
    keep(value=inner(n=n).output, to=to)

@dsl.pipeline
def leaving(to: str):
    with dsl.ExitHandler(told(to=to)):
        fail()

@dsl.pipeline
def loop(to: str):
    with dsl.ParallelFor(["a", "b"]) as item:
        write(text=item)

@dsl.pipeline
def otherwise(to: str, go: bool = True):
    with dsl.If(go == True):
        keep(value=1.0, to=to)
    with dsl.Else():
        keep(value=0.0, to=to)

@dsl.pipeline
def container(to: str):
    shell(word=to)

for made in (chain, artifacts, branch, switch, structures, nested, leaving, loop, otherwise, container):
    compiler.Compiler().compile(made, f"{sys.argv[1]}/{made.name}.yaml")
"""

RUNS = [
    ("chain", {}, ("add", "keep"), "6.0"),
    ("artifacts", {}, ("write", "read"), "HELLO"),
    ("branch", {}, ("look", "look-2", "keep"), "1.5"),
    ("branch", {"n": 3}, ("look",), None),
    ("switch", {}, ("keep",), "2.5"),
    ("switch", {"go": False}, (), None),
    ("structures", {}, ("several",), "bc,d"),
    ("nested", {}, ("add", "keep"), "3.0"),
]
REFUSED = [
    ("loop", "repeated for each item of a list, which is not understood here"),
    ("otherwise", "is not a comparison of one flag"),
    ("container", "is not handed its executor input"),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the SDK wrote its pipelines; it reads a component's source, so that has a file."""
    folder = tmp_path_factory.mktemp("written")
    (folder / "made.py").write_text(MADE)
    subprocess.run([sys.executable, "-W", "ignore", str(folder / "made.py"), str(folder)], check=True)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("bin", "work"):
        (tmp_path / name).mkdir()
    # A script and no link: a link would not find the packages of this environment.
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -W ignore "$@"\n')
    python.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    return Machine(mounts={}, environment=environment, working=tmp_path / "work", scratch=tmp_path / "scratch")


def text(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


@pytest.mark.parametrize(("name", "given", "steps", "wrote"), RUNS)
def test_a_pipeline_of_the_sdk_runs(
    written: Path, machine: Machine, name: str, given: dict[str, Any], steps: tuple[str, ...], wrote: str | None
) -> None:
    to = machine.working / "to.txt"
    done = kfp_rehearse.execute(written / f"{name}.yaml", {"to": str(to), **given}, machine)

    assert done == Execution(True, steps)
    assert text(to) == wrote


def test_the_exit_task_of_a_failed_pipeline_runs(written: Path, machine: Machine) -> None:
    to = machine.working / "to.txt"
    done = kfp_rehearse.execute(written / "leaving.yaml", {"to": str(to)}, machine)

    assert (done.ok, done.steps) == (False, ("fail", "told"))
    assert "the teacher is ill" in done.error
    assert text(to) == "FAILED"


@pytest.mark.parametrize(("name", "words"), REFUSED)
def test_what_is_not_understood_is_refused_by_its_name(written: Path, machine: Machine, name: str, words: str) -> None:
    with pytest.raises(CtcError, match=words):
        kfp_rehearse.execute(written / f"{name}.yaml", {"to": "x"}, machine)


@pytest.mark.parametrize("name", ["chain", "artifacts", "branch", "structures", "nested"])
def test_a_vertex_job_of_the_sdk_runs_its_workers(written: Path, machine: Machine, name: str) -> None:
    """Each task as a CustomJob that Google's SDK writes: the worker's command runs in place of the launcher."""
    spec = as_custom_jobs(yaml.safe_load((written / f"{name}.yaml").read_text()))
    file, to = machine.working / "job.yaml", machine.working / "to.txt"
    file.write_bytes(as_yaml(plain(spec)))
    [(_, _, steps, wrote)] = [case for case in RUNS if case[0] == name and not case[1]]

    assert kfp_rehearse.execute(file, {"to": str(to)}, machine) == Execution(True, steps)
    assert text(to) == wrote


def as_custom_jobs(spec: dict[str, Any]) -> dict[str, Any]:
    """What `create_custom_training_job_from_component` makes: the job's spec is that of the SDK's own types."""
    types = pytest.importorskip("google.cloud.aiplatform_v1.types")
    for label, executor in spec["deploymentSpec"]["executors"].items():
        container = executor["container"]
        args = ["{{$.json_escape[1]}}" if word == "{{$}}" else word for word in container["args"]]
        worker = types.WorkerPoolSpec(
            machine_spec=types.MachineSpec(machine_type="n1-standard-4"),
            replica_count=1,
            container_spec=types.ContainerSpec(image_uri=container["image"], command=container["command"], args=args),
        )
        job = types.CustomJob(display_name=label, job_spec=types.CustomJobSpec(worker_pool_specs=[worker]))
        payload = json.dumps(types.CustomJob.to_dict(job))
        words = ["--type", "CustomJob", "--payload", payload, "--gcp_resources", "x"]
        executor["container"] = {"image": "launcher", "command": list(LAUNCHER), "args": words}
    return spec


def test_the_runners_spelling_means_the_same(written: Path) -> None:
    """Only names of operands change, everywhere that they stand, and a second time changes nothing."""
    theirs = yaml.safe_load((written / "branch.yaml").read_text())
    ours = localised(theirs)

    assert ours != theirs
    assert localised(ours) == ours
    renamed = json.dumps(ours, sort_keys=True)
    for task in ("look", "look-2"):
        renamed = renamed.replace(f"pipelinechannel--{task}--go", f"pipelinechannel--{task}-go")
    renamed = renamed.replace("['n']", "['pipelinechannel--n']")
    assert json.loads(renamed) == theirs
