"""`ctc cost`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.cost.book import Book
    from ctc.cost.caps import Verdict
    from ctc.cost.estimate import Estimate
    from ctc.cost.records import Record
    from ctc.language.source import Document
    from ctc.language.spec import Spec

FULL = 8
"""Up to so many estimates are shown whole; more of them with a line each."""

_EPOCH = "SOURCE_DATE_EPOCH"


@dataclass(frozen=True)
class Asked:
    """What every estimate is made of."""

    book: Book
    environment: str | None
    targets: tuple[str, ...]
    regions: dict[str, str]
    records: tuple[Record, ...] | None
    """None where none were asked for."""


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--env", "environment", metavar="E", help="An environment of the spec. Default: each of them.")
@click.option("--target", "targets", multiple=True, metavar="T", help="A target of the spec; repeat for more.")
@click.option("--region", "regions", multiple=True, metavar="T=REGION", help="As if a target were in that region.")
@click.option(
    "--prices", type=click.Path(path_type=Path), metavar="FILE", help="Prices of your own, before the book's."
)
@click.option(
    "--records", type=click.Path(path_type=Path), metavar="DIR|FILE", help="Records of past runs: how long, how often."
)
@click.option("--at", metavar="DATE", help=f"Warn of prices that are too old then. Default: {_EPOCH}, else no warning.")
@click.option("--max-age", default="180d", show_default=True, metavar="AGE", help="From when on a price is too old.")
@click.option("-o", "--output", type=click.Choice(["human", "markdown", "json"]), default="human", show_default=True)
def cost(
    specs: tuple[Path, ...],
    environment: str | None,
    targets: tuple[str, ...],
    regions: tuple[str, ...],
    prices: Path | None,
    records: Path | None,
    at: str | None,
    max_age: str,
    output: str,
) -> int:
    """Estimate what each SPEC costs: a training run, and a month of everything; per environment and target.

    Machines are those that the compiled documents name; prices are of a dated book that comes with this version.
    How long steps take is recorded (--records), else stated in the spec (cost.durations); the timeouts are the worst.
    Three columns: low, if every run is suppressed; expected, by the schedules; worst, if every wake starts a run.
    What is not known is "not estimated", never 0, and a total without it starts with `>`.

    \b
    Examples:
      ctc cost ctc.yaml
      ctc cost ctc.yaml --env prod --target sagemaker --records .ctc
      ctc cost ctc.yaml --region azureml=westeurope --prices prices.yaml
      ctc cost ctc.yaml --at 2026-11-01 --max-age 90d
      ctc cost specs -o markdown

    \b
    A file for --prices, complete in schemas/prices.v1.schema.json:
      version: 1
      as_of: 2026-11-01
      source: contract 4711
      prices:
        - {service: sagemaker, region: eu-north-1, item: ml.m5.large, price: 0.09, spot: 0.03}
        - {service: kubeflow, item: vcpu, price: 0.031}
    """
    from ctc.cli.validate import documents
    from ctc.cost.records import read_files

    day, age = _day(at), _age(max_age)
    _refuse_unknown(targets)
    book = _book(prices)
    if book is None:
        return SPEC_ERRORS
    read = None if records is None else read_files(records)
    asked = Asked(book, environment, targets, dict(map(_region, regions)), read)
    found, refused = [], False
    for document in documents(specs):
        estimates = _estimates(document, asked)
        refused = refused or estimates is None
        found += estimates or []
    _warn_of_age(found, day, age)
    _print(found, book, output)
    return SPEC_ERRORS if refused else OK


def _refuse_unknown(targets: Iterable[str]) -> None:
    from ctc.targets import NAMES

    for name in targets:
        if name not in NAMES:
            raise click.UsageError(f"unknown target `{name}`; there are: {', '.join(NAMES)}")


def _region(given: str) -> tuple[str, str]:
    target, equals, region = given.partition("=")
    if not equals or not region:
        raise click.UsageError(f"--region {given}: write TARGET=REGION, such as azureml=westeurope")
    _refuse_unknown((target,))
    return target, region


def _day(at: str | None) -> date | None:
    """The day that prices are judged by; none without --at and SOURCE_DATE_EPOCH: no clock is read."""
    if at is not None:
        try:
            return datetime.fromisoformat(at).date()
        except ValueError:
            raise click.UsageError(f"--at {at}: write a day such as 2026-11-01") from None
    epoch = os.environ.get(_EPOCH, "")
    return datetime.fromtimestamp(int(epoch), UTC).date() if epoch.isascii() and epoch.isdigit() else None


def _age(text: str) -> timedelta:
    from ctc.language.units import duration

    try:
        return duration(text)
    except ValueError as error:
        raise click.UsageError(f"--max-age {text}: {error}") from error


def _book(prices: Path | None) -> Book | None:
    """None where the file of prices has errors, which are told."""
    from ctc.cost.book import shipped
    from ctc.cost.own import read_prices

    if prices is None:
        return shipped()
    if not prices.is_file():
        raise CtcError(f"there is no file {prices}", "`ctc cost --help` shows one")
    given = read_prices(prices)
    print_diagnostics(given.diagnostics)
    return given.book


def _estimates(document: Document, asked: Asked) -> list[tuple[Estimate, tuple[Verdict, ...]]] | None:
    """Of each environment, row and target; None where the spec has errors, which are told."""
    from ctc.language.load import load_each
    from ctc.language.render import environments_of

    environments = (asked.environment,) if asked.environment is not None else environments_of(document) or (None,)
    found = []
    for environment in environments:
        for target in asked.targets or _targets(document, environment) or (None,):
            each, findings = load_each(document, environment, target)
            specs = [loaded.spec for loaded in each if loaded.spec is not None]
            if len(specs) < len(each):
                print_diagnostics([item for item in findings if item.severity == "error"])
                return None
            found += [_estimate(spec, target, asked) for spec in specs if target is not None]
    return found


def _targets(document: Document, environment: str | None) -> tuple[str, ...]:
    """Those that this version compiles for, of the file and of the environment's patch: as they are written."""
    from ctc.targets import NAMES

    tree = document.data if isinstance(document.data, dict) else {}
    patches = tree.get("environments")
    patch = patches.get(environment) if isinstance(patches, dict) else None
    named: dict[str, bool] = {}
    for part in (tree, patch):
        targets = part.get("targets") if isinstance(part, dict) else None
        if isinstance(targets, dict):
            named |= {name: value is not None for name, value in targets.items()}
    return tuple(name for name, there in named.items() if there and name in NAMES)


