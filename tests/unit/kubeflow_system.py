"""A system that uses all that the Kubeflow target has, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.targets import kubeflow

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"

JOB = """\
  retries: 2
  env: {HUB_TOKEN: {secret: hub-token}}
  resources: {cpu: 16, memory: 64Gi, disk: 300Gi, gpu: {type: t4}}
"""


def full_system(folder: Path) -> System:
    """`specs/canary.yaml` on Kubeflow, with a GPU, a secret, retries, a disk and a batch job."""
    text = (SPECS / "canary.yaml").read_text()
    assert "  timeout: 2h\n" in text
    file = folder / "full.yaml"
    file.write_text(text.replace("  timeout: 2h\n", f"  timeout: 2h\n{JOB}"))
    loaded = load_spec(file, None, "kubeflow")
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "kubeflow")


def documents(system: System) -> dict[str, Any]:
    """What `check_bundle` reads: of a pipeline the list of its documents, else the one."""
    found: dict[str, Any] = {}
    for artifact in kubeflow.emit(system).artifacts:
        if artifact.path.startswith("pipelines/"):
            found[artifact.path] = list(yaml.load_all(artifact.content, yaml.CSafeLoader))
        elif artifact.path.endswith(".yaml"):
            found[artifact.path] = yaml.load(artifact.content, yaml.CSafeLoader)
        elif artifact.path.endswith(".json"):
            found[artifact.path] = json.loads(artifact.content)
    return found
