"""`ctc status`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctc.cli.common import DIFFERENT, OK
from ctc.cli.deployment import Opened, now, opened, options

if TYPE_CHECKING:
    from ctc.deploy.document import Deployment
    from ctc.deploy.plan import Plan

AHEAD = timedelta(days=400)
"""How far a next instant is looked for: each cron that can fire at all fires within a year, save for 29 February."""


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@options
@click.option("--exit-code", is_flag=True, help="Exit 4 if what is deployed is not what the spec says.")
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def status(
    spec: Path, target: str | None, environment: str | None, row: str | None, exit_code: bool, output: str
) -> int:
    """Say what of SPEC is deployed, since when and by whom, whether somebody changed it there, and how it stands.

    \b
    Examples:
      ctc status ctc.yaml --target sagemaker --env prod
      ctc status ctc.yaml --env prod --exit-code -o json

    \b
    Exit codes: 0 done; 1 the spec has errors; 3 the service refused; 4 with --exit-code, something differs.
    """
    from ctc.compiler.bundle import as_json
    from ctc.deploy.apply import Wish, look

    where = opened(spec, target, environment, row)
    desk, wish = where.desk(), Wish()
    deployment = desk.look()
    differs = look(where.hands, deployment, wish)
    state = where.hands.state().read().document
    if output == "json":
        told = {"plan": where.document(differs, desk, wish), "deployed": _last(deployment), "state": state}
        click.echo(as_json({"version": 1, **told}).decode(), nl=False)
    else:
        for line in _lines(where, deployment, differs, state):
            click.echo(line)
    return DIFFERENT if exit_code and (differs.changes or differs.refused) else OK


def _last(deployment: Deployment) -> dict[str, Any] | None:
    last = deployment.last
    if last is None:
        return None
    commit = None if last.commit is None else last.commit.id
    return {"what": last.what, "at": last.at, "who": last.who, "spec_digest": last.spec_digest, "commit": commit}


def _lines(where: Opened, deployment: Deployment, differs: Plan, state: Mapping[str, Any] | None) -> Iterator[str]:
    from ctc.deploy.text import lines, summary

    yield where.title
    yield from _deployed(where, deployment)
    yield f"resources  {summary(differs)}"
    yield from lines(differs)
    yield from _standing(state)
    if deployment.last is not None and deployment.last.what == "deploy":
        yield f"next wake  {_next_wake(where)}"


def _deployed(where: Opened, deployment: Deployment) -> Iterator[str]:
    last, lease = deployment.last, deployment.lease
    if last is None:
        yield "deployed   never"
    else:
        commit = last.commit
        told = "" if commit is None else f", commit {commit.id[:12]}{' and changes' if commit.changed else ''}"
        same = "as the spec is now" if last.spec_digest == where.system.spec_digest else "another spec than this one"
        yield f"{'deployed ' if last.what == 'deploy' else 'destroyed'}  {last.at} by {last.who}{told}"
        yield f"spec       {last.spec_digest[:12]}, {same}"
    if lease is not None:
        yield f"lease      {lease.holder}, until {lease.until}"


def _standing(state: Mapping[str, Any] | None) -> Iterator[str]:
    """Who is champion, and what goes on or waits."""
    if state is None:
        yield "state      no wake has run yet"
        return
    for name in ("champion", "candidate"):
        version = (state.get(name) or {}).get("version")
        yield f"{name:<9}  {'none' if version is None else f'version {version}'}"
    attempt = state.get("attempt")
    if attempt:
        yield f"running    attempt {attempt.get('id', '')}"
    waiting = state.get("approval")
    if waiting:
        yield f"waits      for approval of version {waiting['version']}, until {waiting['expires']}: ctc approve"
    hold = state.get("hold")
    if hold:
        yield f"hold       {hold.get('reason', 'after a rollback')}: ctc resume"


def _next_wake(where: Opened) -> str:
    """The earliest instant at which a schedule wakes it; the period alone has no instant that is known here."""
    from ctc.language.cron import Cron

    every, at = where.system.wakes.every, now()
    found = [
        (instant, trigger)
        for trigger, cron, zone in where.system.wakes.crons
        for instant in islice(Cron.parse(cron).instants(at, at + AHEAD, zone), 1)
    ]
    told = f"within {every}"
    if found:
        instant, trigger = min(found)
        told += f"; trigger {trigger} at {instant:%Y-%m-%dT%H:%M:%SZ}"
    return told
