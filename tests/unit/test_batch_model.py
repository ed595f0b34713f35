"""Every reachable world of one batch entry: two controllers, runs that die or publish late, crashes at every point.

As `test_controller_model.py`: the real `step` and the real wake protocol, breadth first. One row becomes known each
tick of an hour, and each tick a job is due. A wake lives for at most one tick, a run for one tick after its start, the
lease is two.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from exploring import Broken, explore
from proofs import Proof

from ctc.policy import batch, controller
from ctc.policy.actions import StartScoring, WriteRecord, action_from_json
from ctc.policy.changes import Draft
from ctc.policy.controller import Evidence, JobSeen, Outcome, Policy, applied
from ctc.policy.jobs import Job, Scoring
from ctc.policy.records import Identity
from ctc.policy.state import State, Version
from ctc.policy.windows import parse_instant

START = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(hours=1)
LEASE = 2
IDENTITY = Identity("model", "default", "kubeflow", "sha256:0")
CHAMPION = Version("1", "a", "u", "i", ("p",), "", START)


class Run(NamedTuple):
    """`rows` are the ticks whose rows it scores, half open at the start."""

    key: str
    job: str
    part: str
    rows: tuple[int, int]
    started: int
    stage: str = "running"  # running, published, recorded, dead


class Wake(NamedTuple):
    next: str  # look, decide, apply, clear
    now: int
    state: str
    token: int
    launch: str | None = None
    left: int = 0
    again: bool = False


class World(NamedTuple):
    """`out` holds the rows in each file; `jobs` is a ghost: every job ever started."""

    time: int = 0
    store: str = ""
    token: int = 1
    records: tuple[tuple[str, str], ...] = ()
    runs: tuple[Run, ...] = ()
    out: tuple[tuple[str, tuple[int, int]], ...] = ()
    wakes: tuple[Wake | None, Wake | None] = (None, None)
    wakes_left: int = 0
    jobs: tuple[str, ...] = ()


class Bounds(NamedTuple):
    ticks: int
    wakes: int
    controllers: int = 2
    unknown: bool = False


def tick_of(instant: datetime) -> int:
    return int((instant - START) / TICK)


@functools.cache
def load(text: str) -> State:
    return State.from_json(json.loads(text))


def dump(state: State) -> str:
    return json.dumps(state.to_json(), sort_keys=True)


class Model:
    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        entry = {"name": "scores", "cron": "0 * * * *", "timezone": "UTC", "write": "append", "lease": LEASE * 3600.0}
        self.policy = Policy.from_document(
            {
                "windows": {"known_after": 0, "holdout": 3600, "gap": 0, "window": 3600, "since": None},
                "triggers": {
                    "mode": "act",
                    "triggers": [],
                    "cooldown": 0,
                    "max_runs": None,
                    "rearm": {"new_rows": 0, "backoff": 0},
                    "lease": LEASE * 3600,
                    "batch": [entry],
                },
            }
        )

        self.decide = functools.lru_cache(maxsize=None)(self._decide)

    def _decide(self, text: str, now: int, launch: Any, outcome: str | None) -> Outcome:
        state = load(text)
        job = live(state)
        seen = {}
        if job is not None:
            seen[job.id] = JobSeen(launch, None if outcome is None else {"id": job.id, "outcome": outcome})
        return controller.step(state, Evidence(jobs=seen), self.policy, START + now * TICK, IDENTITY)

    def worlds(self, world: World) -> Iterator[tuple[str, World]]:
        idle = world.wakes == (None, None)
        if world.time < self.bounds.ticks and (idle or self.bounds.controllers > 1):
            yield "tick", tick(world)
        for index, run in enumerate(world.runs):
            yield from _run(world, index, run)
        for slot in (0, 1):
            wake = world.wakes[slot]
            if wake is not None:
                if wake.next in ("apply", "clear"):
                    yield f"controller {slot} crashes before {wake.next}", put(world, slot, None)
                yield from ((f"controller {slot}: {name}", after) for name, after in self._advance(world, slot, wake))
            elif world.wakes_left and slot < self.bounds.controllers and (slot == 0 or world.wakes[0] is not None):
                begun = world._replace(wakes_left=world.wakes_left - 1)
                woken = put(begun, slot, read(world, world.time))
                if self.bounds.controllers > 1:
                    yield f"controller {slot} wakes", woken
                else:  # nothing can come between what is seen and the write
                    wake = woken.wakes[0]
                    assert wake is not None
                    yield from self._advance(woken, 0, wake)

    def _advance(self, world: World, slot: int, wake: Wake) -> Iterator[tuple[str, World]]:
        match wake.next:
            case "look":
                for status in self._statuses(world, live(load(wake.state))):
                    yield f"sees {status}", put(world, slot, wake._replace(next="decide", launch=status))
            case "decide":
                yield self._write(world, slot, wake)
            case "apply":
                yield self._apply(world, slot, wake)
            case "clear":
                yield self._clear(world, slot, wake)

    def _statuses(self, world: World, job: Job | None) -> list[str | None]:
        if job is None:
            return [None]
        stages = {run.key: run.stage for run in world.runs}
        key = f"{job.id}-{job.launch}"
        if key not in stages:
            return ["unknown"]
        seen = "dead" if stages[key] == "dead" else "running"
        return [seen, "unknown"] if self.bounds.unknown else [seen]

    def _write(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        before = load(wake.state)
        if before.last_wake is not None and START + wake.now * TICK < before.last_wake:
            return "is refused: past", put(world, slot, None)
        job = live(before)
        outcome = None if job is None else dict(world.records).get(job.id)
        decided = self.decide(wake.state, wake.now, wake.launch, outcome)
        if world.token != wake.token:
            return "conflict", put(world, slot, None)
        if decided.state != before:
            check_write(before, decided.state)
            started = live(decided.state)
            if started is not None and started.id not in world.jobs:
                world = world._replace(jobs=(*world.jobs, started.id))
            world = world._replace(store=dump(decided.state), token=world.token + 1)
        if not decided.state.pending:
            return "writes", put(world, slot, None)
        after = "apply" if to_apply(decided.state) else "clear"
        held = wake._replace(state=world.store, token=world.token, again=decided.again, next=after, left=0)
        return "writes", put(world, slot, held)

    def _apply(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        pending = to_apply(load(wake.state))
        action, left = action_from_json(pending[wake.left]), wake.left + 1
        held = wake._replace(left=left, next="apply" if left < len(pending) else "clear")
        if isinstance(action, StartScoring) and not any(run.key == action.key for run in world.runs):
            after = action.request["after"]
            rows = (-1 if after is None else tick_of(parse_instant(after)), tick_of(_instant(action.request)))
            run = Run(action.key, action.job, action.request["part"], rows, world.time)
            world = world._replace(runs=(*world.runs, run))
        elif isinstance(action, WriteRecord) and action.record["kind"] == "score":
            world = put_once(world, action.record["id"], action.record["outcome"])
        return f"applies {action.key}", put(world, slot, held)

    def _clear(self, world: World, slot: int, wake: Wake) -> tuple[str, World]:
        if world.token != wake.token:
            return "conflict", put(world, slot, None)
        world = world._replace(store=dump(applied(load(wake.state))), token=world.token + 1)
        return "clears", put(world, slot, read(world, wake.now) if wake.again else None)

    def check(self, world: World) -> None:
        running = [run.key for run in world.runs if run.stage in ("running", "published")]
        assert len(running) <= 1, f"two jobs at once: {running}"
        rows = [row for _, (after, until) in world.out for row in range(after + 1, until + 1)]
        assert len(rows) == len(set(rows)), f"a row is there twice: {world.out}"
        state = load(world.store)
        until = scoring(state).scored_until
        done = set(range(0 if until is None else tick_of(until) + 1))
        assert done <= set(rows), f"rows until {until} are said to be scored, and are not all there: {world.out}"
        job = live(state)
        for started in world.jobs:
            held = job is not None and job.id == started
            assert held or started in dict(world.records), f"job {started} ended without a record"
        if world.wakes == (None, None) and not state.pending:
            self.check_recovery(world)

    def check_recovery(self, world: World) -> None:
        """Whatever happened: once leases and runs are over, one undisturbed wake starts a job of all that is left."""
        before = live(load(world.store))
        world = tick(world._replace(time=world.time + 2 * LEASE))
        world = put(world, 0, read(world, world.time))
        for _ in range(40):
            wake = world.wakes[0]
            if wake is None:
                break
            _, world = next(self._advance(world, 0, wake))
        assert world.wakes[0] is None, "a wake does not end"
        job = live(load(world.store))
        assert job is not None, "nothing was started"
        assert before is None or job.id != before.id, "a dead lease is not freed"


def to_apply(state: State) -> list[Mapping[str, Any]]:
    """Nothing reads a wake's record, so writing it is not a step of its own here."""
    return [item for item in state.pending if item["action"] != "write_record" or item["record"]["kind"] != "wake"]


