"""Asks a server of the user's how fast it answers, in the user's image: the shim, with another thing to do.

The command is the server's. It is started beside this program and asked until it is healthy; then requests are sent at
a steady rate, each due at its own time whether or not the ones before it are answered. A time is counted from when its
request was due: a server that falls behind does not slow down who asks it. Nothing is concluded here; `timings.json`
holds every time, and how many requests failed in which way.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, NamedTuple

from ctc.steps.shim import (
    GRACE_SECONDS,
    LAST_LINES,
    PREPARED,
    TAIL_BYTES,
    Places,
    Work,
    code_folder,
    end_group,
    environment_of,
    fill,
    folders_of,
    main,
)
from ctc.steps.shim_files import Failed, die_with_parent, write_json

HOST, REQUESTS, TIMINGS = "127.0.0.1", "requests.jsonl", "timings.json"
MOST_AT_ONCE, EXCERPT, PAUSE_SECONDS = 64, 200, 0.05
READY_SECONDS = 300.0


class Asked(NamedTuple):
    """Where, how often and how long a server is asked; `rate` in requests a second, `timeout` in seconds."""

    port: int
    health: str
    route: str
    rate: float
    requests: int
    warm_up: int
    timeout: float


class Answers:
    """What became of the requests so far; safe to fill from several threads."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, seconds: float, failure: str) -> None:
        with self._lock:
            if failure:
                self.failures[failure] += 1
            else:
                self.seconds.append(round(seconds, 6))


def measure(arguments: argparse.Namespace, work: Work, places: Places) -> None:
    """Writes the timings. Failed where the port is taken, or the server does not become healthy, or ends."""
    told = dict(word.split("=", 1) for word in arguments.option)
    asked = Asked(
        int(told["port"]),
        told["health"],
        told["route"],
        float(told["rate"]),
        int(told["requests"]),
        int(told["warm_up"]),
        float(told["timeout"]),
    )
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        folders = folders_of(work, places, scratch)
        prepared = os.path.join(folders["model"], PREPARED)
        folders.update({"prepared": prepared} if os.path.isdir(prepared) else {})
        bodies = requests_of(folders["requests"])
        refuse_taken(arguments.step, asked.port)
        log = os.path.join(scratch, "server.log")
        argv = fill(work.argv, folders)
        with open(log, "wb") as output:
            pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
            pipes.update(cwd=code_folder(arguments.step, work.code), env=environment_of(folders))
            try:
                server = subprocess.Popen(argv, start_new_session=True, preexec_fn=die_with_parent, **pipes)
            except OSError as error:
                said = "cannot run %r: %s; is it in the image and on PATH?" % (argv[0], error.strerror)
                raise Failed(said, 127) from error

        def ended(*_: object) -> None:
            end_group(server, signal.SIGKILL)
            os._exit(128 + signal.SIGTERM)

        signal.signal(signal.SIGTERM, ended)
        try:
            ready = wait_until_healthy(arguments.step, server, asked, log)
            send(asked, bodies, asked.warm_up, Answers())
            answers = Answers()
            start = time.monotonic()
            send(asked, bodies, asked.requests, answers)
            took = time.monotonic() - start
            if server.poll() is not None:
                raise Failed("%s failed: the server ended under load; %s" % (arguments.step, last_lines(log)))
        finally:
            stop(server)
    timings = {
        "version": 1,
        "rate": asked.rate,
        "sent_rate": round(asked.requests / took, 3),
        "ready_seconds": round(ready, 3),
        "seconds": sorted(answers.seconds),
        "failures": dict(sorted(answers.failures.items())),
    }
    write_json(os.path.join(places.outputs["timings"], TIMINGS), timings)
    print("ctc: %d requests, %d failed" % (asked.requests, sum(answers.failures.values())), flush=True)


def requests_of(folder: str) -> list[bytes]:
    """The bodies, one JSON document a line."""
    with open(os.path.join(folder, REQUESTS), "rb") as file:
        return [line.strip() for line in file if line.strip()]


def refuse_taken(step: str, port: int) -> None:
    """Failed if somebody else listens already: that one would be measured."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried:
        tried.settimeout(1.0)
        if tried.connect_ex((HOST, port)) == 0:
            raise Failed("%s failed: port %d is taken on this machine; end what listens there" % (step, port))


def wait_until_healthy(step: str, server: subprocess.Popen[bytes], asked: Asked, log: str) -> float:
    """The seconds until the server says that it is healthy."""
    start, said = time.monotonic(), "it takes no connection"
    while time.monotonic() - start < READY_SECONDS:
        if server.poll() is not None:
            how = "ended with code %d before it was healthy" % server.returncode
            raise Failed("%s failed: the server %s; %s" % (step, how, last_lines(log)))
        connection = http.client.HTTPConnection(HOST, asked.port, timeout=asked.timeout)
        try:
            connection.request("GET", asked.health)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                return time.monotonic() - start
            said = "GET %s answers %d" % (asked.health, response.status)
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(PAUSE_SECONDS)
    where = "port %d after %g seconds: %s" % (asked.port, READY_SECONDS, said)
    raise Failed("%s failed: the server is not healthy on %s; %s" % (step, where, last_lines(log)))


def send(asked: Asked, bodies: list[bytes], count: int, answers: Answers) -> None:
    """Sends `count` requests at the rate, and returns when each is answered or has failed."""
    start, numbers, lock = time.monotonic() + PAUSE_SECONDS, iter(range(count)), threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection(HOST, asked.port, timeout=asked.timeout)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                break
            due = start + number / asked.rate
            time.sleep(max(due - time.monotonic(), 0.0))
            failure = post(connection, asked.route, bodies[number % len(bodies)])
            answers.add(time.monotonic() - due, failure)
        connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(MOST_AT_ONCE, count))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def post(connection: http.client.HTTPConnection, route: str, body: bytes) -> str:
    """Why a request failed; empty if it was answered well."""
    known = connection.sock is not None
    try:
        connection.request("POST", route, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except socket.timeout:
        connection.close()
        return "no answer in %g seconds" % (connection.timeout or 0.0)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        # A server may close a connection that it kept open, just when it is used again.
        return post(connection, route, body) if known else type(error).__name__
    if 200 <= response.status < 300:
        return ""
    return ("HTTP %d %s" % (response.status, text[:EXCERPT].decode("utf-8", "replace").strip())).strip()


def stop(server: subprocess.Popen[bytes]) -> None:
    end_group(server, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_SECONDS)
    end_group(server, signal.SIGKILL)
    server.wait()


def last_lines(log: str) -> str:
    with open(log, "rb") as file:
        file.seek(max(os.path.getsize(log) - TAIL_BYTES, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:]
    return "its last lines:\n" + "\n".join(lines) if lines else "it printed nothing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], measure))
