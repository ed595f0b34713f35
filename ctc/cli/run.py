"""`ctc run`."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics, say_failure
from ctc.cli.progress import Console
from ctc.diagnostics import CtcError, Diagnostic, Severity

if TYPE_CHECKING:
    from ctc.language.spec import Spec
    from ctc.run.preflight import Where
    from ctc.run.records import Focus, Record

_ADD_MANUAL = "add `triggers: {asked: {manual: {}}}`"


@click.command("run")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--target", metavar="T", help="Whose compiled files to run. Default: the spec's first.")
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix.")
@click.option("--at", "instants", multiple=True, metavar="INSTANT", help="What time it is; repeat, for a history.")
@click.option("--manual", metavar="WHY", help="Ask for a run, and say why; needs a manual trigger in the spec.")
@click.option("--event", metavar="NAME[,KEY=VALUE...]", help="An outside alert that an event trigger waits for.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="Replaces .ctc beside the spec.")
@click.option("--python", metavar="EXE", help="Interpreter of the training code. Default: .venv beside the spec, PATH.")
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", help="What goes to stdout.")
@click.option("--report", type=click.Path(path_type=Path), metavar="PATH", help="Where to write the HTML report.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the steps print, as they print it.")
def run(
    spec: Path,
    target: str | None,
    environment: str | None,
    row: str | None,
    instants: tuple[str, ...],
    manual: str | None,
    event: str | None,
    state: Path | None,
    python: str | None,
    output: str,
    report: Path | None,
    verbose: bool,
) -> int:
    """Run SPEC on this machine: compile it, then execute the compiled files.

    A wake looks at the triggers as of INSTANT (an ISO instant with its zone, or a date; default: now) and starts a
    training if one fires. The run sees only what was known then, so a list of past instants replays a history. State,
    models and records are kept in .ctc beside the spec; a run that was interrupted is finished by the next.

    Instants only go forward: one before the last wake of the state folder is refused, and a trigger that an attempt has
    answered, even one that failed, does not fire again at the same instant. For another history name a fresh --state.

    \b
    Examples:
      ctc run ctc.yaml
      ctc run ctc.yaml --at 2013-02-10T11:00:00Z --at 2013-03-10T10:00:00Z
      ctc run ctc.yaml --target sagemaker --state trial
      ctc run ctc.yaml --manual "new feature in the model"
      ctc run ctc.yaml --event fraud-ops-alert,incident=INC-7
      ctc run ctc.yaml --at 2013-02-10 -o json

    \b
    Exit codes: 0 done, also where nothing was promoted; 1 the spec has errors;
    3 a step failed, or something that it needs is missing here; 130 interrupted.
    """
    from ctc.run.local import Deployment, parse_instant, rehearse
    from ctc.run.records import focus, state_folder

    if len(instants) > 1 and (manual is not None or event is not None):
        asked = "--manual" if manual is not None else "--event"
        raise click.UsageError(f"{asked} asks for one run: give one --at beside it, or none")
    try:
        at = [parse_instant(text) for text in instants] or [datetime.now(UTC).replace(microsecond=0)]
    except CtcError as error:
        raise click.UsageError(f"--at: {error.message}; {error.help}") from error
    if report is not None:
        _require_page(report)
    compiled = compile_for_run(spec, environment, target, row)
    if compiled is None:
        return SPEC_ERRORS
    loaded, name, files, where = compiled
    if manual is not None and not _can_be_asked(loaded):
        raise click.UsageError(f"--manual needs a manual trigger in the spec: {_ADD_MANUAL}")
    alert = None if event is None else _event(event, loaded)
    _warn_of_rewritten(loaded, at)
    folder = spec.absolute().parent
    deployment = Deployment(loaded, folder, name, state_folder(folder, loaded, name, state))
    with Console(loaded, verbose) as console:
        ran = rehearse(
            deployment,
            at,
            files=files,
            python=python,
            manual=None if manual is None else {"who": user(), "why": manual},
            event=alert,
            progress=console,
            echo=verbose,
            where=where,
        )
    _print_records(ran.records, focus(loaded), output)
    code = _report(loaded, name, deployment.state, report, output)
    if ran.failure is None:
        if not ran.records:
            _say_quiet(loaded, deployment.state)
        return code
    if ran.left:
        click.echo(f"not run: {len(ran.left)} later instants, from {ran.left[0]:%Y-%m-%dT%H:%M:%SZ}", err=True)
    return say_failure(ran.failure.message, f"the whole output is in {ran.failure.log}")


def choose_target(path: Path, environment: str | None, target: str | None, row: str | None = None) -> str:
    """The target asked for, else the first that the spec names. UsageError for one that there is not."""
    from ctc import targets

    if target is not None and target not in targets.NAMES:
        raise click.UsageError(f"unknown target `{target}`; there are: {', '.join(targets.NAMES)}")
    if target is not None:
        return target
    spec = load_quietly(path, environment, None, row)
    named = [name for name in targets.NAMES if name in spec.targets]
    if not named:
        raise CtcError(
            f"{path} names no target that can run here",
            "add a `targets:` section, for instance `targets: {kubeflow: {bucket: my-bucket}}`",
        )
    return named[0]


def load_quietly(path: Path, environment: str | None, target: str | None, row: str | None = None) -> Spec:
    """The spec, or its errors on stderr and exit code 1; warnings are for the verbs that judge the spec."""
    from ctc.language.load import load_spec

    loaded = load_spec(path, environment, target, row)
    if loaded.spec is None:
        print_diagnostics(loaded.diagnostics)
        raise click.exceptions.Exit(SPEC_ERRORS)
    return loaded.spec


def compile_for_run(
    path: Path, environment: str | None, target: str | None, row: str | None
) -> tuple[Spec, str, dict[str, bytes], Where] | None:
    """The spec, the target, the bundle's files and where a path of the spec stands; None where there are errors, which
    are printed."""
    from ctc import targets
    from ctc.compiler.build import build
    from ctc.compiler.write import files
    from ctc.language.load import load_spec, place

    name = choose_target(path, environment, target, row)
    loaded = load_spec(path, environment, name, row)
    if loaded.spec is None:
        print_diagnostics(loaded.diagnostics)
        return None
    missing = loaded.spec.gaps_on(name)
    if missing:
        # To leave it out would be to decide something else than the spec says.
        raise CtcError(
            f"this version checks and compiles {path}, but does not run: {', '.join(missing)}",
            "try the spec without them in an environment of its own, for instance `environments: {local: ...}`",
        )
    if name not in loaded.spec.targets:
        raise CtcError(f"{path} has no section for the target {name}", f"add `{name}:` under `targets:`")
    built = build(loaded.spec, targets.load(name))
    found = (*loaded.diagnostics, *(place(item, loaded) for item in built.diagnostics))
    print_diagnostics([item for item in found if item.severity is Severity.ERROR or not _of_the_service(item)])
    if built.bundle is None:
        return None

    def where(path: str) -> str:
        span = place(Diagnostic("", Severity.ERROR, "", path), loaded).span
        return "" if span is None else f"{span.file}:{span.line}:{span.column}"

    return loaded.spec, name, files(built.bundle, built.system), where


def _of_the_service(item: Diagnostic) -> bool:
    """What the target's service would not do says nothing about this machine; `validate` and `compile` tell it."""
    return item.code.startswith("CT3")


