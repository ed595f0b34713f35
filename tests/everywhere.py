"""Every spec of `specs/` on all targets: what it does not name it gets from `specs/everywhere.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ctc import targets

ROOT = Path(__file__).resolve().parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))

STORES = {"vertex": "gs://acme-eu", "azureml": "azureml://datastores/lake/paths"}
"""Where each of those targets can read, in place of S3."""
EVENTS = {
    "kubeflow": {"http": {}},
    "sagemaker": {"eventbridge": {"source": "acme.ops", "detail_type": "told"}},
    "vertex": {"pubsub": {"topic": "told"}},
    "azureml": {"event_grid": {"topic": "told"}},
}


def variant(spec: Path, target: str) -> str:
    """The text of a spec that names all targets, with the addresses that `target` can read."""
    tree: dict[str, Any] = yaml.safe_load(spec.read_text(encoding="utf-8"))
    shared = yaml.safe_load((ROOT / "specs" / "everywhere.yaml").read_text(encoding="utf-8"))["targets"]
    events = [trigger["event"]["name"] for trigger in tree.get("triggers", {}).values() if trigger.get("event")]
    for name in targets.NAMES:
        if name not in tree["targets"]:
            tree["targets"][name] = {key: value for key, value in shared[name].items() if key != "variables"}
            if events:
                tree["targets"][name]["events"] = dict.fromkeys(events, EVENTS[name])
    # Two targets refuse a secret of the user's command, which their own tests hold; without it they decide as the rest.
    environment = tree["training"].get("env", {})
    tree["training"]["env"] = {name: value for name, value in environment.items() if not isinstance(value, dict)}
    own = tree["targets"][target].pop("variables", {})
    if target in STORES:
        kept = tree.pop("targets")
        tree = {**moved(tree, STORES[target]), "targets": kept}
        own = {**own, **moved(tree.get("variables", {}), STORES[target])} if own else {}
    if own:
        tree["targets"][target]["variables"] = own
    return yaml.safe_dump(tree, sort_keys=False, width=10_000)


def moved(value: Any, store: str) -> Any:
    """`value` with every address on S3 below `store`, its bucket as a folder there."""
    if isinstance(value, dict):
        return {key: moved(item, store) for key, item in value.items()}
    if isinstance(value, list):
        return [moved(item, store) for item in value]
    return f"{store}/{value[5:]}" if isinstance(value, str) and value.startswith("s3://") else value


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by dotted path; the members of lists share their list's path, in order."""
    if isinstance(value, dict):
        leaves: dict[str, Any] = {}
        for key, item in value.items():
            leaves |= flat(item, f"{path}.{key}" if path else str(key))
        return leaves or {path: {}}
    if isinstance(value, list):
        leaves = {}
        for index, item in enumerate(value):
            leaves |= flat(item, f"{path}[{index}]")
        return leaves or {path: []}
    return {path: value}
