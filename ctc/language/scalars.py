"""Plain scalars by the YAML 1.2 core schema, with the traps between it and YAML 1.1."""

from __future__ import annotations

import math
import re
from typing import Final

_CONSTANTS: Final[dict[str, bool | None]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_OCTAL = re.compile(r"[-+]?0[0-9]+")
_MAX_DIGITS = 18
"""Any integer of so many digits fits 64 bits."""


class Trap(Exception):
    """A scalar that must not be guessed at. `instead` is what every reader takes for the same, where there is one."""

    def __init__(self, code: str, message: str, help: str, instead: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.help = help
        self.instead = instead


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. Trap where readers of YAML disagree, or where no exact number results."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    _refuse_traps(text)
    if _INT.fullmatch(text):
        if len(text.lstrip("+-")) > _MAX_DIGITS:
            message = f"a whole number of more than {_MAX_DIGITS} digits"
            raise Trap("CT010", message, "quote it if it is an identifier", f'"{text}"')
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise Trap("CT010", "a number beyond what a computer holds", "quote it if it is text")
        return number
    return text


def _refuse_traps(text: str) -> None:
    if _NOT_FINITE.fullmatch(text):
        raise Trap("CT010", f"`{text}` is not a number that a spec can use", "quote it if it is text")
    if _UNDERSCORES.fullmatch(text):
        plain = text.replace("_", "")
        raise Trap("CT011", f"`{text}` is a number in YAML 1.1 and text in 1.2", f"write {plain}, or quote it", plain)
    if _SEXAGESIMAL.fullmatch(text):
        raise Trap("CT011", f"`{text}` is text in YAML 1.2 and a number in 1.1", f'write "{text}"', f'"{text}"')
    if _OCTAL.fullmatch(text):
        sign = text[0] if text[0] in "+-" else ""
        plain = sign + (text.lstrip("+-").lstrip("0") or "0")
        raise Trap(
            "CT011", f"`{text}` is octal in YAML 1.1 and decimal in 1.2", f'write {plain}, or "{text}"', f'"{text}"'
        )
