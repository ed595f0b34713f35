"""`ctc validate`: exit codes, where the output goes, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

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
    found = json.loads(capsys.readouterr().out)["diagnostics"]

    assert [(item["code"], item["file"]) for item in found] == [("CT248", WARNED), ("CT241", WRONG)]


def test_what_targets_have_in_common_is_said_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    spec = tmp_path / "ctc.yaml"
    text = (ROOT / RIGHT).read_text().replace("    not_worse: {not_worse: {metric: auc, margin: 0.01}}\n", "")
    spec.write_text(text)
    guarded(validate, [str(spec), "--target", "all", "-o", "json"])

    assert [item["code"] for item in json.loads(capsys.readouterr().out)["diagnostics"]] == ["CT248"]
