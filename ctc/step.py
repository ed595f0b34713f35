"""`python -m ctc.step STEP ...`: runs one of our steps inside our image, and speaks the platform's protocol around it.

Kubeflow and Vertex hand over an executor input as JSON; elsewhere the document is a file and the folders are arguments.
Both become the same `Task`. Exit 0 also for a `stop`, which is a normal end; 1 for a failure, told in one message.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ctc.compiler.document import SECTIONS, VERSION
from ctc.diagnostics import CtcError
from ctc.policy.windows import parse_instant
from ctc.steps import results
from ctc.steps.ports import Services
from ctc.steps.shim_files import artifact_folders, artifact_reports, die_with_parent, write_json
from ctc.steps.task import Result, StepFailed, Task
from ctc.targets import NAMES

_ADVICE = {
    errno.ENOSPC: "free some space, or give the step a bigger disk",
    errno.EDQUOT: "free some space, or raise the quota",
    errno.EROFS: "mount it writable, or choose another folder",
    errno.EACCES: "let this user read and write there, or choose another folder",
}


@dataclass(frozen=True)
class Order:
    """What the platform asks for, whatever its protocol. `flags` maps each expected boolean to the file it goes to."""

    document: Any
    parameters: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    outputs: Mapping[str, Path] = field(default_factory=dict)
    uris: Mapping[str, str] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    executor_output: tuple[str, Mapping[str, Any]] | None = None
    result: Path | None = None


def main(words: Sequence[str] | None = None) -> int:
    """Runs one step; returns the exit code."""
    die_with_parent()
    arguments = _parser().parse_args(words)
    try:
        order = _from_executor_input(arguments) if arguments.executor_input else _from_arguments(arguments)
        result = _perform(arguments.step, order)
        _answer(arguments.step, order, result)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001
        # The outermost frame of a container: whatever it is, a person reads one message and no traceback.
        _say(f"{arguments.step} failed: {_explain(error)}")
        return 1
    said = ", ".join([result.status, *(f"{name} {str(flag).lower()}" for name, flag in result.flags.items())])
    _say(f"{arguments.step}: {said}{'; ' if result.reason else ''}{result.reason}")
    return 1 if result.status == "failed" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ctc.step", description="Runs one step of a compiled pipeline.")
    parser.add_argument("step", choices=sorted(SECTIONS))
    parser.add_argument("--executor_input", default="", help="Kubeflow's executor input, as JSON")
    parser.add_argument("--executor-main", default="", help="ignored: Kubeflow's local runner looks for it")
    parser.add_argument("--document", type=Path, help="the step document, a JSON file")
    parser.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--encoded", action="append", default=[], metavar="NAME=TEXT", help="percent-encoded; - is no text"
    )
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--uri", action="append", default=[], metavar="NAME=URI", help="where an input is kept")
    parser.add_argument("--output", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--result", type=Path, metavar="FOLDER", help="takes result.json")
    return parser


def _from_executor_input(arguments: argparse.Namespace) -> Order:
    told = _json(arguments.executor_input, "--executor_input")
    inputs, outputs = told.get("inputs", {}), told["outputs"]
    parameters = dict(inputs.get("parameterValues", {}))
    document = parameters.pop("document", None)
    flags = {name: output["outputFile"] for name, output in outputs.get("parameters", {}).items()}
    return Order(
        document=document,
        parameters=parameters,
        inputs={name: Path(folder) for name, folder in artifact_folders(inputs).items()},
        outputs={name: Path(folder) for name, folder in artifact_folders(outputs).items()},
        uris={name: listed["artifacts"][0]["uri"] for name, listed in inputs.get("artifacts", {}).items()},
        flags=flags,
        executor_output=(outputs["outputFile"], artifact_reports(outputs)),
    )


def _from_arguments(arguments: argparse.Namespace) -> Order:
    if arguments.document is None:
        raise StepFailed("neither --executor_input nor --document says what to do")
    try:
        text = arguments.document.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise StepFailed(f"the step document {arguments.document} cannot be read: {error.strerror}") from error
    return Order(
        document=_json(text, str(arguments.document)),
        parameters={**_pairs(arguments.parameter), **_decoded(arguments.encoded)},
        inputs={name: Path(folder) for name, folder in _pairs(arguments.input).items()},
        outputs={name: Path(folder) for name, folder in _pairs(arguments.output).items()},
        uris=_pairs(arguments.uri),
        result=arguments.result,
    )


def _json(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StepFailed(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise StepFailed(f"{where} is a JSON {type(document).__name__}, not an object")
    return document


def _pairs(words: Sequence[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise StepFailed(f"expected NAME=VALUE, got {word!r}")
    return dict(word.split("=", 1) for word in words)


def _decoded(words: Sequence[str]) -> dict[str, str]:
    """What people wrote, out of a form that no shell reads anything into; `-` stands for nothing."""
    return {name: "" if text == "-" else unquote(text) for name, text in _pairs(words).items()}


def _perform(step: str, order: Order) -> Result:
    """The step's result, kept for the attempt's record; a failed one too, before its error goes on."""
    task = _task(step, order)
    services = _services(task.document)
    for folder in task.outputs.values():
        folder.mkdir(parents=True, exist_ok=True)
    module = importlib.import_module(f"ctc.steps.{step.replace('-', '_')}")
    try:
        result: Result = module.run(task, services)
    except Exception as error:
        failed = Result("failed", dict.fromkeys(order.flags, False), _explain(error))
        try:
            _answer(step, order, failed)
            _keep(task, services, failed)
        except (OSError, CtcError, StepFailed) as second:
            _say(f"{step}: its failure could not be kept for the record: {_explain(second)}")
        raise
    _keep(task, services, result)
    return result


def _task(step: str, order: Order) -> Task:
    document = _integral(_checked(step, order.document))
    parameters = {name: str(value) for name, value in order.parameters.items()}
    text, attempt = parameters.pop("instant", ""), parameters.pop("attempt", "")
    if step != "wake" and not (text and attempt):
        raise StepFailed("the pipeline's parameters `instant` and `attempt` must be given: a wake gives them")
    try:
        instant = parse_instant(text) if text else datetime.now(UTC).replace(microsecond=0)
    except ValueError as error:
        raise StepFailed(f"instant {text!r} is no ISO instant; write for example 2024-03-10T06:00:00Z") from error
    return Task(step, document, instant, attempt, parameters, order.inputs, order.outputs, order.uris)


def _checked(step: str, document: Any) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise StepFailed("there is no step document: the artifact is damaged, compile and deploy it again")
    if document.get("version") != VERSION:
        raise StepFailed(
            f"the step document has version {document.get('version')!r}, this image reads version {VERSION}: "
            "compile the spec with the ctc of runtime.image, or use the image of that ctc"
        )
    if document.get("step") != step:
        raise StepFailed(f"the document is of the step {document.get('step')!r}, not of {step!r}: compile again")
    missing = {"name", "environment", "target", "root", "spec_digest", "policy"} - document.keys()
    missing |= {f"policy.{section}" for section in SECTIONS[step] if section not in document.get("policy", {})}
    if missing:
        raise StepFailed(f"the step document lacks {', '.join(sorted(missing))}: compile again")
    if document.get("gaps"):
        # A trigger or a gate that is left out decides too: wrongly.
        raise StepFailed(f"this version does not run what the spec asks for at {', '.join(document['gaps'])}")
    return document


def _integral(value: Any) -> Any:
    """Whole numbers as int: Kubeflow's parameters carry every number as a float, other targets do not."""
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _services(document: Mapping[str, Any]) -> Services:
    target = document["target"]
    if target not in NAMES:
        raise StepFailed(f"this image knows no target {target!r}, only {', '.join(NAMES)}: use a newer runtime.image")
    services: Services = importlib.import_module(f"ctc.targets.{target}.services").build(document)
    return services


