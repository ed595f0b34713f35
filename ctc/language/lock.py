"""`ctc.lock`, beside the spec: the digest of each image that the spec names without one.

It is written by `ctc package`, reviewed and committed with the spec, and read wherever the spec is: an image that the
lock knows is the one of that digest, exactly as if the spec had written it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path as FilePath
from typing import Any

from ctc.language.spans import Path
from ctc.value import Value, frozen

LOCK = "ctc.lock"
VERSION = 1

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_BYTES = 1_000_000
_PLACES: tuple[Path, ...] = (
    ("runtime", "image"),
    ("training", "image"),
    ("prepare", "image"),
    ("evaluation", "score", "image"),
    ("serving", "*", "online", "image"),
)


@frozen
class Pin(Value):
    """`digest` is the image's, `sha256:` and 64 hexadecimal digits; `context` that of the files that it was built from,
    empty where that is not known.
    """

    digest: str
    context: str = ""


@frozen
class Lock(Value):
    """The pins by the image as the spec writes it; `problem` says why the file could not be read."""

    images: Mapping[str, Pin] = field(default_factory=dict)
    problem: str = ""


def read_lock(folder: FilePath) -> Lock:
    """The lock of a folder's specs; an empty one where there is none. Never raises."""
    file = folder / LOCK
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Lock()
    except (OSError, ValueError) as error:
        return Lock(problem=getattr(error, "strerror", None) or str(error))
    if len(content) > _MAX_BYTES:
        return Lock(problem=f"it is larger than {_MAX_BYTES // 1_000_000} MB")
    return _parsed(content)


def as_document(images: Mapping[str, Pin]) -> dict[str, Any]:
    """What is written: nothing that differs from one machine, or one moment, to the next."""
    entries = {
        name: {"digest": pin.digest, **({"context": pin.context} if pin.context else {})}
        for name, pin in images.items()
    }
    return {"version": VERSION, "images": entries}


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


def name_of(image: str) -> str:
    """An image's name without tag and digest. A colon before the last slash is a port."""
    name = image.partition("@")[0]
    start, slash, last = name.rpartition("/")
    return f"{start}{slash}{last.partition(':')[0]}"


def pinned(image: str, digest: str) -> str:
    """An image by its digest: the tag goes, since services take one of the two."""
    return f"{name_of(image)}@{digest}"


def images_of(data: Any) -> Iterator[tuple[Path, str]]:
    """Every image that a rendered spec names, with its place."""
    for place in _PLACES:
        yield from _at(data, place, ())


def _at(value: Any, rest: Path, here: Path) -> Iterator[tuple[Path, str]]:
    if not rest:
        if isinstance(value, str):
            yield here, value
        return
    if not isinstance(value, dict):
        return
    for key in list(value) if rest[0] == "*" else [rest[0]]:
        if key in value:
            yield from _at(value[key], rest[1:], (*here, key))


def _parsed(content: bytes) -> Lock:
    import json

    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        return Lock(problem=f"it is not JSON: {error}")
    if not isinstance(document, dict) or document.get("version") != VERSION:
        return Lock(problem=f"it is not a lock of version {VERSION}")
    images = document.get("images")
    if not isinstance(images, dict):
        return Lock(problem="`images` is not a map")
    pins: dict[str, Pin] = {}
    for name, entry in images.items():
        digest = entry.get("digest") if isinstance(entry, dict) else None
        context = entry.get("context", "") if isinstance(entry, dict) else ""
        if not isinstance(digest, str) or not is_digest(digest):
            return Lock(problem=f"`{name}` has no digest of the form sha256: and 64 hexadecimal digits")
        if context and not (isinstance(context, str) and is_digest(context)):
            return Lock(problem=f"the context of `{name}` is no digest")
        pins[name] = Pin(digest, context)
    return Lock(pins)
