"""A complete small project for tests that run it for real: data with late labels, a spec, a model in plain Python."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
DAY = dt.timedelta(days=1)
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)

SPEC = """\
apiVersion: ctc/v1
name: toy
description: A small model that the tests retrain.
owner: tests
mode: act
task: binary
runtime: {image: "registry.example/ctc@sha256:1111111111111111111111111111111111111111111111111111111111111111"}
sources:
  visits:
    role: rows
    parquet: {path: data/visits.parquet}
    event_time: at
    key: [id]
  prices:
    role: features
    parquet: {path: data/prices.parquet}
    known_at: known_at
    join: {to: visits, key: [shop]}
  outcomes:
    role: labels
    parquet: {path: data/outcomes.parquet}
    known_at: known_at
    join: {to: visits, key: [id]}
label: {source: outcomes, column: bought, known_after: 3d, absent: drop}
validation:
  checks:
    enough: {row_count: {min: 100}}
    shop_present: {null_ratio: {column: shop, max: 0}}
    sane: {range: {column: amount, min: 0, max: 1000}}
    known_shop: {allowed_values: {column: shop, values: [a, b, c]}}
    once: {unique: {columns: [id]}}
    fresh: {freshness: {max_age: 2d}, source: visits, on_fail: warn}
training:
  code: .
  image: "registry.example/toy@sha256:2222222222222222222222222222222222222222222222222222222222222222"
  argv: [python, train.py, --train, "{train}", --valid, "{valid}", --out, "{model}", --smooth, "{hp.smooth}"]
  predict: [python, predict.py, --model, "{model}", --rows, "{rows}", --out, "{predictions}"]
  hyperparameters: {smooth: 1.0}
  timeout: 2m
retraining:
  strategy: full
  window: 30d
  validation_share: 10%
  holdout: {time: 10d, min_rows: 50, min_positives: 10}
evaluation:
  metrics: {auc: {roc_auc: {}}, loss: {log_loss: {}}}
  slices: {shop: {column: shop, min_rows: 10}}
promotion:
  gates:
    floor: {range: {metric: auc, min: 0.55}}
    auc_kept: {not_worse: {metric: auc, margin: 0.05, confidence: 95%}}
    loss_kept: {not_worse: {metric: loss, margin: 0.1, confidence: 95%}}
triggers:
  weekly: {schedule: {cron: "0 6 * * 1", timezone: UTC}}
  fresh_labels: {new_data: {min_rows: 400}}
  asked: {manual: {}}
trigger_policy: {wake_every: 1h, cooldown: 12h}
targets:
  kubeflow: {bucket: toy-ct, namespace: ml, host: "http://kfp.example"}
  sagemaker: {region: eu-north-1, role: "arn:aws:iam::123456789012:role/toy", bucket: toy-ct}
  vertex: {project: toy-ml, region: us-east1, service_account: runner@toy-ml.iam.gserviceaccount.com, bucket: toy-ct}
  azureml:
    subscription: 00000000-0000-0000-0000-000000000000
    resource_group: ml
    workspace: toy
    compute: cpus
    datastore: ct
"""

TRAIN = """\
import argparse, json, pathlib
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--train", "--valid", "--out"):
    parser.add_argument(name, required=True)
parser.add_argument("--smooth", type=float, default=1.0)
args = parser.parse_args()
rows = pq.read_table(args.train).to_pylist()
print("training on", len(rows), "rows")
seen = {}
for row in rows:
    key = f"{row['shop']}|{row['amount'] > 50}|{(row['price'] or 0) > 10}"
    good, n = seen.get(key, (0, 0))
    seen[key] = (good + row["bought"], n + 1)
rates = {key: (good + args.smooth * 0.5) / (n + args.smooth) for key, (good, n) in sorted(seen.items())}
pathlib.Path(args.out, "model.json").write_text(json.dumps(rates))
"""

PREDICT = """\
import argparse, json, pathlib
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--model", "--rows", "--out"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
rates = json.loads(pathlib.Path(args.model, "model.json").read_text())
rows = pq.read_table(args.rows).to_pylist()
assert not rows or "bought" not in rows[0], "predict must never see labels"
scores = [rates.get(f"{r['shop']}|{r['amount'] > 50}|{(r['price'] or 0) > 10}", 0.5) for r in rows]
pq.write_table(pa.table({"row_id": [r["row_id"] for r in rows], "score": scores}), args.out)
"""


def make(folder: Path, *, days: int = 120, per_day: int = 30, seed: int = 1) -> Path:
    """Writes the project into `folder` and returns the spec's path. The same arguments give the same data."""
    draw = random.Random(seed)
    (folder / "data").mkdir(parents=True)
    visits: list[dict[str, Any]] = []
    outcomes: list[dict[str, Any]] = []
    for day in range(days):
        for index in range(per_day):
            at = START + day * DAY + dt.timedelta(seconds=draw.randrange(86400))
            shop, amount = draw.choice("abc"), draw.uniform(0, 100)
            chance = {"a": 0.2, "b": 0.5, "c": 0.7}[shop] * (1.2 if amount > 50 else 0.7)
            visits.append({"id": f"{day}-{index}", "at": at, "shop": shop, "amount": amount})
            if draw.random() < 0.97:
                known = at + dt.timedelta(hours=draw.uniform(1, 70))
                outcomes.append({"id": f"{day}-{index}", "bought": int(draw.random() < chance), "known_at": known})
    prices = [
        {"shop": shop, "price": draw.uniform(5, 15), "known_at": START + day * DAY}
        for day in range(-1, days)
        for shop in "abc"
    ]
    for name, rows in (("visits", visits), ("outcomes", outcomes), ("prices", prices)):
        pq.write_table(pa.Table.from_pylist(rows), folder / "data" / f"{name}.parquet")
    (folder / "train.py").write_text(TRAIN)
    (folder / "predict.py").write_text(PREDICT)
    spec = folder / "ctc.yaml"
    spec.write_text(SPEC)
    return spec


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    draw = random.SystemRandom()
    while True:
        port = draw.randrange(20000, 30000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def ctc(
    *arguments: str | Path, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ctc", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **(environment or {})},
        capture_output=True,
        text=True,
        timeout=600,
    )


def run(spec: Path, *arguments: str, target: str = "kubeflow", code: int = 0) -> list[dict[str, Any]]:
    """`ctc run -o json` on a spec; its decision records. Fails with the output if the exit code is another."""
    done = ctc("run", spec, "--target", target, "--python", sys.executable, "-o", "json", *arguments, cwd=spec.parent)
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    records: list[dict[str, Any]] = json.loads(done.stdout)
    return records


def copy_state(spec: Path, source: str, target: str) -> None:
    """Another target's deployment with the same history: addresses in its documents name the target."""
    copy = state(spec, target)
    shutil.copytree(state(spec, source), copy)
    stores = {"vertex": "gs://toy-ct", "azureml": "azureml://datastores/ct/paths"}
    root = f"{stores.get(target, 's3://toy-ct')}/toy/default/{target}"
    for path in copy.rglob("*.json"):
        path.write_text(re.sub(rf"\w+://toy-ct/toy/default/{source}", root, path.read_text()))


def state(spec: Path, target: str = "kubeflow") -> Path:
    """The folder that holds the deployment's state."""
    return spec.parent / ".ctc" / "toy" / "default" / target
