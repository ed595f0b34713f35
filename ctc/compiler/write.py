"""Bundles on disk: a manifest that says what ctc wrote, so that it overwrites nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctc.compiler.bundle import Bundle, as_json
from ctc.compiler.ir import System
from ctc.diagnostics import CtcError

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


def files(bundle: Bundle, system: System) -> dict[str, bytes]:
    """Every file of the bundle by relative path, the manifest included."""
    contents = {artifact.path: artifact.content for artifact in bundle.artifacts}
    return {**contents, MANIFEST: as_json(manifest(bundle, system))}


def manifest(bundle: Bundle, system: System) -> dict[str, Any]:
    """The manifest document (`schemas/manifest.v1.schema.json`)."""
    return {
        "version": MANIFEST_VERSION,
        "name": system.name,
        "environment": system.environment,
        "target": bundle.target,
        "root": system.root,
        "spec_digest": system.spec_digest,
        "digest": bundle.digest,
        "files": {artifact.path: _sha256(artifact.content) for artifact in bundle.artifacts},
        "uploads": dict(bundle.uploads),
    }


def differences(wanted: Mapping[str, bytes], directory: Path) -> list[str]:
    """What makes `directory` not the bundle, one line a file, sorted; empty when it is current."""
    found: list[str] = []
    for path, content in sorted(wanted.items()):
        file = directory / path
        if not file.is_file():
            found.append(f"missing: {path}")
        elif file.read_bytes() != content:
            found.append(f"differs: {path}")
    found += [f"not part of the bundle: {path}" for path in sorted(_on_disk(directory) - set(wanted))]
    return found


def write(wanted: Mapping[str, bytes], directory: Path) -> None:
    """Makes `directory` hold exactly the bundle; as `write_all`."""
    write_all({directory: wanted})


def write_all(bundles: Mapping[Path, Mapping[str, bytes]]) -> None:
    """Makes each directory hold exactly its bundle.

    Raises `CtcError`, before anything is touched, if one holds a file that ctc did not write, or one that was edited
    since. Files are replaced one by one, the manifest last: a write that is cut short is finished by the next. A file
    that is already as wanted is left alone.
    """
    present = {directory: _present(directory) for directory in bundles}
    digests = {directory: _digests(wanted) for directory, wanted in bundles.items()}
    for directory, there in present.items():
        _refuse_foreign(there, digests[directory], directory)
    for directory, wanted in bundles.items():
        there = present[directory]
        changed = [path for path, digest in digests[directory].items() if there.get(path) != digest]
        for path in sorted(changed, key=lambda path: (path == MANIFEST, path)):
            _replace(directory / path, wanted[path])
        for path in there.keys() - wanted.keys():
            (directory / path).unlink()
        for folder in sorted((item for item in directory.rglob("*") if item.is_dir()), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()


def _refuse_foreign(present: Mapping[str, str], wanted: Mapping[str, str], directory: Path) -> None:
    foreign = _foreign(present, wanted, _manifest_files(directory)) if present else []
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise CtcError(
            f"{directory} holds files that ctc did not write, or that were edited since: {shown}; nothing was written",
            "name another --out, or delete them if they are not needed",
        )


def _present(directory: Path) -> dict[str, str]:
    return {path: _sha256((directory / path).read_bytes()) for path in _on_disk(directory)}


def _digests(wanted: Mapping[str, bytes]) -> dict[str, str]:
    return {path: _sha256(content) for path, content in wanted.items()}


def _foreign(present: Mapping[str, str], wanted: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """The files that are present and neither those that the manifest lists (`ours`) nor those that are wanted.

    All three map a path to a digest. A wanted one is ours too: a write that was cut short left some of the new files
    beside the old manifest.
    """
    return [
        path
        for path, digest in sorted(present.items())
        if path != MANIFEST and digest not in (ours.get(path), wanted.get(path))
    ] + ([MANIFEST] if MANIFEST in present and not ours else [])


def _manifest_files(directory: Path) -> dict[str, str]:
    """What the manifest on disk says ctc wrote; empty if there is none or it is not ours."""
    file = directory / MANIFEST
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_bytes())
    except ValueError:
        return {}
    listed = document.get("files") if isinstance(document, dict) else None
    return dict(listed) if isinstance(listed, dict) else {}


def _on_disk(directory: Path) -> set[str]:
    if not directory.exists():
        return set()
    if not directory.is_dir():
        raise CtcError(f"{directory} is a file", "name a folder with --out")
    return {item.relative_to(directory).as_posix() for item in directory.rglob("*") if not item.is_dir()}


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
