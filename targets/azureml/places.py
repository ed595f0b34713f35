"""Where things are in Azure: resource ids, and names that Azure takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import System

API_VERSION = "2025-12-01"
"""Of `Microsoft.MachineLearningServices`, as azure-ai-ml 1.35.2 asks it."""
WORKFLOW_NAME = 43
_DATASTORE = re.compile(r"azureml://datastores/([a-zA-Z0-9_]+)/paths/?(.*)", re.DOTALL)


def group_id(system: System) -> str:
    """The resource group, in which everything of a system is."""
    settings = system.settings
    return f"/subscriptions/{settings['subscription']}/resourceGroups/{settings['resource_group']}"


def workspace_id(system: System) -> str:
    """The workspace of Azure Machine Learning."""
    return f"{group_id(system)}/providers/Microsoft.MachineLearningServices/workspaces/{system.settings['workspace']}"


def short(name: str, length: int = WORKFLOW_NAME) -> str:
    """A name of letters, digits and hyphens, of at most `length` characters; a hash stands for what is cut off."""
    plain = name.replace("_", "-")
    if len(plain) <= length and plain == name:
        return plain
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: length - 9].rstrip('-')}-{mark}"


def datastore(uri: str) -> tuple[str, str] | None:
    """The datastore of a URI and the path in it; None for a URI of another kind."""
    match = _DATASTORE.fullmatch(uri)
    return None if match is None else (match.group(1), match.group(2))


def sources(system: System) -> Iterator[str]:
    """The URIs that are read: sources, up to the first pattern in their paths, and the training's files."""
    for step in system.wake.steps():
        found: Mapping[str, Any] = (step.document or {}).get("policy", {}).get("data", {}).get("sources", {})
        for source in found.values():
            for path in (source.get("parquet"), (source.get("csv") or {}).get("path")):
                if path and "://" in path:
                    yield re.split(r"[*?\[]", path, maxsplit=1)[0]
    for parameter in system.train.parameters:
        if parameter.name.startswith("input_") and "://" in (parameter.default or ""):
            yield str(parameter.default)


def outs(system: System) -> list[str]:
    """The folders in datastores to which batch jobs write."""
    return sorted({f"{out.rstrip('/')}/" for out, _ in system.outs if datastore(out) is not None})


def staleness_seconds(system: System) -> float | None:
    """How old the last success may get; None where nothing watches."""
    for step in system.wake.steps():
        document: Mapping[str, Any] = step.document or {}
        found = document.get("policy", {}).get("triggers", {}).get("staleness")
        if found is not None:
            return float(found)
    return None
