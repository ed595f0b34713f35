"""The model in Vertex AI's registry: the body of `projects.locations.models.upload` for its first version."""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import System
from ctc.targets.vertex.pipeline import labels


def upload(system: System) -> dict[str, Any]:
    """Registering adds `artifactUri`, the version's labels and, for a later version, `parentModel` for `modelId`.

    The first alias is `candidate`: a promotion moves `champion`, and nothing reads the version without an alias.
    """
    document = next((step.document for step in system.train.steps() if step.name == "register"), None) or {}
    image = next(step.image for step in system.train.steps() if step.name == "train")
    model: dict[str, Any] = {
        "displayName": system.name,
        "description": f"The models of {system.name}, compiled by ctc.",
        "containerSpec": {"imageUri": image},
        "labels": labels(system),
        "versionAliases": ["candidate"],
    }
    if system.settings.get("kms_key"):
        model["encryptionSpec"] = {"kmsKeyName": str(system.settings["kms_key"])}
    return {"modelId": str(document["policy"]["registry"]["model"]), "model": model}
