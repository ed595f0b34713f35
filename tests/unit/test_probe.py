"""The probe as a platform runs it: a process that starts a real server, asks it over HTTP, and writes what it saw."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import project
import pytest

from ctc.targets.shim import program

SERVER = """\
import itertools, json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, mode = int(sys.argv[1]), sys.argv[2]
numbers = itertools.count(1)

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1" if mode != "closing" else "HTTP/1.0"

    def do_GET(self):
        self.reply(503 if mode == "sick" else 200 if self.path == "/health" else 404, b"health")

    def do_POST(self):
        asked = next(numbers)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert set(body) == {"instances"}, body
        if mode == "slow":
            time.sleep(0.05)
        if mode == "dies" and asked > 60:
            os._exit(9)
        bad = self.path != "/predict" or (mode == "errors" and asked % 10 == 0)
        self.reply(500 if bad else 200, b"no such row" if bad else b'{"predictions": [1]}')

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass

print("starting", flush=True)
if mode == "broken":
    sys.exit("cannot read the model")
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def probe(
    folder: Path, mode: str, *, port: int | None = None, count: int = 100, rate: float = 500, more: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any] | None]:
    """Measures a server of that mode; the finished process and the timings, if any were written."""
    port = port or project.free_port()
    for name in ("model", "requests"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "server.py").write_text(SERVER)
    (folder / "requests" / "requests.jsonl").write_text('{"instances":[{"a":1}]}\n{"instances":[{"a":null}]}\n')
    (folder / "probe.py").write_text(program("probe"))
    told = {"port": port, "health": "/health", "route": "/predict", "rate": rate, "requests": count, "warm_up": 5}
    done = subprocess.run(
        [
            *[sys.executable, "-I", str(folder / "probe.py"), "--step", "measure-latency"],
            *["--input", f"model={folder / 'model'}", "--input", f"requests={folder / 'requests'}"],
            *["--output", f"timings={folder / 'timings'}", "--failure", str(folder / "failure"), "--timeout", "60"],
            *[word for name, value in {**told, "timeout": 20}.items() for word in ("--option", f"{name}={value}")],
            *[*more, "--", sys.executable, str(folder / "server.py"), str(port), mode],
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "CTC_STATUS_DIR": str(folder / "status")},
    )
    file = folder / "timings" / "timings.json"
    assert not listens(port), "the server must end with the step"
    return done, json.loads(file.read_text()) if file.exists() else None


def listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("mode", ["well", "closing"])
def test_every_request_is_timed_at_the_asked_rate(tmp_path: Path, mode: str) -> None:
    done, timings = probe(tmp_path, mode, count=100, rate=200)

    assert done.returncode == 0, done.stderr
    assert timings is not None
    assert len(timings["seconds"]) == 100 and timings["failures"] == {}
    assert timings["seconds"] == sorted(timings["seconds"]) and timings["seconds"][0] > 0
    # The last of 100 requests is due half a second after the first, however fast the server is.
    assert timings["sent_rate"] <= 201
    assert json.loads((tmp_path / "status" / "measure-latency.json").read_text())["status"] == "ok"


def test_a_time_counts_from_when_its_request_was_due(tmp_path: Path) -> None:
    # 64 requests at once, 50 ms each: at most 1,280 a second. At 4,000 a second the last one waits for its turn.
    _, timings = probe(tmp_path, "slow", count=200, rate=4000)

    assert timings is not None
    assert timings["seconds"][0] >= 0.05
    assert timings["seconds"][-1] >= 0.12


def test_requests_that_fail_are_counted_by_what_was_said(tmp_path: Path) -> None:
    done, timings = probe(tmp_path, "errors", count=100)

    assert done.returncode == 0, done.stderr
    assert timings is not None
    assert timings["failures"] == {"HTTP 500 no such row": 10}
    assert len(timings["seconds"]) == 90


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (
            "broken",
            "the server ended with code 1 before it was healthy; its last lines:\nstarting\ncannot read the model",
        ),
        ("dies", "the server ended under load"),
    ],
)
def test_a_server_that_ends_fails_the_step_with_its_last_words(tmp_path: Path, mode: str, said: str) -> None:
    done, timings = probe(tmp_path, mode, count=200)

    assert done.returncode == 1
    assert said in (tmp_path / "failure").read_text()
    assert timings is None


def test_a_port_that_is_taken_is_not_measured(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="must end with the step"):
            probe(tmp_path, "well", port=port)

    assert f"port {port} is taken on this machine" in (tmp_path / "failure").read_text()
    assert not (tmp_path / "timings" / "timings.json").exists()


def test_a_server_that_is_never_healthy_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("")
    source = program("probe")
    assert "READY_SECONDS = 300.0" in source
    hasty = source.replace("READY_SECONDS = 300.0", "READY_SECONDS = 1.0")
    for name in ("model", "requests"):
        (tmp_path / name).mkdir()
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "requests" / "requests.jsonl").write_text('{"instances":[]}\n')
    port = project.free_port()
    told = {"port": port, "health": "/health", "route": "/", "rate": 1, "requests": 1, "warm_up": 1, "timeout": 1}
    start = time.monotonic()
    done = subprocess.run(
        [
            *[sys.executable, "-I", "-c", hasty, "--step", "measure-latency"],
            *["--input", f"model={tmp_path / 'model'}", "--input", f"requests={tmp_path / 'requests'}"],
            *["--output", f"timings={tmp_path / 'timings'}"],
            *[word for name, value in told.items() for word in ("--option", f"{name}={value}")],
            *["--", sys.executable, str(tmp_path / "server.py"), str(port), "sick"],
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert f"the server is not healthy on port {port} after 1 seconds: GET /health answers 503" in done.stderr
    assert time.monotonic() - start < 20
    assert not listens(port)


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    for name in ("model", "requests"):
        (tmp_path / name).mkdir()
    (tmp_path / "requests" / "requests.jsonl").write_text('{"instances":[]}\n')
    told = {
        "port": project.free_port(),
        "health": "/",
        "route": "/",
        "rate": 1,
        "requests": 1,
        "warm_up": 1,
        "timeout": 1,
    }
    done = subprocess.run(
        [
            *[sys.executable, "-I", "-c", program("probe"), "--step", "measure-latency"],
            *["--input", f"model={tmp_path / 'model'}", "--input", f"requests={tmp_path / 'requests'}"],
            *["--output", f"timings={tmp_path / 'timings'}"],
            *[word for name, value in told.items() for word in ("--option", f"{name}={value}")],
            *["--", "no-such-server"],
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 127
    assert "cannot run 'no-such-server'" in done.stderr
