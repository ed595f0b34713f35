"""Triggers, and the policy that holds them back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check
from ctc.language.checks.data import is_zone
from ctc.language.cron import Cron
from ctc.language.spec import ManualTrigger, ScheduleTrigger, Spec

# Any fixed stretch shows how often an expression fires; this one has a leap day.
_FROM, _UNTIL = datetime(2024, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
_FIRINGS = 400


def _schedules(spec: Spec) -> Iterator[tuple[str, ScheduleTrigger]]:
    for trigger in spec.triggers:
        if isinstance(trigger.spec, ScheduleTrigger):
            yield trigger.name, trigger.spec


def _firings(schedule: ScheduleTrigger) -> list[datetime]:
    """The first instants of a schedule; none where CT280 or CT214 speaks."""
    if not is_zone(schedule.timezone):
        return []
    try:
        cron = Cron.parse(schedule.cron)
    except ValueError:
        return []
    return [] if cron.never_fires() else list(islice(cron.instants(_FROM, _UNTIL, schedule.timezone), _FIRINGS))


@check("CT280", "a cron expression that is none")
def crons_are_valid(spec: Spec) -> Iterator[Finding]:
    for name, schedule in _schedules(spec):
        try:
            Cron.parse(schedule.cron)
        except ValueError as error:
            yield Finding(f"triggers.{name}.schedule.cron", str(error), 'for instance "30 2 * * 1" is Monday, 02:30')


@check("CT281", "a cron expression that never fires")
def crons_fire(spec: Spec) -> Iterator[Finding]:
    for name, schedule in _schedules(spec):
        try:
            never = Cron.parse(schedule.cron).never_fires()
        except ValueError:
            continue
        if never:
            yield Finding(f"triggers.{name}.schedule.cron", f"no year has such a day: `{schedule.cron}` never fires")


@check("CT282", "a schedule that is faster than the cooldown", Severity.WARNING)
def schedules_outlast_the_cooldown(spec: Spec) -> Iterator[Finding]:
    exempt = {trigger.name for trigger in spec.triggers if trigger.exempt or not trigger.enabled}
    for name, schedule in _schedules(spec):
        gaps = [later - earlier for earlier, later in pairwise(_firings(schedule))]
        if name not in exempt and gaps and min(gaps) < spec.trigger_policy.cooldown:
            yield Finding(
                f"triggers.{name}.schedule.cron",
                f"`{schedule.cron}` fires faster than the cooldown allows: some of its runs are suppressed",
                "shorten the cooldown, or write `exempt: true` beside `schedule`",
                ("trigger_policy.cooldown", "the cooldown"),
            )


@check("CT283", "a schedule that is faster than `max_runs`", Severity.WARNING)
def schedules_stay_within_max_runs(spec: Spec) -> Iterator[Finding]:
    limit = spec.trigger_policy.max_runs
    if limit is None:
        return
    enabled = {trigger.name for trigger in spec.triggers if trigger.enabled}
    for name, schedule in _schedules(spec):
        instants = _firings(schedule)
        later = instants[limit.count :]
        if name in enabled and any(b - a < limit.per for a, b in zip(instants, later, strict=False)):
            yield Finding(
                f"triggers.{name}.schedule.cron",
                f"`{schedule.cron}` alone fires more often than `max_runs` allows: some of its runs are suppressed",
                "raise `max_runs.count`",
                ("trigger_policy.max_runs.count", "the limit"),
            )


@check("CT284", "a spec that nothing starts")
def something_starts_a_run(spec: Spec) -> Iterator[Finding]:
    if not any(trigger.enabled for trigger in spec.triggers):
        what = "every trigger is disabled" if spec.triggers else "there is no trigger"
        yield Finding(
            "triggers", f"{what}, so nothing ever starts a run", "add one, for instance `asked: {manual: {}}`"
        )


@check("CT285", "a trigger policy with a time that is too short")
def times_have_a_length(spec: Spec) -> Iterator[Finding]:
    policy = spec.trigger_policy
    if policy.wake_every < timedelta(minutes=1):
        yield Finding("trigger_policy.wake_every", "a wake takes longer than that", "write 1m or more; 1h is usual")
    if policy.max_runs is not None and policy.max_runs.per == timedelta(0):
        yield Finding("trigger_policy.max_runs.per", "within no time there are no runs", "write one such as 30d")


@check("CT286", "an exemption from nothing", Severity.WARNING)
def exemptions_have_an_effect(spec: Spec) -> Iterator[Finding]:
    for trigger in spec.triggers:
        if trigger.exempt and spec.trigger_policy.cooldown == timedelta(0):
            message = f"`{trigger.name}` is exempt from a cooldown that there is not"
            yield Finding(
                f"triggers.{trigger.name}.exempt", message, "remove `exempt`, or set `trigger_policy.cooldown`"
            )


@check("CT287", "a schedule in a time zone that there is not")
def schedule_zones_exist(spec: Spec) -> Iterator[Finding]:
    for name, schedule in _schedules(spec):
        if not is_zone(schedule.timezone):
            message = f"there is no time zone `{schedule.timezone}`"
            yield Finding(
                f"triggers.{name}.schedule.timezone", message, "write an IANA name such as Europe/Oslo or UTC"
            )


@check("CT288", "a spec that acts, but only when asked", Severity.WARNING)
def somebody_need_not_ask(spec: Spec) -> Iterator[Finding]:
    enabled = [trigger for trigger in spec.triggers if trigger.enabled]
    if enabled and spec.mode == "act" and all(isinstance(trigger.spec, ManualTrigger) for trigger in enabled):
        message = "every enabled trigger is manual: the model is retrained only when somebody asks"
        yield Finding("triggers", message, "add a `schedule` or a `new_data` trigger")
