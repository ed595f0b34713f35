"""The VM sizes that this target picks from, and the picking.

Sizes: Microsoft's pages of the Dsv3, Esv3 and Fsv2 series, read in 2026-11. `disk_gib` is the temporary storage, on
which a job's files are. Ordered by vCPUs, then memory: the first that fits is the smallest that fits.
"""

from __future__ import annotations

from dataclasses import dataclass

from ctc.compiler.ir import Resources

GIB = 1024**3


@dataclass(frozen=True)
class Size:
    name: str
    cpu: int
    memory_gib: int
    disk_gib: int


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


def smallest(resources: Resources) -> Size | None:
    """The first size with at least this many vCPUs, this much memory and this much disk; None if there is none."""
    for size in SIZES:
        fits = size.memory_gib * GIB >= resources.memory_bytes and size.disk_gib * GIB >= resources.disk_bytes
        if fits and size.cpu >= resources.cpu:
            return size
    return None
