"""Tells people: each notice once to each channel that asks for its event, and never at the price of the wake."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ctc.policy.notices import Notice
from ctc.policy.windows import format_instant
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed, Task

TRIES = 3

BUDGET = 60.0
"""Seconds that one wake spends on telling: a dead channel must not hold up a decision for long."""

_BACKOFF = (1.0, 2.0)
"""Seconds before the second try and the third."""

_LONGEST_WAIT = 10.0
"""Seconds; a server that asks for a longer break is not waited for."""


class NotSent(Exception):
    """The message did not arrive, or nobody knows. `again`: it surely did not, and trying again may help.

    `wait` is how many seconds the server asks for.
    """

    def __init__(self, reason: str, *, again: bool = False, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        self.wait = wait


@dataclass(frozen=True)
class Sender:
    """Whose notice it is."""

    name: str
    environment: str
    target: str
    instant: datetime


class Telling:
    """The telling of one wake. `told` is its outcome: channel, event, ok, error, in the order of sending.

    A mark is put before a message is sent, and one that stands is not sent again: a crash between the two loses that
    message, and nothing is ever told twice.
    """

    def __init__(self, task: Task, services: Services) -> None:
        document = task.document
        self._channels = (task.policy.get("notifications") or {}).get("channels", [])
        self._sender = Sender(document["name"], document["environment"], document["target"], task.instant)
        self._services = services
        self._left = BUDGET
        self.told: list[dict[str, Any]] = []

    @property
    def wanted(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._channels)

    def tell(self, notices: Iterable[Notice]) -> None:
        """Never raises for what a channel does: that is in `told`."""
        for notice in notices:
            for channel in self._channels:
                if notice.event in channel["events"]:
                    self._once(notice, channel)

    def sentences(self) -> list[str]:
        """What was told, and what could not be, for the log."""
        return [
            f"told {item['channel']} of {item['event']}"
            if item["ok"]
            else f"could not tell {item['channel']} of {item['event']}: {item['error']}"
            for item in self.told
        ]

    def _once(self, notice: Notice, channel: Mapping[str, Any]) -> None:
        mark = {
            "version": 1,
            "record": notice.record,
            "event": notice.event,
            "channel": channel["name"],
            "instant": format_instant(self._sender.instant),
        }
        error = ""
        started = time.monotonic()
        try:
            if not self._services.objects.put_once(key(notice, channel["name"]), mark):
                return
            self._send(notice, channel, started + self._left)
        except (NotSent, StepFailed) as failed:
            error = str(failed)
        except OSError as failed:
            error = f"its mark cannot be kept: {failed.strerror or type(failed).__name__}"
        self._left = max(0.0, self._left - (time.monotonic() - started))
        self.told.append({"channel": channel["name"], "event": notice.event, "ok": not error, "error": error})

    def _send(self, notice: Notice, channel: Mapping[str, Any], until: float) -> None:
        """Tries again only what surely did not arrive."""
        # They bring the network's modules with them, and most wakes tell nobody anything.
        from ctc.steps import mail

        arguments = {
            key: self._services.secrets.get(value["secret"]) if isinstance(value, Mapping) else value
            for key, value in channel["arguments"].items()
        }
        if channel["kind"] == "email" and mail.wants_password():
            arguments["password"] = self._services.secrets.get(mail.PASSWORD)
        for tries in range(TRIES):
            if time.monotonic() >= until:
                raise NotSent(f"this wake has spent {BUDGET:g} seconds on telling")
            try:
                send(channel["kind"], arguments, notice, self._sender)
                return
            except NotSent as failed:
                wait = max(failed.wait, _BACKOFF[min(tries, len(_BACKOFF) - 1)])
                last = tries + 1 == TRIES or wait > _LONGEST_WAIT or time.monotonic() + wait >= until
                if last or not failed.again:
                    raise
            time.sleep(wait)


def key(notice: Notice, channel: str) -> str:
    """Where it stands, below the root, that a notice was told."""
    return f"notices/{notice.record}-{notice.event}-{channel}.json"


def send(kind: str, arguments: Mapping[str, Any], notice: Notice, sender: Sender) -> None:
    """One try. `arguments` are the channel's, its secrets filled in. NotSent if it does not arrive."""
    from ctc.steps import channels, mail

    match kind:
        case "slack":
            channels.post(arguments["webhook"], channels.slack(notice))
        case "teams":
            channels.post(arguments["webhook"], channels.teams(notice))
        case "webhook":
            channels.post(arguments["url"], channels.webhook(notice, sender))
        case "pagerduty":
            event = channels.pagerduty(notice, sender, arguments["key"])
            channels.post(channels.pagerduty_url(), event, repeatable=True)
        case "email":
            server = mail.server(arguments.get("password", ""))
            mail.send(server, mail.compose(notice, sender, server.sender, arguments["to"]), arguments["to"])
        case _:
            raise StepFailed(f"this version knows no channel of the kind {kind}: use a newer runtime.image")
