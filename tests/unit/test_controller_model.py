"""Every reachable world of a small model: two controllers, one training at a time, crashes at every point.

The model is the real `step` and the real wake protocol (read, look at the launch, read the record, write, apply each
action, clear) against a store, records, launches and an alias. Breadth first; a world is visited once. The invariants
are those of docs/semantics.md, "State". Time is in ticks of an hour. A wake lives for at most one tick, a run for one
tick after its start, the lease is two: the slack that the lease of a real spec has, too.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from exploring import Broken, explore
from proofs import Proof

from ctc.policy import controller, rollout
from ctc.policy.actions import Action, Promote, StartTraining, WriteRecord, action_from_json
from ctc.policy.changes import Draft
from ctc.policy.controller import Command, Evidence, Health, NewRows, Outcome, Policy, applied, projection
from ctc.policy.evidence import LimitAnswer
from ctc.policy.records import Identity
from ctc.policy.standing import Grounds
from ctc.policy.state import Ended, State, Version
from ctc.policy.windows import format_instant

START = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(hours=1)
LEASE = 2
IDENTITY = Identity("model", "default", "kubeflow", "sha256:0")
ONE = {"any_of": ["officers"], "all_of": [], "expires": 3600.0}
CANARY = {"kind": "traffic", "share": 0.1, "for": 3600.0, "by": None, "gates": []}
Step = Callable[[State, Evidence, Policy, datetime, Identity], Outcome]


class Run(NamedTuple):
    key: str
    attempt: str
    started: int
    stage: str  # running, recorded, dead


class Wake(NamedTuple):
    """A controller in the middle of a wake: what it will do next, and what it holds in memory."""

    next: str  # look, record, decide, apply, clear, project
    now: int
    state: str
    token: int
    launch: str | None = None
    record: str | None = None
    left: int = 0
    again: bool = False
    command: tuple[str, str] | None = None  # what a person told it to do, and about which question
    health: str | None = None  # of the rollout: pass, fail, not_evaluable


class World(NamedTuple):
    """Ghosts: `starts`, every attempt ever started, with its tick; `asked`, every question ever put to people."""

    time: int = 0
    store: str = ""
    token: int = 0
    records: tuple[tuple[str, str], ...] = ()
    runs: tuple[Run, ...] = ()
    alias: str | None = None
    wakes: tuple[Wake | None, Wake | None] = (None, None)
    wakes_left: int = 0
    starts: tuple[tuple[str, int], ...] = ()
    asked: tuple[str, ...] = ()


class Bounds(NamedTuple):
    ticks: int
    wakes: int
    cooldown: int = 0
    max_runs: tuple[int, int] | None = None
    exempt: bool = False
    controllers: int = 2
    unknown: bool = False  # the platform may lose sight of a launch
    approval: bool = False
    steps: tuple[Mapping[str, Any], ...] = ()  # of a rollout
    commands: tuple[str, ...] = ()  # what people may ask of a wake
    history: bool = False  # begins with a champion, the one before it, and a candidate


def instant(tick: int) -> datetime:
    return START + tick * TICK


def load(text: str) -> State:
    return State.from_json(json.loads(text) if text else None)


def dump(state: State) -> str:
    return json.dumps(state.to_json(), sort_keys=True)


def attempt_record(id: str, outcome: str, champion: str | None) -> dict[str, Any]:
    candidate = {"version": f"v-{id}", "attempt": id, "uri": "u", "image": "i", "predict": ["p"], "code": ""}
    candidate["trained_until"] = format_instant(START)
    found = candidate if outcome == "candidate" else None
    return {"id": id, "outcome": outcome, "candidate": found, "champion": champion, "spec_digest": IDENTITY.spec_digest}


class Model:
    def __init__(self, bounds: Bounds, step: Step, *, record_first: bool = False, projects: bool = True) -> None:
        self.bounds, self.record_first, self.projects = bounds, record_first, projects
        self.policy = Policy.from_document(
            {
                "data": {"label": {"known_after": 0}},
                "windows": {"known_after": 0, "holdout": 3600, "gap": 0, "window": 3600, "since": None},
                "triggers": {
                    "mode": "act",
                    "triggers": [self._trigger()],
                    "cooldown": bounds.cooldown * 3600,
                    "max_runs": None
                    if bounds.max_runs is None
                    else {"count": bounds.max_runs[0], "per": bounds.max_runs[1] * 3600},
                    "rearm": {"new_rows": 0, "backoff": 0},
                    "lease": LEASE * 3600,
                    "approval": ONE if bounds.approval else None,
                    "rollout": self._rollout(),
                },
            }
        )
        self._step = step
        self.decide = functools.lru_cache(maxsize=None)(self._decide)
        self.before = functools.lru_cache(maxsize=None)(load)

    def _rollout(self) -> dict[str, Any] | None:
        if not self.bounds.steps:
            return None
        limit = {"name": "errors", "kind": "error_rate", "arguments": {}}
        return {"serving": "api", "steps": [*self.bounds.steps], "limits": [limit], "keep_previous": 3600.0}

    def _trigger(self) -> dict[str, Any]:
        common = {"name": "always", "enabled": True, "exempt": self.bounds.exempt}
        return {**common, "kind": "new_data", "min_rows": 1, "settle": 0}

    def _decide(self, text: str, id: str, wake: Wake) -> Outcome:
        state = load(text)
        champion = None if state.champion is None else state.champion.version
        found = None if wake.record is None else attempt_record(id, wake.record, champion)
        command = None
        if wake.command is not None:
            do, about = wake.command
            command = Command(f"{do}-{about}-{wake.now}", "ada", "why", do, about)  # type: ignore[arg-type]
        health = Health() if wake.health is None else Health((LimitAnswer("errors", wake.health),))  # type: ignore[arg-type]
        evidence = Evidence(
            command=command,
            health=health,
            new_rows={"always": NewRows(1)},
            attempt_record=found,
            launch=wake.launch,  # type: ignore[arg-type]
        )
        return self._step(state, evidence, self.policy, instant(wake.now), IDENTITY)

    def worlds(self, world: World) -> Iterator[tuple[str, World]]:
        """Everything that can happen next."""
        idle = world.wakes == (None, None)
        if world.time < self.bounds.ticks and (idle or self.bounds.controllers > 1):
            yield "tick", self._tick(world)
        yield from self._trainings(world)
        atomic = self.bounds.controllers == 1 and not self.record_first
        for slot in (0, 1):
            wake = world.wakes[slot]
            if wake is not None:
                if wake.next in ("apply", "clear", "project"):  # before its write, a crash is a wake that never was
                    yield f"controller {slot} crashes before {wake.next}", put(world, slot, None)
                yield from ((f"controller {slot}: {name}", after) for name, after in self._advance(world, slot, wake))
            elif world.wakes_left and slot < self.bounds.controllers and (slot == 0 or world.wakes[0] is not None):
                begun = world._replace(wakes_left=world.wakes_left - 1)
                for command, health in self._told(world):
                    told = self._read(world, world.time)._replace(command=command, health=health)
                    for seen in self._gather(put(begun, slot, told), slot) if atomic else [put(begun, slot, told)]:
                        yield f"controller {slot} wakes, told {command or 'nothing'}, health {health}", seen

    def _told(self, world: World) -> Iterator[tuple[tuple[str, str] | None, str | None]]:
        """What people may ask of a wake that begins now, and how the rollout may do."""
        rolling = self.before(world.store).rollout is not None
        for health in ("pass", "fail", "not_evaluable") if rolling else (None,):
            yield None, health
            for do in self.bounds.commands:
                for about in world.asked if do in ("approve", "reject") else ("",):
                    yield (do, about), health

    def _tick(self, world: World) -> World:
        time = world.time + 1
        runs = tuple(run._replace(stage="dead") if run.started + 1 <= time else run for run in world.runs)
        wakes = tuple(None if wake is None or wake.now + 1 < time else wake for wake in world.wakes)
        return world._replace(time=time, runs=runs, wakes=wakes)  # type: ignore[arg-type]

    def _trainings(self, world: World) -> Iterator[tuple[str, World]]:
        for index, run in enumerate(world.runs):
            if run.stage == "running":
                for outcome in ("candidate", "held"):
                    recorded = stage(world, index, "recorded")
                    yield f"{run.key} records {outcome}", put_once(recorded, run.attempt, outcome)
            if run.stage != "dead":
                yield f"{run.key} ends", stage(world, index, "dead")

    def _read(self, world: World, now: int) -> Wake:
        return Wake("record" if self.record_first else "look", now, world.store, world.token)

    def _advance(self, world: World, slot: int, wake: Wake) -> Iterator[tuple[str, World]]:
        attempt = self.before(wake.state).attempt
        match wake.next:
            case "look":
                for launch in self._statuses(world, attempt):
                    after = "decide" if self.record_first else "record"
                    yield f"sees {launch}", put(world, slot, wake._replace(next=after, launch=launch))
            case "record":
                found = dict(world.records).get(attempt.id) if attempt else None
                after = "look" if self.record_first else "decide"
                yield f"reads record {found}", put(world, slot, wake._replace(next=after, record=found))
            case "decide":
                yield self._write(world, slot, wake)
            case "apply":
                yield self._apply(world, slot, wake)
            case "clear":
                yield self._clear(world, slot, wake)
            case "project":
                champion = projection(self.before(wake.state)) if self.projects else None
                done = put(world, slot, None)
                yield "projects", done if champion is None else done._replace(alias=champion.version)

    def _statuses(self, world: World, attempt: Any) -> list[str | None]:
        if attempt is None:
            return [None]
        key = f"{attempt.id}-{attempt.launch}"
        stages = {run.key: run.stage for run in world.runs}
        if key not in stages:
            return ["unknown"]
        seen = "dead" if stages[key] == "dead" else "running"
        return [seen, "unknown"] if self.bounds.unknown else [seen]

    def _write(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        before = self.before(wake.state)
        if before.last_wake is not None and instant(wake.now) < before.last_wake:
            return "is refused: past", put(world, slot, None)
        live = before.attempt.id if before.attempt else ""
        outcome = self.decide(wake.state, live, wake._replace(state="", token=0))
        if world.token != wake.token:
            return "conflict", put(world, slot, None)
        if outcome.state != before:
            check_write(before, outcome.state)
            self._check_promotion(before, outcome.state, wake)
            question = outcome.state.approval
            if question is not None and question.id not in world.asked:
                world = world._replace(asked=(*world.asked, question.id))
            started = outcome.state.attempt
            if started is not None and (before.attempt is None or started.id != before.attempt.id):
                world = world._replace(starts=(*world.starts, (started.id, wake.now)))
            world = world._replace(store=dump(outcome.state), token=world.token + 1)
        held = wake._replace(state=world.store, token=world.token, launch=None, record=None, again=outcome.again)
        after = "project"
        if outcome.state.pending:
            after = "clear" if all(map(_is_wake_record, outcome.state.pending)) else "apply"
        return "writes", put(world, slot, held._replace(next=after, left=0))

    def _check_promotion(self, before: State, after: State, wake: Wake) -> None:
        """Who became the champion was asked for, and judged against the champion that it replaces."""
        champion = after.champion
        if champion is None or champion == before.champion:
            return
        back = wake.command is not None and wake.command[0] == "rollback"
        if back and before.previous == champion:
            assert after.hold is not None, "a rollback without a hold"
            return
        if self.bounds.approval:
            question = before.approval
            assert question is not None, "promoted without a question"
            assert wake.command == ("approve", question.id), f"promoted without a yes to {question.id}"
            assert question.version == champion.version, "the yes was to another version"
        if self.bounds.steps and before.champion is not None:
            assert before.rollout is not None, "promoted without a rollout"
            assert before.rollout.version == champion.version, "another version was rolled out"
            assert wake.health == "pass", f"promoted with health {wake.health}"
        assert after.previous == before.champion, "the way back is lost"

    def _gather(self, world: World, slot: int) -> Iterator[World]:
        """All that is seen before the write, in one go: where nobody else is awake, nothing can come between."""
        wake = world.wakes[slot]
        if wake is None or wake.next == "decide":
            yield world
            return
        for _, after in self._advance(world, slot, wake):
            yield from self._gather(after, slot)

    def _apply(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        pending = [action for action in self.before(wake.state).pending if not _is_wake_record(action)]
        action = action_from_json(pending[wake.left])
        left = wake.left + 1
        held = wake._replace(left=left, next="apply" if left < len(pending) else "clear")
        return f"applies {action.key}", put(apply(world, action), slot, held)

    def _clear(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        if world.token != wake.token:
            return "conflict", put(world, slot, None)
        state = applied(self.before(wake.state))
        world = world._replace(store=dump(state), token=world.token + 1)
        if wake.again:
            return "clears", put(world, slot, self._read(world, wake.now))
        done = wake._replace(next="project", state=world.store, token=world.token)
        return "clears", put(world, slot, done)

    def check(self, world: World) -> None:
        """The invariants of one world."""
        state = self.before(world.store)
        running = [run.key for run in world.runs if run.stage == "running"]
        assert len(running) <= 1, f"two trainings at once: {running}"
        records = dict(world.records)
        if state.champion is not None:
            assert records.get(state.champion.attempt) == "candidate", "the champion's attempt has another record"
        for ended in state.attempts:
            assert records.get(ended.id) == ended.outcome, f"{ended} is recorded as {records.get(ended.id)}"
        if state.rollout is not None:
            assert state.candidate is not None, "a rollout of nothing"
            assert state.rollout.version == state.candidate.version, "a rollout of another version"
            assert state.champion is not None or state.previous is None, "nothing to roll back to"
        live = state.attempt.id if state.attempt else None
        for started, _ in world.starts:
            assert started == live or started in records, f"attempt {started} ended without a record"
        self._check_limits(world)
        if world.wakes == (None, None) and not state.pending and world.token:
            self.check_recovery(world)

    def _check_limits(self, world: World) -> None:
        ticks = [tick for _, tick in world.starts]
        if not self.bounds.exempt:
            for first, second in itertools.pairwise(ticks):
                assert second - first >= self.bounds.cooldown, f"cooldown: starts at {ticks}"
        if self.bounds.max_runs is not None:
            count, per = self.bounds.max_runs
            for tick in ticks:
                within = [other for other in ticks if tick - per < other <= tick]
                assert len(within) <= count, f"max_runs: starts at {ticks}"

    def check_recovery(self, world: World) -> None:
        """Whatever happened: once leases and runs are over, one undisturbed wake leaves everything in order."""
        world = self._tick(world._replace(time=world.time + 2 * LEASE))
        before = self.before(world.store).attempt
        world = put(world, 0, self._read(world, world.time))
        for _ in range(40):
            wake = world.wakes[0]
            if wake is None:
                break
            _, world = next(self._advance(world, 0, wake))
        assert world.wakes[0] is None, "a wake does not end"
        state = self.before(world.store)
        assert not state.pending, "a wake leaves actions behind"
        assert world.alias == (state.champion.version if state.champion else None), "the alias is not the champion"
        assert before is None or state.attempt is None or state.attempt.id != before.id, "a dead lease is not freed"


def put(world: World, slot: int, wake: Wake | None) -> World:
    """Two controllers are alike: the worlds in which they have changed places are one world."""
    wakes = (wake, world.wakes[1]) if slot == 0 else (world.wakes[0], wake)
    return world._replace(wakes=wakes if _order(wakes[0]) >= _order(wakes[1]) else wakes[::-1])


def _order(wake: Wake | None) -> tuple[object, ...]:
    if wake is None:
        return ()
    return tuple("" if value is None else str(value) for value in wake)


def stage(world: World, index: int, name: str) -> World:
    runs = list(world.runs)
    runs[index] = runs[index]._replace(stage=name)
    return world._replace(runs=tuple(runs))


def _is_wake_record(action: Mapping[str, Any]) -> bool:
    """Nothing reads it, so writing it is not a step of its own here."""
    return action["action"] == "write_record" and action["record"]["kind"] == "wake"


def put_once(world: World, id: str, outcome: str) -> World:
    return world if id in dict(world.records) else world._replace(records=(*world.records, (id, outcome)))


def apply(world: World, action: Action) -> World:
    match action:
        case StartTraining(key, attempt):
            if any(run.key == key for run in world.runs):
                return world
            return world._replace(runs=(*world.runs, Run(key, attempt, world.time, "running")))
        case Promote(_, version):
            return world._replace(alias=version)
        case WriteRecord(_, record):
            return put_once(world, record["id"], record["outcome"])
        case _:
            return world


def check_write(before: State, after: State) -> None:
    """The invariants of one write."""
    assert after.revision == before.revision + 1, "a write does not count itself"
    assert before.champion is None or after.champion is not None, "there was a champion, now there is none"
    assert before.last_wake is None or (after.last_wake is not None and after.last_wake >= before.last_wake)
    old, new = before.watermarks, after.watermarks
    assert old.new_data is None or (new.new_data is not None and new.new_data >= old.new_data), "a watermark went back"
    if before.attempt is None and after.attempt is not None:
        assert after.hold is None, "a start during a hold"
        assert after.rollout is None, "a start during a rollout"
    for name, settled in old.schedule.items():
        assert new.schedule[name] >= settled, "a watermark went back"


def beginning(bounds: Bounds) -> World:
    world = World(wakes_left=bounds.wakes)
    if not bounds.history:
        return world
    previous, champion, candidate = (
        Version.from_json(attempt_record(name, "candidate", None)["candidate"]) for name in ("a", "b", "c")
    )
    grounds = Grounds(champion.version, IDENTITY.spec_digest, "evidence")
    past = (Ended("c", START - TICK, "candidate"),)
    state = State(champion, previous, candidate, grounds, attempts=past, last_wake=START, succeeded=START, revision=1)
    records = tuple((name, "candidate") for name in ("a", "b", "c"))
    return world._replace(store=dump(state), token=1, records=records, alias=champion.version)


def explored(bounds: Bounds, *asked: Any, **said: Any) -> int:
    return explore(Model(bounds, *asked, **said), beginning(bounds))


CROWDED = Bounds(ticks=2, wakes=2, unknown=True)
"""Two controllers that meet."""
LIMITED = Bounds(ticks=3, wakes=3, controllers=1, cooldown=2, max_runs=(1, 3))
"""One deployment over time: limits bite, leases end."""
EXEMPT = Bounds(ticks=2, wakes=3, controllers=1, unknown=True, max_runs=(2, 3), exempt=True)
CROWDED_LONG = Bounds(ticks=1, wakes=3)
ALONE_LONG = Bounds(ticks=4, wakes=3, controllers=1, unknown=True)

APPROVED = Bounds(ticks=1, wakes=3, controllers=1, approval=True, commands=("approve", "reject"), history=True)
"""A yes may come late, twice, or to a question that has been replaced."""
APPROVED_TWICE = Bounds(ticks=1, wakes=3, approval=True, commands=("approve",), history=True)
"""Two controllers hear the same yes, or one a yes and one nothing."""
ROLLED_OUT = Bounds(ticks=3, wakes=4, controllers=1, steps=(CANARY,), commands=("rollback",), history=True)
ROLLED_OUT_TWICE = Bounds(ticks=1, wakes=3, steps=(CANARY,), commands=("rollback",), history=True)
ROLLED_BACK = Bounds(ticks=1, wakes=3, controllers=1, commands=("rollback", "resume"), history=True)

APPROVED_LONG = APPROVED._replace(ticks=2)
ROLLED_BACK_LONG = ROLLED_BACK._replace(ticks=2)

WORLDS = [
    pytest.param(CROWDED, id="crowded"),
    pytest.param(LIMITED, id="limited"),
    pytest.param(EXEMPT, id="exempt"),
    pytest.param(APPROVED, id="approved"),
    pytest.param(ROLLED_OUT, id="rolled-out"),
    pytest.param(ROLLED_BACK, id="rolled-back"),
    pytest.param(APPROVED_LONG, id="approved-long", marks=pytest.mark.soak),
    pytest.param(ROLLED_BACK_LONG, id="rolled-back-long", marks=pytest.mark.soak),
    pytest.param(APPROVED_TWICE, id="approved-twice", marks=pytest.mark.soak),
    pytest.param(ROLLED_OUT_TWICE, id="rolled-out-twice", marks=pytest.mark.soak),
    pytest.param(CROWDED_LONG, id="crowded-long", marks=pytest.mark.soak),
    pytest.param(ALONE_LONG, id="alone-long", marks=pytest.mark.soak),
]


@pytest.mark.parametrize("bounds", WORLDS)
def test_invariants_hold_in_every_world(bounds: Bounds, proof: Proof, request: pytest.FixtureRequest) -> None:
    counts = proof("worlds")
    worlds = explored(bounds, controller.step)
    assert worlds > 1000
    counts[request.node.callspec.id] = worlds


def _no_suppression(*arguments: Any) -> None:
    return None


def _owed_under_the_old_lease(state: State, policy: Policy, now: datetime) -> Outcome:
    return Outcome(state, tuple(map(action_from_json, state.pending)), again=True)


def _promote_into_nothing(draft: Draft, waking: Any) -> Draft:
    first = draft.state.champion is None
    return draft.set(champion=draft.state.candidate if first else None, candidate=None, grounds=None)


def _dead_is_forgotten(draft: Draft, evidence: Evidence, policy: Policy, now: datetime) -> Draft:
    return draft.set(attempt=None) if evidence.launch == "dead" else draft


def _nobody_asks(state: State, rules: Policy) -> None:
    return None


def _any_answer(state: State, command: Command, waking: Any) -> tuple[Any, str]:
    return state.approval, ""


def _no_rollout(draft: Any, waking: Any) -> Any:
    return rollout.promote(draft, waking)


def _always_known(*arguments: Any) -> str:
    return ""


BROKEN = [
    pytest.param("candidates._required", _nobody_asks, APPROVED, "without a question", id="approval"),
    pytest.param("candidates._question", _any_answer, APPROVED, "without a yes", id="binding"),
    pytest.param("candidates.begin", _no_rollout, ROLLED_OUT, "without a rollout", id="rollout"),
    pytest.param("rollout._unknown", _always_known, ROLLED_OUT, "promoted with health", id="health"),
    pytest.param("suppression._hold", _no_suppression, ROLLED_BACK, "during a hold", id="hold"),
    pytest.param("suppression._overlap", _no_suppression, CROWDED, "two trainings|without a record", id="overlap"),
    pytest.param("suppression._cooldown", _no_suppression, LIMITED._replace(max_runs=None), "cooldown", id="cooldown"),
    pytest.param("suppression._max_runs", _no_suppression, LIMITED, "max_runs", id="max_runs"),
    pytest.param("controller._owed", _owed_under_the_old_lease, CROWDED, "two trainings", id="lease"),
    pytest.param("attempts.end", _dead_is_forgotten, CROWDED, "without a record", id="record"),
    pytest.param("candidates.begin", _promote_into_nothing, EXEMPT, "there was a champion", id="champion"),
]


@pytest.mark.parametrize(("place", "broken", "bounds", "message"), BROKEN)
def test_the_model_finds_a_broken_controller(
    place: str, broken: Any, bounds: Bounds, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"ctc.policy.{place}", broken)
    with pytest.raises(Broken, match=message):
        explored(bounds, controller.step)


def test_the_launch_must_be_looked_at_before_the_record() -> None:
    """The other way round, a run that ends in between looks dead without a record, and is started again."""
    with pytest.raises(Broken, match="two trainings"):
        explored(EXEMPT._replace(unknown=False, max_runs=None), controller.step, record_first=True)


@pytest.mark.soak
def test_the_alias_must_be_projected_by_every_wake() -> None:
    """Else a slow controller's old promotion stays in place for good."""
    with pytest.raises(Broken, match="alias"):
        explored(CROWDED_LONG, controller.step, projects=False)
