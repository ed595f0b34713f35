"""The instance types that this target picks from, and the picking.

Sizes: karpenter-provider-aws, instance-types.md (2026-07-11). Prices: the same repository's price list, EC2 on demand
in us-east-1 (2026-07-20), in US dollars an hour: the order is that of EC2, SageMaker's own prices are not published in
such a list. Names: those that botocore 1.44 lists for both kinds of job (2026-11), but where a flag says otherwise. The
lists are short ones on purpose: types that most regions have.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ctc.compiler.ir import Resources
from ctc.targets.gpus import is_model
from ctc.value import Value, frozen

GIB = 1024**3


@frozen
class InstanceType(Value):
    """`training` and `processing` tell which jobs may use it.

    A type with a disk of its own gives a job that one, `local_disk_gb` (10^9 bytes), in place of a volume, and takes no
    key for it: its hardware encrypts it (CreateTrainingJob, ResourceConfig). `gpu_type` is in small letters, as EC2's.
    """

    name: str
    cpu: int
    memory_gib: int
    price: float
    training: bool = True
    processing: bool = True
    gpu: int = 0
    gpu_type: str = ""
    local_disk_gb: int = 0


def _gpu(name: str, cpu: int, memory: int, price: float, gpu: int, kind: str, disk: int) -> InstanceType:
    return InstanceType(name, cpu, memory, price, gpu=gpu, gpu_type=kind, local_disk_gb=disk)


def _to_train(name: str, cpu: int, memory: int, price: float, gpu: int, kind: str, disk: int) -> InstanceType:
    return InstanceType(name, cpu, memory, price, processing=False, gpu=gpu, gpu_type=kind, local_disk_gb=disk)


INSTANCE_TYPES: tuple[InstanceType, ...] = (
    InstanceType("ml.t3.medium", 2, 4, 0.0416, training=False),
    InstanceType("ml.t3.large", 2, 8, 0.0832, training=False),
    InstanceType("ml.m5.large", 2, 8, 0.096),
    InstanceType("ml.t3.xlarge", 4, 16, 0.1664, training=False),
    InstanceType("ml.c5.xlarge", 4, 8, 0.17),
    InstanceType("ml.m5.xlarge", 4, 16, 0.192),
    InstanceType("ml.r5.xlarge", 4, 32, 0.252),
    InstanceType("ml.c5.2xlarge", 8, 16, 0.34),
    InstanceType("ml.m5.2xlarge", 8, 32, 0.384),
    InstanceType("ml.r5.2xlarge", 8, 64, 0.504),
    InstanceType("ml.c5.4xlarge", 16, 32, 0.68),
    InstanceType("ml.m5.4xlarge", 16, 64, 0.768),
    InstanceType("ml.r5.4xlarge", 16, 128, 1.008),
    InstanceType("ml.c5.9xlarge", 36, 72, 1.53),
    InstanceType("ml.m5.12xlarge", 48, 192, 2.304),
    InstanceType("ml.r5.12xlarge", 48, 384, 3.024),
    InstanceType("ml.c5.18xlarge", 72, 144, 3.06),
    InstanceType("ml.m5.24xlarge", 96, 384, 4.608),
    InstanceType("ml.r5.24xlarge", 96, 768, 6.048),
)
"""Without accelerators, the cheapest first."""

GPU_TYPES: tuple[InstanceType, ...] = (
    _gpu("ml.g4dn.xlarge", 4, 16, 0.526, 1, "t4", 125),
    _gpu("ml.g4dn.2xlarge", 8, 32, 0.752, 1, "t4", 225),
    _gpu("ml.g6.xlarge", 4, 16, 0.8048, 1, "l4", 250),
    _gpu("ml.g6.2xlarge", 8, 32, 0.9776, 1, "l4", 450),
    _gpu("ml.g5.xlarge", 4, 16, 1.006, 1, "a10g", 250),
    _gpu("ml.g4dn.4xlarge", 16, 64, 1.204, 1, "t4", 225),
    _gpu("ml.g5.2xlarge", 8, 32, 1.212, 1, "a10g", 450),
    _gpu("ml.g6.4xlarge", 16, 64, 1.3232, 1, "l4", 600),
    _gpu("ml.g5.4xlarge", 16, 64, 1.624, 1, "a10g", 600),
    _gpu("ml.g6e.xlarge", 4, 32, 1.861, 1, "l40s", 250),
    _gpu("ml.g6.8xlarge", 32, 128, 2.0144, 1, "l4", 900),
    _gpu("ml.g4dn.8xlarge", 32, 128, 2.176, 1, "t4", 900),
    _gpu("ml.g6e.2xlarge", 8, 64, 2.24208, 1, "l40s", 450),
    _gpu("ml.g5.8xlarge", 32, 128, 2.448, 1, "a10g", 900),
    _gpu("ml.g6e.4xlarge", 16, 128, 3.00424, 1, "l40s", 600),
    _gpu("ml.g6.16xlarge", 64, 256, 3.3968, 1, "l4", 1880),
    _gpu("ml.g4dn.12xlarge", 48, 192, 3.912, 4, "t4", 900),
    _gpu("ml.g5.16xlarge", 64, 256, 4.096, 1, "a10g", 1900),
    _gpu("ml.g4dn.16xlarge", 64, 256, 4.352, 1, "t4", 900),
    _gpu("ml.g6e.8xlarge", 32, 256, 4.52856, 1, "l40s", 900),
    _gpu("ml.g6.12xlarge", 48, 192, 4.6016, 4, "l4", 3760),
    _gpu("ml.g5.12xlarge", 48, 192, 5.672, 4, "a10g", 3800),
    _gpu("ml.g6.24xlarge", 96, 384, 6.6752, 4, "l4", 3760),
    _gpu("ml.p5.4xlarge", 16, 256, 6.88, 1, "h100-80gb", 3800),
    _gpu("ml.g6e.16xlarge", 64, 512, 7.57719, 1, "l40s", 1900),
    _gpu("ml.g5.24xlarge", 96, 384, 8.144, 4, "a10g", 3800),
    _gpu("ml.g6e.12xlarge", 48, 384, 10.49264, 4, "l40s", 3800),
    _gpu("ml.g6.48xlarge", 192, 768, 13.3504, 8, "l4", 7520),
    _gpu("ml.g6e.24xlarge", 96, 768, 15.06559, 4, "l40s", 3800),
    _gpu("ml.g5.48xlarge", 192, 768, 16.288, 8, "a10g", 7600),
    _to_train("ml.p4d.24xlarge", 96, 1152, 21.957642, 8, "a100-40gb", 8000),
    _gpu("ml.g6e.48xlarge", 192, 1536, 30.13118, 8, "l40s", 7600),
    _to_train("ml.p5.48xlarge", 192, 2048, 55.04, 8, "h100-80gb", 30_400),
)
"""With accelerators, the cheapest first."""


def smallest(resources: Resources, *, training: bool) -> InstanceType | None:
    """The cheapest type with at least this many vCPUs, this much memory and these accelerators; None if there is none.

    Without accelerators none is given that nobody asked for. A disk of its own must hold what is asked for; a volume is
    as big as it must be.
    """
    for machine in GPU_TYPES if resources.gpus else INSTANCE_TYPES:
        fits = machine.cpu >= resources.cpu and machine.memory_gib * GIB >= resources.memory_bytes
        accelerated = machine.gpu >= resources.gpus and is_model(machine.gpu_type, resources.gpu_type)
        stores = not machine.local_disk_gb or resources.disk_bytes <= machine.local_disk_gb * 10**9
        usable = machine.training if training else machine.processing
        if fits and (accelerated or not resources.gpus) and stores and usable:
            return machine
    return None


def processing(resources: Resources) -> InstanceType | None:
    """The type of a processing job: without accelerators where no such job may have them, which `limits` tells."""
    found = smallest(resources, training=False)
    if found is None and resources.gpus and smallest(resources, training=True) is not None:
        return smallest(replace(resources, gpus=0, gpu_type=""), training=False)
    return found


def volume_gib(resources: Resources) -> int:
    """The disk of the job in GiB, rounded up."""
    return max(1, math.ceil(resources.disk_bytes / GIB))
