"""The windows of an attempt, from the instant of its wake: half open intervals `[start, end)` of UTC instants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

HoldoutKind = Literal["time", "hash", "column", "source"]

BEGINNING = datetime.min.replace(tzinfo=UTC)
"""The start of an interval that has none; JSON leaves it out."""


@dataclass(frozen=True)
class Windows:
    """What a model learns from and what it is judged on.

    `labelled_until` is T, `known_after` before now: the label of every row before it is known. A holdout in time ends
    at T, and training ends a gap before it. The other holdouts are fixed: training ends a gap before T, without their
    rows; a share of keys judges on the stretch from the start of training to T, a column or a source on all of its
    rows before T. A training window that would start after its end is empty; without one it has no start.
    """

    labelled_until: datetime
    train_start: datetime
    train_end: datetime
    holdout_start: datetime
    holdout_end: datetime
    kind: HoldoutKind = "time"

    @classmethod
    def at(cls, section: Mapping[str, Any], now: datetime) -> Windows:
        """The windows of the `windows` section (durations in seconds, `since` an ISO instant) at `now` (aware)."""
        labelled = labelled_until(section["known_after"], now)
        kind: HoldoutKind = section.get("holdout_kind", "time")
        held = timedelta(seconds=section["holdout"] or 0) if kind == "time" else timedelta(0)
        train_end = labelled - held - timedelta(seconds=section["gap"])
        train_start = _start(section, train_end)
        starts = {"time": labelled - held, "hash": train_start}
        return cls(labelled, train_start, train_end, starts.get(kind, BEGINNING), labelled, kind)

    def to_json(self) -> dict[str, str]:
        """The instants, without those of intervals that have no start."""
        instants = {
            "labelled_until": self.labelled_until,
            "train_start": self.train_start,
            "train_end": self.train_end,
            "holdout_start": self.holdout_start,
            "holdout_end": self.holdout_end,
        }
        return {name: format_instant(instant) for name, instant in instants.items() if instant != BEGINNING}


def _start(section: Mapping[str, Any], train_end: datetime) -> datetime:
    if section["window"] is not None:
        return train_end - timedelta(seconds=section["window"])
    return BEGINNING if section["since"] is None else min(parse_instant(section["since"]), train_end)


def labelled_until(known_after: float, now: datetime) -> datetime:
    """T: rows before it have their label. `known_after` in seconds."""
    return now.astimezone(UTC) - timedelta(seconds=known_after)


def parse_instant(text: str) -> datetime:
    """An ISO date or instant as UTC; one without an offset is UTC. ValueError for anything else."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def format_instant(instant: datetime) -> str:
    """ISO with `Z`: `2013-03-10T06:00:00Z`; microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
