"""How a candidate takes over step by step, and how it is taken back.

The champion does not move while a rollout is under way: it is what the traffic goes back to. Where there is no champion
yet nothing can be compared and nobody served, so traffic steps are entered and left at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from ctc.policy.actions import Promote, Retire, Route, Smoke
from ctc.policy.approval import Pending, Rule, binding
from ctc.policy.changes import Change, Draft
from ctc.policy.evidence import Health
from ctc.policy.records import Identity
from ctc.policy.rules import Policy, RolloutRules
from ctc.policy.standing import Hold, Position, Quarantined, Retiring
from ctc.policy.state import State, Version
from ctc.policy.windows import format_instant, labelled_until

UNJUDGED = 2
"""A step that cannot be judged is given up after this many times its own length."""

KEPT_BACK = 20
"""So many versions that were taken back are remembered."""


@dataclass(frozen=True)
class Waking:
    """What every decision of one wake shares."""

    rules: Policy
    instant: datetime
    identity: Identity


def begin(draft: Draft, waking: Waking) -> Draft:
    """The candidate starts to take over; without a rollout it is the champion at once."""
    candidate, rollout = draft.state.candidate, waking.rules.rollout
    assert candidate is not None
    if rollout is None:
        return promote(draft, waking)
    position = Position(candidate.version, 0, waking.instant, rollout.digest)
    draft = draft.set(rollout=position).tell(Change("rollout_started", _named(rollout, 0), candidate.version))
    return advance(_enter(draft, rollout), Health(), waking)


def advance(draft: Draft, health: Health, waking: Waking) -> Draft:
    """As many steps as the evidence allows. `health` is of the step in which the wake began."""
    rollout = waking.rules.rollout
    if rollout is None:
        return promote(draft, waking)
    while (position := draft.state.rollout) is not None:
        if position.digest != rollout.digest:
            return _restart(draft, rollout, waking)
        failed = next((answer for answer in health.answers if answer.answer == "fail"), None)
        if failed is not None:
            return abort(draft, f"{failed.name}: {failed.reason}", waking, bad=True)
        draft, done = _step(draft, rollout, health, waking)
        if not done:
            return draft
        health = Health()
        if position.step + 1 == len(rollout.steps):
            return promote(draft, waking)
        draft = draft.set(rollout=replace(position, step=position.step + 1, since=waking.instant))
        draft = draft.tell(Change("rollout_advanced", _named(rollout, position.step + 1), position.version))
        draft = _enter(draft, rollout)
    return draft


def promote(draft: Draft, waking: Waking) -> Draft:
    """The candidate is the champion; the former one is kept for as long as the rollout says."""
    state, rollout = draft.state, waking.rules.rollout
    candidate, champion = state.candidate, state.champion
    assert candidate is not None
    cleared = draft.set(candidate=None, grounds=None, approval=None, rollout=None)
    if champion is not None and champion.version == candidate.version:
        return cleared
    draft = cleared.set(champion=candidate, previous=champion, first=state.first or candidate.attempt)
    draft = draft.ask(promotion(candidate)).tell(Change("promoted", _instead(champion), candidate.version))
    if rollout is not None:
        draft = draft.ask(_route(rollout, ((candidate.version, 1.0),), f"{candidate.version}-champion"))
        if champion is not None:
            draft = draft.set(retiring=Retiring(champion.version, waking.instant + rollout.keep_previous))
    return draft


def promotion(version: Version) -> Promote:
    return Promote(f"promote-{version.attempt}-{version.version}", version.version)


def retire(draft: Draft, waking: Waking) -> Draft:
    """Lets a former champion go whose time is up, unless something is rolling out."""
    retiring, rollout = draft.state.retiring, waking.rules.rollout
    if retiring is None or rollout is None or draft.state.rollout is not None or waking.instant < retiring.until:
        return draft
    draft = draft.set(retiring=None).ask(Retire(f"retire-{retiring.version}", rollout.serving, retiring.version))
    return draft.tell(Change("retired", f"it was kept until {format_instant(retiring.until)}", retiring.version))


def drop(
    draft: Draft, what: Literal["expired", "rejected", "superseded", "withdrawn", "quarantined"], reason: str, who: str
) -> Draft:
    """The candidate will not be the champion; nothing of it serves."""
    candidate = draft.state.candidate
    draft = draft.set(candidate=None, grounds=None, approval=None, rollout=None)
    return draft.tell(Change(what, reason, "" if candidate is None else candidate.version, who))


def abort(draft: Draft, reason: str, waking: Waking, *, bad: bool, who: str = "") -> Draft:
    """All traffic goes back to the champion. A candidate that did badly is quarantined, and automatic triggers wait."""
    state, rollout = draft.state, waking.rules.rollout
    candidate = state.candidate
    assert candidate is not None
    draft = draft.set(candidate=None, grounds=None, approval=None, rollout=None)
    draft = draft.tell(Change("rollout_aborted", reason, candidate.version, who))
    if rollout is not None:
        champion = state.champion
        traffic = () if champion is None else ((champion.version, 1.0),)
        draft = draft.ask(_route(rollout, traffic, f"{candidate.version}-aborted"))
    return _keep_back(draft, candidate, reason, waking) if bad else draft


def roll_back(draft: Draft, reason: str, who: str, waking: Waking) -> Draft:
    """The previous champion again. The bad one is quarantined, and automatic triggers wait: no ping-pong."""
    state, rollout = draft.state, waking.rules.rollout
    if state.rollout is not None:
        return abort(draft, reason, waking, bad=True, who=who)
    bad, good = state.champion, state.previous
    if bad is None or good is None:
        return draft.tell(Change("refused", "there is no previous champion to go back to", who=who))
    if state.candidate is not None:
        draft = drop(draft, "withdrawn", "the champion that it was compared with was rolled back", who)
    draft = draft.set(champion=good, previous=None, retiring=None)
    draft = draft.ask(Promote(f"rollback-{bad.version}-{good.version}", good.version))
    if rollout is not None:
        draft = draft.ask(_route(rollout, ((good.version, 1.0),), f"{bad.version}-rolled-back"))
    draft = draft.tell(
        Change("rolled_back", f"{reason}; version {good.version} is the champion again", bad.version, who)
    )
    return _keep_back(draft, bad, reason, waking)


def asked(draft: Draft, rule: Rule, step: int | None, waking: Waking) -> Draft:
    """Puts the question, unless it stands already."""
    state = draft.state
    candidate, grounds = state.candidate, state.grounds
    assert candidate is not None
    if state.approval is not None and (state.approval.version, state.approval.step) == (candidate.version, step):
        return draft
    pending = Pending(
        binding(
            version=candidate.version,
            champion=None if state.champion is None else state.champion.version,
            spec_digest=waking.identity.spec_digest,
            evidence="" if grounds is None else grounds.evidence,
            step=step,
            asked=waking.instant,
        ),
        candidate.version,
        rule,
        waking.instant,
        step,
    )
    wanted = (" and " if rule.all_of else " or ").join(rule.groups) or "anybody"
    reason = f"{wanted} must say yes by {format_instant(pending.expires)}; the question is {pending.id}"
    return draft.set(approval=pending).tell(Change("approval_asked", reason, candidate.version))


def traffic(state: State, rules: Policy) -> Route | None:
    """Where the traffic should go, as the state has it: what a wake repairs. None where nothing of ours serves."""
    rollout = rules.rollout
    if rollout is None or (state.champion is None and state.rollout is None):
        return None
    if state.rollout is not None:
        return _shares(state, rollout)
    assert state.champion is not None
    return _route(rollout, ((state.champion.version, 1.0),), f"{state.champion.version}-champion")


def _step(draft: Draft, rollout: RolloutRules, health: Health, waking: Waking) -> tuple[Draft, bool]:
    """One step; whether it is over."""
    position = draft.state.rollout
    assert position is not None
    step = rollout.steps[position.step]
    match step["kind"]:
        case "smoke":
            return _smoke(draft, rollout, health, waking)
        case "approval":
            return _approval(draft, step, position, waking)
        case _:
            return _live(draft, step, position, health, waking)


def _smoke(draft: Draft, rollout: RolloutRules, health: Health, waking: Waking) -> tuple[Draft, bool]:
    position = draft.state.rollout
    assert position is not None
    answer = health.smoke
    if answer is not None and answer.answer == "fail":
        return abort(draft, f"smoke: {answer.reason}", waking, bad=True), False
    if answer is not None and answer.answer == "pass":
        return draft, True
    step = rollout.steps[position.step]
    asking = Smoke(smoke_key(position), rollout.serving, position.version, step["request"], step["status"])
    return draft.ask(asking), False


def smoke_key(position: Position) -> str:
    """The key of the present smoke step's action, under which its answer is kept."""
    return f"smoke-{position.version}-{position.step}-{format_instant(position.since)}"


