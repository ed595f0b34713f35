"""Whether the policy holds back a run that a trigger asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from ctc.policy.evidence import Evidence, NewRows, NotEvaluable
from ctc.policy.state import Ended, State
from ctc.policy.windows import format_instant

REARM = "*rearm"
"""The key in `Evidence.new_rows` of the rows that `rearm` counts: new since the last attempt. No trigger has it."""


@dataclass(frozen=True)
class Limits:
    """`trigger_policy` and `mode`. `max_runs` is (count, per)."""

    mode: Literal["observe", "act"]
    cooldown: timedelta
    max_runs: tuple[int, timedelta] | None
    rearm_rows: int
    rearm_backoff: timedelta


@dataclass(frozen=True)
class Suppression:
    by: Literal["mode", "overlap", "max_runs", "cooldown", "rearm"]
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"by": self.by, "reason": self.reason}


def suppress(limits: Limits, state: State, evidence: Evidence, now: datetime, *, exempt: bool) -> Suppression | None:
    """The first rule that holds a run back, None if none does. `exempt`: one of the triggers that fired is exempt."""
    held = _mode(limits) or _overlap(state) or _max_runs(limits, state, now)
    if held is not None or exempt:
        return held
    return _cooldown(limits, state, now) or _rearm(limits, state, evidence, now)


def recent(attempts: tuple[Ended, ...], limits: Limits, now: datetime) -> tuple[Ended, ...]:
    """The ended attempts that a rule may still ask for: those within `max_runs.per`, and always the last."""
    if limits.max_runs is None:
        return attempts[-1:]
    since = now - limits.max_runs[1]
    return tuple(ended for ended in attempts[:-1] if ended.instant > since) + attempts[-1:]


def _mode(limits: Limits) -> Suppression | None:
    if limits.mode == "act":
        return None
    return Suppression("mode", f"mode is {limits.mode}: triggers are recorded, nothing is started")


def _overlap(state: State) -> Suppression | None:
    if state.attempt is None:
        return None
    return Suppression("overlap", f"attempt {state.attempt.id} is running")


def _max_runs(limits: Limits, state: State, now: datetime) -> Suppression | None:
    if limits.max_runs is None:
        return None
    count, per = limits.max_runs
    within = [ended for ended in state.attempts if ended.instant > now - per]
    if len(within) < count:
        return None
    free = sorted(ended.instant for ended in within)[len(within) - count] + per
    return Suppression(
        "max_runs", f"{len(within)} attempts since {format_instant(now - per)}; free at {format_instant(free)}"
    )


def _cooldown(limits: Limits, state: State, now: datetime) -> Suppression | None:
    if not state.attempts:
        return None
    over = state.attempts[-1].instant + limits.cooldown
    if now >= over:
        return None
    return Suppression("cooldown", f"the last attempt is too recent; over at {format_instant(over)}")


def _rearm(limits: Limits, state: State, evidence: Evidence, now: datetime) -> Suppression | None:
    if not state.attempts or state.attempts[-1].outcome == "candidate":
        return None
    last = state.attempts[-1]
    armed = last.instant + limits.rearm_backoff
    promoted_nothing = f"attempt {last.id} promoted nothing ({last.outcome})"
    if now < armed:
        return Suppression("rearm", f"{promoted_nothing}; not again before {format_instant(armed)}")
    if limits.rearm_rows == 0:
        return None
    counted: NewRows | NotEvaluable = evidence.new_rows.get(REARM, NotEvaluable("the rows were not counted"))
    if isinstance(counted, NotEvaluable):
        return Suppression("rearm", f"{promoted_nothing}; new rows since then: not evaluable ({counted.reason})")
    if counted.rows < limits.rearm_rows:
        rows = f"{counted.rows} new labelled rows since then, {limits.rearm_rows} wanted"
        return Suppression("rearm", f"{promoted_nothing}; {rows}")
    return None
