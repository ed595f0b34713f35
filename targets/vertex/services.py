"""The services that our steps reach on Vertex AI, and the job that wake submits."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from ctc.compiler.bundle import canonical
from ctc.diagnostics import CtcError
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed
from ctc.targets.kfp_champion import CHAMPION_EXECUTOR, champion_executor
from ctc.targets.vertex.pipeline import payload


def build(document: Mapping[str, Any]) -> Services:
    """The services of one step. Raises `StepFailed` inside Vertex AI, which this version cannot reach yet."""
    if not os.environ.get("CTC_MOUNTS"):
        raise StepFailed(
            "this version of ctc runs Vertex AI's pipelines on one machine only: `ctc run --target vertex`. Reaching "
            f"the state at {document['root']} from inside the service arrives with `ctc deploy`"
        )
    # Here and not above: the registry that it brings takes most of a second to import.
    from ctc.steps.local import local_services

    return local_services(document)


def submission(body: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """A copy of a pipeline job, ready to be sent: with these parameters, and the champion's image where one is given.

    Raises `CtcError` for a parameter that the pipeline does not have, or one that it needs and is not given.
    """
    filled = copy.deepcopy(dict(body))
    spec = filled["pipelineSpec"]
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    values = {**filled["runtimeConfig"].get("parameterValues", {}), **parameters}
    unknown, missing = sorted(values.keys() - declared.keys()), sorted(declared.keys() - values.keys())
    if unknown or missing:
        what = f"has no parameter {', '.join(unknown)}" if unknown else f"needs the parameter {', '.join(missing)}"
        raise CtcError(f"the pipeline {spec['pipelineInfo']['name']} {what}", "compile the spec again")
    filled["runtimeConfig"]["parameterValues"] = values
    if parameters.get("champion_image"):
        filled["pipelineSpec"] = _champion(spec, parameters["champion_image"])
    return filled


def _champion(spec: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The train pipeline with the champion's image: in the executor itself, or in the job that it launches."""
    container = spec["deploymentSpec"]["executors"].get(CHAMPION_EXECUTOR, {}).get("container", {})
    job = payload({"container": container})
    if job is None:
        return champion_executor(spec, image)
    filled = champion_executor(spec, container["image"])
    for pool in job["job_spec"]["worker_pool_specs"]:
        pool["container_spec"]["image_uri"] = image
    words = filled["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"]["args"]
    words[words.index("--payload") + 1] = canonical(job).decode()
    return filled
