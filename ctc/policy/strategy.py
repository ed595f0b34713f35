"""Where an attempt starts from and which rows it learns (`docs/semantics.md`, Strategies)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ctc.policy.windows import Windows, parse_instant

FULL, FINE_TUNE, INCREMENTAL = "full", "fine_tune", "incremental"


@dataclass(frozen=True)
class Plan:
    """What one attempt does.

    `windows.train_start` is where the new rows start. Of the older rows in `[replay_from, windows.train_start)` the
    share `replay` is learnt again; `replay_from` is None where none are. `reason` says why an attempt of another
    strategy trains in full; it is empty otherwise.
    """

    strategy: str
    windows: Windows
    reason: str = ""
    replay_from: datetime | None = None
    replay: float = 0.0

    @property
    def reach(self) -> Windows:
        """The windows of every row that may be learnt, replayed ones included."""
        return self.windows if self.replay_from is None else replace(self.windows, train_start=self.replay_from)

    @property
    def continues(self) -> bool:
        """Whether training is given the champion's model to start from."""
        return self.strategy != FULL


def plan(section: Mapping[str, Any], champion: Mapping[str, Any] | None, instant: datetime) -> Plan:
    """The plan by the `windows` section, for an attempt that was told of `champion` (JSON of a version, or None)."""
    windows, asked = Windows.at(section, instant), section.get("strategy", FULL)
    if asked == FULL or champion is None:
        return Plan(FULL, windows, "" if asked == FULL else "there is no champion to continue from")
    if asked == INCREMENTAL:
        due = _full_is_due(timedelta(seconds=section["full_every"]), champion.get("full_at"), instant)
        if due:
            return Plan(FULL, windows, due)
    start = min(parse_instant(champion["trained_until"]), windows.train_end)
    new = replace(windows, train_start=start)
    if asked == FINE_TUNE and section["replay"] > 0 and windows.train_start < start:
        return Plan(asked, new, replay_from=windows.train_start, replay=float(section["replay"]))
    return Plan(asked, new)


def full_at(strategy: str, champion: Mapping[str, Any] | None, instant: str) -> str | None:
    """The instant of the last full training in the lineage that this attempt's model belongs to; None if unknown."""
    if strategy == FULL or champion is None:
        return instant
    known: str | None = champion.get("full_at")
    return known


def _full_is_due(every: timedelta, last: str | None, instant: datetime) -> str:
    """Why a full training is due; empty if it is not."""
    if last is None:
        return "it is not known when the champion's lineage was last trained in full"
    if instant - parse_instant(last) >= every:
        return f"the champion's lineage was last trained in full at {last}, and `full_every` has passed"
    return ""
