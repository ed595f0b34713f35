"""The reference checks of a PipelineSpec that neither Kubeflow's SDK nor its protocol buffers make.

Both accept a document whose references lead nowhere; a server then fails in the middle of a run, or skips a branch
without a word. Rules: `pipeline_spec.proto` and `backend/src/v2` of kubeflow/pipelines 2.17.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ctc.targets.kfp_ir import GPU, PIPELINE_NAME
from ctc.value import Value, frozen

CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] (==|!=) (true|false)")
"""The one form that is emitted, and its negations: anything richer cannot be checked against a run."""
COMPLETED = "ALL_UPSTREAM_TASKS_COMPLETED"
_TASK_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_COUNT = re.compile("[1-9][0-9]*")
_PLACEHOLDER = re.compile(r"\{\{\$(?!\}\})")
_LOOPS = {"parameterIterator", "artifactIterator"}
_KINDS = {"parameters": ("Parameter", "parameterType"), "artifacts": ("Artifact", "artifactType")}


def check(spec: Mapping[str, Any]) -> list[str]:
    """Everything wrong with the references and names of `spec`, one sentence each, sorted; empty when it is sound."""
    try:
        return sorted(set(_Checker(spec).findings()))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return [f"the document has not the shape of a PipelineSpec: {type(error).__name__}: {error}"]


def check_platform(spec: Mapping[str, Any], platform: Sequence[Any]) -> list[str]:
    """What is wrong with the documents after the PipelineSpec: one at most, whose executors are executors of `spec`."""
    if not platform:
        return []
    try:
        [document] = platform
        executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        unknown = sorted(executors.keys() - spec["deploymentSpec"]["executors"].keys())
    except (AttributeError, KeyError, TypeError, ValueError):
        return ["the second document has not the shape of a PlatformSpec"]
    return [f"the second document: there is no executor {name}" for name in unknown]


@frozen
class _Dag(Value):
    """One DAG: where it stands, the component that holds it, its tasks."""

    place: str
    component: Mapping[str, Any]

    @property
    def tasks(self) -> Mapping[str, Any]:
        tasks: Mapping[str, Any] = self.component["dag"]["tasks"]
        return tasks


class _Checker:
    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.spec = spec
        self.components: Mapping[str, Any] = spec.get("components", {})
        self.executors: Mapping[str, Any] = spec.get("deploymentSpec", {}).get("executors", {})
        self.dags = [_Dag("root", spec["root"])]
        self.dags += [_Dag(name, item) for name, item in self.components.items() if "dag" in item]

    def findings(self) -> Iterator[str]:
        yield from self._head()
        for name, component in self.components.items():
            yield from self._component(name, component)
        for name, executor in self.executors.items():
            yield from _executor(name, executor)
        yield from self._unused()
        yield from self._nesting("root", self.spec["root"], ())
        for dag in self.dags:
            yield from self._dag(dag)

    def _head(self) -> Iterator[str]:
        if self.spec.get("schemaVersion") != "2.1.0":
            yield f"schemaVersion is {self.spec.get('schemaVersion')!r}, not '2.1.0'"
        name = self.spec.get("pipelineInfo", {}).get("name", "")
        if not PIPELINE_NAME.fullmatch(name):
            yield f"the pipeline's name {name!r} is not lower-case letters, digits and hyphens, 128 at most"

    def _component(self, name: str, component: Mapping[str, Any]) -> Iterator[str]:
        if not name.startswith("comp-"):
            yield f"component {name}: its name does not start with comp-"
        if ("dag" in component) == ("executorLabel" in component):
            yield f"component {name}: needs either a DAG or an executor"
        for parameter, definition in _declared(component, "input", "parameters").items():
            if "defaultValue" in definition:
                where = f"component {name}: input {parameter}"
                yield from _constant(where, definition["defaultValue"], definition.get("parameterType"))
        label = component.get("executorLabel")
        if label is None:
            return
        if label not in self.executors:
            yield f"component {name}: there is no executor {label}"
            return
        uri = self.executors[label].get("importer", {}).get("artifactUri", {}).get("runtimeParameter")
        if uri is not None and uri not in _declared(component, "input", "parameters"):
            yield f"component {name}: its importer reads the parameter {uri}, which it does not declare"

    def _unused(self) -> Iterator[str]:
        used = {task["componentRef"]["name"] for dag in self.dags for task in dag.tasks.values()}
        labels = {component.get("executorLabel") for component in self.components.values()}
        yield from (f"component {name}: no task uses it" for name in self.components.keys() - used)
        yield from (f"executor {name}: no component uses it" for name in self.executors.keys() - labels)

    def _nesting(self, name: str, component: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[str]:
        if name in above:
            yield f"component {name}: contains itself"
            return
        for task in component.get("dag", {}).get("tasks", {}).values():
            inner = task["componentRef"]["name"]
            yield from self._nesting(inner, self.components.get(inner, {}), (*above, name))

    def _dag(self, dag: _Dag) -> Iterator[str]:
        for name, task in dag.tasks.items():
            where = f"{dag.place}: task {name}"
            if not _TASK_NAME.fullmatch(name):
                yield f"{where}: its name is not lower-case letters, digits and hyphens"
            component = self.components.get(task["componentRef"]["name"])
            if component is None:
                yield f"{where}: there is no component {task['componentRef']['name']}"
                continue
            for needed in task.get("dependentTasks", []):
                if needed not in dag.tasks:
                    yield f"{where}: depends on {needed}, which is no task beside it"
            if task.keys() & _LOOPS:
                yield f"{where}: is repeated for each item of a list, which is not understood here"
                continue
            for kind in _KINDS:
                yield from self._inputs(where, dag, task, component, kind)
            yield from self._trigger(where, dag, task, component)
        yield from (f"{dag.place}: task {name}: depends on itself in a circle" for name in _circles(dag.tasks))

    def _inputs(
        self, where: str, dag: _Dag, task: Mapping[str, Any], component: Mapping[str, Any], kind: str
    ) -> Iterator[str]:
        declared = _declared(component, "input", kind)
        given = task.get("inputs", {}).get(kind, {})
        for name in given.keys() - declared.keys():
            yield f"{where}: gives the input {name}, which its component does not declare"
        for name, definition in declared.items():
            if name in given:
                yield from self._source(f"{where}: input {name}", dag, task, given[name], definition, kind)
            elif not definition.get("isOptional"):
                yield f"{where}: lacks the input {name}"

    def _source(
        self,
        where: str,
        dag: _Dag,
        task: Mapping[str, Any],
        source: Mapping[str, Any],
        wanted: Mapping[str, Any],
        kind: str,
    ) -> Iterator[str]:
        word, type_key = _KINDS[kind]
        found: Mapping[str, Any] | None = None
        if f"taskOutput{word}" in source:
            reference = source[f"taskOutput{word}"]
            producer, output = reference["producerTask"], reference[f"output{word}Key"]
            if producer not in dag.tasks:
                yield f"{where}: there is no task {producer} beside it"
                return
            if producer not in task.get("dependentTasks", []):
                yield f"{where}: reads from {producer} and does not depend on it"
            producing = self.components.get(dag.tasks[producer]["componentRef"]["name"], {})
            found = _declared(producing, "output", kind).get(output)
            if found is None:
                yield f"{where}: {producer} has no output {output}"
                return
        elif f"componentInput{word}" in source:
            name = source[f"componentInput{word}"]
            found = _declared(dag.component, "input", kind).get(name)
            if found is None:
                yield f"{where}: {dag.place} has no input {name}"
                return
        elif "taskFinalStatus" in source:
            found = {type_key: "TASK_FINAL_STATUS"}
            if source["taskFinalStatus"]["producerTask"] not in task.get("dependentTasks", []):
                yield f"{where}: is the status of a task on which it does not depend"
        elif "runtimeValue" in source:
            yield from _constant(where, source["runtimeValue"].get("constant"), wanted.get(type_key))
            return
        if found is None:
            yield f"{where}: has no source"
        elif found.get(type_key) != wanted.get(type_key):
            yield f"{where}: wants {wanted.get(type_key)} and is given {found.get(type_key)}"

    def _trigger(self, where: str, dag: _Dag, task: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[str]:
        policy = task.get("triggerPolicy", {})
        final = any("taskFinalStatus" in source for source in task.get("inputs", {}).get("parameters", {}).values())
        if final != (policy.get("strategy") == COMPLETED):
            yield f"{where}: an exit task has both the strategy {COMPLETED} and the status of what it follows"
        if final:
            if dag.place != "root":
                yield f"{where}: an exit task stands at the root only"
            if len(task.get("dependentTasks", [])) != 1:
                yield f"{where}: an exit task follows exactly one task"
        if "condition" in policy:
            yield from self._condition(where, task, component, str(policy["condition"]))

    def _condition(
        self, where: str, task: Mapping[str, Any], component: Mapping[str, Any], expression: str
    ) -> Iterator[str]:
        match = CONDITION.fullmatch(expression)
        if match is None:
            yield f"{where}: the condition {expression!r} is not a comparison of one flag with true or false"
            return
        operand = match.group(1)
        source = task.get("inputs", {}).get("parameters", {}).get(operand)
        if source is None:
            yield f"{where}: its condition reads {operand}, which is none of its inputs"
            return
        if _declared(component, "input", "parameters").get(operand, {}).get("parameterType") != "BOOLEAN":
            yield f"{where}: its condition reads {operand}, which is not a boolean"
        output = source.get("taskOutputParameter", {})
        named = f"pipelinechannel--{output.get('producerTask')}--{output.get('outputParameterKey')}"
        if operand != (named if output else source.get("componentInputParameter")):
            yield f"{where}: its condition reads {operand}, a name under which the local runner does not find it"
        if "dag" not in component:
            yield f"{where}: a condition stands on a sub-DAG only"


def _declared(component: Mapping[str, Any], side: str, kind: str) -> Mapping[str, Any]:
    declared: Mapping[str, Any] = component.get(f"{side}Definitions", {}).get(kind, {})
    return declared


def _constant(where: str, value: Any, wanted: str | None) -> Iterator[str]:
    kinds = {"STRING": str, "BOOLEAN": bool, "STRUCT": Mapping, "LIST": list, "NUMBER_DOUBLE": float}
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    if wanted == "NUMBER_INTEGER" and whole:
        return
    if wanted not in kinds or not isinstance(value, kinds[wanted]):
        yield f"{where}: wants {wanted} and is given the constant {type(value).__name__}"


def _executor(name: str, executor: Mapping[str, Any]) -> Iterator[str]:
    if "importer" in executor:
        return
    container = executor.get("container", {})
    words: Sequence[str] = [*container.get("command", []), *container.get("args", [])]
    if not container.get("image"):
        yield f"executor {name}: names no image"
    if "{{$}}" not in words:
        yield f"executor {name}: is not handed its executor input"
    if any(_PLACEHOLDER.search(word) for word in words):
        yield f"executor {name}: holds a placeholder that not every server fills"
    asked = container.get("resources", {}).get("accelerator")
    if asked is not None:
        count = asked.get("count")
        if asked != {"type": GPU, "count": count, "resourceType": GPU, "resourceCount": count} or not _COUNT.fullmatch(
            str(count)
        ):
            yield f"executor {name}: asks older and newer servers for other accelerators, or for none"
    names = [entry["name"] for entry in container.get("env", [])]
    if len(set(names)) != len(names):
        yield f"executor {name}: sets a variable of its environment twice"


def _circles(tasks: Mapping[str, Any]) -> list[str]:
    """The tasks that can never start, because they wait for each other."""
    waiting = {name: {need for need in task.get("dependentTasks", []) if need in tasks} for name, task in tasks.items()}
    while ready := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in ready:
            del waiting[name]
    return sorted(waiting)
