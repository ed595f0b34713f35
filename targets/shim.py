"""The program that runs the user's command in the user's image, as the text that artifacts carry."""

from __future__ import annotations

import functools
from pathlib import Path

import ctc.steps


@functools.cache
def shim() -> str:
    """The source text of `ctc/steps/shim.py`."""
    # Not by importlib.resources: importing it takes longer than compiling a spec.
    return Path(ctc.steps.__file__).with_name("shim.py").read_text(encoding="utf-8")
