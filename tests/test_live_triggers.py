"""The triggers that watch what is live, through whole runs of a small project on both targets."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent))
import project
import pytest

CHANGE = dt.datetime(2024, 3, 21, tzinfo=dt.UTC)
FIRST = "2024-03-11T06:00:00Z"
SERVED = """\
  served:
    role: predictions
    parquet: {path: data/served.parquet}
    columns: {key: visit, score: p, model_version: version, event_time: answered_at}
label:"""
CHECKS = """\
    fresh: {freshness: {max_age: 2d}, source: visits, on_fail: warn}
    like_before: {drift: {columns: [amount, shop], method: jensen_shannon, max: 0.5}}
    as_served: {skew: {source: served, columns: [shop], method: l_infinity, max: 0.2}, on_fail: warn}
"""


def make(folder: Path, triggers: str) -> Path:
    """The project with triggers of its own. From CHANGE on amounts are above 50, and what is served is wrong."""
    spec = project.make(folder)
    rows = pq.read_table(folder / "data" / "visits.parquet").to_pylist()
    for row in rows:
        if row["at"] >= CHANGE:
            row["amount"] = 50 + row["amount"] / 2
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "visits.parquet")
    chances = {"a": 0.2, "b": 0.5, "c": 0.7}
    served = [
        {
            "visit": row["id"],
            "shop": row["shop"],
            "answered_at": row["at"],
            "version": "1",
            "p": chances[row["shop"]] if row["at"] < CHANGE else 1 - chances[row["shop"]],
        }
        for row in rows
        if row["at"] >= dt.datetime(2024, 2, 20, tzinfo=dt.UTC)
    ]
    pq.write_table(pa.Table.from_pylist(served), folder / "data" / "served.parquet")
    text = spec.read_text()
    before, rest = text.split("triggers:\n")
    policy = rest[rest.index("trigger_policy:") :]
    before = before.replace("label:", SERVED, 1).replace(CHECKS.splitlines(keepends=True)[0], CHECKS)
    spec.write_text(f"{before}triggers:\n  asked: {{manual: {{}}}}\n{triggers}{policy}")
    return spec


def woken(spec: Path, at: str, target: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The watching trigger's answer in the wake's record, and all records."""
    records = project.run(spec, "--at", at, target=target)
    answers = [answer for record in records if record["kind"] == "wake" for answer in record["triggers"]]
    return next((answer for answer in answers if answer["name"] == "watch"), {}), records


def test_drift_that_lasts_starts_a_training(tmp_path: Path) -> None:
    spec = make(
        tmp_path,
        "  watch: {drift: {columns: [amount], method: psi, max: 0.5, window: 3d, min_rows: 50}, sustained: 6h}\n",
    )
    [first] = [
        record for record in project.run(spec, "--manual", "first", "--at", FIRST) if record["kind"] == "attempt"
    ]
    assert first["outcome"] == "candidate"
    profile = json.loads((project.state(spec) / "attempts" / first["id"] / "profile.json").read_text())
    assert profile["columns"]["amount"]["rows"] == first["data"]["rows"]["train"] + first["data"]["rows"]["valid"]
    given = {check["name"]: check["answer"] for check in first["checks"]}
    assert given["like_before"] == "not_evaluable"
    assert given["as_served"] == "pass"

    assert woken(spec, "2024-03-20T00:00:00Z", "kubeflow") == ({}, [])
    assert woken(spec, "2024-03-21T06:00:00Z", "kubeflow") == ({}, [])
    fired, records = woken(spec, "2024-03-25T00:00:00Z", "kubeflow")
    assert fired["answer"] == "fired"
    assert fired["numbers"]["instants"] == 7
    assert fired["numbers"]["columns"]["amount"]["value"] > 0.5
    assert "since 2024-03-24T18:00:00Z" in fired["reason"]
    [second] = [record for record in records if record["kind"] == "attempt"]
    assert second["triggers"] == ["watch"]
    assert {check["name"]: check["answer"] for check in second["checks"]}["like_before"] == "pass"


@pytest.mark.soak
def test_a_champion_that_fails_live_starts_a_training(tmp_path: Path) -> None:
    spec = make(
        tmp_path,
        "  watch:\n    performance: {metric: auc, drop: 0.1, window: 5d, min_rows: 50}\n"
        "    wait_for: {mature_rows_after_change: 100}\n",
    )
    project.run(spec, "--manual", "first", "--at", FIRST, target="sagemaker")
    assert woken(spec, "2024-03-20T00:00:00Z", "sagemaker") == ({}, [])
    fired, records = woken(spec, "2024-04-02T00:00:00Z", "sagemaker")
    assert fired["answer"] == "fired"
    assert fired["numbers"]["worse"] > 0.1
    assert fired["numbers"]["mature_rows"] >= 100
    assert [record["triggers"] for record in records if record["kind"] == "attempt"] == [["watch"]]
