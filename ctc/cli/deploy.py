"""`ctc deploy`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ctc.cli.common import OK
from ctc.cli.deployment import confirm, duration, now, opened, options, require_newer, say, show
from ctc.cli.run import user
from ctc.deploy.document import Deployed
from ctc.diagnostics import CtcError


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options
@click.option("--plan", "saved", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="A saved plan.")
@click.option("--select", multiple=True, metavar="PATTERN", help="Only such resources (`pipeline/*`). Repeatable.")
@click.option("--no-start", "no_start", is_flag=True, help="Leave out what starts pipelines: schedules, event rules.")
@click.option("--create-roles", "roles", is_flag=True, help="Also make the identities, which are an administrator's.")
@click.option("--allow-older", is_flag=True, help="Deploy a commit that is older than the deployed one.")
@click.option("--wait", metavar="DURATION", default="0s", help="How long to wait for another deploy to end.")
@click.option("--yes", is_flag=True, help="Do not ask. A saved plan is not asked about: it was looked at.")
def deploy(
    spec: Path,
    target: str | None,
    environment: str | None,
    row: str | None,
    saved: Path | None,
    select: tuple[str, ...],
    no_start: bool,
    roles: bool,
    allow_older: bool,
    wait: str,
    yes: bool,
) -> int:
    """Make the target's service hold what SPEC says: plan, ask, apply in order, read each change back.

    What can start a pipeline is made last. Killed or refused half way, the same command finishes it; a second deploy at
    the same time is refused. Nothing is touched that does not carry this deployment's labels.

    \b
    Examples:
      ctc deploy ctc.yaml --target sagemaker --env prod
      ctc deploy ctc.yaml --env prod --plan plan.json
      ctc deploy ctc.yaml --env dev --yes --no-start

    \b
    Exit codes: 0 done, or nothing to do; 1 the spec has errors; 3 it could not be done, and what was done is said.
    """
    from ctc.deploy import commit
    from ctc.deploy.apply import Wish, carry_out, look, moved
    from ctc.deploy.saved import read, require_same

    if saved is not None and (select or no_start or roles):
        raise click.UsageError("--plan goes alone: what is done was settled when the plan was saved")
    patience = duration(wait)
    kept = None if saved is None else read(saved)
    wish = (
        Wish(select, not no_start, roles) if kept is None else Wish(tuple(kept["select"]), kept["start"], kept["roles"])
    )
    if kept is not None:
        # It was made for one deployment: there is nothing to choose.
        target, environment = target or kept["target"], environment or _environment(kept)
    where, here = opened(spec, target, environment, row), commit.of(spec)
    desk = where.desk()
    last = desk.look().last
    require_newer(where, None if last is None else last.commit, here, allow_older)
    planned = look(where.hands, desk.deployment, wish)
    if saved is not None and kept is not None:
        require_same(kept, where.document(planned, desk, wish), saved)
    show(planned, f"{where.title}, as {where.hands.whoami()}")
    done = Deployed("deploy", now().isoformat(timespec="seconds"), user(), *where.digests, here)
    if not planned.changes and last is not None and last.bundle_digest == done.bundle_digest and not planned.refused:
        return OK
    if planned.changes and not yes and saved is None:
        confirm(f"Carry this out on {where.system.target}?", "look at ctc plan, then say --yes, or give a saved --plan")
    with desk.held(patience, time.sleep):
        again = look(where.hands, desk.deployment, wish)
        if changed := moved(planned, again):
            raise CtcError(f"somebody changed things meanwhile: {changed}", "nothing was done: look at a new plan")
        carry_out(where.hands, desk, again, done, say)
    click.echo("deployed" if wish.start and not wish.select else "deployed in part")
    return OK


def _environment(kept: Mapping[str, Any]) -> str | None:
    """The environment of a saved plan; `default` is that of a spec without any."""
    name = str(kept["environment"])
    return None if name == "default" else name
