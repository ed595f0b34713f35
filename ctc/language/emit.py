"""A spec as text: maps in the order they are given, comments beside them, strings that every reader takes alike."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

from ctc.diagnostics import CtcError
from ctc.language.source import parse

WIDTH = 120

_PLAIN = re.compile(r"(?:\.{1,2}/|--?)?[A-Za-z_][A-Za-z0-9_./-]*|\.|(?:\d+[wdhms])+|\d+(?:\.\d+)?%")
_WORDS = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null")
"""What YAML 1.1 takes for a boolean or nothing."""

_SURROGATE = re.compile("[\ud800-\udfff]")
"""What Python puts for the bytes of a file's name that are not UTF-8."""

_LONGEST = 24
"""Characters of a number that is written without an exponent."""

_ESCAPED = re.compile("[\x00-\x1f\x7f-\xa0\xad\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


@dataclass(frozen=True)
class Line:
    """A value that is written on its key's line, as flow YAML; `wrap` breaks a long list after its commas."""

    value: Any
    wrap: bool = False


@dataclass(frozen=True)
class Noted:
    """A value with a comment: behind it, or above its key where that makes the line too long."""

    value: Any
    comment: str


def fits(key: str | int, value: Any, depth: int) -> bool:
    """Whether a value fits on its key's line, so many levels deep."""
    return len(f"{'  ' * (depth - 1)}{scalar(key)}: {_flow(value)}") <= WIDTH


Tree = Mapping[str, Any]


def emit(tree: Tree, head: Sequence[str] = ()) -> str:
    """The text of a tree of maps, `Line`s, `Noted`s and scalars. `head` are comment lines above it.

    The text has been read again: it holds exactly the tree. CtcError if a value cannot stand in YAML.
    """
    blocks = ["\n".join(_entry(key, value, 0)) for key, value in tree.items()]
    text = "".join(f"{_comment(line)}\n" for line in head)
    previous = ""
    for block in blocks:
        spaced = "\n" in block or "\n" in previous
        text += ("\n" if previous and spaced else "") + block + "\n"
        previous = block
    if _SURROGATE.search(text):
        raise _unwritable("it holds bytes that are no text")
    document = parse(text)
    if document.diagnostics:
        raise _unwritable(document.diagnostics[0].message)
    if document.data != plain(tree):
        raise ValueError("the emitted spec does not read back as it was meant")
    return text


def _unwritable(why: str) -> CtcError:
    return CtcError(f"a name or a value cannot be written in YAML: {why}", "rename the column or the file")


def plain(value: Any) -> Any:
    """A tree without its comments and layout."""
    if isinstance(value, Line | Noted):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def scalar(value: str | int | float | bool | None) -> str:
    """One value. Text is quoted unless every reader of YAML 1.1 and 1.2 takes it for that text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if _PLAIN.fullmatch(value) and not _WORDS.fullmatch(value):
        return value
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))


def _number(value: float) -> str:
    """With a dot, so that it stays a float; YAML 1.1 reads an exponent as text unless it has a dot and a sign."""
    if not isfinite(value):
        raise _unwritable(f"{value} is no number")
    text = format(Decimal(repr(value)), "f")
    if len(text) > _LONGEST:
        digits, _, exponent = repr(value).partition("e")
        return f"{digits if '.' in digits else f'{digits}.0'}e{exponent}"
    return text if "." in text else f"{text}.0"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    return scalar(value)


def _entry(key: str, value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    note, inner = "", value
    if isinstance(value, Noted):
        note, inner = _comment(value.comment), value.value
    if isinstance(inner, Mapping) and inner:
        yield f"{indent}{scalar(key)}:" + (f"  {note}" if note else "")
        for name, item in inner.items():
            yield from _entry(name, item, depth + 1)
        return
    wrap = isinstance(inner, Line) and inner.wrap and bool(inner.value)
    line = f"{indent}{scalar(key)}: {_flow(inner.value if isinstance(inner, Line) else inner)}"
    if not note and (len(line) <= WIDTH or not wrap):
        yield line
    elif len(line) + 2 + len(note) <= WIDTH:
        yield f"{line}  {note}"
    else:
        yield from ([f"{indent}{note}"] if note else [])
        yield from _wrapped(scalar(key), inner.value, indent) if wrap and len(line) > WIDTH else [line]


def _wrapped(key: str, items: Sequence[Any], indent: str) -> Iterator[str]:
    yield f"{indent}{key}:"
    line = f"{indent}  ["
    for index, item in enumerate(items):
        last = index == len(items) - 1
        word = _flow(item) + ("]" if last else ",")
        if len(line) + len(word) + 1 > WIDTH and not line.endswith("["):
            yield line.rstrip()
            line = f"{indent}   "
        line += word + ("" if last else " ")
    yield line


def _comment(text: str) -> str:
    """A comment in one line, whatever a column's name holds."""
    return "# " + re.sub(r"\s+", " ", "".join(char if char.isprintable() else " " for char in text)).strip()
