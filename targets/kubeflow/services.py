"""The services that our steps reach on Kubeflow, and the document that wake submits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ctc.steps.ports import Services
from ctc.steps.task import StepFailed
from ctc.targets.kfp_champion import CHAMPION_EXECUTOR, champion_executor

__all__ = ["CHAMPION_EXECUTOR", "build", "champion_executor"]


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
