"""How a file is named to a program that knows only one folder."""

from __future__ import annotations

import os
from pathlib import Path


def relative(file: str, root: str) -> str:
    """The file's path from the folder `root`, with slashes; its absolute path if it lies elsewhere.

    `file` is as it was given, from the working directory. Without a root, and for standard input, it stays as it is.
    """
    if not root or file.startswith("<"):
        return file
    path = Path(os.path.normpath(Path(file).absolute()))
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
