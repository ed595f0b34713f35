"""Interpreters that have loaded the libraries of our programs before a run asks for them.

Loading takes longer than most steps work, and a run has many steps. Such an interpreter is a process of the run; each
step is a fork of it, with the words, environment, working folder and open files of the process that asks. So the step
is the same program in a process of its own, and what it leaves in memory no other step sees.

The asking process (`ctc/steps/handover.py`) connects to a socket in a folder that only this user can enter, sends an
order, hears `started`, and at the end the program's wait status. If it goes away, the program is killed; if nobody
listens, it loads everything itself.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import ctc
from ctc import targets
from ctc.compiler.document import SECTIONS
from ctc.steps.handover import ENGINE, REGISTRY, STARTED, address
from ctc.steps.shim_files import die_with_parent

FOLDER = "warm"
"""Below the state folder: the sockets."""


class Warm:
    """The interpreters of one run; they end with the block, and with this process."""

    def __init__(self, state: Path) -> None:
        self.folder = state / FOLDER
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Warm:
        self._remove_sockets()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started.values():
            process.kill()
        for process in self._started.values():
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
        self._remove_sockets()

    def prepare(self, name: str, environment: Mapping[str, str], module: str = "") -> None:
        """Lets an interpreter get ready, once. One that is not of our steps loads what `module.load()` does."""
        if name in self._started:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Where a folder takes no sockets, or its path is too long for one, the programs load everything themselves.
        with socket.socket(socket.AF_UNIX) as listener, contextlib.suppress(OSError):
            with address(str(self.folder), name) as place:
                listener.bind(place)
            listener.listen(16)
            self._started[name] = _start([name, str(listener.fileno()), module], listener, environment)

    def _remove_sockets(self) -> None:
        for path in self.folder.glob("*"):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            self.folder.rmdir()


def _start(words: list[str], listener: socket.socket, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    root = str(Path(ctc.__file__).resolve().parent.parent)
    known = environment.get("PYTHONPATH", "")
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-m", "ctc.run.warm", *words],
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, (root, known)))},
        # Its other end closes with this process.
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
    )


def main(words: list[str]) -> int:
    """The interpreter: loads what it is for, then forks a process for each order, until its stdin ends."""
    name, descriptor, module = words
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(fileno=int(descriptor))
    _load(name, module)
    # What is there now is for good: no fork looks through it, which would copy it.
    gc.collect()
    gc.freeze()
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _attend(connection)
        connection.close()
    return 0


def _load(name: str, module: str) -> None:
    # What cannot be loaded here cannot be loaded by the program either, which says so.
    with contextlib.suppress(Exception):
        if name not in (ENGINE, REGISTRY):
            importlib.import_module(module).load()
            return
    steps = [f"ctc.steps.{step.replace('-', '_')}" for step in SECTIONS]
    services = [f"ctc.targets.{target}.services" for target in targets.NAMES]
    # pyarrow loads pandas by itself, when it first converts an instant or a numpy array.
    for needed in ("ctc.step", *steps, "ctc.steps.new_data", *services, "ibis.backends.duckdb", "pandas"):
        with contextlib.suppress(Exception):
            importlib.import_module(needed)
    if name == REGISTRY:
        from ctc.steps import local_registry

        with contextlib.suppress(Exception):
            local_registry.load()


def _attend(connection: socket.socket) -> NoReturn:
    """Between the one who asks and the program: kills it if that one goes away, else tells how it ended."""
    try:
        die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        order, descriptors = _receive(connection)
        connection.sendall(STARTED)
        attending = os.getpid()
        process = os.fork()
        if process == 0:
            connection.close()
            # Killed together with all others, the one who attends may end before it could kill this one.
            die_with_parent()
            if os.getppid() != attending:
                os._exit(1)
            _run(order, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        over = threading.Event()
        threading.Thread(target=_end_when_left, args=(connection, process, over), daemon=True).start()
        status = os.waitpid(process, 0)[1]
        over.set()
        connection.sendall(f"{status}\n".encode())
    finally:
        # One that asks and goes away is nothing to tell anybody of.
        os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
    with connection.makefile("rb") as file:
        order: dict[str, Any] = json.loads(file.read(int.from_bytes(head, "big")))
    return order, descriptors


def _end_when_left(connection: socket.socket, process: int, over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        connection.recv(1)
    if not over.is_set():
        os.kill(process, signal.SIGKILL)


def _run(order: Mapping[str, Any], descriptors: list[int]) -> NoReturn:
    """The program, in this process; it does not return."""
    code: object = 1
    try:
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        code = importlib.import_module(order["module"]).main(order["words"])
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001  (the outermost frame of a process)
        sys.excepthook(*sys.exc_info())
    finally:
        # Taking the interpreter apart takes longer than a short program; only what was opened has to be closed.
        gc.collect()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
