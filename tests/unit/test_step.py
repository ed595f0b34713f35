"""`ctc.step`: both protocols around one step, and what a person reads when it fails."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from ctc import step
from ctc.diagnostics import CtcError
from ctc.steps import decide
from ctc.steps.local import FileObjectStore, local_services
from ctc.steps.task import Result, StepFailed

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "schemas" / "step.v1.schema.json").read_text())
GATE = {
    "name": "floor",
    "kind": "range",
    "metric": "auc",
    "better": "higher",
    "min": 0.5,
    "max": None,
    "margin": None,
    "value": None,
    "confidence": 0.975,
}
DOCUMENT: dict[str, Any] = {
    "version": 1,
    "step": "decide",
    "name": "toy",
    "environment": "default",
    "target": "kubeflow",
    "root": "s3://bucket/toy/default",
    "spec_digest": "ab" * 32,
    "policy": {"promotion": {"prefer": "fresher", "if_not_evaluable": "hold", "gates": [GATE]}},
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an evaluation and a mounted root; the target's services are the local ones."""
    monkeypatch.setenv("CTC_MOUNTS", json.dumps({DOCUMENT["root"]: str(tmp_path / "root")}))
    services = SimpleNamespace(build=local_services)
    monkeypatch.setitem(sys.modules, "ctc.targets.kubeflow.services", services)
    (tmp_path / "evaluation").mkdir()
    contender = {"value": 0.75, "low": 0.7, "high": 0.8, "n": 100}
    evaluation = {
        "version": 1,
        "rows": 100,
        "champion": "absent",
        "slices": {},
        "gates": {},
        "metrics": {"auc": {"better": "higher", "contender": contender, "champion": None}},
    }
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(evaluation))
    return tmp_path


def executor_input(place: Path, document: Any = None) -> list[str]:
    told = {
        "inputs": {
            "parameterValues": {"document": document or DOCUMENT, "instant": "2024-03-04T06:00:00Z", "attempt": "a1"},
            "artifacts": {"evaluation": {"artifacts": [{"name": "e", "uri": str(place / "evaluation")}]}},
        },
        "outputs": {
            "parameters": {"promote": {"outputFile": str(place / "task" / "promote")}},
            "artifacts": {"verdict": {"artifacts": [{"name": "v", "uri": str(place / "task" / "verdict")}]}},
            "outputFile": str(place / "task" / "executor_output.json"),
        },
    }
    return ["decide", "--executor_input", json.dumps(told), "--executor-main", "kfp.dsl.executor_main"]


def arguments(place: Path, document: Any = None) -> list[str]:
    (place / "document.json").write_text(json.dumps(document or DOCUMENT))
    return [
        *["decide", "--document", str(place / "document.json"), "--result", str(place / "out")],
        *["--parameter", "instant=2024-03-04T06:00:00Z", "--parameter", "attempt=a1"],
        *["--input", f"evaluation={place / 'evaluation'}", "--output", f"verdict={place / 'verdict'}"],
    ]


def kept(place: Path) -> Any:
    return FileObjectStore(place / "root", "").get("attempts/a1/results/decide.json")


