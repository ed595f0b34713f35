"""Whatever stands in a spec's file: no exception, no hang, every finding has its place, the two readers of the schema
agree; and what loads compiles and keeps its meaning through `ctc fmt` and `ctc render`. `make test` tries two thousand
mutations of canonical and recorded specs, `make soak` a hundred thousand.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from proofs import Proof

sys.path.insert(0, str(Path(__file__).resolve().parent))
import mutants

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.write import files
from ctc.diagnostics import Diagnostic, Label, Lines, Severity
from ctc.language.conforms import conforms
from ctc.language.emit import emit
from ctc.language.fmt import format_text
from ctc.language.load import Loaded, load_each, load_spec
from ctc.language.origins import resolved_tree
from ctc.language.render import environments_of, rows_of
from ctc.language.render import render as render_spec
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
    if layout and outcome == "right":
        renders_to_a_spec_that_means_the_same(document, each)
    if layout:
        keeps_its_meaning_when_formatted(document, each)
    wrong = any(item.severity is Severity.ERROR for item in found)
    # What is wrong between environments is wrong in none of them.
    assert wrong == (outcome != "right") or (wrong and len(each) > 1), "errors, and a spec; or neither"
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


def renders_to_a_spec_that_means_the_same(document: Document, each: tuple[Loaded, ...]) -> None:
    ways = [(name, row) for name in environments_of(document) or (None,) for row in rows_of(document) or (None,)]
    for (environment, row), before in list(zip(ways, each, strict=True))[:3]:
        with time_bound():
            text = emit(resolved_tree(render_spec(document, environment, None, row)))
        after = load_spec(decode(text.encode("utf-8"), document.file)).spec
        assert before.spec is not None
        named = replace(before.spec, name=before.spec.model_name, row="", environment="default")
        assert after == named, "rendering changed the spec"


def failure(file: str, content: bytes) -> BaseException | None:
    try:
        judge(file, content)
    except (Exception, Hung) as error:  # noqa: BLE001
        return error
    return None


def explained(error: BaseException, kind: str, seed: str, file: str, content: bytes) -> str:
    """What broke, by the least text that breaks in the same place."""
    text = smallest(content, lambda less: origin(failure(file, less)) == origin(error))
    broke = failure(file, text) or error
    shown = text.decode(errors="backslashreplace")
    return f"{type(broke).__name__}: {broke}\nkind {kind}, seed {seed!r}, read as {file}\n{shown}"


def origin(error: BaseException | None) -> tuple[type, str, int] | None:
    if error is None:
        return None
    last = traceback.extract_tb(error.__traceback__)[-1]
    return type(error), last.filename, last.lineno or 0


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


def hold_the_laws(kind: str, chunk: int, *, full: bool) -> Counter[str]:
    """`full`: each mutant is formatted, not one in five."""
    outcomes: Counter[str] = Counter()
    for number in range(CHUNK):
        seed = f"{kind}-{chunk}-{number}"
        file, content = KINDS[kind](random.Random(seed))
        broken: BaseException | None = None
        try:
            outcomes[judge(file, content, formats=number % 50 == 0, layout=full or number % 5 == 0)] += 1
        except (Exception, Hung) as error:  # noqa: BLE001
            broken = error
        if broken is not None:
            pytest.fail(explained(broken, kind, seed, file, content), pytrace=False)
    return outcomes


@pytest.mark.parametrize("chunk", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_two_thousand_mutations_hold_the_laws(kind: str, chunk: int) -> None:
    outcomes = hold_the_laws(kind, chunk, full=False)

    assert min(outcomes["right"], outcomes["wrong"]) > CHUNK // 20, "all right, or all wrong, shows little"
    assert outcomes["not YAML"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("chunk", range(1000, 1100))
@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_thousand_mutations_hold_the_laws(kind: str, chunk: int, proof: Proof) -> None:
    proof("mutations").update(hold_the_laws(kind, chunk, full=True))
