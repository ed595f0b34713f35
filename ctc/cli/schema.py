"""`ctc schema`."""

from __future__ import annotations

from importlib.resources import files

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema (2020-12) of the language.

    \b
    Example, for completion and checking while you type:
      ctc schema > ct.schema.json
      # and as first line of the spec: # yaml-language-server: $schema=ct.schema.json
    """
    click.echo((files("ctc.schemas") / "ct.v1.schema.json").read_text(encoding="utf-8"), nl=False)
