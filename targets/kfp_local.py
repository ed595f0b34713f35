"""A PipelineSpec in the spelling in which Kubeflow's local runner understands it.

Kubeflow's own compiler names the operand of a condition `pipelinechannel--TASK-OUTPUT`. A server takes any name; the
local runner looks for `pipelinechannel--TASK--OUTPUT`, or for a parameter under its own name, and otherwise skips the
branch without a word. Its compiler also writes whole numbers as floating ones, which the local runner refuses.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

_OPERAND = re.compile(r"inputs\.parameter_values\['([^']+)'\]")


def localised(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that means the same, in which the local runner finds what conditions read.

    KeyError, TypeError or AttributeError for a document that is no PipelineSpec.
    """
    made = copy.deepcopy(dict(spec))
    dags = [made["root"], *made["components"].values()]
    tasks = [task for component in dags for task in component.get("dag", {}).get("tasks", {}).values()]
    users = [task["componentRef"]["name"] for task in tasks]
    for task in _from_outside(made, made["root"]):
        if users.count(task["componentRef"]["name"]) == 1:
            _rename(made["components"], task)
    return made


def _from_outside(spec: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The tasks of a DAG, each before those inside it: a name that changes outside changes inside too."""
    for task in component.get("dag", {}).get("tasks", {}).values():
        yield task
        yield from _from_outside(spec, spec["components"].get(task["componentRef"]["name"], {}))


def _rename(components: Mapping[str, Any], task: dict[str, Any]) -> None:
    policy, given = task.get("triggerPolicy", {}), task.get("inputs", {}).get("parameters", {})
    for old in dict.fromkeys(_OPERAND.findall(policy.get("condition", ""))):
        new = _found(given.get(old, {}))
        component = components.get(task["componentRef"]["name"], {})
        if new in (None, old) or new in given or "dag" not in component:
            continue
        policy["condition"] = policy["condition"].replace(f"'{old}'", f"'{new}'")
        given[new] = given.pop(old)
        declared = component["inputDefinitions"]["parameters"]
        declared[new] = declared.pop(old)
        for inner in component["dag"]["tasks"].values():
            for source in inner.get("inputs", {}).get("parameters", {}).values():
                if source.get("componentInputParameter") == old:
                    source["componentInputParameter"] = new


def _found(source: Mapping[str, Any]) -> str | None:
    """The name under which the local runner finds the value of an input; None where it has none of its own."""
    output = source.get("taskOutputParameter")
    if output:
        return f"pipelinechannel--{output['producerTask']}--{output['outputParameterKey']}"
    return source.get("componentInputParameter")
