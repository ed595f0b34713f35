"""Evaluation: the same rows for both models, the third answer where rows cannot say, the same bytes twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from step_tables import INSTANT, at, data, services, task, windows

from ctc.steps import evaluate
from ctc.steps.task import StepFailed

NOW = at(48)
AUC = {"name": "auc", "kind": "roc_auc", "arguments": {}, "better": "higher"}
LOSS = {"name": "loss", "kind": "log_loss", "arguments": {}, "better": "lower"}
MAE = {"name": "error", "kind": "mae", "arguments": {}, "better": "lower"}


def gate(metric: dict[str, Any], kind: str = "not_worse") -> dict[str, Any]:
    named = {"name": f"{metric['name']}_{kind}", "kind": kind, "metric": metric["name"], "better": metric["better"]}
    return named | {"min": None, "max": None, "margin": 0.01, "value": None, "confidence": 0.975}


def rule(kind: str, metric: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A gate with a name like its kind."""
    empty = dict.fromkeys(("metric", "better", "by", "min", "max", "margin", "value", "min_ratio", "that"))
    named = {} if metric is None else {"metric": metric["name"], "better": metric["better"]}
    return {**empty, "name": kind, "kind": kind, "relative": False, "confidence": 0.975, **named, **more}


class World:
    """A holdout and two models' predictions on it, as files."""

    def __init__(self, folder: Path, n: int = 60, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.folder = folder
        self.services = services(folder)
        self.ids = [f"r{index:05}" for index in range(n)]
        self.labels = draw.integers(0, 2, n).astype(float)
        self.hours = draw.uniform(34, 44, n)
        self.shops: list[str | None] = [["a", "b", "b", None][index % 4] for index in range(n)]
        self.contender = np.clip(self.labels * 0.4 + draw.uniform(0, 0.6, n), 0, 1)
        self.champion: Any = np.clip(self.labels * 0.2 + draw.uniform(0, 0.8, n), 0, 1)
        self.champion_state: dict[str, Any] | None = {"trained_until": "2024-01-02T00:00:00Z"}
        self.history: list[dict[str, Any]] | None = None
        self.columns: dict[str, Any] = {}
        self.predicted: dict[str, Any] = {}
        self.section: dict[str, Any] = {}
        self.label: dict[str, Any] | None = {}

    def run(
        self,
        kind: str = "binary",
        metrics: Any = (AUC, LOSS),
        slices: Any = (),
        gates: Any = None,
        **more: Any,
    ) -> dict[str, Any]:
        columns: dict[str, Any] = {
            "row_id": self.ids,
            "event_time": pa.array([at(hour) for hour in self.hours], INSTANT),
            "y": self.labels,
            "shop": pa.array(self.shops, pa.string()),
            **self.columns,
        }
        (self.folder / "holdout").mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), self.folder / "holdout" / "data.parquet")
        column = "score" if kind in ("binary", "ranking") else "prediction"
        for name in ("contender", "champion"):
            folder, scores = self.folder / name, getattr(self, name)
            folder.mkdir(exist_ok=True)
            if scores is None:
                (folder / "absent.json").write_text("{}")
            else:
                own = scores if isinstance(scores, dict) else {column: scores}
                ids = self.ids[: len(next(iter(own.values())))]
                pq.write_table(pa.table({"row_id": ids, **own, **self.predicted}), folder / "predictions.parquet")
        request = {"champion": self.champion_state} | ({} if self.history is None else {"history": self.history})
        self.services.objects.put("attempts/a1/request/request.json", request)
        usual = [gate(metric) for metric in metrics] + [gate(metrics[0], "range")]
        policy = {
            "data": data({}, task=kind) | ({} if self.label is not None else {"label": None}),
            "windows": windows(**more),
            "evaluation": {"metrics": list(metrics), "slices": list(slices), **self.section},
            "promotion": {"gates": usual if gates is None else list(gates)},
        }
        names = ("holdout", "contender", "champion", *(name for name in ("model",) if (self.folder / name).is_dir()))
        inputs = {name: self.folder / name for name in names}
        result = evaluate.run(task("evaluate", self.folder, NOW, inputs, **policy), self.services)
        written: dict[str, Any] = json.loads(self.bytes())
        assert (result.status, dict(result.numbers)) == ("ok", written)
        return written

    def bytes(self) -> bytes:
        return (self.folder / "out/evaluation/evaluation.json").read_bytes()


