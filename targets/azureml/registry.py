"""The model in the workspace's registry: what registering its first version says, as the CLI's YAML."""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml.pipeline import UNSET
from ctc.targets.azureml.tags import tags

ALIAS = "ctc_alias"
"""The tag that a promotion sets to `champion`: the registry has no aliases of its own."""


def model(system: System) -> dict[str, Any]:
    """Registering gives the version its number, the attempt in its path, and the tags of where it comes from."""
    document = next((step.document for step in system.train.steps() if step.name == "register"), None) or {}
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/model.schema.json",
        "name": str(document["policy"]["registry"]["model"]),
        "description": f"The models of {system.name}, compiled by ctc.",
        "type": "custom_model",
        "path": f"{system.root}/attempts/{UNSET}/artifacts/train/model",
        "tags": {**tags(system), ALIAS: "candidate"},
    }
