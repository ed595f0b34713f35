"""Addresses: where a URI of an artifact is kept on the machine that runs the step, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from ctc.steps.task import StepFailed


def local_path(uri: str) -> Path:
    """The local file or folder of a URI: below a mount of `CTC_MOUNTS`, a `file://` URI, or a plain path.

    StepFailed for any other scheme: nothing on this machine stands for it.
    """
    for prefix, folder in _mounts():
        if uri == prefix or uri.startswith(prefix + "/"):
            return folder / uri[len(prefix) :].lstrip("/")
    if uri.startswith("file://"):
        return Path(unquote(uri.removeprefix("file://").removeprefix("localhost")))
    if "://" in uri:
        mounted = ", ".join(prefix for prefix, _ in _mounts()) or "none"
        raise StepFailed(f"{uri} cannot be reached from this machine; CTC_MOUNTS names local folders for: {mounted}")
    return Path(uri)


def is_remote(uri: str) -> bool:
    """Whether a URI is of an object store that the engine reads in place.

    Not on a machine that folders stand in for stores on: there a URI without one is a mistake.
    """
    return uri.startswith(("s3://", "ctc-s3://")) and not os.environ.get("CTC_MOUNTS")


def to_uri(path: Path) -> str:
    """The URI of a local path: below a mount as the mount's URI (the nearest one's), else the absolute path."""
    absolute = path.absolute()
    above = [(folder, prefix) for prefix, folder in _mounts() if absolute.is_relative_to(folder)]
    if not above:
        return str(absolute)
    folder, prefix = max(above, key=lambda mount: len(mount[0].parts))
    relative = absolute.relative_to(folder).as_posix()
    return prefix if relative == "." else f"{prefix}/{relative}"


def _mounts() -> Iterator[tuple[str, Path]]:
    """URI prefixes without their last slash, the longest first, each with its folder."""
    text = os.environ.get("CTC_MOUNTS", "")
    try:
        mounts = json.loads(text) if text else {}
    except ValueError as error:
        raise StepFailed(f"CTC_MOUNTS is not JSON ({error}); write {{URI prefix: folder}}") from error
    if not isinstance(mounts, dict) or not all(isinstance(folder, str) for folder in mounts.values()):
        raise StepFailed(f"CTC_MOUNTS is {text}; write a JSON object of {{URI prefix: folder}}")
    for prefix in sorted(mounts, key=len, reverse=True):
        yield prefix.rstrip("/"), Path(mounts[prefix]).absolute()
