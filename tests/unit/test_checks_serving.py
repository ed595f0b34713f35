"""Servers, rollout steps and rollbacks: what leads to all traffic, and back in time."""

from __future__ import annotations

import pytest
from changed_spec import SERVED, SERVER, findings

LIMITS = "limits: {errors: {error_rate: {max: 1%}}}"
BATCH = "{batch: {rows: parcels, out: x, schedule: {cron: '0 5 * * *', timezone: UTC}}}"


def rollout(steps: str, more: str = "") -> str:
    return SERVER + f"rollout: {{steps: [{steps}], {more}}}"


@pytest.mark.parametrize(
    ("steps", "paths"),
    [
        ("{traffic: 100%}", []),
        ("{smoke: {request: r.json}}, {mirror: 5%, for: 1h}, {traffic: 5%, for: 1h}, {traffic: 100%}", []),
        ("{traffic: 5%}, {approval: {any_of: [x]}}, {traffic: 100%}", []),
        ("{traffic: 50%}", ["steps"]),
        ("{smoke: {request: r.json}}", ["steps"]),
        ("{traffic: 0%}, {traffic: 100%}", ["steps.0.traffic"]),
        ("{traffic: 50%}, {traffic: 50%}, {traffic: 100%}", ["steps.1.traffic"]),
        ("{traffic: 50%}, {traffic: 20%}, {traffic: 100%}", ["steps.1.traffic"]),
        ("{traffic: 100%}, {smoke: {request: r.json}}", ["steps.1"]),
        ("{traffic: 100%}, {traffic: 100%}", ["steps.1"]),
        ("{traffic: 5%}, {mirror: 5%}, {traffic: 100%}", ["steps.1"]),
    ],
)
def test_traffic_rises_to_all(steps: str, paths: list[str]) -> None:
    assert [item.path for item in findings("CT435", rollout(steps))] == [f"rollout.{path}" for path in paths]


SCORES = "gates: {same: {drift: {columns: [score], method: psi, max: 0.1}}}"
GATES = "gates: {slow: {latency: {p99: 30ms}}}"


@pytest.mark.parametrize(
    ("steps", "more", "paths"),
    [
        ("{traffic: 100%}", "", []),
        ("{traffic: 5%, for: 1h}, {traffic: 100%}", LIMITS, []),
        (f"{{traffic: 5%, for: 1h, {GATES}}}, {{traffic: 100%}}", "", []),
        ("{traffic: 5%, for: 1h}, {traffic: 100%}", "", ["steps.0"]),
        ("{mirror: 5%}, {traffic: 5%, for: 1h}, {traffic: 100%}", LIMITS, ["steps.0"]),
        ("{traffic: 100%}", LIMITS, ["limits"]),
        ("{traffic: 100%, for: 1h}", LIMITS, []),
        (f"{{smoke: {{request: r}}, {GATES}}}, {{traffic: 100%}}", "", ["steps.0.gates"]),
        ("{smoke: {request: r}, by: user}, {traffic: 100%}", "", ["steps.0.by"]),
        ("{traffic: 5%, for: 1h, by: user}, {traffic: 100%}", LIMITS, []),
        (f"{{traffic: 5%, for: 1h, {SCORES}}}, {{traffic: 100%}}", "", ["steps.0.gates.same"]),
    ],
)
def test_steps_show_something(steps: str, more: str, paths: list[str]) -> None:
    assert [item.path for item in findings("CT436", rollout(steps, more))] == [f"rollout.{path}" for path in paths]


def test_live_scores_that_are_read_are_no_finding() -> None:
    steps = f"{{traffic: 5%, for: 1h, {SCORES}}}, {{traffic: 100%}}"

    assert findings("CT436", rollout(steps), SERVED) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (SERVER + "rollout: {steps: [{traffic: 100%}]}", None),
        ("rollout: {steps: [{traffic: 100%}]}", "rollout"),
        (f"rollout: {{steps: [{{traffic: 100%}}]}}\nserving: {{nightly: {BATCH}}}", "rollout"),
        (SERVER + f"  nightly: {BATCH}\nrollout: {{steps: [{{traffic: 100%}}]}}", None),
        (SERVER + f"  nightly: {BATCH}\nrollout: {{serving: nightly, steps: [{{traffic: 100%}}]}}", "rollout.serving"),
        (SERVER + "rollout: {serving: apy, steps: [{traffic: 100%}]}", "rollout.serving"),
        (SERVER + "rollout: {serving: api, steps: [{traffic: 100%}]}", None),
    ],
)
def test_rollouts_have_a_server(change: str, path: str | None) -> None:
    assert [item.path for item in findings("CT299", change)] == ([] if path is None else [path])


def test_with_two_servers_one_is_named() -> None:
    two = [SERVER, SERVER.replace("api:", "web:")]

    assert findings("CT299", *two, "rollout: {steps: [{traffic: 100%}]}")
    assert findings("CT299", *two, "rollout: {serving: web, steps: [{traffic: 100%}]}") == []


