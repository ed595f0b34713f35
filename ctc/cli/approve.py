"""`ctc approve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctc.cli.common import OK
from ctc.cli.tell import Place, options, state_document, tell


@click.command("approve")
@click.argument("spec", type=click.Path(path_type=Path))
@click.argument("question", required=False)
@click.option("--as", "group", metavar="GROUP", default="", help="The group in whose name; needed if several may.")
@click.option("--why", metavar="WHY", help="Kept in the record.")
@options
def approve(spec: Path, question: str | None, group: str, why: str | None, **place: Any) -> int:
    """Say yes to the model version that waits for approval, or look at what waits.

    Without QUESTION it shows what waits and on what grounds. A yes is to that one QUESTION: it stands for the version,
    the champion that it was compared with, the spec and the evidence. If any of them has moved meanwhile there is
    another question, and the old one's yes is refused.

    \b
    Examples:
      ctc approve ctc.yaml
      ctc approve ctc.yaml 1f0e9d8c7b6a --why "numbers reviewed, INC-7 is unrelated"
      ctc approve ctc.yaml 1f0e9d8c7b6a --as risk-officers --why "reviewed"

    \b
    Exit codes: 0 done, or nothing waits; 3 refused, the reason is printed.
    """
    where = Place(spec, **place)
    if question is None:
        show(where)
        return OK
    if why is None:
        raise click.UsageError("give --why: a yes without a reason helps nobody later")
    return tell(where, "approve", why, about=question, group=group)


def show(place: Place) -> None:
    """Prints the question that waits, and where its grounds are."""
    state = state_document(place)
    waiting = state.get("approval")
    if not waiting:
        click.echo("nothing waits for approval", err=True)
        return
    rule, champion = waiting["rule"], (state.get("champion") or {}).get("version")
    groups = " and ".join(rule["all_of"]) or " or ".join(rule["any_of"]) or "anybody"
    click.echo(f"question  {waiting['id']}")
    click.echo(f"version   {waiting['version']}, against {'none' if champion is None else f'version {champion}'}")
    click.echo(f"asked     {waiting['asked']}, of {groups}; without an answer by {waiting['expires']} it is a no")
    for given in waiting["consents"]:
        click.echo(f"yes       {given['who']} for {given['group']}: {given['why']}")
    attempt = (state.get("candidate") or {}).get("attempt")
    click.echo(f"grounds   ctc runs show {attempt} {place.spec}")
