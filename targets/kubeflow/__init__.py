"""Kubeflow Pipelines v2 (server 2.3 or newer) and its recurring runs."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.fidelity import fidelity_files
from ctc.compiler.ir import Pipeline, System
from ctc.compiler.target import Capability, Support
from ctc.targets.kfp_ir import pipeline_spec
from ctc.targets.kfp_secrets import platform_spec
from ctc.targets.kfp_yaml import as_yaml
from ctc.targets.kubeflow import serving
from ctc.targets.kubeflow.limits import limits
from ctc.targets.kubeflow.nodes import placements
from ctc.targets.kubeflow.resources import recurring_run
from ctc.targets.shim import NO_MPI

__all__ = ["CAPABILITIES", "NAME", "emit", "limits"]

NAME = "kubeflow"

CAPABILITIES: Mapping[str, Capability] = {
    "branch.promotion": Capability(Support.NATIVE),
    "branch.validation": Capability(Support.NATIVE),
    "champion.own_image": Capability(
        Support.EMULATED,
        "the service takes no image as a parameter: wake writes the champion's image into the executor "
        "`exec-predict-champion` of the document that it submits",
    ),
    "record.always": Capability(
        Support.NATIVE, "an exit task; a run that was cancelled writes none, and the next wake records it as lost"
    ),
    "run.single": Capability(
        Support.EMULATED,
        "wake's compare-and-set on the state keeps one training at a time; Kubeflow's max_concurrency defers a second "
        "run instead of skipping it",
    ),
    "step.distributed": Capability(
        Support.UNSUPPORTED,
        "a task of a pipeline is one pod: let the command submit a TrainJob of Kubeflow Trainer and wait for it, or "
        "train on one machine with several accelerators (`resources.gpu.count`)",
    ),
    "step.mpi": Capability(Support.UNSUPPORTED, NO_MPI),
    "step.gpu": Capability(
        Support.NATIVE,
        "so many `nvidia.com/gpu` of the container, on nodes with the labels that `targets.kubeflow.gpu_nodes` has for "
        "the model; without labels any node with enough of them will do, and compiling warns",
    ),
    "step.resources": Capability(
        Support.NATIVE, "cpu and memory are limits of the container; the service has no field for a disk"
    ),
    "step.retries": Capability(
        Support.EMULATED,
        "the command is tried again inside its container, so that the tries are the same number on every target; "
        "a pod that the cluster takes away fails the attempt",
    ),
    "step.secrets": Capability(
        Support.NATIVE,
        "a Kubernetes secret of the pipeline's namespace, `NAME` by its key `value` or `NAME/KEY`, as a variable of "
        "the container (`secretAsEnv` of kfp-kubernetes)",
    ),
    "step.spot": Capability(
        Support.UNSUPPORTED,
        "which nodes are spot is a label of each cluster, which this version cannot be told; leave training.spot out "
        "for this target",
    ),
    "step.timeout": Capability(
        Support.EMULATED, "each try of the command is ended from inside its container; starting the pod does not count"
    ),
    "notifications": Capability(Support.EMULATED, "sent by our wake step; while no wake comes, nothing is sent"),
    "serving.batch": Capability(
        Support.EMULATED,
        "a pipeline of its own, which the first wake after an instant starts with the champion of that moment: up to "
        "trigger_policy.wake_every late",
    ),
    "rollout.approval": Capability(
        Support.EMULATED,
        "held open in wake's state until enough of the named people have said yes to wake: no service is asked",
    ),
    "rollout.mirror": Capability(
        Support.EMULATED,
        "KServe copies no requests: the candidate is up beside the champion with `canaryTrafficPercent: 0`, and a mesh "
        "or proxy of yours in front of the two has to send it the share (Istio's `mirror`). Where there is none, begin "
        "with a small `traffic`",
    ),
    "rollout.smoke": Capability(
        Support.NATIVE, "the candidate's revision has an address of its own, by `enable-tag-routing`"
    ),
    "rollout.traffic": Capability(
        Support.NATIVE, "`canaryTrafficPercent` of KServe, in whole per cent and in its serverless mode only"
    ),
    "serving.capture": Capability(
        Support.EMULATED,
        "KServe's logger writes every request and answer to the bucket: a share is not drawn",
    ),
    "serving.instances": Capability(Support.NATIVE, "`minReplicas` and `maxReplicas` of the predictor"),
    "serving.online": Capability(
        Support.EMULATED,
        "the bundle has the InferenceService of KServe and each step of its rollout; this version applies none of "
        "them. A promotion moves the registry's alias `champion`. `{model}` is `/mnt/models`, into which KServe copies",
    ),
    "staleness": Capability(Support.EMULATED, "told by the next wake; while no wake comes, nobody is told"),
    "trigger.event": Capability(
        Support.EMULATED, "a client of the Kubeflow API starts the wake pipeline with the parameter `event`"
    ),
    "trigger.drift": Capability(
        Support.NATIVE, "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.manual": Capability(Support.NATIVE),
    "trigger.new_data": Capability(
        Support.EMULATED, "wake counts the rows; Kubeflow itself starts nothing when data arrives"
    ),
    "trigger.performance": Capability(
        Support.NATIVE, "our own step, the same numbers on every target; no monitor of the platform is asked"
    ),
    "trigger.schedule": Capability(
        Support.EMULATED, "fires at the first wake after its instant: up to trigger_policy.wake_every late, never twice"
    ),
    "trigger.schedule.timezone": Capability(
        Support.EMULATED,
        "wake reads the cron in its own IANA zone; Kubeflow's schedules know one zone for the whole cluster",
    ),
    "wake.every": Capability(Support.NATIVE),
}


def emit(system: System) -> Bundle:
    """The pipelines, the recurring run of wake, the servers, and the fidelity report."""
    table, features = fidelity_files(system, CAPABILITIES)
    served = {path: as_yaml(document) for path, document in serving.documents(system).items()}
    artifacts = (
        table,
        features,
        *(Artifact(f"pipelines/{pipeline.kind}.yaml", _file(system, pipeline)) for pipeline in system.scores),
        Artifact("pipelines/train.yaml", _file(system, system.train)),
        Artifact("pipelines/wake.yaml", _file(system, system.wake)),
        Artifact("recurring-run.json", as_json(recurring_run(system))),
        *(Artifact(path, content) for path, content in sorted(served.items())),
    )
    return Bundle(NAME, artifacts)


def _file(system: System, pipeline: Pipeline) -> bytes:
    """The PipelineSpec and, after `---`, what only Kubernetes understands, where there is any of it."""
    platform = platform_spec(pipeline, placements(pipeline, system.settings))
    return as_yaml(pipeline_spec(pipeline, system.root)) + (b"---\n" + as_yaml(platform) if platform else b"")
