"""Scores rows with a trained model.

python predict.py --model FOLDER --rows FOLDER --out FILE.parquet
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from train import read, scores


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Score rows with the flight-delay classifier.")
    parser.add_argument("--model", type=Path, required=True, help="folder with model.pkl")
    parser.add_argument("--rows", type=Path, required=True, help="folder of Parquet files with row_id and the features")
    parser.add_argument("--out", type=Path, required=True, help="the Parquet file to write: row_id, score")
    options = parser.parse_args(arguments)
    try:
        rows = read(options.rows)
        model = pickle.loads((options.model / "model.pkl").read_bytes())
        predicted = pa.table({"row_id": rows["row_id"], "score": scores(model, rows)})
        options.out.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(predicted, options.out)
    except (KeyError, OSError, ValueError, pa.ArrowException) as error:
        print(f"predict.py: {error}", file=sys.stderr)
        return 1
    print(f"{rows.num_rows} rows scored")
    return 0


if __name__ == "__main__":
    sys.exit(main())
