"""Vertex AI Pipelines and what starts, watches and guards them, straight to the services' REST documents."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import System
from ctc.compiler.target import Capability, Support
from ctc.targets.vertex.limits import limits
from ctc.targets.vertex.pipeline import pipeline_job
from ctc.targets.vertex.schedules import schedules

__all__ = ["CAPABILITIES", "NAME", "emit", "limits"]

NAME = "vertex"


def _emulated(reason: str) -> Capability:
    return Capability(Support.EMULATED, reason)


def _native(reason: str = "") -> Capability:
    return Capability(Support.NATIVE, reason)


CAPABILITIES: Mapping[str, Capability] = {
    "branch.promotion": _native("a condition on the task of a sub-pipeline"),
    "branch.validation": _native("a condition on the task of a sub-pipeline"),
    "champion.own_image": _emulated(
        "the service takes no image as a parameter: wake writes the champion's image into the executor "
        "`exec-predict-champion` of the pipeline job that it submits"
    ),
    "notifications": _emulated("sent by our wake step; while no wake comes, nothing is sent"),
    "record.always": _native(
        "an exit task; a run that was cancelled writes none, and the next wake records it as lost"
    ),
    "run.single": _emulated(
        "wake's compare-and-set on the state keeps one training at a time; a schedule lets one wake of its own run, "
        "and skips others"
    ),
    "serving.online": _emulated(
        "a promotion moves the alias `champion` of the registry, from which a server takes its model; this version "
        "deploys no endpoint"
    ),
    "staleness": _emulated("told by the next wake; while no wake comes, nobody is told"),
    "step.resources": _native(
        "cpu and memory are asked of the task, for which Vertex AI picks the closest machine type; a step with a disk "
        "of more than 100 GB is a CustomJob, on the cheapest of a dated list of types that fits"
    ),
    "step.retries": _emulated(
        "the command is tried again inside its container, so that the tries are the same number on every target; a "
        "machine that the service loses fails the attempt, unless it was a spot machine"
    ),
    "step.spot": _native(
        "for training only, as a CustomJob with the strategy SPOT that is started again from its checkpoints. With "
        "that strategy the service bounds no waiting: past the lease, wake gives the attempt up"
    ),
    "step.timeout": _emulated(
        "each try of the command is ended from inside its container; getting the machine does not count. A CustomJob "
        "is ended by the service too, after all tries"
    ),
    "trigger.drift": _native("our own step, the same numbers on every target; no monitor of the platform is asked"),
    "trigger.event": _emulated("whoever sees the alert starts the wake pipeline with the parameter `event`"),
    "trigger.manual": _native("start the wake pipeline with the parameter `manual`"),
    "trigger.new_data": _emulated("wake counts the labelled rows; nothing is started by an object's arrival"),
    "trigger.performance": _native(
        "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.schedule": _native("a schedule of its own wakes at the instants of its cron; wake decides that it fired"),
    "trigger.schedule.timezone": _native(
        "the schedule's cron names its IANA zone. What the service does with a time that the clocks skip or show twice "
        "is not documented; wake knows the instant, and fires at the next wake, once"
    ),
    "wake.every": _native("one or several schedules in UTC, whose crons together fire once in each period"),
}
"""How each feature that `lower` names is carried."""


def emit(system: System) -> Bundle:
    """The bundle. Pure: no SDK, no network, no clock."""
    documents = {
        "pipelines/train.json": pipeline_job(system, system.train),
        "pipelines/wake.json": pipeline_job(system, system.wake),
        **{f"schedules/{name}.json": body for name, body in schedules(system).items()},
    }
    artifacts = [
        *(Artifact(path, as_json(document)) for path, document in documents.items()),
        *fidelity_files(system, CAPABILITIES),
    ]
    return Bundle(NAME, tuple(sorted(artifacts, key=lambda artifact: artifact.path)))
