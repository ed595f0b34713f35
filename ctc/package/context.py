"""A build context: the same bytes, times and rights wherever it is written, and a tag that is its content."""

from __future__ import annotations

import hashlib
import io
import tarfile
from typing import IO

from ctc.diagnostics import CtcError
from ctc.language.lock import name_of
from ctc.package.tree import Entry
from ctc.value import Value, frozen

EPOCH = 315_532_800
"""1980-01-01T00:00:00Z, seconds since 1970: the time of every file, the oldest one that a zip can hold."""

_CHUNK = 1 << 20
_TAG_DIGITS = 16


@frozen
class Sized(Value):
    """An entry with its size in bytes and the SHA-256 of its content, as they were when it was looked at."""

    entry: Entry
    size: int
    digest: str


@frozen
class Context(Value):
    """What one image is built from. `name` is `training` or `runtime`; `image` is what the spec calls it."""

    name: str
    image: str
    files: tuple[Sized, ...]

    @property
    def digest(self) -> str:
        """`sha256:` over every path, right to execute and content, in order."""
        found = hashlib.sha256()
        for file in self.files:
            found.update(f"{file.entry.path}\0{'x' if file.entry.executable else '-'}{file.digest}\n".encode())
        return f"sha256:{found.hexdigest()}"

    @property
    def tag(self) -> str:
        """The image with a tag that is its content: what did not change is called the same."""
        return f"{name_of(self.image)}:{tag_of(self.digest)}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def largest(self, count: int) -> list[tuple[str, int]]:
        """The files and folders at the top by their bytes, most first."""
        sizes: dict[str, int] = {}
        for file in self.files:
            top, slash, _ = file.entry.path.partition("/")
            sizes[f"{top}{slash}"] = sizes.get(f"{top}{slash}", 0) + file.size
        return sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:count]


def tag_of(digest: str) -> str:
    return f"ctc-{digest.removeprefix('sha256:')[:_TAG_DIGITS]}"


def context(name: str, image: str, entries: tuple[Entry, ...]) -> Context:
    """A context of these entries. Reads every file once. CtcError for one that cannot be read."""
    return Context(name, image, tuple(_sized(entry) for entry in sorted(entries, key=_order)))


def write_tar(made: Context, stream: IO[bytes]) -> None:
    """The context as a tar file (pax), the same bytes for the same context."""
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in made.files:
            info = tarfile.TarInfo(file.entry.path)
            info.size, info.mtime, info.mode = file.size, EPOCH, mode_of(file.entry)
            with Checked(file) as content:
                archive.addfile(info, content)


def _order(entry: Entry) -> bytes:
    return entry.path.encode()


def mode_of(entry: Entry) -> int:
    return 0o755 if entry.executable else 0o644


def _sized(entry: Entry) -> Sized:
    digest, size = hashlib.sha256(), 0
    try:
        with _stream(entry) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise CtcError(f"cannot read {entry.source!s}: {error.strerror or error}") from error
    return Sized(entry, size, digest.hexdigest())


def _stream(entry: Entry) -> IO[bytes]:
    return io.BytesIO(entry.source) if isinstance(entry.source, bytes) else entry.source.open("rb")


class Checked:
    """A file's content to be copied, once; CtcError at the end where it is no longer what was looked at."""

    def __init__(self, file: Sized) -> None:
        self._file, self._digest, self._stream = file, hashlib.sha256(), _stream(file.entry)

    def __enter__(self) -> Checked:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._stream.close()
        whole = self._digest.hexdigest() == self._file.digest
        # A tar of a file that became shorter fails by itself, in words that say nothing of it.
        if not whole and (kind is None or issubclass(kind, OSError)):
            raise CtcError(
                f"{self._file.entry.source!s} changed while it was read", "stop what writes there, and run it again"
            )

    def read(self, count: int = -1) -> bytes:
        chunk = self._stream.read(count)
        self._digest.update(chunk)
        return chunk
