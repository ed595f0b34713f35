"""The instance types that this target picks from, and the picking.

Sizes are EC2's (karpenter-provider-aws instance-types.md v1.14, 2026-08-21), names those that botocore 1.43 lists for
both kinds of job (2026-11), the order that of the on-demand price in us-east-1 (2026-09-24): the first that fits is the
cheapest that fits. The list is a short one on purpose: types that most regions have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ctc.compiler.ir import Resources

GIB = 1024**3


@dataclass(frozen=True)
class InstanceType:
    """`training` tells whether a training job may use it; every type here may process."""

    name: str
    cpu: int
    memory_gib: int
    training: bool = True


INSTANCE_TYPES: tuple[InstanceType, ...] = (
    InstanceType("ml.t3.medium", 2, 4, training=False),
    InstanceType("ml.t3.large", 2, 8, training=False),
    InstanceType("ml.m5.large", 2, 8),
    InstanceType("ml.t3.xlarge", 4, 16, training=False),
    InstanceType("ml.c5.xlarge", 4, 8),
    InstanceType("ml.m5.xlarge", 4, 16),
    InstanceType("ml.r5.xlarge", 4, 32),
    InstanceType("ml.c5.2xlarge", 8, 16),
    InstanceType("ml.m5.2xlarge", 8, 32),
    InstanceType("ml.r5.2xlarge", 8, 64),
    InstanceType("ml.c5.4xlarge", 16, 32),
    InstanceType("ml.m5.4xlarge", 16, 64),
    InstanceType("ml.r5.4xlarge", 16, 128),
    InstanceType("ml.c5.9xlarge", 36, 72),
    InstanceType("ml.m5.12xlarge", 48, 192),
    InstanceType("ml.r5.12xlarge", 48, 384),
    InstanceType("ml.c5.18xlarge", 72, 144),
    InstanceType("ml.m5.24xlarge", 96, 384),
    InstanceType("ml.r5.24xlarge", 96, 768),
)


def smallest(resources: Resources, *, training: bool) -> InstanceType | None:
    """The cheapest type with at least this many vCPUs and this much memory; None if there is none."""
    for machine in INSTANCE_TYPES:
        fits = machine.cpu >= resources.cpu and machine.memory_gib * GIB >= resources.memory_bytes
        if fits and (machine.training or not training):
            return machine
    return None


def volume_gib(resources: Resources) -> int:
    """The disk of the job in GiB, rounded up."""
    return max(1, math.ceil(resources.disk_bytes / GIB))