def test_both_models_on_the_same_rows(tmp_path: Path) -> None:
    world = World(tmp_path)

    found = world.run()

    assert (found["rows"], found["positives"], found["champion"]) == (60, int(world.labels.sum()), "evaluated")
    assert set(found["gates"]) == {"auc_not_worse", "loss_not_worse"}
    for name, method, sign in (("auc", "delong", 1), ("loss", "paired_bootstrap", -1)):
        answer, metric = found["gates"][f"{name}_not_worse"], found["metrics"][name]
        assert (answer["status"], answer["method"], answer["n"]) == ("ok", method, 60)
        assert answer["gain"] == pytest.approx(sign * (metric["contender"]["value"] - metric["champion"]["value"]))
        assert answer["gain"] > 0 and answer["lower"] < answer["gain"]
        assert metric["contender"]["low"] <= metric["contender"]["value"] <= metric["contender"]["high"]
    scores = pq.read_table(tmp_path / "out/scores/scores.parquet").to_pydict()
    assert scores["row_id"] == world.ids
    assert scores["contender"] == world.contender.tolist()
    assert scores["champion"] == world.champion.tolist()
    assert scores["label"] == world.labels.tolist()


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = World(tmp_path / "1"), World(tmp_path / "2")
    one.run()
    order = np.random.default_rng(5).permutation(60)
    other.ids = [other.ids[index] for index in order]
    other.shops = [other.shops[index] for index in order]
    for name in ("labels", "hours", "contender", "champion"):
        setattr(other, name, getattr(other, name)[order])
    other.run()

    assert one.bytes() == other.bytes()
    assert (tmp_path / "1/out/scores/scores.parquet").read_bytes() == (
        tmp_path / "2/out/scores/scores.parquet"
    ).read_bytes()


