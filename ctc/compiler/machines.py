"""The machines that a spec asks for, as the IR has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ctc.compiler.ir import Resources, Step
from ctc.language.spec import Distributed, Spec
from ctc.language.spec import Resources as Asked


def resources(asked: Asked) -> Resources:
    """What a container of the spec is given."""
    if asked.gpu is None:
        return Resources(asked.cpu, asked.memory, asked.disk)
    return Resources(asked.cpu, asked.memory, asked.disk, asked.gpu.count, asked.gpu.type)


def on_nodes(step: Step, asked: Distributed | None) -> Step:
    """The training step, on as many machines as are asked for, one process for each of their accelerators."""
    if asked is None:
        return step
    told = (("nodes", str(asked.nodes)), ("processes", str(max(1, step.resources.gpus))))
    program = "nodes" if step.program == "shim" else step.program
    return replace(step, nodes=asked.nodes, program=program, options=(*step.options, *told))


def accelerated(spec: Spec) -> Iterator[str]:
    """The places of the spec that ask for accelerators of a step."""
    if spec.training.resources.gpu is not None:
        yield "training.resources.gpu"
    if spec.prepare is not None and spec.prepare.resources.gpu is not None:
        yield "prepare.resources.gpu"
    for entry in spec.serving:
        if entry.resources.gpu is not None:
            yield f"serving.{entry.name}.resources.gpu"
