from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.policy.windows import BEGINNING, Windows, format_instant, parse_instant

DAY = 86400.0


def section(**changes: Any) -> dict[str, Any]:
    """14 days until a label is known, 7 days of holdout, a gap of 1 day, 90 days of training."""
    base = {"known_after": 14 * DAY, "holdout": 7 * DAY, "gap": DAY, "window": 90 * DAY, "since": None}
    return {**base, **changes}


def test_sliding_windows_count_back_from_what_is_labelled() -> None:
    windows = Windows.at(section(), datetime(2024, 6, 30, 6, tzinfo=UTC))
    assert windows.to_json() == {
        "labelled_until": "2024-06-16T06:00:00Z",
        "train_start": "2024-03-10T06:00:00Z",
        "train_end": "2024-06-08T06:00:00Z",
        "holdout_start": "2024-06-09T06:00:00Z",
        "holdout_end": "2024-06-16T06:00:00Z",
    }


@pytest.mark.parametrize(
    ("since", "start"),
    [
        ("2013-01-01", datetime(2013, 1, 1, tzinfo=UTC)),
        ("2013-01-01T02:00:00+02:00", datetime(2013, 1, 1, tzinfo=UTC)),
        ("2030-01-01", datetime(2024, 6, 8, tzinfo=UTC)),
    ],
)
def test_an_expanding_window_starts_at_since_and_never_after_its_end(since: str, start: datetime) -> None:
    windows = Windows.at(section(window=None, since=since), datetime(2024, 6, 30, tzinfo=UTC))
    assert windows.train_start == start
    assert windows.train_end == datetime(2024, 6, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "holdout_start"),
    [("hash", datetime(2024, 3, 17, 6, tzinfo=UTC)), ("column", BEGINNING), ("source", BEGINNING)],
)
def test_a_fixed_holdout_takes_no_time_from_training(kind: str, holdout_start: datetime) -> None:
    windows = Windows.at(section(holdout=None, holdout_kind=kind), datetime(2024, 6, 30, 6, tzinfo=UTC))
    assert windows.train_end == datetime(2024, 6, 15, 6, tzinfo=UTC)
    assert windows.train_start == datetime(2024, 3, 17, 6, tzinfo=UTC)
    assert (windows.holdout_start, windows.holdout_end) == (holdout_start, datetime(2024, 6, 16, 6, tzinfo=UTC))


def test_without_a_window_training_has_no_start_and_json_says_none() -> None:
    windows = Windows.at(section(holdout=None, holdout_kind="hash", window=None), datetime(2024, 6, 30, tzinfo=UTC))
    assert windows.train_start == windows.holdout_start == BEGINNING
    assert windows.to_json().keys() == {"labelled_until", "train_end", "holdout_end"}


def test_a_wake_in_another_zone_is_the_same_instant() -> None:
    there = datetime(2024, 6, 30, 8, tzinfo=UTC).astimezone(tz=None)
    assert Windows.at(section(), there) == Windows.at(section(), datetime(2024, 6, 30, 8, tzinfo=UTC))


seconds = st.integers(0, 400 * 86400).map(float)
instants = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(seconds, seconds, seconds, st.one_of(seconds, st.dates().map(str)), instants)
def test_windows_are_ordered_and_disjoint(
    known_after: float, holdout: float, gap: float, window: float | str, now: datetime
) -> None:
    sliding = isinstance(window, float)
    windows = Windows.at(
        section(
            known_after=known_after,
            holdout=holdout,
            gap=gap,
            window=window if sliding else None,
            since=None if sliding else window,
        ),
        now,
    )
    assert windows.train_start <= windows.train_end <= windows.holdout_start <= windows.holdout_end
    assert windows.holdout_end == windows.labelled_until == now - timedelta(seconds=known_after)
    assert windows.holdout_start - windows.train_end == timedelta(seconds=gap)


@given(instants)
def test_an_instant_survives_its_text(instant: datetime) -> None:
    assert parse_instant(format_instant(instant)) == instant