def test_without_a_champion_there_is_nothing_to_compare(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.champion, world.champion_state = None, None

    found = world.run()

    assert (found["champion"], found["gates"], found["compared_after"]) == ("absent", {}, None)
    assert found["compared_rows"] == 0
    assert found["metrics"]["auc"]["champion"] is None
    assert pq.read_table(tmp_path / "out/scores/scores.parquet")["champion"].null_count == 60


def test_a_champion_that_cannot_be_read_is_not_comparable(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.champion = world.champion[:-1]

    found = world.run()

    answer = found["gates"]["auc_not_worse"]
    assert (found["champion"], answer["status"], answer["gain"]) == ("not_comparable", "not_evaluable", None)
    assert "the champion's predictions" in answer["reason"] and "1 missing (r00059)" in answer["reason"]
    assert found["metrics"]["auc"]["contender"]["value"] is not None


def test_a_contender_that_cannot_be_read_fails_the_step(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.contender = np.append(world.contender[:-1], np.nan)

    with pytest.raises(StepFailed, match="NaN"):
        world.run()


@pytest.mark.parametrize(
    ("few", "said"),
    [
        ({"holdout_min_rows": 61}, "60 rows in the holdout; at least 61"),
        ({"holdout_min_positives": 61}, "positive rows in the holdout; at least 61"),
    ],
)
def test_a_holdout_that_is_too_small_has_no_values(tmp_path: Path, few: dict[str, int], said: str) -> None:
    found = World(tmp_path).run(**few)

    for model in ("contender", "champion"):
        metric = found["metrics"]["auc"][model]
        assert (metric["value"], metric["low"], metric["high"], metric["n"]) == (None, None, None, 60)
        assert said in metric["reason"]
    assert {answer["status"] for answer in found["gates"].values()} == {"not_evaluable"}
    assert said in found["gates"]["loss_not_worse"]["reason"]


def test_models_are_compared_after_both_training_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hours[:3] = 40.0
    world.champion_state = {"trained_until": "2024-01-02T16:00:00Z"}

    found = world.run()

    after = int((world.hours >= 40).sum())
    assert (found["compared_after"], found["compared_rows"]) == ("2024-01-02T16:00:00Z", after)
    assert (found["gates"]["auc_not_worse"]["n"], found["metrics"]["auc"]["contender"]["n"]) == (after, 60)


def test_too_few_rows_after_both_training_ends(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.champion_state = {"trained_until": "2024-01-02T19:59:59Z"}

    found = world.run(holdout_min_rows=20)

    assert found["gates"]["auc_not_worse"]["status"] == "not_evaluable"
    assert "after both models' training end" in found["gates"]["auc_not_worse"]["reason"]
    assert found["metrics"]["auc"]["contender"]["value"] is not None


def test_slices_with_enough_rows(tmp_path: Path) -> None:
    found = World(tmp_path).run(slices=[{"name": "by_shop", "column": "shop", "min_rows": 16}])
    assert {value: part["n"] for value, part in found["slices"]["by_shop"].items()} == {"b": 30}

    found = World(tmp_path).run(slices=[{"name": "by_shop", "column": "shop", "min_rows": 15}])
    assert {value: part["n"] for value, part in found["slices"]["by_shop"].items()} == {"a": 15, "b": 30, "null": 15}
    assert set(found["slices"]["by_shop"]["a"]["metrics"]["auc"]) == {"contender", "champion"}


def test_a_slice_of_one_class_has_no_auc(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.labels[[index for index, shop in enumerate(world.shops) if shop == "a"]] = 1

    found = world.run(slices=[{"name": "by_shop", "column": "shop", "min_rows": 1}])
    assert found["slices"]["by_shop"]["a"]["metrics"]["auc"] == {"contender": None, "champion": None}
    assert found["slices"]["by_shop"]["a"]["metrics"]["loss"]["contender"] is not None


def test_a_slice_by_a_column_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="slice s: the snapshot has no column `shp`"):
        World(tmp_path).run(slices=[{"name": "s", "column": "shp", "min_rows": 1}])


def test_a_regression(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.labels = world.labels * 100 + 3.5

    found = world.run("regression", (MAE,))

    assert found["positives"] is None
    expected = float(np.abs(world.labels - world.contender).mean())
    assert found["metrics"]["error"]["contender"]["value"] == pytest.approx(expected)
    assert found["gates"]["error_not_worse"]["status"] == "ok"


def test_rows_that_repeat_their_key_cannot_be_judged(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.ids[1] = world.ids[0]

    with pytest.raises(StepFailed, match="1 rows of the holdout repeat their key"):
        world.run()


def test_delong_agrees_with_the_oracle(tmp_path: Path, oracles: Path) -> None:
    with (oracles / "promotion" / "paired_scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    vectors = json.loads((oracles / "promotion" / "vectors.json").read_text())
    expected = vectors["paired_scores.csv delong (contender-champion)"]
    world = World(tmp_path, len(rows))
    world.labels = np.array([float(row["y"]) for row in rows])
    world.contender = np.array([float(row["contender"]) for row in rows])
    world.champion = np.array([float(row["champion"]) for row in rows])

    answer = world.run(metrics=(AUC,))["gates"]["auc_not_worse"]

    assert answer["contender"] == pytest.approx(expected["auc_contender"], abs=1e-12)
    assert answer["champion"] == pytest.approx(expected["auc_champion"], abs=1e-12)
    assert answer["se"] == pytest.approx(expected["se"], rel=1e-9)
    assert answer["lower"] == pytest.approx(answer["gain"] - 1.959963984540054 * expected["se"], abs=1e-9)
