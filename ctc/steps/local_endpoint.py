"""The endpoint of one machine: a document that says who would answer, and servers that are started to be asked.

No request passes through it: whoever serves on this machine reads `endpoints/NAME.json`, and what was served comes back
as a source with `role: predictions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ctc.policy.actions import Route, Smoke
from ctc.policy.evidence import Answered, LimitAnswer
from ctc.policy.state import Version
from ctc.policy.windows import format_instant, parse_instant
from ctc.steps.ports import ObjectStore, Server, Standing
from ctc.steps.shim_files import Failed
from ctc.steps.task import StepFailed


class LocalEndpoint:
    """`endpoints/NAME.json`, replaced as a whole, so that a death at any moment leaves the old shares or the new."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def read(self, name: str) -> Standing | None:
        found = self._objects.get(_key(name))
        if found is None:
            return None
        mirror = found["mirror"] or {"share": 0.0, "version": None}
        return Standing(
            dict(found["traffic"]),
            tuple(sorted(found["ready"])),
            parse_instant(found["since"]),
            mirror["share"],
            mirror["version"],
            found["by"],
        )

    def route(self, server: Server, versions: Iterable[Version], route: Route, at: datetime) -> None:
        before = self._objects.get(_key(server.name)) or {}
        mirror = {"share": route.mirror, "version": route.traffic[-1][0]} if route.mirror else None
        shares = {
            "traffic": {version: share for version, share in route.traffic if share},
            "mirror": mirror,
            "by": route.by,
        }
        same = all(before.get(name) == value for name, value in shares.items()) and "since" in before
        made = {
            "version": 1,
            **shares,
            "since": before["since"] if same else format_instant(at),
            "server": _plain(server),
            "ready": {**before.get("ready", {}), **{version.version: _model(version) for version in versions}},
        }
        if made != before:
            self._objects.put(_key(server.name), made)

    def smoke(self, server: Server, version: Version, smoke: Smoke) -> LimitAnswer:
        """Starts the version's server and asks it: a server that does not start has failed the test."""
        from ctc.steps.server import status_of

        try:
            status, text = status_of(server, version, _body(smoke.request))
        except Failed as failed:
            return LimitAnswer("smoke", "fail", str(failed))
        except StepFailed as error:
            return LimitAnswer("smoke", "not_evaluable", str(error))
        numbers = {"status": status, "expected": smoke.status}
        what = f"POST {server.route} is answered with {status}" if status else f"POST {server.route} got no answer"
        if status == smoke.status:
            return LimitAnswer("smoke", "pass", f"{what}, as expected", numbers)
        return LimitAnswer("smoke", "fail", f"{what}, {smoke.status} was expected: {text}".rstrip(": "), numbers)

    def answered(self, server: Server, version: Version, *, request: str | None, since: datetime) -> Answered:  # noqa: ARG002
        """No request has passed, so the version's server is started and asked now, with the smoke step's request.

        A server that does not start has failed at every request.
        """
        from ctc.steps.server import REQUESTS, answered

        if request is None:
            raise StepFailed("on one machine a server is asked with the request of a `smoke` step, and there is none")
        try:
            return answered(server, version, _body(request))
        except Failed as failed:
            return Answered(failures={str(failed): REQUESTS})

    def retire(self, name: str, version: str) -> None:
        found = self._objects.get(_key(name))
        if found is None or version not in found["ready"] or version in found["traffic"]:
            return
        ready = {other: model for other, model in found["ready"].items() if other != version}
        self._objects.put(_key(name), {**found, "ready": ready})


def _key(name: str) -> str:
    return f"endpoints/{name}.json"


def _plain(server: Server) -> dict[str, Any]:
    return {**asdict(server), "argv": list(server.argv)}


def _model(version: Version) -> Mapping[str, str]:
    return {"uri": version.uri, "image": version.image, "code": version.code}


def _body(request: str) -> bytes:
    """The content of a request's file, which is looked for where relative sources are. StepFailed if there is none."""
    try:
        return Path(request).read_bytes()
    except OSError as error:
        raise StepFailed(f"the request {request} cannot be read: {error.strerror}; bring the file there") from error
