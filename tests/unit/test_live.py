"""The triggers that watch live rows: truth tables of what is looked at, and of what follows."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctc.policy import live_rules
from ctc.policy.controller import Evidence
from ctc.policy.evidence import LiveAnswer, Moment, NotEvaluable
from ctc.policy.live import LOOK_BACK, MOST_INSTANTS, LiveQuestion, answer, evaluations, live_questions, watch
from ctc.policy.profile import Categorical, of_numbers
from ctc.policy.state import State
from ctc.policy.triggers import evaluate

SIX = datetime(2024, 3, 4, 6, 0, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)


def trigger(**more: Any) -> dict[str, Any]:
    return {
        "name": "it",
        "kind": "drift",
        "every": 3600.0,
        "known_after": 86400.0,
        "sustained": None,
        "wait_for": None,
    } | more


def moments(*overs: bool | None) -> tuple[Moment, ...]:
    return tuple(Moment(SIX - n * HOUR, over, f"reason {n}", {"n": n}) for n, over in enumerate(overs))


def test_it_looks_now_and_at_the_multiples_of_wake_every() -> None:
    assert evaluations(SIX, 3600.0, timedelta(0)) == ((SIX,), 3600.0)
    found, step = evaluations(SIX, 3600.0, 3 * HOUR)
    assert step == 3600.0
    assert found == (SIX, *(datetime(2024, 3, 4, hour, tzinfo=UTC) for hour in (6, 5, 4)))
    on_time = SIX.replace(second=0)
    assert evaluations(on_time, 3600.0, 2 * HOUR)[0] == (on_time, on_time - HOUR, on_time - 2 * HOUR)


def test_a_long_span_is_looked_at_in_wider_steps() -> None:
    found, step = evaluations(SIX, 60.0, timedelta(days=30))
    assert len(found) <= MOST_INSTANTS + 1
    assert step % 60 == 0
    assert found[-1] < SIX - timedelta(days=29)
    assert {(one - other).total_seconds() for one, other in itertools.pairwise(found[1:])} == {step}


def test_only_triggers_that_watch_ask_and_none_while_actions_are_pending() -> None:
    triggers = [trigger(), trigger(kind="manual", name="asked"), trigger(kind="performance", name="p", wait_for=5)]
    asked = live_questions(State(), triggers, SIX)
    assert [question.name for question in asked] == ["it", "p"]
    assert asked[0].earlier == ()
    assert asked[1].earlier[0] < SIX
    assert SIX - asked[1].earlier[-1] > LOOK_BACK
    assert live_questions(State(pending=({},)), triggers, SIX) == ()


@pytest.mark.parametrize(
    ("overs", "looked", "change"),
    [
        ([True, True, True, True, False, True], 3, 3),
        ([True, True, True, None, True, True], 3, 2),
        ([True] * 6, 3, 5),
        ([True, False, True, True, True, True], 2, None),
        ([None, True, True, True, True, True], 1, None),
    ],
)
def test_it_looks_back_to_the_first_of_the_stretch(overs: list[bool | None], looked: int, change: int | None) -> None:
    instants = tuple(SIX - n * HOUR for n in range(6))
    question = LiveQuestion("it", trigger(), instants[:3], instants[3:])
    found, since = watch(question, dict(zip(instants, moments(*overs), strict=True)).__getitem__)
    assert len(found) == looked
    assert since == (None if change is None else instants[change])


@pytest.mark.parametrize(
    ("overs", "expected", "said"),
    [
        ([True], "fired", "reason 0"),
        ([False], "quiet", "reason 0"),
        ([None], "not_evaluable", "reason 0"),
        ([True, True, True], "fired", "at all of 3 instants since 2024-03-04T04:00:07Z"),
        ([True, False], "quiet", "at 2024-03-04T05:00:07Z, within `sustained`: reason 1"),
        ([True, None], "not_evaluable", "at 2024-03-04T05:00:07Z, within `sustained`: reason 1"),
    ],
)
def test_it_fires_where_every_moment_is_over(overs: list[bool | None], expected: str, said: str) -> None:
    found = evaluate(trigger(), State(), Evidence(live={"it": LiveAnswer(moments(*overs), 3600.0)}), SIX)
    assert (found.answer, found.kind) == (expected, "drift")
    assert said in found.reason
    assert found.numbers["n"] == 0
    assert found.numbers["instants"] == len(overs)


@pytest.mark.parametrize(
    ("mature", "expected", "said"),
    [
        (50, "fired", "50 mature rows since the change at 2024-03-04T05:00:07Z, 50 wanted"),
        (49, "quiet", "49 mature rows since the change at 2024-03-04T05:00:07Z, 50 wanted"),
        (NotEvaluable("no such file"), "not_evaluable", "no such file"),
        (None, "not_evaluable", "they were not counted"),
    ],
)
def test_it_waits_until_something_can_be_learnt(mature: Any, expected: str, said: str) -> None:
    found = LiveAnswer(moments(True), 3600.0, SIX - HOUR, mature)
    given, reason, numbers = answer(trigger(wait_for=50), found)
    assert given == expected
    assert said in reason
    assert numbers.get("mature_rows") == (mature if isinstance(mature, int) else None)


def test_waiting_does_not_make_a_quiet_trigger_fire() -> None:
    given, reason, _ = answer(trigger(wait_for=50), LiveAnswer(moments(False), 3600.0))
    assert (given, reason) == ("quiet", "reason 0")


def test_what_was_not_looked_at_is_not_evaluable() -> None:
    assert evaluate(trigger(), State(), Evidence(), SIX).answer == "not_evaluable"
    found = evaluate(trigger(), State(), Evidence(live={"it": NotEvaluable("no champion")}), SIX)
    assert (found.answer, found.reason) == ("not_evaluable", "no champion")


SAME, MOVED = of_numbers(range(100)), of_numbers(range(60, 160))
BASELINE = {"a": SAME, "b": SAME, "c": SAME, "d": SAME}


@pytest.mark.parametrize(
    ("current", "require", "over"),
    [
        ("MSSS", "any", True),
        ("SSSS", "any", False),
        ("MMMS", "all", False),
        ("MMMM", "all", True),
        ("MMSS", 0.5, True),
        ("MSSS", 0.5, False),
        ("MMSS", 0.51, False),
        ("?SSS", "any", None),
        ("?MSS", "any", True),
        ("?MSS", "all", False),
        ("?MMM", "all", None),
        ("?MSS", 0.5, None),
        ("??SS", 0.75, False),
    ],
)
def test_enough_columns_must_drift(current: str, require: str | float, over: bool | None) -> None:
    kinds = {"M": MOVED, "S": SAME, "?": "a blob has no distribution"}
    columns = {name: kinds[kind] for name, kind in zip("abcd", current, strict=True)}
    found, reason, numbers = live_rules.judge_drift(
        "ks", list("abcd"), BASELINE, columns, line=live_rules.fixed_line(0.2), require=require
    )
    assert found is over
    assert numbers["over"] == current.count("M")
    assert ("a blob has no distribution" in reason) == (over is None)


def test_a_line_is_left_when_it_is_exceeded() -> None:
    value = live_rules.judge_drift("ks", ["a"], BASELINE, {"a": MOVED}, line=live_rules.fixed_line(0.0))
    at_it = live_rules.fixed_line(value[2]["columns"]["a"]["value"])
    assert live_rules.judge_drift("ks", ["a"], BASELINE, {"a": MOVED}, line=at_it)[0] is False


def test_a_column_that_cannot_be_judged_says_why() -> None:
    words = Categorical(100, 0, {"x": 100})
    for baseline, current, said in (
        ({}, {"a": SAME}, "the baseline has no such column"),
        ({"a": words}, {"a": SAME}, "it is numeric now"),
        ({"a": SAME}, {"a": of_numbers([1.0])}, "1 rows in the window; at least 50 are asked for"),
    ):
        found = live_rules.judge_drift("psi", ["a"], baseline, current, line=live_rules.fixed_line(0.2), min_rows=50)
        assert found[0] is None
        assert said in found[1]


@pytest.mark.parametrize(
    ("line", "better", "live", "over"),
    [
        ({"min": 0.7}, "higher", 0.7, False),
        ({"min": 0.7}, "higher", 0.69, True),
        ({"max": 0.5}, "lower", 0.5, False),
        ({"max": 0.5}, "lower", 0.51, True),
        ({"drop": 0.25}, "higher", 0.5, False),
        ({"drop": 0.25}, "higher", 0.49, True),
        ({"drop": 0.25}, "higher", 0.9, False),
        ({"drop": 0.25}, "lower", 1.0, False),
        ({"drop": 0.25}, "lower", 1.01, True),
        ({"drop": 0.25, "min": 0.6}, "higher", 0.55, True),
    ],
)
def test_a_live_metric_leaves_its_range(line: dict[str, float], better: str, live: float, over: bool) -> None:
    metric = {"name": "m", "kind": "roc_auc", "arguments": {}, "better": better}
    given = {"min": None, "max": None, "drop": None, "metric": metric, **line}
    found, reason, numbers = live_rules.judge_performance(given, live, 0.75, 10)
    assert found is over
    assert ("within its line" in reason) is not over
    assert numbers["value"] == live
