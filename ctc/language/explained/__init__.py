"""Why each code matters, with a wrong and a right example: a page `CTnnn.md` a code, read only by who asks."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAGE = re.compile(
    r"(?P<why>.+?)\n+Wrong:\n+```yaml\n(?P<wrong>.*?)```\n+Right:\n+```yaml\n(?P<right>.*?)```\n*", re.DOTALL
)


@dataclass(frozen=True)
class Explanation:
    """`wrong` and `right` are YAML: a part of a spec, or a whole file for what is found before there is a spec."""

    why: str
    wrong: str
    right: str


def explanation(code: str) -> Explanation:
    """The page of a code. Raises FileNotFoundError where there is none, ValueError where it is not complete."""
    from importlib.resources import files

    page = (files(__name__) / f"{code}.md").read_text(encoding="utf-8")
    match = _PAGE.fullmatch(page)
    if match is None:
        raise ValueError(f"the page of {code} lacks its why, its wrong or its right example")
    return Explanation(match["why"].strip(), match["wrong"], match["right"])
