"""Whatever stands in a spec's file: no exception, no hang, every finding has its place, the two readers of the schema
agree; and what loads compiles and keeps its meaning through `ctc fmt`. `make test` tries two thousand mutations of the
canonical specs, `make soak` a hundred thousand.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutants

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.write import files
from ctc.diagnostics import Diagnostic, Label, Lines, Severity
from ctc.language.conforms import conforms
from ctc.language.fmt import format_text
from ctc.language.load import Loaded, load_each
from ctc.language.shape import check_shape, schema
from ctc.language.source import Document, decode
from ctc.report import as_github, as_json, as_sarif, render

SECONDS = 2.0
"""What one spec may take of the processor, for each law; a spec of the project takes some hundredths."""
CHUNK = 500
KINDS: dict[str, Callable[[random.Random], mutants.Mutant]] = {
    "tree": mutants.tree_mutant,
    "bytes": mutants.byte_mutant,
}
SCHEMAS = mutants.ROOT / "schemas"


class Hung(BaseException):
    """Not an `Exception`: nothing that catches those may swallow it."""


@contextmanager
def time_bound() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hung(f"more than {SECONDS} s of processor time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@cache
def plain_validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


@cache
def report_validator() -> Any:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / "diagnostics.v1.schema.json").read_text()))


def judge(file: str, content: bytes, *, formats: bool = True, layout: bool = True) -> str:
    """How far a mutant comes; an exception where a law does not hold."""
    with time_bound():
        document = decode(content, file)
        each, found = load_each(document)
    text = content.decode("utf-8", errors="replace")
    with time_bound():
        findings_have_their_places(found, file, text)
        findings_can_be_shown(found, file, text, formats)
    if isinstance(document.data, dict):
        with time_bound():
            readers_of_the_schema_agree(document)
    if document.data is None:
        outcome = "not YAML"
    elif any(loaded.spec is None for loaded in each):
        outcome = "wrong"
    else:
        outcome = "right"
        compiles_or_says_why(document, each)
    if layout:
        keeps_its_meaning_when_formatted(document, each)
    assert (outcome == "right") == (not any(item.severity is Severity.ERROR for item in found)), "spec and errors disagree"
    return outcome


def findings_have_their_places(found: tuple[Diagnostic, ...], file: str, text: str) -> None:
    rows = {file: Lines(text.removeprefix("\ufeff")).rows}
    for item in found:
        assert item.span is not None, item
        for place in (Label(item.span, ""), *([item.label] if item.label else [])):
            span = place.span
            if span.file not in rows:
                rows[span.file] = Lines(Path(span.file).read_text(encoding="utf-8-sig")).rows
            assert 1 <= span.line <= span.last_line <= len(rows[span.file]), (item, "outside the file")
            first, last = rows[span.file][span.line - 1], rows[span.file][span.last_line - 1]
            assert 1 <= span.column <= len(first) + 1, (item, "beyond its line")
            # One beyond the line's end where there is nothing to point at.
            assert span.end_column <= len(last) + 2, (item, "ends beyond its line")
            assert span.last_line > span.line or span.end_column >= span.column, (item, "ends before it starts")


def findings_can_be_shown(found: tuple[Diagnostic, ...], file: str, text: str, formats: bool) -> None:
    shown = render(found, {file: text}, color=False, explained=set())
    assert all(f"[{item.code}]" in shown for item in found)
    assert all(char.isprintable() or char == "\n" for char in shown), "the terminal would obey it"
    if formats:
        report_validator().validate(json.loads(as_json(found, {file: text}, files=1)))
        assert len(json.loads(as_sarif(found, {file: text}, str(mutants.ROOT)))["runs"][0]["results"]) == len(found)
        assert as_github(found, {file: text}, str(mutants.ROOT)).count("\n") == len(found)


def readers_of_the_schema_agree(document: Document) -> None:
    """A validator that knows nothing of ours gives the verdict that ours gives, but for what only units can tell."""
    theirs = plain_validator().is_valid(document.data)
    ours = {item.code for item in check_shape(document.data, document.spans)}
    assert conforms(document.data, schema()) == (theirs and not ours), "the quick reader disagrees"
    assert theirs or ours, "only the plain validator refuses it"
    assert not theirs or not ours - {"CT106"}, ("only ours refuses it", ours)


def compiles_or_says_why(document: Document, each: tuple[Loaded, ...]) -> None:
    named = {name for loaded in each if loaded.spec for name in loaded.spec.targets}
    for target in sorted(named & {"kubeflow", "sagemaker"}):
        face = targets.load(target)
        for loaded in load_each(document, None, target)[0]:
            if loaded.spec is None:
                continue
            with time_bound():
                built = build(loaded.spec, face)
            refused = any(item.severity is Severity.ERROR for item in built.diagnostics)
            assert (built.bundle is None) == refused
            if built.bundle is not None:
                assert files(built.bundle, built.system)


def keeps_its_meaning_when_formatted(document: Document, each: tuple[Loaded, ...]) -> None:
    with time_bound():
        result = format_text(document.text, document.file).text
    if result is None:
        return
    assert format_text(result, document.file).text == result, "formatting does not settle"
    again = load_each(decode(result.encode("utf-8"), document.file))[0]
    assert [loaded.spec for loaded in again] == [loaded.spec for loaded in each], "formatting changed the spec"


def explained(error: BaseException, kind: str, seed: str, file: str, content: bytes) -> str:
    smaller = smallest(content, lambda less: failure(file, less) == type(error))
    return f"{type(error).__name__}: {error}\nkind {kind}, seed {seed!r}, read as {file}\n{smaller.decode(errors='backslashreplace')}"


def failure(file: str, content: bytes) -> type[BaseException] | None:
    try:
        judge(file, content)
    except (Exception, Hung) as error:
        return type(error)
    return None


def smallest(content: bytes, still: Callable[[bytes], bool]) -> bytes:
    """The content without the lines that do not matter for what is wrong."""
    lines = content.splitlines(keepends=True)
    size = max(len(lines) // 2, 1)
    while size:
        at = 0
        while at < len(lines):
            less = lines[:at] + lines[at + size :]
            if still(b"".join(less)):
                lines = less
            else:
                at += size
        size //= 2
    return b"".join(lines)


def hold_the_laws(kind: str, chunk: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    full = chunk >= 1000
    for number in range(CHUNK):
        seed = f"{kind}-{chunk}-{number}"
        file, content = KINDS[kind](random.Random(seed))
        try:
            outcomes[judge(file, content, formats=number % 50 == 0, layout=full or number % 4 == 0)] += 1
        except (Exception, Hung) as error:
            pytest.fail(explained(error, kind, seed, file, content), pytrace=False)
    return outcomes


@pytest.mark.parametrize("chunk", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_mutations_hold_the_laws(kind: str, chunk: int) -> None:
    outcomes = hold_the_laws(kind, chunk)

    assert min(outcomes["right"], outcomes["wrong"]) > CHUNK // 20, "mutants that are all right, or all wrong, show little"
    assert outcomes["not YAML"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("chunk", range(1000, 1100))
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_mutations_hold_the_laws(kind: str, chunk: int) -> None:
    hold_the_laws(kind, chunk)
