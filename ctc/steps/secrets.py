"""Secrets by name, from this process's environment: what `{secret: name}` of a spec means where steps run locally."""

from __future__ import annotations

import os

from ctc.language.secrets import secret_variable
from ctc.steps.task import StepFailed


class EnvironmentSecrets:
    """The port `Secrets` on environment variables."""

    def get(self, name: str) -> str:
        """The value without surrounding white space. StepFailed, naming the variable, where it is missing or empty."""
        value = os.environ.get(secret_variable(name), "").strip()
        if not value:
            raise StepFailed(f"the secret {name} is not there: set the environment variable {secret_variable(name)}")
        return value
