"""A batch job whose run is killed from outside, at moments that matter, and run again: each row has one score."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import project
import pyarrow.parquet as pq
import pytest

CROWNED, DUE, NEXT = "2024-02-26T06:00:00Z", "2024-02-27T05:00:00Z", "2024-02-28T05:00:00Z"
SERVING = """\
serving:
  nightly: {batch: {rows: visits, out: scores, schedule: {cron: "0 5 * * *", timezone: UTC}}}
"""
MOMENTS = {
    "launched": "launches/20240227T050000Z-*.json",
    "rows read": "attempts/20240227T050000Z-*/results/rows.json",
    "predicted": "attempts/20240227T050000Z-*/status/predict-champion.json",
    "published": "../../../../scores/20240227T050000Z.parquet",
    "recorded": "records/20240227T050000Z-*.json",
}
"""What is there once a moment has come, below the state's folder."""


@pytest.fixture(scope="module")
def crowned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, whose triggers are quiet."""
    spec = project.make(tmp_path_factory.mktemp("kills") / "toy")
    spec.write_text(spec.read_text() + SERVING)
    project.run(spec, "--at", CROWNED)
    quiet = spec.read_text().replace("  fresh_labels: {new_data: {min_rows: 400}}\n", "")
    spec.write_text(quiet.replace("weekly: {", "weekly: {enabled: false, "))
    return spec


SAMPLED = ("launched", "published")


@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=() if name in SAMPLED else pytest.mark.soak) for name in MOMENTS]
)
def test_killed_and_run_again_each_row_has_one_score(moment: str, crowned: Path, tmp_path: Path) -> None:
    shutil.copytree(crowned.parent, tmp_path / "toy")
    spec = tmp_path / "toy" / "ctc.yaml"
    state = project.state(spec)
    words = [sys.executable, "-m", "ctc", "run", spec, "--python", sys.executable, "--target", "kubeflow", "--at", DUE]
    started = subprocess.Popen(
        list(map(str, words)),
        cwd=spec.parent,
        env={**os.environ, "PYTHONPATH": str(project.ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not any(state.glob(MOMENTS[moment])) and started.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    assert started.poll() is None, "it ended before the moment came"
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()

    records = project.run(spec, "--at", DUE, "--at", NEXT)

    jobs = [record for record in records if record["kind"] == "score"]
    assert [job["outcome"] for job in jobs if job["instant"] == NEXT] == ["scored"]
    rows = [row for path in sorted((spec.parent / "scores").glob("*")) for row in pq.read_table(path).to_pylist()]
    keys = [row["key"] for row in rows]
    visits = pq.read_table(spec.parent / "data" / "visits.parquet").to_pylist()
    assert sorted(keys) == sorted(row["id"] for row in visits if row["at"].isoformat() <= NEXT.replace("Z", "+00:00"))
    assert {path.suffix for path in (spec.parent / "scores").iterdir()} == {".parquet"}


def test_a_job_that_cannot_write_is_told_and_the_next_one_scores_its_rows(crowned: Path, tmp_path: Path) -> None:
    shutil.copytree(crowned.parent, tmp_path / "toy")
    spec = tmp_path / "toy" / "ctc.yaml"
    in_the_way = spec.parent / "scores"
    in_the_way.write_text("not a folder")

    done = project.ctc("run", spec, "--target", "kubeflow", "--python", sys.executable, "--at", DUE, cwd=spec.parent)
    assert done.returncode != 0
    assert "batch job 20240227T050000Z-" in done.stderr
    assert "scores" in done.stderr

    in_the_way.unlink()
    records = project.run(spec, "--at", NEXT)
    [job] = [record for record in records if record["kind"] == "score"]
    assert (job["outcome"], job["after"]) == ("scored", None)
    assert [path.name for path in in_the_way.iterdir()] == ["20240227T050000Z.parquet"]
