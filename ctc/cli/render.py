"""`ctc render`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics

if TYPE_CHECKING:
    from ctc.language.origins import Origin


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--target", metavar="T", help="Fill in the variables of a target too.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix.")
@click.option("--explain", is_flag=True, help="Say beside each value where it comes from.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
def render(spec: Path, environment: str | None, target: str | None, row: str | None, explain: bool, output: str) -> int:
    """Print SPEC as it holds: patches of the environment applied, variables and the matrix row filled in.

    What is printed is a spec itself; only the environment's suffix of names is not in it. Works offline.

    \b
    Examples:
      ctc render ctc.yaml --env prod
      ctc render ctc.yaml --env prod --target vertex --explain
      diff <(ctc render ctc.yaml --env dev) <(ctc render ctc.yaml --env prod)
    """
    from ctc.language.load import load_spec
    from ctc.language.origins import origins, resolved_tree
    from ctc.language.render import render as render_spec
    from ctc.language.source import read

    document = read(spec)
    loaded = load_spec(document, environment, target, row)
    if loaded.spec is None:
        print_diagnostics(loaded.diagnostics)
        return SPEC_ERRORS
    rendered = render_spec(document, environment, target, row)
    tree = resolved_tree(rendered)
    if output == "json":
        found = {".".join(map(str, path)): origin for path, origin in origins(rendered).items()} if explain else {}
        click.echo(json.dumps(_as_json(tree, found, explain), indent=2, ensure_ascii=False))
    else:
        click.echo(_as_yaml(tree, origins(rendered) if explain else {}), nl=False)
    return OK


def _as_json(tree: dict[str, Any], found: dict[str, Origin], explain: bool) -> dict[str, Any]:
    if not explain:
        return tree
    told = {
        path: {"line": origin.line, "patch": origin.patch, "references": dict(origin.references)}
        for path, origin in found.items()
    }
    return {"spec": tree, "origins": told}


def _as_yaml(tree: dict[str, Any], found: dict[tuple[str | int, ...], Origin]) -> str:
    from ctc.language.emit import emit

    return emit({key: _laid_out(value, (key,), found) for key, value in tree.items()})


def _laid_out(value: Any, path: tuple[str | int, ...], found: dict[tuple[str | int, ...], Origin]) -> Any:
    """Small maps on one line, unless each of their values is to be explained."""
    from ctc.language.emit import Line, Noted, fits

    if isinstance(value, dict) and value:
        if not found and len(path) > 1 and fits(path[-1], value, len(path)):
            return Line(value)
        return {key: _laid_out(item, (*path, key), found) for key, item in value.items()}
    line = Line(value)
    return Noted(line, str(found[path])) if path in found else line
