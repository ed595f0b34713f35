"""Which other files a spec names: what it includes, the rows of its matrix, the request of its smoke test."""

from __future__ import annotations

import posixpath
import re

from ctc.diff.sides import Side

_WORDS = re.compile(r"""(?<![\w'])"([^"\n]+)"|(?<![\w"])'([^'\n]+)'|([^\s"'{}\[\],#]+)""")
BESIDE = ("ctc.lock",)
"""Files that are read where they stand beside a spec, without being named in it."""

_MOST = 1_000
"""Files that one spec names, directly or not: more are no spec's."""


def named_by(side: Side, spec: str) -> tuple[str, ...]:
    """The files of the same side that a spec names by paths relative to itself, and those that such YAML files name.

    Told by the words of the text, not by the keys of the language: a word that happens to be a file's name costs a
    copy, and one that is missed would show a wrong spec.
    """
    present = side.paths()
    beside = (posixpath.join(posixpath.dirname(spec), name) for name in BESIDE)
    found: dict[str, None] = {path: None for path in beside if path in present}
    open_ = [spec]
    while open_ and len(found) < _MOST:
        path = open_.pop()
        folder = posixpath.dirname(path)
        text = side.content(path).decode("utf-8", errors="replace")
        for match in _WORDS.finditer(text):
            word = match[1] or match[2] or match[3]
            if "." not in word and "/" not in word:
                continue
            place = posixpath.normpath(posixpath.join(folder, word))
            if place in present and place not in found and place != spec:
                found[place] = None
                if place.endswith((".yaml", ".yml")):
                    open_.append(place)
    return tuple(found)
