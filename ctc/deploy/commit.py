"""The commit that a spec is deployed from, and whether it is older than the deployed one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ctc.deploy.document import Commit, parse_time
from ctc.language.lock import LOCK

TIMEOUT_SECONDS = 30


def of(spec: Path) -> Commit | None:
    """The commit checked out around the spec's file; None outside of a git repository, or without git.

    It is told as changed if the spec, or the lock of its images, is not as committed.
    """
    folder = spec.absolute().parent
    said = _git(folder, "show", "--no-patch", "--format=%H %cI", "HEAD")
    if said is None or " " not in said:
        return None
    number, at = said.split()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", spec.name, LOCK)
    return Commit(number, at, bool(changed))


def is_older(here: Commit, deployed: Commit, spec: Path) -> bool:
    """Whether the deployed commit already contains this one.

    A commit that this repository does not know (a shallow clone, another's push) is compared by its time. Two branches
    that went apart are neither older nor newer.
    """
    if here.id == deployed.id:
        return False
    folder = spec.absolute().parent
    if _git(folder, "cat-file", "-e", f"{deployed.id}^{{commit}}") is None:
        return parse_time(here.at) < parse_time(deployed.at)
    return _git(folder, "merge-base", "--is-ancestor", here.id, deployed.id) is not None


def _git(folder: Path, *words: str) -> str | None:
    """What git prints; None where it is missing, or says no."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
