"""Every kind of data check in `ctc run`, on both targets: what warns goes on, what is bad is set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import project
import pyarrow.parquet as pq
import pytest

CHECKS = """\
    cheap: {range: {column: amount, max: 90}, on_fail: quarantine}
    shops: {pattern: {column: shop, regex: "[ab]"}, on_fail: warn}
    affordable: {sql: {expression: "amount >= 0 AND price IS NOT NULL"}}
    types: {schema: {columns: {shop: string, amount: number, bought: integer}}}
    usual: {row_count: {usual: 20%}}
    rate: {label_rate: {min: 20%, max: 80%}}
    leak: {leakage: {max_auc: 0.9}}
    live: {row_count: {min: 1}, over: {source: visits, window: 2d}}
"""
ANSWERS = {
    "cheap": "fail",
    "shops": "fail",
    "affordable": "pass",
    "types": "pass",
    "usual": "not_evaluable",
    "rate": "pass",
    "leak": "pass",
    "live": "pass",
}


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_bad_rows_are_set_aside_and_the_attempt_goes_on(tmp_path: Path, target: str) -> None:
    spec = project.make(tmp_path / "toy", days=60)
    spec.write_text(spec.read_text().replace("  checks:\n", "  checks:\n" + CHECKS))

    records = project.run(spec, "--at", "2024-02-26T06:00:00Z", target=target)

    schema: dict[str, Any] = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    for record in records:
        jsonschema.validate(record, schema)
    [attempt] = [record for record in records if record["kind"] == "attempt"]
    assert attempt["outcome"] == "candidate", attempt["error"] or attempt["reason"]
    found = {check["name"]: check["answer"] for check in attempt["checks"]}
    assert ANSWERS.items() <= found.items()
    aside = attempt["data"]["quarantined"]
    [kept] = list(project.state(spec, target).rglob("quarantine/data.parquet"))
    amounts = pq.read_table(kept).column("amount").to_pylist()
    assert len(amounts) == aside["rows"] > 0
    assert min(amounts) > 90
    [train] = list(project.state(spec, target).rglob("train/data.parquet"))
    assert max(pq.read_table(train).column("amount").to_pylist()) <= 90
