"""Triggers, and the policy that holds them back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, noise, suggest
from ctc.language.checks.data import is_zone
from ctc.language.checks.gates import HIGHEST, LABEL_FREE, LOWEST
from ctc.language.checks.time import NOTHING, apart, firings, main_source, retraining_schedules, written
from ctc.language.cron import Cron
from ctc.language.spec import (
    DriftTrigger,
    EventTrigger,
    ManualTrigger,
    Metric,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Spec,
    Trigger,
)

_BY_CHANCE = 0.05
_SELDOM = 0.01


def _schedules(spec: Spec) -> Iterator[tuple[str, ScheduleTrigger]]:
    """Every schedule of the spec, those of batch jobs too, and its path."""
    for trigger in spec.triggers:
        if isinstance(trigger.spec, ScheduleTrigger):
            yield f"triggers.{trigger.name}.schedule", trigger.spec
    for entry in spec.serving:
        if entry.batch is not None:
            yield f"serving.{entry.name}.batch.schedule", entry.batch.schedule


def _performance(spec: Spec) -> Iterator[tuple[str, Trigger, PerformanceTrigger]]:
    for trigger in spec.triggers:
        if isinstance(trigger.spec, PerformanceTrigger):
            yield f"triggers.{trigger.name}.performance", trigger, trigger.spec


def _drift(spec: Spec) -> Iterator[tuple[str, Trigger, DriftTrigger]]:
    for trigger in spec.triggers:
        if isinstance(trigger.spec, DriftTrigger):
            yield f"triggers.{trigger.name}.drift", trigger, trigger.spec


def metric_of(spec: Spec, trigger: PerformanceTrigger) -> Metric | None:
    """The trigger's metric; None where CT289 speaks."""
    return next((metric for metric in spec.evaluation.metrics if metric.name == trigger.metric), None)


@check("CT280", "a cron expression that is none")
def crons_are_valid(spec: Spec) -> Iterator[Finding]:
    for path, schedule in _schedules(spec):
        try:
            Cron.parse(schedule.cron)
        except ValueError as error:
            yield Finding(f"{path}.cron", str(error), 'for instance "30 2 * * 1" is Monday, 02:30')


@check("CT281", "a cron expression that never fires")
def crons_fire(spec: Spec) -> Iterator[Finding]:
    for path, schedule in _schedules(spec):
        try:
            never = Cron.parse(schedule.cron).never_fires()
        except ValueError:
            continue
        if never:
            yield Finding(f"{path}.cron", f"no year has such a day: `{schedule.cron}` never fires")


@check("CT282", "a schedule that is faster than the cooldown or the backoff", Severity.WARNING)
def schedules_outlast_the_cooldown(spec: Spec) -> Iterator[Finding]:
    cooldown, backoff = spec.trigger_policy.cooldown, spec.trigger_policy.rearm.backoff
    for trigger, schedule, gaps in retraining_schedules(spec):
        path, shortest = f"triggers.{trigger.name}.schedule.cron", min(apart(schedule), default=min(gaps))
        if trigger.exempt:
            continue
        often = f"`{schedule.cron}` fires every {written(min(gaps))}"
        if shortest < max(cooldown, backoff) <= min(gaps):
            often += f" (after {written(shortest)} when the clocks change)"
        if shortest < cooldown:
            yield Finding(
                path,
                f"{often}, within the cooldown of {written(cooldown)}: some of its runs are suppressed",
                "shorten the cooldown, or write `exempt: true` beside `schedule`",
                ("trigger_policy.cooldown", "the cooldown"),
            )
        elif shortest < backoff:
            yield Finding(
                path,
                f"{often}; after a run that promoted nothing, it is suppressed for {written(backoff)}",
                "shorten the backoff, or write `exempt: true` beside `schedule`",
                ("trigger_policy.rearm.backoff", "the backoff"),
            )


