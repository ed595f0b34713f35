"""What of a spec is drawn: the pipelines as every target has them, and what stands before and after them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from ctc.compiler.ir import Branch, Node, Pipeline, Ref, Runs, Step
from ctc.compiler.lower import pipelines
from ctc.graph import words
from ctc.graph.model import Band, Edge, Graph, Kind, Role
from ctc.graph.model import Node as Box
from ctc.language.checks.time import written
from ctc.language.spec import DriftTrigger, PerformanceTrigger, Spec, Trigger

TRIGGERS, WAKE, TRAIN = "triggers-band", "wake-band", "train-band"
TAKES_OVER, SERVES = "takes-over-band", "serves-band"
MOST = 6
"""So many details of one kind are named in a box; of the others only how many there are."""


def graph_of(spec: Spec) -> Graph:
    """The picture of one spec as it holds in its environment."""
    wake, train, *scores = pipelines(spec)
    bands = (
        _triggers(spec),
        Band(WAKE, "Wake pipeline", ((_wake(spec, wake),),)),
        _train(spec, train),
        _takes_over(spec),
        _serves(spec, scores),
    )
    drawn = tuple(band for band in bands if band.rows)
    environment = "" if spec.environment == "default" else f" ({spec.environment})"
    return Graph(f"{spec.deployed_name}{environment}", spec.description, drawn, tuple(_edges(spec, train, drawn)))


def _triggers(spec: Spec) -> Band:
    boxes = [
        Box(f"trigger-{item.name}", item.name, Role.TRIGGER, tuple(words.trigger(item)), off=not item.enabled)
        for item in spec.triggers
    ]
    pairs = tuple(tuple(boxes[start : start + 2]) for start in range(0, len(boxes), 2))
    return Band(TRIGGERS, "Triggers", pairs)


def _wake(spec: Spec, pipeline: Pipeline) -> Box:
    [step] = pipeline.steps()
    every = f"every {written(spec.trigger_policy.wake_every)}, and at each scheduled instant"
    return Box(step.name, "wake: is a run due?", Role.OURS, (every, *words.holds(spec.trigger_policy)))


def _train(spec: Spec, pipeline: Pipeline) -> Band:
    needs = _needs(pipeline)
    details = _details(spec)
    boxes = {
        step.name: Box(
            step.name,
            step.name,
            _role(step),
            details.get(step.name, ()),
        )
        for step in pipeline.steps()
    }
    rows = tuple(tuple(boxes[name] for name in row) for row in _ranks(needs))
    record = () if pipeline.on_exit is None else ((boxes[pipeline.on_exit.name],),)
    return Band(TRAIN, "Train pipeline", (*rows, *record))


def _role(step: Step) -> Role:
    if step.name == "decide":
        return Role.GATE
    return Role.OURS if step.runs is Runs.RUNTIME else Role.USERS


def _details(spec: Spec) -> dict[str, tuple[str, ...]]:
    names = [source.name for source in spec.sources]
    return {
        "snapshot": (f"sources: {', '.join(names)}", words.learnt(spec), words.held_out(spec)),
        "validate": _listed([check.name or check.kind for check in spec.checks], "data checks: ")
        if spec.checks
        else (),
        "train": (f"within {written(spec.training.timeout)}",),
        "predict-champion": ("in the champion's own image",),
        "evaluate": _listed([metric.name for metric in spec.evaluation.metrics], ""),
        "decide": _gates(spec),
        "register": (f"keeps {spec.promotion.keep} versions",),
        "record": ("always, also after a failure",),
    }


def _gates(spec: Spec) -> tuple[str, ...]:
    found = [words.gate(item) for item in spec.promotion.gates]
    more = [f"and {len(found) - MOST} more"] if len(found) > MOST else []
    return (*found[:MOST], *more)


def _listed(names: list[str], said: str) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return (f"{said}{', '.join(names[:MOST])}{more}",)


def _needs(pipeline: Pipeline) -> dict[str, dict[str, str]]:
    """Of each step but the last: the steps that it waits for, each with the flag that must hold, or nothing."""
    found: dict[str, dict[str, str]] = {}

    def walk(nodes: tuple[Node, ...], guard: Ref | None) -> None:
        for node in nodes:
            if isinstance(node, Branch):
                walk(node.then, node.on)
            else:
                read = {ref.step: "" for _, ref in node.inputs}
                found[node.name] = read if guard is None else {**read, guard.step: guard.output}

    walk(pipeline.body, None)
    return _reduced(found)


def _reduced(needs: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Without what is needed by way of another need as well."""
    reach: dict[str, set[str]] = {}
    # Steps are in order: what one waits for is there before it.
    for name, before in needs.items():
        reach[name] = set(before).union(*(reach[item] for item in before))
    return {
        name: {
            item: flag
            for item, flag in before.items()
            if not any(item in reach[other] for other in before if other != item)
        }
        for name, before in needs.items()
    }


