"""The whole controller: `step(state, evidence, policy, now, identity)`, pure and total.

The caller (a wake) writes `Outcome.state` by compare-and-set, applies `Outcome.actions`, then writes `applied(state)`.
A crash anywhere between leaves actions in `state.pending`; the next wake's `step` hands them back before it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ctc import __version__
from ctc.diagnostics import CtcError
from ctc.policy import attempts, batch
from ctc.policy.actions import Action, Promote, StartScoring, StartTraining, WriteRecord, action_from_json
from ctc.policy.attempts import Kept
from ctc.policy.candidates import obey, resume, settle
from ctc.policy.changes import Change, Draft
from ctc.policy.evidence import Command, Event, Evidence, Health, JobSeen, Manual, NewRows, NotEvaluable, RowsQuestion
from ctc.policy.records import Identity, lost_record, record_key, wake_record
from ctc.policy.rollout import Waking, promotion, retire, roll_back
from ctc.policy.rules import Policy
from ctc.policy.standing import Heard
from ctc.policy.state import State, Watermarks, applied
from ctc.policy.suppression import REARM, RESUME, Suppression, suppress
from ctc.policy.triggers import Answer, deployed, evaluate, schedule_watermark
from ctc.policy.windows import format_instant, labelled_until

__all__ = [
    "Command",
    "Event",
    "Evidence",
    "Health",
    "Identity",
    "JobSeen",
    "Manual",
    "NewRows",
    "NotEvaluable",
    "Outcome",
    "PastInstant",
    "Policy",
    "RowsQuestion",
    "applied",
    "projection",
    "questions",
    "step",
]

_REMEMBERED = 100
"""Ids of answered requests, and keys of events, that are kept to know them again."""

STALE = "*stale"
"""In `State.alarmed`: no attempt has succeeded for too long. No trigger has this name."""

BUDGET = "*budget"
"""In `State.alarmed`: a run was held back by the budget, which has been told."""


class PastInstant(CtcError):
    """A wake at an instant before the last wake's: the past has been decided."""


@dataclass(frozen=True)
class Outcome:
    """What follows. `record` is the wake's record (also in `actions`), None if it neither acted nor was suppressed.

    `again`: step once more at the same instant after applying, with new evidence; something had to be written first.
    """

    state: State
    actions: tuple[Action, ...] = ()
    record: Mapping[str, Any] | None = None
    answers: tuple[Answer, ...] = ()
    suppressed: Suppression | None = None
    again: bool = False
    changes: tuple[Change, ...] = ()


def questions(state: State, policy: Policy, now: datetime) -> tuple[RowsQuestion, ...]:
    """The row counts that `step` needs at `now`; the answers go into `Evidence.new_rows` by name."""
    if state.pending:
        return ()
    end = labelled_until(policy.known_after, now)
    watermark = state.watermarks.new_data
    start = None if watermark is None else min(watermark, end)
    asked = [
        RowsQuestion(trigger["name"], start, end, now - timedelta(seconds=trigger["settle"]))
        for trigger in policy.triggers
        if trigger["kind"] == "new_data"
    ]
    for trigger in policy.triggers:
        changed = [heard.at for heard in state.events if heard.name == trigger.get("event")]
        if trigger.get("wait_for") is not None and changed:
            asked.append(RowsQuestion(trigger["name"], min(*changed, end), end, now))
    if policy.limits.rearm_rows > 0 and watermark is not None:
        asked.append(RowsQuestion(REARM, start, end, now))
    if policy.resume_rows is not None and state.hold is not None:
        asked.append(RowsQuestion(RESUME, min(state.hold.labelled_until, end), end, now))
    return tuple(asked)


def projection(state: State) -> Promote | None:
    """The alias as the state has it. Applying it at the end of every wake repairs what a slower wake left behind."""
    return None if state.champion is None else promotion(state.champion)


def step(state: State, evidence: Evidence, policy: Policy, now: datetime, identity: Identity) -> Outcome:
    """One decision. The only error is PastInstant; `now` is aware, and the same instant again is no past instant."""
    now = now.astimezone(UTC)
    if state.last_wake is not None and now < state.last_wake:
        raise PastInstant(
            f"{format_instant(now)} is before the last wake at {format_instant(state.last_wake)}",
            help="wake at that instant or later; for another history use another state folder (--state)",
        )
    if state.pending:
        return _owed(state, policy, now)
    waking = Waking(policy, now, identity)
    draft = Draft(replace(state, last_wake=now, succeeded=state.succeeded or now))
    draft = _settle(batch.end(attempts.end(draft, evidence, policy, now), evidence), evidence, waking)
    lost = batch.given_up(draft, evidence, policy, now, identity)
    if lost is not draft:
        return _close(lost, (), None, now, identity, again=True)
    kept = attempts.keep(draft.state, evidence, policy, now)
    if kept.lost:
        return _give_up(kept, draft, identity, now)
    draft = batch.keep(replace(draft, state=kept.state).ask(*kept.actions), evidence, policy, now)
    return _answer_triggers(draft, evidence, waking)


