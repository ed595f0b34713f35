"""The services on plain files: the root of a deployment mapped to a folder of this machine.

Every write is atomic and durable: a process killed at any moment, or a full disk, leaves the old document or the new
one. Files that end in `.tmp` are leftovers of such a moment and mean nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ctc.steps.local_endpoint import LocalEndpoint
from ctc.steps.local_registry import MlflowRegistry
from ctc.steps.ports import Conflict, RunStatus, Services, Versioned
from ctc.steps.storage import local_path
from ctc.steps.task import StepFailed

NOTHING = "absent"
"""The token of a state that was never written."""


def local_services(document: Mapping[str, Any]) -> Services:
    """Services on the folder to which `CTC_MOUNTS` maps the document's root."""
    folder = local_path(document["root"])
    objects = FileObjectStore(folder, document["root"])
    return Services(
        state=FileStateStore(folder),
        objects=objects,
        launcher=LocalLauncher(objects),
        registry=MlflowRegistry(folder / "mlflow.db"),
        endpoint=LocalEndpoint(objects),
    )


class FileStateStore:
    """`state.json` in a folder. The token is the content's digest; a lock makes compare and replace one action."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.json"
        self._lock = folder / "state.lock"

    def read(self) -> Versioned:
        content = _content(self._path)
        return Versioned(None if content is None else _parse(content, self._path), _token(content))

    def compare_and_set(self, token: str, document: Mapping[str, Any]) -> str:
        content = _serialise(document)
        with self._locked():
            if _token(_content(self._path)) != token:
                raise Conflict(f"{self._path} was written by somebody else")
            write_atomically(self._path, content)
        return _token(content)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class FileObjectStore:
    """JSON documents as files of a folder; the key is the path below it."""

    def __init__(self, folder: Path, root: str) -> None:
        self._folder = folder
        self._root = root.rstrip("/")

    def get(self, key: str) -> Mapping[str, Any] | None:
        path = self._path(key)
        content = _content(path)
        return None if content is None else _parse(content, path)

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        write_atomically(self._path(key), _serialise(document))

    def put_once(self, key: str, document: Mapping[str, Any]) -> bool:
        path = self._path(key)
        with _temporary(path, _serialise(document)) as temporary:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        _sync_folder(path.parent)
        return True

    def uri(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not all(parts) or {".", ".."} & set(parts):
            raise ValueError(f"{key!r} is no key: its parts are names, joined by /")
        return self._folder.joinpath(*parts)


class LocalLauncher:
    """Launches as documents: `launches/<key>.json` asks for a run, `launches/<key>.ended.json` says that it is over.

    The local run, which holds the lock of the state folder, executes a launch right after the wake that asked for it.
    So a wake that still looks for an attempt's record finds its launch never made, or dead: no other process runs it.
    """

    def __init__(self, objects: FileObjectStore) -> None:
        self._objects = objects

    def launch(self, key: str, parameters: Mapping[str, str], *, pipeline: str = "train") -> None:
        asked = {"version": 1, "key": key, "pipeline": pipeline, "parameters": dict(parameters)}
        self._objects.put_once(f"launches/{key}.json", asked)

    def status(self, key: str, *, pipeline: str = "train") -> RunStatus:  # noqa: ARG002  (keys are of all pipelines)
        return "unknown" if self._objects.get(f"launches/{key}.json") is None else "dead"


def write_atomically(path: Path, content: bytes) -> None:
    """Replaces the file's content; after a crash or an error the file has its old content or the new one."""
    with _temporary(path, content) as temporary:
        temporary.replace(path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """A durable file beside `path` with the content; it is gone afterwards, also if writing it failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except OSError as error:
        # Names the document: the temporary name says nothing to a reader.
        error.filename = error.filename2 = None
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(content: bytes, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise StepFailed(f"{path} is not JSON ({error}): restore it from a copy, or move it away") from error
    if not isinstance(document, dict):
        raise StepFailed(f"{path} holds a JSON {type(document).__name__}, not an object: restore it from a copy")
    return document


def _serialise(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _token(content: bytes | None) -> str:
    return NOTHING if content is None else hashlib.sha256(content).hexdigest()
