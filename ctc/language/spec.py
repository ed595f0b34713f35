"""The spec as frozen types: what `load` returns once the shape is right.

Durations are `timedelta`, sizes are bytes, shares and percentages are fractions in [0, 1]. Every field mirrors the key
of the same name in `schemas/ct.v1.schema.json`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

Role = Literal["rows", "features", "labels"]
Task = Literal["binary", "regression"]


@dataclass(frozen=True)
class Parquet:
    """A Parquet file, a folder of them or a glob; relative paths are relative to the spec's folder."""

    path: str


@dataclass(frozen=True)
class Join:
    to: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    name: str
    role: Role
    parquet: Parquet
    event_time: str | None = None
    known_at: str | None = None
    timezone: str | None = None
    key: tuple[str, ...] = ()
    join: Join | None = None


@dataclass(frozen=True)
class Label:
    source: str
    column: str
    known_after: timedelta
    absent: Literal["negative", "drop", "error"]


@dataclass(frozen=True)
class Columns:
    """`drop` columns reach nobody; `audit` columns reach evaluation only, never train or predict."""

    drop: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """One data check: `kind` and its arguments as they stand in the spec, values in base units."""

    name: str
    kind: Literal["row_count", "null_ratio", "range", "allowed_values", "unique", "freshness"]
    arguments: Mapping[str, Any]
    source: str | None = None
    on_fail: Literal["stop", "warn"] = "stop"


@dataclass(frozen=True)
class Resources:
    cpu: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = 30 * 1024**3


@dataclass(frozen=True)
class Spot:
    checkpoint: timedelta
    max_wait: timedelta


@dataclass(frozen=True)
class Training:
    """The user's code. `argv` and `predict` are lists of words with placeholders, never shell text."""

    code: str
    image: str
    argv: tuple[str, ...]
    predict: tuple[str, ...]
    hyperparameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    seed: int = 0
    resources: Resources = Resources()
    spot: Spot | None = None
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0


@dataclass(frozen=True)
class Holdout:
    time: timedelta
    min_rows: int = 1
    min_positives: int = 0


@dataclass(frozen=True)
class Retraining:
    """What a new model learns from. Exactly one of `window` (sliding) and `since` (expanding, ISO instant) is set."""

    strategy: Literal["full"]
    window: timedelta | None
    since: str | None
    holdout: Holdout
    validation_share: float = 0.0
    gap: timedelta = timedelta(0)
    min_rows: int = 1


@dataclass(frozen=True)
class Metric:
    """A named metric of one kind, e.g. `auc: {roc_auc: {}}`. `better` is the direction in which it improves."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class Slice:
    name: str
    column: str
    min_rows: int = 1


@dataclass(frozen=True)
class Evaluation:
    metrics: tuple[Metric, ...]
    slices: tuple[Slice, ...] = ()


@dataclass(frozen=True)
class Gate:
    """One promotion gate.

    `range`: `min` and/or `max` on the contender's metric, inclusive. `not_worse`: `margin` (absolute, in the worse
    direction) at a one-sided `confidence`. `min_gain`: the lower bound of the gain must exceed `value`.
    """

    name: str
    kind: Literal["range", "not_worse", "min_gain"]
    metric: str
    min: float | None = None
    max: float | None = None
    margin: float | None = None
    value: float | None = None
    confidence: float = 0.975


@dataclass(frozen=True)
class Promotion:
    gates: tuple[Gate, ...]
    prefer: Literal["fresher", "champion"] = "fresher"
    if_not_evaluable: Literal["hold"] = "hold"
    keep: int = 10


@dataclass(frozen=True)
class ScheduleTrigger:
    cron: str
    timezone: str


@dataclass(frozen=True)
class NewDataTrigger:
    min_rows: int
    settle: timedelta = timedelta(0)


@dataclass(frozen=True)
class ManualTrigger:
    pass


@dataclass(frozen=True)
class Trigger:
    name: str
    spec: ScheduleTrigger | NewDataTrigger | ManualTrigger
    enabled: bool = True
    exempt: bool = False


@dataclass(frozen=True)
class MaxRuns:
    count: int
    per: timedelta


@dataclass(frozen=True)
class Rearm:
    """After an attempt that promoted nothing: the new labelled rows, and the time, before a trigger fires again."""

    new_rows: int = 0
    backoff: timedelta = timedelta(0)


@dataclass(frozen=True)
class TriggerPolicy:
    wake_every: timedelta = timedelta(hours=1)
    cooldown: timedelta = timedelta(0)
    max_runs: MaxRuns | None = None
    rearm: Rearm = Rearm()


@dataclass(frozen=True)
class Spec:
    """One model's continuous training, rendered for one environment."""

    name: str
    description: str
    owner: str
    mode: Literal["observe", "act"]
    task: Task
    runtime_image: str
    sources: tuple[Source, ...]
    label: Label
    columns: Columns
    checks: tuple[Check, ...]
    training: Training
    retraining: Retraining
    evaluation: Evaluation
    promotion: Promotion
    triggers: tuple[Trigger, ...]
    trigger_policy: TriggerPolicy
    targets: Mapping[str, Mapping[str, Any]]
    environment: str

    @property
    def rows(self) -> Source:
        """The one source with `role: rows`: the rows that are learnt from and judged on."""
        return next(source for source in self.sources if source.role == "rows")

    @property
    def deployed_name(self) -> str:
        """The name of every mutable resource: suffixed by the environment, unless the spec has none."""
        return self.name if self.environment == "default" else f"{self.name}-{self.environment}"
