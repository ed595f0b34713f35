"""The canonical layout of a spec: `ctc fmt`. Edits the text in place, so that comments and spelling stay.

What it changes: the order of the sections, blank lines, blanks at line ends, indentation, line ends (those that the
file has most of), the byte-order mark, and how durations are written. What it does not: anything inside a comment, a
text, a flow collection; quotes; how a value stands beside its key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ctc.diagnostics import CtcError, Diagnostic, Severity, Span
from ctc.language.comments import comments
from ctc.language.indent import reindented
from ctc.language.layout import Layout, scan
from ctc.language.sections import arranged
from ctc.language.shape import schema
from ctc.language.source import Document, parse
from ctc.language.spans import Path
from ctc.language.units import duration

_ODD_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What YAML 1.1 takes for the end of a line and 1.2 does not: a text that has one keeps its layout."""

_UNITS = {"s": ("m", 60), "m": ("h", 60), "h": ("d", 24)}
"""Which unit comes next, and how many make one of it. Weeks stay weeks: nobody reads 90d as 12w6d."""


@dataclass(frozen=True)
class Formatted:
    """`text` is None where the text is no YAML that a spec can be; then the diagnostics say why."""

    text: str | None
    diagnostics: tuple[Diagnostic, ...] = ()


def format_text(text: str, file: str = "<spec>") -> Formatted:
    """The canonical layout of a spec's text, which means what the text means.

    Raises `CtcError` if it would not: a bug, and nothing may be written then.
    """
    text = text.removeprefix("\ufeff")
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    before = parse(plain, file)
    if any(item.severity is Severity.ERROR for item in before.diagnostics):
        return Formatted(None, before.diagnostics)
    if _ODD_BREAKS.search(plain):
        return Formatted(text)
    wanted = meaning(before)
    said = _comments(plain)
    result = _ended(plain, wanted)
    final = "\n" if result.endswith("\n") else ""
    same = partial(_means, wanted)
    for step in (_tidied, partial(_indented, same=same), _short_durations, partial(_in_order, same=same)):
        result = "\n".join(step(scan(result))) + final
    if not _means(wanted, result) or _comments(result) != said:
        raise CtcError(
            f"{file} is left as it is: its canonical layout would not mean the same",
            "this is a bug in ctc; please report it with the file",
        )
    windows = text.count("\r\n")
    return Formatted(result.replace("\n", "\r\n") if 2 * windows > plain.count("\n") else result)


