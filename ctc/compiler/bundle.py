"""A bundle: the sorted files that a target emits, with a stable digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

from ctc.value import Value, frozen

NEWLINE = "\n"
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@frozen
class Artifact(Value):
    """One file. `path` is relative to the bundle, with `/`."""

    path: str
    content: bytes


@frozen
class Bundle(Value):
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
    chunks: list[str] = []
    _add(chunks, "", value, NEWLINE)
    chunks.append(NEWLINE)
    return "".join(chunks).encode()


def _add(chunks: list[str], lead: str, value: Any, line: str) -> None:
    """What `json.dumps` writes with an indent of two and sorted keys, in a third of the time: asked to indent, it
    leaves its encoder in C aside. `line` starts a line at this depth. Takes dicts with string keys only.
    """
    if type(value) is str:
        chunks.append(lead + encode_basestring(value))
    elif isinstance(value, dict) and value:
        deeper = f"{line}  "
        lead = f"{lead}{{{deeper}"
        for key, item in sorted(value.items()):
            # Most values are texts: asked here, they cost no call.
            if type(item) is str:
                chunks.append(f"{lead}{encode_basestring(key)}: {encode_basestring(item)}")
            else:
                _add(chunks, f"{lead}{encode_basestring(key)}: ", item, deeper)
            lead = f",{deeper}"
        chunks.append(f"{line}}}")
    elif isinstance(value, (list, tuple)) and value:
        deeper = f"{line}  "
        lead = f"{lead}[{deeper}"
        for item in value:
            _add(chunks, lead, item, deeper)
            lead = f",{deeper}"
        chunks.append(f"{line}]")
    else:
        chunks.append(lead + scalar(value))


_WRITTEN = {"None": "null", "True": "true", "False": "false", "[]": "[]", "()": "[]", "{}": "{}"}
"""What few words say, so that the encoder need not be asked for them."""


def scalar(value: Any) -> str:
    """The JSON of a number, a truth value, null, or an empty container."""
    if type(value) is int or (type(value) is float and isfinite(value)):
        return repr(value)
    written = _WRITTEN.get(repr(value))
    return _encode(value) if written is None else written


def canonical(value: Any, plain: Callable[[Any], Any] | None = None) -> bytes:
    """The shortest JSON of a value with sorted keys: what digests are taken over.

    `plain` is asked for a JSON value in place of each one that JSON has no form for.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=plain
    ).encode()
