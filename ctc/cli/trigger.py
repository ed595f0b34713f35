"""`ctc trigger`."""

from __future__ import annotations

from pathlib import Path

import click

from ctc.cli.tell import Place, ask


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--target", metavar="T", help="Whose deployment. Default: the spec's only one.")
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix.")
@click.option("--why", metavar="WHY", required=True, help="Kept in the record.")
def trigger(spec: Path, target: str | None, environment: str | None, row: str | None, why: str) -> int:
    """Ask the deployed SPEC for a run now: a manual trigger, to which every suppression applies.

    On this machine it is `ctc run --manual WHY`.

    \b
    Example:
      ctc trigger ctc.yaml --target sagemaker --env prod --why "the labels of the strike are in"

    \b
    Exit codes: 0 told; 1 the spec has errors; 3 the service refused.
    """
    return ask(Place(spec, target, environment, row, None, None, None), why)
