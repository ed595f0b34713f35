"""A system that uses all that the SageMaker target has, for its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import FIRST_ROW, load_spec
from ctc.targets import sagemaker

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
KEY = "arn:aws:kms:eu-north-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"

TARGETS = f"""\
targets:
  sagemaker:
    region: eu-north-1
    role: arn:aws:iam::123456789012:role/fraud-ct
    bucket: acme-ct
    kms_key: {KEY}
    subnets: [subnet-0a1b2c3d]
    security_groups: [sg-0a1b2c3d]
    events: {{fraud-ops-alert: {{eventbridge: {{source: fraud.ops, detail_type: alert}}}}}}
"""
TRAINING = """\
  timeout: 2h
  retries: 2
  env: {HUB_TOKEN: {secret: hub-token}}
  hyperparameters: {depth: 8}
  distributed: {nodes: 3, launcher: torchrun}
  resources: {cpu: 16, memory: 64Gi, disk: 300Gi}
  spot: {checkpoint: 10m, max_wait: 6h}
"""


def full_system(folder: Path) -> System:
    """`specs/canary.yaml` in a network, under a key, on spot capacity, with a secret, an event and both watches."""
    text = (SPECS / "canary.yaml").read_text().partition("targets:")[0] + TARGETS
    for old, new in (
        ("trigger_policy: {", "trigger_policy: {wake_every: 7d, staleness: {max_age: 20d}, "),
        ("  timeout: 2h\n", TRAINING),
    ):
        assert old in text
        text = text.replace(old, new)
    file = folder / "full.yaml"
    file.write_text(text)
    loaded = load_spec(file, None, "sagemaker", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "sagemaker")


def documents(system: System) -> dict[str, Any]:
    """The JSON files of the system's bundle, read."""
    artifacts = sagemaker.emit(system).artifacts
    return {item.path: json.loads(item.content) for item in artifacts if item.path.endswith(".json")}
