"""How a model is used and takes over, what it may cost, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from typing import Any, Literal

from ctc.language.spec.promotion import Approval
from ctc.language.spec.training import Resources
from ctc.language.spec.triggers import ScheduleTrigger
from ctc.language.units import Money
from ctc.value import Value, frozen


@frozen
class Online(Value):
    image: str
    argv: tuple[str, ...]
    port: int
    health: str
    route: str
    capture: float = 0.0


@frozen
class Batch(Value):
    rows: str
    out: str
    schedule: ScheduleTrigger
    write: Literal["append", "replace"] = "append"


@frozen
class Instances(Value):
    min: int
    max: int | None = None


@frozen
class Serving(Value):
    """Exactly one of `online` and `batch` is set."""

    name: str
    online: Online | None = None
    batch: Batch | None = None
    instances: Instances = field(default_factory=lambda: Instances(1))
    resources: Resources = field(default_factory=Resources)


@frozen
class LiveLimit(Value):
    """What must hold of a live model: `kind` and its arguments, values in base units."""

    name: str
    kind: Literal["error_rate", "latency", "drift"]
    arguments: Mapping[str, Any]


@frozen
class Smoke(Value):
    request: str
    status: int = 200


@frozen
class RolloutStep(Value):
    """Exactly one of `smoke`, `mirror`, `approval` and `traffic` is set; `duration` is the key `for`."""

    smoke: Smoke | None = None
    mirror: float | None = None
    approval: Approval | None = None
    traffic: float | None = None
    duration: timedelta = timedelta(0)
    by: str | None = None
    gates: tuple[LiveLimit, ...] = ()


@frozen
class Rollout(Value):
    steps: tuple[RolloutStep, ...]
    serving: str | None = None
    limits: tuple[LiveLimit, ...] = ()
    keep_previous: timedelta = timedelta(hours=24)


@frozen
class Durations(Value):
    """How long things usually take; None where the spec does not say."""

    wake: timedelta | None = None
    ours: timedelta | None = None
    prepare: timedelta | None = None
    train: timedelta | None = None
    predict: timedelta | None = None
    measure: timedelta | None = None
    batch: timedelta | None = None


@frozen
class Cost(Value):
    """`durations` and `storage` (bytes) decide nothing: estimates are made of them."""

    currency: str = "USD"
    max_per_run: Money | None = None
    max_per_month: Money | None = None
    durations: Durations = field(default_factory=Durations)
    storage: int | None = None


@frozen
class Notification(Value):
    """One channel: `kind` and its arguments, secrets as `Secret`."""

    name: str
    kind: Literal["slack", "teams", "pagerduty", "webhook", "email"]
    arguments: Mapping[str, Any]
    events: tuple[str, ...]
