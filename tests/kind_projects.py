"""Small complete projects, one for each kind of system that a spec can describe."""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

DAY = dt.timedelta(days=1)
START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
IMAGE = "registry.example/toy@sha256:" + "2" * 64

COMMON = """\
import argparse, json, pathlib
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

def arguments(*names):
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(name, required=True)
    parser.add_argument("--history")
    parser.add_argument("--base")
    return parser.parse_args()

def read(path):
    csv = pathlib.Path(path, "data.csv")
    table = pc.read_csv(csv) if csv.is_file() else pq.read_table(path)
    assert not [name for name in table.column_names if name.startswith("_ctc")], "the code sees what is ours"
    return table.to_pylist()

def load(folder):
    file = pathlib.Path(folder, "model.json")
    return json.loads(file.read_text()) if file.is_file() else {}

def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0
"""

TRAIN = """
args = arguments("--train", "--out")
base = load(args.base) if args.base else {}
pathlib.Path(args.out, "model.json").write_text(json.dumps(fit(read(args.train), base)))
"""

PREDICT = """
args = arguments("--model", "--rows", "--out")
rows = read(args.rows)
assert rows and LABEL not in rows[0], "predict must never see labels"
columns = predict(load(args.model), rows, read(args.history) if args.history else [])
pq.write_table(pa.table({"row_id": [str(row["row_id"]) for row in rows], **columns}), args.out)
"""

CLASSES = """
LABEL = "colour"

def fit(rows, base):
    counts = {shop: dict(seen) for shop, seen in base.items()}
    for row in rows:
        seen = counts.setdefault(row["shop"], {"red": 1, "green": 1, "blue": 1})
        seen[row["colour"]] += 1
    return counts

def predict(model, rows, history):
    seen = [model[row["shop"]] for row in rows]
    return {f"score_{name}": [s[name] / sum(s.values()) for s in seen] for name in ("red", "green", "blue")}
"""

MEANS = """
LABEL = "sold"

def fit(rows, base):
    shops = sorted({row["shop"] for row in rows})
    return {shop: mean(row["sold"] for row in rows if row["shop"] == shop) for shop in shops}

def predict(model, rows, history):
    return {"prediction": [model[row["shop"]] for row in rows]}
"""

RANKS = """
LABEL = "gain"

def fit(rows, base):
    shops = sorted({row["shop"] for row in rows})
    return {shop: mean(row["gain"] for row in rows if row["shop"] == shop) for shop in shops}

def predict(model, rows, history):
    return {"score": [model[row["shop"]] for row in rows]}
"""

SEASONS = """
LABEL = "sold"

def fit(rows, base):
    return {"mean": mean(row["sold"] for row in rows)}

def predict(model, rows, history):
    assert history and "sold" in history[0] and "amount" not in rows[0]
    answers = []
    for row in rows:
        past = [h for h in history if h["shop"] == row["shop"] and h["origin"] <= row["origin"]]
        assert all(h["at"] < row["origin"] for h in past), "history from after the origin"
        same = [h["sold"] for h in past if h["at"].weekday() == row["at"].weekday()]
        answers.append(mean(same[-3:]) if same else model["mean"])
    return {"prediction": answers}
"""

UNLABELLED = """
LABEL = None

def fit(rows, base):
    return {"mean": mean(row["amount"] for row in rows)}

def predict(model, rows, history):
    return {"score": [min(1.0, abs(row["amount"] - model["mean"]) / 60) for row in rows]}
"""


def items(days: int = 60, per_day: int = 20, seed: int = 1) -> list[dict[str, Any]]:
    """Rows with a label for every task: `colour`, `gain` within a `query`, `sold`, `bought`."""
    draw = random.Random(seed)
    found = []
    for day in range(days):
        for index in range(per_day):
            shop, amount = draw.choice("abc"), draw.uniform(0, 100)
            level = "abc".index(shop)
            found.append(
                {
                    "id": f"{day}-{index}",
                    "at": START + day * DAY + dt.timedelta(minutes=index * 60 + draw.randrange(60)),
                    "query": f"q{day}-{index // 4}",
                    "customer": f"c{draw.randrange(40)}",
                    "shop": shop,
                    "amount": amount,
                    "state": "test" if index == 0 else "live",
                    "half": "exam" if draw.random() < 0.2 else "study",
                    "colour": draw.choices(("red", "green", "blue"), ((8, 1, 1), (1, 8, 1), (1, 1, 8))[level])[0],
                    "gain": int(draw.random() < (0.1, 0.4, 0.8)[level]) + int(draw.random() < 0.2),
                    "sold": 10.0 * level + draw.gauss(0, 2),
                    "bought": int(draw.random() < (0.1, 0.5, 0.9)[level]),
                }
            )
    return found


