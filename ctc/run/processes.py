"""The processes that a run started, found by their environment: what is left of a run that was killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path


def end_children(state: Path) -> None:
    """Kills every process that was started for this state folder, children of children included (Linux).

    They are known by the environment that only this run's machine gives. Elsewhere each step ends with its parent.
    """
    if not sys.platform.startswith("linux"):
        return
    mark = f"CTC_CODE_STORE={state / 'code'}".encode()
    begin = time.monotonic()
    while True:
        killed, starting = _kill_marked(mark)
        waited = time.monotonic() - begin
        # What was killed may have started others just before; what is just being started shows no environment yet.
        if not (killed and waited < 5) and not (starting and waited < 0.25):
            return
        time.sleep(0.005)


def _kill_marked(mark: bytes) -> tuple[bool, bool]:
    """Kills what carries the mark in its environment. Whether anything did, and whether anything shows none yet."""
    killed = starting = False
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if mark in environment.split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
                killed = True
            elif not environment:
                # Kernel threads and ended processes have none either, nor a program: this raises for them.
                (folder / "exe").readlink()
                starting = starting or _age(folder) < 1
    return killed, starting


def _age(folder: Path) -> float:
    """Seconds since a process was started; its field 22 in `stat` (proc(5)) counts ticks from the machine's start."""
    started = int((folder / "stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return float(Path("/proc/uptime").read_text().split()[0]) - started
