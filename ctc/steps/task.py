"""What a step is given and what it answers; every step is `run(task, services) -> Result`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal


class StepFailed(Exception):
    """The step could not do its work. The message is for a person: what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Task:
    """One execution of one of our steps.

    `document` is the static step document, `instant` the instant of the wake (UTC), `attempt` the attempt's id (empty
    in `wake`). `inputs` and `outputs` are local folders, `uris` the address of each input where it is kept.
    """

    step: str
    document: Mapping[str, Any]
    instant: datetime
    attempt: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Path] = field(default_factory=dict)
    outputs: Mapping[str, Path] = field(default_factory=dict)
    uris: Mapping[str, str] = field(default_factory=dict)

    @property
    def policy(self) -> Mapping[str, Any]:
        """The sections of the spec that this step decides by."""
        policy: Mapping[str, Any] = self.document["policy"]
        return policy


@dataclass(frozen=True)
class Result:
    """`stop` is a normal end (too few rows, a check that says stop), `failed` is not. `numbers` is JSON."""

    status: Literal["ok", "stop", "failed"]
    flags: Mapping[str, bool] = field(default_factory=dict)
    reason: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)