@pytest.mark.parametrize(
    ("trigger", "keep", "wait"),
    [
        ("performance: {metric: auc, min: 0.6, window: 30d}", "24h", "7d"),
        ("performance: {metric: auc, min: 0.6, window: 30d}, sustained: 6h", "24h", "7d6h"),
        ("performance: {metric: auc, min: 0.6, window: 30d}", "7d", None),
        ("performance: {metric: share, max: 0.6, window: 30d}, sustained: 6h", "24h", None),
        ("drift: {columns: [a], method: psi, max: 1, window: 1d}, sustained: 2d", "24h", "2d"),
        ("drift: {columns: [a], method: psi, max: 1, window: 9d}", "24h", None),
    ],
)
def test_rollbacks_find_the_previous_model(trigger: str, keep: str, wait: str | None) -> None:
    change = f"triggers: {{poor: {{{trigger}, then: rollback}}}}"
    metric = "evaluation: {metrics: {share: {share: {column: score, min: 0.9}, better: neither}}}"
    found = findings("CT437", SERVED, metric, rollout("{traffic: 100%}", f"keep_previous: {keep}"), change)

    assert [f"can tell {wait} after" in item.message for item in found] == ([] if wait is None else [True])
    assert findings("CT437", SERVED, metric, change) == [], "without a rollout nothing is kept ready"


@pytest.mark.parametrize(
    ("trigger", "senseless"),
    [
        ("schedule: {cron: '0 9 * * 1', timezone: UTC}", True),
        ("new_data: {min_rows: 5}", True),
        ("manual: {}", True),
        ("event: {name: e}", False),
        ("drift: {columns: [a], method: psi, max: 1, window: 1d}", False),
    ],
)
def test_rollbacks_have_a_reason(trigger: str, senseless: bool) -> None:
    assert bool(findings("CT296", f"triggers: {{poor: {{{trigger}, then: rollback}}}}")) is senseless


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ("instances: {min: 1, max: 1}", None),
        ("instances: {min: 2, max: 1}", "serving.api.instances.min"),
        ("instances: {min: 2}", None),
    ],
)
def test_numbers_of_servers(change: str, path: str | None) -> None:
    found = findings("CT297", SERVER, f"serving: {{api: {{{change}}}}}")

    assert [item.path for item in found] == ([] if path is None else [path])


@pytest.mark.parametrize(
    ("rows", "wrong"), [("parcels", False), ("arrivals", True), ("parcel", True), ("served", True)]
)
def test_what_a_batch_job_scores(rows: str, wrong: bool) -> None:
    change = f"serving: {{nightly: {BATCH.replace('parcels', rows)}}}"

    assert bool(findings("CT297", SERVED, change)) is wrong


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ((f"serving: {{nightly: {BATCH}}}",), None),
        (("sources: {parcels: {event_time: none}}", f"serving: {{nightly: {BATCH}}}"), "serving.nightly.batch"),
        (
            (
                "sources: {parcels: {event_time: none}}",
                f"serving: {{nightly: {BATCH.replace('x,', 'x, write: replace,')}}}",
            ),
            None,
        ),
        ((f"serving: {{nightly: {BATCH}, weekly: {BATCH.replace('out: x', 'out: x/')}}}",), "serving.weekly.batch.out"),
        ((f"serving: {{nightly: {BATCH}, weekly: {BATCH.replace('out: x', 'out: y')}}}",), None),
        (
            (f"serving: {{nightly: {BATCH}}}", "triggers: {score-nightly: {manual: {}}}"),
            "serving.nightly.batch",
        ),
        (
            (f"serving: {{nightly: {BATCH.replace('out: x', 'out: s3://acme-delivery/parcels/')}}}",),
            "serving.nightly.batch.out",
        ),
    ],
)
def test_batch_jobs_that_can_work(changes: tuple[str, ...], path: str | None) -> None:
    assert [item.path for item in findings("CT297", *changes)] == ([] if path is None else [path])


@pytest.mark.parametrize(("capture", "empty"), [("0%", True), ("1%", False), ("100%", False)])
def test_what_is_captured(capture: str, empty: bool) -> None:
    captured = SERVED.replace('parquet: {path: "s3://acme-delivery/served/"}', "captured: {by: api}")
    found = findings("CT297", captured, SERVER, f"serving: {{api: {{online: {{capture: {capture}}}}}}}")

    assert bool(found) is empty


EVENT = "triggers: {incident: {event: {name: closed, dedupe_by: depot}}}"
MAPPED = "targets: {kubeflow: {events: {closed: {http: {}}}}}"


def test_events_reach_a_target_or_none() -> None:
    assert findings("CT309", EVENT) != []
    assert findings("CT309", EVENT, MAPPED) == findings("CT309", EVENT, "targets: null") == []
    assert findings("CT307", EVENT, MAPPED, target="kubeflow") == []
    assert findings("CT307", EVENT, MAPPED, target="sagemaker") != []
    assert findings("CT307", EVENT, target="sagemaker") == [], "CT309 speaks"
    assert findings("CT308", EVENT, MAPPED) == []
    assert [item.path for item in findings("CT308", MAPPED)] == ["targets.kubeflow.events.closed"]


def test_one_approval() -> None:
    asked = "promotion: {approval: {any_of: [leads]}}"
    step = rollout("{approval: {any_of: [leads]}}, {traffic: 100%}")

    assert findings("CT438", asked, rollout("{traffic: 100%}")) == findings("CT438", step) == []
    assert [item.path for item in findings("CT438", asked, step)] == ["rollout.steps.0.approval"]
