"""The whole controller: `step(state, evidence, policy, now, identity)`, pure and total.

The caller (a wake) writes `Outcome.state` by compare-and-set, applies `Outcome.actions`, then writes `applied(state)`.
A crash anywhere between leaves actions in `state.pending`; the next wake's `step` hands them back before it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ctc import __version__
from ctc.diagnostics import CtcError
from ctc.policy.actions import Action, Promote, StartTraining, WriteRecord, action_from_json
from ctc.policy.evidence import Evidence, Manual, NewRows, NotEvaluable, RowsQuestion
from ctc.policy.records import Identity, lost_record, record_id, record_key, wake_record
from ctc.policy.state import Attempt, Ended, State, Version, Watermarks, applied
from ctc.policy.suppression import REARM, Limits, Suppression, recent, suppress
from ctc.policy.triggers import Answer, evaluate, schedule_watermark
from ctc.policy.windows import Windows, format_instant, labelled_until

__all__ = [
    "Evidence",
    "Identity",
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

MAX_LAUNCHES = 3
"""How often one attempt is started before it is given up. Each start has a lease of its own."""

_MANUAL_IDS = 100


class PastInstant(CtcError):
    """A wake at an instant before the last wake's: the past has been decided."""


@dataclass(frozen=True)
class Policy:
    """What the controller decides by. `windows` is the step document's section, `triggers` its enabled entries."""

    triggers: tuple[Mapping[str, Any], ...]
    limits: Limits
    windows: Mapping[str, Any]
    lease: timedelta
    known_after: float

    @classmethod
    def from_document(cls, policy: Mapping[str, Any]) -> Policy:
        """From the `policy` of the wake's step document."""
        section = policy["triggers"]
        max_runs, rearm = section["max_runs"], section["rearm"]
        limits = Limits(
            mode=section["mode"],
            cooldown=timedelta(seconds=section["cooldown"]),
            max_runs=None if max_runs is None else (max_runs["count"], timedelta(seconds=max_runs["per"])),
            rearm_rows=rearm["new_rows"],
            rearm_backoff=timedelta(seconds=rearm["backoff"]),
        )
        return cls(
            triggers=tuple(trigger for trigger in section["triggers"] if trigger["enabled"]),
            limits=limits,
            windows=policy["windows"],
            lease=timedelta(seconds=section["lease"]),
            known_after=policy["windows"]["known_after"],
        )


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


@dataclass(frozen=True)
class _Kept:
    """The live attempt after looking at its launch: maybe started again, maybe given up (`lost` says why)."""

    state: State
    actions: tuple[Action, ...] = field(default=())
    lost: str = ""


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
    if policy.limits.rearm_rows > 0 and watermark is not None:
        asked.append(RowsQuestion(REARM, start, end, now))
    return tuple(asked)


def projection(state: State) -> Promote | None:
    """The alias as the state has it. Applying it at the end of every wake repairs what a slower wake left behind."""
    return None if state.champion is None else _promotion(state.champion)


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
    state, promoted = _promote(_end(replace(state, last_wake=now), evidence, policy, now), policy)
    kept = _keep(state, evidence, policy, now)
    if kept.lost:
        return _give_up(kept, promoted, identity, now)
    return _answer_triggers(kept.state, (*promoted, *kept.actions), evidence, policy, now, identity)


def _owed(state: State, policy: Policy, now: datetime) -> Outcome:
    """Hands back what an earlier wake decided. A training that starts only now holds the lease from now."""
    actions = tuple(action_from_json(action) for action in state.pending)
    attempt = state.attempt
    if attempt is not None and any(isinstance(action, StartTraining) for action in actions):
        renewed = replace(attempt, lease_until=max(attempt.lease_until, now + policy.lease))
        if renewed != attempt:
            state = replace(state, attempt=renewed, last_wake=now, revision=state.revision + 1)
    return Outcome(state, actions, again=True)


def _end(state: State, evidence: Evidence, policy: Policy, now: datetime) -> State:
    """An attempt ends when its record is read, and in no other way."""
    attempt, record = state.attempt, evidence.attempt_record
    if attempt is None or record is None or record.get("id") != attempt.id:
        return state
    ended, candidate = _read_record(attempt, record)
    attempts = recent((*state.attempts, ended), policy.limits, now)
    return replace(state, attempt=None, attempts=attempts, candidate=candidate or state.candidate)


def _read_record(attempt: Attempt, record: Mapping[str, Any]) -> tuple[Ended, Version | None]:
    """A record that does not say how the attempt ended, or whose candidate cannot be read, is of a failed attempt."""
    match record.get("outcome"):
        case "candidate":
            try:
                candidate = Version.from_json(record["candidate"])
            except (KeyError, TypeError, ValueError):
                return Ended(attempt.id, attempt.instant, "failed"), None
            return Ended(attempt.id, attempt.instant, "candidate"), candidate
        case "held" | "stopped" | "lost" as outcome:
            return Ended(attempt.id, attempt.instant, outcome), None
        case _:
            return Ended(attempt.id, attempt.instant, "failed"), None


def _promote(state: State, policy: Policy) -> tuple[State, tuple[Action, ...]]:
    """A candidate becomes the champion, unless the mode says to touch nothing; then it waits."""
    candidate, champion = state.candidate, state.champion
    if candidate is None or policy.limits.mode != "act":
        return state, ()
    if champion is not None and champion.version == candidate.version:
        return replace(state, candidate=None), ()
    return replace(state, champion=candidate, previous=champion, candidate=None), (_promotion(candidate),)


