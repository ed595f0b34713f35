"""What Vertex AI's pipelines and endpoints hire: machine types, accelerators beside them, boot disks.

A container task that needs nothing of a custom job names no machine; the service picks one by its limits. It is taken
for the one that a custom job would get, as none is cheaper.
"""

from __future__ import annotations

from datetime import timedelta

from ctc.compiler.hire import Hire
from ctc.compiler.ir import Server, Step, System
from ctc.targets.vertex.machines import MachineType, disk_gb, smallest
from ctc.targets.vertex.pipeline import job_seconds
from ctc.targets.vertex.serving import machine

FEES: tuple[str, ...] = ("pipeline-run",)

_NONE = "no machine type fits what is asked for"


def region(system: System) -> str:
    return str(system.settings["region"])


def step(system: System, step: Step) -> Hire:  # noqa: ARG001  (as every target has it)
    """A machine with its boot disk."""
    found, most = smallest(step.resources), timedelta(seconds=job_seconds(step))
    if found is None:
        return Hire((), step.nodes, most=most, why=_NONE)
    disk = ("boot-disk", float(disk_gb(step.resources)))
    return Hire(_parts(found), step.nodes, step.spot is not None, disk, most)


def server(system: System, server: Server) -> Hire:  # noqa: ARG001
    """A replica of the deployed model."""
    found = machine(server)
    return Hire((), why=_NONE) if found is None else Hire(_parts(found))


def _parts(found: MachineType) -> tuple[tuple[str, float], ...]:
    """Accelerators of N1 are paid beside the machine; those of other families are part of it."""
    if found.gpus and found.name.startswith("n1-"):
        return (found.name, 1), (f"accelerator:{found.accelerator}", found.gpus)
    return ((found.name, 1),)
