"""Real runs, on every target, of data that is not a table of events in Parquet."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data_projects
import project
import pytest

from ctc import targets
from ctc.policy.draws import drawn

FIRST, SECOND = "2024-02-05T06:00:00Z", "2024-02-12T06:00:00Z"


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_data_without_time_is_judged_on_the_keys_that_are_held_out(tmp_path: Path, target: str) -> None:
    spec = data_projects.houses(tmp_path / "p")

    records = project.run(spec, "--at", FIRST, "--at", SECOND, target=target)

    first, second = [record for record in records if record["kind"] == "attempt"]
    with (spec.parent / "data" / "houses.csv").open(newline="") as file:
        sold = [row["house"] for row in csv.DictReader(file) if row["state"] == "sold"]
    held = [house for house in sold if drawn("2024", [house], 0.2)]
    assert first["data"]["rows"] == {"train": len(sold) - len(held), "valid": 0, "holdout": len(held)}
    assert first["windows"] == {"labelled_until": FIRST, "train_end": FIRST, "holdout_end": FIRST}
    assert [first["outcome"], second["outcome"]] == ["candidate", "candidate"]
    # Both models are judged on all of the same rows: neither has ever learnt from one.
    assert second["evaluation"]["compared_rows"] == len(held) == second["evaluation"]["rows"]
    assert second["data"]["fingerprint"] == first["data"]["fingerprint"]
    assert set(first["evaluation"]["slices"]["owner"]) == {"x", "y"}


def test_rows_that_are_rewritten_are_told_of_at_an_instant_of_the_past(tmp_path: Path) -> None:
    spec = data_projects.houses(tmp_path / "p")
    spec.write_text(spec.read_text().replace("event_time: none", "event_time: none\n    replayable: false"))

    quiet = [word for hour in (7, 8) for word in ("--at", f"2024-02-06T0{hour}:00:00Z")]
    done = project.ctc("run", spec, *quiet, "--python", sys.executable, cwd=spec.parent)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("warning: rows of houses are rewritten in place") == 1


@pytest.mark.soak
@pytest.mark.parametrize("target", targets.NAMES)
@pytest.mark.parametrize(
    ("made", "metric", "facts"),
    [
        (data_projects.flowers, "right", {"class_count": 3, "absent_labels": 0}),
        (data_projects.searches, "top", {"groups": 282, "absent_labels": 1128}),
        (data_projects.pumps, "flagged", {"rows": {"train": 678, "valid": 0, "holdout": 122}}),
        (data_projects.sales, "off", {"series": 2, "origins": 2}),
    ],
)
def test_every_task_runs(
    tmp_path: Path, target: str, made: Callable[[Path], Path], metric: str, facts: dict[str, Any]
) -> None:
    [first, *_] = records = project.run(made(tmp_path / "p"), "--at", FIRST, target=target)

    [attempt] = [record for record in records if record["kind"] == "attempt"]
    assert attempt["outcome"] == "candidate", attempt
    assert {name: attempt["data"][name] for name in facts} == facts
    assert attempt["evaluation"]["metrics"][metric]["contender"]["value"] is not None
    assert first["triggers"][0]["answer"] == "fired"
