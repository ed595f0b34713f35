"""The windows of an attempt, from the instant of its wake: half open intervals `[start, end)` of UTC instants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Windows:
    """What a model learns from and what it is judged on.

    `labelled_until` is T, `known_after` before now: the label of every row before it is known. The holdout ends at T,
    training ends a gap before the holdout. A training window that would start after its end is empty.
    """

    labelled_until: datetime
    train_start: datetime
    train_end: datetime
    holdout_start: datetime
    holdout_end: datetime

    @classmethod
    def at(cls, section: Mapping[str, Any], now: datetime) -> Windows:
        """The windows of the `windows` section (durations in seconds, `since` an ISO instant) at `now` (aware)."""
        labelled = labelled_until(section["known_after"], now)
        holdout_start = labelled - timedelta(seconds=section["holdout"])
        train_end = holdout_start - timedelta(seconds=section["gap"])
        if section["window"] is not None:
            train_start = train_end - timedelta(seconds=section["window"])
        else:
            train_start = min(parse_instant(section["since"]), train_end)
        return cls(labelled, train_start, train_end, holdout_start, labelled)

    def to_json(self) -> dict[str, str]:
        return {
            "labelled_until": format_instant(self.labelled_until),
            "train_start": format_instant(self.train_start),
            "train_end": format_instant(self.train_end),
            "holdout_start": format_instant(self.holdout_start),
            "holdout_end": format_instant(self.holdout_end),
        }


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
