"""Contexts on disk: written beside what is there, swapped in when they are whole, and nothing of others touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from ctc.compiler.bundle import as_json
from ctc.diagnostics import CtcError
from ctc.package.context import EPOCH, Checked, Context, context, mode_of, write_tar
from ctc.package.tree import Entry

MANIFEST = "package.json"
_CHUNK = 1 << 20


def write(contexts: list[Context], folder: Path, *, tar: bool = False) -> list[str]:
    """Makes `folder` hold these contexts, each as a folder or a tar file; the names of those that were not yet there.

    A context is written beside the old one and takes its place when it is whole. CtcError, before anything is touched,
    where something is there that ctc did not write or that was edited since.
    """
    if folder.exists() and not folder.is_dir():
        raise CtcError(f"{folder} is a file", "name a folder with -o")
    listed = _listed(folder)
    changed = [made for made in contexts if not _holds(folder, made, tar=tar)]
    for made in changed:
        _require_ours(_place(folder, made, tar=tar), made, listed, tar=tar)
    folder.mkdir(parents=True, exist_ok=True)
    for made in changed:
        _write_one(made, _place(folder, made, tar=tar), tar=tar)
    content = manifest(contexts, tar=tar)
    if not (folder / MANIFEST).is_file() or (folder / MANIFEST).read_bytes() != content:
        replace_file(folder / MANIFEST, lambda stream: stream.write(content))
    return [made.name for made in changed]


def differences(contexts: list[Context], folder: Path, *, tar: bool = False) -> list[str]:
    """What makes a folder not hold these contexts, one line each; nothing is written."""
    found: list[str] = []
    for made in contexts:
        place = _place(folder, made, tar=tar)
        if not place.exists():
            found.append(f"missing: {place}")
        elif not _holds(folder, made, tar=tar):
            found.append(f"differs: {place}")
    return found


def manifest(contexts: list[Context], *, tar: bool = False) -> bytes:
    """`package.json`: what was written, for programs and for the next time."""
    described = {
        made.name: {
            "image": made.image,
            "tag": made.tag,
            "context": made.digest,
            "path": f"{made.name}.tar" if tar else made.name,
            "files": len(made.files),
            "bytes": made.size,
        }
        for made in contexts
    }
    return as_json({"version": 1, "contexts": described})


def digest_of_folder(folder: Path) -> str:
    """The digest of the context that a folder holds; empty where it holds more or other than a context has."""
    entries: list[Entry] = []
    for item in folder.rglob("*"):
        if item.is_symlink() or not (item.is_dir() or item.is_file()):
            return ""
        if item.is_file():
            entries.append(Entry(item.relative_to(folder).as_posix(), item, bool(item.stat().st_mode & 0o100)))
    return context("", "", tuple(entries)).digest


def _place(folder: Path, made: Context, *, tar: bool) -> Path:
    return folder / (f"{made.name}.tar" if tar else made.name)


def _holds(folder: Path, made: Context, *, tar: bool) -> bool:
    place = _place(folder, made, tar=tar)
    if not tar:
        return place.is_dir() and not place.is_symlink() and digest_of_folder(place) == made.digest
    if not place.is_file():
        return False
    compared = _Compared(place)
    write_tar(made, compared)  # type: ignore[arg-type]
    return compared.same()


class _Compared:
    """What takes a file's bytes and keeps none of them: it only says whether they are those of another file."""

    def __init__(self, file: Path) -> None:
        self._other, self._equal, self._at = file.open("rb"), True, 0

    def write(self, content: bytes) -> int:
        self._equal = self._equal and self._other.read(len(content)) == content
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def same(self) -> bool:
        with self._other:
            return self._equal and not self._other.read(1)


def _listed(folder: Path) -> dict[str, Any]:
    """The contexts that the manifest says ctc wrote; none where there is no manifest, or one that is not ours."""
    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    listed = document.get("contexts") if isinstance(document, dict) else None
    return listed if isinstance(listed, dict) else {}


def _require_ours(place: Path, made: Context, listed: dict[str, Any], *, tar: bool) -> None:
    """CtcError for what stands at a context's place and is not the one that the manifest tells of."""
    if not (place.exists() or place.is_symlink()) or (place.is_dir() and not any(place.iterdir())):
        return
    entry = listed.get(made.name)
    told = entry if isinstance(entry, dict) else {}
    if tar:
        ours = place.is_file() and told.get("path") == place.name
    else:
        ours = place.is_dir() and not place.is_symlink() and digest_of_folder(place) == told.get("context")
    if not ours:
        raise CtcError(
            f"{place} holds what ctc did not write, or what was edited since", "name another -o, or delete it"
        )


def _write_one(made: Context, place: Path, *, tar: bool) -> None:
    if tar:
        replace_file(place, lambda stream: write_tar(made, stream))
        return
    partial, old = place.with_name(f".{place.name}.partial"), place.with_name(f".{place.name}.old")
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    partial.mkdir()
    folders = {partial}
    for file in made.files:
        there = partial / file.entry.path
        there.parent.mkdir(parents=True, exist_ok=True)
        folders.update(parent for parent in there.parents if parent.is_relative_to(partial))
        with Checked(file) as content, there.open("wb") as stream:
            while chunk := content.read(_CHUNK):
                stream.write(chunk)
        there.chmod(mode_of(file.entry))
        os.utime(there, (EPOCH, EPOCH))
    for inner in sorted(folders, reverse=True):
        inner.chmod(0o755)
        os.utime(inner, (EPOCH, EPOCH))
    if place.exists():
        place.rename(old)
    partial.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def replace_file(place: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Makes a file what `fill` writes, at once: killed meanwhile, the old one stays."""
    partial = place.with_name(f".{place.name}.partial")
    try:
        with partial.open("wb") as stream:
            fill(stream)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)
