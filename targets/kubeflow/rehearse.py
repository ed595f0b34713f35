"""Executes the emitted files on this machine, by Kubeflow's own local runner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ctc.compiler.target import Execution, Machine
from ctc.targets import kfp_rehearse
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.kubeflow.services import champion_executor

RUNNER = kfp_rehearse.CHILD
"""The program that runs a pipeline: its `load` loads Kubeflow's runner."""


def execute(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
    """Runs `pipelines/<pipeline>.yaml` of the bundle. Parameters are those of the pipeline, URIs included.

    Raises `CtcError` if the file cannot be run at all; a run that failed is an `Execution`.
    """
    file = bundle_dir / "pipelines" / f"{pipeline}.yaml"
    image = parameters.get("champion_image")
    if image:
        spec, platform = kfp_rehearse.read(file)
        filled = champion_executor(spec, image)
        if filled != spec:
            machine.scratch.mkdir(parents=True, exist_ok=True)
            file = machine.scratch / file.name
            file.write_bytes(as_yaml(filled) + (b"---\n" + as_yaml(platform) if platform else b""))
    return kfp_rehearse.execute(file, parameters, machine)
