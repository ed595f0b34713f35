"""`ctc diff`."""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import DIFFERENT, OK, SPEC_ERRORS, print_diagnostics

if TYPE_CHECKING:
    from ctc.diff.meaning import Level
    from ctc.diff.model import Report

FORMATS = ("human", "markdown", "json", "github")
LEVELS = ("high", "medium", "low")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="BASE[..HEAD] [PATHS]...")
@click.option("--at", metavar="INSTANT", help="The moment that next wakes are told from. Default: the commit's time.")
@click.option("--fail-on", type=click.Choice(LEVELS), help="Exit 1 if a change matters so much, or more.")
@click.option("--exit-code", is_flag=True, help="Exit 4 if anything changed.")
@click.option("-o", "--output", type=click.Choice(FORMATS), default="human", show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to a file instead.")
def diff(
    words: tuple[str, ...], at: str | None, fail_on: str | None, exit_code: bool, output: str, out: Path | None
) -> int:
    """Say what a change of specs means: what it weakens, which data it moves, what it reaches, what follows.

    BASE is a branch, tag or id; the working tree is compared with it, or HEAD of `BASE..HEAD`. `BASE...HEAD` compares
    with the commit at which the two went apart, as a pull request does. PATHS are specs and folders, by default the
    folder here. Two files or two folders are compared as they are; a folder that is named like a branch is `./NAME`.

    Comments, order, quoting, and `90d` for `2160h` are no change. Every other change has a kind, a level, and why it
    matters, told of the values that result in each environment. Works offline, checks nothing out, and asks no
    platform: `ctc plan` compares with what is deployed. Exits 1 if a spec has errors.

    \b
    Examples:
      ctc diff main
      ctc diff origin/main...HEAD specs/ --fail-on high
      ctc diff origin/main... -o markdown --out comment.md
      ctc diff old.yaml new.yaml
    """
    from ctc.diff.chosen import Wrong, choose
    from ctc.diff.compare import compare, texts

    moment = None if at is None else _moment(at)
    with tempfile.TemporaryDirectory(prefix="ctc-diff-") as scratch:
        try:
            chosen = choose(words, Path.cwd(), Path(scratch))
        except Wrong as error:
            raise click.UsageError(f"{error.message}: {error.help}") from None
        report = compare(chosen, moment)
        sources = texts(chosen) if any(spec.is_invalid for spec in report.specs) else {}
    failing = None if fail_on is None else _level(fail_on)
    _write(_formatted(report, output, failing, sources, to_file=out is not None), out)
    invalid = [item for spec in report.specs if spec.is_invalid for item in spec.findings]
    if output in ("human", "markdown"):
        print_diagnostics(invalid, sources=sources)
    if invalid or (failing is not None and report.level >= failing):
        return SPEC_ERRORS
    return DIFFERENT if exit_code and report.is_different else OK


def _level(word: str) -> Level:
    from ctc.diff.meaning import Level

    return Level[word.upper()]


def _moment(text: str) -> datetime:
    from datetime import UTC

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.UsageError(f"--at {text}: write an instant such as 2026-01-05T06:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _formatted(report: Report, output: str, failing: Level | None, sources: dict[str, str], *, to_file: bool) -> str:
    if output == "markdown":
        from ctc.diff.markdown import as_markdown

        return as_markdown(report)
    if output == "json":
        from ctc.diff.data import as_json

        return as_json(report)
    if output == "github":
        from ctc.diff.annotations import as_github
        from ctc.report import as_github as findings_as_github

        found = [item for spec in report.specs if spec.is_invalid for item in spec.findings]
        return findings_as_github(found, sources) + as_github(report, failing)
    from ctc.diff.text import as_text
    from ctc.report import colored

    return as_text(report, not to_file and colored(sys.stdout.isatty(), os.environ))


def _write(text: str, out: Path | None) -> None:
    # A file's name may be no text at all.
    text = text.encode("utf-8", errors="backslashreplace").decode("utf-8")
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
        click.echo(f"{out}: written", err=True)
