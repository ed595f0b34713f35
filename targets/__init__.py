"""The targets by name, loaded only when asked for. A new target is a folder here and its name in `NAMES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from ctc.compiler.target import Execution, Machine, Target

NAMES: tuple[str, ...] = ("kubeflow", "sagemaker", "vertex")


class Rehearsal(Protocol):
    """`targets/<name>/rehearse.py`: executes a compiled pipeline on this machine."""

    def execute(
        self, bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine
    ) -> Execution: ...


def load(name: str) -> Target:
    """The target's public face; `name` is one of `NAMES`."""
    return cast("Target", import_module(f"ctc.targets.{name}"))


def load_rehearsal(name: str) -> Callable[..., Execution]:
    """The function that executes a bundle of this target on this machine."""
    module = cast(Rehearsal, import_module(f"ctc.targets.{name}.rehearse"))
    return module.execute


if TYPE_CHECKING:
    from ctc.targets import kubeflow, sagemaker, vertex
    from ctc.targets.kubeflow import rehearse as kubeflow_rehearse
    from ctc.targets.sagemaker import rehearse as sagemaker_rehearse
    from ctc.targets.vertex import rehearse as vertex_rehearse

    _faces: tuple[Target, ...] = (kubeflow, sagemaker, vertex)
    _rehearsals: tuple[Rehearsal, ...] = (kubeflow_rehearse, sagemaker_rehearse, vertex_rehearse)
