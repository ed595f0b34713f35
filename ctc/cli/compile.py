"""`ctc compile`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ctc.cli.common import DIFFERENT, OK, SPEC_ERRORS, load_or_exit, print_diagnostics
from ctc.diagnostics import CtcError, Severity


@click.command("compile")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--target", "targets", multiple=True, metavar="T", help="A target; repeat for more. Default: all in the spec."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write; each target gets a folder of its own in it."
)
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--check", is_flag=True, help="Write nothing; exit 4 if what --out holds is not what would be written.")
@click.option("--stdout", is_flag=True, help="Print the files instead of writing them.")
def compile_(
    spec: Path, targets: tuple[str, ...], out: Path | None, environment: str | None, check: bool, stdout: bool
) -> int:
    """Compile SPEC into the pipeline definitions of its targets.

    The same spec gives the same bytes on every machine, at any time: keep the output in the repository and let CI run
    --check on every change.

    \b
    Examples:
      ctc compile ctc.yaml --out pipelines
      ctc compile ctc.yaml --out pipelines --check
      ctc compile ctc.yaml --target sagemaker --env prod --stdout
    """
    if stdout and (check or out):
        raise click.UsageError("--stdout goes alone: it writes nothing, so --out and --check have no meaning beside it")
    if not stdout and out is None:
        raise click.UsageError("say where to write with --out DIR, or use --stdout")
    compiled = _compile(spec, targets, environment)
    if compiled is None:
        return SPEC_ERRORS
    if stdout:
        _print(compiled)
        return OK
    assert out is not None
    return _check(compiled, out) if check else _write(compiled, out)


def _compile(path: Path, chosen: tuple[str, ...], environment: str | None) -> dict[str, dict[str, bytes]] | None:
    """Files by target, or None when a spec or a target has errors, which are printed."""
    from ctc import targets as registry
    from ctc.compiler.build import build
    from ctc.compiler.write import files
    from ctc.language.load import load_spec, place

    compiled: dict[str, dict[str, bytes]] = {}
    failed = False
    for name in _targets(path, chosen, environment):
        loaded = load_spec(path, environment, name)
        diagnostics = loaded.diagnostics
        if loaded.spec is not None and not any(item.severity is Severity.ERROR for item in diagnostics):
            built = build(loaded.spec, registry.load(name))
            diagnostics = (*diagnostics, *(place(item, loaded) for item in built.diagnostics))
            if built.bundle is not None:
                compiled[name] = files(built.bundle, built.system)
        failed = failed or name not in compiled
        print_diagnostics(diagnostics)
    return None if failed else compiled


def _targets(path: Path, chosen: tuple[str, ...], environment: str | None) -> tuple[str, ...]:
    """The targets asked for; by default those that the spec names."""
    from ctc import targets as registry

    for name in chosen:
        if name not in registry.NAMES:
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}")
    if chosen:
        return tuple(dict.fromkeys(chosen))
    spec = load_or_exit(path, environment, None)
    if not spec.targets:
        raise CtcError(
            f"{path} names no target",
            "add a `targets:` section, for instance `targets: {kubeflow: {bucket: my-bucket}}`",
        )
    return tuple(sorted(spec.targets))


def _print(compiled: dict[str, dict[str, bytes]]) -> None:
    for target, contents in compiled.items():
        for path, content in sorted(contents.items()):
            sys.stdout.write(f"# {target}/{path}\n{content.decode()}")


def _check(compiled: dict[str, dict[str, bytes]], out: Path) -> int:
    from ctc.compiler.write import differences

    stale = [f"{target}: {line}" for target, wanted in compiled.items() for line in differences(wanted, out / target)]
    for line in stale:
        click.echo(line)
    if stale:
        click.echo(f"{out} is stale: run `ctc compile` without --check and commit the result", err=True)
        return DIFFERENT
    click.echo(f"{out} is current", err=True)
    return OK


def _write(compiled: dict[str, dict[str, bytes]], out: Path) -> int:
    from ctc.compiler.write import write

    for target, wanted in compiled.items():
        write(wanted, out / target)
        click.echo(f"{out / target}: {len(wanted)} files")
        _summary(wanted)
    return OK


def _summary(wanted: dict[str, bytes]) -> None:
    """What of the spec the target does not carry natively, in a line each."""
    import json

    for row in json.loads(wanted["fidelity.json"])["features"]:
        if row["support"] != "native":
            click.echo(f"  {row['support']}: {row['feature']}: {row['reason']}", err=True)
