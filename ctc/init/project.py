"""What else a project's folder says: its name, its image, its notebooks, its size."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctc.init.scripts import PREDICT_NAMES, TRAIN_NAMES, Script, find_scripts, is_ours, read_script
from ctc.init.tables import is_visible

MAX_NAME = 33
"""What a spec's name may have, less the longest suffix of an environment that is usual."""


@dataclass(frozen=True)
class Project:
    """`train` and `predict` are None where there is no such script; `others` are further files of such names."""

    folder: Path
    train: Script | None
    predict: Script | None
    others: tuple[Path, ...]
    notebooks: tuple[Path, ...]
    requirements: Path | None
    dockerfile: Path | None


def read_project(folder: Path, *, ours_too: bool) -> Project:
    """Reads a folder. Scripts that `ctc init` wrote are passed over unless `ours_too`: they are to be written anew."""
    train, more = _script(folder, TRAIN_NAMES, ours_too)
    predict, again = _script(folder, PREDICT_NAMES, ours_too)
    return Project(
        folder,
        train,
        predict,
        (*more, *again),
        tuple(_files(folder, ".ipynb")),
        _first(folder, ("requirements.txt", "requirements.in", "pyproject.toml", "environment.yml")),
        _first(folder, ("Dockerfile", "docker/Dockerfile", "Containerfile")),
    )


def slug(text: str, limit: int = MAX_NAME) -> str:
    """A text as a name of a spec; empty if nothing of it can stand in one."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", plain)[:limit].rstrip("-")


def column_name(text: str, taken: Sequence[str]) -> str:
    """A text as a name of a check or a slice that is not taken yet."""
    plain = re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_"))[:40] or "column"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def code_bytes(folder: Path, data: Sequence[Path]) -> int:
    """The size of what would be stored as code with each version."""
    total = 0
    inside = {path.resolve() for path in data}
    for place, names, files in os.walk(folder):
        here = Path(place)
        names[:] = [name for name in names if is_visible(here / name) and (here / name).resolve() not in inside]
        total += sum(
            (here / name).stat().st_size
            for name in files
            if (here / name).is_file() and (here / name).resolve() not in inside
        )
    return total


def _script(folder: Path, names: Sequence[str], ours_too: bool) -> tuple[Script | None, tuple[Path, ...]]:
    found = [path for path in find_scripts(folder, names) if ours_too or not is_ours(path)]
    if not found:
        return None, ()
    return read_script(found[0]), tuple(found[1:])


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _files(folder: Path, suffix: str) -> list[Path]:
    found = []
    for place, names, files in os.walk(folder):
        here = Path(place)
        names[:] = sorted(name for name in names if is_visible(here / name))
        found += [here / name for name in sorted(files) if name.endswith(suffix)]
    return found
