"""A training that Vertex AI runs as a CustomJob on spot capacity, executed here from the emitted job."""

from __future__ import annotations

import json
from pathlib import Path

import project

from ctc.targets.vertex.pipeline import payload


def test_a_custom_job_trains_as_a_plain_task_does(tmp_path: Path) -> None:
    spec = project.make(tmp_path)
    old = "  timeout: 2m\n"
    job = "  resources: {cpu: 2, memory: 4Gi, disk: 200Gi}\n  spot: {checkpoint: 1m, max_wait: 1h}\n"
    assert old in spec.read_text()
    spec.write_text(spec.read_text().replace(old, old + job))
    records = project.run(spec, "--at", "2024-02-26T06:00:00Z", target="vertex")
    train = json.loads((project.state(spec, "vertex") / "bundle" / "pipelines" / "train.json").read_text())
    executors = train["pipelineSpec"]["deploymentSpec"]["executors"]
    attempts = [record for record in records if record["kind"] == "attempt"]

    assert [label for label, executor in sorted(executors.items()) if payload(executor)] == [
        "exec-predict-champion", "exec-predict-contender", "exec-train",
    ]  # fmt: skip
    assert [attempt["outcome"] for attempt in attempts] == ["candidate"]
    assert {"train", "predict-contender", "predict-champion"} <= set(attempts[0]["steps"])
