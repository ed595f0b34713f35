"""How long a step takes: what records tell, else what the spec states; at worst as long as the service lets it."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from statistics import fmean
from typing import TYPE_CHECKING

from ctc.compiler.hire import Hire
from ctc.compiler.ir import Pipeline, Runs, Step
from ctc.cost.amounts import Amount, Range, exactly, unknown
from ctc.value import Value, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ctc.language.spec import Spec

HOUR = timedelta(hours=1)

LEAST_SPAN = timedelta(days=14)
"""Over less time than this, how often attempts were made says nothing about a month."""


@frozen
class Recorded(Value):
    """What past runs tell: the seconds of each step that ended well, by (kind of pipeline, step), and when attempts
    were started.
    """

    seconds: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    attempts: tuple[datetime, ...] = ()

    @property
    def attempts_per_year(self) -> float | None:
        """None where there are too few, or over too short a time."""
        if len(self.attempts) < 3:
            return None
        span = max(self.attempts) - min(self.attempts)
        return (len(self.attempts) - 1) * (timedelta(days=365) / span) if span >= LEAST_SPAN else None


@frozen
class Time(Value):
    """The hours of one step, and where they come from."""

    hours: Range
    basis: str


def time_of(spec: Spec, pipeline: Pipeline, step: Step, hire: Hire, recorded: Recorded) -> Time:
    """`low` is of a step that runs; whether it does is another question."""
    most = exactly(hire.most / HOUR)
    seen = recorded.seconds.get((pipeline.kind, step.name), ())
    if seen:
        least, mean, longest = (exactly(value / 3600) for value in (min(seen), fmean(seen), max(seen)))
        times = f"{len(seen)} recorded time{'s' if len(seen) > 1 else ''}"
        return Time(
            Range(least, mean, max(most, longest, key=_known)),
            f"{times}, on the machine where it ran; at worst its timeout",
        )
    key = stated_as(pipeline, step)
    stated: timedelta | None = None if spec.cost is None else getattr(spec.cost.durations, key)
    if stated is not None:
        usual = exactly(stated / HOUR)
        return Time(
            Range(usual, usual, max(most, usual, key=_known)), f"stated as cost.durations.{key}; at worst its timeout"
        )
    lack = unknown(f"how long `{key}` takes (cost.durations.{key}, or --records)")
    return Time(Range(lack, lack, most), "its timeout, all tries; how long it usually takes is not stated")


def stated_as(pipeline: Pipeline, step: Step) -> str:
    """The key of `cost.durations` that tells of a step."""
    if pipeline.kind == "wake":
        return "wake"
    if step.runs is Runs.RUNTIME:
        return "ours"
    if pipeline.kind != "train":
        return "batch"
    if step.name in ("prepare", "train"):
        return step.name
    return "measure" if step.name.startswith("measure-") else "predict"


def _known(amount: Amount) -> float:
    return amount.known
