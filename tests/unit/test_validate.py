"""`ctc validate`: exit codes, where the output goes, and what it says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ctc.cli.common import guarded
from ctc.cli.validate import validate

ROOT = Path(__file__).resolve().parent.parent.parent
RIGHT, WARNED, WRONG = (
    "specs/minimal.yaml",
    "tests/err/CT248-champion-ignored.yaml",
    "tests/err/CT241-unknown-metric.yaml",
)


@pytest.fixture(autouse=True)
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("GITHUB_ACTIONS", "GITHUB_WORKSPACE", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([RIGHT], 0),
        ([WARNED], 0),
        ([WARNED, "--strict"], 1),
        ([WRONG], 1),
        ([RIGHT, WRONG], 1),
        ([RIGHT, "--target", "all"], 0),
        (["tests/err/CT248-champion-ignored.yaml", "--target", "sagemaker"], 1),
        (["no-such-file.yaml"], 1),
        ([RIGHT, "--env", "prod"], 1),
        (["specs/environments.yaml", "--env", "prod"], 0),
        ([RIGHT, "--target", "nowhere"], 2),
        ([], 2),
        ([RIGHT, "-o", "xml"], 2),
    ],
)
def test_the_exit_code_says_how_it_went(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(validate, arguments) == code
    assert "Traceback" not in capsys.readouterr().err


def test_findings_are_the_result_and_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(validate, [RIGHT, WRONG])
    out, err = capsys.readouterr()

    assert out.startswith(f"{RIGHT}: ok\nerror[CT241]: there is no metric `auk`\n")
    assert out.endswith(f"\n{WRONG}: 1 error\n")
    assert err == ""


def test_json_is_one_document_for_all_files(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(validate, [WARNED, WRONG, "-o", "json"])
    said = json.loads(capsys.readouterr().out)

    assert [(item["code"], item["file"]) for item in said["findings"]] == [("CT248", WARNED), ("CT241", WRONG)]
    assert said["summary"] == {"files": 2, "errors": 1, "warnings": 1, "notes": 0}


def test_what_targets_have_in_common_is_said_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "ctc.yaml"
    text = (ROOT / RIGHT).read_text().replace("    not_worse: {not_worse: {metric: auc, margin: 0.01}}\n", "")
    spec.write_text(text)
    guarded(validate, [str(spec), "--target", "all", "-o", "json"])

    assert [item["code"] for item in json.loads(capsys.readouterr().out)["findings"]] == ["CT248"]


def wrong_in(spec: Path, changes: int) -> Path:
    """A spec with so many unknown keys."""
    keys = "".join(f"key_{index}: 1\n" for index in range(changes))
    spec.write_text((ROOT / RIGHT).read_text() + keys)
    return spec


def test_a_person_sees_twenty_findings_and_how_many_more_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = wrong_in(tmp_path / "ctc.yaml", 23)
    guarded(validate, [str(spec)])
    out = capsys.readouterr().out

    assert out.count("error[CT101]") == 20
    assert out.count("= docs: ctc explain CT101") == 1
    assert out.endswith(f"\n+ 3 more findings (ctc validate -o json shows all)\n\n{spec}: 23 errors\n")

    guarded(validate, [str(spec), "-o", "json"])
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 23


def test_standard_input_is_a_spec_like_any(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for file, code in ((RIGHT, 0), (WRONG, 1)):
        with (ROOT / file).open() as stream:
            monkeypatch.setattr("sys.stdin", stream)
            assert guarded(validate, ["-", "--target", "all"]) == code
        out = capsys.readouterr().out
        assert out.startswith("<stdin>: ok\n") if code == 0 else out.endswith("<stdin>: 1 error\n")
    assert " --> <stdin>:" in out
    assert "^^^" in out, "the line is shown although there is no file"


def test_a_folder_is_every_spec_below_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / RIGHT).read_text()
    for name in ("b.yaml", "a.yml", "sub/c.yaml", ".hidden/d.yaml", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "values.yaml").write_text("apiVersion: v1\nkind: Pod\n")
    (tmp_path / "bad.yaml").write_text("apiVersion: ctc/v1\nname: [\n")

    assert guarded(validate, [str(tmp_path), str(tmp_path / "b.yaml")]) == 1
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert said == [
        f"{tmp_path}/a.yml: ok",
        f"{tmp_path}/b.yaml: ok",
        f"{tmp_path}/bad.yaml: 1 error",
        f"{tmp_path}/sub/c.yaml: ok",
    ]
    assert guarded(validate, [str(tmp_path / ".hidden" / "..")]) == 1, "a hidden folder that is asked for is looked at"
    assert guarded(validate, [str(tmp_path / "none")]) == 1
    (tmp_path / "none").mkdir()
    assert guarded(validate, [str(tmp_path / "none")]) == 2


def test_a_github_job_gets_annotations_beside_the_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(ROOT.parent))
    guarded(validate, [WRONG])
    out = capsys.readouterr().out
    guarded(validate, [WRONG, "-o", "human"])
    human = capsys.readouterr().out
    guarded(validate, [WRONG, "-o", "github"])
    commands = capsys.readouterr().out

    assert out == human + commands
    assert commands.startswith(f"::error file={ROOT.name}/{WRONG},line=")
    assert ",title=CT241::" in commands


def test_colour_can_be_forced_into_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    guarded(validate, [WRONG])
    assert "\x1b" not in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    guarded(validate, [WRONG])
    assert "\x1b[1;31merror[CT241]" in capsys.readouterr().out


def test_sarif_goes_to_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    guarded(validate, [RIGHT, WARNED, "-o", "sarif"])
    [run] = json.loads(capsys.readouterr().out)["runs"]

    assert [item["ruleId"] for item in run["results"]] == ["CT248"]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == WARNED


def test_a_comment_silences_a_warning_also_for_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "ctc.yaml"
    [line] = {item["start"]["line"] for item in findings_of(WARNED, capsys)}
    lines = (ROOT / WARNED).read_text().splitlines()
    lines[line - 1] += "  # ctc: ignore[CT248] the first model of its kind"
    spec.write_text("\n".join(lines) + "\n")

    assert guarded(validate, [str(spec), "--strict"]) == 0
    assert capsys.readouterr().out == f"{spec}: ok\n"


def findings_of(spec: str, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    guarded(validate, [spec, "-o", "json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def test_many_specs_are_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema is read and the modules are imported once, so a spec costs what its own text costs."""
    text = (ROOT / RIGHT).read_text()
    for index in range(100):
        (tmp_path / f"{index:03}.yaml").write_text(text.replace("late-parcels", f"late-parcels-{index}"))
    guarded(validate, [str(tmp_path / "000.yaml")])
    started = time.process_time()

    assert guarded(validate, [str(tmp_path)]) == 0
    assert time.process_time() - started < 3
    assert capsys.readouterr().out.count(": ok\n") == 101


def test_a_single_spec_is_told_what_its_gates_can_see(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(validate, [RIGHT]) == 0
    [ok, *told] = capsys.readouterr().out.splitlines()

    assert ok.endswith(": ok")
    assert any("equally good models that pass" in line for line in told)
    assert guarded(validate, [RIGHT, "specs/gates.yaml"]) == 0
    assert "equally good" not in capsys.readouterr().out, "of many specs only the findings are told"
