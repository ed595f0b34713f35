"""What the gates can tell and promise, and who is asked."""

from __future__ import annotations

import pytest
from changed_spec import findings

NIGHTLY = "triggers: {weekly: null, nightly: {schedule: {cron: '0 3 * * *', timezone: UTC}}}"
MORE = "triggers: {more: {new_data: {min_rows: 100}}}"
FALSE = "promotion: {false_promotions: {max: 1, per: 365d}}"
SLICE = "evaluation: {slices: {region: {column: region, min_rows: %d}}}"


def margin(words: str) -> str:
    return f"promotion: {{gates: {{not_worse: {{not_worse: {{{words}}}}}}}}}"


def better(words: str, metric: str = "auc") -> str:
    return f"promotion: {{gates: {{not_worse: null, better: {{min_gain: {{metric: {metric}, {words}}}}}}}}}"


@pytest.mark.parametrize(
    ("change", "more", "wrong"),
    [
        (margin("margin: 0.01"), "", False),
        (margin("margin: 0.001"), "", True),
        (margin("margin: 0.001"), "retraining: {holdout: {min_rows: 400000}}", False),
        (margin("margin: 0.01"), "retraining: {holdout: {min_positives: 15}}", True),
        (margin("margin: {relative: 2%}"), "", False),
        (margin("margin: {relative: 0.1%}"), "", True),
        (margin("margin: 0.01, by: region"), SLICE % 100, True),
        (margin("margin: 0.01, by: region"), SLICE % 2000, False),
        (margin("margin: 0.01, by: nowhere"), SLICE % 100, False),
        (margin("margin: 0"), "retraining: {holdout: {min_rows: 1000000}}", True),
        (margin("margin: -0.01"), "", False),
        (margin("margin: 0.001"), "mode: observe", False),
        (margin("margin: 0.0001"), "evaluation: {metrics: {auc: {roc_auc: null, pr_auc: {}}}}", False),
        (margin("margin: 0.0001"), "evaluation: {metrics: {auc: {roc_auc: null, accuracy: {}}}}", True),
    ],
)
def test_a_margin_that_can_be_shown(change: str, more: str, wrong: bool) -> None:
    assert [item.path for item in findings("CT410", change, more)] == (
        ["promotion.gates.not_worse.not_worse.margin"] if wrong else []
    )


@pytest.mark.parametrize("words", ["margin: 0.001", "margin: {relative: 0.2%}"])
def test_the_advice_about_a_margin_is_enough(words: str) -> None:
    """The margin that is advised is no longer warned about; nor is the old one on the rows that are advised."""
    [item] = findings("CT410", margin(words))
    advised = item.help.split("allow ")[1].split(" or more")[0].strip("`")
    times = float(item.help.split("judge on ")[1].split(" times")[0].replace(",", ""))

    assert findings("CT410", margin(f"margin: {advised}")) == []
    assert findings("CT410", margin(words), f"retraining: {{holdout: {{min_rows: {int(2000 * times)}}}}}") == []
    assert findings("CT410", margin(words), f"retraining: {{holdout: {{min_rows: {int(2000 * times / 8)}}}}}") != []


@pytest.mark.parametrize(
    ("value", "rows", "wrong"),
    [(0.001, 2000, True), (0.02, 2000, False), (0.001, 500000, False), (0, 2000, False)],
)
def test_a_gain_that_can_be_seen(value: float, rows: int, wrong: bool) -> None:
    found = findings("CT411", better(f"value: {value}"), f"retraining: {{holdout: {{min_rows: {rows}}}}}")

    assert bool(found) is wrong


@pytest.mark.parametrize(
    ("change", "more", "wrong"),
    [
        (better("value: 0, confidence: 95%"), NIGHTLY, True),
        (better("value: 0, confidence: 99.8%"), NIGHTLY, False),
        (better("value: 0"), "triggers: {weekly: {schedule: {cron: '0 3 1 * *'}}}", False),
        (better("value: 0, confidence: 95%"), f"{{{NIGHTLY}, {FALSE}}}", False),
        (better("value: 0.05, confidence: 95%"), NIGHTLY, False),
        (better("value: 0, confidence: 95%"), MORE, False),
        (margin("margin: 0.05"), NIGHTLY, False),
        (better("value: 0.1", "loss"), f"{{{NIGHTLY}, evaluation: {{metrics: {{loss: {{log_loss: {{}}}}}}}}}}", False),
    ],
)
def test_equals_that_chance_promotes(change: str, more: str, wrong: bool) -> None:
    assert bool(findings("CT412", change, more)) is wrong


