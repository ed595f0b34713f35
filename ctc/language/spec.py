"""The spec as frozen types: what `load` returns once the shape is right.

Durations are `timedelta`, latencies seconds, rates events a second, sizes bytes, shares and percentages fractions in
[0, 1]. Every field mirrors the key of the same name in `schemas/ct.v1.schema.json`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from ctc.language.units import Money

Role = Literal["rows", "features", "labels", "predictions"]
Task = Literal["binary", "multiclass", "regression", "ranking", "forecast"]
Scalar = str | int | float | bool

NO_TIME = "none"
"""The `event_time` of data that has no time."""


@dataclass(frozen=True)
class Secret:
    """A secret by its name in the target's store; its value is never part of a spec."""

    secret: str


@dataclass(frozen=True)
class Ranking:
    group: str


@dataclass(frozen=True)
class Forecast:
    """`every` is the step between values, `horizon` how far ahead, `season` the length of a season."""

    series: tuple[str, ...]
    every: timedelta
    horizon: timedelta
    season: timedelta | None = None


@dataclass(frozen=True)
class Parquet:
    """A Parquet file, a folder of them or a glob; relative paths are relative to the spec's folder."""

    path: str


@dataclass(frozen=True)
class Csv:
    path: str
    delimiter: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Captured:
    """Requests and answers that an online server of this spec has kept."""

    by: str


@dataclass(frozen=True)
class Join:
    to: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class Filter:
    """Rows to keep: `kind` and its arguments as they stand in the spec."""

    name: str
    kind: Literal["range", "allowed_values", "pattern", "present"]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class PredictionColumns:
    """What the columns of served rows are called."""

    key: str
    score: str
    model_version: str
    event_time: str


@dataclass(frozen=True)
class Source:
    """Exactly one of `parquet`, `csv` and `captured` is set."""

    name: str
    role: Role
    parquet: Parquet | None = None
    csv: Csv | None = None
    captured: Captured | None = None
    event_time: str | None = None
    known_at: str | None = None
    timezone: str | None = None
    replayable: bool = True
    key: tuple[str, ...] = ()
    keep: tuple[Filter, ...] = ()
    join: Join | None = None
    columns: PredictionColumns | None = None

    @property
    def path(self) -> str | None:
        """Where its files are; None where it has none of its own."""
        files = self.parquet or self.csv
        return None if files is None else files.path


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
class Over:
    """The latest stretch of live rows."""

    source: str
    window: timedelta


@dataclass(frozen=True)
class Check:
    """One data check: `kind` and its arguments as they stand in the spec, values in base units."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    source: str | None = None
    over: Over | None = None
    on_fail: Literal["stop", "warn", "quarantine"] = "stop"


@dataclass(frozen=True)
class Gpu:
    type: str
    count: int = 1


@dataclass(frozen=True)
class Resources:
    cpu: float = 1.0
    memory: int = 2 * 1024**3
    disk: int = 30 * 1024**3
    gpu: Gpu | None = None


@dataclass(frozen=True)
class Spot:
    checkpoint: timedelta
    max_wait: timedelta


@dataclass(frozen=True)
class Distributed:
    nodes: int
    launcher: Literal["torchrun", "mpi"]


@dataclass(frozen=True)
class Input:
    """Files that never change, such as base weights; `digest` is `sha256:` and 64 hexadecimal digits."""

    name: str
    uri: str
    digest: str


@dataclass(frozen=True)
class Prepare:
    """`fit` learns on training rows; `apply` runs before every predict with what that version learnt."""

    fit: tuple[str, ...]
    apply: tuple[str, ...]
    image: str | None = None
    resources: Resources = Resources()
    timeout: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class CsvFormat:
    """What the user's code reads instead of Parquet: a header line, then rows."""

    delimiter: str = ","


@dataclass(frozen=True)
class Training:
    """The user's code. `argv` and `predict` are lists of words with placeholders, never shell text."""

    code: str
    image: str
    argv: tuple[str, ...]
    predict: tuple[str, ...]
    interface: Literal["sagemaker", "vertex", "azureml"] | None = None
    format: CsvFormat | None = None
    inputs: tuple[Input, ...] = ()
    env: Mapping[str, Scalar | Secret] = field(default_factory=dict)
    hyperparameters: Mapping[str, Scalar] = field(default_factory=dict)
    seed: int = 0
    resources: Resources = Resources()
    distributed: Distributed | None = None
    spot: Spot | None = None
    timeout: timedelta = timedelta(hours=1)
    retries: int = 0


