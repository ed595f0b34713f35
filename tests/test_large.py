"""The data steps on sources larger than their memory: 1 GB of files, 5 GB under CTC_SOAK=1, judged by plain SQL.

Each step is the real program in a process of its own. What it answers is worked out a second time here, in other words:
grouped SQL in place of the engine's join as of, a count of pairs in place of ranks.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from step_tables import DAY, START, at, data, source, windows

ROOT = Path(__file__).resolve().parents[1]
STORE = "s3://bucket/toy/prod"
SCALE = 5 if os.environ.get("CTC_SOAK") == "1" else 1
ROWS, SHOPS, UPDATES = 6_500_000 * SCALE, 200_000 * SCALE, 15
GB = 10**9
DISK = 8 * GB * SCALE
ENGINE_MEMORY = "1GB"
PEAK = 2 * GB
"""What a whole process may hold: the engine's share, Python with its libraries, and the columns of `evaluate`."""
SPOTS = 1000
FEATURES = [f"f{number}" for number in range(6)]
NUMBERS = [f"x{number}" for number in range(9)]
SECTION = windows(known_after=2 * DAY, holdout=10 * DAY, gap=DAY, window=30 * DAY, validation_share=0.2)
NOW = at(46 * 24)
LEARNT = f"at >= TIMESTAMPTZ '{at(3 * 24)}' AND at < TIMESTAMPTZ '{at(33 * 24)}'"
HELD = f"at >= TIMESTAMPTZ '{at(34 * 24)}' AND at < TIMESTAMPTZ '{at(44 * 24)}'"


@dataclass(frozen=True)
class Ran:
    """`peak` and `spilled` are bytes: of the process's memory, and of what the engine laid aside beside the outputs."""

    code: int
    said: str
    peak: int
    spilled: int
    result: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A folder with sources and a deployment."""

    folder: Path

    @property
    def policy(self) -> dict[str, Any]:
        sources = {
            "main": source("rows", self.source("main"), event_time="at", key=["id"]),
            "prices": source("features", self.source("prices"), known_at="known", join=["shop"]),
            "labels": source("labels", self.source("labels"), known_at="known", join=["id"]),
        }
        metric = {"name": "auc", "kind": "roc_auc", "better": "higher", "arguments": {}}
        gate = {"name": "same", "kind": "not_worse", "metric": "auc", "better": "higher", "confidence": 0.975}
        return {
            "data": data(sources, label={"known_after": 2 * DAY}),
            "windows": SECTION,
            "validation": {"checks": CHECKS},
            "evaluation": {"metrics": [metric], "slices": [{"name": "third", "column": "shop", "min_rows": 10**9}]},
            "promotion": {"gates": [{**gate, "margin": 0.01, "value": None, "min": None, "max": None}]},
        }

    def source(self, name: str) -> str:
        return str(self.folder / "sources" / name)

    def out(self, step: str, name: str) -> Path:
        return self.folder / "out" / step / name

    def run(self, step: str, inputs: Mapping[str, Path], outputs: list[str], memory: str = ENGINE_MEMORY) -> Ran:
        """One step as its container runs it, on two threads."""
        document = {
            **{"version": 1, "step": step, "name": "toy", "environment": "prod", "target": "kubeflow", "root": STORE},
            **{"spec_digest": "ab" * 32, "policy": self.policy},
        }
        (self.folder / f"{step}.json").write_text(json.dumps(document))
        temporary, beside = self.folder / "tmp", self.folder / "out" / step
        for folder in (temporary, beside):
            folder.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-B", "-m", "ctc.step", step, "--document", str(self.folder / f"{step}.json")]
        words += ["--parameter", f"instant={NOW.isoformat()}", "--parameter", "attempt=a1"]
        words += [word for name, folder in inputs.items() for word in ("--input", f"{name}={folder}")]
        words += [word for name in outputs for word in ("--output", f"{name}={self.out(step, name)}")]
        words += ["--result", str(self.folder / "results" / step)]
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(temporary),
            "CTC_MOUNTS": json.dumps({STORE: str(self.folder / "root")}),
            "CTC_ENGINE_MEMORY": memory,
            "CTC_ENGINE_THREADS": "2",
        }
        with (self.folder / f"{step}.err").open("w") as told:
            child = subprocess.Popen(words, env=environment, stderr=told, stdout=subprocess.DEVNULL, cwd=self.folder)
            spilled = 0
            while True:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                spilled = max(spilled, _laid_aside(beside, outputs))
                time.sleep(0.1)
        child.returncode = os.waitstatus_to_exitcode(status)
        result = json.loads((self.folder / "results" / step / "result.json").read_text())
        said = (self.folder / f"{step}.err").read_text()
        return Ran(child.returncode, said, usage.ru_maxrss * 1024, spilled, result)
