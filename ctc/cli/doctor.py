"""`ctc doctor`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import FAILED, OK, use_color

if TYPE_CHECKING:
    from ctc.doctor import Check

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red", "skip": None}


@click.command()
@click.argument("spec", required=False, type=click.Path(path_type=Path))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--target", "targets", multiple=True, metavar="T", help="A target; repeat for more. Default: the spec's.")
@click.option("--python", metavar="EXE", help="Interpreter of the training code. Default: .venv beside the spec, PATH.")
@click.option("--state", type=click.Path(path_type=Path), metavar="DIR", help="Replaces .ctc beside the spec.")
@click.option("--offline", is_flag=True, help="Ask no service.")
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def doctor(
    spec: Path | None,
    environment: str | None,
    targets: tuple[str, ...],
    python: str | None,
    state: Path | None,
    offline: bool,
    output: str,
) -> int:
    """Check this installation and, with SPEC, that what it needs is here.

    Says what to do about each thing that is not as it should be. With SPEC and --target the target's service is asked,
    too, if there are credentials: whether the bucket, the roles, the images and the rights are there that an
    administrator gives (ctc bootstrap). Nothing is changed. What could not be told is `skip`. Exits 3 if something
    fails.

    \b
    Examples:
      ctc doctor
      ctc doctor ctc.yaml --python .venv/bin/python
      ctc doctor ctc.yaml --env prod --target sagemaker
      ctc doctor ctc.yaml --env prod --target sagemaker --offline -o json
    """
    from ctc import targets as registry
    from ctc.doctor import Question, examine

    for name in targets:
        if name not in registry.NAMES:
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}")
    checks = examine(Question(spec, environment, tuple(dict.fromkeys(targets)), python, state, offline))
    failed = any(check.status == "fail" for check in checks)
    if output == "json":
        from ctc.compiler.bundle import as_json

        document = {"version": 1, "ok": not failed, "checks": [asdict(check) for check in checks]}
        click.echo(as_json(document).decode(), nl=False)
    else:
        _print(checks)
    return FAILED if failed else OK


def _print(checks: Sequence[Check]) -> None:
    width = max(len(check.what) for check in checks)
    color = use_color(sys.stdout.isatty())
    for check in checks:
        status = click.style(f"{check.status:4}", fg=_COLORS[check.status]) if color else f"{check.status:4}"
        advice = f" — {check.advice}" if check.advice else ""
        _say(f"{status}  {check.what:{width}}  {check.found}{advice}")


def _say(line: str) -> None:
    """A line, also where the terminal cannot show every character of it."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    click.echo(line.encode(encoding, "replace").decode(encoding))
