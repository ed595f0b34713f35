"""What people are told of a wake and of an attempt: which event it is, the numbers that decided, what to do next.

Pure: from records to notices. A channel of the spec names the events that it wants; sending is `ctc/steps/notify.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ctc.policy.changes import sentence

Event = Literal[
    "validation_failed",
    "failed",
    "trained",
    "not_promoted",
    "promoted",
    "approval_needed",
    "rolled_back",
    "drifted",
    "stale",
    "over_budget",
]

WATCHING = ("drift", "performance")
"""The kinds of triggers that see a model or its data change."""

_ENDS: Mapping[str, Event] = {
    "stopped": "validation_failed",
    "failed": "failed",
    "lost": "failed",
    "candidate": "trained",
    "held": "not_promoted",
}

_CHANGES: Mapping[str, Event] = {
    "promoted": "promoted",
    "adopted": "promoted",
    "approval_asked": "approval_needed",
    "rejected": "not_promoted",
    "expired": "not_promoted",
    "withdrawn": "not_promoted",
    "quarantined": "not_promoted",
    "rolled_back": "rolled_back",
    "rollout_aborted": "rolled_back",
    "stale": "stale",
    "over_budget": "over_budget",
}

_SAID: Mapping[Event, str] = {
    "validation_failed": "stopped before training: the data is not fit",
    "failed": "a run failed",
    "trained": "a contender is trained and passed its gates",
    "not_promoted": "a contender was not promoted",
    "promoted": "a new champion",
    "approval_needed": "somebody must say yes",
    "rolled_back": "rolled back",
    "drifted": "drift",
    "stale": "no run has succeeded for too long",
    "over_budget": "the budget holds runs back",
}

_LONGEST = 500
"""Characters of a line: a message says what happened, the record says all of it."""


@dataclass(frozen=True)
class Notice:
    """One message. `record` is the id of what it is about; with the event it is told once. `lines` are plain text."""

    event: Event
    record: str
    title: str
    lines: tuple[str, ...]
    next: str

    def to_json(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "record": self.record,
            "title": self.title,
            "lines": list(self.lines),
            "next": self.next,
        }


def of_attempt(record: Mapping[str, Any]) -> tuple[Notice, ...]:
    """What an attempt's record tells: one notice. A record that does not say how it ended is of a failed attempt."""
    candidate = _mapping(record.get("candidate"))
    event = _ENDS.get(str(record.get("outcome")), "failed")
    if event == "trained" and not candidate.get("version"):
        event = "failed"
    lines = [f"attempt {record['id']}: {record.get('reason') or 'it gives no reason'}"]
    if event == "failed" and record.get("error") and record["error"] != record.get("reason"):
        # The first line alone: what follows is what the user's code printed, and may be anything.
        lines.append(str(record["error"]).split("\n", 1)[0])
    if event == "trained":
        lines.insert(0, f"version {candidate['version']}")
    if event in ("trained", "not_promoted"):
        lines += _gates(record)
    return (_notice(event, record, lines, f"ctc runs show {record['id']}"),)


def of_job(record: Mapping[str, Any]) -> tuple[Notice, ...]:
    """What a batch job's record tells: only that it did not end well."""
    if record.get("outcome") in ("scored", "empty"):
        return ()
    lines = [f"batch job {record['id']} of {record.get('serving')}: {record.get('reason') or 'it gives no reason'}"]
    if record.get("error") and record["error"] != record.get("reason"):
        lines.append(str(record["error"]).split("\n", 1)[0])
    return (_notice("failed", record, lines, f"ctc runs show {record['id']}"),)


def of_wake(
    record: Mapping[str, Any],
    *,
    question: str = "",
    judged: Mapping[str, Mapping[str, Any]] | None = None,
    held: bool = True,
) -> tuple[Notice, ...]:
    """What a wake's record tells, one notice for each event.

    `question` is the id of what waits for approval, `judged` the attempt's record of each version that is known, `held`
    whether triggers are held since, which a rollout that could not be judged, or was refused, does not do.
    A run that was held back is told by nobody but the budget.
    """
    found: dict[Event, list[str]] = {}
    about: dict[Event, str] = {}
    for change in record.get("changes", ()):
        event = _event_of(change, record)
        if event is None:
            continue
        found.setdefault(event, []).append(sentence(change))
        attempt = (judged or {}).get(change.get("version", ""))
        if attempt is not None and event in ("promoted", "approval_needed"):
            found[event] += _gates(attempt)
            about[event] = str(attempt["id"])
    for line in _drift(record):
        found.setdefault("drifted", []).append(line)
    return tuple(
        _notice(event, record, lines, _advice(event, about.get(event, str(record["id"])), question, held))
        for event, lines in found.items()
    )


def versions(record: Mapping[str, Any]) -> frozenset[str]:
    """The versions whose numbers a wake's notices show."""
    shown = ("promoted", "approval_asked")
    return frozenset(change["version"] for change in record.get("changes", ()) if change["what"] in shown)


def _event_of(change: Mapping[str, Any], record: Mapping[str, Any]) -> Event | None:
    if change["what"] != "alert":
        return _CHANGES.get(change["what"])
    watching = any(
        answer["kind"] in WATCHING and change["reason"].startswith(f"{answer['name']}: ")
        for answer in record.get("triggers", ())
    )
    return "drifted" if watching else None


def _drift(record: Mapping[str, Any]) -> Iterable[str]:
    """The watching triggers whose firing started a run: that is no change, but it is what they were put there for."""
    if not any(action.get("action") == "start_training" for action in record.get("actions", ())):
        return
    alerts = [change["reason"] for change in record.get("changes", ()) if change["what"] == "alert"]
    for answer in record.get("triggers", ()):
        line = f"{answer['name']}: {answer['reason']}"
        if answer["kind"] in WATCHING and answer["answer"] == "fired" and line not in alerts:
            yield f"{line}; attempt {record.get('attempt')} is started"


def _gates(record: Mapping[str, Any]) -> list[str]:
    gates = _mapping(record.get("decision")).get("gates")
    if not isinstance(gates, list):
        return []
    return [
        f"{gate.get('name')} {str(gate.get('answer')).replace('_', ' ')}: {gate.get('reason')}"
        for gate in gates
        if isinstance(gate, Mapping)
    ]


def _mapping(value: Any) -> Mapping[str, Any]:
    """A part of a record; a damaged record must not keep anybody from being told."""
    return value if isinstance(value, Mapping) else {}


def _advice(event: Event, record: str, question: str, held: bool) -> str:
    show = f"ctc runs show {record}"
    match event:
        case "approval_needed" if question:
            return f"{show}; then ctc approve SPEC {question} --why WHY, or ctc reject SPEC {question} --why WHY"
        case "rolled_back" if held:
            return f"{show}; when the cause is gone: ctc resume SPEC --why WHY"
        case "over_budget":
            return f"{show}; raise cost.max_per_month, or wait for the next month"
        case _:
            return show


def _notice(event: Event, record: Mapping[str, Any], lines: Iterable[str], advice: str) -> Notice:
    where = f"{record.get('name')} ({record.get('environment')}, {record.get('target')})"
    return Notice(event, str(record["id"]), f"{where}: {_SAID[event]}", tuple(map(_line, lines)), advice)


def _line(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 3] + "..."
