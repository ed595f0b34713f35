"""`ctc run`."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics, say_failure, use_color
from ctc.diagnostics import CtcError, Diagnostic, Severity

if TYPE_CHECKING:
    from ctc.language.spec import Spec
    from ctc.run.records import Cycle, Focus, Record

_COLORS = {"promoted": "green", "held": "yellow", "stopped": "yellow", "failed": "red", "lost": "red"}


@click.command("run")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--target", metavar="T", help="Whose compiled files to run. Default: the spec's first.")
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix.")
@click.option("--at", "instants", multiple=True, metavar="INSTANT", help="What time it is; repeat for a history.")
@click.option("--manual", metavar="WHY", help="Ask for a run, and say why; needs a manual trigger in the spec.")
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

    \b
    Examples:
      ctc run ctc.yaml
      ctc run ctc.yaml --at 2013-02-10T11:00:00Z --at 2013-03-10T10:00:00Z
      ctc run ctc.yaml --target sagemaker --state trial
      ctc run ctc.yaml --manual "new feature in the model"
      ctc run ctc.yaml --at 2013-02-10 -o json

    \b
    Exit codes: 0 done, also where nothing was promoted; 1 the spec has errors; 3 a step failed; 130 interrupted.
    """
    from ctc.language.spec import ManualTrigger
    from ctc.run.local import Deployment, parse_instant, rehearse
    from ctc.run.records import focus, state_folder

    if manual is not None and len(instants) > 1:
        raise click.UsageError("--manual asks for one run: give one --at beside it, or none")
    try:
        at = [parse_instant(text) for text in instants] or [datetime.now(UTC).replace(microsecond=0)]
    except CtcError as error:
        raise click.UsageError(f"--at: {error.message}; {error.help}") from error
    if report is not None:
        _require_page(report)
    compiled = _compiled(spec, environment, target, row)
    if compiled is None:
        return SPEC_ERRORS
    loaded, name, files = compiled
    if manual is not None and not any(
        item.enabled and isinstance(item.spec, ManualTrigger) for item in loaded.triggers
    ):
        raise click.UsageError("--manual needs a manual trigger in the spec: add `triggers: {asked: {manual: {}}}`")
    folder = spec.absolute().parent
    deployment = Deployment(loaded, folder, name, state_folder(folder, loaded, name, state))
    with _Console(focus(loaded), verbose) as console:
        ran = rehearse(
            deployment,
            at,
            files=files,
            python=python,
            manual=None if manual is None else {"who": _user(), "why": manual},
            progress=console,
            echo=verbose,
        )
    page = _write_page(loaded, name, deployment.state, report)
    _print_result(ran.records, focus(loaded), page, output)
    if ran.failure is None:
        if not ran.records:
            click.echo("nothing to do: no trigger fired", err=True)
        return OK
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


def _compiled(
    path: Path, environment: str | None, target: str | None, row: str | None
) -> tuple[Spec, str, dict[str, bytes]] | None:
    """The spec, the target and the bundle's files; None where there are errors, which are printed."""
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
    return None if built.bundle is None else (loaded.spec, name, files(built.bundle, built.system))