def _estimate(spec: Spec, target: str, asked: Asked) -> tuple[Estimate, tuple[Verdict, ...]]:
    from ctc.cost.caps import verdicts
    from ctc.cost.estimate import estimate
    from ctc.cost.records import recorded_of

    recorded = recorded_of(spec, target, asked.records or ())
    if asked.records is not None and not (recorded.attempts or recorded.seconds):
        click.echo(f"warning: no record is of {spec.model_name}, {spec.environment}, {target}", err=True)
    found = estimate(spec, target, asked.book, recorded, asked.regions.get(target))
    return found, verdicts(spec, found, asked.book)


def _warn_of_age(found: Sequence[tuple[Estimate, tuple[Verdict, ...]]], day: date | None, age: timedelta) -> None:
    from ctc.cost.book import stale

    if day is None:
        return
    old = stale({price for estimate, _ in found for price in estimate.prices}, day, age)
    if old:
        first = old[0]
        click.echo(
            f"warning: {len(old)} of the prices are more than {age.days} days old on {day}; the oldest is of "
            f"{first.as_of}: {first.item} ({first.service}, {first.region})\n"
            "  = help: give newer ones with --prices FILE, or say --max-age",
            err=True,
        )


def _print(found: Sequence[tuple[Estimate, tuple[Verdict, ...]]], book: Book, output: str) -> None:
    if output == "json":
        from ctc.cost.document import as_json

        click.echo(as_json(found, book), nl=False)
        return
    from ctc.cost.text import FORMATS, short

    if len(found) > FULL and output == "human":
        click.echo(short([estimate for estimate, _ in found]), nl=False)
        return
    click.echo("\n".join(FORMATS[output](estimate, caps) for estimate, caps in found), nl=False)