@check("CT283", "a schedule that is faster than `max_runs`", Severity.WARNING)
def schedules_stay_within_max_runs(spec: Spec) -> Iterator[Finding]:
    limit = spec.trigger_policy.max_runs
    if limit is None:
        return
    for trigger, schedule, _ in retraining_schedules(spec):
        most = most_within(schedule, limit.per)
        if most > limit.count:
            yield Finding(
                f"triggers.{trigger.name}.schedule.cron",
                f"`{schedule.cron}` alone fires up to {most} times in {written(limit.per)}, of which `max_runs` lets "
                f"{limit.count} start: the others are suppressed",
                f"raise `max_runs.count` to {most} or more",
                ("trigger_policy.max_runs.count", "the limit"),
            )


def most_within(schedule: ScheduleTrigger, span: timedelta) -> int:
    """How often, at most, a schedule fires within a span; counted as far as its first firings tell."""
    instants, first, most = firings(schedule), 0, 0
    for index, instant in enumerate(instants):
        while instant - instants[first] >= span and first < index:
            first += 1
        most = max(most, index - first + 1)
    return most


@check("CT284", "a spec that nothing starts")
def something_starts_a_run(spec: Spec) -> Iterator[Finding]:
    if any(trigger.enabled and trigger.then == "retrain" for trigger in spec.triggers):
        return
    what = "there is no trigger"
    if spec.triggers:
        what = "every trigger is disabled"
    if any(trigger.enabled for trigger in spec.triggers):
        what = "no enabled trigger has `then: retrain`"
    yield Finding("triggers", f"{what}, so nothing ever starts a run", "add one, for instance `asked: {manual: {}}`")


@check("CT285", "a time of triggers that is too short")
def times_have_a_length(spec: Spec) -> Iterator[Finding]:
    policy = spec.trigger_policy
    if policy.wake_every < timedelta(minutes=1):
        yield Finding("trigger_policy.wake_every", "a wake takes longer than that", "write 1m or more; 1h is usual")
    if policy.max_runs is not None and policy.max_runs.per == NOTHING:
        yield Finding("trigger_policy.max_runs.per", "within no time there are no runs", "write one such as 30d")
    for path, _, performance in _performance(spec):
        if performance.window == NOTHING:
            yield Finding(f"{path}.window", "a window of no length holds no predictions", "write one such as 7d")
    for path, _, drift in _drift(spec):
        if drift.window == NOTHING:
            yield Finding(f"{path}.window", "a window of no length holds no rows", "write one such as 7d")
        if drift.false_alarms is not None and drift.false_alarms.per == NOTHING:
            yield Finding(f"{path}.false_alarms.per", "within no time there are no alarms", "write one such as 90d")
    for trigger in spec.triggers:
        if isinstance(trigger.spec, EventTrigger) and trigger.spec.max_age == NOTHING:
            message = "every event is older than that when it is seen, and ignored"
            yield Finding(f"triggers.{trigger.name}.event.max_age", message, "write one such as 1h")


@check("CT286", "an exemption from nothing, or of everything", Severity.WARNING)
def exemptions_have_an_effect(spec: Spec) -> Iterator[Finding]:
    policy, cost = spec.trigger_policy, spec.cost
    budget = cost is not None and cost.max_per_month is not None
    held = policy.cooldown or policy.rearm.new_rows or policy.rearm.backoff or budget
    starting = [trigger for trigger in spec.triggers if trigger.enabled and trigger.then == "retrain"]
    exempt = [trigger for trigger in starting if trigger.exempt]
    if not held:
        for trigger in exempt:
            message = f"`{trigger.name}` is exempt from a cooldown and a budget that there are not"
            advice = "remove `exempt`, or set `trigger_policy.cooldown`"
            yield Finding(f"triggers.{trigger.name}.exempt", message, advice)
    elif policy.cooldown and len(exempt) == len(starting) > 1:
        yield Finding(
            "trigger_policy.cooldown",
            f"all {len(starting)} triggers that start runs are exempt: the cooldown holds nothing back",
            "exempt only the run that must never fail to come, such as the weekly one",
            (f"triggers.{exempt[0].name}.exempt", "exempt"),
        )


