"""The installed ctc as a wheel: what our image installs, the same bytes from a checkout and from a package.

Wheels: PEP 427 and the "Binary distribution format" of the Python packaging guide.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import ctc
from ctc.diagnostics import CtcError

DISTRIBUTION = "ctc-compiler"
_TIME = (1980, 1, 1, 0, 0, 0)
"""The oldest that a zip can hold."""

_LEFT_OUT = frozenset(("__pycache__",))


def wheel() -> tuple[str, bytes]:
    """The file's name and content: stored and not compressed, since compressors differ in bytes."""
    name, version = DISTRIBUTION.replace("-", "_"), ctc.__version__
    info = f"{name}-{version}.dist-info"
    files = dict(_package())
    files[f"{info}/METADATA"] = _metadata()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: ctc package\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nctc = ctc.cli:main\n"
    records = [f"{path},sha256={_digest(content)},{len(content)}" for path, content in sorted(files.items())]
    files[f"{info}/RECORD"] = ("\n".join([*records, f"{info}/RECORD,,"]) + "\n").encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for path, content in sorted(files.items()):
            entry = zipfile.ZipInfo(path, _TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return f"{name}-{version}-py3-none-any.whl", written.getvalue()


def extras() -> frozenset[str]:
    """The extras that ctc has. CtcError where it runs without being installed: then nothing says what it needs."""
    return frozenset(_installed().get_all("Provides-Extra") or ())


def constraints() -> bytes:
    """The versions of what our image installs: those that ctc is tested with."""
    return (Path(__file__).parent / "constraints.txt").read_bytes()


def _package() -> Iterator[tuple[str, bytes]]:
    """Every file of the package, links to folders followed: the targets stand elsewhere in a checkout."""
    root = Path(ctc.__file__).parent
    folders = [(root, "ctc")]
    while folders:
        folder, prefix = folders.pop()
        for item in sorted(folder.iterdir()):
            if item.name.startswith(".") or item.name in _LEFT_OUT or item.suffix in (".pyc", ".pyo"):
                continue
            path = f"{prefix}/{item.name}"
            if item.is_dir():
                folders.append((item, path))
            else:
                yield path, item.read_bytes()


def _metadata() -> bytes:
    """What pip reads: the name, the version, what it needs."""
    said = _installed()
    lines = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {ctc.__version__}"]
    for key in ("Requires-Python", "Provides-Extra", "Requires-Dist"):
        lines += [f"{key}: {value}" for value in sorted(said.get_all(key) or ())]
    return ("\n".join(lines) + "\n").encode()


def _installed() -> importlib.metadata.PackageMetadata:
    try:
        return importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise CtcError(
            "ctc is not installed: it runs from a folder, and nothing says what our image needs",
            f"pip install {DISTRIBUTION}",
        ) from error


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
