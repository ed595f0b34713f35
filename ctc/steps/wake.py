"""The step `wake`: reads the state, gathers what the triggers need, lets the controller decide, applies the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ctc.compiler.lower import ABSENT
from ctc.diagnostics import CtcError
from ctc.policy import notices
from ctc.policy.actions import Action, Promote, Retire, Route, Smoke, StartScoring, StartTraining, WriteRecord
from ctc.policy.controller import (
    Evidence,
    Identity,
    JobSeen,
    NewRows,
    NotEvaluable,
    Outcome,
    PastInstant,
    Policy,
    RowsQuestion,
    applied,
    projection,
    questions,
    step,
)
from ctc.policy.evidence import LiveAnswer
from ctc.policy.live import LiveQuestion, live_questions
from ctc.policy.records import record_key
from ctc.policy.state import State
from ctc.policy.strategy import FULL, plan
from ctc.policy.windows import parse_instant
from ctc.steps import asked, results
from ctc.steps.notify import Telling
from ctc.steps.ports import Conflict, Services
from ctc.steps.rollout import Rollouts
from ctc.steps.task import Result, StepFailed, Task

_TRIES = 5
"""How often the state may change under a wake before it gives up; whoever changed it has done the work meanwhile."""

_ROUNDS = 10
"""A round that had to write something first asks for another; two follow at most, the rest is a safeguard."""


@dataclass
class _Applied:
    """What this wake did, for its answer."""

    launched: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)


def run(task: Task, services: Services) -> Result:
    """One wake. PastInstant if its instant is before the last wake's, unless that one came while this one worked."""
    waking = _Waking(task, services)
    conflicts = rounds = 0
    while rounds < _ROUNDS:
        try:
            outcome = waking.round()
        except Conflict as conflict:
            conflicts += 1
            if conflicts == _TRIES:
                raise StepFailed(
                    f"{conflict}, {_TRIES} times in a row: other wakes are at work; wake again"
                ) from conflict
            continue
        except PastInstant:
            if conflicts == 0:
                raise
            return Result("ok", reason="another wake, at a later instant, came first", numbers=waking.numbers(None))
        rounds += 1
        if not outcome.again:
            waking.project(outcome.state)
            return Result("ok", reason=waking.said(outcome), numbers=waking.numbers(outcome))
    raise StepFailed("the controller came to no end: this is a bug of ctc, keep the state document and report it")


