"""What the verbs share that tell a deployment something: each is heard by a wake, which does all that wakes do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctc.cli.common import FAILED, OK, SPEC_ERRORS, say_failure
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.cli.deployment import Opened
    from ctc.run.records import Record

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Place:
    """Which deployment is told, and at which instant."""

    spec: Path
    target: str | None
    environment: str | None
    row: str | None
    state: Path | None
    at: str | None
    python: str | None
    deployed: bool = False

    def __post_init__(self) -> None:
        if self.deployed and (self.state or self.at or self.python):
            raise click.UsageError("--deployed goes without --state, --at and --python: it is not on this machine")


def options(command: Command) -> Command:
    """The options that say which deployment."""
    for option in (
        click.option("--python", metavar="EXE", help="Interpreter of the training code."),
        click.option("--at", metavar="INSTANT", help="What time it is. Default: now."),
        click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="Replaces .ctc beside the spec."),
        click.option("--row", metavar="ROW", help="A row of the spec's matrix."),
        click.option("--env", "environment", metavar="E", help="An environment of the spec."),
        click.option("--deployed", is_flag=True, help="What ctc deploy has deployed, not the one on this machine."),
        click.option("--target", metavar="T", help="Whose deployment. Default: the spec's first."),
    ):
        command = option(command)
    return command


def state_document(place: Place) -> Record:
    """The state of the deployment; empty before its first wake."""
    from ctc.cli.run import choose_target, load_quietly
    from ctc.run.records import read_document, state_folder

    if place.deployed:
        return _opened(place).hands.state().read().document or {}
    target = choose_target(place.spec, place.environment, place.target, place.row)
    spec = load_quietly(place.spec, place.environment, target, place.row)
    folder = state_folder(place.spec.absolute().parent, spec, target, place.state)
    return read_document(folder / "state.json") or {}


def tell(place: Place, do: str, why: str, **more: Any) -> int:
    """Wakes the deployment with a person's command, says what followed, and returns the exit code."""
    from ctc.cli.progress import Console
    from ctc.cli.run import compile_for_run, user
    from ctc.policy.changes import sentence
    from ctc.run.local import Deployment, parse_instant, rehearse
    from ctc.run.records import mappings, state_folder

    if not why.strip():
        raise click.UsageError("--why is for those who read the record later: say why")
    try:
        at = parse_instant(place.at) if place.at else datetime.now(UTC).replace(microsecond=0)
    except CtcError as error:
        raise click.UsageError(f"--at: {error.message}; {error.help}") from error
    if place.deployed:
        return _send(place, at, do, {"who": user(), "why": why, "do": do, **more})
    compiled = compile_for_run(place.spec, place.environment, place.target, place.row)
    if compiled is None:
        return SPEC_ERRORS
    spec, target, files, where = compiled
    folder = place.spec.absolute().parent
    deployment = Deployment(spec, folder, target, state_folder(folder, spec, target, place.state))
    who = user()
    told = {"who": who, "why": why, "do": do, "id": f"{do}-{at:%Y%m%dT%H%M%SZ}-{who}", **more}
    with Console(spec, False) as console:
        ran = rehearse(deployment, [at], files=files, python=place.python, manual=told, progress=console, where=where)
    changes = [change for record in ran.records for change in mappings(record, "changes")]
    for change in changes:
        click.echo(sentence(change))
    if ran.failure is not None:
        return say_failure(ran.failure.message, f"the whole output is in {ran.failure.log}")
    if not changes:
        return say_failure("this was told before, at the same instant", "look at the records: ctc runs")
    return FAILED if _refused(changes, who) else OK


def ask(place: Place, why: str) -> int:
    """Asks the deployed wake for a run."""
    from ctc.cli.run import user

    return _send(place, datetime.now(UTC), "run", {"who": user(), "why": why})


def _opened(place: Place) -> Opened:
    from ctc.cli.deployment import opened

    return opened(place.spec, place.target, place.environment, place.row)


def _send(place: Place, at: datetime, do: str, told: Mapping[str, Any]) -> int:
    """Leaves what is told beside the state, and starts a wake that hears it."""
    from ctc.steps.asked import told_key

    where = _opened(place)
    key = re.sub(r"[^\w-]", "-", f"{do}-{at:%Y%m%dT%H%M%SZ}-{told['who']}")
    if not where.hands.objects().put_once(told_key(key), {**told, "id": key}):
        return say_failure(f"{told['who']} has told it something in this very second", "say it again")
    started = where.hands.wake({"told": key})
    click.echo(f"told {where.title}: {started}")
    click.echo("a wake hears it; what followed: ctc runs --deployed, ctc status", err=True)
    return OK


def _refused(changes: list[Mapping[str, Any]], who: str) -> bool:
    return any(change["what"] == "refused" and change["who"] == who for change in changes)
