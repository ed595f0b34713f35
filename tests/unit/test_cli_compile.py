"""`ctc compile`: nothing is written by halves, and what is left over is told, not deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctc import targets
from ctc.cli.common import guarded
from ctc.cli.compile import compile_

MINIMAL = (Path(__file__).resolve().parent.parent.parent / "specs" / "minimal.yaml").read_text()


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "ctc.yaml"
    file.write_text(MINIMAL)
    return file


def contents(folder: Path) -> dict[str, bytes]:
    return {str(item.relative_to(folder)): item.read_bytes() for item in folder.rglob("*") if item.is_file()}


@pytest.mark.parametrize("change", ["foreign", "edited", "damaged"])
def test_a_refusal_in_the_last_target_leaves_the_first(
    spec: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = spec.parent / "made"
    assert guarded(compile_, [str(spec), "--out", str(out)]) == 0
    file = {
        "foreign": out / "sagemaker" / "notes.md",
        "edited": next(out.glob("sagemaker/*.json")),
        "damaged": out / "sagemaker" / "manifest.json",
    }[change]
    file.write_text("mine")
    before = contents(out)
    spec.write_text(MINIMAL.replace("min: 0.6", "min: 0.7"))

    assert guarded(compile_, [str(spec), "--out", str(out)]) == 3
    assert contents(out) == before
    assert "nothing was written" in capsys.readouterr().err


def test_a_write_that_was_cut_short_is_finished(spec: Path) -> None:
    out, other = spec.parent / "made", spec.parent / "other"
    guarded(compile_, [str(spec), "--out", str(out)])
    spec.write_text(MINIMAL.replace("min: 0.6", "min: 0.7"))
    guarded(compile_, [str(spec), "--out", str(other)])
    new = contents(other)
    for name in [name for name in new if not name.endswith("manifest.json")][:3]:
        (out / name).write_bytes(new[name])

    assert guarded(compile_, [str(spec), "--out", str(out)]) == 0
    assert contents(out) == new


def test_a_folder_that_is_not_ours_is_not_left_over(spec: Path) -> None:
    out = spec.parent / "made"
    guarded(compile_, [str(spec), "--out", str(out)])
    for name, text in (("notes", "mine"), ("airflow", '{"target": "airflow"}'), ("list", "[]")):
        (out / name).mkdir()
        (out / name / "manifest.json").write_text(text)

    assert guarded(compile_, [str(spec), "--out", str(out), "--check"]) == 0


def test_a_folder_of_a_target_that_went_stays_until_somebody_removes_it(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = spec.parent / "made of it"
    guarded(compile_, [str(spec), "--out", str(out)])
    spec.write_text("".join(line for line in MINIMAL.splitlines(keepends=True) if "sagemaker:" not in line))
    capsys.readouterr()

    assert guarded(compile_, [str(spec), "--out", str(out)]) == 0
    assert f"rm -r '{out / 'sagemaker'}'" in capsys.readouterr().err
    assert (out / "sagemaker" / "manifest.json").is_file()
    assert guarded(compile_, [str(spec), "--out", str(out), "--check"]) == 4


def test_a_finding_of_every_target_is_said_once(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(MINIMAL.replace("variables: {", "variables: {unused: 1, ", 1))

    assert guarded(compile_, [str(spec), "--out", str(spec.parent / "made")]) == 0
    assert capsys.readouterr().err.count("CT224") == 1


def test_unknown_targets_are_refused(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(compile_, [str(spec), "--target", "nowhere", "--stdout"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in (*targets.NAMES, "all"))
