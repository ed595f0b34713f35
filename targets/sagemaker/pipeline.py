"""IR to pipeline definitions (version 2020-12-01), straight to the service's own JSON.

Step and job fields: botocore's `CreateProcessingJob` and `CreateTrainingJob`; functions (`Get`, `Std:Join`,
`Std:JsonGet`) as the SageMaker Python SDK writes them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ctc.compiler.bundle import Artifact, as_json
from ctc.compiler.ir import Branch, Node, Pipeline, Ref, Runs, Step, System
from ctc.targets.sagemaker.machines import processing, smallest, volume_gib
from ctc.targets.sagemaker.resources import tags, vpc
from ctc.targets.shim import WITH_SECRETS, program, secret_words, step_options

Definition = dict[str, Any]

PROCESSING = "/opt/ml/processing"
CHANNELS = "/opt/ml/input/data"
CHECKPOINTS = "/opt/ml/checkpoints"
HOSTS = "/opt/ml/input/config/resourceconfig.json"
"""Where a training job's container finds the machines of its job."""
RESULT = "result"
SHIM = "ctc"
"""The input or channel that carries the shim."""
OVERHEAD = timedelta(minutes=10)
"""What a job may take beside the tries of its command: the shim ends each try by itself, the service only the job."""
SERVICE_FAULTS: list[dict[str, Any]] = [
    {
        "ExceptionType": ["Step.SERVICE_FAULT", "Step.THROTTLING"],
        "IntervalSeconds": 30,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
    {
        "ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"],
        "IntervalSeconds": 120,
        "BackoffRate": 2.0,
        "MaxAttempts": 5,
    },
]
"""Retries of the service's own faults. No such policy matches a failing container: the shim retries the command."""


def definitions(system: System, support: str) -> dict[str, Definition]:
    """The definitions by kind: `wake`, `train`, those of batch jobs and, in place of an exit handler, `record`.

    `support` is the URI below which the files of `documents` are uploaded.
    """
    build = _Definitions(system, support)
    made = {pipeline.kind: build.pipeline(pipeline) for pipeline in system.pipelines}
    if system.train.on_exit is not None:
        made["record"] = build.record(system.train.on_exit)
    return made


def documents(system: System) -> tuple[Artifact, ...]:
    """The step documents and the programs: what the pipelines expect to find uploaded."""
    steps = [step for pipeline in system.pipelines for step in pipeline.steps()]
    programs = {step.program for step in steps if step.runs is not Runs.RUNTIME}
    programs |= {WITH_SECRETS for step in steps if step.secrets}
    # A step that several pipelines have is the same step in each.
    found = {step.name: dict(step.document) for step in steps if step.document is not None}
    written = (Artifact(f"documents/{name}.json", as_json(document)) for name, document in found.items())
    return (*written, *(Artifact(f"support/{name}.py", program(name).encode()) for name in sorted(programs)))


def uploads(support: str, uploaded: tuple[Artifact, ...]) -> dict[str, str]:
    """Each of the files with its URI below `support`."""
    return {artifact.path: f"{support}/{artifact.path.replace('support/', 'shim/')}" for artifact in uploaded}


def support_digest(uploaded: tuple[Artifact, ...]) -> str:
    """sha256 of what is uploaded."""
    digest = hashlib.sha256()
    for artifact in uploaded:
        digest.update(f"{artifact.path}\0{len(artifact.content)}\0".encode())
        digest.update(artifact.content)
    return digest.hexdigest()


def support_uri(system: System, digest: str) -> str:
    """Where the uploaded files are. Keyed by content, so that a new deployment disturbs no running job."""
    return f"{system.root}/support/{digest}"


def parameter_name(name: str) -> str:
    """`champion_model` as SageMaker's users write it: `ChampionModel`."""
    return "".join(part.capitalize() for part in name.split("_"))


def get(path: str) -> dict[str, str]:
    return {"Get": path}


def join(*values: Any) -> Any:
    """One string of several values."""
    return {"Std:Join": {"On": "", "Values": list(values)}}


