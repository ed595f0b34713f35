"""The truth tables of the triggers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctc.policy.evidence import Evidence, Manual, NewRows, NotEvaluable
from ctc.policy.state import State, Watermarks
from ctc.policy.triggers import evaluate

SIX = datetime(2024, 6, 1, 6, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def trigger(kind: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "it", "kind": kind, "enabled": True, "exempt": False, **arguments}


DAILY = trigger("schedule", cron="0 6 * * *", timezone="UTC")


@pytest.mark.parametrize(
    ("settled", "now", "answer", "due"),
    [
        pytest.param(None, SIX, "fired", "2024-06-01T06:00:00Z", id="first wake, on the instant"),
        pytest.param(None, SIX + 59 * SECOND, "fired", "2024-06-01T06:00:00Z", id="first wake, within the minute"),
        pytest.param(None, SIX + MINUTE, "quiet", None, id="first wake, later: no catching up"),
        pytest.param(None, SIX - SECOND, "quiet", None, id="first wake, earlier"),
        pytest.param(SIX - HOUR, SIX - SECOND, "quiet", None, id="not yet"),
        pytest.param(SIX - HOUR, SIX, "fired", "2024-06-01T06:00:00Z", id="on the instant"),
        pytest.param(SIX, SIX, "quiet", None, id="settled already"),
        pytest.param(SIX, SIX + 23 * HOUR, "quiet", None, id="until the next"),
        pytest.param(SIX - 80 * HOUR, SIX + HOUR, "fired", "2024-05-29T06:00:00Z", id="outage: the oldest is named"),
    ],
)
def test_schedule(settled: datetime | None, now: datetime, answer: str, due: str | None) -> None:
    state = State(watermarks=Watermarks({} if settled is None else {"it": settled}))
    given = evaluate(DAILY, state, Evidence(), now)
    assert (given.answer, given.numbers.get("due")) == (answer, due)


NIGHTLY = trigger("schedule", cron="30 2 * * *", timezone="Europe/Oslo")


def test_a_schedule_is_in_its_zone() -> None:
    state = State(watermarks=Watermarks({"it": datetime(2024, 3, 30, 12, tzinfo=UTC)}))
    given = evaluate(NIGHTLY, state, Evidence(), datetime(2024, 3, 31, 1, tzinfo=UTC))
    assert given.numbers == {"due": "2024-03-31T01:00:00Z", "late_seconds": 0.0}


ASKED = Manual("a1", "ada", "bad labels")


@pytest.mark.parametrize(
    ("manual", "answered", "answer"),
    [(None, (), "quiet"), (ASKED, (), "fired"), (ASKED, ("a1",), "quiet"), (ASKED, ("a2",), "fired")],
)
def test_manual(manual: Manual | None, answered: tuple[str, ...], answer: str) -> None:
    given = evaluate(trigger("manual"), State(manual=answered), Evidence(manual=manual), SIX)
    assert given.answer == answer
    assert given.numbers == ({} if manual is None else {"id": "a1", "who": "ada", "why": "bad labels"})


def test_a_request_without_an_id_is_the_same_request_again() -> None:
    assert Manual.at(SIX, "ada", "why") == Manual.at(SIX, "ada", "why")
    assert Manual.at(SIX, "ada", "why").id != Manual.at(SIX + SECOND, "ada", "why").id


@pytest.mark.parametrize(
    ("counted", "settle", "answer", "reason"),
    [
        (NewRows(99), 0.0, "quiet", "99 new labelled rows, 100 wanted"),
        (NewRows(100), 0.0, "fired", "100 new labelled rows"),
        (NewRows(99, labelled=False), 0.0, "quiet", "99 new rows, 100 wanted"),
        (NewRows(100, unsettled=7), 0.0, "fired", "100 new labelled rows"),
        (NewRows(100, unsettled=7), 900.0, "quiet", "7 rows became known within the last 900 s"),
        (NewRows(100, unsettled=0), 900.0, "fired", "100 new labelled rows"),
        (NotEvaluable("no such file"), 0.0, "not_evaluable", "no such file"),
        (None, 0.0, "not_evaluable", "the rows were not counted"),
    ],
)
def test_new_data(counted: NewRows | NotEvaluable | None, settle: float, answer: str, reason: str) -> None:
    evidence = Evidence(new_rows={} if counted is None else {"it": counted})
    given = evaluate(trigger("new_data", min_rows=100, settle=settle), State(), evidence, SIX)
    assert given.answer == answer
    assert reason in given.reason
    assert given.to_json()["numbers"] == dict(given.numbers)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown trigger kind 'omen'"):
        evaluate(trigger("omen"), State(), Evidence(), SIX)
