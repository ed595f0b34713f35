"""Pipeline IR to Kubeflow's PipelineSpec (`schemaVersion` 2.1.0), which Kubeflow and Vertex both run.

The document is built as plain data; the rules of its parts are those of `pipeline_spec.proto` of kubeflow/pipelines.
A value that crosses into a sub-DAG is spelt `pipelinechannel--<task>--<output>`: Kubeflow's local runner looks
a condition's operand up by the shape of its name, and skips the branch without a word if it is spelt in any other way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ctc.compiler.ir import Branch, Node, Pipeline, Ref, Runs, Step
from ctc.targets.shim import after_secrets, program, secret_words, step_options

SCHEMA_VERSION = "2.1.0"
SDK_VERSION = "kfp-2.17.0"
"""The dialect of the document, as Kubeflow's own compiler would name it."""
PIPELINE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,127}")
"""kfp `dsl/utils.py`."""
BODY = "body"
"""The sub-DAG of all but the exit task, which thus has one dependency: a server keeps one exit hook for each."""
FINAL_STATUS = "final_status"
GPU = "nvidia.com/gpu"
"""What NVIDIA's device plugin calls an accelerator, whatever its model."""
ARTIFACT_TYPE = {"schemaTitle": "system.Artifact", "schemaVersion": "0.0.1"}
EXECUTOR_INPUT = ("--executor_input", "{{$}}", "--executor-main", "kfp.dsl.executor_main")
"""`{{$}}` is the only placeholder that all servers fill; the last word is what Kubeflow's local runner asks for."""


def pipeline_spec(pipeline: Pipeline, root: str, secret: Callable[[str], str] | None = None) -> dict[str, Any]:
    """The PipelineSpec of `pipeline`, whose artifacts live below the URI `root`.

    `secret` is the address of a secret by its name, where steps read theirs by themselves; None where they are handed
    over by the second document (`kfp_secrets.py`).
    """
    parts = _Parts(root, secret)
    parameters = [parameter.name for parameter in pipeline.parameters]
    if pipeline.on_exit is None:
        tasks = parts.dag(pipeline.body, _Scope(parameters)).tasks
    else:
        tasks = _guarded(parts, pipeline.body, pipeline.on_exit, parameters)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "sdkVersion": SDK_VERSION,
        "pipelineInfo": {"name": pipeline.name},
        "defaultPipelineRoot": f"{root}/artifacts",
        "root": {
            "inputDefinitions": {
                "parameters": {
                    parameter.name: {"parameterType": "STRING"}
                    if parameter.default is None
                    else {"parameterType": "STRING", "defaultValue": parameter.default, "isOptional": True}
                    for parameter in pipeline.parameters
                }
            },
            "dag": {"tasks": tasks},
        },
        "components": parts.components,
        "deploymentSpec": {"executors": parts.executors},
    }


def executor_name(step: str) -> str:
    """The executor of a step."""
    return f"exec-{step}"


def channel(ref: Ref) -> str:
    """The name under which a step's output crosses into a sub-DAG."""
    return f"pipelinechannel--{ref.step}--{ref.output}"


def condition(ref: Ref) -> str:
    """The expression that asks whether a flag is true. Only booleans: no typing and no quoting to get wrong."""
    return f"inputs.parameter_values['{channel(ref)}'] == true"


class _Scope:
    """One DAG while it is built: its tasks, and what they need from outside."""

    def __init__(self, parameters: Iterable[str] = ()) -> None:
        self.tasks: dict[str, Any] = {}
        self.producers: set[str] = set()
        self.parameters = set(parameters)
        """The pipeline parameters that are taken in."""
        self.flags: set[Ref] = set()
        self.artifacts: set[Ref] = set()

    def parameter(self, name: str) -> dict[str, Any]:
        self.parameters.add(name)
        return {"componentInputParameter": name}

    def flag(self, ref: Ref) -> dict[str, Any]:
        if ref.step in self.producers:
            return {"taskOutputParameter": {"producerTask": ref.step, "outputParameterKey": ref.output}}
        self.flags.add(ref)
        return {"componentInputParameter": channel(ref)}

    def artifact(self, ref: Ref) -> dict[str, Any]:
        if ref.step in self.producers:
            return {"taskOutputArtifact": {"producerTask": ref.step, "outputArtifactKey": ref.output}}
        self.artifacts.add(ref)
        return {"componentInputArtifact": channel(ref)}

    def add(self, name: str, task: dict[str, Any]) -> None:
        inputs = task.get("inputs", {})
        sources = [*inputs.get("parameters", {}).values(), *inputs.get("artifacts", {}).values()]
        needed = {value["producerTask"] for source in sources for value in source.values() if "producerTask" in value}
        needed |= set(task.get("dependentTasks", ()))
        # Off in every case: a repeated decision must be taken anew, and caches see neither a bucket's content nor env.
        task |= {"taskInfo": {"name": name}, "cachingOptions": {}}
        if needed:
            task["dependentTasks"] = sorted(needed)
        self.tasks[name] = task
        self.producers.add(name)


