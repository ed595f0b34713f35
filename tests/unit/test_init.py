"""`ctc init`: what it guesses, what it writes, what it refuses, and that the result runs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import project
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import ctc
from ctc.cli.common import guarded
from ctc.cli.init import init
from ctc.diagnostics import Severity
from ctc.language.emit import Line, Noted, emit, scalar
from ctc.language.load import load_spec
from ctc.language.source import parse
from ctc.language.spec import Spec

START = datetime(2024, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]


def table(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def houses(folder: Path, **extra: Callable[[int], Any]) -> Path:
    """A regression in one table: 100 days, 20 rows each, naive local times, a price that follows the size."""
    draw = Random(3)
    rows = []
    for number in range(2000):
        size = draw.uniform(30, 200)
        row = {
            "house_id": number,
            "listed": (START + timedelta(hours=1.2 * number)).replace(tzinfo=None),
            "size": size if number % 50 else None,
            "district": draw.choice(["NO", "north", "y"]),
            "built": date(1990 + number % 30, 1, 1),
            "price": 3000.0 * size + draw.gauss(0, 20000),
        }
        rows.append({**row, **{name: make(number) for name, make in extra.items()}})
    table(folder / "houses.parquet", rows)
    return folder


def delayed(folder: Path) -> Path:
    """A binary problem whose labels come days later, in a table of their own."""
    project.make(folder)
    for name in ("ctc.yaml", "train.py", "predict.py"):
        (folder / name).unlink()
    return folder


def run(*arguments: str | Path) -> int:
    return guarded(init, [*map(str, arguments)])


def made(folder: Path, *arguments: str) -> Spec:
    """The spec that `init --yes` writes: it is valid, and no finding of it but a warning."""
    assert run(folder, "--yes", *arguments) == 0
    loaded = load_spec(folder / "ctc.yaml")
    assert loaded.spec is not None, [item.message for item in loaded.diagnostics]
    assert {item.severity for item in loaded.diagnostics} <= {Severity.WARNING, Severity.NOTE}
    return loaded.spec


def text(folder: Path) -> str:
    return (folder / "ctc.yaml").read_text(encoding="utf-8")


def line(folder: Path, start: str) -> str:
    """The only line of the spec that starts so."""
    [found] = [row.strip() for row in text(folder).splitlines() if row.strip().startswith(start)]
    return found


def test_labels_of_a_second_table_are_found_with_their_delay(tmp_path: Path) -> None:
    spec = made(delayed(tmp_path / "toy"))

    assert {source.name: source.role for source in spec.sources} == {
        "visits": "rows",
        "outcomes": "labels",
        "prices": "features",
    }
    assert (spec.rows.event_time, spec.rows.key, spec.task) == ("at", ("id",), "binary")
    assert (spec.label.source, spec.label.column) == ("outcomes", "bought")
    # Labels come 1 to 70 hours after the visit.
    assert spec.label.known_after == timedelta(days=3)
    assert line(tmp_path / "toy", "event_time:") == "event_time: at  # guessed: the only timestamp column"
    assert spec.retraining.window == timedelta(days=90) and spec.retraining.holdout.time == timedelta(days=28)


def test_a_regression_gets_a_floor_that_only_a_model_passes(tmp_path: Path) -> None:
    spec = made(houses(tmp_path / "houses"))
    floor, not_worse = spec.promotion.gates
    sizes = [row["price"] for row in pq.read_table(tmp_path / "houses/houses.parquet").to_pylist()]
    middle = sorted(sizes)[len(sizes) // 2]
    naive = sum(abs(price - middle) for price in sizes) / len(sizes)

    assert spec.task == "regression" and spec.label.column == "price"
    assert floor.max is not None and floor.max == pytest.approx(naive, rel=0.1)
    assert not_worse.margin == pytest.approx(floor.max * 0.02, rel=0.01)
    assert line(tmp_path / "houses", "timezone: UTC  #").endswith("TODO: listed has no zone; whose clock does it show?")
    assert "house" in str(spec.rows.key) and spec.retraining.holdout.min_positives == 0


def test_checks_leave_room_around_what_the_data_hold(tmp_path: Path) -> None:
    checks = {check.name: check.arguments for check in made(houses(tmp_path / "h")).checks}

    assert checks["size_present"]["max"] == pytest.approx(0.04, abs=0.01)  # 2 % are missing
    assert 0 <= checks["size_range"]["min"] < 30 < 200 < checks["size_range"]["max"] < 300
    assert list(checks["district_known"]["values"]) == ["NO", "north", "y"]
    assert list(checks["one_row_each"]["columns"]) == ["house_id"]
    assert 500 < checks["enough"]["min"] < 1700
    assert "price_range" not in checks


AWKWARD = [
    "no",
    "a b",
    'he said "hi"',
    "colon: x",
    "#hash",
    "straße",
    "ключ",
    "tab\tname",
    "new\nline",
    "-",
    "${x}",
    "1e3",
    "🙂",
]


def test_awkward_names_survive_every_reader_of_yaml(tmp_path: Path) -> None:
    folder = houses(tmp_path / "No: Ordinary Folder", **{name: lambda number: float(number % 7) for name in AWKWARD})
    spec = made(folder)
    ranges = {check.arguments["column"] for check in spec.checks if check.kind in ("range", "null_ratio")}

    assert spec.name == "no-ordinary-folder"
    assert len(ranges & set(AWKWARD)) >= 6
    assert yaml.safe_load(text(folder)) == parse(text(folder)).data


@pytest.mark.parametrize(
    "value",
    [
        "no",
        "y",
        "NULL",
        "~",
        "",
        "1",
        "1_000",
        "0x1f",
        "1:30",
        "2024-01-01",
        "a: b",
        " x",
        "x ",
        "- x",
        "*a",
        "&a",
        "!t",
        "%d",
        "@at",
        "`",
        "{train}",
        "a#b",
        "a #b",
        "\x85",
        "\u2028",
        "é",
        "=",
        "<<",
        "7d",
        "5%",
        "--out",
        "./src",
        ".",
        ".5",
        ".inf",
        "true",
        "nan",
        "\ud7ff",
        "𝄞",
        "'",
        '"',
        "\\",
    ],
)
def test_text_reads_back_as_text(value: str) -> None:
    assert parse(f"k: {scalar(value)}\n").data == {"k": value}
    assert yaml.safe_load(f"k: [{scalar(value)}]\n") == {"k": [value]}


@pytest.mark.parametrize("value", [0, -3, 10**15, 0.1, 1e-7, 2.5e11, -0.000001, True, False, None])
def test_values_read_back_as_they_are(value: object) -> None:
    assert parse(f"k: {scalar(value)}\n").data == {"k": value}  # type: ignore[arg-type]
    assert yaml.safe_load(f"k: {scalar(value)}\n") == {"k": value}  # type: ignore[arg-type]


def test_a_long_command_is_wrapped_and_a_comment_stays_in_one_line() -> None:
    words = [f"--option-{number}" for number in range(30)]
    written = emit({"name": Noted("x", "a\ncomment: \u2028 {"), "argv": Line(words, wrap=True)})

    assert max(map(len, written.splitlines())) <= 120
    assert parse(written).data == {"name": "x", "argv": words}
    assert written.splitlines()[0] == "name: x  # a comment: {"


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = houses(tmp_path / "h")
    made(folder)
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    made(folder, "--force")
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == first
    assert {"ctc.yaml", "train.py", "predict.py"} < set(first)


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = houses(tmp_path / "h")
    (folder / "ctc.yaml").write_text("mine")

    assert run(folder, "--yes") == 3
    assert "ctc.yaml exists already" in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["ctc.yaml", "houses.parquet"]
    assert text(folder) == "mine"

    (folder / "ctc.yaml").unlink()
    (folder / "predict.py").write_text("mine = True\n")
    assert run(folder, "--yes") == 3
    assert (folder / "predict.py").read_text() == "mine = True\n" and not (folder / "ctc.yaml").exists()


def test_force_replaces_our_scripts_and_never_the_users(tmp_path: Path) -> None:
    folder = houses(tmp_path / "h", flag=lambda number: number % 2)
    made(folder)
    assert made(folder, "--force", "--label", "flag").task == "binary"
    assert "LABEL = 'flag'" in (folder / "train.py").read_text()

    (folder / "train.py").write_text("import argparse\n")
    made(folder, "--force")
    assert (folder / "train.py").read_text() == "import argparse\n"


SCRIPT = """\
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--train-data", required=True)
parser.add_argument("--valid-file", default="valid.parquet")
parser.add_argument("--model-path", default="models/forest.joblib")
parser.add_argument("--depth", type=int, default=8)
parser.add_argument("--api-token", type=int, default=5)
parser.add_argument("--country", required=True)
parser.add_argument("--quiet", action="store_true")
raise SystemExit("a script is read, and never run")
"""
PREDICT = """\
import click
@click.command()
@click.option("--model-dir")
@click.option("-i", "--input")
@click.argument("output")
def main(model_dir, input, output): ...
"""


def test_a_projects_flags_become_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = houses(tmp_path / "p")
    (folder / "src").mkdir()
    (folder / "src/train.py").write_text(SCRIPT)
    (folder / "src/predict.py").write_text(PREDICT)
    (folder / "explore.ipynb").write_text("{}")
    (folder / "Dockerfile").write_text("FROM python\n")
    spec = made(folder)

    assert spec.training.argv == (
        *("python", "src/train.py", "--train-data", "{train}", "--valid-file", "{valid}/data.parquet"),
        *("--model-path", "{model}/forest.joblib", "--depth", "{hp.depth}", "--country", "TODO"),
    )
    assert spec.training.hyperparameters == {"depth": 8}
    assert spec.training.predict == (
        *("python", "src/predict.py", "--model-dir", "{model}", "--input", "{rows}", "{predictions}"),
    )
    assert "TODO: say what --country takes" in text(folder)
    assert "TODO: the image that Dockerfile builds, by digest" in text(folder)
    assert "explore.ipynb: a notebook" in capsys.readouterr().err
    assert not (folder / "train.py").exists()


SAGEMAKER = """\
import argparse, os, joblib
def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--estimators", type=int, default=20)
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", default=os.environ.get("SM_CHANNEL_TRAIN"))
    args, _ = parser.parse_known_args()
    import pandas as pd
    from sklearn.ensemble import RandomForestRegressor
    rows = pd.read_parquet(args.train).dropna()
    names = ["size"]
    model = RandomForestRegressor(args.estimators, random_state=0).fit(rows[names], rows["price"])
    joblib.dump(model, os.path.join(args.model_dir, "model.joblib"))
