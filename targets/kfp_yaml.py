"""Plain data as YAML whose bytes depend on the value only, and that YAML 1.1 and 1.2 read as the same value.

The two versions disagree on many bare words (`on`, `0o14`, `1e5`, `1:30`), and servers and clients of one pipeline use
both. So a string stands bare only where no version could see anything else in it; else it is quoted as in JSON, or, if
it is a text of several lines, a literal block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "yes", "n", "no", "true", "false", "on", "off", "null"})
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]")


def as_yaml(document: Mapping[str, Any]) -> bytes:
    """One YAML document: block style, keys sorted, lines as long as they are, LF at the end, UTF-8.

    Takes what JSON takes. Raises `ValueError` for a number that JSON has no word for.
    """
    lines: list[str] = []
    _mapping(lines, document, "", "")
    return ("\n".join(lines) + "\n").encode()


def _mapping(lines: list[str], value: Mapping[str, Any], first: str, indent: str) -> None:
    """`first` takes the place of the indentation of the first line."""
    lead = first
    for key in sorted(value):
        _entry(lines, f"{lead}{_string(key)}:", value[key], indent)
        lead = indent


def _entry(lines: list[str], lead: str, value: Any, indent: str) -> None:
    deeper = f"{indent}  "
    if isinstance(value, Mapping) and value:
        lines.append(lead)
        _mapping(lines, value, deeper, deeper)
    elif isinstance(value, list | tuple) and value:
        lines.append(lead)
        for item in value:
            if isinstance(item, Mapping) and item:
                _mapping(lines, item, f"{deeper}- ", f"{deeper}  ")
            else:
                _entry(lines, f"{deeper}-", item, deeper)
    elif isinstance(value, str) and _is_text(value):
        lines.append(f"{lead} |")
        lines += [f"{deeper}{line}" if line else "" for line in value[:-1].split("\n")]
    else:
        lines.append(f"{lead} {_scalar(value)}")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value, allow_nan=False)


def _float(value: float) -> str:
    """With a point and a signed exponent: without them YAML 1.1 reads a string."""
    text = json.dumps(value, allow_nan=False)
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}"


def _string(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return _UNPRINTABLE.sub(_escape, json.dumps(text, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_text(text: str) -> bool:
    """Whether a literal block gives it back exactly: one line feed at its end, no indentation at its start."""
    return (
        text.count("\n") > 1
        and text.endswith("\n")
        and not text.endswith("\n\n")
        and not text.startswith((" ", "\t", "\n"))
        and "\r" not in text
        and "\x85" not in text
        and not _UNPRINTABLE.search(text)
    )
