"""IR to pipeline jobs, as the CLI (v2) YAML of Azure Machine Learning has them.

Commands are shell strings there. Every word of ours and of the user's is quoted for `sh`, and no word of the user's
keeps the two signs that start an expression of the service (`${{`, `$[[`) together.
"""

from __future__ import annotations

import hashlib
import math
import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

from ctc.compiler.bundle import Artifact, as_json
from ctc.compiler.ir import Branch, Node, Pipeline, Ref, Runs, Step, System
from ctc.targets.azureml.machines import smallest
from ctc.targets.azureml.tags import tags
from ctc.targets.shim import WITH_SECRETS, program, secret_words, step_options

Job = dict[str, Any]

UNSET = "unset"
"""Stands in a train job for the attempt, until a wake submits it with one."""
SUPPORT, RESULT, CHECKPOINTS = "ctc_support", "ctc_result", "ctc_checkpoints"
NOTHING = "-"
"""A parameter that is not given, such as a wake's `manual`: an input of the service is never the empty string."""
ENCODED = ("instant", "manual", "event")
"""Parameters that may not be given, or that people write, percent-encoded: they stand in a shell string."""
FOLDERS = ("request", "champion_model", "base_model")
OVERHEAD = timedelta(minutes=10)
"""What a job may take beside the tries of its command: the shim ends each try, the service only the job."""
_EXPRESSIONS = ("{{", "[[")


def word(text: str) -> str:
    """One word for `sh`, in which the service finds no expression."""
    quoted = shlex.quote(text)
    for brackets in _EXPRESSIONS:
        quoted = quoted.replace(f"${brackets}", f"$''{brackets}")
    return quoted


def expression(kind: str, name: str, before: str = "") -> str:
    """A word that ends in the value of an input or output; double quotes, for the service writes paths into it."""
    return f'"{before}${{{{{kind}.{name}}}}}"'


def key(name: str) -> str:
    """A name of the IR as an identifier."""
    return name.replace("-", "_")


def tries_seconds(step: Step) -> int:
    """How long the job of a step may run: every try, and what is around them."""
    return math.ceil((step.timeout * (step.retries + 1) + OVERHEAD).total_seconds())


def secret_address(system: System, name: str) -> str:
    """Where the workspace's key vault tells a secret's newest text."""
    return f"https://{system.settings.get('key_vault', '')}.vault.azure.net/secrets/{name}"


def documents(system: System) -> tuple[Artifact, ...]:
    """The step documents, the programs and the gate: what the jobs expect to find uploaded."""
    steps = [step for pipeline in system.pipelines for step in pipeline.steps()]
    programs = {step.program for step in steps if step.runs is not Runs.RUNTIME}
    programs |= {WITH_SECRETS for step in steps if step.secrets}
    # A step that several pipelines have is the same step in each.
    ours = {step.name: dict(step.document) for step in steps if step.document is not None}
    found = [Artifact(f"documents/{name}.json", as_json(document)) for name, document in ours.items()]
    found += [Artifact(f"support/{name}.py", program(name).encode()) for name in sorted(programs)]
    return (*found, Artifact("support/gate.py", Path(__file__).with_name("gate.py").read_bytes()))


def support_uri(system: System, uploaded: tuple[Artifact, ...]) -> str:
    """Where the uploaded files are. Keyed by content, so that a new deployment disturbs no running job."""
    digest = hashlib.sha256()
    for artifact in uploaded:
        digest.update(f"{artifact.path}\0{len(artifact.content)}\0".encode())
        digest.update(artifact.content)
    return f"{system.root}/support/{digest.hexdigest()}"


def jobs(system: System, support: str) -> dict[str, Job]:
    """The pipeline jobs by kind: `wake`, `train` and those of batch jobs."""
    return {pipeline.kind: _Jobs(system, support).pipeline(pipeline) for pipeline in system.pipelines}


def identity(system: System) -> dict[str, str]:
    """As whom our steps run: the cluster's identity, or the one of its several that the spec names."""
    named = {"client_id": str(system.settings["identity"])} if system.settings.get("identity") else {}
    return {"type": "managed", **named}


