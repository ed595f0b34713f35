"""Kubernetes secrets of the user's steps: the second document of a pipeline's file.

Fields are those of `SecretAsEnv` in `kubernetes_executor_config.proto` of kubeflow/pipelines, filled in as
kfp-kubernetes' `use_secret_as_env` does: both `secretName`, which is deprecated and all that older servers read, and
`secretNameParameter`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import Pipeline
from ctc.language.secrets import secret_variable
from ctc.targets.kfp_ir import executor_name

KEY = "value"
"""The key of a Kubernetes secret that `{secret: NAME}` means; `NAME/KEY` names another."""


def platform_spec(pipeline: Pipeline, more: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The PlatformSpec of a pipeline, with `more` of each executor; empty if there is nothing to say of any."""
    executors: dict[str, dict[str, Any]] = {name: dict(fields) for name, fields in (more or {}).items()}
    for step in pipeline.steps():
        if step.secrets:
            fields = executors.setdefault(executor_name(step.name), {})
            fields["secretAsEnv"] = [_as_env(*item) for item in sorted(step.secrets)]
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}} if executors else {}


def local_variables(platform: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """By step, its variables that Kubernetes fills in, each with the variable of this machine that stands for it."""
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
    return {
        name.removeprefix("exec-"): {
            item["envVar"]: _local(entry["secretName"], item["secretKey"])
            for entry in settings.get("secretAsEnv", [])
            for item in entry["keyToEnv"]
        }
        for name, settings in executors.items()
    }


def _local(secret: str, key: str) -> str:
    return secret_variable(secret if key == KEY else f"{secret}/{key}")


def _as_env(variable: str, name: str) -> dict[str, Any]:
    secret, _, key = name.partition("/")
    return {
        "keyToEnv": [{"secretKey": key or KEY, "envVar": variable}],
        "secretName": secret,
        "secretNameParameter": {"runtimeValue": {"constant": secret}},
    }
