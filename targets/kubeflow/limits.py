"""What Kubeflow would refuse or misread, found while compiling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctc.compiler.ir import Pipeline, Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.language.value import Value
from ctc.targets.kfp_ir import PIPELINE_NAME


@dataclass(frozen=True, eq=False, repr=False)
class Limit(Value):
    """A number of the service and where it is written."""

    value: int
    source: str


PIPELINE_NAME_LENGTH = Limit(128, "kubeflow/pipelines backend/src/common/util/length.go; kfp dsl/utils.py")
NAMESPACE_LENGTH = Limit(63, "kubeflow/pipelines backend/src/common/util/length.go; RFC 1123 label")
PARAMETER_BYTES = Limit(10_000, "kubeflow/pipelines backend/src/apiserver consts.go, MaxParameterBytes")
UPLOAD_BYTES = Limit(32 * 1024**2, "kubeflow/pipelines backend/src/apiserver const.go")
ARGUMENT_BYTES = Limit(131_072, "Linux MAX_ARG_STRLEN: one word of a command line")
WAKE_SECONDS = Limit(1, "kubeflow/pipelines v2beta1 PeriodicSchedule.interval_second, a whole number")

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_KUBERNETES_VARIABLE = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_.-]*\)")
_STRUCTURES = ('{"Concat": ', '{"IfPresent": ')
_WORKSPACE = "/kfp-workspace"


def limits(system: System) -> tuple[Diagnostic, ...]:
    """Every limit of Kubeflow that this system would meet."""
    found = [*_names(system), *_wakes(system)]
    for pipeline in (system.train, system.wake):
        documents = {step.name: json.dumps(step.document) for step in pipeline.steps()}
        found += _sizes(pipeline, documents, system.target)
        for step in pipeline.steps():
            found += [*_words(step), *_environment(step), *_document(step, documents[step.name]), *_disk(step)]
    return tuple(dict.fromkeys(found))


def _error(code: str, message: str, path: str, help: str) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _names(system: System) -> Iterator[Diagnostic]:
    for pipeline in (system.train, system.wake):
        if not PIPELINE_NAME.fullmatch(pipeline.name):
            yield _error(
                "CT310",
                f"Kubeflow refuses the pipeline name `{pipeline.name}`",
                "name",
                f"at most {PIPELINE_NAME_LENGTH.value} lower-case letters, digits and hyphens, with `-train` and "
                "`-wake` and the environment at the end",
            )
            return
    namespace = str(system.settings.get("namespace", ""))
    if namespace and (len(namespace) > NAMESPACE_LENGTH.value or not _NAMESPACE.fullmatch(namespace)):
        yield _error(
            "CT311",
            f"`{namespace}` is no name of a Kubernetes namespace",
            f"targets.{system.target}.namespace",
            f"at most {NAMESPACE_LENGTH.value} lower-case letters, digits and hyphens",
        )


def _wakes(system: System) -> Iterator[Diagnostic]:
    seconds = system.wakes.every.total_seconds()
    if seconds < WAKE_SECONDS.value or not seconds.is_integer():
        yield _error(
            "CT312",
            f"Kubeflow cannot wake every {seconds:g} seconds",
            "trigger_policy.wake_every",
            "write a whole number of seconds, 1 or more",
        )


def _sizes(pipeline: Pipeline, documents: Mapping[str, str], target: str) -> Iterator[Diagnostic]:
    given = {parameter.name: parameter.default or "" for parameter in pipeline.parameters}
    size = len(json.dumps(given, ensure_ascii=False).encode())
    if size > PARAMETER_BYTES.value:
        yield _error(
            "CT313",
            f"the parameters of `{pipeline.name}` are {size} bytes, Kubeflow takes {PARAMETER_BYTES.value}",
            f"targets.{target}.bucket",
            "shorten the bucket's name or the name of the system",
        )
    size = sum(map(_words_weight, pipeline.steps())) + sum(map(len, documents.values()))
    if size > UPLOAD_BYTES.value:
        yield _error(
            "CT314",
            f"the pipeline `{pipeline.name}` is more than {size} bytes, Kubeflow takes {UPLOAD_BYTES.value}",
            pipeline.origin,
            "make the longest lists of the spec shorter",
        )


def _words_weight(step: Step) -> int:
    """With its document, the bytes that a step's own texts take in the file; the rest is small beside the limit."""
    return sum(len(word.encode()) for word in (*step.apply, *step.argv, *(value for _, value in step.environment)))


def _words(step: Step) -> Iterator[Diagnostic]:
    for word in (*step.apply, *step.argv):
        reason = _misread(word)
        if reason:
            message = f"Kubeflow would not pass on the word {_shown(word)}: {reason}"
            yield _error("CT315", message, step.origin, _INSTEAD)
        if len(word.encode()) >= ARGUMENT_BYTES.value:
            yield _error(
                "CT316",
                f"a word of the command is {len(word.encode())} bytes, Linux takes {ARGUMENT_BYTES.value - 1}",
                step.origin,
                "put the text into a file of training.code",
            )


def _environment(step: Step) -> Iterator[Diagnostic]:
    for name, value in step.environment:
        reason = _misread(value)
        if reason:
            yield _error(
                "CT315",
                f"Kubeflow would not pass on the variable {name} of the environment: {reason}",
                "training.hyperparameters" if name == "CTC_HYPERPARAMETERS" else step.origin,
                _INSTEAD,
            )


def _document(step: Step, written: str) -> Iterator[Diagnostic]:
    """The document is data: only the server's own placeholders are replaced in it. `written` is its JSON."""
    if step.document is None:
        return
    if _replaced(written):
        # The section of training repeats commands and hyperparameters, which are reported where they were written.
        sections = {name: part for name, part in step.document["policy"].items() if name != "training"}
        for text in filter(_replaced, _strings({**step.document, "policy": sections})):
            message = f"Kubeflow would not pass on the text {_shown(text)}: {_misread(text)}"
            yield _error("CT315", message, step.origin, _INSTEAD)
    size = len(written)
    if size > ARGUMENT_BYTES.value // 2:
        yield _error(
            "CT316",
            f"the document of step `{step.name}` is {size} bytes, and Kubeflow hands it over as one word of a command",
            step.origin,
            f"make the longest lists of this section shorter: {ARGUMENT_BYTES.value // 2} bytes fit",
        )


def _replaced(text: str) -> bool:
    return "{{$" in text or _WORKSPACE in text


def _disk(step: Step) -> Iterator[Diagnostic]:
    if step.resources.disk_bytes != Step.resources.disk_bytes:
        yield Diagnostic(
            "CT317",
            Severity.WARNING,
            "Kubeflow is not asked for a disk: its pipelines have no field for one",
            "training.resources.disk",
            help="see to it that the nodes have that much ephemeral storage",
        )


_INSTEAD = "write the text in another way, or put it into a file of training.code"


def _misread(text: str) -> str:
    """Why a text would not arrive as it is; empty if it would."""
    if "{{$" in text:
        return "`{{$` starts a placeholder of Kubeflow, and nothing escapes it"
    if text.startswith(_STRUCTURES):
        return "Kubeflow reads it as one of its own structures"
    if _KUBERNETES_VARIABLE.search(text):
        return "Kubernetes replaces `$(NAME)` by a variable of the container"
    if _WORKSPACE in text:
        return f"`{_WORKSPACE}` is the mount of Kubeflow's own workspace"
    return ""


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
