"""The VM sizes that this target picks from, and the picking.

Sizes: Microsoft's pages of the Dsv3, Esv3 and Fsv2 series, and with accelerators of the NCasT4_v3, NVadsA10_v5,
NC_A100_v4, NCads_H100_v5, NDasrA100_v4, NDm_A100_v4 and ND-H100-v5 series, read in 2026-11. `disk_gib` is the temporary
storage, on which a job's files are. Ordered by vCPUs, then memory: the first that fits is the smallest that fits. Sizes
with a part of an accelerator are left out.
"""

from __future__ import annotations

from ctc.compiler.ir import Resources
from ctc.targets.gpus import is_model
from ctc.value import Value, frozen

GIB = 1024**3


@frozen
class Size(Value):
    name: str
    cpu: int
    memory_gib: int
    disk_gib: int
    gpus: int = 0
    gpu_type: str = ""


SIZES: tuple[Size, ...] = (
    Size("Standard_D2s_v3", 2, 8, 16),
    Size("Standard_E2s_v3", 2, 16, 32),
    Size("Standard_F4s_v2", 4, 8, 32),
    Size("Standard_D4s_v3", 4, 16, 32),
    Size("Standard_E4s_v3", 4, 32, 64),
    Size("Standard_F8s_v2", 8, 16, 64),
    Size("Standard_D8s_v3", 8, 32, 64),
    Size("Standard_E8s_v3", 8, 64, 128),
    Size("Standard_F16s_v2", 16, 32, 128),
    Size("Standard_D16s_v3", 16, 64, 128),
    Size("Standard_E16s_v3", 16, 128, 256),
    Size("Standard_F32s_v2", 32, 64, 256),
    Size("Standard_D32s_v3", 32, 128, 256),
    Size("Standard_E32s_v3", 32, 256, 512),
    Size("Standard_D64s_v3", 64, 256, 512),
    Size("Standard_E64s_v3", 64, 432, 864),
)

GPU_SIZES: tuple[Size, ...] = (
    Size("Standard_NC4as_T4_v3", 4, 28, 176, 1, "t4"),
    Size("Standard_NC8as_T4_v3", 8, 56, 352, 1, "t4"),
    Size("Standard_NC16as_T4_v3", 16, 110, 352, 1, "t4"),
    Size("Standard_NC24ads_A100_v4", 24, 220, 64, 1, "a100-80gb"),
    Size("Standard_NV36ads_A10_v5", 36, 440, 1440, 1, "a10"),
    Size("Standard_NV36adms_A10_v5", 36, 880, 2880, 1, "a10"),
    Size("Standard_NC40ads_H100_v5", 40, 320, 3576, 1, "h100-94gb"),
    Size("Standard_NC48ads_A100_v4", 48, 440, 128, 2, "a100-80gb"),
    Size("Standard_NC64as_T4_v3", 64, 440, 2816, 4, "t4"),
    Size("Standard_NV72ads_A10_v5", 72, 880, 2880, 2, "a10"),
    Size("Standard_NC80adis_H100_v5", 80, 640, 7152, 2, "h100-94gb"),
    Size("Standard_NC96ads_A100_v4", 96, 880, 256, 4, "a100-80gb"),
    Size("Standard_ND96asr_v4", 96, 900, 6000, 8, "a100-40gb"),
    Size("Standard_ND96amsr_A100_v4", 96, 1900, 6400, 8, "a100-80gb"),
    Size("Standard_ND96isr_H100_v5", 96, 1900, 1024, 8, "h100-80gb"),
)
"""With whole accelerators."""


def smallest(resources: Resources) -> Size | None:
    """The first size with so many vCPUs, so much memory, disk and these accelerators; None if there is none.

    Without accelerators none is given that nobody asked for.
    """
    for size in GPU_SIZES if resources.gpus else SIZES:
        fits = size.memory_gib * GIB >= resources.memory_bytes and size.disk_gib * GIB >= resources.disk_bytes
        accelerated = size.gpus >= resources.gpus and is_model(size.gpu_type, resources.gpu_type)
        if fits and size.cpu >= resources.cpu and (accelerated or not resources.gpus):
            return size
    return None
