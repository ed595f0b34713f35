"""Windows, label ages, holdouts and schedules: what must fit together in time; and how times are written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, suggest
from ctc.language.checks.data import is_zone
from ctc.language.checks.gates import LABEL_FREE
from ctc.language.cron import Cron
from ctc.language.spec import (
    NO_TIME,
    DriftTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Source,
    Spec,
    Trigger,
)

NOTHING = timedelta(0)

RELATIVE = ("not_worse", "min_gain")
"""The gates that compare the two models on the holdout."""

# Any fixed stretch shows how often an expression fires; this one has a leap day.
_FROM, _UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
_FIRINGS = 400
_SAME_ROWS = 20
_HELD_IN_A_ROW = 4


def written(time: timedelta) -> str:
    """A duration as a spec writes it."""
    seconds = int(time.total_seconds())
    parts = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def main_source(spec: Spec) -> Source | None:
    """The one source with `role: rows`; None where CT201 speaks."""
    rows = [source for source in spec.sources if source.role == "rows"]
    return rows[0] if len(rows) == 1 else None


def label_age(spec: Spec) -> timedelta:
    """How old a row is when its label is known."""
    return NOTHING if spec.label is None else spec.label.known_after


def newest_learnt(spec: Spec) -> tuple[timedelta, str]:
    """How old the newest row is that a new model learns from, and the sum that says so."""
    parts = [("known_after", label_age(spec))]
    # An incremental model is judged on each row before it learns it, so none is held out.
    if spec.retraining.holdout.time is not None and spec.retraining.strategy != "incremental":
        parts += [("holdout", spec.retraining.holdout.time), ("gap", spec.retraining.gap)]
    said = " + ".join(f"{name} {written(time)}" for name, time in parts if time)
    return sum((time for _, time in parts), NOTHING), said


@lru_cache(maxsize=64)
def firings(schedule: ScheduleTrigger) -> tuple[datetime, ...]:
    """The first instants of a schedule; none where CT280, CT281 or CT287 speaks."""
    if not is_zone(schedule.timezone):
        return ()
    try:
        cron = Cron.parse(schedule.cron)
    except ValueError:
        return ()
    return () if cron.never_fires() else tuple(islice(cron.instants(_FROM, _UNTIL, schedule.timezone), _FIRINGS))


def retraining_schedules(spec: Spec) -> Iterator[tuple[Trigger, ScheduleTrigger, list[timedelta]]]:
    """The enabled schedules that start runs, and the times between firings, as clocks tell them; never without any."""
    for trigger in spec.triggers:
        if isinstance(trigger.spec, ScheduleTrigger) and trigger.enabled and trigger.then == "retrain":
            # In UTC: a week is a week there, also when clocks change.
            gaps = apart(ScheduleTrigger(trigger.spec.cron, "UTC"))
            if gaps:
                yield trigger, trigger.spec, gaps


def apart(schedule: ScheduleTrigger) -> list[timedelta]:
    """The times between the firings of a schedule."""
    return [later - earlier for earlier, later in pairwise(firings(schedule))]


@check("CT270", "no window where one is cut")
def there_is_a_window(spec: Spec) -> Iterator[Finding]:
    retraining, main = spec.retraining, main_source(spec)
    timed = main is not None and main.event_time not in (None, NO_TIME)
    if not timed or retraining.holdout.time is None or retraining.strategy == "incremental":
        return
    if retraining.window is None and retraining.since is None:
        yield Finding(
            "retraining",
            f"`strategy: {retraining.strategy}` with a holdout in time does not say from when on a model learns",
            'add `window: 90d` (sliding), or `since: "2024-01-01"` (expanding)',
            ("retraining.holdout.time", "the holdout ends the training window"),
        )


@check("CT271", "data without time, and something that needs it")
def time_is_there_where_it_is_needed(spec: Spec) -> Iterator[Finding]:
    main = main_source(spec)
    if main is None or main.event_time != NO_TIME:
        return
    places = list(_needing_time(spec, main))
    if places:
        listed = ", ".join(f"`{place}`" for place in places)
        yield Finding(
            places[0],
            f"`{main.name}` has no time (`event_time: none`), and what needs one is stated: {listed}",
            "name the column that says when a row happened; or write a holdout by `hash`, `column` or `source`, and "
            "leave out what is counted in time",
            (f"sources.{main.name}.event_time", "no time here"),
        )


def _needing_time(spec: Spec, main: Source) -> Iterator[str]:
    retraining = spec.retraining
    if label_age(spec):
        yield "label.known_after"
    if spec.task == "forecast":
        yield "task.forecast"
    if retraining.strategy == "incremental":
        yield "retraining.strategy"
    for key, value in (("window", retraining.window), ("since", retraining.since), ("gap", retraining.gap)):
        if value:
            yield f"retraining.{key}"
    if retraining.holdout.time is not None:
        yield "retraining.holdout.time"
    for item in spec.checks:
        if item.kind == "freshness" and item.over is None and item.source in (None, main.name) and not main.known_at:
            yield f"validation.checks.{item.name}.freshness"
    for trigger in spec.triggers:
        kind = trigger.spec
        if isinstance(kind, NewDataTrigger):
            yield f"triggers.{trigger.name}.new_data"
        elif isinstance(kind, DriftTrigger) and kind.source in (None, main.name):
            yield f"triggers.{trigger.name}.drift.window"


@check("CT272", "a forecast that has learnt from what it is asked for", Severity.WARNING)
def forecasts_are_judged_beyond_their_origin(spec: Spec) -> Iterator[Finding]:
    forecast, retraining = spec.forecast, spec.retraining
    if forecast is None or retraining.holdout.time is None or retraining.strategy == "incremental":
        return
    if retraining.gap < forecast.horizon:
        late = written(forecast.horizon - retraining.gap)
        end = f"{written(retraining.gap)} before" if retraining.gap else "at the start of"
        yield Finding(
            "retraining.gap",
            f"training ends {end} the holdout, whose first values are forecast from {written(forecast.horizon)} before "
            f"it: the model has learnt from up to {late} after that origin",
            f"write `gap: {written(forecast.horizon)}`, the horizon",
            ("task.forecast.horizon", "the horizon"),
        )


@check("CT273", "labels that are older than everything a model learns from", Severity.WARNING)
def windows_outlast_the_label_age(spec: Spec) -> Iterator[Finding]:
    window, age = spec.retraining.window, label_age(spec)
    if window is None or not NOTHING < window < age:
        return
    newest, parts = newest_learnt(spec)
    yield Finding(
        "retraining.window",
        f"a model learns from {written(window)}, of which the newest row is {written(newest)} old ({parts})",
        "labels that come late ask for a long window, so that it covers more than one short stretch of the past: "
        f"write {written(2 * age)} or more, or `since`",
        ("label.known_after", "the label's age"),
    )


@check("CT274", "runs that are judged on the same rows again and again", Severity.WARNING)
def holdouts_move_on(spec: Spec) -> Iterator[Finding]:
    holdout, policy = spec.retraining.holdout.time, spec.trigger_policy
    compared = any(gate.kind in RELATIVE for gate in spec.promotion.gates)
    # With `false_promotions` the tests themselves count it.
    if not holdout or not compared or spec.promotion.false_promotions or spec.retraining.strategy == "incremental":
        return
    for trigger, schedule, gaps in retraining_schedules(spec):
        period = sum(gaps, NOTHING) / len(gaps)
        if not trigger.exempt:
            period = max(period, policy.cooldown)
        if policy.max_runs is not None:
            period = max(period, policy.max_runs.per / policy.max_runs.count)
        if period * _SAME_ROWS < holdout:
            yield Finding(
                "retraining.holdout.time",
                f"`{schedule.cron}` runs about every {written(period)} on a holdout of {written(holdout)}: each row "
                f"judges about {holdout // period} runs, so a lucky one among them is promoted",
                "retrain less often, shorten the holdout, or write `promotion.false_promotions`, which counts "
                "repeated tests as what they are",
                (f"triggers.{trigger.name}.schedule.cron", "the schedule"),
            )


@check("CT275", "a holdout that shares its entities with the training rows", Severity.WARNING)
def entities_are_on_one_side(spec: Spec) -> Iterator[Finding]:
    by_hash, main = spec.retraining.holdout.hash, main_source(spec)
    if by_hash is None or main is None or not main.key or not set(main.key) <= set(by_hash.key):
        return
    for path, what, columns in _entities(spec):
        if not set(by_hash.key) <= set(columns):
            entity, key = ", ".join(columns), ", ".join(by_hash.key)
            yield Finding(
                "retraining.holdout.hash.key",
                f"[{key}] is another for each row, so rows of the same {what} [{entity}] are learnt from and judged "
                "on: the model is graded on what it has seen",
                f"write `key: [{entity}]`",
                (path, f"the {what}"),
            )
            return


def _entities(spec: Spec) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if spec.evaluation.unit:
        yield "evaluation.unit", "unit", spec.evaluation.unit
    if spec.ranking is not None:
        yield "task.ranking.group", "group", (spec.ranking.group,)
    if spec.forecast is not None:
        yield "task.forecast.series", "series", spec.forecast.series


@check("CT277", "a holdout that cannot be set aside as it is written")
def holdouts_can_be_set_aside(spec: Spec) -> Iterator[Finding]:
    holdout, main = spec.retraining.holdout, main_source(spec)
    names = [source.name for source in spec.sources]
    if holdout.source is not None and holdout.source not in names:
        message = f"there is no source `{holdout.source}`"
        yield Finding("retraining.holdout.source", message, suggest(holdout.source, names))
    elif holdout.source is not None and main is not None and holdout.source == main.name:
        yield Finding(
            "retraining.holdout.source",
            f"`{main.name}` is the source that is learnt from: no row of it would be left",
            "name another source, or set rows of this one aside with `time`, `hash` or `column`",
            (f"sources.{main.name}.role", "the main source"),
        )
    if holdout.column is not None and holdout.column.name in spec.columns.drop:
        name = holdout.column.name
        yield Finding(
            "retraining.holdout.column.name",
            f"`{name}` is dropped, so nothing marks the holdout",
            "list it under `columns.audit` instead: evaluation alone sees it then",
            (f"columns.drop.{spec.columns.drop.index(name)}", "dropped here"),
        )
    elif holdout.column is not None and spec.label is not None and holdout.column.name == spec.label.column:
        yield Finding(
            "retraining.holdout.column.name",
            "a holdout by the label has one label only, which no training row has",
            "name a column that is drawn apart from the label, such as `split`",
            ("label.column", "the label"),
        )
    if holdout.time is None and spec.retraining.gap and main is not None and main.event_time != NO_TIME:
        kind = "hash" if holdout.hash is not None else "column" if holdout.column is not None else "source"
        yield Finding(
            "retraining.gap",
            f"a gap lies between training and a holdout in time; this holdout is by `{kind}`",
            "remove `gap`, or write `holdout: {time: ...}`",
            (f"retraining.holdout.{kind}", "the holdout"),
        )


@check("CT279", "a task whose parameters do not fit each other, or not the rows")
def tasks_fit_together(spec: Spec) -> Iterator[Finding]:
    main, label = main_source(spec), spec.label
    yield from _steps_of_a_forecast(spec)
    whole = () if main is None else main.key
    for path, what, columns in _groups(spec):
        for index, column in enumerate(columns):
            if column in spec.columns.drop:
                related = (f"columns.drop.{spec.columns.drop.index(column)}", "dropped here")
                place = path if spec.ranking is not None else f"{path}.{index}"
                yield Finding(place, f"`{column}` is dropped, and tells one {what} from another", "keep it", related)
        if main is not None and whole and set(whole) <= set(columns):
            yield Finding(
                f"sources.{main.name}.key",
                f"[{', '.join(whole)}] names a whole {what}: its rows cannot be told apart",
                f"add the columns that tell the rows of one {what} apart",
                (path, f"the {what}"),
            )
    if spec.task == "multiclass" and label is not None and label.absent == "negative":
        message = "among several classes none is the negative one"
        yield Finding("label.absent", message, "write `drop` or `error`", ("task", "the task"))


def _groups(spec: Spec) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if spec.ranking is not None:
        yield "task.ranking.group", "group", (spec.ranking.group,)
    if spec.forecast is not None:
        yield "task.forecast.series", "series", spec.forecast.series


def _steps_of_a_forecast(spec: Spec) -> Iterator[Finding]:
    forecast = spec.forecast
    if forecast is None:
        return
    every, step = forecast.every, ("task.forecast.every", "the step")
    if not every:
        yield Finding("task.forecast.every", "a step of no length never ends", "write one such as 1d")
        return
    for key, length in (("horizon", forecast.horizon), ("season", forecast.season)):
        if length is None or (length and not length % every):
            continue
        many = f"{written(every * (length // every))} or {written(every * (length // every + 1))}"
        fit = f"write {many}" if length > every else f"write {written(every)} or a multiple of it"
        message = f"a {key} of {written(length)} is not a whole number of steps of {written(every)}"
        yield Finding(f"task.forecast.{key}", message, fit, step)


@check("CT430", "a performance trigger whose champions do not live until they can be judged", Severity.WARNING)
def champions_live_until_they_are_judged(spec: Spec) -> Iterator[Finding]:
    age, labelled = label_age(spec), _labelled_metrics(spec)
    if spec.promotion.prefer != "fresher" or spec.retraining.strategy == "incremental":
        return
    for trigger in spec.triggers:
        kind = trigger.spec
        if not isinstance(kind, PerformanceTrigger) or not trigger.enabled or kind.metric not in labelled:
            continue
        for other, schedule, gaps in retraining_schedules(spec):
            period = max(gaps) if other.exempt else max(*gaps, spec.trigger_policy.cooldown)
            runs = math.ceil(age / period)
            if runs >= _HELD_IN_A_ROW:
                yield Finding(
                    f"triggers.{trigger.name}.performance",
                    f"what a champion answers is judged {written(age)} later, and `{schedule.cron}` may replace it "
                    f"every {written(period)}: `{trigger.name}` has rows to judge only after {runs} runs in a row "
                    "promoted nothing",
                    "watch what shows sooner, by `drift` of the score or a metric that needs no label; or retrain "
                    "less often",
                    ("label.known_after", "the label's age"),
                )
                break


def _labelled_metrics(spec: Spec) -> set[str]:
    return {metric.name for metric in spec.evaluation.metrics if metric.kind not in LABEL_FREE}


@check("CT431", "a retrain that would come before there is anything to learn", Severity.WARNING)
def retrains_have_something_to_learn(spec: Spec) -> Iterator[Finding]:
    newest, parts = newest_learnt(spec)
    labelled = _labelled_metrics(spec)
    for trigger in spec.triggers:
        kind = trigger.spec
        if not isinstance(kind, DriftTrigger | PerformanceTrigger) or not trigger.enabled:
            continue
        if trigger.then != "retrain" or trigger.wait_for is not None:
            continue
        place = "drift" if isinstance(kind, DriftTrigger) else "performance"
        seen = kind.window + (trigger.sustained or NOTHING)
        # A live metric is seen late itself: what it judges is as old as its labels.
        late = label_age(spec) if isinstance(kind, PerformanceTrigger) and kind.metric in labelled else NOTHING
        if NOTHING < seen + late <= newest:
            wanted = max(spec.retraining.min_rows, spec.retraining.holdout.min_rows)
            yield Finding(
                f"triggers.{trigger.name}.{place}",
                f"a lasting change fires this within {written(seen + late)}, and the newest row that a run learns from "
                f"is {written(newest)} old ({parts}): the first retrain would contain 0 rows of after the change",
                f"add `wait_for: {{mature_rows_after_change: {wanted}}}` beside `{place}`, or as many rows as "
                "change a model; or write `then: alert`",
                ("retraining", "what a run learns from"),
            )


@check("CT434", "a trigger that waits for rows to stop coming, which they do not", Severity.WARNING)
def rows_settle(spec: Spec) -> Iterator[Finding]:
    if spec.forecast is None or not spec.forecast.every:
        return
    for trigger in spec.triggers:
        if trigger.enabled and isinstance(trigger.spec, NewDataTrigger) and trigger.spec.settle >= spec.forecast.every:
            yield Finding(
                f"triggers.{trigger.name}.new_data.settle",
                f"each series has a new row every {written(spec.forecast.every)}, so there is never a stretch of "
                f"{written(trigger.spec.settle)} in which none became known",
                f"write less than {written(spec.forecast.every)}: as long as one delivery of rows takes",
                ("task.forecast.every", "the step"),
            )
