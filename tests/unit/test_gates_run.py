"""`ctc run` with every kind of gate: units, bands, slices with Holm's correction, parity, size and an expression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import project
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctc.run.text import by_slice, numbers

TRAIN = """\
import argparse, json, pathlib
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--train", "--valid", "--out"):
    parser.add_argument(name, required=True)
parser.add_argument("--smooth", type=float, default=1.0)
args = parser.parse_args()
rows = pq.read_table(args.train).to_pylist()
sums = {}
for row in rows:
    total, n = sums.get(row["shop"], (0.0, 0))
    sums[row["shop"]] = (total + row["minutes"], n + 1)
means = {shop: total / n for shop, (total, n) in sorted(sums.items())}
pathlib.Path(args.out, "model.json").write_text(json.dumps(means))
"""

PREDICT = """\
import argparse, json, pathlib
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--model", "--rows", "--out"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
means = json.loads(pathlib.Path(args.model, "model.json").read_text())
rows = pq.read_table(args.rows).to_pylist()
found = [means.get(row["shop"], 10.0) + row["amount"] / 20 for row in rows]
columns = {"prediction": found, "quantile_0.9": [value + 8 for value in found], "margin": [v / 2 for v in found]}
pq.write_table(pa.table({"row_id": [row["row_id"] for row in rows], **columns}), args.out)
"""

EVALUATION = """\
evaluation:
  metrics:
    error: {mae: {}}
    explained: {r2: {}}
    upper: {pinball: {quantile: 0.9}}
    earned: {mean: {column: margin}, better: higher}
    dear: {share: {column: amount, min: 50}, better: neither}
  unit: [customer]
  slices:
    shop: {column: shop, min_rows: 20}
    size: {column: amount, edges: [10, 50], min_rows: 60}
promotion:
  gates:
    floor: {range: {metric: error, max: 20}}
    bands: {range: {metric: error, by: size, max: 20}}
    kept: {not_worse: {metric: error, margin: {relative: 20%}, confidence: 95%}}
    everywhere: {not_worse: {metric: error, by: size, margin: 2, confidence: 90%}}
    even: {parity: {metric: error, by: shop, min_ratio: 30%, confidence: 90%}}
    small: {model_size: {max: 1MB}}
    both: {expression: {that: "error <= champion.error * 1.5 + 0.1"}}
  false_promotions: {max: 10, per: 365d}
"""


def regression(folder: Path) -> Path:
    spec = project.make(folder)
    visits = pq.read_table(folder / "data/visits.parquet")
    outcomes = pq.read_table(folder / "data/outcomes.parquet").to_pylist()
    amounts = {row["id"]: (row["amount"], row["shop"]) for row in visits.to_pylist()}
    customers = [f"c{index % 97}" for index in range(len(visits))]
    pq.write_table(visits.append_column("customer", pa.array(customers)), folder / "data/visits.parquet")
    for index, row in enumerate(outcomes):
        amount, shop = amounts[row["id"]]
        row["minutes"] = 5.0 + amount / 20 + {"a": 0, "b": 3, "c": 6}[shop] + (index * 7919 % 13)
        del row["bought"]
    pq.write_table(pa.Table.from_pylist(outcomes), folder / "data/outcomes.parquet")
    (folder / "train.py").write_text(TRAIN)
    (folder / "predict.py").write_text(PREDICT)
    text = project.SPEC.replace("task: binary", "task: regression").replace("column: bought", "column: minutes")
    text = text.replace(", min_positives: 10", "")
    start, end = text.index("evaluation:"), text.index("triggers:")
    spec.write_text(text[:start] + EVALUATION + text[end:])
    return spec


def attempt(records: list[dict[str, Any]]) -> dict[str, Any]:
    return next(record for record in records if record["kind"] == "attempt")


@pytest.mark.parametrize("target", ["kubeflow", pytest.param("sagemaker", marks=pytest.mark.soak)])
def test_a_regression_with_every_kind_of_gate(tmp_path: Path, target: str) -> None:
    spec = regression(tmp_path / "project")

    first = attempt(project.run(spec, "--at", "2024-03-04T06:00:00Z", target=target))
    second = attempt(project.run(spec, "--at", "2024-03-11T06:00:00Z", target=target))

    assert first["outcome"] == second["outcome"] == "candidate", (first["reason"], second["reason"])
    gates = {gate["name"]: gate for gate in first["decision"]["gates"]}
    assert [gates[name]["answer"] for name in ("kept", "everywhere", "both")] == ["not_applicable"] * 3
    assert [gates[name]["answer"] for name in ("floor", "bands", "even", "small")] == ["pass"] * 4
    gates = {gate["name"]: gate for gate in second["decision"]["gates"]}
    assert {gate["answer"] for gate in gates.values()} == {"pass"}
    kept = gates["kept"]["numbers"]
    assert (kept["method"], kept["margin"]) == ("paired_bootstrap", pytest.approx(0.2 * kept["champion"]))
    assert 0.95 < kept["confidence"] < 1, "false_promotions tightens the gate"
    assert 50 < kept["units"] <= 97
    bands = gates["everywhere"]["numbers"]["slices"]
    assert set(bands) < {"[-inf, 10)", "[10, 50)", "[50, inf)"} and len(bands) == 2
    assert set(gates["everywhere"]["numbers"]["not_judged"]) == {"[-inf, 10)"}
    assert 0 < gates["small"]["numbers"]["bytes"] < 1000
    assert second["evaluation"]["metrics"]["dear"]["contender"]["value"] == pytest.approx(0.5, abs=0.1)


def test_slices_are_told_line_by_line() -> None:
    found = {"worst": "a", "slices": {"a": {"gain": 0.01, "p": None}, "b": 0.5}, "not_judged": {"c": "3 rows"}}

    assert numbers(found) == "worst a"
    assert by_slice(found) == [("a", "gain 0.0100"), ("b", "0.5000"), ("c", "not judged: 3 rows")]
    assert by_slice({}) == []