@pytest.mark.parametrize(
    ("task", "kind", "bound", "wrong"),
    [
        ("binary", "roc_auc", "min: 0.5", True),
        ("binary", "roc_auc", "min: 0.51", False),
        ("binary", "roc_auc", "min: 0", False),
        ("binary", "balanced_accuracy", "min: 0.4", True),
        ("multiclass", "balanced_accuracy", "min: 0.4", False),
        ("binary", "brier", "max: 0.25", True),
        ("binary", "brier", "max: 0.2", False),
        ("binary", "log_loss", "max: 0.7", True),
        ("binary", "log_loss", "max: 0.69", False),
        ("multiclass", "log_loss", "max: 0.7", False),
        ("regression", "r2", "min: 0", True),
        ("regression", "r2", "min: -1", True),
        ("regression", "r2", "min: 0.1", False),
        ("binary", "pr_auc", "min: 0.01", False),
    ],
)
def test_a_floor_above_what_nothing_learnt_reaches(task: str, kind: str, bound: str, wrong: bool) -> None:
    gate = f"promotion: {{gates: {{floor: {{range: {{metric: m, min: null, {bound}}}}}}}}}"
    found = findings("CT413", f"task: {task}", f"evaluation: {{metrics: {{m: {{{kind}: {{}}}}}}}}", gate)

    assert bool(found) is wrong


@pytest.mark.parametrize(
    ("confidence", "triggers", "wrong"), [("95%", NIGHTLY, True), ("97.5%", NIGHTLY, False), ("95%", "{}", False)]
)
def test_a_gate_that_becomes_much_stricter(confidence: str, triggers: str, wrong: bool) -> None:
    found = findings("CT414", FALSE, triggers, margin(f"confidence: {confidence}, margin: 0.1"))

    assert [("99.726%" in item.message) for item in found] == ([True] if wrong else [])


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ([FALSE], False),
        ([FALSE, MORE], True),
        ([FALSE, MORE, "trigger_policy: {max_runs: {count: 4, per: 30d}}"], False),
        ([FALSE, MORE, "trigger_policy: {cooldown: 1d}"], False),
        ([MORE], False),
        ([FALSE, MORE, "retraining: {strategy: incremental, full_every: 30d}"], False),
    ],
)
def test_attempts_that_nothing_bounds(changes: list[str], wrong: bool) -> None:
    assert bool(findings("CT415", *changes)) is wrong


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        (["retraining: {holdout: {min_rows: 30}}"], []),
        (["retraining: {holdout: {min_rows: 29}}"], ["retraining.holdout.min_rows"]),
        (["retraining: {holdout: {min_rows: null, min_positives: 50}}"], []),
        (["retraining: {holdout: {min_rows: null}}", "promotion: {gates: {not_worse: null}}"], []),
        ([SLICE % 1, margin("by: region")], ["evaluation.slices.region.min_rows"]),
        ([SLICE % 1], []),
        (["retraining: {holdout: {min_rows: 29}}", "mode: observe"], []),
        (["retraining: {holdout: {min_rows: 1}}", better("value: 0"), margin("metric: auc, margin: 1")],
         ["retraining.holdout.min_rows"]),
    ],
)  # fmt: skip
def test_a_comparison_on_hardly_any_rows(changes: list[str], paths: list[str]) -> None:
    assert [item.path for item in findings("CT416", *changes)] == paths


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([FALSE], ""),
        ([FALSE, "retraining: {strategy: incremental, full_every: 30d}"], "incremental"),
        ([FALSE, "promotion: {gates: {not_worse: null}}"], "no gate tests"),
        (["promotion: {false_promotions: {max: 1, per: 0d}}"], "no time"),
    ],
)
def test_a_limit_that_something_obeys(changes: list[str], said: str) -> None:
    assert [said in item.message for item in findings("CT417", *changes)] == ([True] if said else [])


@pytest.mark.parametrize(
    ("expires", "wake", "wrong"), [("30m", "1h", True), ("1h", "1h", False), ("2d", "3d", True), ("0d", "1m", True)]
)
def test_an_answer_that_can_be_in_time(expires: str, wake: str, wrong: bool) -> None:
    approval = f"approval: {{any_of: [a], expires: {expires}}}"
    found = findings(
        "CT418", f"promotion: {{{approval}, first: {{{approval}}}}}", f"trigger_policy: {{wake_every: {wake}}}"
    )

    paths = ["promotion.approval.expires", "promotion.first.approval.expires"]
    assert [item.path for item in found] == (paths if wrong else [])


@pytest.mark.parametrize(
    ("expires", "triggers", "policy", "wrong"),
    [
        ("7d", "{}", "", False),
        ("8d", "{}", "", True),
        ("2d", NIGHTLY, "", True),
        ("2d", NIGHTLY, "cooldown: 3d", False),
        ("30d", "triggers: {weekly: null, asked: {manual: {}}}", "", False),
        ("10m", NIGHTLY, "", False),
    ],
)
def test_an_approval_that_is_overtaken(expires: str, triggers: str, policy: str, wrong: bool) -> None:
    approval = f"promotion: {{approval: {{any_of: [a], expires: {expires}}}}}"

    assert bool(findings("CT419", approval, triggers, f"trigger_policy: {{{policy}}}")) is wrong


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("if_not_evaluable: ask", True),
        ("if_not_evaluable: hold", False),
        ("if_not_evaluable: ask, approval: {all_of: [a, b]}", False),
        ("if_not_evaluable: ask, first: {approval: {any_of: [a]}}", True),
    ],
)
def test_somebody_is_there_to_be_asked(words: str, wrong: bool) -> None:
    assert bool(findings("CT420", f"promotion: {{{words}}}")) is wrong
