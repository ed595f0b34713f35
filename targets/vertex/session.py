"""The one place that talks to Google: every request made with bounded patience, every refusal told in words.

google-auth is imported when a session is opened, so that compiling needs no SDK.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ctc.deploy.resource import CloudError
from ctc.diagnostics import CtcError

TRIES = 5
"""Of one request, with growing pauses, where a service throttles or fails."""

CONNECT_SECONDS, READ_SECONDS = 5, 60

OPERATION_SECONDS = 600
"""So long a long-running operation is waited for. Eventarc says that a trigger may take minutes to be made."""

AGAIN = frozenset((408, 429, 500, 502, 503, 504))
"""HTTP codes after which Google's retry guidance asks the same once more."""

OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
"""With the service's name in capitals: another base for its requests. gcloud reads the same variables."""

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_PERMISSION = re.compile(r"[Pp]ermission '?([\w.]+)'? denied on(?: resource)? '?([^\s']+)|have ([\w.]+) access")
_RIGHTS = "ctc bootstrap shows what whoever deploys may do, and who gives it"


class Missing(CloudError):
    """What was asked for is not there."""


class Lost(CloudError):
    """A conditional write came too late: what it was to replace is not what is there."""


class Exists(CloudError):
    """What was to be made is there already."""


class Session:
    """One authenticated line for each service of a region."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._lines: dict[bool, Any] = {}

    def call(
        self,
        service: str,
        method: str,
        path: str,
        about: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """One request that is answered in JSON; `about` is the resource, for the message.

        Raises `Missing`, `Exists`, `Lost` or another `CloudError`.
        """
        content = self._send(service, method, path, about, query, {"json": body}).content
        if not content:
            return {}
        try:
            answer: Mapping[str, Any] = _json(content)
        except ValueError as error:
            raise CloudError(f"{about}: {service} answered {method} {path} with something other than JSON") from error
        return answer

    def download(
        self, service: str, path: str, about: str, query: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """The bytes of an answer, and its headers."""
        answer = self._send(service, "GET", path, about, query, {})
        return answer.content, answer.headers

    def upload(
        self, service: str, path: str, about: str, content: bytes, query: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Sends bytes as they are."""
        sent = {"data": content, "headers": {"Content-Type": "application/octet-stream"}}
        return _json(self._send(service, "POST", path, about, query, sent).content)

    def finish(self, service: str, version: str, operation: Mapping[str, Any], about: str) -> Mapping[str, Any]:
        """Waits for a long-running operation, and returns its response. CloudError if it failed or takes too long."""
        until, pause = time.monotonic() + OPERATION_SECONDS, 0.2
        while not operation.get("done"):
            if time.monotonic() > until:
                raise CloudError(
                    f"{about}: {operation['name']} is not done after {OPERATION_SECONDS} s",
                    "run the same command again: it goes on where it stopped",
                )
            time.sleep(pause)
            pause = min(pause * 2, 10)
            operation = self.call(service, "GET", f"{version}/{operation['name']}", about)
        if "error" in operation:
            said = operation["error"]
            raise _refused(_HTTP.get(said.get("code"), 500), {"error": said}, service, "operation", about)
        answer: Mapping[str, Any] = operation.get("response", {})
        return answer

    def _send(
        self, service: str, method: str, path: str, about: str, query: Mapping[str, str] | None, sent: dict[str, Any]
    ) -> Any:
        base, local = endpoint(service, self.region)
        line = self._line(local)
        from google.auth.exceptions import GoogleAuthError

        for number in range(1, TRIES + 1):
            try:
                answer = line.request(
                    method, f"{base}/{path}", params=query, timeout=(CONNECT_SECONDS, READ_SECONDS), **sent
                )
            except GoogleAuthError as error:
                raise CloudError(
                    f"{about}: {service} could not be asked: {error}", "sign in: gcloud auth application-default login"
                ) from error
            # All that requests raises of the network is an OSError.
            except OSError as error:
                if number < TRIES:
                    _pause(number)
                    continue
                raise CloudError(
                    f"{about}: {service} could not be asked: {error}",
                    "look at the network, and run the same command again: it goes on where it stopped",
                ) from error
            if answer.status_code < 400:
                return answer
            if answer.status_code not in AGAIN or number == TRIES:
                break
            _pause(number)
        raise _refused(answer.status_code, _told(answer.content), service, method, about)

    def _line(self, local: bool) -> Any:
        if local not in self._lines:
            self._lines[local] = _open(local)
        return self._lines[local]


