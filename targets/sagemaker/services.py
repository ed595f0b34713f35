"""The services that our steps reach when they run for this target: S3, SageMaker Pipelines, its model registry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ctc.steps.ports import Services
from ctc.steps.task import StepFailed


def build(document: Mapping[str, Any]) -> Services:
    """Files where `CTC_MOUNTS` maps the root to a folder of this machine; else the services of the job's own region.

    StepFailed where neither is told, or boto3 is missing.
    """
    if os.environ.get("CTC_MOUNTS"):
        from ctc.steps.local import local_services

        return local_services(document)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise StepFailed(
            "AWS_REGION is not set: this step runs in a SageMaker job, which has it, or on one machine by "
            "`ctc run --target sagemaker`"
        )
    from ctc.targets.sagemaker.in_service import service_services

    return service_services(document, region)
