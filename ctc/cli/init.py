"""`ctc init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ctc.cli.common import OK
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.init.create import Answer, Created
    from ctc.init.parts import Wishes
    from ctc.init.propose import Plan


@click.command()
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from", "source", metavar="FOLDER", type=click.Path(path_type=Path), help="A project to read. Default: DIR."
)
@click.option("--name", metavar="N", help="The model's name. Default: the folder's.")
@click.option("--data", metavar="PATH", type=click.Path(path_type=Path), help="A Parquet file, or a folder of them.")
@click.option("--label", metavar="COLUMN", help="What is predicted.")
@click.option("--event-time", metavar="COLUMN", help="When a row happened.")
@click.option("--key", "keys", metavar="COLUMN", multiple=True, help="What tells rows apart; repeat for more.")
@click.option("--label-delay", metavar="AGE", help="How old a row is when its label is known, such as 7d.")
@click.option("--task", type=click.Choice(["binary", "regression"]), help="What kind of value the label is.")
@click.option("--target", "targets", multiple=True, metavar="T", help="A target; repeat for more. Default: kubeflow.")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="The spec to write. Default: DIR/ctc.yaml."
)
@click.option("--editor", is_flag=True, help="Write the schema beside the spec too, for completion in an editor.")
@click.option(
    "--ci", type=click.Choice(["github", "gitlab"]), help="Write how a spec that is there is reviewed and deployed."
)
@click.option("--force", is_flag=True, help="Replace a spec, and scripts that ctc init wrote.")
@click.option("--yes", is_flag=True, help="Ask nothing: take every guess.")
def init(
    folder: Path | None,
    source: Path | None,
    name: str | None,
    data: Path | None,
    label: str | None,
    event_time: str | None,
    keys: tuple[str, ...],
    label_delay: str | None,
    task: str | None,
    targets: tuple[str, ...],
    out: Path | None,
    editor: bool,
    ci: Literal["github", "gitlab"] | None,
    force: bool,
    yes: bool,
) -> int:
    """Write a spec for the data and the scripts of DIR (default: here), and the scripts if there are none.

    Reads the Parquet files for the label, the event time, the key and sensible windows, and a training script's flags
    for its command. What it guessed stands in the spec with the reason; what only you know is marked TODO. On a
    terminal it asks for what matters; nothing that exists is overwritten without --force.

    With --ci, for a spec that is there: a workflow that validates a change, says in one comment what it means, and on
    the main branch plans, and deploys that plan once it is approved. Logins are keyless, actions pinned to commits.

    \b
    Examples:
      ctc init
      ctc init churn --data data/customers.parquet --label churned --label-delay 30d
      ctc init --from ../old-project --target kubeflow --target sagemaker --yes
      ctc init --ci github
    """
    from ctc.init.create import Request, check, create, write

    _refuse_unknown(targets)
    read = source or folder or Path()
    place = folder or source or Path()
    if not read.is_dir():
        raise CtcError(f"{read} is no folder", "name the folder of the data and the scripts")
    spec = out or place / "ctc.yaml"
    if ci is not None:
        return _write_ci(spec, ci, force=force)
    if spec.exists() and not force:
        raise CtcError(f"{spec} exists already", "name another file with --out, or replace it with --force")
    wishes = _wishes(label, event_time, keys, label_delay, task)
    request = Request(read, spec, name, tuple(dict.fromkeys(targets)) or ("kubeflow",), wishes, data, force, editor)
    created = create(request, None if yes or not _is_terminal() else _asker(wishes))
    check(created)
    write(created, force=force)
    _tell(created)
    return OK


def _write_ci(spec: Path, service: Literal["github", "gitlab"], *, force: bool) -> int:
    from ctc.init import ci

    found = ci.files(spec, service)
    written = ci.write(found, force=force)
    for path in found:
        click.echo(f"{path}: {'written' if path in written else 'current'}")
    for line in ci.what_else(spec, service):
        click.echo(line, err=True)
    return OK


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _refuse_unknown(targets: tuple[str, ...]) -> None:
    from ctc import targets as registry

    for name in targets:
        if name not in registry.NAMES:
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}")


def _wishes(
    label: str | None, event_time: str | None, keys: tuple[str, ...], delay: str | None, task: str | None
) -> Wishes:
    from ctc.init.parts import Wishes
    from ctc.language.units import duration

    try:
        age = None if delay is None else duration(delay)
    except ValueError as error:
        raise click.UsageError(f"--label-delay {delay}: {error}") from error
    kind = None if task is None else "binary" if task == "binary" else "regression"
    return Wishes(label, event_time, keys or None, kind, age)  # type: ignore[arg-type]


def _asker(wishes: Wishes) -> Answer:
    """Asks for what was not given as an option, with the guess as default. Answers are checked like options."""

    def ask(plan: Plan) -> tuple[str, Wishes]:
        from ctc.init.propose import length

        data = plan.data
        click.echo(f"{data.main.path}: {data.main.rows:,} rows, {len(data.main.columns)} columns", err=True)
        name = _prompt("name of the model", plan.name.value) if plan.name.why else plan.name.value
        label = wishes.label or _prompt("label column", data.label.value, data.label.why)
        event = wishes.event_time or _prompt("event time column", data.event_time.value, data.event_time.why)
        keys = wishes.key or tuple(
            word.strip() for word in _prompt("key columns", ", ".join(data.key.value), data.key.why).split(",")
        )
        same = label == data.label.value
        task = wishes.task or (_prompt("task", data.task.value, data.task.why) if same else None)
        age = length(data.known_after.value.total_seconds())
        delay = None if wishes.known_after else _prompt("age at which the label is known", age, data.known_after.why)
        asked = _wishes(label, event, keys, delay, task)
        return name, asked if delay is not None else _with_age(asked, wishes)

    return ask


def _with_age(asked: Wishes, wishes: Wishes) -> Wishes:
    from dataclasses import replace

    return replace(asked, known_after=wishes.known_after)


def _prompt(what: str, default: str, why: str = "") -> str:
    answer: str = click.prompt(what + (f" ({why})" if why else ""), default=default, err=True)
    return answer


def _tell(created: Created) -> None:
    """The files on stdout; on stderr what was left out, and what to do next."""
    from ctc.init.propose import YOURS

    plan = created.plan
    for path in created.files:
        click.echo(str(path))
    for table, why in plan.data.unused:
        click.echo(f"not used: {table.path}: {why}", err=True)
    for path in plan.project.others:
        click.echo(f"not used: {path}: another script comes first", err=True)
    for path in plan.project.notebooks:
        click.echo(f"not read: {path}: a notebook; a spec runs scripts", err=True)
    spec = next(iter(created.files))
    if plan.project.train is None:
        click.echo("train.py needs: pip install scikit-learn pyarrow", err=True)
    click.echo(f"look at {spec}: {created.todos} values are marked {YOURS}. Then:", err=True)
    click.echo(f"  ctc validate {spec}", err=True)
    click.echo(f"  ctc run {spec} --at {plan.volume.instant:%Y-%m-%dT%H:%M:%SZ}", err=True)
