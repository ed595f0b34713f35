"""Interpreters that are ready: a program that is handed over is the same program, and ends with whoever asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ctc.run.warm import FOLDER, Warm
from ctc.steps import handover

PROGRAM = """\
import json, os, signal, sys, time
loaded = os.getpid()

def load():
    pass

def main(words):
    seen = {"words": words, "folder": os.getcwd(), "mark": os.environ.get("MARK"), "pid": os.getpid(), "loaded": loaded}
    print(json.dumps(seen), flush=True)
    print("a complaint", file=sys.stderr, flush=True)
    if "die" in words:
        os.kill(os.getpid(), signal.SIGTERM)
    if "sleep" in words:
        time.sleep(60)
    if "raise" in words:
        raise ValueError("on purpose")
    if "exit" in words:
        sys.exit(5)
    return 3
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    state = tmp_path / ("a-long-name-" * 12)
    return {**os.environ, "PYTHONPATH": str(tmp_path), "MARK": "of the run", handover.FOLDER: str(state / FOLDER)}


@pytest.fixture
def warm(environment: Mapping[str, str]) -> Iterator[Warm]:
    with Warm(Path(environment[handover.FOLDER]).parent) as warm:
        warm.prepare(handover.RUNNER, environment, "program")
        yield warm


def ask(environment: Mapping[str, str], folder: Path, *words: str) -> tuple[int | None, str, str]:
    """The wait status of the program, and what it wrote to stdout and stderr."""
    with (folder / "out").open("w+b") as out, (folder / "err").open("w+b") as err, Path(os.devnull).open("rb") as no:
        places = no.fileno(), out.fileno(), err.fileno()
        status = handover.ask((handover.RUNNER,), "program", words, environment, str(folder), places)
    return status, (folder / "out").read_text(), (folder / "err").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a socket's path must be short")
def test_a_program_that_is_handed_over_is_the_same_program(
    warm: Warm, environment: dict[str, str], tmp_path: Path
) -> None:
    status, out, err = ask({**environment, "MARK": "of the step"}, tmp_path, "one", "two words")

    seen = json.loads(out)
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 3
    assert (seen["words"], seen["folder"], seen["mark"]) == (["one", "two words"], str(tmp_path), "of the step")
    assert err == "a complaint\n"
    assert seen["loaded"] not in (seen["pid"], os.getpid())


@pytest.mark.parametrize(("word", "code"), [("die", -signal.SIGTERM), ("exit", 5), ("raise", 1)])
def test_its_end_is_told_however_it_ended(
    word: str, code: int, warm: Warm, environment: dict[str, str], tmp_path: Path
) -> None:
    status, _, err = ask(environment, tmp_path, word)

    assert status is not None
    assert os.waitstatus_to_exitcode(status) == code
    assert ("ValueError: on purpose" in err) == (word == "raise")


def test_nobody_takes_it_where_nobody_is_ready(environment: dict[str, str], tmp_path: Path) -> None:
    assert ask(environment, tmp_path)[0] is None
    assert ask({}, tmp_path)[0] is None

    state = Path(environment[handover.FOLDER]).parent
    with Warm(state) as warm:
        warm.prepare(handover.RUNNER, environment, "program")
    assert ask(environment, tmp_path)[0] is None
    assert list(state.iterdir()) == []


def test_what_a_killed_run_left_is_in_nobodys_way(environment: dict[str, str], tmp_path: Path) -> None:
    left = Path(environment[handover.FOLDER])
    left.mkdir(parents=True)
    (left / handover.RUNNER).write_text("a socket without a listener")

    with Warm(left.parent) as warm:
        warm.prepare(handover.RUNNER, environment, "program")
        assert ask(environment, tmp_path)[0] is not None


def test_only_this_user_can_reach_it(warm: Warm) -> None:
    assert warm.folder.stat().st_mode & 0o077 == 0


def test_the_program_ends_with_whoever_asked(warm: Warm, environment: dict[str, str], tmp_path: Path) -> None:
    text = (
        "import os, sys\nfrom ctc.steps import handover\n"
        f"handover.ask((handover.RUNNER,), 'program', ['sleep'], os.environ, {str(tmp_path)!r}, (0, 1, 2))"
    )
    asking = subprocess.Popen(
        [sys.executable, "-c", text], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert asking.stdout is not None
    seen = json.loads(asking.stdout.readline())
    asking.kill()
    asking.wait()
    asking.stdout.close()

    wait_until_gone(seen["pid"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent's death signal is Linux's")
def test_everything_ends_with_the_run(environment: dict[str, str], tmp_path: Path) -> None:
    text = (
        "import os, pathlib\nfrom ctc.run.warm import Warm\nfrom ctc.steps import handover\n"
        f"with Warm(pathlib.Path({str(Path(environment[handover.FOLDER]).parent)!r})) as warm:\n"
        "    warm.prepare('runner', os.environ, 'program')\n"
        "    print(warm._started['runner'].pid, flush=True)\n"
        f"    handover.ask(('runner',), 'program', ['sleep'], os.environ, {str(tmp_path)!r}, (0, 1, 2))"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", text],
        env={**environment, "CTC_DIE_WITH_PARENT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert run.stdout is not None
    interpreter, seen = int(run.stdout.readline()), json.loads(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()

    wait_until_gone(interpreter)
    wait_until_gone(seen["pid"])


def wait_until_gone(process: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"process {process} lives on")
