"""Every code has its page, and what the page calls wrong and right is so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc.diagnostics import Diagnostic
from ctc.language import checks
from ctc.language.load import load_each, load_spec
from ctc.language.source import decode

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = ROOT / "specs" / "minimal.yaml"
RULES = {rule.code: rule for rule in checks.CHECKS}

IN_A_FILE = {code for code in RULES if code < "CT021"}
"""Found before there is a tree: the example is a file of its own."""

IN_ITS_TEXT = {"CT021", "CT022", "CT023", "CT024"}
"""About comments, which no tree holds: the example's sections replace those of the base."""


@pytest.mark.parametrize("code", sorted(RULES))
def test_the_wrong_example_is_wrong_and_the_right_one_right(code: str, tmp_path: Path) -> None:
    page = RULES[code].explanation

    assert len(page.why) > 40, "why it matters"
    assert code in codes(code, page.wrong, tmp_path)
    assert code not in codes(code, page.right, tmp_path)


@pytest.mark.parametrize("code", sorted(set(RULES) - IN_A_FILE))
def test_the_right_example_has_no_other_error(code: str, tmp_path: Path) -> None:
    found = findings(code, RULES[code].explanation.right, tmp_path)

    assert [item for item in found if item.severity == "error"] == []


def test_there_is_no_page_without_its_code() -> None:
    pages = {page.stem for page in (ROOT / "ctc" / "language" / "explained").glob("*.md")}

    assert pages == set(RULES)


def codes(code: str, example: str, folder: Path) -> set[str]:
    return {item.code for item in findings(code, example, folder)}


def findings(code: str, example: str, folder: Path) -> tuple[Diagnostic, ...]:
    """What `ctc validate` finds in the example: in every environment, and for every target that it names."""
    if code in IN_A_FILE:
        return decode(example.encode(), "ctc.yaml").diagnostics
    file = folder / "ctc.yaml"
    file.write_text(spliced(example) if code in IN_ITS_TEXT else patched(example))
    (folder / "markets.csv").write_text("market,currency\nno,NOK\nse,SEK\n")
    loaded, found = load_each(file)
    named = {target for one in loaded if one.spec is not None for target in one.spec.targets}
    for target in sorted(named):
        found = (*found, *load_each(file, None, target)[1])
    # What only a request can get wrong: an environment, a row or a target that it names, or does not.
    return (*found, *load_spec(file).diagnostics, *load_spec(file, None, "sagemaker").diagnostics) if code in ASKED else found


ASKED = {"CT220", "CT228", "CT302"}


def patched(example: str) -> str:
    """The base with the example merged into it: maps merge, all else replaces, null deletes."""
    whole = yaml.safe_load(BASE.read_text())
    merge(whole, yaml.safe_load(example))
    return str(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))


def merge(base: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def spliced(example: str) -> str:
    """The text of the base with the sections of the example instead of its own."""
    text = BASE.read_text()
    lines = text.splitlines(keepends=True)
    given = {line.split(":")[0] for line in example.splitlines() if line[:1].isalpha()}
    kept, skipping = [], False
    for line in lines:
        if line[:1].isalpha():
            skipping = line.split(":")[0] in given
        if not skipping:
            kept.append(line)
    return "".join(kept) + example
