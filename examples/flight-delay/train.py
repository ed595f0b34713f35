"""Trains the classifier: the probability that a flight arrives more than 15 minutes late.

    python train.py --train FOLDER --valid FOLDER --out FOLDER

The folders hold Parquet files. An ordinary script: it knows nothing of who calls it.
"""

from __future__ import annotations

import argparse
import json
import pickle
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

LABEL = "late"
CATEGORIES = ("carrier", "origin", "dest")
NUMBERS = (
    "distance", "departure_minute", "weekday",
    "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib",
)  # fmt: skip

Matrix = NDArray[np.float64]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the flight-delay classifier.")
    parser.add_argument("--train", type=Path, required=True, help="folder of Parquet files with the label")
    parser.add_argument("--valid", type=Path, required=True, help="the same, of later rows; may be empty")
    parser.add_argument("--out", type=Path, required=True, help="folder for model.pkl and metrics.json")
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--leaves", type=int, default=15)
    parser.add_argument("--min-leaf", type=int, default=100, help="fewest rows in a leaf")
    parser.add_argument("--l2", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        train, valid = read(options.train), read(options.valid)
        model = fit(train, options)
    except (KeyError, OSError, ValueError, pa.ArrowException) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    measured = {"train": measure(model, train), "valid": measure(model, valid)}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "model.pkl").write_bytes(pickle.dumps(model))
    (options.out / "metrics.json").write_text(json.dumps(measured, indent=2, sort_keys=True) + "\n")
    print(json.dumps(measured, sort_keys=True))
    return 0


def read(folder: Path) -> pa.Table:
    """The rows of a folder of Parquet files."""
    return pq.read_table(folder)


def fit(table: pa.Table, options: argparse.Namespace) -> dict[str, Any]:
    """The classifier with the categories that it learnt, all that `scores` needs."""
    if table.num_rows == 0:
        raise ValueError("there are no rows to train on")
    vocabulary = {name: sorted(set(table[name].to_pylist()) - {None}) for name in CATEGORIES}
    classifier = HistGradientBoostingClassifier(
        max_iter=options.iterations,
        learning_rate=options.learning_rate,
        max_leaf_nodes=options.leaves,
        min_samples_leaf=options.min_leaf,
        l2_regularization=options.l2,
        categorical_features=list(range(len(CATEGORIES))),
        early_stopping=False,
        random_state=options.seed,
    )
    features = matrix(table, vocabulary)
    features[:, np.isnan(features).all(axis=0)] = 0.0  # binning needs a value; a constant splits nothing
    classifier.fit(features, labels(table))
    return {"classifier": classifier, "vocabulary": vocabulary}


def matrix(table: pa.Table, vocabulary: Mapping[str, Sequence[str]]) -> Matrix:
    """Categories as codes, then numbers. Missing values and categories that training never saw are NaN."""
    columns = [encode(table[name], vocabulary[name]) for name in CATEGORIES]
    columns += [table[name].cast(pa.float64()).to_numpy() for name in NUMBERS]
    return np.column_stack(columns)


def encode(column: pa.ChunkedArray, known: Sequence[str]) -> Matrix:
    codes = {value: float(code) for code, value in enumerate(known)}
    return np.array([codes.get(value, np.nan) for value in column.to_pylist()], dtype=np.float64)


def labels(table: pa.Table) -> NDArray[np.int64]:
    return np.asarray(table[LABEL].to_numpy(), dtype=np.int64)


def scores(model: Mapping[str, Any], table: pa.Table) -> Matrix:
    """The probability of being late, one per row."""
    if table.num_rows == 0:
        return np.empty(0)
    return np.asarray(model["classifier"].predict_proba(matrix(table, model["vocabulary"]))[:, 1])


def measure(model: Mapping[str, Any], table: pa.Table) -> dict[str, float | int | None]:
    """For the log of the training run; what decides is measured elsewhere, on rows that are not here."""
    truth = labels(table) if table.num_rows else np.empty(0, dtype=np.int64)
    if len(set(truth.tolist())) < 2:
        return {"rows": len(truth), "auc": None, "log_loss": None}
    predicted = scores(model, table)
    return {
        "rows": len(truth),
        "auc": round(float(roc_auc_score(truth, predicted)), 6),
        "log_loss": round(float(log_loss(truth, predicted)), 6),
    }


if __name__ == "__main__":
    sys.exit(main())
