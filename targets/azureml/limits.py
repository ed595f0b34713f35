"""The service's limits, as data with their sources, and what a system would break of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from ctc.compiler.ir import Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.value import Value
from ctc.targets.azureml.machines import SIZES, smallest
from ctc.targets.azureml.pipeline import key, tries_seconds


@dataclass(frozen=True, eq=False, repr=False)
class Limit(Value):
    """`as_of` is the month in which the source was read."""

    value: int
    source: str
    as_of: str = "2026-11"


LIMITS: Mapping[str, Limit] = {
    "experiment name": Limit(256, "resource-limits-capacity"),
    "tag value": Limit(1000, "resource-limits-capacity"),
    "job lifetime": Limit(21 * 86400, "how-to-manage-quotas: 21 days"),
    "job lifetime, low priority": Limit(7 * 86400, "how-to-manage-quotas: 7 days"),
}
"""Sources are pages of Microsoft's Azure Machine Learning documentation."""

_COMPUTE = re.compile(r"[a-zA-Z](?!.*-\d+$)[a-zA-Z0-9-]{2,23}")
_DATASTORE = re.compile(r"[a-zA-Z0-9_]{1,255}")
_EXPRESSION = ("${{", "$[[")


def limits(system: System) -> tuple[Diagnostic, ...]:
    """What this system would meet at the service, one diagnostic a root cause, without spans."""
    found = [*_settings(system), *_names(system), *_schedule(system)]
    for pipeline in (system.wake, system.train):
        for step in pipeline.steps():
            found += _step(step)
    unique = {(item.code, item.path): item for item in reversed(found)}
    return tuple(item for item in found if unique[item.code, item.path] is item)


def _error(code: str, message: str, path: str, help: str = "") -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _settings(system: System) -> Iterator[Diagnostic]:
    for name, pattern, said in (
        ("compute", _COMPUTE, "3 to 24 letters, digits and hyphens, a letter first, no number after the last hyphen"),
        ("datastore", _DATASTORE, "letters, digits and underscores"),
    ):
        given = str(system.settings.get(name, ""))
        if not pattern.fullmatch(given):
            yield _error("CT360", f"{given} is no name of a {name}", f"targets.azureml.{name}", f"write {said}")


def _names(system: System) -> Iterator[Diagnostic]:
    allowed = LIMITS["experiment name"].value
    if len(system.name) + len("-train") > allowed:
        yield _error("CT361", f"the name {system.name} makes display names of more than {allowed} characters", "name")
    for pipeline in (system.wake, system.train):
        for step in pipeline.steps():
            names = [name for name, _ in (*step.inputs, *step.imports)]
            if len({key(name) for name in names}) < len(names):
                yield _error(
                    "CT362",
                    f"two inputs of {step.name} differ by `-` and `_` only, which the service cannot tell apart",
                    "training.inputs",
                    "rename one of them",
                )


def _schedule(system: System) -> Iterator[Diagnostic]:
    every = system.wakes.every
    if every < timedelta(minutes=1) or every % timedelta(minutes=1):
        yield _error(
            "CT363",
            f"a schedule recurs in whole minutes, not every {every.total_seconds():g} seconds",
            "trigger_policy.wake_every",
            "write whole minutes, for example 5m",
        )


def _step(step: Step) -> Iterator[Diagnostic]:
    if smallest(step.resources) is None:
        yield _error(
            "CT364",
            f"no listed VM size has {step.resources.cpu:g} vCPUs and {step.resources.memory_bytes / 1024**3:g} GiB",
            "training.resources",
            f"the biggest is {SIZES[-1].name} with {SIZES[-1].cpu} vCPUs and {SIZES[-1].memory_gib} GiB",
        )
    lifetime = LIMITS["job lifetime" if step.spot is None else "job lifetime, low priority"]
    if tries_seconds(step) > lifetime.value:
        yield _error(
            "CT365",
            f"all tries of {step.name} take {tries_seconds(step)} seconds: a job lives {lifetime.value}",
            "training.timeout",
            f"source: {lifetime.source}, {lifetime.as_of}",
        )
    for name, value in step.environment:
        if any(sign in value for sign in _EXPRESSION):
            path = "training.hyperparameters" if name == "CTC_HYPERPARAMETERS" else f"training.env.{name}"
            yield _error(
                "CT366",
                f"{name} holds the start of an expression, `${{{{` or `$[[`, which the service would evaluate",
                path,
                "put the text into a file of the image",
            )
    for text in (*step.apply, *step.argv):
        if "\0" in text:
            yield _error("CT367", f"a word of {step.name}'s command holds a NUL, which no command can", step.origin)
