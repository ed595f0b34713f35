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
            "azureml": {
                "subscription": "00000000-0000-0000-0000-000000000000",
                "resource_group": "ml",
                "workspace": "toy",
                "compute": "cpu-cluster",
                "datastore": "toy_ct",
            },
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


def events(
    folder: Path, spec: Mapping[str, Any], code: str, rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]
) -> Path:
    """A project of one source of rows with a time `at`, whose last week judges; `spec` as for `make`."""
    main = {
        "role": "rows",
        "csv": {"path": "data/events.csv", "columns": {"at": "timestamp", **types}},
        "event_time": "at",
        "key": ["id"],
        **spec.get("source", {}),
    }
    whole = {
        "sources": {"events": main},
        "label": {"source": "events", "column": "y", "known_after": "0d", "absent": "drop"},
        "retraining": {"strategy": "full", "window": "30d", "holdout": {"time": "7d", "min_rows": 20}},
        **{name: value for name, value in spec.items() if name != "source"},
    }
    return make(folder, whole, code, {"events": rows})


def flowers(folder: Path) -> Path:
    """Three classes, told by one number."""
    draw = random.Random(2)
    rows = []
    for index in range(600):
        name = draw.choice(["aster", "iris", "rose"])
        size = {"aster": 1.0, "iris": 2.0, "rose": 3.0}[name] + draw.gauss(0, 0.4)
        at = (START + dt.timedelta(hours=index * 2)).isoformat()
        rows.append({"id": f"f{index}", "at": at, "size": round(size, 3), "y": name})
    code = """\
LABEL, HIDDEN = "y", set()

def fit(rows):
    sizes = {}
    for row in rows:
        sizes.setdefault(row["y"], []).append(row["size"])
    return {name: sum(seen) / len(seen) for name, seen in sorted(sizes.items())}

def predict(model, rows, history):
    near = [{name: 2.0 ** -(4 * (row["size"] - mean) ** 2) for name, mean in model.items()} for row in rows]
    return {f"score_{name}": [one[name] / sum(one.values()) for one in near] for name in model}

"""
    spec = {
        "task": "multiclass",
        "evaluation": {"metrics": {"right": {"accuracy": {}}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "right", "min": 0.7}}}},
    }
    return events(folder, spec, code, rows, {"size": "number"})


def searches(folder: Path) -> Path:
    """Five articles for each search, the relevant one told by a number; the unclicked have no label."""
    draw = random.Random(3)
    rows = []
    for index in range(300):
        chosen = draw.randrange(5)
        at = (START + dt.timedelta(hours=index * 3)).isoformat()
        for place in range(5):
            match = draw.gauss(1.5 if place == chosen else 0.0, 0.7)
            y = 1 if place == chosen else ""
            rows.append({"id": f"{index}-{place}", "at": at, "search": f"s{index}", "match": round(match, 3), "y": y})
    code = """\
LABEL, HIDDEN = "y", set()

def fit(rows):
    assert {row["y"] for row in rows} == {0, 1}
    return {"n": len(rows)}

def predict(model, rows, history):
    assert all(row["search"] for row in rows)
    return {"score": [row["match"] for row in rows]}

"""
    spec = {
        "task": {"ranking": {"group": "search"}},
        "label": {"source": "events", "column": "y", "known_after": "0d", "absent": "negative"},
        "evaluation": {"metrics": {"top": {"ndcg": {"k": 3}}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "top", "min": 0.6}}}},
    }
    return events(folder, spec, code, rows, {"match": "number", "y": "integer"})


def pumps(folder: Path) -> Path:
    """Readings that nobody labels; one in twenty is odd."""
    draw = random.Random(4)
    rows = []
    for index in range(800):
        level = 5.0 if index % 20 == 0 else draw.gauss(0, 1)
        rows.append(
            {"id": f"p{index}", "at": (START + dt.timedelta(hours=index)).isoformat(), "level": round(level, 3)}
        )
    code = """\
LABEL, HIDDEN = "y", {"y"}

def fit(rows):
    return {"mean": sum(row["level"] for row in rows) / len(rows)}

def predict(model, rows, history):
    return {"score": [1.0 if row["level"] - model["mean"] > 4 else 0.0 for row in rows]}

"""
    spec = {
        "task": "binary",
        "label": "none",
        "triggers": {"more": {"new_data": {"min_rows": 100}}},
        "evaluation": {"metrics": {"flagged": {"share": {"column": "score", "min": 0.5}, "better": "neither"}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "flagged", "min": 0.01, "max": 0.1}}}},
    }
    return events(folder, spec, code, rows, {"level": "number"})


def sales(folder: Path) -> Path:
    """Daily sales of two shops, with a week's rhythm; next week is forecast from what the shop sold a week before."""
    draw = random.Random(5)
    rows = [
        {
            "shop": shop,
            "at": (START + dt.timedelta(days=day)).isoformat(),
            "weather": draw.choice(["sun", "rain"]),
            "y": level + 10 * (day % 7) + draw.randrange(3),
        }
        for day in range(70)
        for shop, level in (("north", 20), ("south", 50))
    ]
    code = """\
LABEL, HIDDEN = "y", set()

def fit(rows):
    return {"n": len(rows)}

def predict(model, rows, history):
    assert not rows or "weather" not in rows[0], "tomorrow's weather is not known today"
    past = {(old["shop"], old["event_time"]): (old["y"], old["origin"]) for old in history}
    answers = []
    for row in rows:
        from datetime import timedelta
        y, origin = past[row["shop"], row["event_time"] - timedelta(days=7)]
        assert origin <= row["origin"] and 1 <= row["horizon"] <= 7
        answers.append(float(y))
    return {"prediction": answers}

"""
    spec = {
        "task": {"forecast": {"series": ["shop"], "every": "1d", "horizon": "7d", "season": "7d"}},
        "source": {"key": ["shop", "at"]},
        "retraining": {
            "strategy": "full",
            "window": "28d",
            "gap": "7d",
            "holdout": {"time": "14d", "min_rows": 20},
        },
        "evaluation": {"metrics": {"off": {"mae": {}}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "off", "max": 5}}}},
    }
    return events(folder, spec, code, rows, {"y": "number"})
