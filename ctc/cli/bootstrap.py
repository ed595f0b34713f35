"""`ctc bootstrap`."""

from __future__ import annotations

from pathlib import Path

import click

from ctc.cli.common import OK
from ctc.cli.deployment import compiled, options
from ctc.diagnostics import CtcError

SHEET = "BOOTSTRAP.md"


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options
def bootstrap(spec: Path, target: str | None, environment: str | None, row: str | None) -> int:
    """Print what an administrator does once before SPEC is deployed: bucket, identities, rights, quotas.

    Nothing of it is run. It is the BOOTSTRAP.md of the compiled bundle, whose other files its commands name.

    \b
    Examples:
      ctc bootstrap ctc.yaml --target sagemaker --env prod
      ctc bootstrap ctc.yaml --env prod > BOOTSTRAP.md
    """
    system, bundle = compiled(spec, target, environment, row)
    sheet = next((item.content for item in bundle.artifacts if item.path == SHEET), None)
    if sheet is None:
        raise CtcError(f"{system.target} needs nothing that this version knows of before a deploy")
    click.echo(sheet.decode(), nl=False)
    return OK
