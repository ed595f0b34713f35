"""Runs a PipelineSpec file by Kubeflow's own local runner, in a child, and checks that it ran what the file says.

The runner is taken as it is. Around it: its own log is silenced, the steps' output streams through unchanged, and what
it started is observed, because it skips a branch without a word when it cannot find the operand of a condition.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.steps import handover
from ctc.targets.kfp_check import COMPLETED, CONDITION, check, check_platform
from ctc.targets.kfp_local import localised
from ctc.targets.kfp_secrets import local_variables
from ctc.targets.kfp_yaml import as_yaml

LAST_LINES = 20
CHILD = "ctc.targets.kfp_child"
_BOOT = "import sys; sys.path.append(sys.argv[1]); from ctc.targets.kfp_child import main; sys.exit(main(sys.argv[2:]))"


def read(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The PipelineSpec in `file`, as the local runner spells it, and the PlatformSpec after it, empty if none is there.

    Raises `CtcError` if it is not one, or if one of its references leads nowhere.
    """
    try:
        spec, *platform = yaml.load_all(file.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise CtcError(f"cannot read {file}: {error.strerror}", "compile the spec again") from error
    except yaml.YAMLError as error:
        raise CtcError(f"{file} is not YAML: {' '.join(str(error).split())}", "compile the spec again") from error
    try:
        spec = localised(spec)
    except (AttributeError, KeyError, TypeError, ValueError):
        problems = ["the document has not the shape of a PipelineSpec"]
    else:
        problems = check(spec)
    problems = problems or check_platform(spec, platform)
    if problems:
        raise CtcError(
            f"{file} cannot be run:\n" + "\n".join(f"  {problem}" for problem in problems),
            "compile the spec again, or mend the edit",
        )
    return dict(spec), dict(platform[0]) if platform else {}


def execute(file: Path, parameters: Mapping[str, Any], machine: Machine) -> Execution:
    """Runs the pipeline in `file`, with `parameters` by name; those below a mount's URI become local paths.

    Artifacts go to `attempts/<attempt>/artifacts-<n>` below the mount of the pipeline's root, those of a pipeline
    without an attempt to the machine's scratch. The steps' output goes to this process's stderr. Raises `CtcError` if
    nothing could be started.
    """
    if importlib.util.find_spec("kfp") is None:
        raise CtcError("running a Kubeflow pipeline on this machine needs kfp", "pip install 'ctc-compiler[kubeflow]'")
    spec, platform = read(file)
    arguments = _arguments(spec, parameters, machine.mounts)
    machine.scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kfp-", dir=machine.scratch))
    (folder / "pipeline.yaml").write_bytes(as_yaml(spec) + (b"---\n" + as_yaml(platform) if platform else b""))
    order = {
        "file": str((folder / "pipeline.yaml").resolve()),
        "arguments": arguments,
        "pipeline_root": str(_pipeline_root(spec, arguments, machine, folder)),
        "workspace_root": str(folder / "workspace"),
        "events": str(folder / "events.jsonl"),
        "secrets": local_variables(platform),
    }
    (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
    code = _run_child(folder / "order.json", machine)
    trace = _trace(folder / "events.jsonl")
    trace.arguments = arguments
    error = _judge(spec, trace, code)
    return Execution(ok=not error, steps=tuple(trace.started), error=error)


def _arguments(spec: Mapping[str, Any], parameters: Mapping[str, Any], mounts: Mapping[str, Path]) -> dict[str, Any]:
    declared = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    unknown = sorted(parameters.keys() - declared.keys())
    defaults = {name: item["defaultValue"] for name, item in declared.items() if "defaultValue" in item}
    given = {**defaults, **parameters}
    missing = sorted(declared.keys() - given.keys())
    if unknown or missing:
        what = f"has no parameter {', '.join(unknown)}" if unknown else f"needs the parameter {', '.join(missing)}"
        raise CtcError(f"the pipeline {spec['pipelineInfo']['name']} {what}", "compile the spec again")
    return {name: _argument(value, declared[name].get("parameterType"), mounts) for name, value in given.items()}


def _argument(value: Any, wanted: str | None, mounts: Mapping[str, Path]) -> Any:
    """A parameter's value as the runner takes it: whole numbers are floating ones in files of Kubeflow's compiler."""
    if wanted == "NUMBER_INTEGER" and isinstance(value, float) and value.is_integer():
        return int(value)
    return _local(value, mounts) if isinstance(value, str) else value


def _local(value: str, mounts: Mapping[str, Path]) -> str:
    """The path for which a URI below a mount stands, the longest mount first; any other value as it is."""
    for prefix in sorted(mounts, key=len, reverse=True):
        base = prefix.rstrip("/")
        if value == base or value.startswith(f"{base}/"):
            return str(mounts[prefix].absolute() / value[len(base) :].strip("/"))
    return value


def _pipeline_root(spec: Mapping[str, Any], arguments: Mapping[str, Any], machine: Machine, scratch: Path) -> Path:
    attempt = str(arguments.get("attempt") or "")
    if not attempt:
        return scratch / "artifacts"
    uri = str(spec.get("defaultPipelineRoot", ""))
    local = _local(uri, machine.mounts)
    if local == uri:
        raise CtcError(f"nothing on this machine stands for {uri or 'the root of the pipeline'}")
    base = Path(local).parent / "attempts" / attempt
    for number in range(1, sys.maxsize):
        folder = base / f"artifacts-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("the loop returns")


def _run_child(order: Path, machine: Machine) -> int:
    environment = {**machine.environment, "CTC_DIE_WITH_PARENT": "1"}
    with Path(os.devnull).open("r+b") as nothing:
        places = nothing.fileno(), nothing.fileno(), 2
        status = handover.ask((handover.RUNNER,), CHILD, [str(order)], environment, str(machine.working), places)
    if status is not None:
        return os.waitstatus_to_exitcode(status)
    # Not resolved: in a checkout ctc/targets is a symlink out of the package.
    root = Path(__file__).absolute().parents[2]
    # -P: a file of the user's in the working folder must not stand in for a module.
    command = [sys.executable, "-P", "-W", "ignore", "-c", _BOOT, str(root), str(order), str(os.getpid())]
    return subprocess.run(
        command,
        cwd=machine.working,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    ).returncode


@dataclass
class _Trace:
    """What the runner did. `ended` holds exit code and last output by step, `outputs` where each step's outputs lie."""

    started: list[str] = field(default_factory=list)
    outputs: dict[str, Path] = field(default_factory=dict)
    ended: dict[str, tuple[int, str]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The pipeline's own parameters."""
    stopped: str = ""
    """Why the runner gave up, in its own words."""

    def failed(self, step: str) -> bool:
        return self.ended.get(step, (1, ""))[0] != 0

    def written(self, step: str) -> Mapping[str, Any]:
        """The executor output of a step; empty if it wrote none."""
        try:
            document = json.loads(self.outputs[step].read_bytes())
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


def _trace(file: Path) -> _Trace:
    trace = _Trace()
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for event in map(json.loads, lines):
        match event["event"]:
            case "start":
                if event["step"] not in trace.started:
                    trace.started.append(event["step"])
                trace.outputs[event["step"]] = Path(event["output"])
            case "end":
                trace.ended[event["step"]] = (event["code"], event["last"])
            case "stopped":
                trace.stopped = event["message"]
    return trace


def _judge(spec: Mapping[str, Any], trace: _Trace, code: int) -> str:
    """What went wrong, for a person; empty if every step that the file demands ran, no other did, and none failed."""
    failures = [_failure(step, *trace.ended[step]) for step in trace.started if step in trace.ended]
    failures = [failure for failure in failures if failure]
    running = [step for step in trace.started if step not in trace.ended]
    if code != 0 and running:
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        failures.append(f"Kubeflow's local runner {how} while step {running[-1]} ran{_because(trace)}")
    elif code != 0:
        failures.append(f"Kubeflow's local runner ended with exit code {code}{_because(trace)}")
    failures += _unwritten(spec, trace)
    if not failures and trace.stopped:
        failures.append(f"Kubeflow's local runner gave up{_because(trace)}")
    if not failures:
        failures += _unfaithful(spec, trace)
    return "\n".join(failures)


def _because(trace: _Trace) -> str:
    return f": {trace.stopped}" if trace.stopped else ""


def _failure(step: str, code: int, last: str) -> str:
    if code == 0:
        return ""
    own = f"ctc: {step} failed"
    if own in last:
        # The step explained itself, its command's last lines included.
        return last[last.rindex(own) + len("ctc: ") :].rstrip()
    how = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    lines = "\n".join(last.rstrip().splitlines()[-LAST_LINES:])
    return f"step {step} {how}; " + (f"its last lines:\n{lines}" if lines else "it printed nothing")


def _unwritten(spec: Mapping[str, Any], trace: _Trace) -> list[str]:
    found = []
    for step in trace.started:
        if trace.failed(step):
            continue
        written = trace.written(step)
        declared = spec["components"].get(f"comp-{step}", {}).get("outputDefinitions", {})
        missing = sorted(declared.get("artifacts", {}).keys() - written.get("artifacts", {}).keys())
        missing += sorted(declared.get("parameters", {}).keys() - written.get("parameterValues", {}).keys())
        if missing:
            found.append(f"step {step} ended well and did not report its output {', '.join(missing)}")
    return found


def _unfaithful(spec: Mapping[str, Any], trace: _Trace) -> list[str]:
    """Where what ran is not what the conditions of the document say, by the flags that the steps wrote."""
    demanded = _demanded(spec, spec["root"]["dag"]["tasks"], trace, trace.arguments)[0]
    skipped = [step for step in demanded if step not in trace.started]
    extra = [step for step in trace.started if step not in demanded]
    found = []
    if skipped:
        found.append(f"Kubeflow's local runner skipped {', '.join(skipped)}, which the pipeline demands")
    if extra:
        found.append(f"Kubeflow's local runner ran {', '.join(extra)}, which the pipeline excludes")
    return found


def _demanded(
    spec: Mapping[str, Any], tasks: Mapping[str, Any], trace: _Trace, given: Mapping[str, Any]
) -> tuple[list[str], bool]:
    """The steps that a DAG demands, given its parameters and how its steps ended; and whether one of them failed."""
    demanded: list[str] = []
    failed: set[str] = set()
    for name in _in_order(tasks):
        task = tasks[name]
        policy = task.get("triggerPolicy", {})
        if failed & set(task.get("dependentTasks", ())) and policy.get("strategy") != COMPLETED:
            failed.add(name)
            continue
        component = spec["components"][task["componentRef"]["name"]]
        step = task["componentRef"]["name"].removeprefix("comp-")
        if "dag" in component:
            values = _values(task, trace, given)
            if "condition" in policy and not _holds(policy["condition"], values):
                continue
            inner, broken = _demanded(spec, component["dag"]["tasks"], trace, values)
            demanded += inner
        elif "importer" in spec["deploymentSpec"]["executors"][component["executorLabel"]]:
            continue
        else:
            demanded.append(step)
            broken = trace.failed(step)
        if broken:
            failed.add(name)
    return demanded, bool(failed)


def _in_order(tasks: Mapping[str, Any]) -> list[str]:
    """Every task after those on which it depends; `check` has excluded circles."""
    order: list[str] = []
    while len(order) < len(tasks):
        order += [
            name
            for name, task in tasks.items()
            if name not in order and all(need in order for need in task.get("dependentTasks", ()))
        ]
    return order


def _values(task: Mapping[str, Any], trace: _Trace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a task is given, by name; None for one that a step has not written."""
    values: dict[str, Any] = {}
    for name, source in task.get("inputs", {}).get("parameters", {}).items():
        if "taskOutputParameter" in source:
            written = trace.written(source["taskOutputParameter"]["producerTask"]).get("parameterValues", {})
            values[name] = written.get(source["taskOutputParameter"]["outputParameterKey"])
        elif "componentInputParameter" in source:
            values[name] = given.get(source["componentInputParameter"])
        else:
            values[name] = source.get("runtimeValue", {}).get("constant")
    return values


def _holds(condition: str, values: Mapping[str, Any]) -> bool:
    match = CONDITION.fullmatch(condition)
    assert match is not None, "check has refused other conditions"
    return (values.get(match.group(1)) is (match.group(3) == "true")) == (match.group(2) == "==")
