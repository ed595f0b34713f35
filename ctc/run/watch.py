"""Looking on while a pipeline executes: its steps as they end, and its output in a file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from ctc.run.records import read_document

LAST_LINES = 20
_TAIL_BYTES = 64 * 1024
_SECONDS_BETWEEN_LOOKS = 0.1


class Listener(Protocol):
    def step_ended(self, step: str, status: str, seconds: float) -> None: ...

    def waiting(self, seconds: float) -> None: ...


class Watch:
    """Tells of an attempt's steps as their results appear: ours below `results`, the user's below `status`.

    What an earlier launch left is not told. The seconds of our steps run from the end of the step before.
    """

    def __init__(self, attempt: Path, listener: Listener) -> None:
        self.status = attempt / "status"
        self.seconds = 0.0
        self._folders = (attempt / "results", self.status)
        self._listener = listener
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Watch:
        shutil.rmtree(self.status, ignore_errors=True)
        self.status.mkdir(parents=True)
        self._start = self._last = time.monotonic()
        self._seen = {path: _changed(path) for path in self._results()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        self.seconds = time.monotonic() - self._start

    def _look_on(self) -> None:
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            self._look()
            self._listener.waiting(time.monotonic() - self._last)

    def _look(self) -> None:
        for path in sorted(self._results(), key=_changed):
            if self._seen.get(path) == _changed(path):
                continue
            document = read_document(path)
            if document is None:
                continue
            self._seen[path] = _changed(path)
            now = time.monotonic()
            seconds = document.get("seconds")
            status = str(document.get("status", "ok"))
            self._listener.step_ended(path.stem, status, seconds if isinstance(seconds, float) else now - self._last)
            self._last = now

    def _results(self) -> list[Path]:
        return [path for folder in self._folders for path in folder.glob("*.json")]


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def logged(log: Path, *, append: bool, echo: bool) -> Iterator[None]:
    """Sends everything that this process and its children write to stdout and stderr to a file.

    `echo` shows it on stderr too. It is the descriptors that are turned round: children inherit nothing else.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if not append:
        log.unlink(missing_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            with _echoed(log, saved[1], file.tell()) if echo else contextlib.nullcontext():
                yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        os.close(saved[0])
        os.close(saved[1])


@contextlib.contextmanager
def _echoed(log: Path, descriptor: int, position: int) -> Iterator[None]:
    """Copies what is appended to the log to a descriptor, as it comes."""
    over = threading.Event()

    def copy() -> None:
        with log.open("rb") as file:
            file.seek(position)
            while True:
                last = over.wait(_SECONDS_BETWEEN_LOOKS)
                os.write(descriptor, file.read())
                if last:
                    return

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tail(log: Path) -> str:
    """The last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-LAST_LINES:])
