"""The calibrated line: how often chance alone is over it, counted in simulated windows."""

from __future__ import annotations

import numpy as np
import pytest

from ctc.policy import drift, false_alarms, live_rules
from ctc.policy.profile import Categorical, Column, of_numbers
from ctc.policy.statistics import NotEvaluable

METHODS = ("psi", "jensen_shannon", "l_infinity", "chi_square", "ks", "wasserstein")


def test_the_chance_of_one_evaluation_is_shared_among_columns() -> None:
    section = {"max": 2, "per": 100 * 3600.0}
    assert false_alarms.chance(section, 3600.0, 1, 1) == pytest.approx(0.02)
    assert false_alarms.chance(section, 3600.0, 10, 1) == pytest.approx(0.002)
    assert false_alarms.chance(section, 3600.0, 10, 10) == pytest.approx(0.02)
    assert false_alarms.chance(section, 7200.0, 4, 2) == pytest.approx(0.02)


@pytest.mark.parametrize(("require", "count"), [("any", 1), ("all", 7), (0.3, 3), (0.01, 1), (1.0, 7)])
def test_how_many_columns_must_drift(require: str | float, count: int) -> None:
    assert false_alarms.needed(require, 7) == count


def drifted(method: str, baseline: np.ndarray, rows: int, line: float, draw: np.random.Generator, times: int) -> int:
    """Of so many undrifted windows and baselines, how many are over the line."""
    over = 0
    for _ in range(times):
        ours = of_numbers(draw.choice(baseline, len(baseline) // 4))
        over += drift.distance(method, ours, of_numbers(draw.choice(baseline, rows))).value > line
    return over


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("one", "most", "least"), [(0.1, 0.13, 0.05), (0.01, 0.02, 0.0)])
def test_chance_exceeds_the_line_as_often_as_asked(method: str, one: float, most: float, least: float) -> None:
    draw = np.random.default_rng(11)
    world = draw.lognormal(0, 0.7, 8000)
    line = false_alarms.line(method, of_numbers(draw.choice(world, 2000)), 640, one)
    times = 600
    assert least * times <= drifted(method, world, 640, line, draw, times) <= most * times


def test_chance_seldom_exceeds_a_line_of_categories() -> None:
    draw = np.random.default_rng(12)
    shares = [0.5, 0.3, 0.15, 0.05]

    def column(rows: int) -> Categorical:
        return Categorical(rows, 0, dict(zip("abcd", draw.multinomial(rows, shares).tolist(), strict=True)))

    for method in drift.BINNED:
        line = false_alarms.line(method, column(3000), 900, 0.05)
        over = sum(drift.distance(method, column(3000), column(900)).value > line for _ in range(1000))
        assert 15 <= over <= 80, method


@pytest.mark.parametrize("method", METHODS)
def test_rarer_alarms_and_smaller_windows_need_a_higher_line(method: str) -> None:
    baseline: Column = of_numbers(np.random.default_rng(13).normal(size=3000))
    lines = [false_alarms.line(method, baseline, 800, one) for one in (0.1, 0.01, 1e-3, 1e-5)]
    assert lines == sorted(lines)
    assert lines[0] < lines[-1] < 3 * lines[0] ** 0.5
    assert false_alarms.line(method, baseline, 200, 0.01) > false_alarms.line(method, baseline, 3200, 0.01)
    assert false_alarms.line(method, baseline, 801, 0.01) == false_alarms.line(method, baseline, 800, 0.01)


@pytest.mark.parametrize("require", ["any", 0.5])
def test_a_trigger_raises_no_more_false_alarms_than_asked(require: str | float) -> None:
    """Twenty evaluations in `per`, one alarm: of 500 undrifted windows at most 25 are expected to be over."""
    draw = np.random.default_rng(14)
    names = ["a", "b", "c", "d"]
    section = {"max": 1, "per": 20 * 3600.0}
    one = false_alarms.chance(section, 3600.0, len(names), false_alarms.needed(require, len(names)))
    baseline: dict[str, Column | str] = {name: of_numbers(draw.gamma(2, size=4000)) for name in names}
    lines: dict[str, float] = {}

    def line(name: str, column: Column, rows: int) -> float:
        return lines.get(name) or lines.setdefault(name, false_alarms.line("psi", column, rows, one))

    over = 0
    for _ in range(500):
        current: dict[str, Column | str] = {name: of_numbers(draw.gamma(2, size=500)) for name in names}
        found, _, _ = live_rules.judge_drift("psi", names, baseline, current, line=line, require=require)
        over += found is True
    assert over <= 35
    assert require != "any" or over >= 5


def test_a_method_for_numbers_has_no_line_on_categories() -> None:
    with pytest.raises(NotEvaluable, match="needs numbers"):
        false_alarms.line("ks", Categorical(10, 0, {"a": 10}), 10, 0.1)
