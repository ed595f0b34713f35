"""A linear model of the same flights that can go on from an earlier one: `strategies.yaml` trains it in three ways.

    python linear.py fit --train FOLDER --base FOLDER --out FOLDER
    python linear.py predict --model FOLDER --rows FOLDER --out FILE.parquet

The base is a model's folder, or an empty one: then it starts from nothing. Rows are learnt in their order, `--passes`
times from nothing and once from a base.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler
from train import CATEGORIES, LABEL, NUMBERS

BUCKETS = 2**12
MODEL = "linear.pkl"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A linear flight-delay classifier that can be continued.")
    parser.add_argument("what", choices=("fit", "predict"))
    for name in ("--train", "--base", "--model", "--rows", "--out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--rate", type=float, default=0.005)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        (fit if options.what == "fit" else predict)(options)
    except (KeyError, OSError, ValueError, pa.ArrowException) as error:
        print(f"linear.py: {error}", file=sys.stderr)
        return 1
    return 0


def fit(options: argparse.Namespace) -> None:
    table = pq.read_table(options.train)
    base = None if options.base is None else options.base / MODEL
    continued = base is not None and base.is_file()
    model = pickle.loads(base.read_bytes()) if base is not None and continued else fresh(options)
    labels = table[LABEL].to_numpy()
    model["scaler"].partial_fit(numbers(table))
    features = matrix(model, table)
    passes = 1 if continued else options.passes
    for _ in range(passes):
        model["classifier"].partial_fit(features, labels, classes=[0, 1])
    model["learnt"] += len(labels)
    (options.out / MODEL).write_bytes(pickle.dumps(model))
    how = "continued" if continued else "from nothing"
    print(f"{how}: {len(labels)} rows, {passes} passes; {model['learnt']} rows in all")


def fresh(options: argparse.Namespace) -> dict[str, Any]:
    classifier = SGDClassifier(
        loss="log_loss", alpha=1e-5, learning_rate="constant", eta0=options.rate, shuffle=False, average=False,
        random_state=options.seed,
    )  # fmt: skip
    return {"classifier": classifier, "scaler": StandardScaler(), "learnt": 0}


def numbers(table: pa.Table) -> NDArray[np.float64]:
    return np.column_stack([table[name].cast(pa.float64()).to_numpy() for name in NUMBERS])


def matrix(model: dict[str, Any], table: pa.Table) -> csr_matrix:
    """Scaled numbers, missing ones at their mean; categories and the hour hashed: new values need no new columns."""
    scaled = np.clip(np.nan_to_num(model["scaler"].transform(numbers(table)), nan=0.0), -5, 5)
    hours = [str(int(minute) // 60) for minute in table["departure_minute"].to_pylist()]
    columns = [*((name, table[name].to_pylist()) for name in CATEGORIES), ("hour", hours)]
    places = np.column_stack(
        [[zlib.crc32(f"{name}={value}".encode()) % BUCKETS for value in values] for name, values in columns]
    )
    ones = np.ones(places.size)
    starts = np.arange(len(places) + 1) * places.shape[1]
    return hstack([csr_matrix(scaled), csr_matrix((ones, places.ravel(), starts), (len(places), BUCKETS))]).tocsr()


def predict(options: argparse.Namespace) -> None:
    rows = pq.read_table(options.rows)
    model = pickle.loads((options.model / MODEL).read_bytes())
    scores = model["classifier"].predict_proba(matrix(model, rows))[:, 1] if rows.num_rows else np.empty(0)
    pq.write_table(pa.table({"row_id": rows["row_id"], "score": scores}), options.out)


if __name__ == "__main__":
    sys.exit(main())
