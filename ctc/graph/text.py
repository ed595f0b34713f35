"""How wide words are, before any browser has seen them, and where lines break."""

from __future__ import annotations

import unicodedata

_NARROW, _WIDE = frozenset(" .,:;'|!()[]/\\-ijlftrI\""), frozenset("mwMW@%&+=<>~≤≥→—…")
_EM = {"narrow": 0.46, "wide": 1.0, "capital": 0.79, "other": 0.65, "full": 1.05}
"""Widths in parts of the font's size: those of DejaVu Sans and Verdana, the widest of the usual fonts for screens (by
their `hmtx` tables), rounded up. What fits with them fits with any other."""

BOLD = 1.12
"""How much wider the same letters are in bold."""


def width(text: str, size: float) -> float:
    """At most so many units wide, in a font of `size` units."""
    return size * sum(_em(letter) for letter in text)


def _em(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn"):
        return 0.0
    if unicodedata.east_asian_width(letter) in ("W", "F"):
        return _EM["full"]
    if letter in _NARROW:
        return _EM["narrow"]
    if letter in _WIDE or ord(letter) > 0x2FFF:
        return _EM["wide"]
    return _EM["capital"] if letter.isupper() else _EM["other"]


def wrapped(text: str, room: float, size: float, most: int) -> tuple[str, ...]:
    """The text in at most `most` lines, none wider than `room`; what does not fit ends in an ellipsis."""
    lines: list[str] = []
    for word in printable(text).split():
        pieces = _broken(word, room, size)
        if lines and width(f"{lines[-1]} {pieces[0]}", size) <= room:
            lines[-1] = f"{lines[-1]} {pieces.pop(0)}"
        lines += pieces
    if len(lines) <= most:
        return tuple(lines)
    last = lines[most - 1]
    while last and width(f"{last}…", size) > room:
        last = last[:-1]
    return (*lines[: most - 1], f"{last.rstrip()}…")


def _broken(word: str, room: float, size: float) -> list[str]:
    """A word that is too wide for a line, in pieces that are not: after a `-`, `_`, `.` or `/` where there is one."""
    pieces: list[str] = []
    while width(word, size) > room:
        end = 1
        while end < len(word) and width(word[: end + 1], size) <= room:
            end += 1
        joint = max((number + 1 for number, letter in enumerate(word[:end]) if letter in "-_./"), default=0)
        end = joint if joint > end // 2 else end
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]


def printable(text: str) -> str:
    """Without what XML has no word for, and what would change the direction of the text around it."""
    return "".join(" " if letter.isspace() else letter for letter in text if letter.isspace() or _shown(letter))


def _shown(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn")
