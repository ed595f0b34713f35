"""What runs cost, in money and machines, and who is told."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from ctc.diagnostics import Severity
from ctc.language.attempts import runs_that_fit
from ctc.language.checks import Finding, check
from ctc.language.checks.time import NOTHING, retraining_schedules, written
from ctc.language.checks.triggers import most_within
from ctc.language.spec import DriftTrigger, EventTrigger, PerformanceTrigger, ScheduleTrigger, Spec

if TYPE_CHECKING:
    from ctc.language.spec.serving import Cost

_MONTH = timedelta(days=30)
_ADDRESS = re.compile(r"[^@\s,;<>:]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")


def longest_training(spec: Spec) -> timedelta:
    """The longest that the training command may take, its further tries included."""
    return spec.training.timeout * (spec.training.retries + 1)


@check("CT298", "a trigger that can start runs without end", Severity.WARNING)
def runs_come_to_an_end(spec: Spec) -> Iterator[Finding]:
    policy = spec.trigger_policy
    if policy.max_runs is not None or policy.wake_every <= NOTHING:
        return
    for trigger in spec.triggers:
        kind = trigger.spec
        held = policy.cooldown and not trigger.exempt
        if not trigger.enabled or trigger.then != "retrain" or held:
            continue
        rearmed = (policy.rearm.new_rows or policy.rearm.backoff) and not trigger.exempt
        if isinstance(kind, DriftTrigger | PerformanceTrigger) and not rearmed:
            a_day = math.floor(timedelta(days=1) / policy.wake_every)
            often = f"up to {a_day} a day" if a_day > 1 else f"one every {written(policy.wake_every)}"
            what = "drift" if isinstance(kind, DriftTrigger) else "performance"
            yield Finding(
                f"triggers.{trigger.name}.{what}",
                f"while it is over its line, and runs promote nothing, every wake starts another: {often}",
                "write `trigger_policy.cooldown`, `max_runs` or `rearm: {new_rows: ..., backoff: ...}`",
            )
        elif isinstance(kind, EventTrigger) and kind.dedupe_by is None:
            yield Finding(
                f"triggers.{trigger.name}.event",
                f"an alert `{kind.name}` that repeats starts a run each time: nothing tells a repeated one from a new",
                "add `dedupe_by:` with the field that names the incident, or write `trigger_policy.cooldown`",
            )


@check("CT400", "an amount in another currency than the budget's")
def there_is_one_currency(spec: Spec) -> Iterator[Finding]:
    cost = spec.cost
    if cost is None:
        return
    for key in ("max_per_run", "max_per_month"):
        amount = getattr(cost, key)
        if amount is not None and amount.currency not in (None, cost.currency):
            yield Finding(
                f"cost.{key}",
                f"{amount.amount:g} {amount.currency} is not in {cost.currency}, in which everything else is counted",
                f"write the amount in {cost.currency}, or `currency: {amount.currency}`",
                ("cost.currency", "the budget's currency"),
            )


def _in_one_currency(cost: Cost) -> bool:
    amounts = (cost.max_per_run, cost.max_per_month)
    return all(amount is None or amount.currency in (None, cost.currency) for amount in amounts)


@check("CT401", "a budget that no run fits into")
def a_run_fits_the_budget(spec: Spec) -> Iterator[Finding]:
    cost = spec.cost
    # Amounts that CT400 speaks of cannot be compared.
    if cost is None or not _in_one_currency(cost):
        return
    run, month = cost.max_per_run, cost.max_per_month
    for key, amount in (("max_per_run", run), ("max_per_month", month)):
        if amount is not None and amount.amount == 0:
            yield Finding(f"cost.{key}", "with nothing to spend no run is started", "write an amount, or remove it")
            return
    if run is not None and month is not None and run.amount > month.amount:
        yield Finding(
            "cost.max_per_month",
            f"{month.amount:g} {cost.currency} a month is less than the {run.amount:g} {cost.currency} that are set "
            "aside before a run: none is ever started",
            f"write {run.amount:g} or more, or lower `max_per_run`",
            ("cost.max_per_run", "one run"),
        )


@check("CT406", "a monthly budget of which nothing is set aside for a run")
def something_is_set_aside(spec: Spec) -> Iterator[Finding]:
    cost = spec.cost
    if cost is None or cost.max_per_month is None or cost.max_per_run is not None:
        return
    # A budget of nothing is CT401's.
    if cost.max_per_month.amount:
        yield Finding(
            "cost.max_per_month",
            "nothing says what one run may cost, so nobody can tell before it starts whether it still fits",
            "add `max_per_run`: so much is set aside when a run starts",
        )


@check("CT402", "a budget that is spent before the month is over", Severity.WARNING)
def the_budget_lasts(spec: Spec) -> Iterator[Finding]:
    cost = spec.cost
    if cost is None or cost.max_per_run is None or cost.max_per_month is None or not _in_one_currency(cost):
        return
    run, month = cost.max_per_run.amount, cost.max_per_month.amount
    if not 0 < run <= month:
        return
    fit, limit = runs_that_fit(month, run), spec.trigger_policy.max_runs
    wanted = [
        (
            most_within(ScheduleTrigger(schedule.cron, "UTC"), _MONTH),
            f"triggers.{trigger.name}.schedule.cron",
            f"`{schedule.cron}` fires",
        )
        for trigger, schedule, _ in retraining_schedules(spec)
        if not trigger.exempt
    ]
    if limit is not None and limit.per:
        allowed = math.ceil(limit.count * (_MONTH / limit.per))
        wanted = [(min(count, allowed), path, what) for count, path, what in wanted]
        wanted.append((allowed, "trigger_policy.max_runs", "`max_runs` lets runs start"))
    for count, path, what in wanted:
        if count > fit:
            yield Finding(
                "cost.max_per_month",
                f"{what} up to {count} times in 30d, at up to {run:g} {cost.currency} each; {month:g} {cost.currency} "
                f"a month pay for {fit} of them at that price, and the others are suppressed",
                f"write {count * run:g} or more, lower `max_per_run` to what a run really costs, or run less often",
                (path, "how often"),
            )
            return


@check("CT407", "a stated duration that cannot be", Severity.WARNING)
def durations_can_be(spec: Spec) -> Iterator[Finding]:
    if spec.cost is None:
        return
    durations, timeout, prepare = spec.cost.durations, spec.training.timeout, spec.prepare
    latency = any(gate.kind == "latency" for gate in spec.promotion.gates)
    batch = any(serving.batch is not None for serving in spec.serving)
    steps = (
        ("train", timeout, "training.timeout", ""),
        ("predict", timeout, "training.timeout", ""),
        ("batch", timeout, "training.timeout", "" if batch else "no batch job under `serving`"),
        ("prepare", prepare.timeout if prepare else None, "prepare.timeout", "" if prepare else "no `prepare`"),
        ("measure", None, "", "" if latency else "no latency gate"),
    )
    for key, limit, path, missing in steps:
        stated = getattr(durations, key)
        if stated is not None and missing:
            yield Finding(f"cost.durations.{key}", f"nothing takes that time: there is {missing}", "remove it")
        elif stated is not None and limit is not None and stated > limit:
            yield Finding(
                f"cost.durations.{key}",
                f"a try that takes {written(stated)} is stopped after {written(limit)}",
                f"write what it usually takes, at most {written(limit)}, or a longer `timeout`",
                (path, "ends each try"),
            )


@check("CT403", "a notification of what cannot happen", Severity.WARNING)
def notified_events_can_happen(spec: Spec) -> Iterator[Finding]:
    reasons = _impossible(spec)
    for channel in spec.notifications:
        for index, event in enumerate(channel.events):
            if event in reasons:
                why, advice = reasons[event]
                message = f"`{channel.name}` is never told `{event}`: {why}"
                yield Finding(f"notifications.{channel.name}.events.{index}", message, advice)


def _impossible(spec: Spec) -> Mapping[str, tuple[str, str]]:
    """The events that this spec cannot bring, why, and what to write."""
    promotion, rollout = spec.promotion, spec.rollout
    found = {}
    if spec.cost is None or spec.cost.max_per_month is None:
        found["over_budget"] = (
            "there is no `cost.max_per_month`",
            "add `cost: {max_per_run: ..., max_per_month: ...}`, or remove the event",
        )
    if spec.trigger_policy.staleness is None:
        advice = "add `trigger_policy.staleness: {max_age: ...}`, or remove the event"
        found["stale"] = ("there is no `trigger_policy.staleness`", advice)
    if not any(isinstance(trigger.spec, DriftTrigger | PerformanceTrigger) for trigger in spec.triggers):
        found["drifted"] = ("no trigger watches drift", "add a `drift` trigger, or remove the event")
    asking = [promotion.approval, promotion.first, *(step.approval for step in (rollout.steps if rollout else ()))]
    if not any(asking) and promotion.if_not_evaluable != "ask" and spec.mode != "recommend":
        advice = "add `promotion.approval: {any_of: [...]}`, or remove the event"
        found["approval_needed"] = ("nothing asks for approval", advice)
    return found


@check("CT404", "an address that no mail reaches")
def addresses_are_addresses(spec: Spec) -> Iterator[Finding]:
    for channel in spec.notifications:
        if channel.kind != "email":
            continue
        for index, address in enumerate(channel.arguments["to"]):
            if not _ADDRESS.fullmatch(address):
                several = address.count("@") > 1
                yield Finding(
                    f"notifications.{channel.name}.email.to.{index}",
                    f"`{address}` is {'several addresses' if several else 'no e-mail address'}",
                    "write each address as an item of its own" if several else "write one such as team@acme.example",
                )


@check("CT405", "runs that fail without anybody being told", Severity.WARNING)
def somebody_is_told_of_failures(spec: Spec) -> Iterator[Finding]:
    told = {event for channel in spec.notifications for event in channel.events}
    # Where staleness is told, so are failures that go on.
    if told and "failed" not in told and not ("stale" in told and spec.trigger_policy.staleness is not None):
        first = spec.notifications[0].name
        listed = ", ".join(sorted(told))
        yield Finding(
            f"notifications.{first}.events",
            f"somebody is told of {listed}, but nobody of `failed`: runs may break for weeks unseen",
            "add `failed` to a channel that somebody reads",
        )


@check("CT432", "runs that last longer than the time until the next", Severity.WARNING)
def runs_end_before_the_next(spec: Spec) -> Iterator[Finding]:
    longest, tries = longest_training(spec), spec.training.retries + 1
    said = written(spec.training.timeout) + (f" x {tries} tries = {written(longest)}" if tries > 1 else "")
    for trigger, schedule, gaps in retraining_schedules(spec):
        # Within the cooldown CT282 speaks.
        within = min(gaps) < spec.trigger_policy.cooldown and not trigger.exempt
        if longest > min(gaps) and not within:
            yield Finding(
                f"triggers.{trigger.name}.schedule.cron",
                f"training may take {said}, and `{schedule.cron}` fires after {written(min(gaps))}: while a run is on, "
                "the next is suppressed",
                f"write a `timeout` such that all tries end within {written(min(gaps))}, or run less often",
                ("training.timeout", "one try"),
            )


@check("CT433", "an alarm of staleness while all is well", Severity.WARNING)
def staleness_is_longer_than_a_period(spec: Spec) -> Iterator[Finding]:
    stale, path = spec.trigger_policy.staleness, "trigger_policy.staleness.max_age"
    if stale is None:
        return
    longest = [(max(gaps), trigger.name, schedule.cron) for trigger, schedule, gaps in retraining_schedules(spec)]
    run = longest_training(spec)
    if longest and stale <= min(longest)[0] + run:
        period, name, cron = min(longest)
        yield Finding(
            path,
            f"`{cron}` leaves up to {written(period)} between runs, and training may take {written(run)}: an alarm "
            f"after {written(stale)} is raised while all is well",
            f"write more than {written(period + run)}; {written(2 * period + run)} lets one run fail",
            (f"triggers.{name}.schedule.cron", "the schedule"),
        )
    elif not longest and stale <= spec.trigger_policy.cooldown:
        yield Finding(
            path,
            f"the cooldown keeps runs {written(spec.trigger_policy.cooldown)} apart: an alarm after {written(stale)} "
            "is raised after every run",
            f"write more than {written(spec.trigger_policy.cooldown + run)}",
            ("trigger_policy.cooldown", "the cooldown"),
        )
