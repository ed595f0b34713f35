"""This machine as a place to execute compiled pipelines: interpreters, environment, copies of the user's code."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ctc
from ctc.compiler.target import Machine
from ctc.diagnostics import CtcError
from ctc.language.spec import Spec
from ctc.run import warm
from ctc.steps import handover

MAX_CODE_BYTES = 100 * 1000**2
"""A code folder above this holds data: every version keeps a copy of it."""

LOCK = "run.lock"
"""In a state folder: held by the run that uses it."""

OLDEST_PYTHON = (3, 7)
"""What the step that runs the user's command needs of the user's interpreter."""

_NOT_CODE = {
    ".ctc",
    ".git",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
}

_DISPATCHER = """\
#!/bin/sh
if [ "$1" = -m ] && [ "$2" = ctc.step ]; then
  export PYTHONSAFEPATH=1 PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}
  [ -d "$CTC_WARM" ] && exec {ours} -I -S {client} "$@"
  exec {ours} "$@"
fi
exec {users} "$@"
"""


def machine(state: Path, *, root: str, working: Path, python: str, code: str, status: Path, scratch: Path) -> Machine:
    """The machine for one execution.

    `root` is the URI that `state` stands for, `python` the user's interpreter, `code` the digest of the stored copy of
    the user's code, `status` the folder in which the user's steps say how they ended.
    """
    dispatchers = _write_dispatchers(state / "bin", python)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(dispatchers), str(Path(python).parent), os.environ.get("PATH", os.defpath)]),
        "CTC_MOUNTS": json.dumps({root: str(state)}),
        "CTC_CODE_STORE": str(state / "code"),
        "CTC_CODE": code,
        "CTC_STATUS_DIR": str(status),
        handover.FOLDER: str(state / warm.FOLDER),
        "CTC_DIE_WITH_PARENT": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return Machine(mounts={root: state}, environment=environment, working=working, scratch=scratch)


def _write_dispatchers(folder: Path, python: str) -> Path:
    """`python` and `python3` that run our steps under our interpreter and everything else under the user's."""
    text = _DISPATCHER.format(
        path=shlex.quote(str(Path(ctc.__file__).resolve().parent.parent)),
        ours=shlex.quote(sys.executable),
        client=shlex.quote(handover.__file__),
        users=shlex.quote(python),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("python", "python3"):
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            partial = folder / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.chmod(0o755)
            partial.replace(file)
    return folder


def user_python(chosen: str | None, folder: Path) -> str:
    """The user's interpreter: `chosen`, else the `.venv` beside the spec, else the first on PATH. It has been run."""
    if chosen is not None:
        found = shutil.which(chosen)
        if found is None:
            raise CtcError(f"--python {chosen}: there is no such program", "name an interpreter that exists")
        return _checked(str(Path(found).absolute()))
    beside = folder / ".venv" / "bin" / "python"
    if beside.exists():
        return _checked(str(beside.absolute()))
    found = shutil.which("python3") or shutil.which("python")
    if found is None:
        raise CtcError("there is no python3 on PATH to run the training code with", "name one with --python EXE")
    return _checked(str(Path(found).absolute()))


def _checked(python: str) -> str:
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    advice = "name another interpreter with --python EXE"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CtcError(f"{python} does not run: {error}", advice) from error
    said = done.stdout.strip().split(".")
    if done.returncode != 0 or len(said) != 2 or not all(part.isdigit() for part in said):
        raise CtcError(f"{python} is no Python interpreter: exit code {done.returncode} {done.stderr.strip()}", advice)
    if (int(said[0]), int(said[1])) < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise CtcError(f"{python} is Python {'.'.join(said)}; the training code needs {oldest} or newer", advice)
    return python


def store_code(spec: Spec, folder: Path, state: Path) -> str:
    """Copies `training.code` to `<state>/code/<digest>` and returns the digest of its contents.

    The caller holds the lock of the state folder. A folder that is cut short never has the name of a digest.
    """
    source = folder / spec.training.code
    if not source.is_dir():
        raise CtcError(
            f"training.code: {source} is not a folder", "name the folder of the training code, relative to the spec"
        )
    excluded = _not_code(spec, folder, state)
    store = state / "code"
    store.mkdir(parents=True, exist_ok=True)
    for left in store.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)
    digest = _digest(source, excluded)
    if (store / digest).is_dir():
        return digest
    partial = store / f".partial-{os.getpid()}"
    partial.mkdir()
    try:
        # Of what was copied: somebody may be writing to the folder.
        digest = _digest(source, excluded, partial)
        if not (store / digest).is_dir():
            partial.rename(store / digest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return digest


def _digest(source: Path, excluded: frozenset[Path], copies: Path | None = None) -> str:
    """Of the contents of a code folder, which are copied on the way if `copies` says where to."""
    digest, total = hashlib.sha256(), 0
    for file in _files(source, excluded):
        total += file.stat().st_size
        if total > MAX_CODE_BYTES:
            raise CtcError(
                f"training.code: {source} holds more than {MAX_CODE_BYTES // 1000**2} MB, and each version has a copy",
                "point training.code at a folder that holds the code only, and keep data outside it",
            )
        relative = file.relative_to(source)
        content, executable = file.read_bytes(), os.access(file, os.X_OK)
        if copies is not None:
            copy = copies / relative
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            copy.chmod(0o755 if executable else 0o644)
        digest.update(f"{relative.as_posix()}\0{int(executable)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(source: Path, excluded: frozenset[Path]) -> Iterator[Path]:
    """Every regular file below `source` in a stable order; links are followed, but never in a circle."""
    seen: set[Path] = set()
    for folder, names, files in os.walk(source, followlinks=True):
        here = Path(folder)
        seen.add(here.resolve())
        names[:] = sorted(
            name for name in names if _is_code(here / name, excluded) and (here / name).resolve() not in seen
        )
        for name in sorted(files):
            file = here / name
            if file.is_file() and not name.endswith(".pyc") and file.resolve() not in excluded:
                yield file


def _is_code(folder: Path, excluded: frozenset[Path]) -> bool:
    if folder.name in _NOT_CODE or folder.resolve() in excluded:
        return False
    environment, other_state = (folder / "pyvenv.cfg").is_file(), (folder / LOCK).is_file()
    return not environment and not other_state


def _not_code(spec: Spec, folder: Path, state: Path) -> frozenset[Path]:
    """The states of this spec, the files and folders that the sources read, and those to which scores are written."""
    paths = {state.resolve().parents[1]}
    outs = (entry.batch.out for entry in spec.serving if entry.batch is not None)
    paths |= {(folder / out).resolve() for out in outs if "://" not in out}
    for source in spec.sources:
        if source.path is not None and "://" not in source.path:
            pattern = str(folder / source.path)
            # An absolute pattern, which Path.glob does not take.
            found = glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
            paths |= {Path(path).resolve() for path in found}
    return frozenset(paths)
