"""What people and other systems ask of a wake: its parameters `manual` and `event`, each a JSON object or empty.

`manual`: `{"who", "why"}` asks for a run; with `"do"` it is a command (approve, reject, adopt, rollback, resume). In
its place may stand `{"told": KEY}`: then it is the document `told/KEY.json`, because services bound their parameters.
`event`: `{"name", "at", "id", "fields"}`, an alert from outside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from ctc import __version__
from ctc.policy.evidence import Command, Do, Event, Manual
from ctc.policy.state import Version
from ctc.policy.windows import parse_instant
from ctc.steps.ports import Services
from ctc.steps.task import StepFailed, Task

_DO = get_args(Do)
_KEY = re.compile(r"[\w-]{1,128}")


def told_key(key: str) -> str:
    """Where what a person tells is kept until a wake has heard it."""
    return f"told/{key}.json"


def manual(task: Task, services: Services) -> Manual | None:
    """A person's request for a run."""
    asked = _told(task, services, '{"who": "name", "why": "reason"}')
    if asked is None or "do" in asked:
        return None
    request = Manual.at(task.instant, str(asked["who"]), str(asked["why"]))
    return replace(request, id=str(asked["id"])) if "id" in asked else request


def command(task: Task, services: Services) -> Command | None:
    """A person's command; a model that is adopted gets its version in the registry here, once for each command."""
    shape = '{"who": "name", "why": "reason", "do": "approve", "about": "the question\'s id"}'
    asked = _told(task, services, shape)
    if asked is None or "do" not in asked:
        return None
    if asked["do"] not in _DO:
        raise StepFailed(f"the parameter `manual` asks to {asked['do']!r}; it may ask to: {', '.join(_DO)}")
    made = Manual.at(task.instant, str(asked["who"]), "\n".join([str(asked["why"]), asked["do"]]))
    known = str(asked.get("id") or made.id)
    version = _adopted(task, services, known, asked.get("version")) if asked["do"] == "adopt" else None
    about, group = str(asked.get("about", "")), str(asked.get("group", ""))
    return Command(known, str(asked["who"]), str(asked["why"]), asked["do"], about, group, version)


def event(task: Task) -> Event | None:
    """An alert from outside. One without an instant is of now, one without an id is told by name and instant."""
    asked = _parameter(task, "event", '{"name": "fraud-ops-alert", "id": "INC-7"}', ("name",))
    if asked is None:
        return None
    fields = asked.get("fields") or {}
    try:
        at = parse_instant(str(asked["at"])) if asked.get("at") else task.instant
        told = {str(name): str(value) for name, value in dict(fields).items()}
    except (ValueError, TypeError) as error:
        raise StepFailed(f"the parameter `event` cannot be read: {error}") from error
    return Event(str(asked["name"]), str(asked.get("id") or at.isoformat()), at, told)


def _told(task: Task, services: Services, shape: str) -> Mapping[str, Any] | None:
    """What the parameter `manual` says, or the document that it names."""
    given = _parameter(task, "manual", shape, ())
    if given is not None and "told" in given:
        key = str(given["told"])
        document = services.objects.get(told_key(key)) if _KEY.fullmatch(key) else None
        if document is None:
            raise StepFailed(f"the parameter `manual` names what was told as {key!r}, and there is no {told_key(key)}")
        return document
    return _parameter(task, "manual", shape, ("who", "why"))


def _parameter(task: Task, name: str, shape: str, needed: tuple[str, ...]) -> Mapping[str, Any] | None:
    text = task.parameters.get(name, "")
    if not text:
        return None
    try:
        asked = json.loads(text)
        missing = [key for key in needed if key not in asked]
        if missing or not isinstance(asked, dict):
            raise ValueError(f"no {', '.join(missing)}" if missing else "no object")
    except (ValueError, TypeError) as error:
        raise StepFailed(f"the parameter `{name}` is {text!r} ({error}); write {shape}") from error
    return asked


def _adopted(task: Task, services: Services, command: str, document: Any) -> Version:
    try:
        version = Version.from_json({**document, "version": "", "attempt": f"adopted-{command}"})
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(f"the model to adopt lacks a part: {error!r}; adopt it with `ctc adopt`") from error
    number = services.registry.register(
        task.policy["triggers"]["model"],
        key=version.attempt,
        uri=version.uri,
        tags={"ctc.attempt": version.attempt, "ctc.code": version.code, "ctc.version": __version__},
        metrics={},
    )
    return replace(version, version=number)