class _Parts:
    """The components and executors that all DAGs share."""

    def __init__(self, root: str, secret: Callable[[str], str] | None) -> None:
        self.root = root
        self.secret = secret
        self.components: dict[str, Any] = {}
        self.executors: dict[str, Any] = {}

    def dag(self, nodes: tuple[Node, ...], scope: _Scope) -> _Scope:
        """Fills `scope` with the tasks of `nodes`."""
        for node in nodes:
            if isinstance(node, Branch):
                name = f"if-{node.on.step}-{node.on.output}"
                task = self.sub_dag(name, node.then, scope)
                task["inputs"].setdefault("parameters", {})[channel(node.on)] = scope.flag(node.on)
                inputs = self.components[f"comp-{name}"]["inputDefinitions"]
                inputs.setdefault("parameters", {})[channel(node.on)] = {"parameterType": "BOOLEAN"}
                scope.add(name, task | {"triggerPolicy": {"condition": condition(node.on)}})
            else:
                self.step(node, scope)
        return scope

    def sub_dag(self, name: str, nodes: tuple[Node, ...], outer: _Scope) -> dict[str, Any]:
        """A component that holds `nodes`, and the task that runs it and hands it what it needs."""
        inner = self.dag(nodes, _Scope())
        definitions = {name: {"parameterType": "STRING"} for name in inner.parameters}
        definitions |= {channel(ref): {"parameterType": "BOOLEAN"} for ref in inner.flags}
        given = {name: outer.parameter(name) for name in inner.parameters}
        given |= {channel(ref): outer.flag(ref) for ref in inner.flags}
        self.components[f"comp-{name}"] = {
            "inputDefinitions": _without_empty(
                parameters=definitions,
                artifacts={channel(ref): {"artifactType": ARTIFACT_TYPE} for ref in inner.artifacts},
            ),
            "dag": {"tasks": inner.tasks},
        }
        artifacts = {channel(ref): outer.artifact(ref) for ref in inner.artifacts}
        inputs = _without_empty(parameters=given, artifacts=artifacts)
        return {"componentRef": {"name": f"comp-{name}"}, "inputs": inputs}

    def step(self, step: Step, scope: _Scope) -> dict[str, Any]:
        """Adds one step's task, after the importers that it reads from. Returns the task."""
        artifacts = {name: scope.artifact(ref) for name, ref in step.inputs}
        for name, parameter in step.imports:
            importer = self.importer(f"import-{step.name}-{name}".replace("_", "-"), parameter, scope)
            artifacts[name] = {"taskOutputArtifact": {"producerTask": importer, "outputArtifactKey": "artifact"}}
        parameters = {name: scope.parameter(name) for name in step.parameters}
        definitions: dict[str, Any] = {name: {"parameterType": "STRING"} for name in parameters}
        if step.document is not None:
            # A default and not a constant of the task: Kubeflow's local runner refuses a null inside a constant.
            definitions["document"] = {"parameterType": "STRUCT", "defaultValue": step.document, "isOptional": True}
        self.components[f"comp-{step.name}"] = _without_empty(
            executorLabel=executor_name(step.name),
            inputDefinitions=_without_empty(
                parameters=definitions, artifacts={name: {"artifactType": ARTIFACT_TYPE} for name in artifacts}
            ),
            outputDefinitions=_without_empty(
                parameters={name: {"parameterType": "BOOLEAN"} for name in step.flags},
                artifacts={name: {"artifactType": ARTIFACT_TYPE} for name in step.outputs},
            ),
        )
        self.executors[executor_name(step.name)] = {"container": _container(step, self.root, self.secret)}
        inputs = _without_empty(parameters=parameters, artifacts=artifacts)
        task = _without_empty(componentRef={"name": f"comp-{step.name}"}, inputs=inputs)
        scope.add(step.name, task)
        return task

    def importer(self, name: str, parameter: str, scope: _Scope) -> str:
        self.components[f"comp-{name}"] = {
            "executorLabel": executor_name(name),
            "inputDefinitions": {"parameters": {"uri": {"parameterType": "STRING"}}},
            "outputDefinitions": {"artifacts": {"artifact": {"artifactType": ARTIFACT_TYPE}}},
        }
        self.executors[executor_name(name)] = {
            "importer": {"artifactUri": {"runtimeParameter": "uri"}, "typeSchema": ARTIFACT_TYPE}
        }
        inputs = {"parameters": {"uri": scope.parameter(parameter)}}
        scope.add(name, {"componentRef": {"name": f"comp-{name}"}, "inputs": inputs})
        return name


