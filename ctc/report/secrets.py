"""Stars in the place of what looks like a secret, at its full length so that carets stay where they belong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ctc.diagnostics import Diagnostic, Lines, Span

_KEY = r"""(?<![\w-])["']?
    (?:[\w-]{0,60}(?:password|passwd|passphrase|secrets?)
      |(?:[\w-]{0,60}[_-])?(?:pwd|token|api[_-]?key|access[_-]?key(?:[_-]id)?|private[_-]?key|credentials?
        |webhook(?:[_-]url)?))["']?"""
_SHAPES = r"""
      (?:AKIA|ASIA)[0-9A-Z]{16}
    | AIza[0-9A-Za-z_-]{30,}
    | gh[pousr]_[0-9A-Za-z]{20,}
    | github_pat_[0-9A-Za-z_]{20,}
    | xox[abeprs]-[0-9A-Za-z-]{10,}
    | hooks\.slack\.com/[^\s"',}\]]+
    | eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]*
    | (?<=://)[^\s/"'@]*:[^\s/"'@]+(?=@)
    | (?<=\bbearer\s)[^\s"',}\]]+
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----(?:.*?-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|.*)
"""
_IN_TEXT = re.compile(rf"""(?isx) (?:{_SHAPES}) | {_KEY} \s* [:=] \s* ["']? (?P<value>[^\s"',{{}}\[\]`]+)""")
_QUOTED = r""" "(?:[^"\\]|\\.)*"? | '(?:[^']|'')*'? """
_IN_LINE = re.compile(
    rf"""(?ix) (?:{_SHAPES})
    | {_KEY} \s*[:=]\s+ (?:[&!]\S+\s+)?
      (?P<value>{_QUOTED} | [^\s"'{{}}\[\]|>&!*\#,][^\s,}}\]]*(?:[ \t]+[^\s,}}\]\#][^\s,}}\]]*)*)
    | {_KEY} [:=] (?P<tight>{_QUOTED} | [^\s"',{{}}\[\]]+)"""
)
_ALONE = re.compile(
    rf"""(?ix) ^\s*(?:-\s+)* {_KEY} \s*:\s+ (?:[&!]\S+\s+)? (?P<value>[^\s"'{{}}\[\]|>&!*\#]\S*(?:[ \t]+[^\s\#]\S*)*)"""
)
_OPENS = re.compile(
    rf"""(?ix) ^(?P<indent>\s*(?:-\s+)*) {_KEY} \s*: \s*(?:[&!]\S+\s*)?(?:[|>][-+0-9]*)?\s*(?:\#.*)?$"""
)
_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
_ENTRY = re.compile(r"^\s*(?:-\s+)*(?:[\w.-]+\s*:(?:\s+|$))?")
_REFERENCE = re.compile(r"\$\{[^{}]*\}")
SECRET_FOUND = "CT501"
"""The code of a finding whose place holds a secret."""

_LEAST = 5
"""Shorter values are not looked for in sentences: they would star half the words."""


def masked(text: str) -> str:
    """A sentence without what looks like a secret in it."""
    return _IN_TEXT.sub(_stars, text)


def mask(line: str) -> str:
    """One line of a spec without the values of keys that name secrets, and without what looks like one."""
    whole = _ALONE.match(line)
    if whole is not None and not _REFERENCE.fullmatch(whole["value"]):
        line = line[: whole.start("value")] + "*" * len(whole["value"]) + line[whole.end("value") :]
    return _IN_LINE.sub(_stars, line)


@dataclass(frozen=True)
class Masked:
    """A file's lines without its secrets, and the secrets, so that no sentence repeats them."""

    lines: Sequence[str]
    values: frozenset[str]

    def text(self, sentence: str) -> str:
        for value in sorted(self.values, key=len, reverse=True):
            if value in sentence:
                whole = rf"(?<![\w-]){re.escape(value)}(?![\w-])"
                sentence = re.sub(whole, "*" * len(value), sentence)
        return masked(sentence)


def hidden_sources(sources: Mapping[str, str], diagnostics: Iterable[Diagnostic]) -> dict[str, Masked]:
    """Each file's text without its secrets: those that look like one, and those that a finding has found."""
    found = [item.span for item in diagnostics if item.code == SECRET_FOUND and item.span is not None]
    return {
        file: masked_lines(Lines(text.removeprefix("\ufeff")).rows, [span for span in found if span.file == file])
        for file, text in sources.items()
    }


def masked_lines(lines: Iterable[str], found: Iterable[Span] = ()) -> Masked:
    """Line by line, and what is below a key such as `secret:`, inside a private key, or at `found`, as a whole."""
    shown: list[str] = []
    values: set[str] = set()
    below: int | None = None
    in_key = False
    spans = list(found)
    for number, line in enumerate(lines, start=1):
        indent = len(line) - len(line.lstrip())
        if below is not None and line.strip() and indent <= below:
            below = None
        if in_key or below is not None:
            hidden = _hidden(line)
        else:
            hidden = mask(line)
        for span in spans:
            if span.line <= number <= span.last_line:
                hidden = _without(hidden, span, number)
        in_key = _END.search(line) is None if in_key else _BEGIN.search(line) is not None and not _END.search(line)
        opened = _OPENS.match(line)
        if opened is not None and below is None:
            below = len(opened["indent"])
        shown.append(hidden)
        values |= _starred(line, hidden)
    return Masked(shown, frozenset(values))


def _without(line: str, span: Span, number: int) -> str:
    """A line of a value that is a secret: what stands within the value is gone, its quotes stay."""
    start = span.column - 1 if number == span.line else 0
    end = span.end_column - 1 if number == span.last_line else len(line)
    return line[:start] + re.sub(r"[^\s\"']", "*", line[start:end]) + line[end:]


def _hidden(line: str) -> str:
    """A line below a secret's key: the names of keys stay, their values do not."""
    entry = _ENTRY.match(line)
    start = entry.end() if entry is not None else 0
    return line[:start] + re.sub(r"\S", "*", line[start:])


def _starred(line: str, hidden: str) -> set[str]:
    words: set[str] = set()
    for match in re.finditer(r"\*+", hidden):
        value = line[match.start() : match.end()].strip("\"'")
        if len(value) >= _LEAST and set(value) != {"*"}:
            words.add(value)
    return words


def _stars(match: re.Match[str]) -> str:
    named = {name: value for name, value in match.groupdict().items() if value}
    if not named:
        return "*" * len(match[0])
    [(name, value)] = named.items()
    if _REFERENCE.match(match.string, match.start(name)):
        return match[0]
    start = match.start(name) - match.start()
    quotes = value[0] if value[0] in "\"'" else ""
    if quotes and len(value) > 1 and value.endswith(quotes):
        starred = quotes + "*" * (len(value) - 2) + quotes
    else:
        starred = quotes + "*" * (len(value) - len(quotes))
    return match[0][:start] + starred + match[0][start + len(value) :]
