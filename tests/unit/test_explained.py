"""Every code has its page, and what the page calls wrong and right is so.

An example is a patch of `specs/minimal.yaml`, unless its code is in `A_FILE` or `SECTIONS`. Its first line may say how
it is loaded, `# ctc VERB ctc.yaml --env E --target T --row R`, or how it is saved, `# saved as: latin-1`.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ctc.diagnostics import Diagnostic
from ctc.language import checks, source
from ctc.language.load import FIRST_ROW, load_each, load_spec
from ctc.language.shape import check_shape

ROOT = Path(__file__).resolve().parent.parent.parent
BASE = ROOT / "specs" / "minimal.yaml"
RULES = {rule.code: rule for rule in checks.CHECKS}

A_FILE = {code for code in source.CODES if code < "CT021"} | {"CT100"}
"""Found before there is a spec: the example is a file of its own."""

SECTIONS = {"CT021", "CT022", "CT023", "CT024", "CT302"}
"""About comments, which no tree holds, or about what a section lacks: the example's sections replace the base's."""

COMMAND = re.compile(r"# ctc \w+ ctc\.yaml (?P<options>.+)\n")
ENCODING = re.compile(r"# saved as: (?P<name>\S+)\n")


@pytest.mark.parametrize("code", sorted(RULES))
def test_the_wrong_example_is_wrong_and_the_right_one_right(code: str, tmp_path: Path) -> None:
    page = RULES[code].explanation

    assert len(page.why) > 40, "why it matters"
    assert code in codes(code, page.wrong, tmp_path)
    assert code not in codes(code, page.right, tmp_path)


@pytest.mark.parametrize("code", sorted(set(RULES) - {"CT100"}))
def test_the_right_example_has_no_other_error(code: str, tmp_path: Path) -> None:
    found = findings(code, RULES[code].explanation.right, tmp_path)

    assert [item for item in found if item.severity == "error"] == []


def test_there_is_no_page_without_its_code() -> None:
    pages = {page.stem for page in (ROOT / "ctc" / "language" / "explained").glob("*.md")}

    assert pages == set(RULES)


def codes(code: str, example: str, folder: Path) -> set[str]:
    return {item.code for item in findings(code, example, folder)}


def findings(code: str, example: str, folder: Path) -> tuple[Diagnostic, ...]:
    """What is found in the example: as its first line says, else in every environment and for every target it names."""
    if code in A_FILE:
        return of_a_file(example)
    file = folder / "ctc.yaml"
    file.write_text(spliced(example) if code in SECTIONS else patched(example))
    (folder / "markets.csv").write_text("market,currency\nno,NOK\nse,SEK\n")
    command = COMMAND.match(example)
    if command is not None:
        words = shlex.split(command["options"])
        options = dict(zip(words[::2], words[1::2], strict=True))
        assert set(options) <= {"--env", "--target", "--row"}
        row = options.get("--row", FIRST_ROW)
        return load_spec(file, options.get("--env"), options.get("--target"), row).diagnostics
    loaded, found = load_each(file)
    named = {target for one in loaded if one.spec is not None for target in one.spec.targets}
    return (*found, *(item for target in sorted(named) for item in load_each(file, None, target)[1]))


def of_a_file(example: str) -> tuple[Diagnostic, ...]:
    """The findings about the text and, if it can be read and is no map, about that."""
    encoding = ENCODING.match(example)
    document = source.decode(example.encode("utf-8" if encoding is None else encoding["name"]), "ctc.yaml")
    if document.diagnostics or isinstance(document.data, dict):
        return document.diagnostics
    return check_shape(document.data, document.spans)


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
