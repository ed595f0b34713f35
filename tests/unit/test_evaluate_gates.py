"""What evaluation tells the gates: units, bands, Holm by slice, relative margins, parity, other tasks, kept scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk
from test_evaluate import AUC, LOSS, MAE, World, rule

from ctc.policy import promotion
from ctc.policy.statistics import delong
from ctc.steps import gains
from ctc.steps.judged import Part
from ctc.steps.task import StepFailed

ACCURACY = {"name": "right", "kind": "accuracy", "arguments": {"threshold": 0.5}, "better": "higher"}
SHOPS = {"name": "shop", "column": "shop", "min_rows": 10}


def metric(kind: str, better: str = "higher", **arguments: Any) -> dict[str, Any]:
    return {"name": kind, "kind": kind, "arguments": arguments, "better": better}


def decided(found: dict[str, Any], *gates: dict[str, Any]) -> dict[str, Any]:
    section = {"prefer": "fresher", "if_not_evaluable": "hold", "gates": list(gates)}
    answer: dict[str, Any] = promotion.decide(section, found)["gates"][0]
    return answer


def test_units_widen_the_bound(tmp_path: Path) -> None:
    alone, together = World(tmp_path / "1", 240), World(tmp_path / "2", 240)
    together.section = {"unit": ["user"]}
    for world in (alone, together):
        world.columns = {"user": [f"u{index // 8}" for index in range(240)]}
        blame = np.random.default_rng(3).normal(0, 0.3, 30).repeat(8)
        world.champion = np.clip(world.champion + blame, 0.01, 0.99)
    rows, units = alone.run(), together.run()

    for name in ("auc_not_worse", "loss_not_worse"):
        assert units["gates"][name]["gain"] == rows["gates"][name]["gain"]
        assert units["gates"][name]["units"] == 30
        assert "units" not in rows["gates"][name]
    assert units["gates"]["auc_not_worse"]["method"] == "delong_of_units"
    assert units["gates"]["loss_not_worse"]["se"] > 1.2 * rows["gates"]["loss_not_worse"]["se"]
    assert units["units"] == 30


def test_accuracy_agrees_with_mcnemar(tmp_path: Path) -> None:
    world = World(tmp_path, 300)
    gate = rule("not_worse", ACCURACY, margin=0.02)
    found = world.run(metrics=(ACCURACY,), gates=[gate])["gates"]["not_worse"]

    one, other = ((scores >= 0.5) == (world.labels == 1) for scores in (world.contender, world.champion))
    assert (found["only_contender"], found["only_champion"]) == (int((one & ~other).sum()), int((other & ~one).sum()))
    assert found["method"] == "tango" and found["gain"] == pytest.approx(one.mean() - other.mean())
    assert found["lower"] < found["gain"]


@pytest.mark.parametrize("kind", [AUC, LOSS, MAE])
def test_a_relative_margin_is_of_the_champions_value(tmp_path: Path, kind: dict[str, Any]) -> None:
    world = World(tmp_path, 400)
    gate = rule("not_worse", kind, margin=0.1, relative=True)
    found = world.run("regression" if kind is MAE else "binary", (kind,), gates=[gate])
    measured = found["gates"]["not_worse"]

    assert measured["margin"] == pytest.approx(0.1 * measured["champion"])
    if kind is AUC:
        exact = delong(world.labels, world.contender, world.champion, share=0.9)
        assert measured["lower"] + measured["margin"] == pytest.approx(exact.gain - 1.959963984540054 * exact.se)
    answer = decided(found, gate)
    assert answer["answer"] == ("pass" if measured["lower"] >= -measured["margin"] else "fail")
    assert "10% of the champion's value" in answer["reason"]


def test_a_relative_margin_of_nothing_is_no_margin(tmp_path: Path) -> None:
    gate = rule("not_worse", metric("r2"), margin=0.1, relative=True)
    world = World(tmp_path)
    world.champion = 1 - world.labels
    found = world.run("regression", (metric("r2"),), gates=[gate])

    assert found["metrics"]["r2"]["champion"]["value"] < 0
    assert decided(found, gate)["answer"] == "not_evaluable"
    assert "is no margin" in found["gates"]["not_worse"]["reason"]


def test_a_gate_by_slice_tests_each_value_at_its_level(tmp_path: Path) -> None:
    gate = rule("not_worse", LOSS, margin=0.3, by="shop", confidence=0.95)
    found = World(tmp_path, 200).run(metrics=(LOSS,), slices=[SHOPS], gates=[gate])
    measured = found["gates"]["not_worse"]

    by_p = sorted(measured["slices"].values(), key=lambda part: part["p"])
    assert [part["confidence"] for part in by_p] == pytest.approx([1 - 0.05 / 3, 1 - 0.05 / 2, 0.95])
    assert {value: part["n"] for value, part in measured["slices"].items()} == {"a": 50, "b": 100, "null": 50}
    nearest = min(measured["slices"], key=lambda value: measured["slices"][value]["lower"])
    assert (measured["worst"], measured["lower"]) == (nearest, measured["slices"][nearest]["lower"])
    answer = decided(found, gate)
    assert answer["answer"] == "pass" and set(answer["numbers"]["slices"]) == {"a", "b", "null"}


def test_one_bad_value_of_a_slice_fails_the_gate(tmp_path: Path) -> None:
    world = World(tmp_path, 400)
    bad = np.array([shop == "a" for shop in world.shops])
    world.contender[bad] = 1 - world.contender[bad]
    gate = rule("not_worse", LOSS, margin=0.3, by="shop")
    found = world.run(metrics=(LOSS,), slices=[SHOPS], gates=[gate])

    answer = decided(found, gate)
    assert answer["answer"] == "fail" and answer["reason"].startswith("shop a: ")


def test_values_that_are_too_small_are_not_judged(tmp_path: Path) -> None:
    gate = rule("not_worse", LOSS, margin=1.0, by="shop")
    some = {**SHOPS, "min_rows": 16}
    found = World(tmp_path / "1").run(metrics=(LOSS,), slices=[some], gates=[gate])
    small = "15 rows; at least 16 are asked for"
    assert found["gates"]["not_worse"]["not_judged"] == {"a": small, "null": small}
    assert "not judged, too small: a, null" in decided(found, gate)["reason"]

    found = World(tmp_path / "2").run(metrics=(LOSS,), slices=[{**SHOPS, "min_rows": 31}], gates=[gate])
    assert decided(found, gate)["answer"] == "not_evaluable"
    assert "none of the 3 values" in found["gates"]["not_worse"]["reason"]


def test_positives_of_a_slice_count_too(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.labels[[index for index, shop in enumerate(world.shops) if shop == "a"]] = 0
    found = world.run(slices=[{**SHOPS, "min_positives": 1}])

    assert set(found["slices"]["shop"]) == {"b", "null"}
    assert found["not_judged"] == {"shop": {"a": "0 positive rows; at least 1 are asked for"}}


def test_bands_of_a_number(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.columns = {"size": [None, -1.0, 0.0, 9.99, 10.0, 1e9] * 10}
    found = world.run(slices=[{"name": "size", "column": "size", "edges": [0, 10], "min_rows": 1}])

    sizes = {value: part["n"] for value, part in found["slices"]["size"].items()}
    assert sizes == {"[-inf, 0)": 10, "[0, 10)": 20, "[10, inf)": 20, "null": 10}


def test_bands_need_numbers(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="no numbers for `edges`"):
        World(tmp_path).run(slices=[{"name": "s", "column": "shop", "edges": [1], "min_rows": 1}])


def test_a_range_by_slice(tmp_path: Path) -> None:
    gate = rule("range", LOSS, max=0.9, by="shop")
    world = World(tmp_path)
    found = world.run(metrics=(LOSS,), slices=[SHOPS], gates=[gate])
    assert decided(found, gate)["answer"] == "pass"

    strict = {**gate, "max": min(part["metrics"]["loss"]["contender"] for part in found["slices"]["shop"].values())}
    answer = decided(found, strict)
    assert answer["answer"] == "fail" and answer["reason"].count("is above") == 2


def test_parity_is_of_the_lowest_slice_to_the_highest(tmp_path: Path) -> None:
    world = World(tmp_path, 600)
    world.champion, world.champion_state = None, None
    bad = np.array([shop == "a" for shop in world.shops])
    world.contender[bad] = np.where(np.arange(bad.sum()) % 3 == 0, 1 - world.contender[bad], world.contender[bad])
    gate = rule("parity", ACCURACY, by="shop", min_ratio=0.8)
    found = world.run(metrics=(ACCURACY,), slices=[SHOPS], gates=[gate])
    measured = found["gates"]["parity"]

    right = (world.contender >= 0.5) == (world.labels == 1)
    shops = np.array([shop or "null" for shop in world.shops])
    values = {shop: right[shops == shop].mean() for shop in ("a", "b", "null")}
    assert measured["lowest"] == "a"
    assert measured["ratio"] == pytest.approx(values["a"] / max(values.values()))
    assert measured["lower"] < measured["ratio"]
    assert decided(found, gate)["answer"] == "fail"
    assert decided(found, {**gate, "min_ratio": 0.4})["answer"] == "pass"


def test_parity_needs_two_slices(tmp_path: Path) -> None:
    gate = rule("parity", ACCURACY, by="shop", min_ratio=0.8)
    found = World(tmp_path).run(metrics=(ACCURACY,), slices=[{**SHOPS, "min_rows": 20}], gates=[gate])

    assert decided(found, gate)["answer"] == "not_evaluable"
    assert "a ratio needs two" in found["gates"]["parity"]["reason"]


def test_the_size_of_a_model(tmp_path: Path) -> None:
    gate = rule("model_size", max=1000)
    found = World(tmp_path / "1").run(gates=[gate])
    assert decided(found, gate)["answer"] == "not_evaluable"

    world = World(tmp_path / "2")
    (tmp_path / "2/model/deep").mkdir(parents=True)
    (tmp_path / "2/model/deep/weights").write_bytes(b"w" * 900)
    (tmp_path / "2/model/index").write_bytes(b"i" * 100)
    found = world.run(gates=[gate])
    assert decided(found, gate)["answer"] == "pass"
    assert decided(found, {**gate, "max": 999})["answer"] == "fail"


def test_an_expression_is_of_the_rows_that_both_are_compared_on(tmp_path: Path) -> None:
    world = World(tmp_path, 200)
    world.champion_state = {"trained_until": "2024-01-02T16:00:00Z"}
    gate = rule("expression", that="loss <= champion.loss * 2")
    found = world.run(gates=[gate])

    late = world.hours >= 40
    expected = sk.log_loss(world.labels[late], world.contender[late])
    assert found["gates"]["expression"]["metrics"]["loss"]["contender"] == pytest.approx(expected)
    answer = decided(found, gate)
    assert answer["answer"] == "pass" and answer["numbers"]["left"] == pytest.approx(expected)
    assert decided(found, rule("expression", that="auc > 2 * auc"))["answer"] == "fail"


def test_several_classes(tmp_path: Path) -> None:
    world = World(tmp_path, 150)
    draw = np.random.default_rng(2)
    names = np.array(["red", "green", "blue"])
    truth = draw.integers(0, 3, 150)
    kinds = (metric("accuracy", threshold=0.5), metric("log_loss", "lower"), metric("f1", threshold=0.5))

    def scores(sharp: float) -> dict[str, Any]:
        raw = draw.random((150, 3)) + sharp * (truth[:, None] == np.arange(3))
        return {
            f"score_{name}": column for name, column in zip(names, (raw / raw.sum(1, keepdims=True)).T, strict=True)
        }

    world.columns = {"y": names[truth]}
    world.contender, world.champion = scores(1.0), scores(0.5)
    found = world.run("multiclass", kinds)

    order = [f"score_{name}" for name in sorted(names)]
    table = np.column_stack([world.contender[column] for column in order])
    labels = np.searchsorted(sorted(names), names[truth])
    value = found["metrics"]["log_loss"]["contender"]["value"]
    assert value == pytest.approx(sk.log_loss(labels, table), abs=1e-12)
    assert found["gates"]["accuracy_not_worse"]["method"] == "tango"
    assert found["positives"] is None
    kept = pq.read_table(tmp_path / "out/scores/scores.parquet").to_pydict()
    assert kept["label"] == names[truth].tolist()
    assert kept["champion_blue"] == world.champion["score_blue"].tolist()


def test_a_class_without_its_column(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.columns = {"y": ["a", "b", "c"] * 20}
    two, three = (
        {f"score_{name}": np.full(60, 1 / len(names)) for name in names} for names in (["a", "b"], ["a", "b", "c"])
    )
    world.contender, world.champion = three, two
    found = world.run("multiclass", (metric("accuracy", threshold=0.5),))
    assert found["champion"] == "not_comparable"
    assert "no column `score_c`" in found["gates"]["accuracy_not_worse"]["reason"]

    world.contender = two
    with pytest.raises(StepFailed, match="no column `score_c`"):
        world.run("multiclass", (metric("accuracy", threshold=0.5),))


def test_a_ranking_draws_its_groups(tmp_path: Path) -> None:
    world = World(tmp_path, 240)
    world.columns = {"query": [f"q{index // 6}" for index in range(240)], "y": [index % 3 for index in range(240)]}
    world.section = {"group": "query", "unit": ["query"]}
    found = world.run("ranking", (metric("ndcg", k=3),))

    each = [sk.ndcg_score([np.arange(6) % 3], [world.contender[start : start + 6]], k=3) for start in range(0, 240, 6)]
    assert found["metrics"]["ndcg"]["contender"]["value"] == pytest.approx(np.mean(each), abs=1e-12)
    assert found["gates"]["ndcg_not_worse"]["units"] == 40
    kept = pq.read_table(tmp_path / "out/scores/scores.parquet")
    assert kept["group"].to_pylist() == kept["unit"].to_pylist() == world.columns["query"]


def test_without_a_label_columns_are_measured(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.label = None
    world.contender, world.champion = ({"flag": world.labels * share} for share in (1.0, 0.5))
    flagged, seen = metric("mean", column="flag"), metric("share", "neither", column="size", min=3)
    world.columns = {"size": np.arange(60) % 6}
    found = world.run(metrics=(flagged, seen), gates=[rule("min_gain", flagged, value=0.1)])

    assert found["metrics"]["mean"]["contender"]["value"] == pytest.approx(world.labels.mean())
    assert found["metrics"]["share"]["contender"]["value"] == 0.5
    assert found["gates"]["min_gain"]["gain"] == pytest.approx(world.labels.mean() / 2)
    assert found["gates"]["min_gain"]["lower"] > 0.1


def test_a_metric_of_a_column_that_nobody_has(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="metric mean: there is no column `win`"):
        World(tmp_path).run(metrics=(metric("mean", column="win"),))


def test_a_quantile_has_its_own_column(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.predicted = {"quantile_0.9": np.full(60, 0.8)}
    found = world.run("regression", (metric("pinball", "lower", quantile=0.9), MAE))

    expected = sk.mean_pinball_loss(world.labels, np.full(60, 0.8), alpha=0.9)
    assert found["metrics"]["pinball"]["contender"]["value"] == pytest.approx(expected, abs=1e-12)
    assert found["metrics"]["error"]["contender"]["value"] == pytest.approx(
        np.abs(world.labels - world.contender).mean()
    )


@pytest.mark.parametrize(
    ("history", "share", "attempts"),
    [
        (None, 0.0, 0),
        ([], 0.0, 0),
        ([{"id": "x", "labelled_until": "2024-01-02T00:00:00Z"}], 0.0, 0),
        ([{"id": "x", "labelled_until": "2024-01-02T15:00:00Z"}, {"id": "y", "labelled_until": None}], 0.5, 1),
        ([{"id": "x", "labelled_until": "2024-01-02T15:00:00Z"}] * 2 + [{"labelled_until": "2024-01-04"}], 1.0, 3),
    ],
)
def test_rows_that_were_judged_before_are_told(
    tmp_path: Path, history: list[dict[str, Any]] | None, share: float, attempts: int
) -> None:
    world = World(tmp_path)
    world.hours = np.where(np.arange(60) < 30, 36.0, 41.0)
    world.history = history

    assert world.run()["reused"] == {"share": share, "attempts": attempts}


def test_scores_are_kept_with_what_judges_them_again(tmp_path: Path) -> None:
    World(tmp_path).run()

    kept = pq.read_table(tmp_path / "out/scores/scores.parquet")
    assert kept.column_names == ["row_id", "event_time", "unit", "group", "label", "contender", "champion"]
    assert str(kept.schema.field("event_time").type) == "timestamp[us, tz=UTC]"


def test_many_units_are_dealt_into_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resampling groups that were dealt at random has the spread of resampling rows."""
    draw = np.random.default_rng(0)
    truth = draw.normal(size=6000)
    ours, theirs = truth + draw.normal(size=6000), truth + 1.1 * draw.normal(size=6000)
    part = Part(np.arange(6000), truth, np.empty(0, dtype=np.int64), None)
    pair = gains.Pair(MAE, part, ours, theirs)
    exact = float(np.std(np.abs(ours - truth) - np.abs(theirs - truth), ddof=1) / np.sqrt(6000))

    rows = gains.compared(pair, share=0.0, seed=1, better="lower")
    monkeypatch.setattr(gains, "MOST_UNITS", 1000)
    groups = gains.compared(pair, share=0.0, seed=1, better="lower")

    assert rows.gain == groups.gain
    assert rows.se == pytest.approx(exact, rel=0.06)
    assert groups.se == pytest.approx(exact, rel=0.1)
    assert groups.lower(0.975) == pytest.approx(rows.lower(0.975), abs=0.2 * exact)


