"""`ctc compile`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctc.cli.common import DIFFERENT, OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import CtcError, Diagnostic, Severity, Span
from ctc.value import Value, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ctc.language.load import Loaded
    from ctc.language.source import Document


@click.command("compile")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    help="A target; repeat for more, `all` for each. Default: all in the spec.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write; each target gets a folder of its own in it."
)
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix. Default: all, each in a folder of its own.")
@click.option(
    "--require",
    "required",
    multiple=True,
    metavar="native[:FEATURE]",
    help="Fail where a target only emulates what the spec uses: any feature, or those named (`native:trigger.*`).",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 4 if what --out holds is not what would be written.")
@click.option("--stdout", is_flag=True, help="Print the files instead of writing them.")
def compile_(
    spec: Path,
    targets: tuple[str, ...],
    out: Path | None,
    environment: str | None,
    row: str | None,
    required: tuple[str, ...],
    check: bool,
    stdout: bool,
) -> int:
    """Compile SPEC into the pipeline definitions of its targets.

    The same spec gives the same bytes on every machine, at any time: keep the output in the repository and let CI run
    --check on every change. What a target does not do by itself is told, and is in the bundle's FIDELITY.md; --require
    makes it an error.

    \b
    Examples:
      ctc compile ctc.yaml --out pipelines
      ctc compile ctc.yaml --out pipelines --check
      ctc compile ctc.yaml --target sagemaker --env prod --stdout
      ctc compile ctc.yaml --out pipelines --require native:record.always --require native:trigger.*
    """
    if stdout and (check or out):
        raise click.UsageError("--stdout goes alone: it writes nothing, so --out and --check have no meaning beside it")
    if not stdout and out is None:
        raise click.UsageError("say where to write with --out DIR, or use --stdout")
    made = _compile(spec, targets, environment, row, _native(required))
    if made is None:
        return SPEC_ERRORS
    if stdout:
        _print(made.files)
        return OK
    assert out is not None
    if out.exists() and not out.is_dir():
        raise CtcError(f"{out} is a file", "name a folder with --out")
    return _check(made, out) if check else _write(made, out)


@frozen
class _Made(Value):
    """Files by folder: the target's name, below the matrix row's where the spec has a matrix.

    `named` are the targets of the spec, None where it could not be read without a target; `rows` the matrix rows, empty
    where there are none, or only one was asked for.
    """

    files: dict[str, dict[str, bytes]]
    named: tuple[str, ...] | None
    rows: tuple[str, ...]


def _native(required: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns of features in `--require`; a usage error where one is spelt wrong, or stands for no feature."""
    if not required:
        return ()
    import difflib
    import fnmatch

    from ctc import targets as registry

    found = []
    for word in required:
        level, _, pattern = word.partition(":")
        if level != "native":
            raise click.UsageError(f"--require {word}: write `native`, or `native:FEATURE`")
        known = {feature for name in registry.NAMES for feature in registry.load(name).CAPABILITIES}
        if pattern and not fnmatch.filter(known, pattern):
            near = difflib.get_close_matches(pattern, known, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(sorted(known))}"
            raise click.UsageError(f"--require {word}: no target knows the feature `{pattern}`; {hint}")
        found.append(pattern or "*")
    return tuple(found)


def _compile(
    path: Path, chosen: tuple[str, ...], environment: str | None, row: str | None, native: tuple[str, ...]
) -> _Made | None:
    """None when a spec or a target has errors. Findings are printed, those that targets have in common once."""
    from ctc.language.load import FIRST_ROW, load_spec
    from ctc.language.render import rows_of
    from ctc.language.source import read

    _refuse_unknown(chosen)
    document = read(path)
    rows = rows_of(document)
    base = load_spec(document, environment, None, row if row is not None or not rows else FIRST_ROW)
    named = None if base.spec is None else tuple(sorted(base.spec.targets))
    if named is None and (not chosen or "all" in chosen):
        print_diagnostics(base.diagnostics)
        return None
    wanted = tuple(dict.fromkeys(chosen)) if chosen and "all" not in chosen else _emitted(named or ())
    if not wanted:
        print_diagnostics((*base.diagnostics, _no_target(path, named or ())))
        return None
    compiled: dict[str, dict[str, bytes]] = {}
    found: dict[Diagnostic, None] = {}
    deployments = [(name, key) for key in ((row,) if row is not None or not rows else rows) for name in wanted]
    for name, key in deployments:
        made, findings = _deployment(document, environment, name, key, native, base)
        found.update(dict.fromkeys(findings))
        if made is not None:
            compiled[name if key is None else f"{key}/{name}"] = made
    print_diagnostics(tuple(found))
    return _Made(compiled, named, () if row is not None else rows) if len(compiled) == len(deployments) else None


