"""`ctc completion`, and what the shell is told while somebody types."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_CTC_COMPLETE"
"""By this environment variable the script asks `ctc` for words; click derives it from the program's name."""


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script by which SHELL completes verbs, options, targets and environments.

    Bash must be 4.4 or newer. Zsh reads a folder of its $fpath; start a new shell afterwards.

    \b
    Examples:
      ctc completion bash > ~/.local/share/bash-completion/completions/ctc
      ctc completion zsh > "${fpath[1]}/_ctc"
      ctc completion fish > ~/.config/fish/completions/ctc.fish
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    script = made(completion, {}, "ctc", VARIABLE)
    click.echo((script.source_template % script.source_vars()).rstrip("\n"))


def attach(command: click.Command) -> None:
    """Lets the options of a verb that name things of a spec complete to what the spec on the line has."""
    for parameter in command.params:
        found = _COMPLETERS.get(parameter.opts[0])
        if found is not None:
            parameter.shell_complete = found  # type: ignore[method-assign]


def _environments(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    return _items(_names(ctx, "environments"), incomplete)


def _targets(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from ctc import targets

    named = [name for name in _names(ctx, "targets") if name in targets.NAMES]
    several = ctx.command.name in ("validate", "compile")
    return _items([*(named or targets.NAMES), *(["all"] if several and named else [])], incomplete)


def _words(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """`[show ID] [SPEC]`: files, and the word if it is begun."""
    from click.shell_completion import CompletionItem

    show = incomplete and not ctx.params.get("words")
    return [CompletionItem(incomplete, type="file"), *_items(["show"] if show else [], incomplete)]


_COMPLETERS = {"--env": _environments, "--target": _targets, "words": _words}


def _items(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _names(ctx: click.Context, section: str) -> list[str]:
    """The keys of a section of the spec on the line; none where there is no spec that can be read."""
    from ctc.language.source import read

    data = read(_spec(ctx)).data
    named = data.get(section) if isinstance(data, dict) else None
    return list(named) if isinstance(named, dict) else []


def _spec(ctx: click.Context) -> Path:
    """The first word that is a file: among those before the cursor, else in the whole line; else `ctc.yaml`."""
    given: list[Any] = []
    for name in ("spec", "specs", "words"):
        value = ctx.params.get(name) or ()
        given += [value] if isinstance(value, str | Path) else list(value)
    files = [Path(word) for word in (*map(str, given), *_line()) if Path(word).is_file()]
    return files[0] if files else Path("ctc.yaml")


def _line() -> list[str]:
    """The words of the line as far as it can be split: a quote may still be open."""
    try:
        return shlex.split(os.environ.get("COMP_WORDS", ""))[1:]
    except ValueError:
        return []
