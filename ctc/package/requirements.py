"""What a Python project says that it needs: files of pip, and `pyproject.toml`."""

from __future__ import annotations

import posixpath
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctc.diagnostics import CtcError

_OPTION = re.compile(r"(-r|--requirement|-c|--constraint|-e|--editable)(?:[= ]\s*|(?<=-[rce]))(\S.*)")
_INCLUDES = ("-r", "--requirement", "-c", "--constraint")
_PINNED = re.compile(r"===?|@")


def files(root: Path, first: str, paths: frozenset[str]) -> list[str]:
    """A requirements file and those that it includes, in the order in which they are met.

    CtcError for one that the context does not have, and for a project elsewhere on this machine.
    """
    found: list[str] = []
    waiting = [first]
    while waiting:
        file = waiting.pop(0)
        if file in found:
            continue
        found.append(file)
        for number, line in _lines(root / file):
            option = _OPTION.fullmatch(line)
            target = option[2].strip() if option else line
            if option is None and not re.match(r"file:|\.{1,2}/|/", target):
                continue
            local = target.removeprefix("file:").split("#")[0].split("[")[0].strip()
            if re.match(r"[a-z+]+://", local):
                continue
            # pip takes the files of -r and -c from the folder of the file, projects from where it is run.
            included = option is not None and option[1] in _INCLUDES
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(file) if included else "", local))
            if included and inside in paths:
                waiting.append(inside)
            else:
                _require_inside(inside, paths, f"{root / file}:{number}", line, folder=not included)
    return found


def loose(root: Path, listed: Sequence[str]) -> Iterator[str]:
    """Says, once a file, which requirements name no one version: the image is another one after each release."""
    for file in listed:
        names = [
            match[0]
            for _, line in _lines(root / file)
            if not line.startswith("-")
            and not _PINNED.search(line.split(";")[0])
            and (match := re.match(r"[A-Za-z0-9][\w.-]*", line))
        ]
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            told = f"{', '.join(names[:5])}{more}"
            yield f"{root / file}: no one version of {told}: write NAME==VERSION, or two builds differ"


def installs(file: Path) -> bool:
    """Whether pip can install the project of a `pyproject.toml`."""
    document = _toml(file)
    return "project" in document or "build-system" in document


def python_of(file: Path) -> str:
    """`requires-python` of a `pyproject.toml`; empty where it says none."""
    project = _toml(file).get("project", {})
    return str(project.get("requires-python", "")) if isinstance(project, dict) else ""


def _require_inside(inside: str, paths: frozenset[str], place: str, line: str, *, folder: bool) -> None:
    there = any(path == inside or path.startswith(f"{inside}/") for path in paths) or (folder and inside == ".")
    if inside.startswith(("..", "/")) or not there:
        where = "outside of the folder of the training code" if inside.startswith(("..", "/")) else "not in the context"
        raise CtcError(
            f"{place}: `{line}` names what is {where}",
            "copy it there, publish it as a package, or write a Dockerfile that brings it",
        )
    if folder:
        raise CtcError(
            f"{place}: `{line}` installs a folder before the code is copied", "write a Dockerfile that copies it first"
        )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """The requirements of a file with their lines; continued ones joined, comments and the options of a line cut."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or str(error)
        raise CtcError(f"cannot read {file}: {told}", "pip could not read it either") from error
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if whole else number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            whole += f"{line[:-1]} "
            continue
        cut = re.sub(r"(^|\s)#.*$", "", whole + line).strip()
        whole = ""
        if cut:
            yield first, re.split(r"\s+--(?:hash|config-settings|global-option)", cut)[0].strip()


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CtcError(f"cannot read {file}: {error}", "pip could not read it either: mend it") from error
