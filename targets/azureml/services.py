"""The services that our steps reach on Azure ML, and the job that a wake submits."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ctc.diagnostics import CtcError
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed
from ctc.targets.azureml.pipeline import ENCODED, FOLDERS, NOTHING, UNSET, key

CHAMPION = "predict_champion"


def build(document: Mapping[str, Any]) -> Services:
    """File-based services where `CTC_MOUNTS` maps the root to a folder; StepFailed anywhere else."""
    if not os.environ.get("CTC_MOUNTS"):
        raise StepFailed(
            "this version of ctc runs the Azure ML artifacts on one machine only: `ctc run --target azureml`. "
            "The services inside Azure ML itself (datastores, the model registry) arrive with `ctc deploy`"
        )
    from ctc.steps.local import local_services

    return local_services(document)


def submission(job: Mapping[str, Any], parameters: Mapping[str, str]) -> dict[str, Any]:
    """A copy of the job as it is submitted: its inputs given, its outputs below the attempt, the champion's image.

    A train job is named after its attempt, by which the staleness alarm and a person find it. Outputs have no other way
    to the attempt than this: of all expressions their paths take only `${{name}}`. Raises `CtcError` for a parameter
    that the job has no input for.
    """
    filled = copy.deepcopy(dict(job))
    for name, value in parameters.items():
        if name == "champion_image":
            _champion(filled, value)
        elif key(name) not in filled["inputs"]:
            raise CtcError(f"the job has no input {key(name)}", "compile the spec again with this version of ctc")
        elif name in FOLDERS or name.startswith("input_"):
            filled["inputs"][key(name)]["path"] = value
        else:
            filled["inputs"][key(name)] = encoded(value) if name in ENCODED else value
    attempt = parameters.get("attempt")
    if attempt:
        filled["name"] = f"{job['display_name']}-{attempt}"
    for step in filled["jobs"].values() if attempt else ():
        for output in step.get("outputs", {}).values():
            output["path"] = output["path"].replace(f"/attempts/{UNSET}/", f"/attempts/{attempt}/", 1)
    return filled


def encoded(text: str) -> str:
    """A text of a person's as the input of a job: no character that means anything to a shell or to the service."""
    return quote(text, safe="") or NOTHING


def _champion(job: dict[str, Any], image: str) -> None:
    try:
        job["jobs"][CHAMPION]["component"]["environment"]["image"] = image
    except (KeyError, TypeError) as error:
        raise CtcError(
            f"the train job has no step `{CHAMPION}`", "compile the spec again with this version of ctc"
        ) from error