class _Jobs:
    def __init__(self, system: System, support: str) -> None:
        self.system = system
        self.support = support
        self.before: list[str] = []
        """Every output folder that tells that an earlier step ended, for the last step to wait for."""
        self.kinds = {item.name: {"type": kind_of(item.default or "")} for item in system.train.parameters}

    def pipeline(self, pipeline: Pipeline) -> Job:
        made = self._nodes(pipeline.body, ())
        if pipeline.on_exit is not None:
            made[key(pipeline.on_exit.name)] = self._step(pipeline.on_exit, (), last=True)
        inputs: dict[str, Any] = {SUPPORT: _folder(self.support)}
        for parameter in pipeline.parameters:
            default = parameter.default
            if parameter.name in FOLDERS or parameter.name.startswith("input_"):
                inputs[key(parameter.name)] = _folder(default or f"{self.system.root}/attempts/{UNSET}/request")
            elif parameter.name != "champion_image":
                inputs[key(parameter.name)] = default or (NOTHING if parameter.name in ENCODED else UNSET)
        return {
            "$schema": "https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json",
            "type": "pipeline",
            "experiment_name": self.system.name,
            "display_name": f"{self.system.name}-{pipeline.kind}",
            "description": f"The {pipeline.kind} pipeline of {self.system.name}, compiled by ctc.",
            "tags": tags(self.system),
            "settings": {
                "default_compute": f"azureml:{self.system.settings['compute']}",
                "default_datastore": f"azureml:{self.system.settings['datastore']}",
                # Of the steps that need a failed one none runs; the record, whose inputs are optional, does.
                "continue_on_step_failure": True,
                # A result of an earlier run is no result of this one, whatever looks the same.
                "force_rerun": True,
            },
            "inputs": inputs,
            "jobs": made,
        }

    def _nodes(self, nodes: tuple[Node, ...], gates: tuple[Ref, ...]) -> dict[str, Job]:
        made: dict[str, Job] = {}
        for node in nodes:
            if isinstance(node, Branch):
                made |= self._nodes(node.then, (*gates, node.on))
            else:
                made[key(node.name)] = self._step(node, gates)
        return made

    def _step(self, step: Step, gates: tuple[Ref, ...], *, last: bool = False) -> Job:
        outputs = [*self._written(step), *([CHECKPOINTS] if step.checkpoints else [])]
        bound, declared = self._inputs(step, gates, last)
        component: Job = {
            "type": "command",
            # Never reused: only what belongs to a component may say so.
            "is_deterministic": False,
            "inputs": declared,
            "environment": {"image": step.image},
            "command": self._command(step, gates, last),
        }
        job: Job = {"type": "command", "component": component, "inputs": bound}
        if outputs:
            component["outputs"] = {name: {"type": "uri_folder"} for name in outputs}
            job["outputs"] = {name: self._kept(step, name) for name in outputs}
            self.before.append(f"{key(step.name)}.outputs.{outputs[0]}")
        if step.environment:
            job["environment_variables"] = dict(step.environment)
        job["limits"] = {"timeout": tries_seconds(step)}
        return job | self._place(step)

    def _written(self, step: Step) -> list[str]:
        """What a step leaves to later ones."""
        answers = step.runs is Runs.RUNTIME and "attempt" in step.parameters
        return [*(key(name) for name in step.outputs), *([RESULT] if answers else [])]

    def _place(self, step: Step) -> Job:
        """Our steps run on the cluster, under its identity; the user's on a machine of the size that they ask for."""
        if step.runs is Runs.RUNTIME:
            return {"identity": identity(self.system)}
        size = smallest(step.resources)
        place: Job = {
            "compute": "azureml:serverless",
            "resources": {"instance_type": "" if size is None else size.name, "instance_count": step.nodes},
        }
        if step.nodes > 1:
            # One command for each machine, with its rank; that one starts the processes.
            place["distribution"] = {"type": "pytorch", "process_count_per_instance": 1}
        if step.secrets:
            # Serverless compute has no identity of its own: this is the workspace's user-assigned one.
            place["identity"] = {"type": "managed"}
        if step.spot is not None:
            place["queue_settings"] = {"job_tier": "Spot"}
        return place

    def _inputs(self, step: Step, gates: tuple[Ref, ...], last: bool) -> tuple[dict[str, str], Job]:
        """What the step's inputs are bound to, and what its component declares."""
        folder, text = {"type": "uri_folder"}, {"type": "string"}
        bound = {SUPPORT: f"${{{{parent.inputs.{SUPPORT}}}}}"}
        declared: Job = {SUPPORT: folder}
        for name in _told(step):
            bound[key(name)], declared[key(name)] = f"${{{{parent.inputs.{key(name)}}}}}", text
        for name, ref in step.inputs:
            bound[key(name)], declared[key(name)] = _output(ref.step, ref.output), folder
        for name, parameter in step.imports:
            bound[key(name)], declared[key(name)] = f"${{{{parent.inputs.{key(parameter)}}}}}", self.kinds[parameter]
        for gate in gates:
            name = f"ctc_gate_{key(gate.step)}"
            bound[name], declared[name] = _output(gate.step, RESULT), folder
        if not step.inputs and self.before and not last:
            bound["ctc_after"], declared["ctc_after"] = f"${{{{parent.jobs.{self.before[-1]}}}}}", folder
        for index, output in enumerate(self.before if last else ()):
            name = f"ctc_after_{index}"
            bound[name], declared[name] = f"${{{{parent.jobs.{output}}}}}", {**folder, "optional": True}
        return bound, declared

    def _kept(self, step: Step, name: str) -> dict[str, str]:
        """Where an output is kept; outputs of steps and not of the job, of which there may be few."""
        attempt = f"{self.system.root}/attempts/{UNSET}"
        if name == CHECKPOINTS:
            # What is written is kept while the job runs, and is there for the next try of the attempt.
            return {"type": "uri_folder", "mode": "rw_mount", "path": f"{attempt}/checkpoints"}
        return {"type": "uri_folder", "mode": "upload", "path": f"{attempt}/artifacts/{step.name}/{name}"}

    def _command(self, step: Step, gates: tuple[Ref, ...], last: bool) -> str:
        support = "${{inputs.ctc_support}}"
        lines = []
        if gates:
            flags = [f'--flag "${{{{inputs.ctc_gate_{key(gate.step)}}}}}:{gate.output}"' for gate in gates]
            left = [f"--output {expression('outputs', name)}" for name in self._written(step)]
            lines += [f'python3 "{support}/gate.py"', *flags, *left, "--"]
        lines += self._ours(step, support) if step.runs is Runs.RUNTIME else self._users(step, support)
        command = " \\\n  ".join(lines)
        if last:
            # Named, so that the service knows what the step waits for; read by nobody.
            named = "".join(f'$[[ "${{{{inputs.ctc_after_{index}}}}}"]]' for index in range(len(self.before)))
            command = f":{named}\n{command}"
        return f"{command}\n"

    def _ours(self, step: Step, support: str) -> list[str]:
        lines = [f"python3 -m ctc.step {step.name}", f'--document "{support}/documents/{step.name}.json"']
        for name in _told(step):
            option = "--encoded" if name in ENCODED else "--parameter"
            lines.append(f"{option} {expression('inputs', key(name), f'{name}=')}")
        for name, ref in step.inputs:
            place = f"{self.system.root}/attempts/${{{{inputs.attempt}}}}/artifacts/{ref.step}/{key(ref.output)}"
            lines += [f"--input {expression('inputs', key(name), f'{name}=')}", f'--uri "{name}={place}"']
        for name in step.outputs:
            lines.append(f"--output {expression('outputs', key(name), f'{name}=')}")
        if "attempt" in step.parameters:
            lines.append(f"--result {expression('outputs', RESULT)}")
        return lines

    def _users(self, step: Step, support: str) -> list[str]:
        lines = [f'python3 -u "{support}/{step.program}.py"', f"--step {step.name}"]
        if step.secrets:
            secrets = [word(text) for text in secret_words(step, lambda name: secret_address(self.system, name))]
            lines[0] = " ".join([f'python3 -u "{support}/{WITH_SECRETS}.py" {step.program}.py', *secrets])
        read = [name for name, _ in (*step.inputs, *step.imports)]
        lines += [f"--input {expression('inputs', key(name), f'{name}=')}" for name in read]
        lines += [f"--output {expression('outputs', key(name), f'{name}=')}" for name in step.outputs]
        lines.append(f"--retries {step.retries} --timeout {math.ceil(step.timeout.total_seconds())}")
        if step.checkpoints:
            lines.append(f"--checkpoints {expression('outputs', CHECKPOINTS)}")
        told = list(step_options(step))
        lines += [f"{name} {word(value)}" for name, value in zip(told[::2], told[1::2], strict=True)]
        if step.runs is Runs.USER:
            lines.append(" ".join(["--", *(word(text) for text in (*step.apply, *step.argv))]))
        return lines


def _told(step: Step) -> tuple[str, ...]:
    """The parameters that a step's command names: the champion's image is none of them, the job holds it."""
    return step.parameters if step.runs is Runs.RUNTIME else ()


def kind_of(uri: str) -> str:
    """What is at a URI: a file has an extension, and no slash at its end."""
    return "uri_file" if "." in uri.rpartition("/")[2] else "uri_folder"


def _folder(uri: str) -> dict[str, str]:
    return {"type": kind_of(uri), "mode": "download", "path": uri}


def _output(step: str, output: str) -> str:
    return f"${{{{parent.jobs.{key(step)}.outputs.{key(output)}}}}}"
