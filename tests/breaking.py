"""Breaking the documents of a bundle, one change at a time: what mutation tests are made of."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Files = dict[str, Any]
"""The documents of a bundle by path, parsed where they are JSON or YAML."""
Change = Callable[[Files], None]


def at(path: str, *keys: Any, value: Any) -> Change:
    """Sets what is at a place of a document."""

    def change(files: Files) -> None:
        node = files[path]
        for key in keys[:-1]:
            node = node[key]
        assert isinstance(node, list) or keys[-1] not in node or node[keys[-1]] != value, "nothing would be broken"
        node[keys[-1]] = value

    return change


def without(path: str, *keys: Any) -> Change:
    """Takes away what is at a place of a document, or the document."""

    def change(files: Files) -> None:
        node: Any = files
        for key in (path, *keys)[:-1]:
            node = node[key]
        del node[(path, *keys)[-1]]

    return change


def text(path: str, old: str, new: str) -> Change:
    """Replaces a text wherever it stands in a document."""

    def change(files: Files) -> None:
        written = json.dumps(files[path])
        assert old in written, path
        files[path] = json.loads(written.replace(old, new))

    return change
