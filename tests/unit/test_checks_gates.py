"""Gates: bounds, directions, slices, servers, and what one gate says about another."""

from __future__ import annotations

import pytest
from changed_spec import SERVER, findings

SLICE = "evaluation: {slices: {region: {column: region, min_rows: 200}}}"
BATCH = "{rows: x, out: y, schedule: {cron: '0 3 * * *', timezone: UTC}}"


def gates(*given: str) -> str:
    """A change of the promotion that has these gates only, named a, b, c."""
    named = ", ".join(f"{name}: {{{gate}}}" for name, gate in zip("abc", given, strict=False))
    return f"promotion: {{gates: {{floor: null, not_worse: null, {named}}}}}"


def metric(words: str) -> str:
    return f"evaluation: {{metrics: {{m: {{{words}}}}}}}"


def paths(code: str, *changes: str) -> list[str]:
    return [item.path.removeprefix("promotion.gates.") for item in findings(code, *changes)]


@pytest.mark.parametrize(
    ("gate", "more", "wrong"),
    [
        ("range: {metric: auc, min: 0.6, max: 0.6}", "", []),
        ("range: {metric: auc, min: 0.7, max: 0.6}", "", ["a.range.min"]),
        ("latency: {p50: 25ms, p99: 25ms}", "", []),
        ("latency: {p50: 26ms, p99: 25ms}", "", ["a.latency.p50"]),
        ("latency: {p50: 26ms}", "", []),
    ],
)
def test_bounds_are_in_order(gate: str, more: str, wrong: list[str]) -> None:
    assert paths("CT243", gates(gate), more) == wrong


@pytest.mark.parametrize(
    ("kind", "gate", "wrong"),
    [
        ("roc_auc: {}", "range: {metric: m, min: 1}", []),
        ("roc_auc: {}", "range: {metric: m, min: 1.01}", ["a.range.min"]),
        ("roc_auc: {}", "range: {metric: m, min: 0}", ["a.range.min"]),
        ("roc_auc: {}", "range: {metric: m, min: 0, max: 0.9}", []),
        ("r2: {}", "range: {metric: m, min: -5}", []),
        ("r2: {}", "range: {metric: m, max: 1}", ["a.range.max"]),
        ("log_loss: {}", "range: {metric: m, max: -0.1}", ["a.range.max"]),
        ("roc_auc: {}", "not_worse: {metric: m, margin: 0.99}", []),
        ("roc_auc: {}", "not_worse: {metric: m, margin: 1}", ["a.not_worse.margin"]),
        ("log_loss: {}", "not_worse: {metric: m, margin: 5}", []),
        ("roc_auc: {}", "min_gain: {metric: m, value: 1}", ["a.min_gain.value"]),
        ("roc_auc: {}", "not_worse: {metric: m, margin: {relative: 99%}}", []),
        ("roc_auc: {}", "not_worse: {metric: m, margin: {relative: 100%}}", ["a.not_worse.margin.relative"]),
        ("log_loss: {}", "not_worse: {metric: m, margin: {relative: 100%}}", []),
        ("r2: {}", "not_worse: {metric: m, margin: {relative: 100%}}", []),
        ("roc_auc: {}", "parity: {metric: m, by: region, min_ratio: 0}", ["a.parity.min_ratio"]),
        ("roc_auc: {}", "parity: {metric: m, by: region, min_ratio: 100%}", ["a.parity.min_ratio"]),
        ("roc_auc: {}", "parity: {metric: m, by: region, min_ratio: 80%}", []),
    ],
)
def test_a_gate_can_go_both_ways(kind: str, gate: str, wrong: list[str]) -> None:
    assert paths("CT244", metric(kind), SLICE, gates(gate)) == wrong


@pytest.mark.parametrize(
    ("kind", "words", "wrong"),
    [
        ("roc_auc: {}", "min: 0.6", []),
        ("roc_auc: {}", "max: 0.6", ["a.range.max"]),
        ("roc_auc: {}", "min: 0.6, max: 0.9", []),
        ("roc_auc: {}", "max: 1", []),
        ("roc_auc: {}", "max: -1", []),
        ("log_loss: {}", "max: 0.6", []),
        ("log_loss: {}", "min: 0.6", ["a.range.min"]),
        ("r2: {}", "max: 0.6", ["a.range.max"]),
        ("mean: {column: cost}", "max: 3", []),
        ("mean: {column: cost}", "min: 3", []),
        ("mean: {column: cost}, better: lower", "min: 3", ["a.range.min"]),
        ("mean: {column: gain}, better: higher", "max: 3", ["a.range.max"]),
        ("roc_auc: {}, better: lower", "min: 0.6", []),
    ],
)
def test_a_bound_faces_the_worse_side(kind: str, words: str, wrong: list[str]) -> None:
    assert paths("CT258", metric(kind), gates(f"range: {{metric: m, {words}}}")) == wrong


@pytest.mark.parametrize(
    ("kind", "gate", "wrong"),
    [
        ("mean: {column: gain}", "not_worse: {metric: m, margin: 1}", ["a.not_worse.metric"]),
        ("mean: {column: gain}, better: neither", "min_gain: {metric: m, value: 1}", ["a.min_gain.metric"]),
        ("mean: {column: gain}, better: higher", "min_gain: {metric: m, value: 1}", []),
        ("share: {column: score, min: 0.9}", "range: {metric: m, max: 0.1}", []),
        ("share: {column: score, min: 0.9}", "parity: {metric: m, by: region, min_ratio: 80%}", []),
        ("roc_auc: {}", "not_worse: {metric: m, margin: 0.1}", []),
        (
            "mean: {column: gain}",
            "forgetting: {metric: m, source: arrivals, margin: 1}",
            ["a.forgetting.metric"],
        ),
    ],
)
def test_a_compared_metric_has_a_direction(kind: str, gate: str, wrong: list[str]) -> None:
    assert paths("CT257", metric(kind), SLICE, gates(gate)) == wrong


