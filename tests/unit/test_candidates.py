"""The truth tables of what stands between a candidate and the champion: approvals, rollouts, rollbacks, holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctc.policy.actions import Promote, Retire, Route, Smoke, StartTraining, WriteRecord, action_from_json
from ctc.policy.approval import Consent, Pending, Rule
from ctc.policy.controller import Command, Event, Evidence, Health, NewRows, Outcome, Policy, applied, questions, step
from ctc.policy.evidence import LimitAnswer, Manual
from ctc.policy.records import Identity
from ctc.policy.standing import Grounds, Hold, Position, Quarantined, Retiring
from ctc.policy.state import Attempt, Ended, State, Version
from ctc.policy.suppression import RESUME

NOW = datetime(2024, 6, 12, 6, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ME = Identity("fraud", "prod", "kubeflow", "spec-1")
OFFICERS = {"any_of": ["officers"], "all_of": [], "expires": 2 * 86400.0}
BOTH = {"any_of": [], "all_of": ["risk", "legal"], "expires": 86400.0}
ROWS = {"name": "rows", "kind": "new_data", "min_rows": 1, "settle": 0.0, "enabled": True, "exempt": False}
HAND = {"name": "hand", "kind": "manual", "enabled": True, "exempt": False}
LIMIT = {"name": "errors", "kind": "error_rate", "arguments": {"max": 0.01}}
SMOKE = {"kind": "smoke", "request": "smoke.json", "status": 200}
MIRROR = {"kind": "mirror", "share": 0.5, "for": 3600.0, "by": None, "gates": []}
CANARY = {"kind": "traffic", "share": 0.1, "for": 3600.0, "by": None, "gates": []}
ALL = {"kind": "traffic", "share": 1.0, "for": 0.0, "by": None, "gates": []}


def policy(*triggers: dict[str, Any], **changes: Any) -> Policy:
    section = {"mode": "act", "cooldown": 0.0, "max_runs": None, "rearm": {"new_rows": 0, "backoff": 0.0}}
    windows = {"known_after": 3600.0, "holdout": 3600.0, "gap": 0.0, "window": 86400.0, "since": None}
    return Policy.from_document(
        {
            "data": {"label": {"known_after": 3600.0}},
            "windows": windows,
            "triggers": {**section, "triggers": list(triggers), "lease": 7200.0, **changes},
        }
    )


def rollout(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"serving": "api", "steps": list(steps), "limits": [LIMIT], "keep_previous": 86400.0}


def version(number: str, data: str = "", training: str = "") -> Version:
    attempt, uri = f"a{number}", f"s3://b/{number}"
    return Version(number, attempt, uri, "image", ("python",), "c0de", NOW - DAY, data=data, training=training)


OLD, NEW = version("3"), version("4")
GROUNDS = Grounds("3", "spec-1", "evidence")
WAITING = State(champion=OLD, candidate=NEW, grounds=GROUNDS)


def wake(state: State, by: Policy, now: datetime = NOW, me: Identity = ME, **evidence: Any) -> Outcome:
    return step(state, Evidence(**evidence), by, now, me)


def told(outcome: Outcome) -> list[str]:
    return [change.what for change in outcome.changes]


def routes(outcome: Outcome) -> list[dict[str, float]]:
    return [dict(action.traffic) for action in outcome.actions if isinstance(action, Route)]


def tell(do: Any, about: str = "", group: str = "", id: str = "c1", **fields: Any) -> Command:
    return Command(id, "ada", "because", do, about, group, **fields)


def candidate_record(of: str = "a4", champion: str | None = "3", decision: str = "promote") -> dict[str, Any]:
    return {
        "id": of,
        "outcome": "candidate",
        "candidate": version(of.removeprefix("a")).to_json(),
        "champion": champion,
        "spec_digest": "spec-1",
        "evaluation": {"metrics": {}},
        "decision": {"decision": decision},
    }


def live(of: str = "a4") -> Attempt:
    return Attempt(of, NOW - HOUR, "spec-1", ("rows",), NOW - 2 * HOUR, NOW + HOUR)


def asked(by: Policy, state: State = WAITING) -> tuple[State, Pending]:
    outcome = wake(state, by)
    assert told(outcome) == ["approval_asked"]
    assert outcome.state.approval is not None
    return applied(outcome.state), outcome.state.approval


@pytest.mark.parametrize(
    ("changes", "champion", "decision", "rule"),
    [
        ({}, OLD, "promote", None),
        ({"approval": OFFICERS}, OLD, "promote", "officers"),
        ({"approval": OFFICERS}, None, "promote", "officers"),
        ({"first": OFFICERS}, OLD, "promote", None),
        ({"first": OFFICERS}, None, "promote", "officers"),
        ({"first": OFFICERS, "approval": BOTH}, None, "promote", "officers"),
        ({"mode": "recommend"}, OLD, "promote", "anybody"),
        ({"mode": "recommend", "approval": OFFICERS}, OLD, "promote", "officers"),
        ({}, OLD, "ask", "anybody"),
        ({"approval": OFFICERS}, OLD, "ask", "officers"),
    ],
)
def test_who_must_say_yes(changes: Any, champion: Version | None, decision: str, rule: str | None) -> None:
    compared = None if champion is None else champion.version
    found = candidate_record(champion=compared, decision=decision)
    outcome = wake(State(champion=champion, attempt=live()), policy(**changes), attempt_record=found)
    if rule is None:
        assert (outcome.state.champion, told(outcome)) == (NEW, ["promoted"])
    else:
        assert outcome.state.champion == champion
        assert outcome.state.approval is not None
        assert outcome.state.approval.missing == (rule,)
        assert told(outcome) == ["approval_asked"]


def test_a_yes_promotes_and_says_who() -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    outcome = wake(state, by, NOW + HOUR, command=tell("approve", question.id))
    assert outcome.state.champion == NEW
    assert outcome.state.previous == OLD
    assert told(outcome) == ["approved", "promoted"]
    assert outcome.changes[0].reason == "ada for officers: because"
    assert [type(action) for action in outcome.actions[:1]] == [Promote]
    assert outcome.record is not None
    assert [change["what"] for change in outcome.record["changes"]] == ["approved", "promoted"]


def test_every_group_must_say_yes_where_all_are_asked() -> None:
    by = policy(approval=BOTH)
    state, question = asked(by)
    one = wake(state, by, command=tell("approve", question.id, "risk", "c1"))
    assert one.state.champion == OLD
    assert one.state.approval is not None
    assert one.state.approval.missing == ("legal",)
    same = wake(applied(one.state), by, command=tell("approve", question.id, "risk", "c2"))
    assert same.state.champion == OLD
    both = wake(applied(same.state), by, command=tell("approve", question.id, "legal", "c3"))
    assert both.state.champion == NEW


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (tell("approve", "another"), "the question is"),
        (tell("approve", ""), "the question is"),
        (tell("reject", "another"), "the question is"),
        (tell("approve", "QUESTION", "strangers"), "say for which group: officers"),
    ],
)
def test_a_wrong_answer_is_refused_and_the_question_stands(command: Command, reason: str) -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    about = command.about.replace("QUESTION", question.id)
    outcome = wake(state, by, command=replace(command, about=about))
    assert told(outcome) == ["refused"]
    assert reason in outcome.changes[0].reason
    assert (outcome.state.approval, outcome.state.champion) == (question, OLD)


def test_no_is_final_for_this_candidate() -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    outcome = wake(state, by, command=tell("reject", question.id))
    assert told(outcome) == ["rejected"]
    assert (outcome.state.candidate, outcome.state.approval, outcome.state.champion) == (None, None, OLD)


@pytest.mark.parametrize(("late", "what"), [(-HOUR, "approved"), (timedelta(0), "refused"), (HOUR, "refused")])
def test_silence_is_a_refusal_and_a_late_yes_comes_too_late(late: timedelta, what: str) -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    outcome = wake(state, by, question.expires + late, command=tell("approve", question.id))
    assert told(outcome)[0] == what
    assert (outcome.state.champion == NEW) == (what == "approved")
    assert outcome.state.candidate is None
    if what == "refused":
        assert told(outcome) == ["refused", "expired"]


@pytest.mark.parametrize(
    ("moved", "me", "reason"),
    [
        ({"champion": version("9")}, ME, "it was compared with version 3, and the champion is version 9"),
        ({}, replace(ME, spec_digest="spec-2"), "the spec has changed since it was judged"),
    ],
)
def test_an_approval_is_bound_to_what_was_shown(moved: Any, me: Identity, reason: str) -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    outcome = wake(replace(state, **moved), by, NOW, me, command=tell("approve", question.id))
    assert told(outcome) == ["withdrawn"]
    assert reason in outcome.changes[0].reason
    assert outcome.state.candidate is None
    assert outcome.state.champion != NEW


def test_a_newer_candidate_supersedes_the_one_that_waits() -> None:
    by = policy(approval=OFFICERS)
    state, question = asked(by)
    found = candidate_record("a5")
    outcome = wake(replace(state, attempt=live("a5")), by, attempt_record=found, command=tell("approve", question.id))
    assert told(outcome) == ["superseded", "refused", "approval_asked"]
    assert outcome.state.approval is not None
    assert (outcome.state.approval.version, outcome.state.champion) == ("5", OLD)
    assert outcome.state.approval.id != question.id


def test_a_candidate_that_was_compared_with_another_champion_is_withdrawn() -> None:
    outcome = wake(State(champion=OLD, attempt=live()), policy(), attempt_record=candidate_record(champion="2"))
    assert (told(outcome), outcome.state.champion, outcome.state.candidate) == (["withdrawn"], OLD, None)


def test_a_command_is_done_once() -> None:
    state = State(champion=OLD, previous=version("2"))
    first = wake(state, policy(), command=tell("rollback"))
    assert told(first) == ["rolled_back"]
    second = wake(applied(first.state), policy(), command=tell("rollback"))
    assert second.changes == ()


def test_rolling_back_quarantines_and_holds() -> None:
    bad = version("4", "data", "training")
    state = State(champion=bad, previous=OLD)
    outcome = wake(state, policy(ROWS), command=tell("rollback"), new_rows={"rows": NewRows(5)})
    after = outcome.state
    assert (after.champion, after.previous) == (OLD, None)
    assert after.quarantine == (Quarantined("4", "data", "training"),)
    assert after.hold == Hold(NOW, "because", NOW - HOUR)
    assert Promote("rollback-4-3", "3") in outcome.actions
    assert outcome.suppressed is not None
    assert outcome.suppressed.by == "hold"
    again = wake(applied(after), policy(), command=tell("rollback", id="c2"))
    assert again.changes[0].reason == "there is no previous champion to go back to"


def test_a_hold_stops_automatic_triggers_and_not_people() -> None:
    held = State(champion=OLD, hold=Hold(NOW - DAY, "bad", NOW - DAY))
    by = policy(ROWS, HAND)
    automatic = wake(held, by, new_rows={"rows": NewRows(9)})
    assert automatic.state.attempt is None
    person = wake(held, by, new_rows={"rows": NewRows(9)}, manual=Manual("m", "ada", "try"))
    assert person.state.attempt is not None


@pytest.mark.parametrize(("rows", "free"), [(99, False), (100, True)])
def test_new_rows_end_a_hold(rows: int, free: bool) -> None:
    held = State(champion=OLD, hold=Hold(NOW - DAY, "bad", NOW - DAY))
    by = policy(resume_rows=100)
    (question,) = questions(held, by, NOW)
    assert (question.name, question.start, question.end) == (RESUME, NOW - DAY, NOW - HOUR)
    outcome = wake(held, by, new_rows={RESUME: NewRows(rows)})
    assert (outcome.state.hold is None) == free
    assert told(outcome) == (["resumed"] if free else [])


def test_a_person_ends_a_hold() -> None:
    held = State(champion=OLD, hold=Hold(NOW - DAY, "bad", NOW - DAY))
    assert wake(held, policy(), command=tell("resume")).state.hold is None
    assert told(wake(State(), policy(), command=tell("resume"))) == ["refused"]


@pytest.mark.parametrize(("data", "training", "refused"), [("d", "t", True), ("d", "u", False), ("", "", False)])
def test_what_was_taken_back_is_not_taken_again(data: str, training: str, refused: bool) -> None:
    state = replace(WAITING, candidate=version("4", data, training), quarantine=(Quarantined("2", data, "t"),))
    outcome = wake(state, policy())
    assert told(outcome) == (["quarantined"] if refused else ["promoted"])


def test_adopting_is_for_a_deployment_without_a_champion() -> None:
    adopted = replace(version("1"), attempt="adopted-c1")
    outcome = wake(State(), policy(mode="observe"), command=tell("adopt", version=adopted))
    assert (outcome.state.champion, outcome.state.first) == (adopted, "adopted-c1")
    assert told(outcome) == ["adopted"]
    again = wake(State(champion=OLD), policy(), command=tell("adopt", version=adopted))
    assert (told(again), again.state.champion) == (["refused"], OLD)


PASS, FAIL = LimitAnswer("errors", "pass"), LimitAnswer("errors", "fail", "5 % of answers are errors")
UNKNOWN = LimitAnswer("errors", "not_evaluable", "no traffic")


def test_a_rollout_step_by_step() -> None:
    by = policy(ROWS, rollout=rollout(SMOKE, MIRROR, CANARY, ALL))
    first = wake(WAITING, by)
    assert told(first) == ["rollout_started"]
    assert next(action for action in first.actions if isinstance(action, Smoke)).version == "4"
    assert first.state.champion == OLD
    second = wake(applied(first.state), by, NOW + HOUR, health=Health(smoke=PASS), new_rows={"rows": NewRows(9)})
    assert told(second) == ["rollout_advanced"]
    (mirror,) = [action for action in second.actions if isinstance(action, Route)]
    assert (dict(mirror.traffic), mirror.mirror) == ({"3": 1.0, "4": 0.0}, 0.5)
    assert second.suppressed is not None
    assert second.suppressed.by == "overlap"
    early = wake(applied(second.state), by, NOW + 1.5 * HOUR, health=Health((PASS,)))
    assert early.changes == ()
    third = wake(applied(second.state), by, NOW + 2 * HOUR, health=Health((PASS,)))
    assert routes(third) == [{"3": 0.9, "4": 0.1}]
    last = wake(applied(third.state), by, NOW + 3 * HOUR, health=Health((PASS,)))
    assert told(last) == ["rollout_advanced", "promoted"]
    assert routes(last)[-1] == {"4": 1.0}
    assert (last.state.champion, last.state.previous, last.state.rollout) == (NEW, OLD, None)
    assert last.state.retiring == Retiring("3", NOW + 3 * HOUR + DAY)
    kept = wake(applied(last.state), by, NOW + 3 * HOUR + DAY - HOUR)
    assert not any(isinstance(action, Retire) for action in kept.actions)
    gone = wake(applied(last.state), by, NOW + 3 * HOUR + DAY)
    assert [action.version for action in gone.actions if isinstance(action, Retire)] == ["3"]


@pytest.mark.parametrize("health", [Health((FAIL,)), Health((PASS, FAIL))])
def test_a_limit_that_is_left_takes_the_model_back(health: Health) -> None:
    by = policy(rollout=rollout(CANARY, ALL))
    started = wake(WAITING, by)
    outcome = wake(applied(started.state), by, NOW + timedelta(minutes=5), health=health)
    assert told(outcome) == ["rollout_aborted"]
    assert routes(outcome) == [{"3": 1.0}]
    assert (outcome.state.champion, outcome.state.candidate) == (OLD, None)
    assert outcome.state.hold is not None
    assert [kept.version for kept in outcome.state.quarantine] == ["4"]


@pytest.mark.parametrize("health", [Health((UNKNOWN,)), Health()], ids=["no answer", "not measured"])
@pytest.mark.parametrize(("hours", "what"), [(1, []), (1.9, []), (2, ["rollout_aborted"])])
def test_a_step_that_cannot_be_judged_waits_and_then_ends(hours: float, what: list[str], health: Health) -> None:
    by = policy(rollout=rollout(CANARY, ALL))
    started = wake(WAITING, by)
    outcome = wake(applied(started.state), by, NOW + hours * HOUR, health=health)
    assert told(outcome) == what
    assert outcome.state.champion == OLD
    assert outcome.state.quarantine == ()


@pytest.mark.parametrize(("answer", "what"), [(FAIL, ["rollout_aborted"]), (UNKNOWN, []), (None, [])])
def test_a_smoke_test_decides(answer: LimitAnswer | None, what: list[str]) -> None:
    by = policy(rollout=rollout(SMOKE, ALL))
    started = wake(WAITING, by)
    outcome = wake(applied(started.state), by, NOW + HOUR, health=Health(smoke=answer))
    assert told(outcome) == what
    if not what:
        assert any(isinstance(action, Smoke) for action in outcome.actions)


def test_the_first_champion_has_nobody_to_compare_with() -> None:
    by = policy(rollout=rollout(SMOKE, CANARY, ALL))
    first = wake(State(candidate=NEW, grounds=replace(GROUNDS, champion=None)), by)
    outcome = wake(applied(first.state), by, health=Health(smoke=PASS))
    assert told(outcome)[-1] == "promoted"
    assert outcome.state.champion == NEW
    assert outcome.state.retiring is None


def test_an_approval_in_the_middle_of_a_rollout() -> None:
    by = policy(rollout=rollout(CANARY, {"kind": "approval", "rule": OFFICERS}, ALL))
    started = wake(WAITING, by)
    waiting = wake(applied(started.state), by, NOW + HOUR, health=Health((PASS,)))
    assert told(waiting) == ["rollout_advanced", "approval_asked"]
    question = waiting.state.approval
    assert question is not None
    assert question.step == 1
    yes = wake(applied(waiting.state), by, NOW + 2 * HOUR, command=tell("approve", question.id))
    assert yes.state.champion == NEW
    no = wake(applied(waiting.state), by, NOW + 2 * HOUR, command=tell("reject", question.id))
    assert (told(no), no.state.champion, no.state.quarantine) == (["rollout_aborted"], OLD, ())
    late = wake(applied(waiting.state), by, question.expires)
    assert (told(late), late.state.champion) == (["rollout_aborted"], OLD)


def test_a_rollback_during_a_rollout_takes_the_candidate_back() -> None:
    by = policy(rollout=rollout(CANARY, ALL))
    started = wake(replace(WAITING, previous=version("2")), by)
    outcome = wake(applied(started.state), by, command=tell("rollback"))
    assert (told(outcome), outcome.state.champion) == (["rollout_aborted"], OLD)
    assert outcome.state.previous == version("2")


def test_a_rollout_whose_steps_change_starts_over() -> None:
    started = wake(WAITING, policy(rollout=rollout(CANARY, ALL)))
    outcome = wake(applied(started.state), policy(rollout=rollout(SMOKE, CANARY, ALL)), NOW + 2 * HOUR)
    assert told(outcome) == ["rollout_started"]
    assert outcome.state.rollout is not None
    assert (outcome.state.rollout.step, outcome.state.champion) == (0, OLD)


ALERT = {"name": "ops", "kind": "event", "event": "ops-alert", "dedupe_by": "incident", "max_age": 3600.0}
EVENT = {**ALERT, "enabled": True, "exempt": False}


def alert(incident: str = "7", at: datetime = NOW, name: str = "ops-alert") -> Event:
    return Event(name, "id", at, {"incident": incident})


def test_an_event_fires_once() -> None:
    first = wake(State(), policy(EVENT), event=alert())
    assert first.state.attempt is not None
    idle = replace(applied(first.state), attempt=None)
    assert wake(idle, policy(EVENT), event=alert()).state.attempt is None
    assert wake(idle, policy(EVENT), event=alert("8")).state.attempt is not None


@pytest.mark.parametrize(
    ("event", "fires"),
    [
        (alert(at=NOW - HOUR), True),
        (alert(at=NOW - HOUR - timedelta(seconds=1)), False),
        (alert(at=NOW + DAY), True),
        (alert(name="other"), False),
    ],
)
def test_which_events_count(event: Event, fires: bool) -> None:
    assert (wake(State(), policy(EVENT), event=event).state.attempt is not None) == fires


def test_an_event_that_is_held_back_stays_due_until_it_is_old() -> None:
    recent = State(attempts=(Ended("a0", NOW - HOUR, "held", NOW),))
    by = policy(EVENT, cooldown=1.5 * 3600)
    held = wake(recent, by, event=alert())
    assert held.suppressed is not None
    assert wake(applied(held.state), by, NOW + 0.5 * HOUR).state.attempt is not None
    assert wake(applied(held.state), by, NOW + 1.1 * HOUR).state.attempt is None


def test_an_event_can_wait_until_there_is_something_to_learn() -> None:
    by = policy({**EVENT, "wait_for": 500}, {**ROWS, "min_rows": 400})
    heard = wake(State(), by, event=alert(), new_rows={"rows": NewRows(0)})
    assert heard.state.attempt is None
    later = NOW + 30 * DAY
    waiting = applied(heard.state) if heard.state.pending else heard.state
    (_, question) = questions(waiting, by, later)
    assert (question.name, question.start, question.end) == ("ops", NOW, later - HOUR)
    few = wake(waiting, by, later, new_rows={"rows": NewRows(400), "ops": NewRows(499)})
    assert few.state.attempt is not None
    assert few.state.attempt.triggers == ("rows",)
    assert [event.key for event in few.state.events] == ["7"]
    unknown = wake(waiting, by, later, new_rows={"rows": NewRows(0)})
    assert unknown.answers[0].answer == "not_evaluable"
    enough = wake(waiting, by, later, new_rows={"rows": NewRows(0), "ops": NewRows(500)})
    assert enough.state.attempt is not None
    assert enough.state.attempt.triggers == ("ops",)
    assert enough.state.events == ()


@pytest.mark.parametrize(
    ("on_deploy", "before", "starts"),
    [("retrain", "t0", True), ("retrain", "t1", False), ("retrain", "", False), ("wait", "t0", False)],
)
def test_a_changed_training_section(on_deploy: str, before: str, starts: bool) -> None:
    outcome = wake(State(trained_as=before), policy(on_deploy=on_deploy, training="t1"))
    assert (outcome.state.attempt is not None) == starts
    if outcome.state.attempt is not None:
        assert outcome.state.attempt.triggers == ("on_deploy",)
        assert outcome.state.trained_as == "t1"


BUDGET = {"budget": {"per_run": 45.0, "per_month": 100.0}}


@pytest.mark.parametrize(
    ("spent", "exempt", "held"),
    [
        ([(NOW - DAY, 55.0)], False, False),
        ([(NOW - DAY, 55.01)], False, True),
        ([(NOW - DAY, 55.01)], True, False),
        ([(NOW - 20 * DAY, 99.0)], False, False),
        ([(NOW - DAY, 30.0), (NOW - 2 * DAY, 30.0)], False, True),
    ],
)
def test_the_budget_of_a_month(spent: list[tuple[datetime, float]], exempt: bool, held: bool) -> None:
    past = tuple(Ended(f"p{n}", at, "candidate", at, cost) for n, (at, cost) in enumerate(spent))
    state = State(champion=replace(OLD, attempt=past[-1].id), attempts=past)
    outcome = wake(state, policy({**ROWS, "exempt": exempt}, **BUDGET), new_rows={"rows": NewRows(9)})
    assert (outcome.suppressed is not None and outcome.suppressed.by == "budget") == held
    assert ("over_budget" in told(outcome)) == held
    if not held:
        assert outcome.state.attempt is not None
        assert outcome.state.attempt.reserved == 45.0


@pytest.mark.parametrize(
    ("before", "exempt", "again"),
    # A start sets aside 45 of 100: a second one fits, beside 10 that are spent just so, beside 11 not any more.
    [(0.0, False, True), (10.0, False, True), (11.0, False, False), (11.0, True, True)],
)
def test_another_start_of_a_run_that_died_is_paid_for_too(before: float, exempt: bool, again: bool) -> None:
    past = (Ended("p0", NOW - DAY, "held", NOW - DAY, before),)
    state = State(attempt=replace(live(), reserved=45.0, triggers=("rows",)), attempts=past)
    outcome = wake(state, policy({**ROWS, "exempt": exempt}, **BUDGET), launch="dead")

    if again:
        assert outcome.state.attempt is not None
        assert (outcome.state.attempt.launch, outcome.state.attempt.reserved) == (2, 90.0)
    else:
        records = [action.record for action in outcome.actions if isinstance(action, WriteRecord)]
        [record] = [record for record in records if record.get("outcome") == "lost"]
        assert "would break the budget: 56 of 100 are spent or reserved" in record["reason"]


def test_amounts_are_decimal() -> None:
    """Twice 0.10 and 0.10 are 0.30, though not as binary numbers."""
    past = tuple(Ended(f"p{n}", NOW - n * DAY, "candidate", NOW, 0.1) for n in (2, 1))
    state = State(champion=replace(OLD, attempt="p1"), attempts=past)
    by = policy({**ROWS, "exempt": False}, budget={"per_run": 0.1, "per_month": 0.3})

    assert wake(state, by, new_rows={"rows": NewRows(9)}).suppressed is None


@pytest.mark.parametrize(("said", "spent"), [(12.5, 12.5), (None, 45.0), (-3, 45.0), (True, 45.0)])
def test_what_was_reserved_is_settled(said: Any, spent: float) -> None:
    attempt = replace(live(), reserved=45.0)
    found = {"id": "a4", "outcome": "held", "spent": said}
    (ended,) = wake(State(attempt=attempt), policy(**BUDGET), attempt_record=found).state.attempts
    assert ended.spent == spent


def test_nothing_succeeding_is_told_once() -> None:
    by = policy(staleness=10 * 86400.0)
    state = State(succeeded=NOW - 10 * DAY)
    assert told(wake(state, by)) == []
    late = wake(state, by, NOW + HOUR)
    assert told(late) == ["stale"]
    again = wake(applied(late.state), by, NOW + 2 * HOUR)
    assert told(again) == []
    found = {"id": "a4", "outcome": "held"}
    fresh = wake(replace(applied(again.state), attempt=live()), by, NOW + 3 * HOUR, attempt_record=found)
    assert fresh.state.succeeded == NOW - HOUR
    assert fresh.state.alarmed == ()


def test_a_failed_attempt_is_no_success() -> None:
    outcome = wake(
        State(succeeded=NOW - DAY, attempt=live()), policy(), attempt_record={"id": "a4", "outcome": "failed"}
    )
    assert outcome.state.succeeded == NOW - DAY


def test_a_trigger_that_alerts_starts_nothing_and_tells_once() -> None:
    by = policy({**ROWS, "then": "alert"})
    first = wake(State(champion=OLD), by, new_rows={"rows": NewRows(9)})
    assert (told(first), first.state.attempt) == (["alert"], None)
    second = wake(applied(first.state), by, new_rows={"rows": NewRows(9)})
    assert told(second) == []
    quiet = wake(applied(second.state), by, new_rows={"rows": NewRows(0)})
    again = wake(applied(quiet.state), by, new_rows={"rows": NewRows(9)})
    assert told(again) == ["alert"]


@pytest.mark.parametrize(("mode", "back"), [("act", True), ("recommend", False), ("observe", False)])
def test_a_trigger_that_rolls_back(mode: str, back: bool) -> None:
    by = policy({**ROWS, "then": "rollback"}, mode=mode)
    outcome = wake(State(champion=NEW, previous=OLD), by, new_rows={"rows": NewRows(9)})
    assert (outcome.state.champion == OLD) == back
    assert told(outcome) == (["alert", "rolled_back"] if back else ["alert"])


def test_the_whole_state_survives_json() -> None:
    state = State(
        champion=OLD,
        candidate=NEW,
        grounds=GROUNDS,
        approval=Pending("q", "4", Rule(("a",), (), DAY), NOW, 1).with_consent(Consent("ada", "a", "why")),
        rollout=Position("4", 1, NOW, "digest"),
        retiring=Retiring("2", NOW),
        hold=Hold(NOW, "bad", NOW),
        quarantine=(Quarantined("1", "d", "t"),),
        first="a1",
        attempt=replace(live(), reserved=3.5),
        attempts=(Ended("a0", NOW, "held", NOW, 2.0),),
        heard=("ops:7",),
        trained_as="t",
        succeeded=NOW,
        alarmed=("x",),
    )
    assert State.from_json(state.to_json()) == state


def test_the_actions_of_a_rollout_survive_json() -> None:
    for action in (
        Route("k", "api", (("3", 0.9), ("4", 0.1)), 0.5),
        Smoke("k", "api", "4", "smoke.json", 200),
        Retire("k", "api", "3"),
    ):
        assert action_from_json(action.to_json()) == action


def test_the_history_reaches_the_attempt() -> None:
    past = (Ended("a0", NOW - DAY, "held", NOW - 2 * DAY, 7.0),)
    outcome = wake(State(champion=OLD, first="a1", attempts=past), policy(ROWS), new_rows={"rows": NewRows(1)})
    (start,) = [action for action in outcome.actions if isinstance(action, StartTraining)]
    assert start.request["baselines"] == {"champion": "a3", "fixed": "a1"}
    assert start.request["history"] == [
        {
            "id": "a0",
            "instant": "2024-06-11T06:00:00Z",
            "outcome": "held",
            "labelled_until": "2024-06-10T06:00:00Z",
        }
    ]
