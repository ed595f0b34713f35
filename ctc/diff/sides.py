"""The two states of the files that are compared: commits, the working tree, folders, single files."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ctc.diff.git import Entry, Repository, Revision
from ctc.language.source import MAX_BYTES

_MAX_LINKS = 8


class Side(Protocol):
    """One state of the files, by their paths from its root, with `/`."""

    @property
    def label(self) -> str:
        """How people call it: `main`, `the working tree`."""
        ...

    @property
    def at(self) -> datetime | None:
        """When it was made, where that is recorded."""
        ...

    def paths(self) -> Collection[str]: ...

    def fetch(self, paths: Iterable[str]) -> None:
        """Makes the contents of many paths ready at once; `content` alone would ask for each."""
        ...

    def content(self, path: str) -> bytes:
        """The file's bytes, of a large one no more than a spec may have and one."""
        ...

    def identity(self, path: str) -> str:
        """Equal for equal contents, on both sides of one comparison."""
        ...

    def place(self, paths: Iterable[str]) -> dict[str, Path]:
        """Where the files stand on disk, each at the same place relative to the others."""
        ...


class Commit:
    """A commit. What of it is asked for is laid down in `scratch`: a spec names files relative to its own."""

    def __init__(self, repository: Repository, revision: Revision, scratch: Path) -> None:
        self.label = revision.word
        self.at: datetime | None = revision.at
        self._repository = repository
        self._entries = repository.entries(revision)
        self._scratch = scratch
        self._contents: dict[str, bytes] = {}

    def paths(self) -> Collection[str]:
        return self._entries.keys()

    def fetch(self, paths: Iterable[str]) -> None:
        wanted = [self._resolved(path).id for path in paths]
        self._contents |= self._repository.contents([item for item in wanted if item not in self._contents])

    def content(self, path: str) -> bytes:
        number = self._resolved(path).id
        if number not in self._contents:
            self.fetch([path])
        return self._contents[number][: MAX_BYTES + 1]

    def identity(self, path: str) -> str:
        return self._resolved(path).id

    def place(self, paths: Iterable[str]) -> dict[str, Path]:
        wanted = list(paths)
        self.fetch(wanted)
        placed = {}
        for path in wanted:
            file = self._scratch / path
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.content(path))
            placed[path] = file
        return placed

    def _resolved(self, path: str) -> Entry:
        """The file itself, where a path is a symbolic link to one of the same commit."""
        entry = self._entries[path]
        for _ in range(_MAX_LINKS):
            if not entry.is_link:
                break
            aim = os.fsdecode(self._repository.contents([entry.id])[entry.id])
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), aim))
            if path not in self._entries:
                break
            entry = self._entries[path]
        return entry


class Folder:
    """Files that are on disk: a working tree, whose files git lists, or any folder."""

    def __init__(self, root: Path, label: str, paths: Iterable[str], algorithm: str = "sha1") -> None:
        self.label = label
        self.at: datetime | None = None
        self._root = root
        self._algorithm = algorithm
        self._paths = dict.fromkeys(path for path in paths if (root / path).is_file())

    def paths(self) -> Collection[str]:
        return self._paths.keys()

    def fetch(self, paths: Iterable[str]) -> None:
        """Nothing is needed: they are on disk."""

    def content(self, path: str) -> bytes:
        with (self._root / path).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)

    def identity(self, path: str) -> str:
        """As git computes it, so that a file can be compared with one of a commit without reading that."""
        content = (self._root / path).read_bytes()
        digest = hashlib.new(self._algorithm, b"blob %d\0" % len(content), usedforsecurity=False)
        digest.update(content)
        return digest.hexdigest()

    def place(self, paths: Iterable[str]) -> dict[str, Path]:
        return {path: self._root / path for path in paths}


def below(root: Path) -> list[str]:
    """The files of a folder and those below it, but for hidden ones."""
    found = []
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(place, name).relative_to(root).as_posix() for name in sorted(names) if name[0] != "."]
    return found
