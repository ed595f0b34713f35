"""Metrics, slices and units: what they need, and what leaves them nothing to measure."""

from __future__ import annotations

import pytest
from changed_spec import findings

from ctc.language.checks.gates import HIGHEST, LABEL_FREE, LOWEST, TASKS, direction_of
from ctc.language.spec import Metric
from ctc.language.typed import HIGHER_IS_BETTER

UNLABELLED = "{label: none, sources: {arrivals: null}}"


def metric(words: str) -> str:
    return f"evaluation: {{metrics: {{m: {{{words}}}}}}}"


def paths(code: str, *changes: str) -> list[str]:
    return [item.path.removeprefix("evaluation.") for item in findings(code, *changes)]


def test_every_kind_has_a_task_a_direction_and_a_span() -> None:
    assert TASKS.keys() == HIGHER_IS_BETTER.keys() == LOWEST.keys() == HIGHEST.keys()
    assert all(LOWEST[kind] < HIGHEST[kind] for kind in TASKS)
    assert {kind for kind, higher in HIGHER_IS_BETTER.items() if higher is None} == set(LABEL_FREE)
    assert direction_of(Metric("m", "mae", {}, "higher")) == "lower"
    assert direction_of(Metric("m", "mean", {"column": "x"}, "higher")) == "higher"


@pytest.mark.parametrize(
    ("task", "words", "fits"),
    [
        ("binary", "roc_auc: {}", True),
        ("multiclass", "roc_auc: {}", False),
        ("multiclass", "f1: {}", True),
        ("regression", "accuracy: {}", False),
        ("regression", "pinball: {quantile: 0.9}", True),
        ("{ranking: {group: day}}", "ndcg: {k: 10}", True),
        ("binary", "ndcg: {k: 10}", False),
        ("{forecast: {series: [store], every: 1d, horizon: 7d}}", "mape: {}", True),
        ("{forecast: {series: [store], every: 1d, horizon: 7d}}", "ndcg: {k: 10}", False),
        ("{ranking: {group: day}}", "mean: {column: earned}", True),
    ],
)
def test_a_metric_of_the_task(task: str, words: str, fits: bool) -> None:
    assert ("metrics.m." in str(paths("CT246", f"task: {task}", metric(words)))) is not fits


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("slices: {s: {column: region}}", ["slices.s.column"]),
        ("slices: {s: {column: weight}}", []),
        ("unit: [weight, region]", ["unit.1"]),
        ("metrics: {m: {mean: {column: region}}}", ["metrics.m.mean.column"]),
        ("{metrics: {m: {mean: {column: region}}}, score: {image: x, argv: [x]}}", []),
        ("slices: {s: {column: late}}", ["slices.s.column"]),
        ("slices: {s: {column: parcel_id}}", ["slices.s.column"]),
        ("slices: {s: {column: parcel_id, edges: [1000]}}", []),
    ],
)
def test_the_columns_of_evaluation(change: str, wrong: list[str]) -> None:
    change = change if change.startswith("{") else f"{{{change}}}"

    assert paths("CT247", "columns: {drop: [region]}", f"evaluation: {change}") == wrong


@pytest.mark.parametrize(
    ("task", "edges", "wrong"),
    [("binary", "", True), ("multiclass", "", False), ("regression", "", True), ("regression", "[1, 9]", False)],
)
def test_a_slice_by_the_label_that_says_something(task: str, edges: str, wrong: bool) -> None:
    """The recall of each class; the error on large values."""
    part = f"{{column: late, edges: {edges}}}" if edges else "{column: late}"

    assert bool(findings("CT247", f"task: {task}", f"evaluation: {{slices: {{s: {part}}}}}")) is wrong


@pytest.mark.parametrize(
    ("task", "label", "wrong"),
    [
        ("binary", "", False),
        ("binary", UNLABELLED, True),
        ("multiclass", "", True),
        ("regression", "", True),
        ("{ranking: {group: day}}", "", True),
    ],
)
def test_positives_are_of_two_classes(task: str, label: str, wrong: bool) -> None:
    counts = "{retraining: {holdout: {min_positives: 1}}, evaluation: {slices: {s: {column: x, min_positives: 1}}}}"
    found = paths("CT249", f"task: {task}", label, counts)

    assert found == (["retraining.holdout.min_positives", "slices.s.min_positives"] if wrong else [])
    assert findings("CT249", f"task: {task}", label) == []


