"""When batch jobs start, wait, are started again and end: the truth tables of `ctc/policy/batch.py`."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ctc.policy.actions import StartScoring, StartTraining, WriteRecord, action_from_json
from ctc.policy.controller import Command, Evidence, JobSeen, Manual, Outcome, Policy, applied, step
from ctc.policy.records import Identity
from ctc.policy.state import State, Version

FIVE = datetime(2024, 6, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ME = Identity("churn", "prod", "kubeflow", "sha256:1")
NIGHTLY = {"name": "nightly", "cron": "0 5 * * *", "timezone": "UTC", "write": "append", "lease": 7200.0}
WHOLE = {**NIGHTLY, "name": "whole", "write": "replace"}
HAND = {"name": "hand", "kind": "manual", "enabled": True, "exempt": False}


def policy(*entries: dict[str, Any], mode: str = "act", triggers: tuple[dict[str, Any], ...] = ()) -> Policy:
    windows = {"known_after": 0.0, "holdout": 3600.0, "gap": 0.0, "window": 86400.0, "since": None}
    section = {"mode": mode, "cooldown": 0.0, "max_runs": None, "rearm": {"new_rows": 0, "backoff": 0.0}}
    return Policy.from_document(
        {"windows": windows, "triggers": {**section, "triggers": [*triggers], "lease": 7200.0, "batch": [*entries]}}
    )


def version(number: str) -> Version:
    return Version(number, f"a{number}", f"s3://b/{number}", "image", ("python", "{model}"), "c0de", FIVE - DAY)


CHAMPION = State(champion=version("3"))


def wake(state: State, evidence: Evidence | None = None, now: datetime = FIVE, by: Policy | None = None) -> Outcome:
    return step(state, evidence or Evidence(), by or policy(NIGHTLY), now, ME)


def starts(outcome: Outcome) -> list[StartScoring]:
    return [action for action in outcome.actions if isinstance(action, StartScoring)]


def changes(outcome: Outcome) -> list[str]:
    return [change.what for change in outcome.changes]


def started(now: datetime = FIVE, state: State = CHAMPION) -> State:
    return applied(wake(state, now=now).state)


def job_of(state: State) -> Any:
    job = state.scoring["nightly"].job
    assert job is not None
    return job


def seen(state: State, launch: Any = "running", outcome: str | None = None) -> Evidence:
    job = job_of(state)
    return Evidence(jobs={job.id: JobSeen(launch, None if outcome is None else {"id": job.id, "outcome": outcome})})


def test_a_due_job_starts_with_the_champion_of_that_moment() -> None:
    outcome = wake(CHAMPION)

    [start] = starts(outcome)
    assert start.serving == "nightly"
    assert start.request["champion"] == version("3").to_json()
    assert start.request["after"] is None
    assert start.request["part"] == "20240601T050000Z"
    assert start.key == f"{start.job}-1"
    assert action_from_json(json.loads(json.dumps(start.to_json()))) == start
    assert outcome.record is not None
    assert {"action": "start_scoring", "key": start.key, "serving": "nightly", "job": start.job, "launch": 1} in (
        outcome.record["actions"]
    )


def test_the_state_survives_its_document() -> None:
    state = started()
    assert State.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_document_of_before_batch_jobs_is_read() -> None:
    document = CHAMPION.to_json()
    del document["scoring"]
    assert State.from_json(document) == CHAMPION


def test_an_instant_starts_one_job_and_several_missed_ones_too() -> None:
    before = started()
    done = applied(wake(before, seen(before, "dead", "scored"), FIVE).state)

    assert not starts(wake(done, now=FIVE + HOUR))
    assert len(starts(wake(done, now=FIVE + 4 * DAY + HOUR))) == 1


def test_a_first_wake_after_the_instant_does_not_catch_up() -> None:
    assert not starts(wake(CHAMPION, now=FIVE + timedelta(minutes=1)))


def test_entries_do_not_wait_for_each_other() -> None:
    assert [start.serving for start in starts(wake(CHAMPION, by=policy(NIGHTLY, WHOLE)))] == ["nightly", "whole"]


def test_without_a_champion_it_waits_and_says_so_once() -> None:
    first = wake(State())
    second = wake(applied(first.state), now=FIVE + HOUR)
    crowned = replace(applied(second.state), champion=version("1"))
    third = wake(crowned, now=FIVE + 2 * HOUR)

    assert changes(first) == ["not_scored"]
    assert "waits for the first champion" in first.changes[0].reason
    assert changes(second) == []
    assert [start.request["due"] for start in starts(third)] == ["2024-06-01T05:00:00Z"]


def test_a_job_of_an_entry_never_overlaps_another() -> None:
    state = started()
    later = wake(state, seen(state), FIVE + DAY, policy({**NIGHTLY, "lease": 1e6}))
    long = replace(state.scoring["nightly"], job=replace(job_of(state), lease_until=FIVE + 9 * DAY))
    state = replace(state, scoring={"nightly": long})
    later = wake(state, seen(state), FIVE + DAY)
    ended = wake(applied(later.state), seen(state, "dead", "scored"), FIVE + DAY + HOUR)

    assert not starts(later)
    assert [start.request["due"] for start in starts(ended)] == ["2024-06-02T05:00:00Z"]


def test_training_blocks_no_scoring_and_scoring_no_training() -> None:
    both = policy(NIGHTLY, triggers=(HAND,))
    outcome = wake(CHAMPION, Evidence(manual=Manual("m", "ada", "why")), by=both)
    assert len(starts(outcome)) == 1
    assert any(isinstance(action, StartTraining) for action in outcome.actions)

    training = applied(wake(CHAMPION, Evidence(manual=Manual("m", "ada", "why")), FIVE - HOUR, both).state)
    assert training.attempt is not None
    assert len(starts(wake(training, Evidence(launch="running"), by=both))) == 1


def test_a_hold_blocks_no_scoring() -> None:
    state = State(champion=version("3"), previous=version("2"))
    outcome = wake(state, Evidence(command=Command("c", "ada", "bad", "rollback")))
    assert outcome.state.hold is not None
    assert [start.request["champion"]["version"] for start in starts(outcome)] == ["2"]


def test_observe_starts_nothing_and_records_what_was_due() -> None:
    outcome = wake(CHAMPION, by=policy(NIGHTLY, mode="observe"))
    assert not starts(outcome)
    assert changes(outcome) == ["not_scored"]
    assert not changes(wake(applied(outcome.state), now=FIVE + HOUR, by=policy(NIGHTLY, mode="observe")))


@pytest.mark.parametrize("outcome", ["scored", "empty"])
def test_a_job_that_ended_well_moves_the_watermark(outcome: str) -> None:
    state = started()
    done = applied(wake(state, seen(state, "dead", outcome), FIVE + HOUR).state)
    [start] = starts(wake(done, now=FIVE + DAY))

    assert start.request["after"] == "2024-06-01T05:00:00Z"
    assert start.request["part"] == "20240602T050000Z"


@pytest.mark.parametrize("outcome", ["failed", "lost", "anything"])
def test_the_job_after_one_that_failed_takes_its_rows_and_its_file(outcome: str) -> None:
    state = started()
    done = applied(wake(state, seen(state, "dead", outcome), FIVE + HOUR).state)
    [start] = starts(wake(done, now=FIVE + DAY))

    assert start.request["after"] is None
    assert start.request["part"] == "20240601T050000Z"


def test_one_that_replaces_scores_all_each_time() -> None:
    by = policy({**WHOLE, "name": "nightly"})
    state = applied(wake(CHAMPION, by=by).state)
    done = applied(wake(state, seen(state, "dead", "scored"), FIVE + HOUR, by).state)
    assert [start.request["after"] for start in starts(wake(done, now=FIVE + DAY, by=by))] == [None]


def test_a_dead_job_is_started_again_with_the_same_champion_three_times_in_all() -> None:
    state, keys = started(), []
    state = replace(state, champion=version("4"))
    for launch in (2, 3):
        outcome = wake(state, seen(state, "dead"), FIVE + timedelta(minutes=launch))
        [start] = starts(outcome)
        assert start.launch == start.request["launch"] == launch
        assert start.request["champion"]["version"] == "3"
        keys.append(start.key)
        state = applied(outcome.state)
    assert keys == [f"{job_of(state).id}-2", f"{job_of(state).id}-3"]

    lost = wake(state, seen(state, "dead"), FIVE + timedelta(minutes=5))
    [written] = [action for action in lost.actions if isinstance(action, WriteRecord) and "outcome" in action.record]
    assert lost.again
    assert (written.record["kind"], written.record["outcome"]) == ("score", "lost")
    assert "started 3 times" in written.record["reason"]


def test_past_its_lease_a_job_is_lost_and_its_own_record_stands_if_there_is_one() -> None:
    state = started()
    lost = wake(state, seen(state), FIVE + 2 * HOUR)
    assert lost.again
    assert applied(lost.state).scoring["nightly"].job == job_of(state)

    own = wake(applied(lost.state), seen(state, "dead", "scored"), FIVE + 2 * HOUR)
    assert own.state.scoring["nightly"].scored_until == FIVE


def test_an_unknown_launch_is_made_again_under_its_own_key_while_that_is_safe() -> None:
    state = started()
    again = wake(state, seen(state, "unknown"), FIVE + HOUR)
    assert [start.key for start in starts(again)] == [f"{job_of(state).id}-1"]
    late = replace(job_of(state), lease_until=FIVE + DAY)
    state = replace(state, scoring={"nightly": replace(state.scoring["nightly"], job=late)})
    assert not starts(wake(state, seen(state, "unknown"), FIVE + 5 * HOUR))


def test_a_start_from_the_outbox_holds_its_lease_from_then_on() -> None:
    decided = wake(CHAMPION).state
    owed = wake(decided, now=FIVE + HOUR)
    assert [start.key for start in starts(owed)] == [start.key for start in starts(wake(CHAMPION))]
    assert owed.again
    assert job_of(owed.state).lease_until == FIVE + 3 * HOUR


def test_the_job_of_an_entry_that_is_gone_ends_and_is_not_started_again() -> None:
    state, without = started(), policy()
    assert not starts(wake(state, seen(state), FIVE + HOUR, without))
    lost = wake(state, seen(state, "dead"), FIVE + HOUR, without)
    assert lost.again
    ended = applied(wake(applied(lost.state), seen(state, "dead", "lost"), FIVE + HOUR, without).state)
    assert ended.scoring["nightly"].job is None
    back = wake(ended, now=FIVE + 3 * DAY + HOUR)
    assert not starts(back), "it does not catch up"
