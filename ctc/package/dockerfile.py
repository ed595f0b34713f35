"""Dockerfiles: what one says that can be judged without Docker, as its reference has it (docs.docker.com, 2025)."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ctc.diagnostics import CtcError
from ctc.package.dockerignore import Ignored

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*")
_HEREDOC = re.compile(r"<<-?(['\"]?)([A-Za-z_][\w.]*)\1")
_KEYWORDS = frozenset(
    (
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)
_WITH_HEREDOC = frozenset(("ADD", "COPY", "RUN"))


@dataclass(frozen=True)
class Instruction:
    """One instruction: its line, counted from 1, its keyword in capitals, and the rest with continued lines joined."""

    line: int
    keyword: str
    rest: str
    heredoc: bool = False


def instructions(text: str, name: str) -> list[Instruction]:
    """What a Dockerfile says, in order. CtcError for what Docker would refuse; `name` is the file's."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape, start = _directives(lines)
    found: list[Instruction] = []
    place = start
    while place < len(lines):
        first, words = place, ""
        while place < len(lines):
            line = lines[place]
            place += 1
            # Comments and blank lines inside a continued instruction are skipped.
            if not line.strip() or line.lstrip().startswith("#"):
                if not words:
                    first = place
                continue
            cut = line.rstrip()
            if not cut.endswith(escape):
                words += cut
                break
            words += cut[:-1]
        if not words.strip():
            continue
        keyword, _, rest = words.strip().partition(" ")
        keyword = keyword.upper()
        if keyword not in _KEYWORDS:
            raise CtcError(
                f"{name}:{first + 1}: `{keyword}` is no instruction of a Dockerfile",
                f"did you forget a `{escape}` at the end of the line above?" if found else "it starts with FROM",
            )
        ends = [match[2] for match in _HEREDOC.finditer(rest)] if keyword in _WITH_HEREDOC else []
        for end in ends:
            place = _after(lines, place, end, f"{name}:{first + 1}")
        found.append(Instruction(first + 1, keyword, rest.strip(), bool(ends)))
    if not any(item.keyword == "FROM" for item in found):
        raise CtcError(f"{name} has no FROM", "a Dockerfile starts from an image: FROM python:3.11-slim")
    return found


def bases(found: Sequence[Instruction]) -> Iterator[tuple[int, str]]:
    """The images that are built on, with their lines; stages of the same file, `scratch` and arguments are none."""
    stages: set[str] = set()
    for item in found:
        if item.keyword != "FROM":
            continue
        words = [word for word in item.rest.split() if not word.startswith("--")]
        image = words[0] if words else ""
        if image.lower() not in stages and image != "scratch" and "$" not in image:
            yield item.line, image
        if len(words) == 3 and words[1].upper() == "AS":
            stages.add(words[2].lower())


def missing(found: Sequence[Instruction], paths: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """What is copied from the context and is not in it: the line, the source, and why. `paths` are the context's."""
    there = set(paths)
    there.update(parent for path in paths for parent in _parents(path))
    for item in found:
        if item.keyword not in ("COPY", "ADD"):
            continue
        for source in _sources(item):
            if "$" in source or re.match(r"[a-z]+://|git@", source):
                continue
            cleaned = posixpath.normpath(source.lstrip("/") or ".")
            if cleaned.startswith(".."):
                yield item.line, source, "it is outside of the context"
            elif cleaned != "." and cleaned not in there and not _matches_any(cleaned, there):
                yield item.line, source, "the context has no such file: it is not there, or .dockerignore leaves it out"


def made(base: str, requirements: Sequence[str], project: bool, serve: Sequence[str] = ()) -> bytes:
    """The Dockerfile of a Python project: its requirements, then its code, where its commands start.

    `requirements` are files of pip, of which the first is installed; `project` says that the folder itself is
    installed. `serve` are the words of a server, with `{model}`, that the services start by themselves.
    """
    lines = [
        "# Made by ctc package. A Dockerfile in the folder of the training code takes its place.",
        f"FROM {base}",
        "ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1",
        "WORKDIR /app",
    ]
    for folder in dict.fromkeys(posixpath.dirname(path) for path in requirements):
        inside = [path for path in requirements if posixpath.dirname(path) == folder]
        lines.append(f"COPY {json.dumps([*inside, f'./{folder}/' if folder else './'], ensure_ascii=False)}")
    if requirements:
        lines.append(f"RUN {json.dumps(['pip', 'install', '--requirement', requirements[0]], ensure_ascii=False)}")
    lines.append('COPY [".", "./"]')
    if project:
        lines.append('RUN ["pip", "install", "."]')
    if serve:
        script = f"#!/bin/sh\nexec {' '.join(_shell(word) for word in serve)}\n"
        write = f"printf %s {shlex.quote(script)} > /usr/local/bin/serve && chmod 755 /usr/local/bin/serve"
        lines += [
            "# Services that start a server without a command start `serve`.",
            f"RUN {json.dumps(['/bin/sh', '-c', write], ensure_ascii=False)}",
            'CMD ["serve"]',
        ]
    return ("\n".join(lines) + "\n").encode()


def _shell(word: str) -> str:
    """A word of a command in a shell's script: the model is where the service says, or where SageMaker puts it."""
    return '"${CTC_MODEL:-/opt/ml/model}"'.join(shlex.quote(part) if part else "" for part in word.split("{model}"))


def _directives(lines: Sequence[str]) -> tuple[str, int]:
    """The escape character, and where the directives end: the first line that is none."""
    escape = "\\"
    for number, line in enumerate(lines):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            return escape, number
        if match[1].lower() == "escape" and match[2] in ("\\", "`"):
            escape = match[2]
    return escape, len(lines)


def _after(lines: Sequence[str], place: int, end: str, where: str) -> int:
    while place < len(lines):
        place += 1
        if lines[place - 1].lstrip("\t") == end:
            return place
    raise CtcError(f"{where}: the text that starts here does not end", f"write `{end}` alone in a line below it")


def _sources(item: Instruction) -> list[str]:
    words = item.rest.split()
    while words and words[0].startswith("--"):
        if words[0].startswith("--from="):
            return []
        words = words[1:]
    rest = " ".join(words)
    if rest.startswith("["):
        try:
            words = [str(word) for word in json.loads(rest)]
        except ValueError:
            words = rest.split()
    return [word for word in words[:-1] if not word.startswith("<<")]


def _matches_any(pattern: str, paths: set[str]) -> bool:
    try:
        found = Ignored([pattern])
    except ValueError:
        return False
    return any(found(path) for path in paths)


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
