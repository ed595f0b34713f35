"""Executes a SageMaker pipeline definition on this machine: any such document, without SageMaker and without Docker.

It reads the definition and nothing else of ctc, so what it runs is what the document says. Understood: parameters with
types, defaults and enums; `Get`, `Std:Join` and `Std:JsonGet`; Processing, Training, Condition and Fail steps; the
conditions Equals, GreaterThan(OrEqualTo), LessThan(OrEqualTo), In, Not, Or. Everything else is refused by its name.

Where the service's behaviour is not documented this is what is assumed: after a failed step no further step starts; a
comparison of values of different types fails the step.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ctc.targets.sagemaker.definition import (
    JOBS,
    MALFORMED,
    PARAMETER_TYPES,
    Place,
    check,
    dependencies,
    path_parts,
    places,
)
from ctc.targets.sagemaker.jobs import Host, JobFailed, Refused, run_job

Status = Literal["Succeeded", "Failed", "NotExecuted"]

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_KEYS = ("OutputName", "InputName", "ChannelName")
"""What `Outputs['name']` looks for in the members of a list."""


@dataclass(frozen=True)
class StepReport:
    """How one step ended. `reason` is empty unless it failed."""

    name: str
    type: str
    status: Status
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """`steps` holds every step: those that ran in the order in which they started, then those that did not."""

    execution_id: str
    status: Literal["Succeeded", "Failed"]
    steps: tuple[StepReport, ...]

    @property
    def ran(self) -> tuple[StepReport, ...]:
        return tuple(step for step in self.steps if step.status != "NotExecuted")

    @property
    def reason(self) -> str:
        """The first failure: the step and why."""
        failed = [step for step in self.steps if step.status == "Failed"]
        return f"step {failed[0].name}: {failed[0].reason}" if failed else ""


def run(
    definition: Mapping[str, Any],
    parameters: Mapping[str, str | int | float | bool],
    host: Host,
    *,
    name: str = "pipeline",
    now: datetime | None = None,
) -> Report:
    """Executes the definition. Raises `Refused` where the document or a parameter makes no sense, or is not understood.

    The same pipeline and parameters get the same execution id, so a local run can be compared with another.
    """
    wrong = check(definition)
    if wrong:
        raise Refused(f"the definition of {name} is broken: " + "; ".join(wrong))
    given = _parameters(definition, parameters)
    digest = hashlib.sha256(json.dumps([name, given], sort_keys=True).encode()).hexdigest()
    execution = _Execution(definition, given, host, name, digest[:12], now or datetime.now(UTC))
    try:
        return execution.run()
    except MALFORMED as error:
        raise Refused(f"{execution.at} has a part that is missing or of another type: {error!r}") from error


def _parameters(definition: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    declared = {parameter["Name"]: parameter for parameter in definition.get("Parameters", [])}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise Refused(f"the pipeline has no parameter {', '.join(unknown)}; it has {', '.join(declared) or 'none'}")
    values = {}
    for name, parameter in declared.items():
        if name not in given and "DefaultValue" not in parameter:
            raise Refused(f"the parameter {name} has no default and was not given")
        value = _typed(
            name, parameter.get("Type", "String"), given[name] if name in given else parameter["DefaultValue"]
        )
        allowed = parameter.get("EnumValues")
        if allowed is not None and value not in allowed:
            raise Refused(f"the parameter {name} is {value!r}, not one of {allowed}")
        values[name] = value
    return values


def _typed(name: str, type_: str, value: Any) -> Any:
    """A value as its parameter's type; the service's own start request passes every value as a string."""
    expected = PARAMETER_TYPES[type_]
    if isinstance(value, expected) and (type_ == "Boolean" or not isinstance(value, bool)):
        return value
    try:
        if isinstance(value, str) and type_ == "Boolean":
            return {"true": True, "false": False}[value.lower()]
        if isinstance(value, str):
            return int(value) if type_ == "Integer" else float(value)
    except (KeyError, ValueError):
        pass
    raise Refused(f"the parameter {name} is {value!r}, which is no {type_}")


@dataclass
class _Execution:
    definition: Mapping[str, Any]
    parameters: Mapping[str, Any]
    host: Host
    name: str
    id: str
    started: datetime
    reports: dict[str, StepReport] = field(default_factory=dict)
    described: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What Describe would answer for the job of each step that succeeded."""
    taken: dict[str, str] = field(default_factory=dict)
    """The side that each Condition took."""
    at: str = "the definition"
    """Where the reading of the document is."""

    def run(self) -> Report:
        waiting = {place.step["Name"]: place for place in places(self.definition)}
        while waiting:
            name = next(name for name, place in waiting.items() if self._free(place, waiting))
            self.reports[name] = self._perform(waiting.pop(name))
        ended = list(self.reports.values())
        failed = any(report.status == "Failed" for report in ended)
        ran = [report for report in ended if report.status != "NotExecuted"]
        rest = [report for report in ended if report.status == "NotExecuted"]
        return Report(self.id, "Failed" if failed else "Succeeded", (*ran, *rest))

    def _free(self, place: Place, waiting: Mapping[str, Place]) -> bool:
        before = [*dependencies(place.step), *([place.condition] if place.condition else [])]
        return not any(name in waiting for name in before)

    def _perform(self, place: Place) -> StepReport:
        name, type_ = place.step["Name"], place.step["Type"]
        self.at = f"step {name}"
        if not self._starts(place):
            return StepReport(name, type_, "NotExecuted")
        try:
            if type_ == "Condition":
                holds = all(self._holds(condition) for condition in place.step["Arguments"]["Conditions"])
                self.taken[name] = "IfSteps" if holds else "ElseSteps"
            elif type_ == "Fail":
                raise JobFailed(str(self._value(place.step["Arguments"].get("ErrorMessage", ""))))
            else:
                self._job(place.step)
        except JobFailed as failure:
            return StepReport(name, type_, "Failed", str(failure))
        return StepReport(name, type_, "Succeeded")

    def _starts(self, place: Place) -> bool:
        if any(report.status == "Failed" for report in self.reports.values()):
            return False
        if place.condition is not None and self.taken.get(place.condition) != place.side:
            return False
        return all(self.reports[name].status == "Succeeded" for name in dependencies(place.step))

    def _job(self, step: Mapping[str, Any]) -> None:
        """Starts the step's job once: retry policies meet faults of the service, of which there are none here."""
        type_, name = step["Type"], step["Name"]
        suffix = hashlib.sha256(f"{self.id}/{name}".encode()).hexdigest()[:10]
        job = f"pipelines-{self.id}-{name}-{suffix}"
        arguments = self._value(step["Arguments"], {f"{type_}JobName": job})
        if JOBS[type_] not in arguments:
            raise Refused(f"step {name} has no {JOBS[type_]}")
        self.described[name] = run_job(type_, job, arguments, self.host)

    def _value(self, value: Any, extra: Mapping[str, str] = {}) -> Any:
        """A value of the document with its functions evaluated."""
        if isinstance(value, list):
            return [self._value(item, extra) for item in value]
        if not isinstance(value, Mapping):
            return value
        if set(value) == {"Get"}:
            return self._get(str(value["Get"]), extra)
        if set(value) == {"Std:Join"}:
            join = value["Std:Join"]
            return str(join.get("On", "")).join(_text(self._value(item, extra)) for item in join["Values"])
        if set(value) == {"Std:JsonGet"}:
            return self._json_get(value["Std:JsonGet"])
        unknown = [key for key in value if key.startswith("Std:")]
        if unknown:
            raise Refused(f"the function {unknown[0]} is not understood here")
        return {key: self._value(item, extra) for key, item in value.items()}

    def _get(self, path: str, extra: Mapping[str, str]) -> Any:
        root, _, rest = path.partition(".")
        if root == "Parameters":
            return self.parameters[rest]
        if root == "Execution":
            arn = f"arn:aws:sagemaker:local:000000000000:pipeline/{self.name}"
            known = {
                "StartDateTime": _iso(self.started),
                "CurrentDateTime": _iso(datetime.now(UTC)),
                "PipelineName": self.name,
                "PipelineArn": arn,
                "PipelineExecutionId": self.id,
                "PipelineExecutionArn": f"{arn}/execution/{self.id}",
                **extra,
            }
            if rest not in known:
                raise JobFailed(f"{path} has no value here")
            return known[rest]
        name, _, attribute = rest.partition(".")
        found: Any = self.described[name]
        for part in path_parts(attribute):
            found = _member(found, part, path)
        return found

    def _json_get(self, function: Mapping[str, Any]) -> Any:
        if "PropertyFile" not in function:
            raise Refused(f"Std:JsonGet is understood of a PropertyFile only, not of {', '.join(function)}")
        _, name, _, declared = str(function["PropertyFile"]["Get"]).split(".", 3)
        step = next(place.step for place in places(self.definition) if place.step["Name"] == name)
        file = next(item for item in step["PropertyFiles"] if item["PropertyFileName"] == declared)
        uri = self._get(f"Steps.{name}.ProcessingOutputConfig.Outputs['{file['OutputName']}'].S3Output.S3Uri", {})
        path = self.host.path(uri) / file["FilePath"]
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise JobFailed(f"the property file {declared} of {name} is not at {uri}/{file['FilePath']}") from error
        except ValueError as error:
            raise JobFailed(f"the property file {declared} of {name} is not JSON: {error}") from error
        for part in path_parts(function["Path"]):
            found = _member(found, part, f"{declared} of {name}: {function['Path']}")
        return found

    def _holds(self, condition: Mapping[str, Any]) -> bool:
        type_ = condition["Type"]
        if type_ in _COMPARISONS:
            left, right = self._value(condition["LeftValue"]), self._value(condition["RightValue"])
            if _sort(left) != _sort(right):
                raise JobFailed(f"{type_} compares {left!r} with {right!r}, which are of different types")
            return _COMPARISONS[type_](left, right)
        if type_ == "In":
            # The SDK writes QueryValue and Values, the published schema Value and In.
            wanted = self._value(condition["QueryValue"] if "QueryValue" in condition else condition["Value"])
            return wanted in self._value(condition["Values"] if "Values" in condition else condition["In"])
        if type_ == "Not":
            return not self._holds(condition["Expression"] if "Expression" in condition else condition["Condition"])
        if type_ == "Or":
            return any(self._holds(item) for item in condition["Conditions"])
        raise Refused(f"the condition {type_} is not understood here")


def _member(value: Any, part: str | int, path: str) -> Any:
    if isinstance(value, list) and isinstance(part, str):
        value = {item[key]: item for item in value if isinstance(item, Mapping) for key in _KEYS if key in item}
    try:
        return value[part]
    except (KeyError, IndexError, TypeError) as error:
        raise JobFailed(f"{path} does not exist: there is no {part!r}") from error


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_definition(path: Path) -> Mapping[str, Any]:
    """A definition file; `Refused` with the place if it is no JSON object."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise Refused(f"{path} is no JSON object")
    return document
