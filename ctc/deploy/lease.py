"""One deployment at a time: the lease in the deployment document.

Whoever holds it writes; it is renewed before every action, and an action is never begun with a lease that was lost. A
deploy that was killed holds it until it ends, unless it ran on this machine and is seen to be dead.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ctc.deploy.document import Deployment, Lease, as_document, from_document, parse_time
from ctc.diagnostics import CtcError
from ctc.steps.ports import Conflict, StateStore

LENGTH = timedelta(minutes=5)
"""Longer than one action with all its tries takes: a request gives up after 25 s, and is tried five times."""


PAUSE_SECONDS = 2.0
"""Between two looks at a lease that somebody else holds."""


class Held(CtcError):
    """Somebody else is at it."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(
            f"{lease.holder} deploys this right now, and holds it until {lease.until}",
            "wait for it to end; after a killed deploy the lease runs out by itself (--wait 6m waits for that)",
        )
        self.lease = lease


@dataclass(frozen=True)
class Whose:
    """Which deployment a document is of, and the clock by which leases run."""

    name: str
    environment: str
    target: str
    clock: Callable[[], datetime]


class Desk:
    """The deployment document while this process holds its lease."""

    def __init__(self, store: StateStore, whose: Whose, holder: str) -> None:
        self._store, self._whose, self._holder = store, whose, holder
        self._token = ""
        self.deployment = Deployment()

    def look(self) -> Deployment:
        """The document as it is; takes nothing."""
        read = self._store.read()
        self._token, self.deployment = read.token, from_document(read.document)
        return self.deployment

    @property
    def token(self) -> str:
        """Of the document as it was last read or written."""
        return self._token

    def take(self) -> None:
        """Takes the lease of what `look` saw. Raises `Held`, or CtcError if the document moved meanwhile."""
        lease, now = self.deployment.lease, self._whose.clock()
        if lease is not None and parse_time(lease.until) > now and not _dead(lease.holder):
            raise Held(lease)
        self.keep(self.deployment)

    def keep(self, deployment: Deployment) -> None:
        """Writes the document, with the lease from now on. CtcError if somebody else took it."""
        until = self._whose.clock() + LENGTH
        self._write(replace(deployment, lease=Lease(self._holder, _text(until))))

    @contextlib.contextmanager
    def held(self, patience: timedelta, pause: Callable[[float], None]) -> Iterator[None]:
        """Takes the lease for a while, waits up to `patience` for somebody else's end, gives it back whatever happens.

        Raises `Held` when the patience is over.
        """
        until = self._whose.clock() + patience
        while True:
            try:
                self.take()
                break
            except Held:
                if self._whose.clock() >= until:
                    raise
                pause(PAUSE_SECONDS)
                self.look()
        try:
            yield
        finally:
            if self.deployment.lease is not None and self.deployment.lease.holder == self._holder:
                self.leave(self.deployment)

    def renew(self) -> None:
        """Before an action: writes only where less than half of the lease is left."""
        lease = self.deployment.lease
        assert lease is not None
        if parse_time(lease.until) - self._whose.clock() < LENGTH / 2:
            self.keep(self.deployment)

    def leave(self, deployment: Deployment) -> None:
        """Writes the document without a lease."""
        self._write(replace(deployment, lease=None))

    def _write(self, deployment: Deployment) -> None:
        whose = self._whose
        document = as_document(deployment, whose.name, whose.environment, whose.target)
        try:
            self._token = self._store.compare_and_set(self._token, document)
        except Conflict as error:
            raise CtcError(
                "another deploy changed the deployment document meanwhile; this one stopped and changed nothing more",
                "look at what it did, and run the same command again",
            ) from error
        self.deployment = deployment


def holder(who: str) -> str:
    """This process, as a lease names it: who, the machine, the process and when it was started."""
    return f"{who} on {socket.gethostname()} (process {os.getpid()}, started {_started(os.getpid())})"


def _dead(holder: str) -> bool:
    """Whether the process of a lease ran on this machine and is no longer there."""
    _, _, rest = holder.rpartition(" on ")
    machine, _, process = rest.partition(" (process ")
    if machine != socket.gethostname() or not process.endswith(")"):
        return False
    number, _, started = process.removesuffix(")").partition(", started ")
    return number.isdigit() and started.isdigit() and _started(int(number)) != started


def _started(process: int) -> str:
    """When a process of this machine was started, in ticks since the machine was; empty if it is not there."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).replace(microsecond=0).isoformat()
