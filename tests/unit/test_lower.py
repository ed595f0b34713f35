"""Lowering: the two pipelines, their data flow, and the digest of what a spec means."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ctc.compiler.document import document
from ctc.compiler.ir import Branch, Node, Step, System
from ctc.compiler.lower import bucket_uri, digest, lower
from ctc.compiler.training import fill_hyperparameters
from ctc.language.load import load_spec
from ctc.language.spec import Check, DriftTrigger, Gate, Occurrences, PerformanceTrigger, Spec, Trigger
from ctc.language.spec.serving import Instances, Online, Rollout, RolloutStep, Serving, Smoke

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def spec() -> Spec:
    loaded = load_spec(ROOT / "specs" / "minimal.yaml", None, None)
    assert loaded.spec is not None
    return loaded.spec


@pytest.fixture
def system(spec: Spec) -> System:
    return lower(spec, "kubeflow")


def test_every_reference_is_to_an_output_of_an_earlier_step_in_reach(system: System) -> None:
    """A step inside a branch may read what stands before the branch; nothing reads out of a branch."""

    def walk(nodes: tuple[Node, ...], known: dict[str, Step]) -> None:
        reach = dict(known)
        for node in nodes:
            if isinstance(node, Branch):
                assert node.on.output in reach[node.on.step].flags
                walk(node.then, reach)
            else:
                for _, ref in node.inputs:
                    assert ref.output in reach[ref.step].outputs
                reach[node.name] = node

    walk(system.train.body, {})


def test_parameters_that_steps_read_are_declared(system: System) -> None:
    for pipeline in (system.wake, system.train):
        declared = {parameter.name for parameter in pipeline.parameters}
        for step in pipeline.steps():
            assert set(step.parameters) <= declared
            assert {name for _, name in step.imports} <= declared


def test_the_users_steps_never_meet_what_they_must_not(system: System) -> None:
    """`train` is given no holdout, the predictions no labelled rows."""
    steps = {step.name: step for step in system.train.steps()}

    assert {ref.output for _, ref in steps["train"].inputs} == {"train", "valid"}
    for name in ("predict-contender", "predict-champion"):
        assert {ref.output for _, ref in steps[name].inputs} <= {"rows", "model"}


def test_record_runs_whatever_happens(system: System) -> None:
    assert system.train.on_exit is not None
    assert system.train.on_exit.name == "record"
    assert system.train.on_exit.inputs == ()


def test_the_digest_is_of_meaning_and_not_of_addresses(spec: Spec) -> None:
    moved = replace(spec, targets={"kubeflow": {"bucket": "elsewhere"}})
    changed = replace(spec, mode="observe" if spec.mode == "act" else "act")

    assert digest(moved) == digest(spec)
    assert digest(changed) != digest(spec)


def test_hyperparameters_fill_their_places_only() -> None:
    words = fill_hyperparameters(("--depth", "{hp.depth}", "x={hp.on}", "{train}"), {"depth": 8, "on": True})

    assert words == ("--depth", "8", "x=true", "{train}")


@pytest.mark.parametrize(
    ("bucket", "uri"), [("acme", "s3://acme"), ("gs://acme/", "gs://acme"), ("minio://a/b", "minio://a/b")]
)
def test_a_bare_bucket_speaks_s3(bucket: str, uri: str) -> None:
    assert bucket_uri(bucket) == uri


def test_the_model_reaches_evaluation_only_where_its_size_matters(spec: Spec) -> None:
    weighed = replace(spec, promotion=replace(spec.promotion, gates=(Gate("small", "model_size", max=1e6),)))

    for given, expected in ((spec, False), (weighed, True)):
        steps = {step.name: step for step in lower(given, "kubeflow").train.steps()}
        assert ("model" in dict(steps["evaluate"].inputs)) is expected


def test_triggers_that_watch_say_all_that_they_are_judged_by(spec: Spec) -> None:
    metric = spec.evaluation.metrics[0]
    day = timedelta(days=1)
    moved = DriftTrigger(("a", "b"), "psi", 7 * day, require="30%", false_alarms=Occurrences(1, 90 * day))
    worse = PerformanceTrigger(metric.name, day, drop=0.1, min_rows=50)
    spec = replace(
        spec,
        triggers=(
            Trigger("moved", moved, sustained=timedelta(hours=6)),
            Trigger("worse", worse, wait_for=100),
        ),
    )
    made = document(spec, "wake", target="kubeflow", root="s3://b", spec_digest="d")["policy"]["triggers"]["triggers"]
    live = {"every": spec.trigger_policy.wake_every.total_seconds(), "known_after": made[0]["known_after"]}
    assert made[0] == {
        "name": "moved",
        "enabled": True,
        "exempt": False,
        "then": "retrain",
        "kind": "drift",
        **live,
        "sustained": 21600.0,
        "wait_for": None,
        "source": spec.rows.name,
        "columns": ["a", "b"],
        "method": "psi",
        "max": None,
        "false_alarms": {"max": 1, "per": 90 * 86400.0},
        "window": 7 * 86400.0,
        "baseline": "champion",
        "require": 0.3,
        "min_rows": 1000,
    }
    assert made[1] == {
        "name": "worse",
        "enabled": True,
        "exempt": False,
        "then": "retrain",
        "kind": "performance",
        **live,
        "sustained": None,
        "wait_for": 100,
        "metric": {
            "name": metric.name,
            "kind": metric.kind,
            "arguments": dict(metric.arguments),
            "better": metric.better,
        },
        "min": None,
        "max": None,
        "drop": 0.1,
        "window": 86400.0,
        "min_rows": 50,
    }


def test_a_server_asks_for_what_it_uses(spec: Spec) -> None:
    online = Online("i", ("serve", "{model}"), 8080, "/health", "/predict")
    steps = (RolloutStep(smoke=Smoke("ask.json")), RolloutStep(mirror=0.1), RolloutStep(traffic=1.0))

    def asked(serving: Serving, rollout: Rollout | None) -> dict[str, str]:
        features = lower(replace(spec, serving=(serving,), rollout=rollout), "kubeflow").features
        return {name: place for name, place in features if name.startswith(("serving.", "rollout."))}

    plain, full = Serving("api", online), Serving("api", replace(online, capture=0.5), instances=Instances(2, 4))
    system = lower(replace(spec, serving=(full,), rollout=Rollout(steps)), "kubeflow")

    assert asked(plain, None) == {"serving.online": "serving.api"}
    assert asked(full, Rollout(steps)) == {
        "rollout.mirror": "rollout.steps.1",
        "rollout.smoke": "rollout.steps.0",
        "rollout.traffic": "rollout.steps.2",
        "serving.capture": "serving.api.online.capture",
        "serving.instances": "serving.api.instances",
        "serving.online": "serving.api",
    }
    assert system.rollout is not None
    assert [(step.kind, step.share) for step in system.rollout.steps] == [
        ("smoke", 0.0), ("mirror", 0.1), ("traffic", 1.0),
    ]  # fmt: skip
    assert (system.rollout.serving, system.servers[0].most, system.servers[0].argv) == ("api", 4, ("serve", "{model}"))
    assert lower(replace(spec, rollout=Rollout(steps)), "kubeflow").rollout is None


def test_rows_that_a_check_may_set_aside_have_an_output(spec: Spec) -> None:
    light = Check("light", "range", {"column": "weight", "max": 9.0}, on_fail="quarantine")
    outputs = {}
    for name, checks in (("without", spec.checks), ("with", (*spec.checks, light))):
        first = lower(replace(spec, checks=checks), "kubeflow").train.body[0]
        assert isinstance(first, Step)
        outputs[name] = first.outputs

    assert outputs["with"] == (*outputs["without"], "quarantine")
    assert "quarantine" not in outputs["without"]
