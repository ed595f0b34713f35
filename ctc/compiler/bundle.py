"""A bundle: the sorted files that a target emits, with a stable digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """One file. `path` is relative to the bundle, with `/`."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Bundle:
    """`uploads` maps a file of the bundle to the URI at which the pipelines expect it."""

    target: str
    artifacts: tuple[Artifact, ...]
    uploads: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        paths = [artifact.path for artifact in self.artifacts]
        if paths != sorted(set(paths)):
            raise ValueError("a bundle's files are sorted and unique")

    @property
    def digest(self) -> str:
        """sha256 over every path and content, in order, as lower-case hex."""
        digest = hashlib.sha256()
        for artifact in self.artifacts:
            digest.update(f"{artifact.path}\0{len(artifact.content)}\0".encode())
            digest.update(artifact.content)
        return digest.hexdigest()


def as_json(value: Mapping[str, Any] | list[Any]) -> bytes:
    """Readable JSON whose bytes depend on the value only: sorted keys, two spaces, LF at the end."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def canonical(value: Any) -> bytes:
    """The shortest JSON of a value with sorted keys: what digests are taken over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
