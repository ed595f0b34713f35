"""Estimates computed again by hand, with the arithmetic spelt out, and what is done where something is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cost_specs import DURATIONS, STORED, book, price, spec_of

from ctc.cost.amounts import Amount
from ctc.cost.book import Book
from ctc.cost.durations import Recorded
from ctc.cost.estimate import Estimate, estimate

MONDAYS = 52 / 12
"""Of 2025, a month: `30 2 * * 1`."""
WAKES = 365 * 24 / 12 + MONDAYS
"""Each hour, and at the cron."""
DISK = 30
"""GiB that a step has by default."""


def known(amount: Amount) -> float:
    assert amount.lacks == ()
    return amount.known


def figures(found: Estimate) -> tuple[float, float, float]:
    low, expected, worst = map(known, found.month.columns)
    return low, expected, worst


def test_sagemaker_by_hand() -> None:
    found = estimate(spec_of(DURATIONS, STORED, target="sagemaker"), "sagemaker", book())

    # ml.t3.medium (2 vCPU, 4 GiB) for every step but train, with 30 GB at 0.073 / 730 an hour each.
    step = 0.05 + DISK * 0.073 / 730
    # ml.m5.large is the smallest type that trains.
    train = 0.10 + DISK * 0.146 / 730
    # snapshot, validate, evaluate, decide, register, record; two predictions; the training.
    run = 6 * 0.1 * step + 2 * 0.15 * step + 0.5 * train
    wake = 0.05 * step
    stored = 100 * 0.02
    assert known(found.run.expected) == pytest.approx(run)
    # A run that its first check ends: snapshot, validate, record.
    assert known(found.run.low) == pytest.approx(3 * 0.1 * step)
    # At worst each step takes an hour and what the service lets it beside that; nothing is tried twice.
    hours = 1 + 10 / 60
    assert known(found.run.worst) == pytest.approx(hours * (8 * step + train))

    low, expected, worst = figures(found)
    assert low == pytest.approx(WAKES * wake + stored)
    assert expected == pytest.approx(WAKES * wake + MONDAYS * run + stored)
    assert worst == pytest.approx(WAKES * hours * step + MONDAYS * hours * (8 * step + train) + stored)


def test_vertex_by_hand() -> None:
    found = estimate(spec_of(DURATIONS, STORED, target="vertex"), "vertex", book())

    # The smallest machine, with a boot disk of 100 GB; each run of a pipeline 0.03 beside that.
    machine = 0.16 + 100 * 0.0002
    run = (6 * 0.1 + 2 * 0.15 + 0.5) * machine + 0.03
    low, expected, _ = figures(found)
    assert known(found.run.expected) == pytest.approx(run)
    assert low == pytest.approx(WAKES * (0.05 * machine + 0.03) + 2.0)
    assert expected == pytest.approx(low + MONDAYS * run)


def test_azureml_by_hand() -> None:
    stored = price("azureml", "westeurope", "storage", 0.03, unit="GB-month")
    spec = spec_of(DURATIONS, STORED, target="azureml")
    found = estimate(spec, "azureml", book(stored), region="westeurope")

    # Ours on the cluster, whose price only its owner knows; 30 GiB of disk ask for the first size with 32.
    run = 6 * 0.1 * 0.1 + (2 * 0.15 + 0.5) * 0.2
    assert {line.hired for line in found.lines if line.kind == "train"} == {"cluster:cpu-cluster", "Standard_E2s_v3"}
    assert known(found.run.expected) == pytest.approx(run)
    assert figures(found)[1] == pytest.approx(WAKES * 0.05 * 0.1 + MONDAYS * run + 100 * 0.03)


def test_kubeflow_by_hand() -> None:
    stored = price("kubeflow", "*", "storage", 0.01, unit="GB-month")
    found = estimate(spec_of(DURATIONS, STORED, target="kubeflow"), "kubeflow", book(stored))

    # One vCPU and two GiB a pod. No wakes at the cron's instants: those of each hour see that it has fired.
    pod = 0.03 + 2 * 0.004
    expected = 730 * 0.05 * pod + MONDAYS * (6 * 0.1 + 2 * 0.15 + 0.5) * pod + 100 * 0.01
    assert figures(found)[1] == pytest.approx(expected)


def test_spot_training_with_accelerators_on_nodes_by_hand() -> None:
    asked = """
training:
  resources: {gpu: {type: t4, count: 1}, cpu: 4, memory: 16Gi}
  distributed: {nodes: 3, launcher: torchrun}
  spot: {checkpoint: 10m, max_wait: 1h}
  retries: 1