def endpoint(service: str, region: str) -> tuple[str, bool]:
    """The base of a service's requests, and whether it is on this machine, where no credentials are sent.

    CtcError for an override that would send credentials in clear.
    """
    given = os.environ.get(f"{OVERRIDE}{service.upper()}", "").rstrip("/")
    if not given:
        host = f"{region}-aiplatform" if service == "aiplatform" else service
        return f"https://{host}.googleapis.com", False
    parts = urlsplit(given)
    if parts.hostname in _LOOPBACK:
        return given, True
    if parts.scheme != "https":
        raise CtcError(
            f"{OVERRIDE}{service.upper()} is {given!r}: credentials would be sent in clear",
            "write an https:// address, or one of this machine (http://127.0.0.1:PORT)",
        )
    return given, False


def _open(local: bool) -> Any:
    try:
        import google.auth
        from google.auth.credentials import AnonymousCredentials
        from google.auth.exceptions import DefaultCredentialsError
        from google.auth.transport.requests import AuthorizedSession
    except ImportError as error:
        raise CtcError(
            "reaching Vertex AI needs google-auth, which is not installed", "pip install 'ctc-compiler[vertex]'"
        ) from error
    if local:
        line = AuthorizedSession(AnonymousCredentials())
        # A proxy of the environment is not asked for what is on this machine.
        line.trust_env = False
        return line
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except DefaultCredentialsError as error:
        raise CloudError(f"no credentials for Google: {error}", "gcloud auth application-default login") from error
    return AuthorizedSession(credentials)


def _pause(number: int) -> None:
    # Not a secret: those who were refused together are not to come back together.
    time.sleep(random.uniform(0, 0.25 * 2**number))


def _json(content: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(content)
    return answer


def _told(content: bytes) -> Mapping[str, Any]:
    try:
        return _json(content)
    except ValueError:
        return {"error": {"message": content.decode(errors="replace")[:300]}}


_HTTP = {3: 400, 5: 404, 6: 409, 7: 403, 8: 429, 9: 400, 10: 412, 13: 500, 14: 503, 16: 401}
"""HTTP codes of google.rpc.Code, which a failed operation has (google/rpc/code.proto)."""


def _refused(code: int, answer: Mapping[str, Any], service: str, method: str, about: str) -> CloudError:
    said = answer.get("error", {})
    message, status = str(said.get("message", "")).strip(), str(said.get("status", code))
    told = f"{about}: {service} refused {method}: {message or 'no reason given'} ({status})"
    if code == 404:
        return Missing(told)
    if code == 412 or status == "ABORTED":
        return Lost(told)
    if code == 409:
        return Exists(told)
    if code == 429:
        return CloudError(told, f"the project's quota was exceeded {TRIES} times in a row: run the command again later")
    if code == 401:
        return CloudError(told, "sign in again: gcloud auth application-default login")
    if code == 403:
        return _denied(said, message, service, about, told)
    return CloudError(told)


def _denied(said: Mapping[str, Any], message: str, service: str, about: str, told: str) -> CloudError:
    """Which permission is lacking on what, where the service says so."""
    details = [item for item in said.get("details", []) if "reason" in item]
    if any(item["reason"] == "SERVICE_DISABLED" for item in details):
        return CloudError(told, f"an administrator turns it on: gcloud services enable {service}.googleapis.com")
    data: Mapping[str, str] = next((item.get("metadata", {}) for item in details), {})
    found = _PERMISSION.search(message)
    permission = data.get("permission") or (found and (found[1] or found[3]))
    if not permission:
        return CloudError(told, _RIGHTS)
    resource = data.get("resource") or (found and found[2]) or about
    return CloudError(f"{about}: {permission} is denied on {resource}: {message}", _RIGHTS)
