"""`ctc reject`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctc.cli.tell import Place, options, tell


@click.command("reject")
@click.argument("spec", type=click.Path(path_type=Path))
@click.argument("question")
@click.option("--why", metavar="WHY", required=True, help="Kept in the record.")
@options
def reject(spec: Path, question: str, why: str, **place: Any) -> int:
    """Say no to the model version that waits for approval: it will not be the champion.

    QUESTION is what `ctc approve SPEC` shows. In the middle of a rollout all traffic goes back to the champion.

    \b
    Example:
      ctc reject ctc.yaml 1f0e9d8c7b6a --why "recall of small merchants is down"

    \b
    Exit codes: 0 done; 3 refused, the reason is printed.
    """
    return tell(Place(spec, **place), "reject", why, about=question)
