"""Executes an Azure ML pipeline or command job (CLI v2 YAML) on this machine: any such document, without Azure.

A program of its own: `python interpreter.py ORDER.json REPORT.json`. It imports nothing of ctc, so what it runs is what
the document says. Understood: pipelines of command steps with inline or local components, literal and folder inputs,
`${{...}}` of inputs, outputs, parents and steps, optional parts `$[[...]]`, environment variables, `limits.timeout`,
`code` folders, outputs that are uploaded or mounted. Everything else is refused by its name.

Like the service, it starts no step that needs a failed one, and the others only if `continue_on_step_failure` says so;
an optional input of a failed step is absent. A command job is tried once: only parallel steps have retry settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LAST_LINES, TAIL_BYTES = 20, 16384
_EXPRESSION = re.compile(r"\$\{\{\s*([^}]*?)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_STEP = re.compile(r"parent\.jobs\.([a-z_][a-z0-9_]*)\.outputs\.(\w+)")
_PIPELINE_KEYS = {
    *("$schema", "type", "name", "display_name", "experiment_name", "description", "tags", "properties"),
    *("settings", "inputs", "outputs", "jobs", "compute", "identity"),
}
_STEP_KEYS = {
    *("$schema", "type", "name", "display_name", "experiment_name", "description", "tags", "properties", "component"),
    *("command", "code", "environment", "environment_variables", "inputs", "outputs", "compute", "resources"),
    *("limits", "queue_settings", "identity", "version", "is_deterministic", "parameters", "distribution"),
}
_FOLDERS = ("uri_folder", "uri_file", "mlflow_model", "custom_model", "mltable")
_MODES = ("download", "ro_mount", "rw_mount", "upload", None)


class Refused(Exception):
    """The document asks for what makes no sense, or is not understood here. The message is for a person."""


class StepFailed(Exception):
    """The message says why."""


@dataclass
class Host:
    """URI prefixes with their folders, the environment and first folder of processes, and one for scratch."""

    mounts: Mapping[str, str]
    environment: Mapping[str, str]
    working: str
    scratch: Path

    def path(self, uri: str, base: Path) -> Path:
        if "://" not in uri:
            return base / uri
        for prefix in sorted(self.mounts, key=len, reverse=True):
            root = prefix.rstrip("/")
            if uri == root or uri.startswith(root + "/"):
                parts = [part for part in uri[len(root) :].split("/") if part]
                if ".." in parts:
                    raise Refused(f"{uri} leaves its datastore")
                return Path(self.mounts[prefix]).joinpath(*parts)
        raise Refused(f"{uri} is below none of the folders that stand for datastores here")


@dataclass
class Run:
    """One execution: how each step ended, and where its outputs are."""

    host: Host
    base: Path
    name: str
    ended: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)  # `step.output` to the place where it is kept


def execute(job: Mapping[str, Any], host: Host, base: Path, name: str = "local") -> dict[str, Any]:
    """Runs a job; the report has `status`, `steps` in the order in which they started, and `reason`."""
    run = Run(host, base, name)
    if job.get("type", "command") == "command":
        job = {"type": "pipeline", "jobs": {"job": {key: value for key, value in job.items() if key != "type"}}}
    if job["type"] != "pipeline":
        raise Refused(f"a job of the type {job['type']} is not understood here")
    _known(job, _PIPELINE_KEYS, "the pipeline")
    settings = job.get("settings") or {}
    steps = {key: _expanded(key, step, job, base) for key, step in job["jobs"].items()}
    for key in _ordered(steps):
        _perform(run, key, steps[key], job, bool(settings.get("continue_on_step_failure", True)))
    failed = [key for key, status in run.ended.items() if status == "failed"]
    return {
        "status": "Failed" if failed else "Completed",
        "steps": [key for key, status in run.ended.items() if status != "not started"],
        "ended": run.ended,
        "reason": f"step {failed[0]}: {run.reasons[failed[0]]}" if failed else "",
    }


def _known(document: Mapping[str, Any], keys: set[str], what: str) -> None:
    unknown = sorted(set(document) - keys)
    if unknown:
        raise Refused(f"{what} has {', '.join(unknown)}, which is not understood here")


def _expanded(key: str, step: Mapping[str, Any], job: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """A step with its component: the command, what it declares, and what the step gives."""
    _known(step, _STEP_KEYS, f"step {key}")
    if step.get("type", "command") != "command":
        raise Refused(f"step {key} is of the type {step['type']}, which is not understood here")
    component, folder = step.get("component", step), base
    if isinstance(component, str):
        if component.startswith("azureml:"):
            raise Refused(f"step {key} is the registered component {component}, which is not on this machine")
        folder = (base / component.removeprefix("file:")).parent
        component = yaml.safe_load((base / component.removeprefix("file:")).read_text(encoding="utf-8"))
    _known(component, _STEP_KEYS, f"the component of step {key}")
    if not isinstance(component.get("command"), str):
        raise Refused(f"step {key} has no command")
    if not any(item.get("environment") for item in (component, step, job.get("settings") or {})):
        raise Refused(f"step {key} has no environment")
    declared, kinds = (
        {name: item if isinstance(item, dict) else {} for name, item in (component.get(side) or {}).items()}
        for side in ("inputs", "outputs")
    )
    given = dict(step.get("inputs") or {})
    if component is not step:
        for name in sorted(set(given) - set(declared)):
            raise Refused(f"step {key} is given {name}, which its component does not declare")
        for name, item in declared.items():
            if name not in given and "default" in item:
                given[name] = item["default"]
            elif name not in given and not item.get("optional"):
                raise Refused(f"step {key} is not given {name}, which its component requires")
    bound = dict(step.get("outputs") or {})
    outputs = {name: bound.get(name) for name in {**kinds, **bound}}
    return {
        "command": component["command"],
        "declared": declared,
        "inputs": given,
        "outputs": outputs,
        "kinds": kinds,
        "code": (folder / component["code"]) if component.get("code") else None,
        "environment": {**(component.get("environment_variables") or {}), **(step.get("environment_variables") or {})},
        "timeout": (step.get("limits") or component.get("limits") or {}).get("timeout"),
    }


def _needs(step: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Input to (step, output) for each that is bound to one."""
    found = {}
    for name, value in step["inputs"].items():
        text = value.get("path") if isinstance(value, dict) else value
        match = _EXPRESSION.fullmatch(text.strip()) if isinstance(text, str) else None
        inner = _STEP.fullmatch(match.group(1)) if match else None
        if inner:
            found[name] = (inner.group(1), inner.group(2))
    return found