def test_kubeflow(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Kubeflow's parameters carry every number as a float.
    floats = json.loads(json.dumps(DOCUMENT).replace('"version": 1', '"version": 1.0'))
    assert step.main(executor_input(place, floats)) == 0

    output = json.loads((place / "task" / "executor_output.json").read_text())
    artifact = {"name": "v", "uri": str(place / "task" / "verdict"), "metadata": {}}
    assert output == {"parameterValues": {"promote": True}, "artifacts": {"verdict": {"artifacts": [artifact]}}}
    assert (place / "task" / "promote").read_text() == "true"
    assert json.loads((place / "task" / "verdict" / "verdict.json").read_text())["decision"] == "promote"
    assert kept(place)["flags"] == {"promote": True}
    assert capsys.readouterr().err.startswith("ctc: decide: ok, promote true; ")


def test_folders_and_arguments(place: Path) -> None:
    assert step.main(arguments(place)) == 0
    for document in (DOCUMENT, kept(place), json.loads((place / "out" / "result.json").read_text())):
        jsonschema.validate(document, SCHEMA)

    result = json.loads((place / "out" / "result.json").read_text())
    assert {**result, "numbers": 0, "reason": 0} == {
        "version": 1,
        "step": "decide",
        "status": "ok",
        "flags": {"promote": True},
        "numbers": 0,
        "reason": 0,
    }
    assert {**kept(place), "launch": 0} == {**result, "launch": 0}
    assert json.loads((place / "verdict" / "verdict.json").read_text()) == result["numbers"]


def test_a_stop_is_a_normal_end_with_every_flag(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "run", lambda *_: Result("stop", reason="too few rows"))
    assert step.main(executor_input(place)) == 0
    assert json.loads((place / "task" / "executor_output.json").read_text())["parameterValues"] == {"promote": False}
    assert kept(place)["status"] == "stop"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StepFailed("the file visits.parquet is missing: put it there"), ["visits.parquet is missing"]),
        (CtcError("before the last wake", help="wake later"), ["before the last wake", "wake later"]),
        (OSError(errno.ENOSPC, "full", "/data/x"), ["/data/x", "No space left on device", "bigger disk"]),
        (OSError(errno.EROFS, "ro", "/data/x"), ["/data/x", "Read-only file system"]),
        (OSError(errno.EACCES, "no", "/data/x"), ["/data/x", "Permission denied"]),
        (KeyError("gain"), ["internal error: KeyError: 'gain'", "test_step.py:", "CTC_DEBUG=1"]),
    ],
)
def test_failures_are_one_message(
    error: Exception, said: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fail(*_: Any) -> Result:
        raise error

    monkeypatch.setattr(decide, "run", fail)
    assert step.main(arguments(place)) == 1

    shown = capsys.readouterr().err
    assert shown.startswith("ctc: decide failed: ")
    for words in said:
        assert words in shown
        assert words in kept(place)["reason"]
    assert "Traceback" not in shown
    assert json.loads((place / "out" / "result.json").read_text())["status"] == "failed"

    monkeypatch.setenv("CTC_DEBUG", "1")
    assert step.main(executor_input(place)) == 1
    assert ("Traceback" in capsys.readouterr().err) == isinstance(error, KeyError)
    assert (place / "task" / "promote").read_text() == "false"


def test_a_failure_that_cannot_be_kept_is_still_told(place: Path, monkeypatch: Any, capsys: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full", "/root/of/all")

    monkeypatch.setattr(decide, "run", lambda *_: 1 / 0)
    monkeypatch.setattr(FileObjectStore, "put", full)
    assert step.main(arguments(place)) == 1
    shown = capsys.readouterr().err
    assert "could not be kept for the record: /root/of/all: No space left on device" in shown
    assert "decide failed: internal error: ZeroDivisionError" in shown


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, this image reads version 1"),
        ({"step": "evaluate"}, "of the step 'evaluate', not of 'decide'"),
        ({"policy": {}}, "lacks policy.promotion"),
        ({"target": "abacus"}, "no target 'abacus', only kubeflow"),
    ],
)
def test_a_document_that_is_not_for_us(change: dict[str, Any], said: str, place: Path, capsys: Any) -> None:
    assert step.main(arguments(place, {**DOCUMENT, **change})) == 1
    assert said in capsys.readouterr().err


def test_bad_words(place: Path, capsys: Any) -> None:
    good = arguments(place)
    for change, said in [
        (["--parameter", "instant=yesterday"], "instant 'yesterday' is no ISO instant"),
        (["--parameter", "attempt="], "`instant` and `attempt` must be given"),
        (["--document", str(place / "nowhere.json")], "nowhere.json cannot be read"),
        (["--uri", "model"], "expected NAME=VALUE, got 'model'"),
    ]:
        assert step.main([*good, *change]) == 1
        assert said in capsys.readouterr().err
    (place / "broken.json").write_text("{")
    assert step.main([*good, "--document", str(place / "broken.json")]) == 1
    assert "broken.json is not JSON" in capsys.readouterr().err


HEAVY = ("ibis", "duckdb", "numpy", "pyarrow", "mlflow", "jsonschema", "yaml", "click", "kfp", "boto3", "sqlalchemy")


def test_deciding_loads_no_engine(place: Path) -> None:
    program = (
        "import sys, types; from ctc import step; from ctc.steps.local import local_services\n"
        "sys.modules['ctc.targets.kubeflow.services'] = types.SimpleNamespace(build=local_services)\n"
        f"assert step.main({arguments(place)!r}) == 0\n"
        f"print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