@check("CT287", "a schedule in a time zone that there is not")
def schedule_zones_exist(spec: Spec) -> Iterator[Finding]:
    for path, schedule in _schedules(spec):
        if not is_zone(schedule.timezone):
            message = f"there is no time zone `{schedule.timezone}`"
            yield Finding(f"{path}.timezone", message, "write an IANA name such as Europe/Oslo or UTC")


@check("CT288", "a spec that acts, but only when asked", Severity.WARNING)
def somebody_need_not_ask(spec: Spec) -> Iterator[Finding]:
    starting = [trigger for trigger in spec.triggers if trigger.enabled and trigger.then == "retrain"]
    if starting and spec.mode == "act" and all(isinstance(trigger.spec, ManualTrigger) for trigger in starting):
        message = "every trigger that starts runs is manual: the model is retrained only when somebody asks"
        yield Finding("triggers", message, "add a `schedule` or a `new_data` trigger")


@check("CT289", "a performance trigger that has nothing to measure")
def performance_can_be_measured(spec: Spec) -> Iterator[Finding]:
    names = [metric.name for metric in spec.evaluation.metrics]
    for path, trigger, performance in _performance(spec):
        metric = metric_of(spec, performance)
        if metric is None:
            related = ("evaluation.metrics", "metrics are defined here")
            message = f"there is no metric `{performance.metric}`"
            yield Finding(f"{path}.metric", message, suggest(performance.metric, names), related)
        elif spec.label is None and metric.kind not in LABEL_FREE:
            message = f"`{metric.kind}` compares predictions with labels, and there are none"
            yield Finding(f"{path}.metric", message, "measure `mean` or `share` of the score", ("label", "no label"))
        elif spec.task == "multiclass" and metric.kind not in LABEL_FREE:
            message = f"`{metric.kind}` of several classes needs a score for each, and served rows have one `score`"
            yield Finding(f"{path}.metric", message, "measure `mean` or `share` of the score", ("task", "the task"))
        elif performance.drop is not None and metric.better == "neither":
            message = f"neither direction of `{metric.name}` is better, so no value of it is a drop"
            advice = "write `min` and `max`, or say which direction is `better` beside the metric"
            yield Finding(f"{path}.drop", message, advice, (f"evaluation.metrics.{metric.name}", "the metric"))
        if not any(source.role == "predictions" for source in spec.sources):
            yield Finding(
                path,
                f"`{trigger.name}` judges what the champion has answered, and no source has `role: predictions`",
                "add the source of served predictions, with `model_version` among its `columns`",
            )


@check("CT290", "a performance trigger that never fires, or at every wake")
def performance_can_go_both_ways(spec: Spec) -> Iterator[Finding]:
    for path, _, performance in _performance(spec):
        metric, low, high = metric_of(spec, performance), performance.min, performance.max
        if low is not None and high is not None and low > high:
            message = f"it fires at every wake: no value is at least {low:g} and at most {high:g}"
            yield Finding(f"{path}.min", message, "exchange the two", (f"{path}.max", "max"))
        elif metric is not None:
            yield from _beyond_the_metric(path, performance, metric)


