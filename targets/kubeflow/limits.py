"""What Kubeflow would refuse or misread, found while compiling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from ctc.compiler.ir import Pipeline, Step, System
from ctc.diagnostics import Diagnostic, Severity
from ctc.targets.kfp_ir import PIPELINE_NAME
from ctc.targets.kfp_words import Limit, Service, document, environment, words
from ctc.targets.kubeflow import serving
from ctc.targets.kubeflow.check_serving import NAME_LENGTH
from ctc.targets.kubeflow.nodes import labels

PIPELINE_NAME_LENGTH = Limit(
    128, "kfp 2.17 dsl/utils.py", said="A valid pipeline name should match ^[a-z0-9][a-z0-9-]{0,127}$."
)
NAMESPACE_LENGTH = Limit(
    63,
    "Kubernetes, concepts/overview/working-with-objects/names, RFC 1123 label names",
    said="This means the name must: contain at most 63 characters",
)
PARAMETER_BYTES = Limit(
    10_000,
    "kubeflow/pipelines#12510, the answer of the API server; a later server takes twice that (#12519)",
    said="The input parameter length exceed maximum size of 10000.",
)
UPLOAD_BYTES = Limit(
    32 * 1024**2,
    "kubeflow/pipelines#14428, description",
    said="Pipeline uploads and updates currently have hardcoded 32 MiB ceilings.",
)
WAKE_SECONDS = Limit(
    1,
    "kfp 2.17 Client.create_recurring_run, interval_second: the smallest whole number of seconds",
    said="Integer indicating the seconds between two recurring runs in for a periodic schedule.",
)
SERVICE_NAME_LENGTH = Limit(
    NAME_LENGTH,
    "kserve/kserve#4807, of names that Kubernetes takes as labels; NAME-predictor-00001 is the one of a revision",
    said="must be no more than 63 characters",
)

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
SERVICE = Service("Kubeflow", (("/kfp-workspace", "the mount of Kubeflow's own workspace"),))


def limits(system: System) -> tuple[Diagnostic, ...]:
    """Every limit of Kubeflow that this system would meet."""
    found = [*_names(system), *_wakes(system), *_servers(system)]
    for pipeline in (system.train, system.wake, *system.scores):
        documents = {step.name: json.dumps(step.document) for step in pipeline.steps()}
        found += _sizes(pipeline, documents, system.target)
        for step in pipeline.steps():
            found += [*words(step, SERVICE), *environment(step, SERVICE), *_disk(step), *_nodes(step, system)]
            found += document(step, documents[step.name], SERVICE)
    return tuple(dict.fromkeys(found))


def _error(code: str, message: str, path: str, help: str) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _names(system: System) -> Iterator[Diagnostic]:
    for pipeline in (system.train, system.wake, *system.scores):
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


def _servers(system: System) -> Iterator[Diagnostic]:
    for server in system.servers:
        path = f"serving.{server.name}"
        length = len(serving.service_name(system, server))
        if length > SERVICE_NAME_LENGTH.value:
            message = f"the InferenceService of `{server.name}` has a name of {length} characters, KServe takes "
            message += str(SERVICE_NAME_LENGTH.value)
            yield _error("CT385", message, path, "shorten the name of the server, or of the system")
        if server.capture and not system.root.startswith(serving.STORES):
            message = f"KServe keeps requests in buckets of S3 and Google only, not in {system.root}"
            yield _error("CT386", message, f"{path}.online.capture", "leave `capture` out, or name such a bucket")
    for number, step in enumerate(() if system.rollout is None else system.rollout.steps):
        if step.kind == "traffic" and abs(step.share * 100 - serving.percent(step.share)) > 1e-9:
            message = f"KServe shares traffic in whole per cent, not {step.share * 100:g}%"
            yield _error("CT387", message, f"rollout.steps.{number}.traffic", "write a whole per cent, 1% or more")


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


def _nodes(step: Step, system: System) -> Iterator[Diagnostic]:
    asked = step.resources
    if asked.gpus and not labels(step, system.settings):
        yield Diagnostic(
            "CT318",
            Severity.WARNING,
            f"Kubeflow is not told which nodes have `{asked.gpu_type}`: any accelerator of the cluster will do",
            f"{'prepare' if step.name == 'prepare' else 'training'}.resources.gpu",
            help="name the labels of those nodes: `gpu_nodes: {" + asked.gpu_type + ": {LABEL: VALUE}}` in "
            f"`targets.{system.target}`",
        )
