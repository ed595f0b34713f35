"""When a run starts, and what holds it back."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from ctc.language.spec.promotion import Occurrences
from ctc.value import Value, frozen


@frozen
class ScheduleTrigger(Value):
    cron: str
    timezone: str


@frozen
class NewDataTrigger(Value):
    min_rows: int
    settle: timedelta = timedelta(0)


@frozen
class PerformanceTrigger(Value):
    """`min`, `max`: the allowed range of a live metric; `drop`: how much worse than at promotion it may become."""

    metric: str
    window: timedelta
    min: float | None = None
    max: float | None = None
    drop: float | None = None
    min_rows: int = 1000


DriftMethod = Literal["psi", "jensen_shannon", "ks", "wasserstein", "chi_square", "l_infinity"]


@frozen
class DriftTrigger(Value):
    """`require` is `any`, `all`, or the share of the columns that must drift. The line is `max`, or calibrated."""

    columns: tuple[str, ...]
    method: DriftMethod
    window: timedelta
    source: str | None = None
    max: float | None = None
    baseline: Literal["champion", "season", "fixed"] = "champion"
    require: str | float = "any"
    min_rows: int = 1000
    false_alarms: Occurrences | None = None


@frozen
class EventTrigger(Value):
    name: str
    dedupe_by: str | None = None
    max_age: timedelta = timedelta(hours=1)


@frozen
class ManualTrigger(Value):
    pass


TriggerKind = ScheduleTrigger | NewDataTrigger | PerformanceTrigger | DriftTrigger | EventTrigger | ManualTrigger


@frozen
class Trigger(Value):
    """`wait_for` is the number of mature rows after a change that a retrain waits for."""

    name: str
    spec: TriggerKind
    enabled: bool = True
    exempt: bool = False
    then: Literal["retrain", "alert", "rollback"] = "retrain"
    sustained: timedelta | None = None
    wait_for: int | None = None


@frozen
class MaxRuns(Value):
    count: int
    per: timedelta


@frozen
class Rearm(Value):
    """After an attempt that promoted nothing: the new labelled rows, and the time, before a trigger fires again."""

    new_rows: int = 0
    backoff: timedelta = timedelta(0)


@frozen
class TriggerPolicy(Value):
    """`resume`: new labelled rows that end the hold after a rollback. `staleness`: the age that raises an alarm."""

    wake_every: timedelta = timedelta(hours=1)
    cooldown: timedelta = timedelta(0)
    max_runs: MaxRuns | None = None
    rearm: Rearm = Rearm()
    resume: int | None = None
    staleness: timedelta | None = None
