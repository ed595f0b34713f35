"""Runs one check on `specs/minimal.yaml` with a few words changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ctc.language.checks import Finding, registered
from ctc.language.shape import check_shape
from ctc.language.typed import spec_from

MINIMAL = Path(__file__).resolve().parent.parent.parent / "specs" / "minimal.yaml"

SERVED = """
sources:
  served:
    role: predictions
    parquet: {path: "s3://acme-delivery/served/"}
    columns: {key: parcel_id, score: score, model_version: model_version, event_time: scored_at}
"""

SERVER = """
serving:
  api:
    online:
      image: registry.example/parcels@sha256:6d1f0c2b9a7e4d53c1f0a8b7e6d5c4b3a29180f7e6d5c4b3a29180f7e6d5c4b3
      argv: [python, serve.py, --model, "{model}"]
      port: 8080
      health: /ping
      route: /predict
"""

FORECAST = """
sources: {parcels: {key: [store, day]}}
evaluation: {metrics: {auc: null, mae: {mae: {}}}}
promotion: {gates: {floor: {range: {metric: mae, min: null, max: 5}}, not_worse: {not_worse: {metric: mae}}}}
"""


def findings(code: str, *changes: str, target: str | None = None) -> list[Finding]:
    """What the check finds; each change is YAML that is merged into the spec: maps merge, null deletes."""
    tree = yaml.safe_load(MINIMAL.read_text())
    for change in changes:
        merge(tree, yaml.safe_load(change) or {})
    assert check_shape(tree, {}) == (), "the change itself has the wrong shape"
    spec = spec_from(tree, "default")
    [item] = [item for item in registered() if item.code == code]
    if item.on_target is not None:
        assert target is not None
        return list(item.on_target(spec, target))
    assert item.on_spec is not None
    return list(item.on_spec(spec))


def merge(base: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
