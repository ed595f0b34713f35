"""The spec as frozen types: what `load` returns once the shape is right.

Durations are `timedelta`, latencies seconds, rates events a second, sizes bytes, shares and percentages fractions in
[0, 1]. Every field mirrors the key of the same name in `schemas/ct.v1.schema.json`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ctc.language.spec.data import (
    NO_TIME,
    Captured,
    Check,
    Columns,
    Csv,
    Filter,
    Join,
    Label,
    Over,
    Parquet,
    PredictionColumns,
    Role,
    Source,
)
from ctc.language.spec.promotion import (
    Approval,
    Evaluation,
    Gate,
    GateKind,
    Metric,
    Occurrences,
    Promotion,
    Score,
    Slice,
)
from ctc.language.spec.training import (
    ColumnHoldout,
    CsvFormat,
    Distributed,
    Gpu,
    HashHoldout,
    Holdout,
    Input,
    Prepare,
    Resources,
    Retraining,
    Scalar,
    Secret,
    Spot,
    Training,
)
from ctc.language.spec.triggers import (
    DriftMethod,
    DriftTrigger,
    EventTrigger,
    ManualTrigger,
    MaxRuns,
    NewDataTrigger,
    PerformanceTrigger,
    Rearm,
    ScheduleTrigger,
    Trigger,
    TriggerKind,
    TriggerPolicy,
)
from ctc.value import Value, frozen

if TYPE_CHECKING:
    # Most specs do not serve: whoever needs these types imports them from their module.
    from ctc.language.spec.serving import Cost, Notification, Rollout, Serving

Task = Literal["binary", "multiclass", "regression", "ranking", "forecast"]


@frozen
class Ranking(Value):
    group: str


@frozen
class Forecast(Value):
    """`every` is the step between values, `horizon` how far ahead, `season` the length of a season."""

    series: tuple[str, ...]
    every: timedelta
    horizon: timedelta
    season: timedelta | None = None


@frozen
class Spec(Value):
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


__all__ = [
    "NO_TIME",
    "Approval",
    "Captured",
    "Check",
    "ColumnHoldout",
    "Columns",
    "Csv",
    "CsvFormat",
    "Distributed",
    "DriftMethod",
    "DriftTrigger",
    "Evaluation",
    "EventTrigger",
    "Filter",
    "Forecast",
    "Gate",
    "GateKind",
    "Gpu",
    "HashHoldout",
    "Holdout",
    "Input",
    "Join",
    "Label",
    "ManualTrigger",
    "MaxRuns",
    "Metric",
    "NewDataTrigger",
    "Occurrences",
    "Over",
    "Parquet",
    "PerformanceTrigger",
    "PredictionColumns",
    "Prepare",
    "Promotion",
    "Ranking",
    "Rearm",
    "Resources",
    "Retraining",
    "Role",
    "Scalar",
    "ScheduleTrigger",
    "Score",
    "Secret",
    "Slice",
    "Source",
    "Spec",
    "Spot",
    "Task",
    "Training",
    "Trigger",
    "TriggerKind",
    "TriggerPolicy",
]