def _promotion(version: Version) -> Promote:
    return Promote(f"promote-{version.attempt}-{version.version}", version.version)


def _keep(state: State, evidence: Evidence, policy: Policy, now: datetime) -> _Kept:
    attempt = state.attempt
    if attempt is None:
        return _Kept(state)
    if now >= attempt.lease_until:
        return _Kept(state, lost=f"no record by the end of its lease at {format_instant(attempt.lease_until)}")
    if evidence.launch == "dead":
        if policy.limits.mode != "act":
            return _Kept(state, lost="it died without a record, and the mode is not to start it again")
        if attempt.launch >= MAX_LAUNCHES:
            return _Kept(state, lost=f"started {attempt.launch} times, it died each time without a record")
        return _launch(state, replace(attempt, launch=attempt.launch + 1), policy, now)
    may_repeat = now + policy.lease <= attempt.instant + MAX_LAUNCHES * policy.lease
    if evidence.launch == "unknown" and policy.limits.mode == "act" and may_repeat:
        return _launch(state, attempt, policy, now)
    return _Kept(state)


def _launch(state: State, attempt: Attempt, policy: Policy, now: datetime) -> _Kept:
    leased = replace(attempt, lease_until=max(attempt.lease_until, now + policy.lease))
    return _Kept(replace(state, attempt=leased), (_start_training(leased, state.champion),))


def _start_training(attempt: Attempt, champion: Version | None) -> StartTraining:
    request = {
        "version": 1,
        "attempt": attempt.id,
        "instant": format_instant(attempt.instant),
        "triggers": list(attempt.triggers),
        "launch": attempt.launch,
        "champion": None if champion is None else champion.to_json(),
    }
    return StartTraining(f"{attempt.id}-{attempt.launch}", attempt.id, attempt.launch, request)


def _give_up(kept: _Kept, actions: tuple[Action, ...], identity: Identity, now: datetime) -> Outcome:
    """Writes the record of a lost attempt. If the attempt has written its own meanwhile, that one stands."""
    assert kept.state.attempt is not None
    attempt = kept.state.attempt
    record = lost_record(identity, attempt, kept.state, kept.lost, __version__)
    actions = (*actions, WriteRecord(record_key(attempt.id), record))
    return _close(kept.state, actions, (), None, now, identity, again=True)


def _answer_triggers(
    state: State, actions: tuple[Action, ...], evidence: Evidence, policy: Policy, now: datetime, identity: Identity
) -> Outcome:
    answers = tuple(evaluate(trigger, state, evidence, now) for trigger in policy.triggers)
    fired = {answer.name for answer in answers if answer.answer == "fired"}
    answers = (*answers, *_unheard(evidence, policy))
    exempt = any(trigger["exempt"] for trigger in policy.triggers if trigger["name"] in fired)
    held = suppress(policy.limits, state, evidence, now, exempt=exempt) if fired else None
    started = bool(fired) and held is None
    remembered = fired if held is not None and held.by != "mode" else set()
    state = replace(
        state, watermarks=_settle(state, policy, now, remembered), manual=_answered(state, evidence, answers)
    )
    if started:
        state, start = _start(state, tuple(a.name for a in answers if a.name in fired), policy, now, identity)
        actions = (*actions, start)
    return _close(state, actions, answers, held, now, identity)


def _unheard(evidence: Evidence, policy: Policy) -> tuple[Answer, ...]:
    if evidence.manual is None or any(trigger["kind"] == "manual" for trigger in policy.triggers):
        return ()
    return (Answer("manual", "manual", "quiet", "a run was asked for, but no manual trigger is enabled"),)


def _settle(state: State, policy: Policy, now: datetime, remembered: set[str]) -> Watermarks:
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
    return (*state.manual, evidence.manual.id)[-_MANUAL_IDS:]


def _start(
    state: State, triggers: tuple[str, ...], policy: Policy, now: datetime, identity: Identity
) -> tuple[State, StartTraining]:
    labelled = Windows.at(policy.windows, now).labelled_until
    seen = state.watermarks.new_data
    attempt = Attempt(
        id=record_id("attempt", identity, now, triggers, state.sequence + 1),
        instant=now,
        spec_digest=identity.spec_digest,
        triggers=triggers,
        labelled_until=labelled,
        lease_until=now + policy.lease,
    )
    watermarks = replace(state.watermarks, new_data=labelled if seen is None else max(seen, labelled))
    return replace(state, attempt=attempt, watermarks=watermarks), _start_training(attempt, state.champion)


def _close(
    state: State,
    actions: tuple[Action, ...],
    answers: tuple[Answer, ...],
    held: Suppression | None,
    now: datetime,
    identity: Identity,
    *,
    again: bool = False,
) -> Outcome:
    """Numbers the write, adds the wake's record if it acted or was suppressed, and puts the actions into the outbox."""
    state = replace(state, revision=state.revision + 1)
    if not actions and held is None:
        return Outcome(state, (), None, answers, None, again)
    state = replace(state, sequence=state.sequence + 1)
    record = wake_record(
        identity,
        now,
        answers=answers,
        suppressed=None if held is None else held.to_json(),
        actions=actions,
        state=state,
        attempt=None if state.attempt is None else state.attempt.id,
    )
    actions = (*actions, WriteRecord(record_key(record["id"]), record))
    state = replace(state, pending=tuple(action.to_json() for action in actions))
    return Outcome(state, actions, record, answers, held, again)