@pytest.mark.parametrize(
    ("gate", "more", "seen"),
    [
        ("range: {metric: auc, min: 0.6}", "", False),
        ("range: {metric: auc, min: 0.6}", "promotion: {prefer: champion}", True),
        ("parity: {metric: auc, by: region, min_ratio: 80%}", SLICE, False),
        ("model_size: {max: 1MB}", "", False),
        ("min_gain: {metric: auc, value: 0}", "", True),
        ("forgetting: {metric: auc, source: arrivals, margin: 0.1}", "", True),
        ("range: {metric: m, max: 3}", "evaluation: {metrics: {auc: null, m: {mean: {column: x}}}}", True),
    ],
)
def test_the_champion_is_looked_at(gate: str, more: str, seen: bool) -> None:
    """Or it need not be: `prefer: champion` compares by itself, and without a direction nothing can."""
    assert (findings("CT248", gates(gate), more) == []) is seen


def test_a_slice_is_called_by_its_name() -> None:
    [by_column] = findings("CT259", SLICE, gates("range: {metric: auc, by: area, min: 0.6}"))
    [undefined] = findings("CT259", gates("parity: {metric: auc, by: region, min_ratio: 0.8}"))

    assert "region" in by_column.help
    assert by_column.related is not None
    assert undefined.help == "add `slices: {region: {column: region}}` to `evaluation`"
    assert undefined.related is None
    assert findings("CT259", SLICE, gates("range: {metric: auc, by: region, min: 0.6}")) == []


@pytest.mark.parametrize(
    ("strong", "weak", "implied"),
    [
        ("min_gain: {metric: auc, value: 0}", "not_worse: {metric: auc, margin: 0.01}", True),
        ("min_gain: {metric: auc, value: 0}", "not_worse: {metric: auc, margin: {relative: 1%}}", True),
        (
            "min_gain: {metric: auc, value: 0, confidence: 95%}",
            "not_worse: {metric: auc, margin: 0.01}",
            False,
        ),
        ("min_gain: {metric: auc, value: 0.02}", "min_gain: {metric: auc, value: 0.01}", True),
        ("not_worse: {metric: auc, margin: 0.01}", "not_worse: {metric: auc, margin: 0.02}", True),
        ("not_worse: {metric: auc, margin: 0.01}", "not_worse: {metric: auc, margin: {relative: 2%}}", False),
        (
            "not_worse: {metric: auc, margin: 0.01, confidence: 95%}",
            "not_worse: {metric: auc, margin: 0.02, confidence: 99%}",
            False,
        ),
        ("not_worse: {metric: auc, margin: 0.01}", "not_worse: {metric: auc, by: region, margin: 0.1}", False),
        ("min_gain: {metric: auc, value: 0.1}", "not_worse: {metric: auc, margin: 1}", False),
    ],
)
def test_a_gate_that_another_implies(strong: str, weak: str, implied: bool) -> None:
    for order, name in (((strong, weak), "b"), ((weak, strong), "a")):
        assert paths("CT421", SLICE, gates(*order)) == ([name] if implied else [])


def test_of_two_equal_gates_one_is_left() -> None:
    twice = "not_worse: {metric: auc, margin: 0.01}"

    assert len(findings("CT421", gates(twice, twice))) == 1
    assert len(findings("CT421", gates(twice, twice, twice))) == 2


@pytest.mark.parametrize(
    ("words", "serving", "said"),
    [
        ("p99: 25ms", "", "this spec has none"),
        ("p99: 25ms", SERVER, ""),
        ("p99: 25ms, serving: api", SERVER, ""),
        ("p99: 25ms, serving: web", SERVER, "no entry"),
        ("p99: 25ms", f"serving: {{nightly: {{batch: {BATCH}}}}}", "this spec has none"),
        ("p99: 25ms, serving: nightly", f"serving: {{nightly: {{batch: {BATCH}}}}}", "a batch job"),
        ("p99: 25ms", SERVER + SERVER.replace("serving:\n", "").replace("api", "web"), "2 online servers"),
    ],
)
def test_latency_has_its_server(words: str, serving: str, said: str) -> None:
    found = findings("CT422", gates(f"latency: {{{words}}}"), serving)

    assert [said in item.message for item in found] == ([True] if said else [])


@pytest.mark.parametrize(
    ("size", "wrong"), [("999", True), ("1000", False), ("200MB", False), ("30Gi", False), ("31Gi", True)]
)
def test_the_size_of_a_model(size: str, wrong: bool) -> None:
    assert bool(findings("CT423", gates(f'model_size: {{max: "{size}"}}'))) is wrong


@pytest.mark.parametrize(("source", "wrong"), [("arrivals", False), ("parcels", True), ("old", True)])
def test_what_is_not_forgotten(source: str, wrong: bool) -> None:
    gate = f"forgetting: {{metric: auc, source: {source}, margin: 0.01}}"

    assert paths("CT424", gates(gate)) == (["a.forgetting.source"] if wrong else [])
