"""What a run needs of this machine, looked at before its first wake: a wake that starts in vain uses its trigger up.

Cheap questions only. That everything here is in order says nothing of what the data or the code hold.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.language.secrets import secret_variable
from ctc.language.spec import Secret, Spec
from ctc.policy.windows import format_instant, parse_instant
from ctc.run.machine import user_python
from ctc.run.records import read_document

RUNTIME = ("numpy", "pyarrow", "duckdb", "ibis", "mlflow")
"""What our steps import, of the extra `runtime`."""

RUNNERS = {"kubeflow": ("kfp", "kubeflow"), "vertex": ("kfp", "vertex")}
"""By target: what executes its files on this machine, and the extra that brings it."""

_MAGIC = b"PAR1"
"""A Parquet file begins and ends with it (apache/parquet-format, README)."""

_INTERPRETER = re.compile(r"python[0-9.]*")


@dataclass(frozen=True)
class Problem:
    """One thing to mend. `path` is the dotted place in the spec, empty where the spec is not to blame."""

    message: str
    path: str = ""


Where = Callable[[str], str]
"""The place in the file (`ctc.yaml:12:5`) of a dotted path of the spec; empty if there is none."""


def ready(spec: Spec, folder: Path, target: str, python: str | None, where: Where | None = None) -> str:
    """The user's interpreter. One CtcError names everything that is not as a run needs it."""
    problems = [*_libraries(target), *_sources(spec, folder)]
    interpreter = ""
    try:
        interpreter = user_python(python, folder)
    except CtcError as error:
        problems.append(Problem(f"{error.message}; {error.help}"))
    problems += [*_outs(spec), *_inputs(spec, folder), *_code(spec, folder, interpreter), *_secrets(spec)]
    problems += _rollout(spec, folder)
    if problems:
        told = "\n".join(f"  {_told(problem, where)}" for problem in problems)
        raise CtcError(
            f"this cannot run here yet:\n{told}",
            "mend it and run again: nothing has been started, and no trigger has been used up",
        )
    return interpreter


def forward(state: Path, earliest: datetime) -> None:
    """CtcError if the instant is before the last wake of this state: what was decided then stays decided."""
    last = (read_document(state / "state.json") or {}).get("last_wake")
    if isinstance(last, str) and earliest < parse_instant(last):
        raise CtcError(
            f"instants only go forward: {format_instant(earliest)} is before the last wake, at {last}",
            "name that instant or a later one with --at; to replay an earlier history, name a fresh folder with "
            "--state DIR",
        )


def _told(problem: Problem, where: Where | None) -> str:
    place = where(problem.path) if where is not None and problem.path else ""
    return ": ".join(filter(None, (place, problem.path, problem.message)))


def _libraries(target: str) -> Iterator[Problem]:
    missing = [name for name in RUNTIME if not _installed(name)]
    if missing:
        yield Problem(
            f"the steps of ctc need {', '.join(missing)}, which this installation of ctc lacks; "
            "install them with: pip install 'ctc-compiler[runtime]'"
        )
    runner, extra = RUNNERS.get(target, ("", ""))
    if runner and not _installed(runner):
        yield Problem(
            f"what runs the target {target} on this machine is {runner}, which this installation of ctc lacks; "
            f"install it with: pip install 'ctc-compiler[{extra}]'"
        )


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:
        return False


def _sources(spec: Spec, folder: Path) -> Iterator[Problem]:
    written = {entry.batch.out.rstrip("/") for entry in spec.serving if entry.batch is not None}
    for source in spec.sources:
        if source.path is not None and source.path.rstrip("/") not in written:
            kind = "parquet" if source.parquet is not None else "csv"
            wrong = _wrong_with(source.path, kind, folder)
            if wrong:
                yield Problem(wrong, f"sources.{source.name}.{kind}.path")


def _outs(spec: Spec) -> Iterator[Problem]:
    for entry in spec.serving:
        if entry.batch is not None and "://" in entry.batch.out.removeprefix("file://"):
            message = (
                f"{entry.batch.out} is not of this machine, and a run here writes nothing else; override it in an "
            )
            yield Problem(message + "environment", f"serving.{entry.name}.batch.out")


