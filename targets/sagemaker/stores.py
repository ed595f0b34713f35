"""Documents in S3: one that is changed by compare-and-set, and many below a prefix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ctc.compiler.bundle import as_json
from ctc.diagnostics import CtcError
from ctc.steps.ports import Conflict, Versioned
from ctc.targets.sagemaker.session import Lost, Missing, Session

NOTHING = "absent"
"""The token of a document that was never written."""


def place(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class S3StateStore:
    """One JSON object. The token is its ETag; S3 compares it with `If-Match` (conditional writes, since 2024)."""

    def __init__(self, session: Session, uri: str) -> None:
        self._session, self._uri = session, uri
        self._bucket, self._key = place(uri)

    def read(self) -> Versioned:
        try:
            answer = self._session.call("s3", "get_object", self._uri, Bucket=self._bucket, Key=self._key)
        except Missing:
            return Versioned(None, NOTHING)
        return Versioned(parse(answer["Body"].read(), self._uri), str(answer["ETag"]))

    def compare_and_set(self, token: str, document: Mapping[str, Any]) -> str:
        condition = {"IfNoneMatch": "*"} if token == NOTHING else {"IfMatch": token}
        return put(self._session, self._uri, as_json(dict(document)), condition)


class S3ObjectStore:
    """JSON documents below a prefix."""

    def __init__(self, session: Session, root: str) -> None:
        self._session, self._root = session, root

    def get(self, key: str) -> Mapping[str, Any] | None:
        uri = self.uri(key)
        bucket, name = place(uri)
        try:
            answer = self._session.call("s3", "get_object", uri, Bucket=bucket, Key=name)
        except Missing:
            return None
        return parse(answer["Body"].read(), uri)

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        put(self._session, self.uri(key), as_json(dict(document)), {})

    def put_once(self, key: str, document: Mapping[str, Any]) -> bool:
        try:
            put(self._session, self.uri(key), as_json(dict(document)), {"IfNoneMatch": "*"})
        except Conflict:
            return False
        return True

    def uri(self, key: str) -> str:
        return f"{self._root}/{key}"


def keys(session: Session, prefix: str) -> tuple[str, ...]:
    """The keys of all objects below a URI, relative to the folder that holds it."""
    bucket, start = place(prefix)
    folder = start.rstrip("/").rpartition("/")[0]
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        said = session.call("s3", "list_objects_v2", prefix, Bucket=bucket, Prefix=start, **more)
        found += [str(item["Key"]).removeprefix(f"{folder}/") for item in said.get("Contents", [])]
        if not said.get("NextContinuationToken"):
            return tuple(found)
        more = {"ContinuationToken": said["NextContinuationToken"]}


def put(session: Session, uri: str, content: bytes, condition: Mapping[str, str]) -> str:
    """Writes an object and returns its ETag. `Conflict` if the condition does not hold."""
    bucket, key = place(uri)
    try:
        answer = session.call("s3", "put_object", uri, Bucket=bucket, Key=key, Body=content, **condition)
    except Lost as error:
        raise Conflict(f"{uri} was written by somebody else") from error
    except Missing as error:
        # The bucket is there: its documents were read. So what the write was to replace is not.
        if "IfMatch" in condition:
            raise Conflict(f"{uri} was taken away by somebody else") from error
        raise
    return str(answer["ETag"])


def parse(content: bytes, uri: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise CtcError(f"{uri} is not JSON ({error})", "restore an older version of it") from error
    if not isinstance(document, dict):
        raise CtcError(f"{uri} holds a JSON {type(document).__name__}, not an object", "restore an older version of it")
    return document