def _ordered(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    waiting, done = dict(steps), list[str]()
    while waiting:
        for key, step in waiting.items():
            before = {name for name, _ in _needs(step).values()}
            if before - set(steps):
                raise Refused(f"step {key} reads of {', '.join(sorted(before - set(steps)))}, which is no step")
            if before <= set(done):
                break
        else:
            raise Refused(f"the steps {', '.join(waiting)} wait for each other")
        done.append(key)
        del waiting[key]
    return done


def _perform(run: Run, key: str, step: Mapping[str, Any], job: Mapping[str, Any], goes_on: bool) -> None:
    lacking = {name for name, (before, _) in _needs(step).items() if run.ended[before] != "completed"}
    required = {name for name in lacking if not step["declared"].get(name, {}).get("optional")}
    if required or (not goes_on and "failed" in run.ended.values()):
        run.ended[key] = "not started"
        return
    run.ended[key] = "running"
    sandbox = run.host.scratch / f"{run.name}-{key}"
    shutil.rmtree(sandbox, ignore_errors=True)
    try:
        _step(run, key, step, job, sandbox, lacking)
        run.ended[key] = "completed"
    except StepFailed as error:
        run.ended[key], run.reasons[key] = "failed", str(error)
    finally:
        shutil.rmtree(sandbox, ignore_errors=True)


def _step(
    run: Run, key: str, step: Mapping[str, Any], job: Mapping[str, Any], sandbox: Path, lacking: set[str]
) -> None:
    working = sandbox / "wd"
    if step["code"]:
        shutil.copytree(step["code"], working)
    (working / "outputs").mkdir(parents=True, exist_ok=True)
    values: dict[str, str] = {}
    for name, given in step["inputs"].items():
        if name not in lacking:
            values[f"inputs.{name}"] = _input(run, key, name, given, job, sandbox / "inputs" / name)
    kept: dict[str, tuple[Path, Path]] = {}
    for name, given in step["outputs"].items():
        values[f"outputs.{name}"] = _output(run, key, name, given, step["kinds"].get(name, {}), job, sandbox, kept)
    command = _command(step, values)
    environment = {
        **run.host.environment,
        "AZUREML_RUN_ID": f"{run.name}-{key}",
        **{name: _filled(str(value), values) for name, value in step["environment"].items()},
    }
    cwd = str(working) if step["code"] or not run.host.working else run.host.working
    _contain(command, environment, cwd, step["timeout"])
    for name, (place, target) in kept.items():
        if place.exists():
            _upload(place, target)
        run.outputs[f"{key}.{name}"] = target


def _input(run: Run, key: str, name: str, given: Any, job: Mapping[str, Any], place: Path) -> str:
    value: Any = given
    bound = value.get("path") if isinstance(value, dict) else value
    match = _EXPRESSION.fullmatch(bound.strip()) if isinstance(bound, str) else None
    if match:
        inner = _STEP.fullmatch(match.group(1))
        if inner:
            source = run.outputs.get(f"{inner.group(1)}.{inner.group(2)}")
            if source is None:
                raise Refused(f"step {key} reads {bound}, which is no output")
            return _copied(source, place, str(bound))
        root, _, parameter = match.group(1).rpartition(".")
        if root != "parent.inputs" or parameter not in (job.get("inputs") or {}):
            raise Refused(f"{bound} of step {key} is no input of the pipeline")
        value = job["inputs"][parameter]
    if isinstance(value, dict) and value.get("type") in (*_FOLDERS, None) and "path" in value:
        if value.get("mode") not in _MODES:
            raise Refused(f"the mode {value['mode']} of {name} is not understood here")
        return _copied(run.host.path(value["path"], run.base), place, value["path"])
    if isinstance(value, dict):
        raise Refused(f"the input {name} of step {key} is {value!r}, which is not understood here")
    return str(value)


def _copied(source: Path, place: Path, said: str) -> str:
    """The input as a copy, so that no step spoils what is stored. What is not there fails the step."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_file():
        place.mkdir()
        return str(shutil.copyfile(source, place / source.name))
    if not source.is_dir() or not any(source.iterdir()):
        raise StepFailed(f"there is nothing at {said}")
    shutil.copytree(source, place)
    return str(place)


def _output(
    run: Run,
    key: str,
    name: str,
    given: Any,
    kind: Mapping[str, Any],
    job: Mapping[str, Any],
    sandbox: Path,
    kept: dict[str, tuple[Path, Path]],
) -> str:
    if isinstance(given, str):
        match = _EXPRESSION.fullmatch(given.strip())
        root, _, promoted = (match.group(1) if match else "").rpartition(".")
        if root != "parent.outputs" or promoted not in (job.get("outputs") or {}):
            raise Refused(f"{given} of step {key} is no output of the pipeline")
        given = job["outputs"][promoted]
    said = {**kind, **(given or {})}
    if said.get("type", "uri_folder") not in _FOLDERS or said.get("mode") not in _MODES:
        raise Refused(f"the output {name} of step {key} is {said!r}, which is not understood here")
    child = f"{run.name}-{key}"
    target = run.host.scratch / "kept" / child / name
    if "path" in said:
        target = run.host.path(_filled(said["path"], {"name": child, "output_name": name}), run.base)
    is_file = said.get("type") == "uri_file"
    if said.get("mode") == "rw_mount":
        (target.parent if is_file else target).mkdir(parents=True, exist_ok=True)
        run.outputs[f"{key}.{name}"] = target
        return str(target)
    place = sandbox / "outputs" / name
    (place.parent if is_file else place).mkdir(parents=True, exist_ok=True)
    kept[name] = (place, target)
    return str(place)


def _upload(place: Path, target: Path) -> None:
    """Moves what a step wrote to where it is kept, each file at once."""
    for path in [place] if place.is_file() else filter(Path.is_file, sorted(place.rglob("*"))):
        to = target if place.is_file() else target / path.relative_to(place)
        to.parent.mkdir(parents=True, exist_ok=True)
        partial = to.with_name(to.name + ".partial.tmp")
        shutil.move(path, partial)
        partial.replace(to)


def _command(step: Mapping[str, Any], values: Mapping[str, str]) -> str:
    def optional(match: re.Match[str]) -> str:
        names = _EXPRESSION.findall(match.group(1))
        return _filled(match.group(1), values) if all(name in values for name in names) else ""

    return _filled(_OPTIONAL.sub(optional, step["command"]), values)


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match.group(1) in values:
            return values[match.group(1)]
        raise Refused(f"{match.group(0)} has no value in {text!r}")

    return _EXPRESSION.sub(value, text)


def _contain(command: str, environment: Mapping[str, str], working: str, seconds: float | None) -> None:
    shell = shutil.which("bash") or "/bin/sh"
    process = subprocess.Popen(
        [shell, "-c", command],
        cwd=working,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    )
    tail = bytearray()
    reader = threading.Thread(target=_stream, args=(process, tail), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(5)
        assert process.stdout is not None
        process.stdout.close()
    lines = "\n".join(tail.decode("utf-8", "replace").splitlines()[-LAST_LINES:])
    if code is None:
        raise StepFailed(f"it ran longer than its limit of {seconds:g} seconds; its last lines:\n{lines}")
    if code != 0:
        raise StepFailed(f"its command exited with code {code}; its last lines:\n{lines}")


def _stream(process: subprocess.Popen[bytes], tail: bytearray) -> None:
    assert process.stdout is not None
    output = process.stdout.fileno()
    for chunk in iter(lambda: os.read(output, 65536), b""):
        tail.extend(chunk)
        del tail[:-TAIL_BYTES]
        sys.stderr.write(chunk.decode("utf-8", "replace"))
        sys.stderr.flush()


def _die_with_parent() -> None:
    if sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # 1 is PR_SET_PDEATHSIG


def main(words: list[str]) -> int:
    """Reads an order, runs its job, writes the report; 0 also for a job that failed, 2 for one that is refused."""
    order = json.loads(Path(words[0]).read_text(encoding="utf-8"))
    host = Host(order["mounts"], order["environment"], order["working"], Path(order["scratch"]))
    try:
        job = yaml.safe_load(Path(order["job"]).read_text(encoding="utf-8"))
        report = execute(job, host, Path(order["base"]), order.get("name", "local"))
    except (Refused, OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        said = str(error) if isinstance(error, Refused) else f"the document cannot be read: {error!r}"
        report = {"status": "Refused", "steps": [], "reason": said}
    Path(words[1]).write_text(json.dumps(report), encoding="utf-8")
    return 2 if report["status"] == "Refused" else 0


if __name__ == "__main__":
    sys.modules["ctc"] = None  # type: ignore[assignment]  # whoever imports the compiler here fails
    # An interrupt is for the process that started this one, which ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    raise SystemExit(main(sys.argv[1:]))