def _wrong_with(path: str, kind: str, folder: Path) -> str:
    """Why there is nothing to read at a file, a folder or a pattern; empty if there is something."""
    place = folder / path.removeprefix("file://")
    if "://" in path and not path.startswith("file://"):
        return f"{path} is not of this machine, and a run here reads nothing else; override it in an environment"
    if place.is_file():
        found = [str(place)]
    else:
        # An absolute pattern, which Path.glob does not take.
        pattern = f"{glob.escape(str(place))}/**/*.{kind}" if place.is_dir() else str(place)
        found = sorted(path for path in glob.iglob(pattern, recursive=True) if os.path.isfile(path))  # noqa: PTH113, PTH207
    if not found:
        nothing = f"holds no file *.{kind}" if place.is_dir() else "does not exist"
        return f"{place} {nothing}; bring the data there, or name where it is"
    return f"{found[0]} is no Parquet file" if kind == "parquet" and not _is_parquet(Path(found[0])) else ""


def _is_parquet(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            head = opened.read(4)
            opened.seek(-min(4, file.stat().st_size), os.SEEK_END)
            return head == _MAGIC == opened.read(4)
    except PermissionError:
        # The step says so better.
        return True


def _inputs(spec: Spec, folder: Path) -> Iterator[Problem]:
    for given in spec.training.inputs:
        place, path = folder / given.uri.removeprefix("file://"), f"training.inputs.{given.name}.uri"
        if "://" in given.uri and not given.uri.startswith("file://"):
            away = f"{given.uri} is not of this machine, and a run here reads nothing else"
            yield Problem(f"{away}; override it in an environment", path)
        elif not place.exists():
            yield Problem(f"{place} does not exist; bring the files there, or name where they are", path)


def _rollout(spec: Spec, folder: Path) -> Iterator[Problem]:
    """A version that rolls out is asked with files of the spec's folder: also for the limits on its answers, since no
    client's requests pass a server of this machine."""
    rollout = spec.rollout
    if rollout is None:
        return
    smokes = [(index, step.smoke.request) for index, step in enumerate(rollout.steps) if step.smoke is not None]
    for index, request in smokes:
        if not (folder / request).is_file():
            path = f"rollout.steps.{index}.smoke.request"
            yield Problem(f"{folder / request} is no file; write the body of one request there", path)
    places = [("rollout.limits", limit) for limit in rollout.limits]
    places += [
        (f"rollout.steps.{index}.gates", gate) for index, step in enumerate(rollout.steps) for gate in step.gates
    ]
    unasked = [f"{place}.{limit.name}" for place, limit in places if limit.kind in ("error_rate", "latency")]
    if unasked and not smokes:
        message = "on one machine a server is asked with the request of a `smoke` step; add one before the others"
        yield Problem(message, unasked[0])


def _secrets(spec: Spec) -> Iterator[Problem]:
    for name, value in spec.training.env.items():
        if isinstance(value, Secret) and not os.environ.get(secret_variable(value.secret), "").strip():
            missing = f"the secret {value.secret} is not there; set the environment variable "
            yield Problem(missing + secret_variable(value.secret), f"training.env.{name}.secret")


def _code(spec: Spec, folder: Path, interpreter: str) -> Iterator[Problem]:
    code = folder / spec.training.code
    if not code.is_dir():
        yield Problem(f"{code} is no folder; name the one that holds the training code", "training.code")
        return
    path = os.pathsep.join(filter(None, (str(Path(interpreter).parent), os.environ.get("PATH", os.defpath))))
    commands = [("training.argv", spec.training.argv), ("training.predict", spec.training.predict)]
    if spec.prepare is not None:
        commands += [("prepare.fit", spec.prepare.fit), ("prepare.apply", spec.prepare.apply)]
    for name, argv in commands:
        wrong = _wrong_with_command(argv, code, path)
        if wrong:
            yield Problem(wrong, name)


def _wrong_with_command(argv: Sequence[str], code: Path, path: str) -> str:
    if not argv or "{" in argv[0]:
        return ""
    program = argv[0]
    if "/" in program:
        there = shutil.which(str(code / program))
        return "" if there else f"there is no program {code / program}; mend the command, or training.code"
    if not _INTERPRETER.fullmatch(program):
        return "" if shutil.which(program, path=path) else f"there is no program `{program}` on PATH; install it"
    script = next((word for word in argv[1:] if not word.startswith("-") or word in ("-m", "-c")), "")
    if script.endswith(".py") and "{" not in script and not (code / script).is_file():
        return f"there is no script {code / script}; mend the command, or training.code"
    return ""


def missing_module(errors: Iterable[str], interpreter: str) -> str:
    """What to do where one of the user's steps died for lack of a module; empty where none did."""
    found = next((match for error in errors if (match := _MISSING.search(error))), None)
    if found is None:
        return ""
    return (
        f"it ran under {interpreter}, which has no module {found.group(1)}: install it there, "
        "or name the interpreter that has it with --python EXE"
    )


_MISSING = re.compile(r"ModuleNotFoundError: No module named '([^']+)'")
