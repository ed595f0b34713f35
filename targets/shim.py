"""The program that runs the user's command in the user's image, as the text that artifacts carry."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import ctc.steps
from ctc.compiler.ir import Step


@functools.cache
def shim() -> str:
    """The source text of `ctc/steps/shim.py`."""
    # Not by importlib.resources: importing it takes longer than compiling a spec.
    return Path(ctc.steps.__file__).with_name("shim.py").read_text(encoding="utf-8")


@functools.cache
def with_secrets() -> str:
    """The source text of `ctc/steps/with_secrets.py`."""
    return Path(ctc.steps.__file__).with_name("with_secrets.py").read_text(encoding="utf-8")


def step_options(step: Step) -> Iterator[str]:
    """The shim's words that say of a step what is the same on every target."""
    if step.apply:
        yield from ("--apply", str(len(step.apply)))
    if step.csv:
        yield from ("--csv", step.csv)
    for name, digest in step.digests:
        yield from ("--digest", f"{name}={digest}")
