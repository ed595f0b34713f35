"""`ctc validate`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.caps import caps
from ctc.cli.common import OK, SPEC_ERRORS, read_sources
from ctc.cli.judged import Judged
from ctc.diagnostics import Diagnostic, Severity

if TYPE_CHECKING:
    from ctc.language.source import Document

STDIN = "<stdin>"
FORMATS = ("human", "json", "sarif", "github")


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option(
    "--target", "targets", multiple=True, metavar="T", help="Check for a target too; repeat for more, `all` for each."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    help="Default: human, and in a GitHub job its annotations too.",
)
@click.option(
    "--prices", type=click.Path(path_type=Path), metavar="FILE", help="For the caps of `cost`: as ctc cost takes them."
)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--fix", is_flag=True, help="Mend in the file what needs nobody's judgement, then check again.")
def validate(
    specs: tuple[Path, ...],
    environment: str | None,
    targets: tuple[str, ...],
    output: str | None,
    prices: Path | None,
    strict: bool,
    fix: bool,
) -> int:
    """Check each SPEC: its YAML, its shape, its meaning, and with --target what that target can take.

    Works offline and needs no credentials. All findings come in one run, in the order of the file. Exits 1 if there is
    an error. A SPEC is a file, `-` for standard input, or a folder: then every YAML file below it that has an
    `apiVersion: ctc/...`. A warning that does no harm is silenced on its line with `# ctc: ignore[CODE] reason`.

    \b
    Examples:
      ctc validate ctc.yaml
      ctc validate ctc.yaml --env prod --target kubeflow --target sagemaker
      ctc validate specs --strict -o json
      ctc validate ctc.yaml --fix
    """
    _refuse_unknown(targets)
    if fix and Path("-") in specs:
        raise click.UsageError("--fix changes files: it cannot change standard input")

    priced = caps(prices)

    def judge(document: Document) -> Judged:
        return priced(_judged(document, environment, targets), environment, targets)

    judged = []
    for document in documents(specs):
        current = _fixed(document, lambda changed: judge(changed).findings) if fix else document
        judged.append(judge(current))
    _print(judged, output)
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    return SPEC_ERRORS if any(found.severity in failing for item in judged for found in item.findings) else OK


def _refuse_unknown(targets: tuple[str, ...]) -> None:
    from ctc import targets as registry

    for name in targets:
        if name not in (*registry.NAMES, "all"):
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}")


def documents(specs: Sequence[Path]) -> Iterator[Document]:
    """Each spec once, in the order given: files, standard input, and what is below folders."""
    from ctc.language.source import MAX_BYTES, decode, read

    seen: set[Path] = set()
    for given in specs:
        if given == Path("-"):
            yield decode(sys.stdin.buffer.read(MAX_BYTES + 1), STDIN)
            continue
        for path in _below(given) if given.is_dir() else [given]:
            if path not in seen:
                seen.add(path)
                yield read(path)


def _below(folder: Path) -> Iterator[Path]:
    """The specs in a folder and the folders below it, but for hidden ones; the folder itself if there are none."""
    found = False
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if name.endswith((".yaml", ".yml")) and _is_spec(path):
                found = True
                yield path
    if not found:
        raise click.UsageError(f"no spec below {folder}: no YAML file there has an `apiVersion: ctc/...`")


def _is_spec(path: Path) -> bool:
    import re

    try:
        with path.open("rb") as stream:
            start = stream.read(65536)
    except OSError:
        # Reading it again says what is the matter with it.
        return True
    version = re.compile(rb"""^(?:\xef\xbb\xbf)?["']?apiVersion["']?\s*:\s*["']?ctc/""", re.MULTILINE)
    return version.search(start) is not None


def _judged(document: Document, environment: str | None, targets: tuple[str, ...]) -> Judged:
    """The findings of the spec and of each target; what environments or targets have in common is said once."""
    from ctc.language.load import load_each

    each, findings = load_each(document, environment)
    specs = tuple(loaded.spec for loaded in each if loaded.spec is not None)
    if len(specs) < len(each) or not targets:
        return Judged(document, findings, specs)
    named = (name for spec in specs for name in spec.targets) if "all" in targets else iter(targets)
    found = dict.fromkeys(findings)
    for name in dict.fromkeys(named):
        found.update(dict.fromkeys(_on_target(document, environment, name)))
    return Judged(document, tuple(found), specs)


def _on_target(document: Document, environment: str | None, target: str) -> Iterator[Diagnostic]:
    from ctc import targets as registry
    from ctc.compiler.build import build
    from ctc.language.fixes import attach
    from ctc.language.ignore import silenced
    from ctc.language.load import load_each, place

    each, findings = load_each(document, environment, target)
    yield from findings
    for loaded in each:
        if loaded.spec is not None:
            found = build(loaded.spec, registry.load(target)).diagnostics
            yield from silenced(attach((place(item, loaded) for item in found), document), document)


def _fixed(document: Document, judge: Callable[[Document], tuple[Diagnostic, ...]]) -> Document:
    """The document after its fixes, which are in the file and on stderr."""
    from ctc.cli.rewrite import rewrite
    from ctc.language.mend import mend

    mended = mend(document, judge)
    if mended.done:
        rewrite(Path(document.file), document.text, mended.document.text)
    for item in mended.done:
        click.echo(_said(item), err=True)
    for item in mended.refused:
        click.echo(f"{_said(item)}: left, because it would change more than that", err=True)
    return mended.document


def _said(item: Diagnostic) -> str:
    from ctc.report import masked

    title = item.fix.title if item.fix is not None else ""
    line = f":{item.span.line}" if item.span is not None else ""
    return masked(f"fix {item.where}{line} [{item.code}]: {title}")


def _print(judged: Sequence[Judged], output: str | None) -> None:
    from ctc import report

    found = [finding for item in judged for finding in item.findings]
    here = str(Path.cwd())
    annotate = output == "github" or (output is None and os.environ.get("GITHUB_ACTIONS") == "true")
    if output in (None, "human"):
        _print_frames(judged)
    sources = {**read_sources(found), **{item.document.file: item.document.text for item in judged if _piped(item)}}
    if output == "json":
        click.echo(report.as_json(found, sources, files=len(judged)), nl=False)
    elif output == "sarif":
        click.echo(report.as_sarif(found, sources, here), nl=False)
    elif annotate:
        click.echo(report.as_github(found, sources, os.environ.get("GITHUB_WORKSPACE") or here), nl=False)


def _print_frames(judged: Sequence[Judged]) -> None:
    from ctc.report import LIMIT, colored, most_important, render, summary

    color = colored(sys.stdout.isatty(), os.environ)
    explained: set[str] = set()
    for item in judged:
        file = item.document.file
        if not item.findings:
            click.echo(f"{file}: ok")
            _print_estimates(judged)
            continue
        shown = most_important(item.findings, LIMIT)
        sources = {file: item.document.text} if _piped(item) else read_sources(shown)
        click.echo(render(shown, sources, color, explained), nl=False, color=color)
        more = len(item.findings) - len(shown)
        if more:
            plural = "s" if more > 1 else ""
            click.echo(f"+ {more} more finding{plural} (ctc validate -o json shows all)\n")
        click.echo(f"{file}: {summary(item.findings)}")
        _print_estimates(judged)


def _print_estimates(judged: Sequence[Judged]) -> None:
    """What the gates of a spec can tell, where it is the only one: in a list of specs it would hide the findings."""
    if len(judged) > 1:
        return
    from ctc.language.power import estimates, promotions_of_equals, said

    told: dict[str, None] = {}
    for spec in judged[0].specs:
        found = estimates(spec)
        told.update(dict.fromkeys(f"  {said(item)}" for item in found))
        equals = promotions_of_equals(spec, found)
        if equals is not None and len(found) > 1:
            told[f"  all gates: at most {equals:.3g} equally good models promoted a year"] = None
    for line in told:
        click.echo(line)


def _piped(item: Judged) -> bool:
    return item.document.file == STDIN
