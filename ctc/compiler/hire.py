"""What a target hires for a step or a server: the machines, by the names under which prices are known."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from ctc.compiler.ir import Server, Step, System
from ctc.value import Value, frozen


@frozen
class Hire(Value):
    """`nodes` machines, each of them made of `parts`: names and how many of each.

    `volume` is a disk that is paid beside the machine: its name and its size in GB (10^9 bytes or GiB, as the service
    counts). `most` is the longest that the service lets the job run, its tries included. No parts: `why` says why
    nobody can tell what is hired.
    """

    parts: tuple[tuple[str, float], ...]
    nodes: int = 1
    spot: bool = False
    volume: tuple[str, float] | None = None
    most: timedelta = timedelta(0)
    why: str = ""

    def __str__(self) -> str:
        def said(name: str, count: float) -> str:
            return name if count == 1 else f"{count:g} {name}"

        machine = " + ".join(said(name, count) for name, count in self.parts) or "unknown machine"
        return f"{self.nodes} x {machine}" if self.nodes > 1 else machine


class Hiring(Protocol):
    """`targets/<name>/hire.py`: what the compiled pipelines of this target would hire. Pure, without any price."""

    @property
    def FEES(self) -> tuple[str, ...]:
        """What each run of a pipeline costs beside its machines, by the names of prices."""
        ...

    def region(self, system: System) -> str:
        """Where it all runs; empty where the spec does not say."""
        ...

    def step(self, system: System, step: Step) -> Hire: ...

    def server(self, system: System, server: Server) -> Hire:
        """One of the server's machines."""
        ...
