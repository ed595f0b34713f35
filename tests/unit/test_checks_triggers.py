"""Triggers that cannot fire, fire always, or fire by chance; the noise of drift numbers against simulation."""

from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from changed_spec import SERVED, findings

from ctc.language.checks import noise
from ctc.language.checks.triggers import most_within
from ctc.language.spec import ScheduleTrigger

SIMULATED = 4000


@pytest.mark.parametrize(("method", "line"), [("psi", 0.01), ("psi", 0.02), ("jensen_shannon", 0.04), ("ks", 0.035)])
def test_the_chance_of_a_crossing_is_that_of_a_simulation(method: str, line: float) -> None:
    rows, draw = 1000, np.random.default_rng(7)
    if method == "ks":
        samples = np.sort(draw.random((SIMULATED, rows)), axis=1)
        above = (np.arange(1, rows + 1) / rows - samples).max(axis=1)
        below = (samples - np.arange(rows) / rows).max(axis=1)
        numbers = np.maximum(above, below)
    else:
        shares = draw.multinomial(rows, [1 / noise.BINS] * noise.BINS, SIMULATED) / rows
        expected = 1 / noise.BINS
        if method == "psi":
            numbers = ((shares - expected) * np.log(shares / expected)).sum(axis=1)
        else:
            middle = (shares + expected) / 2
            left, right = shares * np.log2(shares / middle), expected * np.log2(expected / middle)
            numbers = np.sqrt((left + right).sum(axis=1) / 2)
    simulated = float((numbers > line).mean())

    assert 0.01 < simulated < 0.95, "a line where the chance can be seen"
    error = 4 * math.sqrt(simulated * (1 - simulated) / SIMULATED)
    assert noise.crossing(method, line, rows) == pytest.approx(simulated, abs=error + 0.01)


@pytest.mark.parametrize(
    ("value", "degrees", "tail"),
    # Tables of the chi-squared distribution, e.g. NIST/SEMATECH e-Handbook 1.3.6.7.4.
    [(16.919, 9, 0.05), (21.666, 9, 0.01), (3.841, 1, 0.05), (5.991, 2, 0.05), (18.307, 10, 0.05), (0, 9, 1.0)],
)
def test_chi_squared(value: float, degrees: int, tail: float) -> None:
    assert noise.chi_square_tail(value, degrees) == pytest.approx(tail, abs=2e-5)


@pytest.mark.parametrize(
    ("columns", "require", "chance"),
    [
        (1, "any", 0.1),
        (3, "any", 0.271),
        (3, "all", 0.001),
        (3, "30%", 0.271),
        (3, "50%", 0.028),
        (3, 1.0, 0.001),
        (10, "10%", 0.6513215599),
    ],
)
def test_several_columns(columns: int, require: str | float, chance: float) -> None:
    assert noise.firing(0.1, columns, require) == pytest.approx(chance)


DRIFT = "triggers: {moved: {drift: {columns: [a, b], method: %s, max: %s, window: 30d, min_rows: %s}, then: alert}}"


@pytest.mark.parametrize(
    ("method", "line", "rows", "share"),
    [
        ("psi", 0, 1000, "nearly all"),
        ("psi", 0.01, 1000, "58%"),
        ("psi", 0.02, 1000, None),
        ("psi", 0.2, 1000, None),
        ("psi", 0.2, 50, "58%"),
        ("psi", 0.01, 5000, None),
        ("jensen_shannon", 0.1, 1000, None),
        ("jensen_shannon", 0.04, 1000, "70%"),
        ("ks", 0.1, 1000, None),
        ("ks", 0.04, 1000, "16%"),
        ("ks", 0.04, 1, "nearly all"),
        ("wasserstein", 0, 1, None),
        ("chi_square", 0.0001, 1, None),
    ],
)
def test_lines_that_chance_crosses(method: str, line: float, rows: int, share: str | None) -> None:
    found = findings("CT293", DRIFT % (method, line, rows))

    assert [f"in {share} of the windows" in item.message for item in found] == ([] if share is None else [True])


