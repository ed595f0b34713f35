"""Git's answers, by its own executable. Nothing is checked out, fetched, locked or written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ctc.diagnostics import CtcError

TIMEOUT_SECONDS = 120

_QUIET = (
    "-c",
    "core.fsmonitor=false",
    # A partial clone would ask its remote for what it lacks.
    "-c",
    "protocol.allow=never",
)
_REGULAR, _EXECUTABLE, _LINK = "100644", "100755", "120000"


class NoSuchCommit(CtcError):
    """A word that names no commit here."""


@dataclass(frozen=True)
class Entry:
    """A file of a commit: its mode as git writes it, and the id of its content."""

    mode: str
    id: str

    @property
    def is_link(self) -> bool:
        return self.mode == _LINK


@dataclass(frozen=True)
class Revision:
    """A commit: how it was asked for, its id, and when it was made."""

    word: str
    id: str
    at: datetime


class Repository:
    """The repository around a folder. Raises `CtcError` where there is none, or no git."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        said = self._ask("rev-parse", "--show-toplevel")
        if isinstance(said, str):
            raise CtcError(*_outside(folder, said))
        self.root = Path(os.fsdecode(said).rstrip("\n"))

    def revision(self, word: str) -> Revision:
        """The commit that a branch, tag, id or `HEAD~3` names. Raises `NoSuchCommit`."""
        if not word or word.startswith("-"):
            raise NoSuchCommit(f"`{word}` is no name of a commit", _FORMS)
        said = self._ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{word}^{{commit}}")
        if isinstance(said, str):
            raise NoSuchCommit(f"there is no commit `{word}` in {self.root}", self._how_to_get(word))
        number = said.decode().strip()
        shown = self._text("show", "--no-patch", "--format=%ct", number)
        return Revision(word, number, datetime.fromtimestamp(int(shown.split()[-1]), UTC))

    def fork_point(self, one: Revision, other: Revision) -> Revision:
        """Where two commits went apart: what a pull request is compared with."""
        said = self._ask("merge-base", one.id, other.id)
        if isinstance(said, str):
            raise CtcError(
                f"`{one.word}` and `{other.word}` have no commit in common here",
                "a shallow clone lacks it: clone with the whole history (`fetch-depth: 0`), or write `..` for `...`",
            )
        found = self.revision(said.decode().split()[0])
        return Revision(f"{one.word} ({found.id[:9]})", found.id, found.at)

    def entries(self, revision: Revision) -> dict[str, Entry]:
        """Every file of a commit by its path from the root; submodules are left out."""
        said = self._bytes("ls-tree", "-r", "-z", "--full-tree", revision.id)
        found = {}
        for line in said.split(b"\0"):
            head, tab, path = line.partition(b"\t")
            if tab:
                mode, _, number = head.decode().split(" ")
                if mode in (_REGULAR, _EXECUTABLE, _LINK, "100664"):
                    found[os.fsdecode(path)] = Entry(mode, number)
        return found

    def contents(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The contents of objects, by their ids, in one process."""
        wanted = tuple(dict.fromkeys(ids))
        if not wanted:
            return {}
        said = self._bytes("cat-file", "--batch", given="".join(f"{item}\n" for item in wanted).encode())
        found: dict[str, bytes] = {}
        position = 0
        for number in wanted:
            end = said.index(b"\n", position)
            words = said[position:end].split(b" ")
            if len(words) != 3:
                raise CtcError(
                    f"this clone lacks the object {number}",
                    "it is a partial clone: fetch the commit with its files first",
                )
            start, size = end + 1, int(words[2])
            found[number] = said[start : start + size]
            position = start + size + 1
        return found

    def working_files(self) -> list[str]:
        """The files of the working tree by their paths from the root, without what is ignored."""
        said = self._bytes("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
        return [os.fsdecode(path) for path in said.split(b"\0") if path]

    def _how_to_get(self, word: str) -> str:
        shallow = self._ask("rev-parse", "--is-shallow-repository") == b"true\n"
        remote, slash, branch = word.partition("/")
        fetch = f"git fetch {remote} {branch}" if slash else f"git fetch origin {word}"
        if shallow:
            return f"this clone is shallow: `{fetch}` first; on GitHub, `fetch-depth: 0` for actions/checkout"
        return f"{_FORMS}; if it is on a server only: `{fetch}`"

    def _text(self, *words: str) -> str:
        return self._bytes(*words).decode("utf-8", errors="replace")

    def _bytes(self, *words: str, given: bytes = b"") -> bytes:
        said = self._ask(*words, given=given)
        if isinstance(said, str):
            raise CtcError(f"git {words[0]} failed in {self.root}: {said}")
        return said

    def _ask(self, *words: str, given: bytes = b"") -> bytes | str:
        """What git prints; as text, why it does not."""
        environment = {
            **os.environ,
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }
        try:
            done = subprocess.run(
                ["git", *_QUIET, *words],
                cwd=self.root,
                env=environment,
                input=given,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            if not self.root.is_dir():
                raise CtcError(f"there is no folder {self.root}") from None
            raise CtcError(
                "there is no `git` on this machine, which reads what a spec was",
                "install it, or compare two files or folders: ctc diff old.yaml new.yaml",
            ) from None
        except subprocess.TimeoutExpired:
            raise CtcError(f"git {words[0]} was not done within {TIMEOUT_SECONDS} seconds in {self.root}") from None
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
            return said[0] if said else f"exit code {done.returncode}"
        return done.stdout


_FORMS = "write a branch, a tag or an id, such as `main`, `v1.2`, `HEAD~1`"


def _outside(folder: Path, said: str) -> tuple[str, str]:
    if "dubious ownership" in said:
        return (
            f"git does not trust the repository around {folder}: {said}",
            f"if you do: git config --global --add safe.directory {folder}",
        )
    if "bare" in said or "must be run in a work tree" in said:
        return f"the repository at {folder} has no working tree", "run ctc diff in a clone with one"
    return (
        f"{folder} is in no git repository",
        "run ctc diff in one, or compare two files or folders: ctc diff old.yaml new.yaml",
    )