def test_a_level_beyond_the_resamples_has_a_normal_bound() -> None:
    draw = np.random.default_rng(1)
    truth = draw.normal(size=300)
    part = Part(np.arange(300), truth, np.empty(0, dtype=np.int64), None)
    pair = gains.Pair(MAE, part, truth + draw.normal(size=300), truth + draw.normal(size=300))
    found = gains.compared(pair, share=0.0, seed=1, better="lower")

    bounds = [found.lower(confidence) for confidence in (0.9, 0.975, 0.999, 0.99999)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(found.gain - 4.264890793922602 * found.se)
    assert gains.resamples_for(0.025) == 2000 and gains.resamples_for(0.001) == 10_000


def test_a_fixed_source_beside_the_holdout_judges_only_forgetting(tmp_path: Path) -> None:
    alone, beside = World(tmp_path / "1", 200), World(tmp_path / "2", 200)
    for name in ("ids", "labels", "hours", "shops", "contender", "champion"):
        setattr(alone, name, getattr(alone, name)[:150])
    beside.columns = {"_ctc_part": [None] * 150 + ["classics"] * 50}
    gate = rule("forgetting", LOSS, margin=0.2, source="classics")
    kept = rule("not_worse", LOSS, margin=0.2)
    one, other = (world.run(metrics=(LOSS,), slices=[SHOPS], gates=[gate, kept]) for world in (alone, beside))

    assert "no rows of the source classics" in one["gates"].pop("forgetting")["reason"]
    told = other["gates"].pop("forgetting")
    assert one == other
    late = slice(150, 200)
    expected = sk.log_loss(beside.labels[late], beside.contender[late])
    assert (told["n"], told["contender"]) == (50, pytest.approx(expected))
    assert (
        promotion.decide({"prefer": "fresher", "if_not_evaluable": "hold", "gates": [gate]}, other)["promote"] is False
    )
    other["gates"]["forgetting"] = told
    assert decided(other, gate)["answer"] == ("pass" if told["lower"] >= -0.2 else "fail")