def meaning(document: Document) -> object:
    """The data of a spec, equal for texts that mean the same: durations in seconds, the order of sections left out."""
    durations = set(duration_paths(document.data))

    def plain(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return [(key, plain(item, (*path, key))) for key, item in value.items()]
        if isinstance(value, list):
            return ["list", *(plain(item, (*path, index)) for index, item in enumerate(value))]
        # With its type: True is not 1, and 1 not 1.0.
        return repr(duration(value) if path in durations and _is_duration(value) else value)

    data = plain(document.data, ())
    return sorted(data, key=lambda item: str(item[0])) if isinstance(document.data, dict) else data


def short_duration(text: str) -> str:
    """The short form of a duration: `PT6H` is 6h, `2160h` 90d; `24h`, `90m` and `1h30m` are themselves.

    Raises ValueError for what is no duration.
    """
    seconds = int(duration(text).total_seconds())
    if seconds == 0:
        return "0d"
    single = re.fullmatch(r"(?:PT?)?0*(\d+)([a-zA-Z])", text)
    if single is None:
        parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
        return "".join(f"{count}{unit}" for count, unit in parts if count)
    count, unit = int(single[1]), single[2].lower()
    # One of the next unit is said in this one as often: 60s, 24h.
    while unit in _UNITS and count % _UNITS[unit][1] == 0 and count > _UNITS[unit][1]:
        unit, size = _UNITS[unit]
        count //= size
    return f"{count}{unit}"


def duration_paths(data: Any) -> Iterator[Path]:
    """Where the language wants a duration and text stands. A patch of an environment has the places of the spec."""
    yield from _durations(data, (), [schema()])


def _durations(value: Any, path: Path, parts: list[Mapping[str, Any]]) -> Iterator[Path]:
    parts = list(_expanded(parts))
    if isinstance(value, dict):
        for key, item in value.items():
            patch = len(path) == 1 and path[0] == "environments"
            yield from _durations(item, (*path, key), [schema()] if patch else list(_below(parts, key)))
    elif isinstance(value, list):
        items = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
        for index, item in enumerate(value):
            yield from _durations(item, (*path, index), items)
    elif isinstance(value, str):
        texts = [part for part in parts if _takes_text(part)]
        if texts and all(part.get("x-unit") == "duration" for part in texts):
            yield path


def _below(parts: list[Mapping[str, Any]], key: str) -> Iterator[Mapping[str, Any]]:
    for part in parts:
        named = part.get("properties", {}).get(key)
        found = named if named is not None else part.get("additionalProperties")
        if isinstance(found, dict):
            yield found


def _expanded(parts: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The parts themselves and all that they refer to or combine."""
    left = list(parts)
    seen: set[int] = set()
    while left:
        part = left.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if "$ref" in part:
            found: Any = schema()
            for step in part["$ref"].split("/")[1:]:
                found = found[step]
            left.append(found)
        for word in ("anyOf", "oneOf", "allOf"):
            left += part.get(word, ())
        left += [part[word] for word in ("then", "else") if isinstance(part.get(word), dict)]
        left += [inner for inner in part.get("dependentSchemas", {}).values() if isinstance(inner, dict)]


def _takes_text(part: Mapping[str, Any]) -> bool:
    """Whether any text will do: not only the words of a list."""
    kinds = part.get("type", ())
    return "string" in ([kinds] if isinstance(kinds, str) else kinds) and "enum" not in part and "const" not in part


def _is_duration(text: str) -> bool:
    try:
        duration(text)
    except ValueError:
        return False
    return True


def _means(wanted: object, text: str) -> bool:
    document = parse(text)
    return not any(item.severity is Severity.ERROR for item in document.diagnostics) and meaning(document) == wanted


def _comments(text: str) -> list[str]:
    return sorted(comment.text.rstrip(" \t") for comment in comments(text, ""))


def _ended(text: str, wanted: object) -> str:
    """With a line end at its end, unless the text at the end would grow by it."""
    if text.endswith("\n"):
        return text
    written = text.rstrip(" \t")
    ended = written if written.endswith("\n") else text + "\n"
    return ended if _means(wanted, ended) else text


def _tidied(layout: Layout) -> list[str]:
    """No blanks at line ends, no blank line beside another, none at either end of the file."""
    lines: list[str] = []
    for number, line in enumerate(layout.lines):
        blank = layout.is_blank(number)
        if blank and (not lines or (lines[-1] == "" and layout.is_blank(number - 1))):
            continue
        lines.append(line if number in layout.kept else line.rstrip(" \t"))
    while len(lines) > 1 and lines[-1] == "" and layout.is_blank(len(layout.lines) - 1):
        lines.pop()
    return lines


def _indented(layout: Layout, same: Callable[[str], bool]) -> tuple[str, ...]:
    lines = reindented(layout)
    return lines if lines is not None and same("\n".join(lines) + "\n") else layout.lines


def _in_order(layout: Layout, same: Callable[[str], bool]) -> tuple[str, ...]:
    order = tuple(schema()["properties"])
    lines = arranged(layout, order)
    # An alias may not come before its anchor.
    return lines if same("\n".join(lines) + "\n") else arranged(layout, ())


def _short_durations(layout: Layout) -> list[str]:
    """Edits a text only if all that it stands for, by aliases and merges too, are durations."""
    document = parse("\n".join(layout.lines) + "\n")
    durations = set(duration_paths(document.data))
    users: dict[Span, set[Path]] = {}
    for path, place in document.spans.items():
        # What a merge brings stands at its own path too.
        if "<<" not in path:
            users.setdefault(place.value, set()).add(path)
    edited: dict[int, str] = {}
    for span in sorted((span for span, paths in users.items() if paths <= durations), key=_place, reverse=True):
        line, start, end = span.line - 1, span.column - 1, span.end_column - 1
        content = edited.get(line, layout.content(line))
        written = content[start:end]
        text = written.strip("\"'")
        # What else can stand here is an alias or an anchor.
        if written in (text, f'"{text}"', f"'{text}'") and _is_duration(text):
            edited[line] = content[:start] + written.replace(text, short_duration(text)) + content[end:]
    return [
        layout.with_content(number, edited[number]) if number in edited else line
        for number, line in enumerate(layout.lines)
    ]


def _place(span: Span) -> tuple[int, int]:
    return span.line, span.column
