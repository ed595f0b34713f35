"""What a pipeline definition document says: its steps, its references, and what is wrong with them.

For any definition document, ours or another's; standard library only. The public JSON schema of definitions passes
dangling references and doubled names, and refuses valid parts, so this is our own reading of the service's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Step = Mapping[str, Any]

MALFORMED = (KeyError, TypeError, AttributeError, IndexError, ValueError)
"""What reading a document raises where a part of it is absent or is something else."""
JOBS = {"Processing": "AppSpecification", "Training": "AlgorithmSpecification"}
TYPES = (*JOBS, "Condition", "Fail")
"""The step types that are understood here; the service knows more."""
STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
PARAMETER_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "String": str,
    "Integer": int,
    "Float": (int, float),
    "Boolean": bool,
}
EXECUTION_VARIABLES = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)
RETRIED = (
    "Step.SERVICE_FAULT",
    "Step.THROTTLING",
    "SageMaker.JOB_INTERNAL_ERROR",
    "SageMaker.CAPACITY_ERROR",
    "SageMaker.RESOURCE_LIMIT",
)
"""What a retry policy may name: faults of the service, never a failing container."""


@dataclass(frozen=True)
class Place:
    """A step and where it stands: at the root, or on one side (`IfSteps`, `ElseSteps`) of a Condition."""

    step: Step
    condition: str | None = None
    side: str = ""


def places(definition: Mapping[str, Any]) -> Iterator[Place]:
    """Every step in document order, a Condition before its own steps."""
    yield from _places(definition.get("Steps", []), None, "")


def _places(steps: Any, condition: str | None, side: str) -> Iterator[Place]:
    for step in steps:
        yield Place(step, condition, side)
        if step["Type"] == "Condition":
            for inner in ("IfSteps", "ElseSteps"):
                yield from _places(step["Arguments"].get(inner, []), step["Name"], inner)


def own_arguments(step: Step) -> Any:
    """The arguments of a step without the steps that a Condition holds."""
    arguments = step.get("Arguments", {})
    return {"Conditions": arguments.get("Conditions", [])} if step["Type"] == "Condition" else arguments


def references(value: Any) -> Iterator[str]:
    """Every `Get` path inside a value."""
    if isinstance(value, Mapping):
        if set(value) == {"Get"}:
            yield str(value["Get"])
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def dependencies(step: Step) -> list[str]:
    """The names of the steps that must end before this one: told by `DependsOn` or by what it reads."""
    read = [path.split(".")[1] for path in references(own_arguments(step)) if path.startswith("Steps.")]
    return list(dict.fromkeys([*step.get("DependsOn", []), *read]))


def path_parts(path: str) -> list[str | int]:
    """`A.B['c'].D[0]` as `["A", "B", "c", "D", 0]`; ValueError for anything else."""
    parts: list[str | int] = []
    rest = path
    while rest:
        match = re.match(r"\.?([A-Za-z_][\w-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]", rest)
        if match is None:
            raise ValueError(f"cannot read the path {path!r} from {rest!r} on")
        name, single, double, index = match.groups()
        parts.append(int(index) if index is not None else next(x for x in (name, single, double) if x is not None))
        rest = rest[match.end() :]
    return parts


def check(definition: Mapping[str, Any]) -> list[str]:
    """What is wrong with a definition, one sentence each; empty when nothing was found."""
    try:
        return list(_shape(definition)) or list(_meaning(definition))
    except MALFORMED as error:
        return [f"a part of the definition is missing or of another type: {error!r}"]


def _meaning(definition: Mapping[str, Any]) -> Iterator[str]:
    every = list(places(definition))
    steps = {place.step["Name"]: place for place in every}
    yield from _doubled("parameter", [parameter["Name"] for parameter in definition.get("Parameters", [])])
    yield from _doubled("step", [place.step["Name"] for place in every])
    yield from _parameters(definition)
    for place in every:
        yield from _step(place, steps, definition)
    yield from _cycles(steps)


def _shape(definition: Mapping[str, Any]) -> Iterator[str]:
    if definition.get("Version") != "2020-12-01":
        yield f"the version is {definition.get('Version')!r}, not '2020-12-01'"
    if not isinstance(definition.get("Steps"), list) or not definition["Steps"]:
        yield "there are no Steps"
        return
    waiting = list(definition["Steps"])
    while waiting:
        step = waiting.pop(0)
        if not isinstance(step, Mapping) or not isinstance(step.get("Name"), str):
            yield f"a step has no Name: {str(step)[:80]}"
        elif step.get("Type") not in TYPES:
            yield f"step {step['Name']}: the type {step.get('Type')!r} is not one of {', '.join(TYPES)}"
        elif not isinstance(step.get("Arguments"), Mapping):
            yield f"step {step['Name']} has no Arguments"
        else:
            waiting += [*step["Arguments"].get("IfSteps", []), *step["Arguments"].get("ElseSteps", [])]


def _doubled(kind: str, names: list[str]) -> list[str]:
    return [
        f"the {kind} {name} is there {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1
    ]


def _parameters(definition: Mapping[str, Any]) -> Iterator[str]:
    for parameter in definition.get("Parameters", []):
        name, type_ = parameter["Name"], PARAMETER_TYPES.get(parameter.get("Type", "String"))
        if type_ is None:
            yield f"parameter {name}: unknown type {parameter.get('Type')!r}"
        elif "DefaultValue" in parameter:
            default = parameter["DefaultValue"]
            if not isinstance(default, type_) or (isinstance(default, bool) and type_ is not bool):
                yield f"parameter {name}: the default {default!r} is no {parameter['Type']}"
            if "EnumValues" in parameter and default not in parameter["EnumValues"]:
                yield f"parameter {name}: the default {default!r} is not among its EnumValues"


def _step(place: Place, steps: Mapping[str, Place], definition: Mapping[str, Any]) -> Iterator[str]:
    step = place.step
    name = step["Name"]
    if not STEP_NAME.fullmatch(name):
        yield f"step {name!r}: a name has 1 to 64 letters, digits, hyphens and underscores"
    for other in step.get("DependsOn", []):
        if other not in steps:
            yield f"step {name} depends on {other}, which does not exist"
        elif steps[other].step["Type"] in ("Condition", "Fail"):
            yield f"step {name} depends on {other}: nothing can depend on a {steps[other].step['Type']} step"
    for policy in step.get("RetryPolicies", []):
        named = policy.get("ExceptionType", [])
        for exception in [named] if isinstance(named, str) else named:
            if exception not in RETRIED:
                yield f"step {name}: no retry policy meets {exception!r}, only {', '.join(RETRIED)}"
    for file in step.get("PropertyFiles", []):
        if file["OutputName"] not in _outputs(step):
            yield f"step {name}: the property file {file['PropertyFileName']} is of no output {file['OutputName']!r}"
    if step["Type"] == "Condition" and not step["Arguments"].get("Conditions"):
        yield f"step {name} has no Conditions"
    for path in references(own_arguments(step)):
        yield from (f"step {name}: {text}" for text in _reference(path, place, steps, definition))


def _reference(path: str, place: Place, steps: Mapping[str, Place], definition: Mapping[str, Any]) -> Iterator[str]:
    root, _, rest = path.partition(".")
    if root == "Parameters":
        if rest not in {parameter["Name"] for parameter in definition.get("Parameters", [])}:
            yield f"there is no parameter {rest}"
    elif root == "Execution":
        if rest not in EXECUTION_VARIABLES:
            yield f"there is no Execution.{rest}"
    elif root != "Steps":
        yield f"{path} starts with neither Parameters, Execution nor Steps"
    else:
        target, _, attribute = rest.partition(".")
        if target not in steps:
            yield f"{path} names a step that does not exist"
        elif not attribute:
            yield f"{path} names a step but nothing of it"
        else:
            yield from _attribute(path, attribute, steps[target].step)
            other = steps[target]
            if other.condition is not None and other.condition == place.condition and other.side != place.side:
                yield f"{path} is on the other side of the Condition {other.condition}: both never run"


def _attribute(path: str, attribute: str, step: Step) -> Iterator[str]:
    try:
        parts = path_parts(attribute)
    except ValueError as error:
        yield str(error)
        return
    if step["Type"] not in JOBS:
        yield f"{path}: a {step['Type']} step has nothing to read"
    elif parts[0] == "PropertyFiles":
        if parts[1:] and parts[1] not in {file["PropertyFileName"] for file in step.get("PropertyFiles", [])}:
            yield f"{path}: {step['Name']} declares no such property file"
    elif parts[:2] == ["ProcessingOutputConfig", "Outputs"]:
        named = parts[2] if len(parts) > 2 else None
        count = len(_outputs(step))
        if named not in _outputs(step) and not (isinstance(named, int) and named < count):
            yield f"{path}: {step['Name']} has no output {named!r}"
    elif parts[0] == "ModelArtifacts" and step["Type"] != "Training":
        yield f"{path}: {step['Name']} is no Training step"


def _outputs(step: Step) -> list[str]:
    outputs = step.get("Arguments", {}).get("ProcessingOutputConfig", {}).get("Outputs", [])
    return [output["OutputName"] for output in outputs]


def _cycles(steps: Mapping[str, Place]) -> Iterator[str]:
    """A step waits for what it reads, and for the Condition that it stands in."""
    waits = {
        name: {
            *(other for other in dependencies(place.step) if other in steps),
            *([place.condition] if place.condition else []),
        }
        for name, place in steps.items()
    }
    while free := {name for name, before in waits.items() if not before & waits.keys()}:
        waits = {name: before for name, before in waits.items() if name not in free}
    if waits:
        yield f"these steps wait for each other: {', '.join(sorted(waits))}"