def _owed(state: State, policy: Policy, now: datetime) -> Outcome:
    """Hands back what an earlier wake decided. A training that starts only now holds the lease from now."""
    actions = tuple(action_from_json(action) for action in state.pending)
    keys = frozenset(action.key for action in actions if isinstance(action, StartScoring))
    renewed, attempt = batch.owed(state, keys, now), state.attempt
    if attempt is not None and any(isinstance(action, StartTraining) for action in actions):
        leased = replace(attempt, lease_until=max(attempt.lease_until, now + policy.lease))
        renewed = replace(renewed, attempt=leased)
    if renewed != state:
        state = replace(renewed, last_wake=now, revision=state.revision + 1)
    return Outcome(state, actions, again=True)


def _settle(draft: Draft, evidence: Evidence, waking: Waking) -> Draft:
    """What people have said, then what that and the evidence make of the candidate."""
    command = evidence.command
    if command is not None and command.id not in draft.state.manual:
        draft = obey(draft, command, waking)
        draft = draft.set(manual=(*draft.state.manual, command.id)[-_REMEMBERED:])
    if evidence.health is not None:
        draft = replace(draft, health=tuple(evidence.health.to_json()))
    draft = settle(draft, evidence.health or Health(), waking)
    return _resume(retire(draft, waking), evidence, waking)


def _resume(draft: Draft, evidence: Evidence, waking: Waking) -> Draft:
    """A hold ends by itself where the spec says after how many rows."""
    wanted, counted = waking.rules.resume_rows, evidence.new_rows.get(RESUME)
    if draft.state.hold is None or wanted is None or not isinstance(counted, NewRows) or counted.rows < wanted:
        return draft
    return resume(draft, f"{counted.rows} new {counted.called} since the rollback, {wanted} wanted", "")


def _give_up(kept: Kept, draft: Draft, identity: Identity, now: datetime) -> Outcome:
    """Writes the record of a lost attempt. If the attempt has written its own meanwhile, that one stands."""
    assert kept.state.attempt is not None
    attempt = kept.state.attempt
    record = lost_record(identity, attempt, kept.state, kept.lost, __version__)
    draft = replace(draft, state=kept.state).ask(WriteRecord(record_key(attempt.id), record))
    return _close(draft, (), None, now, identity, again=True)


def _answer_triggers(draft: Draft, evidence: Evidence, waking: Waking) -> Outcome:
    policy, now = waking.rules, waking.instant
    draft = _hear(draft, evidence, policy, now)
    answers = tuple(evaluate(trigger, draft.state, evidence, now) for trigger in policy.triggers)
    draft = _react(draft, answers, waking)
    wanted = {trigger["name"] for trigger in policy.triggers if trigger.get("then", "retrain") == "retrain"}
    answers = (*answers, *deployed(draft.state, policy.on_deploy, policy.training))
    asking = [answer for answer in answers if answer.answer == "fired" and answer.name in {*wanted, *_OWN}]
    fired = {answer.name for answer in asking}
    answers = (*answers, *_unheard(evidence, policy))
    exempt = any(trigger["exempt"] for trigger in policy.triggers if trigger["name"] in fired)
    asked = any(answer.kind == "manual" for answer in asking)
    held = suppress(policy.limits, draft.state, evidence, now, exempt=exempt, asked=asked) if fired else None
    started = bool(fired) and held is None
    seen_only = held is not None and held.by == "mode"
    draft = draft.set(
        watermarks=_settled(draft.state, policy, now, fired if held is not None and not seen_only else set()),
        manual=_answered(draft.state, evidence, answers),
        events=() if seen_only else draft.state.events,
    )
    if started:
        names = tuple(answer.name for answer in asking)
        answered = {trigger["event"] for trigger in policy.triggers if trigger["name"] in fired and "event" in trigger}
        waiting = tuple(heard for heard in draft.state.events if heard.name not in answered)
        state, action = attempts.start(draft.set(events=waiting).state, names, policy, now, waking.identity)
        draft = replace(draft, state=state).ask(action)
    draft = batch.start(_alarms(draft, held, waking), policy, now, waking.identity)
    return _close(draft, answers, held, now, waking.identity)


_OWN = ("on_deploy",)
"""Triggers that the spec names elsewhere than under `triggers`."""


def _hear(draft: Draft, evidence: Evidence, policy: Policy, now: datetime) -> Draft:
    """Keeps an outside event that a trigger waits for, once, until it is answered or too old."""
    kept = tuple(heard for heard in draft.state.events if _waits(heard, policy) or _young(heard, policy, now))
    draft, event = draft.set(events=kept), evidence.event
    trigger = next((t for t in policy.triggers if event is not None and t.get("event") == event.name), None)
    if event is None or trigger is None:
        return draft
    key = event.fields.get(trigger["dedupe_by"] or "", event.key)
    known = f"{event.name}:{key}"
    heard = Heard(event.name, key, min(event.at, now))
    if known in draft.state.heard or not _young(heard, policy, now):
        return draft
    return draft.set(events=(*kept, heard), heard=(*draft.state.heard, known)[-_REMEMBERED:])


