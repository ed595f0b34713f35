"""How a notice is put to each kind of channel, and the one way in which this posts JSON.

Formats as the vendors publish them: Slack's incoming webhooks (`text`), the adaptive card that a Teams workflow takes,
PagerDuty's Events API v2. No error that leaves here holds an address: the address of a webhook is its password.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ctc.policy.notices import Event, Notice
from ctc.policy.windows import format_instant
from ctc.steps.notify import NotSent, Sender

TIMEOUT = 10.0
"""Seconds for each answer of a server."""

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
"""Events API v2; `CTC_PAGERDUTY_URL` replaces it (accounts in the EU have a host of their own)."""

_SEVERITY: Mapping[Event, str] = {
    "rolled_back": "critical",
    "failed": "error",
    "validation_failed": "error",
    "drifted": "warning",
    "stale": "warning",
    "over_budget": "warning",
}

_NOT_TAKEN = (429, 500, 503)
"""Answers by which a server says that it did not take the message, but may take it later."""


def slack(notice: Notice) -> dict[str, Any]:
    """`text` with the three characters escaped that Slack gives a meaning."""
    text = "\n".join((f"*{_slack(notice.title)}*", *map(_slack, notice.lines), f"`{_slack(notice.next)}`"))
    return {"text": text}


def teams(notice: Notice) -> dict[str, Any]:
    """An adaptive card; the lines are runs of text, in which markdown has no meaning."""
    lines = [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": line}]}
        for line in (*notice.lines, notice.next)
    ]
    title = {"type": "TextBlock", "text": notice.title, "weight": "Bolder", "size": "Medium", "wrap": True}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "body": [title, *lines],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def pagerduty(notice: Notice, sender: Sender, key: str) -> dict[str, Any]:
    """A `trigger` event. Its `dedup_key` makes PagerDuty take repeats as one."""
    return {
        "routing_key": key,
        "event_action": "trigger",
        "dedup_key": f"{sender.name}/{sender.environment}/{sender.target}/{notice.record}/{notice.event}"[:255],
        "payload": {
            "summary": "; ".join((notice.title, *notice.lines))[:1024],
            "source": f"{sender.name}/{sender.environment}",
            "severity": _SEVERITY.get(notice.event, "info"),
            "timestamp": format_instant(sender.instant),
            "component": sender.target,
            "class": notice.event,
            "custom_details": {"record": notice.record, "lines": list(notice.lines), "next": notice.next},
        },
    }


def webhook(notice: Notice, sender: Sender) -> dict[str, Any]:
    """Version 1 of our own format: the notice, whose it is, and the instant of the wake that sends it."""
    return {
        "version": 1,
        "name": sender.name,
        "environment": sender.environment,
        "target": sender.target,
        "instant": format_instant(sender.instant),
        **notice.to_json(),
    }


def post(url: str, document: Mapping[str, Any], *, repeatable: bool = False) -> None:
    """Posts JSON; any answer from 200 to 299 is a success. NotSent otherwise.

    `repeatable`: the receiver takes repeats as one, so that an unclear end may be tried again. Redirects are not
    followed: they could lead anywhere, and what is posted may hold a key.
    """
    body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "ctc"}
    try:
        request = urllib.request.Request(_checked(url), body, headers, method="POST")
        with _opener().open(request, timeout=TIMEOUT) as response:
            _judge(response.status, response.headers.get("Retry-After"), repeatable)
    except urllib.error.URLError as error:
        cause = error.reason if isinstance(error.reason, Exception) else error
        raise NotSent(f"no connection: {explain(cause)}", again=not isinstance(cause, ssl.SSLError)) from None
    except OSError as error:
        raise NotSent(explain(error), again=repeatable) from None
    except (http.client.HTTPException, ValueError) as error:
        raise NotSent(explain(error)) from None


def explain(error: Exception) -> str:
    """What went wrong, without a word of the address: many an exception quotes it."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} seconds"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted"
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        return error.strerror
    return type(error).__name__


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise NotSent("the address is no URL") from None
    if parts.scheme not in ("http", "https") or not host or not url.isascii() or not url.isprintable() or " " in url:
        raise NotSent("the address is no http or https URL")
    if parts.username is not None:
        raise NotSent("the address holds a user name: give one without")
    return url


def _opener() -> urllib.request.OpenerDirector:
    """Speaks http and https, through the environment's proxy. Every status is an answer; no redirect is followed."""
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler()):
        opener.add_handler(handler)
    return opener


def _judge(status: int, retry_after: str | None, repeatable: bool) -> None:
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise NotSent(f"the server answered {status}: redirects are not followed, give the address that it leads to")
    wait = float(retry_after) if retry_after is not None and retry_after.strip().isdecimal() else 0.0
    raise NotSent(
        f"the server answered {status}", again=status in _NOT_TAKEN or (repeatable and status >= 500), wait=wait
    )


def pagerduty_url() -> str:
    return os.environ.get("CTC_PAGERDUTY_URL", "").strip() or PAGERDUTY


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
