"""What `ctc run` says at its end: why nothing happened, and that a page that cannot be written loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctc.cli import run as cli
from ctc.cli.common import FAILED, OK
from ctc.language.load import load_spec
from ctc.language.spec import Spec

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"


@pytest.fixture
def spec() -> Spec:
    loaded = load_spec(SPECS / "minimal.yaml").spec
    assert loaded is not None
    return loaded


def record(state: Path, id: str, outcome: str, error: str = "") -> None:
    (state / "records").mkdir(exist_ok=True)
    document = {"id": id, "kind": "attempt", "instant": f"{id}T00:00:00Z", "outcome": outcome, "error": error}
    (state / "records" / f"{id}.json").write_text(json.dumps(document))


def test_a_quiet_run_after_a_failed_attempt_says_so(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, "2024-01-01", "failed", "an older failure")
    error = "train failed: 'python train.py' exited with code 1; its last lines:\nTraceback:\n  KeyError: 'shop'\n"
    record(tmp_path, "2024-02-01", "failed", error)
    cli._say_quiet(spec, tmp_path)
    out, told = capsys.readouterr()

    assert out == ""
    assert "nothing to do: no trigger fired" in told
    assert "2024-02-01, failed: train failed: 'python train.py' exited with code 1: KeyError: 'shop'\n" in told
    assert "older" not in told
    for way in ("--manual WHY", "a later --at", "--state DIR"):
        assert way in told
    assert cli._ADD_MANUAL in told

    with_manual = load_spec(SPECS / "new_data.yaml").spec
    assert with_manual is not None
    cli._say_quiet(with_manual, tmp_path)
    assert cli._ADD_MANUAL not in capsys.readouterr().err


def test_a_quiet_run_after_a_good_attempt_says_no_more(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, "2024-01-01", "failed", "it broke")
    record(tmp_path, "2024-02-01", "candidate")
    cli._say_quiet(spec, tmp_path)

    assert capsys.readouterr().err == "nothing to do: no trigger fired\n"


def test_a_page_that_cannot_be_written_is_told_after_the_results(
    spec: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    code = cli._report(spec, "kubeflow", tmp_path, tmp_path / "file" / "page.html", "human")
    out, told = capsys.readouterr()

    assert (code, out) == (FAILED, "")
    assert "page.html cannot be written: File exists" in told
    assert "its records are kept" in told

    assert cli._report(spec, "kubeflow", tmp_path, tmp_path / "page.html", "json") == OK
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "page.html").read_text().lower().startswith("<!doctype html")
