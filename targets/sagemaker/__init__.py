"""SageMaker Pipelines: pipeline definitions, an EventBridge schedule and rule, straight to the services' documents."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import System
from ctc.compiler.target import Capability, Support
from ctc.targets.sagemaker import (
    bootstrap,
    deployer,
    events,
    identities,
    pipeline,
    resources,
    schedules,
    serving,
    watch,
)
from ctc.targets.sagemaker.limits import limits
from ctc.targets.sagemaker.template import template
from ctc.targets.shim import NO_MPI

__all__ = ["CAPABILITIES", "NAME", "emit", "limits"]

NAME = "sagemaker"


def _emulated(reason: str) -> Capability:
    return Capability(Support.EMULATED, reason)


def _native(reason: str = "") -> Capability:
    return Capability(Support.NATIVE, reason)


CAPABILITIES: Mapping[str, Capability] = {
    "wake.every": _native(
        "an EventBridge Scheduler schedule with a rate in whole minutes; an alarm goes off when for three wakes' time "
        "none ended well"
    ),
    "notifications": Capability(Support.EMULATED, "sent by our wake step; while no wake comes, nothing is sent"),
    "rollout.approval": _emulated(
        "held open in wake's state until enough of the named people have said yes to wake: no service is asked"
    ),
    "rollout.mirror": _native("a shadow variant of the endpoint"),
    "rollout.smoke": _native("a request to the candidate's variant alone, by `TargetVariant`"),
    "rollout.traffic": _native("the weights of the endpoint's two variants: one body for each step"),
    "serving.capture": _native("the endpoint's data capture, into the bucket"),
    "serving.instances": _emulated(
        "`min` is the number of instances of a variant. Up to `max` it is scaled by Application Auto Scaling, whose "
        "policy is yours to make: the bundle has none"
    ),
    "serving.online": Capability(
        Support.EMULATED,
        "a promotion moves the alias `champion` of the registry, from which a server takes its model. Of a server that "
        "the service can host (port 8080, `/ping` and `/invocations`, an image that serves by itself) and whose "
        "versions roll out, wakes make and change the endpoint, by the requests of the bundle; of another server no "
        "endpoint is made, and it is started only where its answers are timed",
    ),
    "serving.batch": _native(
        "a pipeline of its own; a schedule wakes at the instants of its cron, and wake starts it with the champion of "
        "that moment"
    ),
    "staleness": _emulated(
        "an hourly state machine asks the service for train pipelines that ended well, and an alarm goes off when it "
        "finds none that was started in that time: also while no wake comes. To it a run that its checks stopped has "
        "ended well; wake tells it apart"
    ),
    "trigger.event": _native(
        "an EventBridge rule hands the event to a small state machine, which starts the wake with `Event`; no function"
    ),
    "trigger.drift": Capability(
        Support.NATIVE, "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.manual": _native(
        "start the wake pipeline with the parameter `Manual`; who and why together take at most 249 characters"
    ),
    "trigger.performance": Capability(
        Support.NATIVE, "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.schedule": _native("a schedule of its own wakes at the instants of its cron; wake decides that it fired"),
    "trigger.schedule.timezone": _native(
        "the schedule has the cron's IANA zone. At a time that the clocks skip the service does not wake: wake knows "
        "the instant, and fires at the next one, up to `wake_every` later"
    ),
    "trigger.new_data": _emulated("the wake counts the labelled rows; nothing is started by an object's arrival"),
    "step.timeout": _native("each try is ended by the shim; `MaxRuntimeInSeconds` ends the job after all tries"),
    "step.retries": _emulated(
        "the shim runs the command again inside the job; the service's retry policies only meet its own faults"
    ),
    "step.resources": _native("the cheapest listed instance type that has the vCPUs and the memory"),
    "step.distributed": _native(
        "a training job with that many instances; each container finds its rank in `resourceconfig.json` and starts "
        "its processes with torchrun's variables. In a VPC its security groups must let the instances reach each other"
    ),
    "step.mpi": Capability(Support.UNSUPPORTED, NO_MPI),
    "step.gpu": _native(
        "the cheapest listed instance type that has the model (`a100`: any A100, `a100-80gb`: one with that memory) "
        "and at least as many. Predictions run in processing jobs, which have fewer models: compiling warns where they "
        "do without"
    ),
    "step.secrets": _emulated(
        "a job is handed no secret by the service: before the command starts, its container reads it from Secrets "
        "Manager by the job's role (`secretsmanager:GetSecretValue`), for which the training image needs boto3"
    ),
    "step.spot": _native("for training only: processing jobs have no spot capacity, so predictions run on demand"),
    "branch.validation": _native("a Condition step on the property file of `validate`"),
    "branch.promotion": _native("a second root Condition step on the property file of `decide`: they do not nest"),
    "champion.own_image": _native("the image of `predict-champion` is the pipeline parameter `ChampionImage`"),
    "record.always": _emulated(
        "there is no exit handler: an EventBridge rule on the end of the train pipeline starts a record pipeline; "
        "events are best effort, so a wake records an attempt without a record as lost"
    ),
    "run.single": _emulated(
        "the service runs executions side by side: the lease in the state document lets one attempt live at a time"
    ),
}
"""How each feature that `lower` names is carried."""


def emit(system: System) -> Bundle:
    """The bundle. Pure: no SDK, no network, no clock."""
    uploaded = pipeline.documents(system)
    support = pipeline.support_uri(system, pipeline.support_digest(uploaded))
    made = pipeline.definitions(system, support)
    roles = identities.roles(system)
    documents = {
        **{f"schedules/{own}.json": body for own, body in schedules.schedules(system).items()},
        "events/record-rule.json": resources.record_rule(system),
        "events/record-target.json": resources.record_target(system),
        **{f"pipelines/{kind}.json": definition for kind, definition in made.items()},
        **{f"requests/{kind}.json": resources.pipeline_request(system, kind) for kind in made},
        **{f"identities/{role}.policy.json": identities.policy(system, role) for role in roles},
        **{f"identities/{role}.trust.json": identities.trust(system, role) for role in roles},
        "alarms/topic.json": resources.topic_request(system),
        **{f"alarms/{own}.json": body for own, body in watch.alarms(system).items()},
        "registry/group.json": resources.group_request(system),
        "registry/package.json": resources.package_request(system),
        **serving.documents(system),
        "identities/deployer.json": deployer.deployer(system),
        "identities/operator.json": deployer.operator(system),
        "identities/role-maker.json": deployer.role_maker(system),
        "identities/stack-deployer.json": deployer.stack_deployer(system),
        "template.json": template(system, made),
    }
    for event, heard in resources.heard(system).items():
        documents[f"events/{event}-rule.json"] = events.rule(system, event, heard)
        documents[f"events/{event}-target.json"] = events.target(system, event, heard)
        documents[f"events/{event}-machine.json"] = events.machine(system, event, heard)
        documents[f"events/{event}-request.json"] = events.request(system, event)
    for own, what in watch.watched(system).items():
        documents[f"schedules/watch-{own}.json"] = watch.hourly(system, own)
        documents[f"alarms/{own}-machine.json"] = watch.machine(system, what)
        documents[f"alarms/{own}-request.json"] = watch.machine_request(system, own)
    artifacts = [
        *(Artifact(path, as_json(document)) for path, document in documents.items()),
        *uploaded,
        Artifact("BOOTSTRAP.md", bootstrap.sheet(system, pipeline.uploads(support, uploaded))),
        *fidelity_files(system, CAPABILITIES),
    ]
    return Bundle(
        target=NAME,
        artifacts=tuple(sorted(artifacts, key=lambda artifact: artifact.path)),
        uploads=tuple(sorted(pipeline.uploads(support, uploaded).items())),
    )
