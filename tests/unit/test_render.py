"""`ctc render` prints a spec that means what the spec means in one environment, for one row, on one target."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ctc.cli import _group
from ctc.cli.common import guarded
from ctc.language.load import Loaded, load_spec
from ctc.language.render import environments_of, rows_of
from ctc.language.source import decode, read
from ctc.language.spec import Spec

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "render"
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
OTHERS = sorted([*(ROOT / "tests" / "ok").glob("*.yaml"), *(ROOT / "examples").glob("*/ctc.yaml")])


@dataclass(frozen=True)
class Case:
    """One way in which a spec holds."""

    path: Path
    environment: str | None
    target: str | None
    row: str | None

    @property
    def name(self) -> str:
        return "-".join(filter(None, [self.path.stem, self.environment, self.target, self.row]))

    def words(self, path: Path) -> list[str]:
        options = {"--env": self.environment, "--target": self.target, "--row": self.row}
        return ["render", str(path), *(word for key, value in options.items() if value for word in (key, value))]

    def loaded(self) -> Loaded:
        return load_spec(self.path, self.environment, self.target, self.row)


def cases(path: Path, *, every_target: bool) -> Iterator[Case]:
    """Each environment and row of a spec: without a target, and on each target, or on those that have variables."""
    document = read(path)
    for environment in environments_of(document) or (None,):
        for row in rows_of(document) or (None,):
            yield Case(path, environment, None, row)
            for target, settings in document.data["targets"].items():
                if every_target or "variables" in settings:
                    yield Case(path, environment, target, row)


RECORDED = [case for path in SPECS for case in cases(path, every_target=False)]
EXPLAINED = [case for case in RECORDED if case.name in ("environments-prod-sagemaker", "matrix-se")]
ALL = [case for path in (*SPECS, *OTHERS) for case in cases(path, every_target=True)]


def rendered(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    code = guarded(_group(), words)
    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    return shown.out


def as_recorded(name: str, text: str, update: bool) -> None:
    file = GOLDEN / f"{name}.yaml"
    if update:
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, "run `make golden` and review the diff"


def right(loaded: Loaded) -> Spec:
    assert loaded.spec is not None, loaded.diagnostics
    return loaded.spec


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case.name)
def test_a_rendered_spec_is_as_recorded(case: Case, update: bool, capsys: pytest.CaptureFixture[str]) -> None:
    as_recorded(case.name, rendered(case.words(case.path), capsys), update)


@pytest.mark.parametrize("case", EXPLAINED, ids=lambda case: case.name)
def test_an_explained_spec_is_as_recorded(case: Case, update: bool, capsys: pytest.CaptureFixture[str]) -> None:
    as_recorded(f"{case.name}-explain", rendered([*case.words(case.path), "--explain"], capsys), update)


def test_no_recorded_spec_is_an_orphan() -> None:
    names = {case.name for case in RECORDED} | {f"{case.name}-explain" for case in EXPLAINED}

    assert {file.stem for file in GOLDEN.iterdir()} == names
    assert len(EXPLAINED) == 2


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_rendered_spec_means_what_the_spec_means(
    case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for what rendering uses up: the names of the environment and of the row."""
    before, file = case.loaded(), tmp_path / "ctc.yaml"
    file.write_text(rendered(case.words(case.path), capsys), encoding="utf-8")
    after = load_spec(file, None, case.target)

    spec = right(before)
    assert right(after) == replace(spec, name=spec.model_name, row="", environment="default")
    assert [(item.code, item.path) for item in after.diagnostics] == [
        (item.code, item.path) for item in before.diagnostics
    ]


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_rendered_spec_renders_to_itself(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ctc.yaml"
    file.write_text(rendered(case.words(case.path), capsys), encoding="utf-8")
    again = replace(case, environment=None, row=None)

    assert rendered(again.words(file), capsys) == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_every_way_of_printing_holds_the_same(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    words = case.words(case.path)
    plain = decode(rendered(words, capsys).encode(), "plain").data

    assert decode(rendered([*words, "--explain"], capsys).encode(), "explained").data == plain
    assert json.loads(rendered([*words, "-o", "json"], capsys)) == plain
    told = json.loads(rendered([*words, "--explain", "-o", "json"], capsys))
    assert told["spec"] == plain
    lines = case.path.read_text(encoding="utf-8").count("\n")
    assert all(1 <= origin["line"] <= lines for origin in told["origins"].values())


def test_an_explained_value_names_its_line_its_patch_and_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """Held against the spec's own lines, not against the code that counts them."""
    path = ROOT / "specs" / "environments.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    words = ["render", str(path), "--env", "prod", "--target", "sagemaker", "--explain", "-o", "json"]
    told = json.loads(rendered(words, capsys))["origins"]

    lake = told["sources.transactions.parquet.path"]
    assert "${var.lake}" in lines[lake["line"] - 1]
    assert "acme-payments-eu" in lines[lake["references"]["var.lake"] - 1]
    patched = [name for name, origin in told.items() if origin["patch"] == "environments.prod"]
    assert patched
    assert all(name.split(".")[-1] in lines[told[name]["line"] - 1] for name in patched)
