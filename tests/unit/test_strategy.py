"""What each strategy learns: over many attempts none judges on rows that it learnt, nor learns a row too often."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.policy.state import Version
from ctc.policy.strategy import Plan, full_at, plan
from ctc.policy.windows import format_instant

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def section(strategy: str, **more: Any) -> dict[str, Any]:
    found = {
        "known_after": 2 * 3600.0,
        "holdout": 10 * 3600.0,
        "gap": 0.0,
        "window": 40 * 3600.0,
        "since": None,
        "strategy": strategy,
        "replay": 0.0,
        "full_every": 100 * 3600.0 if strategy == "incremental" else None,
    }
    return found | more


def champion(trained_until: dt.datetime, full: dt.datetime | None = None) -> dict[str, Any]:
    document = {
        **dict.fromkeys(("version", "attempt", "uri", "image", "code"), "x"),
        "predict": [],
        "trained_until": format_instant(trained_until),
        "full_at": None if full is None else format_instant(full),
    }
    return Version.from_json(document).to_json()


@pytest.mark.parametrize("strategy", ["full", "fine_tune", "incremental"])
def test_the_first_attempt_trains_in_full(strategy: str) -> None:
    found = plan(section(strategy), None, NOW)

    assert (found.strategy, found.continues) == ("full", False)
    assert found.windows.train_start == found.windows.train_end - 40 * HOUR
    assert bool(found.reason) is (strategy != "full")


def test_new_rows_start_where_the_champion_ended() -> None:
    found = plan(section("fine_tune", replay=0.2), champion(NOW - 30 * HOUR), NOW)

    assert (found.strategy, found.continues, found.replay) == ("fine_tune", True, 0.2)
    assert found.windows.train_start == NOW - 30 * HOUR
    assert found.windows.train_end == NOW - 12 * HOUR
    assert found.replay_from == found.reach.train_start == NOW - 52 * HOUR
    assert plan(section("fine_tune"), champion(NOW - 30 * HOUR), NOW).replay_from is None


def test_after_an_outage_no_row_is_skipped_and_none_is_replayed() -> None:
    found = plan(section("fine_tune", replay=0.2), champion(NOW - 90 * HOUR), NOW)

    assert found.windows.train_start == NOW - 90 * HOUR
    assert found.replay_from is None


def test_a_champion_that_has_learnt_everything_leaves_nothing() -> None:
    found = plan(section("incremental"), champion(NOW - 3 * HOUR, NOW - HOUR), NOW)

    assert found.windows.train_start == found.windows.train_end


@pytest.mark.parametrize(
    ("last", "strategy", "reason"),
    [
        (NOW - 100 * HOUR, "full", "`full_every` has passed"),
        (NOW - 100 * HOUR + dt.timedelta(seconds=1), "incremental", ""),
        (None, "full", "not known"),
    ],
)
def test_a_full_training_is_due_after_full_every(last: dt.datetime | None, strategy: str, reason: str) -> None:
    told = champion(NOW - 20 * HOUR, last)
    found = plan(section("incremental"), told, NOW)

    assert found.strategy == strategy
    assert reason in found.reason
    expected = format_instant(NOW) if strategy == "full" else told["full_at"]
    assert full_at(found.strategy, told, format_instant(NOW)) == expected


def test_an_old_version_can_be_read() -> None:
    document = champion(NOW)
    for name in ("full_at", "prepare", "inputs", "csv", "inputs_schema", "data", "training"):
        del document[name]
    version = Version.from_json(document)

    assert (version.full_at, version.prepare, version.inputs, version.csv) == (None, None, {}, None)
    assert (version.data, version.training) == ("", "")


@dataclass(frozen=True)
class Model:
    """A version, and how often each row went into its weights: one row an hour, known by its hour."""

    document: dict[str, Any]
    learnt: Counter[int]


def rows(start: dt.datetime, end: dt.datetime) -> range:
    """The hours since 2024 of the rows in `[start, end)`."""
    first, last = (-(-(instant - dt.datetime(2024, 1, 1, tzinfo=dt.UTC)) // HOUR) for instant in (start, end))
    return range(first, last)


def trained(found: Plan, base: Model | None, now: dt.datetime) -> Model:
    started = Counter(base.learnt) if base is not None and found.continues else Counter[int]()
    started.update(rows(found.windows.train_start, found.windows.train_end))
    last = full_at(found.strategy, None if base is None else base.document, format_instant(now))
    document = champion(found.windows.train_end)
    return Model({**document, "full_at": last}, started)


@given(
    strategy=st.sampled_from(["full", "fine_tune", "incremental"]),
    steps=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=12),
    gap=st.integers(0, 5),
)
def test_over_attempts_rows_are_judged_before_they_are_learnt_and_learnt_as_often_as_said(
    strategy: str, steps: list[tuple[int, bool]], gap: int
) -> None:
    """Each step waits some hours and trains; it is promoted or held."""
    said, now, holder = section(strategy, gap=gap * 3600.0), NOW, None
    for hours, promoted in steps:
        now += hours * HOUR
        found = plan(said, None if holder is None else holder.document, now)
        contender = trained(found, holder, now)
        judged = set(rows(found.windows.holdout_start, found.windows.holdout_end))
        assert not judged & contender.learnt.keys()
        assert holder is None or not judged & holder.learnt.keys()
        assert max(contender.learnt.values(), default=1) == 1
        if found.continues and holder is not None:
            new = contender.learnt - holder.learnt
            assert set(new) == set(contender.learnt) - set(holder.learnt)
            spans = sorted(contender.learnt)
            assert not spans or spans == list(range(spans[0], spans[-1] + 1))
        else:
            assert sum(contender.learnt.values()) == 40
        holder = contender if promoted else holder
