"""`ctc adopt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctc.cli.tell import Place, options, tell
from ctc.diagnostics import CtcError


@click.command("adopt")
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--model", metavar="FOLDER", required=True, help="The model: what the predict command gets as {model}.")
@click.option("--trained-until", metavar="INSTANT", required=True, help="It has learnt from no row at or after that.")
@click.option("--image", metavar="IMAGE", help="In which it predicts. Default: the spec's training.image.")
@click.option("--why", metavar="WHY", required=True, help="Kept in the record.")
@options
def adopt(spec: Path, model: str, trained_until: str, image: str | None, why: str, **place: Any) -> int:
    """Take the model that is in production today as the first champion.

    From then on every contender is compared with it, on rows after --trained-until. It predicts by the spec's
    `training.predict`, with the spec's code as it is now. Nothing is copied: FOLDER (or its URI) must stay. It works in
    mode `observe` too, where it is the first thing to do.

    \b
    Examples:
      ctc adopt ctc.yaml --model ./model-2024-05 --trained-until 2024-05-01 --why "in production since May"
      ctc adopt ctc.yaml --model s3://models/fraud/7 --trained-until 2024-05-01T00:00:00Z --why "the one in use"

    \b
    Exit codes: 0 done; 3 refused: there is a champion already, or no such folder.
    """
    from ctc.cli.run import choose_target, load_quietly
    from ctc.compiler.training import fill_hyperparameters
    from ctc.policy.windows import format_instant
    from ctc.run.local import parse_instant

    where = Place(spec, **place)
    try:
        until = format_instant(parse_instant(trained_until))
    except CtcError as error:
        raise click.UsageError(f"--trained-until: {error.message}; {error.help}") from error
    target = choose_target(spec, where.environment, where.target, where.row)
    training = load_quietly(spec, where.environment, target, where.row).training
    version = {
        "uri": _uri(model),
        "image": image or training.image,
        "predict": list(fill_hyperparameters(training.predict, training.hyperparameters)),
        "code": "",
        "trained_until": until,
    }
    return tell(where, "adopt", why, version=version)


def _uri(model: str) -> str:
    if "://" in model:
        return model
    folder = Path(model)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise CtcError(f"there is no model in the folder {folder.absolute()}", "name the folder that holds its files")
    return str(folder.absolute())
