"""What the verbs share that look at, or change, what a target's service holds of a spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctc.cli.common import SPEC_ERRORS, print_diagnostics, use_color
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.compiler.bundle import Bundle
    from ctc.compiler.ir import System
    from ctc.deploy.apply import Wish
    from ctc.deploy.document import Commit
    from ctc.deploy.lease import Desk
    from ctc.deploy.plan import Plan, Step
    from ctc.deploy.resource import Hands

Command = TypeVar("Command", bound=Callable[..., Any])

_COLORS = {"?": "yellow", "+": "green", "~": "yellow", "±": "yellow", "-": "red", "!": "red"}


@dataclass(frozen=True)
class Opened:
    """A spec compiled for one target, and the hands that reach its service."""

    spec: Path
    system: System
    bundle: Bundle
    hands: Hands

    def desk(self) -> Desk:
        """The deployment document, in the name of this process."""
        from ctc.cli.run import user
        from ctc.deploy.lease import Desk, Whose, holder

        whose = Whose(self.system.name, self.system.environment, self.system.target, now)
        return Desk(self.hands.documents(), whose, holder(user()))

    def document(self, plan: Plan, desk: Desk, wish: Wish) -> dict[str, Any]:
        """The plan as it is printed and saved."""
        from ctc.deploy.saved import About, as_document

        system = self.system
        whose = (system.name, system.environment, system.target)
        return as_document(plan, About(*whose, *self.digests, desk.token, wish.select, wish.start, wish.roles))

    @property
    def digests(self) -> tuple[str, str]:
        return self.system.spec_digest, self.bundle.digest

    @property
    def title(self) -> str:
        return f"{self.system.name} ({self.system.environment}) on {self.system.target}"


def options(command: Command) -> Command:
    """The options that say which deployment."""
    for option in (
        click.option("--row", metavar="ROW", help="A row of the spec's matrix."),
        click.option("--env", "environment", metavar="E", help="An environment of the spec."),
        click.option("--target", metavar="T", help="Whose deployment. Default: the spec's only one."),
    ):
        command = option(command)
    return command


def now() -> datetime:
    return datetime.now(UTC)


def compiled(path: Path, target: str | None, environment: str | None, row: str | None) -> tuple[System, Bundle]:
    """The spec as its target's bundle. Its findings are printed; exit code 1 where there are errors."""
    from ctc import targets
    from ctc.compiler.build import build
    from ctc.language.load import load_spec, place

    name = _target(path, target, environment, row)
    loaded = load_spec(path, environment, name, row)
    if loaded.spec is None:
        print_diagnostics(loaded.diagnostics)
        raise click.exceptions.Exit(SPEC_ERRORS)
    if name not in loaded.spec.targets:
        raise CtcError(f"{path} has no section for the target {name}", f"add `{name}:` under `targets:`")
    built = build(loaded.spec, targets.load(name))
    print_diagnostics((*loaded.diagnostics, *(place(item, loaded) for item in built.diagnostics)))
    if built.bundle is None:
        raise click.exceptions.Exit(SPEC_ERRORS)
    return built.system, built.bundle


def opened(path: Path, target: str | None, environment: str | None, row: str | None) -> Opened:
    """The compiled spec and its target's hands. CtcError where this version cannot deploy it."""
    from ctc import targets

    system, bundle = compiled(path, target, environment, row)
    if system.gaps:
        raise CtcError(
            f"this version checks and compiles {path}, but its steps do not run: {', '.join(system.gaps)}",
            "leave them out, at least in the environment that is deployed",
        )
    return Opened(path, system, bundle, targets.load_hands(system.target)(system, bundle))


def _target(path: Path, target: str | None, environment: str | None, row: str | None) -> str:
    """The target asked for, or the only one that the spec names."""
    from ctc import targets
    from ctc.cli.run import choose_target, load_quietly

    if target is not None:
        return choose_target(path, environment, target, row)
    spec = load_quietly(path, environment, None, row)
    named = [name for name in targets.NAMES if name in spec.targets]
    if len(named) != 1:
        told = ", ".join(named) or "none"
        raise click.UsageError(f"say which deployment with --target; the spec's targets are: {told}")
    return named[0]


def show(plan: Plan, title: str, *, left: bool = False) -> None:
    """The plan for people, on stdout."""
    import sys

    from ctc.deploy.text import lines, summary

    color = use_color(sys.stdout.isatty())
    click.echo(title)
    for line in lines(plan, left=left):
        sign = line.strip()[:1]
        click.echo(click.style(line, fg=_COLORS.get(sign)) if color and line[2:3] in _COLORS else line)
    click.echo(summary(plan))


def require_newer(opened_: Opened, deployed: Commit | None, here: Commit | None, allow_older: bool) -> None:
    """CtcError if what would be deployed is older than what is."""
    from ctc.deploy.commit import is_older

    if deployed is None or here is None or allow_older or not is_older(here, deployed, opened_.spec):
        return
    raise CtcError(
        f"commit {here.id[:12]} ({here.at}) is older than the deployed one, {deployed.id[:12]} ({deployed.at})",
        "update this checkout, or deploy the older one on purpose with --allow-older",
    )


def confirm(question: str, instead: str) -> None:
    """Asks a person. UsageError, with what to do `instead`, where nobody can answer; exit code 130 for a no."""
    import sys

    if not sys.stdin.isatty():
        raise click.UsageError(f"nobody can be asked here: {instead}")
    click.confirm(question, abort=True, err=True)


def duration(text: str) -> timedelta:
    from ctc.language.units import duration as parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.UsageError(f"--wait {text}: {error}") from error


def say(number: int, total: int, step: Step) -> None:
    """One line for each change, as it is begun."""
    click.echo(f"[{number}/{total}] {step.verb} {step.resource.address}", err=True)
