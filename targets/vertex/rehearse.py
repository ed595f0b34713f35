"""Executes the emitted pipeline jobs on this machine.

Vertex AI runs Kubeflow's PipelineSpec, so Kubeflow's own local runner runs it here. A step that is launched as a
CustomJob runs its worker's command in place of the launcher, as the job would in the cloud.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.targets import kfp_rehearse
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.vertex.check import check
from ctc.targets.vertex.pipeline import GCP_RESOURCES, payload, worker
from ctc.targets.vertex.services import submission

RUNNER = kfp_rehearse.CHILD
"""The program that runs a pipeline: its `load` loads Kubeflow's runner."""


def execute(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
    """Runs `pipelines/<pipeline>.json` of the bundle. Parameters are those of the pipeline, URIs included.

    Raises `CtcError` if the job cannot be run at all; a run that failed is an `Execution`.
    """
    file = bundle_dir / "pipelines" / f"{pipeline}.json"
    body = submission(_read(file), parameters)
    machine.scratch.mkdir(parents=True, exist_ok=True)
    local = machine.scratch / f"{pipeline}.yaml"
    local.write_bytes(as_yaml(plain(body["pipelineSpec"])))
    return kfp_rehearse.execute(local, body["runtimeConfig"]["parameterValues"], machine)


def _read(file: Path) -> dict[str, Any]:
    try:
        body = json.loads(file.read_bytes())
    except OSError as error:
        raise CtcError(f"cannot read {file}: {error.strerror}", "compile the spec again") from error
    except ValueError as error:
        raise CtcError(f"{file} is not JSON: {error}", "compile the spec again") from error
    problems = check(body)
    if problems:
        told = "\n".join(f"  {problem}" for problem in problems)
        raise CtcError(f"{file} cannot be run:\n{told}", "compile the spec again, or mend the edit")
    return dict(body)


def plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a PipelineSpec in which each CustomJob is the container task that it stands for."""
    made = copy.deepcopy(dict(spec))
    for label, executor in made["deploymentSpec"]["executors"].items():
        job = payload(executor)
        if job is None:
            continue
        made["deploymentSpec"]["executors"][label] = {"container": worker(job)}
        for component in made["components"].values():
            if component.get("executorLabel") == label:
                component.get("outputDefinitions", {}).get("parameters", {}).pop(GCP_RESOURCES, None)
    return made
