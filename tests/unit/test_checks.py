"""Every wrong spec of `tests/err` is found, where it is wrong and in these words; the right ones of `tests/ok` are not.

A first line `# options: --env E --target T --row R` says how a spec is loaded; `--env all` is every environment, and
`--row none` none. `pytest --update` rewrites the `.out` files.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from ctc.diagnostics import Diagnostic, Severity
from ctc.language import gaps
from ctc.language.checks import CHECKS
from ctc.language.load import FIRST_ROW, Loaded, load_each, load_spec
from ctc.report import render

TESTS = Path(__file__).resolve().parent.parent
WRONG = sorted((TESTS / "err").glob("*.yaml"))
RIGHT = sorted((TESTS / "ok").glob("*.yaml"))


def load(spec: Path) -> Loaded:
    """Loads a case with the options that its first line names."""
    first = spec.read_bytes().split(b"\n", 1)[0].decode("utf-8", errors="replace")
    words = shlex.split(first.removeprefix("# options:")) if first.startswith("# options:") else []
    options = dict(zip(words[::2], words[1::2], strict=True))
    if options.get("--env") == "all":
        each, found = load_each(spec, None, options.get("--target"))
        wrong = any(item.severity is Severity.ERROR for item in found)
        return replace(each[0], spec=None if wrong else each[0].spec, diagnostics=found)
    row = options.get("--row", FIRST_ROW)
    return load_spec(spec, options.get("--env"), options.get("--target"), None if row == "none" else row)


def findings(spec: Path) -> list[Diagnostic]:
    """What is found, without the parts that this version does not run yet, unless the case is about them."""
    return [item for item in load(spec).diagnostics if item.code != gaps.CODE or spec.stem.startswith(gaps.CODE)]


def rendered(spec: Path) -> str:
    text = spec.read_text(encoding="utf-8", errors="replace")
    return render(findings(spec), {str(spec): text}, color=False).replace(f"{spec.parent}/", "")


@pytest.mark.parametrize("spec", WRONG, ids=lambda path: path.stem)
def test_what_is_wrong_is_said(spec: Path, update: bool) -> None:
    said = rendered(spec)
    recorded = spec.with_suffix(".out")
    if update:
        recorded.write_text(said, encoding="utf-8")

    assert said == recorded.read_text(encoding="utf-8")
    assert f"[{spec.stem[:5]}]" in said


@pytest.mark.parametrize("spec", WRONG, ids=lambda path: path.stem)
def test_one_cause_gives_one_kind_of_finding(spec: Path) -> None:
    """Each case is wrong in one way, so no other code appears, and no place has two errors."""
    found = findings(spec)

    assert {item.code for item in found} == {spec.stem[:5]}
    places = [(item.span, item.message) for item in found]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("spec", WRONG, ids=lambda path: path.stem)
def test_a_spec_with_errors_is_not_handed_on(spec: Path) -> None:
    loaded = load(spec)
    errors = any(item.severity is Severity.ERROR for item in loaded.diagnostics)

    assert (loaded.spec is None) == errors


@pytest.mark.parametrize("spec", RIGHT, ids=lambda path: path.stem)
def test_what_is_right_is_not_touched(spec: Path) -> None:
    loaded = load(spec)

    assert findings(spec) == []
    assert loaded.spec is not None


def test_every_code_has_a_case_and_a_title() -> None:
    titles = {rule.code: rule.title for rule in CHECKS}

    assert {spec.stem[:5] for spec in WRONG} == set(titles)
    assert len(titles) == len(CHECKS), "a code stands twice"
    assert all(titles.values())


def test_no_code_is_used_that_is_not_listed() -> None:
    language = TESTS.parent / "ctc" / "language"
    used = {code for file in language.rglob("*.py") for code in re.findall(r'"(CT\d{3})"', file.read_text())}

    assert used <= {rule.code for rule in CHECKS}


def test_no_golden_output_is_an_orphan() -> None:
    assert {path.stem for path in (TESTS / "err").glob("*.out")} == {path.stem for path in WRONG}