def _deployment(
    document: Document,
    environment: str | None,
    target: str,
    row: str | None,
    native: tuple[str, ...],
    base: Loaded,
) -> tuple[dict[str, bytes] | None, tuple[Diagnostic, ...]]:
    """The files of one target and row, None where there are errors, and what is found on the way."""
    from ctc import targets as registry
    from ctc.compiler.build import build
    from ctc.compiler.write import files
    from ctc.language.load import load_spec

    loaded = load_spec(document, environment, target, row, like=base)
    if loaded.spec is None:
        return None, loaded.diagnostics
    built = build(loaded.spec, registry.load(target), native)
    made = None if built.bundle is None else files(built.bundle, built.system)
    own = _finished(built.diagnostics, loaded, document) if built.diagnostics else ()
    return made, (*loaded.diagnostics, *own)


def _finished(found: Iterable[Diagnostic], loaded: Loaded, document: Document) -> tuple[Diagnostic, ...]:
    """With their places and fixes, less those that a comment silences."""
    from ctc.language.fixes import attach
    from ctc.language.ignore import silenced
    from ctc.language.load import place

    return silenced(attach((place(item, loaded) for item in found), document), document)


def _emitted(named: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a spec's targets that this version emits; of the others the finding CT390 tells."""
    from ctc import targets as registry

    return tuple(name for name in named if name in registry.NAMES)


def _refuse_unknown(chosen: tuple[str, ...]) -> None:
    from ctc import targets as registry

    for name in chosen:
        if name not in (*registry.NAMES, "all"):
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}, and all")


def _no_target(path: Path, named: tuple[str, ...]) -> Diagnostic:
    advice = "add a `targets:` section, for instance `targets: {kubeflow: {bucket: my-bucket}}`"
    message = "the spec names no target that this version emits" if named else "the spec names no target"
    return Diagnostic("CT302", Severity.ERROR, message, "targets", Span(str(path), 1, 1, 2), help=advice)


def _print(compiled: dict[str, dict[str, bytes]]) -> None:
    for target, contents in compiled.items():
        for path, content in sorted(contents.items()):
            sys.stdout.write(f"# {target}/{path}\n{content.decode()}")


def _check(made: _Made, out: Path) -> int:
    from ctc.compiler.write import differences

    stale = [f"{target}: {line}" for target, wanted in made.files.items() for line in differences(wanted, out / target)]
    left = _left_over(made, out)
    for line in (*stale, *(f"{folder.relative_to(out)}: the spec names no such target" for folder in left)):
        click.echo(line)
    if stale:
        click.echo(f"{out} is stale: run `ctc compile` without --check and commit the result", err=True)
    _tell_left_over(left)
    if stale or left:
        return DIFFERENT
    click.echo(f"{out} is current", err=True)
    return OK


def _write(made: _Made, out: Path) -> int:
    from ctc.compiler.write import write_all

    write_all({out / target: wanted for target, wanted in made.files.items()})
    for target, wanted in made.files.items():
        click.echo(f"{out / target}: {len(wanted)} files")
        _summary(wanted)
    _tell_left_over(_left_over(made, out))
    return OK


def _left_over(made: _Made, out: Path) -> list[Path]:
    """The folders that ctc wrote for targets, or matrix rows, that the spec no longer names."""
    if made.named is None or not out.is_dir():
        return []
    rows = made.rows or {folder.partition("/")[0] for folder in made.files if "/" in folder}
    current = {*made.files, *made.named} | {f"{row}/{name}" for row in rows for name in made.named}
    folders = sorted(path.parent for pattern in ("*/manifest.json", "*/*/manifest.json") for path in out.glob(pattern))
    left = [folder for folder in folders if folder.relative_to(out).as_posix() not in current]
    # Of other rows nothing is known where one was asked for.
    left = [folder for folder in left if made.rows or not rows or folder.parent == out]
    return [folder for folder in left if _manifest(folder).get("target") == folder.name]


def _tell_left_over(folders: list[Path]) -> None:
    for folder in folders:
        click.echo(
            f"{folder} is left over from a target that the spec no longer names; remove it with:\n"
            f"  rm -r {shlex.quote(str(folder))}",
            err=True,
        )


def _manifest(folder: Path) -> dict[str, Any]:
    """What ctc wrote there, in its own words; empty where it wrote nothing."""
    from ctc.compiler.write import MANIFEST

    try:
        document = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) and "spec_digest" in document else {}


def _summary(wanted: dict[str, bytes]) -> None:
    """What of the spec the target does not carry natively, in a line each."""
    for row in json.loads(wanted["fidelity.json"])["features"]:
        if row["support"] != "native":
            click.echo(f"  {row['support']}: {row['feature']}: {row['reason']}", err=True)
