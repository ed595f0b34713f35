"""From a candidate to the champion: what it was chosen on must still hold, and people may have to say yes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ctc.policy.actions import Route
from ctc.policy.approval import ANYBODY, Consent, Pending, Rule
from ctc.policy.changes import Change, Draft
from ctc.policy.evidence import Command, Health
from ctc.policy.rollout import Waking, abort, advance, asked, begin, drop, promote, promotion, roll_back, said
from ctc.policy.rules import Policy
from ctc.policy.standing import Grounds
from ctc.policy.state import State, Version


def arrive(draft: Draft, record: Mapping[str, Any], candidate: Version) -> Draft:
    """An attempt has ended with a candidate: a pending one of before is superseded."""
    state = draft.state
    if state.candidate is not None:
        draft = drop(draft, "superseded", f"version {candidate.version} is newer", "")
    compared = record.get("champion", None if state.champion is None else state.champion.version)
    decision = record.get("decision") or {}
    evidence = json.dumps([record.get("evaluation"), decision], sort_keys=True, default=str)
    grounds = Grounds(
        compared,
        str(record.get("spec_digest", "")),
        hashlib.sha256(evidence.encode()).hexdigest(),
        decision.get("decision") == "ask",
    )
    return draft.set(candidate=candidate, grounds=grounds)


def settle(draft: Draft, health: Health, waking: Waking) -> Draft:
    """One wake's progress of the candidate; in mode `observe` it waits."""
    state = draft.state
    candidate = state.candidate
    if candidate is None or waking.rules.limits.mode == "observe":
        return draft
    if state.champion is not None and state.champion.version == candidate.version:
        return promote(draft, waking)
    if _quarantined(state, candidate):
        return drop(draft, "quarantined", "a version of the same data and training was rolled back", "")
    if state.rollout is not None:
        return advance(draft, health, waking)
    rule = _required(state, waking.rules)
    moved = _moved(state, waking, rule)
    if moved:
        return drop(draft, "withdrawn", moved, "")
    if rule is not None:
        draft = asked(draft, rule, None, waking)
        pending = draft.state.approval
        assert pending is not None
        if waking.instant >= pending.expires:
            return drop(draft, "expired", f"nobody answered {pending.id} in time, which is a refusal", "")
        if not pending.granted:
            return draft
        draft = draft.set(approval=None).tell(Change("approved", said(pending), pending.version))
    return begin(draft, waking)


def obey(draft: Draft, command: Command, waking: Waking) -> Draft:
    """Does what a person asks for, or says why not. Answered once, by its id."""
    if command.id in draft.state.manual:
        return draft
    match command.do:
        case "approve":
            return _approve(draft, command, waking)
        case "reject":
            return _reject(draft, command, waking)
        case "adopt":
            return _adopt(draft, command, waking)
        case "rollback":
            return roll_back(draft, command.why, command.who, waking)
        case "resume":
            return resume(draft, command.why, command.who)


def resume(draft: Draft, why: str, who: str) -> Draft:
    if draft.state.hold is None:
        return _refused(draft, "nothing is held", who)
    return draft.set(hold=None).tell(Change("resumed", why, who=who))


def _approve(draft: Draft, command: Command, waking: Waking) -> Draft:
    pending, obstacle = _question(draft.state, command, waking)
    if pending is None:
        return _refused(draft, obstacle, command.who)
    if waking.rules.limits.mode == "observe":
        return _refused(draft, "the mode is observe: nothing is promoted", command.who)
    groups = pending.rule.groups or (ANYBODY,)
    group = command.group or (groups[0] if len(groups) == 1 else "")
    if group not in groups:
        return _refused(draft, f"say for which group: {', '.join(groups)}", command.who)
    pending = pending.with_consent(Consent(command.who, group, command.why))
    draft = draft.set(approval=pending)
    if pending.granted:
        return draft
    reason = f"{group}: {command.why}; still to say yes: {', '.join(pending.missing)}"
    return draft.tell(Change("consented", reason, pending.version, command.who))


def _reject(draft: Draft, command: Command, waking: Waking) -> Draft:
    pending, obstacle = _question(draft.state, command, waking)
    if pending is None:
        return _refused(draft, obstacle, command.who)
    if draft.state.rollout is not None:
        return abort(draft, f"rejected: {command.why}", waking, bad=False, who=command.who)
    return drop(draft, "rejected", command.why, command.who)


def _question(state: State, command: Command, waking: Waking) -> tuple[Pending | None, str]:
    """The question that is answered, or why there is none."""
    pending = state.approval
    if pending is None:
        return None, "nothing waits for an answer"
    if command.about != pending.id:
        return None, f"the question is {pending.id} now (version {pending.version}): look at it, and answer that"
    if waking.instant >= pending.expires:
        return None, f"{pending.id} has expired, which was a refusal"
    return pending, ""


def _adopt(draft: Draft, command: Command, waking: Waking) -> Draft:
    state, version = draft.state, command.version
    if version is None:
        return _refused(draft, "say which model", command.who)
    if state.champion is not None:
        reason = f"version {state.champion.version} is the champion; adopting is for a deployment that has none"
        return _refused(draft, reason, command.who)
    if state.rollout is not None:
        return _refused(draft, f"version {state.rollout.version} is rolling out", command.who)
    draft = draft.set(champion=version, first=version.attempt).ask(promotion(version))
    rollout = waking.rules.rollout
    if rollout is not None:
        draft = draft.ask(Route(f"route-{version.version}-champion", rollout.serving, ((version.version, 1.0),)))
    return draft.tell(Change("adopted", command.why, version.version, command.who))


def _refused(draft: Draft, reason: str, who: str) -> Draft:
    return draft.tell(Change("refused", reason, who=who))


def _required(state: State, rules: Policy) -> Rule | None:
    """Whose yes the candidate needs, None if nobody's."""
    rule = (rules.first if state.champion is None else None) or rules.approval
    if rule is None and (rules.limits.mode == "recommend" or (state.grounds is not None and state.grounds.asks)):
        return Rule()
    return rule


def _moved(state: State, waking: Waking, rule: Rule | None) -> str:
    """What of the candidate's grounds no longer holds; empty if all does."""
    grounds = state.grounds
    if grounds is None:
        return ""
    champion = None if state.champion is None else state.champion.version
    if grounds.champion != champion:
        return f"it was compared with {_shown(grounds.champion)}, and the champion is {_shown(champion)}: decide again"
    if rule is not None and grounds.spec_digest != waking.identity.spec_digest:
        return "the spec has changed since it was judged: decide again"
    return ""


def _shown(version: str | None) -> str:
    return "none" if version is None else f"version {version}"


def _quarantined(state: State, candidate: Version) -> bool:
    known = candidate.data and candidate.training
    return bool(known) and any(
        (kept.data, kept.training) == (candidate.data, candidate.training) for kept in state.quarantine
    )
