"""How a model takes over and is taken back: servers, batch jobs, rollout, and the events that reach each target."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check, check_on_target, suggest
from ctc.language.checks.gates import LABEL_FREE
from ctc.language.checks.time import NOTHING, label_age, written
from ctc.language.checks.triggers import metric_of
from ctc.language.requests import RATE, requests
from ctc.language.spec import (
    NO_TIME,
    EventTrigger,
    ManualTrigger,
    NewDataTrigger,
    PerformanceTrigger,
    ScheduleTrigger,
    Spec,
    Trigger,
)

if TYPE_CHECKING:
    from ctc.language.spec.serving import Rollout, RolloutStep, Serving

LONGEST = timedelta(hours=1)
"""How long a measurement may take before somebody should be told."""


@check("CT296", "a rollback that nothing calls for")
def rollbacks_have_a_reason(spec: Spec) -> Iterator[Finding]:
    kinds = {ScheduleTrigger: "a time of the clock", NewDataTrigger: "new data", ManualTrigger: "a request to train"}
    for trigger in spec.triggers:
        if trigger.then == "rollback" and type(trigger.spec) in kinds:
            advice = "write `then: rollback` beside `performance`, `drift` or `event`"
            if isinstance(trigger.spec, ManualTrigger):
                advice = "a person rolls back with `ctc rollback`; remove `then`"
            yield Finding(
                f"triggers.{trigger.name}.then",
                f"`{trigger.name}` would take the champion back on {kinds[type(trigger.spec)]}, which says nothing "
                "against it",
                advice,
            )


@check("CT297", "a server or a batch job that cannot work as it is written")
def serving_can_work(spec: Spec) -> Iterator[Finding]:
    sources = {source.name: source for source in spec.sources}
    for entry in spec.serving:
        path, most = f"serving.{entry.name}", entry.instances.max
        if most is not None and entry.instances.min > most:
            message = f"at least {entry.instances.min} servers are more than at most {most}"
            yield Finding(f"{path}.instances.min", message, "exchange the two", (f"{path}.instances.max", "max"))
        if entry.batch is not None and entry.batch.rows not in sources:
            known = [name for name, source in sources.items() if source.role in ("rows", "features")]
            message = f"there is no source `{entry.batch.rows}`"
            yield Finding(f"{path}.batch.rows", message, suggest(entry.batch.rows, known))
        elif entry.batch is not None and sources[entry.batch.rows].role in ("labels", "predictions"):
            role = sources[entry.batch.rows].role
            message = f"`{entry.batch.rows}` has `role: {role}`: its rows hold {_HELD[role]}, not what is scored"
            advice = "name the source of the rows to score"
            yield Finding(f"{path}.batch.rows", message, advice, (f"sources.{entry.batch.rows}.role", "the role"))
        yield from _batch_can_work(spec, entry)
        if entry.online is not None and entry.online.capture == 0:
            for source in spec.sources:
                if source.captured is not None and source.captured.by == entry.name:
                    yield Finding(
                        f"{path}.online",
                        f"`{entry.name}` captures 0% of its requests, so the source `{source.name}` stays empty",
                        "write `capture: 100%`, or the share that is to be kept",
                        (f"sources.{source.name}.captured.by", "captured from here"),
                    )


def _batch_can_work(spec: Spec, entry: Serving) -> Iterator[Finding]:
    job, path = entry.batch, f"serving.{entry.name}.batch"
    if job is None:
        return
    source = next((source for source in spec.sources if source.name == job.rows), None)
    timeless = source is not None and source.known_at is None and source.event_time in (None, NO_TIME)
    if source is not None and timeless and job.write == "append":
        message = f"nothing says when a row of `{job.rows}` became known, so which ones are new cannot be told"
        yield Finding(path, message, "write `write: replace`, or give the source `known_at`")
    if spec.forecast is not None:
        message = "this version scores no forecasts in batch: their rows lie in the future, where no source has any"
        yield Finding(path, message, "leave the entry out")
    for read in spec.sources:
        if read.role != "predictions" and (read.path or "").rstrip("/") == job.out.rstrip("/"):
            message = f"`{entry.name}` would write its scores among the rows of `{read.name}`"
            yield Finding(
                f"{path}.out", message, "give them a place of their own", (f"sources.{read.name}", "read here")
            )
    for other in spec.serving:
        if other.name == entry.name:
            break
        if other.batch is not None and other.batch.out.rstrip("/") == job.out.rstrip("/"):
            message = f"`{other.name}` and `{entry.name}` both write to {job.out}, where a row has one score"
            place = (f"serving.{other.name}.batch.out", "the other one")
            yield Finding(f"{path}.out", message, "give each its own output", place)
    if any(trigger.name == f"score-{entry.name}" for trigger in spec.triggers):
        message = f"the schedule of `{entry.name}` is called `score-{entry.name}`, as a trigger is"
        yield Finding(path, message, "rename one of them", (f"triggers.score-{entry.name}", "the trigger"))


_HELD = {"labels": "labels", "predictions": "answers"}


@check("CT299", "a rollout without its server")
def rollouts_have_a_server(spec: Spec) -> Iterator[Finding]:
    if spec.rollout is None:
        return
    servers = [entry.name for entry in spec.serving if entry.online is not None]
    named = spec.rollout.serving
    if named is not None and named not in servers:
        batch = any(entry.name == named for entry in spec.serving)
        message = f"`{named}` is a batch job: it uses the champion of its start, and has no traffic to share"
        yield Finding("rollout.serving", message if batch else f"there is no server `{named}`", suggest(named, servers))
    elif not servers:
        yield Finding(
            "rollout",
            "a rollout moves the traffic of a server, and `serving` has none with `online`",
            "add one, or remove `rollout`: without it a promoted model takes over at once",
        )
    elif named is None and len(servers) > 1:
        message = f"there are {len(servers)} servers, and the rollout does not say whose traffic it moves"
        yield Finding("rollout", message, f"add `serving: {servers[0]}`, or one of: {', '.join(servers[1:])}")


@check("CT435", "rollout steps in an order that does not lead to all traffic")
def traffic_rises_to_all(spec: Spec) -> Iterator[Finding]:
    if spec.rollout is None:
        return
    steps, reached, before = spec.rollout.steps, 0.0, -1
    for index, step in enumerate(steps):
        path = f"rollout.steps.{index}"
        if before >= 0 and reached >= 1:
            message = "the new model has all the traffic before this step, so it comes too late"
            yield Finding(path, message, "move it before `traffic: 100%`", (f"rollout.steps.{before}", "all of it"))
            return
        if step.mirror is not None and before >= 0:
            message = f"the new model answers {reached:.0%} of the requests already: users have met it unmirrored"
            yield Finding(path, message, "mirror before the first `traffic`")
        if step.traffic is None:
            continue
        if step.traffic <= reached:
            said = "no traffic shows nothing" if before < 0 else f"{step.traffic:.0%} after {reached:.0%} is no step on"
            yield Finding(f"{path}.traffic", said, "write shares that rise, such as 5%, 25%, 100%")
        reached, before = max(reached, step.traffic), index
    if reached < 1:
        message = "no step gives the new model any traffic" if before < 0 else f"the rollout ends at {reached:.0%}"
        yield Finding("rollout.steps", f"{message}: it never takes over", "end with `{traffic: 100%}`")


@check("CT436", "a rollout step that shows nothing", Severity.WARNING)
def steps_show_something(spec: Spec) -> Iterator[Finding]:
    rollout = spec.rollout
    if rollout is None:
        return
    for index, step in enumerate(rollout.steps):
        path, part = f"rollout.steps.{index}", _partial(step)
        if part is not None and not step.duration:
            message = f"`{part}` without `for` is over as soon as it has begun: no request is looked at"
            yield Finding(path, message, "add `for: 1h`, or how long it takes to see enough requests")
        elif part is not None and not step.gates and not rollout.limits:
            message = f"nothing is measured during these {written(step.duration)}: no gate, no limit can stop it"
            advice = "add `gates` to the step, or `rollout.limits: {errors: {error_rate: {max: 1%}}}`"
            yield Finding(path, message, advice)
        elif part is None and step.gates and not step.duration:
            message = "these gates have no time in which to be measured"
            yield Finding(f"{path}.gates", message, "move them to a step with `for`")
        if step.by is not None and step.traffic is None:
            message = "`by` keeps one user with one model where traffic is shared, which this step does not do"
            yield Finding(f"{path}.by", message, "move it to a `traffic` step")
    if rollout.limits and not any(step.duration for step in rollout.steps):
        message = "no step lasts, so these limits are never looked at"
        yield Finding("rollout.limits", message, "add a step such as `{traffic: 10%, for: 1h}`")
    if not any(source.role == "predictions" for source in spec.sources):
        yield from _unseen_scores(rollout)


def _unseen_scores(rollout: Rollout) -> Iterator[Finding]:
    """The limits and gates on live scores, in a spec that reads none."""
    places = [("rollout.limits", rollout.limits)]
    places += [(f"rollout.steps.{index}.gates", step.gates) for index, step in enumerate(rollout.steps)]
    for place, limits in places:
        for limit in limits:
            if limit.kind == "drift":
                message = "no source has `role: predictions`: live scores are never seen, so the step is given up"
                yield Finding(f"{place}.{limit.name}", message, "add the source of what was served, or remove this")


def _partial(step: RolloutStep) -> str | None:
    """What a step that lets a part of the requests reach the new model is called."""
    if step.mirror is not None:
        return f"mirror: {step.mirror:.0%}"
    if step.traffic is not None and step.traffic < 1:
        return f"traffic: {step.traffic:.0%}"
    return None


@check("CT437", "a rollback that comes after the previous model is gone", Severity.WARNING)
def the_previous_model_is_kept_long_enough(spec: Spec) -> Iterator[Finding]:
    rollout = spec.rollout
    if rollout is None:
        return
    for trigger in spec.triggers:
        if not trigger.enabled or trigger.then != "rollback":
            continue
        wait, why = _first_evidence(spec, trigger)
        if wait > rollout.keep_previous:
            yield Finding(
                f"triggers.{trigger.name}.then",
                f"`{trigger.name}` can tell {written(wait)} after a rollout at the earliest ({why}), and the previous "
                f"model is kept ready for {written(rollout.keep_previous)}",
                f"write `keep_previous: {written(wait * 2)}`, or watch what shows sooner",
                ("rollout.keep_previous", "how long it is kept"),
            )


def _first_evidence(spec: Spec, trigger: Trigger) -> tuple[timedelta, str]:
    """How long after a rollout a trigger can first be over its line, and the sum that says so."""
    parts = [("sustained", trigger.sustained or NOTHING)]
    if isinstance(trigger.spec, PerformanceTrigger):
        metric = metric_of(spec, trigger.spec)
        if metric is not None and metric.kind not in LABEL_FREE:
            parts.insert(0, ("known_after", label_age(spec)))
    said = " + ".join(f"{name} {written(time)}" for name, time in parts if time)
    return sum((time for _, time in parts), NOTHING), said


@check("CT438", "two approvals of one model", Severity.WARNING)
def one_model_is_approved_once(spec: Spec) -> Iterator[Finding]:
    if spec.rollout is None or spec.promotion.approval is None:
        return
    for index, step in enumerate(spec.rollout.steps):
        if step.approval is not None:
            yield Finding(
                f"rollout.steps.{index}.approval",
                "the same model is approved before its rollout and again within it: the second is soon given unread",
                "keep the one at which people know most; within the rollout they have seen live traffic",
                ("promotion.approval", "the first approval"),
            )
            return


def _events(spec: Spec, target: str) -> set[str]:
    return set(spec.targets.get(target, {}).get("events", {}))


@check("CT309", "an event that comes from nowhere")
def events_have_a_source(spec: Spec) -> Iterator[Finding]:
    known = sorted({event for target in spec.targets for event in _events(spec, target)})
    for trigger in spec.triggers:
        kind = trigger.spec
        if spec.targets and isinstance(kind, EventTrigger) and kind.name not in known:
            targets = ", ".join(f"targets.{name}.events" for name in spec.targets)
            yield Finding(
                f"triggers.{trigger.name}.event.name",
                f"no target says where `{kind.name}` comes from, so `{trigger.name}` never fires",
                suggest(kind.name, known) if known else f"map it under {targets}",
            )


@check_on_target("CT307", "an event that does not reach this target", Severity.WARNING)
def events_reach_the_target(spec: Spec, target: str) -> Iterator[Finding]:
    elsewhere = {event: name for name in spec.targets for event in _events(spec, name)}
    for trigger in spec.triggers:
        kind = trigger.spec
        if not isinstance(kind, EventTrigger) or kind.name in _events(spec, target) or not trigger.enabled:
            continue
        # CT309 speaks of an event that no target has.
        if kind.name in elsewhere:
            yield Finding(
                f"triggers.{trigger.name}.event.name",
                f"on {target} nothing raises `{kind.name}`, so `{trigger.name}` never fires there",
                f"map it under `targets.{target}.events`",
                (f"targets.{elsewhere[kind.name]}.events.{kind.name}", f"mapped for {elsewhere[kind.name]}"),
            )


@check("CT308", "an event that no trigger waits for", Severity.WARNING)
def events_are_used(spec: Spec) -> Iterator[Finding]:
    waited = [trigger.spec.name for trigger in spec.triggers if isinstance(trigger.spec, EventTrigger)]
    for target in spec.targets:
        for event in sorted(_events(spec, target)):
            if event not in waited:
                message = f"`{event}` is mapped for {target}, and no trigger waits for it"
                advice = f"remove it, or add a trigger with `event: {{name: {event}}}`"
                yield Finding(f"targets.{target}.events.{event}", message, advice)


@check("CT422", "a latency gate without the server that it measures")
def latency_is_measured_somewhere(spec: Spec) -> Iterator[Finding]:
    online = [entry.name for entry in spec.serving if entry.online is not None]
    names = [entry.name for entry in spec.serving]
    for gate in spec.promotion.gates:
        if gate.kind != "latency":
            continue
        path = f"promotion.gates.{gate.name}.latency"
        if gate.serving is not None and gate.serving not in names:
            message = f"`serving` has no entry `{gate.serving}`"
            yield Finding(f"{path}.serving", message, suggest(gate.serving, online))
        elif gate.serving is not None and gate.serving not in online:
            message = f"`{gate.serving}` is a batch job: it answers no requests whose time could be measured"
            yield Finding(
                f"{path}.serving", message, suggest(gate.serving, online), (f"serving.{gate.serving}", "here")
            )
        elif gate.serving is None and not online:
            message = "latency is measured over HTTP against an online server, and this spec has none"
            yield Finding(path, message, "add an `online` entry to `serving`, or remove the gate")
        elif gate.serving is None and len(online) > 1:
            message = f"there are {len(online)} online servers, and nothing says which one is measured"
            yield Finding(path, message, f"add `serving:` with one of: {', '.join(online)}", ("serving", "the servers"))


@check("CT427", "a latency gate that takes longer than a training", Severity.WARNING)
def latency_is_measured_in_time(spec: Spec) -> Iterator[Finding]:
    for gate in spec.promotion.gates:
        rate = gate.rate or RATE
        lasts = timedelta(seconds=requests(rate) / rate)
        if gate.kind == "latency" and lasts > LONGEST:
            message = f"at this rate the {requests(rate)} requests of a measurement last {written(lasts)}"
            yield Finding(
                f"promotion.gates.{gate.name}.latency.rate",
                message,
                "write the rate of the busiest hour, such as 20/s: a server that is hardly asked is always fast",
            )