def test_without_labels_only_answers_are_measured() -> None:
    free = metric("share: {column: score, min: 0.9}")

    assert paths("CT250", UNLABELLED, free) == ["metrics.auc.roc_auc"]
    assert paths("CT250", UNLABELLED, free, "evaluation: {metrics: {auc: null}}") == []
    assert findings("CT250") == []


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        ("roc_auc: {}, better: lower", True),
        ("roc_auc: {}, better: neither", True),
        ("roc_auc: {}, better: higher", False),
        ("mae: {}, better: higher", True),
        ("mean: {column: x}, better: lower", False),
    ],
)
def test_the_direction_of_a_kind(words: str, wrong: bool) -> None:
    assert paths("CT251", metric(words)) == (["metrics.m.better"] if wrong else [])


@pytest.mark.parametrize(
    ("task", "words", "wrong"),
    [
        ("regression", "pinball: {quantile: 0}", ".quantile"),
        ("regression", "pinball: {quantile: 1}", ".quantile"),
        ("regression", "pinball: {quantile: 0.01}", ""),
        ("binary", "recall_at_fpr: {fpr: 0}", ".fpr"),
        ("binary", "precision_at_fpr: {fpr: 100%}", ".fpr"),
        ("binary", "recall_at_fpr: {fpr: 0.1%}", ""),
        ("binary", "recall: {threshold: 0}", ".threshold"),
        ("binary", "accuracy: {threshold: 1}", ".threshold"),
        ("binary", "accuracy: {threshold: 0.9}", ""),
        ("multiclass", "accuracy: {threshold: 0.9}", ".threshold"),
        ("multiclass", "accuracy: {}", ""),
        ("multiclass", "f1: {average: micro}", ""),
        ("binary", "f1: {average: micro}", ".average"),
        ("binary", "share: {column: x, min: 2, max: 1}", ".min"),
        ("binary", "share: {column: x, min: 1, max: 1}", ""),
    ],
)
def test_arguments_that_leave_nothing_to_measure(task: str, words: str, wrong: str) -> None:
    kind = words.partition(":")[0]

    assert paths("CT252", f"task: {task}", metric(words)) == ([f"metrics.m.{kind}{wrong}"] if wrong else [])


@pytest.mark.parametrize(("edges", "wrong"), [([1, 2, 3], None), ([3, 1, 2], 1), ([1, 3, 2], 2), ([-1, 0], None)])
def test_edges_rise(edges: list[int], wrong: int | None) -> None:
    found = findings("CT253", f"evaluation: {{slices: {{s: {{column: x, edges: {edges}}}}}}}")

    assert [item.path[-1] for item in found] == ([] if wrong is None else [str(wrong)])
    assert all(item.help == f"write {sorted(edges)}" for item in found)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("metrics: {m: {roc_auc: {}}}", ["metrics.m"]),
        ("metrics: {a: {accuracy: {}}, b: {accuracy: {threshold: 0.5}}}", ["metrics.b"]),
        ("metrics: {a: {accuracy: {}}, b: {accuracy: {threshold: 0.6}}}", []),
        ("slices: {a: {column: x}, b: {column: x, min_rows: 9}}", ["slices.b"]),
        ("slices: {a: {column: x, edges: [1]}, b: {column: x, edges: [2]}}", []),
    ],
)
def test_the_same_twice(change: str, wrong: list[str]) -> None:
    assert paths("CT254", f"evaluation: {{{change}}}") == wrong


@pytest.mark.parametrize(("unit", "wrong"), [("parcel_id", True), ("customer, parcel_id", True), ("customer", False)])
def test_a_unit_is_more_than_a_row(unit: str, wrong: bool) -> None:
    assert bool(findings("CT255", f"evaluation: {{unit: [{unit}]}}")) is wrong


@pytest.mark.parametrize(
    ("holdout", "change", "wrong"),
    [
        ("min_rows: 2000", "slices: {s: {column: x, min_rows: 2000}}", []),
        ("min_rows: 2000", "slices: {s: {column: x, min_rows: 2001}}", ["slices.s.min_rows"]),
        ("min_rows: null", "slices: {s: {column: x, min_rows: 2001}}", []),
        ("min_rows: 2000", "metrics: {m: {precision_at_k: {k: 1999}}}", []),
        ("min_rows: 2000", "metrics: {m: {recall_at_k: {k: 2000}}}", ["metrics.m.recall_at_k.k"]),
        ("min_rows: 2000, min_positives: 2000", "", []),
        ("min_rows: 2000, min_positives: 2001", "", ["retraining.holdout.min_positives"]),
        ("min_rows: null, min_positives: 200", "", []),
        ("min_positives: 50", "slices: {s: {column: x, min_positives: 51}}", ["slices.s.min_positives"]),
        ("min_positives: 50", "slices: {s: {column: x, min_positives: 50}}", []),
    ],
)
def test_counts_that_the_holdout_need_not_reach(holdout: str, change: str, wrong: list[str]) -> None:
    assert paths("CT256", f"retraining: {{holdout: {{{holdout}}}}}", f"evaluation: {{{change}}}") == wrong
