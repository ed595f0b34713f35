"""A version's server as a process of this machine, and what it answers: how the local endpoint tests a version.

It is started by the words of `serving.NAME.online.argv`, with the version's own copy of its code, as the step that
times a contender's server does, and is gone when the question is answered.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import ctc
from ctc.policy.evidence import Answered
from ctc.policy.state import Version
from ctc.steps import probe
from ctc.steps.ports import Server
from ctc.steps.shim import PREPARED, code_folder, environment_of, fill
from ctc.steps.shim_files import Failed, die_with_parent
from ctc.steps.storage import local_path
from ctc.steps.task import StepFailed

REQUESTS, RATE, WARM_UP, TIMEOUT = 100, 20.0, 5, 10.0
"""How often a live version is asked at a wake, requests a second, those before that do not count, and seconds that an
answer may take."""

_EXCERPT = 200


def status_of(server: Server, version: Version, body: bytes) -> tuple[int, str]:
    """The status of the answer to one `POST route`, and the start of its text; 0 and why if there is no answer.

    Failed where the server does not start or does not become healthy, StepFailed where it cannot be tried here.
    """
    with _running(server, version):
        connection = http.client.HTTPConnection(probe.HOST, server.port, timeout=TIMEOUT)
        try:
            connection.request("POST", server.route, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()[:_EXCERPT].decode("utf-8", "replace").strip()
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            connection.close()
    return response.status, text


def answered(server: Server, version: Version, body: bytes) -> Answered:
    """What becomes of `REQUESTS` equal requests at a steady rate. Errors as of `status_of`."""
    asked = probe.Asked(server.port, server.health, server.route, RATE, REQUESTS, WARM_UP, TIMEOUT)
    with _running(server, version):
        probe.send(asked, [body], WARM_UP, probe.Answers())
        answers = probe.Answers()
        probe.send(asked, [body], REQUESTS, answers)
    return Answered(tuple(sorted(answers.seconds)), dict(sorted(answers.failures.items())))


@contextlib.contextmanager
def _running(server: Server, version: Version) -> Iterator[None]:
    """The version's server, healthy. What it prints is told if it fails, and gone otherwise."""
    what, model = f"the server of version {version.version}", local_path(version.uri)
    if not model.is_dir():
        raise StepFailed(f"the model of version {version.version} is gone: {model} is not a folder")
    try:
        probe.refuse_taken(what, server.port)
        code = code_folder(what, version.code)
    except Failed as failed:
        raise StepFailed(str(failed)) from failed
    folders = {"model": str(model.absolute())}
    if (model / PREPARED).is_dir():
        folders["prepared"] = str(model.absolute() / PREPARED)
    argv = fill(list(server.argv), folders)
    asked = probe.Asked(server.port, server.health, server.route, RATE, 1, 0, TIMEOUT)
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        log = Path(scratch, "server.log")
        with log.open("wb") as output:
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=code,
                    env=_environment(folders),
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
            except OSError as error:
                raise Failed(f"cannot run {argv[0]!r}: {error.strerror}; is it in the image and on PATH?") from error
        try:
            probe.wait_until_healthy(what, process, asked, str(log))
            yield
        finally:
            probe.stop(process)


def _environment(folders: Mapping[str, str]) -> dict[str, str]:
    """What the server is given: as any command of the user's, so without the paths by which our own steps are found."""
    found = environment_of(dict(folders))
    found.pop("PYTHONSAFEPATH", None)
    ours = str(Path(ctc.__file__).resolve().parent.parent)
    kept = [path for path in found.pop("PYTHONPATH", "").split(os.pathsep) if path and path != ours]
    return {**found, **({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})}