def _approval(draft: Draft, step: Mapping[str, Any], position: Position, waking: Waking) -> tuple[Draft, bool]:
    rule = Rule.from_document(step["rule"])
    assert rule is not None
    draft = asked(draft, rule, position.step, waking)
    pending = draft.state.approval
    assert pending is not None
    if waking.instant >= pending.expires:
        return abort(draft, f"nobody answered {pending.id} in time, which is a refusal", waking, bad=False), False
    if not pending.granted:
        return draft, False
    return draft.set(approval=None).tell(Change("approved", said(pending), pending.version)), True


def said(pending: Pending) -> str:
    """Who said yes, in whose name, and why."""
    return "; ".join(f"{given.who} for {given.group}: {given.why}" for given in pending.consents)


def _live(
    draft: Draft, step: Mapping[str, Any], position: Position, health: Health, waking: Waking
) -> tuple[Draft, bool]:
    """Traffic or a mirror of it, for its time, as long as it can be judged."""
    length = timedelta(seconds=step["for"])
    if draft.state.champion is None or not length:
        return draft, True
    if waking.instant < position.since + length:
        return draft, False
    unknown = _unknown(step, health, waking.rules.rollout)
    if not unknown:
        return draft, True
    if waking.instant < position.since + UNJUDGED * length:
        return draft, False
    return abort(draft, f"could not be judged: {unknown}", waking, bad=False), False


