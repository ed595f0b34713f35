"""`BASE[..HEAD] [PATHS]` as a person writes it: which two states are compared, and which specs of them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.diff.git import Repository, Revision
from ctc.diff.named import named_by
from ctc.diff.sides import Commit, Folder, Side, below

WORKING_TREE = "the working tree"
_SPEC = re.compile(rb"""^(?:\xef\xbb\xbf)?["']?apiVersion["']?\s*:\s*["']?ctc/""", re.MULTILINE)
_RANGE = re.compile(r"(?P<base>[^\s]*?)(?P<dots>\.{2,3})(?P<head>[^\s]*)")


class Wrong(CtcError):
    """Arguments that do not go together: a mistake of usage."""


@dataclass(frozen=True)
class Chosen:
    """`pairs` are the specs by their path in base and in head; None where that side has none."""

    base: Side
    head: Side
    pairs: tuple[tuple[str | None, str | None], ...]
    unchanged: tuple[str, ...] = field(default=())
    """Specs whose own bytes, and those of each file that they name, are the same on both sides."""
    two_files: bool = False
    """Whether one file is compared with another: then nothing has moved."""


def choose(words: Sequence[str], here: Path, scratch: Path) -> Chosen:
    """The two states that `words` name, seen from the folder `here`. `scratch` is an empty folder for copies.

    Raises `Wrong` for words that do not go together, `CtcError` where git, a repository or a commit is missing.
    """
    first, rest = words[0], words[1:]
    if (here / first).exists() and not _is_commit(first, here):
        if len(rest) != 1:
            raise Wrong(
                f"{first} is a file or folder: say what to compare it with",
                f"ctc diff {first} OTHER, or a commit first: ctc diff HEAD {first}",
            )
        return _two_places(here, (first, rest[0]))
    if first.endswith((".yaml", ".yml")) and not (here / first).exists():
        raise CtcError(f"there is no file {first}", "the first word is a commit, or one of two files or folders")
    return _two_commits(first, rest, here, scratch)


def _is_commit(word: str, here: Path) -> bool:
    """Whether a word that is a path too is a commit's name. A path is written `./main` to be none."""
    if os.sep in word[:2] or word in (".", "..") or word.endswith((".yaml", ".yml")):
        return False
    try:
        Repository(here).revision(word)
    except CtcError:
        return False
    return True


def _two_commits(word: str, rest: Sequence[str], here: Path, scratch: Path) -> Chosen:
    repository = Repository(here)
    match = _RANGE.fullmatch(word)
    asked, dots, other = (match["base"], match["dots"], match["head"]) if match else (word, "", "")
    base = repository.revision(asked or "HEAD")
    against = repository.revision(other or "HEAD")
    if dots == "...":
        base = repository.fork_point(base, against)
    left = Commit(repository, base, scratch / "base")
    right = Commit(repository, against, scratch / "head") if other else _working_tree(repository, base)
    folder = here.resolve()
    wanted = [_from_root(folder / path, repository.root.resolve(), path) for path in rest or ["."]]
    specs = tuple(tuple(_specs(side, wanted)) for side in (left, right))
    for path, place in zip(rest, wanted, strict=False):
        if not any(_is_below(spec, place) for side in specs for spec in side):
            raise CtcError(
                f"no spec at {path}, neither in {left.label} nor in {right.label}",
                "a spec is a YAML file with an `apiVersion: ctc/...`",
            )
    return _paired(left, right, *specs)


def _working_tree(repository: Repository, base: Revision) -> Folder:
    algorithm = "sha256" if len(base.id) == 64 else "sha1"
    return Folder(repository.root, WORKING_TREE, repository.working_files(), algorithm)


def _two_places(here: Path, words: tuple[str, str]) -> Chosen:
    base, head = here / words[0], here / words[1]
    for place, word in ((base, words[0]), (head, words[1])):
        if not place.exists():
            raise CtcError(f"there is no {word}", "compare two files or two folders, or a commit: ctc diff main")
    if base.is_dir() is not head.is_dir():
        raise Wrong(f"{words[0]} and {words[1]} are a file and a folder", "compare two files or two folders")
    if base.is_dir():
        left, right = (
            Folder(place, word.rstrip("/"), below(place)) for place, word in zip((base, head), words, strict=True)
        )
        return _paired(left, right, tuple(_specs(left, ["."])), tuple(_specs(right, ["."])))
    left, right = (
        Folder(here, word, [word, *_beside(place, word)]) for place, word in zip((base, head), words, strict=True)
    )
    return Chosen(left, right, (words,), two_files=True)


def _beside(file: Path, word: str) -> list[str]:
    """What a single spec can name: files of its folder, without those below it."""
    names = (entry.name for entry in os.scandir(file.absolute().parent) if entry.is_file())
    return [(Path(word).parent / name).as_posix() for name in names if name != file.name]


def _from_root(path: Path, root: Path, word: str) -> str:
    try:
        return Path(os.path.normpath(path)).relative_to(root).as_posix()
    except ValueError:
        raise CtcError(f"{word} is not in the repository at {root}") from None


def _is_below(path: str, place: str) -> bool:
    return place == "." or path == place or path.startswith(f"{place}/")


def _specs(side: Side, wanted: Sequence[str]) -> Iterator[str]:
    """The specs at or below the wanted places: YAML files that say so, but for hidden ones that nobody named."""
    named = [
        path
        for path in side.paths()
        if path in wanted
        or (
            path.endswith((".yaml", ".yml"))
            and any(_is_below(path, place) for place in wanted)
            and not any(part.startswith(".") for part in path.split("/"))
        )
    ]
    side.fetch(named)
    yield from sorted(path for path in named if path in wanted or _SPEC.search(side.content(path)[:65536]))


def _paired(base: Side, head: Side, old: Sequence[str], new: Sequence[str]) -> Chosen:
    """Specs by their paths; one that was moved is found again by what compares them."""
    both = sorted({*old, *new})
    left, right = set(old), set(new)
    pairs = [(path if path in left else None, path if path in right else None) for path in both]
    unchanged = {path for path in both if path in left and path in right and _is_same(base, head, path)}
    return Chosen(base, head, tuple(pair for pair in pairs if pair[1] not in unchanged), tuple(sorted(unchanged)))


def _is_same(base: Side, head: Side, spec: str) -> bool:
    """Whether the spec and all files that it names are the same bytes."""
    if base.identity(spec) != head.identity(spec):
        return False
    named = {*named_by(base, spec), *named_by(head, spec)}
    return all(
        path in base.paths() and path in head.paths() and base.identity(path) == head.identity(path) for path in named
    )