"""


def test_a_sagemaker_script_gets_its_variables_and_a_predicting_script(tmp_path: Path) -> None:
    project_folder = houses(tmp_path / "p")
    (project_folder / "train.py").write_text(SAGEMAKER)
    spec = made(project_folder)

    assert spec.training.argv == (
        *("env", "SM_MODEL_DIR={model}", "python", "train.py", "--estimators", "{hp.estimators}"),
        *("--model-dir", "{model}", "--train", "{train}"),
    )
    assert spec.retraining.validation_share == 0
    written = (project_folder / "predict.py").read_text()
    assert "from train import model_fn" in written and "TODO" in written
    compile(written, "predict.py", "exec")


def test_a_script_without_flags_is_marked_and_the_spec_is_valid(tmp_path: Path) -> None:
    folder = houses(tmp_path / "p")
    (folder / "train.py").write_text("import pandas as pd\nrows = pd.read_csv('train.csv')\n")
    (folder / "predict.py").write_text("print 'python 2'\n")
    made(folder)

    assert "TODO: train.py has no flag for train, model: give it one, or read CTC_TRAIN and CTC_MODEL" in text(folder)
    assert "train.py reads CSV" in text(folder) and "predict.py cannot be read as Python" in text(folder)


def test_a_project_elsewhere_is_read_and_left_alone(tmp_path: Path) -> None:
    source = houses(tmp_path / "old project")
    (source / "train.py").write_text(SCRIPT)
    (source / "predict.py").write_text(PREDICT)
    before = sorted(source.iterdir())
    (tmp_path / "new").mkdir()
    assert run(tmp_path / "new", "--from", source, "--yes", "--target", "kubeflow", "--target", "sagemaker") == 0
    spec = load_spec(tmp_path / "new/ctc.yaml").spec

    assert spec is not None and sorted(source.iterdir()) == before
    assert spec.training.code == "../old project" and spec.rows.parquet.path == "../old project/houses.parquet"
    assert sorted(spec.targets) == ["kubeflow", "sagemaker"]


def test_times_after_the_event_are_kept_from_the_model(tmp_path: Path) -> None:
    def sold(number: int) -> datetime:
        return (START + timedelta(hours=1.2 * number) + timedelta(days=5)).replace(tzinfo=None)

    spec = made(houses(tmp_path / "h", sold=sold))
    assert spec.columns.drop == ("sold",)
    assert spec.rows.event_time == "listed" and spec.label.known_after == timedelta(days=5)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: None, "there is no Parquet data in"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "there is no Parquet data in"),
        (lambda folder: (folder / "a.csv").write_text("x,y\n1,2\n"), "python -c 'import duckdb; duckdb.read_csv("),
        (lambda folder: (folder / "a.parquet").write_bytes(b"PAR1 broken"), "a.parquet cannot be read as Parquet"),
        (lambda folder: (folder / "a.parquet").write_bytes(b""), "a.parquet cannot be read as Parquet"),
        (lambda folder: table(folder / "a.parquet", [{"id": 1, "y": 1}]), "no timestamp column found"),
        (
            lambda folder: table(folder / "a.parquet", [{"id": i, "y": i % 2, "day": f"2024-01-0{i}"} for i in (1, 2)]),
            "`day` in",
        ),
        (
            lambda folder: table(
                folder / "a.parquet", [{"id": i, "label": "yes" if i % 2 else "no", "t": START} for i in (1, 2)]
            ),
            "the label `label` in",
        ),
        (
            lambda folder: table(folder / "a.parquet", [{"id": i, "y": i % 2, "t": START} for i in range(4)]),
            "span 0 seconds",
        ),
        (
            lambda folder: table(folder / "a.parquet", [{"kind": "a", "y": i % 2, "t": START} for i in range(4)]),
            "no column of",
        ),
        (
            lambda folder: houses(folder, row_id=lambda number: number % 3),
            "the column name `row_id` is ctc's own",
        ),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    prepare: Callable[[Path], Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    prepare(folder)
    assert run(folder, "--yes") == 3
    err = capsys.readouterr().err

    assert said in err and "Traceback" not in err and "internal error" not in err
    assert "= help:" in err
    assert not (folder / "ctc.yaml").exists() and not (folder / "train.py").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--label", "prize"], 3, "did you mean `price`?"),
        (["--label", "district"], 3, "`district` is VARCHAR; a label is a number"),
        (["--event-time", "size"], 3, "`size` is DOUBLE, not a timestamp"),
        (["--key", "district"], 3, "does not tell the rows of"),
        (["--task", "binary"], 3, "has other values than 0 and 1"),
        (["--label-delay", "soon"], 2, "this is not a duration"),
        (["--label-delay", "900d"], 0, ""),
        (["--target", "nowhere"], 2, "unknown target `nowhere`"),
        (["--name", "My Model"], 3, "write my-model"),
        (["--data", "nowhere.parquet"], 3, "there is no nowhere.parquet"),
    ],
)
def test_what_the_user_says_is_checked(
    arguments: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(houses(tmp_path / "h"), "--yes", *arguments) == code
    assert said in capsys.readouterr().err


def test_a_missing_engine_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = houses(tmp_path / "h")
    monkeypatch.setitem(sys.modules, "duckdb", None)

    assert run(folder, "--yes") == 3
    assert "pip install 'ctc-compiler[runtime]'" in capsys.readouterr().err


def test_a_terminal_is_asked_with_the_guesses_as_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from click.testing import CliRunner

    folder = houses(tmp_path / "h", flag=lambda number: number % 2)
    monkeypatch.setattr("ctc.cli.init._is_terminal", lambda: True)
    done = CliRunner().invoke(init, [str(folder)], input="homes\nprice\n\n\n10d\n", standalone_mode=False)
    spec = load_spec(folder / "ctc.yaml").spec

    assert done.exit_code == 0 and "label column (the only column of nothing but 0 and 1) [flag]" in done.output
    assert spec is not None
    assert (spec.name, spec.label.column, spec.task, spec.label.known_after.days) == (
        "homes",
        "price",
        "regression",
        10,
    )


def test_an_editor_gets_the_schema_beside_the_spec(tmp_path: Path) -> None:
    folder = houses(tmp_path / "h")
    made(folder)
    assert "yaml-language-server" not in text(folder)
    made(folder, "--force", "--editor")

    assert text(folder).splitlines()[0] == "# yaml-language-server: $schema=ct.schema.json"
    assert json.loads((folder / "ct.schema.json").read_text())["properties"]["apiVersion"]["const"] == "ctc/v1"


def test_parts_of_one_table_are_one_source(tmp_path: Path) -> None:
    rows = pq.read_table(houses(tmp_path / "all") / "houses.parquet")
    folder = tmp_path / "h"
    (folder / "data/homes").mkdir(parents=True)
    for part in range(2):
        pq.write_table(rows.slice(part * 1000, 1000), folder / f"data/homes/part-{part:05}.parquet")
    assert made(folder).rows.parquet.path == "data/homes"


def promoted(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs the command that `init` proposes; the table of the run."""
    [command] = re.findall(r"--at (\S+)", capsys.readouterr().err)
    done = project.ctc("run", "ctc.yaml", "--at", command, "--python", sys.executable, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_delayed_labels_run_and_promote_a_first_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(delayed(tmp_path / "toy"))
    assert "promoted 1" in promoted(tmp_path / "toy", capsys)


@pytest.mark.soak
def test_a_sagemaker_project_runs_and_promotes_a_first_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = houses(tmp_path / "p")
    (folder / "train.py").write_text(SAGEMAKER)
    made(folder, "--target", "sagemaker")
    # What the adapter marks TODO: the forest takes no missing size.
    predict = folder / "predict.py"
    predict.write_text(predict.read_text().replace("return rows[list(names)]", "return rows[list(names)].fillna(100)"))
    assert "promoted 1" in promoted(folder, capsys)


@pytest.mark.soak
def test_awkward_names_run_and_promote_a_first_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also a regression in one table, with dates, missing values and a naive clock."""
    names = [name for name in AWKWARD if name != "${x}"]
    folder = houses(tmp_path / "it's a: [test]", **{name: lambda number: number % 7 for name in names})
    made(folder, "--target", "sagemaker")
    assert "promoted 1" in promoted(folder, capsys)


def test_the_wheel_has_the_templates() -> None:
    folder = Path(ctc.__file__).parent / "init" / "templates"
    scripts = {"train.py.j2", "predict.py.j2", "predict_with.py.j2"}
    workflows = {"action.yml.j2", "github.yml.j2", "logins.yml.j2", "gitlab.yml.j2", "gitlab_login.yml.j2"}
    assert {path.name for path in folder.iterdir()} == scripts | workflows
