"""Runs a compiled bundle on this machine: its definition files, and EventBridge's part in between."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.targets.sagemaker.definition import places
from ctc.targets.sagemaker.interpreter import Report, read_definition, run
from ctc.targets.sagemaker.jobs import Host, Refused
from ctc.targets.sagemaker.pipeline import parameter_name

JOBS = ("Processing", "Training")


def execute(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
    """Executes `pipelines/<pipeline>.json`; after all but `wake`, however it ended, also what the record rule starts.

    Raises `CtcError` where the bundle is broken, or asks for something that is not understood here.
    """
    host = Host(machine.mounts, machine.environment, machine.working, machine.scratch)
    given = {parameter_name(name): value for name, value in parameters.items()}
    try:
        left_out = facts(read_definition(bundle_dir / "pipelines" / f"{pipeline}.json"))
        if left_out:
            sys.stderr.write(f"ctc: sagemaker: facts of a deployment, not used here: {', '.join(left_out)}\n")
        _upload(bundle_dir, host)
        report = _run(bundle_dir, pipeline, given, host)
        recorded = None if pipeline == "wake" else _event(bundle_dir, pipeline, report, given, host)
    except Refused as error:
        raise CtcError(
            f"the compiled {pipeline} pipeline cannot be executed: {error}", "compile the spec again"
        ) from error
    except OSError as error:
        raise CtcError(f"{error.filename or bundle_dir}: {error.strerror}") from error
    reports = [report] if recorded is None else [report, recorded]
    steps = tuple(step.name for item in reports for step in item.ran if step.type in JOBS)
    errors = [item.reason for item in reports if item.reason]
    return Execution(ok=not errors, steps=steps, error="\n".join(errors))


def facts(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """What the jobs of a definition say that one machine has no counterpart of: their network, their keys."""
    names = {"VpcConfig", "KmsKeyId", "VolumeKmsKeyId"}
    return tuple(sorted({key for place in places(definition) for key in _keys(place.step)} & names))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from map(str, value)
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _keys(item)


def _upload(bundle_dir: Path, host: Host) -> None:
    """Puts the bundle's support files where the definitions expect them, as a deployment does."""
    manifest = read_definition(bundle_dir / "manifest.json")
    for path, uri in manifest.get("uploads", {}).items():
        place = host.path(uri)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(bundle_dir / path, place)
        except FileNotFoundError as error:
            raise Refused(f"{bundle_dir / path} is missing") from error


def _run(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], host: Host) -> Report:
    name = read_definition(bundle_dir / "requests" / f"{pipeline}.json")["PipelineName"]
    definition = read_definition(bundle_dir / "pipelines" / f"{pipeline}.json")
    return run(definition, parameters, host, name=str(name))


def _event(bundle_dir: Path, pipeline: str, ended: Report, parameters: Mapping[str, str], host: Host) -> Report:
    """Plays EventBridge: the execution's last status event, the rule's pattern, the target's parameters."""
    rule = read_definition(bundle_dir / "events" / "record-rule.json")
    target = read_definition(bundle_dir / "events" / "record-target.json")["Targets"][0]
    prefix, _, record = str(target["Arn"]).rpartition("/")
    name = read_definition(bundle_dir / "requests" / f"{pipeline}.json")["PipelineName"]
    event = status_event(f"{prefix}/{name}", ended, parameters)
    pattern = json.loads(rule["EventPattern"])
    if rule.get("State") != "ENABLED" or not matches(pattern, event):
        raise Refused(
            f"events/record-rule.json does not match the end of the {pipeline} pipeline, so nothing was recorded"
        )
    kinds = [
        kind
        for kind in ("record", "wake", "train")
        if read_definition(bundle_dir / "requests" / f"{kind}.json")["PipelineName"] == record
    ]
    if not kinds:
        raise Refused(f"events/record-target.json starts {record}, which is no pipeline of this bundle")
    told = target["SageMakerPipelineParameters"]["PipelineParameterList"]
    return _run(bundle_dir, kinds[0], {item["Name"]: _told(item["Value"], event) for item in told}, host)


def status_event(pipeline_arn: str, report: Report, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The event that EventBridge delivers when an execution ended (its fields: the service's event schema).

    Whoever starts the train pipeline gives the execution the attempt as its display name, the instant as its
    description.
    """
    arn = f"{pipeline_arn}/execution/{report.execution_id}"
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "detail-type": "SageMaker Model Building Pipeline Execution Status Change",
        "source": "aws.sagemaker",
        "time": now,
        "resources": [pipeline_arn, arn],
        "detail": {
            "pipelineExecutionDisplayName": parameters.get("Attempt", ""),
            "pipelineExecutionDescription": parameters.get("Instant", ""),
            "currentPipelineExecutionStatus": report.status,
            "previousPipelineExecutionStatus": "Executing",
            "executionEndTime": now,
            "pipelineArn": pipeline_arn,
            "pipelineExecutionArn": arn,
        },
    }


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """EventBridge's matching of literal values: every key of the pattern, one value of each list."""
    for key, wanted in pattern.items():
        if isinstance(wanted, Mapping):
            inner = event.get(key)
            if not isinstance(inner, Mapping) or not matches(wanted, inner):
                return False
        elif not all(isinstance(item, str | int | float | bool | None) for item in wanted):
            raise Refused(f"the event pattern of {key} is more than literal values, which is not understood here")
        elif event.get(key) not in wanted:
            return False
    return True


def _told(value: str, event: Mapping[str, Any]) -> str:
    """A target's value: itself, or what a JSON path finds in the event."""
    if not value.startswith("$."):
        return value
    found: Any = event
    for part in value[2:].split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise Refused(f"the event has no {value}")
        found = found[part]
    return str(found)
