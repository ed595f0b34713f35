"""Plain data as YAML whose bytes depend on the value only, and that YAML 1.1 and 1.2 read as the same value.

The two versions disagree on many bare words (`on`, `0o14`, `1e5`, `1:30`), and servers and clients of one pipeline use
both. So a string stands bare only where no version could see anything else in it; else it is quoted as in JSON, or, if
it is a text of several lines, a literal block.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any

from ctc.compiler.bundle import scalar

_BARE = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "yes", "n", "no", "true", "false", "on", "off", "null"})
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]|[\u2028\u2029]"
"""Not compiled here: that takes longer than a whole document does, and what Python calls printable holds none of it."""


def as_yaml(document: Mapping[str, Any]) -> bytes:
    """One YAML document: block style, keys sorted, lines as long as they are, LF at the end, UTF-8.

    Takes what JSON takes; every map is a dict. Raises `ValueError` for a number that JSON has no word for.
    """
    lines: list[str] = []
    _mapping(lines, document, "", "")
    return ("\n".join(lines) + "\n").encode()


def _mapping(lines: list[str], value: Mapping[str, Any], first: str, indent: str) -> None:
    """`first` takes the place of the indentation of the first line."""
    lead = first
    for key in sorted(value):
        _entry(lines, f"{lead}{_key(key)}:", value[key], indent)
        lead = indent


def _entry(lines: list[str], lead: str, value: Any, indent: str) -> None:
    deeper = f"{indent}  "
    if isinstance(value, str):
        if _is_text(value):
            lines.append(f"{lead} |")
            lines += [f"{deeper}{line}" if line else "" for line in value[:-1].split("\n")]
        else:
            lines.append(f"{lead} {_string(value)}")
    elif isinstance(value, dict) and value:
        lines.append(lead)
        _mapping(lines, value, deeper, deeper)
    elif isinstance(value, (list, tuple)) and value:
        lines.append(lead)
        for item in value:
            if isinstance(item, dict) and item:
                _mapping(lines, item, f"{deeper}- ", f"{deeper}  ")
            else:
                _entry(lines, f"{deeper}-", item, deeper)
    else:
        lines.append(f"{lead} {_float(value) if isinstance(value, float) else scalar(value)}")


def _float(value: float) -> str:
    """With a point and a signed exponent: without them YAML 1.1 reads a string."""
    text = scalar(value)
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}"


@functools.lru_cache(maxsize=1024)
def _key(text: str) -> str:
    """As `_string`: the same few words name nearly every field of a document."""
    return _string(text)


def _string(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    quoted = encode_basestring(text)
    return quoted if quoted.isprintable() else re.sub(_UNPRINTABLE, _escape, quoted)


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
        and (text.replace("\n", "").isprintable() or not re.search(_UNPRINTABLE, text))
    )
