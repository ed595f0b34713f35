"""The alarms of SageMaker at every `wake_every` that the language allows, and the watches behind them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.language.units import LONGEST
from ctc.targets import sagemaker
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.watch import alarms, machine, silence, watched

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
HOUR = 3600


def system_of(name: str) -> System:
    loaded = load_spec(SPECS / f"{name}.yaml", None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "sagemaker")


MINIMAL = system_of("minimal")


def waking(every: timedelta) -> System:
    return replace(MINIMAL, wakes=replace(MINIMAL.wakes, every=every))


@given(st.integers(1, int(LONGEST.total_seconds()) // 60).map(lambda minutes: timedelta(minutes=minutes)))
def test_every_wake_every_has_an_alarm_that_cloudwatch_takes_and_that_waits_three_wakes(every: timedelta) -> None:
    system = waking(every)
    alarm = alarms(system)["wakes"]
    seconds = alarm["Period"] * alarm["EvaluationPeriods"]
    asked = watched(system).get("wakes")

    assert alarm["Period"] % 60 == 0
    assert seconds <= LIMITS["alarm seconds"].value
    assert alarm["Period"] >= HOUR or seconds <= LIMITS["alarm seconds, short periods"].value
    waits = seconds if asked is None else asked.seconds
    assert 3 * every.total_seconds() <= waits < 3 * every.total_seconds() + HOUR
    assert sagemaker.limits(system) == ()


@pytest.mark.parametrize(
    ("every", "watch", "hours"),
    [
        (timedelta(minutes=1), False, 1),
        (timedelta(hours=1), False, 3),
        (timedelta(hours=8, minutes=1), False, 25),
        (timedelta(hours=56), False, 168),
        (timedelta(hours=56, minutes=1), True, 3),
        (timedelta(days=14), True, 3),
    ],
)
def test_what_is_longer_than_cloudwatch_looks_back_is_watched_by_a_state_machine(
    every: timedelta, watch: bool, hours: int
) -> None:
    system = waking(every)
    paths = {item.path for item in sagemaker.emit(system).artifacts}
    alarm = alarms(system)["wakes"]

    assert alarm["EvaluationPeriods"] == hours
    assert (alarm["Namespace"] == "AWS/States") == watch
    assert (
        {"alarms/wakes-machine.json", "schedules/watch-wakes.json", "identities/watch.policy.json"} <= paths
    ) == watch
    assert ("identities/watch.policy.json" in paths) == watch


def test_staleness_is_watched_at_the_service_itself() -> None:
    system = system_of("late_labels")
    found = {item.path: item.content for item in sagemaker.emit(system).artifacts}
    definition = json.loads(found["alarms/staleness-machine.json"])
    body = json.loads(found["schedules/watch-staleness.json"])
    rights = json.loads(found["identities/watch.policy.json"])["Statement"]

    assert watched(system)["staleness"].seconds == 200 * 86_400
    assert definition["States"]["ask"]["Arguments"]["PipelineName"] == f"{system.name}-train"
    assert body["ScheduleExpression"] == "rate(1 hour)"
    assert [item["Action"] for item in rights] == [["sagemaker:ListPipelineExecutions"]]
    assert all(name.endswith(f"pipeline/{system.name}-train") for name in rights[0]["Resource"])


def ended(definition: dict[str, Any], pages: list[dict[str, Any]], now: datetime) -> tuple[str, list[dict[str, Any]]]:
    """The type of the state in which a watch ends, and what it asked: its JSONata read as this file reads it."""
    asked: list[dict[str, Any]] = []
    name, answer = definition["StartAt"], {}
    while True:
        state = definition["States"][name]
        if state["Type"] == "Task":
            arguments = dict(state["Arguments"])
            late = int(arguments["CreatedAfter"].partition("- ")[2].partition(")")[0])
            arguments["CreatedAfter"] = now - timedelta(milliseconds=late)
            if "NextToken" in arguments:
                assert arguments["NextToken"] == "{% $states.input.NextToken %}"
                arguments["NextToken"] = answer["NextToken"]
            asked.append(arguments)
            answer, name = pages[len(asked) - 1], state["Next"]
        elif state["Type"] == "Choice":
            statuses = [item["PipelineExecutionStatus"] for item in answer.get("PipelineExecutionSummaries", [])]
            young, more = state["Choices"]
            assert (
                "'Succeeded' in $states.input.PipelineExecutionSummaries.PipelineExecutionStatus" in young["Condition"]
            )
            assert "$exists($states.input.NextToken)" in more["Condition"]
            name = state["Default"]
            if "Succeeded" in statuses:
                name = young["Next"]
            elif "NextToken" in answer:
                name = more["Next"]
        else:
            return state["Type"], asked


def page(*statuses: str, token: str = "") -> dict[str, Any]:
    found = {"PipelineExecutionSummaries": [{"PipelineExecutionStatus": status} for status in statuses]}
    return {**found, **({"NextToken": token} if token else {})}


@pytest.mark.parametrize(
    ("pages", "end"),
    [
        ([page("Failed", "Succeeded")], "Succeed"),
        ([page("Failed", token="t"), page("Succeeded")], "Succeed"),
        ([page("Failed", "Executing")], "Fail"),
        ([page()], "Fail"),
        ([page("Stopped", token="t"), page()], "Fail"),
    ],
)
def test_a_watch_fails_when_nothing_young_has_ended_well(pages: list[dict[str, Any]], end: str) -> None:
    system = waking(timedelta(days=7))
    now = datetime(2026, 11, 23, tzinfo=UTC)
    found, asked = ended(machine(system, watched(system)["wakes"]), pages, now)

    assert found == end
    assert len(asked) == len(pages)
    assert asked[0]["CreatedAfter"] == now - timedelta(seconds=silence(system))
    assert [item.get("NextToken") for item in asked[1:]] == ["t"] * (len(pages) - 1)
