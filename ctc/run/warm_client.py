"""Stands for `python -m ctc.step ...`: hands the step to an interpreter that is ready, and ends as the step ended.

Where none is ready it becomes that command itself. A program of its own, started with `-I -S` so that it costs next to
nothing: standard library only. The other side, and what the two say to each other, is in `warm.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys

STARTED = b"started\n"
_OF_THE_REGISTRY = ("register", "wake")


def main(words: list[str]) -> int:
    """Runs `-m ctc.step STEP ...`; returns the step's exit code, or ends by the signal that ended it."""
    status = ask(os.environ["CTC_WARM"], words[2:])
    if status is None:
        os.execv(sys.executable, [sys.executable, *words])
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def ask(folder: str, words: list[str]) -> int | None:
    """The wait status of a step that was run elsewhere; None if nobody took it."""
    for name in ("registry", "engine") if words[:1] and words[0] in _OF_THE_REGISTRY else ("engine",):
        with socket.socket(socket.AF_UNIX) as asking, asking.makefile("rb") as answer:
            try:
                _hand_over(asking, folder, name, words)
                taken = answer.readline() == STARTED
            except OSError:
                taken = False
            if taken:
                # From here on it has run: without an answer it was killed, and must not run twice.
                with contextlib.suppress(OSError, ValueError):
                    return int(answer.readline())
                return int(signal.SIGKILL)
    return None


def _hand_over(asking: socket.socket, folder: str, name: str, words: list[str]) -> None:
    # Not pathlib, which would be most of what this program loads.
    here = os.getcwd()  # noqa: PTH109
    # Relative: the address of a socket has room for 107 bytes.
    os.chdir(folder)
    try:
        asking.connect(name)
    finally:
        os.chdir(here)
    order = json.dumps({"words": words, "environment": dict(os.environ), "folder": here}).encode()
    socket.send_fds(asking, [len(order).to_bytes(8, "big")], [0, 1, 2])
    asking.sendall(order)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