def _ranks(needs: Mapping[str, Mapping[str, str]]) -> list[list[str]]:
    """Steps in rows, each as late as what waits for it allows."""
    after: dict[str, int] = {}
    for name in reversed([*needs]):
        after.setdefault(name, 0)
        for item in needs[name]:
            after[item] = max(after.get(item, 0), after[name] + 1)
    rows: list[list[str]] = [[] for _ in range(max(after.values()) + 1)]

    def passes(name: str) -> bool:
        return any(after[item] > after[name] + 1 for item in needs[name])

    # Lanes are at the right of a row: what an edge reaches by one stands there too.
    for name in sorted(needs, key=passes):
        rows[-1 - after[name]].append(name)
    return rows


def _takes_over(spec: Spec) -> Band:
    boxes: list[Box] = []
    if spec.mode != "act":
        boxes.append(Box("mode", f"mode: {spec.mode}", Role.ROLLOUT, (_MODES[spec.mode],)))
    if spec.promotion.approval is not None:
        boxes.append(Box("approval", "approval", Role.ROLLOUT, tuple(words.approval(spec.promotion.approval))))
    if spec.rollout is not None:
        for number, step in enumerate(spec.rollout.steps):
            title, details = words.rollout_step(step)
            boxes.append(Box(f"rollout-{number}", title, Role.ROLLOUT, details))
    limits = () if spec.rollout is None else tuple(words.live_limit(item) for item in spec.rollout.limits)
    notes = (f"taken back if not {'; '.join(limits)}",) if limits else ()
    last = Box("champion", "champion", Role.ROLLOUT, ("answers until another takes over",))
    return Band(TAKES_OVER, "Takes over", tuple((box,) for box in (*boxes, last)), notes)


_MODES = {
    "observe": "what would be promoted is recorded, and nothing is",
    "recommend": "people promote it: ctc approve",
}


def _serves(spec: Spec, scores: list[Pipeline]) -> Band:
    boxes = []
    for entry in spec.serving:
        if entry.online is not None:
            kept = (f"keeps {entry.online.capture:.0%} of the requests",) if entry.online.capture else ()
            boxes.append(Box(f"serving-{entry.name}", f"server {entry.name}", Role.SERVING, kept))
        elif entry.batch is not None:
            when = f"schedule {entry.batch.schedule.cron} {entry.batch.schedule.timezone}"
            steps = next((pipeline for pipeline in scores if pipeline.kind.endswith(entry.name)), None)
            order = () if steps is None else (" → ".join(step.name for step in steps.steps()),)
            boxes.append(Box(f"serving-{entry.name}", f"scores {entry.name}", Role.SERVING, (when, *order)))
    woken = [item.name for item in _live(spec)]
    notes = (f"its live rows wake {', '.join(woken)}",) if boxes and woken else ()
    return Band(SERVES, "Serves", tuple(tuple(boxes[start : start + 2]) for start in range(0, len(boxes), 2)), notes)


def _live(spec: Spec) -> list[Trigger]:
    """The triggers that look at what a live model was asked and answered."""
    return [item for item in spec.triggers if isinstance(item.spec, (DriftTrigger, PerformanceTrigger))]


def _edges(spec: Spec, train: Pipeline, drawn: tuple[Band, ...]) -> Iterator[Edge]:
    names = {band.name for band in drawn}
    if TRIGGERS in names:
        yield Edge(TRIGGERS, WAKE)
    needs = _needs(train)
    first = next(iter(needs))
    yield Edge("wake", first, Kind.IF, "if a run is due")
    for name, before in needs.items():
        for item, flag in before.items():
            yield Edge(item, name, Kind.IF if flag else Kind.THEN, flag)
    last = next(reversed(needs))
    if train.on_exit is not None:
        yield Edge(last, train.on_exit.name)
    [over] = [band for band in drawn if band.name == TAKES_OVER]
    chain = [box.name for box in over.nodes]
    yield Edge(train.on_exit.name if train.on_exit is not None else last, chain[0], Kind.IF, "promoted")
    for tail, head in pairwise(chain):
        yield Edge(tail, head)
    if SERVES in names:
        yield Edge(chain[-1], SERVES)
        if _live(spec):
            yield Edge(SERVES, TRIGGERS, Kind.BACK, "live rows")
