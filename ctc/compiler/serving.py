"""What a spec asks of a target for its servers: how a version takes over, and the features that this needs."""

from __future__ import annotations

from collections.abc import Iterator

from ctc.compiler.ir import Rollout, RolloutStep, Server
from ctc.compiler.machines import resources
from ctc.language.spec import Spec
from ctc.language.spec.serving import RolloutStep as Asked


def rollout(spec: Spec) -> Rollout | None:
    """At the server that it names, or the first one; None where there is none to roll out on."""
    names = [entry.name for entry in spec.serving if entry.online is not None]
    if spec.rollout is None or not names:
        return None
    return Rollout(spec.rollout.serving or names[0], tuple(map(_step, spec.rollout.steps)))


def servers(spec: Spec) -> Iterator[Server]:
    for entry in spec.serving:
        online, instances = entry.online, entry.instances
        if online is not None:
            about = (online.image, online.port, online.health, online.route, online.capture)
            machine = resources(entry.resources)
            yield Server(entry.name, *about, instances.min, machine, instances.max, online.argv)


def _step(step: Asked) -> RolloutStep:
    if step.smoke is not None:
        return RolloutStep("smoke")
    if step.approval is not None:
        return RolloutStep("approval")
    return (
        RolloutStep("mirror", step.mirror) if step.mirror is not None else RolloutStep("traffic", step.traffic or 0.0)
    )


def serving_features(spec: Spec) -> Iterator[tuple[str, str]]:
    """The features, each with the place of the spec that asks for it."""
    for entry in spec.serving:
        if entry.online is not None:
            yield "serving.online", f"serving.{entry.name}"
            if entry.online.capture:
                yield "serving.capture", f"serving.{entry.name}.online.capture"
            if (entry.instances.min, entry.instances.max) != (1, None):
                yield "serving.instances", f"serving.{entry.name}.instances"
    found = rollout(spec)
    if found is not None:
        yield from ((f"rollout.{step.kind}", f"rollout.steps.{number}") for number, step in enumerate(found.steps))
