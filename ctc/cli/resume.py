"""`ctc resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctc.cli.tell import Place, options, tell


@click.command("resume")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--why", metavar="WHY", required=True, help="Kept in the record.")
@options
def resume(spec: Path, why: str, **place: Any) -> int:
    """End the hold that a rollback has put on automatic triggers.

    What was quarantined stays so.

    \b
    Example:
      ctc resume ctc.yaml --why "the broken feed is mended"

    \b
    Exit codes: 0 done; 3 refused: nothing is held.
    """
    return tell(Place(spec, **place), "resume", why)
