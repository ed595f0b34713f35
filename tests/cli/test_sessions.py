"""Recorded sessions: what somebody types (`$ …`), what they see, and the exit code where it is not 0.

Each `*.session` runs in a folder of its own that holds the specs of `specs/`; `HERE` stands for that folder. Output and
errors come in the order in which they were written. `pytest tests/cli --update` records them anew: review the diff.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SESSIONS = sorted(Path(__file__).resolve().parent.glob("*.session"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The folder of a session, with `ctc` on its PATH."""
    program = tmp_path / "bin" / "ctc"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ctc "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "here"
    folder.mkdir()
    for spec in (ROOT / "specs").glob("*.yaml"):
        shutil.copy(spec, folder)
    return folder


@pytest.fixture
def cloud(session: Path) -> Iterator[dict[str, str]]:
    """What reaches the account of the sessions that deploy: a server on loopback, prepared by an administrator."""
    if session.stem != "deploy":
        yield {}
        return
    from aws_account import prepared

    with prepared(ROOT / "specs" / "everywhere.yaml") as reached:
        yield reached


def answered(command: str, here: Path, cloud: Mapping[str, str]) -> str:
    """A command with what it printed, as a session has it."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=here,
        env={
            "PATH": f"{here.parent / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(here),
            "LC_ALL": "C.UTF-8",
            "NO_COLOR": "1",
            **cloud,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    said = done.stdout.replace(str(here), "HERE")
    ending = "" if said.endswith("\n") or not said else "\n[no line end]\n"
    return f"$ {command}\n{said}{ending}" + (f"[exit {done.returncode}]\n" if done.returncode else "")


@pytest.mark.parametrize("session", SESSIONS, ids=lambda path: path.stem)
def test_session(session: Path, here: Path, cloud: dict[str, str], update: bool) -> None:
    recorded = session.read_text(encoding="utf-8")
    commands = [line.removeprefix("$ ") for line in recorded.splitlines() if line.startswith("$ ")]
    played = "".join(answered(command, here, cloud) for command in commands)
    if update:
        session.write_text(played, encoding="utf-8")

    assert commands
    assert "Traceback" not in played
    assert session.read_text(encoding="utf-8") == played
