"""Vertex AI Pipelines and what starts, watches and guards them, straight to the services' REST documents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import System
from ctc.compiler.target import Capability, Support
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.shim import NO_MPI
from ctc.targets.vertex import bootstrap, events, identities, registry, serving, staleness
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
    "serving.batch": _native(
        "a pipeline of its own; a schedule wakes at the instants of its cron, and wake starts it with the champion of "
        "that moment"
    ),
    "rollout.approval": _emulated(
        "held open in wake's state until enough of the named people have said yes to wake: no service is asked"
    ),
    "rollout.mirror": _emulated(
        "an endpoint copies no requests: the candidate gets an endpoint of its own, and whoever calls the live one, or "
        "a proxy in front of it, has to send the share there too. Where nobody can, begin with a small `traffic`"
    ),
    "rollout.smoke": _emulated(
        "a model without traffic is asked by nobody: the candidate gets an endpoint of its own, which is asked"
    ),
    "rollout.traffic": _native("the endpoint's `trafficSplit`, in whole per cent: one body for each step"),
    "serving.capture": _native("request-response logging of the endpoint into a table of BigQuery"),
    "serving.instances": _native("`minReplicaCount` and `maxReplicaCount` of the deployed model; at least one runs"),
    "serving.online": _emulated(
        "the bundle has the requests of the endpoint, of the model on it and of each step of its rollout; this version "
        "sends none of them. A version that is served is registered by `serving/NAME/model.json` in place of "
        "`registry/model.json`; a promotion moves the alias `champion`. `{model}` is the URI of the "
        "service's own copy of the model in Cloud Storage, and no folder: the server reads it from there"
    ),
    "staleness": _emulated(
        "an hourly workflow asks the service for train pipelines that ended well, and an alert policy alarms when it "
        "finds none: also while no wake comes. To it a run that its checks stopped has ended well; wake tells it apart"
    ),
    "step.distributed": _native(
        "a CustomJob with two pools of workers, the first of one machine; each container finds its rank in "
        "`CLUSTER_SPEC` and starts its processes with torchrun's variables"
    ),
    "step.mpi": Capability(Support.UNSUPPORTED, NO_MPI),
    "step.gpu": _native(
        "a CustomJob on the cheapest of a dated list of machine types that has the model (`a100`: any A100, "
        "`a100-80gb`: one with that memory) and at least as many: A2, A3, G2, or attached to N1"
    ),
    "step.resources": _native(
        "cpu and memory are asked of the task, for which Vertex AI picks the closest machine type; a step with a disk "
        "of more than 100 GB is a CustomJob, on the cheapest of a dated list of types that fits"
    ),
    "step.retries": _emulated(
        "the command is tried again inside its container, so that the tries are the same number on every target; a "
        "machine that the service loses fails the attempt, unless it was a spot machine"
    ),
    "step.secrets": _emulated(
        "a task is handed no secret by the service: before the command starts, its container reads it from Secret "
        "Manager by the service account's token, which the metadata server gives; the image needs nothing but Python"
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
    "trigger.event": _native(
        "an Eventarc trigger on the topic in `events` starts a workflow, which starts the wake pipeline with the "
        "message as its parameter `event`, once for each message; without a topic, whoever sees the alert starts it"
    ),
    "trigger.manual": _native("start the wake pipeline with the parameter `manual`"),
    "trigger.new_data": _emulated("wake counts the labelled rows; nothing is started by an object's arrival"),
    "trigger.performance": _native(
        "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.schedule": _native("a schedule of its own wakes at the instants of its cron; wake decides that it fired"),
    "trigger.schedule.timezone": _native(
        "the schedule's cron names its IANA zone. What the service does with a time that the clocks skip or show twice "
        "is not documented; crons in UTC wake at those instants too, and wake fires at each once"
    ),
    "wake.every": _native("one or several schedules in UTC, whose crons together fire once in each period"),
}
"""How each feature that `lower` names is carried."""


def emit(system: System) -> Bundle:
    """The bundle. Pure: no SDK, no network, no clock."""
    jobs = {pipeline.kind: pipeline_job(system, pipeline) for pipeline in (*system.scores, system.train, system.wake)}
    documents = {
        **{f"schedules/{name}.json": body for name, body in schedules(system, jobs["wake"]).items()},
        **{f"identities/account-{name}.json": body for name, body in identities.accounts(system).items()},
        **{f"identities/role-{name}.json": body for name, body in identities.roles(system).items()},
        "identities/grants.json": {"version": 1, "grants": identities.grants(system)},
        "registry/model.json": registry.upload(system),
        **serving.documents(system),
        **_alarm(system),
        **_triggers(system),
    }
    uploaded = [Artifact(f"pipelines/{kind}.json", as_json(job)) for kind, job in jobs.items()]
    support = f"{system.root}/support/{_digest(uploaded)}"
    artifacts = [
        *uploaded,
        *(Artifact(path, as_json(document)) for path, document in documents.items()),
        *_sources(system, support),
        Artifact("BOOTSTRAP.md", bootstrap.sheet(system)),
        *fidelity_files(system, CAPABILITIES),
    ]
    return Bundle(
        target=NAME,
        artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.path)),
        uploads=tuple((item.path, f"{support}/{item.path.partition('/')[2]}") for item in uploaded),
    )


def _sources(system: System, support: str) -> Iterator[Artifact]:
    """The workflows as people read them."""
    for event in events.topics(system):
        yield Artifact(f"events/{event}.workflow.yaml", as_yaml(events.wake_on(system, event, f"{support}/wake.json")))
    max_age = staleness.staleness_seconds(system)
    if max_age is not None:
        yield Artifact("staleness/workflow.yaml", as_yaml(staleness.watch(system, max_age)))


def _triggers(system: System) -> dict[str, dict[str, Any]]:
    """The requests of each event; the workflow's source, a file of its own, is added where it is sent."""
    account = identities.waker(system)
    made = {}
    for event, topic in events.topics(system).items():
        about = f"Wakes {system.name} for the event {event}, compiled by ctc."
        made[f"events/{event}.trigger.json"] = events.trigger(system, event, topic, account)
        made[f"events/{event}.workflow.json"] = events.workflow(system, about, account)
    return made


def _alarm(system: System) -> dict[str, dict[str, Any]]:
    max_age = staleness.staleness_seconds(system)
    if max_age is None:
        return {}
    account = identities.waker(system)
    about = f"Fails when {system.name} was not trained lately, compiled by ctc."
    return {
        "staleness/alert-policy.json": staleness.alert_policy(system, max_age),
        "staleness/scheduler-job.json": staleness.scheduler_job(system, account),
        "staleness/workflow.json": events.workflow(system, about, account),
    }


def _digest(uploaded: list[Artifact]) -> str:
    """sha256 of what is uploaded: a new deployment then disturbs no run of an older one."""
    digest = hashlib.sha256()
    for artifact in uploaded:
        digest.update(f"{artifact.path}\0{len(artifact.content)}\0".encode())
        digest.update(artifact.content)
    return digest.hexdigest()
