"""What Kubeflow would refuse or misread, found while compiling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from ctc.compiler.ir import Pipeline, Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.targets.kfp_ir import PIPELINE_NAME
from ctc.targets.kfp_words import Limit, Service, document, environment, words

PIPELINE_NAME_LENGTH = Limit(
    128, "kfp 2.17 dsl/utils.py", said="A valid pipeline name should match ^[a-z0-9][a-z0-9-]{0,127}$."
)
NAMESPACE_LENGTH = Limit(63, "kubeflow/pipelines backend/src/common/util/length.go; RFC 1123 label; no sentence")
PARAMETER_BYTES = Limit(10_000, "kubeflow/pipelines backend/src/apiserver consts.go, MaxParameterBytes; no sentence")
UPLOAD_BYTES = Limit(32 * 1024**2, "kubeflow/pipelines backend/src/apiserver const.go; no sentence")
WAKE_SECONDS = Limit(1, "kubeflow/pipelines v2beta1 PeriodicSchedule.interval_second, a whole number; no sentence")

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
SERVICE = Service("Kubeflow", (("/kfp-workspace", "the mount of Kubeflow's own workspace"),))


def limits(system: System) -> tuple[Diagnostic, ...]:
    """Every limit of Kubeflow that this system would meet."""
    found = [*_names(system), *_wakes(system)]
    for pipeline in (system.train, system.wake):
        documents = {step.name: json.dumps(step.document) for step in pipeline.steps()}
        found += _sizes(pipeline, documents, system.target)
        for step in pipeline.steps():
            found += [*words(step, SERVICE), *environment(step, SERVICE), *_disk(step)]
            found += document(step, documents[step.name], SERVICE)
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


def _disk(step: Step) -> Iterator[Diagnostic]:
    if step.resources.disk_bytes != Step.resources.disk_bytes:
        yield Diagnostic(
            "CT317",
            Severity.WARNING,
            "Kubeflow is not asked for a disk: its pipelines have no field for one",
            "training.resources.disk",
            help="see to it that the nodes have that much ephemeral storage",
        )