class _Waking:
    def __init__(self, task: Task, services: Services) -> None:
        self._task = task
        self._services = services
        self._policy = Policy.from_document(task.policy)
        document = task.document
        self._identity = Identity(
            document["name"], document["environment"], document["target"], document["spec_digest"]
        )
        self._manual, self._event = asked.manual(task, services), asked.event(task)
        self._command = asked.command(task, services)
        self.done = _Applied()
        self._telling = Telling(task, services)
        self._rollouts = Rollouts(task, services, self._policy)

    def round(self) -> Outcome:
        """Reads, decides, writes, applies, and notes that it is applied. Conflict: nothing of this round counts."""
        held = self._services.state.read()
        state = State.from_json(held.document)
        now = self._task.instant
        evidence = self._evidence(state, now)
        self._tell_end(state, evidence)
        outcome = step(state, evidence, self._policy, now, self._identity)
        token = held.token
        if outcome.state != state:
            token = self._services.state.compare_and_set(token, outcome.state.to_json())
        for action in outcome.actions:
            self._apply(action, outcome.state)
        self._tell(outcome)
        if outcome.state.pending:
            self._services.state.compare_and_set(token, applied(outcome.state).to_json())
        return outcome

    def project(self, state: State) -> None:
        """Repairs an alias, and traffic, that a slower wake left behind."""
        promote = projection(state)
        if promote is not None:
            self._apply(promote, state)
        self._rollouts.repair(state)

    def numbers(self, outcome: Outcome | None) -> dict[str, Any]:
        state = State() if outcome is None else outcome.state
        return {
            "record": None if outcome is None else outcome.record,
            "records": self.done.records,
            "triggers": [] if outcome is None else [answer.to_json() for answer in outcome.answers],
            "launched": self.done.launched,
            "attempt": None if state.attempt is None else state.attempt.id,
            "champion": None if state.champion is None else state.champion.version,
            "approval": None if state.approval is None else state.approval.to_json(),
            "changes": [] if outcome is None else [change.to_json() for change in outcome.changes],
            "notified": self._telling.told,
        }

    def said(self, outcome: Outcome) -> str:
        return results.BETWEEN.join([_summary(outcome, self.done), *self._telling.sentences()])

    def _tell_end(self, state: State, evidence: Evidence) -> None:
        """Tells how the attempt ended: before the decision, after which nobody asks for the attempt's record again.

        The record stands for good, also if this round comes to nothing.
        """
        record = evidence.attempt_record
        if state.attempt is not None and record is not None and record.get("id") == state.attempt.id:
            self._telling.tell(notices.of_attempt(record))
        for name, job in evidence.jobs.items():
            if job.record is not None and job.record.get("id") == name:
                self._telling.tell(notices.of_job(job.record))

    def _tell(self, outcome: Outcome) -> None:
        """Tells what was applied, while it still stands in the state's outbox: after a crash the next wake does it."""
        if not self._telling.wanted:
            return
        state = outcome.state
        known = {version.version: version.attempt for version in (state.champion, state.candidate) if version}
        for action in outcome.actions:
            if not isinstance(action, WriteRecord) or action.record.get("kind") != "wake":
                continue
            records = {
                version: self._services.objects.get(record_key(known[version]))
                for version in notices.versions(action.record)
                if version in known
            }
            judged = {version: record for version, record in records.items() if record is not None}
            question = "" if state.approval is None else state.approval.id
            held = state.hold is not None
            self._telling.tell(notices.of_wake(action.record, question=question, judged=judged, held=held))

    def _evidence(self, state: State, now: datetime) -> Evidence:
        new_rows = _count(self._task, questions(state, self._policy, now), now)
        live = _live(self._task, self._services, state, live_questions(state, self._policy.triggers, now))
        told = Evidence(
            manual=self._manual,
            command=self._command,
            event=self._event,
            health=self._rollouts.health(state),
            new_rows=new_rows,
            live=live,
            jobs=dict(self._jobs(state)),
        )
        attempt = state.attempt
        if attempt is None:
            return told
        # In this order: a run that writes its record and ends in between must not look dead without a record.
        launch = self._services.launcher.status(f"{attempt.id}-{attempt.launch}")
        record = self._services.objects.get(record_key(attempt.id))
        return replace(told, attempt_record=record, launch=launch)

    def _jobs(self, state: State) -> Iterator[tuple[str, JobSeen]]:
        """The live batch jobs by id; status before record, as above."""
        for name, scoring in state.scoring.items():
            if scoring.job is not None:
                key = f"{scoring.job.id}-{scoring.job.launch}"
                status = self._services.launcher.status(key, pipeline=f"{results.SCORE}{name}")
                yield scoring.job.id, JobSeen(status, self._services.objects.get(record_key(scoring.job.id)))

    def _apply(self, action: Action, state: State) -> None:
        match action:
            case StartTraining():
                self._start(action)
            case StartScoring():
                self._score(action)
            case Promote():
                self._promote(action, state)
            case Route() | Smoke() | Retire():
                self._rollouts.apply(action, state)
            case WriteRecord():
                if self._services.objects.put_once(action.key, action.record):
                    self.done.records.append(action.key)

    def _start(self, action: StartTraining) -> None:
        objects = self._services.objects
        objects.put(results.request_key(action.attempt), action.request)
        champion: Mapping[str, Any] | None = action.request["champion"]
        if champion is None:
            objects.put_once(f"{ABSENT}/{ABSENT}.json", {"version": 1, "reason": "there is no champion yet"})
        self._services.launcher.launch(
            action.key,
            {
                "instant": action.request["instant"],
                "attempt": action.attempt,
                "request": objects.uri(results.request_folder(action.attempt)),
                "champion_model": objects.uri(ABSENT) if champion is None else champion["uri"],
                "champion_image": self._task.policy["training"]["image"] if champion is None else champion["image"],
                **self._base_model(action, champion),
            },
        )
        self.done.launched.append(action.key)

    def _score(self, action: StartScoring) -> None:
        """The job predicts as the request says, by whatever champion that is by now."""
        objects, champion = self._services.objects, action.request["champion"]
        objects.put(results.request_key(action.job), action.request)
        self._services.launcher.launch(
            action.key,
            {
                "instant": action.request["instant"],
                "attempt": action.job,
                "request": objects.uri(results.request_folder(action.job)),
                "champion_model": champion["uri"],
                "champion_image": champion["image"],
            },
            pipeline=f"{results.SCORE}{action.serving}",
        )
        self.done.launched.append(action.key)

    def _base_model(self, action: StartTraining, champion: Mapping[str, Any] | None) -> dict[str, str]:
        """The model that training goes on from. The pipeline of a strategy without one has no such parameter."""
        section, objects = self._task.policy["windows"], self._services.objects
        if section.get("strategy", FULL) == FULL:
            return {}
        if champion is not None and plan(section, champion, parse_instant(action.request["instant"])).continues:
            return {"base_model": str(champion["uri"])}
        objects.put_once(f"{ABSENT}/{ABSENT}.json", {"version": 1, "reason": "there is no champion yet"})
        return {"base_model": objects.uri(ABSENT)}

    def _promote(self, action: Promote, state: State) -> None:
        section, registry = self._task.policy["triggers"], self._services.registry
        model = section["model"]
        registry.set_alias(model, "champion", action.version)
        if state.champion is None or state.champion.version != action.version:
            return
        registry.set_alias(model, "previous", None if state.previous is None else state.previous.version)
        used = {version.version for version in (state.champion, state.previous, state.candidate) if version is not None}
        if state.retiring is not None:
            used.add(state.retiring.version)
        registry.prune(model, section["keep"], used)


def _count(task: Task, asked: tuple[RowsQuestion, ...], now: datetime) -> dict[str, NewRows | NotEvaluable]:
    """The answer to each question; a source that cannot be read is an answer too, and no reason to die."""
    if not asked:
        return {}
    # The data engine takes longer to load than the rest of a wake, and most wakes ask nothing of it.
    from ctc.steps import new_data

    try:
        return dict(new_data.count(task.policy["data"], asked, now))
    except (CtcError, StepFailed, OSError) as error:
        return {question.name: NotEvaluable(str(error)) for question in asked}


def _live(
    task: Task, services: Services, state: State, asked: tuple[LiveQuestion, ...]
) -> Mapping[str, LiveAnswer | NotEvaluable]:
    if not asked:
        return {}
    # As above: only wakes that watch something pay for the engine.
    from ctc.steps import live

    return live.gather(task.policy["data"], services.objects, state, asked, task.instant)


def _summary(outcome: Outcome, done: _Applied) -> str:
    said = [f"{answer.name} {answer.answer.replace('_', ' ')}: {answer.reason}" for answer in outcome.answers]
    if outcome.suppressed is not None:
        said.append(f"suppressed by {outcome.suppressed.by}: {outcome.suppressed.reason}")
    said += [change.sentence for change in outcome.changes]
    said += [f"launched {key}" for key in done.launched]
    return results.BETWEEN.join(said) or "nothing to do"
