"""`ctc runs`."""

from __future__ import annotations

import difflib
import json
import re
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import DIFFERENT, OK
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.language.spec import Spec
    from ctc.run.records import Cycle, Record, Records


@click.command("runs")
@click.argument("words", nargs=-1, metavar="[show ID] [SPEC]")
@click.option("--target", metavar="T", help="Whose runs. Default: the spec's first that has any.")
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="Replaces .ctc beside the spec.")
@click.option("--deployed", is_flag=True, help="Those of what ctc deploy has deployed, not those of this machine.")
@click.option("--check", is_flag=True, help="With show: judge once more by the record alone; 4 if the verdict differs.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["human", "json", "prometheus"]),
    default="human",
    help="What goes to stdout; prometheus: the deployment's gauges, for a textfile collector.",
)
def runs(
    words: tuple[str, ...],
    target: str | None,
    environment: str | None,
    state: Path | None,
    deployed: bool,
    check: bool,
    output: str,
) -> int:
    """List the records of past runs of SPEC (default: ctc.yaml), newest last, or show one of them.

    Each line is a cycle: an attempt to train, a batch job, or a wake whose run the policy held back. ID is what the
    list shows, or as much of its beginning as tells it from the others.

    \b
    Examples:
      ctc runs
      ctc runs models/ctc.yaml --env prod
      ctc runs show 20130310T06
      ctc runs show 20130310T060000Z-1f0e9d8c models/ctc.yaml -o json
      ctc runs show 20130310T06 --check
      ctc runs models/ctc.yaml -o prometheus
      ctc runs models/ctc.yaml --target sagemaker --deployed

    \b
    Exit codes: 0 done; 4 with --check, if the record's verdict is not what its numbers and rules give.
    """
    if state is not None:
        _require_folder(state)
        if deployed:
            raise click.UsageError("--deployed goes without --state: it is not on this machine")
    wanted, path = _words(words)
    if wanted is None and check:
        raise click.UsageError("--check is of one record: ctc runs show ID [SPEC] --check")
    if wanted is not None and output == "prometheus":
        raise click.UsageError("prometheus is of a whole deployment: ctc runs [SPEC] -o prometheus")
    if not deployed:
        return _tell(*_state(path, environment, target, state), wanted, check, output)
    from ctc.cli.deployment import opened
    from ctc.cli.run import load_quietly
    from ctc.deploy.fetch import fetch

    where = opened(path, target, environment, None)
    with tempfile.TemporaryDirectory(prefix="ctc-") as folder:
        fetch(where.hands, Path(folder))
        spec = load_quietly(path, environment, where.system.target)
        return _tell(spec, Path(folder), wanted, check, output)


def _tell(spec: Spec, folder: Path, wanted: str | None, check: bool, output: str) -> int:
    """Of the records in a state folder."""
    from ctc.run.records import read_records

    records = read_records(folder)
    for name in records.unreadable:
        click.echo(f"warning: {folder / 'records' / name} is no record: it is left out", err=True)
    if wanted is None and output == "prometheus":
        _expose(spec, folder, records)
    elif wanted is None:
        _list(spec, folder, records, output)
    elif check:
        return _check(_find(records, wanted), output)
    else:
        _show(spec, records, wanted, output)
    return OK


def _require_folder(state: Path) -> None:
    place = f"{state}" if state.is_absolute() else f"{state} ({state.absolute()})"
    if not state.exists():
        raise CtcError(f"there is no state folder {place}", "name the one that was given to ctc run as --state")
    if not state.is_dir():
        raise CtcError(f"{place} is a file, not a state folder", "name the folder that was given to ctc run as --state")


_ID = re.compile(r"\d{4,8}(T|$)")
"""How a record's id begins: with its date."""


def _words(words: tuple[str, ...]) -> tuple[str | None, Path]:
    """The ID to show, None for the list, and the spec."""
    match words:
        case ():
            return None, Path("ctc.yaml")
        case ("show",):
            raise click.UsageError("show what? ctc runs show ID [SPEC]; the IDs are listed by: ctc runs")
        case ("show", "", *_):
            raise click.UsageError("the ID is empty; the IDs are listed by: ctc runs")
        case ("show", wanted):
            return wanted, Path("ctc.yaml")
        case ("show", wanted, spec):
            return wanted, Path(spec)
        case ("list",) if not Path("list").exists():
            raise click.UsageError("there is no word `list`: ctc runs [SPEC] lists them")
        case ("list", spec) if not Path("list").exists():
            raise click.UsageError(f"there is no word `list`: write `ctc runs {spec}`")
        case (spec,) if not Path(spec).exists() and _ID.match(spec):
            raise click.UsageError(f"there is no spec `{spec}`; did you mean `ctc runs show {spec}`?")
        case (spec,):
            return None, Path(spec)
    raise click.UsageError("write `ctc runs [SPEC]` or `ctc runs show ID [SPEC]`")


