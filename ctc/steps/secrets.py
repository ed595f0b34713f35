"""Secrets by name, from this process's environment: what `{secret: name}` of a spec means where steps run locally."""

from __future__ import annotations

import os
import re

from ctc.steps.task import StepFailed


def variable(name: str) -> str:
    """`slack-oncall` is kept in `CTC_SECRET_SLACK_ONCALL`; `-`, `.` and `/` become `_`."""
    return "CTC_SECRET_" + re.sub(r"[-./]", "_", name).upper()


class EnvironmentSecrets:
    """The port `Secrets` on environment variables."""

    def get(self, name: str) -> str:
        """The value without surrounding white space. StepFailed, naming the variable, where it is missing or empty."""
        value = os.environ.get(variable(name), "").strip()
        if not value:
            raise StepFailed(f"the secret {name} is not there: set the environment variable {variable(name)}")
        return value
