"""Whole processes timed from outside, in turn, so that a drifting machine slows each of them alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """One process: `cpu` and `wall` in seconds, children that it waited for included."""

    cpu: float
    wall: float


def once(command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Timing:
    """Runs a command to its end. Raises `RuntimeError` with its output if it fails: a broken run has no speed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env={**_environment(), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{output.decode()[-2000:]}")
    return Timing(usage.ru_utime + usage.ru_stime, time.perf_counter() - start)


def _environment() -> dict[str, str]:
    """The caller's, except that bytecode is kept as an installed package has it: compiling is no part of any speed."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def in_turn(commands: Mapping[str, Sequence[str]], cwd: Path, rounds: int) -> dict[str, list[Timing]]:
    """`rounds` timings of each command, A B C A B C …, after one round that does not count.

    `{round}` in a word becomes the round's number: what a command writes, it writes where nothing is yet.
    """
    timings: dict[str, list[Timing]] = {name: [] for name in commands}
    for index in range(rounds + 1):
        for name, command in commands.items():
            timing = once([word.replace("{round}", str(index)) for word in command], cwd)
            if index:
                timings[name].append(timing)
    return timings


def ratio(ours: Sequence[Timing], peer: Sequence[Timing], figure: str) -> float:
    """The median of the ratios round by round."""
    return statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, peer, strict=True))


def median(timings: Sequence[Timing], figure: str) -> float:
    return statistics.median(getattr(timing, figure) for timing in timings)
