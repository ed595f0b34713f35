"""The files of a folder that go into an image: in one order, and none that would not be the same elsewhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.package.dockerignore import DEFAULT, FILE, Ignored, read
from ctc.value import Value, frozen

SHOWN = 20
"""So many refusals are told at once."""


@frozen
class Entry(Value):
    """One file of a context. `path` is relative to it, with `/`; `source` is where its bytes are, or the bytes."""

    path: str
    source: Path | bytes
    executable: bool = False


@frozen
class Tree(Value):
    """The entries in the order of their paths' bytes, and what was left out: patterns of whose, and names."""

    entries: tuple[Entry, ...]
    ignored_by: str
    left_out: tuple[str, ...] = ()


def tree(root: Path, dockerfile: str, leave: Collection[str] = ()) -> Tree:
    """What of `root` goes into an image.

    `dockerfile` is in it, and the `.dockerignore`, whatever is ignored; the files and folders of `leave` are not,
    unless a pattern lets one in by its very name. CtcError names every symbolic link, special file, unreadable folder
    and name that another machine would not take.
    """
    if not root.is_dir():
        raise CtcError(f"{root} is no folder", "mend training.code: it is the folder of the training code")
    ignored, whose, named = _patterns(root, dockerfile)
    always = {dockerfile, FILE, f"{dockerfile}.dockerignore"}
    left: list[str] = []

    def goes(path: str, *, folder: bool) -> bool:
        if path in always and not folder:
            return True
        if path in leave and f"!{path}" not in named:
            left.append(path)
            return False
        return not ignored(path)

    refused: list[str] = []
    entries = sorted(_walk(root, goes, ignored, leave, refused.append), key=lambda entry: os.fsencode(entry.path))
    if refused:
        more = f"\n  and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        lines = "".join(f"\n  {line}" for line in sorted(refused)[:SHOWN])
        raise CtcError(
            f"{root} holds what no image can be built from the same way twice:{lines}{more}",
            f"put files in their place, or name them in {root / FILE}",
        )
    _require_apart(entries, root)
    return Tree(tuple(entries), whose, tuple(sorted(left)))


def _patterns(root: Path, dockerfile: str) -> tuple[Ignored, str, frozenset[str]]:
    """The patterns, whose they are, and their lines. A file named after the Dockerfile goes before the other."""
    for name in (f"{dockerfile}.dockerignore", FILE):
        file = root / name
        if file.is_symlink() or file.exists():
            try:
                content = file.read_bytes()
                return read(content), name, frozenset(line.strip() for line in content.decode("utf-8").split("\n"))
            except (OSError, ValueError) as error:
                told = getattr(error, "strerror", None) or str(error)
                raise CtcError(f"cannot read {file}: {told}", "Docker would not take it either: mend it") from error
    return Ignored(DEFAULT), "", frozenset()


def _walk(
    root: Path, goes: Callable[..., bool], ignored: Ignored, never: Collection[str], refuse: Callable[[str], None]
) -> Iterator[Entry]:
    folders = [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as items:
                found = sorted(items, key=lambda item: os.fsencode(item.name))
        except OSError as error:
            refuse(f"{_told(prefix or '.')}: {error.strerror}")
            continue
        for item in found:
            path = f"{prefix}{item.name}"
            mode = item.stat(follow_symlinks=False).st_mode
            is_folder = stat.S_ISDIR(mode)
            if not goes(path, folder=is_folder):
                if is_folder and path not in never and not ignored.whole(path):
                    folders.append((Path(item.path), f"{path}/"))
                continue
            problem = _problem(Path(item.path), path, mode)
            if problem:
                refuse(f"{_told(path)}: {problem}")
            elif is_folder:
                folders.append((Path(item.path), f"{path}/"))
            else:
                yield Entry(path, Path(item.path), bool(mode & stat.S_IXUSR))


def _problem(file: Path, path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return f"a symbolic link to {_told(str(file.readlink()))}"
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        return "no file: a pipe, a socket or a device"
    if any(ord(char) < 32 or ord(char) == 127 for char in path):
        return "a name with control characters"
    if "\\" in path:
        return "a name with a backslash, which some systems take for a folder"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if not os.access(file, os.R_OK):
        return "it cannot be read"
    return ""


def _require_apart(entries: list[Entry], root: Path) -> None:
    """CtcError for two names that are one on systems that do not distinguish case, or how letters are composed."""
    import unicodedata

    seen: dict[str, str] = {}
    for entry in entries:
        key = unicodedata.normalize("NFC", entry.path).casefold()
        other = seen.setdefault(key, entry.path)
        if other != entry.path:
            raise CtcError(
                f"{root}: {_told(other)} and {_told(entry.path)} are one file on macOS and Windows",
                "rename one: the same checkout would give another image there",
            )


def _told(path: str) -> str:
    """A path as people can read it, whatever bytes are in its name."""
    plain = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return path if plain == path and path.isprintable() else repr(path)
