"""The targets by name, loaded only when asked for. A new target is a folder here and its name in `NAMES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.compiler.bundle import Bundle
    from ctc.compiler.hire import Hiring
    from ctc.compiler.ir import System
    from ctc.compiler.target import Execution, Machine, Target
    from ctc.deploy.inspect import Finding
    from ctc.deploy.resource import Hands

NAMES: tuple[str, ...] = ("kubeflow", "sagemaker", "vertex", "azureml")


class Rehearsal(Protocol):
    """`targets/<name>/rehearse.py`: executes a compiled pipeline on this machine."""

    def execute(
        self, bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine
    ) -> Execution: ...


class Deploying(Protocol):
    """`targets/<name>/deploy.py`: the hands that reach the service. Imports the vendor's SDK when it connects."""

    def connect(self, system: System, bundle: Bundle) -> Hands: ...


DEPLOYED: tuple[str, ...] = ("sagemaker",)
"""The targets that have hands."""


class Inspecting(Protocol):
    """`targets/<name>/inspect.py`: looks at what an administrator must have made. See `ctc.deploy.inspect`."""

    def inspect(self, system: System, bundle: Bundle) -> Iterator[Finding]: ...


INSPECTED: tuple[str, ...] = ("sagemaker",)
"""The targets whose service `ctc doctor` can ask."""


def load(name: str) -> Target:
    """The target's public face; `name` is one of `NAMES`."""
    return cast("Target", import_module(f"ctc.targets.{name}"))


def load_rehearsal(name: str) -> Callable[..., Execution]:
    """The function that executes a bundle of this target on this machine."""
    module = cast(Rehearsal, import_module(f"ctc.targets.{name}.rehearse"))
    return module.execute


def load_hiring(name: str) -> Hiring:
    """What this target hires for steps and servers."""
    return cast("Hiring", import_module(f"ctc.targets.{name}.hire"))


def load_hands(name: str) -> Callable[[System, Bundle], Hands]:
    """The function that connects to this target's service. CtcError for a target without hands."""
    if name not in DEPLOYED:
        raise CtcError(
            f"this version deploys to {', '.join(DEPLOYED)} only: it does not reach {name}",
            "compile the bundle and apply its documents with the service's own tools: BOOTSTRAP.md and README say how",
        )
    module = cast(Deploying, import_module(f"ctc.targets.{name}.deploy"))
    return module.connect


def load_inspection(name: str) -> Callable[[System, Bundle], Iterator[Finding]]:
    """The function that looks at this target's service; `name` is one of `INSPECTED`."""
    module = cast(Inspecting, import_module(f"ctc.targets.{name}.inspect"))
    return module.inspect


if TYPE_CHECKING:
    from ctc.targets import azureml, kubeflow, sagemaker, vertex
    from ctc.targets.azureml import hire as azureml_hire
    from ctc.targets.azureml import rehearse as azureml_rehearse
    from ctc.targets.kubeflow import hire as kubeflow_hire
    from ctc.targets.kubeflow import rehearse as kubeflow_rehearse
    from ctc.targets.sagemaker import deploy as sagemaker_deploy
    from ctc.targets.sagemaker import hire as sagemaker_hire
    from ctc.targets.sagemaker import inspect as sagemaker_inspect
    from ctc.targets.sagemaker import rehearse as sagemaker_rehearse
    from ctc.targets.vertex import hire as vertex_hire
    from ctc.targets.vertex import rehearse as vertex_rehearse

    _faces: tuple[Target, ...] = (kubeflow, sagemaker, vertex, azureml)
    _rehearsals: tuple[Rehearsal, ...] = (kubeflow_rehearse, sagemaker_rehearse, vertex_rehearse, azureml_rehearse)
    _hiring: tuple[Hiring, ...] = (kubeflow_hire, sagemaker_hire, vertex_hire, azureml_hire)
    _deploying: tuple[Deploying, ...] = (sagemaker_deploy,)
    _inspecting: tuple[Inspecting, ...] = (sagemaker_inspect,)
