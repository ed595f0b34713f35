"""How the machines of one training begin each try together, and end it together: a failure on one is one of all.

The first machine listens at the port after that of the processes' own rendezvous; the others connect for each try, and
are told when all are there. Each says how its processes ended, with their last lines; the first says what that means
for all. A machine that is gone has failed. Standard library only, Python 3.7 or newer.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Dict, List, Optional, Tuple

from ctc.steps.shim import STOPPED
from ctc.steps.shim_files import Failed

WELL, BROKEN, LATE, GO = b"w", b"b", b"l", b"g"
"""What a machine says of its try, and what the first says of all: ended well, failed, ran out of time; and: begin."""
PATIENCE_SECONDS, PAUSE_SECONDS, ANSWER_SECONDS = 600.0, 0.2, 10.0
"""For how long machines wait for each other to start (torchrun's `join_timeout`), how often that is looked at, and for
how long a message that has begun is waited for."""
MOST_BYTES = 16384

Verdict = Tuple[bytes, str]
NOTHING: Verdict = (b"", "")


class Alone:
    """All processes are of this machine: what becomes of them is what becomes of the try."""

    def begin(self) -> None:
        """At once."""

    def look(self, ended: bytes, said: str) -> Verdict:
        return ended, said


class First:
    """The machine at which the others meet; `count` are all of them."""

    def __init__(self, port: int, count: int) -> None:
        self.server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(("", port))
        self.server.listen(count)
        self.count = count
        self.peers: Dict[int, socket.socket] = {}
        self.told: Dict[int, Verdict] = {}

    def begin(self) -> None:
        """Returns when all are there. Failed where one does not come."""
        self.peers, self.told, end = {}, {}, time.monotonic() + PATIENCE_SECONDS
        while len(self.peers) < self.count - 1:
            refuse_late(end, "%d of %d machines came" % (len(self.peers) + 1, self.count))
            if select.select([self.server], [], [], PAUSE_SECONDS)[0]:
                link = self.server.accept()[0]
                link.settimeout(ANSWER_SECONDS)
                with contextlib.suppress(OSError, ValueError):
                    self.peers[int(message(link)[1])] = link
        for link in self.peers.values():
            send(link, GO, "")

    def look(self, ended: bytes, said: str) -> Verdict:
        """What the try has come to, and the last lines of who decided it; NOTHING while it goes on."""
        if ended:
            self.told[0] = ended, said
        for rank, link in self.peers.items():
            if rank not in self.told and select.select([link], [], [], 0)[0]:
                try:
                    self.told[rank] = message(link)
                except OSError:
                    self.told[rank] = BROKEN, "it is gone"
        for kind in (BROKEN, LATE):
            for rank in sorted(self.told):
                if self.told[rank][0] == kind:
                    lines = self.told[rank][1]
                    return self.tell(kind, lines if rank == 0 else "machine %d of %d: %s" % (rank, self.count, lines))
        return self.tell(WELL, self.told[0][1]) if len(self.told) == self.count else NOTHING

    def tell(self, kind: bytes, lines: str) -> Verdict:
        for link in self.peers.values():
            send(link, kind, "")
            link.close()
        return kind, lines


class Other:
    """A machine that meets the first, at `host` and `port`; `rank` is its own."""

    def __init__(self, host: str, port: int, rank: int) -> None:
        self.address, self.rank, self.said = (host, port), rank, False
        self.link: Optional[socket.socket] = None

    def begin(self) -> None:
        """Returns when all are there. Failed where the first does not answer."""
        end, self.said = time.monotonic() + PATIENCE_SECONDS, False
        while self.link is None:
            refuse_late(end, "the first of the machines does not answer")
            try:
                self.link = socket.create_connection(self.address, ANSWER_SECONDS)
                send(self.link, GO, str(self.rank))
            except OSError:
                self.link = None
                time.sleep(PAUSE_SECONDS)
        while not select.select([self.link], [], [], PAUSE_SECONDS)[0]:
            refuse_late(end, "not all of the machines came")
        try:
            message(self.link)
        except OSError as error:
            self.leave()
            raise Failed("the first of the machines is gone") from error

    def look(self, ended: bytes, said: str) -> Verdict:
        assert self.link is not None, "`begin` has been called"
        if ended and not self.said:
            self.said = True
            send(self.link, ended, said)
        if not select.select([self.link], [], [], 0)[0]:
            return NOTHING
        try:
            kind = message(self.link)[0]
        except OSError:
            kind = BROKEN
        self.leave()
        return kind, said or "another machine failed; the first tells which"

    def leave(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None


def refuse_late(end: float, said: str) -> None:
    """Failed where time is up, or the platform ends the job."""
    if STOPPED:
        raise Failed("the job was ended before all machines were there", 128 + STOPPED[0])
    if time.monotonic() > end:
        raise Failed("%s within %g seconds" % (said, PATIENCE_SECONDS))


def send(link: socket.socket, kind: bytes, text: str) -> None:
    """One message. One that cannot be sent is to a machine that is gone, which is seen where its own is read."""
    body = text.encode("utf-8")[-MOST_BYTES:]
    with contextlib.suppress(OSError):
        link.sendall(kind + len(body).to_bytes(4, "big") + body)


def message(link: socket.socket) -> Verdict:
    """The next message; OSError where the machine is gone."""
    head = exactly(link, 5)
    return head[:1], exactly(link, int.from_bytes(head[1:], "big")).decode("utf-8", "replace")


def exactly(link: socket.socket, count: int) -> bytes:
    parts: List[bytes] = []
    while count:
        part = link.recv(count)
        if not part:
            raise ConnectionError("the connection ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
