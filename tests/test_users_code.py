"""The user's code, run for real on every target: rows prepared by what each version learnt, CSV, files, strategies."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import project
import pytest

FIRST, SECOND, THIRD = "2024-02-12T06:00:00Z", "2024-02-19T06:00:00Z", "2024-02-26T06:00:00Z"

PREPARE = """\
import argparse, csv, json, os, pathlib, statistics

parser = argparse.ArgumentParser()
parser.add_argument("what")
for name in ("--train", "--valid", "--prepared", "--rows", "--out", "--prior"):
    parser.add_argument(name)
args = parser.parse_args()


def read(folder):
    with open(pathlib.Path(folder, "data.csv"), newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


if args.what == "fit":
    middle = statistics.median(float(row["amount"]) for row in read(args.train))
    prior = json.loads(pathlib.Path(args.prior).read_text())
    pathlib.Path(args.prepared, "learnt.json").write_text(json.dumps({"middle": middle, "prior": prior}))
else:
    middle = json.loads(pathlib.Path(args.prepared, "learnt.json").read_text())["middle"]
    rows = read(args.rows)
    assert rows and os.environ["TOY_MODE"] == "true", os.environ.get("TOY_MODE")
    with open(pathlib.Path(args.out, "rows.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "big", "middle"])
        writer.writeheader()
        writer.writerows({**row, "big": float(row["amount"]) > middle, "middle": middle} for row in rows)
"""

TRAIN = """\
import argparse, csv, json, pathlib

parser = argparse.ArgumentParser()
for name in ("--train", "--valid", "--out", "--prepared"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
seen = {}
with open(pathlib.Path(args.train, "rows.csv"), newline="") as file:
    for row in csv.DictReader(file):
        good, n = seen.get(row["shop"] + row["big"], (0, 0))
        seen[row["shop"] + row["big"]] = (good + int(row["bought"]), n + 1)
assert pathlib.Path(args.prepared, "learnt.json").is_file() and list(pathlib.Path(args.valid).iterdir())
rates = {key: good / n for key, (good, n) in sorted(seen.items())}
pathlib.Path(args.out, "model.json").write_text(json.dumps(rates))
"""

PREDICT = """\
import argparse, csv, json, pathlib
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--model", "--rows", "--out", "--prepared"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
rates = json.loads(pathlib.Path(args.model, "model.json").read_text())
middle = json.loads(pathlib.Path(args.prepared, "learnt.json").read_text())["middle"]
with open(pathlib.Path(args.rows, "rows.csv"), newline="") as file:
    rows = list(csv.DictReader(file))
assert {float(row["middle"]) for row in rows} == {middle}, "prepared by what another version learnt"
print("PREPARED BY", middle)
scores = [rates.get(row["shop"] + row["big"], 0.5) for row in rows]
pq.write_table(pa.table({"row_id": [row["row_id"] for row in rows], "score": scores}), args.out)
"""

CHANGES = {
    "apiVersion: ctc/v1\n": "apiVersion: ctc/v1\nprepare:\n"
    '  fit: [python, prepare.py, fit, --train, "{train}", --valid, "{valid}", --prepared, "{prepared}", --prior,'
    ' "{inputs.prior}"]\n'
    '  apply: [python, prepare.py, apply, --prepared, "{prepared}", --rows, "{rows}", --out, "{out}"]\n',
    '  argv: [python, train.py, --train, "{train}", --valid, "{valid}", --out, "{model}", --smooth, "{hp.smooth}"]\n': (
        '  argv: [python, train.py, --train, "{train}", --valid, "{valid}", --out, "{model}", --prepared,'
        ' "{prepared}"]\n  format: {csv: {delimiter: ";"}}\n  env: {TOY_MODE: true}\n'
        '  inputs: {prior: {uri: given/prior.json, digest: "sha256:DIGEST"}}\n'
    ),
    '--out, "{predictions}"]': '--out, "{predictions}", --prepared, "{prepared}"]',
}


def prepared(folder: Path) -> Path:
    """The project with features of the user's own making."""
    spec = project.make(folder / "toy", days=70)
    text = spec.read_text()
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    for name, code in (("prepare", PREPARE), ("train", TRAIN), ("predict", PREDICT)):
        (spec.parent / f"{name}.py").write_text(code)
    (spec.parent / "given").mkdir()
    (spec.parent / "given" / "prior.json").write_text("0.5")
    spec.write_text(text.replace("DIGEST", hashlib.sha256(b"0.5").hexdigest()))
    return spec


def attempts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == "attempt"]


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_each_model_is_given_rows_prepared_by_its_own(target: str, tmp_path: Path) -> None:
    spec = prepared(tmp_path)
    [first] = attempts(project.run(spec, "--at", FIRST, target=target))
    assert first["outcome"] == "candidate", first["error"] or first["reason"]
    assert first["steps"]["prepare"] == {"status": "ok"}
    assert first["candidate"]["prepare"]["apply"][:3] == ["python", "prepare.py", "apply"]
    assert first["candidate"]["csv"] == {"delimiter": ";"}

    [second] = attempts(project.run(spec, "--at", SECOND, target=target))
    assert second["evaluation"]["champion"] == "evaluated"
    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    jsonschema.validate(first, schema)
    log = (project.state(spec, target) / "attempts" / second["id"] / "log.txt").read_text()
    middles = [line for line in log.splitlines() if line.startswith("PREPARED BY")]
    assert len(middles) == len(set(middles)) == 2, "contender and champion each prepare by their own"

    # What travels with the version is compared before its command is given rows that it was not made for.
    prior = spec.parent / "given" / "prior.json"
    prior.write_text("0.25")
    changed = project.ctc("run", spec, "--target", target, "--python", sys.executable, "--at", THIRD, cwd=spec.parent)
    assert "`prior` is not what the spec says" in changed.stdout + changed.stderr
    spec.write_text(spec.read_text().replace(hashlib.sha256(b"0.5").hexdigest(), hashlib.sha256(b"0.25").hexdigest()))
    [third] = attempts(project.run(spec, "--at", "2024-03-04T06:00:00Z", target=target))
    assert third["evaluation"]["champion"] == "not_comparable"
    assert third["outcome"] == "held"


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_a_champion_whose_command_fails_is_told_and_decides_nothing(target: str, tmp_path: Path) -> None:
    spec = project.make(tmp_path / "toy", days=70)
    broken, predict = tmp_path / "broken", spec.parent / "predict.py"
    predict.write_text(
        f"import os\nif os.path.exists({str(broken)!r}): raise SystemExit('no column x today')\n" + predict.read_text()
    )
    [first] = attempts(project.run(spec, "--at", FIRST, target=target))
    assert first["outcome"] == "candidate", first["error"] or first["reason"]
    broken.touch()
    predict.write_text(project.PREDICT)

    [second] = attempts(project.run(spec, "--at", SECOND, target=target))
    assert second["outcome"] == "held", second["error"] or second["reason"]
    assert second["evaluation"]["champion"] == "not_comparable"
    assert "no column x today" in json.dumps(second["evaluation"])
    assert "no column x today" in second["reason"]


CHECKPOINTED = """
import os, time

state = pathlib.Path(os.environ["CTC_CHECKPOINTS"], "step.json")
step = json.loads(state.read_text()) if state.is_file() else 0
print("STARTED AT", step, flush=True)
while step < 5:
    step += 1
    state.with_suffix(".tmp").write_text(json.dumps(step))
    state.with_suffix(".tmp").replace(state)
    if step == 3 and "resumed" not in os.environ.get("TOY_MODE", ""):
        time.sleep(60)
"""


@pytest.mark.parametrize("target", ["kubeflow", pytest.param("sagemaker", marks=pytest.mark.soak)])
def test_a_killed_training_goes_on_from_its_checkpoint(target: str, tmp_path: Path) -> None:
    spec = project.make(tmp_path / "toy", days=60)
    (spec.parent / "train.py").write_text(project.TRAIN + CHECKPOINTED)
    command = [sys.executable, "-m", "ctc", "run", str(spec), "--target", target, "--python", sys.executable]
    environment = {**os.environ, "PYTHONPATH": str(project.ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, "--at", FIRST], cwd=spec.parent, env=environment, **quiet)  # type: ignore[call-overload]
    attempts_folder = project.state(spec, target) / "attempts"
    deadline = time.monotonic() + 120
    while not [path for path in attempts_folder.glob("*/checkpoints/step.json") if path.read_text() == "3"]:
        assert process.poll() is None, "the run ended before its training was under way"
        assert time.monotonic() < deadline, "the training never wrote its checkpoint"
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    done = project.ctc(
        *["run", spec, "--target", target, "--python", sys.executable, "--at", FIRST, "-o", "json"],
        cwd=spec.parent,
        environment={"TOY_MODE": "resumed"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [attempt] = attempts(json.loads(done.stdout))
    assert attempt["outcome"] == "candidate"
    assert [path.name for path in attempts_folder.iterdir()] == [attempt["id"]], "it is the same attempt"
    log = (attempts_folder / attempt["id"] / "log.txt").read_text()
    assert [line for line in log.splitlines() if line.startswith("STARTED AT")] == ["STARTED AT 0", "STARTED AT 3"]


@pytest.mark.parametrize("target", ["kubeflow", pytest.param("sagemaker", marks=pytest.mark.soak)])
def test_an_incremental_model_goes_on_from_the_champion(target: str, tmp_path: Path) -> None:
    """The model holds counts, so that it shows what went into it: each row once since the last full training."""
    spec = project.make(tmp_path / "toy", days=75)
    text = spec.read_text().replace("strategy: full", "strategy: incremental\n  full_every: 20d")
    text = text.replace("  validation_share: 10%\n", "")
    text = text.replace('"{model}", --smooth', '"{model}", --base, "{base_model}", --smooth')
    text = text.replace("margin: 0.05", "margin: 0.9").replace("margin: 0.1,", "margin: 9.0,")
    spec.write_text(text)
    train = project.TRAIN.replace('"--valid", "--out"', '"--valid", "--out", "--base"')
    train += "base = pathlib.Path(args.base, 'rows.json')\n"
    train += "before = json.loads(base.read_text()) if base.is_file() else []\n"
    train += "ids = before + [row['row_id'] for row in rows]\n"
    train += "pathlib.Path(args.out, 'rows.json').write_text(json.dumps(ids))\n"
    (spec.parent / "train.py").write_text(train)
    found = attempts(
        project.run(
            spec,
            *[word for at in (FIRST, SECOND, THIRD, "2024-03-04T06:00:00Z") for word in ("--at", at)],
            target=target,
        )
    )

    assert [record["data"]["strategy"] for record in found] == ["full", "incremental", "incremental", "full"]
    assert found[0]["data"]["strategy_reason"] == "there is no champion to continue from"
    sizes = []
    for record in found:
        folder = model_folder(record, spec, target)
        ids = json.loads((folder / "rows.json").read_text())
        assert len(ids) == len(set(ids)), "a row was learnt twice"
        sizes.append(len(ids))
    new = [record["data"]["new_rows"] for record in found]
    assert sizes == [new[0], new[0] + new[1], new[0] + new[1] + new[2], new[3]]
    assert found[1]["windows"]["train_start"] == found[0]["candidate"]["trained_until"]
    assert found[2]["candidate"]["full_at"] == FIRST
    assert found[2]["evaluation"]["compared_rows"] == found[2]["data"]["rows"]["holdout"]


def model_folder(record: dict[str, Any], spec: Path, target: str) -> Path:
    root = f"s3://toy-ct/toy/default/{target}"
    uri = str(record["candidate"]["uri"])
    return project.state(spec, target) / uri.removeprefix(root).lstrip("/") if uri.startswith(root) else Path(uri)
