"""A model with a server and a command that adds columns: what is measured of them, run for real on both targets."""

from __future__ import annotations

import json
from pathlib import Path

import project
import pytest

IMAGE = '"registry.example/toy@sha256:2222222222222222222222222222222222222222222222222222222222222222"'
FIRST, SECOND = "2024-03-11T06:00:00Z", "2024-03-18T06:00:00Z"

SERVE = """\
import argparse, json, pathlib, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--port", type=int, required=True)
args = parser.parse_args()
rates = json.loads(pathlib.Path(args.model, "model.json").read_text())
SLEEP = 0.0

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply({"ready": True})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        time.sleep(SLEEP)
        keys = [f"{r['shop']}|{r['amount'] > 50}|{(r['price'] or 0) > 10}" for r in rows]
        assert not {"bought", "row_id"} & set(rows[0])
        self.reply({"predictions": [rates.get(key, 0.5) for key in keys]})

    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()
"""

SCORE = """\
import argparse, pathlib
import pyarrow as pa
import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
for name in ("--predictions", "--holdout", "--out"):
    parser.add_argument(name, required=True)
args = parser.parse_args()
rows = {row["row_id"]: row for row in pq.read_table(pathlib.Path(args.holdout, "data.parquet")).to_pylist()}
scored = pq.read_table(args.predictions).to_pylist()

def profit(row, score):
    return 0.0 if score < 0.5 else row["amount"] * (1.0 if row["bought"] else -0.5)

made = {"row_id": [row["row_id"] for row in scored]}
made["profit"] = [profit(rows[row["row_id"]], row["score"]) for row in scored]
pq.write_table(pa.table(made), args.out)
"""


def served(folder: Path) -> Path:
    """The toy with a server that is timed and a profit that is compared."""
    spec = project.make(folder)
    port = project.free_port()
    (folder / "serve.py").write_text(SERVE)
    (folder / "score.py").write_text(SCORE)
    text = spec.read_text()
    score = 'argv: [python, score.py, --predictions, "{predictions}", --holdout, "{holdout}", --out, "{out}"]'
    text = text.replace("evaluation:\n", f"evaluation:\n  score: {{image: {IMAGE}, {score}}}\n")
    profit = "profit: {mean: {column: profit}, better: higher}"
    text = text.replace("loss: {log_loss: {}}}", f"loss: {{log_loss: {{}}}}, {profit}}}")
    text = text.replace(
        "triggers:\n",
        "    fast: {latency: {p50: 30ms, p99: 2s, rate: 500/s}}\n"
        "    earns: {not_worse: {metric: profit, margin: 20}}\n"
        f"serving:\n  api:\n    online:\n      image: {IMAGE}\n"
        f'      argv: [python, serve.py, --model, "{{model}}", --port, "{port}"]\n'
        f"      port: {port}\n      health: /health\n      route: /predict\ntriggers:\n",
        1,
    )
    spec.write_text(text)
    return spec


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_a_server_is_timed_and_a_profit_compared(tmp_path: Path, target: str) -> None:
    spec = served(tmp_path / "p")

    project.run(spec, "--at", FIRST, target=target)
    (spec.parent / "serve.py").write_text(SERVE.replace("SLEEP = 0.0", "SLEEP = 0.08"))
    records = project.run(spec, "--at", SECOND, target=target)

    [second] = [record for record in records if record["kind"] == "attempt"]
    assert second["outcome"] == "held", second["reason"]
    gates = {gate["name"]: gate for gate in second["decision"]["gates"]}
    assert gates["fast"]["answer"] == "fail"
    assert 0.08 <= gates["fast"]["numbers"]["p50"] <= gates["fast"]["numbers"]["p50_upper"]
    assert "30 ms allowed" in gates["fast"]["reason"] and "fast: p50" in second["reason"]
    assert gates["earns"]["answer"] == "pass"
    assert gates["earns"]["numbers"]["champion"] != 0
    assert second["steps"].keys() >= {"score-contender", "score-champion", "measure-latency"}
    folder = project.state(spec, target)
    records = [json.loads(path.read_text()) for path in sorted((folder / "records").glob("*.json"))]
    [first] = [record for record in records if record["kind"] == "attempt" and record["id"] != second["id"]]
    assert first["outcome"] == "candidate", first["reason"]
    assert {gate["name"]: gate["answer"] for gate in first["decision"]["gates"]}["fast"] == "pass"
    assert "p50 is at most" in project.ctc("runs", "show", first["id"], spec, cwd=spec.parent).stdout
    assert project.ctc("explain", second["id"], spec, cwd=spec.parent).returncode == 0


def test_a_server_that_cannot_read_the_model_is_told_with_its_last_lines(tmp_path: Path) -> None:
    spec = served(tmp_path / "p")
    (spec.parent / "serve.py").write_text("import sys\nsys.exit('no such format: 7')\n")

    [record] = [item for item in project.run(spec, "--at", FIRST, code=3) if item["kind"] == "attempt"]

    assert record["outcome"] == "failed"
    assert "the server ended with code 1 before it was healthy" in record["error"]
    assert "no such format: 7" in record["error"]


def test_a_score_command_must_write_its_file(tmp_path: Path) -> None:
    spec = served(tmp_path / "p")
    (spec.parent / "score.py").write_text("import sys\nopen(sys.argv[-1] + '.txt', 'w').close()\n")

    [record] = [item for item in project.run(spec, "--at", FIRST, code=3) if item["kind"] == "attempt"]

    assert "score-contender failed: it did not write the file {out}" in record["error"]
