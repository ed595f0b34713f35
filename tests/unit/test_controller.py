"""The truth tables of the controller: how attempts start, are held back, started again and end."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctc.policy.actions import Promote, StartTraining, WriteRecord, action_from_json
from ctc.policy.controller import (
    Evidence,
    Manual,
    NewRows,
    NotEvaluable,
    Outcome,
    PastInstant,
    Policy,
    RowsQuestion,
    applied,
    projection,
    questions,
    step,
)
from ctc.policy.records import Identity
from ctc.policy.state import Attempt, BadState, Ended, State, Version, Watermarks
from ctc.policy.suppression import REARM
from ctc.policy.windows import format_instant

NOW = datetime(2024, 6, 1, 6, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ME = Identity("fraud", "prod", "kubeflow", "sha256:1")
DAILY = {"name": "daily", "kind": "schedule", "cron": "0 6 * * *", "timezone": "UTC", "enabled": True, "exempt": False}
ROWS = {"name": "rows", "kind": "new_data", "min_rows": 100, "settle": 900.0, "enabled": True, "exempt": False}
HAND = {"name": "hand", "kind": "manual", "enabled": True, "exempt": False}
ENOUGH = Evidence(new_rows={"rows": NewRows(100)})


def policy(*triggers: dict[str, Any], known_after: float = 3600.0, **changes: Any) -> Policy:
    section = {"mode": "act", "cooldown": 0.0, "max_runs": None, "rearm": {"new_rows": 0, "backoff": 0.0}}
    windows = {"known_after": known_after, "holdout": 3600.0, "gap": 0.0, "window": 86400.0, "since": None}
    return Policy.from_document(
        {
            "data": {"label": {"known_after": known_after}},
            "windows": windows,
            "triggers": {**section, "triggers": list(triggers or (DAILY,)), "lease": 7200.0, **changes},
        }
    )


def version(number: str, attempt: str = "a1") -> Version:
    return Version(number, attempt, f"s3://b/{number}", "image", ("python", "{model}"), "c0de", NOW - DAY)


def attempt(launch: int = 1, started: datetime = NOW - HOUR) -> Attempt:
    return Attempt("a1", started, "sha256:1", ("daily",), started - HOUR, started + 2 * HOUR, launch)


def record(outcome: Any, candidate: Version | None = None, of: str = "a1") -> dict[str, Any]:
    return {"id": of, "outcome": outcome, "candidate": None if candidate is None else candidate.to_json()}


def ended(outcome: Any = "held", started: datetime = NOW - HOUR, of: str = "a0") -> Ended:
    return Ended(of, started, outcome, started - HOUR)


def wake(state: State, evidence: Evidence | None = None, by: Policy | None = None, now: datetime = NOW) -> Outcome:
    return step(state, evidence or Evidence(), by or policy(), now, ME)


def starts(outcome: Outcome) -> list[StartTraining]:
    return [action for action in outcome.actions if isinstance(action, StartTraining)]


def test_a_due_schedule_starts_an_attempt() -> None:
    outcome = wake(State(champion=version("3")))
    live = outcome.state.attempt
    assert live is not None
    assert (live.triggers, live.labelled_until, live.lease_until) == (("daily",), NOW - HOUR, NOW + 2 * HOUR)
    assert live.id.startswith("20240601T060000Z-")
    (start,) = starts(outcome)
    assert (start.key, start.attempt) == (f"{live.id}-1", live.id)
    assert start.request == {
        "version": 1,
        "attempt": live.id,
        "instant": "2024-06-01T06:00:00Z",
        "triggers": ["daily"],
        "launch": 1,
        "champion": version("3").to_json(),
        "baselines": {"champion": "a1", "fixed": None},
        "history": [],
    }


def test_what_is_decided_is_in_the_outbox_of_the_same_write() -> None:
    outcome = wake(State())
    assert [action_from_json(action) for action in outcome.state.pending] == list(outcome.actions)
    assert json.loads(json.dumps(outcome.state.to_json())) == outcome.state.to_json()
    cleared = applied(outcome.state)
    assert (cleared.pending, cleared.revision) == ((), outcome.state.revision + 1)


def test_the_record_of_a_wake_that_acted() -> None:
    outcome = wake(State(champion=version("3")))
    assert outcome.record is not None
    assert outcome.actions[-1] == WriteRecord(f"records/{outcome.record['id']}.json", outcome.record)
    live = outcome.state.attempt
    assert live is not None
    start = {"action": "start_training", "key": f"{live.id}-1", "attempt": live.id, "launch": 1}
    due = {"due": "2024-06-01T06:00:00Z", "late_seconds": 0.0}
    answer = {"name": "daily", "kind": "schedule", "answer": "fired", "numbers": due}
    assert {**outcome.record, "id": ""} == {
        "version": 1,
        "kind": "wake",
        "id": "",
        "name": "fraud",
        "environment": "prod",
        "target": "kubeflow",
        "instant": "2024-06-01T06:00:00Z",
        "spec_digest": "sha256:1",
        "triggers": [{**answer, "reason": "due since 2024-06-01T06:00:00Z"}],
        "suppressed": None,
        "actions": [start],
        "changes": [],
        "attempt": live.id,
        "champion": "3",
    }


def test_the_same_decision_has_the_same_ids_on_every_target() -> None:
    one, other = (
        step(State(), Evidence(), policy(), NOW, replace(ME, target=name)) for name in ("kubeflow", "sagemaker")
    )
    assert one.state == replace(other.state, pending=one.state.pending)
    third = step(State(), Evidence(), policy(), NOW, replace(ME, spec_digest="sha256:2"))
    assert third.state.attempt != one.state.attempt


def test_a_quiet_wake_writes_its_instant_and_no_record() -> None:
    outcome = wake(State(), now=NOW + HOUR)
    assert (outcome.actions, outcome.record, outcome.state.pending) == ((), None, ())
    assert (outcome.state.last_wake, outcome.state.revision) == (NOW + HOUR, 1)
    assert [answer.answer for answer in outcome.answers] == ["quiet"]


def test_a_second_wake_at_the_same_instant_decides_nothing_new() -> None:
    first = applied(wake(State()).state)
    second = wake(first, Evidence(launch="running"))
    assert (second.actions, second.suppressed) == ((), None)


def test_an_instant_before_the_last_wake_is_refused() -> None:
    with pytest.raises(PastInstant, match="2024-06-01T05:00:00Z is before the last wake at 2024-06-01T06:00:00Z"):
        wake(State(last_wake=NOW), now=NOW - HOUR)


def test_pending_actions_are_handed_back_before_anything_is_decided() -> None:
    decided = wake(State()).state
    outcome = wake(decided, by=policy(mode="observe"), now=NOW + DAY)
    assert [action.to_json() for action in outcome.actions] == list(decided.pending)
    assert outcome.again
    assert outcome.state.attempt is not None
    assert outcome.state.attempt.lease_until == NOW + DAY + 2 * HOUR, "the training starts only now"
    assert outcome.state.revision == decided.revision + 1
    assert wake(decided).state == decided, "at the same instant there is nothing to renew"


@pytest.mark.parametrize(
    ("found", "champion", "previous", "history"),
    [
        pytest.param(record("candidate", version("4")), "4", "3", "candidate", id="candidate"),
        pytest.param(record("held"), "3", None, "held", id="held"),
        pytest.param(record("stopped"), "3", None, "stopped", id="stopped"),
        pytest.param(record("failed"), "3", None, "failed", id="failed"),
        pytest.param(record("lost"), "3", None, "lost", id="lost"),
        pytest.param(record("candidate"), "3", None, "failed", id="candidate without a version"),
        pytest.param({**record("candidate"), "candidate": {"version": "4"}}, "3", None, "failed", id="half a version"),
        pytest.param({"id": "a1"}, "3", None, "failed", id="no outcome"),
        pytest.param(record(["odd"]), "3", None, "failed", id="an odd outcome"),
        pytest.param(record("candidate", version("3")), "3", None, "candidate", id="the champion again"),
    ],
)
def test_an_attempt_ends_by_its_record(found: Any, champion: str, previous: str | None, history: str) -> None:
    state = State(champion=version("3", "a0"), attempt=attempt())
    outcome = wake(state, Evidence(attempt_record=found, launch="dead"), now=NOW + HOUR)
    assert outcome.state.attempt is None
    assert outcome.state.champion is not None
    assert outcome.state.champion.version == champion
    assert (outcome.state.previous.version if outcome.state.previous else None) == previous
    assert [(past.id, past.outcome) for past in outcome.state.attempts] == [("a1", history)]
    promoted = [action for action in outcome.actions if isinstance(action, Promote)]
    assert promoted == ([Promote("promote-a1-4", "4")] if champion == "4" else [])


def test_the_first_candidate_becomes_the_champion() -> None:
    outcome = wake(State(attempt=attempt()), Evidence(attempt_record=record("candidate", version("1"))))
    assert (outcome.state.champion, outcome.state.previous, outcome.state.candidate) == (version("1"), None, None)
    assert projection(outcome.state) == Promote("promote-a1-1", "1")
    assert projection(State()) is None


def test_a_record_of_another_attempt_ends_nothing() -> None:
    state = State(attempt=attempt())
    outcome = wake(state, Evidence(attempt_record=record("held", of="a0"), launch="running"))
    assert outcome.state.attempt == state.attempt


def test_in_observe_mode_a_candidate_waits() -> None:
    evidence = Evidence(attempt_record=record("candidate", version("4")))
    waiting = wake(State(attempt=attempt()), evidence, policy(mode="observe"), NOW + HOUR).state
    assert (waiting.champion, waiting.candidate) == (None, version("4"))
    outcome = wake(waiting, now=NOW + 2 * HOUR)
    assert (outcome.state.champion, outcome.state.candidate) == (version("4"), None)


def test_an_end_and_a_new_start_fit_into_one_wake() -> None:
    evidence = Evidence(attempt_record=record("candidate", version("4")))
    outcome = wake(State(champion=version("3"), attempt=attempt()), evidence)
    assert [type(action).__name__ for action in outcome.actions] == ["Promote", "StartTraining", "WriteRecord"]
    assert starts(outcome)[0].request["champion"] == version("4").to_json()


@pytest.mark.parametrize(
    ("launch", "number", "mode", "after", "again"),
    [
        ("running", 1, "act", None, False),
        (None, 1, "act", None, False),
        ("dead", 1, "act", 2, False),
        ("dead", 2, "act", 3, False),
        ("dead", 3, "act", "lost", True),
        ("dead", 1, "observe", "lost", True),
        ("unknown", 1, "act", 1, False),
        ("unknown", 3, "act", 3, False),
        ("unknown", 1, "observe", None, False),
    ],
)
def test_a_launch_within_the_lease(launch: Any, number: int, mode: str, after: Any, again: bool) -> None:
    at = NOW + timedelta(minutes=30)
    outcome = wake(State(attempt=attempt(number)), Evidence(launch=launch), policy(mode=mode), at)
    assert outcome.again is again
    if after == "lost":
        lost = outcome.actions[0]
        assert isinstance(lost, WriteRecord)
        assert (lost.key, lost.record["outcome"], starts(outcome)) == ("records/a1.json", "lost", [])
    else:
        assert [start.key for start in starts(outcome)] == ([] if after is None else [f"a1-{after}"])
    assert outcome.state.attempt is not None, "only a record that is read ends an attempt"
    renewed = NOW + HOUR if after in (None, "lost") else at + 2 * HOUR
    assert outcome.state.attempt.lease_until == renewed


@pytest.mark.parametrize("launch", ["running", "dead", "unknown", None])
def test_past_the_lease_an_attempt_is_lost(launch: Any) -> None:
    state = State(attempt=attempt(), watermarks=Watermarks({"daily": NOW}))
    outcome = wake(state, Evidence(launch=launch), now=NOW + HOUR)
    lost = outcome.actions[0]
    assert isinstance(lost, WriteRecord)
    assert lost.record["kind"] == "attempt"
    assert lost.record["reason"] == "no record by the end of its lease at 2024-06-01T07:00:00Z"
    again = wake(applied(outcome.state), Evidence(attempt_record=lost.record), now=NOW + HOUR)
    assert again.state.attempt is None
    assert again.state.attempts == (Ended("a1", NOW - HOUR, "lost", NOW - 2 * HOUR),)


def test_a_launch_that_stays_unknown_is_not_repeated_for_ever() -> None:
    state = State(attempt=replace(attempt(), lease_until=NOW + 4 * HOUR))
    assert starts(wake(state, Evidence(launch="unknown"), now=NOW + 3 * HOUR)) != []
    outcome = wake(state, Evidence(launch="unknown"), now=NOW + 3 * HOUR + timedelta(minutes=1))
    assert (starts(outcome), outcome.again) == ([], False)


HELD, PROMOTED = ended("held"), ended("candidate")
WON = version("1", "a0")
FEW = {"max_runs": {"count": 1, "per": 86400.0}}
COOL = {"cooldown": 7200.0}
BACKOFF = {"rearm": {"new_rows": 0, "backoff": 7200.0}}
REARMED = {"rearm": {"new_rows": 500, "backoff": 0.0}}


@pytest.mark.parametrize(
    ("changes", "state", "by", "exempt"),
    [
        pytest.param({}, State(), None, None, id="nothing holds"),
        pytest.param({"mode": "observe"}, State(), "mode", "mode", id="observe"),
        pytest.param({}, State(attempt=attempt()), "overlap", "overlap", id="overlap"),
        pytest.param({"mode": "observe"}, State(attempt=attempt()), "mode", "mode", id="mode before overlap"),
        pytest.param(FEW, State(attempts=(PROMOTED,)), "max_runs", "max_runs", id="max_runs: exempt or not"),
        pytest.param(FEW, State(attempts=(ended("lost", NOW - DAY),)), None, None, id="max_runs: just out of its time"),
        pytest.param(FEW | COOL, State(attempts=(PROMOTED,)), "max_runs", "max_runs", id="max_runs before cooldown"),
        pytest.param(COOL, State(attempts=(PROMOTED,)), "cooldown", None, id="cooldown"),
        pytest.param(COOL, State(attempts=(ended("candidate", NOW - 2 * HOUR),)), None, None, id="cooldown over"),
        pytest.param(COOL | BACKOFF, State(attempts=(HELD,)), "cooldown", None, id="cooldown before rearm"),
        pytest.param(BACKOFF, State(attempts=(HELD,)), "rearm", None, id="backoff"),
        pytest.param(BACKOFF, State(WON, attempts=(PROMOTED,)), None, None, id="no backoff after a promotion"),
        pytest.param(BACKOFF, State(candidate=WON, attempts=(PROMOTED,)), None, None, id="it may still be promoted"),
        pytest.param(BACKOFF, State(attempts=(PROMOTED,)), "rearm", None, id="its candidate was refused"),
        pytest.param(BACKOFF, State(WON, attempts=(HELD, PROMOTED)), None, None, id="the last attempt counts"),
        pytest.param(BACKOFF, State(attempts=(ended("failed", NOW - 2 * HOUR),)), None, None, id="backoff over"),
        pytest.param(REARMED, State(attempts=(HELD,)), "rearm", None, id="too few new rows"),
        pytest.param(REARMED, State(), None, None, id="no attempt yet"),
    ],
)
@pytest.mark.parametrize("trigger", [DAILY, ROWS, HAND], ids=["schedule", "new_data", "manual"])
def test_suppression(changes: Any, state: State, by: str | None, exempt: str | None, trigger: Any) -> None:
    manual = Manual("m1", "ada", "why")
    evidence = Evidence(manual, new_rows={"rows": NewRows(100), REARM: NewRows(499)}, launch="running")
    for excused, expected in ((False, by), (True, exempt)):
        outcome = wake(state, evidence, policy({**trigger, "exempt": excused}, **changes))
        assert (outcome.suppressed.by if outcome.suppressed else None) == expected
        assert bool(starts(outcome)) is (expected is None)
        assert outcome.record is not None
        assert (outcome.record["suppressed"] or {}).get("by") == expected


@pytest.mark.parametrize(
    ("counted", "held"),
    [(NewRows(499), True), (NewRows(500), False), (NotEvaluable("no file"), True), (None, True)],
)
def test_rearm_by_new_rows(counted: Any, held: bool) -> None:
    evidence = Evidence(new_rows={} if counted is None else {REARM: counted})
    outcome = wake(State(attempts=(HELD,)), evidence, policy(**REARMED))
    assert (outcome.suppressed is not None) is held


def test_one_exempt_trigger_among_those_fired_is_enough() -> None:
    by = policy({**DAILY, "exempt": True}, ROWS, **COOL)
    (start,) = starts(wake(State(attempts=(HELD,)), ENOUGH, by))
    assert start.request["triggers"] == ["daily", "rows"]


def test_a_suppressed_instant_stays_due_until_an_attempt_starts() -> None:
    state = State(attempts=(ended("candidate", NOW - HOUR),))
    held = wake(state, by=policy(**COOL))
    assert held.suppressed is not None
    later = wake(applied(held.state), by=policy(**COOL), now=NOW + HOUR)
    assert len(starts(later)) == 1
    running = wake(applied(later.state), Evidence(launch="running"), policy(**COOL), NOW + 2 * HOUR)
    assert [answer.answer for answer in running.answers] == ["quiet"]


def test_several_missed_instants_start_one_attempt() -> None:
    state = State(watermarks=Watermarks({"daily": NOW - 10 * DAY}), last_wake=NOW - 10 * DAY)
    outcome = wake(state, now=NOW + HOUR)
    assert len(starts(outcome)) == 1
    assert outcome.state.watermarks.schedule == {"daily": NOW + HOUR}


def test_an_instant_in_observe_mode_is_recorded_once() -> None:
    first = wake(State(), by=policy(mode="observe"))
    assert first.suppressed is not None
    second = wake(applied(first.state), by=policy(mode="observe"), now=NOW + HOUR)
    assert (second.suppressed, second.record) == (None, None)


def test_a_request_is_answered_once_also_when_it_is_held_back() -> None:
    evidence = Evidence(Manual("m1", "ada", "why"))
    by = policy(HAND, **COOL)
    first = wake(State(attempts=(PROMOTED,)), evidence, by)
    assert (first.suppressed is not None, first.state.manual) == (True, ("m1",))
    second = wake(applied(first.state), evidence, by, NOW + DAY)
    assert (starts(second), second.answers[0].reason) == ([], "this request has been answered before")


def test_a_request_that_nothing_hears_is_answered_so() -> None:
    outcome = wake(State(), Evidence(Manual("m1", "ada", "why")), policy({**HAND, "enabled": False}))
    assert [answer.reason for answer in outcome.answers] == ["a run was asked for, but no manual trigger is enabled"]
    assert outcome.actions == ()


def test_a_disabled_trigger_is_not_asked() -> None:
    outcome = wake(State(), by=policy({**DAILY, "enabled": False}))
    assert (outcome.answers, outcome.actions) == ((), ())


def test_a_trigger_that_cannot_be_evaluated_starts_nothing() -> None:
    outcome = wake(State(), Evidence(new_rows={"rows": NotEvaluable("no file")}), policy(ROWS))
    assert ([answer.answer for answer in outcome.answers], outcome.actions) == (["not_evaluable"], ())


def test_the_watermark_of_new_data_never_goes_back() -> None:
    first = wake(State(), by=policy(known_after=0.0)).state
    assert first.watermarks.new_data == NOW
    ended_now = replace(applied(first), attempt=None)
    second = wake(ended_now, by=policy(known_after=30 * 86400.0), now=NOW + DAY).state
    assert second.attempt is not None
    assert (second.attempt.labelled_until, second.watermarks.new_data) == (NOW + DAY - 30 * DAY, NOW)


def test_what_must_be_counted() -> None:
    by = policy(DAILY, ROWS, {**ROWS, "name": "off", "enabled": False}, **REARMED)
    settled = NOW - timedelta(minutes=15)
    assert questions(State(), by, NOW) == (RowsQuestion("rows", None, NOW - HOUR, settled),)
    state = State(watermarks=Watermarks({}, NOW - DAY))
    assert questions(state, by, NOW) == (
        RowsQuestion("rows", NOW - DAY, NOW - HOUR, settled),
        RowsQuestion(REARM, NOW - DAY, NOW - HOUR, NOW),
    )
    assert questions(replace(state, pending=({"action": "promote"},)), by, NOW) == ()


def test_history_reaches_as_far_as_the_rules_look() -> None:
    past = tuple(ended("held", NOW - days * DAY, f"p{days}") for days in (40, 20, 10))
    state = State(attempts=past, attempt=attempt())
    evidence = Evidence(attempt_record=record("held"))
    kept = wake(state, evidence, policy(max_runs={"count": 9, "per": 30 * 86400.0}), NOW + HOUR).state.attempts
    assert [attempt.id for attempt in kept] == ["p20", "p10", "a1"]
    assert [attempt.id for attempt in wake(state, evidence, now=NOW + HOUR).state.attempts] == ["a1"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"version": 3}, "has version 3, this ctc reads version 2"),
        ({"version": 2}, "is damaged: KeyError"),
        ({}, "has version None"),
        ({"version": 1}, "is damaged: KeyError"),
        ({**State().to_json(), "champion": {"version": "1"}}, "is damaged: KeyError"),
        ({**State().to_json(), "last_wake": "yesterday"}, "is damaged: ValueError"),
        ({**State().to_json(), "watermarks": None}, "is damaged: TypeError"),
    ],
)
def test_a_state_that_cannot_be_read_is_left_alone(document: Any, message: str) -> None:
    with pytest.raises(BadState, match=message) as caught:
        State.from_json(document)
    assert caught.value.help


def test_an_unknown_action_is_an_error() -> None:
    with pytest.raises(ValueError, match="unknown action 'roll_back'"):
        action_from_json({"action": "roll_back"})


evidences = st.builds(
    Evidence,
    manual=st.none() | st.builds(Manual, st.sampled_from("abc"), st.text(max_size=5), st.text(max_size=5)),
    new_rows=st.fixed_dictionaries(
        {
            "rows": st.builds(NewRows, st.integers(0, 200), st.integers(0, 2)) | st.just(NotEvaluable("no file")),
            REARM: st.builds(NewRows, st.integers(0, 1000)),
        }
    ),
    launch=st.sampled_from(["running", "dead", "unknown", None]),
)
outcomes = st.sampled_from([None, None, "candidate", "held", "failed", "odd"])
walks = st.lists(st.tuples(st.integers(0, 3 * 86400), evidences, outcomes, st.booleans()), max_size=12)


@settings(deadline=None)
@given(walks, st.sampled_from([{}, {"mode": "observe"}, COOL | FEW, COOL | REARMED]))
def test_every_walk_is_repeatable_and_survives_its_json(walk: Any, changes: Any) -> None:
    by = policy(DAILY, ROWS, HAND, **changes)
    state, now = State(), NOW
    for number, (passed, evidence, outcome, crashed) in enumerate(walk):
        now += timedelta(seconds=passed)
        if state.attempt is not None and outcome is not None:
            made = version(str(number), state.attempt.id)
            evidence = replace(evidence, attempt_record=record(outcome, made, state.attempt.id))
        first, second = (step(state, evidence, by, now, ME) for _ in range(2))
        assert first == second
        text = json.dumps(first.state.to_json(), allow_nan=False)
        assert State.from_json(json.loads(text)) == first.state
        assert first.state.champion is not None or state.champion is None
        if first.record is not None:
            assert first.record["instant"] == format_instant(now)
        state = first.state if crashed else applied(first.state)
