"""Small projects of other data than `project.py` has: without time, in CSV, of several classes, of series."""

from __future__ import annotations

import csv
import datetime as dt
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

TRAIN = """\
import argparse, json, pathlib
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--train", "--out"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
rows = pq.read_table(args.train).to_pylist()
assert rows and not HIDDEN & set(rows[0]), "training sees what is hidden"
pathlib.Path(args.out, "model.json").write_text(json.dumps(fit(rows)))
"""

PREDICT = """\
import argparse, json, pathlib
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--model", "--rows", "--out"):
    parser.add_argument(name, required=True)
parser.add_argument("--history")
args = parser.parse_args()
model = json.loads(pathlib.Path(args.model, "model.json").read_text())
rows = pq.read_table(args.rows).to_pylist()
assert not (HIDDEN | {LABEL}) & set(rows[0]), "predict sees what is hidden"
history = pq.read_table(args.history).to_pylist() if args.history else []
columns = predict(model, rows, history)
pq.write_table(pa.table({"row_id": [row["row_id"] for row in rows], **columns}), args.out)
"""

IMAGE = "registry.example/toy@sha256:2222222222222222222222222222222222222222222222222222222222222222"

START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def make(folder: Path, spec: Mapping[str, Any], code: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> Path:
    """Writes a project whose sources are CSV files; returns the spec's path.

    `code` defines LABEL, HIDDEN, `fit(rows)` and `predict(model, rows, history)`; `spec` is what is the project's own.
    """
    (folder / "data").mkdir(parents=True)
    for name, rows in tables.items():
        with (folder / "data" / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    (folder / "train.py").write_text(code + TRAIN)
    (folder / "predict.py").write_text(code + PREDICT)
    history = ["--history", "{history}"] if isinstance(spec["task"], dict) and "forecast" in spec["task"] else []
    written = ["--out", "{predictions}"]
    whole = {
        "apiVersion": "ctc/v1",
        "name": "toy",
        "description": "A small model that the tests retrain.",
        "owner": "tests",
        "mode": "act",
        "runtime": {"image": IMAGE.replace("2", "1")},
        "training": {
            "code": ".",
            "image": IMAGE,
            "argv": ["python", "train.py", "--train", "{train}", "--out", "{model}"],
            "predict": ["python", "predict.py", "--model", "{model}", *history, "--rows", "{rows}", *written],
            "timeout": "2m",
        },
        "triggers": {"weekly": {"schedule": {"cron": "0 6 * * 1", "timezone": "UTC"}}, "asked": {"manual": {}}},
        "targets": {
            "kubeflow": {"bucket": "toy-ct", "namespace": "ml", "host": "http://kfp.example"},
            "sagemaker": {"region": "eu-north-1", "role": "arn:aws:iam::123456789012:role/toy", "bucket": "toy-ct"},
        },
        **spec,
    }
    path = folder / "ctc.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def houses(folder: Path, n: int = 400) -> Path:
    """Prices of houses that have no time; a fifth of them judges for good; surveys are joined by district."""
    draw = random.Random(1)
    rows = [
        {
            "house": f"h{index}",
            "district": draw.choice("abc"),
            "area": draw.randrange(40, 200),
            "state": "sold" if index % 10 else "listed",
            "owner": draw.choice("xy"),
        }
        for index in range(n)
    ]
    worth = {"a": 10, "b": 20, "c": 30}
    houses = [{**row, "price": row["area"] * worth[row["district"]] + draw.randrange(50)} for row in rows]
    surveys = [
        {"district": district, "noise": level, "surveyed": (START + dt.timedelta(days=day)).isoformat()}
        for district in "abc"
        for day, level in ((0, 1), (20, 2), (60, 3))
    ]
    spec = {
        "task": "regression",
        "sources": {
            "houses": {
                "role": "rows",
                "csv": {"path": "data/houses.csv", "columns": {"area": "integer", "price": "number"}},
                "event_time": "none",
                "key": ["house"],
                "keep": {"sold": {"allowed_values": {"column": "state", "values": ["sold"]}}},
            },
            "surveys": {
                "role": "features",
                "csv": {"path": "data/surveys.csv", "columns": {"noise": "integer", "surveyed": "timestamp"}},
                "known_at": "surveyed",
                "join": {"to": "houses", "key": ["district"]},
            },
        },
        "label": {"source": "houses", "column": "price", "known_after": "0d", "absent": "drop"},
        "columns": {"audit": ["owner"], "drop": ["state"]},
        "retraining": {
            "strategy": "full",
            "holdout": {"hash": {"key": ["house"], "share": "20%", "salt": "2024"}, "min_rows": 20},
        },
        "evaluation": {
            "metrics": {"error": {"mae": {}}},
            "slices": {"owner": {"column": "owner", "min_rows": 5}},
        },
        "promotion": {
            "gates": {
                "sane": {"range": {"metric": "error", "max": 60}},
                "kept": {"not_worse": {"metric": "error", "margin": 5, "confidence": "95%"}},
            }
        },
    }
    code = """\
LABEL, HIDDEN = "price", {"owner", "state", "event_time", "surveyed"}

def fit(rows):
    assert {row["noise"] for row in rows} <= {1, 2}
    areas = {}
    for row in rows:
        areas.setdefault(row["district"], []).append((row["price"], row["area"]))
    return {name: sum(p for p, _ in seen) / sum(a for _, a in seen) for name, seen in sorted(areas.items())}

def predict(model, rows, history):
    return {"prediction": [model[row["district"]] * row["area"] for row in rows]}

"""
    return make(folder, spec, code, {"houses": houses, "surveys": surveys})
