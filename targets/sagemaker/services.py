"""The services that our steps reach when they run for this target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ctc.steps.ports import Services
from ctc.steps.task import StepFailed


def build(document: Mapping[str, Any]) -> Services:
    """File-based services where `CTC_MOUNTS` maps the root to a folder; StepFailed anywhere else."""
    if not os.environ.get("CTC_MOUNTS"):
        raise StepFailed(
            "this version of ctc runs the SageMaker artifacts on one machine only: `ctc run --target sagemaker`. "
            "The services inside SageMaker itself (S3, the model registry) arrive with `ctc deploy`"
        )
    from ctc.steps.local import local_services

    return local_services(document)
