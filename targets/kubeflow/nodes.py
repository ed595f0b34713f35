"""Which nodes steps with accelerators run on: a part of a pipeline's second document.

Fields are those of `NodeSelector` and `Toleration` in `kubernetes_executor_config.proto` of kubeflow/pipelines, as
kfp-kubernetes' `add_node_selector` and `add_toleration` fill them in. How a node says which model it has is the
cluster's: `nvidia.com/gpu.product` where NVIDIA's feature discovery runs, `cloud.google.com/gke-accelerator` on GKE.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import Pipeline, Step
from ctc.targets.kfp_ir import GPU, executor_name

TOLERATION = {"key": GPU, "operator": "Exists", "effect": "NoSchedule"}
"""Of the taint that keeps everything else away from nodes with accelerators."""


def labels(step: Step, settings: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of the nodes that have the model which a step asks for; empty where the spec names none."""
    found: Mapping[str, str] = settings.get("gpu_nodes", {}).get(step.resources.gpu_type, {})
    return found


def placements(pipeline: Pipeline, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By executor, what the PlatformSpec says of the nodes of its step."""
    made: dict[str, dict[str, Any]] = {}
    for step in pipeline.steps():
        if step.resources.gpus:
            made[executor_name(step.name)] = {"tolerations": [TOLERATION]}
            if named := labels(step, settings):
                made[executor_name(step.name)]["nodeSelector"] = {"labels": dict(named)}
    return made
