"""Runs a compiled bundle on this machine: what a wake would submit, by an interpreter in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.targets.azureml import interpreter
from ctc.targets.azureml.check import check
from ctc.targets.azureml.services import submission
from ctc.targets.kfp_yaml import as_yaml


def execute(bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
    """Executes `pipelines/<pipeline>.yml` as a wake submits it.

    Raises `CtcError` where the bundle is broken, or asks for something that is not understood here.
    """
    try:
        _upload(bundle_dir, machine)
        job = yaml.safe_load((bundle_dir / "pipelines" / f"{pipeline}.yml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CtcError(f"the compiled {pipeline} job cannot be read: {error}", "compile the spec again") from error
    problems = check(job)
    if problems:
        said = "\n".join(f"  {problem}" for problem in problems)
        raise CtcError(
            f"the compiled {pipeline} job cannot be run:\n{said}", "compile the spec again, or mend the edit"
        )
    submitted, order, told = (machine.scratch / name for name in ("job.yml", "order.json", "report.json"))
    submitted.write_bytes(as_yaml(_here(submission(job, parameters), machine)))
    asked = {
        "job": str(submitted),
        "base": str(bundle_dir / "pipelines"),
        "mounts": {prefix: str(folder) for prefix, folder in machine.mounts.items()},
        "environment": dict(machine.environment),
        "working": str(machine.working),
        "scratch": str(machine.scratch),
        "name": parameters.get("attempt") or "wake",
    }
    order.write_text(json.dumps(asked), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", interpreter.__file__, str(order), str(told)], check=False)
    if not told.is_file():
        raise CtcError(f"the interpreter of the {pipeline} job ended with code {done.returncode} and told nothing")
    report = json.loads(told.read_text(encoding="utf-8"))
    if report["status"] == "Refused":
        raise CtcError(f"the compiled {pipeline} job cannot be executed: {report['reason']}", "compile the spec again")
    steps = tuple(name.replace("_", "-") for name in report["steps"])
    return Execution(ok=report["status"] == "Completed", steps=steps, error=report["reason"])


def _here(job: dict[str, Any], machine: Machine) -> dict[str, Any]:
    """The job with the spec's relative paths from where steps start; to the service they are beside its file."""
    for given in job["inputs"].values():
        if isinstance(given, dict) and "://" not in given["path"]:
            given["path"] = str(machine.working / given["path"])
    return job


def _upload(bundle_dir: Path, machine: Machine) -> None:
    """Puts the bundle's support files where the jobs expect them, as a deployment does."""
    manifest = json.loads((bundle_dir / "manifest.json").read_text(encoding="utf-8"))
    host = interpreter.Host({prefix: str(folder) for prefix, folder in machine.mounts.items()}, {}, "", machine.scratch)
    for path, uri in manifest.get("uploads", {}).items():
        place = host.path(uri, bundle_dir)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle_dir / path, place)