def _unknown(step: Mapping[str, Any], health: Health, rollout: RolloutRules | None) -> str:
    """The first limit or gate without an answer, and why; empty if all have one."""
    answers = {answer.name: answer for answer in health.answers}
    for limit in (*(rollout.limits if rollout is not None else ()), *step["gates"]):
        answer = answers.get(limit["name"])
        if answer is None:
            return f"{limit['name']} was not measured"
        if answer.answer == "not_evaluable":
            return f"{answer.name}: {answer.reason}"
    return ""


def _enter(draft: Draft, rollout: RolloutRules) -> Draft:
    """A traffic step starts by moving the traffic."""
    position = draft.state.rollout
    assert position is not None
    if rollout.steps[position.step]["kind"] not in ("traffic", "mirror"):
        return draft
    return draft.ask(_shares(draft.state, rollout))


def _shares(state: State, rollout: RolloutRules) -> Route:
    """What the steps up to the present one have given to the candidate, the rest to the champion."""
    position, champion = state.rollout, state.champion
    assert position is not None
    share, mirror, by = given(position, rollout)
    if champion is None:
        return _route(rollout, ((position.version, 1.0),) if share else (), f"{position.version}-{position.step}")
    parts = ((champion.version, round(1.0 - share, 12)), (position.version, share))
    shown = tuple(part for part in parts if part[1] or (mirror and part[0] == position.version))
    return replace(_route(rollout, shown, f"{position.version}-{position.step}"), mirror=mirror, by=by)


def given(position: Position, rollout: RolloutRules) -> tuple[float, float, str | None]:
    """What the steps up to the present one have given the candidate: its share of the traffic, the share that it sees
    as a mirror, and the field that keeps a user with one version."""
    share, mirror, by = 0.0, 0.0, None
    for step in rollout.steps[: position.step + 1]:
        if step["kind"] == "traffic":
            share, mirror, by = step["share"], 0.0, step["by"]
        elif step["kind"] == "mirror":
            mirror = step["share"]
    return share, mirror, by


def _restart(draft: Draft, rollout: RolloutRules, waking: Waking) -> Draft:
    position = draft.state.rollout
    assert position is not None
    draft = draft.set(rollout=Position(position.version, 0, waking.instant, rollout.digest), approval=None)
    draft = draft.tell(Change("rollout_started", f"its steps have changed; {_named(rollout, 0)}", position.version))
    return advance(_enter(draft, rollout), Health(), waking)


def _keep_back(draft: Draft, bad: Version, reason: str, waking: Waking) -> Draft:
    kept = (*draft.state.quarantine, Quarantined(bad.version, bad.data, bad.training))[-KEPT_BACK:]
    until = labelled_until(waking.rules.known_after, waking.instant)
    return draft.set(quarantine=kept, hold=Hold(waking.instant, reason, until))


def _route(rollout: RolloutRules, shares: tuple[tuple[str, float], ...], key: str) -> Route:
    return Route(f"route-{key}", rollout.serving, shares)


def _named(rollout: RolloutRules, index: int) -> str:
    step = rollout.steps[index]
    share = f" {step['share']:.4g}" if "share" in step else ""
    return f"step {index + 1} of {len(rollout.steps)}: {step['kind']}{share}"


def _instead(champion: Version | None) -> str:
    return "the first champion" if champion is None else f"in place of version {champion.version}"
