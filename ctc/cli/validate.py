"""`ctc validate`."""

from __future__ import annotations

from pathlib import Path

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import Diagnostic, Severity


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option(
    "--target", "targets", multiple=True, metavar="T", help="Check for a target too; repeat for more, `all` for each."
)
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.option("--strict", is_flag=True, help="Warnings fail too.")
def validate(
    specs: tuple[Path, ...], environment: str | None, targets: tuple[str, ...], output: str, strict: bool
) -> int:
    """Check each SPEC: its YAML, its shape, its meaning, and with --target what that target can take.

    Works offline and needs no credentials. All findings come in one run, in the order of the file. Exits 1 if there is
    an error.

    \b
    Examples:
      ctc validate ctc.yaml
      ctc validate ctc.yaml --env prod --target kubeflow --target sagemaker
      ctc validate specs/*.yaml --strict -o json
    """
    _refuse_unknown(targets)
    found = {path: _findings(path, environment, targets) for path in specs}
    if output == "json":
        from ctc.report import as_json

        click.echo(as_json([item for items in found.values() for item in items]), nl=False)
    else:
        for path, items in found.items():
            _print(path, items)
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    return SPEC_ERRORS if any(item.severity in failing for items in found.values() for item in items) else OK


def _refuse_unknown(targets: tuple[str, ...]) -> None:
    from ctc import targets as registry

    for name in targets:
        if name not in (*registry.NAMES, "all"):
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(registry.NAMES)}")


def _findings(path: Path, environment: str | None, targets: tuple[str, ...]) -> tuple[Diagnostic, ...]:
    """Those of the spec and of each target; what targets have in common is said once."""
    from ctc.language.load import load_spec

    loaded = load_spec(path, environment, None)
    if loaded.spec is None or not targets:
        return loaded.diagnostics
    named = tuple(loaded.spec.targets) if "all" in targets else tuple(dict.fromkeys(targets))
    found = dict.fromkeys(loaded.diagnostics)
    for name in named:
        found.update(dict.fromkeys(_on_target(path, environment, name)))
    return tuple(found)


def _on_target(path: Path, environment: str | None, target: str) -> tuple[Diagnostic, ...]:
    from ctc import targets as registry
    from ctc.compiler.build import build
    from ctc.language.load import load_spec, place

    loaded = load_spec(path, environment, target)
    if loaded.spec is None:
        return loaded.diagnostics
    built = build(loaded.spec, registry.load(target))
    return (*loaded.diagnostics, *(place(item, loaded) for item in built.diagnostics))


def _print(path: Path, found: tuple[Diagnostic, ...]) -> None:
    if not found:
        click.echo(f"{path}: ok")
        return
    from ctc.report import summary

    print_diagnostics(found, err=False)
    click.echo(f"{path}: {summary(found)}")
