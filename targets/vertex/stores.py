"""Documents in Cloud Storage: one that is changed by compare-and-set, and many below a prefix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ctc.compiler.bundle import as_json
from ctc.diagnostics import CtcError
from ctc.steps.ports import Conflict, Versioned
from ctc.targets.vertex.session import Lost, Missing, Session

NOTHING = "0"
"""The token of a document that was never written: `ifGenerationMatch=0` holds only where no object is."""

_GENERATION = "x-goog-generation"


def place(uri: str) -> tuple[str, str]:
    """Bucket and name of a `gs://` URI."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    return bucket, name


class GcsStateStore:
    """One JSON object. The token is its generation, which Cloud Storage compares with `ifGenerationMatch`."""

    def __init__(self, session: Session, uri: str) -> None:
        self._session, self._uri = session, uri

    def read(self) -> Versioned:
        try:
            content, headers = get(self._session, self._uri)
        except Missing:
            return Versioned(None, NOTHING)
        # Of the same answer as the bytes: asked for apart, they might be of two generations.
        return Versioned(parse(content, self._uri), headers[_GENERATION])

    def compare_and_set(self, token: str, document: Mapping[str, Any]) -> str:
        return put(self._session, self._uri, as_json(dict(document)), token)


class GcsObjectStore:
    """JSON documents below a prefix."""

    def __init__(self, session: Session, root: str) -> None:
        self._session, self._root = session, root

    def get(self, key: str) -> Mapping[str, Any] | None:
        try:
            content, _ = get(self._session, self.uri(key))
        except Missing:
            return None
        return parse(content, self.uri(key))

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        put(self._session, self.uri(key), as_json(dict(document)))

    def put_once(self, key: str, document: Mapping[str, Any]) -> bool:
        try:
            put(self._session, self.uri(key), as_json(dict(document)), NOTHING)
        except Conflict:
            return False
        return True

    def uri(self, key: str) -> str:
        return f"{self._root}/{key}"


def keys(session: Session, prefix: str) -> tuple[str, ...]:
    """The names of all objects below a URI, relative to the folder that holds it."""
    bucket, start = place(prefix)
    folder = start.rstrip("/").rpartition("/")[0]
    found: list[str] = []
    query = {"prefix": start, "fields": "items(name),nextPageToken"}
    while True:
        said = session.call("storage", "GET", f"storage/v1/b/{bucket}/o", prefix, query=query)
        found += [str(item["name"]).removeprefix(f"{folder}/") for item in said.get("items", [])]
        if not said.get("nextPageToken"):
            return tuple(found)
        query["pageToken"] = said["nextPageToken"]


def get(session: Session, uri: str) -> tuple[bytes, Mapping[str, str]]:
    """The bytes of an object, and the headers that they came with. Raises `Missing`."""
    return session.download("storage", _path(uri), uri, {"alt": "media"})


def put(session: Session, uri: str, content: bytes, generation: str | None = None) -> str:
    """Writes an object and returns its generation. `Conflict` if it is not the one that was to be replaced."""
    bucket, name = place(uri)
    query = {"uploadType": "media", "name": name}
    if generation is not None:
        query["ifGenerationMatch"] = generation
    try:
        return str(session.upload("storage", f"upload/storage/v1/b/{bucket}/o", uri, content, query)["generation"])
    except Lost as error:
        raise Conflict(f"{uri} was written or taken away by somebody else") from error


def delete(session: Session, uri: str) -> None:
    """Raises `Missing`."""
    session.call("storage", "DELETE", _path(uri), uri)


def parse(content: bytes, uri: str) -> Mapping[str, Any]:
    """CtcError for what is no JSON object."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise CtcError(f"{uri} is not JSON ({error})", "restore an older version of it") from error
    if not isinstance(document, dict):
        raise CtcError(f"{uri} holds a JSON {type(document).__name__}, not an object", "restore an older version of it")
    return document


def _path(uri: str) -> str:
    bucket, name = place(uri)
    return f"storage/v1/b/{bucket}/o/{quote(name, safe='')}"
