"""A file gets a new text, whole or not at all, and only if it is still what was read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ctc.diagnostics import CtcError

_BOM = b"\xef\xbb\xbf"


def rewrite(path: Path, before: str, after: str) -> None:
    """Replaces the text `before` of a file by `after`. CtcError if another program has changed it meanwhile.

    A byte order mark, line ends and permissions stay; a link stays a link.
    """
    real = path.resolve()
    content = real.read_bytes()
    mark = _BOM if content.startswith(_BOM) else b""
    if content != mark + before.encode("utf-8"):
        raise CtcError(f"{path} has changed while it was checked; nothing was written", "run it again")
    temporary = real.with_name(f".{real.name}.{os.getpid()}.new")
    try:
        temporary.write_bytes(mark + after.encode("utf-8"))
        shutil.copymode(real, temporary)
        temporary.replace(real)
    finally:
        temporary.unlink(missing_ok=True)
