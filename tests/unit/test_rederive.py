"""A verdict once more from its record: the same, or where it differs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from project import SPEC

from ctc.cli.common import guarded
from ctc.cli.runs import runs
from ctc.diagnostics import CtcError
from ctc.policy import promotion
from ctc.run.rederive import differences, judged

SECTION = {
    "prefer": "fresher",
    "if_not_evaluable": "hold",
    "gates": [
        {"name": "floor", "kind": "range", "metric": "auc", "better": "higher", "min": 0.6, "max": None},
        {"name": "kept", "kind": "not_worse", "metric": "auc", "better": "higher", "margin": 0.01, "confidence": 0.95},
    ],
}
EVALUATION = {
    "champion": "evaluated",
    "metrics": {"auc": {"contender": {"value": 0.71}, "champion": {"value": 0.7}}},
    "gates": {"kept": {"status": "ok", "gain": 0.01, "lower": -0.005, "confidence": 0.95, "n": 900}},
}


def record(**parts: Any) -> dict[str, Any]:
    verdict = promotion.decide(SECTION, EVALUATION)
    assert verdict["promote"]
    made = {
        "version": 1,
        "kind": "attempt",
        "id": "20240304T060000Z-0a1b2c3d",
        "instant": "2024-03-04T06:00:00Z",
        "outcome": "candidate",
        "reason": verdict["reason"],
        "evaluation": EVALUATION,
        "policy": {"promotion": SECTION},
        "decision": json.loads(json.dumps(verdict)),
        "versions": {"ctc": "0.1"},
    }
    return copy.deepcopy({**made, **parts})


def test_a_record_gives_its_own_verdict() -> None:
    assert differences(record()) == ()


def test_a_changed_verdict_is_named_by_its_place() -> None:
    changed = record()
    changed["decision"]["gates"][1]["answer"] = "fail"
    changed["decision"]["gates"][0]["numbers"]["contender"] = 0.9
    found = {item.place: (item.recorded, item.derived) for item in differences(changed)}
    assert found == {
        "decision.gates[1].answer": ("fail", "pass"),
        "decision.gates[0].numbers.contender": (0.9, 0.71),
    }


@pytest.mark.parametrize("part", ["rules", "numbers"])
def test_changed_grounds_change_the_verdict(part: str) -> None:
    changed = record()
    if part == "rules":
        changed["policy"]["promotion"]["gates"][1]["margin"] = 0.001
    else:
        changed["evaluation"]["gates"]["kept"]["lower"] = -0.02
    assert {"decision.promote", "decision.decision", "outcome"} <= {item.place for item in differences(changed)}


def test_a_gate_that_is_gone_is_seen() -> None:
    changed = record()
    del changed["decision"]["gates"][1]
    assert "decision.gates" in {item.place for item in differences(changed)}


def test_yes_is_not_one() -> None:
    assert [item.place for item in differences(record(decision={**record()["decision"], "promote": 1}))] == [
        "decision.promote"
    ]


def test_an_outcome_against_the_verdict_is_seen() -> None:
    assert [item.place for item in differences(record(outcome="held"))] == ["outcome"]
    # What failed after its verdict was still judged so.
    assert differences(record(outcome="failed")) == ()


def test_a_record_without_rules_says_so() -> None:
    with pytest.raises(CtcError, match="does not hold the rules"):
        differences({name: value for name, value in record().items() if name != "policy"})


@pytest.mark.parametrize("damage", [{"evaluation": {}}, {"policy": {"promotion": {"gates": [{"kind": "new"}]}}}])
def test_a_damaged_record_says_so(damage: dict[str, Any]) -> None:
    with pytest.raises(CtcError, match="cannot judge by the record"):
        differences(record(**damage))


def test_a_wake_has_no_verdict() -> None:
    with pytest.raises(CtcError, match="record of a wake"):
        judged({"kind": "wake", "id": "w", "attempt": "a"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    spec = tmp_path / "ctc.yaml"
    spec.write_text(SPEC)
    return spec


def kept(project: Path, document: dict[str, Any]) -> None:
    path = project.parent / ".ctc" / "toy" / "default" / "kubeflow" / "records" / f"{document['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_the_verb_answers_by_its_exit_code(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept(project, record())
    assert guarded(runs, ["show", "2024", str(project), "--check"]) == 0
    assert "give the verdict that it holds" in capsys.readouterr().out
    kept(project, record(outcome="held"))
    assert guarded(runs, ["show", "2024", str(project), "--check"]) == 4
    assert 'outcome: the record says "held", its numbers give "candidate"' in capsys.readouterr().out
    assert guarded(runs, ["show", "2024", str(project), "--check", "-o", "json"]) == 4
    answer = json.loads(capsys.readouterr().out)
    assert (answer["same"], answer["differences"][0]["place"]) == (False, "outcome")


def test_an_attempt_without_a_verdict_has_nothing_to_check(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept(project, record(outcome="stopped", reason="only 7 rows", decision={}, evaluation={}))
    assert guarded(runs, ["show", "2024", str(project), "--check"]) == 0
    assert "before there was a verdict: stopped, only 7 rows" in capsys.readouterr().out


def test_the_list_cannot_be_checked(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(runs, [str(project), "--check"]) == 2
    assert "ctc runs show ID [SPEC] --check" in capsys.readouterr().err
