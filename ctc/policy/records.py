"""The records that a wake writes: of itself, and of an attempt that ended without writing its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ctc.policy.actions import Action
from ctc.policy.state import Attempt, State
from ctc.policy.triggers import Answer
from ctc.policy.windows import format_instant

VERSION = 1


@dataclass(frozen=True)
class Identity:
    """Which deployment this is. `spec_digest` is of the spec that the wake was compiled from."""

    name: str
    environment: str
    target: str
    spec_digest: str


def record_id(kind: str, identity: Identity, now: datetime, triggers: Iterable[str], sequence: int) -> str:
    """`20130310T060000Z-1f0e9d8c`: the instant, and a hash of what else makes the record the one it is."""
    text = json.dumps([kind, identity.spec_digest, identity.environment, list(triggers), sequence])
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest[:8]}"


def record_key(id: str) -> str:
    """Where a record is kept, below the root."""
    return f"records/{id}.json"


def wake_record(
    identity: Identity,
    now: datetime,
    *,
    answers: Iterable[Answer],
    suppressed: Mapping[str, str] | None,
    actions: Iterable[Action],
    changes: Iterable[Mapping[str, Any]],
    health: Iterable[Mapping[str, Any]] = (),
    state: State,
    attempt: str | None,
) -> dict[str, Any]:
    """The record of a wake that acted or was suppressed. `state` is the state after it.

    `health` are the limits and gates of the version that rolls out; only a wake that asked them has the key.
    """
    answers, measured = tuple(answers), [dict(answer) for answer in health]
    fired = [answer.name for answer in answers if answer.answer == "fired"]
    return {
        **_head("wake", record_id("wake", identity, now, fired, state.sequence), identity, now),
        "triggers": [answer.to_json() for answer in answers],
        "suppressed": None if suppressed is None else dict(suppressed),
        "actions": [_summary(action) for action in actions],
        "changes": [dict(change) for change in changes],
        **({"health": measured} if measured else {}),
        "attempt": attempt,
        "champion": None if state.champion is None else state.champion.version,
    }


def lost_record(identity: Identity, attempt: Attempt, state: State, reason: str, ctc_version: str) -> dict[str, Any]:
    """The record of an attempt that wrote none. What it did is not known, so every part but the reason is empty."""
    return {
        **_head("attempt", attempt.id, identity, attempt.instant),
        "spec_digest": attempt.spec_digest,
        "triggers": list(attempt.triggers),
        "outcome": "lost",
        "reason": reason,
        "windows": {"labelled_until": format_instant(attempt.labelled_until)},
        "data": {},
        "checks": [],
        "evaluation": {},
        "policy": {},
        "decision": {},
        "candidate": None,
        "champion": None if state.champion is None else state.champion.version,
        "steps": {},
        "error": reason,
        "versions": {"ctc": ctc_version},
    }


def lost_job_record(
    identity: Identity, id: str, instant: datetime, request: Mapping[str, Any], reason: str
) -> dict[str, Any]:
    """The record of a batch job that wrote none."""
    return {**job_head(identity, id, instant, request), "outcome": "lost", "reason": reason, **UNKNOWN, "error": reason}


UNKNOWN: Mapping[str, Any] = {"out": None, "data": {}, "steps": {}}
"""What is not known of a job that left no record."""


def job_head(identity: Identity, id: str, instant: datetime, request: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a batch job's record that its request decides."""
    return {
        **_head("score", id, identity, instant),
        "serving": request.get("serving"),
        "champion": (request.get("champion") or {}).get("version"),
        "after": request.get("after"),
    }


def _head(kind: str, id: str, identity: Identity, instant: datetime) -> dict[str, Any]:
    return {
        "version": VERSION,
        "kind": kind,
        "id": id,
        "name": identity.name,
        "environment": identity.environment,
        "target": identity.target,
        "instant": format_instant(instant),
        "spec_digest": identity.spec_digest,
    }


def _summary(action: Action) -> dict[str, Any]:
    """An action without the documents that it carries."""
    return {name: value for name, value in action.to_json().items() if name not in ("request", "record")}