def _warn_of_rewritten(spec: Spec, instants: list[datetime]) -> None:
    """Says once that rows which are rewritten in place are not what they were at an instant of the past."""
    rewritten = [source.name for source in spec.sources if not source.replayable]
    past = [instant for instant in instants if instant < datetime.now(UTC) - spec.trigger_policy.wake_every]
    if rewritten and past:
        names = ", ".join(rewritten)
        click.echo(
            f"warning: rows of {names} are rewritten in place (`replayable: false`) and read as they are today: what "
            f"is decided at {min(past):%Y-%m-%dT%H:%M:%SZ} may be something else than would have been decided then",
            err=True,
        )


def user() -> str:
    """The person at the keyboard, as records name them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _require_page(path: Path) -> None:
    """UsageError unless a report may be written there: a new file, or an earlier page. Nothing else is overwritten."""
    near = next(folder for folder in path.absolute().parents if folder.exists())
    if not near.is_dir():
        raise click.UsageError(f"--report {path}: {near} is no folder; name an HTML file in one")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise click.UsageError(f"--report {path}: that is no regular file; name an HTML file")
    if path.exists() and not path.read_bytes()[:15].lower().startswith(b"<!doctype html"):
        raise click.UsageError(f"--report {path}: that file is no earlier report and would be lost; name another")


def _can_be_asked(spec: Spec) -> bool:
    from ctc.language.spec import ManualTrigger

    return any(item.enabled and isinstance(item.spec, ManualTrigger) for item in spec.triggers)


def _event(text: str, spec: Spec) -> dict[str, object]:
    """`NAME,KEY=VALUE`: an event that a trigger of the spec waits for, with the field that tells it from others."""
    from ctc.language.spec import EventTrigger

    name, *pairs = text.split(",")
    if not all("=" in pair for pair in pairs):
        raise click.UsageError(f"--event {text}: write NAME, or NAME,KEY=VALUE")
    fields = dict(pair.split("=", 1) for pair in pairs)
    waiting = {
        item.spec.name: item.spec for item in spec.triggers if item.enabled and isinstance(item.spec, EventTrigger)
    }
    if name not in waiting:
        known = ", ".join(sorted(waiting)) or "none"
        raise click.UsageError(f"--event {name}: no enabled trigger of the spec waits for it; waited for: {known}")
    by = waiting[name].dedupe_by
    if by is not None and by not in fields:
        raise click.UsageError(f"--event {name}: it is told from others by `{by}`; write {name},{by}=VALUE")
    return {"name": name, "fields": fields}


def _print_records(records: Sequence[Record], focus: Focus, output: str) -> None:
    from ctc.compiler.bundle import as_json
    from ctc.run.records import cycles
    from ctc.run.text import COLUMNS, RIGHT, summary, table

    if output == "json":
        sys.stdout.write(as_json([dict(record) for record in records]).decode())
        return
    found = cycles(records)
    if found:
        click.echo(f"\n{focus.metric} by cycle, instants in UTC\n")
        click.echo(table(COLUMNS, summary(found, focus), RIGHT))


def _report(spec: Spec, target: str, state: Path, path: Path | None, output: str) -> int:
    """Writes the page; what the run made stands, whatever becomes of it."""
    page = path or state / "report.html"
    try:
        _write_page(spec, target, state, page)
    except OSError as error:
        return say_failure(
            f"the report {_short(page)} cannot be written: {error.strerror or error}",
            "name another place with --report PATH; the run is over, and its records are kept: ctc runs",
        )
    if output != "json":
        click.echo(f"\nreport: {_short(page)}")
    return OK


def _write_page(spec: Spec, target: str, state: Path, page: Path) -> None:
    from ctc.graph.svg import svg
    from ctc.graph.system import graph_of
    from ctc.run.records import focus, read_document, read_records
    from ctc.run.report import Subject, render
    from ctc.steps.local import write_atomically

    about = (spec.model_name, spec.description, spec.environment, target)
    subject = Subject(*about, focus(spec), svg(graph_of(spec)))
    text = render(subject, read_records(state).items, read_document(state / "state.json"))
    write_atomically(page.absolute(), text.encode())


def _say_quiet(spec: Spec, state: Path) -> None:
    """Nothing happened; where the last attempt had failed, that this is why, and what to do."""
    from ctc.run.records import read_records

    click.echo("nothing to do: no trigger fired", err=True)
    attempts = [record for record in read_records(state).items if record["kind"] == "attempt"]
    if not attempts or attempts[-1].get("outcome") not in ("failed", "lost"):
        return
    last = attempts[-1]
    click.echo(f"the last attempt, {last['id']}, {last.get('outcome')}: {_in_short(last)}", err=True)
    asked = "--manual WHY" + ("" if _can_be_asked(spec) else f" (needs a manual trigger: {_ADD_MANUAL})")
    click.echo(
        "  = help: its triggers are answered by it; when it is mended, ask for a run with "
        f"{asked}, name a later --at, or start afresh with --state DIR",
        err=True,
    )


def _in_short(attempt: Record) -> str:
    """The first line of an attempt's error and, where lines of a log follow, the last of them."""
    lines = str(attempt.get("error") or attempt.get("reason") or "").splitlines()
    first = lines[0].removesuffix("; its last lines:") if lines else ""
    return first if len(lines) < 2 else f"{first}: {lines[-1].strip()}"


def _short(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)