def _instant(request: Mapping[str, Any]) -> datetime:
    return parse_instant(request["instant"])


def _run(world: World, index: int, run: Run) -> Iterator[tuple[str, World]]:
    if run.stage in ("running", "published"):
        failed = stage(put_once(world, run.job, "failed"), index, "recorded")
        yield f"{run.key} records failed", failed
    if run.stage == "running":
        out = {**dict(world.out), run.part: run.rows}
        yield f"{run.key} publishes", stage(world._replace(out=tuple(sorted(out.items()))), index, "published")
    if run.stage == "published":
        yield f"{run.key} records scored", stage(put_once(world, run.job, "scored"), index, "recorded")
    if run.stage != "dead":
        yield f"{run.key} ends", stage(world, index, "dead")


def tick(world: World) -> World:
    time = world.time + 1
    runs = tuple(run._replace(stage="dead") if run.started + 1 <= time else run for run in world.runs)
    wakes = tuple(None if wake is None or wake.now + 1 < time else wake for wake in world.wakes)
    return world._replace(time=time, runs=runs, wakes=wakes)  # type: ignore[arg-type]


def read(world: World, now: int) -> Wake:
    return Wake("look", now, world.store, world.token)


def put(world: World, slot: int, wake: Wake | None) -> World:
    """Two controllers are alike: the worlds in which they have changed places are one world."""
    wakes = (wake, world.wakes[1]) if slot == 0 else (world.wakes[0], wake)
    return world._replace(wakes=wakes if str(wakes[0]) >= str(wakes[1]) else wakes[::-1])


