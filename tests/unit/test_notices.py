"""From records to what people are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from ctc.policy import changes, notices
from ctc.policy.notices import Event, of_attempt, of_job, of_wake

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "schemas" / "ct.v1.schema.json").read_text())
HEAD = {"name": "toy", "environment": "prod", "target": "kubeflow", "id": "20240304T060000Z-0a1b2c3d"}
GATE = {"name": "kept", "kind": "not_worse", "answer": "fail", "reason": "the gain is at least -0.2; -0.1 wanted"}


def attempt(outcome: str, **parts: Any) -> dict[str, Any]:
    return {**HEAD, "kind": "attempt", "outcome": outcome, "reason": "because", "error": "", "candidate": None, **parts}


def change(what: str, version: str = "", reason: str = "because") -> dict[str, Any]:
    return {"what": what, "reason": reason, "version": version, "who": ""}


def answer(name: str, kind: str, said: str = "fired") -> dict[str, Any]:
    return {"name": name, "kind": kind, "answer": said, "reason": "psi 0.31 of dep_delay, 0.2 allowed", "numbers": {}}


def wake(*made: dict[str, Any], **parts: Any) -> dict[str, Any]:
    empty = {"triggers": [], "actions": [], "suppressed": None, "attempt": None}
    return {**HEAD, "kind": "wake", "changes": list(made), **empty, **parts}


def events(record: dict[str, Any]) -> list[str]:
    return [notice.event for notice in of_wake(record)]


def test_the_events_are_those_of_the_language() -> None:
    listed = SCHEMA["$defs"]["notification"]["properties"]["events"]["items"]["enum"]
    assert list(get_args(Event)) == listed


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        ("stopped", "validation_failed"),
        ("failed", "failed"),
        ("lost", "failed"),
        ("held", "not_promoted"),
        ("candidate", "trained"),
        ("nonsense", "failed"),
    ],
)
def test_an_attempt_tells_how_it_ended(outcome: str, event: str) -> None:
    [notice] = of_attempt(attempt(outcome, candidate={"version": "3"} if outcome == "candidate" else None))
    assert (notice.event, notice.record) == (event, HEAD["id"])
    assert notice.title.startswith("toy (prod, kubeflow): ")
    assert any("because" in line for line in notice.lines)
    assert notice.next == f"ctc runs show {HEAD['id']}"


def test_a_candidate_that_cannot_be_read_is_of_a_failed_attempt() -> None:
    """As the controller has it."""
    assert [notice.event for notice in of_attempt(attempt("candidate", candidate={"uri": "s3://b"}))] == ["failed"]
    assert [notice.event for notice in of_attempt(attempt("candidate", candidate="3"))] == ["failed"]


@pytest.mark.parametrize("outcome", ["failed", "lost", "scored", "empty"])
def test_a_batch_job_tells_that_it_did_not_end_well(outcome: str) -> None:
    found = of_job({**HEAD, "serving": "nightly", "outcome": outcome, "reason": "publish failed", "error": "no\nlog"})
    if outcome in ("scored", "empty"):
        assert found == ()
        return
    [notice] = found
    assert notice.event == "failed"
    assert notice.lines == (f"batch job {HEAD['id']} of nightly: publish failed", "no")


def test_the_gates_say_why() -> None:
    [notice] = of_attempt(attempt("held", decision={"gates": [GATE]}))
    assert "kept fail: the gain is at least -0.2; -0.1 wanted" in notice.lines


def test_what_the_users_code_printed_stays_in_the_record() -> None:
    error = "train exited with code 1; its last lines:\nTOKEN=abc\nboom"
    [notice] = of_attempt(attempt("failed", reason="train failed", error=error))
    assert notice.lines[-1] == "train exited with code 1; its last lines:"
    assert "TOKEN" not in json.dumps(notice.to_json())


@pytest.mark.parametrize("held", [True, False])
def test_only_where_triggers_are_held_one_is_told_to_resume(held: bool) -> None:
    [notice] = of_wake(wake(change("rollout_aborted", "4")), held=held)
    assert ("ctc resume" in notice.next) == held


@pytest.mark.parametrize(
    ("what", "event"),
    [
        ("promoted", "promoted"),
        ("adopted", "promoted"),
        ("approval_asked", "approval_needed"),
        ("rejected", "not_promoted"),
        ("expired", "not_promoted"),
        ("withdrawn", "not_promoted"),
        ("quarantined", "not_promoted"),
        ("rolled_back", "rolled_back"),
        ("rollout_aborted", "rolled_back"),
        ("stale", "stale"),
        ("over_budget", "over_budget"),
    ],
)
def test_a_change_tells_its_event(what: str, event: str) -> None:
    [notice] = of_wake(wake(change(what, "4")))
    assert notice.event == event
    assert "version 4" in notice.lines[0]


def test_every_other_change_tells_nobody() -> None:
    """Superseded by a newer candidate, said yes, resumed: somebody did it, or the next message tells it."""
    silent = {"consented", "approved", "superseded", "rollout_started", "rollout_advanced", "resumed", "retired"}
    silent |= {"refused", "alert", "not_scored"}
    told = {what for what in get_args(changes.What) if events(wake(change(what)))}
    assert told == set(get_args(changes.What)) - silent


def test_a_wake_that_was_held_back_tells_nobody_but_of_the_budget() -> None:
    held = {"by": "cooldown", "reason": "too recent"}
    fired = [answer("drifting", "drift")]
    assert events(wake(triggers=fired, suppressed=held)) == []
    assert events(wake(change("over_budget"), triggers=fired, suppressed=held)) == ["over_budget"]


@pytest.mark.parametrize("kind", ["drift", "performance"])
def test_drift_is_told_by_an_alert_and_by_a_run_that_it_starts(kind: str) -> None:
    fired = answer("drifting", kind)
    alert = change("alert", reason=f"drifting: {fired['reason']}")
    started = [{"action": "start_training", "key": "a-1"}]
    assert events(wake(alert, triggers=[fired])) == ["drifted"]
    [notice] = of_wake(wake(triggers=[fired], actions=started, attempt="a"))
    assert (notice.event, notice.lines) == ("drifted", (f"drifting: {fired['reason']}; attempt a is started",))
    assert len(of_wake(wake(alert, triggers=[fired], actions=started))[0].lines) == 1
    quiet = answer("drifting", kind, "quiet")
    assert events(wake(triggers=[quiet, answer("weekly", "schedule")], actions=started)) == []


def test_an_alert_of_another_trigger_is_no_drift() -> None:
    """A name that begins with the other's name is not the other."""
    answers = [answer("fresh", "new_data"), answer("fre", "drift")]
    assert events(wake(change("alert", reason="fresh: 400 new rows"), triggers=answers)) == []