def daily(days: int = 70, seed: int = 1) -> list[dict[str, Any]]:
    """One row for each shop and day, of a weekly season."""
    draw = random.Random(seed)
    return [
        {
            "shop": shop,
            "at": START + day * DAY,
            "amount": draw.uniform(0, 100),
            "sold": 20 + 5 * level + 8 * math.sin(2 * math.pi * day / 7) + draw.gauss(0, 1),
        }
        for day in range(days)
        for level, shop in enumerate("abcd")
    ]


def without(rows: Iterable[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without some columns."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def make(folder: Path, spec: Mapping[str, Any], code: str, tables: Mapping[str, list[dict[str, Any]]]) -> Path:
    """Writes a project and returns the spec's path; a table whose source is CSV is written so.

    `spec` is what is the project's own, `code` its LABEL, `fit(rows, base)` and `predict(model, rows, history)`.
    """
    (folder / "data").mkdir(parents=True)
    for name, rows in tables.items():
        table = pa.Table.from_pylist(rows)
        if "csv" in spec["sources"][name]:
            pa.csv.write_csv(table, folder / "data" / f"{name}.csv")
        else:
            pq.write_table(table, folder / "data" / f"{name}.parquet")
    (folder / "train.py").write_text(COMMON + code + TRAIN)
    (folder / "predict.py").write_text(COMMON + code + PREDICT)
    continued = ["--base", "{base_model}"] if spec["retraining"]["strategy"] != "full" else []
    forecast = isinstance(spec["task"], dict) and "forecast" in spec["task"]
    past = ["--history", "{history}"] if forecast else []
    training = {
        "code": ".",
        "image": IMAGE,
        "argv": ["python", "train.py", *continued, "--train", "{train}", "--out", "{model}"],
        "predict": ["python", "predict.py", "--model", "{model}", *past, "--rows", "{rows}", "--out", "{predictions}"],
        "timeout": "2m",
    }
    whole = {
        "apiVersion": "ctc/v1",
        "name": "toy",
        "description": "A small model that the tests retrain.",
        "owner": "tests",
        "mode": "act",
        "runtime": {"image": IMAGE.replace("2" * 64, "1" * 64)},
        "triggers": {"weekly": {"schedule": {"cron": "0 6 * * 1", "timezone": "UTC"}}},
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
        "training": {**training, **spec.get("training", {})},
    }
    path = folder / "ctc.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False))
    return path


def rows_source(**more: Any) -> dict[str, Any]:
    """The main source of `items`."""
    return {"role": "rows", "parquet": {"path": "data/items.parquet"}, "event_time": "at", "key": ["id"], **more}


def label(column: str) -> dict[str, Any]:
    return {"source": "items", "column": column, "known_after": "1d", "absent": "drop"}


def full(**holdout: Any) -> dict[str, Any]:
    return {"strategy": "full", "window": "30d", "holdout": {"min_rows": 30, **(holdout or {"time": "10d"})}}


def kept(metric: str, margin: float, **more: Any) -> dict[str, Any]:
    return {"not_worse": {"metric": metric, "margin": margin, "confidence": "90%", **more}}


def multiclass(folder: Path) -> Path:
    """Several classes, tuned further each week with old rows replayed, units, slices, and a fixed set to remember."""
    spec = {
        "task": "multiclass",
        "sources": {
            "items": rows_source(keep={"real": {"allowed_values": {"column": "state", "values": ["live"]}}}),
            "classics": {
                "role": "holdout",
                "parquet": {"path": "data/classics.parquet"},
                "event_time": "at",
                "key": ["id"],
            },
        },
        "label": label("colour"),
        "validation": {
            "checks": {"cheap": {"range": {"column": "amount", "max": 95, "tolerate": "1%"}, "on_fail": "quarantine"}}
        },
        "retraining": {
            "strategy": "fine_tune",
            "window": "30d",
            "replay": "30%",
            "holdout": {"time": "10d", "min_rows": 30},
        },
        "evaluation": {
            "metrics": {"loss": {"log_loss": {}}, "f1": {"f1": {"average": "macro"}}, "right": {"accuracy": {}}},
            "unit": ["customer"],
            "slices": {"shop": {"column": "shop", "min_rows": 20}},
        },
        "promotion": {
            "gates": {
                "floor": {"range": {"metric": "f1", "min": 0.5}},
                "loss_kept": kept("loss", 0.5),
                "right_kept": kept("right", 0.4, by="shop"),
                "remembers": {"forgetting": {"metric": "right", "source": "classics", "margin": 0.3}},
            }
        },
    }
    classics = items(days=10, per_day=10, seed=7)
    return make(folder, spec, CLASSES, {"items": items(), "classics": [r | {"id": f"k{r['id']}"} for r in classics]})


def ranking(folder: Path) -> Path:
    """Items ordered within a query, read as CSV by the user's code."""
    spec = {
        "task": {"ranking": {"group": "query"}},
        "sources": {"items": rows_source()},
        "label": label("gain"),
        "columns": {"audit": ["half"], "drop": ["colour", "sold", "bought"]},
        "training": {"format": {"csv": {}}},
        "retraining": full(),
        "evaluation": {
            "metrics": {"order": {"ndcg": {"k": 4}}, "top": {"recall_at_k": {"k": 1}}},
            "slices": {"half": {"column": "half", "min_rows": 20}},
        },
        "promotion": {"gates": {"floor": {"range": {"metric": "order", "min": 0.5}}, "order_kept": kept("order", 0.2)}},
    }
    return make(folder, spec, RANKS, {"items": items()})


def forecast(folder: Path) -> Path:
    """Daily series, forecast a week ahead from what was known at the origin."""
    spec = {
        "task": {"forecast": {"series": ["shop"], "every": "1d", "horizon": "7d", "season": "7d"}},
        "sources": {"items": rows_source(key=["shop", "at"])},
        "label": label("sold"),
        "retraining": {**full(time="14d"), "gap": "7d"},
        "evaluation": {"metrics": {"error": {"mae": {}}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "error", "max": 4}}, "error_kept": kept("error", 2)}},
    }
    return make(folder, spec, SEASONS, {"items": daily()})