"""
    found = estimate(spec_of(DURATIONS, STORED, asked, target="sagemaker"), "sagemaker", book())
    [train] = [line for line in found.lines if line.name == "train"]

    # ml.g4dn.xlarge has a disk of its own: three of them for half an hour, at the spot price.
    assert train.hired == "3 x ml.g4dn.xlarge spot"
    assert train.each is not None
    assert known(train.each.expected) == pytest.approx(3 * 0.30 * 0.5)
    # At worst at the usual price, for two tries of an hour and ten minutes around them.
    assert known(train.each.worst) == pytest.approx(3 * 0.70 * (2 + 10 / 60))
    # Predictions are no training jobs: as many accelerators, one machine, no spot.
    [predict] = [line for line in found.lines if line.name == "predict-contender"]
    assert predict.each is not None
    assert known(predict.each.expected) == pytest.approx(0.70 * 0.15)


def test_a_fleet_and_its_rollout_by_hand() -> None:
    durations = "cost: {durations: {wake: 3m, ours: 6m, train: 30m, predict: 9m, measure: 15m}, storage: 1GB}"
    found = estimate(spec_of(durations, name="canary.yaml"), "sagemaker", book())
    [server] = [line for line in found.lines if line.kind == "server"]

    # Two instances at all hours; at worst four of each of champion, candidate and former champion.
    assert [known(amount) for amount in server.month.columns] == pytest.approx(
        [2 * 730 * 0.25, 2 * 730 * 0.25, 3 * 4 * 730 * 0.25]
    )


def test_batch_jobs_by_hand() -> None:
    spec = spec_of(DURATIONS, STORED, name="batch_serving.yaml")
    target = next(iter(spec.targets))
    found = estimate(spec, target, book(), region="eu-north-1" if target == "sagemaker" else None)
    [job] = {line.kind for line in found.lines if line.kind.startswith("score-")}
    predict = next(line for line in found.lines if line.kind == job and line.name == "predict-champion")

    assert predict.hours is not None
    assert known(predict.hours.expected) == pytest.approx(0.3)
    assert known(found.counts.jobs[job].expected) > 0


def test_what_is_not_known_lacks() -> None:
    found = estimate(spec_of(target="sagemaker"), "sagemaker", book())

    assert found.run.expected.known == 0
    assert any("cost.durations.train" in lack for lack in found.run.expected.lacks)
    assert any("cost.storage" in lack for lack in found.month.expected.lacks)
    # The timeouts bound the run all the same.
    assert found.run.worst.lacks == ()
    assert found.run.worst.known > 0


def test_a_price_that_is_not_there_is_not_nothing() -> None:
    spec = spec_of(DURATIONS, STORED, target="sagemaker")
    full = book()
    without = Book({key: item for key, item in full.prices.items() if key[2] != "ml.m5.large"})
    found = estimate(spec, "sagemaker", without)

    assert found.run.expected.lacks == ("the price of ml.m5.large in eu-north-1",)
    assert found.run.expected.known < known(estimate(spec, "sagemaker", full).run.expected)
    assert estimate(spec, "sagemaker", without).runs_month.low == Amount(0.0)


def test_a_region_that_the_spec_does_not_name() -> None:
    found = estimate(spec_of(DURATIONS, STORED, target="azureml"), "azureml", book())

    assert any("--region azureml=REGION" in lack for lack in found.month.expected.lacks)


def test_records_come_before_what_is_stated() -> None:
    recorded = Recorded({("train", "train"): (600.0, 1800.0, 1200.0)})
    found = estimate(spec_of(DURATIONS, STORED, target="sagemaker"), "sagemaker", book(), recorded)
    [train] = [line for line in found.lines if line.name == "train"]

    assert train.hours is not None
    assert [known(amount) for amount in train.hours.columns] == pytest.approx([0.0, 20 / 60, 1 + 10 / 60])
    assert "3 recorded times" in train.basis


def test_alerts_alone_start_as_many_runs_as_were_recorded() -> None:
    alert = "triggers: {weekly: null, alert: {event: {name: parcels-late, dedupe_by: id}}}"
    spec = spec_of(DURATIONS, STORED, alert, target="sagemaker")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    recorded = Recorded({}, tuple(start + timedelta(days=10 * number) for number in range(4)))

    without = estimate(spec, "sagemaker", book()).counts.runs
    assert without.expected.lacks
    assert without.worst.lacks
    # Three of them in thirty days.
    assert known(estimate(spec, "sagemaker", book(), recorded).counts.runs.expected) == pytest.approx(0.1 * 365 / 12)
    # However many there are, two runs never overlap: a step of theirs is on for 730 hours at most.
    [train] = [line for line in estimate(spec, "sagemaker", book()).lines if line.name == "train"]
    assert known(train.month.worst) == pytest.approx(730 * (0.10 + DISK * 0.146 / 730))


def test_nothing_is_started_in_mode_observe() -> None:
    found = estimate(spec_of(DURATIONS, STORED, "mode: observe", target="sagemaker"), "sagemaker", book())

    assert [known(amount) for amount in found.runs_month.columns] == [0.0, 0.0, 0.0]
    assert known(found.month.expected) > 0


def test_a_budget_bounds_the_worst() -> None:
    watching = "triggers: {fresh: {new_data: {min_rows: 10}}}"
    free = estimate(spec_of(DURATIONS, STORED, watching, target="sagemaker"), "sagemaker", book())
    capped = "cost: {max_per_run: 5, max_per_month: 48}"
    bound = estimate(spec_of(DURATIONS, STORED, watching, capped, target="sagemaker"), "sagemaker", book())

    assert known(free.counts.runs.worst) == pytest.approx(WAKES)
    assert known(bound.counts.runs.worst) == 9


def test_an_exempt_trigger_is_bound_by_no_budget() -> None:
    watching = "triggers: {fresh: {new_data: {min_rows: 10}, exempt: true}}"
    capped = "cost: {max_per_run: 5, max_per_month: 48}"
    found = estimate(spec_of(DURATIONS, STORED, watching, capped, target="sagemaker"), "sagemaker", book())

    assert known(found.counts.runs.worst) == pytest.approx(WAKES)
