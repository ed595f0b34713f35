"""Names of accelerators, which are the same on every target: `t4`, `l4`, `a100`, or with its memory `a100-80gb`."""

from __future__ import annotations

from collections.abc import Iterable

from ctc.compiler.ir import Resources


def is_model(listed: str, asked: str) -> bool:
    """Whether an accelerator is of the model asked for: `a100` is any A100, `a100-80gb` one with that memory."""
    return listed == asked or listed.startswith(f"{asked}-")


def asked(resources: Resources) -> str:
    """What is asked for, as a message ends: ` and 2 t4`; empty without accelerators."""
    return f" and {resources.gpus} {resources.gpu_type}" if resources.gpus else ""


def advice(resources: Resources, listed: Iterable[tuple[str, int]]) -> str:
    """What to write where no machine fits: the counts that there are of the model, or the models."""
    known = sorted(set(listed))
    counts = sorted({count for model, count in known if is_model(model, resources.gpu_type)})
    if not counts:
        models = ", ".join(dict.fromkeys(model for model, _ in known))
        return f"there are: {models}; a target's `variables` can name another model"
    told = ", ".join(map(str, counts))
    return f"machines with {resources.gpu_type} have {told} of it; ask for fewer of it, fewer vCPUs, or less memory"
