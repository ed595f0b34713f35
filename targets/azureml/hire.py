"""What Azure Machine Learning's jobs and endpoints hire: sizes of serverless compute and of managed endpoints.

Our own steps run on the cluster that the spec names, whose size is known to the workspace alone: its price is that of
the item `cluster:NAME`, which only the user's own prices have.
"""

from __future__ import annotations

from datetime import timedelta

from ctc.compiler.hire import Hire
from ctc.compiler.ir import Runs, Server, Step, System
from ctc.targets.azureml.machines import smallest
from ctc.targets.azureml.pipeline import tries_seconds
from ctc.targets.azureml.serving import machine

FEES: tuple[str, ...] = ()

_NONE = "no VM size fits what is asked for"


def region(system: System) -> str:  # noqa: ARG001  (as every target has it)
    """The workspace knows it; the spec does not."""
    return ""


def step(system: System, step: Step) -> Hire:
    """Serverless compute for the user's code; its temporary disk is part of the size."""
    most = timedelta(seconds=tries_seconds(step))
    if step.runs is Runs.RUNTIME:
        return Hire(((f"cluster:{system.settings['compute']}", 1),), step.nodes, most=most)
    found = smallest(step.resources)
    if found is None:
        return Hire((), step.nodes, most=most, why=_NONE)
    return Hire(((found.name, 1),), step.nodes, step.spot is not None, most=most)


def server(system: System, server: Server) -> Hire:  # noqa: ARG001
    """An instance of the deployment."""
    found = machine(server)
    return Hire((), why=_NONE) if found is None else Hire(((found.name, 1),))
