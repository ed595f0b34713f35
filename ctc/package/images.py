"""The images of a spec that ctc makes contexts for: the training code's, and the one that our steps run in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.language.lock import LOCK, Lock, name_of, pinned
from ctc.language.spec import Spec
from ctc.package import dockerfile, requirements, wheel
from ctc.package.context import Context, context
from ctc.package.dockerignore import FILE
from ctc.package.suspects import suspects
from ctc.package.tree import Entry, Tree, tree
from ctc.value import Value, frozen

DOCKERFILE = "Dockerfile"
PYTHON = "3.11"
"""The version of our image, and of the user's where his project does not say one."""

STATE = ".ctc"
LARGE = 200_000_000
"""Bytes of a context from which its largest parts are told as a warning: data is rarely meant to be in an image."""

_VERSION = re.compile(r"(\d+\.\d+)")


@frozen
class Packed(Value):
    """A context, what was left out of it without being asked, and what a person should look at.

    `base` is what a Dockerfile made by ctc starts from, without its pin; empty for the project's own.
    """

    context: Context
    base: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What is packed: `spec` as its images are written, without the lock; `path` of the spec; `base` instead of the
    image that a made Dockerfile starts from; the lock, which pins bases too; `outs` are where contexts are written.
    """

    spec: Spec
    path: Path
    base: str = ""
    lock: Lock = field(default_factory=Lock)
    outs: tuple[Path, ...] = ()


def pack(wanted: Wanted) -> list[Packed]:
    """The contexts of a spec's images. CtcError where one cannot be made."""
    spec = wanted.spec
    if name_of(spec.training.image) == name_of(spec.runtime_image):
        raise CtcError(
            f"training.image and runtime.image are both {name_of(spec.training.image)}",
            "give them two names: ours holds ctc, and nothing of ours has to be in the other",
        )
    return [_training(wanted), _runtime(wanted)]


def others(spec: Spec) -> Iterator[tuple[str, str]]:
    """The other images that a spec names, with their places: nobody but their owner knows what they are made of."""
    made = {spec.training.image, spec.runtime_image}
    named = []
    if spec.prepare is not None and spec.prepare.image is not None:
        named.append(("prepare.image", spec.prepare.image))
    if spec.evaluation.score is not None:
        named.append(("evaluation.score.image", spec.evaluation.score.image))
    named += [(f"serving.{entry.name}.online.image", entry.online.image) for entry in spec.serving if entry.online]
    for place, image in named:
        if image not in made:
            yield place, image


def _training(wanted: Wanted) -> Packed:
    spec = wanted.spec
    root = (wanted.path.absolute().parent / spec.training.code).resolve()
    found = tree(root, DOCKERFILE, _left(wanted, root))
    paths = [entry.path for entry in found.entries]
    own = next((entry for entry in found.entries if entry.path == DOCKERFILE), None)
    base = ""
    if own is None:
        base = wanted.base or f"python:{_python(root, paths)}-slim"
        made, warnings = _made(wanted, root, paths, _pinned(base, wanted.lock))
        entries = (*found.entries, Entry(DOCKERFILE, made))
        notes = [f"the Dockerfile is made by ctc: {DOCKERFILE} in {spec.training.code} takes its place"]
    else:
        entries, notes, warnings = found.entries, [], _judged(own, paths)
    packed = context("training", spec.training.image, entries)
    return Packed(
        packed,
        base,
        (*notes, *_told(found)),
        (*warnings, *_heavy(packed), *_secrets(found.entries, spec.training.code)),
    )


def _runtime(wanted: Wanted) -> Packed:
    name, content = wheel.wheel()
    needed = ["runtime", *sorted(wheel.extras() & set(wanted.spec.targets))]
    written = wanted.base or f"python:{PYTHON}-slim"
    base = _pinned(written, wanted.lock)
    install = ["pip", "install", "--constraint", "constraints.txt", f"./{name}[{','.join(needed)}]"]
    text = "\n".join(
        (
            "# Made by ctc package: the steps of the compiled pipelines run in it as `python -m ctc.step`.",
            f"FROM {base}",
            "ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1",
            "WORKDIR /app",
            f"COPY {json.dumps(['constraints.txt', name, './'])}",
            f"RUN {json.dumps(install)}",
            "",
        )
    )
    entries = (
        Entry(DOCKERFILE, text.encode()),
        Entry("constraints.txt", wheel.constraints()),
        Entry(name, content),
    )
    return Packed(context("runtime", wanted.spec.runtime_image, entries), written, (), tuple(_unpinned(base)))


