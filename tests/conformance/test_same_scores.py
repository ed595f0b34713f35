"""Batch jobs on every target: the compiled pipelines are executed, and their records and scores compared."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import project
import pyarrow.parquet as pq
import pytest

from ctc import targets

COMPARED = targets.NAMES if os.environ.get("CTC_SOAK") == "1" else ("kubeflow", "azureml")
"""All of them with `make soak`."""

INSTANTS = [
    *("2024-02-26T06:00:00Z", "2024-02-27T05:00:00Z", "2024-02-27T05:01:00Z"),
    *("2024-03-04T06:00:00Z", "2024-03-05T05:00:00Z"),
]
SERVING = """\
serving:
  nightly: {batch: {rows: visits, out: scores/nightly, schedule: {cron: "0,1 5 * * *", timezone: UTC}}}
  all: {batch: {rows: visits, out: scores/all, write: replace, schedule: {cron: "0 6 * * 1", timezone: UTC}}}
"""
SERVED = """\
  served:
    role: predictions
    parquet: {path: scores/nightly}
    columns: {key: key, score: score, model_version: model_version, event_time: event_time}
label: {source: outcomes"""
WATCHED = """\
triggers:
  worse: {performance: {metric: auc, min: 0.01, window: 20d, min_rows: 20}, then: alert}
"""


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("scores")
    first = project.make(base / "first")
    text = first.read_text().replace("label: {source: outcomes", SERVED).replace("triggers:\n", WATCHED)
    first.write_text(text + SERVING)
    for name in COMPARED:
        shutil.copytree(first.parent, base / name)
    return {name: base / name / "ctc.yaml" for name in COMPARED}


@pytest.fixture(scope="module")
def records(specs: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    at = [word for instant in INSTANTS for word in ("--at", instant)]
    return {name: project.run(spec, *at, target=name) for name, spec in specs.items()}


def without_addresses(record: dict[str, Any]) -> dict[str, Any]:
    """What may differ between targets is their name, and where a model is kept."""
    candidate = record.get("candidate")
    return {**record, "target": "", "candidate": {**candidate, "uri": ""} if candidate else None}


def files(spec: Path, entry: str) -> dict[str, list[dict[str, Any]]]:
    folder = spec.parent / "scores" / entry
    return {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.iterdir())}


def known(spec: Path, until: str) -> set[str]:
    rows = pq.read_table(spec.parent / "data" / "visits.parquet").to_pylist()
    return {row["id"] for row in rows if row["at"].isoformat() <= until}


def test_every_target_writes_the_same_job_records(records: dict[str, list[dict[str, Any]]]) -> None:
    import jsonschema

    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    first, *others = records.values()
    jobs = [record for record in first if record["kind"] == "score"]
    assert [job["outcome"] for job in jobs if job["serving"] == "all"] == ["scored", "scored"]
    assert {job["champion"] for job in jobs} == {"1", "2"}
    for record in first:
        jsonschema.validate(record, schema)
    for other in others:
        assert list(map(without_addresses, other)) == list(map(without_addresses, first))


def test_each_row_has_one_score_of_the_champion_of_its_job(
    specs: dict[str, Path], records: dict[str, list[dict[str, Any]]]
) -> None:
    for name, spec in specs.items():
        found = files(spec, "nightly")
        keys = [row["key"] for rows in found.values() for row in rows]
        assert len(keys) == len(set(keys))
        assert set(keys) == known(spec, "2024-03-05T05:00:00+00:00")
        jobs = [record for record in records[name] if record.get("serving") == "nightly" and record["out"]]
        for job in jobs:
            rows = found[Path(job["out"]).name]
            assert {row["model_version"] for row in rows} == {job["champion"]}
            assert len(rows) == job["data"]["rows"] == job["data"]["scored"]
        assert found == files(next(iter(specs.values())), "nightly")


def test_a_job_without_new_rows_ends_well_and_writes_nothing(
    specs: dict[str, Path], records: dict[str, list[dict[str, Any]]]
) -> None:
    for name, spec in specs.items():
        jobs = [record for record in records[name] if record.get("serving") == "nightly"]
        assert [job["outcome"] for job in jobs] == ["scored", "empty", "scored", "scored"]
        assert jobs[1]["steps"]["publish"] == {"status": "not_run"}
        assert list(files(spec, "nightly")) == [Path(job["out"]).name for job in jobs if job["out"]]


def test_what_replaces_holds_all_rows_of_its_last_job(specs: dict[str, Path]) -> None:
    for spec in specs.values():
        [(name, rows)] = files(spec, "all").items()
        assert name == "scores.parquet"
        assert {row["key"] for row in rows} == known(spec, "2024-03-04T06:00:00+00:00")


def test_the_scores_are_read_back_and_judged(records: dict[str, list[dict[str, Any]]]) -> None:
    """By a performance trigger on the labels that have matured since."""
    for run in records.values():
        answers = [answer for record in run for answer in record.get("triggers", ()) if isinstance(answer, dict)]
        judged = [answer for answer in answers if answer["name"] == "worse" and answer["answer"] == "quiet"]
        assert judged, [answer for answer in answers if answer["name"] == "worse"]