def _waits(heard: Heard, policy: Policy) -> bool:
    """Whether its trigger waits for rows from after it: they take their time, which makes it no older."""
    return any(
        trigger.get("event") == heard.name and trigger.get("wait_for") is not None for trigger in policy.triggers
    )


def _young(heard: Heard, policy: Policy, now: datetime) -> bool:
    ages = [trigger["max_age"] for trigger in policy.triggers if trigger.get("event") == heard.name]
    return bool(ages) and (now - heard.at).total_seconds() <= max(ages)


def _react(draft: Draft, answers: tuple[Answer, ...], waking: Waking) -> Draft:
    """Triggers that alert or roll back instead of retraining: once, when they fire; again after they have been quiet.

    One that cannot be evaluated says nothing of whether it has passed.
    """
    for trigger, answer in zip(waking.rules.triggers, answers, strict=True):
        then, name = trigger.get("then", "retrain"), answer.name
        if then == "retrain" or answer.answer == "not_evaluable":
            continue
        told = name in draft.state.alarmed
        if answer.answer == "quiet":
            draft = draft.set(alarmed=tuple(other for other in draft.state.alarmed if other != name))
        elif not told:
            draft = draft.set(alarmed=(*draft.state.alarmed, name))
            draft = draft.tell(Change("alert", f"{name}: {answer.reason}"))
            if then == "rollback" and waking.rules.limits.mode == "act":
                draft = roll_back(draft, f"{name}: {answer.reason}", f"trigger {name}", waking)
    return draft


def _alarms(draft: Draft, held: Suppression | None, waking: Waking) -> Draft:
    """What is told once while it lasts: that nothing has succeeded for too long, that the money is used up."""
    state, staleness = draft.state, waking.rules.staleness
    assert state.succeeded is not None
    stale = staleness is not None and waking.instant - state.succeeded > staleness
    since = f"no attempt has succeeded since {format_instant(state.succeeded)}"
    draft = _alarm(draft, STALE, stale, Change("stale", since))
    if held is None:
        return draft
    return _alarm(draft, BUDGET, held.by == "budget", Change("over_budget", held.reason))


def _alarm(draft: Draft, name: str, on: bool, change: Change) -> Draft:
    told = name in draft.state.alarmed
    if on and not told:
        return draft.set(alarmed=(*draft.state.alarmed, name)).tell(change)
    if told and not on:
        return draft.set(alarmed=tuple(other for other in draft.state.alarmed if other != name))
    return draft


def _unheard(evidence: Evidence, policy: Policy) -> tuple[Answer, ...]:
    if evidence.manual is None or any(trigger["kind"] == "manual" for trigger in policy.triggers):
        return ()
    return (Answer("manual", "manual", "quiet", "a run was asked for, but no manual trigger is enabled"),)


def _settled(state: State, policy: Policy, now: datetime, remembered: set[str]) -> Watermarks:
    """Every schedule is settled up to now, except those whose due instant was suppressed: they stay due."""
    schedule = {
        trigger["name"]: schedule_watermark(trigger["name"], state, now) if trigger["name"] in remembered else now
        for trigger in policy.triggers
        if trigger["kind"] == "schedule"
    }
    return replace(state.watermarks, schedule=schedule)


def _answered(state: State, evidence: Evidence, answers: tuple[Answer, ...]) -> tuple[str, ...]:
    """A request is answered by the first wake that hears it, also if that wake is suppressed."""
    heard = any(answer.kind == "manual" and answer.answer == "fired" for answer in answers)
    if evidence.manual is None or not heard:
        return state.manual
    return (*state.manual, evidence.manual.id)[-_REMEMBERED:]


def _close(
    draft: Draft,
    answers: tuple[Answer, ...],
    held: Suppression | None,
    now: datetime,
    identity: Identity,
    *,
    again: bool = False,
) -> Outcome:
    """Numbers the write, adds the record of a wake that acted, changed something or was suppressed, and puts the
    actions into the outbox."""
    state, actions = replace(draft.state, revision=draft.state.revision + 1), draft.actions
    if not actions and not draft.changes and held is None:
        return Outcome(state, (), None, answers, None, again)
    state = replace(state, sequence=state.sequence + 1)
    record = wake_record(
        identity,
        now,
        answers=answers,
        suppressed=None if held is None else held.to_json(),
        actions=actions,
        changes=[change.to_json() for change in draft.changes],
        health=draft.health,
        state=state,
        attempt=None if state.attempt is None else state.attempt.id,
    )
    actions = (*actions, WriteRecord(record_key(record["id"]), record))
    state = replace(state, pending=tuple(action.to_json() for action in actions))
    return Outcome(state, actions, record, answers, held, again, draft.changes)
