"""`ctc rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctc.cli.tell import Place, options, tell


@click.command("rollback")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--why", metavar="WHY", required=True, help="Kept in the record.")
@options
def rollback(spec: Path, why: str, **place: Any) -> int:
    """Make the previous champion the champion again.

    The bad version is quarantined: one of the same data and training is refused. Automatic triggers are held until
    `ctc resume`, or until as many newly labelled rows as `trigger_policy.resume` says, so that the next retraining does
    not bring the same model back. During a rollout the candidate is taken back instead.

    \b
    Example:
      ctc rollback ctc.yaml --why "complaints about version 7, INC-9"

    \b
    Exit codes: 0 done; 3 refused: there is no previous champion.
    """
    return tell(Place(spec, **place), "rollback", why)
