"""A system that uses all that the Azure ML target has, for its tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import FIRST_ROW, load_spec
from ctc.language.spec import Spec
from ctc.targets import azureml

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"

TARGETS = """\
targets:
  azureml:
    subscription: 11111111-2222-3333-4444-555555555555
    resource_group: payments
    workspace: fraud
    compute: ct-cluster
    datastore: fraud_ct
    identity: 99999999-8888-7777-6666-555555555555
    key_vault: fraud-vault
    events: {fraud-ops-alert: {event_grid: {topic: fraud-alerts}}}
"""

PLAIN = """\
targets:
  azureml:
    subscription: 11111111-2222-3333-4444-555555555555
    resource_group: delivery
    workspace: parcels
    compute: cpu-cluster
    datastore: parcels_ct
"""

JOB = """\
  retries: 2
  env: {HUB_TOKEN: {secret: hub-token}}
  distributed: {nodes: 3, launcher: torchrun}
  resources: {cpu: 16, memory: 64Gi, disk: 200Gi, gpu: {type: t4}}
  spot: {checkpoint: 10m, max_wait: 6h}
"""


def full_spec(folder: Path) -> Spec:
    """`specs/canary.yaml` on Azure ML, with spot capacity, a disk, retries, an event and a staleness alarm."""
    text = (SPECS / "canary.yaml").read_text().partition("targets:")[0] + TARGETS
    for old, new in (
        ("s3://acme-payments", "azureml://datastores/payments/paths"),
        ("trigger_policy: {", "trigger_policy: {staleness: {max_age: 20d}, "),
        ("  timeout: 2h\n", f"  timeout: 2h\n{JOB}"),
    ):
        assert old in text
        text = text.replace(old, new)
    file = folder / "full.yaml"
    file.write_text(text)
    loaded = load_spec(file, None, "azureml", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


def small_spec(folder: Path, old: str = "", new: str = "") -> Spec:
    """`specs/minimal.yaml` on Azure ML, with nothing but what is required, and one text replaced by another."""
    text = (SPECS / "minimal.yaml").read_text().partition("\ntargets:")[0] + "\n" + PLAIN
    text = text.replace("s3://acme-delivery", "azureml://datastores/parcels_eu/paths")
    assert old in text
    file = folder / "small.yaml"
    file.write_text(text.replace(old, new, 1))
    loaded = load_spec(file, None, "azureml", FIRST_ROW)
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


def every_system(folder: Path) -> dict[str, System]:
    """The specs of `specs/` on Azure ML, by name."""
    event = "    events: {fraud-ops-alert: {event_grid: {topic: fraud-alerts}}}\n"
    made = {}
    for spec in sorted(SPECS.glob("*.yaml")):
        head, _, tail = spec.read_text().partition("\ntargets:")
        after = re.search(r"\n(?=[a-z])", tail)
        target = TARGETS if "fraud-ops-alert" in head else TARGETS.replace(event, "")
        text = f"{head}\n{target}{tail[after.start() :] if after else ''}"
        text = re.sub(
            r"s3://([a-z-]+)", lambda bucket: f"azureml://datastores/{bucket[1].replace('-', '_')}/paths", text
        )
        (folder / spec.name).write_text(text)
        environment = "prod" if "environments:" in text else None
        loaded = load_spec(folder / spec.name, environment, "azureml", FIRST_ROW)
        assert loaded.spec is not None, loaded.diagnostics
        made[spec.stem] = lower(loaded.spec, "azureml")
    return made


def full_system(folder: Path) -> System:
    return lower(full_spec(folder), "azureml")


def documents(system: System) -> dict[str, Any]:
    """The JSON and YAML files of the system's bundle, read."""
    found: dict[str, Any] = {}
    for artifact in azureml.emit(system).artifacts:
        if artifact.path.endswith(".json"):
            found[artifact.path] = json.loads(artifact.content)
        elif artifact.path.endswith(".yml"):
            found[artifact.path] = yaml.safe_load(artifact.content)
    return found