def _beyond_the_metric(path: str, performance: PerformanceTrigger, metric: Metric) -> Iterator[Finding]:
    lowest, highest = LOWEST[metric.kind], HIGHEST[metric.kind]
    low, high, drop = performance.min, performance.max, performance.drop
    values = f"{metric.kind} lies between {lowest:g} and {highest:g}"
    advice = "write the range that a healthy model stays in, as it was measured when the champion was promoted"
    if low is not None and low > highest:
        percent = f"write {low / 100:g} for {low:g} percent" if 1 < low <= 100 else advice
        yield Finding(f"{path}.min", f"it fires at every wake: {values}", percent)
    elif high is not None and high < lowest:
        yield Finding(f"{path}.max", f"it fires at every wake: {values}", advice)
    elif (low is None or low <= lowest) and (high is None or high >= highest) and drop is None:
        yield Finding(f"{path}.{'min' if low is not None else 'max'}", f"it never fires: {values}", advice)
    if drop is not None and drop >= highest - lowest:
        yield Finding(f"{path}.drop", f"it never fires: {values}, and cannot drop by {drop:g}", advice)


@check("CT291", "a drift trigger on what is not there")
def drift_has_its_columns(spec: Spec) -> Iterator[Finding]:
    names, main = [source.name for source in spec.sources], main_source(spec)
    for path, _, drift in _drift(spec):
        if drift.source is not None and drift.source not in names:
            message = f"there is no source `{drift.source}`"
            yield Finding(f"{path}.source", message, suggest(drift.source, names))
        elif drift.source is None and main is not None:
            for index, column in enumerate(drift.columns):
                if column in spec.columns.drop:
                    yield Finding(
                        f"{path}.columns.{index}",
                        f"`{column}` is dropped: no model sees it, and no training profile has it",
                        f"remove it, or write `source: {main.name}` to watch it all the same",
                        (f"columns.drop.{spec.columns.drop.index(column)}", "dropped here"),
                    )


@check("CT292", "a drift line that cannot be crossed, or two lines")
def drift_lines_can_be_crossed(spec: Spec) -> Iterator[Finding]:
    for path, _, drift in _drift(spec):
        if drift.max is not None and drift.false_alarms is not None:
            message = "`false_alarms` sets the line from the baseline, and `max` sets it by hand"
            yield Finding(f"{path}.max", message, "keep one of the two", (f"{path}.false_alarms", "the other"))
        else:
            yield from _line(path, drift.method, drift.max)
    if spec.rollout is None:
        return
    places = [("rollout.limits", spec.rollout.limits)]
    places += [(f"rollout.steps.{index}.gates", step.gates) for index, step in enumerate(spec.rollout.steps)]
    for place, limits in places:
        for limit in limits:
            if limit.kind == "drift":
                yield from _line(f"{place}.{limit.name}.drift", limit.arguments["method"], limit.arguments["max"])


def _line(path: str, method: str, line: float | None) -> Iterator[Finding]:
    if line is not None and line >= 1 and method in noise.AT_MOST_ONE:
        advice = f"write {line / 100:g} for {line:g} percent" if 1 < line < 100 else "0.1 is usual"
        yield Finding(f"{path}.max", f"`{method}` is never above 1, so {line:g} is never exceeded", advice)


@check("CT293", "a drift line that chance alone crosses", Severity.WARNING)
def drift_lines_stand_above_noise(spec: Spec) -> Iterator[Finding]:
    for path, trigger, drift in _drift(spec):
        if not trigger.enabled or drift.max is None or drift.false_alarms or drift.method not in noise.MEASURED:
            continue
        chance = _chance(drift, drift.max, drift.min_rows)
        if chance <= _BY_CHANCE:
            continue
        many = "the column" if len(drift.columns) == 1 else f"{len(drift.columns)} columns"
        rows = f"{drift.min_rows} row{'s' if drift.min_rows > 1 else ''}"
        yield Finding(
            f"{path}.max",
            f"with {rows} (`min_rows`) {drift.method} of {many} exceeds {drift.max:g} in {_share(chance)} of the "
            "windows although nothing has drifted",
            f"{_quieter(drift)}or write `false_alarms` instead of `max`",
        )


def _chance(drift: DriftTrigger, line: float, rows: int) -> float:
    one = noise.crossing(drift.method, line, rows)
    return noise.firing(one, len(drift.columns), drift.require)


