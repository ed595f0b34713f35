"""`ctc diff`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from ctc.cli.common import OK


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="BASE[..HEAD] [PATHS]...")
def diff(words: tuple[str, ...]) -> int:
    """Say what a change of specs means, against a commit, another file or another folder.

    BASE is a branch, tag or id; the working tree is compared with it, or HEAD of `BASE..HEAD`. `BASE...HEAD` compares
    with the commit at which the two went apart, as a pull request does. Works offline and checks nothing out.

    \b
    Examples:
      ctc diff main
      ctc diff origin/main...HEAD specs/
      ctc diff old.yaml new.yaml
    """
    from ctc.diff.chosen import Wrong, choose

    with tempfile.TemporaryDirectory(prefix="ctc-diff-") as scratch:
        try:
            chosen = choose(words, Path.cwd(), Path(scratch))
        except Wrong as error:
            raise click.UsageError(f"{error.message}\n{error.help}") from None
        for base, head in chosen.pairs:
            verb = "added" if base is None else "removed" if head is None else "changed"
            click.echo(f"{verb}: {head or base}")
        click.echo(f"{len(chosen.unchanged)} unchanged")
    return OK
