"""The small project with a server, rows that were served, and a rollout: what the tests of rollouts share."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import project
import pyarrow as pa
import pyarrow.parquet as pq

FIRST, SECOND, THIRD = (dt.datetime(2024, 3, day, 6, tzinfo=dt.UTC) for day in (11, 18, 25))
HOUR = dt.timedelta(hours=1)

IMAGE = '"registry.example/toy@sha256:2222222222222222222222222222222222222222222222222222222222222222"'

SERVED = """\
  served:
    role: predictions
    parquet: {path: data/served.parquet}
    columns: {key: visit, score: p, model_version: version, event_time: answered_at}
label:"""

SERVE = """\
import argparse, json, pathlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--port", type=int, required=True)
args = parser.parse_args()
rates = json.loads(pathlib.Path(args.model, "model.json").read_text())
SEEN, FAILS_EVERY = [], 0

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.reply(200, {"ready": True})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        SEEN.append(1)
        if FAILS_EVERY and len(SEEN) % FAILS_EVERY == 0:
            self.reply(500, {"error": "out of luck"})
        else:
            keys = [f"{r['shop']}|{r['amount'] > 50}|{r['price'] > 10}" for r in rows]
            self.reply(200, {"predictions": [rates.get(key, 0.5) for key in keys]})

    def reply(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()
"""


def make(folder: Path, rollout: str) -> Path:
    """The project with `rollout` as its section. Version 3 answers otherwise than the versions before it."""
    spec = project.make(folder)
    port = project.free_port()
    (folder / "serve.py").write_text(SERVE)
    (folder / "smoke.json").write_text(json.dumps({"instances": [{"shop": "a", "amount": 60.0, "price": 9.5}]}))
    pq.write_table(pa.Table.from_pylist(served()), folder / "data" / "served.parquet")
    text = spec.read_text().replace("label:", SERVED, 1).replace("  fresh_labels: {new_data: {min_rows: 400}}\n", "")
    text = text.replace(
        "triggers:\n",
        f"serving:\n  api:\n    online:\n      image: {IMAGE}\n"
        f'      argv: [python, serve.py, --model, "{{model}}", --port, "{port}"]\n'
        f"      port: {port}\n      health: /health\n      route: /predict\n{rollout}triggers:\n",
        1,
    )
    spec.write_text(text)
    return spec


def served() -> list[dict[str, Any]]:
    """Two hundred answers of the champion in each hour, and of the contender in those in which one is live."""
    draw = random.Random(7)
    rows: list[dict[str, Any]] = []
    for start, champion, contender, higher in ((SECOND, "1", "2", 0.0), (THIRD, "2", "3", 0.4)):
        for number in range(8 * 200):
            at = start + number * HOUR / 200
            for version, more in ((champion, 0.0), (contender, higher)):
                score = min(draw.betavariate(2, 3) + more, 1.0)
                rows.append({"visit": f"{len(rows)}", "answered_at": at, "version": version, "p": score})
    return rows


def at(instant: dt.datetime, hours: float = 0.0) -> str:
    return f"{instant + hours * HOUR:%Y-%m-%dT%H:%M:%SZ}"


def endpoint(spec: Path, target: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((project.state(spec, target) / "endpoints" / "api.json").read_text())
    return document


def changes(records: list[dict[str, Any]]) -> list[str]:
    return [change["what"] for record in records for change in record.get("changes", ())]