def _guarded(parts: _Parts, body: tuple[Node, ...], on_exit: Step, parameters: list[str]) -> dict[str, Any]:
    """The tasks of a root that ends with `on_exit` whatever happened in `body`."""
    scope = _Scope(parameters)
    scope.add(BODY, parts.sub_dag(BODY, body, scope))
    task = parts.step(on_exit, scope)
    task["dependentTasks"] = [BODY]
    task["triggerPolicy"] = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    task.setdefault("inputs", {}).setdefault("parameters", {})[FINAL_STATUS] = {
        "taskFinalStatus": {"producerTask": BODY}
    }
    component = parts.components[f"comp-{on_exit.name}"]
    definitions = component.setdefault("inputDefinitions", {}).setdefault("parameters", {})
    # Optional, as Kubeflow's compiler writes it: the status is the server's to give.
    definitions[FINAL_STATUS] = {"parameterType": "TASK_FINAL_STATUS", "isOptional": True}
    return scope.tasks


def _container(step: Step, root: str, secret: Callable[[str], str] | None) -> dict[str, Any]:
    if step.runs is Runs.RUNTIME:
        command, args = ["python3", "-m", "ctc.step", step.name], [*EXECUTOR_INPUT]
    elif secret is not None and step.secrets:
        command = ["python3", "-u", "-c", after_secrets(step.program)]
        args = [*secret_words(step, secret), *_shim_arguments(step, root)]
    else:
        command, args = ["python3", "-u", "-c", program(step.program)], [*_shim_arguments(step, root)]
    container: dict[str, Any] = {
        "image": step.image,
        "command": command,
        "args": args,
        "resources": _resources(step),
    }
    if step.environment:
        container["env"] = [{"name": name, "value": value} for name, value in step.environment]
    return container


def _shim_arguments(step: Step, root: str) -> Iterator[str]:
    """The shim's words. It alone retries, in its container: a retry by the service on top would multiply the tries, and
    they would no longer be the same number on every target."""
    yield from ("--step", step.name, *EXECUTOR_INPUT)
    yield from ("--retries", str(step.retries), "--timeout", f"{step.timeout.total_seconds():.0f}")
    if step.checkpoints:
        # No artifact: those are empty at each launch. The store must be mounted where Kubeflow mounts its artifacts.
        yield from ("--checkpoints", f"{root}/attempts/{{attempt}}/checkpoints")
    yield from step_options(step)
    if step.argv:
        yield from ("--", *step.apply, *step.argv)


def _resources(step: Step) -> dict[str, Any]:
    """Numbers and strings both: older servers read only the numbers (memory in 10^9 bytes), newer ones the strings."""
    made: dict[str, Any] = {
        "cpuLimit": float(step.resources.cpu),
        "memoryLimit": step.resources.memory_bytes / 1e9,
        "resourceCpuLimit": f"{step.resources.cpu:g}",
        "resourceMemoryLimit": quantity(step.resources.memory_bytes),
    }
    if step.resources.gpus:
        count = str(step.resources.gpus)
        made["accelerator"] = {"type": GPU, "count": count, "resourceType": GPU, "resourceCount": count}
    return made


def quantity(size: int) -> str:
    """Bytes as a Kubernetes quantity, exact, in the largest binary unit that divides it."""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def _without_empty(**fields: Any) -> dict[str, Any]:
    """Without the fields that hold nothing: a service reads an empty message and an absent one alike."""
    return {name: value for name, value in fields.items() if not isinstance(value, Mapping) or value}
