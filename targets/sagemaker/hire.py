"""What SageMaker's jobs and endpoints hire: the instance types that the compiled documents name."""

from __future__ import annotations

from datetime import timedelta

from ctc.compiler.hire import Hire
from ctc.compiler.ir import Server, Step, System
from ctc.targets.sagemaker.machines import processing, smallest, volume_gib
from ctc.targets.sagemaker.names import region
from ctc.targets.sagemaker.pipeline import is_training, tries_seconds
from ctc.targets.sagemaker.serving import machine

FEES: tuple[str, ...] = ()

_NONE = "no instance type fits what is asked for"

__all__ = ["FEES", "region", "server", "step"]


def step(system: System, step: Step) -> Hire:  # noqa: ARG001  (as every target has it)
    """A training job for what makes a model, else a processing job; its volume, unless the type has a disk."""
    training, most = is_training(step), timedelta(seconds=tries_seconds(step))
    found = smallest(step.resources, training=True) if training else processing(step.resources)
    if found is None:
        return Hire((), step.nodes, most=most, why=_NONE)
    kind = "training-volume" if training else "processing-volume"
    volume = None if found.local_disk_gb else (kind, float(volume_gib(step.resources)))
    return Hire(((found.name, 1),), step.nodes, step.spot is not None, volume, most)


def server(system: System, server: Server) -> Hire:  # noqa: ARG001
    """An instance of the endpoint."""
    found = machine(server)
    return Hire((), why=_NONE) if found is None else Hire(((found.name, 1),))
