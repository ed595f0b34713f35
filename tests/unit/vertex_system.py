"""A system that uses all that the Vertex target has, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import FIRST_ROW, load_spec
from ctc.language.spec import Spec
from ctc.targets import vertex

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"

TARGETS = """\
targets:
  vertex:
    project: acme-ml
    region: europe-west4
    service_account: fraud-ct@acme-ml.iam.gserviceaccount.com
    bucket: acme-ct-eu
    network: projects/123456789012/global/networks/ml
    kms_key: projects/acme-ml/locations/europe-west4/keyRings/ct/cryptoKeys/artifacts
    events: {fraud-ops-alert: {pubsub: {topic: fraud-alerts}}}
"""


JOB = """\
  retries: 2
  env: {HUB_TOKEN: {secret: hub-token}}
  distributed: {nodes: 3, launcher: torchrun}
  resources: {cpu: 16, memory: 64Gi, disk: 300Gi, gpu: {type: t4}}
  spot: {checkpoint: 10m, max_wait: 6h}
"""


def full_spec(folder: Path) -> Spec:
    """`specs/canary.yaml` on Vertex AI, with spot capacity, a disk, retries, an event and a staleness alarm."""
    text = (SPECS / "canary.yaml").read_text().partition("targets:")[0] + TARGETS
    for old, new in (
        ("s3://acme-payments", "gs://acme-payments"),
        ("trigger_policy: {", "trigger_policy: {staleness: {max_age: 20d}, "),
        (
            "  timeout: 2h\n",
            f"  timeout: 2h\n{JOB}",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    file = folder / "full.yaml"
    file.write_text(text)
    loaded = load_spec(file, None, "vertex", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


def full_system(folder: Path) -> System:
    return lower(full_spec(folder), "vertex")


def documents(system: System) -> dict[str, Any]:
    """The JSON and YAML files of the system's bundle, read."""
    found: dict[str, Any] = {}
    for artifact in vertex.emit(system).artifacts:
        if artifact.path.endswith(".json"):
            found[artifact.path] = json.loads(artifact.content)
        elif artifact.path.endswith(".yaml"):
            found[artifact.path] = yaml.safe_load(artifact.content)
    return found