def _of_the_service(item: Diagnostic) -> bool:
    """What the target's service would not do says nothing about this machine; `validate` and `compile` tell it."""
    return item.code.startswith("CT3")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _require_page(path: Path) -> None:
    """UsageError unless a report may be written there: a new file, or an earlier page. Nothing else is overwritten."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise click.UsageError(f"--report {path}: that is no regular file; name an HTML file")
    if path.exists() and not path.read_bytes()[:15].lower().startswith(b"<!doctype html"):
        raise click.UsageError(f"--report {path}: that file is no earlier report and would be lost; name another")


def _write_page(spec: Spec, target: str, state: Path, path: Path | None) -> Path:
    from ctc.run.records import focus, read_document, read_records
    from ctc.run.report import Subject, render
    from ctc.steps.local import write_atomically

    page = path or state / "report.html"
    subject = Subject(spec.model_name, spec.description, spec.environment, target, focus(spec))
    text = render(subject, read_records(state).items, read_document(state / "state.json"))
    write_atomically(page.absolute(), text.encode())
    return page


def _print_result(records: Sequence[Record], focus: Focus, page: Path, output: str) -> None:
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
    click.echo(f"\nreport: {_short(page)}")


def _short(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


class _Console:
    """Tells a run on stderr. It writes to a descriptor of its own: the steps' output has the usual ones meanwhile."""

    def __init__(self, focus: Focus, verbose: bool) -> None:
        self._focus = focus
        self._verbose = verbose
        self._transient = False
        self._last = ""

    def __enter__(self) -> _Console:
        self._out = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="replace")
        self._live = self._out.isatty() and not self._verbose and os.environ.get("TERM") != "dumb"
        self._color = use_color(self._out.isatty())
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()
        self._out.close()

    def instant(self, instant: datetime) -> None:
        self._say(click.style(f"{instant:%Y-%m-%d %H:%M:%S} UTC".replace(":00 UTC", " UTC"), bold=True))
        self._woken = False

    def woke(self, records: Sequence[Record], said: str) -> None:
        from ctc.run.records import mappings

        first, self._woken = not self._woken, True
        for record in records:
            if record["kind"] == "attempt":
                self._line(str(record.get("outcome")), str(record.get("reason")))
                continue
            fired = [answer for answer in mappings(record, "triggers") if answer.get("answer") == "fired"]
            for answer in fired:
                self._line("fired", f"{answer.get('name')}: {answer.get('reason')}")
            suppressed = record.get("suppressed")
            if suppressed:
                self._line("suppressed", f"by {suppressed.get('by')}: {suppressed.get('reason')}", "yellow")
            for action in mappings(record, "actions"):
                if action.get("action") == "start_training" and action.get("launch", 1) > 1:
                    self._line("again", f"the attempt ended without a record: start {action['launch']}")
                if action.get("action") == "promote":
                    self._line("promoted", f"version {action.get('version')} is the champion", "green")
        if first and not records:
            self._line("quiet", said or "no trigger fired")

    def training(self, attempt: str) -> None:
        self._line("attempt", attempt)
        self._last = ""

    def step_ended(self, step: str, status: str, seconds: float) -> None:
        self._last = step
        self._line("step", f"{step:18}{seconds:7.1f} s" + ("" if status == "ok" else f"  {status}"))

    def waiting(self, seconds: float) -> None:
        if self._live:
            self._out.write(f"\r\x1b[K  {'':10} {_after(self._last)} … {seconds:.0f} s")
            self._out.flush()
            self._transient = True

    def trained(self, record: Record | None, seconds: float) -> None:
        from ctc.run.records import Cycle

        if record is None:
            self._line("lost", f"it left no record after {seconds:.1f} s", "red")
            return
        cycle = Cycle(str(record["instant"]), None, record)
        self._tell_data(cycle)
        self._tell_verdict(cycle)
        self._line(cycle.outcome, cycle.reason, _COLORS.get(cycle.outcome))

    def _tell_data(self, cycle: Cycle) -> None:
        from ctc.run.text import check_answer, check_passed

        if cycle.rows:
            self._line("rows", ", ".join(f"{name} {count:,}" for name, count in cycle.rows.items()))
        if cycle.checks:
            passed = sum(check_passed(check) for check in cycle.checks)
            self._line("checks", f"{passed} of {len(cycle.checks)} pass")
        for check in cycle.checks:
            if not check_passed(check):
                self._line("", f"{check.get('name')}: {check_answer(check)}: {check.get('reason', '')}", "yellow")

    def _tell_verdict(self, cycle: Cycle) -> None:
        from ctc.run.text import estimate

        metric = self._focus.metric
        contender, champion = cycle.estimate(metric, "contender"), cycle.estimate(metric, "champion")
        if contender is not None:
            against = "no champion" if champion is None else f"champion {estimate(champion)}"
            self._line(metric, f"contender {estimate(contender)}, {against}")
        for gate in cycle.gates:
            color = {"pass": "green", "fail": "red"}.get(str(gate.get("answer")))
            self._line("gate", f"{gate.get('name')} {gate.get('answer')}: {gate.get('reason', '')}", color)

    def _line(self, label: str, text: str, color: str | None = None) -> None:
        self._say(f"  {click.style(f'{label:10}', fg=color, dim=color is None)} {text}")

    def _say(self, text: str) -> None:
        self._clear()
        self._out.write((text if self._color else click.unstyle(text)) + "\n")
        self._out.flush()

    def _clear(self) -> None:
        if self._transient:
            self._out.write("\r\x1b[K")
            self._transient = False


def _after(step: str) -> str:
    """The step that is under way, told from the one that ended last."""
    from ctc.steps.results import STEPS

    if not step:
        return STEPS[0]
    place = STEPS.index(step) + 1 if step in STEPS else len(STEPS)
    return STEPS[place] if place < len(STEPS) else "record"
