"""`.dockerignore` as Docker reads it: moby's `patternmatcher` (`MatchesOrParentMatches`) and `ignorefile`, 2025.

Go's `filepath.Match` with `**` for any number of folders; the last pattern that matches decides; `!` lets back in; a
pattern that matches a folder matches all that is in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

FILE = ".dockerignore"

DEFAULT: tuple[str, ...] = (
    "**/.git",
    "**/.hg",
    "**/.svn",
    "**/.venv",
    "**/venv",
    "**/node_modules",
    "**/__pycache__",
    "**/*.py[co]",
    "**/*.egg-info",
    "**/.mypy_cache",
    "**/.ruff_cache",
    "**/.pytest_cache",
    "**/.ipynb_checkpoints",
    "**/.DS_Store",
)
"""What is left out where nobody said: what tools write, and what is made anew in an image."""

_WILD = re.compile(r"[*?\[\\]")
_LITERAL = frozenset(".+()|{}$^")


@dataclass(frozen=True)
class _Pattern:
    text: str
    lets_in: bool
    regex: re.Pattern[str]

    def leads_into(self, folder: str) -> bool:
        """Whether it may match something below a folder: by its words before the first wildcard."""
        for own, there in zip(self.text.split("/"), folder.split("/"), strict=False):
            if _WILD.search(own):
                return True
            if own != there:
                return False
        return True


class Ignored:
    """What a list of patterns leaves out. Paths are relative, with `/`."""

    def __init__(self, lines: Iterable[str]) -> None:
        """ValueError, with the line's number, for a pattern that Docker refuses."""
        self._patterns: list[_Pattern] = []
        for number, line in enumerate(lines, 1):
            # A comment is one at the very start of a line only.
            if line.startswith("#"):
                continue
            try:
                pattern = _pattern(line.strip())
            except (ValueError, re.error) as error:
                raise ValueError(f"line {number}: {line.strip()!r} is no pattern: {error}") from error
            if pattern is not None:
                self._patterns.append(pattern)

    def __call__(self, path: str) -> bool:
        ignored = False
        for pattern in self._patterns:
            if pattern.lets_in == ignored and _matches(pattern.regex, path):
                ignored = not pattern.lets_in
        return ignored

    def whole(self, folder: str) -> bool:
        """Whether all of a folder that is left out stays out, so that nobody needs to look into it."""
        return not any(pattern.lets_in and pattern.leads_into(folder) for pattern in self._patterns)


def read(content: bytes) -> Ignored:
    """The patterns of a file. ValueError where it is no UTF-8, or holds what is no pattern."""
    return Ignored(content.decode("utf-8-sig").split("\n"))


def _matches(regex: re.Pattern[str], path: str) -> bool:
    """Itself, or one of the folders that it is in."""
    if regex.fullmatch(path):
        return True
    cut = path.rfind("/")
    while cut > 0:
        if regex.fullmatch(path, 0, cut):
            return True
        cut = path.rfind("/", 0, cut)
    return False


def _pattern(text: str) -> _Pattern | None:
    lets_in = text.startswith("!")
    if lets_in:
        text = text[1:].strip()
        if not text:
            raise ValueError("`!` alone lets nothing in")
    if not text:
        return None
    text = posixpath.normpath(text)
    # POSIX keeps two leading slashes, Go's Clean does not.
    text = text.lstrip("/") or "/"
    return _Pattern(text, lets_in, re.compile(_regex(text), re.DOTALL))


def _regex(text: str) -> str:
    found: list[str] = []
    place = 0
    while place < len(text):
        char = text[place]
        place += 1
        if char == "*" and text[place : place + 1] == "*":
            place += 1
            if text[place : place + 1] == "/":
                place += 1
            found.append(".*" if place == len(text) else "(?:.*/)?")
        elif char == "*":
            found.append("[^/]*")
        elif char == "?":
            found.append("[^/]")
        elif char == "\\":
            if place == len(text):
                raise ValueError("a backslash at the end escapes nothing")
            found.append(re.escape(text[place]))
            place += 1
        elif char == "[":
            end = _class_end(text, place)
            found.append(_class(text[place:end]))
            place = end + 1
        else:
            found.append(f"\\{char}" if char in _LITERAL else char)
    return "".join(found)


def _class_end(text: str, start: int) -> int:
    place = start + 1 if text[start : start + 1] == "^" else start
    while place < len(text) and text[place] != "]":
        place += 2 if text[place] == "\\" else 1
    if place >= len(text) or place == start:
        raise ValueError("`[` begins a class that does not end")
    return place


def _class(inner: str) -> str:
    """What stands between brackets; Python would read more into `[` and `&&` there than Go does."""
    return "[" + re.sub(r"([\[&|~])", r"\\\1", inner) + "]"
