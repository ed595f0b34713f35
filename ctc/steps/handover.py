"""Hands a program over to an interpreter that has loaded already what it needs, where there is one (`ctc/run/warm.py`).

Also a program of its own, which stands for `python -m ctc.step ...` and ends as the step ended; where no interpreter is
ready it becomes that command itself. It is started with `-I -S` so that it costs next to nothing: standard library
only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence

FOLDER = "CTC_WARM"
"""The variable that names the folder of the interpreters' sockets."""

ENGINE, REGISTRY, RUNNER = "engine", "registry", "runner"
"""The interpreters: for every step of ours, for those that write to the registry, for what executes a pipeline."""

STARTED = b"started\n"
_OF_THE_REGISTRY = ("register", "wake")


def main(words: Sequence[str]) -> int:
    """Runs `-m ctc.step STEP ...`; returns the step's exit code, or ends by the signal that ended it."""
    known = (REGISTRY, ENGINE) if set(words[2:3]) & set(_OF_THE_REGISTRY) else (ENGINE,)
    # Not pathlib, which would be most of what this program loads.
    status = ask(known, words[1], words[2:], os.environ, os.getcwd(), (0, 1, 2))  # noqa: PTH109
    if status is None:
        os.execv(sys.executable, [sys.executable, *words])
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


def ask(
    interpreters: Sequence[str],
    module: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    working: str,
    descriptors: Sequence[int],
) -> int | None:
    """The wait status of `module.main(words)`, run by the first of the interpreters that takes it; None if none does.

    `descriptors` become its stdin, stdout and stderr. If this process ends, so does the program.
    """
    folder = environment.get(FOLDER, "")
    for name in interpreters if folder else ():
        with socket.socket(socket.AF_UNIX) as asking, asking.makefile("rb") as answer:
            try:
                with address(folder, name) as place:
                    asking.connect(place)
                order(asking, module, words, environment, working, descriptors)
                taken = answer.readline() == STARTED
            except OSError:
                taken = False
            if taken:
                # From here on it has run: without an answer it was killed, and must not run twice.
                with contextlib.suppress(OSError, ValueError):
                    return int(answer.readline())
                return int(signal.SIGKILL)
    return None


def order(
    asking: socket.socket,
    module: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    working: str,
    descriptors: Sequence[int],
) -> None:
    """Sends an interpreter the order to run `module.main(words)`: as `ask`, which also waits for its end."""
    text = json.dumps({"module": module, "words": [*words], "environment": {**environment}, "folder": working}).encode()
    socket.send_fds(asking, [len(text).to_bytes(8, "big")], list(descriptors))
    asking.sendall(text)


@contextlib.contextmanager
def address(folder: str, name: str) -> Iterator[str]:
    """The address of a socket, which has room for 107 bytes; on Linux there is a short one for any folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = f"/proc/self/fd/{descriptor}"
        yield os.path.join(near if sys.platform.startswith("linux") else folder, name)  # noqa: PTH118
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
