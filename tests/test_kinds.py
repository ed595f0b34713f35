"""Every kind of system, run for real: what its rows are, how its models are judged, and what is told of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kind_projects
import project
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

FIRST, SECOND = "2024-02-12T06:00:00Z", "2024-02-19T06:00:00Z"
BOTH = ("--at", FIRST, "--at", SECOND)


def attempts(spec: Path, *arguments: str, target: str = "kubeflow") -> list[dict[str, Any]]:
    """The attempts of a run, each of them in the form of a record."""
    schema = json.loads((project.ROOT / "schemas" / "record.v1.schema.json").read_text())
    records = project.run(spec, *arguments, target=target)
    for record in records:
        jsonschema.validate(record, schema)
    found = [record for record in records if record["kind"] == "attempt"]
    assert found, records
    for record in found:
        assert not record["error"], record["error"]
    return found


def outcomes(found: list[dict[str, Any]]) -> list[str]:
    return [f"{record['outcome']}: {record['reason']}" for record in found]


def answers(record: dict[str, Any]) -> dict[str, str]:
    return {gate["name"]: gate["answer"] for gate in record["decision"]["gates"]}


def output(record: dict[str, Any], spec: Path, target: str, name: str) -> Any:
    """The rows that a step of the attempt wrote."""
    folder = project.state(spec, target) / "attempts" / str(record["id"])
    [file] = [path for path in folder.rglob("*.parquet") if path.parent.name == name]
    return pq.ParquetFile(file).read()


def page(spec: Path, target: str = "kubeflow") -> str:
    return (project.state(spec, target) / "report.html").read_text()


@pytest.mark.parametrize("target", ["kubeflow", pytest.param("sagemaker", marks=pytest.mark.soak)])
def test_classes_tuned_further_are_held_to_what_they_once_knew(tmp_path: Path, target: str) -> None:
    spec = kind_projects.multiclass(tmp_path / "p")

    first, second = attempts(spec, *BOTH, target=target)

    assert [first["outcome"], second["outcome"]] == ["candidate"] * 2, outcomes([first, second])
    assert answers(first)["remembers"] == "not_applicable"
    assert set(answers(second).values()) == {"pass"}
    by_name = {gate["name"]: gate for gate in second["decision"]["gates"]}
    assert by_name["remembers"]["numbers"]["n"] == 100
    assert set(by_name["right_kept"]["numbers"]["slices"]) == {"a", "b", "c"}
    # The fixed set is predicted with the holdout, and counts as nothing else.
    rows, holdout = (output(second, spec, target, name) for name in ("rows", "holdout"))
    assert len(rows) == len(holdout) == second["data"]["rows"]["holdout"] + 100
    assert not [name for name in rows.column_names if name.startswith("_ctc")]
    assert Counter(holdout["_ctc_part"].to_pylist())["classics"] == 100
    assert second["evaluation"]["rows"] == second["data"]["rows"]["holdout"] == second["evaluation"]["compared_rows"]
    assert second["evaluation"]["units"] <= 40
    assert second["data"]["strategy"] == "fine_tune" and second["data"]["replayed_rows"] > 0
    assert second["data"]["quarantined"]["rows"] > 0
    assert "test" not in output(second, spec, target, "train")["state"].to_pylist()
    assert set(second["data"]["classes"]) == {"red", "green", "blue"}


@pytest.mark.parametrize("target", ["sagemaker", pytest.param("kubeflow", marks=pytest.mark.soak)])
def test_a_forecast_is_made_from_its_origin(tmp_path: Path, target: str) -> None:
    spec = kind_projects.forecast(tmp_path / "p")

    first, second = attempts(spec, *BOTH, target=target)

    assert [first["outcome"], second["outcome"]] == ["candidate"] * 2, outcomes([first, second])
    assert (second["data"]["series"], second["data"]["origins"]) == (4, 2)
    assert answers(second) == {"sane": "pass", "error_kept": "pass"}
    assert next(gate for gate in second["decision"]["gates"] if gate["name"] == "error_kept")["numbers"]["units"] == 4
    assert second["evaluation"]["metrics"]["error"]["contender"]["value"] < 2, "the season is seen in the history"


def test_a_ranking_is_judged_by_its_groups(tmp_path: Path) -> None:
    spec = kind_projects.ranking(tmp_path / "p")

    first, second = attempts(spec, *BOTH)

    assert [first["outcome"], second["outcome"]] == ["candidate"] * 2, outcomes([first, second])
    gate = next(gate for gate in second["decision"]["gates"] if gate["name"] == "order_kept")
    holdout = output(second, spec, "kubeflow", "holdout")
    assert gate["numbers"]["units"] == len(set(holdout["query"].to_pylist()))
    assert set(second["evaluation"]["slices"]["half"]) == {"exam", "study"}
    assert not {"half", "colour", "gain"} & set(output(second, spec, "kubeflow", "rows").column_names)


def test_behaviour_is_judged_where_there_are_no_labels(tmp_path: Path) -> None:
    spec = kind_projects.no_label(tmp_path / "p")

    first, second = attempts(spec, *BOTH)

    assert [first["outcome"], second["outcome"]] == ["candidate"] * 2, outcomes([first, second])
    assert set(answers(second).values()) == {"pass"}
    assert second["evaluation"]["positives"] is None
    scores = output(second, spec, "kubeflow", "scores")["contender"]
    flagged = second["evaluation"]["metrics"]["flagged"]["contender"]["value"]
    assert flagged == pytest.approx(pc.mean(pc.greater_equal(scores, 0.7)).as_py(), abs=1e-12)
    shown = project.ctc("runs", "show", "20240219", spec, cwd=spec.parent).stdout
    assert "140 new rows, 100 wanted" in shown, "nothing is labelled here"
    assert "worse on the last rows" not in page(spec), "neither direction is worse"


HELD: dict[str, tuple[dict[str, Any], bool]] = {
    "hash": ({"hash": {"key": ["id"], "share": "20%", "salt": "s"}}, False),
    "column": ({"column": {"name": "half", "value": "exam"}}, True),
    "source": ({"source": "exam"}, True),
}


@pytest.mark.parametrize(
    "kind", ["source", *(pytest.param(kind, marks=pytest.mark.soak) for kind in ("hash", "column"))]
)
def test_rows_set_aside_for_good_judge_every_model(tmp_path: Path, kind: str) -> None:
    holdout, timed = HELD[kind]
    spec = kind_projects.regression(tmp_path / "p", holdout, timed=timed)

    first, second = attempts(spec, *BOTH, target="sagemaker" if kind == "hash" else "kubeflow")

    assert [first["outcome"], second["outcome"]] == ["candidate"] * 2, outcomes([first, second])
    assert second["evaluation"]["compared_rows"] == second["evaluation"]["rows"] == second["data"]["rows"]["holdout"]
    assert second["evaluation"]["compared_after"] is None
    if kind == "column":
        assert set(output(second, spec, "kubeflow", "train")["half"].to_pylist()) == {"study"}
    if kind == "source":
        assert second["evaluation"]["rows"] == 200


def changed(spec: Path, change: Callable[[str], str]) -> Path:
    spec.write_text(change(spec.read_text()))
    return spec


def test_what_cannot_be_evaluated_is_asked_about(tmp_path: Path) -> None:
    spec = kind_projects.regression(tmp_path / "p", {"time": "10d", "min_rows": 5000})
    asks = "promotion:\n  if_not_evaluable: ask\n  approval: {any_of: [owners], expires: 14d}\n"
    changed(spec, lambda text: text.replace("promotion:\n", asks))

    [attempt] = attempts(spec, "--at", FIRST)

    assert attempt["decision"]["decision"] == "ask"
    assert answers(attempt)["sane"] == "not_evaluable"
    [path] = list(project.state(spec).rglob("state.json"))
    waiting = json.loads(path.read_text())
    assert waiting["champion"] is None
    question = waiting["approval"]["id"]
    refused = project.ctc("approve", spec, "another", "--why", "x", "--at", SECOND, cwd=spec.parent)
    assert question in refused.stdout + refused.stderr
    words = ("approve", spec, question, "--why", "seen by eye", "--at", SECOND)
    done = project.ctc(*words, cwd=spec.parent, environment={"USER": os.environ.get("USER", "tests")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(path.read_text())["champion"]["version"] == attempt["candidate"]["version"]


@pytest.mark.soak
def test_a_deployment_that_shares_its_names_keeps_its_own_state(tmp_path: Path) -> None:
    spec = kind_projects.regression(tmp_path / "p", {"time": "10d"})
    changed(spec, lambda text: text + "environments:\n  prod: {shared: true}\n  dev: {mode: observe}\n")

    [attempt] = attempts(spec, "--env", "prod", "--at", FIRST)

    state = spec.parent / ".ctc" / "toy" / "prod" / "kubeflow"
    assert attempt["outcome"] == "candidate" and attempt["environment"] == "prod"
    [champion] = [json.loads(path.read_text())["champion"] for path in state.rglob("state.json")]
    assert champion["version"] == attempt["candidate"]["version"]
    assert [path.name for path in (state.parent.parent).iterdir()] == ["prod"]
    done = project.ctc("compile", spec, "--env", "prod", "--out", tmp_path / "out", cwd=spec.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [json.dumps(path.read_text()) for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert names and not [text for text in names if "toy-prod" in text]
