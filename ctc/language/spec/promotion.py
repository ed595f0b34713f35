"""What is measured, and what a model must prove."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from ctc.value import Value, frozen


@frozen
class Metric(Value):
    """A named metric of one kind, e.g. `auc: {roc_auc: {}}`. `better` is the direction in which it improves."""

    name: str
    kind: str
    arguments: Mapping[str, Any]
    better: Literal["higher", "lower", "neither"]


@frozen
class Slice(Value):
    """A slice for each value of a column, or between `edges` of a number."""

    name: str
    column: str
    edges: tuple[float, ...] = ()
    min_rows: int = 1
    min_positives: int = 0


@frozen
class Score(Value):
    """A command that adds columns to each judged row."""

    image: str
    argv: tuple[str, ...]


@frozen
class Evaluation(Value):
    metrics: tuple[Metric, ...]
    unit: tuple[str, ...] = ()
    slices: tuple[Slice, ...] = ()
    score: Score | None = None


GateKind = Literal["range", "not_worse", "min_gain", "parity", "latency", "model_size", "forgetting", "expression"]


@frozen
class Gate(Value):
    """One promotion gate.

    `range`: `min` and/or `max` on the contender's metric, inclusive. `not_worse`: `margin` (absolute, in the worse
    direction; with `relative`, a share of the champion's value) at a one-sided `confidence`. `min_gain`: the lower
    bound of the gain must exceed `value`. `parity`: worst slice to best, at least `min_ratio`. `latency`: `p50` and
    `p99` in seconds at `rate` requests a second. `model_size`: `max` in bytes. `forgetting`: `not_worse` on a fixed
    `source`. `expression`: `that` compares metrics.
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
    that: str | None = None


@frozen
class Approval(Value):
    """Groups of people: one of `any_of` suffices, or each of `all_of` is needed."""

    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    expires: timedelta = timedelta(days=7)


@frozen
class Occurrences(Value):
    """At most `max` of something within `per`."""

    max: float
    per: timedelta


@frozen
class Promotion(Value):
    gates: tuple[Gate, ...]
    prefer: Literal["fresher", "champion"] = "fresher"
    false_promotions: Occurrences | None = None
    first: Approval | None = None
    if_not_evaluable: Literal["hold", "ask"] = "hold"
    approval: Approval | None = None
    keep: int = 10
