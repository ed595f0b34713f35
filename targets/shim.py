"""The programs that run in the user's image, each as the one text that artifacts carry."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import ctc.steps
from ctc.compiler.ir import Step
from ctc.language.secrets import secret_variable

PROGRAMS: dict[str, tuple[str, ...]] = {
    "shim": ("shim_files", "shim"),
    "probe": ("shim_files", "shim", "probe"),
    "adapter": ("shim_files", "shim", "meeting", "nodes", "adapter"),
    "nodes": ("shim_files", "shim", "meeting", "nodes"),
    "with_secrets": ("with_secrets",),
}
"""The modules of `ctc/steps` that a program is read from, in this order; the last one is started."""

WITH_SECRETS = "with_secrets"
"""The program that stands before another where the service hands over no secrets."""

NO_MPI = (
    "no service but Azure ML starts processes by MPI, and no version of ctc runs it yet: write `launcher: torchrun`, "
    "whose variables (`RANK`, `WORLD_SIZE`, `MASTER_ADDR`) other libraries read too"
)
"""Why `launcher: mpi` is refused, and what to do instead."""

_FUTURE = "from __future__ import annotations\n"
_OURS = re.compile(r"^from ctc\.[^\n(]*(?:\([^)]*\))?\n", re.MULTILINE)
_START = '\n\nif __name__ == "__main__":'


@functools.cache
def program(name: str) -> str:
    """The source text of a program: its modules in one, without the imports that join them."""
    # Not by importlib.resources: importing it takes longer than compiling a spec.
    folder = Path(ctc.steps.__file__).parent
    texts = [(folder / f"{module}.py").read_text(encoding="utf-8") for module in PROGRAMS[name]]
    alone = [_OURS.sub("", text) for text in texts]
    first, *others = [text.partition(_START)[0] for text in alone[:-1]] + alone[-1:]
    return "\n\n".join([first.rstrip(), *(text.replace(_FUTURE, "", 1).strip() for text in others)]) + "\n"


@functools.cache
def after_secrets(name: str) -> str:
    """The source text of a program with, before it, what fills in the secrets of its step."""
    first = program(WITH_SECRETS).partition(_START)[0].rstrip()
    return f"{first}{_START}\n    before()\n\n\n{program(name).replace(_FUTURE, '', 1)}"


@functools.cache
def bare(text: str) -> str:
    """A program without its comments and docstrings, for where it must be short."""
    # Here and not above: few specs need it, and it takes longer than compiling one.
    import ast
    import io
    import tokenize

    gone: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for item in body if isinstance(body, list) and len(body) > 1 else ():
            if (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                gone |= set(range(item.lineno, (item.end_lineno or item.lineno) + 1))
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and lines[token.start[0] - 1].lstrip().startswith("#"):
            gone.add(token.start[0])
    return re.sub(r"\n{3,}", "\n\n", "".join(line for number, line in enumerate(lines, 1) if number not in gone))


def secret_words(step: Step, address: Callable[[str], str]) -> Iterator[str]:
    """What `with_secrets` is told: of each secret its variable, the one that holds it on one machine, its address."""
    for name, secret in step.secrets:
        yield f"{name}={secret_variable(secret)}={address(secret)}"


def nodes_told(words: Sequence[object]) -> int:
    """Of how many machines a program's own words tell it: those from `--step` on, before the command."""
    own = list(words[words.index("--step") :]) if "--step" in words else []
    own = own[: own.index("--")] if "--" in own else own
    told = [after for before, after in pairwise(own) if before == "--option"]
    return next((int(str(option)[6:]) for option in told if str(option).startswith("nodes=")), 1)


def step_options(step: Step) -> Iterator[str]:
    """A program's words that say of a step what is the same on every target."""
    if step.apply:
        yield from ("--apply", str(len(step.apply)))
    if step.csv:
        yield from ("--csv", step.csv)
    for name, digest in step.digests:
        yield from ("--digest", f"{name}={digest}")
    for name, value in step.options:
        yield from ("--option", f"{name}={value}")
