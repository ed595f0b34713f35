"""`ctc destroy`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ctc.cli.common import OK
from ctc.cli.deployment import confirm, duration, now, opened, options, say, show
from ctc.cli.run import user
from ctc.deploy.document import Deployed
from ctc.diagnostics import CtcError


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options
@click.option("--select", multiple=True, metavar="PATTERN", help="Only such resources (`schedule/*`). Repeatable.")
@click.option("--everything", is_flag=True, help="Also what holds models: with all their versions.")
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would go.")
@click.option("--wait", metavar="DURATION", default="0s", help="How long to wait for a deploy to end.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(
    spec: Path,
    target: str | None,
    environment: str | None,
    row: str | None,
    select: tuple[str, ...],
    everything: bool,
    dry: bool,
    wait: str,
    yes: bool,
) -> int:
    """Take away what `ctc deploy` made for SPEC, last made first: what starts pipelines goes before them.

    Models and records stay, unless --everything asks for the models too. What does not carry this deployment's labels
    is never touched, nor is what an administrator made. A second destroy finds nothing to do.

    \b
    Examples:
      ctc destroy ctc.yaml --env dev --dry-run
      ctc destroy ctc.yaml --env dev
      ctc destroy ctc.yaml --env dev --select "schedule/*" --yes

    \b
    Exit codes: 0 done, or nothing there; 3 it could not be done, and what was done is said.
    """
    from ctc.deploy.apply import carry_out, look_at_all, moved
    from ctc.deploy.plan import CHANGES, Verb

    patience = duration(wait)
    where = opened(spec, target, environment, row)
    desk = where.desk()
    planned = look_at_all(where.hands, desk.look(), everything=everything, select=select)
    show(planned, f"{where.title}, as {where.hands.whoami()}", left=True)
    if dry or not any(step.verb in (*CHANGES, Verb.FORGET) for step in planned.steps):
        return OK
    if planned.changes and not yes:
        confirm(f"Take this away from {where.system.target}? It cannot be undone.", "look at --dry-run, then say --yes")
    done = Deployed("destroy", now().isoformat(timespec="seconds"), user(), *where.digests)
    with desk.held(patience, time.sleep):
        again = look_at_all(where.hands, desk.deployment, everything=everything, select=select)
        if changed := moved(planned, again):
            raise CtcError(f"somebody changed things meanwhile: {changed}", "nothing was done: look again")
        carry_out(where.hands, desk, again, done, say)
    click.echo("destroyed" if not select else "destroyed in part")
    return OK