def test_changes_of_one_event_are_one_message() -> None:
    made = (change("withdrawn", "5"), change("rolled_back", "4"), change("quarantined", "5"))
    found = {notice.event: len(notice.lines) for notice in of_wake(wake(*made))}
    assert found == {"not_promoted": 2, "rolled_back": 1}


def test_a_promotion_shows_the_numbers_of_its_attempt() -> None:
    record = wake(change("promoted", "4"))
    assert notices.versions(record) == {"4"}
    [notice] = of_wake(record, judged={"4": attempt("candidate", id="a4", decision={"gates": [GATE]})})
    assert notice.lines[1].startswith("kept fail: ")
    assert (notice.record, notice.next) == (HEAD["id"], "ctc runs show a4")


def test_a_question_says_how_to_answer_it() -> None:
    [notice] = of_wake(wake(change("approval_asked", "4")), question="1f0e9d8c7b6a")
    assert "ctc approve SPEC 1f0e9d8c7b6a --why WHY" in notice.next
    assert "ctc reject SPEC 1f0e9d8c7b6a --why WHY" in notice.next


def test_a_line_is_one_line_of_bounded_length() -> None:
    [notice] = of_wake(wake(change("stale", reason="x\n" * 2000)))
    assert all("\n" not in line and len(line) <= 500 for line in notice.lines)