def _keep(task: Task, services: Services, result: Result) -> None:
    if task.attempt:
        results.store(services.objects, task.attempt, task.step, result)


def _answer(step: str, order: Order, result: Result) -> None:
    """Tells the platform: every flag that it expects, the output artifacts, or result.json."""
    if order.executor_output is not None:
        values = {name: bool(result.flags.get(name, False)) for name in order.flags}
        for name, file in order.flags.items():
            write_json(file, values[name])
        path, artifacts = order.executor_output
        write_json(path, {"parameterValues": values, "artifacts": artifacts})
    if order.result is not None:
        write_json(str(order.result / "result.json"), results.result_document(step, result))


def _explain(error: Exception) -> str:
    """One message for a person: what went wrong, where, what to do. A traceback only where CTC_DEBUG=1 asks for one."""
    if isinstance(error, CtcError):
        return f"{error.message}\n  {error.help}" if error.help else error.message
    if isinstance(error, StepFailed):
        return str(error)
    if isinstance(error, OSError) and error.errno in _ADVICE:
        return f"{error.filename or 'a file'}: {os.strerror(error.errno)}: {_ADVICE[error.errno]}"
    if os.environ.get("CTC_DEBUG") == "1":
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"internal error: {type(error).__name__}: {error} (at {Path(place.filename).name}:{place.lineno}); "
        "this is a bug of ctc: report it with the output of the same step under CTC_DEBUG=1"
    )


def _say(text: str) -> None:
    print(f"ctc: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