def _state(path: Path, environment: str | None, target: str | None, state: Path | None) -> tuple[Spec, Path]:
    """The spec and the state folder of the target asked for, else of the first target that has one."""
    from ctc import targets
    from ctc.cli.run import choose_target, load_quietly
    from ctc.run.records import state_folder

    name = choose_target(path, environment, target)
    spec = load_quietly(path, environment, name)
    names = [name] if target is not None else [name, *(other for other in targets.NAMES if other != name)]
    folders = [state_folder(path.absolute().parent, spec, other, state) for other in names]
    return spec, next((folder for folder in folders if folder.is_dir()), folders[0])


def _list(spec: Spec, folder: Path, records: Records, output: str) -> None:
    from ctc.run.records import cycles, focus
    from ctc.run.text import COLUMNS, RIGHT, summary, table

    if output == "json":
        _print_json([dict(record) for record in records.items])
        return
    found = cycles(records.items)
    if not found:
        click.echo(f"no runs in {folder}", err=True)
        return
    main = focus(spec)
    lines = [(cycle.id, *line) for cycle, line in zip(found, summary(found, main), strict=True)]
    click.echo(table(("id", *COLUMNS), lines, RIGHT))
    click.echo(f"champion and contender are {main.metric}; instants are UTC; more of one: ctc runs show ID", err=True)


def _expose(spec: Spec, folder: Path, records: Records) -> None:
    from ctc.policy.state import State
    from ctc.run.exposition import exposition
    from ctc.run.records import read_document

    labels = {"name": spec.model_name, "environment": spec.environment, "target": folder.name}
    path = folder / "state.json"
    document = read_document(path)
    if document is None and path.exists():
        raise CtcError(f"{path} is damaged", "restore it from a copy: numbers of half a deployment mislead")
    currency = "" if spec.cost is None else spec.cost.currency
    sys.stdout.write(exposition(labels, State.from_json(document), records.items, datetime.now(UTC), currency))


def _check(record: Record, output: str) -> int:
    """Judges an attempt once more, from its record alone."""
    from ctc.run.rederive import differences, judged

    name, has_verdict = record["id"], judged(record)
    found = differences(record) if has_verdict else ()
    if output == "json":
        _print_json(
            {
                "record": name,
                "judged": has_verdict,
                "same": not found,
                "differences": [item.to_json() for item in found],
            }
        )
    elif not has_verdict:
        click.echo(f"{name} ended before there was a verdict: {record.get('outcome')}, {record.get('reason')}")
    elif not found:
        click.echo(f"{name}: its numbers and rules give the verdict that it holds: {record['decision'].get('reason')}")
    for item in found if output != "json" else ():
        click.echo(
            f"{item.place}: the record says {json.dumps(item.recorded)}, its numbers give {json.dumps(item.derived)}"
        )
    return DIFFERENT if found else OK


def _show(spec: Spec, records: Records, wanted: str, output: str) -> None:
    from ctc.run.records import Cycle, cycles, focus
    from ctc.run.text import details

    record = _find(records, wanted)
    if output == "json":
        _print_json(dict(record))
        return
    found = [cycle for cycle in cycles(records.items) if _holds(cycle, record)]
    click.echo(details(found[0] if found else Cycle(str(record["instant"]), record, None), focus(spec)))


def _holds(cycle: Cycle, record: Record) -> bool:
    return cycle.attempt is record or (cycle.attempt is None and cycle.wake is record)


def _find(records: Records, wanted: str) -> Record:
    """The record whose id is, or alone begins with, `wanted`; an attempt before the wakes of its instant."""
    named = [record for record in records.items if str(record["id"]).startswith(wanted)]
    exact = [record for record in named if record["id"] == wanted]
    attempts = [record for record in named if record["kind"] == "attempt"]
    for candidates in (exact, named, attempts):
        if len(candidates) == 1:
            return candidates[0]
    ids = [str(record["id"]) for record in records.items]
    if named:
        raise CtcError(
            f"{len(named)} records begin with `{wanted}`: {', '.join(r['id'] for r in named[:5])}", "write more of it"
        )
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5) or ids[-3:]
    raise CtcError(
        f"there is no record `{wanted}`",
        f"did you mean {', '.join(near)}?" if near else "there are no records yet: ctc run makes them",
    )


def _print_json(value: dict[str, object] | list[dict[str, object]]) -> None:
    from ctc.compiler.bundle import as_json

    sys.stdout.write(as_json(value).decode())
