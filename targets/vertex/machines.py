"""The machine types that this target picks from, and the picking.

Names and sizes: Vertex AI's "Configure compute resources for custom training" (2026-11), which lists what a job may
use. Ordered by the on-demand price in us-central1 of Compute Engine's price list (2026-09): the first that fits is the
cheapest that fits. The list is a short one on purpose: types that most regions have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ctc.compiler.ir import Resources

GIB = 1024**3


@dataclass(frozen=True)
class MachineType:
    name: str
    cpu: int
    memory_gib: float


MACHINE_TYPES: tuple[MachineType, ...] = (
    MachineType("e2-standard-4", 4, 16),
    MachineType("e2-highmem-4", 4, 32),
    MachineType("e2-highcpu-8", 8, 8),
    MachineType("e2-standard-8", 8, 32),
    MachineType("e2-highmem-8", 8, 64),
    MachineType("e2-highcpu-16", 16, 16),
    MachineType("e2-standard-16", 16, 64),
    MachineType("e2-highmem-16", 16, 128),
    MachineType("e2-highcpu-32", 32, 32),
    MachineType("e2-standard-32", 32, 128),
    MachineType("n1-highmem-32", 32, 208),
    MachineType("n1-standard-64", 64, 240),
    MachineType("n1-highmem-64", 64, 416),
    MachineType("n1-standard-96", 96, 360),
    MachineType("n1-highmem-96", 96, 624),
)

DISK_GB = 100
"""The boot disk of a job that asks for none (`DiskSpec.bootDiskSizeGb`), in GB."""


def smallest(resources: Resources) -> MachineType | None:
    """The cheapest type with at least this many vCPUs and this much memory; None if there is none."""
    for machine in MACHINE_TYPES:
        if machine.cpu >= resources.cpu and machine.memory_gib * GIB >= resources.memory_bytes:
            return machine
    return None


def disk_gb(resources: Resources) -> int:
    """The boot disk of the job in GB: what is asked for, and never less than the service gives anyway."""
    return max(DISK_GB, math.ceil(resources.disk_bytes / 10**9))
