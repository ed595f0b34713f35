"""Which commit a spec is deployed from, and which is older, asked of a real repository."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ctc.deploy.commit import is_older, of
from ctc.deploy.document import Commit
from ctc.language.lock import LOCK

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    file = tmp_path / "ctc.yaml"
    commit(file, "one", 1)
    return file


def git(folder: Path, *words: str, day: int = 1) -> str:
    when = f"2026-03-{day:02d}T12:00:00+00:00"
    told = {
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_DATE": when,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "PATH": "/usr/bin:/bin",
    }
    names = ["-c", "user.name=ann", "-c", "user.email=ann@example.invalid"]
    done = subprocess.run(["git", *names, *words], cwd=folder, env=told, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(file: Path, text: str, day: int) -> Commit:
    file.write_text(text)
    git(file.parent, "add", "-A")
    git(file.parent, "commit", "--quiet", "--message", text, day=day)
    found = of(file)
    assert found is not None
    return found


def test_a_commit_has_its_time_and_whether_the_spec_was_changed_since(spec: Path) -> None:
    clean = of(spec)
    assert clean is not None
    assert (len(clean.id), clean.at, clean.changed) == (40, "2026-03-01T12:00:00+00:00", False)

    (spec.parent / "notes.md").write_text("not the spec")
    assert of(spec) == clean
    spec.write_text("changed")
    assert of(spec) == replace(clean, changed=True)


def test_outside_of_a_repository_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "alone").mkdir()
    assert of(tmp_path / "alone" / "ctc.yaml") is None
    monkeypatch.setenv("PATH", "")
    assert of(tmp_path / "ctc.yaml") is None


def test_an_ancestor_is_older_whatever_the_clocks_said(spec: Path) -> None:
    first = of(spec)
    second = commit(spec, "two", 1)
    assert first is not None

    assert is_older(first, second, spec)
    assert not is_older(second, first, spec)
    assert not is_older(second, replace(second, changed=True), spec)


def test_branches_that_went_apart_are_neither_older_nor_newer(spec: Path) -> None:
    git(spec.parent, "checkout", "--quiet", "-b", "side")
    side = commit(spec, "side", 2)
    git(spec.parent, "checkout", "--quiet", "main")
    main = commit(spec, "main", 3)

    assert not is_older(side, main, spec)
    assert not is_older(main, side, spec)


def test_a_commit_that_is_not_known_here_is_compared_by_its_time(spec: Path) -> None:
    here = of(spec)
    assert here is not None
    stranger = Commit("f" * 40, "2026-03-01T12:30:00+01:00")

    assert not is_older(here, stranger, spec)
    assert is_older(here, replace(stranger, at="2026-03-02T00:00:00+00:00"), spec)


def test_a_lock_that_is_not_as_committed_is_a_change_too(spec: Path) -> None:
    lock = spec.parent / LOCK
    lock.write_text("{}")
    found = of(spec)
    assert found is not None and found.changed
    clean = commit(spec, "two", 2)
    assert not clean.changed
    lock.write_text('{"version": 1}')
    found = of(spec)
    assert found is not None and found.changed
