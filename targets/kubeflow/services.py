"""The services that our steps reach on Kubeflow, and the document that wake submits."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from ctc.diagnostics import CtcError
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed

CHAMPION_EXECUTOR = "exec-predict-champion"


def build(document: Mapping[str, Any]) -> Services:
    """The services of one step. Raises `StepFailed` inside a cluster, which this version cannot reach yet."""
    if not os.environ.get("CTC_MOUNTS"):
        raise StepFailed(
            "this version of ctc runs Kubeflow's pipelines on one machine only, by `ctc run`: reaching the state at "
            f"{document['root']} from inside a cluster arrives with `ctc deploy`"
        )
    # Here and not above: the registry that it brings takes most of a second to import.
    from ctc.steps.local import local_services

    return local_services(document)


def champion_executor(pipeline_spec: Mapping[str, Any], image: str) -> dict[str, Any]:
    """A copy of the train pipeline, with the champion's image in the one executor that runs the champion's command.

    Raises `CtcError` if the document has no such executor.
    """
    filled = copy.deepcopy(dict(pipeline_spec))
    try:
        filled["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"]["image"] = image
    except (KeyError, TypeError) as error:
        raise CtcError(
            f"the train pipeline has no executor `{CHAMPION_EXECUTOR}` for the champion",
            "compile the spec again with this version of ctc",
        ) from error
    return filled