def no_label(folder: Path) -> Path:
    """No labels, rows in CSV, started by the number of new rows."""
    columns = {"at": "timestamp", "amount": "number"}
    spec = {
        "task": "binary",
        "sources": {
            "items": {**rows_source(), "csv": {"path": "data/items.csv", "columns": columns}},
        },
        "label": "none",
        "triggers": {"enough": {"new_data": {"min_rows": 100}}},
        "retraining": full(),
        "evaluation": {
            "metrics": {
                "flagged": {"share": {"column": "score", "min": 0.7}, "better": "neither"},
                "mean_score": {"mean": {"column": "score"}, "better": "neither"},
            }
        },
        "promotion": {
            "gates": {
                "not_deaf": {"range": {"metric": "flagged", "min": 0.01, "max": 0.5}},
                "centred": {"range": {"metric": "mean_score", "min": 0.1, "max": 0.9}},
            }
        },
    }
    del spec["sources"]["items"]["parquet"]
    return make(folder, spec, UNLABELLED, {"items": without(items(), "colour", "gain", "sold", "bought")})


def regression(folder: Path, holdout: Mapping[str, Any], *, timed: bool = True) -> Path:
    """Numbers, judged on rows that are set aside for good."""
    exam = {"role": "holdout", "parquet": {"path": "data/exam.parquet"}, "event_time": "at", "key": ["id"]}
    rows = items()
    tables = {"items": rows}
    sources = {"items": rows_source()}
    if "source" in holdout:
        sources["exam"] = exam
        tables["exam"] = [r | {"id": f"x{r['id']}"} for r in items(days=10, seed=3)]
    retraining = full(**holdout)
    if not timed:
        sources["items"]["event_time"] = "none"
        del retraining["window"]
        tables["items"] = without(rows, "at")
    spec = {
        "task": "regression",
        "sources": sources,
        "label": {**label("sold"), "known_after": "1d" if timed else "0d"},
        "retraining": retraining,
        "evaluation": {"metrics": {"error": {"mae": {}}}},
        "promotion": {"gates": {"sane": {"range": {"metric": "error", "max": 4}}, "error_kept": kept("error", 1)}},
    }
    return make(folder, spec, MEANS, tables)