def put_once(world: World, job: str, outcome: str) -> World:
    return world if job in dict(world.records) else world._replace(records=(*world.records, (job, outcome)))


def stage(world: World, index: int, name: str) -> World:
    runs = list(world.runs)
    runs[index] = runs[index]._replace(stage=name)
    return world._replace(runs=tuple(runs))


def scoring(state: State) -> Scoring:
    return state.scoring.get("scores", Scoring())


def live(state: State) -> Job | None:
    return scoring(state).job


def check_write(before: State, after: State) -> None:
    old, new = scoring(before), scoring(after)
    assert after.revision == before.revision + 1, "a write does not count itself"
    for name in ("settled", "scored_until"):
        was, now = getattr(old, name), getattr(new, name)
        assert was is None or (now is not None and now >= was), f"{name} went back"


def explored(bounds: Bounds) -> int:
    first = World(store=dump(State(champion=CHAMPION, revision=1)), wakes_left=bounds.wakes)
    return explore(Model(bounds), first)


ALONE = Bounds(ticks=2, wakes=3, controllers=1)
LOST = Bounds(ticks=3, wakes=2, controllers=1, unknown=True)
LOST_LONG = LOST._replace(wakes=3)
CROWDED = Bounds(ticks=2, wakes=2, unknown=True)
CROWDED_LONG = Bounds(ticks=2, wakes=3)


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param(ALONE, id="alone"),
        pytest.param(LOST, id="lost"),
        pytest.param(CROWDED, id="crowded"),
        pytest.param(LOST_LONG, id="lost-long", marks=pytest.mark.soak),
        pytest.param(CROWDED_LONG, id="crowded-long", marks=pytest.mark.soak),
    ],
)
def test_no_row_is_scored_twice_and_none_is_left_out(
    bounds: Bounds, proof: Proof, request: pytest.FixtureRequest
) -> None:
    counts = proof("batch")
    worlds = explored(bounds)
    assert worlds > 300
    counts[request.node.callspec.id] = worlds


def _forgets_the_part(draft: Draft, evidence: Evidence) -> Draft:
    for name, kept in batch_end(draft, evidence).state.scoring.items():
        draft = draft.set(scoring={**draft.state.scoring, name: replace(kept, part="")})
    return draft


def _scored_without_looking(draft: Draft, evidence: Evidence) -> Draft:
    for name, kept in draft.state.scoring.items():
        if kept.job is not None and evidence.jobs[kept.job.id].record is not None:
            ended = replace(kept, job=None, scored_until=kept.job.instant)
            draft = draft.set(scoring={**draft.state.scoring, name: ended})
    return draft


def _owed_under_the_old_lease(state: State, keys: frozenset[str], now: datetime) -> State:
    return state


def _impatient(job: Job, evidence: Evidence, policy: Policy, now: datetime) -> str:
    return "it takes too long" if now > job.instant else ""


batch_end = batch.end


@pytest.mark.parametrize(
    ("place", "broken", "bounds", "message"),
    [
        pytest.param("end", _forgets_the_part, ALONE, "a row is there twice", id="part"),
        pytest.param("end", _scored_without_looking, ALONE, "are not all there", id="outcome"),
        pytest.param("owed", _owed_under_the_old_lease, CROWDED_LONG, "two jobs", id="lease"),
    ],
)
def test_the_model_finds_a_broken_controller(
    place: str, broken: Any, bounds: Bounds, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, place, broken)
    with pytest.raises(Broken, match=message):
        explored(bounds)


def test_a_job_is_not_given_up_while_its_run_may_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_lost", _impatient)
    with pytest.raises(Broken, match=r"two jobs|twice|not all there"):
        explored(CROWDED_LONG)
