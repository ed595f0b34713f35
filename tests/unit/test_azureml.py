"""The Azure ML target: what its commands, schedules, gate and submitted jobs say."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc.compiler.ir import System
from ctc.compiler.lower import lower
from ctc.diagnostics import CtcError
from ctc.language.load import load_spec
from ctc.targets import azureml
from ctc.targets.azureml import gate
from ctc.targets.azureml.pipeline import word
from ctc.targets.azureml.services import encoded, submission

ROOT = Path(__file__).resolve().parent.parent.parent
INTERPRETER = ROOT / "targets" / "azureml" / "interpreter.py"
HOSTILE = [
    "$(touch pwned)",
    "`id`",
    "a'b\"c",
    "a\nb",
    "${{inputs.x}}",
    "$[[ ${{inputs.x}} ]]",
    "$HOME",
    "",
    "!x",
    "é\\",
]


def system() -> System:
    loaded = load_spec(ROOT / "specs" / "everywhere.yaml", None, "azureml")
    assert loaded.spec is not None, loaded.diagnostics
    return lower(loaded.spec, "azureml")


def emitted(path: str) -> dict[str, Any]:
    [found] = [item for item in azureml.emit(system()).artifacts if item.path == path]
    document: dict[str, Any] = yaml.safe_load(found.content)
    return document


def interpret(tmp_path: Path, job: str, **mounts: str) -> tuple[dict[str, Any], str]:
    """The report, and what the steps printed."""
    (tmp_path / "scratch").mkdir(exist_ok=True)
    (tmp_path / "job.yml").write_text(job)
    order = {
        "job": str(tmp_path / "job.yml"),
        "base": str(tmp_path),
        "mounts": mounts,
        "working": "",
        "environment": {"PATH": "/usr/bin:/bin"},
        "scratch": str(tmp_path / "scratch"),
    }
    (tmp_path / "order.json").write_text(json.dumps(order))
    words = [sys.executable, "-I", str(INTERPRETER), str(tmp_path / "order.json"), str(tmp_path / "report.json")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    return json.loads((tmp_path / "report.json").read_text()), done.stderr


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_word_arrives_as_it_is_and_the_service_finds_no_expression(text: str, tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -c 'import sys; print(repr(sys.argv[1]))' {word(text)}"
    report, said = interpret(tmp_path, yaml.safe_dump({"command": command, "environment": "azureml:x@latest"}))

    assert "${{" not in word(text)
    assert "$[[" not in word(text)
    assert report["status"] == "Completed", report
    assert said.strip() == repr(text)


def test_what_people_write_reaches_the_shell_without_a_character_that_means_anything() -> None:
    for text in HOSTILE:
        assert set(encoded(text)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%-_.~")
    assert encoded("") == "-"


def test_the_submitted_job_has_the_attempt_in_its_outputs_and_the_champions_image() -> None:
    job = emitted("pipelines/train.yml")
    filled = submission(job, {"attempt": "a1", "instant": "2024-01-01T00:00:00Z", "champion_image": "old@sha256:1"})

    assert filled["jobs"]["predict_champion"]["component"]["environment"]["image"] == "old@sha256:1"
    assert filled["jobs"]["train"]["component"] == job["jobs"]["train"]["component"]
    assert filled["name"] == "late-parcels-train-a1"
    kept = [output for step in filled["jobs"].values() for output in step.get("outputs", {}).values()]
    assert len(kept) > 10
    assert all("/attempts/a1/" in output["path"] for output in kept)
    with pytest.raises(CtcError, match="no input"):
        submission(job, {"other": "x"})


def test_a_step_behind_a_branch_goes_through_the_gate_and_the_record_does_not() -> None:
    jobs = emitted("pipelines/train.yml")["jobs"]

    gated = {name for name, job in jobs.items() if "gate.py" in job["component"]["command"]}
    assert gated == set(jobs) - {"snapshot", "validate", "record"}
    record = jobs["record"]["component"]["inputs"]
    assert all(item.get("optional") for name, item in record.items() if name.startswith("ctc_after"))


@pytest.mark.parametrize(("flag", "ran"), [(True, True), (False, False), (None, False)])
def test_the_gate_runs_the_command_only_where_the_flag_is_true(flag: bool | None, ran: bool, tmp_path: Path) -> None:
    if flag is not None:
        (tmp_path / "result.json").write_text(json.dumps({"step": "validate", "flags": {"go": flag}}))
    words = ["--flag", f"{tmp_path}:go", "--output", str(tmp_path / "out"), "--", "touch", str(tmp_path / "ran")]
    done = subprocess.run([sys.executable, gate.__file__, *words], capture_output=True)

    assert done.returncode == 0
    assert (tmp_path / "ran").exists() is ran
    assert (tmp_path / "out" / "skipped.json").exists() is not ran


HELLO = "environment: {image: python}"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("{type: parallel}", "parallel"),
        ("{command: x, environment: y, retry_settings: {}}", "retry_settings"),
        ("{component: 'azureml:train@latest'}", "registered"),
        ("{command: x}", "no environment"),
        ("{command: 'echo ${{inputs.none}}', environment: y}", "no value"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(step: str, said: str, tmp_path: Path) -> None:
    report, _ = interpret(tmp_path, f"type: pipeline\njobs:\n  one: {step}\n")

    assert report["status"] == "Refused"
    assert said in report["reason"]


def test_after_a_failed_step_only_what_does_not_need_it_runs(tmp_path: Path) -> None:
    report, _ = interpret(
        tmp_path,
        "type: pipeline\nsettings: {continue_on_step_failure: true}\njobs:\n"
        f"  bad: {{command: sleep 9, {HELLO}, limits: {{timeout: 1}}, outputs: {{o: {{type: uri_folder}}}}}}\n"
        f"  next: {{command: 'cat ${{{{inputs.i}}}}', {HELLO}, inputs: {{i: '${{{{parent.jobs.bad.outputs.o}}}}'}}}}\n"
        f"  last:\n    inputs: {{i: '${{{{parent.jobs.bad.outputs.o}}}}'}}\n    component:\n      {HELLO}\n"
        "      inputs: {i: {type: uri_folder, optional: true}}\n      command: 'echo last $[[${{inputs.i}}]]'\n",
    )

    assert report["ended"] == {"bad": "failed", "next": "not started", "last": "completed"}
    assert "limit of 1 seconds" in report["reason"]


def test_who_imports_the_compiler_in_the_interpreter_s_process_fails(tmp_path: Path) -> None:
    order = tmp_path / "none.json"
    program = (
        f"import runpy, sys; sys.argv = ['x', {str(order)!r}, {str(order)!r}]\n"
        f"try: runpy.run_path({str(INTERPRETER)!r}, run_name='__main__')\n"
        "except OSError: import ctc.compiler\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)

    assert "ModuleNotFoundError" in done.stderr, done.stderr


def test_the_interpreter_imports_nothing_of_ctc() -> None:
    assert "ctc" not in {
        line.split()[1].partition(".")[0]
        for line in INTERPRETER.read_text().splitlines()
        if line.startswith(("import ", "from "))
    }
