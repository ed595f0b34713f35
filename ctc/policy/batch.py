"""Batch jobs: started by a cron with the champion of that moment, one of an entry at a time, ended by their record.

A job has a lease of its own, which training does not touch, nor it training's. Until a job of an entry has ended well
the next one scores what it should have, under the same file name: whatever an earlier one left there is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ctc.language.cron import Cron
from ctc.policy.actions import StartScoring, WriteRecord
from ctc.policy.changes import Change, Draft
from ctc.policy.evidence import Evidence
from ctc.policy.jobs import Job, Scoring
from ctc.policy.records import Identity, lost_job_record, record_id, record_key
from ctc.policy.rules import Policy
from ctc.policy.state import State
from ctc.policy.windows import format_instant

MAX_LAUNCHES = 3
"""How often one job is started before it is given up, as an attempt is."""

DONE = ("scored", "empty")
"""The ends after which nothing is left to score."""

PART = "%Y%m%dT%H%M%SZ"
"""The name of a job's file, from its instant."""


def end(draft: Draft, evidence: Evidence) -> Draft:
    """A job ends when its record is read, and in no other way."""
    for name, scoring in draft.state.scoring.items():
        job = scoring.job
        seen = None if job is None else evidence.jobs.get(job.id)
        if job is None or seen is None or seen.record is None or seen.record.get("id") != job.id:
            continue
        if seen.record.get("outcome") in DONE:
            until = job.instant if scoring.scored_until is None else max(job.instant, scoring.scored_until)
            draft = _set(draft, name, replace(scoring, job=None, part="", scored_until=until))
        else:
            draft = _set(draft, name, replace(scoring, job=None, part=str(job.request["part"])))
    return draft


def given_up(draft: Draft, evidence: Evidence, policy: Policy, now: datetime, identity: Identity) -> Draft:
    """Asks for the record of each job that is lost. If it has written its own meanwhile, that one stands."""
    for job in _live(draft.state):
        reason = _lost(job, evidence, policy, now)
        if reason:
            record = lost_job_record(identity, job.id, job.instant, job.request, reason)
            draft = draft.ask(WriteRecord(record_key(job.id), record))
    return draft


def keep(draft: Draft, evidence: Evidence, policy: Policy, now: datetime) -> Draft:
    """Starts dead jobs again, and those that the platform does not know."""
    for name, scoring in draft.state.scoring.items():
        job = scoring.job
        if job is None or _stopped(job, policy):
            continue
        seen = evidence.jobs.get(job.id)
        lease = timedelta(seconds=job.lease)
        if seen is None or seen.launch == "running":
            continue
        if seen.launch == "dead":
            job = replace(job, launch=job.launch + 1)
        elif now + lease > job.instant + MAX_LAUNCHES * lease:
            continue
        job = replace(job, lease_until=max(job.lease_until, now + lease))
        draft = _set(draft, name, replace(scoring, job=job)).ask(_start(job))
    return draft


def start(draft: Draft, policy: Policy, now: datetime, identity: Identity) -> Draft:
    """Starts the jobs that are due; the instants of one that cannot start stay due, as one."""
    listed = {str(entry["name"]) for entry in policy.batch}
    for name, scoring in draft.state.scoring.items():
        if name not in listed and scoring.settled is not None:
            draft = _set(draft, name, replace(scoring, settled=None))
    for entry in policy.batch:
        draft = _answer(draft, entry, policy, now, identity)
    return draft


def owed(state: State, keys: frozenset[str], now: datetime) -> State:
    """A job that starts only now, because its start stood in the outbox, holds its lease from now."""
    scoring = dict(state.scoring)
    for name, kept in state.scoring.items():
        job = kept.job
        if job is not None and _key(job) in keys:
            until = max(job.lease_until, now + timedelta(seconds=job.lease))
            scoring[name] = replace(kept, job=replace(job, lease_until=until))
    return replace(state, scoring=scoring)


def _answer(draft: Draft, entry: Mapping[str, Any], policy: Policy, now: datetime, identity: Identity) -> Draft:
    name: str = entry["name"]
    scoring = draft.state.scoring.get(name, Scoring())
    # Before the first wake nothing was due, but for the instants of this very minute.
    settled = scoring.settled or now.replace(second=0, microsecond=0) - timedelta(microseconds=1)
    due = next(Cron.parse(entry["cron"]).instants(settled, now, entry["timezone"]), None)
    if due is None:
        return _set(draft, name, replace(scoring, settled=now))
    scoring = replace(scoring, settled=settled)
    if scoring.job is not None:
        return _set(draft, name, scoring)
    if policy.limits.mode == "observe":
        told = f"{name}: due since {format_instant(due)}; in mode observe nothing is started"
        return _set(draft, name, replace(scoring, settled=now)).tell(Change("not_scored", told))
    champion = draft.state.champion
    if champion is None:
        if scoring.told:
            return _set(draft, name, scoring)
        told = f"{name}: due since {format_instant(due)}; it waits for the first champion"
        return _set(draft, name, replace(scoring, told=True)).tell(Change("not_scored", told))
    key = record_id("score", identity, now, (name,), draft.state.sequence + 1)
    appends, until = entry["write"] == "append", scoring.scored_until
    request = {
        "version": 1,
        "attempt": key,
        "instant": format_instant(now),
        "serving": name,
        "due": format_instant(due),
        "launch": 1,
        "champion": champion.to_json(),
        "after": format_instant(until) if appends and until is not None else None,
        "part": scoring.part or now.strftime(PART),
    }
    lease = float(entry["lease"])
    job = Job(key, now, lease, now + timedelta(seconds=lease), request)
    return _set(draft, name, replace(scoring, settled=now, job=job, told=False)).ask(_start(job))


def _lost(job: Job, evidence: Evidence, policy: Policy, now: datetime) -> str:
    """Why a job is given up; empty if it is not."""
    seen = evidence.jobs.get(job.id)
    if now >= job.lease_until:
        return f"no record by the end of its lease at {format_instant(job.lease_until)}"
    if seen is None or seen.launch != "dead":
        return ""
    if _stopped(job, policy):
        return "it died without a record, and the spec is not to start it again"
    return f"started {job.launch} times, it died each time without a record" if job.launch >= MAX_LAUNCHES else ""


def _stopped(job: Job, policy: Policy) -> bool:
    """Whether a job is not started again: the mode starts nothing, or the spec has no such entry any more."""
    listed = {entry["name"] for entry in policy.batch}
    return policy.limits.mode == "observe" or job.request["serving"] not in listed


def _live(state: State) -> Iterator[Job]:
    for scoring in state.scoring.values():
        if scoring.job is not None:
            yield scoring.job


def _key(job: Job) -> str:
    return f"{job.id}-{job.launch}"


def _start(job: Job) -> StartScoring:
    request = {**job.request, "launch": job.launch}
    return StartScoring(_key(job), str(job.request["serving"]), job.id, job.launch, request)


def _set(draft: Draft, name: str, scoring: Scoring) -> Draft:
    return draft.set(scoring={**draft.state.scoring, name: scoring})
