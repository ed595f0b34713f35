"""Files in an object store, as the engine reads them in place: nothing is copied to this machine first.

pyarrow brings the clients of the stores, with the credentials that each finds by itself (in a job, those of its role);
the engine asks them through fsspec's interface.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

from fsspec.implementations.arrow import ArrowFSWrapper
from pyarrow import fs

from ctc.steps.task import StepFailed

OURS = "ctc-s3"
"""Our own name of the scheme: of `s3` the engine thinks that it needs an extension, which it would fetch."""


class _S3(ArrowFSWrapper):  # type: ignore[misc]
    """fsspec's view of a store whose paths start with the bucket."""

    protocol = OURS
    root_marker = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.partition("://")[2].rstrip("/") if "://" in path else path.rstrip("/")


def pattern(connection: Any, name: str, uri: str, suffix: str) -> str:
    """What the engine reads for a URI: itself, or all files below it. StepFailed if there is nothing.

    The store is known to the engine afterwards.
    """
    store = _store()
    if OURS not in connection.con.list_filesystems():
        connection.con.register_filesystem(store)
    try:
        if any(sign in uri for sign in "*?[") or store.isfile(uri):
            return _ours(uri)
        found = f"{uri.rstrip('/')}/**/*.{suffix}"
        if store.glob(found):
            return _ours(found)
    except OSError as error:
        raise StepFailed(f"source {name}: {uri} cannot be read: {error}") from error
    raise StepFailed(f"source {name}: there is no file below {uri}")


def _ours(uri: str) -> str:
    return uri.replace("s3://", f"{OURS}://", 1)


def text(uri: str) -> IO[str]:
    """A file in UTF-8, with or without its mark. OSError if it cannot be read."""
    return io.TextIOWrapper(_store().open(uri, "rb"), encoding="utf-8-sig", newline="")


def _store() -> _S3:
    """The store of the job's region; `AWS_ENDPOINT_URL` is where one's own stands."""
    return _S3(
        fs.S3FileSystem(
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
            endpoint_override=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"),
        )
    )


def leave(connection: Any) -> None:
    """The engine knows no store any more: it must not outlive it."""
    if OURS in connection.con.list_filesystems():
        connection.con.unregister_filesystem(OURS)
