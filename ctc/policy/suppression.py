"""Whether the policy holds back a run that a trigger asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ctc.policy.evidence import Evidence, NewRows, NotEvaluable
from ctc.policy.state import Ended, State
from ctc.policy.windows import format_instant

REARM = "*rearm"
"""The key in `Evidence.new_rows` of the rows that `rearm` counts: new since the last attempt. No trigger has it."""

RESUME = "*resume"
"""The key of the rows that end a hold: new since the rollback."""

_ROUNDING = 1e-12
"""Amounts are decimal, sums of them binary: three runs of 0.10 fit into 0.30."""


@dataclass(frozen=True)
class Limits:
    """`trigger_policy`, `mode` and `cost`. `max_runs` is (count, per).

    `per_run` is what a run reserves, `per_month` what the runs of a calendar month (UTC) may reserve and spend, both in
    the spec's currency. `remember` is how far back other rules look at ended attempts.
    """

    mode: Literal["observe", "recommend", "act"]
    cooldown: timedelta
    max_runs: tuple[int, timedelta] | None
    rearm_rows: int
    rearm_backoff: timedelta
    per_run: float = 0.0
    per_month: float | None = None
    remember: timedelta = timedelta(0)

    @classmethod
    def from_document(cls, section: Mapping[str, Any]) -> Limits:
        """From the section `triggers` of the wake's step document."""
        max_runs, rearm, budget = section["max_runs"], section["rearm"], section.get("budget") or {}
        return cls(
            mode=section["mode"],
            cooldown=timedelta(seconds=section["cooldown"]),
            max_runs=None if max_runs is None else (max_runs["count"], timedelta(seconds=max_runs["per"])),
            rearm_rows=rearm["new_rows"],
            rearm_backoff=timedelta(seconds=rearm["backoff"]),
            per_run=float(budget.get("per_run") or 0.0),
            per_month=budget.get("per_month"),
            remember=timedelta(seconds=section.get("remember", 0.0)),
        )


@dataclass(frozen=True)
class Suppression:
    by: Literal["mode", "hold", "overlap", "max_runs", "cooldown", "rearm", "budget"]
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"by": self.by, "reason": self.reason}


def suppress(
    limits: Limits, state: State, evidence: Evidence, now: datetime, *, exempt: bool, asked: bool = False
) -> Suppression | None:
    """The first rule that holds a run back, None if none does.

    `exempt`: one of the triggers that fired is exempt; `asked`: one of them is a person's request.
    """
    held = _mode(limits) or (None if asked else _hold(state)) or _overlap(state) or _max_runs(limits, state, now)
    if held is not None or exempt:
        return held
    return _cooldown(limits, state, now) or _rearm(limits, state, evidence, now) or over_budget(limits, state, now)


def recent(attempts: tuple[Ended, ...], limits: Limits, now: datetime) -> tuple[Ended, ...]:
    """The ended attempts that a rule may still ask for: within `max_runs.per`, the month, `remember`; and the last."""
    since = now - limits.remember
    if limits.max_runs is not None:
        since = min(since, now - limits.max_runs[1])
    if limits.per_month is not None:
        since = min(since, _month(now) - timedelta(microseconds=1))
    return tuple(ended for ended in attempts[:-1] if ended.instant > since) + attempts[-1:]


def spent(state: State, now: datetime) -> float:
    """What the attempts of this calendar month (UTC) cost; of the live one, what it has reserved."""
    ended = sum(ended.spent for ended in state.attempts if ended.instant >= _month(now))
    return ended + (0.0 if state.attempt is None else state.attempt.reserved)


def _mode(limits: Limits) -> Suppression | None:
    if limits.mode != "observe":
        return None
    return Suppression("mode", "mode is observe: triggers are recorded, nothing is started")


def _hold(state: State) -> Suppression | None:
    if state.hold is None:
        return None
    since = format_instant(state.hold.since)
    return Suppression("hold", f"held since the rollback at {since} ({state.hold.reason}); see `ctc resume`")


def _overlap(state: State) -> Suppression | None:
    if state.attempt is not None:
        return Suppression("overlap", f"attempt {state.attempt.id} is running")
    if state.rollout is not None:
        return Suppression("overlap", f"version {state.rollout.version} is rolling out")
    return None


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
    if not state.attempts or _won(state, state.attempts[-1]):
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
        rows = f"{counted.rows} new {counted.called} since then, {limits.rearm_rows} wanted"
        return Suppression("rearm", f"{promoted_nothing}; {rows}")
    return None


def _won(state: State, last: Ended) -> bool:
    """Whether its candidate is the champion, or may still become it; one that was refused promoted nothing."""
    if last.outcome != "candidate":
        return False
    return any(version is not None and version.attempt == last.id for version in (state.champion, state.candidate))


def over_budget(limits: Limits, state: State, now: datetime) -> Suppression | None:
    """Whether what one more start sets aside exceeds the month; what is live has set aside its own."""
    if limits.per_month is None:
        return None
    used = spent(state, now)
    if used + limits.per_run <= limits.per_month * (1 + _ROUNDING):
        return None
    return Suppression(
        "budget",
        f"{used:g} of {limits.per_month:g} are spent or reserved this month, and a run reserves {limits.per_run:g}",
    )


def _month(now: datetime) -> datetime:
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
