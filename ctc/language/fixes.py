"""Changes of a spec's text that mend a finding and change nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctc.diagnostics import Diagnostic, Edit, Label, Lines, Span
from ctc.language.spans import Path

if TYPE_CHECKING:
    from ctc.language.source import Document

UNUSED = ("CT224",)
"""Findings of an entry that nothing uses: taking it out is what mends them."""

_PATCHING = {"environments", "targets", "matrix"}
"""Sections whose values take the place of others."""
_SURE = 0.8
"""Of difflib's likeness: one letter wrong in a word of five, but not another word."""
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_LOOKS_OTHERWISE = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|\.inf|\.nan")


def rename(span: Span, name: str) -> Edit:
    """The key or word at `span` becomes `name`."""
    return Edit(span, _written(name), f"rename it to `{name}`")


def instead(span: Span, text: str) -> Edit:
    """The scalar at `span` becomes `text`, written as it is."""
    return Edit(span, text, f"write {text}")


def remove(lines: Lines, key: Span) -> Edit | None:
    """Takes out the entry of a block map whose key stands at `key`: whole lines. None if it shares its line."""
    first = lines[key.line]
    indent = len(first) - len(first.lstrip(" "))
    if key.column != indent + 1 or first[indent:].startswith(("- ", "? ")):
        return None
    last = key.line
    for line in range(key.line + 1, len(lines.rows) + 1):
        text = lines[line]
        if text.strip() and not _belongs(text, indent):
            break
        if text.strip() and not text.lstrip().startswith("#"):
            last = line
    name = lines.cut(key)
    return Edit(Span(key.file, key.line, 1, 1, last + 1), "", f"remove `{name}`")


def attach(diagnostics: Iterable[Diagnostic], document: Document) -> tuple[Diagnostic, ...]:
    """The findings, with what only the file as it is written can tell: what a patch replaces, how to take out an
    entry that nothing uses, and whether "did you mean" is sure enough for a fix. None is added or taken away.
    """
    found = tuple(diagnostics)
    if not found or not isinstance(document.data, dict):
        return found
    lines = Lines(document.text)
    found = tuple(item if _is_sure(item, lines) else replace(item, fix=None) for item in found)
    if not any(item.code in UNUSED for item in found) and not _PATCHING & document.data.keys():
        return found
    paths = {".".join(map(str, path)): path for path in document.spans if path}
    return tuple(_completed(item, paths.get(item.path), document, lines) for item in found)


def _is_sure(item: Diagnostic, lines: Lines) -> bool:
    """Whether a misspelt word can be mended unseen: it is nearly the other one, and neither a number nor a version nor
    a reference to a variable, whose value is what is wrong.
    """
    if item.fix is None or not item.fix.text or item.code.startswith("CT0"):
        return True
    from difflib import SequenceMatcher

    old, new = lines.cut(item.fix.span).strip("\"'"), item.fix.text.strip("\"'")
    if "${" in old or _digits(old) != _digits(new):
        return False
    return SequenceMatcher(None, old, new).ratio() >= _SURE


def _digits(text: str) -> str:
    return "".join(character for character in text if character.isdigit())


def _completed(item: Diagnostic, path: Path | None, document: Document, lines: Lines) -> Diagnostic:
    if path is None or item.span is None:
        return item
    place = document.spans[path]
    if item.label is None and item.span.line not in (place.value.line, place.key.line if place.key else 0):
        return replace(item, label=Label(place.key or place.value, "patches this"))
    if item.code not in UNUSED or item.fix is not None:
        return item
    above = path[:-1]
    # A map of which nothing is left would be a finding of its own.
    siblings = _at(document.data, above)
    key = document.spans[above if above and isinstance(siblings, dict) and len(siblings) == 1 else path].key
    return item if key is None else replace(item, fix=remove(lines, key))


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _belongs(text: str, indent: int) -> bool:
    """Whether a line continues an entry whose key is indented by `indent`."""
    own = len(text) - len(text.lstrip(" "))
    return own > indent or (own == indent and (text[own:] == "-" or text[own:].startswith("- ")))


def _written(name: str) -> str:
    if _PLAIN.fullmatch(name) and not _LOOKS_OTHERWISE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
