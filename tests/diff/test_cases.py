"""Recorded comments: a base spec, an edit, and the exact comment that a reviewer sees.

Each `NAME.yaml` names a spec of `specs/` and what is put in the place of what; `NAME.md` is the comment. `pytest
tests/diff --update` records them anew: review the diff.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc.diff.chosen import choose
from ctc.diff.compare import compare
from ctc.diff.markdown import LIMIT, MARKER, as_markdown
from ctc.diff.model import Report

HERE = Path(__file__).resolve().parent
SPECS = HERE.parent.parent / "specs"
CASES = sorted(path.stem for path in HERE.glob("*.yaml"))
AT = datetime(2026, 1, 5, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Case:
    """`files` are the files of both sides beside the spec, `removed` and `added` say that one side has no spec."""

    base: str
    edits: tuple[tuple[str, str], ...]
    before: tuple[tuple[str, str], ...]
    path: str
    files: dict[str, dict[str, str]]
    missing: str


def read_case(name: str) -> Case:
    data: dict[str, Any] = yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))
    pairs = {key: tuple((was, now) for was, now in data.get(key, ())) for key in ("edits", "before")}
    return Case(
        data["base"],
        pairs["edits"],
        pairs["before"],
        data.get("path", "ctc.yaml"),
        data.get("files", {}),
        data.get("missing", ""),
    )


def edited(text: str, edits: tuple[tuple[str, str], ...]) -> str:
    for was, now in edits:
        assert text.count(was) == 1, f"{was!r} stands {text.count(was)} times"
        text = text.replace(was, now)
    return text


def lay_down(case: Case, folder: Path) -> None:
    before = edited((SPECS / f"{case.base}.yaml").read_text(encoding="utf-8"), case.before)
    texts = {"base": ("ctc.yaml", before), "head": (case.path, edited(before, case.edits))}
    for side, (path, text) in texts.items():
        (folder / side).mkdir()
        if side != case.missing:
            (folder / side / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / side / path).write_text(text, encoding="utf-8")
        for file, content in case.files.get(side, {}).items():
            (folder / side / file).write_text(content, encoding="utf-8")


def report_of(case: Case, folder: Path) -> Report:
    lay_down(case, folder)
    return compare(choose(["base", "head"], folder, folder / "scratch"), AT)


@pytest.mark.parametrize("name", CASES)
def test_the_comment_is_as_recorded(name: str, tmp_path: Path, update: bool) -> None:
    said = as_markdown(report_of(read_case(name), tmp_path))
    recorded = HERE / f"{name}.md"
    if update:
        recorded.write_text(said, encoding="utf-8")

    assert said == recorded.read_text(encoding="utf-8")
    assert said.startswith(MARKER)
    assert len(said.encode()) <= LIMIT


def test_no_comment_is_an_orphan() -> None:
    assert sorted(path.stem for path in HERE.glob("*.md")) == CASES


def test_there_are_enough_of_them() -> None:
    assert len(CASES) >= 40
