"""Whether a trigger asks for a run: fired, quiet or not evaluable, with the numbers it was judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from ctc.language.cron import Cron
from ctc.policy import live
from ctc.policy.evidence import Evidence, NewRows, NotEvaluable
from ctc.policy.state import State
from ctc.policy.windows import format_instant


@dataclass(frozen=True)
class Answer:
    """One trigger's answer. `numbers` is JSON."""

    name: str
    kind: str
    answer: Literal["fired", "quiet", "not_evaluable"]
    reason: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "answer": self.answer,
            "reason": self.reason,
            "numbers": dict(self.numbers),
        }


def evaluate(trigger: Mapping[str, Any], state: State, evidence: Evidence, now: datetime) -> Answer:
    """The answer of one entry of the `triggers` section. ValueError for a kind that this ctc does not know."""
    match trigger["kind"]:
        case "schedule":
            return _schedule(trigger, state, now)
        case "manual":
            return _manual(trigger, state, evidence)
        case "new_data":
            return _new_data(trigger, evidence)
        case "event":
            return _event(trigger, state, evidence, now)
        case "drift" | "performance" as kind:
            found = evidence.live.get(trigger["name"], NotEvaluable("nothing was looked at"))
            return Answer(trigger["name"], kind, *live.answer(trigger, found))
        case kind:
            raise ValueError(f"unknown trigger kind {kind!r} in the step document")


def schedule_watermark(name: str, state: State, now: datetime) -> datetime:
    """Up to where a schedule's instants are settled. Before the first wake: everything before this very minute."""
    settled = state.watermarks.schedule.get(name)
    return settled if settled is not None else now.replace(second=0, microsecond=0) - timedelta(microseconds=1)


def deployed(state: State, on_deploy: str, training: str) -> tuple[Answer, ...]:
    """Whether the training section has changed since the last attempt; nobody asks where nothing has been trained."""
    if on_deploy != "retrain" or not state.trained_as:
        return ()
    if state.trained_as == training:
        return (Answer("on_deploy", "deploy", "quiet", "the training section is that of the last attempt"),)
    return (Answer("on_deploy", "deploy", "fired", "the training section has changed since the last attempt"),)


def _event(trigger: Mapping[str, Any], state: State, evidence: Evidence, now: datetime) -> Answer:
    name: str = trigger["name"]
    due = [heard for heard in state.events if heard.name == trigger["event"]]
    if not due:
        return Answer(name, "event", "quiet", f"no {trigger['event']} that has not been answered")
    first = min(due, key=lambda heard: heard.at)
    numbers: dict[str, Any] = {
        "events": [heard.to_json() for heard in due],
        "age_seconds": (now - first.at).total_seconds(),
    }
    said = f"{trigger['event']} {first.key} at {format_instant(first.at)}"
    wanted = trigger.get("wait_for")
    if wanted is None:
        return Answer(name, "event", "fired", said, numbers)
    counted = evidence.new_rows.get(name, NotEvaluable("the rows were not counted"))
    if isinstance(counted, NotEvaluable):
        return Answer(name, "event", "not_evaluable", f"{said}; rows since then: {counted.reason}", numbers)
    numbers |= {"mature_rows": counted.rows, "wait_for": wanted}
    rows = f"{said}; {counted.rows} {counted.called} since then, {wanted} wanted"
    return Answer(name, "event", "fired" if counted.rows >= wanted else "quiet", rows, numbers)


def _schedule(trigger: Mapping[str, Any], state: State, now: datetime) -> Answer:
    name: str = trigger["name"]
    settled = schedule_watermark(name, state, now)
    due = next(Cron.parse(trigger["cron"]).instants(settled, now, trigger["timezone"]), None)
    if due is None:
        reason = f"no instant of {trigger['cron']!r} ({trigger['timezone']}) since {format_instant(settled)}"
        return Answer(name, "schedule", "quiet", reason)
    numbers = {"due": format_instant(due), "late_seconds": (now - due).total_seconds()}
    return Answer(name, "schedule", "fired", f"due since {format_instant(due)}", numbers)


def _manual(trigger: Mapping[str, Any], state: State, evidence: Evidence) -> Answer:
    name: str = trigger["name"]
    request = evidence.manual
    if request is None:
        return Answer(name, "manual", "quiet", "nobody asked")
    numbers = {"id": request.id, "who": request.who, "why": request.why}
    if request.id in state.manual:
        return Answer(name, "manual", "quiet", "this request has been answered before", numbers)
    return Answer(name, "manual", "fired", f"{request.who} asked: {request.why}", numbers)


def _new_data(trigger: Mapping[str, Any], evidence: Evidence) -> Answer:
    name: str = trigger["name"]
    counted = evidence.new_rows.get(name, NotEvaluable("the rows were not counted"))
    if isinstance(counted, NotEvaluable):
        return Answer(name, "new_data", "not_evaluable", counted.reason)
    answer, reason = _judge_rows(counted, trigger["min_rows"], trigger["settle"])
    numbers = {"rows": counted.rows, "min_rows": trigger["min_rows"], "unsettled": counted.unsettled}
    return Answer(name, "new_data", answer, reason, numbers)


def _judge_rows(counted: NewRows, min_rows: int, settle: float) -> tuple[Literal["fired", "quiet"], str]:
    if counted.rows < min_rows:
        return "quiet", f"{counted.rows} new {counted.called}, {min_rows} wanted"
    if settle > 0 and counted.unsettled > 0:
        return "quiet", f"{counted.unsettled} rows became known within the last {settle:g} s: not settled"
    return "fired", f"{counted.rows} new {counted.called}, {min_rows} wanted"