def test_the_advised_line_and_rows_are_quiet() -> None:
    [found] = findings("CT293", DRIFT % ("psi", 0.01, 1000))

    assert "write 0.024 or more" in found.help
    assert "`min_rows: 5000`" in found.help
    assert findings("CT293", DRIFT % ("psi", 0.024, 1000)) == findings("CT293", DRIFT % ("psi", 0.01, 5000)) == []


@pytest.mark.parametrize(
    ("method", "line", "never"),
    [
        ("ks", 1, True),
        ("ks", 0.99, False),
        ("l_infinity", 5, True),
        ("jensen_shannon", 1, True),
        ("psi", 5, False),
        ("chi_square", 3.84, True),
    ],
)
def test_lines_that_nothing_crosses(method: str, line: float, never: bool) -> None:
    assert bool(findings("CT292", DRIFT % (method, line, 1000))) is never


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ("min: 0.6", None),
        ("min: 60", "every wake"),
        ("max: -1", "every wake"),
        ("min: 0", "never fires"),
        ("max: 1", "never fires"),
        ("min: 0, max: 1", "never fires"),
        ("min: 0, drop: 0.1", None),
        ("min: 0.6, max: 1", None),
        ("min: 0.8, max: 0.6", "every wake"),
        ("drop: 0.05", None),
        ("drop: 1", "never fires"),
    ],
)
def test_ranges_that_a_metric_can_leave(bounds: str, said: str | None) -> None:
    change = f"triggers: {{slipping: {{performance: {{metric: auc, {bounds}, window: 30d}}}}}}"

    assert [said in item.message for item in findings("CT290", change) if said] == ([True] if said else [])
    assert bool(findings("CT290", change)) is bool(said)


@pytest.mark.parametrize(
    ("metric", "change", "paths"),
    [
        ("auc", SERVED, []),
        ("auc", "{}", [""]),
        ("auk", SERVED, [".metric"]),
        ("auk", "{}", [".metric", ""]),
        ("auc", SERVED + "label: none", [".metric"]),
        ("auc", SERVED + "task: multiclass", [".metric"]),
        ("mean", SERVED + "label: none\nevaluation: {metrics: {mean: {mean: {column: score}}}}", []),
    ],
)
def test_what_a_performance_trigger_needs(metric: str, change: str, paths: list[str]) -> None:
    trigger = f"triggers: {{slipping: {{performance: {{metric: {metric}, max: 0.9, window: 30d}}}}}}"
    found = findings("CT289", trigger, change)

    assert [item.path for item in found] == [f"triggers.slipping.performance{path}" for path in paths]


@pytest.mark.parametrize(
    ("window", "sustained", "every", "paths"),
    [
        ("1d", "1d", "1h", []),
        ("1h", "2h", "1h", []),
        ("1h", "1h", "2h", ["drift.window", "sustained"]),
        ("1d", "30m", "1h", ["sustained"]),
    ],
)
def test_wakes_are_often_enough(window: str, sustained: str, every: str, paths: list[str]) -> None:
    drift = f"drift: {{columns: [a], method: psi, max: 1, window: {window}}}, sustained: {sustained}"
    found = findings("CT294", f"trigger_policy: {{wake_every: {every}}}\ntriggers: {{moved: {{{drift}}}}}")

    assert [item.path for item in found] == [f"triggers.moved.{path}" for path in paths]


@pytest.mark.parametrize(
    ("trigger", "paths"),
    [
        ("manual: {}, sustained: 1d", ["sustained"]),
        ("new_data: {min_rows: 5}, wait_for: {mature_rows_after_change: 5}", ["wait_for"]),
        ("event: {name: e}, wait_for: {mature_rows_after_change: 5}", []),
        ("event: {name: e}, sustained: 1h, then: alert, exempt: true", ["sustained", "exempt"]),
        ("event: {name: e}, wait_for: {mature_rows_after_change: 5}, then: rollback", ["wait_for"]),
        ("drift: {columns: [a, b], method: psi, max: 1, window: 1d, require: all}, sustained: 1d", []),
        ("drift: {columns: [a], method: psi, max: 1, window: 1d, require: 50%}", ["drift.require"]),
    ],
)
def test_words_without_effect(trigger: str, paths: list[str]) -> None:
    found = findings("CT295", f"triggers: {{other: {{{trigger}}}}}")

    assert [item.path for item in found] == [f"triggers.other.{path}" for path in paths]


