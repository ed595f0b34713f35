"""The machine types that this target picks from, and the picking.

Names and sizes: Vertex AI's "Configure compute resources for custom training" (2026-11), which lists what a job may
use. Ordered by the on-demand price in us-central1 of Compute Engine's price list (2026-09): the first that fits is the
cheapest that fits. The list is a short one on purpose: types that most regions have.

Accelerators: those of A2, A3 and G2 are part of the machine; to N1 they are attached, in the counts that the page's
compatibility table has for each number of vCPUs (as tensorflow/cloud transcribes it, `gcp.py`). Sizes and prices of
A2, A3 and G2: Compute Engine's price list (2026-07). A3 with fewer than eight are left out: they are to be had as spot
or flexible capacity only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from ctc.compiler.ir import Resources
from ctc.targets.gpus import is_model
from ctc.value import Value, frozen

GIB = 1024**3


@frozen
class MachineType(Value):
    """`accelerator` is the service's name (`AcceleratorType`) of what `gpu_type` names; empty without any."""

    name: str
    cpu: int
    memory_gib: float
    gpus: int = 0
    gpu_type: str = ""
    accelerator: str = ""


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

_N1: tuple[tuple[str, int, float], ...] = (
    ("n1-highmem-2", 2, 13),
    ("n1-standard-4", 4, 15),
    ("n1-highmem-4", 4, 26),
    ("n1-standard-8", 8, 30),
    ("n1-highmem-8", 8, 52),
    ("n1-standard-16", 16, 60),
    ("n1-highmem-16", 16, 104),
    ("n1-standard-32", 32, 120),
    ("n1-highmem-32", 32, 208),
    ("n1-standard-64", 64, 240),
    ("n1-highmem-64", 64, 416),
    ("n1-standard-96", 96, 360),
    ("n1-highmem-96", 96, 624),
)
"""The cheapest first."""

_ATTACHED: tuple[tuple[str, str, tuple[tuple[int, tuple[int, ...]], ...]], ...] = (
    ("t4", "NVIDIA_TESLA_T4", ((16, (1, 2, 4)), (32, (2, 4)), (96, (4,)))),
    ("p100", "NVIDIA_TESLA_P100", ((16, (1, 2, 4)), (32, (2, 4)))),
    ("v100", "NVIDIA_TESLA_V100", ((8, (1, 2, 4, 8)), (16, (2, 4, 8)), (32, (4, 8)), (96, (8,)))),
)
"""Of each model, how many a machine of N1 may have, by the most vCPUs for which that holds."""

_OWN: tuple[MachineType, ...] = (
    MachineType("g2-standard-4", 4, 16, 1, "l4", "NVIDIA_L4"),
    MachineType("g2-standard-8", 8, 32, 1, "l4", "NVIDIA_L4"),
    MachineType("g2-standard-12", 12, 48, 1, "l4", "NVIDIA_L4"),
    MachineType("g2-standard-16", 16, 64, 1, "l4", "NVIDIA_L4"),
    MachineType("g2-standard-32", 32, 128, 1, "l4", "NVIDIA_L4"),
    MachineType("a2-highgpu-1g", 12, 85, 1, "a100-40gb", "NVIDIA_TESLA_A100"),
    MachineType("a2-ultragpu-1g", 12, 170, 1, "a100-80gb", "NVIDIA_A100_80GB"),
    MachineType("g2-standard-24", 24, 96, 2, "l4", "NVIDIA_L4"),
    MachineType("a2-highgpu-2g", 24, 170, 2, "a100-40gb", "NVIDIA_TESLA_A100"),
    MachineType("a2-ultragpu-2g", 24, 340, 2, "a100-80gb", "NVIDIA_A100_80GB"),
    MachineType("g2-standard-48", 48, 192, 4, "l4", "NVIDIA_L4"),
    MachineType("a2-highgpu-4g", 48, 340, 4, "a100-40gb", "NVIDIA_TESLA_A100"),
    MachineType("a2-ultragpu-4g", 48, 680, 4, "a100-80gb", "NVIDIA_A100_80GB"),
    MachineType("g2-standard-96", 96, 384, 8, "l4", "NVIDIA_L4"),
    MachineType("a2-highgpu-8g", 96, 680, 8, "a100-40gb", "NVIDIA_TESLA_A100"),
    MachineType("a2-ultragpu-8g", 96, 1360, 8, "a100-80gb", "NVIDIA_A100_80GB"),
    MachineType("a3-highgpu-8g", 208, 1872, 8, "h100-80gb", "NVIDIA_H100_80GB"),
)


def _attached(model: str, accelerator: str, rules: tuple[tuple[int, tuple[int, ...]], ...]) -> Iterator[MachineType]:
    for name, cpu, memory in _N1:
        for gpus in next((counts for most, counts in rules if cpu <= most), ()):
            yield MachineType(name, cpu, memory, gpus, model, accelerator)


GPU_TYPES: tuple[MachineType, ...] = tuple(
    sorted((*(item for model in _ATTACHED for item in _attached(*model)), *_OWN), key=lambda item: item.gpus)
)
"""Every machine with accelerators: those with fewer first, of as many the cheapest of a model first."""

DISK_GB = 100
"""The boot disk of a job that asks for none (`DiskSpec.bootDiskSizeGb`), in GB."""


def smallest(resources: Resources) -> MachineType | None:
    """The cheapest type with at least this many vCPUs, this much memory and these accelerators; None if there is none.

    Without accelerators none is given that nobody asked for.
    """
    for machine in GPU_TYPES if resources.gpus else MACHINE_TYPES:
        fits = machine.cpu >= resources.cpu and machine.memory_gib * GIB >= resources.memory_bytes
        accelerated = machine.gpus >= resources.gpus and is_model(machine.gpu_type, resources.gpu_type)
        if fits and (accelerated or not resources.gpus):
            return machine
    return None


def disk_gb(resources: Resources) -> int:
    """The boot disk of the job in GB: what is asked for, and never less than the service gives anyway."""
    return max(DISK_GB, math.ceil(resources.disk_bytes / 10**9))
