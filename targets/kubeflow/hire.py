"""What Kubeflow's pods take of a cluster: vCPUs, memory and accelerators, of which only its owner knows the price.

The items are `vcpu`, `gib` and `gpu:MODEL`, in the region `*`; the user's own prices may have them.
"""

from __future__ import annotations

from ctc.compiler.hire import Hire
from ctc.compiler.ir import Resources, Server, Step, System

FEES: tuple[str, ...] = ()


def region(system: System) -> str:  # noqa: ARG001  (as every target has it)
    """A cluster is where it is; prices of one hold in the region `*`."""
    return "*"


def step(system: System, step: Step) -> Hire:  # noqa: ARG001
    """The pod's requests."""
    return Hire(_parts(step.resources), step.nodes, most=step.timeout * (step.retries + 1))


def server(system: System, server: Server) -> Hire:  # noqa: ARG001
    """The requests of a replica."""
    return Hire(_parts(server.resources))


def _parts(asked: Resources) -> tuple[tuple[str, float], ...]:
    gpus: tuple[tuple[str, float], ...] = ((f"gpu:{asked.gpu_type}", asked.gpus),) if asked.gpus else ()
    return ("vcpu", asked.cpu), ("gib", asked.memory_bytes / 1024**3), *gpus