@pytest.mark.parametrize(
    ("cron", "days", "most"),
    [
        ("30 2 * * 1", 30, 5),
        ("30 2 * * 1", 28, 4),
        ("30 2 * * 1", 7, 1),
        ("0 * * * *", 1, 24),
        # From 1 February to 1 March.
        ("0 0 1 * *", 28, 1),
        ("0 0 1 * *", 30, 2),
    ],
)
def test_how_often_a_schedule_fires_within_a_span(cron: str, days: int, most: int) -> None:
    assert most_within(ScheduleTrigger(cron, "UTC"), timedelta(days=days)) == most


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("trigger_policy: {cooldown: 6d}", None),
        ("trigger_policy: {cooldown: 7d}", "every 7d (after 6d23h when the clocks change), within the cooldown of 7d"),
        ("trigger_policy: {cooldown: 8d}", "every 7d, within the cooldown of 8d"),
        ("trigger_policy: {rearm: {backoff: 8d}}", "every 7d; after a run that promoted nothing"),
        ("trigger_policy: {cooldown: 8d, rearm: {backoff: 9d}}", "within the cooldown of 8d"),
        ("trigger_policy: {cooldown: 8d}\ntriggers: {weekly: {exempt: true}}", None),
        ("trigger_policy: {cooldown: 8d}\ntriggers: {weekly: {enabled: false}}", None),
        ("trigger_policy: {cooldown: 8d}\ntriggers: {weekly: {then: alert}}", None),
    ],
)
def test_schedules_and_the_cooldown(change: str, said: str | None) -> None:
    found = findings("CT282", change)

    assert [said in item.message for item in found if said] == ([True] if said else [])
    assert bool(found) is bool(said)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ("triggers: {weekly: {exempt: true}}", ["triggers.weekly.exempt"]),
        ("triggers: {weekly: {exempt: true}}\ncost: {max_per_month: 5}", []),
        ("triggers: {weekly: {exempt: true}}\ntrigger_policy: {rearm: {new_rows: 5}}", []),
        ("triggers: {weekly: {exempt: true}}\ntrigger_policy: {cooldown: 1d}", []),
        (
            "triggers: {weekly: {exempt: true}, asked: {manual: {}, exempt: true}}\ntrigger_policy: {cooldown: 1d}",
            ["trigger_policy.cooldown"],
        ),
    ],
)
def test_exemptions(change: str, paths: list[str]) -> None:
    assert [item.path for item in findings("CT286", change)] == paths


@pytest.mark.parametrize(
    ("triggers", "nothing"),
    [
        ("{weekly: {enabled: false}}", True),
        ("{weekly: {then: alert}}", True),
        ("{weekly: {enabled: false}, asked: {manual: {}}}", False),
    ],
)
def test_something_starts_a_run(triggers: str, nothing: bool) -> None:
    assert bool(findings("CT284", f"triggers: {triggers}")) is nothing


def test_batch_schedules_are_schedules() -> None:
    batch = "serving: {nightly: {batch: {rows: parcels, out: x, schedule: {cron: '%s', timezone: %s}}}}"
    path = "serving.nightly.batch.schedule"

    assert [item.path for item in findings("CT280", batch % ("0 5 *", "UTC"))] == [f"{path}.cron"]
    assert [item.path for item in findings("CT281", batch % ("0 5 30 2 *", "UTC"))] == [f"{path}.cron"]
    assert [item.path for item in findings("CT287", batch % ("0 5 * * *", "Oslo"))] == [f"{path}.timezone"]
