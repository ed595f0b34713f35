"""Forecasts: the origin from which each row is forecast, and the history that was known there.

Origins lie a horizon apart, on a grid through the start of a holdout in time, or through T where the holdout is fixed.
A row is forecast from the last origin at or before it, and features are those known at that origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from ctc.policy.windows import Windows
from ctc.steps import engine
from ctc.steps.holdouts import microseconds
from ctc.steps.joins import DEADLINE, EVENT_TIME, ORIGIN

STEP = "horizon"
"""The column that says how many steps after its origin a row is: 1 for the first."""

KNOWN_FROM = "_ctc_known_from"
"""The first origin at which a row and its label are known."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@ibis.udf.scalar.builtin(name="make_timestamptz", signature=(("int64",), engine.INSTANT))  # type: ignore[untyped-decorator]
def _instant(microseconds: int) -> datetime:  # type: ignore[empty-body]
    """The instant so many microseconds after 1970 began in UTC."""


def placed(rows: Any, forecast: Mapping[str, Any], windows: Windows, known_at: str | None) -> Any:
    """`rows` with their origin, their step, and the first origin that knows them. They have event time and deadline."""
    horizon, every = _whole(forecast["horizon"]), _whole(forecast["every"])
    anchor = _since_epoch(_anchor(windows))
    event = microseconds(rows[EVENT_TIME])
    after = _beyond(event - anchor, horizon)
    known = microseconds(rows[DEADLINE])
    if known_at is not None:
        known = ibis.greatest(known, microseconds(rows[known_at]))
    return rows.mutate(
        **{
            ORIGIN: _instant(event - after),
            STEP: (after - after % every) // every + 1,
            KNOWN_FROM: _instant(known + _beyond(anchor - known, horizon)),
        }
    )


def history(rows: Any, forecast: Mapping[str, Any], windows: Windows, columns: list[str]) -> Any:
    """The rows known at one of the judged origins; their column `origin` is the first that knows them."""
    horizon = _whole(forecast["horizon"])
    anchor, end = _since_epoch(_anchor(windows)), _since_epoch(windows.holdout_end)
    last = end - 1 - (end - 1 - anchor) % horizon
    known = rows.filter(rows[KNOWN_FROM] <= engine.literal(_EPOCH + timedelta(microseconds=last)))
    return known.select(*columns, **{ORIGIN: known[KNOWN_FROM]})


def _anchor(windows: Windows) -> datetime:
    return windows.holdout_start if windows.kind == "time" else windows.labelled_until


def _beyond(distance: Any, step: int) -> Any:
    """How far a distance is beyond the last whole step below it; never negative, as the engine's own remainder is."""
    return (distance % step + step) % step


def _whole(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _since_epoch(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