def _made(wanted: Wanted, root: Path, paths: list[str], base: str) -> tuple[bytes, list[str]]:
    """A Dockerfile for a Python project. CtcError where what it needs cannot be known."""
    spec = wanted.spec
    program = next((word for word in spec.training.argv if word != "env" and "=" not in word), "")
    own = f"write a {DOCKERFILE} in {spec.training.code}"
    if not re.fullmatch(r"python[0-9.]*", program):
        raise CtcError(f"training.argv starts `{program}`: ctc makes images of Python projects only", own)
    listed = [file for file in ("requirements.txt", "requirements.lock") if file in paths][:1]
    needs = requirements.files(root, listed[0], frozenset(paths)) if listed else []
    project = not needs and "pyproject.toml" in paths and requirements.installs(root / "pyproject.toml")
    foreign = [file for file in ("environment.yml", "environment.yaml", "Pipfile", "poetry.lock") if file in paths]
    if not needs and not project and foreign:
        raise CtcError(
            f"{spec.training.code} says what it needs in {foreign[0]}, which ctc does not install",
            f"{own}, or export it to requirements.txt",
        )
    warnings = list(_unpinned(base))
    if not needs and not project:
        warnings.append("nothing says what the code imports: write requirements.txt beside it")
    warnings += requirements.loose(root, needs)
    return dockerfile.made(base, needs, project, _served(spec)), warnings


def _served(spec: Spec) -> tuple[str, ...]:
    """The words of the server that this image holds; none where there is none, or more than one."""
    found = {entry.online.argv for entry in spec.serving if entry.online and entry.online.image == spec.training.image}
    return next(iter(found)) if len(found) == 1 else ()


def _python(root: Path, paths: list[str]) -> str:
    """The version of Python that the project names: `.python-version`, else the least of `requires-python`."""
    if ".python-version" in paths:
        match = _VERSION.match((root / ".python-version").read_text(encoding="utf-8", errors="replace").strip())
        if match:
            return match[1]
    if "pyproject.toml" in paths:
        match = re.search(r">=\s*(\d+\.\d+)", requirements.python_of(root / "pyproject.toml"))
        if match:
            return match[1]
    return PYTHON


def _judged(own: Entry, paths: list[str]) -> list[str]:
    """What a person should know of the project's own Dockerfile. CtcError where it could not be built."""
    content = own.source if isinstance(own.source, bytes) else own.source.read_bytes()
    name = str(own.source) if isinstance(own.source, Path) else DOCKERFILE
    try:
        found = dockerfile.instructions(content.decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        raise CtcError(f"{name} is not UTF-8: {error.reason} at byte {error.start}", "save it as UTF-8") from error
    absent = [f"\n  {name}:{line}: {source}: {why}" for line, source, why in dockerfile.missing(found, paths)]
    if absent:
        raise CtcError(
            f"the Dockerfile copies what the context does not have:{''.join(absent)}",
            f"bring the file, mend the Dockerfile, or let it in again in {FILE}: !PATH",
        )
    return [f"{name}:{line}: {what}" for line, image in dockerfile.bases(found) for what in _unpinned(image)]


def _left(wanted: Wanted, root: Path) -> list[str]:
    """What is in the folder of the code and changes without it: the spec, its lock, the state of runs, contexts."""
    here = wanted.path.absolute().parent.resolve()
    places = [*(here / name for name in (wanted.path.name, LOCK, STATE)), *(item.resolve() for item in wanted.outs)]
    return [place.relative_to(root).as_posix() for place in places if place != root and place.is_relative_to(root)]


def _told(found: Tree) -> Iterator[str]:
    if not found.ignored_by:
        yield f"there is no {FILE}: .git, .venv, caches and their like are left out"
    if found.left_out:
        yield f"left out, since they change without the code: {', '.join(found.left_out)}; `!NAME` in {FILE} lets in"


def _heavy(packed: Context) -> Iterator[str]:
    if packed.size >= LARGE:
        yield f"{packed.size / 1e6:,.0f} MB go into the image: is there data that {FILE} should leave out?"


def _secrets(entries: tuple[Entry, ...], code: str) -> Iterator[str]:
    for path, what in suspects(entries):
        yield f"{code}/{path}: {what}; whoever pulls the image can read it: name it in {FILE}"


def _unpinned(image: str) -> Iterator[str]:
    if "@sha256:" not in image:
        yield f"the base {image} can move: --digest {image}@sha256:... pins it, or write the digest"


def _pinned(image: str, lock: Lock) -> str:
    return pinned(image, lock.images[image].digest) if image in lock.images else image