def tries_seconds(step: Step) -> int:
    """How long the job of a step may run: every try, and what is around them."""
    return math.ceil((step.timeout * (step.retries + 1) + OVERHEAD).total_seconds())


class _Definitions:
    def __init__(self, system: System, support: str) -> None:
        self.system = system
        self.role = str(system.settings["role"])
        self.support = support
        self.key = system.settings.get("kms_key")
        self.kinds: dict[str, str] = {}
        """Step name to step type, for those that references may meet."""

    def pipeline(self, pipeline: Pipeline) -> Definition:
        self.kinds = {step.name: _kind(step) for step in pipeline.steps()}
        parameters = [
            {
                "Name": parameter_name(parameter.name),
                "Type": "String",
                **({} if parameter.default is None else {"DefaultValue": parameter.default}),
            }
            for parameter in pipeline.parameters
        ]
        return self._definition(parameters, self._body(pipeline.body))

    def record(self, step: Step) -> Definition:
        """The one-step pipeline that the end of the train pipeline starts: SageMaker has no exit handler."""
        parameters = [{"Name": parameter_name(name), "Type": "String"} for name in step.parameters]
        return self._definition(parameters, [self._step(step)])

    def _definition(self, parameters: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Definition:
        metadata = {
            "ctc-name": self.system.name,
            "ctc-environment": self.system.environment,
            "ctc-spec-digest": self.system.spec_digest,
        }
        return {"Version": "2020-12-01", "Metadata": metadata, "Parameters": parameters, "Steps": steps}

    def _body(self, nodes: tuple[Node, ...]) -> list[dict[str, Any]]:
        return self._steps([node for node in nodes if isinstance(node, Step)]) + [
            condition for node in nodes if isinstance(node, Branch) for condition in self._conditions(node, ())
        ]

    def _steps(self, steps: list[Step]) -> list[dict[str, Any]]:
        """In order; a step that reads nothing of its predecessors is told to wait for the one before it."""
        made = []
        for before, step in zip([None, *steps], steps, strict=False):
            made.append(self._step(step))
            if before is not None and not step.inputs:
                made[-1]["DependsOn"] = [before.name]
        return made

    def _conditions(self, branch: Branch, outer: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
        """A root Condition for the branch, then one for each branch inside it: nesting Conditions is not supported.

        An inner one repeats the outer conditions, and waits for the outer branch by reading results made inside it.
        """
        flag = {
            "Std:JsonGet": {
                "PropertyFile": get(f"Steps.{branch.on.step}.PropertyFiles.{RESULT}"),
                "Path": f"flags.{branch.on.output}",
            }
        }
        conditions = (*outer, {"Type": "Equals", "LeftValue": flag, "RightValue": True})
        step = {
            "Name": f"if-{branch.on.step}-{branch.on.output}",
            "Type": "Condition",
            "Arguments": {
                "Conditions": list(conditions),
                "IfSteps": self._steps([item for item in branch.then if isinstance(item, Step)]),
                "ElseSteps": [],
            },
        }
        inner = [item for item in branch.then if isinstance(item, Branch)]
        return [step, *(made for item in inner for made in self._conditions(item, conditions))]

    def _step(self, step: Step) -> dict[str, Any]:
        kind = _kind(step)
        arguments = self._training(step) if kind == "Training" else self._processing(step)
        made = {"Name": step.name, "Type": kind, "Arguments": arguments, "RetryPolicies": SERVICE_FAULTS}
        if step.flags:
            made["PropertyFiles"] = [{"PropertyFileName": RESULT, "OutputName": RESULT, "FilePath": f"{RESULT}.json"}]
        return made

    def _processing(self, step: Step) -> dict[str, Any]:
        ours = step.runs is Runs.RUNTIME
        support = ("document", f"{self.support}/documents/") if ours else (SHIM, f"{self.support}/shim/")
        sources = {support[0]: support[1], **self._sources(step)}
        outputs = [*step.outputs, *([RESULT] if ours and "attempt" in step.parameters else [])]
        machine = processing(step.resources)
        arguments: dict[str, Any] = {
            "RoleArn": self.role,
            "AppSpecification": {
                "ImageUri": self._image(step),
                "ContainerEntrypoint": self._entrypoint(step),
                "ContainerArguments": self._our_arguments(step, outputs) if ours else self._shim_arguments(step),
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "" if machine is None else machine.name,
                    "InstanceCount": 1,
                    "VolumeSizeInGB": volume_gib(step.resources),
                }
            },
            "ProcessingInputs": [_processing_input(name, uri) for name, uri in sources.items()],
            "StoppingCondition": {"MaxRuntimeInSeconds": tries_seconds(step)},
        }
        if step.environment:
            arguments["Environment"] = dict(step.environment)
        if network := vpc(self.system):
            arguments["NetworkConfig"] = {"VpcConfig": network}
        arguments["Tags"] = tags(self.system)
        if outputs:
            arguments["ProcessingOutputConfig"] = {
                "Outputs": [_processing_output(name, self._place(step, name)) for name in outputs]
            }
        if self.key:
            if machine is not None and not machine.local_disk_gb:
                arguments["ProcessingResources"]["ClusterConfig"]["VolumeKmsKeyId"] = self.key
            if outputs:
                arguments["ProcessingOutputConfig"]["KmsKeyId"] = self.key
        return arguments

    def _training(self, step: Step) -> dict[str, Any]:
        machine = smallest(step.resources, training=True)
        channels = {SHIM: f"{self.support}/shim/", **self._sources(step)}
        environment = dict(step.environment)
        stopping = {"MaxRuntimeInSeconds": tries_seconds(step)}
        arguments: dict[str, Any] = {
            "RoleArn": self.role,
            "AlgorithmSpecification": {
                "TrainingImage": self._image(step),
                "TrainingInputMode": "File",
                "ContainerEntrypoint": self._entrypoint(step),
                "ContainerArguments": self._shim_arguments(step),
            },
            "InputDataConfig": [_channel(name, uri) for name, uri in channels.items()],
            "OutputDataConfig": {
                "S3OutputPath": join(
                    f"{self.system.root}/attempts/", get("Parameters.Attempt"), f"/artifacts/{step.name}"
                ),
                "CompressionType": "NONE",
            },
            "ResourceConfig": {
                "InstanceType": "" if machine is None else machine.name,
                "InstanceCount": step.nodes,
                "VolumeSizeInGB": volume_gib(step.resources),
            },
            "StoppingCondition": stopping,
        }
        if step.spot is not None:
            waiting = math.ceil(step.spot.max_wait.total_seconds())
            stopping["MaxWaitTimeInSeconds"] = stopping["MaxRuntimeInSeconds"] + waiting
            arguments["EnableManagedSpotTraining"] = True
        if step.checkpoints:
            # The service copies to S3 while the job runs, and back before the next job of the attempt starts.
            place = join(f"{self.system.root}/attempts/", get("Parameters.Attempt"), "/checkpoints")
            arguments["CheckpointConfig"] = {"S3Uri": place, "LocalPath": CHECKPOINTS}
        if network := vpc(self.system):
            arguments["VpcConfig"] = network
        arguments["Tags"] = tags(self.system)
        if self.key:
            if machine is not None and not machine.local_disk_gb:
                arguments["ResourceConfig"]["VolumeKmsKeyId"] = self.key
            arguments["OutputDataConfig"]["KmsKeyId"] = self.key
        if environment:
            arguments["Environment"] = environment
        hyperparameters = _hyperparameters(step)
        if hyperparameters:
            arguments["HyperParameters"] = hyperparameters
        return arguments

    def _image(self, step: Step) -> Any:
        return get("Parameters.ChampionImage") if step.runs is Runs.CHAMPION else step.image

    def _entrypoint(self, step: Step) -> list[str]:
        if step.runs is Runs.RUNTIME:
            return ["python3", "-m", "ctc.step", step.name]
        return ["python3", "-u", f"{_input_folder(step, SHIM)}/{WITH_SECRETS if step.secrets else step.program}.py"]

    def _our_arguments(self, step: Step, outputs: list[str]) -> list[Any]:
        words: list[Any] = ["--document", f"{PROCESSING}/input/document/{step.name}.json"]
        for name in step.parameters:
            words += ["--parameter", join(f"{name}=", get(f"Parameters.{parameter_name(name)}"))]
        for name, uri in self._sources(step).items():
            words += ["--input", f"{name}={_input_folder(step, name)}", "--uri", join(f"{name}=", uri)]
        for name in step.outputs:
            words += ["--output", f"{name}={PROCESSING}/output/{name}"]
        return words + (["--result", f"{PROCESSING}/output/{RESULT}"] if RESULT in outputs else [])

    def _shim_arguments(self, step: Step) -> list[str]:
        training = _kind(step) == "Training"
        words = [*secret_words(step, str)]
        words = [f"{step.program}.py", *words] if words else []
        words += ["--step", step.name]
        for name in self._sources(step):
            words += ["--input", f"{name}={_input_folder(step, name)}"]
        for name in step.outputs:
            words += ["--output", f"{name}={'/opt/ml' if training else f'{PROCESSING}/output'}/{name}"]
        words += ["--failure", "/opt/ml/output/failure" if training else "/opt/ml/output/message"]
        words += ["--retries", str(step.retries), "--timeout", str(math.ceil(step.timeout.total_seconds()))]
        if step.checkpoints:
            words += ["--checkpoints", CHECKPOINTS]
        words += step_options(step)
        if step.nodes > 1:
            words += ["--option", f"hosts={HOSTS}"]
        return [*words, "--", *step.apply, *step.argv] if step.runs is Runs.USER else words

    def _sources(self, step: Step) -> dict[str, Any]:
        """Every input with the URI that it is read from."""
        found = {name: self._output_uri(ref) for name, ref in step.inputs}
        return found | {name: get(f"Parameters.{parameter_name(parameter)}") for name, parameter in step.imports}

    def _output_uri(self, ref: Ref) -> dict[str, str]:
        if self.kinds[ref.step] == "Training":
            return get(f"Steps.{ref.step}.ModelArtifacts.S3ModelArtifacts")
        return get(f"Steps.{ref.step}.ProcessingOutputConfig.Outputs['{ref.output}'].S3Output.S3Uri")

    def _place(self, step: Step, output: str) -> Any:
        folder = f"/artifacts/{step.name}/{output}"
        return join(f"{self.system.root}/attempts/", get("Parameters.Attempt"), folder)


def is_training(step: Step) -> bool:
    """Only what makes a model is a training job: those alone have spot capacity, and channels and a model folder."""
    return step.runs is Runs.USER and step.outputs == ("model",)


def _kind(step: Step) -> str:
    return "Training" if is_training(step) else "Processing"


def _input_folder(step: Step, name: str) -> str:
    return f"{CHANNELS}/{name}" if _kind(step) == "Training" else f"{PROCESSING}/input/{name}"


def _processing_input(name: str, uri: Any) -> dict[str, Any]:
    return {
        "InputName": name,
        "AppManaged": False,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"{PROCESSING}/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
            "S3CompressionType": "None",
        },
    }


def _processing_output(name: str, uri: Any) -> dict[str, Any]:
    place = {"S3Uri": uri, "LocalPath": f"{PROCESSING}/output/{name}", "S3UploadMode": "EndOfJob"}
    return {"OutputName": name, "AppManaged": False, "S3Output": place}


def _channel(name: str, uri: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _hyperparameters(step: Step) -> dict[str, str]:
    """As the service keeps them: strings. The typed ones travel in `CTC_HYPERPARAMETERS`."""
    typed: Mapping[str, Any] = json.loads(dict(step.environment).get("CTC_HYPERPARAMETERS", "{}"))
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in typed.items()}
