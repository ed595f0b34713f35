"""The names of SageMaker's resources: as long as each service takes, and never two alike."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.language.load import load_spec
from ctc.targets import sagemaker
from ctc.targets.sagemaker.limit_table import LIMITS
from ctc.targets.sagemaker.limits import named
from ctc.targets.sagemaker.names import LENGTHS, Named, meeting, shortened

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"


def canary() -> System:
    loaded = load_spec(SPECS / "canary.yaml", None, "sagemaker")
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "sagemaker")


CANARY = canary()


@given(st.from_regex(r"[a-z][a-z0-9-]*[a-z0-9]", fullmatch=True), st.sampled_from(sorted(LENGTHS)))
def test_a_shortened_name_fits_and_tells_its_whole(name: str, kind: str) -> None:
    made = shortened(name, kind)

    assert len(made) <= LENGTHS[kind] == LIMITS[kind].value
    assert made == name or (len(name) > LENGTHS[kind] and made != shortened(name + "x", kind))


@pytest.mark.parametrize("length", [1, 40, 55, 63, 64, 71, 76, 77])
def test_long_names_are_cut_but_for_those_of_pipelines(length: int) -> None:
    name = "n" * length
    system = replace(CANARY, name=name, wakes=replace(CANARY.wakes, every=timedelta(days=30)))
    found = named(system)

    assert {item.kind for item in found} >= set(LENGTHS) - {"model name", "endpoint name"}
    for item in found:
        assert len(item.name) <= LENGTHS[item.kind] or item.kind == "pipeline name"
        assert re.fullmatch(r"[A-Za-z0-9](-*[A-Za-z0-9_])*", item.name)
    refused = {(item.code, item.path) for item in sagemaker.limits(system) if item.code == "CT343"}
    assert refused == ({("CT343", "name")} if length + len("-record") > 82 else set())


def test_two_triggers_that_make_one_schedule_are_refused_with_their_place() -> None:
    either = "0 3 1 * mon"
    crons = (("weekly", either, "UTC"), ("weekly-2", "0 4 * * *", "UTC"))
    system = replace(CANARY, wakes=replace(CANARY.wakes, crons=crons))
    [found] = sagemaker.limits(system)

    assert (found.code, found.path) == ("CT355", "triggers.weekly-2.schedule.cron")
    assert "triggers.weekly.schedule.cron" in found.message


def test_names_that_differ_in_case_only_meet() -> None:
    first, second = Named("role name", "a-Events", "name"), Named("role name", "a-events", "name")

    assert list(meeting([first, second, Named("rule name", "a-events", "name")])) == [(first, second)]


def test_a_policy_that_is_too_long_is_refused() -> None:
    settings = {
        **CANARY.settings,
        "subnets": [f"subnet-{'0' * 300}{n}" for n in range(16)],
        "security_groups": ["sg-1"],
    }
    found = {(item.code, item.path) for item in sagemaker.limits(replace(CANARY, settings=settings))}

    assert ("CT357", "sources") in found


@pytest.mark.parametrize(("key", "count"), [("subnets", 17), ("security_groups", 6)])
def test_a_job_has_so_many_networks(key: str, count: int) -> None:
    settings = {**CANARY.settings, "subnets": ["subnet-1"], "security_groups": ["sg-1"]}
    settings[key] = [f"x-{number}" for number in range(count)]
    found = {(item.code, item.path) for item in sagemaker.limits(replace(CANARY, settings=settings))}

    assert ("CT347", f"targets.sagemaker.{key}") in found
