"""What a wake does for a version that rolls out: finds out how it does, and moves the traffic as the state says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ctc.diagnostics import CtcError
from ctc.policy.actions import Retire, Route, Smoke
from ctc.policy.evidence import Health, LimitAnswer
from ctc.policy.rollout import given, smoke_key, traffic
from ctc.policy.rules import Policy
from ctc.policy.standing import Position
from ctc.policy.state import State, Version
from ctc.steps.ports import Endpoint, Server, Services
from ctc.steps.task import StepFailed, Task


class Rollouts:
    """The rollout of one wake. What was measured at the wake's instant is not measured again."""

    def __init__(self, task: Task, services: Services, policy: Policy) -> None:
        self._task = task
        self._services = services
        self._policy = policy
        self._measured: dict[Position, tuple[LimitAnswer, ...]] = {}

    def health(self, state: State) -> Health | None:
        """How the version does in its present step; None where nothing rolls out, or nothing may be decided of it."""
        position, rollout = state.rollout, self._policy.rollout
        if position is None or rollout is None or state.pending or position.digest != rollout.digest:
            return None
        if self._policy.limits.mode == "observe" or state.candidate is None:
            return None
        smoke = None
        if rollout.steps[position.step]["kind"] == "smoke":
            smoke = self._smoke_answer(position)
        if state.champion is None or not any(given(position, rollout)[:2]):
            return Health((), smoke)
        if position not in self._measured:
            self._measured[position] = self._judge(state.champion, state.candidate, position)
        return Health(self._measured[position], smoke)

    def apply(self, action: Route | Smoke | Retire, state: State) -> None:
        """Carries out an action. One that names a version which the state knows no more has been overtaken."""
        match action:
            case Route():
                self._route(action, state)
            case Retire():
                self._endpoint.retire(action.serving, action.version)
            case Smoke():
                version = _known(state).get(action.version)
                if version is not None and not self._kept(action.key):
                    answer = self._endpoint.smoke(self._server, version, action)
                    self._services.objects.put(_smoke(action.key), {"version": 1, **answer.to_json()})

    def repair(self, state: State) -> None:
        """Sets the traffic once more: a slow wake may have moved it late. Lets go of what nobody needs ready."""
        wanted, rollout = traffic(state, self._policy), self._policy.rollout
        if rollout is None:
            return
        if wanted is not None:
            self._route(wanted, state)
        standing = self._endpoint.read(rollout.serving)
        needed = {state.champion.version} if state.champion is not None else set()
        needed |= {state.rollout.version} if state.rollout is not None else set()
        needed |= {state.retiring.version} if state.retiring is not None else set()
        for version in () if standing is None else standing.ready:
            if version not in needed:
                self._endpoint.retire(rollout.serving, version)

    @property
    def _endpoint(self) -> Endpoint:
        if self._services.endpoint is None:
            raise StepFailed("this version reaches no endpoint here, so it cannot move the traffic of one")
        return self._services.endpoint

    @property
    def _section(self) -> Mapping[str, Any]:
        section: Mapping[str, Any] = self._task.policy["triggers"]["rollout"]
        return section

    @property
    def _server(self) -> Server:
        return Server.from_document(self._section)

    def _route(self, route: Route, state: State) -> None:
        known = _known(state)
        named = [version for version, _ in route.traffic]
        if all(version in known for version in named):
            self._endpoint.route(self._server, [known[version] for version in named], route, self._task.instant)

    def _smoke_answer(self, position: Position) -> LimitAnswer | None:
        found = self._services.objects.get(_smoke(smoke_key(position)))
        if found is None:
            return None
        return LimitAnswer(found["name"], found["answer"], found["reason"], found["numbers"])

    def _kept(self, key: str) -> bool:
        found = self._services.objects.get(_smoke(key))
        return found is not None and found["answer"] != "not_evaluable"

    def _judge(self, champion: Version, contender: Version, position: Position) -> tuple[LimitAnswer, ...]:
        rollout = self._policy.rollout
        assert rollout is not None
        step = rollout.steps[position.step]
        asked = [*rollout.limits, *step.get("gates", ())]
        answers = {}
        if any(limit["kind"] != "drift" for limit in asked):
            answers = self._answers(contender, position, [limit for limit in asked if limit["kind"] != "drift"])
        drifts = [limit for limit in asked if limit["kind"] == "drift"]
        if drifts:
            answers |= self._scores(champion, contender, position, drifts)
        return tuple(answers[limit["name"]] for limit in asked)

    def _answers(
        self, contender: Version, position: Position, limits: list[Mapping[str, Any]]
    ) -> dict[str, LimitAnswer]:
        from ctc.policy import health as rules

        smokes = (step["request"] for step in self._section["steps"] if step["kind"] == "smoke")
        request = next(smokes, None)
        try:
            found = self._endpoint.answered(self._server, contender, request=request, since=position.since)
        except StepFailed as error:
            return {limit["name"]: LimitAnswer(limit["name"], "not_evaluable", str(error)) for limit in limits}
        return {limit["name"]: rules.judge_answers(limit, found) for limit in limits}

    def _scores(
        self, champion: Version, contender: Version, position: Position, limits: list[Mapping[str, Any]]
    ) -> dict[str, LimitAnswer]:
        # As in a wake: only those that look at rows pay for the engine.
        from ctc.policy import health as rules
        from ctc.policy.statistics import NotEvaluable
        from ctc.steps import engine
        from ctc.steps.live_scores import Scores

        rollout, now = self._policy.rollout, self._task.instant
        assert rollout is not None
        data = self._task.policy["data"]
        start, end = _beside(position, given(position, rollout)[0], now)
        found = {}
        with engine.opened() as connection:
            for number, limit in enumerate(limits):
                try:
                    scores = Scores(connection, data, limit["arguments"]["columns"], f"live_{number}")
                    live = scores.profile(contender.version, position.since, now, now)
                    beside = scores.profile(champion.version, start, end, now)
                    found[limit["name"]] = rules.judge_scores(limit, beside, live)
                except (CtcError, StepFailed, NotEvaluable, OSError) as error:
                    found[limit["name"]] = LimitAnswer(limit["name"], "not_evaluable", str(error))
        return found


def _beside(position: Position, share: float, now: datetime) -> tuple[datetime, datetime]:
    """The time whose answers of the champion are compared: that of the step, or, where the champion no longer answers,
    as long a time before it."""
    return (position.since, now) if share < 1 else (position.since - (now - position.since), position.since)


def _known(state: State) -> dict[str, Version]:
    return {
        version.version: version for version in (state.champion, state.previous, state.candidate) if version is not None
    }


def _smoke(key: str) -> str:
    return f"smokes/{key}.json"
