"""Warnings that somebody has read and accepts: `# ctc: ignore[CT412] reason`.

The comment stands at the end of the line that the finding points to, or alone on the lines above it. Errors are never
ignored: what is not safe to compile does not become so by a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ctc.diagnostics import Diagnostic, Edit, Label, Lines, Severity, Span
from ctc.language.comments import Comment, comments
from ctc.language.fixes import rename
from ctc.value import Value, frozen

if TYPE_CHECKING:
    from ctc.language.source import Document

_MARK = re.compile(r"#\s*ctc:\s*ignore\b")
_IGNORE = re.compile(r"#\s*ctc:\s*ignore\s*(?:\[(?P<codes>[^\]]*)\])?(?P<reason>.*)", re.DOTALL)
_CODE = re.compile(r"[^\s,]+")
_OF_A_TARGET = re.compile(r"CT3\d\d")
"""Targets have codes of their own, which the language does not know."""


@frozen
class Ignore(Value):
    """One code that a comment names. It counts for findings that start on `line`."""

    code: str
    span: Span
    line: int
    reason: str
    comment: Comment


def ignorable(code: str, severity: Severity) -> bool:
    """Whether a comment can silence such a finding: no error, and nothing about the file or its shape."""
    return severity is not Severity.ERROR and code[:3] not in ("CT0", "CT1")


def apply(
    diagnostics: Iterable[Diagnostic],
    document: Document,
    *,
    elsewhere: tuple[str, ...] = ("CT3",),
    everywhere: bool = False,
) -> tuple[Diagnostic, ...]:
    """The findings that no comment silences, and after them those about the comments themselves, all of them warnings.

    `elsewhere` has the beginnings of codes that other stages find: that they are not among `diagnostics` does not
    make their ignore useless. Nothing is called useless while the spec has errors, which keep checks from running; nor
    if it has environments, of which another may need it, unless the findings are those of `everywhere`.
    """
    found = tuple(diagnostics)
    ignores, malformed = _read(document)
    if not ignores and not malformed:
        return found
    kept = tuple(item for item in found if not any(_silences(ignore, item) for ignore in ignores))
    about = [*malformed, *(note for ignore in ignores for note in _refusals(ignore, found))]
    errors = any(item.severity is Severity.ERROR for item in found)
    if not errors and (everywhere or not _varies(document)):
        lines = Lines(document.text)
        about += [
            _useless(ignore, lines)
            for ignore in ignores
            if not ignore.code.startswith(("CT0", "CT1", *elsewhere))
            and not any(_meets(ignore, item) for item in found)
        ]
    return (*kept, *(item for item in about if item not in kept))


def silenced(diagnostics: Iterable[Diagnostic], document: Document) -> tuple[Diagnostic, ...]:
    """The findings of a later stage, such as a target's, that no comment silences; nothing about the comments."""
    found = tuple(diagnostics)
    ignores, _ = _read(document)
    return tuple(item for item in found if not any(_silences(ignore, item) for ignore in ignores))


def _read(document: Document) -> tuple[list[Ignore], list[Diagnostic]]:
    """The ignores that count, and what is wrong with the others."""
    if _MARK.search(document.text) is None or not isinstance(document.data, dict):
        return [], []
    ignores: list[Ignore] = []
    wrong: list[Diagnostic] = []
    every = comments(document.text, document.file)
    alone = {comment.span.line for comment in every if comment.alone}
    for comment in every:
        match = _IGNORE.match(comment.text)
        if match is None:
            continue
        line = comment.span.line
        while line in alone:
            line += 1
        codes = list(_codes(comment, match))
        reason = match["reason"].strip(" \t:-")
        if not codes or not reason:
            wrong.append(_incomplete(comment, bool(codes)))
            continue
        for code, span in codes:
            problem = _unknown(code, span)
            if problem is None:
                ignores.append(Ignore(code, span, line, reason, comment))
            else:
                wrong.append(problem)
    return ignores, wrong


def _codes(comment: Comment, match: re.Match[str]) -> Iterator[tuple[str, Span]]:
    if match["codes"] is None:
        return
    for code in _CODE.finditer(match["codes"]):
        column = comment.span.column + match.start("codes") + code.start()
        yield code[0], Span(comment.span.file, comment.span.line, column, column + len(code[0]))


def _incomplete(comment: Comment, has_codes: bool) -> Diagnostic:
    missing = "its reason" if has_codes else "its codes"
    return Diagnostic(
        "CT021",
        Severity.WARNING,
        f"this ignore does not count: it lacks {missing}",
        span=comment.span,
        help="write `# ctc: ignore[CODE] why it does no harm here`",
    )


def _unknown(code: str, span: Span) -> Diagnostic | None:
    from ctc.language.checks import CHECKS

    known = [rule.code for rule in CHECKS]
    if code in known or _OF_A_TARGET.fullmatch(code):
        return None
    from difflib import get_close_matches

    close = get_close_matches(code.upper(), known, 1, 0.8)
    advice = f"did you mean `{close[0]}`?" if close else "`ctc explain` lists the codes"
    # Of two codes that differ by a digit either may be meant; one in small letters is meant as it is.
    fix = rename(span, code.upper()) if code.upper() in known else None
    return Diagnostic("CT022", Severity.WARNING, f"there is no code `{_short(code)}`", span=span, help=advice, fix=fix)


def _meets(ignore: Ignore, item: Diagnostic) -> bool:
    span = item.span
    return span is not None and item.code == ignore.code and (span.file, span.line) == (ignore.span.file, ignore.line)


def _silences(ignore: Ignore, item: Diagnostic) -> bool:
    return _meets(ignore, item) and ignorable(item.code, item.severity)


def _refusals(ignore: Ignore, found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    met = next((item for item in found if _meets(ignore, item) and not ignorable(item.code, item.severity)), None)
    if met is None and not ignore.code.startswith(("CT0", "CT1")):
        return
    is_error = met is not None and met.severity is Severity.ERROR
    why = "it is an error here" if is_error else "it is about the file itself, not about what the spec means"
    label = None
    if met is not None and met.span is not None:
        label = Label(met.span, "this stays")
    message = f"`{ignore.code}` cannot be ignored: {why}"
    advice = "mend what it finds, and remove the comment" if met is not None else "remove the comment"
    yield Diagnostic("CT024", Severity.WARNING, message, span=ignore.span, label=label, help=advice)


def _useless(ignore: Ignore, lines: Lines) -> Diagnostic:
    message = f"nothing to ignore: line {ignore.line} gives no `{ignore.code}`"
    advice = "remove the comment; it counts at the end of the line of the finding, or alone above it"
    fix = None
    if ignore.comment.text.count("CT") == 1 and not ignore.comment.alone:
        fix = _without(ignore.comment.span, lines)
    elif ignore.comment.text.count("CT") == 1:
        span = ignore.comment.span
        fix = Edit(Span(span.file, span.line, 1, 1, span.line + 1), "", "remove the comment")
    return Diagnostic("CT023", Severity.WARNING, message, span=ignore.span, help=advice, fix=fix)


def _without(span: Span, lines: Lines) -> Edit:
    """The comment at the end of a line goes, with the blanks before it."""
    column = len(lines[span.line][: span.column - 1].rstrip()) + 1
    return Edit(Span(span.file, span.line, column, span.end_column), "", "remove the comment")


def _varies(document: Document) -> bool:
    return isinstance(document.data, dict) and bool({"environments", "matrix"} & document.data.keys())


def _short(code: str) -> str:
    return code if len(code) <= 20 else code[:17] + "..."
