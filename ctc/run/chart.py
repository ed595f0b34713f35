"""The chart of the report: one metric, cycle by cycle, as SVG text without scripts or outside references."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from ctc.run.records import Cycle, Estimate, Focus, reigns
from ctc.run.text import amount, decision, estimate, when

_HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 380, 26, 66, 64, 24
_MIN_WIDTH, _MIN_COLUMN, _MAX_COLUMN = 1032, 34, 150
_LABEL_WIDTH = 78
"""Pixels that a date or an outcome takes at the chart's font size."""
_OFFSET = 5
"""Pixels by which champion and contender stand apart, so that their intervals do not hide each other."""


class _Scale:
    """Where a cycle and a value are on the drawing."""

    def __init__(self, count: int, low: float, high: float) -> None:
        self.column = min(max((_MIN_WIDTH - _LEFT - _RIGHT) / count, _MIN_COLUMN), _MAX_COLUMN)
        self.width = max(_MIN_WIDTH, math.ceil(_LEFT + _RIGHT + count * self.column))
        self.ticks, self.step = _ticks(low, high)
        self.low, self.high = min(self.ticks[0], low), max(self.ticks[-1], high)
        self.floor = _HEIGHT - _BOTTOM

    def x(self, index: int) -> float:
        return _LEFT + (index + 0.5) * self.column

    def y(self, value: float) -> float:
        return self.floor - (value - self.low) / (self.high - self.low) * (self.floor - _TOP)


def chart(found: Sequence[Cycle], focus: Focus) -> str:
    """The SVG, or "" where no cycle has a value of the metric.

    A line follows each champion from the value with which it was promoted over what it was worth on every later
    cycle's fresh rows; bars are confidence intervals.
    """
    values = [value for cycle in found for value in _values(cycle, focus)]
    if not values:
        return ""
    scale = _Scale(len(found), min(values), max(values))
    title = f"{focus.metric} by cycle"
    return "\n".join(
        [
            f'<svg viewBox="0 0 {scale.width} {_HEIGHT}" width="{scale.width}" height="{_HEIGHT}"',
            'role="img" aria-labelledby="chart-title chart-text">',
            f'<title id="chart-title">{escape(title)}</title>',
            f'<desc id="chart-text">{escape(_told(found, focus))}</desc>',
            *_axes(scale, found),
            *_reigns(scale, found, focus),
            *(mark for index, cycle in enumerate(found) for mark in _cycle(scale, index, cycle, focus)),
            "</svg>",
        ]
    )


def _values(cycle: Cycle, focus: Focus) -> Iterator[float]:
    for measured in (cycle.estimate(focus.metric, "champion"), cycle.estimate(focus.metric, "contender")):
        if measured is not None:
            yield from (value for value in (measured.value, measured.low, measured.high) if value is not None)


def _ticks(low: float, high: float) -> tuple[list[float], float]:
    """Four to eight round values that enclose the range."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [place * step for place in range(first, max(last, first + 1) + 1)], step


def _axes(scale: _Scale, found: Sequence[Cycle]) -> Iterator[str]:
    decimals = max(0, -math.floor(math.log10(scale.step) + 1e-9))
    if round(scale.step, decimals) != scale.step:
        decimals += 1
    for tick in scale.ticks:
        y = scale.y(tick)
        yield f'<line class="grid" x1="{_LEFT}" x2="{scale.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="axis" x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{tick:.{decimals}f}</text>'
    every = max(1, math.ceil(_LABEL_WIDTH / scale.column))
    for index, cycle in enumerate(found):
        if index % every == 0:
            day, _, _time = when(cycle.instant).partition(" ")
            yield (
                f'<text class="axis" x="{scale.x(index):.1f}" y="{scale.floor + 22}" text-anchor="middle">'
                f"{escape(day)}</text>"
            )


def _reigns(scale: _Scale, found: Sequence[Cycle], focus: Focus) -> Iterator[str]:
    for reign in reigns(found, focus.metric):
        points = []
        for index, value in reign.points:
            crowned = found[index].outcome == "promoted" and found[index].version == reign.version
            points.append((scale.x(index) + (_OFFSET if crowned else -_OFFSET), scale.y(value)))
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        name = escape(f"champion {reign.version}")
        yield f'<polyline class="reign" points="{joined}"><title>{name}</title></polyline>'
        x, y = points[0]
        yield f'<text class="name" x="{x + 9:.1f}" y="{y - 7:.1f}">v{escape(reign.version)}</text>'


def _cycle(scale: _Scale, index: int, cycle: Cycle, focus: Focus) -> Iterator[str]:
    x = scale.x(index)
    yield f"<g><title>{escape(_cycle_told(cycle, focus))}</title>"
    yield (
        f'<rect class="hover" x="{x - scale.column / 2:.1f}" y="{_TOP}" width="{scale.column:.1f}" '
        f'height="{scale.floor - _TOP}"/>'
    )
    champion, contender = cycle.estimate(focus.metric, "champion"), cycle.estimate(focus.metric, "contender")
    if champion is not None:
        yield from _interval(scale, x - _OFFSET, champion, "champion")
        yield f'<circle class="champion dot" cx="{x - _OFFSET:.1f}" cy="{scale.y(champion.value):.1f}" r="3.6"/>'
    if contender is not None:
        yield from _interval(scale, x + _OFFSET, contender, "contender")
        yield _contender(x + _OFFSET, scale.y(contender.value), promoted=cycle.outcome == "promoted")
    else:
        y = scale.floor - 14
        yield f'<path class="none" d="M{x - 5:.1f},{y - 5}l10,10m0,-10l-10,10"/>'
    if scale.column >= _LABEL_WIDTH:
        yield (
            f'<text class="outcome {cycle.outcome}" x="{x:.1f}" y="{scale.floor + 42}" text-anchor="middle">'
            f"{escape(cycle.outcome)}</text>"
        )
    else:
        x, y = x - 6, scale.floor + 32
        yield f'<rect class="lane {cycle.outcome}" x="{x:.1f}" y="{y}" width="12" height="12" rx="2"/>'
    yield "</g>"


def _interval(scale: _Scale, x: float, found: Estimate, who: str) -> Iterator[str]:
    if found.low is None or found.high is None:
        return
    low, high = scale.y(found.low), scale.y(found.high)
    yield (
        f'<path class="{who} bar" d="M{x:.1f},{low:.1f}V{high:.1f}M{x - 3:.1f},{low:.1f}h6M{x - 3:.1f},{high:.1f}h6"/>'
    )


def _contender(x: float, y: float, *, promoted: bool) -> str:
    if promoted:
        return f'<path class="contender promoted-mark" d="M{x:.1f},{y - 6:.1f}l6,10h-12z"/>'
    return f'<circle class="contender held-mark" cx="{x:.1f}" cy="{y:.1f}" r="4.2"/>'


def _cycle_told(cycle: Cycle, focus: Focus) -> str:
    return (
        f"{when(cycle.instant)}: {decision(cycle)}. Champion {estimate(cycle.estimate(focus.metric, 'champion'))}, "
        f"contender {estimate(cycle.estimate(focus.metric, 'contender'))}. {cycle.reason}"
    )


def _told(found: Sequence[Cycle], focus: Focus) -> str:
    """The chart in words."""
    courses = [
        f"version {reign.version} went from {amount(reign.points[0][1])} to {amount(reign.points[-1][1])}"
        for reign in reigns(found, focus.metric)
        if len(reign.points) > 1
    ]
    return f"{len(found)} cycles. " + ("; ".join(courses) + "." if courses else "No champion was measured twice.")
