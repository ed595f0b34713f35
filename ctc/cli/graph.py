"""`ctc graph`."""

from __future__ import annotations

from pathlib import Path

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import CtcError


@click.command("graph")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix. Default: its first.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["mermaid", "svg"]),
    help="Default: svg for an --out that ends so, else mermaid.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write to a file instead.")
def graph(spec: Path, environment: str | None, row: str | None, form: str | None, out: Path | None) -> int:
    """Draw SPEC on one page: triggers, both pipelines, gates, rollout, serving.

    Mermaid is text that GitHub and GitLab draw in a README or a comment; the SVG needs nothing but a browser, and is
    light or dark as its reader is. The picture is of the spec, the same for every target.

    \b
    Examples:
      ctc graph ctc.yaml
      ctc graph ctc.yaml --env prod --out docs/training.svg
    """
    from ctc.graph.system import graph_of
    from ctc.language.load import FIRST_ROW, load_spec
    from ctc.language.render import rows_of
    from ctc.language.source import read

    document = read(spec)
    loaded = load_spec(document, environment, None, row if row is not None or not rows_of(document) else FIRST_ROW)
    if loaded.spec is None:
        print_diagnostics(loaded.diagnostics)
        return SPEC_ERRORS
    drawn = graph_of(loaded.spec)
    if (form or ("svg" if out is not None and out.suffix == ".svg" else "mermaid")) == "svg":
        from ctc.graph.svg import svg

        text = svg(drawn)
    else:
        from ctc.graph.mermaid import mermaid

        text = mermaid(drawn)
    if out is None:
        click.echo(text, nl=False)
        return OK
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CtcError(f"{out}: {error.strerror}", "name a file in a folder that is there") from error
    return OK