@dataclass(frozen=True)
class HashHoldout:
    key: tuple[str, ...]
    share: float
    salt: str = ""


@dataclass(frozen=True)
class ColumnHoldout:
    name: str
    value: Scalar


@dataclass(frozen=True)
class Holdout:
    """Exactly one of `time`, `hash`, `column` and `source` is set; all but `time` are fixed for good."""

    time: timedelta | None = None
    hash: HashHoldout | None = None
    column: ColumnHoldout | None = None
    source: str | None = None
    min_rows: int = 1
    min_positives: int = 0


@dataclass(frozen=True)
class Retraining:
    """What a new model learns from. At most one of `window` (sliding) and `since` (expanding, ISO instant) is set."""

    strategy: Literal["full", "fine_tune", "incremental"]
    holdout: Holdout
    window: timedelta | None = None
    since: str | None = None
    replay: float = 0.0
    full_every: timedelta | None = None
    validation_share: float = 0.0
    gap: timedelta = timedelta(0)
    min_rows: int = 1
    on_deploy: Literal["retrain", "wait"] = "wait"


@dataclass(frozen=True)
class Metric:
    """A named metric of one kind, e.g. `auc: {roc_auc: {}}`. `better` is the direction in which it improves."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    better: Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Slice:
    """A slice for each value of a column, or between `edges` of a number."""

    name: str
    column: str
    edges: tuple[float, ...] = ()
    min_rows: int = 1
    min_positives: int = 0


@dataclass(frozen=True)
class Score:
    """A command that adds columns to each judged row."""

    image: str
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Evaluation:
    metrics: tuple[Metric, ...]
    unit: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    score: Score | None = None


GateKind = Literal["range", "not_worse", "min_gain", "parity", "latency", "model_size", "forgetting"]


@dataclass(frozen=True)
class Gate:
    """One promotion gate.

    `range`: `min` and/or `max` on the contender's metric, inclusive. `not_worse`: `margin` (absolute, in the worse
    direction; with `relative`, a share of the champion's value) at a one-sided `confidence`. `min_gain`: the lower bound
    of the gain must exceed `value`. `parity`: worst slice to best, at least `min_ratio`. `latency`: `p50` and `p99` in
    seconds at `rate` requests a second. `model_size`: `max` in bytes. `forgetting`: `not_worse` on a fixed `source`.
    """

    name: str
    kind: GateKind
    metric: str | None = None
    by: str | None = None
    min: float | None = None
    max: float | None = None
    margin: float | None = None
    relative: bool = False
    value: float | None = None
    min_ratio: float | None = None
    confidence: float = 0.975
    p50: float | None = None
    p99: float | None = None
    rate: float | None = None
    serving: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Approval:
    """Groups of people: one of `any_of` suffices, or each of `all_of` is needed."""

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    expires: timedelta = timedelta(days=7)


@dataclass(frozen=True)
class Occurrences:
    """At most `max` of something within `per`."""

    max: float
    per: timedelta


@dataclass(frozen=True)
class Promotion:
    gates: tuple[Gate, ...]
    prefer: Literal["fresher", "champion"] = "fresher"
    false_promotions: Occurrences | None = None
    first: Approval | None = None
    if_not_evaluable: Literal["hold", "ask"] = "hold"
    approval: Approval | None = None
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
class PerformanceTrigger:
    """`min`, `max`: the allowed range of a live metric; `drop`: how much worse than at promotion it may become."""

    metric: str
    window: timedelta
    min: float | None = None
    max: float | None = None
    drop: float | None = None
    min_rows: int = 1000


DriftMethod = Literal["psi", "jensen_shannon", "ks", "wasserstein", "chi_square", "l_infinity"]


@dataclass(frozen=True)
class DriftTrigger:
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


@dataclass(frozen=True)
class EventTrigger:
    name: str
    dedupe_by: str | None = None
    max_age: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class ManualTrigger:
    pass


TriggerKind = ScheduleTrigger | NewDataTrigger | PerformanceTrigger | DriftTrigger | EventTrigger | ManualTrigger


@dataclass(frozen=True)
class Trigger:
    """`wait_for` is the number of mature rows after a change that a retrain waits for."""

    name: str
    spec: TriggerKind
    enabled: bool = True
    exempt: bool = False
    then: Literal["retrain", "alert", "rollback"] = "retrain"
    sustained: timedelta | None = None
    wait_for: int | None = None


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
    """`resume`: new labelled rows that end the hold after a rollback. `staleness`: the age that raises an alarm."""

    wake_every: timedelta = timedelta(hours=1)
    cooldown: timedelta = timedelta(0)
    max_runs: MaxRuns | None = None
    rearm: Rearm = Rearm()
    resume: int | None = None
    staleness: timedelta | None = None


@dataclass(frozen=True)
class Online:
    image: str
    argv: tuple[str, ...]
    port: int
    health: str
    route: str
    capture: float = 0.0


@dataclass(frozen=True)
class Batch:
    rows: str
    out: str
    schedule: ScheduleTrigger
    write: Literal["append", "replace"] = "append"


@dataclass(frozen=True)
class Instances:
    min: int
    max: int | None = None


@dataclass(frozen=True)
class Serving:
    """Exactly one of `online` and `batch` is set."""

    name: str
    online: Online | None = None
    batch: Batch | None = None
    instances: Instances = Instances(1)
    resources: Resources = Resources()


@dataclass(frozen=True)
class LiveLimit:
    """What must hold of a live model: `kind` and its arguments, values in base units."""

    name: str
    kind: Literal["error_rate", "latency", "drift"]
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Smoke:
    request: str
    status: int = 200


@dataclass(frozen=True)
class RolloutStep:
    """Exactly one of `smoke`, `mirror`, `approval` and `traffic` is set; `duration` is the key `for`."""

    smoke: Smoke | None = None
    mirror: float | None = None
    approval: Approval | None = None
    traffic: float | None = None
    duration: timedelta = timedelta(0)
    by: str | None = None
    gates: tuple[LiveLimit, ...] = ()


@dataclass(frozen=True)
class Rollout:
    steps: tuple[RolloutStep, ...]
    serving: str | None = None
    limits: tuple[LiveLimit, ...] = ()
    keep_previous: timedelta = timedelta(hours=24)


@dataclass(frozen=True)
class Cost:
    currency: str = "USD"
    max_per_run: Money | None = None
    max_per_month: Money | None = None


@dataclass(frozen=True)
class Notification:
    """One channel: `kind` and its arguments, secrets as `Secret`."""

    name: str
    kind: Literal["slack", "teams", "pagerduty", "webhook", "email"]
    arguments: Mapping[str, Any]
    events: tuple[str, ...]


@dataclass(frozen=True)
class Spec:
    """One model's continuous training, rendered for one environment and one row of its matrix.

    `row` is the part of the name that the row gives, or empty. `gaps` are the dotted paths of what this version checks
    and compiles but does not run.
    """

    name: str
    description: str
    owner: str
    mode: Literal["observe", "recommend", "act"]
    task: Task
    runtime_image: str
    sources: tuple[Source, ...]
    label: Label | None
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
    ranking: Ranking | None = None
    forecast: Forecast | None = None
    shared: bool = False
    data_mode: Literal["files", "uri"] = "files"
    prepare: Prepare | None = None
    serving: tuple[Serving, ...] = ()
    rollout: Rollout | None = None
    cost: Cost | None = None
    notifications: tuple[Notification, ...] = ()
    contender_from: str | None = None
    row: str = ""
    gaps: tuple[str, ...] = ()

    @property
    def rows(self) -> Source:
        """The one source with `role: rows`: the rows that are learnt from and judged on."""
        return next(source for source in self.sources if source.role == "rows")

    @property
    def labelled(self) -> Label:
        """The label, where the caller knows that there is one."""
        assert self.label is not None
        return self.label

    @property
    def model_name(self) -> str:
        """The name in every environment: suffixed by the matrix row, where there is one."""
        return f"{self.name}-{self.row}" if self.row else self.name

    @property
    def deployed_name(self) -> str:
        """The name of every mutable resource: suffixed by the environment, unless the spec has none, or shares them."""
        if self.shared or self.environment == "default":
            return self.model_name
        return f"{self.model_name}-{self.environment}"

    def gaps_on(self, target: str) -> tuple[str, ...]:
        """The gaps that matter on one target: those of other targets' sections do not."""
        return tuple(
            path for path in self.gaps if not path.startswith("targets.") or path.startswith(f"targets.{target}.")
        )
