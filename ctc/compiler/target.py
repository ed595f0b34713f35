"""What a target is: a module that satisfies `Target`. mypy proves it where `targets/__init__.py` loads them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from ctc.compiler.bundle import Bundle
from ctc.compiler.ir import System
from ctc.diagnostics import Diagnostic
from ctc.value import Value, frozen


class Support(StrEnum):
    NATIVE = "native"
    EMULATED = "emulated"
    UNSUPPORTED = "unsupported"


@frozen
class Capability(Value):
    """How a target carries one feature. `reason` says how it is emulated or why it is not, and what to do instead."""

    support: Support
    reason: str = ""

    def __post_init__(self) -> None:
        if self.support is not Support.NATIVE and not self.reason:
            raise ValueError("a capability that is not native needs its reason")


@frozen
class Execution(Value):
    """How one local execution of a compiled pipeline ended.

    `error` is what a person needs: the failed step and its last lines; empty when `ok`. `steps` are the names of the
    steps that ran, in the order in which they started.
    """

    ok: bool
    steps: tuple[str, ...]
    error: str = ""


@frozen
class Machine(Value):
    """This machine as seen by a rehearsal.

    `mounts` maps a URI prefix of the artifact (`s3://acme-ct/flight-delay`) to the local folder that stands for it.
    `environment` is the whole environment of every step's process. `working` is the folder in which steps start (where
    relative paths of the spec resolve), `scratch` one that the rehearsal may fill and that is removed afterwards.
    """

    mounts: Mapping[str, Path]
    environment: Mapping[str, str]
    working: Path
    scratch: Path


class Target(Protocol):
    """The public face of a target."""

    @property
    def NAME(self) -> str: ...

    @property
    def CAPABILITIES(self) -> Mapping[str, Capability]: ...

    def limits(self, system: System) -> tuple[Diagnostic, ...]:
        """Service limits and illegal names that this system would meet, as diagnostics without spans."""
        ...

    def emit(self, system: System) -> Bundle:
        """The bundle. Pure: no SDK, no network, no clock."""
        ...
