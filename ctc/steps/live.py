"""What the `drift` and `performance` triggers look at, gathered at a wake: one engine for all, and nothing in pandas.

Every look is of the rows that were known at its evaluation instant. What cannot be read is an answer too, and no reason
for a wake to die.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from ctc.diagnostics import CtcError
from ctc.policy import false_alarms, live, live_rules
from ctc.policy.evidence import LiveAnswer, Moment, NotEvaluable, RowsQuestion
from ctc.policy.live import YEAR, LiveQuestion
from ctc.policy.profile import Column
from ctc.policy.records import record_key
from ctc.policy.state import State, Version
from ctc.policy.statistics import NotEvaluable as NoNumber
from ctc.policy.windows import labelled_until
from ctc.steps import baselines, engine, metrics, new_data, served
from ctc.steps import profile as profiles
from ctc.steps.ports import ObjectStore
from ctc.steps.task import StepFailed

Look = Callable[[datetime], Moment]


def gather(
    data: Mapping[str, Any], objects: ObjectStore, state: State, asked: Sequence[LiveQuestion], now: datetime
) -> dict[str, LiveAnswer | NotEvaluable]:
    """The answer to each question, by its name. `data` is the step document's section."""
    answers: dict[str, LiveAnswer | NotEvaluable] = {}
    with engine.opened() as connection:
        for number, question in enumerate(asked):
            try:
                look = _LOOKS[question.trigger["kind"]](connection, data, objects, state, question, f"live_{number}")
                moments, change = live.watch(question, look)
                answers[question.name] = LiveAnswer(moments, question.every, change)
            except (CtcError, StepFailed, NoNumber, OSError) as error:
                answers[question.name] = NotEvaluable(str(error))
    return _with_mature_rows(data, asked, answers, now)


def _with_mature_rows(
    data: Mapping[str, Any],
    asked: Sequence[LiveQuestion],
    answers: dict[str, LiveAnswer | NotEvaluable],
    now: datetime,
) -> dict[str, LiveAnswer | NotEvaluable]:
    """The answers, with the labelled rows of after the change where a trigger waits for them."""
    for question in asked:
        found = answers[question.name]
        if question.trigger["wait_for"] is None or isinstance(found, NotEvaluable) or found.change is None:
            continue
        end = labelled_until(question.trigger["known_after"], now)
        rows = RowsQuestion(question.name, min(found.change, end), end, now)
        try:
            counted = new_data.count(data, [rows], now)[question.name]
        except (CtcError, StepFailed, OSError) as error:
            counted = NotEvaluable(str(error))
        mature = counted if isinstance(counted, NotEvaluable) else counted.rows
        answers[question.name] = replace(found, mature=mature)
    return answers


def _drift(
    connection: Any, data: Mapping[str, Any], objects: ObjectStore, state: State, question: LiveQuestion, table: str
) -> Look:
    trigger = question.trigger
    source = data["sources"][trigger["source"]]
    window = timedelta(seconds=trigger["window"])
    columns: list[str] = trigger["columns"]
    season = trigger["baseline"] == "season"
    oldest = (question.earlier or question.instants)[-1] - window - (YEAR if season else timedelta(0))
    rows = engine.hold(connection, table, _rows(connection, trigger["source"], source, columns, oldest))
    kept = {} if season else _baseline(connection, data, objects, state, trigger)
    live_rows = _Window(connection, rows, columns, f"{table}_window")
    line = _line(trigger)

    def look(at: datetime) -> Moment:
        baseline = live_rows.profile(at, at - YEAR - window, at - YEAR) if season else kept
        current = live_rows.profile(at, at - window, at)
        over, reason, numbers = live_rules.judge_drift(
            trigger["method"],
            columns,
            baseline,
            current,
            line=line,
            require=trigger["require"],
            min_rows=trigger["min_rows"],
        )
        return Moment(at, over, reason, {"baseline": trigger["baseline"], **numbers})

    return look


def _rows(connection: Any, name: str, source: Mapping[str, Any], columns: Sequence[str], oldest: datetime) -> Any:
    """The watched columns of a source's rows since `oldest`, with when each row happened and became known."""
    read = engine.table(connection, name, source)
    for column in columns:
        engine.require(column, read.columns, f"source {name}")
    event, known = served.instants(source, name)
    rows = read.select(**{column: read[column] for column in columns}, _ctc_event=read[event], _ctc_known=read[known])
    return rows.filter(rows["_ctc_event"] >= engine.literal(oldest))


class _Window:
    """The columns' profiles in one window after another; each time the same table is filled anew."""

    def __init__(self, connection: Any, rows: Any, columns: Sequence[str], table: str) -> None:
        self._connection, self._rows, self._table = connection, rows, table
        empty = engine.hold(connection, table, rows.limit(0))
        self._question = profiles.Question(connection, empty, columns)

    def profile(self, at: datetime, start: datetime, end: datetime) -> Mapping[str, Column | str]:
        """Of the rows with event time in `[start, end)` that were known at `at`."""
        rows = self._rows
        chosen = rows.filter(
            (rows["_ctc_event"] >= engine.literal(start))
            & (rows["_ctc_event"] < engine.literal(end))
            & (rows["_ctc_known"] <= engine.literal(at))
        )
        engine.hold(self._connection, self._table, chosen)
        return profiles.by_column(self._question.ask(self._connection))


