"""Caps of `cost`: surely above one is an error, above it as expected a warning, not known neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from cost_specs import DURATIONS, STORED, book, spec_of

from ctc.cli import _group
from ctc.cli.common import guarded
from ctc.compiler.lower import digest, lower
from ctc.cost.book import Book
from ctc.cost.caps import findings, verdicts
from ctc.cost.estimate import estimate
from ctc.diagnostics import Severity
from ctc.language.spec import Spec

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"


def of(spec: Spec, priced: Book | None = None) -> list[tuple[str, str]]:
    found = estimate(spec, "sagemaker", priced or book())
    return [(verdict.cap, verdict.answer) for verdict in verdicts(spec, found, priced or book())]


def capped(caps: str, name: str = "everywhere.yaml", *more: str) -> Spec:
    durations = (DURATIONS, STORED) if name == "everywhere.yaml" else ()
    return spec_of(*durations, f"cost: {caps}", *more, name=name, target="sagemaker")


@pytest.mark.parametrize(
    ("cap", "answer"),
    # A run is expected at 0.101 USD, 0.618 at worst, 0.0159 at least.
    [(0.01, "surely_above"), (0.02, "expected_above"), (0.11, "worst_above"), (0.7, "within")],
)
def test_a_run_and_its_cap(cap: float, answer: str) -> None:
    assert of(capped(f"{{max_per_run: {cap}}}")) == [("max_per_run", answer)]


def test_servers_are_surely_above() -> None:
    spec = capped("{max_per_run: 9, max_per_month: 300}", "canary.yaml")
    [found] = findings(spec, estimate(spec, "sagemaker", book()), book())

    # Two instances at 0.25 for 730 hours.
    assert (found.code, found.severity, found.path) == ("CT391", Severity.ERROR, "cost.max_per_month")
    assert "365.00 USD without what is not known" in found.message
    assert "the server `api` (ml.c5.xlarge)" in found.message


def test_a_month_is_expected_above() -> None:
    spec = capped("{max_per_run: 1, max_per_month: 4.3}")
    [found] = findings(spec, estimate(spec, "sagemaker", book()), book())

    assert (found.code, found.severity, found.path) == ("CT392", Severity.WARNING, "cost.max_per_month")


def test_what_is_not_known_is_not_above() -> None:
    spec = spec_of("cost: {max_per_run: 0.01}", target="sagemaker")

    assert of(spec) == [("max_per_run", "not_known")]
    assert findings(spec, estimate(spec, "sagemaker", book()), book()) == ()


def test_another_currency_needs_its_worth() -> None:
    spec = capped("{currency: EUR, max_per_run: 0.095}")

    assert of(spec) == [("max_per_run", "not_compared")]
    known = Book(book().prices, exchange={"EUR": 0.9})
    # 0.101 USD are 0.091 EUR.
    assert of(spec, known) == [("max_per_run", "worst_above")]


def test_the_controller_is_told_the_same_on_every_target() -> None:
    """What holds runs back is a section of the wake's document, and knows no price."""
    spec = spec_of("cost: {max_per_run: 45, max_per_month: 400}", DURATIONS)
    budgets = []
    for target in spec.targets:
        [wake] = lower(spec, target).wake.steps()
        assert wake.document is not None
        budgets.append(wake.document["policy"]["triggers"]["budget"])

    assert len(budgets) == 4
    assert budgets == [{"per_run": 45.0, "per_month": 400.0, "currency": "USD"}] * 4


def test_validate_finds_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SPECS / "canary.yaml").read_text().replace("eu-north-1", "eu-west-1")
    file = tmp_path / "ctc.yaml"
    file.write_text(f"{text}\ncost: {{max_per_run: 50, max_per_month: 100}}\n")

    assert guarded(_group(), ["validate", str(file)]) == 1
    assert "error[CT391]: a month on sagemaker costs 336.38 USD" in capsys.readouterr().out
    # For a target without prices nothing is known; with one's own prices the cap is kept.
    assert guarded(_group(), ["validate", str(file), "--target", "kubeflow"]) == 0
    prices = tmp_path / "prices.yaml"
    prices.write_text(
        "version: 1\nas_of: 2026-11-01\nsource: a contract\n"
        "prices: [{service: sagemaker, region: eu-west-1, item: ml.c5.xlarge, price: 0.05}]\n"
    )
    assert guarded(_group(), ["validate", str(file), "--prices", str(prices)]) == 0


def test_a_warning_can_be_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SPECS / "minimal.yaml").read_text().replace("eu-north-1", "eu-west-1")
    file = tmp_path / "ctc.yaml"
    cost = "cost: {max_per_run: 0.05, durations: {train: 1h, ours: 5m}}"
    file.write_text(f"{text}\n{cost}\n")
    guarded(_group(), ["validate", str(file), "--target", "sagemaker"])
    assert "CT392" in capsys.readouterr().out

    file.write_text(f"{text}\n{cost}  # ctc: ignore[CT392] paid by another team\n")
    guarded(_group(), ["validate", str(file), "--target", "sagemaker"])
    out = capsys.readouterr().out
    assert "CT392" not in out
    assert "CT02" not in out


def test_what_only_estimates_read_changes_no_artifact() -> None:
    """A duration that somebody states withdraws no candidate, and deploys nothing."""
    caps = "cost: {max_per_run: 45, max_per_month: 400}"
    for before, after in (((caps,), (caps, DURATIONS, STORED)), ((), (DURATIONS, STORED))):
        for target in spec_of().targets:
            assert lower(spec_of(*before), target) == lower(spec_of(*after), target)
    assert digest(spec_of(caps)) != digest(spec_of("cost: {max_per_run: 46, max_per_month: 400}")) != digest(spec_of())
