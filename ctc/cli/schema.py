"""`ctc schema`."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from ctc.cli.common import OK


@click.command()
@click.option("--draft7", is_flag=True, help="For editors and tools that know draft-07 only.")
@click.option("--diagnostics", is_flag=True, help="Of what `ctc validate -o json` prints, instead of the language.")
def schema(draft7: bool, diagnostics: bool) -> int:
    """Print the JSON Schema (2020-12) of the language.

    \b
    Examples, the first for completion and checking while you type:
      ctc schema > ct.schema.json
      # and as first line of the spec: # yaml-language-server: $schema=ct.schema.json
      ctc schema --draft7 > ct.draft7.schema.json
      ctc schema --diagnostics > findings.schema.json
    """
    name = "diagnostics.v1.schema.json" if diagnostics else "ct.v1.schema.json"
    text = (files("ctc.schemas") / name).read_text(encoding="utf-8")
    if draft7:
        from ctc.language.draft7 import draft7 as as_draft7

        text = json.dumps(as_draft7(json.loads(text)), indent=2, ensure_ascii=False) + "\n"
    click.echo(text, nl=False)
    return OK
