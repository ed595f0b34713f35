"""A service that keeps resources in memory, with the hands that reach it: what deploying is tried against.

Every request is counted, and may be the last one that a process makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ctc.deploy.apply import Wish, carry_out, look, look_at_all
from ctc.deploy.document import Deployed
from ctc.deploy.lease import Desk, Whose
from ctc.deploy.plan import Plan
from ctc.deploy.resource import CloudError, Hands, Live, Recorded, Resource
from ctc.steps.local import FileObjectStore
from ctc.steps.ports import Conflict, Versioned

LABELS = {"ctc:name": "toy", "ctc:environment": "default"}
WHO = "arn:somebody"
ALL = Wish()


class Killed(BaseException):
    """The process is dead: like `kill -9`, nothing of it runs any more."""


def resource(address: str, body: Mapping[str, Any] | None = None, **more: Any) -> Resource:
    kind, name = address.split("/", 1)
    return Resource(kind, name, body or {}, more.pop("labels", LABELS), **more)


@dataclass
class Line:
    """The line to a service: it counts requests, and goes dead at one of them, before or after it is done."""

    dies_at: int = 0
    done: bool = False
    count: int = 0

    def request(self, act: Callable[[], Any]) -> Any:
        self.count += 1
        if self.dies_at and self.count >= self.dies_at:
            if self.count == self.dies_at and self.done:
                act()
            raise Killed
        return act()


@dataclass
class Service:
    """What is there, by address; `log` has the requests that changed something."""

    things: dict[str, Live] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    document: bytes | None = None
    refuses: Callable[[str], bool] = lambda request: False

    def change(self, verb: str, item: Resource, live: Live | None) -> None:
        if self.refuses(f"{verb} {item.address}"):
            raise CloudError(f"{item.address}: {WHO} may not {verb}")
        self.log.append(f"{verb} {item.address}")
        if live is None:
            self.things.pop(item.address, None)
        else:
            self.things[item.address] = live


class Documents:
    def __init__(self, service: Service, line: Line) -> None:
        self._service, self._line = service, line

    def read(self) -> Versioned:
        content = self._line.request(lambda: self._service.document)
        return Versioned(None if content is None else json.loads(content), str(hash(content)))

    def compare_and_set(self, token: str, document: Mapping[str, Any]) -> str:
        content = json.dumps(document, sort_keys=True).encode()

        def write() -> None:
            if str(hash(self._service.document)) != token:
                raise Conflict
            self._service.document = content

        self._line.request(write)
        return str(hash(content))


class ToyHands:
    def __init__(self, service: Service, wanted: tuple[Resource, ...], line: Line | None = None) -> None:
        self.service, self.wanted, self.line = service, wanted, line or Line()

    def desired(self) -> tuple[Resource, ...]:
        return self.wanted

    def whoami(self) -> str:
        return WHO

    def known(self, recorded: Recorded) -> Resource:
        traits = {"schedule": {"starts": True}, "models": {"kept": True}, "files": {"superseded": True}}
        return resource(f"{recorded.kind}/{recorded.name}", {}, **traits.get(recorded.kind, {}))

    def read(self, item: Resource) -> Live | None:
        found: Live | None = self.line.request(lambda: self.service.things.get(item.address))
        return found

    def create(self, item: Resource) -> None:
        live = Live(dict(item.body), dict(item.labels))
        self.line.request(lambda: self.service.change("create", item, live))

    def update(self, item: Resource) -> None:
        live = Live(dict(item.body), dict(item.labels))
        self.line.request(lambda: self.service.change("update", item, live))

    def delete(self, item: Resource) -> None:
        self.line.request(lambda: self.service.change("delete", item, None))

    def documents(self) -> Documents:
        return Documents(self.service, self.line)

    def objects(self) -> FileObjectStore:
        raise NotImplementedError

    def records(self) -> tuple[str, ...]:
        return ()

    def wake(self, manual: Mapping[str, str]) -> str:
        return "execution"

    def state(self) -> Documents:
        return Documents(Service(), Line())


@dataclass
class Clock:
    now: datetime = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, time: timedelta) -> None:
        self.now += time


def desk(hands: Hands, clock: Clock, holder: str = "ann on elsewhere (process 1, started 1)") -> Desk:
    return Desk(hands.documents(), Whose("toy", "default", "toy", clock), holder)


def deploy(hands: Hands, clock: Clock, wish: Wish = ALL, *, holder: str = "ann") -> Plan:
    """As `ctc deploy` does it; the plan that was carried out."""
    at = desk(hands, clock, holder)
    at.look()
    with at.held(timedelta(), lambda seconds: None):
        planned = look(hands, at.deployment, wish)
        carry_out(hands, at, planned, Deployed("deploy", "2026-03-01T00:00:00+00:00", "ann", "s", "b"), _quiet)
    return planned


def destroy(hands: Hands, clock: Clock, *, everything: bool = False) -> Plan:
    at = desk(hands, clock)
    at.look()
    with at.held(timedelta(), lambda seconds: None):
        planned = look_at_all(hands, at.deployment, everything=everything)
        carry_out(hands, at, planned, Deployed("destroy", "2026-03-01T00:00:00+00:00", "ann", "s", "b"), _quiet)
    return planned


def planned(hands: Hands, clock: Clock, wish: Wish = ALL) -> Plan:
    return look(hands, desk(hands, clock).look(), wish)


def relabelled(live: Live, **labels: str) -> Live:
    return replace(live, labels={key.replace("_", ":"): value for key, value in labels.items()})


def _quiet(number: int, total: int, step: object) -> None:
    return None