def _baseline(
    connection: Any, data: Mapping[str, Any], objects: ObjectStore, state: State, trigger: Mapping[str, Any]
) -> Mapping[str, Column | str]:
    """The profile of the rows that the champion, or the first one, learnt from; of its answers for a served score."""
    attempt = state.champion.attempt if state.champion is not None else None
    if trigger["baseline"] == "fixed":
        attempt = getattr(state, "first", None)
    if attempt is None:
        raise NoNumber("there is no champion yet, so nothing to have drifted from")
    name, columns = trigger["source"], trigger["columns"]
    source = data["sources"][name]
    score = None if source["columns"] is None else source["columns"]["score"]
    features = [column for column in columns if column != score]
    found: dict[str, Column | str] = {}
    if features:
        found |= profiles.of_training(connection, objects, attempt, name, source, features)
    if score in columns:
        answered = baselines.kept(objects, baselines.predictions_key(attempt))
        if answered is None:
            raise NoNumber(f"attempt {attempt} has left no profile of its model's answers")
        found[str(score)] = answered.columns[baselines.PREDICTION]
    return found


def _line(trigger: Mapping[str, Any]) -> live_rules.Line:
    """The trigger's line: its `max`, or the one that its `false_alarms` ask for, worked out once for one baseline."""
    section = trigger["false_alarms"]
    if section is None:
        return live_rules.fixed_line(float(trigger["max"]))
    columns = len(trigger["columns"])
    one = false_alarms.chance(section, trigger["every"], columns, false_alarms.needed(trigger["require"], columns))
    known: dict[str, tuple[Column, dict[int, float]]] = {}

    def line(name: str, baseline: Column, rows: int) -> float:
        if name not in known or known[name][0] is not baseline:
            known[name] = (baseline, {})
        lines, size = known[name][1], false_alarms.rounded(rows)
        if size not in lines:
            lines[size] = false_alarms.line(trigger["method"], baseline, rows, one)
        return lines[size]

    return line


def _performance(
    connection: Any, data: Mapping[str, Any], objects: ObjectStore, state: State, question: LiveQuestion, table: str
) -> Look:
    trigger, champion = question.trigger, state.champion
    if champion is None:
        raise NoNumber("there is no champion yet, so nothing has been served")
    if data["label"] is None:
        raise NoNumber("there are no labels to compare the answers with")
    promoted = _promoted(objects, champion, trigger["metric"]["name"]) if trigger["drop"] is not None else None
    age, window = timedelta(seconds=trigger["known_after"]), timedelta(seconds=trigger["window"])
    oldest = (question.earlier or question.instants)[-1] - age - window
    judged = served.judged(connection, data, champion.version, oldest, question.instants[0] - age)
    rows = engine.hold(connection, table, judged)

    def look(at: datetime) -> Moment:
        start, end = at - age - window, at - age
        chosen = rows.filter(
            (rows["_ctc_event"] >= engine.literal(start))
            & (rows["_ctc_event"] < engine.literal(end))
            & (rows["_ctc_known"] <= engine.literal(at))
        )
        order = ["group", "label", "score"]
        found = engine.fetched(connection, chosen.select(*order).order_by(order))
        labels, scores = (np.array(found[name], dtype=np.float64) for name in ("label", "score"))
        if len(labels) < trigger["min_rows"]:
            reason = (
                f"{len(labels)} labelled answers of champion {champion.version}; {trigger['min_rows']} are asked for"
            )
            return Moment(at, None, reason, {"rows": len(labels), "min_rows": trigger["min_rows"]})
        try:
            grouped = np.unique(np.array(found["group"], dtype=np.str_), return_inverse=True)[1]
            groups = () if data.get("ranking") is None else (grouped,)
            value = metrics.value(trigger["metric"], labels, scores, *groups)
        except NoNumber as error:
            return Moment(at, None, str(error), {"rows": len(labels)})
        if not math.isfinite(value):
            return Moment(at, None, f"{trigger['metric']['name']} is not finite", {"rows": len(labels)})
        return Moment(at, *live_rules.judge_performance(trigger, value, promoted, len(labels)))

    return look


def _promoted(objects: ObjectStore, champion: Version, metric: str) -> float:
    """The champion's value on its own holdout, from the record of its attempt."""
    record = objects.get(record_key(champion.attempt)) or {}
    measured = record.get("evaluation", {}).get("metrics", {}).get(metric, {})
    value = (measured.get("contender") or {}).get("value")
    if value is None:
        raise NoNumber(f"the record of attempt {champion.attempt} has no {metric} of champion {champion.version}")
    return float(value)


_LOOKS = {"drift": _drift, "performance": _performance}
