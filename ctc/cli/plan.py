"""`ctc plan`."""

from __future__ import annotations

from pathlib import Path

import click

from ctc.cli.common import DIFFERENT, OK, say_failure
from ctc.cli.deployment import opened, options, show


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options
@click.option("--select", multiple=True, metavar="PATTERN", help="Only such resources (`schedule/*`). Repeatable.")
@click.option("--no-start", "no_start", is_flag=True, help="Leave out what starts pipelines: schedules, event rules.")
@click.option("--create-roles", "roles", is_flag=True, help="Also make the identities, which are an administrator's.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Save it for ctc deploy.")
@click.option("--exit-code", is_flag=True, help="Exit 4 if there is something to do.")
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def plan(
    spec: Path,
    target: str | None,
    environment: str | None,
    row: str | None,
    select: tuple[str, ...],
    no_start: bool,
    roles: bool,
    out: Path | None,
    exit_code: bool,
    output: str,
) -> int:
    """Say what `ctc deploy` would do: every resource that it would create, change, replace or delete, and why.

    Reads what the target's service holds now and changes nothing. A saved plan is applied by ctc deploy --plan, and
    refused if anything has moved since.

    \b
    Examples:
      ctc plan ctc.yaml --target sagemaker --env prod
      ctc plan ctc.yaml --env prod --out plan.json
      ctc plan ctc.yaml --env prod --exit-code -o json

    \b
    Exit codes: 0 done; 1 the spec has errors; 3 the service refused, or something stands in the way; 4 with
    --exit-code, there is something to do.
    """
    from ctc.compiler.bundle import as_json
    from ctc.deploy.apply import Wish, look
    from ctc.steps.local import write_atomically

    where = opened(spec, target, environment, row)
    desk = where.desk()
    wish = Wish(select, not no_start, roles)
    made = look(where.hands, desk.look(), wish)
    document = as_json(where.document(made, desk, wish))
    if output == "json":
        click.echo(document.decode(), nl=False)
    else:
        show(made, f"{where.title}, as {where.hands.whoami()}")
    if made.refused:
        return say_failure(f"{len(made.refused)} of these cannot be done", "each says why; a deploy changes nothing")
    if out is not None:
        write_atomically(out.absolute(), document)
        click.echo(f"saved: {out}; carry it out with ctc deploy {spec} --plan {out}", err=True)
    return DIFFERENT if exit_code and made.changes else OK