def _quieter(drift: DriftTrigger) -> str:
    """The line, and the number of rows, with which chance fires in one window of a hundred."""
    lines = (step / 1000 for step in range(1, 1000))
    line = next((line for line in lines if _chance(drift, line, drift.min_rows) <= _SELDOM), None)
    counts = (count * 10**power for power in range(2, 8) for count in (1, 2, 5))
    rows = next((rows for rows in counts if _chance(drift, drift.max or 0.0, rows) <= _SELDOM), None)
    higher = "" if line is None else f"write {line:g} or more, which chance exceeds in 1 window of 100, "
    return higher + ("" if rows is None else f"ask for `min_rows: {rows}`, ")


def _share(chance: float) -> str:
    return f"{chance:.0%}" if chance < 0.95 else "nearly all"


@check("CT294", "a stretch that is shorter than the time between wakes", Severity.WARNING)
def wakes_are_often_enough(spec: Spec) -> Iterator[Finding]:
    every, policy = spec.trigger_policy.wake_every, ("trigger_policy.wake_every", "the time between wakes")
    for trigger in spec.triggers:
        kind = trigger.spec
        if not trigger.enabled or not isinstance(kind, DriftTrigger | PerformanceTrigger):
            continue
        place = "drift" if isinstance(kind, DriftTrigger) else "performance"
        if NOTHING < kind.window < every:
            yield Finding(
                f"triggers.{trigger.name}.{place}.window",
                f"a wake comes every {written(every)} and looks at the latest {written(kind.window)}: "
                f"{1 - kind.window / every:.0%} of the rows are never looked at",
                f"write {written(every)} or more, or wake more often",
                policy,
            )
        if trigger.sustained is not None and trigger.sustained < every:
            yield Finding(
                f"triggers.{trigger.name}.sustained",
                f"within {written(trigger.sustained)} there is one wake at most (every {written(every)}), so being "
                "over the line once suffices",
                f"write {written(2 * every)} or more, wake more often, or remove `sustained`",
                policy,
            )


@check("CT295", "a word beside a trigger that does nothing there", Severity.WARNING)
def words_beside_triggers_have_an_effect(spec: Spec) -> Iterator[Finding]:
    for trigger in spec.triggers:
        kind, path = trigger.spec, f"triggers.{trigger.name}"
        watching = isinstance(kind, DriftTrigger | PerformanceTrigger)
        what = f"a {_KINDS[type(kind)]} trigger"
        if trigger.sustained is not None and not watching:
            message = f"{what} is no line that something can stay over"
            yield Finding(f"{path}.sustained", message, "remove `sustained`; it is for `drift` and `performance`")
        if trigger.wait_for is not None and not (watching or isinstance(kind, EventTrigger)):
            message = f"{what} tells of no change, after which rows could be counted"
            yield Finding(f"{path}.wait_for", message, "remove `wait_for`; `new_data` waits for labelled rows")
        elif trigger.wait_for is not None and trigger.then != "retrain":
            message = f"`then: {trigger.then}` starts no run that could wait"
            yield Finding(f"{path}.wait_for", message, "remove `wait_for`", (f"{path}.then", "what it does"))
        if trigger.exempt and trigger.then != "retrain":
            message = f"`then: {trigger.then}` starts no run: neither cooldown nor budget holds it back"
            yield Finding(f"{path}.exempt", message, "remove `exempt`", (f"{path}.then", "what it does"))
        if isinstance(kind, DriftTrigger) and kind.require != "any" and len(kind.columns) == 1:
            yield Finding(f"{path}.drift.require", "there is one column, so any is all", "remove `require`")


_KINDS = {
    ScheduleTrigger: "schedule",
    NewDataTrigger: "new_data",
    PerformanceTrigger: "performance",
    DriftTrigger: "drift",
    EventTrigger: "event",
    ManualTrigger: "manual",
}
