"""The life of one attempt: started under a lease, started again when its launch died, ended by its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ctc.policy.actions import Action, StartTraining
from ctc.policy.candidates import arrive
from ctc.policy.changes import Draft
from ctc.policy.evidence import Evidence
from ctc.policy.records import Identity, record_id
from ctc.policy.rules import Policy
from ctc.policy.state import Attempt, Ended, State, Version
from ctc.policy.suppression import over_budget, recent
from ctc.policy.windows import Windows, format_instant

MAX_LAUNCHES = 3
"""How often one attempt is started before it is given up. Each start has a lease of its own."""

VERDICTS = ("candidate", "held")
"""The ends that say the machinery works: a model was trained and judged."""


@dataclass(frozen=True)
class Kept:
    """The live attempt after looking at its launch: maybe started again, maybe given up (`lost` says why)."""

    state: State
    actions: tuple[Action, ...] = field(default=())
    lost: str = ""


def end(draft: Draft, evidence: Evidence, policy: Policy, now: datetime) -> Draft:
    """An attempt ends when its record is read, and in no other way."""
    state = draft.state
    attempt, record = state.attempt, evidence.attempt_record
    if attempt is None or record is None or record.get("id") != attempt.id:
        return draft
    ended, candidate = _read_record(attempt, record)
    attempts = recent((*state.attempts, ended), policy.limits, now)
    succeeded = max(filter(None, (state.succeeded, attempt.instant))) if ended.outcome in VERDICTS else state.succeeded
    draft = draft.set(attempt=None, attempts=attempts, succeeded=succeeded)
    return draft if candidate is None else arrive(draft, record, candidate)


def keep(state: State, evidence: Evidence, policy: Policy, now: datetime) -> Kept:
    """Looks after the live attempt, if there is one."""
    attempt = state.attempt
    if attempt is None:
        return Kept(state)
    if now >= attempt.lease_until:
        return Kept(state, lost=f"no record by the end of its lease at {format_instant(attempt.lease_until)}")
    stopped = policy.limits.mode == "observe"
    if evidence.launch == "dead":
        if stopped:
            return Kept(state, lost="it died without a record, and the mode is not to start it again")
        if attempt.launch >= MAX_LAUNCHES:
            return Kept(state, lost=f"started {attempt.launch} times, it died each time without a record")
        held = None if _is_exempt(attempt, policy) else over_budget(policy.limits, state, now)
        if held is not None:
            return Kept(
                state, lost=f"it died without a record, and to start it again would break the budget: {held.reason}"
            )
        again = replace(attempt, launch=attempt.launch + 1, reserved=attempt.reserved + policy.limits.per_run)
        return _launch(state, again, policy, now)
    may_repeat = now + policy.lease <= attempt.instant + MAX_LAUNCHES * policy.lease
    if evidence.launch == "unknown" and not stopped and may_repeat:
        return _launch(state, attempt, policy, now)
    return Kept(state)


def start(
    state: State, triggers: tuple[str, ...], policy: Policy, now: datetime, identity: Identity
) -> tuple[State, StartTraining]:
    """A new attempt holds the lease; what asked for it is answered."""
    labelled = Windows.at(policy.windows, now).labelled_until
    seen = state.watermarks.new_data
    attempt = Attempt(
        id=record_id("attempt", identity, now, triggers, state.sequence + 1),
        instant=now,
        spec_digest=identity.spec_digest,
        triggers=triggers,
        labelled_until=labelled,
        lease_until=now + policy.lease,
        reserved=policy.limits.per_run,
    )
    watermarks = replace(state.watermarks, new_data=labelled if seen is None else max(seen, labelled))
    state = replace(state, attempt=attempt, watermarks=watermarks, trained_as=policy.training)
    return state, _start_training(attempt, state)


def _is_exempt(attempt: Attempt, policy: Policy) -> bool:
    """Whether one of the triggers that asked for it is; one that the spec has no more is not."""
    return any(trigger["exempt"] for trigger in policy.triggers if trigger["name"] in attempt.triggers)


def _launch(state: State, attempt: Attempt, policy: Policy, now: datetime) -> Kept:
    leased = replace(attempt, lease_until=max(attempt.lease_until, now + policy.lease))
    state = replace(state, attempt=leased)
    return Kept(state, (_start_training(leased, state),))


def _start_training(attempt: Attempt, state: State) -> StartTraining:
    champion = state.champion
    request = {
        "version": 1,
        "attempt": attempt.id,
        "instant": format_instant(attempt.instant),
        "triggers": list(attempt.triggers),
        "launch": attempt.launch,
        "champion": None if champion is None else champion.to_json(),
        "baselines": {"champion": None if champion is None else champion.attempt, "fixed": state.first},
        "history": [
            {name: value for name, value in ended.to_json().items() if name != "spent"} for ended in state.attempts
        ],
    }
    return StartTraining(f"{attempt.id}-{attempt.launch}", attempt.id, attempt.launch, request)


def _read_record(attempt: Attempt, record: Mapping[str, Any]) -> tuple[Ended, Version | None]:
    """A record that does not say how the attempt ended, or whose candidate cannot be read, is of a failed attempt."""
    spent = record.get("spent")
    known = isinstance(spent, int | float) and not isinstance(spent, bool) and spent >= 0
    cost = float(spent) if known and spent is not None else attempt.reserved

    def ended(outcome: Any) -> Ended:
        return Ended(attempt.id, attempt.instant, outcome, attempt.labelled_until, cost)

    match record.get("outcome"):
        case "candidate":
            try:
                candidate = Version.from_json(record["candidate"])
            except (KeyError, TypeError, ValueError):
                return ended("failed"), None
            return ended("candidate"), candidate
        case "held" | "stopped" | "lost" as outcome:
            return ended(outcome), None
        case _:
            return ended("failed"), None
