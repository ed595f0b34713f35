"""What a run looks at before its first wake: every mistake of a setup in one message, and nothing started."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ctc.diagnostics import CtcError
from ctc.language.load import load_spec
from ctc.language.spec import Parquet, ScheduleTrigger, Spec
from ctc.language.spec.serving import Batch, LiveLimit, Rollout, RolloutStep, Serving, Smoke
from ctc.run import preflight

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
BEGINNING = datetime(2024, 3, 1, tzinfo=UTC)


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """A spec, and all that it needs in its folder."""
    loaded = load_spec(SPECS / "minimal.yaml").spec
    assert loaded is not None
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.parquet").write_bytes(b"PAR1....PAR1")
    sources = tuple(replace(source, parquet=Parquet("data/rows.parquet")) for source in loaded.sources)
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").touch()
    training = replace(
        loaded.training,
        code="code",
        argv=("python", "-u", "train.py", "--out", "{model}"),
        predict=("python", "-m", "toy.predict"),
    )
    return replace(loaded, sources=sources, training=training)


def ready(spec: Spec, folder: Path, target: str = "kubeflow", python: str = sys.executable) -> str:
    return preflight.ready(spec, folder, target, python, lambda path: f"ctc.yaml:{len(path)}:1")


def refused(spec: Spec, folder: Path, **changes: str) -> str:
    with pytest.raises(CtcError) as caught:
        ready(spec, folder, **changes)
    assert "no trigger has been used up" in caught.value.help
    return caught.value.message


def test_where_all_is_there_it_answers_with_the_interpreter(spec: Spec, tmp_path: Path) -> None:
    assert ready(spec, tmp_path) == sys.executable


def data(folder: Path) -> Path:
    return next(path for path in folder.rglob("*.parquet"))


def remove_data(folder: Path) -> None:
    data(folder).unlink()


def spoil_data(folder: Path) -> None:
    data(folder).write_text("row_id,label\n1,0\n")


def empty_data(folder: Path) -> None:
    file = data(folder)
    file.unlink()
    file.mkdir()


def remove_script(folder: Path) -> None:
    (folder / "code" / "train.py").unlink()


def remove_code(folder: Path) -> None:
    remove_script(folder)
    (folder / "code").rmdir()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_data, "does not exist; bring the data there"),
        (spoil_data, "is no Parquet file"),
        (empty_data, "holds no file *.parquet"),
        (remove_script, "there is no script {folder}/code/train.py"),
        (remove_code, "{folder}/code is no folder"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    spoil: Callable[[Path], None], words: str, spec: Spec, tmp_path: Path
) -> None:
    spoil(tmp_path)

    for line in refused(spec, tmp_path).splitlines()[1:]:
        assert line.startswith("  ctc.yaml:")
        assert words.format(folder=tmp_path) in line


def test_all_mistakes_are_told_at_once(spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_data(tmp_path)
    remove_script(tmp_path)
    monkeypatch.setattr(preflight, "_installed", lambda name: name not in ("duckdb", "kfp"))
    said = refused(spec, tmp_path, python="no-such-python")

    for words in (
        "need duckdb,",
        "pip install 'ctc-compiler[runtime]'",
        "pip install 'ctc-compiler[kubeflow]'",
        "sources.",
        "no-such-python",
        "train.py",
    ):
        assert words in said
    assert "ctc-compiler[kubeflow]" not in refused(spec, tmp_path, target="sagemaker")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("no-such-program", "train.R"), "there is no program `no-such-program` on PATH"),
        (("./train.sh",), "there is no program {folder}/code/train.sh"),
        (("python3.11", "other.py"), "there is no script {folder}/code/other.py"),
    ],
)
def test_a_command_that_cannot_start(argv: tuple[str, ...], words: str, spec: Spec, tmp_path: Path) -> None:
    spoilt = replace(spec, training=replace(spec.training, predict=argv))

    assert words.format(folder=tmp_path) in refused(spoilt, tmp_path)


@pytest.mark.parametrize(
    "argv", [(), ("python", "-c", "import x.py"), ("sh", "-c", "x"), ("{model}/run",), ("python", "{model}/run.py")]
)
def test_a_command_of_which_nothing_is_known_passes(argv: tuple[str, ...], spec: Spec, tmp_path: Path) -> None:
    ready(replace(spec, training=replace(spec.training, argv=argv)), tmp_path)


@pytest.mark.parametrize(
    "path", ["data", "**/*.parquet", "data/rows.parquet", "{folder}/data/rows.parquet", "file://{folder}/data"]
)
def test_what_can_be_read(path: str, spec: Spec, tmp_path: Path) -> None:
    ready(from_path(spec, path.format(folder=tmp_path)), tmp_path)


def test_a_bucket_cannot_be_read_here(spec: Spec, tmp_path: Path) -> None:
    assert "s3://bucket/rows.parquet is not of this machine" in refused(
        from_path(spec, "s3://bucket/rows.parquet"), tmp_path
    )


def test_scores_are_written_here_or_not_at_all(spec: Spec, tmp_path: Path) -> None:
    """What a job will write need not be there to be read."""
    served = replace(spec.sources[0], name="served", role="predictions", parquet=Parquet("scores/"))
    for out, wrong in (("scores", False), ("s3://b/scores", True)):
        job = Batch("rows", out, ScheduleTrigger("0 5 * * *", "UTC"))
        asked = replace(spec, sources=(*spec.sources, served)[: 1 if wrong else 2], serving=(Serving("s", batch=job),))
        if wrong:
            assert "serving.s.batch.out: s3://b/scores is not of this machine" in refused(asked, tmp_path)
        else:
            ready(asked, tmp_path)


def from_path(spec: Spec, path: str) -> Spec:
    return replace(spec, sources=tuple(replace(source, parquet=Parquet(path)) for source in spec.sources))


def test_instants_only_go_forward(tmp_path: Path) -> None:
    preflight.forward(tmp_path, BEGINNING)
    (tmp_path / "state.json").write_text('{"last_wake": "2024-03-01T00:00:00Z"}')
    preflight.forward(tmp_path, BEGINNING)

    with pytest.raises(
        CtcError, match=r"2024-02-01T00:00:00Z is before the last wake, at 2024-03-01T00:00:00Z"
    ) as told:
        preflight.forward(tmp_path, datetime(2024, 2, 1, tzinfo=UTC))
    assert "--state DIR" in told.value.help


def test_a_missing_module_names_the_interpreter() -> None:
    errors = ["", "train failed\nModuleNotFoundError: No module named 'lightgbm'"]

    assert "under /opt/python, which has no module lightgbm" in preflight.missing_module(errors, "/opt/python")
    assert preflight.missing_module(["it exited with code 1"], "/opt/python") == ""


ERRORS = LiveLimit("errors", "error_rate", {"max": 0.01})
SMOKE = RolloutStep(smoke=Smoke("smoke.json"))


@pytest.mark.parametrize(
    ("rollout", "there", "said"),
    [
        (Rollout((SMOKE, RolloutStep(traffic=1.0)), limits=(ERRORS,)), True, ""),
        (Rollout((SMOKE, RolloutStep(traffic=1.0))), False, "rollout.steps.0.smoke.request: "),
        (Rollout((RolloutStep(traffic=1.0),)), False, ""),
        (Rollout((RolloutStep(traffic=1.0),), limits=(ERRORS,)), True, "rollout.limits.errors: on one machine"),
        (Rollout((RolloutStep(traffic=0.1, gates=(ERRORS,)),)), True, "rollout.steps.0.gates.errors: on one machine"),
        (
            Rollout((RolloutStep(traffic=1.0),), limits=(replace(ERRORS, kind="drift"),)),
            True,
            "",
        ),
    ],
)
def test_a_rollout_has_a_request_to_ask_with(
    spec: Spec, tmp_path: Path, rollout: Rollout, there: bool, said: str
) -> None:
    if there:
        (tmp_path / "smoke.json").write_text("{}")
    rolled = replace(spec, rollout=rollout)

    if said:
        assert said in refused(rolled, tmp_path)
    else:
        assert ready(rolled, tmp_path) == sys.executable
